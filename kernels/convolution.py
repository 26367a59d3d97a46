"""Launch the kernels of convolution; shapes and meanings are those of ``backends.convolution``.

Which kernel runs:

- those of ``gemm`` (or cuBLAS) where every window is one element,
- ``convolution_mma.cu`` and ``convolution_mma_kernel.cu``, on tensor cores, for halves and, where TF32 is
  allowed (``precision``), for float32,
- ``convolution.cu`` and ``convolution_kernel.cu`` where the channels of a group come in fours,
- ``convolution_thin.cu`` and ``convolution_first.cu`` for few channels or filters, and other numbers of them,
- ``convolution_depthwise.cu`` where every channel has filters of its own.
"""

from __future__ import annotations

import math

import cupy

from . import convolution_depthwise as depthwise
from . import (
    convolution_first,
    convolution_kernel,
    convolution_mma,
    convolution_sums,
    convolution_thin,
    gemm,
    launch,
    windows,
)
from .convolution_tiles import HALF_TILES, TILES, Plan, Product, plan

__all__ = [
    "backward_data", "backward_first", "backward_kernel", "backward_output", "forward", "takes",
    "takes_output",
]

MODULE = launch.Module("convolution.cu", structs={"Windows": windows.DTYPE})
for _tile in TILES:
    MODULE.declare(
        "convolution_forward", "convolution_backward_data", M=_tile.rows, N=_tile.columns, R=_tile.down,
        S=_tile.across, B=min(_tile.blocks, 4), T=launch.FLOATS if _tile in HALF_TILES else "float",
        budget=launch.Budget(threads=_tile.threads),
    )
TYPES = launch.TYPES
ACTIVATIONS = {None: 0, "relu": 1, "tanh": 2, "sigmoid": 3}  # as in convolution.cuh
MOST = 1 << 31  # elements: kernels count them in 32 bits
PACK_BYTES = 16  # read at once
MOST_COPIES = 1 << 16  # blocks along the last axis of a grid


def takes(dtype, images: int, places, inner: int, filters: int, groups: int) -> bool:
    """Tell whether there are kernels for this dtype and these sizes.

    Parameters
    ----------
    places : Windows
    inner, filters : int
        Channels of a group, and filters of all.
    """
    elements = max(
        images * math.prod(places.padded) * inner * groups, images * math.prod(places.out) * filters,
        (math.prod(places.window) * inner + 1) * filters,
    )
    copies = groups * math.prod(places.strides)
    return dtype.name in TYPES and elements < MOST and copies < MOST_COPIES and inner > 0 < filters


def activation_number(activation: str | None) -> int:
    """Return the number that kernels know an activation by."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation {activation!r} cannot be fused into a convolution")
    return ACTIVATIONS[activation]


def takes_output(dy) -> bool:
    """Tell whether there is a kernel for the way back through bias and activation."""
    return dy.dtype.name in TYPES and dy.size < MOST and dy.shape[-1] > 0


def is_depthwise(inner: int, groups: int) -> bool:
    """Tell whether every channel has filters of its own."""
    return groups > 1 and inner == 1


def pointwise(places, groups: int) -> bool:
    """Tell whether a convolution is one product of the arrays as they are."""
    return groups == 1 and places.plain


def matrix(array):
    """Return an array as a matrix of its last axis."""
    return cupy.ascontiguousarray(array).reshape(-1, array.shape[-1])


def forward(x, w, places, groups: int = 1, bias=None, activation: str | None = None):
    """Return ``activation(x * w + bias)``."""
    number = activation_number(activation)
    if is_depthwise(w.shape[-2], groups):
        return depthwise.forward(aligned(x), aligned(w), places, aligned(bias), number)
    if pointwise(places, groups):
        y = gemm.multiply(matrix(x), matrix(w), bias=bias, activation=activation)
        return y.reshape(*x.shape[:-1], w.shape[-1])
    taps, columns = math.prod(places.window), w.shape[-1] // groups
    product = Product(
        len(x) * math.prod(places.out), columns, w.shape[-2], taps * w.shape[-2], groups, TYPES[x.dtype.name]
    )
    y = cupy.empty((len(x), *places.out, w.shape[-1]), x.dtype)
    return _run("convolution_forward", product, x, w, y, places, groups, aligned(bias), number)


def backward_data(dy, w, places, groups: int = 1, bias=None, activation: str | None = None):
    """Return the gradient of the inputs, after bias and activation: a transposed convolution has them.

    Each remainder of the inputs' places by the strides has its own blocks.
    """
    number = activation_number(activation)
    if is_depthwise(w.shape[-2], groups):
        return depthwise.backward_data(aligned(dy), aligned(w), places, groups, aligned(bias), number)
    if pointwise(places, groups):
        dx = gemm.multiply(matrix(dy), matrix(w), "nt", bias=bias, activation=activation)
        return dx.reshape(*dy.shape[:-1], w.shape[-2])
    inner, strides = dy.shape[-1] // groups, places.strides
    taps = math.prod(-(-k // s) for k, s in zip(places.window, strides))  # that reach an element
    rows = len(dy) * math.prod(-(-n // s) for n, s in zip(places.size, strides))  # of the largest phase
    product = Product(
        rows, w.shape[-2], inner, taps * inner, groups * math.prod(strides), TYPES[dy.dtype.name]
    )
    dx = cupy.empty((len(dy), *places.size, w.shape[-2] * groups), dy.dtype)
    return _run("convolution_backward_data", product, dy, w, dx, places, groups, aligned(bias), number)


def _run(name: str, product: Product, source, w, result, places, groups: int, bias, activation: int):
    """Launch a product of the source's columns and the kernel, and add its parts, bias and activation."""
    source, w = aligned(source), aligned(w)
    if convolution_mma.takes(product):
        found, kernel, shared = convolution_mma.choose(name, product)
    elif product.packed:
        found, kernel, shared = _choose(name, product)
    else:
        found, kernel, shared = convolution_thin.choose(name, product)
    parts = found.parts
    sums = cupy.empty((parts, result.size), "float32") if parts > 1 else None
    kernel(
        found.grid(product), found.tile.threads, source, w, bias, result, sums, windows.pack(places),
        len(source), product.inner, product.columns, groups, parts, activation, shared=shared,
    )
    if sums is not None:
        convolution_sums.total(sums, result, bias, activation)
    return result


