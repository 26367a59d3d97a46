"""Reductions: one contract, with the matrix-product trick on the CPU."""

from __future__ import annotations

import math

import numpy as np

from .device import Device


class ReductionMixin(Device):
    """Generic reductions over ``xp``."""

    def sum(self, x, axes, keepdims=False, scale=None):
        """Return the sum of a float array over sorted ``axes``, times ``scale``; float16 in float32."""
        if not axes:
            return x * (1 if scale is None else scale)
        if x.dtype == np.float16:
            y = x.sum(axis=axes, keepdims=keepdims, dtype=np.float32)
            return (y if scale is None else y * scale).astype(np.float16)
        y = x.sum(axis=axes, keepdims=keepdims)
        return y if scale is None else y * scale


class NumpyReductionMixin(ReductionMixin):
    """Sums over leading axes as ``ones @ x``: BLAS walks memory once, ``sum`` starts anew for every row."""

    def sum(self, x, axes, keepdims=False, scale=None):
        count = len(axes)
        if 0 < count < x.ndim and axes[-1] == count - 1 and x.dtype != np.float16 and x.flags.c_contiguous:
            rows = math.prod(x.shape[:count])
            if rows >= 16:
                y = np.full(rows, 1.0 if scale is None else scale, x.dtype) @ x.reshape(rows, -1)
                return y.reshape((1,) * count + x.shape[count:] if keepdims else x.shape[count:])
        return super().sum(x, axes, keepdims, scale)
