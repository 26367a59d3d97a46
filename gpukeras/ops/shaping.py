"""Reordering the axes and elements of a tensor."""

from __future__ import annotations

import math

import numpy as np

from gpukeras import dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.tensor import Variable


def own(x, array):
    """Return ``array``, copied where it may be a view of a variable: variables change in place."""
    return array.copy() if isinstance(x, Variable) else array


def _sizes(x, newshape) -> tuple:
    """Return the target sizes of a reshape for an eager tensor; ``None`` keeps a size or is worked out."""
    sizes = (newshape,) if isinstance(newshape, int) else newshape
    target = [n if n is None else int(n) for n in sizes]
    if target.count(None) + target.count(-1) > 1:
        # Recorded with several unknown sizes: each of them stands for the size at the same place.
        target = [x.shape[i] if n is None and i < x.ndim else n for i, n in enumerate(target)]
    return tuple(-1 if n is None else n for n in target)


def _reshape_shape(x, newshape):
    return shapes.reshape(x, (newshape,) if isinstance(newshape, int) else newshape)


@op(shape=_reshape_shape, bfloat16="as is")
def reshape(x, newshape):
    """Return ``x`` with another shape and the same elements in the same order.

    Parameters
    ----------
    x : tensor
    newshape : int or tuple of int
        One size may be -1 (or ``None``): it is worked out from the others.

    Returns
    -------
    tensor
        It may share memory with ``x``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.reshape(ops.arange(6), (2, -1)).tolist()
    [[0, 1, 2], [3, 4, 5]]
    """
    try:
        y = x.array.reshape(newshape)
    except (TypeError, ValueError):
        target = _sizes(x, newshape)
        shapes.reshape(x.shape, target)  # the clear complaint, where the sizes do not fit
        y = x.array.reshape(target)
    return own(x, y), lambda dy: reshape(dy, x.shape)


@op(shape=shapes.flatten_all, bfloat16="as is")
def ravel(x):
    """Return all elements of ``x`` as one vector, the last axis running fastest."""
    return own(x, x.array.reshape(-1)), lambda dy: reshape(dy, x.shape)


@op(shape=shapes.transpose, bfloat16="as is")
def transpose(x, axes=None):
    """Return ``x`` with its axes reordered.

    Parameters
    ----------
    x : tensor
    axes : tuple of int, optional
        ``axes[i]`` is the axis of ``x`` that becomes axis ``i``; reversed unless given.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.transpose(ops.zeros((2, 3, 4)), (0, 2, 1)).shape
    (2, 4, 3)
    """
    order = shapes.permutation(axes, x.ndim)
    return own(x, x.array.transpose(order)), lambda dy: transpose(dy, inverse(order))


def inverse(order) -> tuple[int, ...]:
    """Return the permutation that undoes ``order``."""
    back = [0] * len(order)
    for i, axis in enumerate(order):
        back[axis] = i
    return tuple(back)


def _reordered(rule):
    """Make the shape rule of an op that permutes axes by ``rule(rank, *settings)``."""
    return lambda x, *settings, **named: tuple(x[a] for a in rule(len(x), *settings, **named))


@op(shape=_reordered(shapes.swap_order), bfloat16="as is")
def swapaxes(x, axis1, axis2):
    """Return ``x`` with two axes exchanged."""
    y = x.array.transpose(shapes.swap_order(x.ndim, axis1, axis2))
    return own(x, y), lambda dy: swapaxes(dy, axis1, axis2)


