"""Matrix products of many rows with one small matrix, cut to the size that the BLAS multiplies best."""

from __future__ import annotations

import numpy as np

# OpenBLAS multiplies matrices of up to a million products straight from where they lie; larger ones it copies
# into its own order first and reads again, which for few columns costs 10 to 30 % (105 to 115 instead of 75
# to 95 GFLOP/s on one core). It does so on processors with AVX-512 only; elsewhere pieces gain nothing.
PIECE = 1_000_000
FEWEST = 8  # rows of a piece: with fewer the product is no quicker in pieces
FEWEST_SUMMED = 48  # where the products of all pieces are added up afterwards


def cut() -> bool:
    """Tell whether products are quicker in pieces on this processor."""
    global _cut
    if _cut is None:
        features = getattr(np._core._multiarray_umath, "__cpu_features__", {})
        _cut = bool(features.get("AVX512_SKX"))
    return _cut


_cut: bool | None = None


def piece(count: int, inner: int, outer: int, fewest: int = FEWEST) -> int:
    """Return the rows of a piece for ``count`` rows that meet a matrix (inner, outer), or 0 for no pieces."""
    most = PIECE // max(1, inner * outer)
    if most < fewest or count <= most or not cut():
        return 0
    even = -(-count // -(-count // most))  # pieces of equal size ...
    return min(most, -(-even // 8) * 8) if most >= 8 else even  # ... and whole registers


def multiply(rows, matrix, out) -> None:
    """Write ``rows @ matrix`` into ``out``; all have two axes."""
    size = piece(len(rows), *matrix.shape) if rows.dtype == np.float32 else 0
    if not size:
        np.matmul(rows, matrix, out=out)
        return
    whole = len(rows) // size * size
    np.matmul(_pieces(rows[:whole], size), matrix, out=_pieces(out[:whole], size))
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
