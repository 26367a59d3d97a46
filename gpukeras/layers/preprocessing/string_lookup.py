"""Strings into their places in a vocabulary and back."""

from __future__ import annotations

import numpy as np

from gpukeras.layers.preprocessing.hashing import bins_of
from gpukeras.layers.preprocessing.lookup import DROPPED, IndexLookup, on_device
from gpukeras.text import StringTensor, flat_bytes, flat_str, string_tensor, to_bytes, to_str

_UNKNOWN = -2  # marks a token that is not in the vocabulary


class StringLookup(IndexLookup):
    """Return the number of each string in a vocabulary, or vectors made of these numbers.

    Parameters
    ----------
    max_tokens : int, optional
        Most tokens that ``adapt`` keeps, special ones included.
    num_oov_indices : int
        Numbers for strings out of the vocabulary: with several, a hash chooses; with 0 they are an error.
    mask_token : str, optional
        A string that means nothing: number 0 with ``output_mode="int"``, no trace with the others.
    oov_token : str
        What stands for strings out of the vocabulary in ``get_vocabulary`` and with ``invert``.
    vocabulary : sequence of str, or path of a file with one on each line, optional
        Instead of ``adapt``.
    idf_weights : sequence of float, optional
        One for each token, with ``output_mode="tf_idf"`` and a given vocabulary.
    invert : bool
        Return strings for numbers.
    output_mode : {"int", "one_hot", "multi_hot", "count", "tf_idf"}
        Numbers; a vector for each; or one for all along the last axis: ones, counts, or counts times the
        inverse document frequency.
    pad_to_max_tokens : bool
        Make vectors ``max_tokens`` long even where the vocabulary is smaller.
    sparse : bool
        Vectors without their zeros (on the CPU).
    encoding : str
        In which ``bytes`` are written.
    salt : int or (int, int), optional
        Key of the hash that chooses among several ``num_oov_indices``.

    Notes
    -----
    Strings stay on the host, numbers go to the device. ``adapt`` puts the most frequent tokens first, and the
    weight of a token that is in ``n`` of ``N`` samples is ``log(1 + N / (1 + n))``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.StringLookup(vocabulary=["a", "b"])
    >>> layer([["b", "z"]]).tolist()
    [[2, 0]]
    >>> keras.layers.StringLookup(vocabulary=["a", "b"], invert=True)([1, 0]).tolist()
    ['a', '[UNK]']
    """

    def __init__(self, max_tokens=None, num_oov_indices=1, mask_token=None, oov_token="[UNK]",
                 vocabulary=None, idf_weights=None, invert=False, output_mode="int", pad_to_max_tokens=False,
                 sparse=False, encoding="utf-8", name=None, salt=None, **kwargs):
        kwargs.pop("oov_method", None)  # written by Keras, and always the same
        self.encoding = encoding
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
                         output_mode, sparse, pad_to_max_tokens, salt, name, kwargs)

    def _read(self, token):
        if not isinstance(token, (str, bytes)):
            raise TypeError(f"{type(self).__name__}: a vocabulary of strings, came {token!r} in it")
        return to_str([token], self.encoding)[0]

    def _tokens_of(self, data):
        text = string_tensor(data, f"{type(self).__name__}.adapt")
        return flat_str(text.array, self.encoding), text.shape

    # ---- tokens to numbers ------------------------------------------------------------------------------
    def _table(self, kind: type) -> dict:
        """Return the numbers of all tokens, as ``str`` or ``bytes``."""
        table = self._known.tables.get(kind)
        if table is None:
            tokens = self._known.tokens if kind is str else to_bytes(self._known.tokens)
            first = len(self._special())
            table = dict(zip(tokens, range(first, first + len(tokens))))
            if self.mask_token is not None:
                mask = self.mask_token if kind is str else to_bytes([self.mask_token])[0]
                table[mask] = 0 if self._masks else DROPPED
            self._known.tables[kind] = table
        return table

    def numbers_of(self, tokens: list) -> np.ndarray:
        """Return the numbers of tokens in a list, all ``str`` or all ``bytes`` (UTF-8), as int64."""
        table = self._table(bytes if tokens and isinstance(tokens[0], bytes) else str)
        first = 1 if self._masks else 0
        unknown = first if self.num_oov_indices == 1 else _UNKNOWN
        get = table.get
        found = np.fromiter([get(token, unknown) for token in tokens], np.int64, len(tokens))
        if unknown == _UNKNOWN:
            missing = np.flatnonzero(found == _UNKNOWN)
            if len(missing):
                strings = [tokens[i] for i in missing.tolist()]
                if not self.num_oov_indices:
                    raise ValueError(
                        f"layer {self.name!r} ({type(self).__name__}): {to_str(strings[:5])} are not in the "
                        "vocabulary, and num_oov_indices=0 has no number for them; use num_oov_indices=1"
                    )
                key = None if self.salt is None else (self.salt[0], self.salt[1])
                found[missing] = first + bins_of(to_bytes(strings), self.num_oov_indices, key)
        return found

    def _find(self, inputs):
        text = self._as_text(inputs)
        if text.array.dtype.kind == "U" or text.array.dtype.kind == "O" and text.size and isinstance(
                text.array.flat[0], str):
            tokens = flat_str(text.array, self.encoding)
        else:
            tokens = flat_bytes(text.array, self.encoding)
        return on_device(self.numbers_of(tokens).reshape(text.shape))

    def _as_text(self, inputs) -> StringTensor:
        if not isinstance(inputs, StringTensor):
            raise TypeError(
                f"layer {self.name!r} ({type(self).__name__}) takes strings, came {inputs.dtype}; for "
                "integers use IntegerLookup"
            )
        return inputs

    # ---- numbers to tokens --------------------------------------------------------------------------------
    def _token_tensor(self, numbers):
        if isinstance(numbers, StringTensor):
            raise TypeError(f"layer {self.name!r}: invert=True takes integers, came text")
        tokens = self._known.tables.get("inverse")
        if tokens is None:
            # One more, at the end, for numbers out of range.
            tokens = np.array([*self.get_vocabulary(), self.oov_token, None], object)[:-1]
            self._known.tables["inverse"] = tokens
        places = numbers.backend.to_numpy(numbers.array).astype(np.int64)
        last = len(tokens) - 1
        return StringTensor(tokens[np.where((places < 0) | (places > last), last, places)])

    def get_config(self):
        return super().get_config() | {"encoding": self.encoding, "oov_method": "floormod"}
