"""Launch ``convolution_mma_kernel.cu``: the gradient of a kernel on tensor cores."""

from __future__ import annotations

from . import launch, windows
from .convolution_mma import ITEMSIZE, OLDEST, SLICE, STAGES
from .convolution_tiles import MMA_TILES, Plan, Product, Tile, plan

MODULE = launch.Module("convolution_mma_kernel.cu", structs={"Windows": windows.DTYPE})


def shared_memory(tile: Tile, itemsize: int) -> int:
    """Return the bytes of shared memory of a block."""
    return STAGES * SLICE // itemsize * (tile.rows + tile.columns + 16) * itemsize


for _tile in MMA_TILES:
    for _type, _itemsize in ITEMSIZE.items():
        MODULE.declare(
            "convolution_backward_kernel_mma", M=_tile.rows, N=_tile.columns, B=_tile.blocks, T=_type,
            budget=launch.Budget(
                threads=_tile.threads, shared=shared_memory(_tile, _itemsize), least=OLDEST, occupancy=0.16,
                registers=168,
            ),
        )


def choose(product: Product) -> tuple[Plan, launch.Kernel, int]:
    """Return plan, kernel and bytes of shared memory."""
    found = plan(product, launch.processors(), MMA_TILES)
    tile = found.tile
    kernel = MODULE.kernel(
        "convolution_backward_kernel_mma", M=tile.rows, N=tile.columns, B=tile.blocks, T=product.type
    )
    return found, kernel, shared_memory(tile, ITEMSIZE[product.type])
