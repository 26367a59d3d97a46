"""Losses on matrices of predictions (M, C): per-sample values and gradients in few passes."""

from __future__ import annotations

import numpy as np

from .activation import ActivationMixin
from .program import recorded_whole

_UNSIGNED = {np.dtype(f"i{n}"): np.dtype(f"u{n}") for n in (1, 2, 4, 8)}


class LossMixin(ActivationMixin):
    """Generic version on ``xp``.

    Class numbers out of range are an error on the CPU, raised by ``check_labels``. A GPU does not wait for a
    check: its kernels (float32, float16) give NaN as loss and gradient of such a row; float64 goes unnoticed.
    """

    def check_labels(self, labels, classes: int, what: str = "label") -> None:
        """Raise ``ValueError`` for class numbers outside 0 .. classes-1 on the CPU; do nothing on a GPU."""

    def softmax_cross_entropy(self, x, target):
        """Return -sum(target log softmax(x)) per row of ``x`` (M, C), and the softmax (M, C).

        ``target`` holds class numbers (M,), on a GPU with a loss of NaN where out of range, or weights of the
        classes (M, C). The softmax is as yet to be divided by the row sums: it comes as a pair
        (exp(x - max), row sums).
        """
        e = x - self.row_max(x)
        if target.ndim == 1:
            picked = e.reshape(-1).take(self.row_starts(*e.shape) + target)
            self.xp.exp(e, out=e)
            s = self.row_sum(e)
            return self.xp.log(s[:, 0]) - picked, (e, s)
        along = self.row_sum(target * e)[:, 0]
        weight = self.row_sum(target)[:, 0]
        self.xp.exp(e, out=e)
        s = self.row_sum(e)
        return self.xp.log(s[:, 0]) * weight - along, (e, s)

    def picked_cross_entropy(self, x, rows, target):
        """Return -log softmax(x) at the class numbers ``target``; ``rows`` is what ``softmax_rows`` found.

        On a GPU it is NaN where the class number is out of range.
        """
        _, top, s = rows
        picked = x.reshape(-1).take(self.row_starts(*x.shape) + target)
        picked -= top[:, 0]
        return self.xp.log(s[:, 0]) - picked

    def softmax_cross_entropy_backward(self, dy, parts, target):
        """Return the gradient (p - target) dy of the logits; ``dy`` (M,). Without row sums, p is given.

        On a GPU a row is NaN where its class number is out of range.
        """
        e, s = parts
        if target.ndim == 1:
            dx = e * (dy[:, None] if s is None else dy[:, None] / s)
            flat = dx.reshape(-1)
            flat[self.row_starts(*e.shape) + target] -= dy  # one place per row: no collisions
            return dx
        dx = e * (self.row_sum(target) / s)
        dx -= target
        dx *= dy[:, None]
        return dx

    def sigmoid_cross_entropy(self, x, target):
        """Return max(x, 0) - x target + log(1 + exp(-|x|)), elementwise."""
        xp = self.xp
        y = xp.abs(x)
        xp.negative(y, out=y)
        xp.exp(y, out=y)
        xp.log1p(y, out=y)
        y += self.relu(x)
        y -= x * target
        return y

    def sigmoid_cross_entropy_backward(self, dy, x, target):
        """Return (sigmoid(x) - target) dy; ``dy`` broadcasts."""
        dx = self.sigmoid(x)
        dx -= target
        dx *= dy
        return dx


class NumpyLossMixin(LossMixin):
    """Overrides for NumPy."""

    @recorded_whole
    def check_labels(self, labels, classes, what="label"):
        if not labels.size:
            return
        # Seen as unsigned, negative numbers become huge: one pass finds both kinds.
        kind = labels.dtype
        seen = labels.view(_UNSIGNED.get(kind, f"u{kind.itemsize}")) if kind.kind == "i" else labels
        if np.maximum.reduce(seen, axis=None) >= classes:
            bad = labels[(labels < 0) | (labels >= classes)]
            raise ValueError(
                f"{what} {int(bad.flat[0])} is out of range: with {classes} classes they go from 0 to "
                f"{classes - 1}. Count labels from 0, or give the last layer {int(labels.max()) + 1} units"
                if what == "label" else
                f"{what} {int(bad.flat[0])} is out of range: expected 0 to {classes - 1}. "
                f"Raise input_dim to at least {int(labels.max()) + 1}, or map unknown words to one index"
            )
