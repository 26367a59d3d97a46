"""Group normalisation, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .attention import in_c_order
from .normalization import SECONDS, NormalizationMixin, NumpyNormalizationMixin
from .rows import CHUNK


class GroupNormalizationMixin(NormalizationMixin):
    """Generic version: groups as rows of a matrix, which layer normalisation takes.

    ``x`` is (N, S, C), or (N, C, S) where ``last`` is false: N samples, S places, C channels in groups of D
    neighbours.
    """

    def group_norm_forward(self, x, groups: int, gamma, beta, epsilon, last=True):
        """Normalise each group of each sample by its own mean and variance; gamma and beta are (C,).

        Returns
        -------
        y, cache
        """
        xhat, cache = self.layer_norm_forward(self._group_rows(x, groups, last), None, None, epsilon)
        xhat = self._from_group_rows(xhat, x.shape, groups, last)
        y = xhat if gamma is None else xhat * (gamma if last else gamma[:, None])
        if beta is not None:
            y = y + (beta if last else beta[:, None])
        return y, (xhat, cache, gamma, groups, last)

    def group_norm_backward(self, dy, cache, need_dx=True):
        """Return the gradients of x, gamma and beta."""
        xhat, cache, gamma, groups, last = cache
        dbeta, dgamma = self._channel_sum(dy, last), self._channel_sum(dy * xhat, last)
        if not need_dx:
            return None, dgamma, dbeta
        g = dy if gamma is None else dy * (gamma if last else gamma[:, None])
        dx = self.layer_norm_backward(self._group_rows(g, groups, last), cache)[0]
        return self._from_group_rows(dx, dy.shape, groups, last), dgamma, dbeta

    def _group_rows(self, x, groups, last):
        """Return a matrix with a row for each group of each sample."""
        if last:
            n, s, c = x.shape
            x = in_c_order(x.reshape(n, s, groups, c // groups).swapaxes(1, 2))
        return x.reshape(x.shape[0] * groups, -1)

    def _from_group_rows(self, rows, shape, groups, last):
        if not last:
            return rows.reshape(shape)
        n, s, c = shape
        x = rows.reshape(n, groups, s, c // groups).swapaxes(1, 2)
        return in_c_order(x).reshape(shape)

    def _channel_sum(self, x, last):
        n, c = x.shape[0], x.shape[2 if last else 1]
        if last:
            return self.column_sum(x.reshape(-1, c))
        return self.column_sum(self.row_sum(x.reshape(n * c, -1)).reshape(n, c))


class _SeenGroups(NamedTuple):
    """What the backward pass needs: the inputs, and statistics of every group."""

    x: np.ndarray
    mean: np.ndarray  # (N, G), float64, as is r
    r: np.ndarray
    gamma: np.ndarray | None


class NumpyGroupNormalizationMixin(NumpyNormalizationMixin, GroupNormalizationMixin):
    """Channels last: sums over the places by the BLAS, then one affine pass, in pieces that fit the cache."""

    def group_norm_forward(self, x, groups, gamma, beta, epsilon, last=True):
        plain = type(x) is np.ndarray and x.flags.c_contiguous and x.dtype.itemsize >= 4
        if not last or not plain or x.size <= 1 << 12:
            return super().group_norm_forward(x, groups, gamma, beta, epsilon, last)
        n, s, c = x.shape
        y, (mean, r) = self.empty(x.shape, x.dtype), np.zeros((2, n, groups))
        count, unsafe = s * (c // groups), []

        def run(start, stop):
            for some in _samples(start, stop, s * c):
                total, square = self._place_sums(x, x, some, groups).sum(axis=-1) / count
                spread = square - total * total
                if (total * total > 16 * np.maximum(spread, 0)).any():  # the difference has lost digits
                    unsafe.append(start)
                    return
                mean[some], r[some] = total, 1 / np.sqrt(np.maximum(spread, 0) + epsilon)
                scale = _channels(r[some], gamma, c)
                offset = -np.repeat(mean[some], c // groups, axis=1) * scale
                self._affine_samples(y, some, (x, scale), offset=offset if beta is None else offset + beta)

        self.side_by_side(run, n, 5 * SECONDS * x.size)
        if unsafe:
            return super().group_norm_forward(x, groups, gamma, beta, epsilon, last)
        return y, _SeenGroups(x, mean, r, gamma)

    def group_norm_backward(self, dy, cache, need_dx=True):
        if not isinstance(cache, _SeenGroups):
            return super().group_norm_backward(dy, cache, need_dx)
        x, mean, r, gamma = cache
        dy = np.ascontiguousarray(dy, x.dtype)
        n, s, c = x.shape
        groups = mean.shape[1]
        dx = self.empty(x.shape, x.dtype) if need_dx else None
        found = np.zeros((2, n, c))
        count = s * (c // groups)

        def run(start, stop):
            for some in _samples(start, stop, s * c):
                m, inverse = mean[some], r[some]
                total, along = self._place_sums(dy, x, some, groups)
                along = (along - m[:, :, None] * total) * inverse[:, :, None]  # with xhat
                found[:, some] = total.reshape(-1, c), along.reshape(-1, c)
                if dx is None:
                    continue
                weight = 1 if gamma is None else gamma.reshape(groups, -1)
                total, along = (total * weight).sum(axis=-1) / count, (along * weight).sum(axis=-1) / count
                # dx = r (g - mean(g) - xhat mean(g xhat)) with g = dy gamma
                by_x = -inverse * inverse * along
                rest = -inverse * total - m * by_x
                by_x, rest = (np.repeat(v, c // groups, axis=1) for v in (by_x, rest))
                self._affine_samples(dx, some, (dy, _channels(inverse, gamma, c)), (x, by_x), rest)

        self.side_by_side(run, n, 8 * SECONDS * x.size)
        dbeta, dgamma = found.sum(axis=1).astype(x.dtype)
        return dx, dgamma, dbeta

    def _place_sums(self, a, b, some: slice, groups: int):
        """Return the sums over the places of ``a`` and ``a * b``, (2, samples, G, D), in float64."""
        a, b, repeats = _widened(a[some], b[some])
        m, rows, width = a.shape
        sums = np.zeros((2, m, width))
        for part in _places(m, rows, width):
            left = a[:, part]
            ones = self.ones(left.shape[1], a.dtype)[None]
            product = np.multiply(left, b[:, part], out=self.scratch(left.shape, a.dtype))
            sums[0] += np.matmul(ones, left)[:, 0]
            sums[1] += np.matmul(ones, product)[:, 0]
        return sums.reshape(2, m, repeats, groups, -1).sum(axis=2)

    def _affine_samples(self, out, some: slice, first, second=None, offset=None) -> None:
        """Write ``x * scale [+ z * factor] + offset`` with one number for each channel of each sample."""
        x, scale = first
        target, source, repeats = _widened(out[some], x[some])
        vectors = [scale, offset] if second is None else [scale, offset, second[1]]
        vectors = [_repeated(v.astype(out.dtype), repeats) for v in vectors]
        other = None if second is None else second[0][some].reshape(source.shape)
        m, rows, width = source.shape
        for part in _places(m, rows, width):
            t = np.multiply(source[:, part], vectors[0], out=target[:, part])
            if other is not None:
                t += np.multiply(other[:, part], vectors[2], out=self.scratch(t.shape, t.dtype))
            t += vectors[1]


def _channels(r, gamma, channels: int):
    """Return a factor for each channel of each sample of one for each group."""
    wide = np.repeat(r, channels // r.shape[1], axis=1)
    return wide if gamma is None else wide * gamma


def _repeated(v, k: int):
    """Return vectors (M, C), each k times side by side, as (M, 1, k C)."""
    m, c = v.shape
    return np.broadcast_to(v[:, None], (m, k, c)).reshape(m, 1, k * c)


def _widened(a, b) -> tuple[np.ndarray, np.ndarray, int]:
    """Return two arrays (M, S, C) as (M, S / k, k C), rows long enough for NumPy, and k."""
    m, s, c = a.shape
    k = 1
    while s % (2 * k) == 0 and k * c < 1024 and s > 2 * k:
        k *= 2
    return a.reshape(m, s // k, k * c), b.reshape(m, s // k, k * c), k


def _samples(start: int, stop: int, size: int) -> Iterator[slice]:
    """Yield samples of ``size`` elements, as many at once as fit the cache."""
    each = max(1, CHUNK // size)
    return (slice(i, min(i + each, stop)) for i in range(start, stop, each))


def _places(samples: int, rows: int, width: int) -> Iterator[slice]:
    """Yield rows of some samples, as many at once as fit the cache."""
    each = max(1, CHUNK // (samples * width))
    return (slice(i, min(i + each, rows)) for i in range(0, rows, each))
