"""Launch ``convolution_thin.cu``: few channels or filters, or numbers of them that are no multiples of four."""

from __future__ import annotations

from . import launch, windows
from .convolution_tiles import THIN_TILES, Plan, narrowest, plan

MODULE = launch.Module("convolution_thin.cu", structs={"Windows": windows.DTYPE})
for _types, _tiles in (("float", THIN_TILES), ("__half", THIN_TILES[:3:2])):
    MODULE.declare(
        "convolution_forward_thin", "convolution_backward_data_thin", T=_types,
        N=tuple(t.columns for t in _tiles), V=(4, 1), budget=launch.Budget(threads=128),
    )


def choose(
    name: str, rows: int, inner: int, columns: int, taps: int, copies: int, half: bool
) -> tuple[Plan, launch.Kernel]:
    """Return the plan and the kernel for a product (``name``: that of ``convolution.cu``)."""
    tile = narrowest(columns, THIN_TILES[:3:2] if half else THIN_TILES)
    found = plan(rows, columns, taps * inner, copies, launch.processors(), (tile,))
    kernel = MODULE.kernel(
        f"{name}_thin", T="__half" if half else "float", N=tile.columns, V=4 if inner % 4 == 0 else 1
    )
    return found, kernel
