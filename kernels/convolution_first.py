"""Launch ``convolution_first.cu``: gradients of kernel and bias for any number of channels."""

from __future__ import annotations

import cupy

from . import convolution_sums, launch, windows
from .convolution_tiles import FIRST_TILES, Product, narrowest, plan

MODULE = launch.Module("convolution_first.cu", structs={"Windows": windows.DTYPE})
MODULE.declare(
    "convolution_backward_first", T=launch.FLOATS, N=tuple(t.columns for t in FIRST_TILES),
    budget=launch.Budget(threads=128),
)


def backward(
    product: Product, x, dy, y, places, groups: int, activation: int, with_bias: bool
) -> tuple[cupy.ndarray, cupy.ndarray | None]:
    """Return the gradients of kernel and bias; ``activation`` is a number, ``y`` may be None without one."""
    taps, filters = product.rows, dy.shape[-1]
    product = product._replace(rows=taps + with_bias)
    found = plan(product, launch.processors(), (narrowest(product.columns, FIRST_TILES),))
    sums = cupy.empty((found.parts, product.rows * filters), "float32")
    kernel = MODULE.kernel("convolution_backward_first", T=product.type, N=found.tile.columns)
    kernel(
        found.grid(product), found.tile.threads, x, dy, y, sums, windows.pack(places), len(x), product.inner,
        product.columns, groups, found.parts, activation, int(with_bias),
    )
    result = sums[0]
    if found.parts > 1 or x.dtype != sums.dtype:
        result = cupy.empty(product.rows * filters, x.dtype)
        convolution_sums.total(sums, result)
    dw = result[: taps * filters].reshape(*places.window, product.inner, filters)
    return dw, result[taps * filters :] if with_bias else None
