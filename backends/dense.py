"""Dense layer: product, bias and activation forward; the three gradients backward."""

from __future__ import annotations

import math

import numpy as np

from . import products, threads
from .activation import ActivationMixin
from .linalg import MULTIPLY_SECONDS, LinalgMixin, share_product


class DenseMixin(ActivationMixin, LinalgMixin):
    """Generic version on ``xp``. Activations that fuse: ``None``, ``"relu"``, ``"sigmoid"``, ``"tanh"``."""

    _plain_kernel = _plain_rows = math.inf  # smaller products are done at once, without looking for a form

    def dense_forward(self, x, kernel, bias, activation=None):
        """Return activation(x @ kernel + bias), shape (M, U), of ``x`` (M, I) and ``kernel`` (I, U)."""
        plain = kernel.size < self._plain_kernel and len(x) < self._plain_rows
        y = x.dot(kernel) if plain else self.dense_product(x, kernel)
        if bias is not None:
            if len(y) == 1:
                y[0] += bias  # equal shapes: NumPy adds them twice as fast as it broadcasts
            else:
                y += bias
        if activation == "relu":
            self.relu(y, out=y)
        elif activation == "tanh":
            self.xp.tanh(y, out=y)
        elif activation == "sigmoid":
            self.sigmoid(y, out=y)
        return y

    def dense_backward(self, dy, x, kernel, y, activation, need_dx, need_dkernel, need_dbias, out=None):
        """Return the gradients of ``x``, ``kernel`` and ``bias``, ``None`` for those not needed.

        ``y`` is the output of the forward pass (needed where there is an activation). The bias gradient may
        share memory with ``dy``. ``out`` takes the kernel gradient, where it is given and has its dtype.
        """
        dz = self.activation_backward(dy, y, activation)
        plain = kernel.size < self._plain_kernel and len(x) < self._plain_rows
        dx = None
        if need_dx:
            dx = dz.dot(kernel.T) if plain else self.dense_gradient(dz, kernel)
        if out is not None and dz.dtype != out.dtype:
            out = None
        dkernel = None
        if need_dkernel:
            dkernel = x.T.dot(dz, out) if plain else self.dense_kernel_gradient(x, dz, out)
        dbias = self.column_sum(dz) if need_dbias else None
        return dx, dkernel, dbias

    def dense_product(self, x, kernel):
        """Return ``x @ kernel``."""
        return x.dot(kernel)

    def dense_gradient(self, dz, kernel):
        """Return ``dz @ kernel.T``."""
        return dz.dot(kernel.T)

    def dense_kernel_gradient(self, x, dz, out=None):
        """Return ``x.T @ dz``, in ``out`` where it is given."""
        return x.T.dot(dz, out)

    def activation_backward(self, dy, y, activation):
        """Return the gradient before a fusable activation from the one after it and its output ``y``."""
        if activation is None:
            return dy
        if activation == "relu":
            return self.relu_backward(dy, y)
        if activation == "tanh":
            slope = y * y
            self.xp.subtract(1, slope, out=slope)
        else:
            slope = 1 - y
            slope *= y
        slope *= dy
        return slope


class NumpyDenseMixin(DenseMixin):
    """Each product in the form that the BLAS does best; large ones are shared by the threads."""

    _plain_kernel, _plain_rows = 1 << 14, 1 << 12

    def dense_product(self, x, kernel):
        rows, (inputs, units) = len(x), kernel.shape
        if x.dtype.kind != "f" or x.dtype.itemsize < 4:
            return self.matmul(x, kernel)
        work = rows * kernel.size
        if work * MULTIPLY_SECONDS < threads.WORTH:
            way = _way(rows, inputs, units, x.dtype)
            return _multiply(x, kernel, self.empty((rows, units), x.dtype), way) if way else x.dot(kernel)
        y = self.empty((rows, units), x.dtype)

        def part(start, stop):
            part_of = (x[start:stop], kernel) if rows >= units else (x, kernel[:, start:stop])
            out = y[start:stop] if rows >= units else y[:, start:stop]
            _multiply(*part_of, out, _way(len(out), inputs, out.shape[1], x.dtype))

        share_product(part, max(rows, units), work, x.dtype)
        return y

    def dense_gradient(self, dz, kernel):
        rows, (inputs, units) = len(dz), kernel.shape
        if dz.dtype.kind != "f" or dz.dtype.itemsize < 4:
            return self.matmul(dz, kernel.T)
        work, turned = rows * kernel.size, _better_turned(rows, inputs, units)
        if not turned and work * MULTIPLY_SECONDS < threads.WORTH:
            return dz.dot(kernel.T)
        dx = self.empty((rows, inputs), dz.dtype)

        def part(start, stop):
            if turned:
                dx[:, start:stop] = kernel[start:stop].dot(dz.T).T
            else:
                self.xp.matmul(dz, kernel[start:stop].T, out=dx[:, start:stop])

        share_product(part, inputs, work, dz.dtype)
        return dx

    def dense_kernel_gradient(self, x, dz, out=None):
        if x.dtype.itemsize < 4:
            found = self.matmul(x.T, dz)
            if out is None:
                return found
            out[...] = found
            return out
        work = x.size * dz.shape[1]
        if work * MULTIPLY_SECONDS < threads.WORTH or not threads.pool_owns() or x.dtype != dz.dtype:
            return x.T.dot(dz, out)
        if out is None:
            out = self.empty((x.shape[1], dz.shape[1]), x.dtype)

        def part(start, stop):
            self.xp.matmul(x[:, start:stop].T, dz, out=out[start:stop])

        share_product(part, x.shape[1], work, x.dtype)
        return out


def _way(rows: int, inputs: int, units: int, dtype) -> str | None:
    """Return how few rows meet a kernel in pieces that the BLAS multiplies without packing.

    ``"rows"``, ``"columns"`` (64 of them), or ``None`` for no pieces.
    """
    if not 1 < rows <= 64 < units or dtype != np.float32 or not products.cut():
        return None
    if rows * inputs * units > products.PIECE >= rows * inputs * 64:
        return "columns"
    return "rows" if products.piece(rows, inputs, units) else None


def _multiply(x, kernel, out, way):
    """Write ``x @ kernel`` into ``out`` and return it."""
    if way == "columns":
        for start in range(0, kernel.shape[1], 64):
            np.matmul(x, kernel[:, start:start + 64], out=out[:, start:start + 64])
    elif way == "rows":
        products.multiply(x, kernel, out)
    else:
        np.matmul(x, kernel, out=out)
    return out


def _better_turned(rows: int, inputs: int, units: int) -> bool:
    """Tell whether ``(kernel @ dz.T).T``, copied into C order, is quicker than ``dz @ kernel.T``.

    The BLAS takes a third longer to turn a kernel for few rows; for many the copy takes longer than that.
    """
    size = inputs * units
    if rows <= 32:
        return rows > 1 and size >= 1 << 15
    return size >= 1 << 16 and (rows <= 64 or rows <= 128 and units >= 512)
