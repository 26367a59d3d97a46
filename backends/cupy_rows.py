"""Sums and maxima of rows and columns on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import reduction

from .rows import RowsMixin


class CupyRowsMixin(RowsMixin):
    """Kernels for float32 and the halves, which are summed in float32; other types go the generic way."""

    def row_max(self, x):
        if x.ndim != 2 or not reduction.takes(x.dtype, *x.shape, 1):
            return super().row_max(x)
        return reduction.row_max(x)

    def row_sum(self, x):
        if x.ndim != 2 or not reduction.takes(x.dtype, *x.shape, 1):
            return super().row_sum(x)
        return reduction.row_sum(x)

    def column_sum(self, x):
        if x.ndim != 2 or not reduction.takes(x.dtype, 1, *x.shape):
            return super().column_sum(x)
        return reduction.column_sum(x)
