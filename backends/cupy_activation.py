"""Activations on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import elementwise

from .cupy_wide import wide
from .dense import DenseMixin


class CupyActivationMixin(DenseMixin):
    """Kernels for float32 and the halves; other types go the generic way."""

    def relu(self, x, out=None):
        return self._activation(x, "relu", out) if _fits(x, out) else wide(super().relu, x, out=out)

    def relu_backward(self, dy, y):
        if dy.shape != y.shape or not elementwise.takes(y, dy):
            return wide(super().relu_backward, dy, y)
        return elementwise.activation_backward(dy, y, "relu")

    def sigmoid(self, x, out=None):
        return self._activation(x, "sigmoid", out) if _fits(x, out) else wide(super().sigmoid, x, out=out)

    def activation_backward(self, dy, y, activation):
        if activation is None or dy.shape != y.shape or not elementwise.takes(y, dy):
            return wide(super().activation_backward, dy, y, activation)
        return elementwise.activation_backward(dy, y, activation)

    def _activation(self, x, name, out):
        return elementwise.activation_forward(x, name, out=out)

    # ---- activations of ``kernels.elementwise.ACTIVATIONS`` ---
    def fused_activation(self, name, x, *settings):
        return elementwise.activation_forward(x, name, *settings) if elementwise.takes(x) else None

    def fused_activation_backward(self, name, dy, v, *settings):
        if not elementwise.takes(v):
            return None
        dy = self.xp.broadcast_to(dy.astype(v.dtype, copy=False), v.shape)
        return elementwise.activation_backward(dy, v, name, *settings)

    def bias_activation(self, x, bias, activation=None, out=None):
        if not _fits(x, out) or bias.dtype != x.dtype:
            return wide(super().bias_activation, x, bias, activation, out=out)
        return elementwise.bias_activation(x, bias, activation or "linear", out=out)


def _fits(x, out) -> bool:
    """Tell whether a kernel takes ``x``, and a result where it is wanted."""
    return elementwise.takes(x, out) and (out is None or out.flags.c_contiguous)
