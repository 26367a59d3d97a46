"""Writing at positions: scatter, updates of slices, sums over segments."""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.indexing import _host_sizes, block_key, getitem, integers, keeps_first, take
from gpukeras.tensor import Tensor

REDUCTIONS = {None: "set", "add": "add", "max": "max", "min": "min", "mul": "mul"}


def _rows(indices, sizes, backend):
    """Return the row numbers (M,) of index vectors over the leading axes ``sizes``."""
    vectors = indices.array.reshape(-1, indices.shape[-1])
    return backend.linear_rows(vectors, sizes)


def _row_mask(backend, rows, wanted, like):
    """Return 1 where ``wanted`` (M,) holds, as a tensor that multiplies ``like`` (M, ...)."""
    return Tensor(wanted.reshape((-1,) + (1,) * (like.ndim - 1)).astype(like.dtype))


# ---- index vectors ---------------------------------------------------------------------------------
@op(shape=shapes.gather_nd, tensors=2, dtype=keeps_first)
def gather_nd(x, indices):
    """Return ``x`` read at index vectors: the last axis of ``indices`` counts over leading axes of ``x``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.gather_nd(ops.reshape(ops.arange(6), (2, 3)), [[1, 0], [0, 2]]).tolist()
    [3, 2]
    """
    integers("gather_nd", indices)
    shape, depth = shapes.gather_nd(x.shape, indices.shape), indices.shape[-1]
    backend, dims = x.backend, x.shape
    rows = _rows(indices, dims[:depth], backend)
    flat = x.array.reshape(-1, *dims[depth:])
    y = backend.take(flat, backend.xp.where(rows < 0, flat.shape[0], rows), 0).reshape(shape)
    return y, lambda dy: (scatter(indices, dy, dims), None)


@op(shape=shapes.scatter, tensors=2, dtype=lambda indices, values, shape: values)
def scatter_values(indices, values, shape):
    """Do the work of ``scatter``."""
    integers("scatter", indices)
    shapes.scatter(indices.shape, values.shape, shape)
    backend, depth = values.backend, indices.shape[-1]
    rest = shape[depth:]
    target = backend.xp.zeros((shapes.known_product(shape[:depth]), *rest), values.dtype)
    rows = _rows(indices, shape[:depth], backend)
    y = backend.scatter_rows(target, rows, values.array.reshape(-1, *rest), "add")
    return y.reshape(shape), lambda dy: (None, gather_nd(dy, indices))


def scatter(indices, values, shape):
    """Return zeros of ``shape`` with ``values`` added at index vectors.

    Parameters
    ----------
    indices : integer tensor, shape (..., K)
        Each vector names a place in the first K axes; negative numbers count from the end. Out of range: an
        ``IndexError`` on the CPU, left out on a GPU.
    values : tensor, shape ``indices.shape[:-1] + shape[K:]``
    shape : sequence of int

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.scatter([[0], [2], [0]], [1.0, 2.0, 3.0], (3,)).tolist()
    [4.0, 0.0, 2.0]
    """
    return scatter_values(indices, values, shape=_host_sizes(shape))


@op(shape=lambda x, indices, updates, reduction=None: shapes.scatter(indices, updates, x), tensors=3,
    dtype=keeps_first)
