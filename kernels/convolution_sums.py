"""Launch ``convolution_sums.cu``: sums of parts, and the way back through bias and activation."""

from __future__ import annotations

import cupy

from . import launch

MODULE = launch.Module("convolution_sums.cu")
MODULE.declare(
    "convolution_total", "convolution_backward_output", T=launch.FLOATS, V=(4, 1),
    budget=launch.Budget(threads=256),
)
TYPES = launch.TYPES
THREADS = 256  # of a block
BLOCKS = 8  # for each multiprocessor
TURNS = 4  # that a block takes at least


def total(sums, result, bias=None, activation: int = 0) -> None:
    """Write the sum of the rows of ``sums`` into ``result``, after bias and activation."""
    parts, size = sums.shape
    pack = 4 if size % 4 == 0 else 1
    kernel = MODULE.kernel("convolution_total", T=TYPES[result.dtype.name], V=pack)
    grid = min(-(-size // (THREADS * pack)), 4 * BLOCKS * launch.processors())
    kernel(grid, THREADS, sums, bias, result, parts, size, size, result.shape[-1], activation)


def backward_output(dy, y, activation: int, with_bias: bool):
    """Return the gradients of the sum and of the bias; without activation, ``dy`` itself is the former."""
    columns = dy.shape[-1]
    dz = cupy.empty(dy.shape, dy.dtype) if activation else None
    if not (activation or with_bias):
        return dy, None
    rows = dy.size // columns
    pack = 4 if columns % 4 == 0 else 1
    packs = columns // pack
    least = TURNS * (THREADS // min(packs, THREADS))
    share = max(least, -(-rows // (BLOCKS * launch.processors())))
    blocks = max(1, -(-rows // share))
    sums = cupy.empty((blocks, columns), "float32") if with_bias else None
    kernel = MODULE.kernel("convolution_backward_output", T=TYPES[dy.dtype.name], V=pack)
    grid = (blocks, -(-packs // THREADS))
    kernel(grid, THREADS, dy, y, dz, sums, rows, columns, share, activation)
    dbias = None
    if with_bias:
        dbias = cupy.empty(columns, dy.dtype)
        total(sums, dbias)
    return dy if dz is None else dz, dbias
