"""Gathering and scattering of rows on a GPU by our own kernels."""

from __future__ import annotations

import math

from gpukeras.kernels import embedding, embedding_gradient

from .cupy_wide import wide
from .indexing import IndexingMixin


class CupyIndexingMixin(IndexingMixin):
    """Rows are gathered in one pass; sums of floats do not depend on the order of threads."""

    def take(self, x, indices, axis):
        first = x.ndim and axis in (0, -x.ndim)
        if not first or x.dtype.name not in embedding.OUTSIDE or not embedding.takes(x, indices):
            return super().take(x, indices, axis)
        return embedding.gather_rows(x, indices, wrap=True)

    def scatter_add(self, target, key, values):
        # Atomic additions of floats come in any order; sorted by place they come in one.
        if target.dtype.name not in embedding_gradient.TYPES or not target.flags.c_contiguous:
            super().scatter_add(target, key, values)
            return
        key = key[0] if type(key) is tuple and len(key) == 1 else key
        if type(key) is self.xp.ndarray and key.dtype.kind in "iu":
            rows, width = key, math.prod(target.shape[1:])
        else:
            rows, width = self.xp.arange(target.size).reshape(target.shape)[key], 1
        table = target.reshape(target.size // max(1, width), width)
        if not embedding_gradient.takes(target, rows, len(table)):
            super().scatter_add(target, key, values)
            return
        values = self.xp.asarray(values).astype(target.dtype, copy=False)
        shape = rows.shape if width == 1 and rows is not key else (*rows.shape, *target.shape[1:])
        values = self.xp.broadcast_to(values, shape).reshape(rows.size, width)
        embedding_gradient.add_rows(table, rows.reshape(-1), values, wrap=True)

    def scatter_rows(self, target, rows, values, reduction):
        floats = target.dtype.name in embedding_gradient.TYPES and values.dtype == target.dtype
        if reduction != "add" or not floats or not embedding_gradient.takes(target, rows, len(target)):
            return wide(super().scatter_rows, target, rows, values, reduction)
        width = math.prod(target.shape[1:])
        table = self.xp.array(target, order="C").reshape(len(target), width)
        embedding_gradient.add_rows(table, rows, values.reshape(rows.size, width))
        return table.reshape(target.shape)
