"""Sums and extremes over any run of axes, counts of right predictions: on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import reduction, reduction_shapes

from .reduction import ReductionMixin


class CupyReductionMixin(ReductionMixin):
    """Kernels for float32 and the halves, sums where the axes are neighbours; the rest as in ``base``."""

    def sum(self, x, axes, keepdims=False, scale=None):
        found = self._reduced(x, axes, "sum", 1.0 if scale is None else scale)
        if found is None:
            return super().sum(x, axes, keepdims, scale)
        shape = (1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
        return found.reshape(tuple(shape))

    def extreme(self, x, axes, name):
        found = self._reduced(x, axes, name, 1.0)
        if found is None:
            return super().extreme(x, axes, name)
        return found.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))

    def count_classes(self, scores, labels, total, count, weights=None):
        if not reduction.takes_counts(scores, labels, total, count, weights):
            return super().count_classes(scores, labels, total, count, weights)
        return reduction.count_classes(scores, labels, total, count, weights)

    def count_binary(self, scores, labels, total, count, threshold, weights=None):
        if not reduction.takes_counts(scores, labels, total, count, weights):
            return super().count_binary(scores, labels, total, count, threshold, weights)
        return reduction.count_binary(scores, labels, total, count, threshold, weights)

    def _reduced(self, x, axes, operation: str, scale: float):
        """Return the results in their order, or ``None`` where no kernel takes this."""
        sizes = reduction_shapes.runs(x.shape, axes)
        if sizes is None or not isinstance(scale, (int, float)) or not reduction.takes(x.dtype, *sizes):
            return None
        return reduction.reduce(x, *sizes, operation, scale)
