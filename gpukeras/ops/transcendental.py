"""Exponentials, logarithms, trigonometric, hyperbolic and error functions."""

from __future__ import annotations

import math

from gpukeras import autograd, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.math import both, divide_no_nan, float_pair, floating, rsqrt, square

_STATE = autograd.STATE


# ---- exponentials and logarithms ------------------------------------------------------------------
@op(shape=shapes.same, dtype="float")
def exp(x):
    """Return e to the power ``x``."""
    xp, a = floating(x)
    y = xp.exp(a)
    return y, lambda dy: dy * exp(x) if _STATE.tapes else dy.array * y


@op(shape=shapes.same, dtype="float")
def exp2(x):
    """Return 2 to the power ``x``."""
    xp, a = floating(x)
    return xp.exp2(a), lambda dy: dy * exp2(x) * math.log(2)


@op(shape=shapes.same, dtype="float")
def expm1(x):
    """Return ``exp(x) - 1``, exact near 0."""
    xp, a = floating(x)
    return xp.expm1(a), lambda dy: dy * exp(x)


@op(shape=shapes.same, dtype="float")
def log(x):
    """Return the natural logarithm of ``x``."""
    xp, a = floating(x)
    return xp.log(a), lambda dy: dy / x if _STATE.tapes else dy.array / a


@op(shape=shapes.same, dtype="float")
def log1p(x):
    """Return ``log(1 + x)``, exact near 0."""
    xp, a = floating(x)
    return xp.log1p(a), lambda dy: dy / (x + 1)


@op(shape=shapes.same, dtype="float")
def log2(x):
    """Return the logarithm of ``x`` to base 2."""
    xp, a = floating(x)
    return xp.log2(a), lambda dy: dy / (x * math.log(2))


@op(shape=shapes.same, dtype="float")
def log10(x):
    """Return the logarithm of ``x`` to base 10."""
    xp, a = floating(x)
    return xp.log10(a), lambda dy: dy / (x * math.log(10))


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def logaddexp(x1, x2):
    """Return ``log(exp(x1) + exp(x2))`` without overflow."""
    xp, a, b = float_pair(x1, x2)
    y = xp.logaddexp(a, b)
    return y, both(
        x1, x2,
        lambda dy: dy * exp(x1 - logaddexp(x1, x2)), lambda dy: dy * exp(x2 - logaddexp(x1, x2)),
    )


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def logaddexp2(x1, x2):
    """Return ``log2(2**x1 + 2**x2)`` without overflow."""
    xp, a, b = float_pair(x1, x2)
    return xp.logaddexp2(a, b), both(
        x1, x2,
        lambda dy: dy * exp2(x1 - logaddexp2(x1, x2)), lambda dy: dy * exp2(x2 - logaddexp2(x1, x2)),
    )


# ---- trigonometry ---------------------------------------------------------------------------------
@op(shape=shapes.same, dtype="float")
def sin(x):
    """Return the sine of ``x`` (radians)."""
    xp, a = floating(x)
    return xp.sin(a), lambda dy: dy * cos(x)


@op(shape=shapes.same, dtype="float")
def cos(x):
    """Return the cosine of ``x`` (radians)."""
    xp, a = floating(x)
    return xp.cos(a), lambda dy: -dy * sin(x)


@op(shape=shapes.same, dtype="float")
def tan(x):
    """Return the tangent of ``x`` (radians)."""
    xp, a = floating(x)
    return xp.tan(a), lambda dy: dy * (square(tan(x)) + 1)


@op(shape=shapes.same, dtype="float")
def arcsin(x):
    """Return the angle in [-pi/2, pi/2] whose sine is ``x``."""
    xp, a = floating(x)
    return xp.arcsin(a), lambda dy: dy * rsqrt(1 - square(x))


@op(shape=shapes.same, dtype="float")
def arccos(x):
    """Return the angle in [0, pi] whose cosine is ``x``."""
    xp, a = floating(x)
    return xp.arccos(a), lambda dy: -dy * rsqrt(1 - square(x))


@op(shape=shapes.same, dtype="float")
def arctan(x):
    """Return the angle in (-pi/2, pi/2) whose tangent is ``x``."""
    xp, a = floating(x)
    return xp.arctan(a), lambda dy: dy / (square(x) + 1)


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def arctan2(x1, x2):
    """Return the angle in (-pi, pi] of the point with ordinate ``x1`` and abscissa ``x2``."""
    xp, a, b = float_pair(x1, x2)
    return xp.arctan2(a, b), both(
        x1, x2,
        lambda dy: dy * divide_no_nan(x2, square(x1) + square(x2)),
        lambda dy: -dy * divide_no_nan(x1, square(x1) + square(x2)),
    )


