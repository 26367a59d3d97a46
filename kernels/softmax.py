"""Launch ``softmax.cu``; shapes and meanings are those of ``backends.activation`` and ``backends.loss``."""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy

from . import launch
from . import reduction_shapes as shapes
from .reduction import TYPES, by_type

MODULE = launch.Module("softmax.cu")
_ROWS = launch.Budget(threads=shapes.WIDE)
_FLAT = launch.Budget(threads=shapes.THREADS)
for _pack in (shapes.PACK, 1):
    MODULE.declare(
        "softmax_forward", "softmax_backward", "sparse_cross_entropy_forward", "dense_cross_entropy_forward",
        T=launch.FLOATS, V=_pack, H=(shapes.HELD[_pack], 0), budget=_ROWS,
    )
    MODULE.declare(
        "sparse_cross_entropy_backward", "dense_cross_entropy_backward",
        T=launch.FLOATS, V=_pack, H=0, budget=_ROWS,
    )
    MODULE.declare(
        "sigmoid_cross_entropy_forward", "sigmoid_cross_entropy_backward",
        T=launch.FLOATS, V=_pack, H=0, budget=_FLAT,
    )
MODULE.declare("picked_cross_entropy", T=launch.FLOATS, V=1, H=0, budget=_FLAT)
LONG = 1 << 16  # columns from which rows, where they are few, keep more than one block busy


class Logits(NamedTuple):
    """What a gradient of a cross-entropy needs beside the sums of the rows: no probabilities."""

    x: Any
    top: Any  # (M,), the largest logit of every row
    weight: Any  # (M,), sum of the targets; None where they are class numbers


def takes(x) -> bool:
    """Tell whether there are kernels for the rows of ``x`` (M, C)."""
    rows, columns = x.shape
    if x.dtype.name not in TYPES or not shapes.fits(rows, columns):
        return False
    return columns <= LONG or rows >= launch.processors()


def softmax(x, statistics: bool = False):
    """Return the softmax of the rows of ``x``; with ``statistics`` also maxima and sums, (M, 1)."""
    y = cupy.empty(x.shape, x.dtype)
    top, total = (cupy.empty((len(x), 1), "float32") if statistics else None for _ in range(2))
    _rows("softmax_forward", (cupy.ascontiguousarray(x), y, top, total), x.shape)
    return (y, top, total) if statistics else y


def softmax_backward(dy, y):
    """Return the gradient of the logits."""
    dx = cupy.empty(y.shape, y.dtype)
    _rows("softmax_backward", (_like(dy, y), cupy.ascontiguousarray(y), dx), y.shape)
    return dx


def cross_entropy(x, target):
    """Return loss (M,), what the gradient needs, and the sums of exp(x - maximum), (M, 1)."""
    x = cupy.ascontiguousarray(x)
    loss = cupy.empty(len(x), x.dtype)
    top, total = cupy.empty(len(x), "float32"), cupy.empty((len(x), 1), "float32")
    if target.ndim == 1:
        _rows("sparse_cross_entropy_forward", (x, *_labels(target), loss, top, total), x.shape)
        return loss, Logits(x, top, None), total
    weight = cupy.empty(len(x), "float32")
    _rows("dense_cross_entropy_forward", (x, _like(target, x), loss, top, total, weight), x.shape)
    return loss, Logits(x, top, weight), total


def cross_entropy_backward(dy, found, total, target):
    """Return the gradient of the logits; ``found``: ``Logits``, or the softmax where ``total`` is None."""
    x, top, weight = (cupy.ascontiguousarray(found), None, None) if total is None else found
    dx = cupy.empty(x.shape, x.dtype)
    dy = _like(dy, x)
    if target.ndim == 1:
        arrays = (x, *_labels(target), top, total, dy, dx)
        _rows("sparse_cross_entropy_backward", arrays, x.shape, again=True)
    else:
        arrays = (x, _like(target, x), top, total, weight, dy, dx)
        _rows("dense_cross_entropy_backward", arrays, x.shape, again=True)
    return dx


def picked_cross_entropy(x, top, total, target):
    """Return -log softmax(x) at the class numbers ``target``, (M,)."""
    loss = cupy.empty(len(x), x.dtype)
    kernel = MODULE.kernel("picked_cross_entropy", T=TYPES[x.dtype.name], V=1, H=0)
    arrays = cupy.ascontiguousarray(x), *_labels(target), top, total, loss
    kernel(-(-len(x) // shapes.THREADS), shapes.THREADS, *arrays, *x.shape)
    return loss


def takes_flat(x, *others) -> bool:
    """Tell whether there are elementwise kernels for these arrays."""
    return x.dtype.name in TYPES and 0 < x.size < 1 << 31 and all(o.dtype == x.dtype for o in others)


def sigmoid_cross_entropy(x, target):
    """Return the cross-entropy of every element."""
    y = cupy.empty(x.shape, x.dtype)
    arrays = (cupy.ascontiguousarray(x), cupy.ascontiguousarray(target), y)
    _flat("sigmoid_cross_entropy_forward", arrays, shapes.pack(x.size, *arrays), x.size)
    return y


def sigmoid_cross_entropy_backward(dy, x, target):
    """Return the gradient of the logits."""
    dx = cupy.empty(x.shape, x.dtype)
    slopes, inner = spread(dy, x.shape)
    arrays = (cupy.ascontiguousarray(x), cupy.ascontiguousarray(target), cupy.ascontiguousarray(slopes), dx)
    if inner == 1:
        pack = shapes.pack(x.size, *arrays)
    else:
        pack = shapes.pack(inner, arrays[0], arrays[1], dx) if x.size % shapes.PACK == 0 else 1
    _flat("sigmoid_cross_entropy_backward", arrays, pack, x.size, inner)
    return dx


def spread(dy, shape: tuple[int, ...]):
    """Return the fewest elements that make ``dy`` when each is repeated ``inner`` times, and ``inner``.

    ``dy`` is broadcast to ``shape``; only repetition along the last axes is found, other is made real.
    """
    dy = cupy.broadcast_to(dy, shape)
    inner, axis = 1, len(shape)
    while axis and (shape[axis - 1] == 1 or dy.strides[axis - 1] == 0):
        axis -= 1
        inner *= shape[axis]
    return dy[(slice(None),) * axis + (0,) * (len(shape) - axis)], inner


def _flat(name: str, arrays: tuple, pack: int, count: int, *more) -> None:
    blocks = min(-(-count // (pack * shapes.THREADS)), 8 * launch.processors())
    kernel = MODULE.kernel(name, T=TYPES[arrays[0].dtype.name], V=pack, H=0)
    kernel(blocks, shapes.THREADS, *arrays, count, *more)


def _rows(name: str, arrays: tuple, shape: tuple, again: bool = False) -> None:
    """Launch for the rows of the first array; ``again``: the kernel reads them as often as it needs them."""
    rows, columns = shape
    wide = [a for a in arrays if a is not None and a.shape == shape]
    pack = shapes.pack(columns, *wide)
    plan = shapes.rows(rows, columns, pack)
    kernel = MODULE.kernel(name, T=TYPES[arrays[0].dtype.name], V=pack, H=0 if again else plan.held)
    kernel(plan.blocks, plan.threads, *arrays, rows, columns, plan.group)


def _labels(target) -> list:
    """Return class numbers as two arguments, one of them ``None``."""
    return by_type(target)[:2]


def _like(x, other):
    """Return ``x`` contiguous and in the type of ``other``."""
    return cupy.ascontiguousarray(x.astype(other.dtype, copy=False))
