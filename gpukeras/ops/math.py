"""Elementwise arithmetic: sums, products, powers, remainders, rounding, extremes.

Exponentials and trigonometry are in ``transcendental.py``, comparisons and logic in ``comparison.py``.
"""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, backends, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


# ---- helpers of elementwise ops -------------------------------------------------------------------
def pair(x1, x2):
    """Return the array module and two arrays of one dtype for an elementwise op."""
    a, b = x1.array, x2.array
    if a.dtype is not b.dtype and a.dtype != b.dtype:
        kind = dtypes.result_type(a.dtype, b.dtype)
        a, b = a.astype(kind, copy=False), b.astype(kind, copy=False)
    return backends.backend_of(b if isinstance(a, np.generic) else a).xp, a, b


def float_pair(x1, x2):
    """Like ``pair``, made floating."""
    xp, a, b = pair(x1, x2)
    if not dtypes.is_float(a.dtype) and a.dtype.kind != "c":
        a, b = a.astype(dtypes.floatx()), b.astype(dtypes.floatx())
    return xp, a, b


def floating(x):
    """Return the array module and the array of ``x``, made floating."""
    a = x.array
    if not dtypes.is_float(a.dtype) and a.dtype.kind != "c":
        a = a.astype(dtypes.floatx())
    return backends.backend_of(a).xp, a


def module(x):
    """Return the array module of ``x`` and its array as it is."""
    return backends.backend_of(x.array).xp, x.array


def unbroadcast(dy, like):
    """Sum ``dy`` over the axes along which ``like`` was broadcast, and give it ``like``'s dtype."""
    a, b = dy.array, like.array
    if a.shape == b.shape:
        return dy if a.dtype == b.dtype else _cast(dy, b.dtype)
    extra = a.ndim - b.ndim
    axes = tuple(range(extra)) + tuple(
        i + extra for i, n in enumerate(b.shape) if n == 1 and a.shape[i + extra] != 1
    )
    if not _STATE.tapes and a.dtype.kind != "V":
        total = dy.backend.sum(a, axes).reshape(b.shape)
        return Tensor(total if total.dtype == b.dtype else total.astype(b.dtype))
    from gpukeras import ops

    return _cast(ops.reshape(ops.sum(dy, axis=axes), b.shape), b.dtype)


def _cast(dy, dtype):
    if dy.dtype == dtype:
        return dy
    from gpukeras import ops

    return ops.cast(dy, dtype)


def both(x1, x2, first, second):
    """Return the vjp of a binary op, given dy -> (gradient before unbroadcasting) for each operand.

    Operands that no tape knows (numbers, data) cost nothing.
    """

    def vjp(dy):
        return (
            unbroadcast(first(dy), x1) if x1.uid else None,
            unbroadcast(second(dy), x2) if x2.uid else None,
        )

    return vjp


def widen_bool(*kinds, **settings):
    """Dtype rule: the common type, with ``bool`` counted as ``int32``."""
    known = (k for k in kinds if isinstance(k, str) and (k in dtypes._ORDER or k.startswith("complex")))
    kind = dtypes.result_type(*known).name
    return "int32" if kind == "bool" else kind


def unbool(xp, *arrays):
    """Return ``arrays`` with bools made int32 (where NumPy would refuse or give int8)."""
    return [a.astype("int32") if a.dtype.kind == "b" else a for a in arrays]


# ---- sums and products ----------------------------------------------------------------------------
@op(shape=shapes.broadcast, tensors=2, scalars=True, bfloat16="kernels")
def add(x1, x2):
    """Return ``x1 + x2`` with broadcasting.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.add([1.0, 2.0], 3.0).numpy()
    array([4., 5.], dtype=float32)
    """
    xp, a, b = pair(x1, x2)

    def vjp(dy):
        return unbroadcast(dy, x1) if x1.uid else None, unbroadcast(dy, x2) if x2.uid else None

    if a.shape == b.shape and a.size > 1 and a.dtype == b.dtype:
        return x1.backend.plus(a, b), vjp
    return xp.add(a, b), vjp


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=widen_bool, bfloat16="kernels")
def subtract(x1, x2):
    """Return ``x1 - x2`` with broadcasting."""
    xp, a, b = pair(x1, x2)
    a, b = (a, b) if a.dtype.kind != "b" else unbool(xp, a, b)

    def vjp(dy):
        return unbroadcast(dy, x1) if x1.uid else None, unbroadcast(-dy, x2) if x2.uid else None

    return xp.subtract(a, b), vjp


