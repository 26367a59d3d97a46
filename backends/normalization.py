"""Batch, layer and root-mean-square normalisation of matrices, forward and backward."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .rows import NumpyRowsMixin, RowsMixin

SECONDS = 1.5e-10  # of one pass over one element, on one thread of a CPU


class NormalizationMixin(RowsMixin):
    """Generic version on ``xp``.

    All matrices are (M, C). Batch normalisation has statistics per column, the others per row.

    Attributes
    ----------
    normalizes_half : bool
        Whether matrices of float16 are taken as they are, with statistics in float32; their sums of squares
        overflow otherwise, and they have to come as float32.
    """

    normalizes_half = False

    def _columns(self, f, x, *vectors, out=None):
        """Apply the ufunc ``f`` to ``x`` and per-column ``vectors`` on the quickest view."""
        wide, k = self.widen(x)
        tiled = [self.xp.tile(v, k) if k > 1 else v for v in vectors]
        if out is not None:
            out = out.reshape(wide.shape)
        return f(wide, *tiled, out=out).reshape(x.shape)

    def batch_norm_forward(self, x, gamma, beta, epsilon, weights=None, guard=0.0, moving=None):
        """Normalise the columns of ``x`` by their own mean and variance.

        Parameters
        ----------
        x : array, shape (M, C)
        gamma, beta : array, shape (C,), or None
        weights : array, shape (M,), optional
            Weight of each row in the statistics; ``guard`` is added to their sum.
        moving : tuple, optional
            Arrays of moving mean and variance, and the share of the old value that stays: moved in place.

        Returns
        -------
        y, mean, variance, cache
        """
        xp = self.xp
        if weights is None:
            total = float(x.shape[0])
            mean = self.column_sum(x) / total
        else:
            total = weights.sum() + guard
            mean = xp.dot(weights, x) / total
        d = self._columns(xp.subtract, x, mean)
        square = d * d
        var = (self.column_sum(square) if weights is None else xp.dot(weights, square)) / total
        r = 1 / xp.sqrt(var + epsilon)
        scale = r if gamma is None else r * gamma
        y = self._columns(xp.multiply, d, scale, out=square)
        if beta is not None:
            self._columns(xp.add, y, beta, out=y)
        self._move(moving, mean, var)
        return y, mean, var, (d, r, scale, weights, total)

    def _move(self, moving, mean, variance) -> None:
        """Take the statistics of a batch into moving averages, unless ``moving`` is ``None``."""
        if moving is not None:
            *averages, momentum = moving
            for average, value in zip(averages, (mean, variance)):
                average *= momentum
                average += value * (1.0 - momentum)

    def batch_norm_backward(self, dy, cache, dmean=None, dvar=None, need_dx=True):
        """Return the gradients of x, gamma and beta; ``dmean``, ``dvar`` come from uses of the statistics."""
        xp = self.xp
        d, r, scale, weights, total = cache
        dbeta = self.column_sum(dy)
        along = self.column_sum(dy * d)
        dgamma = along * r
        if not need_dx:
            return None, dgamma, dbeta
        # y = d * scale + beta with d = x - mean: what flows through the variance and through the mean.
        through_var = along * scale * r * r * -0.5
        if dvar is not None:
            through_var = through_var + dvar
        through_mean = dbeta * -scale
        if dmean is not None:
            through_mean = through_mean + dmean
        through_var = through_var * (2 / total)
        through_mean = through_mean / total
        dx = self._columns(xp.multiply, dy, scale)
        spread = self._columns(xp.multiply, d, through_var)
        self._columns(xp.add, spread, through_mean, out=spread)
        if weights is not None:
            spread *= weights[:, None]
        dx += spread
        return dx, dgamma, dbeta

    def layer_norm_forward(self, x, gamma, beta, epsilon, center=True):
        """Normalise the rows of ``x``; ``center=False`` divides by the root mean square only.

        Returns
        -------
        y, cache
        """
        xp = self.xp
        n = x.shape[1]
        xhat = x - self.row_sum(x) / n if center else x * 1
        r = self.row_sum(xhat * xhat) / n
        r += epsilon
        xp.sqrt(r, out=r)
        r = 1 / r
        xhat *= r
        y = xhat if gamma is None else self._columns(xp.multiply, xhat, gamma)
        if beta is not None:
            y = self._columns(xp.add, y, beta, out=None if y is xhat else y)
        return y, (xhat, r, gamma, center)

    def layer_norm_backward(self, dy, cache, need_dx=True):
        """Return the gradients of x, gamma and beta."""
        xhat, r, gamma, center = cache
        n = xhat.shape[1]
        dbeta = self.column_sum(dy)
        dgamma = self.column_sum(dy * xhat)
        if not need_dx:
            return None, dgamma, dbeta
        g = dy * 1 if gamma is None else self._columns(self.xp.multiply, dy, gamma)
        along = self.row_sum(g * xhat) / n
        if center:
            g -= self.row_sum(g) / n
        g -= xhat * along
        g *= r
        return g, dgamma, dbeta

    def affine_columns(self, x, scale, offset=None):
        """Return ``x * scale + offset`` with vectors (C,) along the columns of ``x`` (M, C)."""
        y = self._columns(self.xp.multiply, x, scale)
        return y if offset is None else self._columns(self.xp.add, y, offset, out=y)


class _Seen(NamedTuple):
    """What the backward pass of batch normalisation needs: the inputs themselves, no copy of them."""

    x: np.ndarray
    shift: np.ndarray | None
    mean: np.ndarray  # of x - shift, float64, as are all vectors here
    r: np.ndarray
    scale: np.ndarray


class NumpyNormalizationMixin(NumpyRowsMixin, NormalizationMixin):
    """Batch normalisation in the fewest passes over memory: two to read, one to write, each way.

    The matrix is read as one run of memory, cut into strips that stay in cache. Vectors along the columns are
    repeated to ``BUFFER`` elements: NumPy copies shorter ones through its buffers, which costs as much as the
    arithmetic. Sums of ``x`` and ``x * x`` give the statistics; only where a mean is so large that the
    difference would lose digits, ``x - mean`` is worked with instead, in a third pass.
    """

    _small = 1 << 15  # elements up to which the generic version has less to prepare
    _strip = 1 << 17  # elements of a strip

    def affine_columns(self, x, scale, offset=None):
        if x.size <= 1024 or not x.flags.c_contiguous or x.dtype.kind != "f":
            y = x * scale
            if offset is not None:
                y += offset
            return y
        y = self.empty(x.shape, x.dtype)
        self._affine(x, None, scale, offset, y)
        return y

    def _affine(self, x, shift, scale, offset, y) -> None:
        """Write ``(x - shift) * scale + offset`` into ``y``."""
        walk = _Walk(x, self._strip)
        shift, scale, offset = (walk.tile(v) for v in (shift, scale, offset))

        def run(start, stop):
            for part, w in walk.strips(start, stop):
                source, target = walk.rows(x, part, w), walk.rows(y, part, w)
                if shift is not None:
                    source = np.subtract(source, shift[:w], out=target)
                np.multiply(source, scale[:w], out=target)
                if offset is not None:
                    np.add(target, offset[:w], out=target)

        self.side_by_side(run, walk.count, 3 * SECONDS * x.size)

    def _column_totals(self, a, b, shift):
        """Return the sums over each column of ``a`` and ``a * (b - shift)``, in float64.

        Where ``a`` is ``b``, both factors are shifted.
        """
        walk = _Walk(a, self._strip)
        tiled = walk.tile(shift)
        found = {}

        def run(start, stop):
            sums = found[start] = np.zeros((2, walk.width))
            for part, w in walk.strips(start, stop):
                left, right = walk.rows(a, part, w), walk.rows(b, part, w)
                product = self.scratch(left.shape, a.dtype)
                if tiled is not None:
                    right = np.subtract(right, tiled[:w], out=product)
                    if a is b:  # both sums are needed, so these cannot share their place
                        left, product = right, self.scratch(left.shape, a.dtype, slot=1)
                np.multiply(left, right, out=product)
                walk.add_columns(self, left, sums[0])
                walk.add_columns(self, product, sums[1])

        self.side_by_side(run, walk.count, 3 * SECONDS * a.size)
        totals = np.sum([found[start] for start in sorted(found)], axis=0)
        return totals.reshape(2, -1, a.shape[1]).sum(axis=1)

    def batch_norm_forward(self, x, gamma, beta, epsilon, weights=None, guard=0.0, moving=None):
        if weights is not None or x.size <= self._small or not x.flags.c_contiguous:
            return super().batch_norm_forward(x, gamma, beta, epsilon, weights, guard, moving)
        shift = None
        mean, square = self._column_totals(x, x, None) / len(x)
        var = square - mean * mean
        if (mean * mean > 16 * np.maximum(var, 0)).any():
            shift = mean.astype(x.dtype)
            mean, square = self._column_totals(x, x, shift) / len(x)
            var = square - mean * mean
        var = np.maximum(var, 0)
        r = 1 / np.sqrt(var + epsilon)
        scale = r if gamma is None else r * gamma
        offset = -mean * scale if beta is None else beta - mean * scale
        y = self.empty(x.shape, x.dtype)
        self._affine(x, shift, scale, offset, y)
        whole = (mean if shift is None else mean + shift).astype(x.dtype)
        var = var.astype(x.dtype)
        self._move(moving, whole, var)
        return y, whole, var, _Seen(x, shift, mean, r, scale)

    def batch_norm_backward(self, dy, cache, dmean=None, dvar=None, need_dx=True):
        if not isinstance(cache, _Seen):
            return super().batch_norm_backward(dy, cache, dmean, dvar, need_dx)
        x, shift, mean, r, scale = cache
        dy = np.ascontiguousarray(dy, x.dtype)
        dbeta, along = self._column_totals(dy, x, shift)
        along -= mean * dbeta
        dx = None
        if need_dx:
            # As in the generic version: through the variance, times (x - mean), and through the mean.
            by_x = (along * scale * r * r * -0.5 + (0 if dvar is None else dvar)) * (2 / len(x))
            rest = (dbeta * -scale + (0 if dmean is None else dmean)) / len(x) - mean * by_x
            dx = self._input_gradient(dy, x, shift, scale, by_x, rest)
        return dx, (along * r).astype(x.dtype), dbeta.astype(x.dtype)

    def _input_gradient(self, dy, x, shift, scale, by_x, rest):
        """Return ``dy * scale + (x - shift) * by_x + rest``."""
        dx = self.empty(x.shape, x.dtype)
        walk = _Walk(x, self._strip)
        shift, scale, by_x, rest = (walk.tile(v) for v in (shift, scale, by_x, rest))

        def run(start, stop):
            for part, w in walk.strips(start, stop):
                source, target, d = (walk.rows(a, part, w) for a in (x, dx, dy))
                if shift is not None:
                    source = np.subtract(source, shift[:w], out=target)
                np.multiply(source, by_x[:w], out=target)
                np.add(target, rest[:w], out=target)
                np.add(target, np.multiply(d, scale[:w], out=self.scratch(d.shape, d.dtype)), out=target)

        self.side_by_side(run, walk.count, 5 * SECONDS * x.size)
        return dx

    # ---- rows -------------------------------------------------------------------------------------
    def layer_norm_forward(self, x, gamma, beta, epsilon, center=True):
        if x.size <= self._small or not x.flags.c_contiguous or type(x) is not np.ndarray:
            return super().layer_norm_forward(x, gamma, beta, epsilon, center)
        walk = _Walk(x, self._strip // 2)
        y = self.empty(x.shape, x.dtype)
        mean, r = np.zeros((2, len(x), 1), x.dtype)
        scale, offset = walk.tile(gamma), walk.tile(beta)
        unsafe = []

        def run(start, stop):
            for part, w in walk.strips(start, stop):
                rows, source, target = walk.lines(part), walk.lines_of(x, part), walk.lines_of(y, part)
                var = np.vecdot(source, source)[:, None] / x.shape[1]
                if center:
                    mean[rows] = self.row_sum(source) / x.shape[1]
                    square = mean[rows] * mean[rows]
                    var -= square
                    if (square > 16 * np.maximum(var, 0)).any():  # the difference has lost digits
                        unsafe.append(start)
                        return
                np.maximum(var, 0, out=var)
                r[rows] = 1 / np.sqrt(var + epsilon)
                np.multiply(source, r[rows], out=target)
                if center:
                    np.subtract(target, mean[rows] * r[rows], out=target)
                wide = walk.rows(y, part, w)
                if scale is not None:
                    np.multiply(wide, scale[:w], out=wide)
                if offset is not None:
                    np.add(wide, offset[:w], out=wide)

        self.side_by_side(run, walk.count, 8 * SECONDS * x.size)
        if unsafe:
            return super().layer_norm_forward(x, gamma, beta, epsilon, center)
        return y, _SeenRows(x, mean, r, gamma, center)

    def layer_norm_backward(self, dy, cache, need_dx=True):
        if not isinstance(cache, _SeenRows):
            return super().layer_norm_backward(dy, cache, need_dx)
        x, mean, r, gamma, center = cache
        dy = np.ascontiguousarray(dy, x.dtype)
        walk = _Walk(x, self._strip // 2)
        scale, n = walk.tile(gamma), x.shape[1]
        dx = self.empty(x.shape, x.dtype) if need_dx else None
        found = {}

        def run(start, stop):
            sums = found[start] = np.zeros((2, n))
            for part, w in walk.strips(start, stop):
                rows, source, d = walk.lines(part), walk.lines_of(x, part), walk.lines_of(dy, part)
                m, inverse = mean[rows], r[rows]
                product = np.multiply(d, source, out=self.scratch(d.shape, d.dtype))
                sums[0] += np.dot(inverse[:, 0], product) - np.dot((m * inverse)[:, 0], d)
                sums[1] += np.dot(self.ones(len(d), d.dtype), d)
                if not need_dx:
                    continue
                # dx = r (g - mean(g) - xhat mean(g xhat)), of which the sums come first
                g = walk.lines_of(dx, part)
                if scale is None:
                    g[...] = d
                else:
                    np.multiply(walk.rows(dy, part, w), scale[:w], out=walk.rows(dx, part, w))
                total = self.row_sum(g) / n if center else 0
                along = inverse * inverse * inverse * (np.vecdot(g, source)[:, None] / n - m * total)
                np.multiply(g, inverse, out=g)
                g -= np.multiply(source, along, out=product)
                if center:
                    g += m * along - inverse * total

        self.side_by_side(run, walk.count, 10 * SECONDS * x.size)
        sums = np.sum([found[start] for start in sorted(found)], axis=0).astype(x.dtype)
        return dx, sums[0], sums[1]


class _SeenRows(NamedTuple):
    """What the backward pass of layer normalisation needs."""

    x: np.ndarray
    mean: np.ndarray  # (M, 1), zeros where the mean was not subtracted
    r: np.ndarray
    gamma: np.ndarray | None
    center: bool


class _Walk:
    """A way through a contiguous matrix (M, C) as rows of ``width`` elements, a whole number of columns each.

    Parameters
    ----------
    x : array, shape (M, C)
        Which matrix, or one of its shape and type.
    strip : int
        Elements in one strip.
    """

    BUFFER = np.getbufsize()  # elements; NumPy copies vectors shorter than this before it repeats them
    SHORT = 1024  # elements of the rows that are summed: long enough for the BLAS, short enough for its cache

    def __init__(self, x, strip: int):
        c = x.shape[1]
        self.columns, self.dtype, self.size = c, x.dtype, x.size
        self.short = c * -(-self.SHORT // c)
        self.width = self.short * -(-self.BUFFER // self.short)
        self.count = self.size // self.width  # whole rows; a rest may follow
        self.height = max(1, strip // self.width)

    def strips(self, start: int, stop: int) -> Iterator[tuple[slice, int]]:
        """Yield elements of the strips, and their width, from row ``start`` to ``stop``, then the rest."""
        for i in range(start, stop, self.height):
            yield slice(i * self.width, min(i + self.height, stop) * self.width), self.width
        if stop == self.count and self.size % self.width:
            yield slice(stop * self.width, self.size), self.size % self.width

    def rows(self, x, part: slice, width: int):
        return x.reshape(-1)[part].reshape(-1, width)

    def lines(self, part: slice) -> slice:
        """Return which rows of the matrix itself a strip holds."""
        return slice(part.start // self.columns, part.stop // self.columns)

    def lines_of(self, x, part: slice):
        return x.reshape(-1)[part].reshape(-1, self.columns)

    def tile(self, vector):
        """Return a vector of one element for each column, repeated to the width; ``None`` stays."""
        if vector is None:
            return None
        tiled = np.empty((self.width // self.columns, self.columns), self.dtype)
        tiled[...] = vector
        return tiled.reshape(-1)

    def add_columns(self, backend, x, sums) -> None:
        """Add the sums of the columns of a strip to ``sums``, where column j has every C-th place from j."""
        w = self.short if x.size % self.short == 0 else self.columns
        sums[:w] += np.dot(backend.ones(x.size // w, x.dtype), x.reshape(-1, w))
