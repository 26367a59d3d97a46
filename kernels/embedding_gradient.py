"""Launch ``embedding_gradient.cu``: sums of rows that have equal numbers.

Nothing waits for the host: CuPy's own sort would, and could not be recorded in a CUDA graph.
"""

from __future__ import annotations

import cupy

from . import launch
from .elementwise import TYPES, aligned, blocks
from .embedding import numbers

TILE = 4096  # numbers that a block sorts by one digit
CHUNK = 32  # sorted numbers whose rows one thread adds
DIGIT = 8  # bits
WIDE = 128  # threads of a block that adds
MODULE = launch.Module("embedding_gradient.cu")
MODULE.declare(
    "number_keys", "digit_counts", "sort_digit", "sum_chunks", "join_chunks", "mean_rows",
    T=launch.FLOATS,
)
MODULE.declare("digit_starts", T=launch.FLOATS, budget=launch.Budget(threads=1024, registers=64))
MOST = (1 << 31) - TILE  # numbers, and rows of a table


def takes(dy, rows, count: int) -> bool:
    """Tell whether the kernels add rows of ``dy`` into a table of ``count`` rows."""
    return dy.dtype.name in TYPES and rows.dtype.kind in "iu" and max(rows.size, count) < MOST


def sort_rows(rows, count: int, wrap: bool = False) -> tuple:
    """Return the numbers in ascending order and where each was before; equal ones stay in their order.

    Parameters
    ----------
    rows : array of int
        Those outside of [0, count) become ``count``; with ``wrap`` negative ones count from the end.
    count : int

    Returns
    -------
    keys, places : array of uint32, shape (rows.size,)
    """
    n = rows.size
    pairs = [(cupy.empty(n, "uint32"), cupy.empty(n, "uint32")) for _ in range(2)]
    _kernel("number_keys")(blocks(n, 1), 256, *numbers(rows.reshape(-1)), *pairs[0], n, count, wrap)
    tiles = -(-n // TILE)
    counts = cupy.empty(tiles << DIGIT, "int32")
    for shift in range(0, count.bit_length(), DIGIT):
        _kernel("digit_counts")(tiles, 256, pairs[0][0], counts, n, shift)
        _kernel("digit_starts")(min(tiles, 1), 1024, counts, counts.size)
        _kernel("sort_digit")(tiles, 256, *pairs[0], counts, *pairs[1], n, shift)
        pairs.reverse()
    return pairs[0]


def _kernel(name: str, dtype: str = "float32"):
    return MODULE.kernel(name, T=TYPES[dtype])


def add_rows(total, rows, dy, repeats: int = 1, add: bool = True, wrap: bool = False) -> None:
    """Do ``total[rows] += dy`` for equal numbers too, always in the same order.

    Parameters
    ----------
    total : array, shape (V, E), contiguous
    rows : array of int
        Those outside of the table are passed over; with ``wrap`` negative ones count from the end.
    dy : array, shape (rows.size / repeats, E)
        Every ``repeats`` neighbouring numbers share a row.
    add : bool
        ``False``: set the rows instead, to the sums.
    """
    n, (count, width) = rows.size, total.shape
    if not n or not width or not count:
        return
    dy = cupy.ascontiguousarray(dy)
    keys, places = sort_rows(rows, count, wrap)
    chunks = -(-n // CHUNK)
    heads, tails = cupy.empty((2, chunks, width), "float32")
    packed = width % 4 == 0 and aligned(dy, total, heads, tails)
    grid, block = launch.plane(width // 4 if packed else width, chunks, WIDE)
    name = total.dtype.name
    _kernel("sum_chunks", name)(
        grid, block, dy, keys, places, total, heads, tails, n, width, count, repeats, add, packed
    )
    grid, block = launch.plane(width, chunks, WIDE)
    _kernel("join_chunks", name)(grid, block, keys, heads, tails, total, n, width, count, add)


def mean_rows(table, rows, out) -> None:
    """Write the means (N, E) of the rows of ``table`` whose numbers (N, T) are given and good."""
    (samples, time), width = rows.shape, table.shape[1]
    table = cupy.ascontiguousarray(table)
    packed = width % 4 == 0 and aligned(table, out)
    grid, block = launch.plane(width // 4 if packed else width, samples, WIDE)
    kernel = _kernel("mean_rows", table.dtype.name)
    kernel(grid, block, table, *numbers(rows), out, samples, time, width, packed)


def row_sums(dy, rows, count: int, repeats: int = 1):
    """Return the gradient (count, E) of a table from that of the rows gathered from it; see ``add_rows``."""
    total = cupy.zeros((count, dy.shape[-1]), dy.dtype)
    add_rows(total, rows, dy, repeats, add=False)
    return total