@op(shape=shapes.broadcast, tensors=2, scalars=True, bfloat16="kernels")
def multiply(x1, x2):
    """Return ``x1 * x2`` with broadcasting."""
    xp, a, b = pair(x1, x2)

    def vjp(dy):
        if _STATE.tapes:
            dx1, dx2 = dy * x2 if x1.uid else None, dy * x1 if x2.uid else None
        else:
            dx1 = Tensor(dy.array * b) if x1.uid else None
            dx2 = Tensor(dy.array * a) if x2.uid else None
        return (
            None if dx1 is None else unbroadcast(dx1, x1),
            None if dx2 is None else unbroadcast(dx2, x2),
        )

    return xp.multiply(a, b), vjp


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float", bfloat16="kernels")
def divide(x1, x2):
    """Return ``x1 / x2`` with broadcasting; integers give floats."""
    xp, a, b = float_pair(x1, x2)
    return xp.divide(a, b), both(x1, x2, lambda dy: dy / x2, lambda dy: -(dy / x2) * (x1 / x2))


true_divide = divide


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def divide_no_nan(x1, x2):
    """Return ``x1 / x2``, and 0 where ``x2`` is 0."""
    xp, a, b = float_pair(x1, x2)
    zero = b == 0
    y = xp.where(zero, xp.zeros_like(a), a / xp.where(zero, xp.ones_like(b), b))
    return y, both(
        x1, x2, lambda dy: divide_no_nan(dy, x2), lambda dy: -divide_no_nan(dy, x2) * divide_no_nan(x1, x2)
    )


@op(shape=shapes.same, bfloat16="kernels")
def negative(x):
    """Return ``-x``."""
    return -x.array, lambda dy: negative(dy)


@op(shape=shapes.same, bfloat16="as is")
def positive(x):
    """Return ``+x``: a copy."""
    return x.array.copy(), lambda dy: dy


@op(shape=shapes.same, dtype=widen_bool)
def square(x):
    """Return ``x * x``."""
    _, a = module(x)
    (a,) = unbool(None, a)

    def vjp(dy):
        if _STATE.tapes:
            return dy * x * 2
        dx = dy.array * a
        dx *= 2
        return dx

    return a * a, vjp


@op(shape=shapes.same, dtype="float")
def reciprocal(x):
    """Return ``1 / x``."""
    _, a = floating(x)
    return 1 / a, lambda dy: -dy / square(x)


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=widen_bool)
def power(x1, x2):
    """Return ``x1`` to the power ``x2``, elementwise.

    Notes
    -----
    The gradient for the exponent is 0 where the base is not positive; for exponent 0 that of the base is 0.
    """
    xp, a, b = pair(x1, x2)
    if isinstance(b, np.generic) and not isinstance(a, np.generic):
        exponent = b.item()
        y = _power_of_number(xp, a, exponent)
        return (xp.power(*unbool(xp, a, b)) if y is None else y), lambda dy: (
            (dy * (power(x1, exponent - 1) * exponent) if exponent else zeros_as(dy)), None
        )
    a, b = unbool(xp, a, b)

    def first(dy):
        none = Tensor((b == 0).astype(b.dtype))  # an exponent 0 would raise 0 to -1
        return dy * x2 * power(x1, x2 - 1 + none)

    def second(dy):
        from gpukeras import ops

        hole = Tensor((a <= 0).astype(a.dtype))
        return dy * power(x1, x2) * ops.log(ops.maximum(x1, hole)) * ops.subtract(1.0, hole)

    return xp.power(a, b), both(x1, x2, first, second)


