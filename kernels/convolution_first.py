"""Launch ``convolution_first.cu``: gradients of kernel and bias for any number of channels."""

from __future__ import annotations

import math

import cupy

from . import convolution_sums, launch, windows
from .convolution_tiles import FIRST_TILES, narrowest, plan

MODULE = launch.Module("convolution_first.cu", structs={"Windows": windows.DTYPE})
MODULE.declare(
    "convolution_backward_first", T=("float", "__half"), N=tuple(t.columns for t in FIRST_TILES),
    budget=launch.Budget(threads=128),
)
TYPES = {"float32": "float", "float16": "__half"}


def backward(x, dy, y, places, groups: int, activation: int, with_bias: bool):
    """Return the gradients of kernel and bias; ``activation`` is a number, ``y`` may be None without one."""
    inner, filters = x.shape[-1] // groups, dy.shape[-1]
    taps, columns = math.prod(places.window) * inner, filters // groups
    rows = taps + with_bias
    depth = len(x) * math.prod(places.out)
    tile = narrowest(columns, FIRST_TILES)
    found = plan(rows, columns, depth, groups, launch.processors(), (tile,))
    sums = cupy.empty((found.parts, rows * filters), "float32")
    kernel = MODULE.kernel("convolution_backward_first", T=TYPES[x.dtype.name], N=tile.columns)
    kernel(
        found.grid(rows, columns, groups), tile.threads, x, dy, y, sums, windows.pack(places), len(x), inner,
        columns, groups, found.parts, activation, int(with_bias),
    )
    result = sums[0]
    if found.parts > 1 or x.dtype != sums.dtype:
        result = cupy.empty(rows * filters, x.dtype)
        convolution_sums.total(sums, result)
    dw = result[: taps * filters].reshape(*places.window, inner, filters)
    return dw, result[taps * filters :] if with_bias else None
