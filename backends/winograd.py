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

References
----------
Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.
"""

from __future__ import annotations

import functools
import math
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
        run = _forward_block if work.total <= work.most else _forward_blocks
        run(work, x, w, y, finish)


def kernel_gradient(backend, x, dy, windows: Windows, tile: int, dw) -> None:
    """Write the gradient of the kernel into ``dw``."""
    if dy.size:
        work = _Work(backend, windows, tile, x, dw.shape)
        _kernel_gradient(work, np.ascontiguousarray(x), np.ascontiguousarray(dy), dw)
    else:
        dw[...] = 0


def _forward_block(work, x, w, y, finish) -> None:
    """Compute all in one block: threads share out the points, the values of kernels stay in cache."""
    block = _Block(work, slice(0, len(x)), slice(0, work.rows))
    sums = block.buffer(block.sums_shape, slot=11)

    def part(start, stop):
        lines = block.lines(x, work.matrices.data[start:stop], work.lows, slot=10)
        for step in block.steps(stop - start):
            own = slice(start + step.start, start + step.stop)
            kernels = block.buffer((step.stop - step.start, work.size, work.c, work.f), slot=14)
            _to_points(w, work.matrices.kernel[own], kernels)
            block.multiply(lines[:, :, step], kernels, sums[:, :, own])

    threads.parallel(part, threads.split(work.size, work.seconds))
    block.write(sums, y)
    finish(y.reshape(-1, work.f))


def _forward_blocks(work, x, w, y, finish) -> None:
    """Compute block by block, with the values of kernels at all points; threads share out the blocks."""
    size, tile, c, f = work.size, work.tile, work.c, work.f
    kernels = work.backend.empty((size, size, c, f), x.dtype)
    channels = threads.split(c, KERNEL_SECONDS * kernels.size)
    threads.parallel(lambda a, z: _to_points(w[:, a:z], work.matrices.kernel, kernels[:, :, a:z]), channels)

    def part(start, stop):
        for images, band in _blocks(start, stop, work.rows, work.most):
            block = _Block(work, images, band)
            sums = block.buffer(block.sums_shape, slot=11)
            lines = block.lines(x, work.matrices.data, work.lows, slot=10)
            for step in block.steps(size):
                block.multiply(lines[:, :, step], kernels[step], sums[:, :, step])
            block.write(sums, y)
            finish(y[images, band.start * tile : band.stop * tile].reshape(-1, f))

    finer = math.ceil(work.total / (work.most * threads.get_threads()))  # parts of about a block
    threads.parallel(part, threads.split(work.total, work.seconds, finer=finer))


def _kernel_gradient(work, x, dy, dw) -> None:
    """Write the gradient of the kernel; threads share out the points, so that no sums need to be added."""
    size, c, f, matrices = work.size, work.c, work.f, work.matrices
    spread = np.ascontiguousarray(matrices.output.T)
    blocks = [_Block(work, *found) for found in _blocks(0, work.total, work.rows, work.most)]
    halfway = work.backend.empty((size, 3, c, f), x.dtype)  # back from the points along the second axis

    def part(start, stop):
        # With one block each step needs its sums only once: they stay in cache.
        kept = blocks[0].steps(stop - start)[0].stop if len(blocks) == 1 else stop - start
        sums = blocks[0].buffer((kept, size, c, f), slot=14)
        for block in blocks:
            lines = block.lines(x, matrices.data[start:stop], work.lows, slot=10)
            slopes = block.lines(dy, spread[start:stop], (0, 0), slot=11)
            for step in block.steps(stop - start):
                values = block.values(lines[:, :, step], matrices.data, slot=12).swapaxes(2, 3)
                others = block.values(slopes[:, :, step], spread, slot=13)
                own = sums if len(blocks) == 1 else sums[step]
                if block is blocks[0]:
                    np.matmul(values, others, out=own)
                else:
                    products = block.buffer(own.shape, slot=15)
                    np.matmul(values, others, out=products)
                    own += products
                if block is blocks[-1]:
                    found = halfway[start:stop][step].swapaxes(1, 2)
                    np.matmul(matrices.back, own.swapaxes(1, 2), out=found)

    threads.parallel(part, threads.split(size, work.seconds))
    halfway = halfway.reshape(size, 3 * c, f).swapaxes(0, 1)
    np.matmul(matrices.back, halfway, out=dw.reshape(3, 3 * c, f).swapaxes(0, 1))


def _to_points(w, matrix, out) -> None:
    """Write kernels (9, C, F) at some points of the first axis into ``out``, (points, n, C, F)."""
    np.matmul(matrix[:, None], w.swapaxes(0, 1), out=out.swapaxes(1, 2))


# ---- blocks of tiles ---------------------------------------------------------------------------------------
def _blocks(start: int, stop: int, rows: int, most: int) -> Iterator[tuple[slice, slice]]:
    """Yield (images, rows of tiles) of blocks of about equal size, of at most ``most`` rows.

    ``start`` and ``stop`` count rows of tiles through all images, ``rows`` to each.
    """
    if most < rows:
        most = _even(rows, most)
    else:
        most = _even(math.ceil((stop - start) / rows), most // rows) * rows  # whole images
    while start < stop:
        image, row = divmod(start, rows)
        if row == 0 and min(most, stop - start) >= rows:
            images = min(most, stop - start) // rows
            yield slice(image, image + images), slice(0, rows)
            start += images * rows
        else:
            count = min(most, rows - row, stop - start)
            yield slice(image, image + 1), slice(row, row + count)
            start += count


def _even(count: int, most: int) -> int:
    """Return the size of equal parts of ``count`` with at most ``most`` in each."""
    return math.ceil(count / math.ceil(count / most))


class _Work:
    """What all blocks of one pass have in common."""

    def __init__(self, backend, windows: Windows, tile: int, x, w_shape: tuple):
        self.backend, self.tile, self.size, self.dtype = backend, tile, tile + 2, x.dtype
        self.matrices = transforms(tile, x.dtype.name)
        self.lows = windows.lows
        self.c, self.f = w_shape[-2:]
        self.rows, self.across = (math.ceil(n / tile) for n in windows.out)  # tiles along each axis
        self.total = len(x) * self.rows  # rows of tiles
        self.seconds = winograd_seconds(tile, len(x), w_shape, windows)
        points = self.size**2 * x.itemsize
        self.tile_bytes = points * (self.c + self.f)
        budget = min(BLOCK_MOST, max(BLOCK_LEAST, 3 * points * self.c * self.f // 2))
        self.most = max(1, budget // (self.across * self.tile_bytes))  # rows of tiles in a block


class _Block:
    """Some rows of tiles of one image, or of several whole images, in buffers of the thread at work."""

    def __init__(self, work: _Work, images: slice, band: slice):
        self.work, self.images, self.band = work, images, band
        self.tile, self.across = work.tile, work.across
        self.shape = images.stop - images.start, band.stop - band.start
        self.tiles = self.shape[0] * self.shape[1] * work.across
        self.sums_shape = *self.shape, work.size, work.tile, work.across * work.f

    def buffer(self, shape: tuple, slot: int):
        return self.work.backend.conv_scratch(math.prod(shape), self.work.dtype, slot).reshape(shape)

    def steps(self, points: int) -> list[slice]:
        """Return which points of the first axis to treat at once: one, or all of a small block."""
        if self.tiles * self.work.tile_bytes <= BLOCK_LEAST:
            return [slice(0, points)]
        return [slice(p, p + 1) for p in range(points)]

    def lines(self, source, matrix, lows: tuple, slot: int):
        """Transform along the first axis.

        Returns
        -------
        array, shape (images, rows of tiles, points, tiles in a row, taps, C)
            For every tile the columns it touches: a view, in which neighbours overlap.
        """
        source = source[self.images]
        n, height, width, c = source.shape
        points, taps = matrix.shape
        low, padded = lows[1], (self.across - 1) * self.tile + taps
        width = min(width, padded - low)
        found = self.buffer((*self.shape, points, padded, c), slot)
        found[..., :low, :] = 0
        found[..., low + width :, :] = 0
        inside = found.reshape(*self.shape, points, padded * c)[..., low * c : (low + width) * c]
        self._down(source.reshape(n, height, -1)[..., : width * c], matrix, lows[0], inside)
        s = found.strides
        return as_strided(
            found, (*self.shape, points, self.across, taps, c), (*s[:3], self.tile * s[3], *s[3:])
        )

    def _down(self, source, matrix, low: int, out) -> None:
        """Multiply ``matrix`` with the lines of the image under each row of tiles; others are zero."""
        (n, height, length), taps = source.shape, matrix.shape[1]
        first, last = self.band.start, self.band.stop
        start = min(max(-(-low // self.tile), first), last)  # between: rows of tiles inside the image
        stop = min(max((height + low - taps) // self.tile + 1, start), last)
        if stop > start:
            inner = source[:, start * self.tile - low :]
            s = inner.strides
            inner = as_strided(inner, (n, stop - start, taps, length), (s[0], self.tile * s[1], *s[1:]))
            np.matmul(matrix, inner, out=out[:, start - first : stop - first])
        for row in (*range(first, start), *range(stop, last)):
            line = row * self.tile - low
            top, bottom = max(0, -line), min(taps, height - line)
            if bottom > top:
                found = source[:, line + top : line + bottom]
                np.matmul(matrix[:, top:bottom], found, out=out[:, row - first])
            else:
                out[:, row - first] = 0

    def values(self, lines, matrix, slot: int):
        """Transform ``lines`` along the second axis: (points, points, tiles, C)."""
        points, c = lines.shape[2], lines.shape[-1]
        found = self.buffer((points, len(matrix), *self.shape, self.across, c), slot)
        np.matmul(matrix, lines, out=found.transpose(2, 3, 0, 4, 1, 5))
        return found.reshape(points, len(matrix), self.tiles, c)

    def multiply(self, lines, kernels, sums) -> None:
        """Multiply with kernels at some points of the first axis; take the second axis back to outputs."""
        work = self.work
        values = self.values(lines, work.matrices.data, slot=12)
        products = self.buffer((*values.shape[:-1], work.f), slot=13)
        np.matmul(values, kernels, out=products)
        products = products.reshape(-1, work.size, *self.shape, self.across * work.f)
        np.matmul(work.matrices.output, products.transpose(2, 3, 0, 1, 4), out=sums)

    def write(self, sums, y) -> None:
        """Take the first axis back to outputs as well, into ``y``."""
        sums = sums.reshape(*sums.shape[:-1], self.across, -1)
        sums = sums.transpose(0, 1, 4, 3, 2, 5)  # tiles, columns of a tile, points, F at the end
        for rows, lines, height in _cuts(self.band, self.tile, y.shape[1]):
            for columns, along, width in _cuts(slice(0, self.across), self.tile, y.shape[2]):
                part = sums[:, rows, columns, :width]
                n, *counts = part.shape[:3]
                area = y[self.images, lines, along].reshape(n, counts[0], height, counts[1], width, -1)
                matrix = self.work.matrices.output[:height]
                np.matmul(matrix, part, out=area.transpose(0, 1, 3, 4, 2, 5))


def _cuts(band: slice, tile: int, size: int) -> Iterator[tuple[slice, slice, int]]:
    """Yield tiles that lie inside an axis of ``size`` outputs, then the last one if it is cut off.

    Yields
    ------
    which : slice
        Of the tiles in ``band``.
    where : slice
        Their outputs.
    extent : int
        Outputs of each tile.
    """
    whole = min(band.stop, size // tile)
    if whole > band.start:
        yield slice(0, whole - band.start), slice(band.start * tile, whole * tile), tile
    if band.stop > whole:
        yield slice(whole - band.start, None), slice(whole * tile, size), size - whole * tile
