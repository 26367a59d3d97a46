"""Launch ``convolution_depthwise.cu``: every channel has ``many`` filters of its own."""

from __future__ import annotations

import math

import cupy

from . import convolution_sums, launch, windows

MODULE = launch.Module("convolution_depthwise.cu", structs={"Windows": windows.DTYPE})
THREADS = 128  # of a block
LANES = 32  # filters of a block of the kernel's gradient
RUN = 4  # places of a thread of the others
DOWN = THREADS // LANES  # places that it treats at once
TAPS = 9  # of a thread of it
BLOCKS = 16  # of it, for each multiprocessor
MODULE.declare(
    "convolution_depthwise_forward", "convolution_depthwise_backward_data",
    "convolution_depthwise_backward_kernel", T=launch.FLOATS, V=(4, 1),
    budget=launch.Budget(threads=THREADS),
)
TYPES = launch.TYPES


def forward(x, w, places, bias, activation: int):
    """Return ``activation(x * w + bias)``; ``activation`` is a number."""
    channels, many = x.shape[-1], w.shape[-1] // x.shape[-1]
    y = cupy.empty((len(x), *places.out, w.shape[-1]), x.dtype)
    _run("convolution_depthwise_forward", 1, (x, w, bias, y), y, places, channels, many, activation)
    return y


def backward_data(dy, w, places, channels: int, bias, activation: int):
    """Return the gradient of the inputs, after bias and activation (a number)."""
    dx = cupy.empty((len(dy), *places.size, channels), dy.dtype)
    many = dy.shape[-1] // channels
    _run(
        "convolution_depthwise_backward_data", places.strides[-1], (dy, w, bias, dx), dx, places, channels,
        many, activation,
    )
    return dx


def _run(name: str, phases: int, arrays: tuple, result, places, channels: int, many: int, *last) -> None:
    """Launch with a thread for every pack of channels of ``RUN`` places of ``result``, ``phases`` apart."""
    pack = 4 if many == 1 and channels % 4 == 0 else 1
    kernel = MODULE.kernel(name, T=TYPES[result.dtype.name], V=pack)
    rows = math.prod(result.shape[:-2])
    runs = -(-result.shape[-2] // (phases * RUN)) * phases
    columns = runs * (result.shape[-1] // pack)
    grid, block = launch.plane(columns, rows, THREADS)
    kernel(grid, block, *arrays, windows.pack(places), rows, channels, many, *last)


def backward_kernel(x, dy, places):
    """Return the gradient of the kernel."""
    channels, filters = x.shape[-1], dy.shape[-1]
    taps, depth = math.prod(places.window), len(x) * math.prod(places.out)
    across, layers = -(-filters // LANES), -(-taps // TAPS)
    wanted = max(1, BLOCKS * launch.processors() // (across * layers))
    share = -(-max(1, depth) // wanted)
    share = max(DOWN * TAPS, -(-share // DOWN) * DOWN)
    parts = max(1, -(-depth // share))
    sums = cupy.empty((parts, taps * filters), "float32")
    kernel = MODULE.kernel("convolution_depthwise_backward_kernel", T=TYPES[x.dtype.name], V=1)
    kernel(
        (parts, across, layers), (LANES, DOWN), x, dy, sums, windows.pack(places), len(x), channels,
        filters // channels, share,
    )
    dw = cupy.empty((*places.window, 1, filters), x.dtype)
    convolution_sums.total(sums, dw)
    return dw
