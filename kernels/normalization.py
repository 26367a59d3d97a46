"""Launch ``normalization.cu``; shapes and meanings are those of ``backends.normalization``."""

from __future__ import annotations

from typing import Any, NamedTuple

import cupy

from . import launch, reduction
from . import reduction_shapes as shapes
from .reduction import TYPES

MODULE = launch.Module("normalization.cu")
_BATCH = launch.Budget(threads=shapes.THREADS)
_ROWS = launch.Budget(threads=shapes.WIDE)
for _pack in (shapes.PACK, 1):
    MODULE.declare(
        "layer_norm_forward", "layer_norm_backward", T=launch.FLOATS, V=_pack,
        H=(shapes.HELD[_pack], 0), budget=_ROWS,
    )
    MODULE.declare(
        "batch_norm_moments", "batch_norm_small", "affine_columns", "batch_norm_sums", "batch_norm_backward",
        "batch_norm_backward_small", "layer_norm_sums", T=launch.FLOATS, V=_pack, H=0, budget=_BATCH,
    )
MODULE.declare("batch_norm_finish", "batch_norm_slopes", T="float", V=1, H=0, budget=_BATCH)
JOINED = (shapes.WARP, 8)  # threads that join parts: along the columns, along the parts
LONG = 1 << 16  # columns from which rows, where they are few, keep more than one block busy


class Batch(NamedTuple):
    """What the gradient of batch normalisation needs."""

    x: Any
    statistics: Any  # (5, C): mean, variance, 1 / deviation, that times gamma, number of rows
    weights: Any  # (M,) or None


class Layer(NamedTuple):
    """What the gradient of layer normalisation needs."""

    x: Any
    means: Any  # (M,)
    inverses: Any  # (M,), 1 / deviation
    gamma: Any
    center: bool


def takes(x, *vectors) -> bool:
    """Tell whether there are kernels for ``x`` (M, C) with vectors of these types."""
    if x.dtype.name not in TYPES or not shapes.fits(*x.shape):
        return False
    return all(v is None or v.dtype.name in TYPES for v in vectors)


def takes_rows(x, *vectors) -> bool:
    """As ``takes``, where each row is the work of one block at most."""
    return takes(x, *vectors) and (x.shape[1] <= LONG or len(x) >= launch.processors())


# ---- batch normalisation ----------------------------------------------------------------------------------
def batch_norm_forward(x, gamma, beta, epsilon, weights=None, guard=0.0, moving=None):
    """Return the normalised ``x``, mean, variance (float32) and what the gradient needs.

    Parameters
    ----------
    moving : tuple, optional
        Arrays of moving mean and variance, float32, and the share of the old value that stays: they are moved
        in the launch that finds the statistics.
    """
    rows, columns = x.shape
    x, weights = cupy.ascontiguousarray(x), _floats(weights)
    gamma, beta = _floats(gamma), _floats(beta)
    moving_mean, moving_variance, momentum = moving or (None, None, 0.0)
    y, statistics = cupy.empty(x.shape, x.dtype), cupy.empty((5, columns), "float32")
    pack = shapes.pack(columns, x, beta)
    plan = shapes.columns(rows, columns, pack, launch.processors())
    state = (statistics, moving_mean, moving_variance, epsilon, guard, momentum)
    if _is_small(rows):
        kernel = _kernel("batch_norm_small", x, pack)
        kernel((1, plan.tiles), plan.block, x, weights, gamma, beta, y, *state, rows, columns)
    else:
        parts = cupy.empty((plan.splits, 4, columns), "float32")
        _kernel("batch_norm_moments", x, pack)(plan.grid, plan.block, x, weights, parts, rows, columns)
        _join("batch_norm_finish", parts, gamma, *state)
        _affine(x, statistics[0], statistics[3], beta, y)
    return y, statistics[0], statistics[1], Batch(x, statistics, weights)


