"""Launch ``pooling.cu``; the shapes and meanings are those of ``backends.pooling``."""

from __future__ import annotations

import math

import cupy

from . import launch, windows

THREADS = 128  # of a block
MODULE = launch.Module("pooling.cu", structs={"Windows": windows.DTYPE})
MODULE.declare(
    "max_pool_forward", "max_pool_backward", "max_pool_select", "average_pool_forward",
    "average_pool_backward", T=launch.FLOATS, W=("unsigned char", "int"), V=(4, 1),
    budget=launch.Budget(threads=THREADS),
)
TYPES = launch.TYPES
BYTE = 256  # taps whose number fits into a byte
MOST_ROWS = 1 << 31  # of all images: kernels count them in 32 bits


def takes(dtype, shape, places) -> bool:
    """Tell whether there are kernels for this dtype and for images of these sizes."""
    rows = shape[0] * max(math.prod(places.size[:-1]), math.prod(places.out[:-1]))
    return dtype.name in TYPES and rows < MOST_ROWS and set(places.dilation) == {1}


def max_pool_forward(x, places, training: bool):
    """Return the largest element of every window and, for training, the number of its tap, else ``None``."""
    y = cupy.empty((len(x), *places.out, x.shape[-1]), x.dtype)
    few = math.prod(places.window) <= BYTE
    where = cupy.empty(y.shape, cupy.uint8 if few else cupy.int32) if training else None
    _run("max_pool_forward", y, places, (x, y, where), few)
    return y, where


def max_pool_backward(dy, where, places):
    """Return the gradient of the inputs."""
    dx = cupy.empty((len(dy), *places.size, dy.shape[-1]), dy.dtype)
    _run("max_pool_backward", dx, places, (dy, where, dx), where.dtype.itemsize == 1)
    return dx


def max_pool_select(v, where, places):
    """Return the elements of ``v`` that ``where`` tells."""
    y = cupy.empty(where.shape, v.dtype)
    _run("max_pool_select", y, places, (v, where, y), where.dtype.itemsize == 1)
    return y


def average_pool_forward(x, places):
    """Return the mean of every window."""
    y = cupy.empty((len(x), *places.out, x.shape[-1]), x.dtype)
    _run("average_pool_forward", y, places, (x, y))
    return y


def average_pool_backward(dy, places):
    """Return the gradient of the inputs."""
    dx = cupy.empty((len(dy), *places.size, dy.shape[-1]), dy.dtype)
    _run("average_pool_backward", dx, places, (dy, dx))
    return dx


def _run(name: str, result, places, arrays: tuple, few: bool = True) -> None:
    """Launch with a thread for every pack of channels of ``result``."""
    arrays = tuple(a if a is None else cupy.ascontiguousarray(a) for a in arrays)
    channels = result.shape[-1]
    pack = 4 if channels % 4 == 0 else 1
    kernel = MODULE.kernel(
        name, T=TYPES[result.dtype.name], W="unsigned char" if few else "int", V=pack
    )
    rows = math.prod(result.shape[:-2])
    grid, block = launch.plane(result.shape[-2] * channels // pack, rows, THREADS)
    kernel(grid, block, *arrays, windows.pack(places), rows, channels)
