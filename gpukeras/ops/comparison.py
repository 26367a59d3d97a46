"""Comparisons, logic, classification and bits. None of them has a gradient."""

from __future__ import annotations

from gpukeras import dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.math import module, pair


# ---- comparisons ----------------------------------------------------------------------------------
@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def equal(x1, x2):
    """Tell where ``x1 == x2``."""
    xp, a, b = pair(x1, x2)
    return xp.equal(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def not_equal(x1, x2):
    """Tell where ``x1 != x2``."""
    xp, a, b = pair(x1, x2)
    return xp.not_equal(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def less(x1, x2):
    """Tell where ``x1 < x2``."""
    xp, a, b = pair(x1, x2)
    return xp.less(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def less_equal(x1, x2):
    """Tell where ``x1 <= x2``."""
    xp, a, b = pair(x1, x2)
    return xp.less_equal(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def greater(x1, x2):
    """Tell where ``x1 > x2``."""
    xp, a, b = pair(x1, x2)
    return xp.greater(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def greater_equal(x1, x2):
    """Tell where ``x1 >= x2``."""
    xp, a, b = pair(x1, x2)
    return xp.greater_equal(a, b), None


@op(shape=lambda x1, x2, *settings, **named: shapes.broadcast(x1, x2), tensors=2, scalars=True, dtype="bool")
def isclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Tell where ``|x1 - x2| <= atol + rtol * |x2|``."""
    xp, a, b = pair(x1, x2)
    return xp.isclose(a, b, rtol, atol, equal_nan), None


def allclose(x1, x2, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Tell whether ``isclose`` holds everywhere, as a boolean scalar tensor."""
    from gpukeras import ops

    return ops.all(isclose(x1, x2, rtol, atol, equal_nan))


# ---- kinds of numbers -----------------------------------------------------------------------------
@op(shape=shapes.same, dtype="bool")
def isnan(x):
    """Tell where ``x`` is NaN."""
    xp, a = module(x)
    return xp.isnan(a), None


@op(shape=shapes.same, dtype="bool")
def isinf(x):
    """Tell where ``x`` is infinite."""
    xp, a = module(x)
    return xp.isinf(a), None


@op(shape=shapes.same, dtype="bool")
def isfinite(x):
    """Tell where ``x`` is neither infinite nor NaN."""
    xp, a = module(x)
    return xp.isfinite(a), None


@op(shape=shapes.same, dtype="bool")
def isposinf(x):
    """Tell where ``x`` is plus infinity."""
    _, a = module(x)
    return a == float("inf"), None


@op(shape=shapes.same, dtype="bool")
def isneginf(x):
    """Tell where ``x`` is minus infinity."""
    _, a = module(x)
    return a == -float("inf"), None


@op(shape=shapes.same, dtype="bool")
def isreal(x):
    """Return ones: tensors are real."""
    xp, a = module(x)
    return xp.ones(a.shape, "bool"), None


# ---- logic ----------------------------------------------------------------------------------------
@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def logical_and(x1, x2):
    """Tell where both are true (not zero)."""
    xp, a, b = pair(x1, x2)
    return xp.logical_and(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def logical_or(x1, x2):
    """Tell where at least one is true (not zero)."""
    xp, a, b = pair(x1, x2)
    return xp.logical_or(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype="bool")
def logical_xor(x1, x2):
    """Tell where exactly one is true (not zero)."""
    xp, a, b = pair(x1, x2)
    return xp.logical_xor(a, b), None


@op(shape=shapes.same, dtype="bool")
def logical_not(x):
    """Tell where ``x`` is false (zero)."""
    xp, a = module(x)
    return xp.logical_not(a), None


# ---- bits -----------------------------------------------------------------------------------------
def _bits(name, x, y):
    xp, a, b = pair(x, y)
    if a.dtype.kind not in "iub":
        raise TypeError(f"{name} needs integers or booleans, came {x.dtype} and {y.dtype}")
    return xp, a, b


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def bitwise_and(x, y):
    """Return the bits set in both."""
    xp, a, b = _bits("bitwise_and", x, y)
    return xp.bitwise_and(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def bitwise_or(x, y):
    """Return the bits set in at least one."""
    xp, a, b = _bits("bitwise_or", x, y)
    return xp.bitwise_or(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True)
def bitwise_xor(x, y):
    """Return the bits set in exactly one."""
    xp, a, b = _bits("bitwise_xor", x, y)
    return xp.bitwise_xor(a, b), None


@op(shape=shapes.same)
def bitwise_not(x):
    """Return ``x`` with all bits flipped (booleans: negated)."""
    xp, a, _ = _bits("bitwise_not", x, x)
    return xp.invert(a), None


bitwise_invert = bitwise_not


def _shift_dtype(x, y):
    kind = dtypes.result_type(x, y).name
    return "int32" if kind == "bool" else kind


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=_shift_dtype)
def bitwise_left_shift(x, y):
    """Return the bits of ``x`` shifted left by ``y`` places."""
    xp, a, b = _bits("bitwise_left_shift", x, y)
    if a.dtype.kind == "b":
        a, b = a.astype("int32"), b.astype("int32")
    return xp.left_shift(a, b), None


@op(shape=shapes.broadcast, tensors=2, scalars=True, dtype=_shift_dtype)
def bitwise_right_shift(x, y):
    """Return the bits of ``x`` shifted right by ``y`` places."""
    xp, a, b = _bits("bitwise_right_shift", x, y)
    if a.dtype.kind == "b":
        a, b = a.astype("int32"), b.astype("int32")
    return xp.right_shift(a, b), None


left_shift = bitwise_left_shift
right_shift = bitwise_right_shift
