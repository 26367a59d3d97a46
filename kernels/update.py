"""Launch ``update.cu``; arrays and settings are those of the rules in ``backends.update``.

A learning rate is a Python number, or an array of no axes on the device, read when the kernel runs: a step
that was recorded as a CUDA graph follows it. What depends on the number of the step beside the rate may come
from the device as well: ``adam_rate``, ``adamax_rate``, ``nadam_factors`` and ``lamb_corrections`` compute it
there from a counter.
"""

from __future__ import annotations

import functools
import math

import cupy
import numpy as np

from . import launch
from .elementwise import THREADS, aligned, line

WORDS = 4  # bytes of an element
MOST_SUMS = 1024  # blocks that add squares up; as many on every device, so that sums are the same
PIECE = 1 << 14  # elements of a variable that a block clips
MODULE = launch.Module("update.cu")
MODULE.declare(
    "sgd_update", "momentum_update", "rmsprop_update", "adagrad_update", "adadelta_update", "adam_update",
    "adamax_update", "nadam_update", "lion_update", "ftrl_update", "average_update", "square_sums",
    "sum_of_sums", "lamb_moments", "lamb_update", "sgd_update_rows", "adagrad_update_rows", "put_rows",
    "piece_sums", "clip_pieces",
)
MODULE.declare(
    "clip_factor", "corrected_rate", "nadam_factors", "moment_corrections", budget=launch.Budget(threads=32)
)


def takes(*arrays) -> bool:
    """Tell whether there are kernels for these arrays (or ``None``): contiguous, of float32, of one size."""
    size = arrays[0].size
    return all(
        a is None or (a.dtype == "float32" and a.size == size and a.flags.c_contiguous) for a in arrays
    )


def split_rate(rate) -> tuple:
    """Return a learning rate as kernels take it: a number of the host, and one of the device or ``None``."""
    if isinstance(rate, cupy.ndarray):
        return 1.0, rate.astype("float32", copy=False)
    return float(rate), None


def _run(name: str, arrays: tuple, *settings, more: tuple = ()) -> None:
    """Launch over arrays of one size; ``more`` come behind them."""
    n, packed = arrays[0].size, aligned(*arrays)
    MODULE.kernel(name)(*line(n, WORDS, packed), *arrays, *more, n, packed, *settings)


# ---- rules -----------------------------------------------------------------------------------------------
def sgd_update(p, g, *, learning_rate) -> None:
    _run("sgd_update", (p, g), *split_rate(learning_rate))


def momentum_update(p, g, m, *, learning_rate, momentum, nesterov) -> None:
    _run("momentum_update", (p, g, m), *split_rate(learning_rate), momentum, nesterov)


def rmsprop_update(p, g, v, m=None, a=None, *, learning_rate, rho, momentum, epsilon) -> None:
    _run("rmsprop_update", (p, g, v, m, a), *split_rate(learning_rate), rho, 1 - rho, momentum, epsilon)


def adagrad_update(p, g, s, *, learning_rate, epsilon) -> None:
    _run("adagrad_update", (p, g, s), *split_rate(learning_rate), epsilon)


def adadelta_update(p, g, s, d, *, learning_rate, rho, epsilon) -> None:
    _run("adadelta_update", (p, g, s, d), *split_rate(learning_rate), rho, 1 - rho, epsilon)


def adam_update(p, g, m, v, h=None, *, learning_rate, beta_1, beta_2, epsilon) -> None:
    _run(
        "adam_update", (p, g, m, v, h), *split_rate(learning_rate), beta_1, 1 - beta_1, beta_2, 1 - beta_2,
        epsilon,
    )


def adamax_update(p, g, m, u, *, learning_rate, beta_1, beta_2, epsilon) -> None:
    _run("adamax_update", (p, g, m, u), *split_rate(learning_rate), beta_1, 1 - beta_1, beta_2, epsilon)


def nadam_update(
    p, g, m, v, *, learning_rate, beta_1, beta_2, epsilon, momentum_factor, gradient_factor, correction,
    factors=None,
) -> None:
    """``factors`` of ``nadam_factors`` take the place of the last three numbers."""
    _run(
        "nadam_update", (p, g, m, v), *split_rate(learning_rate), beta_1, 1 - beta_1, beta_2, 1 - beta_2,
        epsilon, momentum_factor, gradient_factor, correction, more=(factors,),
    )


def lion_update(p, g, m, *, learning_rate, beta_1, beta_2) -> None:
    _run("lion_update", (p, g, m), *split_rate(learning_rate), beta_1, 1 - beta_1, beta_2, 1 - beta_2)


def ftrl_update(p, g, s, z, *, learning_rate, power, l1, l2, shrinkage, beta) -> None:
    _run("ftrl_update", (p, g, s, z), *split_rate(learning_rate), power, l1, 2 * l2, 2 * shrinkage, beta)


def lamb_update(p, g, m, v, *, learning_rate, beta_1, beta_2, epsilon, corrections) -> None:
    """``corrections``: two numbers, or an array of ``lamb_corrections``."""
    on_device = isinstance(corrections, cupy.ndarray)
    at, (first, second) = (corrections, (1.0, 1.0)) if on_device else (None, corrections)
    n, packed = p.size, aligned(p, g, m, v)
    grid = _few_blocks(n, packed)
    sums = cupy.empty(2 * grid, "float32")
    MODULE.kernel("lamb_moments")(
        grid, THREADS, p, g, m, v, sums, at, n, packed, beta_1, 1 - beta_1, beta_2, 1 - beta_2, epsilon,
        first, second,
    )
    MODULE.kernel("lamb_update")(
        grid, THREADS, p, m, v, sums, at, n, packed, *split_rate(learning_rate), epsilon, first, second
    )