@op(shape=shapes.same, dtype="float")
def sinc(x):
    """Return ``sin(pi x) / (pi x)``, and 1 at 0."""
    xp, a = floating(x)
    return xp.sinc(a), lambda dy: dy * divide_no_nan(cos(x * math.pi) - sinc(x), x)


# ---- hyperbolic functions -------------------------------------------------------------------------
@op(shape=shapes.same, dtype="float")
def sinh(x):
    """Return the hyperbolic sine of ``x``."""
    xp, a = floating(x)
    return xp.sinh(a), lambda dy: dy * cosh(x)


@op(shape=shapes.same, dtype="float")
def cosh(x):
    """Return the hyperbolic cosine of ``x``."""
    xp, a = floating(x)
    return xp.cosh(a), lambda dy: dy * sinh(x)


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def tanh(x):
    """Return the hyperbolic tangent of ``x``; its gradient is ``1 - tanh(x)²``."""
    xp, a = floating(x)
    y = xp.tanh(a)

    def vjp(dy):
        if _STATE.tapes:
            return dy * (1 - square(tanh(x)))
        dx = dy.backend.fused_activation_backward("tanh", dy.array, y)
        return (1 - y * y) * dy.array if dx is None else dx

    return y, vjp


@op(shape=shapes.same, dtype="float")
def arcsinh(x):
    """Return the inverse hyperbolic sine of ``x``."""
    xp, a = floating(x)
    return xp.arcsinh(a), lambda dy: dy * rsqrt(square(x) + 1)


@op(shape=shapes.same, dtype="float")
def arccosh(x):
    """Return the inverse hyperbolic cosine of ``x`` (at least 1)."""
    xp, a = floating(x)
    return xp.arccosh(a), lambda dy: dy * rsqrt(square(x) - 1)


@op(shape=shapes.same, dtype="float")
def arctanh(x):
    """Return the inverse hyperbolic tangent of ``x`` (between -1 and 1)."""
    xp, a = floating(x)
    return xp.arctanh(a), lambda dy: dy / (1 - square(x))


# ---- error functions and friends ------------------------------------------------------------------
@op(shape=shapes.same, dtype="float")
def erf(x):
    """Return the error function, ``2/sqrt(pi)`` times the integral of ``exp(-t²)`` from 0 to ``x``."""
    _, a = floating(x)
    return x.backend.erf(a), lambda dy: dy * exp(-square(x)) * (2 / math.sqrt(math.pi))


@op(shape=shapes.same, dtype="float")
def erfc(x):
    """Return ``1 - erf(x)``, exact where that is tiny."""
    _, a = floating(x)
    return x.backend.erfc(a), lambda dy: dy * exp(-square(x)) * (-2 / math.sqrt(math.pi))


@op(shape=shapes.same, dtype="float")
def erfinv(x):
    """Return the inverse of the error function: ``erf(erfinv(x)) = x`` for ``x`` in (-1, 1)."""
    _, a = floating(x)
    return x.backend.erfinv(a), lambda dy: dy * exp(square(erfinv(x))) * (math.sqrt(math.pi) / 2)


@op(shape=shapes.same, dtype="float")
def i0(x):
    """Return the modified Bessel function of order 0."""
    xp, a = floating(x)
    return xp.i0(a).astype(a.dtype, copy=False), lambda dy: dy * _i1(x)


@op(shape=shapes.same, dtype="float")
def _i1(x):
    """Return the modified Bessel function of order 1, the derivative of the one of order 0.

    Notes
    -----
    The mean of ``cos(t) exp(x cos(t))`` over midpoints of equal parts of ``[0, pi]``. What is left out is of
    the order of the Bessel function of order ``2 * parts``: nothing, as long as the result is finite.
    """
    xp, a = floating(x)
    kind, a = a.dtype, a.astype(dtypes.wide(a.dtype), copy=False)
    parts = 128 if kind == "float64" else 48
    y = xp.zeros_like(a)
    for cosine in (math.cos(math.pi * (k + 0.5) / parts) for k in range(parts // 2)):
        y += cosine * xp.sinh(cosine * a)  # this midpoint and the one across
    y *= 2.0 / parts
    return y.astype(kind, copy=False), lambda dy: dy * (i0(x) - _i1_by(x))


def _i1_by(x):
    """Return ``i1(x) / x``, which is 1/2 at 0."""
    from gpukeras import ops

    return ops.where(ops.equal(x, 0), 0.5, divide_no_nan(_i1(x), x))
