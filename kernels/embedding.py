"""Launch ``embedding.cu``: rows of a table by number."""

from __future__ import annotations

import math

import cupy

from . import launch

THREADS = 256  # of a block
MODULE = launch.Module("embedding.cu")
WORDS = {
    16: ("uint4", "uint32"), 4: ("unsigned int", "uint32"), 2: ("unsigned short", "uint16"),
    1: ("unsigned char", "uint8"),
}
MODULE.declare("gather_rows", T=tuple(word for word, _ in WORDS.values()))
MOST_ROWS = 1 << 31  # gathered at once: counted in 32 bits
# Bits of what is read from outside, four bytes of it: NaN, or the lowest number.
OUTSIDE = {
    "float32": 0x7FC00000, "float16": 0x7E007E00, "bfloat16": 0x7FC07FC0, "int32": 0x80000000,
    "int16": 0x80008000, "int8": 0x80808080, "uint32": 0, "uint16": 0, "uint8": 0, "uint64": 0, "bool": 0,
}


def takes(table, rows) -> bool:
    """Tell whether the kernel can gather from ``table``."""
    return table.flags.c_contiguous and table.ndim > 0 and rows.dtype.kind in "iu" and rows.size < MOST_ROWS


def numbers(rows) -> tuple:
    """Return row numbers as kernels take them: of 32 bits or ``None``, and of 64 bits or ``None``."""
    rows = cupy.ascontiguousarray(rows)
    if rows.dtype == "int32":
        return rows, None
    return None, rows.astype("int64", copy=False)


def gather_rows(table, rows, wrap: bool = False, out=None):
    """Return ``table[rows]``, in ``out`` if given, for a table (V, ...) and any shape of numbers.

    Rows that do not exist hold what ``OUTSIDE`` says for the dtype, zeros for others. With ``wrap`` negative
    numbers count from the end.
    """
    y = cupy.empty((*rows.shape, *table.shape[1:]), table.dtype) if out is None else out
    if not y.size:
        return y
    row_bytes = math.prod(table.shape[1:]) * table.itemsize
    size = next(n for n in WORDS if _divides(n, row_bytes, table, y))
    word, dtype = WORDS[size]
    source, target = (a.reshape(-1).view(dtype) for a in (table, y))
    words = row_bytes // size
    grid, block = launch.plane(words, rows.size, THREADS)
    MODULE.kernel("gather_rows", T=word)(
        grid, block, source, *numbers(rows), target, rows.size, words, table.shape[0], wrap,
        OUTSIDE.get(table.dtype.name, 0),
    )
    return y


def _divides(size: int, row_bytes: int, *arrays) -> bool:
    """Tell whether rows consist of words of that size."""
    return row_bytes % size == 0 and all(a.data.ptr % size == 0 for a in arrays)