def zeros_as(dy):
    """Return zeros like ``dy``, unconnected to it."""
    return Tensor(dy.backend.xp.zeros_like(dy.array))


def _power_of_number(xp, a, exponent):
    """Return ``a ** exponent`` the quick way (general powers cost 20 products), or ``None``."""
    if not dtypes.is_float(a.dtype):
        return None
    if exponent == 2:
        return a * a
    if exponent == 1:
        return a.copy()
    if exponent == 0.5:
        return xp.sqrt(a)
    if exponent == 3:
        return a * a * a
    if exponent == -1:
        return 1 / a
    return None


@op(shape=shapes.same, dtype="float")
def sqrt(x):
    """Return the square root of ``x``."""
    xp, a = floating(x)
    y = xp.sqrt(a)
    return y, lambda dy: dy * 0.5 / sqrt(x) if _STATE.tapes else dy.array * 0.5 / y


@op(shape=shapes.same, dtype="float")
def rsqrt(x):
    """Return ``1 / sqrt(x)``."""
    xp, a = floating(x)
    y = 1 / xp.sqrt(a)
    return y, lambda dy: dy * -0.5 * rsqrt(x) / x if _STATE.tapes else dy.array * (y * y * y * -0.5)


@op(shape=shapes.same, dtype="float")
def cbrt(x):
    """Return the real cube root of ``x``."""
    xp, a = floating(x)
    return xp.cbrt(a), lambda dy: dy / (square(cbrt(x)) * 3)


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def hypot(x1, x2):
    """Return ``sqrt(x1² + x2²)`` without overflow in between; the gradient at (0, 0) is 0."""
    xp, a, b = float_pair(x1, x2)
    return xp.hypot(a, b), both(
        x1, x2, lambda dy: dy * divide_no_nan(x1, hypot(x1, x2)), lambda dy: dy * divide_no_nan(x2, hypot(x1,
        x2))
    )


# ---- sign and size --------------------------------------------------------------------------------
@op(shape=shapes.same, dtype=lambda x: {"complex64": "float32", "complex128": "float64"}.get(x, x))
def absolute(x):
    """Return ``|x|``; the gradient at 0 is 0."""
    xp, a = module(x)
    if a.dtype.kind == "c":
        y = xp.abs(a)
        return y, lambda dy: dy * Tensor(xp.conj(a) / xp.maximum(y, dtypes.finfo(y.dtype).tiny))
    return xp.abs(a), lambda dy: dy * Tensor(xp.sign(a))


abs = absolute


@op(shape=shapes.same, dtype="float")
def fabs(x):
    """Return ``|x|`` as a float."""
    xp, a = floating(x)
    return xp.abs(a), lambda dy: dy * Tensor(xp.sign(a))


@op(shape=shapes.same, dtype=widen_bool)
def sign(x):
    """Return -1, 0 or 1 by the sign of ``x``. Has no gradient."""
    xp, a = module(x)
    return xp.sign(*unbool(xp, a)), None


@op(shape=shapes.same, dtype="bool")
def signbit(x):
    """Tell where the sign bit is set (also for -0.0)."""
    xp, a = module(x)
    return (xp.signbit(a) if dtypes.is_float(a.dtype) else a < 0), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def heaviside(x1, x2):
    """Return 0 where ``x1 < 0``, 1 where ``x1 > 0`` and ``x2`` where ``x1`` is 0."""
    xp, a, b = float_pair(x1, x2)
    at_zero = Tensor((a == 0).astype(a.dtype))
    y = xp.where(a == 0, b, (a > 0).astype(a.dtype))
    return y, both(x1, x2, lambda dy: dy * 0, lambda dy: dy * at_zero)


# ---- rounding and remainders ----------------------------------------------------------------------
@op(shape=shapes.same, dtype="float")
def floor(x):
    """Return the largest integer not above ``x``, as a float. Has no gradient."""
    xp, a = floating(x)
    return xp.floor(a), None


@op(shape=shapes.same, dtype="float")
def ceil(x):
    """Return the smallest integer not below ``x``, as a float. Has no gradient."""
    xp, a = floating(x)
    return xp.ceil(a), None


