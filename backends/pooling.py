"""Pooling of channels-last arrays over one to three spatial axes, written once over ``xp``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from .convolution import blocks, inner_slices, tap_slices
from .rows import RowsMixin
from .window_shapes import Windows

SECONDS = 2.5e-10  # for one tap of one output, on one thread of a CPU


class PoolingMixin(RowsMixin):
    """Maximum and average over windows, and their gradients.

    Shapes: ``x`` (N, *size, C), ``y``, ``where`` and ``dy`` (N, *out, C). ``where`` tells which element of
    its window was the largest: the number of the tap, row by row. On a CPU some rows of windows at a time,
    so that the passes over them find the outputs in cache, and several images side by side.
    """

    pool_bytes = 1 << 28  # of the inputs of one block

    def _pool_run(self, function, windows: Windows, n: int, channels: int, taps: int) -> None:
        """Call ``function(start, stop)`` for parts of ``n`` images, of which ``taps`` elements are read."""
        self.side_by_side(function, n, n * channels * math.prod(windows.out) * taps * SECONDS)

    def _pool_blocks(self, windows: Windows, start: int, stop: int, nbytes: int) -> Iterator[tuple]:
        """Yield images and rows of windows of every block; ``nbytes`` is the size of an input image.

        Yields
        ------
        images, rows : slice
        part : Windows
            With the rows of this block only.
        """
        row = -(-nbytes // max(1, windows.out[0]))
        step, height = blocks(stop - start, windows.out[0], row, self.pool_bytes)
        for n in range(start, stop, step):
            for r in range(0, windows.out[0], height):
                rows = slice(r, min(r + height, windows.out[0]))
                part = windows._replace(out=(rows.stop - r, *windows.out[1:]))
                yield slice(n, min(n + step, stop)), rows, part

    def _pool_sources(self, x, windows: Windows, start: int, stop: int, value) -> Iterator[tuple]:
        """Yield the blocks with their images, surrounded by ``value`` where windows reach beyond them."""
        exact = windows.padded == windows.size
        source = None
        for images, rows, part in self._pool_blocks(windows, start, stop, x[:1].nbytes):
            if exact:
                source = x[images]
            elif rows.start == 0:
                found = x[images]
                source = self.scratch((len(found), *windows.padded, x.shape[-1]), x.dtype)
                source[...] = value
                source[inner_slices(windows)] = found
            yield images, rows, part, source

    # ---- maximum ----------------------------------------------------------------------------------
    def max_pool_forward(self, x, windows: Windows):
        """Return the largest element of every window; padding never wins."""
        xp = self.xp
        y = self.empty((len(x), *windows.out, x.shape[-1]), x.dtype)

        def run(start, stop):
            sources = self._pool_sources(x, windows, start, stop, _lowest(x.dtype))
            for images, rows, part, source in sources:
                self._reduce(xp.maximum, source, part, rows.start, y[images, rows])

        self._pool_run(run, windows, len(x), x.shape[-1], sum(windows.window))
        return y

    def max_pool_training(self, x, windows: Windows):
        """Return the largest element of every window, and where it was: of equals, the first."""
        xp = self.xp
        y = self.empty((len(x), *windows.out, x.shape[-1]), x.dtype)
        taps = math.prod(windows.window)
        where = self.empty(y.shape, xp.uint8 if taps <= 256 else xp.int32)

        def run(start, stop):
            sources = self._pool_sources(x, windows, start, stop, _lowest(x.dtype))
            for images, rows, part, source in sources:
                self._max_pool_block(source, part, rows.start, y[images, rows], where[images, rows])

        self._pool_run(run, windows, len(x), x.shape[-1], taps)
        return y, where

    def _max_pool_block(self, source, windows: Windows, first_row: int, y, where) -> None:
        xp = self.xp
        values = self.scratch(y.shape, y.dtype, slot=1)  # copied together: the passes below are quicker so
        larger = self.scratch(y.shape, bool, slot=3)
        for i, (_, place) in enumerate(tap_slices(windows, first_row)):
            if i == 0:
                y[...] = source[place]
                where[...] = 0
                continue
            values[...] = source[place]
            xp.greater(values, y, out=larger)
            xp.maximum(y, values, out=y)
            if where.dtype.itemsize == 1:
                number = larger.view(where.dtype)
                xp.multiply(number, i, out=number)
            else:
                number = larger * where.dtype.type(i)
            xp.maximum(where, number, out=where)  # later taps have larger numbers

    def max_pool_backward(self, dy, where, windows: Windows):
        """Return the gradient of ``x``: every window's goes to its largest element."""
        xp = self.xp
        disjoint, exact = _disjoint(windows), windows.padded == windows.size
        dx = self.empty((len(dy), *windows.size, dy.shape[-1]), dy.dtype)

        def run(start, stop):
            target: Any = None
            for images, rows, part in self._pool_blocks(windows, start, stop, dx[:1].nbytes):
                if rows.start == 0:
                    target = self._pool_target(dx[images], windows, exact)
                d, code = dy[images, rows], where[images, rows]
                here = self.scratch(code.shape, bool, slot=3)
                for i, (_, place) in enumerate(tap_slices(part, rows.start)):
                    xp.equal(code, i, out=here)
                    if disjoint:
                        xp.multiply(d, here, out=target[place])
                    else:
                        won = xp.multiply(d, here, out=self.scratch(d.shape, d.dtype, slot=1))
                        target[place] += won
                if not exact and rows.stop == windows.out[0]:
                    dx[images] = target[inner_slices(windows)]

        self._pool_run(run, windows, len(dy), dy.shape[-1], math.prod(windows.window))
        return dx if math.prod(windows.out) else xp.zeros_like(dx)

    def _pool_target(self, dx, windows: Windows, exact: bool):
        """Return where the gradients of some images are collected: in ``dx`` itself where it is ``exact``."""
        if exact:
            if not (_disjoint(windows) and _covers(windows)):
                dx[...] = 0
            return dx
        target = self.scratch((len(dx), *windows.padded, dx.shape[-1]), dx.dtype, slot=2)
        target[...] = 0
        return target

    def max_pool_select(self, v, where, windows: Windows):
        """Return, for every window, the element of ``v`` at ``where``."""
        xp = self.xp
        found = xp.zeros(where.shape, v.dtype)
        for images, rows, part, source in self._pool_sources(v, windows, 0, len(v), 0):
            for i, (_, place) in enumerate(tap_slices(part, rows.start)):
                found[images, rows] += source[place] * (where[images, rows] == i)
        return found

    # ---- average ----------------------------------------------------------------------------------
    def average_pool_forward(self, x, windows: Windows):
        """Return the mean of every window; padding does not count."""
        xp = self.xp
        y = self.empty((len(x), *windows.out, x.shape[-1]), x.dtype)
        scale = self._window_weights(windows, x.dtype)

        def run(start, stop):
            for images, rows, part, source in self._pool_sources(x, windows, start, stop, 0):
                block = y[images, rows]
                self._reduce(xp.add, source, part, rows.start, block)
                xp.multiply(block, scale if isinstance(scale, float) else scale[rows], out=block)

        self._pool_run(run, windows, len(x), x.shape[-1], sum(windows.window))
        return y

    def average_pool_backward(self, dy, windows: Windows):
        """Return the gradient of ``x``: every window spreads its own evenly."""
        xp = self.xp
        dx = self.empty((len(dy), *windows.size, dy.shape[-1]), dy.dtype)
        scale = self._window_weights(windows, dy.dtype)
        exact = windows.padded == windows.size
        tiles = exact and _disjoint(windows) and _covers(windows)

        def run(start, stop):
            target: Any = None
            for images, rows, part in self._pool_blocks(windows, start, stop, dx[:1].nbytes):
                share = self.scratch(dy[images, rows].shape, dy.dtype)
                xp.multiply(dy[images, rows], scale if isinstance(scale, float) else scale[rows], out=share)
                if tiles:
                    _spread(share, dx[images], part, rows)
                    continue
                if rows.start == 0:
                    target = self._pool_target(dx[images], windows, exact)
                for _, place in tap_slices(part, rows.start):
                    target[place] += share
                if not exact and rows.stop == windows.out[0]:
                    dx[images] = target[inner_slices(windows)]

        self._pool_run(run, windows, len(dy), dy.shape[-1], math.prod(windows.window))
        return dx if math.prod(windows.out) else xp.zeros_like(dx)

    def _window_weights(self, windows: Windows, dtype):
        """Return one over the number of real elements in each window: a number, or (*out, 1)."""
        if windows.padded == windows.size:
            return 1.0 / math.prod(windows.window)
        xp, rank = self.xp, len(windows.window)
        count = xp.ones((1,) * (rank + 1), dtype)
        for i, (n, k, o, s, low) in enumerate(
            zip(windows.size, windows.window, windows.out, windows.strides, windows.lows)
        ):
            start = xp.arange(o) * s - low
            inside = xp.minimum(start + k, n) - xp.maximum(start, 0)
            shape = [1] * (rank + 1)
            shape[i] = o
            count = count * inside.astype(dtype).reshape(shape)
        return 1 / count


    def _reduce(self, ufunc, source, windows: Windows, first_row: int, y) -> None:
        """Combine the taps of every window into ``y``, one axis after the other: k1 + k2 passes, not k1 * k2.

        ``first_row`` is the number of rows of windows left out at the start of the first axis.
        """
        place = [slice(None)] * source.ndim
        place[1] = slice(first_row * windows.strides[0], None)
        axes = [i for i, k in enumerate(windows.window) if k > 1 or windows.strides[i] > 1]
        for i, o in enumerate(windows.out):
            if i not in axes:  # without a window, an axis may still be longer than the output
                place[i + 1] = slice(place[i + 1].start or 0, (place[i + 1].start or 0) + o)
        source = source[tuple(place)]
        for i in axes:
            k, s, o = windows.window[i], windows.strides[i], windows.out[i]
            spots = [slice(t, t + (o - 1) * s + 1 if o else t, s) for t in range(k)]
            first, *others = (source[(slice(None),) * (i + 1) + (spot,)] for spot in spots)
            if i == axes[-1]:
                found = y
            else:
                found = self.scratch(first.shape, y.dtype, slot=1 + i % 2)
            if others:
                ufunc(first, others[0], out=found)
            else:
                found[...] = first
            for tap in others[1:]:
                ufunc(found, tap, out=found)
            source = found
        if not axes:
            y[...] = source


