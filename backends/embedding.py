"""Embedding tables: gather rows, scatter their gradients."""

from __future__ import annotations

import numpy as np

from . import memory, threads
from .indexing import IndexingMixin
from .loss import LossMixin
from .sparse import RowGradient, segment_sums, stable_order
from .update import UpdateMixin

AVERAGED = 1 << 17  # elements gathered at a time for means
COUNTED = 1 << 18  # pairs of a sample and a number whose occurrences are counted in a table


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

    def gather_rows(self, table, rows, out=None):
        """Return ``table[rows]`` for numbers known to be good, in ``out`` where that is given."""
        return self.xp.take(table, rows, 0, out)

    def mean_rows(self, table, rows, out) -> None:
        """Write the means (N, E) of the rows of ``table`` whose numbers (N, T) are given and good."""
        self.xp.mean(self.xp.take(table, rows, 0), 1, out=out)

    def embedding_row_gradient(self, dy, rows, count: int) -> RowGradient | None:
        """Return the gradient of the table as that of the rows used; ``None`` for a small table."""
        return None


class NumpyEmbeddingMixin(LossMixin, EmbeddingMixin, UpdateMixin):
    """Overrides for NumPy."""

    def embedding_forward(self, table, rows):
        self.check_labels(rows, table.shape[0], "index")
        return self.gather_rows(table, rows)

    def gather_rows(self, table, rows, out=None):
        y = self.empty((*rows.shape, table.shape[1]), table.dtype) if out is None else out
        flat, out = rows.reshape(-1), y.reshape(rows.size, table.shape[1])

        def gather(start, stop):
            np.take(table, flat[start:stop], 0, out[start:stop], "clip")

        threads.parallel(gather, threads.split(flat.shape[0], y.nbytes * 2e-10))
        return y

    def mean_rows(self, table, rows, out) -> None:
        # A few samples at a time, so that what is gathered stays in the cache.
        (samples, time), width = rows.shape, table.shape[1]
        share = np.full(time, 1 / time, table.dtype)
        step = max(1, AVERAGED // (time * width))

        def average(start, stop):
            gathered = memory.empty((step * time, width), table.dtype)
            for at in range(start, stop, step):
                end = min(at + step, stop)
                some = gathered[:(end - at) * time]
                np.take(table, rows[at:end].reshape(-1), 0, some, "clip")
                np.matmul(share, some.reshape(end - at, time, width), out[at:end])

        threads.parallel(average, threads.split(samples, rows.size * width * 1e-10))

    def embedding_backward(self, dy, rows, count):
        return RowGroups(rows, count).sums(dy).toarray()

    def embedding_row_gradient(self, dy, rows, count):
        if count * dy.shape[-1] < (self.direct_gradient or 0):
            return None
        return RowGroups(rows, count).sums(dy)


class RowGroups:
    """Equal numbers among ``rows`` (any shape, numbers below ``count``) brought together.

    Attributes
    ----------
    rows : array of int, shape (K,)
        The different numbers, ascending unless ``arrange`` changed that.
    order : array of int
        Positions in ``rows`` flattened, ordered by number; ``starts`` and ``lengths`` tell the groups.
    """

    def __init__(self, rows, count: int):
        flat = rows.reshape(-1)
        self.shape, self.count = rows.shape, count
        self.order = stable_order(flat, count)
        ordered = flat.take(self.order)
        bounds = np.empty(flat.shape[0] + 1, bool)
        bounds[:1] = bounds[-1:] = True
        np.not_equal(ordered[1:], ordered[:-1], bounds[1:-1])
        ends = np.flatnonzero(bounds)
        self.starts, self.lengths = ends[:-1], ends[1:] - ends[:-1]
        self.rows = ordered.take(self.starts).astype(np.int64)
        self._ranks = np.arange(self.rows.shape[0])  # place in ``rows`` of every number, ascending
        self.larger = slice(0, self.rows.shape[0])
        self._places = None

    def arrange(self, early) -> None:
        """Let the groups for which ``early`` (K,) is true come before the others; to be called at once.

        Among each of them, groups of one number and larger ones are kept apart, so that the larger ones of
        both lie side by side, in ``self.larger``.
        """
        late, lone = ~early, self.lengths == 1
        # 0: lone and early, 1: larger and early, 2: larger and late, 3: lone and late
        kinds = late.view(np.uint8) * np.uint8(2)
        kinds += late == lone
        order = np.argsort(kinds, kind="stable")
        first = int(np.count_nonzero(kinds == 0))
        self.larger = slice(first, first + kinds.shape[0] - int(np.count_nonzero(lone)))
        self._ranks[order] = np.arange(order.shape[0])
        self.rows, self.starts = self.rows.take(order), self.starts.take(order)
        self.lengths = self.lengths.take(order)

    def places(self):
        """Return, for every number as it came, its place in ``rows``."""
        if self._places is None:
            found = np.empty_like(self.order)
            found[self.order] = np.repeat(self._ranks, self.lengths[self._ranks])
            self._places = found.reshape(self.shape)
        return self._places

    def sums(self, dy) -> RowGradient:
        """Return the sums of ``dy`` (*shape of the numbers, E) over equal numbers."""
        if dy.ndim == 3 and dy.size and not dy.strides[1]:  # of a mean or sum over time: a row per sample
            sums = self._sums_of_samples(dy[:, 0])
        else:
            dy = dy.reshape(-1, dy.shape[-1])
            sums = segment_sums(dy, self.order, self.starts, self.lengths)
        return RowGradient(self.rows, sums, self.count)

    def _sums_of_samples(self, dy):
        """Return the sums where all numbers of a sample have the same row of ``dy`` (N, E)."""
        (samples, time), groups = self.shape, self.rows.shape[0]
        if samples * (self.larger.stop - self.larger.start) > COUNTED:
            return segment_sums(dy, self.order // time, self.starts, self.lengths)
        larger = self.larger
        size = larger.stop - larger.start
        pairs = np.clip(self.places(), larger.start - 1, larger.stop)  # the groups of one: before or behind
        pairs -= larger.start - 1
        pairs *= samples
        pairs += np.arange(samples)[:, None]
        often = np.bincount(pairs.reshape(-1), minlength=(size + 2) * samples)[samples:(size + 1) * samples]
        sums = np.empty((groups, dy.shape[1]), dy.dtype)
        np.dot(often.reshape(size, samples).astype(dy.dtype), dy, sums[larger])
        for lone in (slice(0, larger.start), slice(larger.stop, groups)):  # most words of a text come once
            np.take(dy, self.order.take(self.starts[lone]) // time, 0, sums[lone], "clip")
        return sums
