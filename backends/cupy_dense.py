"""Matrix products on a GPU by our own kernels or cuBLAS, both legal while a graph is captured."""

from __future__ import annotations

import math

from gpukeras.kernels import gemm

from .cupy_wide import wide
from .dense import DenseMixin


class CupyDenseMixin(DenseMixin):
    """Kernels for float32 and the halves; other types go the generic way."""

    def dense_forward(self, x, kernel, bias, activation=None):
        if not gemm.takes(x, kernel, bias):
            return wide(super().dense_forward, x, kernel, bias, activation)
        return gemm.multiply(x, kernel, bias=bias, activation=activation)

    def dense_backward(self, dy, x, kernel, y, activation, need_dx, need_dkernel, need_dbias, out=None):
        if not gemm.takes(dy, x, kernel, y if activation else None):
            return wide(
                super().dense_backward, dy, x, kernel, y, activation, need_dx, need_dkernel, need_dbias,
                None if x.dtype.kind == "V" else out,
            )
        dz, sloped = dy, {"y": y, "activation": activation} if activation else {}
        both = need_dx and need_dkernel
        if sloped and (not need_dkernel or both and gemm.library_does(1, *kernel.shape, len(x), x.dtype)):
            dz, sloped = self.activation_backward(dy, y, activation), {}
        dx = gemm.multiply(dz, kernel, "nt", **sloped) if need_dx else None
        dkernel = dbias = None
        if need_dkernel:
            found = gemm.multiply(x, dz, "tn", sums=need_dbias, out=_fitting(out, x), **sloped)
            dkernel, dbias = found if need_dbias else (found, None)
        elif need_dbias:
            dbias = self.column_sum(dz)
        return dx, dkernel, dbias

    def dense_product(self, x, kernel):
        return gemm.multiply(x, kernel) if gemm.takes(x, kernel) else wide(super().dense_product, x, kernel)

    def dense_gradient(self, dz, kernel):
        if not gemm.takes(dz, kernel):
            return wide(super().dense_gradient, dz, kernel)
        return gemm.multiply(dz, kernel, "nt")

    def dense_kernel_gradient(self, x, dz, out=None):
        if not gemm.takes(x, dz) or (out is not None and _fitting(out, x) is None):
            return wide(super().dense_kernel_gradient, x, dz, out=out)
        return gemm.multiply(x, dz, "tn", out=out)

    def matmul(self, x, y):
        if x.ndim < 2 or y.ndim < 2 or not gemm.takes(x, y) or not _batches_fit(x, y):
            return wide(super().matmul, x, y)
        (left, turned), (right, turned_right) = _in_memory(x), _in_memory(y)
        if turned and turned_right:  # there is no such kernel
            left, turned = self.xp.ascontiguousarray(x), False
        lead, rows = max(x.shape[:-2], y.shape[:-2], key=len), x.shape[-2]
        if y.ndim == 2 and not turned:
            left = left.reshape(-1, left.shape[-1])  # one product of many rows
        else:
            left, right = _one_axis_of_matrices(left), _one_axis_of_matrices(right)
        found = gemm.multiply(left, right, ("t" if turned else "n") + ("t" if turned_right else "n"))
        return found.reshape(*lead, rows, y.shape[-1])


def _fitting(out, like):
    """Return ``out`` if a product can be written there, else ``None``."""
    return out if out is not None and out.dtype == like.dtype and out.flags.c_contiguous else None


def _batches_fit(x, y) -> bool:
    """Tell whether axes of matrices are equal or missing on one side, and few enough for a grid."""
    one, other = x.shape[:-2], y.shape[:-2]
    if one and other and one != other:
        return False
    return 0 < math.prod(one or other) < gemm.MOST_MATRICES and min(x.shape[-1], x.size, y.size) > 0


def _in_memory(x):
    """Return ``x`` as it lies in memory, and whether its matrices are turned there."""
    if x.flags.c_contiguous:
        return x, False
    if x.swapaxes(-1, -2).flags.c_contiguous:
        return x.swapaxes(-1, -2), True
    return x.copy(order="C"), False


def _one_axis_of_matrices(x):
    return x if x.ndim == 2 else x.reshape(-1, *x.shape[-2:])
