"""Launch ``elementwise.cu``, and what launches over flat arrays share.

An activation is named as in ``ACTIVATIONS``, its settings follow in the order given there.
"""

from __future__ import annotations

import functools
import math
import re

import cupy

from . import launch

THREADS = 256  # of a block
BLOCKS = 32  # most of them for each multiprocessor: more work is done in turns
PACK = 16  # bytes that a thread loads at once
MODULE = launch.Module("elementwise.cu")
MODULE.declare("activation_forward", "activation_backward", "bias_activation", T=launch.FLOATS)
TYPES = launch.TYPES
MOST_ROWS = 1 << 31  # counted in 32 bits

# The kernels' number by name, and their settings a, b, c where they are always the same.
ACTIVATIONS = {
    "linear": ("linear", ()), "relu": ("relu", ()), "relu6": ("clipped_relu", (0.0, 0.0, 6.0)),
    "clipped_relu": ("clipped_relu", ()),  # slope, threshold, largest result
    "leaky_relu": ("leaky_relu", ()),  # slope
    "elu": ("elu", ()), "selu": ("selu", ()), "celu": ("celu", ()),  # alpha (not of selu)
    "sigmoid": ("sigmoid", ()), "tanh": ("tanh_", ()), "silu": ("silu", ()),
    "log_sigmoid": ("log_sigmoid", ()),
    "hard_sigmoid": ("hard_sigmoid", (1 / 6, 0.5, 3.0)),
    "hard_sigmoid_keras2": ("hard_sigmoid", (0.2, 0.5, 2.5)),
    "sparse_sigmoid": ("hard_sigmoid", (0.5, 0.5, 1.0)),
    "hard_silu": ("hard_silu", ()), "hard_tanh": ("hard_tanh", ()), "softplus": ("softplus", ()),
    "softsign": ("softsign", ()), "mish": ("mish", ()), "gelu_tanh": ("gelu_tanh", ()),
    "gelu_erf": ("gelu_erf", ()), "squareplus": ("squareplus", ()),  # b
    "sparse_plus": ("sparse_plus", ()), "soft_shrink": ("soft_shrink", ()),  # threshold
    "hard_shrink": ("hard_shrink", ()),  # threshold
    "tanh_shrink": ("tanh_shrink", ()), "threshold": ("threshold", ()),  # threshold, result up to there
}
FROM_RESULT = ("relu", "sigmoid", "tanh")  # whose gradient takes the result, not the input


# ---- flat arrays -----------------------------------------------------------------------------------------
def aligned(*arrays) -> bool:
    """Tell whether all ``arrays`` (or ``None``) begin where a pack may."""
    return all(a is None or a.data.ptr % PACK == 0 for a in arrays)


def blocks(n: int, each: int) -> int:
    """Return how many blocks treat ``n`` elements, ``each`` by a thread at a time."""
    return min(-(-n // (THREADS * each)), BLOCKS * launch.processors())


def line(n: int, itemsize: int, packed: bool) -> tuple[int, int]:
    """Return grid and block for ``n`` elements in a line."""
    return blocks(n, PACK // itemsize if packed else 1), THREADS


# ---- activations -----------------------------------------------------------------------------------------
@functools.cache
def _number(name: str) -> int:
    """Return what the source counts a kind of activation as."""
    (names,) = re.findall(r"enum Kind \{(.*?)\}", MODULE.source, re.DOTALL)
    return [n.strip() for n in names.split(",")].index(name)


def settings_of(name: str, settings: tuple) -> tuple:
    """Return number, a, b and c of an activation."""
    kind, fixed = ACTIVATIONS[name]
    a, b, c = (*(fixed or settings), 0.0, 0.0, 0.0)[:3]
    return _number(kind), a, b, math.inf if c is None else c


def takes(*arrays) -> bool:
    """Tell whether there are kernels for arrays of this dtype (all must have it)."""
    kind = arrays[0].dtype
    return kind.name in TYPES and all(a is None or a.dtype == kind for a in arrays)


def activation_forward(x, name: str, *settings, out=None):
    """Return the activation of ``x``, in ``out`` where that is given; it may be ``x``."""
    x = cupy.ascontiguousarray(x)
    y = cupy.empty(x.shape, x.dtype) if out is None else out
    packed = aligned(x, y)
    kernel = MODULE.kernel("activation_forward", T=TYPES[x.dtype.name])
    kernel(*line(x.size, x.itemsize, packed), x, y, x.size, packed, *settings_of(name, settings))
    return y


def activation_backward(dy, v, name: str, *settings, out=None):
    """Return the gradient before an activation from the one after it.

    Parameters
    ----------
    dy, v : array
        ``v`` is the input of the activation, for those in ``FROM_RESULT`` its result.
    out : array, optional
        May be ``dy``.
    """
    dy, v = cupy.ascontiguousarray(dy), cupy.ascontiguousarray(v)
    dx = cupy.empty(v.shape, v.dtype) if out is None else out
    packed = aligned(dy, v, dx)
    kernel = MODULE.kernel("activation_backward", T=TYPES[v.dtype.name])
    kernel(*line(v.size, v.itemsize, packed), dy, v, dx, v.size, packed, *settings_of(name, settings))
    return dx


def bias_activation(x, bias, name: str = "linear", *settings, out=None):
    """Return the activation of ``x`` (..., U) + ``bias`` (U,), in ``out`` if given; it may be ``x``."""
    x, bias = cupy.ascontiguousarray(x), cupy.ascontiguousarray(bias)
    y = cupy.empty(x.shape, x.dtype) if out is None else out
    columns = bias.size
    rows, pack = x.size // max(1, columns), PACK // x.itemsize
    packed = columns % pack == 0 and aligned(x, bias, y)
    grid, block = launch.plane(columns // pack if packed else columns, rows, THREADS)
    kernel = MODULE.kernel("bias_activation", T=TYPES[x.dtype.name])
    kernel(grid, block, x, bias, y, rows, columns, packed, *settings_of(name, settings))
    return y
