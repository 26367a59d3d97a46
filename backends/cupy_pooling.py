"""Pooling on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import pooling

from .cupy_wide import wide
from .pooling import PoolingMixin


class CupyPoolingMixin(PoolingMixin):
    """Kernels for float32 and the halves; other types go the generic way."""

    def max_pool_forward(self, x, windows):
        if not pooling.takes(x.dtype, x.shape, windows):
            return wide(super().max_pool_forward, x, windows)
        return pooling.max_pool_forward(x, windows, training=False)[0]

    def max_pool_training(self, x, windows):
        if not pooling.takes(x.dtype, x.shape, windows):
            return wide(super().max_pool_training, x, windows)
        return pooling.max_pool_forward(x, windows, training=True)

    def max_pool_backward(self, dy, where, windows):
        if not pooling.takes(dy.dtype, dy.shape, windows):
            return wide(super().max_pool_backward, dy, where, windows)
        return pooling.max_pool_backward(dy, where, windows)

    def max_pool_select(self, v, where, windows):
        if not pooling.takes(v.dtype, v.shape, windows):
            return wide(super().max_pool_select, v, where, windows)
        return pooling.max_pool_select(v, where, windows)

    def average_pool_forward(self, x, windows):
        if not pooling.takes(x.dtype, x.shape, windows):
            return wide(super().average_pool_forward, x, windows)
        return pooling.average_pool_forward(x, windows)

    def average_pool_backward(self, dy, windows):
        if not pooling.takes(dy.dtype, dy.shape, windows):
            return wide(super().average_pool_backward, dy, windows)
        return pooling.average_pool_backward(dy, windows)
