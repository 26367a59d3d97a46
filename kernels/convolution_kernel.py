"""Launch ``convolution_kernel.cu``: the gradient of a kernel whose channels come in fours."""

from __future__ import annotations

import math

import cupy

from . import convolution_sums, launch, windows
from .convolution_tiles import HALF_TILES, TILES, plan

MODULE = launch.Module("convolution_kernel.cu", structs={"Windows": windows.DTYPE})
for _tile in TILES:
    MODULE.declare(
        "convolution_backward_kernel", M=_tile.rows, N=_tile.columns, R=_tile.down, S=_tile.across,
        B=min(_tile.blocks, 4), T=("float", "__half") if _tile in HALF_TILES else "float",
        budget=launch.Budget(threads=_tile.threads),
    )
TYPES = {"float32": "float", "float16": "__half"}


def backward(x, dy, places, groups: int):
    """Return the gradient of the kernel."""
    inner, filters = x.shape[-1] // groups, dy.shape[-1]
    dw = cupy.empty((*places.window, inner, filters), x.dtype)
    rows, columns = math.prod(places.window) * inner, filters // groups
    depth = len(x) * math.prod(places.out)
    tiles = TILES if x.dtype.itemsize == 4 else HALF_TILES
    found = plan(rows, columns, depth, groups, launch.processors(), tiles)
    tile, parts = found
    sums = cupy.empty((parts, dw.size), "float32") if parts > 1 else None
    kernel = MODULE.kernel(
        "convolution_backward_kernel", M=tile.rows, N=tile.columns, R=tile.down, S=tile.across,
        B=min(tile.blocks, 4), T=TYPES[x.dtype.name],
    )
    kernel(
        found.grid(rows, columns, groups), tile.threads, x, dy, dw, sums, windows.pack(places), len(x), inner,
        columns, groups, parts,
    )
    if sums is not None:
        convolution_sums.total(sums, dw)
    return dw
