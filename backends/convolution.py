"""Convolution of channels-last arrays over one to three spatial axes, written once over ``xp``.

Input patches are copied into a column matrix of a few megabytes (im2col), one matrix product makes the
outputs of that block, bias and activation follow while the block is in cache, then comes the next block.
``convolution_choice`` decides what runs.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Iterator

import numpy as np

from .convolution_choice import choose
from .rows import RowsMixin
from .window_shapes import Windows
from .winograd import NumpyWinogradMixin


def blocks(n: int, rows: int, bytes_per_row: int, budget: int) -> tuple[int, int]:
    """Return how many images, and how many rows of an image, one block holds within ``budget`` bytes."""
    per_image = max(1, rows * bytes_per_row)
    if per_image <= budget:
        return max(1, min(n, budget // per_image)), max(1, rows)
    return 1, max(1, min(rows, budget // max(1, bytes_per_row)))


class ConvolutionMixin(RowsMixin):
    """Convolution: forward, gradient of the data, gradient of the kernel.

    Shapes: ``x`` (N, *size, C), ``w`` (*window, C // groups, F), ``y`` and ``dy`` (N, *out, F). Half
    precision is computed in float32 and rounded once at the end.
    """

    column_bytes = 1 << 28  # of one column matrix: large enough to fill a GPU
    _has_winograd = False

    def conv_scratch(self, count: int, dtype, slot: int = 0):
        """Return ``count`` uninitialised elements; the next call for ``slot`` may overwrite them."""
        return self.xp.empty(count, dtype)

    # ---- the three passes -----------------------------------------------------------------------
    def conv_forward(self, x, w, windows: Windows, groups: int = 1, bias=None, activation=None):
        """Return ``activation(x * w + bias)``; ``activation`` is None, "relu", "tanh" or "sigmoid"."""
        if x.dtype == np.float16:
            half = [a if a is None else a.astype(np.float32) for a in (x, w, bias)]
            return self.conv_forward(half[0], half[1], windows, groups, half[2], activation).astype(x.dtype)
        xp = self.xp
        y = xp.empty((len(x), *windows.out, w.shape[-1]), x.dtype)
        finish = _Finish(self, bias, activation, windows.out[-1])
        way = choose("forward", x.shape, w.shape, windows, groups, x.dtype, self._has_winograd)
        if way == "depthwise":
            self._depthwise_forward(xp.ascontiguousarray(x), w, windows, y, finish)
        elif way == "grouped":
            for i, xs, ws in _groups(xp, x, w, groups):
                y[..., i] = self.conv_forward(xs, ws, windows)
            finish(y.reshape(-1, y.shape[-1]))
        elif way.startswith("winograd"):
            self._winograd_forward(x, w, windows, int(way[-1]), y, finish)
        else:
            filters = w.shape[-1]
            matrix = xp.ascontiguousarray(w).reshape(-1, filters)
            for part, columns in self._conv_columns(x, windows, way, filters):
                block = y[part].reshape(-1, filters)  # a view: blocks are contiguous
                xp.matmul(columns, matrix, out=block)
                finish(block)
        return y

    def conv_backward_data(self, dy, w, windows: Windows, groups: int = 1):
        """Return the gradient of ``x``: also the forward pass of a transposed convolution."""
        if dy.dtype == np.float16:
            return self.conv_backward_data(
                dy.astype(np.float32), w.astype(np.float32), windows, groups
            ).astype(dy.dtype)
        xp = self.xp
        shape = (len(dy), *windows.size, w.shape[-2] * groups)
        way = choose("data", shape, w.shape, windows, groups, dy.dtype, self._has_winograd)
        if way == "depthwise":
            return self._depthwise_backward_data(xp.ascontiguousarray(dy), w, windows, groups)
        if way == "grouped":
            inner = w.shape[-2]
            dx = xp.empty((len(dy), *windows.size, inner * groups), dy.dtype)
            for i, dys, ws in _groups(xp, dy, w, groups, of_outputs=True):
                dx[..., i] = self.conv_backward_data(dys, ws, windows)
            return dx
        if way == "pointwise":
            return self.conv_forward(dy, w.swapaxes(-1, -2), windows)
        if way == "scatter":
            return self._conv_scatter(xp.ascontiguousarray(dy), xp.ascontiguousarray(w), windows)
        mirrored = w[(slice(None, None, -1),) * len(windows.window)].swapaxes(-1, -2)
        lows = tuple(r - 1 - low for r, low in zip(windows.reach, windows.lows))
        back = windows._replace(size=windows.out, out=windows.size, lows=lows)
        return self.conv_forward(dy, xp.ascontiguousarray(mirrored), back)

    def conv_backward_kernel(self, x, dy, windows: Windows, groups: int = 1):
        """Return the gradient of ``w``."""
        if x.dtype == np.float16:
            return self.conv_backward_kernel(
                x.astype(np.float32), dy.astype(np.float32), windows, groups
            ).astype(x.dtype)
        xp = self.xp
        inner, filters = x.shape[-1] // groups, dy.shape[-1]
        dw = xp.zeros((*windows.window, inner, filters), x.dtype)
        way = choose("kernel", x.shape, dw.shape, windows, groups, x.dtype, self._has_winograd)
        dy = xp.ascontiguousarray(dy)
        if way == "depthwise":
            self._depthwise_backward_kernel(xp.ascontiguousarray(x), dy, windows, dw)
        elif way == "grouped":
            for i, xs, dys in _groups(xp, x, dy, groups):
                dw[..., i] = self.conv_backward_kernel(xs, dys, windows)
        elif way.startswith("winograd"):
            self._winograd_kernel(x, dy, windows, int(way[-1]), dw)
        else:
            matrix = dw.reshape(-1, filters)
            for part, columns in self._conv_columns(x, windows, way, filters):
                matrix += xp.matmul(columns.T, dy[part].reshape(-1, filters))
        return dw

    def conv_backward_output(self, dy, y, activation=None, with_bias: bool = True):
        """Take ``dy`` back through activation and bias: return the gradients of the sum and of the bias."""
        if dy.dtype == np.float16:
            dz, dbias = self.conv_backward_output(
                dy.astype(np.float32), y.astype(np.float32), activation, with_bias
            )
            return dz.astype(dy.dtype), None if dbias is None else dbias.astype(dy.dtype)
        xp = self.xp
        filters = dy.shape[-1]
        dy = xp.ascontiguousarray(dy)
        if activation is None:
            return dy, (self.column_sum(dy.reshape(-1, filters)) if with_bias else None)
        dz = xp.empty_like(dy)
        y = xp.ascontiguousarray(y)
        dbias = xp.zeros(filters, dy.dtype) if with_bias else None
        step, _ = blocks(len(dy), 1, dy[:1].nbytes, self.column_bytes)
        for n in range(0, len(dy), step):
            part = slice(n, n + step)
            _activation_backward(xp, dy[part], y[part], activation, dz[part])
            if with_bias:
                dbias += self.column_sum(dz[part].reshape(-1, filters))
        return dz, dbias

    # ---- column matrices --------------------------------------------------------------------------
    def _conv_columns(self, x, windows: Windows, way: str, filters: int) -> Iterator[tuple]:
        """Yield blocks of window positions with the inputs under each.

        Yields
        ------
        part : pair of slices
            Images and rows (positions along the first spatial axis) of the block.
        columns : array, shape (positions, taps * C)
            Overwritten by the next block.
        """
        xp, c = self.xp, x.shape[-1]
        rank = len(windows.size)
        taps = math.prod(windows.window) * c
        row = math.prod(windows.out[1:])  # positions in one row of the output
        step, rows = blocks(len(x), windows.out[0], row * max(taps, filters) * x.itemsize, self.column_bytes)
        if way == "pointwise":
            x = xp.ascontiguousarray(x)
            for block in _parts(len(x), windows.out[0], step, rows):
                yield block, x[block].reshape(-1, c)
            return
        store = self.conv_scratch(step * rows * row * taps, x.dtype)
        padded = self._conv_padding(x, windows, step, planar=way == "planar")
        view = None
        for images, part in _parts(len(x), windows.out[0], step, rows):
            if view is None or part.start == 0:
                view = _patches(xp, padded(images), windows, planar=way == "planar")
            if way == "planar":  # (*window, C, images, *out): copied along rows of the output
                patches = view[(slice(None),) * (rank + 2) + (part,)]
                columns = store[: patches.size].reshape(patches.shape)
                columns[...] = patches
                yield (images, part), columns.reshape(taps, -1).T
            else:  # (images, *out, *window[:-1], window[-1] * C): copied along rows of the window
                patches = view[:, part]
                columns = store[: patches.size].reshape(patches.shape)
                columns[...] = patches
                yield (images, part), columns.reshape(-1, taps)

    def _conv_padding(self, x, windows: Windows, step: int, planar: bool = False):
        """Return a function that gives some images with their padding (C first where ``planar``).

        The border of the buffer is cleared once; each call fills the inside anew.
        """
        xp, c = self.xp, x.shape[-1]
        inside = inner_slices(windows)
        if planar:
            buffer = self.conv_scratch(c * step * math.prod(windows.padded), x.dtype, slot=1)
            buffer = buffer.reshape(c, step, *windows.padded)
            buffer[...] = 0

            def fill(images):
                found = x[images]
                part = buffer[:, : len(found)]
                xp.moveaxis(part, 0, -1)[inside] = found
                return part

        elif windows.padded == windows.size:
            x = xp.ascontiguousarray(x)

            def fill(images):
                return x[images]

        else:
            buffer = self.conv_scratch(step * math.prod(windows.padded) * c, x.dtype, slot=1)
            buffer = buffer.reshape(step, *windows.padded, c)
            buffer[...] = 0

            def fill(images):
                found = x[images]
                part = buffer[: len(found)]
                part[inside] = found
                return part

        return fill

    def _conv_scatter(self, dy, w, windows: Windows):
        """Data gradient by columns: every window's gradient is added to where its inputs came from."""
        xp = self.xp
        channels, filters = w.shape[-2:]
        taps = math.prod(windows.window)
        matrix = w.reshape(taps * channels, filters).T
        dx = xp.empty((len(dy), *windows.size, channels), dy.dtype)
        row = math.prod(windows.out[1:]) * taps * channels * dy.itemsize
        step, rows = blocks(len(dy), windows.out[0], row, self.column_bytes)
        store = self.conv_scratch(step * rows * row // dy.itemsize, dy.dtype)
        sums = self.conv_scratch(step * math.prod(windows.padded) * channels, dy.dtype, slot=1)
        sums = sums.reshape(step, *windows.padded, channels)
        inside = inner_slices(windows)
        every = (slice(None),) * (1 + len(windows.window))  # image and position
        for images, part in _parts(len(dy), windows.out[0], step, rows):
            found = dy[images, part]
            if part.start == 0:
                sums[...] = 0
            columns = store[: found.size // filters * taps * channels].reshape(-1, taps * channels)
            xp.matmul(found.reshape(-1, filters), matrix, out=columns)
            columns = columns.reshape(*found.shape[:-1], *windows.window, channels)
            sub = windows._replace(out=found.shape[1:-1])
            target = sums[: len(found)]
            for tap, places in tap_slices(sub, part.start):
                target[places] += columns[every + tap]
            if part.stop == windows.out[0]:
                dx[images] = target[inside]
        return dx if math.prod(windows.out) else xp.zeros_like(dx)


class NumpyConvolutionMixin(NumpyWinogradMixin, ConvolutionMixin):
    """Block sizes for the caches of a CPU, and buffers that stay warm from call to call."""

    column_bytes = 1 << 21
    _kept_bytes = 1 << 23  # larger buffers are given back at once

    def conv_scratch(self, count: int, dtype, slot: int = 0):
        dtype = np.dtype(dtype)
        if count * dtype.itemsize > self._kept_bytes:
            return np.empty(count, dtype)
        kept: dict = _LOCAL.__dict__
        found = kept.get((slot, dtype.char))
        if found is None or found.size < count:
            found = kept[slot, dtype.char] = np.empty(count, dtype)
        return found[:count]


_LOCAL = threading.local()


class _Finish:
    """Bias and activation, in place on contiguous blocks of shape (positions, F).

    Adding a short vector to many rows is slow on a CPU: the bias is repeated to the width of an output row.
    """

    def __init__(self, backend, bias, activation, width: int):
        self.backend, self.activation = backend, activation
        self.width = max(1, width)
        self.bias = None if bias is None else backend.xp.tile(bias, self.width)

    def __call__(self, block) -> None:
        backend, xp = self.backend, self.backend.xp
        if self.bias is not None:
            width = 1 if len(block) % self.width else self.width  # 1: part of a row, one spatial axis
            rows = block.reshape(-1, width * block.shape[-1])
            xp.add(rows, self.bias[: rows.shape[-1]], out=rows)
        if self.activation == "relu":
            backend.relu(block, out=block)
        elif self.activation == "tanh":
            xp.tanh(block, out=block)
        elif self.activation == "sigmoid":
            backend.sigmoid(block, out=block)


def _activation_backward(xp, dy, y, activation: str, dz) -> None:
    """Write ``dy`` times the derivative of the activation, known from its result ``y``, into ``dz``."""
    if activation == "relu":
        xp.multiply(dy, y > 0, out=dz)
    elif activation == "tanh":
        xp.multiply(y, y, out=dz)
        xp.subtract(1, dz, out=dz)
        xp.multiply(dz, dy, out=dz)
    elif activation == "sigmoid":
        xp.subtract(1, y, out=dz)
        xp.multiply(dz, y, out=dz)
        xp.multiply(dz, dy, out=dz)
    else:
        raise ValueError(f"activation {activation!r} cannot be fused into a convolution")


def _parts(n: int, rows_in_all: int, step: int, rows: int) -> Iterator[tuple[slice, slice]]:
    """Yield (images, rows) of every block, image by image."""
    for i in range(0, n, step):
        images = slice(i, min(i + step, n))
        for r in range(0, rows_in_all, rows):
            yield images, slice(r, min(r + rows, rows_in_all))


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


def _groups(xp, a, b, groups: int, of_outputs: bool = False) -> Iterator[tuple]:
    """Yield the channels of every group: slice of the result, and contiguous parts of ``a`` and ``b``.

    The result's channels go with those of ``b``; with ``of_outputs``, ``a`` goes with ``b`` (gradients and
    kernel), and the result has the kernel's input channels.
    """
    width_a, width_b = a.shape[-1] // groups, b.shape[-1] // groups
    width = b.shape[-2] if of_outputs else width_b
    for g in range(groups):
        part_a = xp.ascontiguousarray(a[..., g * width_a : (g + 1) * width_a])
        part_b = xp.ascontiguousarray(b[..., g * width_b : (g + 1) * width_b])
        yield slice(g * width, (g + 1) * width), part_a, part_b