class NumpyPoolingMixin(PoolingMixin):
    """Block sizes for a CPU, on which a pass has about half of a block at hand.

    In smaller blocks threads would meet at the interpreter more often than caches gain.
    """

    pool_bytes = 1 << 21


def _spread(share, dx, windows: Windows, rows: slice) -> None:
    """Copy each element of ``share`` to all places of its window, where the windows tile the images."""
    k = windows.window[0]
    part = dx[:, rows.start * k : rows.stop * k]
    pairs = tuple(n for o, k in zip(windows.out, windows.window) for n in (o, k))
    split = part.reshape(len(dx), *pairs, dx.shape[-1])
    split[...] = share.reshape(len(dx), *(n for o in windows.out for n in (o, 1)), -1)


def _disjoint(windows: Windows) -> bool:
    """Whether no element lies in two windows."""
    return all(k <= s for k, s in zip(windows.window, windows.strides))


def _covers(windows: Windows) -> bool:
    """Whether every element of the padded input lies in some window."""
    return all(
        k >= s and (o - 1) * s + k == n
        for k, s, o, n in zip(windows.window, windows.strides, windows.out, windows.padded)
    )


def _lowest(dtype):
    """Return the value that loses against every other of ``dtype``."""
    dtype = np.dtype(dtype)
    if dtype.kind in "iu":
        return np.iinfo(dtype).min
    return False if dtype.kind == "b" else -math.inf
