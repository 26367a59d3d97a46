"""Depthwise convolution: every channel has filters of its own, so there is no matrix product."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from .convolution import ConvolutionMixin, blocks, inner_slices, tap_slices
from .window_shapes import Windows

SECONDS = 1.6e-10  # of one product and sum, on one thread of a CPU
SMALL = 1 << 12  # elements of an output gradient for which the calls take longer than the sums
RUN = 4096  # elements: pieces of rows of about this length stay in the first-level cache


class DepthwiseMixin(ConvolutionMixin):
    """Depthwise convolution as sums over the taps of the window, written once over ``xp``.

    Shapes: ``x`` (N, *size, C), ``w`` (*window, 1, C * many), ``y`` and ``dy`` (N, *out, C * many).
    """

    def _depthwise_forward(self, x, w, windows: Windows, y, finish) -> None:
        xp, c = self.xp, x.shape[-1]
        many = w.shape[-1] // c
        w = w.reshape(*windows.window, c, many)
        step, _ = blocks(len(x), 1, y[:1].nbytes + 1, self.column_bytes // 2)
        padded = self._conv_padding(x, windows, step)
        for n in range(0, len(x), step):
            images = slice(n, min(n + step, len(x)))
            source = padded(images)
            block = y[images]
            sums = block.reshape(*block.shape[:-1], c, many)
            store = self.conv_scratch(block.size, x.dtype).reshape(sums.shape)
            for i, (tap, places) in enumerate(tap_slices(windows)):
                found = source[places][..., None]
                xp.multiply(found, w[tap], out=store if i else sums)
                if i:
                    xp.add(sums, store, out=sums)
            finish(block.reshape(-1, block.shape[-1]))

    def _depthwise_backward_data(self, dy, w, windows: Windows, c: int):
        xp = self.xp
        many = dy.shape[-1] // c
        w = w.reshape(*windows.window, c, many)
        dx = xp.empty((len(dy), *windows.size, c), dy.dtype)
        step, _ = blocks(len(dy), 1, dx[:1].nbytes + 1, self.column_bytes // 2)
        sums = xp.empty((min(step, max(1, len(dy))), *windows.padded, c), dy.dtype)
        inside = inner_slices(windows)
        for n in range(0, len(dy), step):
            block = dy[n : n + step].reshape(-1, *windows.out, c, many)
            sums[...] = 0
            for tap, places in tap_slices(windows):
                found = block * w[tap]
                target = sums[: len(block)][places]
                target += found[..., 0] if many == 1 else found.sum(axis=-1)
            dx[n : n + step] = sums[: len(block)][inside]
        return dx

    def _depthwise_backward_kernel(self, x, dy, windows: Windows, dw) -> None:
        c = x.shape[-1]
        many = dy.shape[-1] // c
        step, _ = blocks(len(x), 1, dy[:1].nbytes + 1, self.column_bytes // 2)
        padded = self._conv_padding(x, windows, step)
        for n in range(0, len(x), step):
            images = slice(n, min(n + step, len(x)))
            source = padded(images)
            block = dy[images].reshape(len(source), *windows.out, c, many)
            for tap, places in tap_slices(windows):
                product = source[places][..., None] * block
                dw[tap][0] += self.column_sum(product.reshape(-1, c * many))


class NumpyDepthwiseMixin(DepthwiseMixin):
    """All taps in one ``einsum``, which multiplies and adds in one pass.

    What is quick in it is the innermost loop over neighbours in memory: a row of the output with all its
    channels (columns times C elements), beside a row of the input that begins some columns further on, and
    the weights of a tap repeated for every column. Strides break such rows, so the input is sorted first:
    columns that the same tap reads become neighbours ("phases").
    """

    _image_bytes = 1 << 20  # of padded inputs worked on together; twice as much for sums over positions

    def _depthwise_forward(self, x, w, windows, y, finish) -> None:
        c = y.shape[-1]
        plan = [(phase, _Weights(w.reshape(*windows.window, c)[..., phase.taps, :], windows.out[-1]))
                for phase in _column_phases(windows)]

        def run(start, stop):
            sort = _SortedColumns(self, windows, c)
            for images in self._image_blocks(windows, c, x.itemsize, start, stop):
                source, block = sort(x[images]), y[images]
                for i, (phase, weights) in enumerate(plan):
                    view = _tap_view(source[phase.number], phase.corner, phase.steps, windows.strides,
                                     phase.window, windows.out)
                    target = block if i == 0 else self.scratch(block.shape, y.dtype, slot=2)
                    weights.sum_taps(view, target)
                    if i:
                        np.add(block, target, out=block)
                finish(block.reshape(-1, c))

        if y.size:
            self.side_by_side(run, len(x), y.size * math.prod(windows.window) * SECONDS)

    def _depthwise_backward_kernel(self, x, dy, windows, dw) -> None:
        c = dy.shape[-1]
        phases = list(_column_phases(windows))
        found = {}

        def run(start, stop):
            sums = found[start] = np.zeros((*windows.window, c), dw.dtype)
            sort = _SortedColumns(self, windows, c)
            for images in self._image_blocks(windows, c, x.itemsize / 2, start, stop):
                source = sort(x[images])
                for phase in phases:
                    view = _tap_view(source[phase.number], phase.corner, phase.steps, windows.strides,
                                     phase.window, windows.out)
                    sums[..., phase.taps, :] += _sum_positions(view, dy[images])

        if dy.size:
            self.side_by_side(run, len(x), dy.size * math.prod(windows.window) * SECONDS)
            dw[...] = np.sum([found[start] for start in sorted(found)], axis=0).reshape(dw.shape)

    def _depthwise_backward_data(self, dy, w, windows, c):
        filters = dy.shape[-1]
        w = w.reshape(*windows.window, filters)
        back = _BackPlan(windows)
        plan = []
        for phase in back.phases():
            out = tuple(len(range(p, n, s)) for p, n, s in zip(phase.number, windows.size, windows.strides))
            if math.prod(out):
                taps = np.ix_(*phase.taps, range(filters))
                plan.append((phase, out, _Weights(w[taps], out[-1]) if all(phase.window) else None))
        dx = self.empty((len(dy), *windows.size, c), dy.dtype)
        whole = len(plan) == 1 and filters == c

        def run(start, stop):
            sort = _SortedColumns(self, back.padded, filters)
            for images in self._image_blocks(back.padded, filters, dy.itemsize, start, stop):
                source = sort(dy[images])[0]
                for phase, out, weights in plan:
                    places = (images, *(slice(p, None, s) for p, s in zip(phase.number, windows.strides)))
                    if weights is None:  # no window reaches these places
                        dx[places] = 0
                        continue
                    view = _tap_view(source, phase.corner, phase.steps, (1,) * len(out), phase.window, out)
                    if whole:
                        weights.sum_taps(view, dx[images])
                        continue
                    target = self.scratch((len(source), *out, filters), dy.dtype, slot=2)
                    weights.sum_taps(view, target)
                    parts = target.reshape(*target.shape[:-1], c, -1)
                    dx[places] = parts[..., 0]
                    for k in range(1, parts.shape[-1]):
                        dx[places] += parts[..., k]

        if dx.size and dy.size:
            self.side_by_side(run, len(dy), dy.size * math.prod(windows.window) * SECONDS)
        else:
            dx[...] = 0
        return dx

    def _image_blocks(self, windows: Windows, c, itemsize, start, stop) -> Iterator[slice]:
        step, _ = blocks(stop - start, 1, int(math.prod(windows.padded) * c * itemsize), self._image_bytes)
        for n in range(start, stop, step):
            yield slice(n, min(n + step, stop))


class _SortedColumns:
    """Padded images (phase, N, *size, columns of a phase, filters); channels come several times.

    Phase p has the columns p, p + stride, p + 2 stride... Memory is used again for the next images, whose
    padding is there already.
    """

    def __init__(self, backend, windows: Windows, filters: int):
        self.backend, self.windows, self.filters = backend, windows, filters
        self.store: Any = None

    def __call__(self, x):
        windows, s, many = self.windows, self.windows.strides[-1], self.filters // x.shape[-1]
        if s == many == 1 and windows.padded == windows.size:
            return x[None]
        store = self._room(len(x), x.dtype)
        channels = store.reshape(*store.shape[:-1], x.shape[-1], many)
        inside = inner_slices(windows)[:-1]
        low, size = windows.lows[-1], windows.size[-1]
        for p in range(s):
            first = (p - low) % s  # column of the images that comes first in this phase
            if first < size:
                at = (first + low) // s
                places = (*inside, slice(at, at + len(range(first, size, s))))
                target = channels[p][places]
                for k in range(many):
                    target[..., k] = x[..., first::s, :]
        return store

    def _room(self, count: int, dtype):
        """Return memory for so many images, with zeros in the padding."""
        windows, s = self.windows, self.windows.strides[-1]
        if self.store is None or self.store.shape[1] != count:
            columns = -(-windows.padded[-1] // s)
            shape = (s, count, *windows.padded[:-1], columns, self.filters)
            self.store = self.backend.empty(shape, dtype)
            if windows.padded != windows.size or windows.padded[-1] % s:
                self.store[...] = 0
        return self.store


class _Phase(NamedTuple):
    """Taps that read the same phase of the columns, or write to the same places."""

    number: Any  # of the phase; one for each axis where there are phases of all axes
    taps: Any  # of the last axis, or for each axis
    window: tuple[int, ...]  # number of taps along each axis
    corner: tuple[int, ...]  # where the first tap is for the first output
    steps: tuple[int, ...]  # from one tap to the next


def _column_phases(windows: Windows) -> Iterator[_Phase]:
    """Yield the taps of a window by the phase of the columns that they read."""
    s, d, k = windows.strides[-1], windows.dilation[-1], windows.window[-1]
    for p in range(s):
        taps = [t for t in range(k) if t * d % s == p]
        if taps:
            corner = (*(0 for _ in windows.window[1:]), taps[0] * d // s)
            steps = (*windows.dilation[:-1], d // math.gcd(d, s))
            yield _Phase(p, taps, (*windows.window[:-1], len(taps)), corner, steps)


class _BackPlan:
    """How the gradients of the outputs come back to the inputs: without strides, one phase of them at a time.

    Input ``p + s q`` gets tap t of output ``q + (p + low - t d) / s`` wherever that is a whole number.
    """

    def __init__(self, windows: Windows):
        self.axes = []  # for each axis, for each phase: taps, offset of the first, step
        lows, padded = [], []
        for n, k, o, s, low, d in zip(*windows):
            found, reach = [], [0, o]
            for p in range(s):
                taps = [t for t in reversed(range(k)) if (p + low - t * d) % s == 0]
                offsets = [(p + low - t * d) // s for t in taps]
                found.append((taps, offsets, d // math.gcd(d, s)))
                if offsets and p < n:
                    reach = [min(reach[0], offsets[0]), max(reach[1], offsets[-1] + len(range(p, n, s)))]
            self.axes.append(found)
            lows.append(-reach[0])
            padded.append(reach[1] - reach[0])
        self.padded = Windows(windows.out, tuple(padded), (1,) * len(lows), (1,) * len(lows), tuple(lows),
                              (1,) * len(lows))

    def phases(self) -> Iterator[_Phase]:
        for chosen in itertools.product(*(list(enumerate(axis)) for axis in self.axes)):
            number, found = zip(*chosen)
            taps, offsets, steps = zip(*found)
            corner = tuple(o[0] + low if o else 0 for o, low in zip(offsets, self.padded.lows))
            yield _Phase(number, taps, tuple(map(len, taps)), corner, steps)


class _Weights:
    """Weights (*taps, C), repeated for the columns of a piece of a row."""

    def __init__(self, w, columns: int):
        run = _run(columns, w.shape[-1])
        self.tiled = np.tile(w, (1,) * (w.ndim - 1) + (run,))
        self.rank = w.ndim - 1

    def sum_taps(self, view, y) -> None:
        """Write the sum over the taps of ``view`` times the weights into ``y`` (N, *out, C)."""
        taps, rest = list(range(self.rank)), list(range(self.rank, view.ndim))
        np.einsum(view, taps + rest, self.tiled, [*taps, rest[-1]], rest,
                  out=y.reshape(view.shape[self.rank:]))


def _sum_positions(view, dy):
    """Return the sums over all positions of ``view`` times ``dy`` (N, *out, C), for each tap and channel.

    Tap by tap: one ``einsum`` for all of them would go through the taps innermost, on runs that are short.
    """
    rank, c = dy.ndim - 2, dy.shape[-1]
    dy = dy.reshape(view.shape[rank:])
    found = np.empty((*view.shape[:rank], view.shape[-1]), dy.dtype)
    taps, rest = list(range(rank)), list(range(rank, view.ndim))
    if dy.size < SMALL:
        np.einsum(view, taps + rest, dy, rest, [*taps, rest[-1]], out=found)
    else:
        for tap in np.ndindex(*view.shape[:rank]):
            np.einsum(view[tap], rest, dy, rest, rest[-1:], out=found[tap])
    return found.reshape(*found.shape[:-1], -1, c).sum(axis=-2)


def _run(columns: int, c: int) -> int:
    """Return the largest divisor of ``columns`` for which so many columns with their channels are short."""
    return max(k for k in range(1, columns + 1) if columns % k == 0 and (k * c <= RUN or k == 1))


def _tap_view(source, corner, steps, strides, taps, out):
    """Return a view (*taps, N, *out without columns, pieces, columns of a piece * C) of images (N, *size, C).

    The outputs' columns are neighbours in ``source``: the last of ``strides`` counts as 1.
    """
    first = (slice(None), *(slice(start, None) for start in corner))
    base = source[first]
    image, *along, item = base.strides
    c = source.shape[-1]
    run = _run(out[-1], c)
    shape = (*taps, len(source), *out[:-1], out[-1] // run, run * c)
    return as_strided(base, shape, (
        *(a * s for a, s in zip(along, steps)), image, *(a * s for a, s in zip(along[:-1], strides[:-1])),
        run * along[-1], item,
    ), writeable=False)