@op(shape=shapes.same)
def trunc(x):
    """Return ``x`` without its fraction. Has no gradient."""
    xp, a = module(x)
    return (xp.trunc(a) if dtypes.is_float(a.dtype) else a.copy()), None


@op(shape=shapes.same, dtype=lambda x, decimals=0: "int32" if x == "bool" else x)
def round(x, decimals=0):
    """Return ``x`` rounded to ``decimals`` places, halves to even. Has no gradient."""
    xp, a = module(x)
    return xp.round(*unbool(xp, a), decimals), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=widen_bool)
def floor_divide(x1, x2):
    """Return ``floor(x1 / x2)``. Has no gradient."""
    xp, a, b = pair(x1, x2)
    return xp.floor_divide(*unbool(xp, a, b)), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=widen_bool)
def mod(x1, x2):
    """Return the remainder of ``x1 / x2``, with the sign of ``x2``."""
    xp, a, b = pair(x1, x2)
    a, b = unbool(xp, a, b)
    return xp.remainder(a, b), both(x1, x2, lambda dy: dy, lambda dy: -dy * floor_divide(x1, x2))


remainder = mod


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=widen_bool)
def fmod(x1, x2):
    """Return the remainder of ``x1 / x2``, with the sign of ``x1``."""
    xp, a, b = pair(x1, x2)
    a, b = unbool(xp, a, b)
    return xp.fmod(a, b), both(x1, x2, lambda dy: dy, lambda dy: -dy * trunc(x1 / x2))


def divmod(x1, x2):
    """Return the pair ``(floor_divide(x1, x2), mod(x1, x2))``."""
    return floor_divide(x1, x2), mod(x1, x2)


# ---- extremes ------------------------------------------------------------------------------------
def _choose(x1, x2, xp, a, b, wins):
    """Return the vjp of maximum or minimum: ties give half to each operand."""

    def share(won, tied_or_won):
        def part(dy):
            weight = xp.asarray(won, a.dtype) + tied_or_won
            weight *= 0.5
            return dy * Tensor(weight)

        return part

    return both(x1, x2, share(wins(a, b), ~wins(b, a)), share(wins(b, a), ~wins(a, b)))


@op(shape=shapes.broadcast, tensors=2, scalars=True, bfloat16="kernels")
def maximum(x1, x2):
    """Return the larger of ``x1`` and ``x2``, elementwise; a tie gives each half the gradient."""
    xp, a, b = pair(x1, x2)
    y = xp.maximum(a, b)
    return y, _choose(x1, x2, xp, a, b, xp.greater) if _STATE.tapes and dtypes.is_float(y.dtype) else None


@op(shape=shapes.broadcast, tensors=2, scalars=True, bfloat16="kernels")
def minimum(x1, x2):
    """Return the smaller of ``x1`` and ``x2``, elementwise; a tie gives each half the gradient."""
    xp, a, b = pair(x1, x2)
    y = xp.minimum(a, b)
    return y, _choose(x1, x2, xp, a, b, xp.less) if _STATE.tapes and dtypes.is_float(y.dtype) else None


def _prefer(x1, x2, xp, a, b, wins):
    """Return the vjp of fmax or fmin: what is no number gets nothing, and of a tie the second operand all."""
    first = wins(a, b) | (b != b)

    def part(chosen):
        return lambda dy: dy * Tensor(xp.asarray(chosen, a.dtype))

    return both(x1, x2, part(first), part(~first))


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def fmax(x1, x2):
    """Return the larger of ``x1`` and ``x2``, preferring numbers to NaN."""
    xp, a, b = pair(x1, x2)
    y = xp.fmax(a, b)
    return y, _prefer(x1, x2, xp, a, b, xp.greater) if _STATE.tapes and dtypes.is_float(y.dtype) else None


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def fmin(x1, x2):
    """Return the smaller of ``x1`` and ``x2``, preferring numbers to NaN."""
    xp, a, b = pair(x1, x2)
    y = xp.fmin(a, b)
    return y, _prefer(x1, x2, xp, a, b, xp.less) if _STATE.tapes and dtypes.is_float(y.dtype) else None


