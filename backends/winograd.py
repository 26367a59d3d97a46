"""Winograd's minimal filtering for 3x3 windows over images, in NumPy: fewer products for more additions.

A tile of m x m outputs needs n x n inputs, n = m + 2. Kernel and inputs are taken for polynomials, known by
their values at n points along each axis, and their product is formed point by point: n*n products where the
definition has 9*m*m (4 times as many for m = 4, 2.25 for m = 2). With the matrices of ``transforms``,

    Y = A' [(G g G') * (B' d B)] A        for every tile, channel and filter; summed over channels

so that the work becomes n*n matrix products of shape (tiles, C) x (C, F). The gradients follow by
transposition; that of the data is the same algorithm with the kernel turned round.

All transforms are matrix products too, along one axis at a time: tiny matrices (6x6) times long rows, which
OpenBLAS does without packing, at the speed of two or three passes of ``np.add``. Padding is never stored:
rows outside the image drop out of the tiny matrix.

The work goes block by block, so that tiles find their values in cache. What blocks of one shape have in
common is prepared once: a thread that comes back from a product while another one holds the interpreter goes
to sleep, for as long as a transform takes, so Python must have next to nothing to do between two products.

References
----------
Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided

from . import threads
from .convolution_choice import winograd_seconds
from .window_shapes import Windows

# Finite points of each tile; infinity comes on top. For m = 4 the textbook's 0, 1, -1, 2, -2 have four times
# the rounding errors. All entries of A and B are exact in binary with these.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 11 / 16, -11 / 16, 3 / 2, -3 / 2)}
# Bytes of a block of tiles, inputs and products at all points: more where the kernels are large, because they
# are read once for each block.
BLOCK_LEAST, BLOCK_MOST = 3 << 20, 20 << 20
KERNEL_SECONDS = 3e-10  # to transform a kernel, for each of its values at all points
MANY = 4  # blocks for each thread of which one more or less does not matter
SUMS_MOST = 4 << 20  # bytes of a kernel's gradient at all points of which every thread may have its own


# ---- the matrices ------------------------------------------------------------------------------------------
class Transforms(NamedTuple):
    """Matrices from and to the values at the points."""

    data: np.ndarray  # B', (n, n)
    kernel: np.ndarray  # G along both axes, (n, n, 9)
    back: np.ndarray  # G', (3, n)
    output: np.ndarray  # A', (m, n)


@functools.cache
def transforms(tile: int, dtype: str = "float64") -> Transforms:
    """Return the matrices of F(tile x tile, 3x3), by interpolation at ``POINTS[tile]`` and infinity.

    Notes
    -----
    Row i of A' and G holds the powers of point i. Row i of B' holds the coefficients of the polynomial that
    vanishes at all other finite points; its value at point i divides G, shared out by powers of two.
    """
    points = np.array(POINTS[tile])
    size = tile + 2
    data, kernel, output = np.zeros((size, size)), np.zeros((size, 3)), np.zeros((tile, size))
    for i, point in enumerate(points):
        others = np.delete(points, i)
        value = np.prod(point - others)
        scale = 2.0 ** np.round(np.log2(abs(value)) / 2)
        data[i, : size - 1] = np.poly(others)[::-1] / scale
        kernel[i] = point ** np.arange(3) / value * scale
        output[:, i] = point ** np.arange(tile)
    data[-1] = np.poly(points)[::-1]
    kernel[-1, -1] = output[-1, -1] = 1
    both = (kernel[:, None, :, None] * kernel[:, None, :]).reshape(size, size, 9)
    return Transforms(*(np.ascontiguousarray(m, dtype) for m in (data, both, kernel.T, output)))


# ---- the passes --------------------------------------------------------------------------------------------
def forward(backend, x, w, windows: Windows, tile: int, y, finish) -> None:
    """Write the convolution of ``x`` and ``w`` into ``y`` and ``finish`` every block of it."""
    if y.size:
        work = _Work(backend, windows, tile, x, w.shape)
        x, w = np.ascontiguousarray(x), np.ascontiguousarray(w).reshape(9, *w.shape[2:])
        run = _forward_block if len(work.blocks) == 1 else _forward_blocks
        run(work, x, w, _Outputs(work, y), finish)


def kernel_gradient(backend, x, dy, windows: Windows, tile: int, dw) -> None:
    """Write the gradient of the kernel into ``dw``."""
    if dy.size:
        work = _Work(backend, windows, tile, x, dw.shape)
        _kernel_gradient(work, np.ascontiguousarray(x), np.ascontiguousarray(dy), dw)
    else:
        dw[...] = 0


def _forward_block(work, x, w, outputs, finish) -> None:
    """Compute all in one block: threads share out the points, the values of kernels stay in cache."""
    (block,) = work.blocks
    sums = work.buffer(work.sums_shape(block), slot=11)

    def part(start, stop):
        source = _Source(work, x, work.matrices.data[start:stop], work.lows)
        lines = _Lines(work, source, block, slot=10)
        source.transform(block, lines.inside)
        for step in work.steps(block, stop - start):
            own = slice(start + step.start, start + step.stop)
            kernels = work.buffer((step.stop - step.start, work.size, work.c, work.f), slot=14)
            _to_points(w, work.matrices.kernel[own], kernels)
            for product in _products(work, lines.tiles[:, :, step], kernels, sums[:, :, own]):
                np.matmul(*product)

    threads.parallel(part, threads.split(work.size, work.seconds))
    outputs.write(block, outputs.columns(sums))
    finish(outputs.rows(block))


def _forward_blocks(work, x, w, outputs, finish) -> None:
    """Compute block by block, with the values of kernels at all points; threads share out the blocks."""
    size, c, f = work.size, work.c, work.f
    kernels = work.backend.empty((size, size, c, f), x.dtype)
    channels = threads.split(c, KERNEL_SECONDS * kernels.size)
    threads.parallel(lambda a, z: _to_points(w[:, a:z], work.matrices.kernel, kernels[:, :, a:z]), channels)
    source = _Source(work, x, work.matrices.data, work.lows)
    prepared = threading.local()  # of each thread, for blocks like ``prepared.block``

    def prepare(block):
        lines = _Lines(work, source, block, slot=10)
        sums = work.buffer(work.sums_shape(block), slot=11)
        products = [
            product
            for step in work.steps(block, size)
            for product in _products(work, lines.tiles[:, :, step], kernels[step], sums[:, :, step])
        ]
        prepared.block, prepared.found = block, (lines.inside, products, outputs.columns(sums))

    def part(start, stop):
        for block in work.blocks[start:stop]:
            if not block.like(getattr(prepared, "block", None)):
                prepare(block)
            inside, products, sums = prepared.found
            source.transform(block, inside)
            for product in products:
                np.matmul(*product)
            outputs.write(block, sums)
            finish(outputs.rows(block))

    count = len(work.blocks)
    threads.parallel(part, threads.split(count, work.seconds, finer=count))


def _products(work, lines, kernels, sums) -> list[tuple]:
    """Return the products (a, b, out) that take some points of the first axis from ``lines`` to ``sums``."""
    transform, values = work.values(lines, work.matrices.data, slot=12)
    products = work.buffer((*values.shape[:-1], work.f), slot=13)
    columns = products.reshape(-1, work.size, *lines.shape[:2], work.across * work.f)
    return [
        transform,
        (values, kernels, products),
        (work.matrices.output, columns.transpose(2, 3, 0, 1, 4), sums),
    ]


def _kernel_gradient(work, x, dy, dw) -> None:
    """Write the gradient of the kernel.

    Threads share out the blocks and their sums are added in the end. Where those are large, or blocks few,
    threads share out the points.
    """
    size, c, f, back = work.size, work.c, work.f, work.matrices.back
    spread = np.ascontiguousarray(work.matrices.output.T)
    parts = [(i, work.blocks[a:z], slice(0, size)) for i, (a, z) in enumerate(work.split_blocks())]
    if len(parts) == 1 or size**2 * c * f * x.itemsize > SUMS_MOST:
        parts = [(0, work.blocks, slice(a, z)) for a, z in threads.split(size, work.seconds)]
    # Of each share of blocks: back from the points along the second axis.
    halfway = work.backend.empty((1 + parts[-1][0], size, 3, c, f), x.dtype)

    def part(share, blocks, points):
        inputs = _Source(work, x, work.matrices.data[points], work.lows)
        slopes = _Source(work, dy, spread[points], (0, 0))
        found = halfway[share, points].swapaxes(1, 2)
        count, alone = points.stop - points.start, len(blocks) == 1
        # With one block each step needs its sums only once: they stay in cache.
        sums = work.buffer((work.steps(blocks[0], count)[0].stop if alone else count, size, c, f), slot=14)
        last = None
        for block in blocks:
            if not block.like(last):
                last = block
                lines, others = _Lines(work, inputs, block, slot=10), _Lines(work, slopes, block, slot=11)
                steps = [(s, *_factors(work, lines, others, spread, s)) for s in work.steps(block, count)]
                products = work.buffer(sums[steps[0][0]].shape, slot=15)
            inputs.transform(block, lines.inside)
            slopes.transform(block, others.inside)
            for step, to_values, to_others, values, slopes_at in steps:
                np.matmul(*to_values)
                np.matmul(*to_others)
                own = sums if alone else sums[step]
                if block is blocks[0]:
                    np.matmul(values, slopes_at, own)
                else:
                    np.matmul(values, slopes_at, products)
                    np.add(own, products, out=own)
                if block is blocks[-1]:
                    np.matmul(back, own.swapaxes(1, 2), out=found[step])

    threads.parallel(part, parts)
    total = halfway[0]
    for other in halfway[1:]:
        total += other
    np.matmul(back, total.reshape(size, 3 * c, f).swapaxes(0, 1), out=dw.reshape(3, 3 * c, f).swapaxes(0, 1))


def _factors(work, lines, others, spread, step: slice) -> tuple:
    """Return the products that take inputs and gradients to the points of ``step``, and both there."""
    to_values, values = work.values(lines.tiles[:, :, step], work.matrices.data, slot=12)
    to_others, slopes = work.values(others.tiles[:, :, step], spread, slot=13)
    return to_values, to_others, values.swapaxes(2, 3), slopes


def _to_points(w, matrix, out) -> None:
    """Write kernels (9, C, F) at some points of the first axis into ``out``, (points, n, C, F)."""
    np.matmul(matrix[:, None], w.swapaxes(0, 1), out=out.swapaxes(1, 2))


# ---- blocks of tiles ---------------------------------------------------------------------------------------
class _Block(NamedTuple):
    """Rows of tiles of one image, or several whole images."""

    images: slice
    band: slice  # rows of tiles

    @property
    def shape(self) -> tuple[int, int]:
        return self.images.stop - self.images.start, self.band.stop - self.band.start

    def like(self, other) -> bool:
        """Tell whether ``other`` is a block of the same shape."""
        return other is not None and self.shape == other.shape


def _blocks(images: int, rows: int, most: int, parts: int) -> list[_Block]:
    """Cut images of ``rows`` rows of tiles into blocks of equal size, of at most ``most`` rows.

    Only the last one of an image, or of all, may be smaller. Where they are few but more than one, each of
    ``parts`` gets equally many if the images can be cut so.
    """
    if images * rows <= most:
        return [_Block(slice(0, images), slice(0, rows))]
    if most < rows:
        step, high = 1, _even(rows, most, images, parts)
    else:
        step, high = _even(images, most // rows, 1, parts), rows
    return [
        _Block(slice(i, min(i + step, images)), slice(r, min(r + high, rows)))
        for i in range(0, images, step)
        for r in range(0, rows, high)
    ]


def _even(count: int, most: int, times: int, parts: int) -> int:
    """Return the size of pieces of ``count`` items for ``parts`` who share ``times`` as many pieces."""
    step = math.ceil(count / math.ceil(count / most))
    while step > 1:
        pieces = math.ceil(count / step) * times
        if pieces % parts == 0 or pieces >= MANY * parts:
            break
        step -= 1
    return step


class _Work:
    """What all blocks of one pass have in common."""

    def __init__(self, backend, windows: Windows, tile: int, x, w_shape: tuple):
        self.backend, self.tile, self.size, self.dtype = backend, tile, tile + 2, x.dtype
        self.matrices = transforms(tile, x.dtype.name)
        self.lows = windows.lows
        self.c, self.f = w_shape[-2:]
        self.rows, self.across = (math.ceil(n / tile) for n in windows.out)  # tiles along each axis
        self.seconds = winograd_seconds(tile, len(x), w_shape, windows)
        points = self.size**2 * x.itemsize
        self.tile_bytes = points * (self.c + self.f)
        budget = min(BLOCK_MOST, max(BLOCK_LEAST, 3 * points * self.c * self.f // 2))
        most = max(1, budget // (self.across * self.tile_bytes))  # rows of tiles in a block
        parts = len(threads.split(len(x) * self.rows, self.seconds))
        self.blocks = _blocks(len(x), self.rows, most, parts)

    def split_blocks(self) -> list[tuple[int, int]]:
        """Return one share of the blocks for each thread."""
        return threads.split(len(self.blocks), self.seconds)

    def buffer(self, shape: tuple, slot: int):
        """Return memory of the thread at work."""
        return self.backend.conv_scratch(math.prod(shape), self.dtype, slot).reshape(shape)

    def sums_shape(self, block: _Block) -> tuple:
        """Return the shape of products that are back along the second axis."""
        return *block.shape, self.size, self.tile, self.across * self.f

    def steps(self, block: _Block, points: int) -> list[slice]:
        """Return which points of the first axis to treat at once: one, or all of a small block."""
        if math.prod(block.shape) * self.across * self.tile_bytes <= BLOCK_LEAST:
            return [slice(0, points)]
        return [slice(p, p + 1) for p in range(points)]

    def values(self, lines, matrix, slot: int) -> tuple:
        """Return the product (a, b, out) that transforms ``lines`` along the second axis, and its result.

        The result has shape (points, points, tiles, C).
        """
        images, rows, points, across, _, c = lines.shape
        found = self.buffer((points, len(matrix), images, rows, across, c), slot)
        product = matrix, lines, found.transpose(2, 3, 0, 4, 1, 5)
        return product, found.reshape(points, len(matrix), images * rows * across, c)


class _Source:
    """Images, of which ``transform`` takes the lines under rows of tiles to points of the first axis.

    Parameters
    ----------
    matrix : array, shape (points, taps)
    lows : tuple
        Padding before each axis.
    """

    def __init__(self, work: _Work, x, matrix, lows: tuple):
        n, height, width, self.c = x.shape
        self.matrix, self.tile, self.height, (self.low, self.before) = matrix, work.tile, height, lows
        self.taps = matrix.shape[1]
        self.padded = (work.across - 1) * self.tile + self.taps  # columns that tiles touch
        self.width = min(width, self.padded - self.before)
        self.lines = x.reshape(n, height, -1)[..., : self.width * self.c]
        # Rows of tiles that lie inside the images.
        self.first = min(-(-self.low // self.tile), work.rows)
        self.last = min(max((height + self.low - self.taps) // self.tile + 1, self.first), work.rows)
        if self.last > self.first:
            inner = self.lines[:, self.first * self.tile - self.low :]
            s, length = inner.strides, inner.shape[-1]
            self.inner = as_strided(
                inner, (n, self.last - self.first, self.taps, length), (s[0], self.tile * s[1], *s[1:])
            )

    def transform(self, block: _Block, out) -> None:
        """Multiply the matrix with the lines under each row of tiles; those outside of images are zero."""
        images, band = block
        start = min(max(self.first, band.start), band.stop)
        stop = max(min(self.last, band.stop), start)
        if stop > start:
            found = self.inner[images, start - self.first : stop - self.first]
            np.matmul(self.matrix, found, out=out[:, start - band.start : stop - band.start])
        for row in (*range(band.start, start), *range(stop, band.stop)):
            line = row * self.tile - self.low
            top, bottom = max(0, -line), min(self.taps, self.height - line)
            if bottom > top:
                found = self.lines[images, line + top : line + bottom]
                np.matmul(self.matrix[:, top:bottom], found, out=out[:, row - band.start])
            else:
                out[:, row - band.start] = 0


class _Lines:
    """Room for the transformed lines of a block.

    Attributes
    ----------
    inside : array, shape (images, rows of tiles, points, columns * C)
        Without the padding, which is zero.
    tiles : array, shape (images, rows of tiles, points, tiles in a row, taps, C)
        For every tile the columns it touches: a view, in which neighbours overlap.
    """

    def __init__(self, work: _Work, source: _Source, block: _Block, slot: int):
        points, c, low, stop = len(source.matrix), source.c, source.before, source.before + source.width
        found = work.buffer((*block.shape, points, source.padded, c), slot)
        found[..., :low, :] = 0
        found[..., stop:, :] = 0
        self.inside = found.reshape(*block.shape, points, source.padded * c)[..., low * c : stop * c]
        s = found.strides
        self.tiles = as_strided(
            found, (*block.shape, points, work.across, source.taps, c),
            (*s[:3], work.tile * s[3], *s[3:]),
        )


class _Outputs:
    """The outputs by rows of tiles, where blocks write theirs."""

    def __init__(self, work: _Work, y):
        self.y, self.tile, self.across = y, work.tile, work.across
        n, height, width, f = y.shape
        self.areas = []
        for rows, line, high in _cuts(height, work.tile):
            for columns, column, wide in _cuts(width, work.tile):
                counts = rows.stop - rows.start, columns.stop - columns.start
                area = y[:, line : line + counts[0] * high, column : column + counts[1] * wide]
                area = area.reshape(n, counts[0], high, counts[1], wide, f).transpose(0, 1, 3, 4, 2, 5)
                self.areas.append((rows, columns, wide, work.matrices.output[:high], area))

    def columns(self, sums):
        """Return a view of sums: tiles, columns of a tile, points, F at the end."""
        return sums.reshape(*sums.shape[:-1], self.across, -1).transpose(0, 1, 4, 3, 2, 5)

    def write(self, block: _Block, columns) -> None:
        """Take the first axis back to outputs as well."""
        images, band = block
        for rows, across, wide, matrix, area in self.areas:
            start, stop = max(rows.start, band.start), min(rows.stop, band.stop)
            if stop > start:
                found = columns[:, start - band.start : stop - band.start, across, :wide]
                np.matmul(matrix, found, out=area[images, start - rows.start : stop - rows.start])

    def rows(self, block: _Block):
        """Return the outputs of a block, (positions, F)."""
        images, band = block
        found = self.y[images, band.start * self.tile : band.stop * self.tile]
        return found.reshape(-1, found.shape[-1])


def _cuts(size: int, tile: int) -> Iterator[tuple[slice, int, int]]:
    """Yield the tiles that lie inside an axis of ``size`` outputs, then the last one if it is cut off.

    Yields
    ------
    which : slice
        Of the tiles along the axis.
    start : int
        The first output.
    extent : int
        Outputs of each tile.
    """
    whole, rest = divmod(size, tile)
    if whole:
        yield slice(0, whole), 0, tile
    if rest:
        yield slice(whole, whole + 1), whole * tile, rest
