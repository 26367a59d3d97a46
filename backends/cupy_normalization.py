"""Batch and layer normalisation on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import normalization

from .cupy_rows import CupyRowsMixin
from .cupy_wide import wide
from .normalization import NormalizationMixin


class CupyNormalizationMixin(CupyRowsMixin, NormalizationMixin):
    """Kernels for float32 and the halves, whose statistics are float32; other types go the generic way.

    For the gradient the input itself is kept, and statistics; no normalised copy of it.
    """

    normalizes_half = True

    def batch_norm_forward(self, x, gamma, beta, epsilon, weights=None, guard=0.0, moving=None):
        args = gamma, beta, epsilon, weights, guard
        if not normalization.takes(x, gamma, beta, weights):
            return super().batch_norm_forward(_wide(x), *args, moving)
        if moving is None or moving[0].dtype == moving[1].dtype == "float32":
            return normalization.batch_norm_forward(x, *args, moving)
        y, mean, variance, cache = normalization.batch_norm_forward(x, *args)
        self._move(moving, mean, variance)
        return y, mean, variance, cache

    def batch_norm_backward(self, dy, cache, dmean=None, dvar=None, need_dx=True):
        if not isinstance(cache, normalization.Batch):
            return super().batch_norm_backward(_wide(dy), cache, dmean, dvar, need_dx)
        return normalization.batch_norm_backward(dy, cache, dmean, dvar, need_dx)

    def layer_norm_forward(self, x, gamma, beta, epsilon, center=True):
        if not normalization.takes_rows(x, gamma, beta):
            return super().layer_norm_forward(_wide(x), gamma, beta, epsilon, center)
        return normalization.layer_norm_forward(x, gamma, beta, epsilon, center)

    def layer_norm_backward(self, dy, cache, need_dx=True):
        if not isinstance(cache, normalization.Layer):
            return super().layer_norm_backward(_wide(dy), cache, need_dx)
        return normalization.layer_norm_backward(dy, cache, need_dx)

    def affine_columns(self, x, scale, offset=None):
        if not normalization.takes(x, scale, offset):
            return wide(super().affine_columns, x, scale, offset)
        return normalization.affine_columns(x, scale, offset)


def _wide(x):
    """Return what no kernel takes as the generic version wants it."""
    return x.astype("float32") if x.dtype.name in ("float16", "bfloat16") else x
