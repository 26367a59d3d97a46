"""Sorting, ranking, counting and sets."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.indexing import integers, reshape, take_along_axis
from gpukeras.tensor import Tensor


def _sorted_shape(x, axis=-1, *args):
    if axis is None:
        return shapes.flatten_all(x)
    shapes.normalize_axis(axis, len(x))
    return tuple(x)


def _line_up(x, axis):
    """Return the array to work on and a valid axis: flattened where ``axis`` is ``None``."""
    if axis is None:
        return x.array.reshape(-1), 0
    return x.array, shapes.normalize_axis(axis, x.ndim)


@op(shape=_sorted_shape)
def sort(x, axis=-1):
    """Return ``x`` sorted upwards along ``axis`` (``None``: all elements as one vector); NaN comes last.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.sort(ops.convert_to_tensor([3, 1, 2])).tolist()
    [1, 2, 3]
    """
    array, axis = _line_up(x, axis)
    xp, shape = x.backend.xp, x.shape

    def vjp(dy):
        order = xp.argsort(array, axis=axis, kind="stable")
        back = xp.argsort(order, axis=axis, kind="stable")  # where each element went
        return reshape(take_along_axis(dy, Tensor(back), axis), shape)

    return xp.sort(array, axis=axis), vjp


@op(shape=_sorted_shape, dtype="int32")
def argsort(x, axis=-1):
    """Return the int32 indices that sort ``x`` along ``axis``; equal elements keep their order.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.argsort(ops.convert_to_tensor([3, 1, 2])).tolist()
    [1, 2, 0]
    """
    array, axis = _line_up(x, axis)
    return x.backend.xp.argsort(array, axis=axis, kind="stable").astype(np.int32), None


@op(shape=lambda x, kth, axis=-1: _sorted_shape(x, axis), dtype="int32")
def argpartition(x, kth, axis=-1):
    """Return int32 indices that put element ``kth`` in its sorted place, smaller ones before it."""
    array, axis = _line_up(x, axis)
    n = array.shape[axis] if array.ndim else 1
    if not -n <= kth < n:
        raise ValueError(f"argpartition: kth={kth} is out of range for an axis of size {n}")
    return x.backend.xp.argpartition(array, kth, axis=axis).astype(np.int32), None


@op(
    shape=lambda x, k, sorted=True: [shapes.last_axis(x, k)] * 2,
    dtype=lambda x, k, sorted=True: [x, "int32"],
)
def top_k(x, k, sorted=True):
    """Return the ``k`` largest values of the last axis and their int32 indices.

    Parameters
    ----------
    x : tensor
    k : int
    sorted : bool
        Whether the largest must come first; it always does here. Of equal values the first comes first.

    Returns
    -------
    (values, indices)

    Examples
    --------
    >>> from gpukeras import ops
    >>> values, indices = ops.top_k(ops.convert_to_tensor([1.0, 3.0, 3.0, 2.0]), 2)
    >>> values.tolist(), indices.tolist()
    ([3.0, 3.0], [1, 2])
    """
    shapes.last_axis(x.shape, k)
    xp, backend, shape, n = x.backend.xp, x.backend, x.shape, x.shape[-1]
    # Sorting the reversed line upwards and reading it backwards puts the first of equal values first.
    backwards = xp.argsort(x.array[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    indices = (n - 1 - backwards[..., :k]).astype(np.int32)
    key = backend.along_axis_key(shape, indices, x.ndim - 1)

    def vjp(dys):
        return None if dys[0] is None else _put_once(dys[0], key, shape)

    return (x.array[key], indices), vjp


@op(shape=lambda dy, key, shape: shape)
def _put_once(dy, key, shape):
    """Return zeros of ``shape`` with ``dy`` written at ``key``, which names no element twice."""
    from gpukeras.ops.indexing import getitem

    dx = dy.backend.xp.zeros(shape, dy.dtype)
    dx[key] = dy.array
    return dx, lambda g: getitem(g, key)


@op(shape=lambda targets, predictions, k: tuple(targets), tensors=2, dtype="bool")
def in_top_k(targets, predictions, k):
    """Tell for each sample whether its class is among the ``k`` best predictions (ties count as among).

    Parameters
    ----------
    targets : integer tensor, shape (N,)
    predictions : tensor, shape (N, C)
    k : int

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.in_top_k([2, 0], [[0.1, 0.2, 0.7], [0.1, 0.2, 0.7]], 1).tolist()
    [True, False]
    """
    integers("in_top_k", targets)
    if predictions.ndim != targets.ndim + 1 or predictions.shape[:-1] != targets.shape:
        raise ValueError(
            f"in_top_k: targets of shape {targets.shape} need predictions of that shape and an axis of "
            f"classes, came {predictions.shape}"
        )
    xp, scores, classes = predictions.backend.xp, predictions.array, predictions.shape[-1]
    inside = (targets.array >= 0) & (targets.array < classes)
    place = xp.where(inside, targets.array, 0)[..., None]
    own = scores[predictions.backend.along_axis_key(scores.shape, place, scores.ndim - 1)]
    better = xp.sum(scores > own, axis=-1)
    if dtypes.is_float(scores.dtype):
        inside &= ~xp.isnan(own[..., 0])
    return inside & (better < k), None


# ---- places in an order ----------------------------------------------------------------------------
@op(shape=lambda sequence, values, side="left": tuple(values), tensors=2, dtype="int32")
def searchsorted(sorted_sequence, values, side="left"):
    """Return the int32 places at which ``values`` would keep a sorted vector sorted.

    Parameters
    ----------
    sorted_sequence : tensor, shape (M,)
    values : tensor, any shape
    side : {"left", "right"}
        Before or behind equal elements.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.searchsorted([1, 3, 5], [3, 4]).tolist()
    [1, 2]
    """
    if sorted_sequence.ndim != 1:
        raise ValueError(f"searchsorted needs a vector to search in, came shape {sorted_sequence.shape}")
    if side not in ("left", "right"):
        raise ValueError(f"side must be 'left' or 'right', came {side!r}")
    kind = dtypes.result_type(sorted_sequence.dtype, values.dtype)
    line, wanted = (t.array.astype(kind, copy=False) for t in (sorted_sequence, values))
    found = values.backend.xp.searchsorted(line, wanted, side=side)
    return values.backend.xp.asarray(found).astype(np.int32), None


@op(shape=lambda x, bins: tuple(x), tensors=2, dtype="int32")
def digitize(x, bins):
    """Return the int32 number of the bin of each element: ``i`` where ``bins[i-1] <= x < bins[i]``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.digitize([0.5, 2.0, 9.0], [1.0, 2.0, 3.0]).tolist()
    [0, 2, 3]
    """
    if bins.ndim != 1:
        raise ValueError(f"digitize needs a vector of bins, came shape {bins.shape}")
    kind = dtypes.result_type(x.dtype, bins.dtype)
    found = x.backend.xp.digitize(x.array.astype(kind, copy=False), bins.array.astype(kind, copy=False))
    return x.backend.xp.asarray(found).astype(np.int32), None


# ---- counting --------------------------------------------------------------------------------------
def _bincount_shape(x, weights=None, minlength=0, sparse=False):
    if len(x) not in (1, 2):
        raise ValueError(f"bincount needs a tensor of rank 1 or 2, came shape {tuple(x)}")
    return (*x[:-1], None)


@op(shape=_bincount_shape, tensors=2, dtype=lambda x, weights=None, *args, **kwargs: weights or "int32")
def bincount(x, weights=None, minlength=0, sparse=False):
    """Return how often each of 0, 1, 2, ... occurs, or the sum of their weights.

    Parameters
    ----------
    x : tensor of non-negative integers, shape (M,) or (N, M)
        Two axes: each row is counted by itself.
    weights : tensor of the shape of ``x``, optional
    minlength : int
        Least size of the result; the largest element decides otherwise, which waits for the device.
    sparse : bool
        Must be false.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.bincount([1, 1, 3]).tolist()
    [0, 2, 0, 1]
    """
    if sparse:
        raise ValueError("bincount: sparse=True is not supported; use sparse=False")
    integers("bincount", x)
    _bincount_shape(x.shape)
    if weights is not None and weights.shape != x.shape:
        raise ValueError(f"bincount: weights of shape {weights.shape} for elements of shape {x.shape}")
    backend, xp, count = x.backend, x.backend.xp, int(minlength)
    if x.size:
        lowest, highest = (int(backend.to_numpy(v)) for v in (x.array.min(), x.array.max()))
        if lowest < 0:
            raise ValueError(f"bincount counts 0, 1, 2, ...; came {lowest}")
        count = max(count, highest + 1)
    lines = 1 if x.ndim == 1 else x.shape[0]
    # The rows of a table lie one behind the other.
    places = (x.array.reshape(lines, -1) + xp.arange(lines)[:, None] * count).reshape(-1)
    kind = np.dtype(np.int32) if weights is None else weights.dtype
    table = xp.zeros(lines * count, kind)
    values = xp.ones(x.size, kind) if weights is None else weights.array.reshape(-1)
    backend.scatter_add(table, places, values)

    def vjp(dy):
        from gpukeras.ops.indexing import take

        return None, reshape(take(reshape(dy, (-1,)), Tensor(places)), x.shape)

    return table.reshape((*x.shape[:-1], count)), vjp


def _histogram_shape(x, bins=10, range=None):
    if len(x) != 1:
        raise ValueError(f"histogram needs a vector, came shape {tuple(x)}; use ops.ravel")
    return [(bins,), (bins + 1,)]


@op(shape=_histogram_shape, dtype=lambda x, *args, **kwargs: [dtypes.float_type(x).name] * 2)
def histogram(x, bins=10, range=None):
    """Return how many elements fall into each of equal bins, and the edges of the bins.

    Parameters
    ----------
    x : tensor, shape (M,)
    bins : int
    range : (low, high), optional
        The least and largest element unless given; elements outside are not counted.

    Returns
    -------
    (counts of shape (bins,), edges of shape (bins + 1,)), both floating.

    Examples
    --------
    >>> from gpukeras import ops
    >>> counts, edges = ops.histogram(ops.convert_to_tensor([1.0, 2.0, 2.0, 5.0]), bins=2)
    >>> counts.tolist(), edges.tolist()
    ([3.0, 1.0], [1.0, 3.0, 5.0])
    """
    if not isinstance(bins, int) or bins < 1:
        raise TypeError(f"histogram: bins must be a positive int, came {bins!r}")
    _histogram_shape(x.shape, bins)
    if range is not None and (len(range) != 2 or not range[0] <= range[1]):
        raise ValueError(f"histogram: range must be (low, high) with low <= high, came {range!r}")
    kind = dtypes.float_type(x.dtype)
    counts, edges = x.backend.xp.histogram(x.array.astype(kind, copy=False), bins=bins, range=range)
    return (counts.astype(kind), edges.astype(kind)), None


# ---- sets ------------------------------------------------------------------------------------------
@op(shape=lambda x1, x2, *args, **kwargs: tuple(x1), tensors=2, dtype="bool")
def isin(x1, x2, assume_unique=False, invert=False):
    """Tell for each element of ``x1`` whether it occurs in ``x2``.

    Parameters
    ----------
    x1, x2 : tensor
    assume_unique : bool
        A promise that neither holds an element twice; may be quicker.
    invert : bool
        Tell whether it does not occur instead.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.isin([1, 2, 3], [2, 5]).tolist()
    [False, True, False]
    """
    kind = dtypes.result_type(x1.dtype, x2.dtype)
    a, b = (t.array.astype(kind, copy=False) for t in (x1, x2))
    found = x1.backend.xp.isin(a, b, assume_unique=assume_unique, invert=invert)
    return x1.backend.xp.asarray(found), None


def unique(
    x, sorted=True, return_index=False, return_inverse=False, return_counts=False, axis=None, size=None,
    fill_value=None,
):
    """Return the different elements of ``x`` in ascending order.

    Parameters
    ----------
    x : tensor
    sorted : bool
        Whether the order must be ascending; it always is here.
    return_index : bool
        Also return where each element occurs first.
    return_inverse : bool
        Also return the place of every element of ``x`` in the result.
    return_counts : bool
        Also return how often each occurs.
    axis : int, optional
        Compare whole slices along this axis; without it single elements.
    size : int, optional
        Cut or fill the result to this length.
    fill_value : number, optional
        What to fill with; 0 unless given.

    Returns
    -------
    tensor, or a tuple (values, index, inverse, counts) of those asked for; the last three are int32.

    Notes
    -----
    The number of results depends on values, so the device is waited for. No gradient.

    Examples
    --------
    >>> from gpukeras import ops
    >>> values, counts = ops.unique(ops.convert_to_tensor([3, 1, 1]), return_counts=True)
    >>> values.tolist(), counts.tolist()
    ([1, 3], [2, 1])
    """
    found = _unique(x, axis=axis, size=size, fill_value=0 if fill_value is None else fill_value)
    wanted = (True, return_index, return_inverse, return_counts)
    chosen = tuple(t for t, asked in zip(found, wanted) if asked)
    return chosen[0] if len(chosen) == 1 else chosen


def _unique_shape(x, axis, size, fill_value):
    if axis is None:
        return [(size,), (size,), tuple(x), (size,)]
    axis = shapes.normalize_axis(axis, len(x))
    return [(*x[:axis], size, *x[axis + 1 :]), (size,), (x[axis],), (size,)]


def _unique_dtype(x, axis, size, fill_value):
    return [x, "int32", "int32", "int32"]


@op(shape=_unique_shape, dtype=_unique_dtype)
def _unique(x, axis, size, fill_value):
    xp = x.backend.xp
    axis = None if axis is None else shapes.normalize_axis(axis, x.ndim)
    values, index, inverse, counts = xp.unique(
        x.array, return_index=True, return_inverse=True, return_counts=True, axis=axis
    )
    inverse = inverse.reshape(x.shape if axis is None else (x.shape[axis],))
    if size is not None:
        values = _fit(xp, values, size, axis or 0, fill_value)
        first = index[0] if index.shape[0] else 0
        index, counts = _fit(xp, index, size, 0, first), _fit(xp, counts, size, 0, 0)
    return (values, *(i.astype(np.int32) for i in (index, inverse, counts))), None


def _fit(xp, array, size, axis, fill):
    """Cut or fill ``array`` to ``size`` along ``axis``."""
    key = (slice(None),) * axis + (slice(0, size),)
    array = array[key]
    missing = size - array.shape[axis]
    if not missing:
        return array
    more = xp.zeros((*array.shape[:axis], missing, *array.shape[axis + 1 :]), array.dtype) + xp.asarray(fill)
    return xp.concatenate([array, more.astype(array.dtype)], axis=axis)
