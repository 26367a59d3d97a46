"""Convolution without columns: the rows of the matrix are windows of the images' own memory.

The elements under a window that is k wide follow each other in memory, k * C of them, and the next window
begins C further on. A matrix product cannot take rows that overlap, but every k-th window can be a row: k
products, each on a view, make all outputs along the last axis. What the window covers along other axes is
further products, added up. Windows that reach from the end of one row into the next are computed too and
left out: the price is small where rows are long, and for sequences there is nothing to add up.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from .convolution_columns import ColumnsMixin
from .window_shapes import Windows


class NumpySlidingMixin(ColumnsMixin):
    """Forward pass and kernel gradient for windows with steps of one."""

    _has_sliding = True

    def _sliding_forward(self, x, w, windows: Windows, y, finish) -> None:
        """Write the convolution of ``x`` and ``w`` into ``y`` and ``finish`` every block of it."""
        filters, taps = w.shape[-1], _taps(windows)
        matrices = np.ascontiguousarray(w).reshape(len(taps), -1, filters)

        def run(i, chosen):
            for block, flat, lay in self._sliding_blocks(x, windows, chosen):
                sums = self.conv_scratch(lay.whole * filters, x.dtype, slot=2)
                more = self.conv_scratch(lay.whole * filters, x.dtype, slot=3)
                used = slice(0, lay.count * filters)
                for t, start in enumerate(lay.starts):
                    out = more if t else sums
                    for p, rows in lay.windows(flat, start):
                        np.matmul(rows, matrices[t], out=lay.phase(out, p, filters))
                    if t:
                        np.add(sums[used], more[used], out=sums[used])
                finish(sums[used].reshape(-1, filters))
                y[block] = lay.real(sums, filters)

        self._conv_run(run, self._sliding_plan(x, windows, filters))

    def _sliding_kernel(self, x, dy, windows: Windows, dw) -> None:
        """Write the gradient of the kernel into ``dw``."""
        c, filters = dw.shape[-2:]
        taps = _taps(windows)
        parts = self._sliding_plan(x, windows, filters)
        totals = np.zeros((len(parts), len(taps), dw.size // len(taps) // filters, filters), dw.dtype)

        def run(i, chosen):
            product = np.empty(totals.shape[2:], dw.dtype)
            slopes = None
            for block, flat, lay in self._sliding_blocks(x, windows, chosen):
                if slopes is None or slopes.size != lay.whole * filters:
                    slopes = self.conv_scratch(lay.whole * filters, x.dtype, slot=2)
                    slopes[...] = 0  # what belongs to no window stays zero
                lay.real(slopes, filters)[...] = dy[block]
                for t, start in enumerate(lay.starts):
                    for p, rows in lay.windows(flat, start):
                        np.matmul(rows.T, lay.phase(slopes, p, filters), out=product)
                        totals[i, t] += product

        self._conv_run(run, parts)
        dw[...] = totals.sum(axis=0).reshape(dw.shape) if len(parts) > 1 else totals[0].reshape(dw.shape)

    def _sliding_plan(self, x, windows: Windows, filters: int) -> list:
        c = x.shape[-1]
        positions = math.prod(windows.padded[1:])
        size = math.prod(windows.window) * c * filters
        return self._conv_plan(
            len(x), windows.out[0], positions * (c + 2 * filters) * x.itemsize,
            2 * len(x) * math.prod(windows.out) * size, size * x.itemsize,
        )

    def _sliding_blocks(self, x, windows: Windows, chosen):
        """Yield each block, its padded inputs as a flat array, and the layout of the windows in them."""
        if not chosen or not math.prod(windows.out):
            return
        images, high = (max(b[i].stop - b[i].start for b in chosen) for i in (0, 1))
        padded = self._conv_padding(x, windows, images, high=high)
        for block in chosen:
            source = padded(block.images, block.rows)
            rows = block.rows.stop - block.rows.start
            yield block, source.reshape(-1), _Layout(source.shape, windows, rows)


class _Layout:
    """Where windows begin in padded images of ``shape`` (n, *padded, C) that lie flat in memory."""

    def __init__(self, shape: tuple, windows: Windows, rows: int):
        self.shape, self.channels = shape, shape[-1]
        self.out = (rows, *windows.out[1:])
        # Elements from a window to its neighbour along each axis, counted in windows of the last axis.
        pitches = [math.prod(shape[i + 2 : -1]) for i in range(len(self.out))]
        last = (shape[0] - 1) * math.prod(shape[1:-1])
        self.count = last + 1 + sum((o - 1) * p for o, p in zip(self.out, pitches))
        self.steps = windows.window[-1] if windows.dilation[-1] == 1 else 1
        self.whole = -(-math.prod(shape[:-1]) // self.steps) * self.steps
        self.run = self.steps * self.channels
        self.starts = [
            sum(t * d * p for t, d, p in zip(tap, windows.dilation, pitches)) * self.channels
            for tap in _taps(windows)
        ]

    def windows(self, flat, start: int):
        """Yield each of the ``steps`` phases with the matrix whose rows are its windows."""
        size = flat.itemsize
        for p in range(min(self.steps, self.count)):
            rows = -(-(self.count - p) // self.steps)
            first = (start + p * self.channels) * size
            yield p, np.ndarray((rows, self.run), flat.dtype, flat, first, (self.run * size, size))

    def phase(self, values, p: int, width: int):
        """Return the rows of phase ``p`` in a buffer with one row of ``width`` for each window."""
        rows = -(-(self.count - p) // self.steps)
        return values.reshape(-1, self.steps, width)[:rows, p]

    def real(self, values, width: int):
        """Return a view of what belongs to true windows: (n, *out, width)."""
        whole = values[: math.prod(self.shape[:-1]) * width].reshape(*self.shape[:-1], width)
        return whole[(slice(None), *(slice(0, o) for o in self.out))]


def _taps(windows: Windows) -> list[tuple[int, ...]]:
    """Return the taps that need a product of their own: those along the last axis go together."""
    window = windows.window if windows.dilation[-1] > 1 else (*windows.window[:-1], 1)
    return list(itertools.product(*(range(k) for k in window)))
