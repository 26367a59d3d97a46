"""Products of matrices and tensors: matmul, dot, tensordot, einsum and their kin.

Factorisations and solvers are in ``decomposition.py``.
"""

from __future__ import annotations

import math

from gpukeras import autograd, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.core import as_tensor
from gpukeras.ops.math import pair, unbroadcast
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def _matmul_dtype(x1, x2):
    """Products of int8 are summed in int32."""
    return "int32" if x1 == x2 == "int8" else dtypes.result_type(x1, x2).name


@op(shape=shapes.matmul, tensors=2, dtype=_matmul_dtype)
def matmul(x1, x2):
    """Return the matrix product ``x1 @ x2``, with leading batch axes broadcast.

    Parameters
    ----------
    x1 : tensor, shape (..., N, K) or (K,)
    x2 : tensor, shape (..., K, M) or (K,)

    Returns
    -------
    tensor, shape (..., N, M); the axis of a vector is left out.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.matmul([[1.0, 2.0]], [[3.0], [4.0]]).numpy()
    array([[11.]], dtype=float32)
    """
    _, a, b = pair(x1, x2)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        shapes.matmul(a.shape, b.shape)  # raises
    if a.dtype == "int8":
        a, b = a.astype("int32"), b.astype("int32")
    backend = x1.backend

    def vjp(dy):
        if _STATE.tapes or a.ndim == 1 or b.ndim == 1:
            return _matmul_vjp(dy, x1, x2)
        d = dy.array
        if b.ndim == 2:  # (..., N, K) @ (K, M): one product over all rows
            dx1 = backend.matmul(d, b.T) if x1.uid else None
            dx2 = None
            if x2.uid:
                dx2 = backend.matmul(a.reshape(-1, a.shape[-1]).T, d.reshape(-1, d.shape[-1]))
            if (dx1 is None or dx1.dtype == x1.dtype) and (dx2 is None or dx2.dtype == x2.dtype):
                return dx1, dx2
            return _matmul_vjp(dy, x1, x2)
        return (
            unbroadcast(Tensor(backend.matmul(d, b.swapaxes(-1, -2))), x1) if x1.uid else None,
            unbroadcast(Tensor(backend.matmul(a.swapaxes(-1, -2), d)), x2) if x2.uid else None,
        )

    return backend.matmul(a, b), vjp


def _matmul_vjp(dy, x1, x2):
    """Gradients of ``x1 @ x2`` made of ops: any ranks, differentiable again."""
    from gpukeras import ops

    a = ops.expand_dims(x1, 0) if x1.ndim == 1 else x1
    b = ops.expand_dims(x2, -1) if x2.ndim == 1 else x2
    if x1.ndim == 1:
        dy = ops.expand_dims(dy, -2 if x2.ndim > 1 else 0)
    if x2.ndim == 1:
        dy = ops.expand_dims(dy, -1)
    dx1 = dx2 = None
    if x1.uid:
        dx1 = matmul(dy, ops.swapaxes(b, -1, -2))
        dx1 = ops.reshape(unbroadcast(dx1, a), x1.shape)
    if x2.uid:
        dx2 = matmul(ops.swapaxes(a, -1, -2), dy)
        dx2 = ops.reshape(unbroadcast(dx2, b), x2.shape)
    return dx1, dx2
