"""Launch ``convolution_mma.cu``: products on tensor cores, float32 as TF32, or halves."""

from __future__ import annotations

from . import gemm, launch, windows
from .convolution_tiles import MMA_TILES, Plan, Product, Tile, plan

STAGES = 3  # slices of K in shared memory
SLICE = 64  # bytes of K in one
PAD = 8  # elements
OLDEST = 80  # compute capability times ten
MODULE = launch.Module("convolution_mma.cu", structs={"Windows": windows.DTYPE})


def shared_memory(tile: Tile) -> int:
    """Return the bytes of shared memory of a block."""
    return STAGES * SLICE * (tile.rows + tile.columns + PAD) + 20 * tile.rows


for _tile in MMA_TILES:
    MODULE.declare(
        "convolution_forward_mma", "convolution_backward_data_mma", M=_tile.rows, N=_tile.columns,
        B=_tile.blocks, T=launch.FLOATS, budget=launch.Budget(
            threads=_tile.threads, shared=shared_memory(_tile), registers=168, occupancy=0.16, least=OLDEST
        ),
    )


def takes(product: Product) -> bool:
    """Tell whether a product may and can go to tensor cores."""
    pack = 4 if product.type == "float" else 8
    fits = product.inner % pack == product.columns % pack == 0 and product.packed
    return fits and launch.capability() >= OLDEST and (product.type != "float" or gemm.tf32_allowed())


def choose(name: str, product: Product) -> tuple[Plan, launch.Kernel, int]:
    """Return plan, kernel and bytes of shared memory (``name``: that of ``convolution.cu``)."""
    found = plan(product, launch.processors(), MMA_TILES)
    tile = found.tile
    kernel = MODULE.kernel(f"{name}_mma", M=tile.rows, N=tile.columns, B=tile.blocks, T=product.type)
    return found, kernel, shared_memory(tile)