@op(shape=_reordered(shapes.move_order), bfloat16="as is")
def moveaxis(x, source, destination):
    """Return ``x`` with axes moved to other places, the others keeping their order.

    Parameters
    ----------
    x : tensor
    source, destination : int or tuple of int
        Where the axes are and where they go.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.moveaxis(ops.zeros((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    order = shapes.move_order(x.ndim, source, destination)
    return own(x, x.array.transpose(order)), lambda dy: transpose(dy, inverse(order))


@op(shape=shapes.expand_dims, bfloat16="as is")
def expand_dims(x, axis):
    """Return ``x`` with axes of size 1 added; ``axis`` (an int or several) counts in the result."""
    y = x.array.reshape(shapes.expand_dims(x.shape, axis))
    return own(x, y), lambda dy: reshape(dy, x.shape)


@op(shape=shapes.squeeze, bfloat16="as is")
def squeeze(x, axis=None):
    """Return ``x`` without its axes of size 1: all of them, or those in ``axis`` (an int or several)."""
    y = x.array.reshape(shapes.squeeze(x.shape, axis))
    return own(x, y), lambda dy: reshape(dy, x.shape)


@op(shape=lambda x, shape: shapes.broadcast_to(x, shape), bfloat16="as is")
def broadcast_to(x, shape):
    """Return ``x`` repeated along missing axes and axes of size 1 until it has ``shape``."""
    from gpukeras.ops.math import unbroadcast

    y = x.backend.xp.broadcast_to(x.array, shapes.broadcast_to(x.shape, shape))
    return own(x, y), lambda dy: unbroadcast(dy, x)


# ---- turning around --------------------------------------------------------------------------------
@op(shape=shapes.same, bfloat16="as is")
def flip(x, axis=None):
    """Return ``x`` with the order of elements reversed along ``axis`` (an int, several; ``None``: all)."""
    axes = shapes.normalize_axes(axis, x.ndim)
    key = tuple(slice(None, None, -1) if i in axes else slice(None) for i in range(x.ndim))
    return own(x, x.array[key]), lambda dy: flip(dy, axes)


def fliplr(x):
    """Return ``x`` with its second axis reversed (left and right exchanged)."""
    if len(x.shape) < 2:
        raise ValueError(f"fliplr needs a tensor of rank 2 or more, came shape {tuple(x.shape)}")
    return flip(x, axis=1)


def flipud(x):
    """Return ``x`` with its first axis reversed (top and bottom exchanged)."""
    return flip(x, axis=0)


@op(shape=shapes.same, bfloat16="as is")
def roll(x, shift, axis=None):
    """Return ``x`` with its elements moved along; what leaves at one end comes back at the other.

    Parameters
    ----------
    x : tensor
    shift : int or tuple of int
        How many places, towards higher indices where positive.
    axis : int or tuple of int, optional
        Axes of the shifts; without it the flattened tensor is rolled.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.roll(ops.arange(4), 1).tolist()
    [3, 0, 1, 2]
    """
    back = -shift if isinstance(shift, int) else tuple(-s for s in shift)
    return x.backend.xp.roll(x.array, shift, axis), lambda dy: roll(dy, back, axis)


def rot90(array, k=1, axes=(0, 1)):
    """Return a tensor turned by 90 degrees ``k`` times in the plane of two axes.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.rot90(ops.reshape(ops.arange(4), (2, 2))).tolist()
    [[1, 3], [0, 2]]
    """
    rank = len(array.shape)
    if len(axes) != 2:
        raise ValueError(f"rot90 turns in the plane of two axes, came axes={axes}")
    a, b = (shapes.normalize_axis(axis, rank, "axes") for axis in axes)
    if a == b:
        raise ValueError(f"rot90 needs two different axes, came axes={axes}")
    k = k % 4
    if k == 0:
        return flip(array, ())
    if k == 2:
        return flip(array, (a, b))
    return swapaxes(flip(array, b), a, b) if k == 1 else flip(swapaxes(array, a, b), b)


# ---- einops notation, bits -------------------------------------------------------------------------
def rearrange(tensor, pattern, **axes_lengths):
    """Return a tensor with axes split, reordered and merged as a pattern says.

    Parameters
    ----------
    tensor : tensor
    pattern : str
        ``"b (h k) w -> b w (h k)"``: names of axes before and after; parentheses hold the parts of one.
    **axes_lengths : int
        Sizes of parts; of each pair of parentheses on the left one size may be left out.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.rearrange(ops.zeros((2, 6, 4)), "b (h k) c -> (b h) (k c)", k=2).shape
    (6, 8)
    """
    left, arrow, right = pattern.partition("->")
    before, after = _groups(left), _groups(right)
    names = [name for group in before for name in group]
    wanted = [name for group in after for name in group]
    if not arrow or sorted(names) != sorted(wanted) or len(set(names)) != len(names):
        raise ValueError(f"rearrange: both sides of {pattern!r} must name the same axes, each once")
    if len(before) != len(tensor.shape):
        raise ValueError(f"rearrange: {pattern!r} does not fit shape {tuple(tensor.shape)}")
    lengths = dict(axes_lengths)
    for group, size in zip(before, tensor.shape):
        free = [name for name in group if name not in lengths]
        known = math.prod(lengths[name] for name in group if name in lengths)
        if len(free) > 1:
            raise ValueError(f"rearrange: {pattern!r} leaves the sizes of {free} open; give all but one")
        if size is not None and (size % known or not free and size != known):
            raise ValueError(f"rearrange: an axis of size {size} cannot be split into {group} with {lengths}")
        if free:
            lengths[free[0]] = None if size is None else size // known
    split = reshape(tensor, _one_open([lengths[name] for name in names]))
    moved = transpose(split, [names.index(name) for name in wanted])
    merged = [shapes.known_product([lengths[name] for name in group]) for group in after]
    return reshape(moved, _one_open(merged))


def _one_open(sizes) -> tuple:
    return tuple(-1 if n is None else n for n in sizes) if sizes.count(None) < 2 else tuple(sizes)


def _groups(side: str) -> list[list[str]]:
    """Split one side of a pattern into axes, each a list of its parts."""
    groups: list[list[str]] = []
    inside: list[str] | None = None
    for token in side.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(" and inside is None:
            inside = []
            groups.append(inside)
        elif token == ")" and inside is not None:
            inside = None
        elif token.isidentifier():
            inside.append(token) if inside is not None else groups.append([token])
        elif token == "1" and inside is None:
            groups.append([])
        else:
            raise ValueError(f"rearrange: {token!r} in {side.strip()!r} is not understood")
    return groups


def _view_shape(x, dtype=None, old=None):
    if dtype is None or old is None:
        return tuple(x)
    old, new = np.dtype(old).itemsize, np.dtype(dtype).itemsize
    if old == new:
        return tuple(x)
    if not x or x[-1] is not None and x[-1] * old % new:
        raise ValueError(f"view: the last axis of {tuple(x)} ({old} bytes each) does not hold whole {dtype}")
    return (*x[:-1], None if x[-1] is None else x[-1] * old // new)


@op(shape=_view_shape, dtype=lambda x, dtype, old: dtype, bfloat16="as is")
def bitcast(x, dtype, old):
    """Read the bytes of ``x``, which has the dtype ``old``, as ``dtype``."""
    _view_shape(x.shape, dtype, old)
    return own(x, x.backend.xp.ascontiguousarray(x.array).view(dtype)), None


def view(x, dtype=None):
    """Return the bytes of ``x`` read as another dtype; a wider or narrower one changes the last axis.

    No gradient passes.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.view(ops.ones((2,)), "int32").tolist()
    [1065353216, 1065353216]
    """
    if not hasattr(x, "dtype"):
        x = np.asarray(x)
    old = np.dtype(x.dtype).name
    return bitcast(x, old if dtype is None else dtypes.standardize_dtype(dtype), old)
