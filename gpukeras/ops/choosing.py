"""Choosing elements by condition or position, and codes of class numbers."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.indexing import integers, keeps_first
from gpukeras.tensor import Tensor


def _where_shape(condition, x1=None, x2=None):
    if x1 is None or x2 is None:
        return [(None,)] * len(condition)
    return shapes.broadcast(condition, x1, x2)


def _where_dtype(condition, x1=None, x2=None):
    return "int32" if x1 is None and x2 is None else dtypes.result_type(x1, x2).name


@op(shape=_where_shape, dtype=_where_dtype, tensors=3)
def where(condition, x1=None, x2=None):
    """Return elements of ``x1`` where ``condition`` holds, else of ``x2``.

    Parameters
    ----------
    condition : tensor
        Boolean, or numbers that count as true unless 0.
    x1, x2 : tensor or number, optional
        All three broadcast. Without both: the positions at which ``condition`` holds, as ``nonzero``.

    Notes
    -----
    The side not chosen gets the gradient 0; where that side is NaN or infinite by itself its own gradient may
    still spoil the sum (0 times infinity), so choose safe inputs before, not only after.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.where([True, False], [1.0, 2.0], 0.0).tolist()
    [1.0, 0.0]
    """
    from gpukeras.ops.math import unbroadcast

    if (x1 is None) != (x2 is None):
        raise ValueError("where takes a condition alone, or the condition with both x1 and x2")
    if x1 is None:
        return nonzero_arrays(condition), None
    xp, kind = condition.backend.xp, dtypes.result_type(x1.dtype, x2.dtype)
    mask = condition.array if condition.dtype == bool else condition.array != 0
    y = xp.where(mask, x1.array.astype(kind, copy=False), x2.array.astype(kind, copy=False))
    held = Tensor(mask)

    def vjp(dy):
        zero = Tensor(xp.zeros((), dy.dtype))
        return None, unbroadcast(where(held, dy, zero), x1), unbroadcast(where(held, zero, dy), x2)

    return y, vjp


def select(condlist, choicelist, default=0):
    """Return, element by element, the first choice whose condition holds, else ``default``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.arange(5)
    >>> ops.select([x < 2, x > 3], [x, x * 10], -1).tolist()
    [0, 1, -1, -1, 40]
    """
    if len(condlist) != len(choicelist) or not len(condlist):
        raise ValueError(f"select: {len(condlist)} conditions for {len(choicelist)} choices")
    result = default
    for condition, choice in zip(reversed(list(condlist)), reversed(list(choicelist))):
        result = where(condition, choice, result)
    return result


def nonzero_arrays(x) -> tuple:
    """Return int32 positions of the elements of ``x`` that are not 0, one array for each axis."""
    if not x.ndim:
        raise ValueError("nonzero needs a tensor of rank 1 or more, came a scalar")
    return tuple(i.astype(np.int32) for i in x.backend.xp.nonzero(x.array))


@op(shape=lambda x: [(None,)] * len(x), dtype="int32")
def nonzero(x):
    """Return the positions of elements that are not 0: a tuple of int32 tensors, one for each axis.

    Examples
    --------
    >>> from gpukeras import ops
    >>> [i.tolist() for i in ops.nonzero(ops.convert_to_tensor([[0, 5], [7, 0]]))]
    [[0, 1], [1, 0]]
    """
    return nonzero_arrays(x), None


def unravel_index(indices, shape):
    """Return the coordinates, one tensor for each axis, of positions in the flattened tensor.

    Positions out of range go to the nearest element; negative ones count from the end.

    Examples
    --------
    >>> from gpukeras import ops
    >>> [i.tolist() for i in ops.unravel_index(ops.convert_to_tensor([1, 5]), (2, 3))]
    [[0, 1], [1, 2]]
    """
    return coordinates(indices, tuple(int(n) for n in shape))


@op(shape=lambda x, shape: [tuple(x)] * len(shape), dtype=keeps_first)
def coordinates(x, shape):
    """Do the work of ``unravel_index``."""
    integers("unravel_index", x)
    size = shapes.known_product(shape)
    xp = x.backend.xp
    rest = xp.clip(xp.where(x.array < 0, x.array + x.dtype.type(size), x.array), 0, max(0, size - 1))
    found = []
    for n in reversed(shape):
        found.append((rest % n).astype(x.dtype, copy=False))
        rest = rest // n
    return tuple(reversed(found)), None


# ---- codes -----------------------------------------------------------------------------------------
def _code_dtype(kind, num_classes, axis=-1, dtype=None, sparse=False):
    return dtypes.standardize_dtype(dtype)


@op(shape=shapes.one_hot, dtype=_code_dtype)
def one_hot(x, num_classes, axis=-1, dtype=None, sparse=False):
    """Return ones at the class numbers in ``x`` and zeros elsewhere.

    Parameters
    ----------
    x : integer tensor, any shape
        Class numbers; those outside [0, ``num_classes``) give zeros only.
    num_classes : int
    axis : int
        Where the axis of classes goes.
    dtype : str, optional
        Of the result; ``floatx`` unless given.
    sparse : bool
        Sparse tensors are not supported: must be false.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.one_hot(ops.convert_to_tensor([0, 2]), 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    """
    if sparse:
        raise ValueError("one_hot: sparse=True is not supported; use sparse=False")
    xp = x.backend.xp
    axis = shapes.normalize_axis(axis, x.ndim + 1)
    wide = x.dtype.kind in "iuf" and x.dtype.itemsize > 2  # a uint8 may not reach num_classes
    classes = xp.arange(num_classes, dtype=x.dtype if wide else np.int32)
    classes = classes.reshape((-1,) + (1,) * (x.ndim - axis))
    hot = xp.expand_dims(x.array, axis) == classes
    return hot.astype(dtypes.standardize_dtype(dtype)), None


def multi_hot(inputs, num_classes=None, axis=-1, dtype=None, sparse=False, **kwargs):
    """Return ones at all class numbers of a sample and zeros elsewhere.

    Parameters
    ----------
    inputs : integer tensor, shape (N, K) or (K,)
        Class numbers of each sample; those out of range are left out.
    num_classes : int
        ``num_tokens`` is its older name.
    axis : int
        Where the axis of classes goes before samples are merged.
    dtype : str, optional
        Of the result; ``floatx`` unless given.
    sparse : bool
        Must be false.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.multi_hot(ops.convert_to_tensor([[0, 2], [1, 1]]), 3).tolist()
    [[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    from gpukeras import ops

    num_classes = kwargs.pop("num_tokens", num_classes)
    if kwargs:
        raise TypeError(f"multi_hot has no argument {sorted(kwargs)[0]!r}")
    if num_classes is None:
        raise ValueError("multi_hot needs num_classes")
    codes = one_hot(inputs, num_classes, axis=axis, dtype=dtype, sparse=sparse)
    return ops.max(codes, axis=1 if len(codes.shape) > 2 else 0)
