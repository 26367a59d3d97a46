"""Matrix products of many rows with one small matrix, cut to the size that the BLAS multiplies best."""

from __future__ import annotations

from typing import Any

import numpy as np

# OpenBLAS multiplies matrices of up to a million products straight from where they lie; larger ones it copies
# into its own order first and reads again, which for few columns costs 10 to 30 % (105 to 115 instead of 75
# to 95 GFLOP/s on one core). It does so on processors with AVX-512 only; elsewhere pieces gain nothing.
PIECE = 1_000_000
FEWEST = 8  # rows of a piece, or a multiple: with fewer the product is no quicker in pieces
FEWEST_SUMMED = 48  # where the products of all pieces are added up afterwards
PANEL = 64  # columns of a wide matrix at once, where all of them leave too few rows for a piece ...
CACHED = 150_000  # ... and the matrix, which every piece reads again, stays in the cache of one core


def cut() -> bool:
    """Tell whether products are quicker in pieces on this processor."""
    global _cut
    if _cut is None:
        core: Any = np._core  # type: ignore[attr-defined]
        _cut = bool(core._multiarray_umath.__cpu_features__.get("AVX512_SKX"))
    return _cut


_cut: bool | None = None


def piece(count: int, inner: int, outer: int, fewest: int = FEWEST) -> int:
    """Return the rows of a piece for ``count`` rows that meet a matrix (inner, outer), or 0 for no pieces."""
    most = PIECE // max(1, inner * outer)
    if most < fewest or count <= most or not cut():
        return 0
    even = -(-count // -(-count // most))  # pieces of equal size ...
    return min(most, -(-even // FEWEST) * FEWEST) // FEWEST * FEWEST  # ... and whole registers


def multiply(rows, matrix, out) -> None:
    """Write ``rows @ matrix`` into ``out``; all have two axes."""
    inner, width = matrix.shape
    size = 0
    if rows.dtype == np.float32 and matrix.strides[1] == matrix.itemsize:  # turned ones are slow in pieces
        size = piece(len(rows), inner, width)
        if not size and width % PANEL == 0 and matrix.size <= CACHED:
            width = PANEL
            size = piece(len(rows), inner, width)
    if not size:
        np.matmul(rows, matrix, out=out)
        return
    whole = len(rows) // size * size
    panels = matrix.reshape(inner, -1, width).swapaxes(0, 1)  # (panels, inner, width)
    found = out[:whole].reshape(whole // size, size, -1, width).swapaxes(1, 2)
    np.matmul(rows[:whole].reshape(-1, 1, size, inner), panels, out=found)
    if whole < len(rows):
        np.matmul(rows[whole:], matrix, out=out[whole:])


def multiply_sum(rows, slopes, out, scratch) -> None:
    """Write ``rows.T @ slopes`` into ``out``; ``scratch(count)`` lends memory."""
    size = 0
    if rows.dtype == np.float32:
        size = piece(len(rows), rows.shape[1], slopes.shape[1], FEWEST_SUMMED)
    if not size:
        np.matmul(rows.T, slopes, out=out)
        return
    whole = len(rows) // size * size
    count = whole // size + (whole < len(rows))
    products = scratch(count * out.size).reshape(count, *out.shape)
    turned = _pieces(rows[:whole], size).swapaxes(1, 2)
    np.matmul(turned, _pieces(slopes[:whole], size), out=products[: whole // size])
    if whole < len(rows):
        np.matmul(rows[whole:].T, slopes[whole:], out=products[-1])
    np.add.reduce(products, axis=0, out=out)


def _pieces(rows, size: int):
    """Return a view (pieces, size, columns)."""
    return rows.reshape(-1, size, rows.shape[1])
