"""Categories into a fixed number of bins, without a vocabulary."""

from __future__ import annotations

import numpy as np

from gpukeras import backends, dtypes
from gpukeras.layers.layer import Layer
from gpukeras.layers.preprocessing.category_encoding import categories
from gpukeras.layers.preprocessing.encoding import MODES, check_mode, encode, encoded_shape
from gpukeras.layers.preprocessing.hashes import fingerprint64, join_fingerprints, siphash24
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor
from gpukeras.text import StringTensor, is_text, string_tensor

_CROSS_SEED = 0xDECAFCAFFE  # with which joining begins


class _HashLayer(Layer):
    """What hashing one input and crossing several have in common."""

    def __init__(self, num_bins, output_mode, sparse, modes, dtype, name, kwargs):
        if dtype is None:
            dtype = "int64" if output_mode == "int" else None
        super().__init__(dtype=dtype, name=name, **kwargs)
        if output_mode == "int" and self.compute_dtype not in ("int32", "int64"):
            raise ValueError(
                f"{type(self).__name__}: with output_mode='int' the dtype must be int32 or int64, came "
                f"{self.compute_dtype}"
            )
        if num_bins is None or num_bins < 1:
            raise ValueError(f"{type(self).__name__}: num_bins must be at least 1, came {num_bins}")
        check_mode(self, output_mode, ("int", *modes), sparse)
        self.num_bins, self.output_mode, self.sparse = num_bins, output_mode, sparse

    def _encoded(self, bins: np.ndarray) -> Tensor:
        """Return bin numbers, computed on the host, as the layer's output on the current device."""
        if self.output_mode == "int":
            return Tensor(backends.current().asarray(bins, self.compute_dtype))
        ids = Tensor(backends.current().asarray(bins, "int64"))
        return encode(ids, self.output_mode, self.num_bins, self.compute_dtype, sparse=self.sparse)


class Hashing(_HashLayer):
    """Return a bin for each string or integer: its hash, modulo the number of bins.

    The bins are those of TensorFlow, so models move between libraries.

    Parameters
    ----------
    num_bins : int
    mask_value : str or int, optional
        An input that gets bin 0, in which nothing else lies then.
    salt : int or (int, int), optional
        A key: hashes under another key have nothing to do with each other.
    output_mode : {"int", "one_hot", "multi_hot", "count"}
        Bin numbers; a vector for each; or one for all along the last axis, with ones or with counts.
    sparse : bool
        Vectors without their zeros (on the CPU).

    Notes
    -----
    Integers are hashed as their decimal digits, floats as the integers they are cut to. Without salt the hash
    is FarmHash's fingerprint, with it SipHash-2-4 [1]_. Hashes are computed on the host.

    References
    ----------
    .. [1] Aumasson & Bernstein, SipHash: a fast short-input PRF, 2012, https://131002.net/siphash/.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Hashing(3)([["A"], ["B"], ["C"], ["D"], ["E"]]).tolist()
    [[1], [0], [1], [1], [2]]
    """

    takes_text = True

    def __init__(self, num_bins, mask_value=None, salt=None, output_mode="int", sparse=False, dtype=None,
                 name=None, **kwargs):
        super().__init__(num_bins, output_mode, sparse, MODES, dtype, name, kwargs)
        self.mask_value = mask_value
        self.salt = standard_salt(salt, "Hashing")

    def call(self, inputs):
        key = None if self.salt is None else (self.salt[0], self.salt[1])
        bins = self.num_bins
        masked = None
        if self.mask_value is not None:
            masked = self._masked(inputs)
            bins = max(bins - 1, 1)
        shape = tuple(inputs.shape)
        found = bins_of(byte_strings(inputs, self), bins, key).reshape(shape)
        if masked is not None:
            found = np.where(masked, 0, found + (1 if self.num_bins > 1 else 0))
        return self._encoded(found)

    def _masked(self, inputs) -> np.ndarray:
        """Tell which inputs equal ``mask_value``."""
        if isinstance(inputs, StringTensor):
            mask = string_tensor(self.mask_value, "mask_value").encoded()[0]
            return np.array([b == mask for b in inputs.encoded()], bool).reshape(inputs.shape)
        if is_text(self.mask_value):
            raise TypeError(
                f"layer {self.name!r} (Hashing): mask_value={self.mask_value!r} is text, but the inputs are "
                f"{inputs.dtype}"
            )
        return inputs.backend.to_numpy(inputs.array) == self.mask_value

    def compute_output_shape(self, input_shape):
        return encoded_shape(input_shape, self.output_mode, self.num_bins)

    def compute_output_spec(self, inputs):
        return KerasTensor(self.compute_output_shape(inputs.shape), self.compute_dtype, sparse=self.sparse)

    def get_config(self):
        return super().get_config() | {
            "num_bins": self.num_bins, "salt": self.salt, "mask_value": self.mask_value,
            "output_mode": self.output_mode, "sparse": self.sparse}


