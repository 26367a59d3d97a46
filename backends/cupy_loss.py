"""Softmax and cross-entropies on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import softmax

from .cupy_rows import CupyRowsMixin
from .cupy_wide import wide
from .loss import LossMixin


class CupyLossMixin(CupyRowsMixin, LossMixin):
    """Kernels for float32 and the halves, computed in float32; other types go the generic way.

    Of logits with a cross-entropy no softmax is kept: their gradient makes it again. A class number out of
    range gives NaN, as loss and as gradient of its row.
    """

    def softmax(self, x, axis=-1):
        rows = self._matrix(x, axis)
        return super().softmax(x, axis) if rows is None else softmax.softmax(rows).reshape(x.shape)

    def softmax_rows(self, x):
        if not softmax.takes(x):
            return super().softmax_rows(x)
        return softmax.softmax(x, statistics=True)

    def softmax_backward(self, dy, y, axis=-1):
        rows = self._matrix(y, axis)
        if rows is None or dy.shape != y.shape:
            return wide(super().softmax_backward, dy, y, axis)
        return softmax.softmax_backward(dy.reshape(rows.shape), rows).reshape(y.shape)

    def _matrix(self, x, axis):
        """Return ``x`` as a matrix of rows along ``axis``, or ``None`` where no kernel takes it."""
        if not isinstance(axis, int) or not x.ndim or not x.size or axis % x.ndim != x.ndim - 1:
            return None
        rows = x.reshape(-1, x.shape[-1])
        return rows if softmax.takes(rows) else None

    def softmax_cross_entropy(self, x, target):
        if not softmax.takes(x) or (target.ndim == 1 and target.dtype.kind not in "iu"):
            return super().softmax_cross_entropy(x, target)
        loss, found, total = softmax.cross_entropy(x, target)
        return loss, (found, total)

    def picked_cross_entropy(self, x, rows, target):
        _, top, total = rows
        if not softmax.takes(x) or target.dtype.kind not in "iu" or not top.dtype == total.dtype == "float32":
            return super().picked_cross_entropy(x, rows, target)
        return softmax.picked_cross_entropy(x, top, total, target)

    def softmax_cross_entropy_backward(self, dy, parts, target):
        found, total = parts
        if total is None:
            ours = target.ndim == 1 and target.dtype.kind in "iu" and softmax.takes(found)
        else:
            ours = isinstance(found, softmax.Logits)
        if not ours:
            return super().softmax_cross_entropy_backward(dy, parts, target)
        return softmax.cross_entropy_backward(dy, found, total, target)

    def sigmoid_cross_entropy(self, x, target):
        if target.shape != x.shape or not softmax.takes_flat(x, target):
            return super().sigmoid_cross_entropy(x, target)
        return softmax.sigmoid_cross_entropy(x, target)

    def sigmoid_cross_entropy_backward(self, dy, x, target):
        if target.shape != x.shape or not softmax.takes_flat(x, target, dy) or dy.ndim > x.ndim:
            return super().sigmoid_cross_entropy_backward(dy, x, target)
        return softmax.sigmoid_cross_entropy_backward(dy, x, target)