def _choose(name: str, product: Product) -> tuple[Plan, launch.Kernel, int]:
    """Return plan, kernel and bytes of shared memory."""
    found = plan(product, launch.processors(), TILES if product.type == "float" else HALF_TILES)
    tile = found.tile
    kernel = MODULE.kernel(
        name, M=tile.rows, N=tile.columns, R=tile.down, S=tile.across, B=min(tile.blocks, 4), T=product.type
    )
    return found, kernel, 0


def backward_kernel(x, dy, places, groups: int = 1):
    """Return the gradient of the kernel."""
    if is_depthwise(x.shape[-1] // groups, groups):
        return depthwise.backward_kernel(aligned(x), aligned(dy), places)
    if pointwise(places, groups):
        return gemm.multiply(matrix(x), matrix(dy), "tn").reshape(*places.window, x.shape[-1], dy.shape[-1])
    product = _kernel_product(x, dy, places, groups)
    if product.packed:
        return convolution_kernel.backward(product, aligned(x), aligned(dy), places, groups)
    return convolution_first.backward(product, aligned(x), aligned(dy), None, places, groups, 0, False)[0]


def backward_first(x, dy, y, places, groups: int = 1, activation: str | None = None, with_bias: bool = True):
    """Return the gradients of kernel and bias, ``dy`` being taken back through the activation on the way."""
    number = activation_number(activation)
    if pointwise(places, groups):
        y = matrix(y) if activation else None
        found = gemm.multiply(matrix(x), matrix(dy), "tn", y=y, activation=activation, sums=with_bias)
        dw, dbias = found if with_bias else (found, None)
        return dw.reshape(*places.window, x.shape[-1], dy.shape[-1]), dbias
    product = _kernel_product(x, dy, places, groups)
    if product.packed or is_depthwise(product.inner, groups):
        dz, dbias = backward_output(dy, y, activation, with_bias)
        return backward_kernel(x, dz, places, groups), dbias
    y = None if activation is None else aligned(y)
    return convolution_first.backward(product, aligned(x), aligned(dy), y, places, groups, number, with_bias)


def _kernel_product(x, dy, places, groups: int) -> Product:
    """Return the product that makes a kernel's gradient; its sums run over the places of windows."""
    inner, columns = x.shape[-1] // groups, dy.shape[-1] // groups
    return Product(
        math.prod(places.window) * inner, columns, inner, len(x) * math.prod(places.out), groups,
        TYPES[x.dtype.name],
    )


def backward_output(dy, y, activation: str | None = None, with_bias: bool = True):
    """Take ``dy`` back through activation and bias: return the gradients of the sum and of the bias."""
    number = activation_number(activation)
    y = None if activation is None else aligned(y)
    return convolution_sums.backward_output(aligned(dy), y, number, with_bias)


def aligned(array):
    """Return an array as kernels read it: contiguous, packs at multiples of their size."""
    if array is None:
        return None
    array = cupy.ascontiguousarray(array)
    return array.copy() if array.data.ptr % PACK_BYTES else array
