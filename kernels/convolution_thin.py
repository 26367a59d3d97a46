"""Launch ``convolution_thin.cu``: few channels or filters, or no multiples of four."""

from __future__ import annotations

from . import launch, windows
from .convolution_tiles import THIN_TILES, Plan, Product, narrowest, plan

MODULE = launch.Module("convolution_thin.cu", structs={"Windows": windows.DTYPE})
for _types, _tiles in (("float", THIN_TILES), (launch.HALVES, THIN_TILES[:3:2])):
    MODULE.declare(
        "convolution_forward_thin", "convolution_backward_data_thin", T=_types,
        N=tuple(t.columns for t in _tiles), V=(4, 1), budget=launch.Budget(threads=128),
    )


def choose(name: str, product: Product) -> tuple[Plan, launch.Kernel, int]:
    """Return plan, kernel and bytes of shared memory (``name``: that of ``convolution.cu``)."""
    tile = narrowest(product.columns, THIN_TILES if product.type == "float" else THIN_TILES[:3:2])
    pack = 4 if product.inner % 4 == 0 else 1
    kernel = MODULE.kernel(f"{name}_thin", T=product.type, N=tile.columns, V=pack)
    return plan(product, launch.processors(), (tile,)), kernel, 0
