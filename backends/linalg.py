"""Matrix products: the one road to BLAS and cuBLAS."""

from __future__ import annotations

import math

import numpy as np

from . import threads
from .device import Device

MULTIPLY_SECONDS = 2e-11  # of one float32 multiplication and addition in a large product, on one core


class LinalgMixin(Device):
    """Generic matrix products over ``xp``."""

    def matmul(self, x, y):
        """Return ``x @ y`` of two arrays of one dtype."""
        return self.xp.matmul(x, y)


class NumpyLinalgMixin(LinalgMixin):
    """float16 goes through float32: NumPy has no BLAS for it. Large products are shared by the threads."""

    def matmul(self, x, y):
        if x.dtype == np.float16:
            return self.matmul(x.astype(np.float32), y.astype(np.float32)).astype(np.float16)
        if x.ndim < 2 or y.ndim < 2 or x.dtype.kind != "f" or not threads.pool_owns():
            return np.matmul(x, y)
        work = math.prod(x.shape) * y.shape[-1] * (1 if y.ndim == 2 else _repeats(x, y))
        if work * MULTIPLY_SECONDS < threads.WORTH or x.dtype != y.dtype:
            return np.matmul(x, y)
        return self._matmul_in_parts(x, y, work)

    def _matmul_in_parts(self, x, y, work):
        lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
        out = self.empty((*lead, x.shape[-2], y.shape[-1]), x.dtype)
        if lead and lead[0] > 1:
            def part(start, stop):
                a, b = (v[start:stop] if v.ndim == out.ndim and len(v) > 1 else v for v in (x, y))
                np.matmul(a, b, out=out[start:stop])
        elif out.shape[-2] >= out.shape[-1]:
            def part(start, stop):
                np.matmul(x[..., start:stop, :], y, out=out[..., start:stop, :])
        else:
            def part(start, stop):
                np.matmul(x, y[..., start:stop], out=out[..., start:stop])
        count = lead[0] if lead and lead[0] > 1 else max(out.shape[-2:])
        share_product(part, count, work, x.dtype, 1 if lead and lead[0] > 1 else 16)
        return out


def share_product(part, count: int, work: int, dtype, block: int = 16) -> None:
    """Call ``part(start, stop)`` for the rows or columns of a product of ``work`` multiplications.

    Where the pool does not have the cores there is one part: the BLAS may have threads of its own.
    """
    if threads.pool_owns():
        threads.share(part, count, work * MULTIPLY_SECONDS * dtype.itemsize / 4, block)
    else:
        part(0, count)


def _repeats(x, y) -> int:
    """Return how often each matrix of ``x`` is used, broadcast against the leading axes of ``y``."""
    lead = np.broadcast_shapes(x.shape[:-2], y.shape[:-2])
    return math.prod(lead) // max(1, math.prod(x.shape[:-2]))
