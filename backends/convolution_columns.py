"""Column matrices: for a block of window positions, the inputs under each window, copied side by side."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

from .rows import RowsMixin
from .window_shapes import Windows


class Block(NamedTuple):
    """Images, and rows of their output (positions along the first spatial axis)."""

    images: slice
    rows: slice


def blocks(n: int, rows: int, bytes_per_row: int, budget: int) -> tuple[int, int]:
    """Return how many images, and how many rows of an image, one block holds within ``budget`` bytes."""
    per_image = max(1, rows * bytes_per_row)
    if per_image <= budget:
        return max(1, min(n, budget // per_image)), max(1, rows)
    return 1, max(1, min(rows, budget // max(1, bytes_per_row)))


def plan(n: int, rows: int, bytes_per_row: int, budget: int, parts: int = 1) -> list[Block]:
    """Return the blocks that cover ``n`` images, at least ``parts`` where there are rows enough."""
    step, high = blocks(n, rows, bytes_per_row, budget)
    if parts > 1:
        step = max(1, min(step, -(-n // parts)))
        high = max(1, min(high, -(-rows * n // parts)))
    return [
        Block(slice(i, min(i + step, n)), slice(r, min(r + high, rows)))
        for i in range(0, n, step)
        for r in range(0, rows, high)
    ]


class ColumnsMixin(RowsMixin):
    """Columns of blocks, padded copies of blocks, and the buffers for both."""

    column_bytes = 1 << 28  # of one column matrix: large enough to fill a GPU

    def conv_scratch(self, count: int, dtype, slot: int = 0):
        """Return ``count`` uninitialised elements; the next call for ``slot`` may overwrite them."""
        return self.xp.empty(count, dtype)

    def _conv_columns(
        self, x, windows: Windows, chosen: list[Block], way: str, ones: bool = False
    ) -> Iterator[tuple]:
        """Yield the column matrix of every block.

        Parameters
        ----------
        way : {"pointwise", "rows", "planar"}
            As they are; copied along rows of the window; copied along rows of the output (few channels).
        ones : bool
            Let a column of ones follow, for a bias (only where "planar").

        Yields
        ------
        block : Block
        columns : array, shape (positions, taps * C), or one column more
            Overwritten by the next block.
        """
        xp, c = self.xp, x.shape[-1]
        if way == "pointwise":
            for block in chosen:
                yield block, x[block].reshape(-1, c)
            return
        if not chosen:
            return
        planar = way == "planar"
        taps = math.prod(windows.window) * c
        row = math.prod(windows.out[1:])  # positions in one row of the output
        images, high = (max(b[i].stop - b[i].start for b in chosen) for i in (0, 1))
        most = images * high * row
        store = self.conv_scratch(most * (taps + ones), x.dtype)
        padded = self._conv_padding(x, windows, images, planar, high)
        shape = None
        for block in chosen:
            n, rows = (s.stop - s.start for s in block)
            source = padded(block.images, block.rows)
            if shape != (n, rows) or not padded.fixed:
                shape = (n, rows)
                patches = _patches(xp, source, windows._replace(out=(rows, *windows.out[1:])), planar)
            positions = n * rows * row
            if planar:  # (*window, C, images, *out)
                whole = store[: positions * (taps + ones)].reshape(taps + ones, positions)
                whole[:taps].reshape(patches.shape)[...] = patches
                if ones:
                    whole[taps] = 1
                yield block, whole.T
            else:  # (images, *out, *window[:-1], window[-1] * C)
                columns = store[: positions * taps]
                columns.reshape(patches.shape)[...] = patches
                yield block, columns.reshape(positions, taps)

    def _conv_padding(self, x, windows: Windows, step: int, planar: bool = False, high: int | None = None):
        """Return a function that gives the inputs of some images and rows with their padding.

        Parameters
        ----------
        step, high : int
            Images, and rows of the output, asked for at most at once; ``None``: all rows.
        planar : bool
            Channels first: (C, images, *padded) instead of (images, *padded, C).
        """
        return _Padding(self, x, windows, step, planar, windows.out[0] if high is None else high)

    # ---- blocks and parts ------------------------------------------------------------------------------
    def _conv_plan(
        self, n: int, rows: int, bytes_per_row: int, flops: float, fixed: int = 0, whole: bool = False
    ) -> list:
        """Return one list of blocks for every part of the work that may run beside others.

        Parameters
        ----------
        n, rows, bytes_per_row : int
            Images, rows of an image, and what a row takes in the cache.
        flops : float
            Operations of the whole work.
        fixed : int
            Bytes that each block reads besides its own: small blocks would read them too often.
        whole : bool
            Keep the blocks of an image in one part.
        """
        return [plan(n, rows, bytes_per_row, max(self.column_bytes, fixed))]

    def _conv_run(self, function: Callable, parts: list) -> None:
        """Call ``function(i, blocks)`` for every part."""
        for i, part in enumerate(parts):
            function(i, part)


class _Padding:
    """Gives the inputs of a block with their padding, from one buffer where there is any.

    Attributes
    ----------
    fixed : bool
        Whether all blocks of equal size lie in the same memory.
    """

    def __init__(self, backend, x, windows: Windows, step: int, planar: bool, high: int):
        xp, c = backend.xp, x.shape[-1]
        self.windows, self.planar = windows, planar
        self.fixed = planar or windows.padded != windows.size
        if not self.fixed:
            self.x = xp.ascontiguousarray(x)
            return
        self.x = x
        whole = high == windows.out[0]  # then rows that no window reaches are kept too
        self.tall = windows.padded[0] if whole else _source(windows, slice(0, high))[1]
        shape = (self.tall, *windows.padded[1:])
        buffer = backend.conv_scratch(step * math.prod(shape) * c, x.dtype, slot=1)
        self.buffer = buffer.reshape((c, step, *shape) if planar else (step, *shape, c))
        self.buffer[...] = 0  # once: each call fills the inside anew
        self.last = xp.moveaxis(self.buffer, 0, -1) if planar else self.buffer  # channels last
        self.inside = inner_slices(windows)[2:]

    def __call__(self, images: slice, rows: slice | None = None):
        windows, n = self.windows, images.stop - images.start
        source, count = _source(windows, rows or slice(0, windows.out[0]))
        if not self.fixed:
            return self.x[images, source]
        count = count if rows else self.tall
        first, stop = source.start - windows.lows[0], source.start - windows.lows[0] + count
        above, below = max(0, -first), max(0, stop - windows.size[0])
        if above:
            self.last[:n, :above] = 0
        if below:
            self.last[:n, max(0, count - below) : count] = 0
        inside = (slice(0, n), slice(above, count - below), *self.inside)
        if above + below < count:
            self.last[inside] = self.x[images, first + above : stop - below]
        return self.buffer[:, :n] if self.planar else self.buffer[:n]


def _source(windows: Windows, rows: slice) -> tuple[slice, int]:
    """Return which rows of unpadded inputs some rows of the output come from, and how many with padding."""
    start = rows.start * windows.strides[0]
    count = max(0, rows.stop - rows.start - 1) * windows.strides[0] + windows.reach[0]
    return slice(start, start + count), count


def _patches(xp, source, windows: Windows, planar: bool):
    """Return a view of padded images in which every window has its own axes."""
    first = 2 if planar else 1
    steps = source.strides[first : first + len(windows.window)]
    along_out = tuple(s * n for s, n in zip(steps, windows.strides))
    along_taps = tuple(s * n for s, n in zip(steps, windows.dilation))
    if planar:
        c, n = source.shape[:2]
        shape = (*windows.window, c, n, *windows.out)
        strides = (*along_taps, *source.strides[:2], *along_out)
    else:
        n, c = source.shape[0], source.shape[-1]
        shape = (n, *windows.out, *windows.window, c)
        strides = (source.strides[0], *along_out, *along_taps, source.strides[-1])
        if windows.dilation[-1] == 1:  # the last window axis and the channels are one run in memory
            shape = (*shape[:-2], shape[-2] * c)
            strides = (*strides[:-2], strides[-1])
    return xp.lib.stride_tricks.as_strided(source, shape, strides)


def inner_slices(windows: Windows) -> tuple[slice, ...]:
    """Return the slices of padded images that cut the padding off again."""
    return (slice(None), *(slice(low, low + n) for low, n in zip(windows.lows, windows.size)))


def tap_slices(windows: Windows, first_row: int = 0) -> Iterator[tuple[tuple, tuple]]:
    """Yield every tap of the window with the slices of padded images that it touches.

    ``first_row`` is the number of positions left out at the start of the first axis.
    """
    for tap in itertools.product(*(range(k) for k in windows.window)):
        places = [slice(None)]
        for i, (t, d, s, o) in enumerate(zip(tap, windows.dilation, windows.strides, windows.out)):
            start = t * d + (first_row * s if i == 0 else 0)
            places.append(slice(start, start + (o - 1) * s + 1 if o else start, s))
        yield tap, tuple(places)
