"""Embedding tables: gather rows, scatter their gradients."""

from __future__ import annotations

import numpy as np

from . import threads
from .indexing import IndexingMixin
from .loss import LossMixin
from .sparse import RowGradient, segment_sums, stable_order


class EmbeddingMixin(IndexingMixin):
    """Generic version on ``xp``."""

    def embedding_forward(self, table, rows):
        """Return ``table[rows]``; rows that do not exist are NaN, as the device is not waited for."""
        return self.take(table, rows, 0)

    def embedding_backward(self, dy, rows, count: int):
        """Return the gradient (count, E) of the table from ``dy`` (*rows.shape, E), whole."""
        total = self.xp.zeros((count, dy.shape[-1]), dy.dtype)
        self.scatter_add(total, rows.reshape(-1), dy.reshape(rows.size, dy.shape[-1]))
        return total

    def embedding_row_gradient(self, dy, rows, count: int) -> RowGradient | None:
        """Return the gradient of the table as that of the rows used; ``None`` for a small table."""
        return None


class NumpyEmbeddingMixin(LossMixin, EmbeddingMixin):
    """Overrides for NumPy."""

    def embedding_forward(self, table, rows):
        self.check_labels(rows, table.shape[0], "index")
        y = self.empty((*rows.shape, table.shape[1]), table.dtype)
        flat, out = rows.reshape(-1), y.reshape(rows.size, table.shape[1])

        def gather(start, stop):
            np.take(table, flat[start:stop], 0, out[start:stop], "clip")

        threads.parallel(gather, threads.split(flat.shape[0], y.nbytes * 2e-10))
        return y

    def embedding_backward(self, dy, rows, count):
        return _sum_by_row(dy, rows, count).toarray()

    def embedding_row_gradient(self, dy, rows, count):
        if count * dy.shape[-1] < self.direct_gradient:
            return None
        return _sum_by_row(dy, rows, count)


def _sum_by_row(dy, rows, count: int) -> RowGradient:
    """Return the sums of ``dy`` (*rows.shape, E) over equal numbers in ``rows``."""
    width = dy.shape[-1]
    if not dy.size:
        return RowGradient(np.zeros(0, np.int64), np.zeros((0, width), dy.dtype), count)
    flat = rows.reshape(-1)
    order = stable_order(flat, count)
    ordered = flat.take(order)
    starts = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1])
    lengths = np.diff(starts, append=flat.shape[0])
    if dy.ndim == 3 and not dy.strides[1]:  # the gradient of a mean or sum over time: one row per sample
        dy, order = dy[:, 0], order // dy.shape[1]
    sums = segment_sums(dy.reshape(-1, width), order, starts, lengths)
    return RowGradient(ordered[starts].astype(np.int64), sums, count)
