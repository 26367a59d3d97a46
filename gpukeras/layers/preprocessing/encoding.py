"""Category numbers as vectors: what several layers do with the numbers that they find."""

from __future__ import annotations

import numpy as np

from gpukeras import backends, dtypes, ops
from gpukeras.backends import shapes
from gpukeras.backends.sparse import CompressedRows
from gpukeras.ops.categories import bag_of_ids
from gpukeras.sparse import SparseTensor
from gpukeras.tensor import Tensor

MODES = ("one_hot", "multi_hot", "count")


def encode(ids: Tensor, mode: str, depth: int, dtype, weights=None, sparse: bool = False) -> Tensor:
    """Return category numbers as vectors.

    Parameters
    ----------
    ids : integer tensor
        Numbers outside [0, ``depth``) leave no trace.
    mode : {"one_hot", "multi_hot", "count"}
        A vector for each number (a last axis of one element is dropped first); or one for all numbers along
        the last axis, with ones where a category occurs, or how often it does.
    depth : int
        Number of categories.
    dtype : str
    weights : tensor, optional
        With ``"count"``: what each number counts.
    sparse : bool
        Return a matrix without its zeros, where the device has such: on the CPU, of floats.
    """
    if mode == "one_hot":
        if ids.ndim > 1 and ids.shape[-1] == 1:
            ids = ops.squeeze(ids, -1)
        found = None if not sparse else _sparse(ops.expand_dims(ids, -1), None, depth, dtype, True)
        return ops.one_hot(ids, depth, dtype=dtype) if found is None else found
    if not ids.ndim:
        ids = ops.expand_dims(ids, 0)
        weights = weights if weights is None or weights.ndim else ops.expand_dims(weights, 0)
    found = _sparse(ids, weights, depth, dtype, mode == "multi_hot") if sparse else None
    return bag_of_ids(ids, weights, depth, dtype, binary=mode == "multi_hot") if found is None else found


def encoded_shape(shape, mode: str, depth: int | None) -> tuple:
    """Return the shape of what ``encode`` returns for numbers of a shape."""
    shape = tuple(shape)
    if mode == "int":
        return shape
    if mode == "one_hot":
        return (*(shape[:-1] if len(shape) > 1 and shape[-1] == 1 else shape), depth)
    return (*shape[:-1], depth)


def _sparse(ids: Tensor, weights, depth: int, dtype, binary: bool) -> SparseTensor | None:
    """Return the counts as a sparse matrix, where there is such a thing."""
    if backends.current() is not backends.CPU or ids.ndim != 2 or not dtypes.is_float(np.dtype(dtype)):
        return None
    a = ids.array
    values = np.ones(a.shape, dtype) if weights is None else weights.array.astype(dtype, copy=False)
    inside = (a >= 0) & (a < depth)
    rows = np.broadcast_to(np.arange(a.shape[0])[:, None], a.shape)[inside]
    places, position = np.unique(rows * depth + a[inside], return_inverse=True)
    counts = np.bincount(position.ravel(), values[inside], len(places)).astype(dtype)
    lengths = np.bincount(places // depth, minlength=a.shape[0])
    columns = (places % depth).astype(np.uint16 if depth <= 1 << 16 else np.int32)
    return SparseTensor(CompressedRows(
        np.cumsum(lengths) - lengths, lengths, columns, None if binary else counts, depth, dtype))


def check_mode(layer, output_mode, allowed, sparse: bool = False) -> None:
    """Raise ``ValueError`` where a layer does not know an output mode, or it cannot be sparse."""
    name = type(layer).__name__
    if output_mode not in allowed:
        raise ValueError(f"{name}: output_mode must be one of {tuple(allowed)}, came {output_mode!r}")
    if sparse and output_mode == "int":
        raise ValueError(f"{name}: sparse=True needs an output_mode of vectors, came 'int'")


def known_size(shape) -> int | None:
    """Return the number of elements of a shape, ``None`` where it is not known."""
    return shapes.known_product(tuple(shape))
