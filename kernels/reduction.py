"""Launch ``reduction.cu``: sums, maxima and minima; counts of right predictions that stay on the device."""

from __future__ import annotations

import cupy
import numpy as np

from . import launch
from . import reduction_shapes as shapes

THREADS = shapes.THREADS
MODULE = launch.Module("reduction.cu")
TYPES = launch.TYPES
_BUDGET = launch.Budget(threads=THREADS)
MODULE.declare(
    "reduce_rows", "reduce_columns", "reduce_middle", "count_classes", T=launch.FLOATS,
    V=(shapes.PACK, 1), budget=_BUDGET,
)
MODULE.declare("finish_columns", T=launch.FLOATS, V=1, budget=_BUDGET)
MODULE.declare("count_binary", T=launch.FLOATS, V=1, budget=_BUDGET)
MODULE.declare("add_counts", T="float", V=1, budget=_BUDGET)
OPERATIONS = {"sum": 0, "max": 1, "min": 2}
SHORT = 8  # rows up to which one thread reduces a column of a matrix alone
MANY = 1 << 17  # results for which it does so anyhow
MOST_MATRICES = 65535  # along the z axis of a grid


def takes(dtype, matrices: int, rows: int, columns: int) -> bool:
    """Tell whether there are kernels for this dtype and for ``matrices`` of these sizes."""
    return dtype.name in TYPES and all(0 < n < shapes.MOST for n in (matrices, rows, columns))


def reduce(x, matrices: int, rows: int, columns: int, operation: str = "sum", scale: float = 1.0):
    """Return ``scale`` times what the rows of ``x`` (matrices, rows, columns) sum up to, as a flat array."""
    x = cupy.ascontiguousarray(x)
    y = cupy.empty(matrices * columns, x.dtype)
    last = OPERATIONS[operation], scale
    if columns == 1:
        _reduce_rows(x, y, matrices, rows, last)
    elif rows <= SHORT or y.size >= MANY or matrices > MOST_MATRICES:
        pack = shapes.pack(columns, x)
        blocks = -(-(y.size // pack) // THREADS)
        _kernel("reduce_middle", x, pack)(blocks, THREADS, x, y, matrices, rows, columns, *last)
    else:
        _reduce_columns(x, y, matrices, rows, columns, last)
    return y


def row_sum(x):
    """Return the sums of the rows of ``x`` (M, C) as (M, 1)."""
    rows, columns = x.shape
    return reduce(x, rows, columns, 1).reshape(-1, 1)


def row_max(x):
    """Return the maxima of the rows of ``x`` (M, C) as (M, 1)."""
    rows, columns = x.shape
    return reduce(x, rows, columns, 1, "max").reshape(-1, 1)


def column_sum(x):
    """Return the sums of the columns of ``x`` (M, C) as (C,)."""
    return reduce(x, 1, *x.shape)


def _kernel(name: str, x, pack: int):
    return MODULE.kernel(name, T=TYPES[x.dtype.name], V=pack)


def _reduce_rows(x, y, count: int, columns: int, last: tuple) -> None:
    pack = shapes.pack(columns, x)
    plan = shapes.parts_of_rows(count, columns, pack, launch.processors())
    kernel = _kernel("reduce_rows", x, pack)
    if plan.grid[1] == 1:
        kernel(plan.grid, THREADS, x, y, None, count, columns, plan.part, plan.group, *last)
        return
    parts = cupy.empty((plan.grid[1], count), "float32")
    kernel(plan.grid, THREADS, x, None, parts, count, columns, plan.part, plan.group, *last)
    _finish(parts, y, last)


def _reduce_columns(x, y, matrices: int, rows: int, columns: int, last: tuple) -> None:
    pack = shapes.pack(columns, x)
    plan = shapes.columns(rows, columns, pack, -(-launch.processors() // matrices))
    kernel = _kernel("reduce_columns", x, pack)
    grid = (*plan.grid, matrices)
    if plan.splits == 1:
        kernel(grid, plan.block, x, y, None, rows, columns, *last)
        return
    parts = cupy.empty((plan.splits, matrices * columns), "float32")
    kernel(grid, plan.block, x, None, parts, rows, columns, *last)
    _finish(parts, y, last)


def _finish(parts, y, last: tuple) -> None:
    rows, columns = parts.shape
    plan = shapes.columns(rows, columns, 1, launch.processors(), splits=1)
    _kernel("finish_columns", y, 1)(plan.grid, plan.block, parts, y, rows, columns, *last)


# ---- right predictions ------------------------------------------------------------------------------------
def takes_counts(scores, labels, total, count, weights=None) -> bool:
    """Tell whether there are kernels that count right predictions of these types and sizes."""
    rows = len(scores)
    floats = (total, count) if weights is None else (total, count, weights)
    return (
        takes(scores.dtype, 1, rows, scores.size // max(rows, 1)) and scores.size < shapes.MOST
        and all(a.dtype.name == "float32" for a in floats) and labels.dtype.name != "float64"
    )


def count_classes(scores, labels, total, count, weights=None):
    """Launch what ``ReductionMixin.count_classes`` describes."""
    rows, columns = scores.shape
    if labels.ndim == 2 and not np.can_cast(labels.dtype, scores.dtype):
        labels = labels.argmax(axis=1)  # other numbers in the type of the scores might be the largest
    scores, weights = _contiguous(scores), _contiguous(weights)
    target = _contiguous(labels.astype(scores.dtype, copy=False)) if labels.ndim == 2 else None
    kinds = [None] * 3 if labels.ndim == 2 else by_type(labels)
    pack = shapes.pack(columns, scores, target)
    plan = shapes.rows(rows, columns, pack, most_group=shapes.WARP)
    blocks = min(plan.blocks, shapes.WAVES * launch.processors())
    parts = cupy.empty((2, blocks), "float32")
    _kernel("count_classes", scores, pack)(
        blocks, THREADS, scores, target, *kinds, weights, parts, rows, columns, plan.group
    )
    _add(parts, total, count, 1)


def count_binary(scores, labels, total, count, threshold: float, weights=None):
    """Launch what ``ReductionMixin.count_binary`` describes."""
    threshold = float(scores.dtype.type(threshold))
    labels = _contiguous(labels.astype("float32", copy=False))
    blocks = min(-(-scores.size // (THREADS * 4)), shapes.WAVES * launch.processors())
    parts = cupy.empty((2, blocks), "float32")
    arrays = _contiguous(scores), labels, _contiguous(weights), parts
    inner = scores.size // len(scores)
    _kernel("count_binary", scores, 1)(blocks, THREADS, *arrays, threshold, scores.size, inner)
    _add(parts, total, count, inner)


def _add(parts, total, count, inner: int) -> None:
    kernel = MODULE.kernel("add_counts", T="float", V=1)
    kernel(1, THREADS, parts, total, count, parts.shape[1], float(inner))


def _contiguous(x):
    return None if x is None else cupy.ascontiguousarray(x)


def by_type(labels) -> list:
    """Return class numbers as three arguments: of 32 bits, of 64 bits, floats. Two of them are ``None``."""
    labels = cupy.ascontiguousarray(labels)
    known = ("int32", "int64", "float32")
    if labels.dtype.name not in known:
        whole = "int64" if labels.itemsize > 2 else "int32"
        labels = labels.astype("float32" if labels.dtype.kind == "f" else whole)
    return [labels if labels.dtype.name == name else None for name in known]
