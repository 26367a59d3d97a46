"""Activations that layers run all the time, in place where the caller says so."""

from __future__ import annotations

import math

import numpy as np

from .memory import LARGE
from .rows import CHUNK, NumpyRowsMixin, RowsMixin

_ZERO = {np.dtype(kind): np.zeros((), kind) for kind in ("float16", "float32", "float64")}


class ActivationMixin(RowsMixin):
    """Generic version on ``xp``. ``out`` may be the input itself."""

    def relu(self, x, out=None):
        """Return max(x, 0)."""
        return self.xp.maximum(x, 0, out=out)

    def relu_backward(self, dy, y):
        """Return dy where y > 0, else 0, as a new array."""
        return dy * (y > 0)

    def sigmoid(self, x, out=None):
        """Return 1 / (1 + exp(-x)), computed as 0.5 tanh(x / 2) + 0.5, which cannot overflow."""
        y = self.xp.empty_like(x) if out is None else out
        self.xp.multiply(x, 0.5, out=y)
        self.xp.tanh(y, out=y)
        y *= 0.5
        y += 0.5
        return y

    def bias_activation(self, x, bias, activation=None, out=None):
        """Return activation(x + bias) for rows of ``x`` (..., U); "relu", "tanh", "sigmoid" or ``None``."""
        y = self.xp.add(x, bias, out=out)
        if activation is None:
            return y
        return self.xp.tanh(y, out=y) if activation == "tanh" else getattr(self, activation)(y, out=y)

    def fused_activation(self, name: str, x, *settings):
        """Return an activation in one pass over ``x``; ``None`` where the backend has no such thing."""
        return None

    def fused_activation_backward(self, name: str, dy, v, *settings):
        """Return its gradient, or ``None``; ``v`` is the input, of relu, sigmoid and tanh the result."""
        return None

    def softmax(self, x, axis=-1):
        """Return exp(x) / sum(exp(x)) along ``axis`` (an int or a tuple)."""
        xp = self.xp
        if x.dtype.itemsize == 2:  # differences and sums of halves overflow
            return self.softmax(x.astype("float32"), axis).astype(x.dtype)
        if x.ndim and x.size and (axis == -1 or axis == x.ndim - 1):
            rows = x.reshape(-1, x.shape[-1])
            e = rows - self.row_max(rows)
            xp.exp(e, out=e)
            e /= self.row_sum(e)
            return e.reshape(x.shape)
        e = x - x.max(axis=axis, keepdims=True) if x.size else x.copy()
        xp.exp(e, out=e)
        e /= e.sum(axis=axis, keepdims=True)
        return e

    def softmax_rows(self, x):
        """Return the softmax of the rows of ``x`` (M, C), their maximum and their sum of exp(x - maximum)."""
        top = self.row_max(x)
        e = x - top
        self.xp.exp(e, out=e)
        s = self.row_sum(e)
        e /= s
        return e, top, s

    def softmax_backward(self, dy, y, axis=-1):
        """Return y (dy - sum(dy y)) along ``axis``."""
        dx = dy * y
        if dx.ndim and dx.size and (axis == -1 or axis == dx.ndim - 1):
            total = self.row_sum(dx.reshape(-1, dx.shape[-1])).reshape(*dx.shape[:-1], 1)
        else:
            total = dx.sum(axis=axis, keepdims=True)
        dx -= y * total
        return dx


class NumpyActivationMixin(NumpyRowsMixin, ActivationMixin):
    """Overrides for NumPy."""

    def relu(self, x, out=None):
        zero = _ZERO.get(x.dtype)
        if zero is None:  # integers
            return np.maximum(x, 0, out=out)
        n = x.size
        if n < 1024 or not x.flags.c_contiguous or (out is not None and not out.flags.c_contiguous):
            return np.maximum(x, zero, out=out)
        y = self.empty_like(x) if out is None else out
        source, target = x.reshape(-1), y.reshape(-1)
        if n <= CHUNK // 2:
            np.maximum(source, self._zeros(n, x.dtype), out=target)
        else:  # the quicker pass, after a longer preparation

            def run(start, stop):
                source[start:stop].clip(0, math.inf, out=target[start:stop])

            self.side_by_side(run, n, 2e-10 * n, CHUNK)
        return y

    def relu_backward(self, dy, y):
        if dy.size < 1024:
            return np.sign(y) * dy  # y is never negative; truth values take four times as long
        zero = _ZERO.get(y.dtype, 0)
        plain = type(dy) is np.ndarray and dy.flags.c_contiguous and y.flags.c_contiguous
        if dy.nbytes < LARGE or not plain:
            return dy * np.greater(y, zero)
        dx = self.empty_like(dy)

        def run(n, d, y, out):
            out[...] = np.greater(y, zero, out=self.scratch((n,), bool))
            np.multiply(d, out, out=out)

        self._chunks(run, 4e-10, dy, y, dx)
        return dx

    def sigmoid(self, x, out=None):
        if x.nbytes < LARGE or not x.flags.c_contiguous or (out is not None and not out.flags.c_contiguous):
            return super().sigmoid(x, out)
        y = self.empty_like(x) if out is None else out
        inner = super().sigmoid
        self._chunks(lambda n, a, b: inner(a, out=b), 8e-10, x, y)
        return y

    def softmax(self, x, axis=-1):
        last = axis == -1 or axis == x.ndim - 1
        if x.nbytes < LARGE or not last or x.dtype.itemsize == 2 or type(x) is not np.ndarray:
            return super().softmax(x, axis)
        c = x.shape[-1]
        rows, y = x.reshape(-1, c), self.empty(x.shape, x.dtype)
        target = y.reshape(-1, c)

        def run(start, stop):
            step = max(1, CHUNK // c)
            for i in range(start, stop, step):
                part, out = rows[i:min(i + step, stop)], target[i:min(i + step, stop)]
                np.subtract(part, self.row_max(part), out=out)
                np.exp(out, out=out)
                out /= self.row_sum(out)

        self.side_by_side(run, len(rows), 1.5e-9 * x.size, max(1, CHUNK // c))
        return y

    def softmax_backward(self, dy, y, axis=-1):
        last = axis == -1 or axis == y.ndim - 1
        plain = type(dy) is np.ndarray and dy.flags.c_contiguous and y.flags.c_contiguous
        if y.nbytes < LARGE or not last or not plain:
            return super().softmax_backward(dy, y, axis)
        c = y.shape[-1]
        dx = self.empty(y.shape, y.dtype)
        d, p, target = (a.reshape(-1, c) for a in (dy, y, dx))

        def run(start, stop):
            step = max(1, CHUNK // c)
            for i in range(start, stop, step):
                part = slice(i, min(i + step, stop))
                out = np.multiply(d[part], p[part], out=target[part])
                total = self.row_sum(out)
                out -= np.multiply(p[part], total, out=self.scratch(out.shape, out.dtype))

        self.side_by_side(run, len(d), 1e-9 * y.size, max(1, CHUNK // c))
        return dx