def batch_norm_backward(dy, cache: Batch, dmean=None, dvariance=None, need_dx=True):
    """Return the gradients of x, gamma and beta."""
    x, statistics, weights = cache
    rows, columns = x.shape
    dy = _like(dy, x)
    dmean, dvariance = _floats(dmean), _floats(dvariance)
    dx = cupy.empty(x.shape, x.dtype) if need_dx else None
    slopes = cupy.empty((4, columns), "float32")
    pack = shapes.pack(columns, dy, x)
    plan = shapes.columns(rows, columns, pack, launch.processors())
    if _is_small(rows):
        kernel = _kernel("batch_norm_backward_small", x, pack)
        uses = dmean, dvariance
        kernel((1, plan.tiles), plan.block, dy, x, weights, statistics, *uses, slopes, dx, rows, columns)
    else:
        parts = cupy.empty((plan.splits, 2, columns), "float32")
        kernel = _kernel("batch_norm_sums", x, pack)
        kernel(plan.grid, plan.block, dy, x, statistics[0], parts, rows, columns)
        _join("batch_norm_slopes", parts, statistics, dmean, dvariance, slopes)
        if need_dx:
            kernel = _kernel("batch_norm_backward", x, pack)
            kernel(plan.grid, plan.block, dy, x, weights, statistics, slopes, dx, rows, columns)
    return dx, slopes[1], slopes[0]


def affine_columns(x, scale, offset=None):
    """Return ``x * scale + offset``."""
    x = cupy.ascontiguousarray(x)
    y = cupy.empty(x.shape, x.dtype)
    _affine(x, None, _floats(scale), _floats(offset), y)
    return y


def _affine(x, shift, scale, offset, y) -> None:
    rows, columns = x.shape
    pack = shapes.pack(columns, x, shift, scale, offset)
    plan = shapes.columns(rows, columns, pack, 2 * launch.processors())
    _kernel("affine_columns", x, pack)(plan.grid, plan.block, x, shift, scale, offset, y, rows, columns)


def _is_small(rows: int) -> bool:
    """Tell whether one block for each tile of columns does all, in one launch."""
    return rows <= shapes.FEW_ROWS


def _join(name: str, parts, *args) -> None:
    """Launch a kernel that joins parts (splits, K, C)."""
    splits, _, columns = parts.shape
    MODULE.kernel(name, T="float", V=1, H=0)(-(-columns // JOINED[0]), JOINED, parts, *args, splits, columns)


# ---- layer normalisation ----------------------------------------------------------------------------------
def layer_norm_forward(x, gamma, beta, epsilon, center=True):
    """Return the normalised ``x`` and what the gradient needs."""
    rows, columns = x.shape
    x, gamma, beta = cupy.ascontiguousarray(x), _floats(gamma), _floats(beta)
    y = cupy.empty(x.shape, x.dtype)
    means, inverses = cupy.empty((2, rows), "float32")
    pack = shapes.pack(columns, x, gamma, beta)
    plan = shapes.rows(rows, columns, pack)
    kernel = _kernel("layer_norm_forward", x, pack, plan.held)
    arrays = x, gamma, beta, y, means, inverses
    kernel(plan.blocks, plan.threads, *arrays, epsilon, int(center), rows, columns, plan.group)
    return y, Layer(x, means, inverses, gamma, center)


def layer_norm_backward(dy, cache: Layer, need_dx=True):
    """Return the gradients of x, gamma and beta."""
    x, means, inverses, gamma, center = cache
    rows, columns = x.shape
    dy = _like(dy, x)
    pack = shapes.pack(columns, dy, x, gamma)
    plan = shapes.rows(rows, columns, pack)
    dx, parts = None, None
    if need_dx:
        dx = cupy.empty(x.shape, x.dtype)
        blocks = plan.blocks
        if plan.held:  # the same walk gives the gradients of gamma and beta, a part for each block
            blocks = min(blocks, 2 * launch.processors())
            parts = cupy.empty((blocks, 2 * columns), "float32")
        kernel = _kernel("layer_norm_backward", x, pack, plan.held)
        arrays = dy, x, gamma, means, inverses, dx, parts
        kernel(blocks, plan.threads, *arrays, int(center), rows, columns, plan.group)
    if parts is None:
        layout = shapes.columns(rows, columns, pack, launch.processors())
        parts = cupy.empty((layout.splits, 2 * columns), "float32")
        kernel = _kernel("layer_norm_sums", x, pack)
        kernel(layout.grid, layout.block, dy, x, means, inverses, parts, rows, columns)
    sums = parts[0] if len(parts) == 1 else reduction.column_sum(parts)
    return dx, sums[columns:], sums[:columns]


def _kernel(name: str, x, pack: int, held: int = 0):
    return MODULE.kernel(name, T=TYPES[x.dtype.name], V=pack, H=held)


def _floats(vector):
    """Return a vector as contiguous float32; ``None`` stays."""
    return None if vector is None else cupy.ascontiguousarray(vector.astype("float32", copy=False))


def _like(x, other):
    """Return ``x`` contiguous and in the type of ``other``."""
    return cupy.ascontiguousarray(x.astype(other.dtype, copy=False))
