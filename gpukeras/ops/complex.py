"""Complex numbers: made of pairs of real ones, and taken apart again.

Layers and losses work on real numbers; complex tensors exist between ``view_as_complex`` and
``view_as_real``, as in rotary embeddings. Sums, products and other analytic functions take them.

Notes
-----
The gradient that travels back is what it would be for the function's derivative as a number: a product's is
``dy * x``, without conjugation, as in JAX. Where it arrives at real tensors it is that of the real parts.
"""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.tensor import Tensor

from .math import _cast, module, pair, unbroadcast

REAL = {"complex64": "float32", "complex128": "float64"}
COMPLEX = {"float64": "complex128"}  # of the others: complex64


def _is_complex(x) -> bool:
    return x.array.dtype.kind == "c"


def _real_of(x, *args):
    return REAL.get(x, x)


def _complex_of(*kinds):
    return COMPLEX.get(dtypes.float_type(dtypes.result_type(*kinds)).name, "complex64")


@op(shape=shapes.broadcast, tensors=2, dtype=_complex_of)
def polar(abs_, angle):
    """Return complex numbers of the given size and direction: ``abs_ * exp(1j * angle)``.

    Parameters
    ----------
    abs_, angle : real tensor
        ``angle`` in radians.

    Returns
    -------
    complex tensor

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.polar([2.0], [0.0]).numpy()
    array([2.+0.j], dtype=complex64)
    """
    xp, r, angles = pair(abs_, angle)
    if r.dtype.kind == "c":
        raise TypeError(f"polar: abs_ and angle must be real, came {abs_.dtype} and {angle.dtype}")
    kind = _complex_of(r.dtype.name)
    direction = xp.exp(angles.astype(kind) * 1j)
    z = r.astype(kind) * direction

    def vjp(dy):
        of_abs, of_angle = real(dy * Tensor(direction)), real(dy * Tensor(z * 1j))
        return _cast(unbroadcast(of_abs, abs_), abs_.dtype), _cast(unbroadcast(of_angle, angle), angle.dtype)

    return z, vjp


def _complex_shape(x):
    if not x or x[-1] not in (2, None):
        raise ValueError(
            f"view_as_complex: the last axis must hold real and imaginary part, came shape {tuple(x)}"
        )
    return tuple(x[:-1])


@op(shape=_complex_shape, dtype=_complex_of)
def view_as_complex(x):
    """Return the complex numbers (...,) whose real and imaginary parts are in the last axis of ``x``.

    Parameters
    ----------
    x : real tensor, shape (..., 2)

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.view_as_complex([[1.0, 2.0]]).numpy()
    array([1.+2.j], dtype=complex64)
    """
    xp, a = module(x)
    _complex_shape(a.shape)
    if a.dtype.kind == "c":
        raise TypeError(f"view_as_complex: x must be real, came {a.dtype}")
    kind = np.dtype(_complex_of(a.dtype.name))
    parts = xp.ascontiguousarray(a.astype(REAL[kind.name], copy=False))
    z = parts.copy().view(kind).reshape(a.shape[:-1])

    def vjp(dy):
        from gpukeras import ops

        return _cast(ops.stack([real(dy), -imag(dy)], axis=-1), x.dtype)

    return z, vjp


@op(shape=lambda x: (*x, 2), dtype=_real_of)
def view_as_real(x):
    """Return real and imaginary parts as a last axis.

    Parameters
    ----------
    x : complex tensor, shape (...)

    Returns
    -------
    tensor, shape (..., 2)

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.view_as_real(ops.polar([2.0], [0.0])).numpy()
    array([[2., 0.]], dtype=float32)
    """
    xp, a = module(x)
    parts = xp.stack([a.real, a.imag if _is_complex(x) else xp.zeros_like(a)], axis=-1)

    def vjp(dy):
        if not _is_complex(x):
            return dy[..., 0]
        from gpukeras import ops

        return view_as_complex(ops.stack([dy[..., 0], -dy[..., 1]], axis=-1))

    return parts, vjp


@op(shape=shapes.same)
def conjugate(x):
    """Return ``x`` with the sign of its imaginary part changed; real tensors as they are."""
    xp, a = module(x)
    return xp.conj(a) if _is_complex(x) else a.copy(), lambda dy: conjugate(dy) if _is_complex(dy) else dy


conj = conjugate


@op(shape=shapes.same, dtype=_real_of)
def real(x):
    """Return the real part of ``x``."""
    _, a = module(x)
    kind = a.dtype
    return a.real.copy(), lambda dy: Tensor(dy.array.astype(kind)) if kind.kind == "c" else dy


@op(shape=shapes.same, dtype=_real_of)
def imag(x):
    """Return the imaginary part of ``x``: zeros where it is real."""
    xp, a = module(x)
    if not _is_complex(x):
        return xp.zeros_like(a), None
    return a.imag.copy(), lambda dy: Tensor(dy.array.astype(a.dtype) * -1j)


@op(shape=shapes.same, dtype=lambda x: dtypes.float_type(np.dtype(_real_of(x))).name)
def angle(x):
    """Return the argument of ``x`` in radians; of real numbers it is 0, with a minus sign pi."""
    xp, a = module(x)
    if not _is_complex(x):
        a = a if dtypes.is_float(a.dtype) else a.astype(dtypes.floatx())
        return xp.where(xp.isnan(a), a, xp.signbit(a).astype(a.dtype) * np.pi), None
    return xp.angle(a), lambda dy: Tensor(dy.array * -1j / a)
