"""Embedding tables: gather rows, scatter their gradients."""

from __future__ import annotations

import numpy as np

from .indexing import IndexingMixin
from .loss import LossMixin


class EmbeddingMixin(IndexingMixin):
    """Generic version on ``xp``."""

    def embedding_forward(self, table, rows):
        """Return ``table[rows]``; rows that do not exist are NaN, as the device is not waited for."""
        return self.take(table, rows, 0)

    def embedding_backward(self, dy, rows, count: int):
        """Return the gradient (count, E) of the table from ``dy`` (*rows.shape, E)."""
        total = self.xp.zeros((count, dy.shape[-1]), dy.dtype)
        self.scatter_add(total, rows.reshape(-1), dy.reshape(rows.size, dy.shape[-1]))
        return total


class NumpyEmbeddingMixin(LossMixin, EmbeddingMixin):
    """Overrides for NumPy."""

    def embedding_forward(self, table, rows):
        self.check_labels(rows, table.shape[0], "index")
        return np.take(table, rows, axis=0, mode="clip")
