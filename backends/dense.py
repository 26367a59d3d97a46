"""Dense layer: product, bias and activation forward; the three gradients backward."""

from __future__ import annotations

from .activation import ActivationMixin


class DenseMixin(ActivationMixin):
    """Generic version on ``xp``. Activations that fuse: ``None``, ``"relu"``, ``"sigmoid"``, ``"tanh"``."""

    def dense_forward(self, x, kernel, bias, activation=None):
        """Return activation(x @ kernel + bias), shape (M, U), of ``x`` (M, I) and ``kernel`` (I, U)."""
        y = x.dot(kernel)
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
        dx = dz.dot(kernel.T) if need_dx else None
        if out is not None and dz.dtype != out.dtype:
            out = None
        dkernel = x.T.dot(dz, out) if need_dkernel else None
        dbias = self.column_sum(dz) if need_dbias else None
        return dx, dkernel, dbias

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
