"""Elementwise arithmetic, comparison and mathematical functions."""

from __future__ import annotations

import numpy as np

from gpukeras import backends, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op


def _pair(x1, x2):
    """Return the module and two arrays of one dtype for an elementwise op."""
    a, b = x1.array, x2.array
    if a.dtype is not b.dtype and a.dtype != b.dtype:
        kind = dtypes.result_type(a.dtype, b.dtype)
        a, b = a.astype(kind, copy=False), b.astype(kind, copy=False)
    return backends.backend_of(b if isinstance(a, np.generic) else a).xp, a, b


def unbroadcast(dy, like):
    """Sum ``dy`` over the axes along which ``like`` was broadcast, and give it ``like``'s dtype."""
    from gpukeras import ops

    shape = like.shape
    if dy.shape != shape:
        extra = dy.ndim - len(shape)
        axes = tuple(range(extra)) + tuple(
            i + extra for i, n in enumerate(shape) if n == 1 and dy.shape[i + extra] != 1
        )
        dy = ops.reshape(ops.sum(dy, axis=axes), shape)
    return dy if dy.dtype == like.dtype else ops.cast(dy, like.dtype)


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def add(x1, x2):
    """Return ``x1 + x2`` with broadcasting."""
    xp, a, b = _pair(x1, x2)
    return xp.add(a, b), lambda dy: (unbroadcast(dy, x1), unbroadcast(dy, x2))


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def multiply(x1, x2):
    """Return ``x1 * x2`` with broadcasting."""
    xp, a, b = _pair(x1, x2)
    return xp.multiply(a, b), lambda dy: (unbroadcast(dy * x2, x1), unbroadcast(dy * x1, x2))
