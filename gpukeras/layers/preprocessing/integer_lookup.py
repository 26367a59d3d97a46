"""Integers into their places in a vocabulary and back."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes, ops
from gpukeras.layers.preprocessing.hashing import bins_of
from gpukeras.layers.preprocessing.lookup import DROPPED, IndexLookup, on_device
from gpukeras.tensor import Tensor
from gpukeras.text import StringTensor

_METHODS = ("floormod", "farmhash")


class IntegerLookup(IndexLookup):
    """Return the number of each integer in a vocabulary, or vectors made of these numbers.

    Parameters
    ----------
    max_tokens : int, optional
        Most tokens that ``adapt`` keeps, special ones included.
    num_oov_indices : int
        Numbers for integers out of the vocabulary; with 0 they are an error.
    mask_token : int, optional
        An integer that means nothing: number 0 with ``output_mode="int"``, no trace with the others.
    oov_token : int
        What stands for integers out of the vocabulary in ``get_vocabulary`` and with ``invert``.
    vocabulary : sequence of int, or path of a file with one on each line, optional
        Instead of ``adapt``.
    vocabulary_dtype : str
        Only ``"int64"``.
    idf_weights, invert, output_mode, pad_to_max_tokens, sparse
        As for ``StringLookup``.
    oov_method : {"floormod", "farmhash"}
        What chooses among several ``num_oov_indices``: the remainder of the integer, or a hash of its digits.
    salt : int or (int, int), optional
        Key of the hash, with ``oov_method="farmhash"``.

    Notes
    -----
    All is computed on the device, except for hashes, and for the check that ``num_oov_indices=0`` needs.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.IntegerLookup(vocabulary=[12, 36])([[36, 99]]).tolist()
    [[2, 0]]
    """

    _token_dtype = "int64"

    def __init__(self, max_tokens=None, num_oov_indices=1, mask_token=None, oov_token=-1, vocabulary=None,
                 vocabulary_dtype="int64", idf_weights=None, invert=False, output_mode="int", sparse=False,
                 pad_to_max_tokens=False, oov_method="floormod", salt=None, name=None, **kwargs):
        # Names of early releases.
        max_tokens = kwargs.pop("max_values", None) if max_tokens is None else max_tokens
        mask_token = kwargs.pop("mask_value", None) if mask_token is None else mask_token
        oov_token = kwargs.pop("oov_value", oov_token)
        if vocabulary_dtype != "int64":
            raise ValueError(f"IntegerLookup: vocabulary_dtype must be 'int64', came {vocabulary_dtype!r}")
        if oov_method not in _METHODS:
            raise ValueError(f"IntegerLookup: oov_method must be one of {_METHODS}, came {oov_method!r}")
        if salt is not None and oov_method != "farmhash":
            raise ValueError(f"IntegerLookup: salt goes with oov_method='farmhash', came {oov_method!r}")
        self.vocabulary_dtype, self.oov_method = vocabulary_dtype, oov_method
        super().__init__(max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert,
                         output_mode, sparse, pad_to_max_tokens, salt, name, kwargs)

    def _read(self, token):
        return int(token)

    def _tokens_of(self, data):
        array = np.asarray(data)
        if array.dtype.kind not in "iu":
            array = array.astype(np.int64)
        return array.ravel().tolist(), array.shape

    # ---- tokens to numbers ------------------------------------------------------------------------------
    def _sorted(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tokens in rising order and their numbers."""
        first = len(self._special())
        tokens, numbers = list(self._known.tokens), list(range(first, first + len(self._known.tokens)))
        if self.mask_token is not None:
            tokens.append(self.mask_token)
            numbers.append(0 if self._masks else DROPPED)
        order = np.argsort(np.array(tokens, np.int64), kind="stable")
        return (self._constants.get("tokens", np.array(tokens, np.int64)[order], like, "int64"),
                self._constants.get("numbers", np.array(numbers, np.int64)[order], like, "int64"))

    def _find(self, inputs):
        if isinstance(inputs, StringTensor):
            raise TypeError(
                f"layer {self.name!r} (IntegerLookup) takes integers, came text; use StringLookup")
        x = inputs if inputs.dtype == "int64" else ops.cast(inputs, "int64")
        tokens, numbers = self._sorted(x)
        places = ops.minimum(ops.searchsorted(tokens, x), len(self._known.tokens) - (self.mask_token is None))
        found = ops.take(numbers, places)
        known = ops.equal(ops.take(tokens, places), x)
        return ops.where(known, found, self._unknown(x, known))

    def _unknown(self, x, known):
        """Return the numbers of integers that are not in the vocabulary."""
        first = 1 if self._masks else 0
        if self.num_oov_indices == 1:
            return ops.full_like(x, first)
        if not self.num_oov_indices:
            missing = ~known.numpy()
            if missing.any():
                raise ValueError(
                    f"layer {self.name!r} (IntegerLookup): {x.numpy()[missing][:5].tolist()} are not in the "
                    "vocabulary, and num_oov_indices=0 has no number for them; use num_oov_indices=1"
                )
            return ops.zeros_like(x)
        if self.oov_method == "floormod":
            return ops.mod(x, self.num_oov_indices) + first
        key = None if self.salt is None else (self.salt[0], self.salt[1])
        digits = x.backend.to_numpy(x.array).ravel().astype("S21").tolist()
        return on_device(first + bins_of(digits, self.num_oov_indices, key).reshape(x.shape))

    # ---- numbers to tokens --------------------------------------------------------------------------------
    def _token_tensor(self, numbers):
        if isinstance(numbers, StringTensor) or dtypes.is_float(numbers.dtype):
            numbers = ops.cast(numbers, "int64")
        tokens = self._constants.get(
            "inverse", np.array([*self.get_vocabulary(), self.oov_token], np.int64), numbers, "int64")
        last = tokens.shape[0] - 1
        inside = ops.logical_and(ops.greater_equal(numbers, 0), ops.less(numbers, last))
        return ops.take(tokens, ops.where(inside, numbers, ops.full_like(numbers, last)))

    def get_config(self):
        return super().get_config() | {
            "vocabulary_dtype": self.vocabulary_dtype, "oov_method": self.oov_method}
