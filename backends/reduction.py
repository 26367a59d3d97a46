"""Reductions: one contract, with the matrix-product trick on the CPU."""

from __future__ import annotations

import math

import numpy as np

from .device import Device


class ReductionMixin(Device):
    """Generic reductions over ``xp``."""

    def sum(self, x, axes, keepdims=False, scale=None):
        """Return the sum of a float array over sorted ``axes``, times ``scale``; halves in float32."""
        if not axes:
            return (x * (1 if scale is None else scale)).astype(x.dtype, copy=False)
        if x.dtype.kind in "fV" and x.dtype.itemsize == 2:
            y = x.sum(axis=axes, keepdims=keepdims, dtype=np.float32)
            return (y if scale is None else y * scale).astype(x.dtype)
        y = x.sum(axis=axes, keepdims=keepdims)
        return y if scale is None else y * scale

    def extreme(self, x, axes, name: str):
        """Return the maximum or minimum (``name`` is "max" or "min") over ``axes``, which are kept."""
        return getattr(x, name)(axis=axes, keepdims=True)

    def count_classes(self, scores, labels, total, count, weights=None) -> None:
        """Add the weights of right rows to ``total`` and of all rows to ``count``, without reading them back.

        Parameters
        ----------
        scores : array, shape (M, C)
            A row is right where its largest element, of equals the first, is at the label.
        labels : array, shape (M,), of class numbers; or (M, C), where the largest element is at the class
        total, count : array, shape ()
            The state of a metric.
        weights : array, shape (M,), optional
        """
        classes = labels.argmax(axis=1) if labels.ndim == 2 else labels
        self._count((scores.argmax(axis=1) == classes)[:, None], total, count, weights)

    def count_binary(self, scores, labels, total, count, threshold: float, weights=None) -> None:
        """As ``count_classes``, where a score above the threshold means a label of 1, and others one of 0.

        ``scores`` and ``labels`` have one shape; each of their rows counts as the mean of its elements.
        """
        self._count((labels == (scores > threshold)).reshape(len(scores), -1), total, count, weights)

    def _count(self, matches, total, count, weights) -> None:
        right = matches.astype(total.dtype).mean(axis=1)
        total += (right if weights is None else right * weights).sum()
        count += len(right) if weights is None else weights.sum()


class NumpyReductionMixin(ReductionMixin):
    """Sums as products with ones: the BLAS walks memory once, ``sum`` starts anew for every row."""

    def sum(self, x, axes, keepdims=False, scale=None):
        parts = _around(x, axes)
        if parts is None or parts[1] < 8 or x.dtype == np.float16:
            return super().sum(x, axes, keepdims, scale)
        before, count, after = parts
        ones = np.full(count, 1.0 if scale is None else scale, x.dtype)
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keepdims or i not in axes)
        if after == 1:
            return np.dot(x.reshape(before, count), ones).reshape(shape)
        if before == 1:
            return np.dot(ones, x.reshape(count, after)).reshape(shape)
        return np.matmul(ones, x.reshape(before, count, after)).reshape(shape)

    def extreme(self, x, axes, name):
        before, count, after = _around(x, axes) or (1, 1, 1)
        k = 1  # positions taken together, so that rows are long
        while after > 1 and k * after < 256 and count % (2 * k) == 0:
            k *= 2
        if k == 1:
            return super().extreme(x, axes, name)
        reduce = (np.maximum if name == "max" else np.minimum).reduce
        found = reduce(x.reshape(before, count // k, k * after), axis=1)
        found = reduce(found.reshape(before, k, after), axis=1)
        return found.reshape(tuple(1 if i in axes else n for i, n in enumerate(x.shape)))


def _around(x, axes) -> tuple[int, int, int] | None:
    """Return the elements before, in and behind neighbouring ``axes`` of a contiguous array; not of all."""
    if not 0 < len(axes) < x.ndim or axes[-1] - axes[0] != len(axes) - 1 or not x.flags.c_contiguous:
        return None
    before, count = math.prod(x.shape[:axes[0]]), math.prod(x.shape[axes[0]:axes[-1] + 1])
    return before, count, math.prod(x.shape[axes[-1] + 1:])