def scatter_update(inputs, indices, updates, reduction=None):
    """Return ``inputs`` with ``updates`` written at index vectors.

    Parameters
    ----------
    inputs : tensor
    indices : integer tensor, shape (..., K)
        As in ``scatter``.
    updates : tensor, shape ``indices.shape[:-1] + inputs.shape[K:]``
    reduction : {None, "add", "max", "min", "mul"}
        How an update meets what is there and other updates; ``None``: the last one replaces it.

    Notes
    -----
    Equal candidates of ``"max"`` and ``"min"`` share the gradient evenly.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.scatter_update(ops.zeros((3,)), [[1], [1]], [5.0, 7.0], reduction="add").tolist()
    [0.0, 12.0, 0.0]
    """
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be None, 'add', 'max', 'min' or 'mul', came {reduction!r}")
    integers("scatter_update", indices)
    shape, depth = shapes.scatter(indices.shape, updates.shape, inputs.shape), indices.shape[-1]
    backend, rest = inputs.backend, shape[depth:]
    rows = _rows(indices, shape[:depth], backend)
    target = inputs.array.reshape(-1, *rest)
    values = updates.array.reshape(-1, *rest).astype(inputs.dtype, copy=False)
    y = backend.scatter_rows(target, rows, values, REDUCTIONS[reduction])

    def vjp(dy):
        from gpukeras import ops

        flat = ops.reshape(dy, target.shape)
        base = ops.reshape(inputs, target.shape)
        new = ops.reshape(ops.cast(updates, dy.dtype), values.shape)
        dx, dv = _meeting_gradient(flat, base, new, y, rows, REDUCTIONS[reduction])
        if not dtypes.is_float(updates.dtype):
            return ops.reshape(dx, shape), None, None
        return ops.reshape(dx, shape), None, ops.cast(ops.reshape(dv, updates.shape), updates.dtype)

    return y.reshape(shape), vjp


def _meeting_gradient(dy, base, values, y, rows, reduction):
    """Return the gradients of ``base`` (R, ...) and ``values`` (M, ...) of ``scatter_rows``."""
    backend = dy.backend
    xp, count = backend.xp, dy.shape[0]
    if reduction == "add":
        return dy, take_rows(dy, rows)
    if reduction == "set":
        untouched = backend.scatter_rows(xp.ones(count, bool), rows, xp.zeros(rows.shape[0], bool), "set")
        last = _row_mask(backend, rows, backend.winners(rows), values)
        return dy * _row_mask(backend, rows, untouched, dy), take_rows(dy, rows) * last
    if reduction == "mul":
        factor = segment_prod(values, Tensor(rows), count)
        return dy * factor, take_rows(dy * base, rows) * _others(values, rows, factor)
    return _share_extreme(dy, values, y, rows, base.array)


def _others(values, rows, product):
    """Return the product of all other values of the same row, for every value."""
    if autograd.recording():  # as an expression, so that it can be differentiated again; values must not be 0
        return take_rows(product, rows) / values
    return Tensor(values.backend.product_of_others(values.array, rows))


def _share_extreme(dy, values, y, rows, base=None):
    """Split ``dy`` evenly among the candidates that reached the extreme ``y`` of their row."""
    backend = dy.backend
    xp, count = backend.xp, dy.shape[0]
    safe = xp.clip(rows, 0, max(0, count - 1))
    inside = ((rows >= 0) & (rows < count)).reshape((-1,) + (1,) * (values.ndim - 1))
    won = ((y[safe] == values.array) & inside).astype(dy.dtype)
    first = xp.zeros(y.shape, dy.dtype) if base is None else (base == y).astype(dy.dtype)
    shares = xp.maximum(backend.scatter_rows(first, rows, won, "add"), dy.dtype.type(1))
    each = dy / Tensor(shares)
    return each * Tensor(first), take_rows(each, rows) * Tensor(won)


# ---- row numbers -----------------------------------------------------------------------------------
def take_rows(x, rows):
    """Return ``x[rows]`` for an array of row numbers; those outside give zeros."""
    xp, count = x.backend.xp, x.shape[0]
    inside = (rows >= 0) & (rows < count)
    if not count:
        return Tensor(xp.zeros((rows.shape[0], *x.shape[1:]), x.dtype))
    found = take(x, Tensor(xp.where(inside, rows, 0)), axis=0)
    return found * _row_mask(x.backend, rows, inside, found)


def _start(dtype, reduction):
    """Return what a segment without values holds."""
    if reduction in ("add", "mul"):
        return dtype.type(reduction == "mul")
    if dtypes.is_float(dtype):
        return dtype.type(-np.inf if reduction == "max" else np.inf)
    if dtype.kind == "b":
        return dtype.type(reduction == "min")
    info = np.iinfo(dtype)
    return dtype.type(info.min if reduction == "max" else info.max)


