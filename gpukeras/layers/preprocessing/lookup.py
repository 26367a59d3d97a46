"""Tokens into their places in a vocabulary and back: what strings and integers have in common."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import numpy as np

from gpukeras import backends, ops
from gpukeras.layers.preprocessing.base import PreprocessingLayer
from gpukeras.layers.preprocessing.constants import Constants
from gpukeras.layers.preprocessing.encoding import MODES, check_mode, encode, encoded_shape
from gpukeras.layers.preprocessing.hashing import standard_salt
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor

DROPPED = -1  # the number of a token that leaves no trace
ASSET = "vocabulary.txt"
_OLD_MODES = {"binary": "multi_hot", "tf-idf": "tf_idf"}


class Vocabulary:
    """What a layer knows of its tokens; an object of its own, so that nobody searches it for weights.

    Attributes
    ----------
    tokens : list
        In the order of their numbers, without special ones.
    idf : array of float32, or None
        The weight of each number, special ones first.
    given, given_idf : list or None
        What the constructor was given.
    elsewhere : str or None
        A file that a configuration names, and that is not read.
    tables : dict
        What is made of the tokens to look them up.
    """

    def __init__(self):
        self.tokens: list = []
        self.idf: np.ndarray | None = None
        self.given: list | None = None
        self.given_idf: list | None = None
        self.elsewhere: str | None = None
        self.tables: dict = {}


class Tally:
    """How often tokens were seen, and in how many documents."""

    def __init__(self):
        self.tokens: Counter = Counter()
        self.documents: Counter = Counter()
        self.document_count = 0

    def add_documents(self, documents: list) -> None:
        """Count the documents, lists of tokens, in which each token is."""
        self.document_count += len(documents)
        for document in documents:
            self.documents.update(set(document))


class IndexLookup(PreprocessingLayer):
    """Base of ``StringLookup`` and ``IntegerLookup``.

    The numbers of tokens begin with the mask (0, with ``output_mode="int"`` alone) and those for tokens out
    of the vocabulary; the vocabulary follows. Subclasses say what a token is.
    """

    def __init__(self, max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
                 output_mode, sparse, pad_to_max_tokens, salt, name, kwargs):
        vocabulary_size = kwargs.pop("vocabulary_size", None)
        kwargs.pop("has_input_vocabulary", None)
        super().__init__(name=name, **kwargs)
        output_mode = _OLD_MODES.get(output_mode, output_mode)
        _check_settings(self, max_tokens, num_oov_indices, invert, output_mode, sparse, idf_weights)
        self.max_tokens, self.num_oov_indices = max_tokens, num_oov_indices
        self.mask_token, self.oov_token, self.invert = mask_token, oov_token, invert
        self.output_mode, self.sparse, self.pad_to_max_tokens = output_mode, sparse, pad_to_max_tokens
        self.salt = standard_salt(salt, type(self).__name__)
        self._constants = Constants()
        self._known = Vocabulary()
        self._size = vocabulary_size  # as a configuration says, where the vocabulary is yet to come
        if vocabulary is not None and not isinstance(vocabulary, (str, os.PathLike)):
            self._known.given = _listed(vocabulary)
            self._known.given_idf = None if idf_weights is None else np.asarray(idf_weights).tolist()
        self.reset_state()
        if vocabulary is not None:
            self.set_vocabulary(vocabulary, idf_weights)

    # ---- what subclasses say --------------------------------------------------------------------------
    def _tokens_of(self, data) -> tuple[list, tuple]:
        """Return the tokens of a batch in one list, and its shape."""
        raise NotImplementedError

    def _find(self, inputs):
        """Return the numbers of tokens as an integer tensor on the current device."""
        raise NotImplementedError

    def _token_tensor(self, numbers):
        """Return the tokens with the given numbers as a tensor."""
        raise NotImplementedError

    def _read(self, token):
        """Return a token, given or read from a file, in the form in which the vocabulary keeps it."""
        raise NotImplementedError

    # ---- the vocabulary -------------------------------------------------------------------------------
    @property
    def _masks(self) -> bool:
        return self.mask_token is not None and self.output_mode == "int"

    def _special(self) -> list:
        """Return the tokens before the vocabulary."""
        mask = [self.mask_token] if self._masks else []
        return mask + [self.oov_token] * self.num_oov_indices

    @property
    def input_vocabulary(self) -> list | None:
        """The vocabulary that was given when the layer was made."""
        return self._known.given

    @property
    def input_idf_weights(self) -> list | None:
        """The weights that were given with it."""
        return self._known.given_idf

    def get_vocabulary(self, include_special_tokens: bool = True) -> list:
        """Return the tokens in the order of their numbers.

        Parameters
        ----------
        include_special_tokens : bool
            Whether the tokens for masks and for what is out of the vocabulary come first.
        """
        return [*(self._special() if include_special_tokens else []), *self._known.tokens]

    def vocabulary_size(self) -> int:
        """Return the number of tokens, special ones included."""
        if not self._known.tokens and self._size is not None:
            return self._size
        return len(self._special()) + len(self._known.tokens)

    def vocab_size(self) -> int:
        """Return the same as ``vocabulary_size``; an old name."""
        return self.vocabulary_size()

    def set_vocabulary(self, vocabulary, idf_weights=None) -> None:
        """Set the vocabulary instead of learning it by ``adapt``.

        Parameters
        ----------
        vocabulary : sequence of tokens, or path of a file with a token on each line
            With all special tokens at its beginning, or none.
        idf_weights : sequence of float, optional
            One for each token; needed for ``output_mode="tf_idf"``.

        Raises
        ------
        ValueError
            Where tokens are repeated, or are too many.
        """
        what = f"{type(self).__name__}.set_vocabulary"
        if self.output_mode != "tf_idf" and idf_weights is not None:
            raise ValueError(
                f"{what}: idf_weights go with output_mode='tf_idf', the layer has {self.output_mode!r}")
        if isinstance(vocabulary, (str, os.PathLike)):
            if self.output_mode == "tf_idf":
                raise ValueError(f"{what}: with output_mode='tf_idf' pass a list of tokens, not a file")
            vocabulary = read_lines(vocabulary)
        tokens = [self._read(token) for token in _listed(vocabulary)]
        special = self._special()
        if not tokens:
            raise ValueError(f"{what}: the vocabulary is empty")
        if self.output_mode == "tf_idf" and idf_weights is None:
            raise ValueError(f"{what}: output_mode='tf_idf' needs idf_weights beside the vocabulary")
        weights = None if idf_weights is None else np.asarray(idf_weights, "float32").ravel()
        if weights is not None and len(weights) != len(tokens):
            raise ValueError(f"{what}: {len(weights)} idf_weights for {len(tokens)} tokens")
        front = None if weights is None else np.full(len(special), weights.mean(), "float32")
        if special and tokens[:len(special)] == special:
            tokens = tokens[len(special):]
            if weights is not None:
                front, weights = weights[:len(special)], weights[len(special):]
        _check_tokens(what, tokens, special, self.mask_token, self.max_tokens)
        self._take(tokens, None if weights is None else np.concatenate([front, weights]))

    def _take(self, tokens: list, idf) -> None:
        """Let a vocabulary be known to all that is made of it."""
        known = self._known
        known.tokens, known.idf, known.elsewhere = tokens, idf, None
        known.tables.clear()
        self._constants.clear()

    @property
    def idf_weights(self) -> Tensor | None:
        """The weights by which ``output_mode="tf_idf"`` multiplies, special tokens first."""
        return None if self._known.idf is None else ops.convert_to_tensor(self._known.idf)

    # ---- learning it -----------------------------------------------------------------------------------
    def _check_adaptable(self):
        if self._known.given is not None or self._known.tokens and not self._is_adapted:
            raise ValueError(
                f"{type(self).__name__}: adapt would replace the vocabulary that was given; make a layer "
                "without one to learn it from data"
            )

    def reset_state(self):
        self._seen = Tally()
        if self._known.given is None and self._known.tokens:
            self._take([], None)
            self._size = None

    def update_state(self, data):
        tokens, shape = self._tokens_of(data)
        self._seen.tokens.update(tokens)
        if self.output_mode == "tf_idf":
            width = shape[-1] if len(shape) > 1 else 1
            self._seen.add_documents([tokens[i:i + width] for i in range(0, len(tokens), max(width, 1))])

    def finalize_state(self):
        counts = self._seen.tokens
        if self._known.given is not None or not counts:
            return
        for token in (self.mask_token, self.oov_token):
            counts.pop(token, None)
        # The frequent ones first; of those equally frequent, the last in the alphabet first, as in Keras.
        tokens = sorted(counts, key=lambda token: (counts[token], token), reverse=True)
        if self.max_tokens is not None:
            tokens = tokens[:self.max_tokens - len(self._special())]
        idf = None
        if self.output_mode == "tf_idf":
            containing = np.array([self._seen.documents[token] for token in tokens], np.float64)
            found = np.log(1 + self._seen.document_count / (1 + containing))
            front = np.full(len(self._special()), found.mean() if len(found) else 0.0)
            idf = np.concatenate([front, found]).astype("float32")
        self._take([self._read(token) for token in tokens], idf)

    # ---- calling ----------------------------------------------------------------------------------------
    @property
    def input_dtype(self) -> str:
        return "int64" if self.invert else self._token_dtype

    _token_dtype = "string"

    def call(self, inputs):
        self._need_vocabulary()
        if self.invert:
            return self._token_tensor(inputs)
        return self._encoded(self._find(inputs))

    def _need_vocabulary(self):
        if not self._known.tokens:
            file = self._known.elsewhere
            where = f" (its configuration names the file {file!r}, which is not read by itself: call " \
                    "set_vocabulary with it if you trust it)" if file else ""
            raise RuntimeError(
                f"layer {self.name!r} ({type(self).__name__}) has no vocabulary yet{where}: pass "
                "vocabulary=..., or call adapt(data) or set_vocabulary(...)"
            )

    def _depth(self) -> int | None:
        """Return the length of the vectors; ``None`` where it is not known yet."""
        if self.pad_to_max_tokens and self.max_tokens is not None:
            return self.max_tokens
        return self.vocabulary_size() if self._known.tokens or self._size else None

    def _encoded(self, numbers: Tensor):
        """Return numbers of tokens in the form of the output mode."""
        if self.output_mode == "int":
            return numbers
        depth = self._depth() or 0
        mode = "count" if self.output_mode == "tf_idf" else self.output_mode
        found: Any = encode(numbers, mode, depth, self.compute_dtype, sparse=self.sparse and mode != "tf_idf")
        if self.output_mode != "tf_idf":
            return found
        if self._known.idf is None:
            raise RuntimeError(f"layer {self.name!r} has no idf_weights: call adapt(data), or set them")
        weights = np.zeros(depth, "float32")
        weights[:len(self._known.idf)] = self._known.idf
        return found * self._constants.get("idf", weights, found, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        if self.output_mode == "int" or self.invert:
            return tuple(input_shape)
        return encoded_shape(input_shape, self.output_mode, self._depth())

    def compute_output_spec(self, inputs):
        if self.invert:
            kind = self._token_dtype
        else:
            kind = "int64" if self.output_mode == "int" else self.compute_dtype
        return KerasTensor(self.compute_output_shape(inputs.shape), kind, sparse=self.sparse)

    # ---- files --------------------------------------------------------------------------------------------
    def _in_config(self) -> list | None:
        """Return the vocabulary where the configuration is its place: it was given, or has odd tokens."""
        if self._known.given is not None:
            return self._known.given
        odd = any(isinstance(t, str) and ("\n" in t or "\r" in t) for t in self._known.tokens)
        return list(self._known.tokens) if odd else None

    def get_config(self):
        known, vocabulary = self._known, self._in_config()
        idf = known.given_idf
        if idf is None and vocabulary is not None and known.idf is not None:
            idf = known.idf[len(self._special()):].tolist()
        return super().get_config() | {
            "invert": self.invert, "max_tokens": self.max_tokens, "num_oov_indices": self.num_oov_indices,
            "oov_token": self.oov_token, "mask_token": self.mask_token, "output_mode": self.output_mode,
            "sparse": self.sparse, "pad_to_max_tokens": self.pad_to_max_tokens, "idf_weights": idf,
            "vocabulary": vocabulary, "vocabulary_size": self.vocabulary_size(), "salt": self.salt,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        elsewhere = take_file(config)
        layer = cls(**config)
        layer._known.elsewhere = elsewhere
        return layer

    def build(self, input_shape=None):
        self.built = True

    def get_build_config(self):
        return {}

    def build_from_config(self, config):
        self.built = True

    def save_own_variables(self, store):
        if self.output_mode == "tf_idf" and self._known.idf is not None:
            store["idf_weights"] = self._known.idf

    def load_own_variables(self, store):
        if self.output_mode == "tf_idf" and "idf_weights" in store:
            self._known.idf = np.asarray(store["idf_weights"], "float32")
            self._constants.clear()

    def save_assets(self, dir_path) -> None:
        """Write the vocabulary, a token on each line, where it is not part of the configuration."""
        if self._in_config() is None and self._known.tokens:
            with open(os.path.join(dir_path, ASSET), "w", encoding="utf-8", errors="surrogateescape",
                      newline="\n") as file:
                file.write("\n".join(str(token) for token in self.get_vocabulary()))

    def load_assets(self, dir_path) -> None:
        """Read the vocabulary that ``save_assets`` wrote."""
        path = os.path.join(dir_path, ASSET)
        if self._known.given is None and os.path.exists(path):
            tokens = [self._read(line) for line in _lines(path)]
            self._take(tokens[len(self._special()):], self._known.idf)
            self._is_adapted = True


# ---- helpers ------------------------------------------------------------------------------------------
def _check_settings(layer, max_tokens, num_oov_indices, invert, output_mode, sparse, idf_weights) -> None:
    name = type(layer).__name__
    if max_tokens is not None and max_tokens <= 1:
        raise ValueError(f"{name}: max_tokens must be greater than 1, came {max_tokens}")
    if num_oov_indices < 0:
        raise ValueError(f"{name}: num_oov_indices must not be negative, came {num_oov_indices}")
    check_mode(layer, output_mode, ("int", *MODES, "tf_idf"), sparse)
    if invert and output_mode != "int":
        raise ValueError(f"{name}: invert=True needs output_mode='int', came {output_mode!r}")
    if idf_weights is not None and output_mode != "tf_idf":
        raise ValueError(f"{name}: idf_weights go with output_mode='tf_idf', came {output_mode!r}")


def _check_tokens(what: str, tokens: list, special: list, mask_token, max_tokens) -> None:
    if mask_token is not None and mask_token in tokens:
        raise ValueError(
            f"{what}: the mask token {mask_token!r} stands within the vocabulary. Leave special tokens out, "
            f"or begin with all of them: {special}"
        )
    if len(set(tokens)) != len(tokens):
        repeated = [token for token, n in Counter(tokens).items() if n > 1]
        raise ValueError(f"{what}: tokens must not be repeated, but these are: {repeated[:10]}")
    if max_tokens is not None and len(special) + len(tokens) > max_tokens:
        raise ValueError(
            f"{what}: {len(tokens)} tokens and {len(special)} special ones are more than "
            f"max_tokens={max_tokens}"
        )


def _listed(vocabulary) -> list:
    """Return a vocabulary, given as any sequence, array or tensor, as a list."""
    if isinstance(vocabulary, Tensor):
        return np.asarray(vocabulary).ravel().tolist()
    return vocabulary.ravel().tolist() if isinstance(vocabulary, np.ndarray) else list(vocabulary)


def take_file(config: dict) -> str | None:
    """Take the vocabulary out of a configuration where it is a file's name; return that name.

    A configuration may come from anywhere, so it opens no files.
    """
    if isinstance(config.get("vocabulary"), (str, os.PathLike)):
        return os.fspath(config.pop("vocabulary"))
    return None


def read_lines(path) -> list[str]:
    """Return the tokens of a vocabulary file.

    Raises
    ------
    ValueError
        Where there is no such file, or it has an empty line.
    """
    path = os.path.expanduser(os.fspath(path))
    if not os.path.exists(path):
        raise ValueError(f"the vocabulary file {path} does not exist")
    lines = _lines(path)
    if lines and not lines[-1]:
        lines.pop()  # after the last line break
    for number, line in enumerate(lines, 1):
        if not line:
            raise ValueError(f"the vocabulary file {path} has an empty line: number {number}")
    return lines


def _lines(path) -> list[str]:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
        return [line.removesuffix("\r") for line in file.read().split("\n")]


def on_device(numbers: np.ndarray) -> Tensor:
    """Return token numbers as a tensor on the current device."""
    return Tensor(backends.current().asarray(numbers, "int64"))
