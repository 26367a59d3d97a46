"""Launch ``convolution_kernel.cu``: the gradient of a kernel whose channels come in fours."""

from __future__ import annotations

import cupy

from . import convolution_mma, convolution_mma_kernel, convolution_sums, launch, windows
from .convolution_tiles import HALF_TILES, TILES, Plan, Product, plan

MODULE = launch.Module("convolution_kernel.cu", structs={"Windows": windows.DTYPE})
for _tile in TILES:
    MODULE.declare(
        "convolution_backward_kernel", M=_tile.rows, N=_tile.columns, R=_tile.down, S=_tile.across,
        B=min(_tile.blocks, 4), T=launch.FLOATS if _tile in HALF_TILES else "float",
        budget=launch.Budget(threads=_tile.threads),
    )


def backward(product: Product, x, dy, places, groups: int):
    """Return the gradient of the kernel."""
    dw = cupy.empty((*places.window, product.inner, dy.shape[-1]), x.dtype)
    choose = convolution_mma_kernel.choose if convolution_mma.takes(product) else _choose
    found, kernel, shared = choose(product)
    parts = found.parts
    sums = cupy.empty((parts, dw.size), "float32") if parts > 1 else None
    kernel(
        found.grid(product), found.tile.threads, x, dy, dw, sums, windows.pack(places), len(x), product.inner,
        product.columns, groups, parts, shared=shared,
    )
    if sums is not None:
        convolution_sums.total(sums, dw)
    return dw


def _choose(product: Product) -> tuple[Plan, launch.Kernel, int]:
    """Return plan, kernel and bytes of shared memory."""
    found = plan(product, launch.processors(), TILES if product.type == "float" else HALF_TILES)
    tile = found.tile
    kernel = MODULE.kernel(
        "convolution_backward_kernel", M=tile.rows, N=tile.columns, R=tile.down, S=tile.across,
        B=min(tile.blocks, 4), T=product.type,
    )
    return found, kernel, 0
