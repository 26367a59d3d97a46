"""Joining, splitting, repeating and padding."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.shaping import own, reshape
from gpukeras.tensor import Tensor


def _common(tensors) -> list:
    """Return the arrays of ``tensors`` in their common dtype."""
    kind = dtypes.result_type(*(t.dtype for t in tensors))
    return [t.array if t.dtype == kind else t.array.astype(kind) for t in tensors]


def _cast_like(dy, dtype):
    from gpukeras import ops

    return dy if dy.dtype == dtype else ops.cast(dy, dtype)


def along(axis: int, start, stop) -> tuple:
    return (slice(None),) * axis + (slice(start, stop),)


# ---- joining ---------------------------------------------------------------------------------------
@op(shape=lambda *xs, axis=0: shapes.concatenate(*xs, axis=axis), tensors="list", bfloat16="as is")
def concatenate(xs, axis=0):
    """Return tensors joined along an existing axis.

    Parameters
    ----------
    xs : list of tensors
        Equal shapes, except along ``axis``; they are brought to their common dtype.
    axis : int

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.concatenate([ops.zeros((2, 3)), ops.ones((2, 1))], axis=-1).shape
    (2, 4)
    """
    axis = shapes.normalize_axis(axis, xs[0].ndim)
    shapes.concatenate(*(x.shape for x in xs), axis=axis)
    y = xs[0].backend.xp.concatenate(_common(xs), axis=axis)
    kinds, sizes = [x.dtype for x in xs], [x.shape[axis] for x in xs]

    def vjp(dy):
        from gpukeras.ops.indexing import getitem

        grads, start = [], 0
        for kind, size in zip(kinds, sizes):
            part = getitem(dy, along(axis, start, start + size)) if dtypes.is_float(kind) else None
            grads.append(part if part is None else _cast_like(part, kind))
            start += size
        return tuple(grads)

    return y, vjp


@op(shape=lambda *xs, axis=0: shapes.stack(*xs, axis=axis), tensors="list", bfloat16="as is")
def stack(x, axis=0):
    """Return tensors of one shape joined along a new axis.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.stack([ops.zeros((2, 3)), ops.ones((2, 3))], axis=1).shape
    (2, 2, 3)
    """
    axis = shapes.normalize_axis(axis, x[0].ndim + 1)
    shapes.stack(*(t.shape for t in x), axis=axis)
    y = x[0].backend.xp.stack(_common(x), axis=axis)
    kinds = [t.dtype for t in x]

    def vjp(dy):
        from gpukeras.ops.indexing import getitem

        before = (slice(None),) * axis
        return tuple(
            _cast_like(getitem(dy, (*before, i)), kind) if dtypes.is_float(kind) else None
            for i, kind in enumerate(kinds)
        )

    return y, vjp


def _at_least(x, rank: int):
    """Return ``x`` with axes of size 1 added as ``hstack`` and its like expect."""
    from gpukeras import ops

    if not hasattr(x, "shape"):
        x = ops.convert_to_tensor(x)
    n = len(x.shape)
    if n >= rank:
        return x
    if rank == 3 and n:
        return ops.expand_dims(x, 2 if n == 2 else (0, 2))
    return ops.expand_dims(x, tuple(range(rank - n)))


def hstack(xs):
    """Return tensors joined along the second axis; vectors along their only one."""
    xs = [_at_least(x, 1) for x in xs]
    return concatenate(xs, axis=0 if len(xs[0].shape) == 1 else 1)


def vstack(xs):
    """Return tensors joined along the first axis; vectors become rows."""
    return concatenate([_at_least(x, 2) for x in xs], axis=0)


def dstack(xs):
    """Return tensors joined along the third axis; it is added where missing."""
    return concatenate([_at_least(x, 3) for x in xs], axis=2)


def append(x1, x2, axis=None):
    """Return ``x2`` after ``x1`` along ``axis``; without it both are flattened first."""
    from gpukeras import ops

    if axis is None:
        return concatenate([ops.ravel(x1), ops.ravel(x2)], axis=0)
    return concatenate([x1, x2], axis=axis)


# ---- splitting -------------------------------------------------------------------------------------
def _split(x, points, axis):
    """Return the parts between ``points`` and a vjp that joins their gradients."""
    array, shape, kind = x.array, x.shape, x.dtype
    parts = [own(x, array[along(axis, a, max(a, b))]) for a, b in zip(points, points[1:])]
    regular = list(points) == sorted(points)

    def vjp(dys):
        from gpukeras import ops
        from gpukeras.ops.indexing import index_put

        xp = next(dy for dy in dys if dy is not None).backend.xp
        if not regular:  # parts overlap or leave gaps: add each where it came from
            keys = [along(axis, a, max(a, b)) for a, b in zip(points, points[1:])]
            terms = [index_put(dy, k, shape) for dy, k in zip(dys, keys) if dy is not None]
            return sum(terms[1:], terms[0])
        full = [
            Tensor(xp.zeros(part.shape, kind)) if dy is None else dy for dy, part in zip(dys, parts)
        ]
        return ops.concatenate(full, axis=axis)

    return parts, vjp


@op(shape=shapes.split, bfloat16="as is", results=list)
def split(x, indices_or_sections, axis=0):
    """Return a list of parts of ``x`` along ``axis``.

    Parameters
    ----------
    x : tensor
    indices_or_sections : int or sequence of int
        A number of equal parts, or the indices at which to cut.
    axis : int

    Raises
    ------
    ValueError
        Where the axis cannot be divided equally; ``array_split`` can.

    Examples
    --------
    >>> from gpukeras import ops
    >>> [part.shape for part in ops.split(ops.zeros((2, 6)), [1, 4], axis=1)]
    [(2, 1), (2, 3), (2, 2)]
    """
    axis = shapes.normalize_axis(axis, x.ndim)
    return _split(x, shapes.split_points(x.shape[axis], indices_or_sections), axis)


@op(shape=shapes.array_split, bfloat16="as is", results=list)
def array_split(x, indices_or_sections, axis=0):
    """Return a list of parts of ``x`` along ``axis``, the first ones longer where they cannot be equal."""
    axis = shapes.normalize_axis(axis, x.ndim)
    return _split(x, shapes.split_points(x.shape[axis], indices_or_sections, even=False), axis)


def hsplit(x, indices_or_sections):
    """Return ``x`` split along its second axis (vectors: along their only one)."""
    return split(x, indices_or_sections, axis=0 if len(x.shape) == 1 else 1)


def vsplit(x, indices_or_sections):
    """Return ``x`` split along its first axis."""
    if len(x.shape) < 2:
        raise ValueError(f"vsplit needs a tensor of rank 2 or more, came shape {tuple(x.shape)}")
    return split(x, indices_or_sections, axis=0)


def dsplit(x, indices_or_sections):
    """Return ``x`` split along its third axis."""
    if len(x.shape) < 3:
        raise ValueError(f"dsplit needs a tensor of rank 3 or more, came shape {tuple(x.shape)}")
    return split(x, indices_or_sections, axis=2)


@op(shape=shapes.unstack, bfloat16="as is", results=list)
def unstack(x, num=None, axis=0):
    """Return the list of slices of ``x`` along ``axis``, which disappears.

    Parameters
    ----------
    x : tensor
    num : int, optional
        Size of the axis; needed only for symbolic tensors that do not know it.
    axis : int
    """
    axis = shapes.normalize_axis(axis, x.ndim)
    shapes.unstack(x.shape, num, axis)
    before, kind, shape = (slice(None),) * axis, x.dtype, x.shape[:axis] + x.shape[axis + 1:]
    parts = [own(x, x.array[before + (slice(i, i + 1),)].reshape(shape)) for i in range(x.shape[axis])]

    def vjp(dys):
        xp = next(dy for dy in dys if dy is not None).backend.xp
        return stack([Tensor(xp.zeros(shape, kind)) if dy is None else dy for dy in dys], axis=axis)

    return parts, vjp


# ---- repeating -------------------------------------------------------------------------------------
@op(shape=shapes.tile)
def tile(x, repeats):
    """Return copies of ``x`` laid side by side, ``repeats`` (an int or one for each axis) times.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.tile(ops.arange(2), 2).tolist()
    [0, 1, 0, 1]
    """
    repeats, shape = shapes.tile_repeats(x.ndim, repeats), x.shape
    wide = (1,) * (len(repeats) - x.ndim) + shape

    def vjp(dy):
        from gpukeras import ops

        blocks = reshape(dy, tuple(n for pair in zip(repeats, wide) for n in pair))
        return reshape(ops.sum(blocks, axis=tuple(range(0, 2 * len(wide), 2))), shape)

    return x.backend.xp.tile(x.array, repeats), vjp


def repeat(x, repeats, axis=None):
    """Return ``x`` with every element repeated along ``axis``.

    Parameters
    ----------
    x : tensor
    repeats : int or sequence of int
        How often, for all elements or for each.
    axis : int, optional
        Without it ``x`` is flattened first.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.repeat(ops.arange(3), [1, 0, 2]).tolist()
    [0, 2, 2]
    """
    if not isinstance(repeats, int):  # the counts decide the shape, so they are needed on the host
        counts = np.asarray(repeats)
        repeats = int(counts) if not counts.ndim else tuple(counts.tolist())
    return repeat_elements(x, repeats, axis)


@op(shape=shapes.repeat)
def repeat_elements(x, repeats, axis=None):
    """Do the work of ``repeat`` for an int or a tuple of ints."""
    shapes.repeat(x.shape, repeats, axis)
    shape, xp = x.shape, x.backend.xp
    flat = axis is None
    axis = 0 if flat else shapes.normalize_axis(axis, x.ndim)
    array = x.array.reshape(-1) if flat else x.array
    if not isinstance(repeats, int):
        if len(repeats) == 1:
            repeats = repeats[0]
        else:
            rows, dims = x.backend.asarray(np.repeat(np.arange(len(repeats)), repeats)), array.shape
            return xp.take(array, rows, axis=axis), lambda dy: _unrepeat(dy, rows, axis, dims, shape)
    count, long = repeats, array.shape

    def vjp(dy):
        from gpukeras import ops

        blocks = reshape(dy, (*long[: axis + 1], count, *long[axis + 1 :]))
        return reshape(ops.sum(blocks, axis=axis + 1), shape)

    return xp.repeat(array, count, axis=axis), vjp


def _unrepeat(dy, positions, axis, long, shape):
    from gpukeras.ops.indexing import index_put

    return reshape(index_put(dy, (slice(None),) * axis + (positions,), long), shape)


def meshgrid(*x, indexing="xy"):
    """Return coordinate grids made from coordinate vectors.

    Parameters
    ----------
    *x : vectors
    indexing : {"xy", "ij"}
        ``"xy"``: the first vector runs along the second axis, as in plots; ``"ij"``: along the first.

    Examples
    --------
    >>> from gpukeras import ops
    >>> [grid.shape for grid in ops.meshgrid(ops.arange(2), ops.arange(3))]
    [(3, 2), (3, 2)]
    """
    from gpukeras import ops

    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing must be 'xy' or 'ij', came {indexing!r}")
    vectors = [ops.ravel(v) for v in x]
    rank = len(vectors)
    order = list(range(rank))
    if indexing == "xy" and rank > 1:
        order[:2] = [1, 0]
    sizes = [1] * rank
    for place, v in zip(order, vectors):
        sizes[place] = v.shape[0]
    grids = []
    for place, v in zip(order, vectors):
        line = reshape(v, tuple(-1 if i == place else 1 for i in range(rank)))
        grids.append(ops.broadcast_to(line, tuple(sizes)))
    return grids
