"""Activations that layers run all the time, in place where the caller says so."""

from __future__ import annotations

import numpy as np

from .rows import NumpyRowsMixin, RowsMixin

CHUNK = 65536  # elements: two such float32 arrays stay in a core's second-level cache
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
        y = np.empty_like(x) if out is None else out
        source, target = x.reshape(-1), y.reshape(-1)
        if n <= CHUNK:
            np.maximum(source, self._zeros(n, x.dtype), out=target)
            return y
        zeros = self._zeros(CHUNK, x.dtype)
        for start in range(0, n, CHUNK):
            part = source[start:start + CHUNK]
            np.maximum(part, zeros[:part.size], out=target[start:start + CHUNK])
        return y

    def relu_backward(self, dy, y):
        if dy.size < 1024:
            return np.sign(y) * dy  # y is never negative; truth values take four times as long
        return dy * np.greater(y, _ZERO.get(y.dtype, 0))