class HashedCrossing(_HashLayer):
    """Return a bin for each combination of two or more categories.

    Parameters
    ----------
    num_bins : int
    output_mode : {"int", "one_hot"}
        Bin numbers, or a vector for each.
    sparse : bool
        Vectors without their zeros (on the CPU).

    Notes
    -----
    Inputs are strings or integers of one shape: (), (N,) or (N, 1). The bins are those of TensorFlow. Hashes
    are computed on the host.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.HashedCrossing(5)((["A", "B", "A", "B", "A"], [101, 101, 101, 102, 102])).tolist()
    [1, 4, 1, 1, 3]
    """

    def __init__(self, num_bins, output_mode="int", sparse=False, name=None, dtype=None, **kwargs):
        super().__init__(num_bins, output_mode, sparse, ("one_hot",), dtype, name, kwargs)

    def __call__(self, inputs, *args, **kwargs):
        if isinstance(inputs, (list, tuple)):
            inputs = [x if isinstance(x, (KerasTensor, Tensor)) else categories(x, self) for x in inputs]
        return super().__call__(inputs, *args, **kwargs)

    def call(self, inputs):
        self._check(inputs)
        found = np.array([_CROSS_SEED], np.uint64)
        for x in inputs:
            if isinstance(x, StringTensor):
                parts = fingerprint64(x.encoded())
            else:
                parts = x.backend.to_numpy(x.array).ravel().astype(np.int64).view(np.uint64)
            found = join_fingerprints(found, parts)
        bins = (found % np.uint64(self.num_bins)).astype(np.int64)
        return self._encoded(bins.reshape(inputs[0].shape))

    def _check(self, inputs):  # instead of a specification, which several inputs share
        what = f"layer {self.name!r} (HashedCrossing)"
        if not isinstance(inputs, (list, tuple)) or len(inputs) < 2:
            raise ValueError(f"{what} takes a list of two or more inputs")
        shapes = [tuple(x.shape) for x in inputs]
        if any(s != shapes[0] for s in shapes):
            raise ValueError(f"{what}: all inputs need the same shape, came {shapes}")
        if len(shapes[0]) > 2 or len(shapes[0]) == 2 and shapes[0][1] != 1:
            raise ValueError(f"{what} takes inputs of shape (), (N,) or (N, 1), came {shapes[0]}")
        for x in inputs:
            if x.dtype != "string" and np.dtype(x.dtype).kind not in "iu":
                raise ValueError(f"{what} takes strings and integers, came {x.dtype}")

    def compute_output_shape(self, input_shape):
        return encoded_shape(input_shape[0], self.output_mode, self.num_bins)

    def compute_output_spec(self, inputs):
        shape = self.compute_output_shape([tuple(x.shape) for x in inputs])
        return KerasTensor(shape, self.compute_dtype, sparse=self.sparse)

    def get_config(self):
        return {
            "num_bins": self.num_bins, "output_mode": self.output_mode, "sparse": self.sparse,
            "name": self.name, "dtype": self.dtype_policy.name}


# ---- bins ------------------------------------------------------------------------------------------------
def standard_salt(salt, what: str) -> list | None:
    """Return a salt as two integers.

    Raises
    ------
    ValueError
        Where it is none.
    """
    if salt is None:
        return None
    if isinstance(salt, (int, np.integer)) and not isinstance(salt, bool):
        return [int(salt), int(salt)]
    if isinstance(salt, (list, tuple)) and len(salt) == 2 and all(
            isinstance(s, (int, np.integer)) for s in salt):
        return [int(s) for s in salt]
    raise ValueError(f"{what}: salt must be an integer or two of them, came {salt!r}")


def byte_strings(inputs, layer) -> list:
    """Return inputs in one list of what is hashed: strings, or integers as their digits."""
    if isinstance(inputs, StringTensor):
        return inputs.encoded(getattr(layer, "encoding", "utf-8"))
    values = inputs.backend.to_numpy(inputs.array).ravel()
    if values.dtype.kind == "b":
        return [b"true" if v else b"false" for v in values.tolist()]
    if dtypes.is_float(values.dtype):
        values = values.astype(np.int64)
    return values.astype("S21").tolist()


def bins_of(strings: list, num_bins: int, key=None) -> np.ndarray:
    """Return hashes modulo the number of bins, int64."""
    if not strings:
        return np.zeros(0, np.int64)
    hashes = fingerprint64(strings) if key is None else siphash24(strings, key)
    return (hashes % np.uint64(num_bins)).astype(np.int64)
