"""Launch ``dropout.cu``: random numbers of the device, and dropout.

The state of a generator lies on the device and advances there, so a step recorded as a CUDA graph draws fresh
numbers every time it is repeated.
"""

from __future__ import annotations

import cupy
import numpy as np

from . import launch
from .elementwise import THREADS, TYPES, aligned, blocks

LANES = 8  # elements of dropout that one counter decides
LEVELS = 1 << 16  # of probabilities
MODULE = launch.Module("dropout.cu")
MODULE.declare(
    "random_words", "uniform", "normal", "dropout_factor", "dropout_forward", "dropout_backward",
    T=launch.FLOATS,
)


def new_state(key: int):
    """Return the state of a generator: key, number of the next draw, blocks that have finished."""
    return cupy.asarray(np.array([key, 0, 0], np.uint64))


def random_words(state, n: int, start: int = 0):
    """Return ``n`` words of the next draw from counter ``start`` on, without counting the draw."""
    words = cupy.empty(n, "uint32")
    _kernel("random_words")(blocks(n, 4), THREADS, state, words, n, start)
    return words


def uniform(state, shape, low: float, high: float, dtype):
    """Return draws from [low, high)."""
    y = cupy.empty(shape, dtype)
    kind = y.dtype.type
    most = float(np.nextafter(kind(high), kind(low)))  # rounding may reach ``high``
    packed = aligned(y)
    _kernel("uniform", y)(blocks(y.size, 4), THREADS, state, y, y.size, packed, low, high - low, most)
    return y


def normal(state, shape, mean: float, stddev: float, dtype):
    """Return draws from a normal distribution."""
    y = cupy.empty(shape, dtype)
    packed = aligned(y)
    _kernel("normal", y)(blocks(y.size, 4), THREADS, state, y, y.size, packed, mean, stddev)
    return y


# ---- dropout ---------------------------------------------------------------------------------------------
def _chances(rate: float) -> tuple[int, float]:
    """Return below what an element's 16 bits must lie for it to be dropped, and the factor of the others."""
    return round(rate * LEVELS), 1 / (1 - rate) if rate < 1 else 0.0


def dropout_factor(state, shape, rate: float, dtype):
    """Return 0 with probability ``rate`` and 1 / (1 - rate) elsewhere."""
    y = cupy.empty(shape, dtype)
    packed = aligned(y)
    _kernel("dropout_factor", y)(_grid(y), THREADS, state, y, y.size, packed, *_chances(rate))
    return y


def dropout_forward(state, x, rate: float):
    """Return dropout of ``x``, and what ``dropout_backward`` draws the same elements from."""
    x = cupy.ascontiguousarray(x)
    y, drawn = cupy.empty(x.shape, x.dtype), cupy.empty(2, "uint64")
    kernel = _kernel("dropout_forward", x)
    kernel(_grid(x), THREADS, state, drawn, x, y, x.size, aligned(x, y), *_chances(rate))
    return y, drawn


def dropout_backward(drawn, dy, rate: float):
    """Return ``dy`` where the forward pass kept the element, scaled as there."""
    dy = cupy.ascontiguousarray(dy)
    dx = cupy.empty(dy.shape, dy.dtype)
    kernel = _kernel("dropout_backward", dy)
    kernel(_grid(dy), THREADS, drawn, dy, dx, dy.size, aligned(dy, dx), *_chances(rate))
    return dx


def _grid(x) -> int:
    return blocks(x.size, LANES)


def _kernel(name: str, array=None):
    return MODULE.kernel(name, T="float" if array is None else TYPES[array.dtype.name])