def average_update(average, p, *, momentum) -> None:
    _run("average_update", (average, p), momentum, 1 - momentum)


# ---- clipping --------------------------------------------------------------------------------------------
def _few_blocks(n: int, packed: bool) -> int:
    return min(-(-n // (THREADS * (4 if packed else 1))), MOST_SUMS)


def square_sum(x):
    """Return the sum of squares of ``x`` as an array of no axes; equal for equal arrays."""
    packed = aligned(x)
    count = _few_blocks(x.size, packed)
    sums, total = cupy.empty(count, "float32"), cupy.empty((), "float32")
    MODULE.kernel("square_sums")(count, THREADS, x, sums, x.size, packed)
    MODULE.kernel("sum_of_sums")(1, THREADS, sums, total, count)
    return total


def clip_factor(square_sum, limit: float):
    """Return what scales a gradient to a norm of at most ``limit``, as an array of no axes."""
    factor = cupy.empty((), "float32")
    MODULE.kernel("clip_factor")(1, 32, square_sum, factor, limit)
    return factor


def clip_each(g, bounds: tuple, limit: float) -> None:
    """Scale the parts g[start:stop], each to a norm of at most ``limit``."""
    table = _pieces(bounds, cupy.cuda.runtime.getDevice())
    packed = aligned(g) and all(start % 4 == 0 for start, _ in bounds)
    count = len(table)
    sums = cupy.empty(count, "float32")
    MODULE.kernel("piece_sums")(count, THREADS, g, table, sums, packed)
    MODULE.kernel("clip_pieces")(count, THREADS, g, table, sums, packed, limit)


@functools.cache  # for good: captured graphs read these tables
def _pieces(bounds: tuple, device: int):
    """Return start, stop, first piece of its part and their number, for every piece of all parts."""
    rows: list[tuple] = []
    for start, stop in bounds:
        starts = range(start, stop, PIECE)
        rows += [(at, min(at + PIECE, stop), len(rows), len(starts)) for at in starts]
    return cupy.asarray(np.array(rows, np.int64).reshape(-1, 4))


# ---- numbers of a step that the device counts ------------------------------------------------------------
def _log(beta: float) -> float:
    return math.log(beta) if beta else -math.inf


def adam_rate(learning_rate, counter, beta_1: float, beta_2: float, out=None):
    """Return Adam's rate, corrected for the moments' start at zero, as an array of no axes.

    Parameters
    ----------
    learning_rate : array of float32, no axes
    counter : array of int32, no axes
        Steps made so far.
    out : array of float32, no axes, optional
    """
    return _corrected(learning_rate, counter, _log(beta_1), _log(beta_2), out)


def adamax_rate(learning_rate, counter, beta_1: float, out=None):
    """Return Adamax's rate; see ``adam_rate``."""
    return _corrected(learning_rate, counter, _log(beta_1), 0.0, out)


def _corrected(learning_rate, counter, log_beta_1, log_beta_2, out):
    rate = cupy.empty((), "float32") if out is None else out
    MODULE.kernel("corrected_rate")(1, 32, learning_rate, counter, rate, log_beta_1, log_beta_2)
    return rate


def nadam_factors(counter, product, beta_1: float, beta_2: float, schedule_decay: float = 1.0, out=None):
    """Return the ``factors`` of ``nadam_update`` and take this step's momentum into ``product``.

    Parameters
    ----------
    counter : array of int32, no axes
        Steps made so far.
    product : array of float32, no axes
        Of the momenta of all steps so far.
    """
    factors = cupy.empty(3, "float32") if out is None else out
    schedule = schedule_decay * math.log2(0.96)
    MODULE.kernel("nadam_factors")(1, 32, counter, product, factors, beta_1, _log(beta_2), schedule)
    return factors


def lamb_corrections(counter, beta_1: float, beta_2: float, out=None):
    """Return the ``corrections`` of ``lamb_update`` after ``counter`` steps."""
    corrections = cupy.empty(2, "float32") if out is None else out
    MODULE.kernel("moment_corrections")(1, 32, counter, corrections, _log(beta_1), _log(beta_2))
    return corrections


# ---- few rows of a table ---------------------------------------------------------------------------------
def takes_rows(p, g, *slots) -> bool:
    """Tell whether there are kernels for a table, the gradient of some of its rows, and slots."""
    return takes(p, *slots) and g.dtype == "float32" and g.values.size < 1 << 31


def sgd_update_rows(p, g, *, learning_rate) -> None:
    _run_rows("sgd_update_rows", (p,), g, *split_rate(learning_rate))


def adagrad_update_rows(p, g, s, *, learning_rate, epsilon) -> None:
    _run_rows("adagrad_update_rows", (p, s), g, *split_rate(learning_rate), epsilon)


def spread_rows(g):
    """Return the gradient of some rows as one of the whole table, a vector."""
    dense = cupy.zeros(math.prod(g.shape), "float32")
    _run_rows("put_rows", (dense,), g)
    return dense


def _run_rows(name: str, arrays: tuple, g, *settings) -> None:
    rows = cupy.ascontiguousarray(g.rows.astype("int64", copy=False))
    count, width = g.values.shape
    grid, block = launch.plane(width, count, THREADS)
    MODULE.kernel(name)(
        grid, block, *arrays, rows, cupy.ascontiguousarray(g.values), count, width, g.shape[0], *settings
    )
