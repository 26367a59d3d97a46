"""Attention: scores, softmax and the sum of the values, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from .activation import ActivationMixin
from .linalg import MULTIPLY_SECONDS, LinalgMixin
from .program import followed, noted_whole, plain
from .rows import CHUNK, NumpyRowsMixin

EXP_SECONDS = 1.5e-9  # of one element of a softmax, on one core


def in_c_order(x):
    """Return ``x``, or a copy, in C order; recorded arrays stay what they are."""
    return x if x.flags.c_contiguous else x.copy(order="C")


class AttentionMixin(ActivationMixin, LinalgMixin):
    """Generic version on ``xp``.

    ``q`` is (B, N, T, H), ``k`` (B, K, S, H), ``v`` (B, K, S, V), results are (B, N, T, V); of N heads of
    queries, each group of N / K neighbours shares one of the keys.
    """

    def attention_forward(self, q, k, v, extra, scale, drop=None):
        """Return softmax(q k^T scale + extra) v, the softmax, and what the gradient needs.

        Parameters
        ----------
        extra : array, optional
            Added to the scores; it broadcasts to (B, N, T, S).
        scale : float
        drop : Drop, optional
            Dropout of the softmax.

        Returns
        -------
        y, seen
        """
        q, k, v = (self._in_order(x) for x in (q, k, v))
        s = self._by_heads(q * scale, k.swapaxes(-1, -2))
        if extra is not None:
            s += extra
        p = self.softmax(s)
        dropped, undo = (p, None) if drop is None else drop(p)
        return self._by_heads(dropped, v), Seen(q, k, v, p, dropped, undo, scale)

    def attention_weights(self, seen):
        """Return the softmax (B, N, T, S) of a forward pass, before and after dropout."""
        return seen.p, seen.dropped

    def attention_backward(self, dy, y, seen, need_ds=False, dp=None, ddropped=None):
        """Return the gradients of q, k, v and, with ``need_ds``, of the scores.

        Parameters
        ----------
        dy, y : array, shape (B, N, T, V)
            Output gradient and output.
        dp, ddropped : array, shape (B, N, T, S), optional
            Gradients from other uses of the softmax, before and after dropout.
        """
        q, k, v, p, dropped, undo, scale = seen
        dy = self._in_order(dy)
        dv = self._over_queries(dropped, dy, k.shape[1])
        d = self._by_heads(dy, v.swapaxes(-1, -2))
        if ddropped is not None:
            d += ddropped
        if undo is not None:
            d = undo(d)
        if dp is not None:
            d = d + dp
        ds = self.softmax_backward(d, p)
        dq = self._by_heads(ds, k)
        dk = self._over_queries(ds, q, k.shape[1])
        dq *= scale
        dk *= scale
        return dq, dk, dv, ds if need_ds else None

    def _in_order(self, x):
        """Return ``x`` as the products want it in memory."""
        return in_c_order(x)

    def _by_heads(self, x, y):
        """Return ``x @ y`` of ``x`` (B, N, T, I) and ``y`` (B, K, I, J), as (B, N, T, J)."""
        b, n, t, i = x.shape
        heads = y.shape[1]
        if heads == n:
            return self.matmul(x, y)
        return self.matmul(x.reshape(b, heads, n // heads * t, i), y).reshape(b, n, t, y.shape[-1])

    def _over_queries(self, x, y, heads: int):
        """Return ``x^T @ y`` of (B, N, T, I) and (B, N, T, J), as (B, K, I, J): summed over each group."""
        b, n, t, _ = x.shape
        if heads != n:
            x, y = (a.reshape(b, heads, n // heads * t, a.shape[-1]) for a in (x, y))
        return self.matmul(x.swapaxes(-1, -2), y)

    def additive_scores(self, q, k):
        """Return tanh(q_t + k_s), shape (B, T, S, D), of ``q`` (B, T, D) and ``k`` (B, S, D)."""
        xp = self.xp
        t = xp.add(q[:, :, None, :], k[:, None, :, :])
        return xp.tanh(t, out=t)

    def additive_scores_backward(self, dy, t, weight):
        """Return the gradients of q, k and weight of ``t @ weight`` for ``t`` of ``additive_scores``."""
        b, n, m, width = t.shape
        rows = t.reshape(-1, width)
        dweight = self.matmul(dy.reshape(1, -1), rows)[0]
        slope = t * t
        self.xp.subtract(1, slope, out=slope)
        slope *= weight
        slope *= dy[..., None]
        dk = slope.sum(axis=1)
        # One sum along the middle axis: of matrices (S, D), each a row of a product with ones.
        dq = slope.sum(axis=2)
        return dq, dk, dweight


class Seen(NamedTuple):
    """What the backward pass of attention needs."""

    q: Any
    k: Any
    v: Any
    p: Any  # softmax
    dropped: Any  # after dropout
    undo: Callable | None  # gradient of the dropout
    scale: float


class _SeenParts(NamedTuple):
    """The same where exp(scores) was kept and its sums, not the quotient."""

    q: np.ndarray
    k: np.ndarray
    v: np.ndarray
    e: np.ndarray  # (B, N, T, S), exp(scores - largest)
    total: np.ndarray  # (B, N, T, 1)
    factor: np.ndarray | None  # of dropout
    scale: float


class NumpyAttentionMixin(NumpyRowsMixin, AttentionMixin):
    """Heads in turn, each while its scores are in the cache; views of transposed arrays go to the BLAS.

    Scores are not divided by the sums of their rows: the output is, and, on the way back, its gradient.
    With ``g = dy / sum`` the gradient of the values is ``e^T g`` and that of the scores
    ``e (g v^T - rowsum(g y))``, which spares two passes over the scores each way.
    """

    def _in_order(self, x):
        return x

    def attention_forward(self, q, k, v, extra, scale, drop=None):
        if not _takes(q, k, v) or q.shape[2] * k.shape[2] * q.shape[1] * len(q) < 1 << 12:
            return super().attention_forward(q, k, v, extra, scale, drop)
        b, n, t, _ = q.shape
        e, total = (self.empty((b, n, t, width), q.dtype) for width in (k.shape[2], 1))
        y = self.empty((b, t, n, v.shape[-1]), q.dtype).swapaxes(1, 2)
        extra = None if extra is None else np.broadcast_to(plain(extra), e.shape)
        factor = None if drop is None else drop.factor(e.shape, e.dtype)
        seen = _SeenParts(plain(q), plain(k), plain(v), plain(e), plain(total), plain(factor), scale)
        noted_whole(self._forward_in_parts, seen, extra, plain(y))
        return y, seen

    def _forward_in_parts(self, seen, extra, y) -> None:
        q, k, v, e, total, factor, scale = seen
        b, n, t, s = e.shape
        heads = k.shape[1]

        def run(start, stop):
            for part in _parts(start, stop, b, n, t * s):
                own = _of_group(part, n, heads)
                scores, sums, out = e[part], total[part], y[part]
                np.matmul(q[part] * scale, k[own].swapaxes(-1, -2), out=scores)
                if extra is not None:
                    scores += extra[part]
                rows = scores.reshape(-1, s)
                rows -= self.row_max(rows)
                np.exp(rows, out=rows)
                sums[...] = self.row_sum(rows).reshape(sums.shape)
                if factor is not None:
                    scores = np.multiply(scores, factor[part], out=self.scratch(scores.shape, e.dtype, 2))
                np.matmul(scores, v[own], out=out)
                out /= sums

        self.side_by_side(run, b * n, _seconds(q, k, v, 1))

    def attention_weights(self, seen):
        if isinstance(seen, Seen):
            return super().attention_weights(seen)
        e, total, factor = followed(seen[3:5]) + (seen.factor,)
        p = e / total
        return p, p if factor is None else p * factor

    def attention_backward(self, dy, y, seen, need_ds=False, dp=None, ddropped=None):
        if isinstance(seen, Seen):
            return super().attention_backward(dy, y, seen, need_ds, dp, ddropped)
        q, k, v, _, _, factor, scale = seen
        if dp is None and ddropped is None and q.shape[1] == k.shape[1]:
            found = [_like_heads(self, x) for x in (q, k, v)]
            ds = self.empty(seen.e.shape, seen.e.dtype) if need_ds else None
            noted_whole(self._backward_in_parts, seen, plain(dy), plain(y), *map(plain, found), plain(ds))
            return *found, ds
        p, dropped = self.attention_weights(seen)
        undo = None if factor is None else lambda d: d * factor
        q, k, v = followed((q, k, v))
        whole = Seen(q, k, v, p, dropped, undo, scale)
        return super().attention_backward(dy, y, whole, need_ds, dp, ddropped)

    def _backward_in_parts(self, seen, dy, y, dq, dk, dv, ds) -> None:
        """Write the gradients, where every query has keys of its own."""
        q, k, v, e, total, factor, scale = seen
        b, n, t, s = e.shape

        def run(start, stop):
            for part in _parts(start, stop, b, n, t * s):
                g = dy[part] / total[part]
                scores = e[part]
                if factor is not None:
                    scores = np.multiply(scores, factor[part], out=self.scratch(scores.shape, e.dtype, 2))
                np.matmul(scores.swapaxes(-1, -2), g, out=dv[part])
                d = self.scratch(scores.shape, e.dtype, 3) if ds is None else ds[part]
                np.matmul(g, v[part].swapaxes(-1, -2), out=d)
                if factor is not None:
                    d *= factor[part]
                d -= np.vecdot(g, y[part])[..., None]
                d *= e[part]
                np.matmul(d, k[part], out=dq[part])
                np.matmul(d.swapaxes(-1, -2), q[part], out=dk[part])
                dq[part] *= scale
                dk[part] *= scale

        self.side_by_side(run, b * n, _seconds(q, k, v, 2.5))


def _takes(*arrays) -> bool:
    """Tell whether these are of one type, which the BLAS multiplies."""
    return arrays[0].dtype.char in "fd" and all(x.dtype == arrays[0].dtype for x in arrays)


def _parts(start: int, stop: int, samples: int, heads: int, size: int) -> Iterator[tuple]:
    """Yield indices of samples and heads, for the pairs from ``start`` to ``stop``, that fit the cache."""
    most = max(1, CHUNK // size)
    while start < stop:
        sample, head = divmod(start, heads)
        if head == 0 and stop - start >= heads and most >= heads:  # whole samples
            count = min(most, stop - start) // heads
            yield slice(sample, sample + count), slice(None)
            start += count * heads
        else:
            count = min(most, heads - head, stop - start)
            yield slice(sample, sample + 1), slice(head, head + count)
            start += count


def _of_group(part: tuple, heads: int, shared: int) -> tuple:
    """Return the index of the keys and values for some heads of queries."""
    if heads == shared:
        return part
    first, last, _ = part[1].indices(heads)
    each = heads // shared
    return part[0], np.arange(first, last) // each


def _like_heads(backend, x):
    """Return an empty array like ``x`` (B, N, T, H) that lies in memory as (B, T, N, H)."""
    b, n, t, width = x.shape
    return backend.empty((b, t, n, width), x.dtype).swapaxes(1, 2)


def _seconds(q, k, v, ways: float) -> float:
    """Estimate what a pass costs on one thread."""
    pairs = math.prod(q.shape[:3]) * k.shape[2]
    return ways * pairs * ((q.shape[-1] + v.shape[-1]) * MULTIPLY_SECONDS + EXP_SECONDS)
