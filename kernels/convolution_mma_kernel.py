"""Launch ``convolution_mma_kernel.cu``: the gradient of a kernel on tensor cores."""

from __future__ import annotations

from . import launch, windows
from .convolution_mma import OLDEST, PAD, SLICE, STAGES
from .convolution_tiles import MMA_TILES, Plan, Product, Tile, plan

MODULE = launch.Module("convolution_mma_kernel.cu", structs={"Windows": windows.DTYPE})


def shared_memory(tile: Tile) -> int:
    """Return the bytes of shared memory of a block."""
    return STAGES * SLICE * (tile.rows + tile.columns + 2 * PAD)


for _tile in MMA_TILES:
    MODULE.declare(
        "convolution_backward_kernel_mma", M=_tile.rows, N=_tile.columns, B=_tile.blocks, T=launch.FLOATS,
        budget=launch.Budget(
            threads=_tile.threads, shared=shared_memory(_tile), registers=168, occupancy=0.16, least=OLDEST
        ),
    )


def choose(product: Product) -> tuple[Plan, launch.Kernel, int]:
    """Return plan, kernel and bytes of shared memory."""
    found = plan(product, launch.processors(), MMA_TILES)
    tile = found.tile
    kernel = MODULE.kernel(
        "convolution_backward_kernel_mma", M=tile.rows, N=tile.columns, B=tile.blocks, T=product.type
    )
    return found, kernel, shared_memory(tile)
