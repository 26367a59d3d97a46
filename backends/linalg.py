"""Matrix products: the one road to BLAS and cuBLAS."""

from __future__ import annotations

import numpy as np

from .device import Device


class LinalgMixin(Device):
    """Generic matrix products over ``xp``."""

    def matmul(self, x, y):
        """Return ``x @ y`` of two arrays of one dtype."""
        return self.xp.matmul(x, y)


class NumpyLinalgMixin(LinalgMixin):
    """float16 goes through float32: NumPy has no BLAS for it."""

    def matmul(self, x, y):
        if x.dtype == np.float16:
            return np.matmul(x.astype(np.float32), y.astype(np.float32)).astype(np.float16)
        return np.matmul(x, y)
