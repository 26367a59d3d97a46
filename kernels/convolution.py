"""Launch the kernels of convolution; shapes and meanings are those of ``backends.convolution``.

Which kernel runs:

- ``convolution.cu`` and ``convolution_kernel.cu`` where the channels of a group come in fours,
- ``convolution_thin.cu`` and ``convolution_first.cu`` for few channels or filters, and other numbers of them,
- ``convolution_depthwise.cu`` where every channel has filters of its own.
"""

from __future__ import annotations

import math

import cupy

from . import convolution_depthwise as depthwise
from . import convolution_first, convolution_kernel, convolution_sums, convolution_thin, launch, windows
from .convolution_tiles import HALF_TILES, TILES, plan

__all__ = [
    "backward_data", "backward_first", "backward_kernel", "backward_output", "forward", "takes",
    "takes_output",
]

MODULE = launch.Module("convolution.cu", structs={"Windows": windows.DTYPE})
for _tile in TILES:
    MODULE.declare(
        "convolution_forward", "convolution_backward_data", M=_tile.rows, N=_tile.columns, R=_tile.down,
        S=_tile.across, B=min(_tile.blocks, 4), T=("float", "__half") if _tile in HALF_TILES else "float",
        budget=launch.Budget(threads=_tile.threads),
    )
TYPES = {"float32": "float", "float16": "__half"}
ACTIVATIONS = {None: 0, "relu": 1, "tanh": 2, "sigmoid": 3}  # as in convolution.cuh
MOST = 1 << 31  # elements: kernels count them in 32 bits
MOST_COPIES = 1 << 16  # blocks along the last axis of a grid
PACK = 4  # channels read at once
FEW = 16  # columns for which tiles of ``convolution.cu`` are too wide


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
    return dtype.name in TYPES and elements < MOST and copies < MOST_COPIES and 0 < inner and groups <= filters


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


def packed(inner: int, columns: int) -> bool:
    """Tell whether a product is one for tiles of ``convolution.cu``, by the channels of a group on both sides."""
    return inner % PACK == columns % PACK == 0 and inner > PACK and columns > FEW


def forward(x, w, places, groups: int = 1, bias=None, activation: str | None = None):
    """Return ``activation(x * w + bias)``."""
    number = activation_number(activation)
    if is_depthwise(w.shape[-2], groups):
        return depthwise.forward(aligned(x), aligned(w), places, aligned(bias), number)
    columns = w.shape[-1] // groups
    rows = len(x) * math.prod(places.out)
    y = cupy.empty((len(x), *places.out, w.shape[-1]), x.dtype)
    return _product(
        "convolution_forward", x, w, y, places, rows, w.shape[-2], columns, groups, (1, math.prod(places.window)),
        bias, number,
    )


def backward_data(dy, w, places, groups: int = 1):
    """Return the gradient of the inputs: each remainder of their positions by the strides by blocks of its own."""
    if is_depthwise(w.shape[-2], groups):
        return depthwise.backward_data(aligned(dy), aligned(w), places, groups)
    inner = dy.shape[-1] // groups
    steps = list(zip(places.size, places.window, places.strides))
    rows = len(dy) * math.prod(-(-n // s) for n, _, s in steps)
    taps = math.prod(-(-k // s) for _, k, s in steps)
    dx = cupy.empty((len(dy), *places.size, w.shape[-2] * groups), dy.dtype)
    return _product(
        "convolution_backward_data", dy, w, dx, places, rows, inner, w.shape[-2], groups,
        (math.prod(places.strides), taps),
    )


def _product(
    name: str, source, w, result, places, rows: int, inner: int, columns: int, groups: int,
    phases_and_taps: tuple[int, int], *last,
):
    """Launch a product of the source's columns and the kernel, and add its parts.

    ``last`` is bias and activation of a forward pass. Of phases, the first has most rows; the others exist up to
    there.
    """
    source, w, bias = aligned(source), aligned(w), aligned(last[0]) if last else None
    phases, taps = phases_and_taps
    half = source.dtype.itemsize == 2
    copies = groups * phases
    if packed(inner, columns):
        found = plan(
            rows, columns, taps * inner, copies, launch.processors(), HALF_TILES if half else TILES
        )
        tile = found.tile
        kernel = MODULE.kernel(
            name, M=tile.rows, N=tile.columns, R=tile.down, S=tile.across, B=min(tile.blocks, 4),
            T=TYPES[source.dtype.name],
        )
    else:
        found, kernel = convolution_thin.choose(name, rows, inner, columns, taps, copies, half)
    parts = found.parts
    sums = cupy.empty((parts, result.size), "float32") if parts > 1 else None
    numbers = (windows.pack(places), len(source), inner, columns, groups, parts, *last[1:])
    arrays = (source, w, bias, result, sums) if last else (source, w, result, sums)
    kernel(found.grid(rows, columns, copies), found.tile.threads, *arrays, *numbers)
    if sums is not None:
        convolution_sums.total(sums, result, bias, *last[1:])
    return result


def backward_kernel(x, dy, places, groups: int = 1):
    """Return the gradient of the kernel."""
    inner, columns = x.shape[-1] // groups, dy.shape[-1] // groups
    if is_depthwise(inner, groups):
        return depthwise.backward_kernel(aligned(x), aligned(dy), places)
    if packed(inner, columns):
        return convolution_kernel.backward(aligned(x), aligned(dy), places, groups)
    return backward_first(x, dy, None, places, groups, None, with_bias=False)[0]


def backward_first(x, dy, y, places, groups: int = 1, activation: str | None = None, with_bias: bool = True):
    """Return the gradients of kernel and bias, ``dy`` being taken back through the activation on the way."""
    number = activation_number(activation)
    inner, columns = x.shape[-1] // groups, dy.shape[-1] // groups
    if packed(inner, columns) or is_depthwise(inner, groups):
        dz, dbias = backward_output(dy, y, activation, with_bias)
        return backward_kernel(x, dz, places, groups), dbias
    y = None if activation is None else aligned(y)
    return convolution_first.backward(aligned(x), aligned(dy), y, places, groups, number, with_bias)


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
    return array.copy() if array.data.ptr % (PACK * array.dtype.itemsize) else array
