"""Pooling of channels-last arrays over one to three spatial axes, written once over ``xp``."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .convolution import blocks, inner_slices, tap_slices
from .device import Device
from .window_shapes import Windows


class PoolingMixin(Device):
    """Maximum and average over windows, and their gradients.

    Shapes: ``x`` (N, *size, C), ``y`` and ``dy`` (N, *out, C). On a CPU a few images at a time, so that the
    passes over one block find it in cache.
    """

    pool_bytes = 1 << 28  # of the inputs of one block

    def _pool_blocks(self, x) -> Iterator[slice]:
        """Yield the images of every block."""
        step, _ = blocks(len(x), 1, x[:1].nbytes, self.pool_bytes)
        for n in range(0, len(x), step):
            yield slice(n, min(n + step, len(x)))

    def _pad_images(self, x, windows: Windows, value):
        """Return images surrounded by ``value`` where the windows reach beyond them."""
        if windows.padded == windows.size:
            return x
        padded = self.xp.full((len(x), *windows.padded, x.shape[-1]), value, x.dtype)
        padded[inner_slices(windows)] = x
        return padded

    # ---- maximum ----------------------------------------------------------------------------------
    def max_pool_forward(self, x, windows: Windows):
        """Return the largest element of every window; padding never wins."""
        xp = self.xp
        y = xp.empty((len(x), *windows.out, x.shape[-1]), x.dtype)
        for images in self._pool_blocks(x):
            source = self._pad_images(x[images], windows, _lowest(x.dtype))
            _reduce(xp, xp.maximum, source, windows, y[images])
        return y

    def max_pool_backward(self, dy, x, y, windows: Windows):
        """Return the gradient of ``x``: every window's goes to the first of its largest elements."""
        xp = self.xp
        disjoint = _disjoint(windows)
        dx = xp.empty(x.shape, dy.dtype)
        for images in self._pool_blocks(x):
            source = self._pad_images(x[images], windows, _lowest(x.dtype))
            top, rest = y[images], dy[images].copy()
            exact = disjoint and windows.padded == windows.size
            target = dx[images] if exact else xp.zeros(source.shape, dy.dtype)
            if exact and not _covers(windows):
                target[...] = 0
            taps = list(tap_slices(windows))
            for i, (_, place) in enumerate(taps):
                # What is left over goes to the last tap: it must be the largest, or a NaN hides among them.
                won = rest if i == len(taps) - 1 else xp.multiply(rest, source[place] == top)
                if disjoint:
                    target[place] = won
                else:
                    target[place] += won
                if won is not rest:
                    xp.subtract(rest, won, out=rest)
            if not exact:
                dx[images] = target[inner_slices(windows)]
        return dx

    def max_pool_select(self, v, x, y, windows: Windows):
        """Return, for every window, the element of ``v`` where ``x`` has its maximum ``y``."""
        xp = self.xp
        source = self._pad_images(x, windows, _lowest(x.dtype))
        values = self._pad_images(v, windows, 0)
        found = xp.zeros(y.shape, v.dtype)
        free = xp.ones(y.shape, bool)
        for _, place in tap_slices(windows):
            won = xp.logical_and(source[place] == y, free)
            found += values[place] * won
            free = xp.logical_and(free, xp.logical_not(won))
        return found

    # ---- average ----------------------------------------------------------------------------------
    def average_pool_forward(self, x, windows: Windows):
        """Return the mean of every window; padding does not count."""
        xp = self.xp
        y = xp.empty((len(x), *windows.out, x.shape[-1]), x.dtype)
        scale = self._window_weights(windows, x.dtype)
        for images in self._pool_blocks(x):
            block = y[images]
            _reduce(xp, xp.add, self._pad_images(x[images], windows, 0), windows, block)
            xp.multiply(block, scale, out=block)
        return y

    def average_pool_backward(self, dy, windows: Windows):
        """Return the gradient of ``x``: every window spreads its own evenly."""
        xp = self.xp
        dx = xp.empty((len(dy), *windows.size, dy.shape[-1]), dy.dtype)
        scale = self._window_weights(windows, dy.dtype)
        exact = _disjoint(windows) and _covers(windows) and windows.padded == windows.size
        for images in self._pool_blocks(dx):
            share = xp.multiply(dy[images], scale)
            if exact:
                pairs = tuple(n for o, k in zip(windows.out, windows.window) for n in (o, k))
                split = dx[images].reshape(len(share), *pairs, dy.shape[-1])
                split[...] = share.reshape(len(share), *(n for o in windows.out for n in (o, 1)), -1)
            else:
                target = xp.zeros((len(share), *windows.padded, dy.shape[-1]), dy.dtype)
                for _, place in tap_slices(windows):
                    target[place] += share
                dx[images] = target[inner_slices(windows)]
        return dx

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


class NumpyPoolingMixin(PoolingMixin):
    """Block sizes for the caches of a CPU."""

    pool_bytes = 1 << 19


def _reduce(xp, ufunc, source, windows: Windows, y) -> None:
    """Combine the taps of every window into ``y``, one axis after the other: k1 + k2 passes, not k1 * k2."""
    axes = [i for i, k in enumerate(windows.window) if k > 1 or windows.strides[i] > 1]
    if not axes:
        y[...] = source[tuple(slice(o) for o in (None, *windows.out))]
        return
    for i in axes:
        last = i == axes[-1]
        k, s, o = windows.window[i], windows.strides[i], windows.out[i]
        taps = []
        for t in range(k):
            place = [slice(None)] * source.ndim
            place[i + 1] = slice(t, t + (o - 1) * s + 1 if o else t, s)
            if last:  # axes without a window may still be longer than the output
                for j, n in enumerate(windows.out):
                    if j not in axes:
                        place[j + 1] = slice(n)
            taps.append(source[tuple(place)])
        if k == 1:
            found = taps[0]
        else:
            found = ufunc(taps[0], taps[1], out=y) if last else ufunc(taps[0], taps[1])
            for tap in taps[2:]:
                ufunc(found, tap, out=found)
        if last and k == 1:
            y[...] = found
        source = found


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
    if dtype.kind == "f":
        return -math.inf
    return False if dtype.kind == "b" else np.iinfo(dtype).min