def _segment(name, reduction, data, segment_ids, num_segments):
    """Return data rows combined by segment, and the vjp for ``data`` and its ids."""
    integers(name, segment_ids)
    shapes.segment(data.shape, segment_ids.shape, num_segments)
    if num_segments is None:  # the shape depends on values: this waits for the device
        ids = data.backend.to_numpy(segment_ids.array)
        num_segments = int(ids.max()) + 1 if ids.size else 0
    backend, rows = data.backend, segment_ids.array
    start = backend.xp.full((num_segments, *data.shape[1:]), _start(data.dtype, reduction), data.dtype)
    y = backend.scatter_rows(start, rows, data.array, reduction)

    def vjp(dy):
        if reduction == "add":
            return take_rows(dy, rows), None
        if reduction == "mul":
            product = segment_prod(data, segment_ids, num_segments) if autograd.recording() else None
            return take_rows(dy, rows) * _others(data, rows, product), None
        return _share_extreme(dy, data, y, rows)[1], None

    return y, vjp


@op(shape=shapes.segment, tensors=2, dtype=keeps_first)
def segment_sum(data, segment_ids, num_segments=None, sorted=False):
    """Return the sums of the rows of ``data`` that have the same segment id.

    Parameters
    ----------
    data : tensor, shape (M, ...)
    segment_ids : integer tensor, shape (M,)
        Ids outside [0, ``num_segments``) are left out.
    num_segments : int, optional
        Rows of the result; without it the largest id decides, which waits for the device.
    sorted : bool
        A promise that ids are in order; not needed here.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.segment_sum(ops.convert_to_tensor([1.0, 2.0, 3.0]), [0, 2, 2], num_segments=3).tolist()
    [1.0, 0.0, 5.0]
    """
    return _segment("segment_sum", "add", data, segment_ids, num_segments)


@op(shape=shapes.segment, tensors=2, dtype=keeps_first)
def segment_max(data, segment_ids, num_segments=None, sorted=False):
    """Return the largest of the rows of ``data`` of each segment; an empty one holds the lowest value.

    Parameters as in ``segment_sum``. Equal rows share the gradient evenly.
    """
    return _segment("segment_max", "max", data, segment_ids, num_segments)


@op(shape=shapes.segment, tensors=2, dtype=keeps_first)
def segment_min(data, segment_ids, num_segments=None, sorted=False):
    """Return the smallest of the rows of ``data`` of each segment; an empty one holds the highest value.

    Parameters as in ``segment_sum``. Equal rows share the gradient evenly.
    """
    return _segment("segment_min", "min", data, segment_ids, num_segments)


@op(shape=shapes.segment, tensors=2, dtype=keeps_first)
def segment_prod(data, segment_ids, num_segments=None, sorted=False):
    """Return the products of the rows of ``data`` of each segment; an empty one holds 1.

    Parameters as in ``segment_sum``.
    """
    return _segment("segment_prod", "mul", data, segment_ids, num_segments)


# ---- slices ----------------------------------------------------------------------------------------
def slice_update(inputs, start_indices, updates):
    """Return ``inputs`` with the block that begins at ``start_indices`` replaced by ``updates``.

    Parameters
    ----------
    inputs : tensor
    start_indices : sequence of int, or integer tensor
        One for each axis. A block that would reach over the end is moved back, as in Keras.
    updates : tensor
        Of the rank of ``inputs``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.slice_update(ops.zeros((2, 2)), (1, 0), ops.ones((1, 2))).tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    return put_block(inputs, updates, start_indices)


def _put_block_shape(x, updates, start):
    if len(updates) != len(x) or any(None not in (n, m) and m > n for n, m in zip(x, updates)):
        raise ValueError(f"slice_update: updates of shape {tuple(updates)} do not fit into shape {tuple(x)}")
    return tuple(x)


@op(shape=_put_block_shape, tensors=2, dtype=keeps_first)
def put_block(x, updates, start):
    """Do the work of ``slice_update``."""
    _put_block_shape(x.shape, updates.shape, start)
    key, kind, size = block_key(x, start, updates.shape), updates.dtype, updates.shape
    y = x.array.copy()
    y[key] = updates.array

    def vjp(dy):
        from gpukeras import ops

        zeros = Tensor(dy.backend.xp.zeros(size, dy.dtype))
        block = getitem(dy, key)
        return put_block(dy, zeros, start), ops.cast(block, kind) if dtypes.is_float(kind) else None

    return y, vjp
