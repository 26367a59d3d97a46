"""Embedding tables on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import embedding, embedding_gradient

from .cupy_indexing import CupyIndexingMixin
from .embedding import EmbeddingMixin


class CupyEmbeddingMixin(CupyIndexingMixin, EmbeddingMixin):
    """Rows copied in one pass; gradients summed in a fixed order, without waiting for the host."""

    def embedding_forward(self, table, rows):
        if table.dtype.name not in embedding.OUTSIDE or not embedding.takes(table, rows):
            return super().embedding_forward(table, rows)
        return embedding.gather_rows(table, rows)

    def gather_rows(self, table, rows, out=None):
        if not embedding.takes(table, rows) or (out is not None and not out.flags.c_contiguous):
            return super().gather_rows(table, rows, out)
        return embedding.gather_rows(table, rows, out=out)

    def mean_rows(self, table, rows, out):
        if not embedding_gradient.takes(table, rows, len(table)) or not out.flags.c_contiguous:
            super().mean_rows(table, rows, out)
        else:
            embedding_gradient.mean_rows(table, rows, out)

    def embedding_backward(self, dy, rows, count):
        if not embedding_gradient.takes(dy, rows, count):
            return super().embedding_backward(dy, rows, count)
        if dy.ndim == 3 and dy.size and not dy.strides[1]:  # of a mean or sum over time: a row per sample
            return embedding_gradient.row_sums(dy[:, 0], rows, count, repeats=dy.shape[1])
        return embedding_gradient.row_sums(dy.reshape(rows.size, dy.shape[-1]), rows, count)