def _clip_shape(*sizes, **settings):
    return shapes.broadcast(*(s for s in sizes if s is not None))


@op(shape=_clip_shape, tensors=3, scalars=True, dtype=widen_bool)
def clip(x, x_min=None, x_max=None):
    """Limit ``x`` to ``[x_min, x_max]``; ``None`` leaves that side open.

    The gradient passes where the value was not changed, and goes to the bound where it was.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.clip([-2.0, 0.5, 7.0], 0.0, 1.0).numpy()
    array([0. , 0.5, 1. ], dtype=float32)
    """
    xp, a = module(x)
    kind = widen_bool(*(t.dtype.name for t in (x, x_min, x_max) if t is not None))
    y = a = a.astype(kind, copy=False)
    low = high = None
    if x_min is not None:
        low = x_min.array.astype(a.dtype, copy=False)
        y = xp.maximum(y, low)
    if x_max is not None:
        high = x_max.array.astype(a.dtype, copy=False)
        y = xp.minimum(y, high)
    if y is a:
        y = a.copy()

    def vjp(dy):
        below = xp.zeros(a.shape, "bool") if low is None else a < low
        above = xp.zeros(a.shape, "bool") if high is None else a > high

        def weight(mask):
            return Tensor(mask.astype(dy.dtype))

        return (
            unbroadcast(dy * weight(~(below | above)), x) if x.uid else None,
            None if low is None or not x_min.uid else unbroadcast(dy * weight(below), x_min),
            None if high is None or not x_max.uid else unbroadcast(dy * weight(above), x_max),
        )

    return y, vjp


@op(shape=shapes.same, bfloat16="as is")
def nan_to_num(x, nan=0.0, posinf=None, neginf=None):
    """Replace NaN by ``nan``, infinities by ``posinf`` and ``neginf`` (the largest finite values)."""
    xp, a = module(x)
    if not dtypes.is_float(a.dtype):
        return a.copy(), None
    kind = a.dtype
    if kind.kind == "V":  # its largest value is less than float32's
        large = float(dtypes.finfo(kind).max)
        posinf, neginf = large if posinf is None else posinf, -large if neginf is None else neginf
        a = a.astype("float32")
    good = Tensor(xp.isfinite(a).astype(kind))
    y = xp.nan_to_num(a, nan=nan, posinf=posinf, neginf=neginf)
    return y.astype(kind, copy=False), lambda dy: dy * good


# ---- bits of numbers ------------------------------------------------------------------------------
@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="float")
def nextafter(x1, x2):
    """Return the next floating value after ``x1`` towards ``x2``. Has no gradient."""
    xp, a, b = float_pair(x1, x2)
    return xp.nextafter(a, b), None


@op(shape=shapes.broadcast, tensors=2, dtype=lambda x1, x2: dtypes.float_type(x1).name)
def ldexp(x1, x2):
    """Return ``x1 * 2**x2`` for integer ``x2``."""
    xp, a = floating(x1)
    if x2.dtype.kind not in "iu":
        raise TypeError(f"ldexp: x2 must hold integers, came {x2.dtype}")
    return xp.ldexp(a, x2.array.astype("int32")), lambda dy: (unbroadcast(ldexp(dy, x2), x1), None)


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def gcd(x1, x2):
    """Return the greatest common divisor of integers."""
    xp, a, b = pair(x1, x2)
    return xp.gcd(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def lcm(x1, x2):
    """Return the least common multiple of integers."""
    xp, a, b = pair(x1, x2)
    return xp.lcm(a, b), None


# ---- angles ---------------------------------------------------------------------------------------
@op(shape=shapes.same, dtype="float")
def deg2rad(x):
    """Turn degrees into radians."""
    _, a = floating(x)
    return a * (np.pi / 180), lambda dy: dy * (np.pi / 180)


@op(shape=shapes.same, dtype="float")
def rad2deg(x):
    """Turn radians into degrees."""
    _, a = floating(x)
    return a * (180 / np.pi), lambda dy: dy * (180 / np.pi)
