"""Convolution of channels-last arrays over one to three spatial axes, written once over ``xp``.

Input patches are copied into a column matrix of a megabyte or two (im2col), one matrix product makes the
outputs of that block, bias and activation follow while the block is in cache, then comes the next block.
``convolution_choice`` decides what runs, ``convolution_columns`` makes the columns.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator

import numpy as np

from . import memory, products, threads, winograd
from .convolution_choice import choose, choose_columns
from .convolution_columns import ColumnsMixin, blocks, inner_slices, plan, tap_slices
from .window_shapes import Windows, phases

__all__ = ["ConvolutionMixin", "NumpyConvolutionMixin", "blocks", "inner_slices", "tap_slices"]

SMALL = products.CACHED  # elements of a matrix for which products may come in pieces
STRIP = 32  # columns of a transposed copy at once: as many as cache lines can wait to be filled


class ConvolutionMixin(ColumnsMixin):
    """Convolution: forward, gradient of the data, gradient of the kernel.

    Shapes: ``x`` (N, *size, C), ``w`` (*window, C // groups, F), ``y`` and ``dy`` (N, *out, F). Half
    precision is computed in float32 and rounded once at the end.
    """

    _has_winograd = False
    _depthwise_forward: Callable  # these by DepthwiseMixin
    _depthwise_backward_data: Callable
    _depthwise_backward_kernel: Callable

    # ---- the three passes -----------------------------------------------------------------------
    def conv_forward(self, x, w, windows: Windows, groups: int = 1, bias=None, activation=None):
        """Return ``activation(x * w + bias)``; ``activation`` is None, "relu", "tanh" or "sigmoid"."""
        if _is_half(x):
            half = [a if a is None else a.astype(np.float32) for a in (x, w, bias)]
            return self.conv_forward(half[0], half[1], windows, groups, half[2], activation).astype(x.dtype)
        xp = self.xp
        y = self.empty((len(x), *windows.out, w.shape[-1]), x.dtype)
        way = self._conv_way("forward", x.shape, w.shape, windows, groups, x.dtype)
        if way in ("planar", "rows", "pointwise"):
            self._columns_forward(x, w, windows, way, y, bias, activation)
            return y
        finish = _Finish(self, bias, activation, y)
        if way == "depthwise":
            self._depthwise_forward(xp.ascontiguousarray(x), w, windows, y, finish)
        elif way == "grouped":
            for i, xs, ws in _groups(xp, x, w, groups):
                y[..., i] = self.conv_forward(xs, ws, windows)
            finish(y.reshape(-1, y.shape[-1]))
        elif way == "spread":
            self._conv_scatter(xp.ascontiguousarray(x), self._turned(w), windows.mirrored, y, finish)
        else:
            winograd.forward(self, x, w, windows, int(way[-1]), y, finish)
        return y

    def conv_backward_data(self, dy, w, windows: Windows, groups: int = 1, bias=None, activation=None):
        """Return the gradient of ``x``; with bias and activation, the forward pass of its transpose."""
        if _is_half(dy):
            half = [a if a is None else a.astype(np.float32) for a in (dy, w, bias)]
            return self.conv_backward_data(
                half[0], half[1], windows, groups, half[2], activation
            ).astype(dy.dtype)
        xp = self.xp
        shape = (len(dy), *windows.size, w.shape[-2] * groups)
        way = self._conv_way("data", shape, w.shape, windows, groups, dy.dtype)
        if way == "pointwise":
            return self.conv_forward(dy, self._turned(w), windows, 1, bias, activation)
        if way == "mirrored":
            return self.conv_forward(dy, self._turned(w), windows.mirrored, 1, bias, activation)
        if way == "phases":
            return self._conv_phases(xp.ascontiguousarray(dy), w, windows, bias, activation)
        if way == "depthwise":
            dx = self._depthwise_backward_data(xp.ascontiguousarray(dy), w, windows, groups)
        elif way == "grouped":
            dx = self.empty(shape, dy.dtype)
            for i, dys, ws in _groups(xp, dy, w, groups, of_outputs=True):
                dx[..., i] = self.conv_backward_data(dys, ws, windows)
        else:
            dx = self.empty(shape, dy.dtype)
            finish = _Finish(self, bias, activation, dx)
            work = self._conv_scatter if way == "scatter" else self._conv_lay
            work(xp.ascontiguousarray(dy), xp.ascontiguousarray(w), windows, dx, finish)
            return dx
        _Finish(self, bias, activation, dx)(dx.reshape(-1, shape[-1]))
        return dx

    def conv_backward_kernel(self, x, dy, windows: Windows, groups: int = 1):
        """Return the gradient of ``w``."""
        if _is_half(x):
            return self.conv_backward_kernel(
                x.astype(np.float32), dy.astype(np.float32), windows, groups
            ).astype(x.dtype)
        xp = self.xp
        inner, filters = x.shape[-1] // groups, dy.shape[-1]
        dw = xp.zeros((*windows.window, inner, filters), x.dtype)
        way = self._conv_way("kernel", x.shape, dw.shape, windows, groups, x.dtype)
        dy = xp.ascontiguousarray(dy)
        if way == "depthwise":
            self._depthwise_backward_kernel(xp.ascontiguousarray(x), dy, windows, dw)
        elif way == "grouped":
            for i, xs, dys in _groups(xp, x, dy, groups):
                dw[..., i] = self.conv_backward_kernel(xs, dys, windows)
        elif way == "exchanged":
            way = choose_columns((*windows.window, filters, inner), windows.mirrored)
            dw = self._turned(self._columns_kernel(dy, windows.mirrored, way, x)[0])
        elif way.startswith("winograd"):
            winograd.kernel_gradient(self, x, dy, windows, int(way[-1]), dw)
        else:
            return self._columns_kernel(x, windows, way, dy)[0]
        return dw

    def conv_backward_output(self, dy, y, activation=None, with_bias: bool = True):
        """Take ``dy`` back through activation and bias: return the gradients of the sum and of the bias."""
        if _is_half(dy):
            dz, dbias = self.conv_backward_output(
                dy.astype(np.float32), y.astype(np.float32), activation, with_bias
            )
            return dz.astype(dy.dtype), None if dbias is None else dbias.astype(dy.dtype)
        xp = self.xp
        filters = dy.shape[-1]
        dy = xp.ascontiguousarray(dy).reshape(-1, filters)
        if activation is None:
            return dy.reshape(y.shape), (self.column_sum(dy) if with_bias else None)
        dz = self.empty(dy.shape, dy.dtype)
        y = xp.ascontiguousarray(y)
        parts = self._conv_plan(len(dy), 1, filters * dy.itemsize, 30 * dy.size)
        sums = xp.zeros((len(parts), filters), dy.dtype)
        flat = y.reshape(-1, filters)

        def run(i, chosen):
            for images, _ in chosen:
                _activation_backward(xp, dy[images], flat[images], activation, dz[images])
                if with_bias:
                    sums[i] += self.column_sum(dz[images])

        self._conv_run(run, parts)
        return dz.reshape(y.shape), (_total(sums) if with_bias else None)

    def conv_backward_first(
        self, x, dy, y, windows: Windows, groups: int = 1, activation=None, with_bias: bool = True
    ):
        """Return the gradients of kernel and bias where nobody asks for that of ``x``.

        ``dy`` is taken back through the activation block by block and never stored: for the first layer of a
        network, whose outputs are large beside its inputs.
        """
        shape = (*windows.window, x.shape[-1] // groups, dy.shape[-1])
        way = self._conv_way("kernel", x.shape, shape, windows, groups, x.dtype)
        if way not in ("planar", "rows", "pointwise") or _is_half(x):
            dz, dbias = self.conv_backward_output(dy, y, activation, with_bias)
            return self.conv_backward_kernel(x, dz, windows, groups), dbias
        return self._columns_kernel(x, windows, way, dy, y, activation, with_bias)

    def conv_backward_transposed(self, x, dy, w, windows: Windows, want_x: bool = True, want_w: bool = True):
        """Return the gradients of inputs and kernel of a transposed convolution.

        That is the convolution of ``dy`` with ``w``, and the gradient of its kernel where ``x`` is that of
        its outputs.
        """
        dx = self.conv_forward(dy, w, windows) if want_x else None
        return dx, self.conv_backward_kernel(dy, x, windows) if want_w else None

    def _conv_way(self, step: str, x_shape, w_shape, windows: Windows, groups: int, dtype) -> str:
        """Return what ``choose`` says for this backend."""
        return choose(step, x_shape, w_shape, windows, groups, dtype, self._has_winograd)

    # ---- by columns -----------------------------------------------------------------------------------
    def _columns_forward(self, x, w, windows: Windows, way: str, y, bias, activation) -> None:
        xp, filters = self.xp, w.shape[-1]
        matrix = w.reshape(-1, filters)
        ones = way == "planar" and bias is not None  # the bias is one more row of the kernel
        if ones:
            matrix, bias = xp.concatenate([matrix, bias[None]]), None
        finish = _Finish(self, bias, activation, y)
        x, y, windows = _flat(xp, x, y, windows, way)

        def run(i, chosen):
            for block, columns in self._conv_columns(x, windows, chosen, way, ones):
                found = y[block].reshape(-1, filters)  # a view: blocks are contiguous
                self._conv_multiply(columns, matrix, found)
                finish(found)

        self._conv_run(run, self._columns_plan(x, y, windows, matrix))

    def _columns_kernel(
        self, x, windows: Windows, way: str, dy, y=None, activation=None, with_bias: bool = False
    ):
        """Return the gradients of kernel and bias; ``dy`` is first taken back through the activation."""
        xp, filters, dtype = self.xp, dy.shape[-1], x.dtype
        dy = xp.ascontiguousarray(dy)
        taps = math.prod(windows.window) * x.shape[-1]
        shape = (*windows.window, x.shape[-1], filters)
        ones = way == "planar" and with_bias
        y = y if activation is None else xp.ascontiguousarray(y).reshape(dy.shape)
        x, dy, windows = _flat(xp, x, dy, windows, way)
        y = None if activation is None else y.reshape(dy.shape)
        matrix = xp.empty((taps + ones, filters), dtype)
        parts = self._columns_plan(x, dy, windows, matrix)
        sums = xp.zeros((len(parts), taps + ones, filters), dtype)
        bias_sums = xp.zeros((len(parts), filters), dtype)

        def run(i, chosen):
            product = self.conv_scratch(matrix.size, dtype, slot=2).reshape(matrix.shape)
            for block, columns in self._conv_columns(x, windows, chosen, way, ones):
                slope = dy[block]
                if activation is not None:
                    slope = self.conv_scratch(slope.size, dtype, slot=3).reshape(slope.shape)
                    _activation_backward(xp, dy[block], y[block], activation, slope)
                slope = slope.reshape(-1, filters)
                first = block == chosen[0]
                self._conv_multiply_sum(columns, slope, sums[i] if first else product)
                if not first:
                    sums[i] += product
                if with_bias and not ones:
                    bias_sums[i] += self.column_sum(slope)

        self._conv_run(run, parts)
        dw, dbias = _total(sums), _total(bias_sums)
        return dw[:taps].reshape(shape), dw[taps] if ones else dbias if with_bias else None

    def _columns_plan(self, x, y, windows: Windows, matrix) -> list:
        """Return the blocks of every part for columns that meet ``matrix``."""
        positions = math.prod(windows.out[1:])
        wide = max(matrix.shape[0], matrix.shape[1])
        return self._conv_plan(
            len(x), windows.out[0], positions * wide * x.itemsize,
            2 * len(x) * windows.out[0] * positions * matrix.size, matrix.nbytes,
        )

    def _conv_scatter(self, dy, w, windows: Windows, dx, finish) -> None:
        """Data gradient by columns: every window's gradient is added to where its inputs came from."""
        channels, filters = w.shape[-2:]
        taps = math.prod(windows.window)
        matrix = self._transposed(w.reshape(taps * channels, filters))
        row = math.prod(windows.out[1:]) * taps * channels
        inside = inner_slices(windows)
        every = (slice(None),) * (1 + len(windows.window))  # image and position

        def run(i, chosen):
            for part in chosen:
                found = dy[part]
                columns = self.conv_scratch(found.size // filters * taps * channels, dy.dtype)
                columns = columns.reshape(-1, taps * channels)
                self._conv_multiply(found.reshape(-1, filters), matrix, columns)
                columns = columns.reshape(*found.shape[:-1], *windows.window, channels)
                sub = windows._replace(out=found.shape[1:-1])
                if part.rows.start == 0:
                    sums = self.conv_scratch(len(found) * math.prod(windows.padded) * channels, dy.dtype, 1)
                    sums = sums.reshape(len(found), *windows.padded, channels)
                    sums[...] = 0
                for tap, places in tap_slices(sub, part.rows.start):
                    sums[places] += columns[every + tap]
                if part.rows.stop == windows.out[0]:
                    dx[part.images] = sums[inside]
                    finish(dx[part.images].reshape(-1, channels))

        parts = self._conv_plan(
            len(dy), windows.out[0], row * dy.itemsize, 2 * dy.size * taps * channels, w.nbytes, whole=True
        )
        if math.prod(windows.out):
            self._conv_run(run, parts)
        else:
            dx[...] = 0
            finish(dx.reshape(-1, channels))

    def _conv_lay(self, dy, w, windows: Windows, dx, finish) -> None:
        """Data gradient of windows that do not overlap: nothing is added, no block waits for another."""
        channels, filters = w.shape[-2:]
        taps = math.prod(windows.window)
        matrix = self._transposed(w.reshape(taps * channels, filters))
        stride, last = windows.strides[0], windows.out[0]
        every = (slice(None),) * (1 + len(windows.window))  # image and position

        def run(i, chosen):
            for part in chosen:
                found = dy[part]
                columns = self.conv_scratch(found.size // filters * taps * channels, dy.dtype)
                columns = columns.reshape(-1, taps * channels)
                self._conv_multiply(found.reshape(-1, filters), matrix, columns)
                columns = columns.reshape(*found.shape[:-1], *windows.window, channels)
                stop = windows.size[0] if part.rows.stop == last else part.rows.stop * stride
                target = dx[part.images, part.rows.start * stride : stop]
                target[...] = 0  # what lies between the windows
                for tap, places in tap_slices(windows._replace(out=found.shape[1:-1])):
                    target[places] = columns[every + tap]
                finish(target.reshape(-1, channels))

        row = math.prod(windows.out[1:]) * taps * channels
        parts = self._conv_plan(len(dy), last, row * dy.itemsize, 2 * dy.size * taps * channels, w.nbytes)
        self._conv_run(run, parts)

    def _conv_phases(self, dy, w, windows: Windows, bias, activation):
        """Data gradient for steps of more than one: inputs that share a remainder share their taps.

        Among those inputs it is a convolution with steps of one, with a part of the mirrored kernel.
        """
        dx = self.empty((len(dy), *windows.size, w.shape[-2]), dy.dtype)
        for places, taps, back in phases(windows):
            if taps is None:  # no window reaches these inputs
                alone = self.xp.zeros((1, dx.shape[-1]), dx.dtype)
                _Finish(self, bias, activation, alone)(alone)
                dx[places] = alone
            else:
                dx[places] = self.conv_forward(dy, self._turned(w[taps]), back, 1, bias, activation)
        return dx

    def _turned(self, w):
        """Return the kernel with its window mirrored and input channels and filters exchanged."""
        if math.prod(w.shape[:-2]) == 1:
            return self._transposed(w)
        turned = w[(slice(None, None, -1),) * (w.ndim - 2)].swapaxes(-1, -2)
        found = self.xp.empty(turned.shape, w.dtype)
        for start in range(0, turned.shape[-1], STRIP):  # in strips: twice as quick where the kernel is large
            found[..., start : start + STRIP] = turned[..., start : start + STRIP]
        return found

    def _transposed(self, matrix):
        """Return ``matrix`` with its last two axes exchanged: a view of a large one, a copy of a small one.

        Products with a small matrix are slower where it is transposed, others hardly; copies take longest.
        """
        turned = matrix.swapaxes(-1, -2)
        return turned if matrix.size > SMALL else self.xp.ascontiguousarray(turned)

    def _conv_multiply(self, rows, matrix, out) -> None:
        """Write ``rows @ matrix`` into ``out``."""
        self.xp.matmul(rows, matrix, out=out)

    def _conv_multiply_sum(self, rows, slopes, out) -> None:
        """Write ``rows.T @ slopes`` into ``out``."""
        self.xp.matmul(rows.T, slopes, out=out)


class NumpyConvolutionMixin(ConvolutionMixin):
    """Block sizes for the caches of a CPU, parts for its cores, and buffers that stay warm."""

    _has_winograd = True
    column_bytes = 1 << 21
    _kept_bytes = 1 << 24  # of one buffer

    def conv_backward_transposed(self, x, dy, w, windows, want_x=True, want_w=True):
        way, other = (
            self._conv_way(step, dy.shape, w.shape, windows, 1, dy.dtype) for step in ("forward", "kernel")
        )
        if not (want_x and want_w) or _is_half(dy) or way != other or way not in ("planar", "rows"):
            return super().conv_backward_transposed(x, dy, w, windows, want_x, want_w)
        filters = w.shape[-1]
        matrix, x = w.reshape(-1, filters), np.ascontiguousarray(x)
        dx = self.empty(x.shape, x.dtype)
        parts = self._columns_plan(dy, dx, windows, matrix)
        sums = np.zeros((len(parts), *matrix.shape), x.dtype)

        def run(i, chosen):  # both need the same columns
            product = self.conv_scratch(matrix.size, x.dtype, slot=2).reshape(matrix.shape)
            for block, columns in self._conv_columns(dy, windows, chosen, way):
                self._conv_multiply(columns, matrix, dx[block].reshape(-1, filters))
                first = block == chosen[0]
                self._conv_multiply_sum(columns, x[block].reshape(-1, filters), sums[i] if first else product)
                if not first:
                    sums[i] += product

        self._conv_run(run, parts)
        return dx, _total(sums).reshape(w.shape)

    def conv_scratch(self, count: int, dtype, slot: int = 0):
        return memory.scratch(_LOCAL, count, dtype, slot, self._kept_bytes)

    def _conv_plan(self, n, rows, bytes_per_row, flops, fixed=0, whole=False):
        budget = max(self.column_bytes, fixed)
        seconds = flops / SPEED
        if whole:
            bounds = threads.split(n, seconds, finer=FINER)
            shifted = []
            for start, stop in bounds:
                found = plan(stop - start, rows, bytes_per_row, budget)
                shifted.append([b._replace(images=_shift(b.images, start)) for b in found])
            return shifted
        wanted = len(threads.split(n * rows, seconds, finer=FINER))
        found = plan(n, rows, bytes_per_row, budget, wanted)
        return [found[a:b] for a, b in threads.split(len(found), seconds, finer=FINER)]

    def _conv_multiply(self, rows, matrix, out):
        products.multiply(rows, matrix, out)

    def _conv_multiply_sum(self, rows, slopes, out):
        products.multiply_sum(rows, slopes, out, lambda count: self.conv_scratch(count, out.dtype, slot=4))

    def _conv_run(self, function, parts):
        with threads.session():  # products of single blocks are too small for the threads of a BLAS
            threads.parallel(function, list(enumerate(parts)))


SPEED = 6e10  # operations per second of one thread, to estimate whether splitting pays
FINER = 2  # parts for each thread: other programs may use some cores
_LOCAL = threading.local()


class _Finish:
    """Bias and activation, in place on contiguous blocks of shape (positions, F).

    Adding a short vector to many rows is slow on a CPU: the bias is repeated to a longer row.
    """

    def __init__(self, backend, bias, activation, y):
        self.backend, self.activation, self.bias, self.times = backend, activation, bias, 1
        if bias is not None and y.size > 1 << 14:
            self.times = max(1, 1024 // max(1, len(bias)))
            self.bias = backend.xp.tile(bias, self.times)

    def __call__(self, block) -> None:
        backend, xp = self.backend, self.backend.xp
        if self.bias is not None:
            filters = block.shape[-1]
            wide = len(block) // self.times * self.times
            rows, rest = block[:wide].reshape(-1, self.times * filters), block[wide:]
            xp.add(rows, self.bias, out=rows)
            xp.add(rest, self.bias[:filters], out=rest)
        if self.activation == "relu":
            backend.relu(block, out=block)
        elif self.activation == "tanh":
            xp.tanh(block, out=block)
        elif self.activation == "sigmoid":
            backend.sigmoid(block, out=block)


def _is_half(array) -> bool:
    """Tell whether numbers have two bytes, float16 or bfloat16."""
    return array.dtype.itemsize == 2


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


def _flat(xp, x, y, windows: Windows, way: str) -> tuple:
    """Let every position be an image of one element where the way is "pointwise": blocks of any size."""
    if way != "pointwise":
        return x, y, windows
    one = (1,)
    flat = Windows(size=one, window=one, out=one, strides=one, lows=(0,), dilation=one)
    return xp.ascontiguousarray(x).reshape(-1, 1, x.shape[-1]), y.reshape(-1, 1, y.shape[-1]), flat


def _total(sums):
    """Return the sum of the parts, added in their order; writes into the first."""
    total = sums[0]
    for part in sums[1:]:
        total += part
    return total


def _shift(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


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
