"""Sums and maxima along one axis of a matrix: the inner step of softmax, normalisation and bias gradients."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable

import numpy as np

from . import memory, threads
from .device import Device

CHUNK = 65536  # elements: two such float32 arrays stay in a core's second-level cache
PIECE = 1 << 14  # elements: several temporary arrays of them stay there
FINER = 4  # parts for each thread: whose core is busy with something else takes fewer


class RowsMixin(Device):
    """Generic version on ``xp``."""

    def ones(self, n: int, dtype):
        """Return a shared vector of ``n`` ones; callers must not write into it."""
        return self.xp.ones(n, dtype)

    def row_max(self, x):
        """Return the maximum of every row of ``x`` (M, C) as (M, 1)."""
        return x.max(axis=-1, keepdims=True)

    def row_sum(self, x):
        """Return the sum of every row of ``x`` (M, C) as (M, 1)."""
        return x.sum(axis=-1, keepdims=True)

    def column_sum(self, x):
        """Return the sum of every column of ``x`` (M, C) as (C,)."""
        return x.sum(axis=0)

    def widen(self, x):
        """Return ``x`` (M, C) as a view (M / k, k * C) on which per-column arithmetic is quickest, and k."""
        return x, 1

    def row_starts(self, rows: int, columns: int):
        """Return the flat position of each row of a (rows, columns) matrix; it must not be written into."""
        return self.xp.arange(rows) * columns

    def scratch(self, shape: tuple, dtype, slot: int = 0):
        """Return an uninitialised array; the next call for ``slot`` may overwrite it."""
        return self.xp.empty(shape, dtype)

    def empty_like(self, x):
        """Return an uninitialised array like ``x`` for a result."""
        return self.xp.empty_like(x)

    def times(self, x, y):
        """Return ``x * y`` of two arrays of one shape."""
        return x * y

    def plus(self, x, y):
        """Return ``x + y`` of two arrays of one shape."""
        return x + y

    def in_pieces(self, function: Callable, *arrays, times=None):
        """Return ``function(*arrays)``, one element for each of theirs; on a CPU piece by piece, in cache.

        ``times`` is an array by which the result is multiplied, if any.
        """
        found = function(*arrays)
        return found if times is None else self.xp.multiply(times, found)

    def side_by_side(self, function: Callable, count: int, seconds: float, least: int = 1) -> None:
        """Call ``function(start, stop)`` for parts of ``count`` items; on a CPU, large work on its threads.

        ``seconds`` estimates the whole work on one thread of a CPU; a part has ``least`` items or more.
        """
        function(0, count)


class NumpyRowsMixin(RowsMixin):
    """NumPy reduces short axes slowly: products with ones, a transposed maximum are 3 to 20 times quicker."""

    _cache: dict = {}  # (kind, sizes, dtype) -> constant array; emptied when it grows
    _kept_scratch = 1 << 22  # bytes; larger ones are not worth keeping

    def scratch(self, shape, dtype, slot=0):
        return memory.scratch(_LOCAL, math.prod(shape), dtype, slot, self._kept_scratch).reshape(shape)

    def empty_like(self, x):
        # Recorded arrays, of a class of their own, must make their results themselves.
        if x.nbytes < memory.LARGE or type(x) is not np.ndarray:
            return np.empty_like(x)
        return memory.empty(x.shape, x.dtype)

    def times(self, x, y):
        return self._in_kept_memory(np.multiply, x, y)

    def plus(self, x, y):
        return self._in_kept_memory(np.add, x, y)

    def _in_kept_memory(self, ufunc, x, y):
        """Return ``ufunc(x, y)``; a large result in memory that was used before."""
        if x.nbytes < memory.LARGE or not x.flags.c_contiguous or not y.flags.c_contiguous:
            return ufunc(x, y)
        found = self.empty_like(x)
        self._chunks(lambda n, a, b, out: ufunc(a, b, out=out), 2e-10, x, y, found)
        return found

    def _chunks(self, function, seconds: float, *arrays) -> None:
        """Call ``function(number of elements, *parts)`` for parts of contiguous arrays that stay in cache.

        ``seconds`` is an estimate for one element. Large arrays are shared among the threads.
        """
        flat = [a.reshape(-1) for a in arrays]
        count = flat[0].size
        if count <= CHUNK:
            function(count, *flat)
            return

        def run(start, stop):
            for i in range(start, stop, CHUNK):
                j = min(i + CHUNK, stop)
                function(j - i, *[a[i:j] for a in flat])

        self.side_by_side(run, count, seconds * count, CHUNK)

    def in_pieces(self, function, *arrays, times=None):
        first, every = arrays[0], arrays if times is None else (*arrays, times)
        if first.nbytes < memory.LARGE or first.dtype.kind != "f" or not _alike(every):
            return super().in_pieces(function, *arrays, times=times)
        found = self.empty_like(first)
        flat, target = [a.reshape(-1) for a in arrays], found.reshape(-1)
        factor = None if times is None else times.reshape(-1)

        def run(start, stop):
            for i in range(start, stop, PIECE):
                part = slice(i, min(i + PIECE, stop))
                piece = function(*[a[part] for a in flat])
                if factor is None:
                    target[part] = piece
                else:
                    np.multiply(factor[part], piece, out=target[part])

        self.side_by_side(run, first.size, 2e-9 * first.size, PIECE)
        return found

    def side_by_side(self, function, count, seconds, least=1):
        if seconds < threads.WORTH:
            function(0, count)
        else:
            threads.parallel(function, threads.split(count, seconds, least, FINER))

    def _constant(self, key, make):
        found = self._cache.get(key)
        if found is None:
            if len(self._cache) > 256:
                self._cache.clear()
            found = make()
            found.flags.writeable = False
            self._cache[key] = found
        return found

    def ones(self, n, dtype):
        found = self._cache.get((n, dtype))
        return self._constant((n, dtype), lambda: np.ones(n, dtype)) if found is None else found

    def _zeros(self, n, dtype):
        """Return a shared vector of n <= 65536 zeros: ``maximum`` with it is quicker than with 0."""
        found = self._cache.get(dtype)
        return (self._constant(dtype, lambda: np.zeros(65536, dtype)) if found is None else found)[:n]

    def row_starts(self, rows, columns):
        return self._constant(("rows", rows, columns), lambda: np.arange(rows) * columns)

    def row_max(self, x):
        m, c = x.shape
        if m >= 16 and c <= 64:
            return np.maximum.reduce(x.T.copy(), axis=0)[:, None]
        return np.maximum.reduce(x, axis=-1, keepdims=True)

    def row_sum(self, x):
        return np.dot(x, self.ones(x.shape[1], x.dtype))[:, None]

    def column_sum(self, x):
        if len(x) == 1:
            return x[0]
        return np.dot(self.ones(x.shape[0], x.dtype), x)

    def widen(self, x):
        m, c = x.shape
        k = 1
        if c < 128 and x.flags.c_contiguous:
            while k * c < 512 and m % (2 * k) == 0:
                k *= 2
        return x.reshape(m // k, k * c) if k > 1 else x, k


def _alike(arrays) -> bool:
    """Tell whether arrays can be cut into the same pieces: of NumPy, of one shape and type, in order."""
    first = arrays[0]
    return all(
        type(a) is np.ndarray and a.shape == first.shape and a.dtype == first.dtype and a.flags.c_contiguous
        for a in arrays
    )


_LOCAL = threading.local()  # buffers of each thread
