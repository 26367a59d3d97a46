"""Activation functions: elementwise ones, softmax and its relatives.

Each elementwise activation is a forward pass and a ``slope(m, x, y)``: its derivative, written once over a
module ``m`` that is NumPy or CuPy (arrays: quick) or ``ops`` (tensors: second order).
"""

from __future__ import annotations

import math

from gpukeras import autograd
from gpukeras.backends import shapes
from gpukeras.op import REGISTRY, op
from gpukeras.symbolic import KerasTensor, OpCall
from gpukeras.tensor import Tensor

from .math import floating

_STATE = autograd.STATE
SELU_SCALE = 1.0507009873554805
SELU_ALPHA = 1.6732632423543772
_SQRT_2_PI = math.sqrt(2 / math.pi)


def _elementwise(x, a, forward, slope, name, *settings, again=lambda x: x, shared=None):
    """Return the result and the vjp ``dy * slope`` of an elementwise activation of the array ``a``.

    ``forward(a)`` computes the result where the backend has no pass of its own by this ``name``; ``again(x)``
    computes it anew for second order, where the slope needs it. What forward pass and slope have in common is
    ``shared(a)``: then it is ``forward(a, common)``, and the slope gets it in the place of the result.
    """
    backend = x.backend
    fused = y = kept = backend.fused_activation(name, a, *settings)
    if fused is None and shared is None:
        y = kept = backend.in_pieces(forward, a)
    elif fused is None:
        kept = backend.in_pieces(shared, a)
        y = backend.in_pieces(forward, a, kept)

    def vjp(dy):
        if _STATE.tapes:
            return dy * slope(_ops(), x, again(x))
        if fused is not None:
            return backend.fused_activation_backward(name, dy.array, y if name == "sigmoid" else a, *settings)
        return backend.in_pieces(lambda a, y: slope(backend.xp, a, y), a, kept, times=dy.array)

    return y, vjp


def _public(inner, call):
    """Let the wrapper ``call`` of the op ``inner`` stand for it by name, in saved and symbolic graphs."""
    REGISTRY.pop(inner.__name__)
    inner.__name__ = call.__name__
    REGISTRY[call.__name__] = call
    call.shape_rule, call.scalars = inner.shape_rule, inner.scalars


def _carry_logits(call, x, y, last_axis=True):
    """Let ``y = call(x)`` remember its input as ``_keras_logits = (name of the activation, input)``."""
    if type(y) is Tensor:
        if last_axis and isinstance(x, Tensor):
            y._keras_logits = (call.__name__, x)
    elif isinstance(y, KerasTensor) and y.history is not None:
        operation = y.history[0].operation
        if isinstance(operation, OpCall):
            operation.op = call  # a model that replays the graph passes here again
    return y


def _ops():
    from gpukeras import ops

    return ops


# ---- rectifiers -----------------------------------------------------------------------------------
@op(shape=shapes.same, bfloat16="kernels")
def relu(x):
    """Return ``max(x, 0)``; the gradient at 0 is 0."""
    backend = x.backend
    y = backend.relu(x.array)

    def vjp(dy):
        if _STATE.tapes:
            return dy * Tensor((y > 0).astype(y.dtype))
        return backend.relu_backward(dy.array, y)

    return y, vjp


@op(shape=shapes.same, bfloat16="kernels")
def clipped_relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """Return the general rectifier: ``x`` between threshold and maximum, a slope below.

    Parameters
    ----------
    x : tensor
    negative_slope : float
        Below ``threshold`` the result is ``negative_slope * (x - threshold)``.
    max_value : float, optional
        Upper limit of the result.
    threshold : float
        Values up to here count as negative.
    """
    xp, a = floating(x) if negative_slope or x.dtype.kind == "b" else (x.backend.xp, x.array)

    def forward(a):
        below = (a - threshold) * negative_slope if negative_slope else xp.zeros_like(a)
        y = xp.where(a > threshold, a, below)
        return y if max_value is None else xp.minimum(y, max_value)

    def slope(m, x, y):
        rising = m.where(x > threshold, m.ones_like(x), m.full_like(x, negative_slope))
        if threshold != 0:
            rising = m.where(x == threshold, m.zeros_like(x), rising)
        return rising if max_value is None else m.where(x < max_value, rising, m.zeros_like(x))

    return _elementwise(x, a, forward, slope, "clipped_relu", negative_slope, threshold, max_value)


@op(shape=shapes.same, bfloat16="kernels")
def relu6(x):
    """Return ``min(max(x, 0), 6)``."""
    xp, a = x.backend.xp, x.array
    return _elementwise(
        x, a, lambda a: xp.minimum(xp.maximum(a, 0), 6), lambda m, x, y: (x > 0) & (x < 6), "relu6"
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def leaky_relu(x, negative_slope=0.2):
    """Return ``x`` where it is positive, ``negative_slope * x`` elsewhere; the gradient at 0 is 1."""
    xp, a = floating(x)

    usual = 0 <= negative_slope <= 1

    def forward(a):  # a choice by signs takes five times as long
        return xp.maximum(a, a * negative_slope) if usual else xp.where(a >= 0, a, a * negative_slope)

    def slope(m, x, y):
        if usual and m is xp:
            low = a.dtype.type(negative_slope)
            return (x >= 0) * (1 - low) + low  # 1 - low, rounded, and low add up to 1
        return m.where(x >= 0, m.ones_like(x), m.full_like(x, negative_slope))

    return _elementwise(x, a, forward, slope, "leaky_relu", negative_slope)


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def elu(x, alpha=1.0):
    """Return the exponential linear unit: ``x`` where positive, ``alpha (exp(x) - 1)`` elsewhere.

    References
    ----------
    Clevert et al., 2016, arXiv:1511.07289.
    """
    xp, a = floating(x)

    def slope(m, x, y):
        return m.where(x > 0, m.ones_like(x), m.exp(m.minimum(x, 0)) * alpha)

    return _elementwise(
        x, a, lambda a: xp.where(a > 0, a, xp.expm1(xp.minimum(a, 0)) * alpha), slope, "elu", alpha
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def selu(x):
    """Return ``1.0507 elu(x, 1.6733)``: keeps mean 0 and variance 1 through layers.

    References
    ----------
    Klambauer et al., 2017, arXiv:1706.02515.
    """
    xp, a = floating(x)

    def forward(a):
        low = xp.expm1(xp.minimum(a, 0)) * (SELU_SCALE * SELU_ALPHA)
        return xp.where(a > 0, a * SELU_SCALE, low)

    def slope(m, x, y):
        low = m.exp(m.minimum(x, 0)) * (SELU_SCALE * SELU_ALPHA)
        return m.where(x > 0, m.full_like(x, SELU_SCALE), low)

    return _elementwise(x, a, forward, slope, "selu")


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def celu(x, alpha=1.0):
    """Return ``max(x, 0) + min(0, alpha (exp(x / alpha) - 1))``.

    References
    ----------
    Barron, 2017, arXiv:1704.07483.
    """
    xp, a = floating(x)

    def slope(m, x, y):
        return m.where(x > 0, m.ones_like(x), m.exp(m.minimum(x, 0) / alpha))

    return _elementwise(
        x, a, lambda a: xp.where(a > 0, a, xp.expm1(xp.minimum(a, 0) / alpha) * alpha), slope, "celu", alpha
    )


# ---- sigmoids -------------------------------------------------------------------------------------
def _logistic(m, x):
    return m.tanh(x * 0.5) * 0.5 + 0.5


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def _sigmoid(x):
    _, a = floating(x)
    return _elementwise(
        x, a, lambda a: x.backend.sigmoid(a), lambda m, x, y: y * (1 - y), "sigmoid",
        again=lambda x: _logistic(_ops(), x),
    )


def sigmoid(x):
    """Return ``1 / (1 + exp(-x))``.

    The result remembers its input (``_keras_logits``), so that a cross-entropy is computed exactly even
    where the sigmoid rounds to 0 or 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.sigmoid([-2.0, 0.0]).numpy().round(4)
    array([0.1192, 0.5   ], dtype=float32)
    """
    return _carry_logits(sigmoid, x, _sigmoid(x))


_public(_sigmoid, sigmoid)


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def silu(x):
    """Return ``x * sigmoid(x)``, also called swish.

    References
    ----------
    Ramachandran et al., 2017, arXiv:1710.05941.
    """
    _, a = floating(x)

    def slope(m, x, y):
        s = _logistic(m, x)
        return s + s * (1 - s) * x

    return _elementwise(x, a, lambda a: a * x.backend.sigmoid(a), slope, "silu")


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def log_sigmoid(x):
    """Return ``log(sigmoid(x))`` without underflow: ``min(x, 0) - log(1 + exp(-|x|))``."""
    xp, a = floating(x)
    return _elementwise(
        x, a, lambda a: xp.minimum(a, 0) - xp.log1p(xp.exp(-xp.abs(a))), lambda m, x, y: _logistic(m, -x),
        "log_sigmoid",
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def hard_sigmoid(x):
    """Return ``min(max(x / 6 + 0.5, 0), 1)``."""
    xp, a = floating(x)

    def slope(m, x, y):
        return m.where(m.abs(x) < 3, m.full_like(x, 1 / 6), m.zeros_like(x))

    return _elementwise(
        x, a, lambda a: xp.minimum(xp.maximum(a * (1 / 6) + 0.5, 0), 1), slope, "hard_sigmoid"
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def hard_sigmoid_keras2(x):
    """Return ``min(max(0.2 x + 0.5, 0), 1)``: what ``hard_sigmoid`` was before Keras 3."""
    xp, a = floating(x)

    def slope(m, x, y):
        return m.where(m.abs(x) < 2.5, m.full_like(x, 0.2), m.zeros_like(x))

    return _elementwise(
        x, a, lambda a: xp.minimum(xp.maximum(a * 0.2 + 0.5, 0), 1), slope, "hard_sigmoid_keras2"
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def hard_silu(x):
    """Return ``x * hard_sigmoid(x)``, also called hard swish.

    References
    ----------
    Howard et al., 2019, arXiv:1905.02244.
    """
    xp, a = floating(x)

    def slope(m, x, y):
        middle = x * (1 / 3) + 0.5
        return m.where(m.abs(x) < 3, middle, m.where(x > 0, m.ones_like(x), m.zeros_like(x)))

    return _elementwise(
        x, a, lambda a: a * xp.minimum(xp.maximum(a * (1 / 6) + 0.5, 0), 1), slope, "hard_silu"
    )


@op(shape=shapes.same, bfloat16="kernels")
def hard_tanh(x):
    """Return ``x`` limited to [-1, 1]."""
    xp, a = x.backend.xp, x.array
    low = 0 if a.dtype.kind == "u" else -1
    return _elementwise(
        x, a, lambda a: xp.minimum(xp.maximum(a, low), 1), lambda m, x, y: m.abs(x) <= 1, "hard_tanh"
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def sparse_sigmoid(x):
    """Return ``min(max(x / 2 + 0.5, 0), 1)``: 0 up to -1, 1 from 1 on, a line between."""
    xp, a = floating(x)

    def slope(m, x, y):
        return m.where(m.abs(x) < 1, m.full_like(x, 0.5), m.zeros_like(x))

    return _elementwise(x, a, lambda a: xp.minimum(xp.maximum(a * 0.5 + 0.5, 0), 1), slope, "sparse_sigmoid")


# ---- smooth rectifiers ----------------------------------------------------------------------------
@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def softplus(x):
    """Return ``log(1 + exp(x))`` without overflow."""
    xp, a = floating(x)
    return _elementwise(
        x, a, lambda a: xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a))), lambda m, x, y: _logistic(m, x),
        "softplus",
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def softsign(x):
    """Return ``x / (1 + |x|)``."""
    xp, a = floating(x)

    def slope(m, x, y):
        r = 1 / (m.abs(x) + 1)
        return r * r

    return _elementwise(x, a, lambda a: a / (xp.abs(a) + 1), slope, "softsign")


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def mish(x):
    """Return ``x * tanh(softplus(x))``.

    References
    ----------
    Misra, 2019, arXiv:1908.08681.
    """
    xp, a = floating(x)

    def slope(m, x, y):
        t = m.tanh(m.maximum(x, 0) + m.log1p(m.exp(-m.abs(x))))
        return t + x * (1 - t * t) * _logistic(m, x)

    return _elementwise(
        x, a, lambda a: a * xp.tanh(xp.maximum(a, 0) + xp.log1p(xp.exp(-xp.abs(a)))), slope, "mish"
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def gelu(x, approximate=True):
    """Return the Gaussian error linear unit ``x * P(N(0, 1) <= x)``.

    Parameters
    ----------
    x : tensor
    approximate : bool
        Use ``x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2`` instead of the error function.

    References
    ----------
    Hendrycks and Gimpel, 2016, arXiv:1606.08415.
    """
    xp, a = floating(x)
    if approximate:
        return _elementwise(
            x, a, lambda a: a * 0.5 * (xp.tanh((a * a * 0.044715 + 1) * a * _SQRT_2_PI) + 1), _gelu_slope,
            "gelu_tanh",
        )

    def distribution(a):
        half = x.backend.erf(a * math.sqrt(0.5))
        half += 1
        half *= 0.5
        return half

    def slope(m, x, y):
        cdf = y if m is xp else (m.erf(x * math.sqrt(0.5)) + 1) * 0.5
        return cdf + x * m.exp(x * x * -0.5) * (_SQRT_2_PI / 2)

    return _elementwise(x, a, lambda a, half: a * half, slope, "gelu_erf", shared=distribution)


def _gelu_slope(m, x, y):
    square = x * x
    t = m.tanh((square * 0.044715 + 1) * x * _SQRT_2_PI)
    inner = (square * (3 * 0.044715) + 1) * _SQRT_2_PI
    return (t + 1) * 0.5 + x * (1 - t * t) * inner * 0.5


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def squareplus(x, b=4):
    """Return ``(x + sqrt(x^2 + b)) / 2``.

    References
    ----------
    Barron, 2021, arXiv:2112.11687.
    """
    xp, a = floating(x)
    return _elementwise(
        x, a, lambda a: (a + xp.sqrt(a * a + b)) * 0.5, lambda m, x, y: (x / m.sqrt(x * x + b) + 1) * 0.5,
        "squareplus", b,
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def sparse_plus(x):
    """Return 0 up to -1, ``(x + 1)^2 / 4`` between -1 and 1, ``x`` from 1 on."""
    xp, a = floating(x)

    def forward(a):
        curve = (a + 1) * 0.5
        return xp.where(a <= -1, xp.zeros_like(a), xp.where(a < 1, curve * curve, a))

    return _elementwise(
        x, a, forward, lambda m, x, y: m.minimum(m.maximum((x + 1) * 0.5, 0), 1), "sparse_plus"
    )


# ---- shrinking ------------------------------------------------------------------------------------
@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def soft_shrink(x, threshold=0.5):
    """Return ``x`` moved by ``threshold`` towards 0, and 0 within it."""
    xp, a = floating(x)
    return _elementwise(
        x, a, lambda a: a - xp.minimum(xp.maximum(a, -threshold), threshold),
        lambda m, x, y: m.abs(x) > threshold, "soft_shrink", threshold,
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def hard_shrink(x, threshold=0.5):
    """Return ``x`` where ``|x| > threshold``, else 0."""
    xp, a = floating(x)
    return _elementwise(
        x, a, lambda a: a * (xp.abs(a) > threshold), lambda m, x, y: m.abs(x) > threshold,
        "hard_shrink", threshold,
    )


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def tanh_shrink(x):
    """Return ``x - tanh(x)``."""
    xp, a = floating(x)

    def slope(m, x, y):
        t = m.tanh(x)
        return t * t

    return _elementwise(x, a, lambda a: a - xp.tanh(a), slope, "tanh_shrink")


@op(shape=shapes.same, bfloat16="kernels")
def threshold(x, threshold, default_value):
    """Return ``x`` where ``x > threshold``, else ``default_value``."""
    xp, a = x.backend.xp, x.array
    return _elementwise(
        x, a, lambda a: xp.where(a > threshold, a, xp.full_like(a, default_value)),
        lambda m, x, y: x > threshold, "threshold", threshold, default_value,
    )


# ---- over an axis ---------------------------------------------------------------------------------
@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def _softmax(x, axis=-1, found=None):
    _, a = floating(x)
    backend = x.backend
    rows = None
    if found is not None and axis == -1 and a.ndim == 2 and a.size and a.dtype.itemsize > 2:
        rows = backend.softmax_rows(a)
        found.append(rows)
    elif not isinstance(axis, int) and axis is not None:
        axis = shapes.normalize_axes(axis, a.ndim)
    elif axis is not None:
        shapes.normalize_axis(axis, a.ndim)
    y = backend.softmax(a, axis) if rows is None else rows[0]

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            again = _softmax(x, axis)
            return again * (dy - ops.sum(dy * again, axis=axis, keepdims=True))
        return backend.softmax_backward(dy.array, y, axis)

    return y, vjp


def softmax(x, axis=-1):
    """Return ``exp(x) / sum(exp(x))`` along ``axis``: positive numbers that sum to 1.

    Parameters
    ----------
    x : tensor
    axis : int, tuple of int or None
        Axes over which to normalise; ``None``: all.

    Returns
    -------
    tensor like ``x``. It remembers its input (``_keras_logits``), so that a cross-entropy of it is computed
    exactly, in one step from the logits.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.softmax([0.0, 0.0, 0.0, 0.0]).numpy()
    array([0.25, 0.25, 0.25, 0.25], dtype=float32)
    """
    if type(x) is Tensor and _STATE.tapes and axis == -1:  # about to be trained, or so it seems
        found: list = []
        y = _softmax(x, axis, found)
        y._keras_logits = ("softmax", x)
        y._softmax_rows = found[0] if found else None
        return y
    return _carry_logits(softmax, x, _softmax(x, axis), axis in (-1, getattr(x, "ndim", 0) - 1))


_public(_softmax, softmax)


@op(shape=shapes.same, dtype="float")
def log_softmax(x, axis=-1):
    """Return ``x - log(sum(exp(x)))`` along ``axis`` (an int, a tuple or ``None`` for all)."""
    xp, a = floating(x)
    if not isinstance(axis, int) and axis is not None:
        axis = shapes.normalize_axes(axis, a.ndim)
    kind = a.dtype
    wide = a.astype("float32") if kind.itemsize == 2 else a  # differences of halves overflow
    shifted = wide - wide.max(axis=axis, keepdims=True)
    e = xp.exp(shifted)
    s = e.sum(axis=axis, keepdims=True)
    y = shifted - xp.log(s)

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            return dy - _softmax(x, axis) * ops.sum(dy, axis=axis, keepdims=True)
        dx = dy.array - e * (dy.array.sum(axis=axis, keepdims=True) / s)
        return dx if dx.dtype == kind else dx.astype(kind)

    return (y if y.dtype == kind else y.astype(kind)), vjp


@op(shape=shapes.same, dtype="float")
def sparsemax(x, axis=-1):
    """Return the nearest point to ``x`` (along ``axis``) on the probability simplex; many entries are 0.

    Notes
    -----
    ``y = max(x - tau, 0)`` with ``tau`` such that ``y`` sums to 1; the gradient is the output gradient
    minus its mean over the entries that are not 0.

    References
    ----------
    Martins and Astudillo, 2016, arXiv:1602.02068.
    """
    xp, a = floating(x)
    axis = shapes.normalize_axis(axis, a.ndim)
    z = xp.moveaxis(a, axis, -1)
    descending = -xp.sort(-z, axis=-1)
    total = xp.cumsum(descending, axis=-1, dtype=a.dtype) - 1
    rank = xp.arange(1, z.shape[-1] + 1, dtype=a.dtype)
    inside = rank * descending > total
    count = inside.sum(axis=-1, keepdims=True)
    tau = xp.take_along_axis(total, count - 1, axis=-1) / count.astype(a.dtype)
    y = xp.ascontiguousarray(xp.moveaxis(xp.maximum(z - tau, 0), -1, axis))
    support = (y > 0).astype(a.dtype)

    def vjp(dy):
        ops = _ops()
        s = Tensor(support)
        size = Tensor(support.sum(axis=axis, keepdims=True))
        return s * (dy - ops.sum(dy * s, axis=axis, keepdims=True) / size)

    return y, vjp


def _glu_shape(x, axis=-1):
    axis = shapes.normalize_axis(axis, len(x))
    if x[axis] is not None and x[axis] % 2:
        raise ValueError(f"glu halves axis {axis}, so its size must be even; came shape {tuple(x)}")
    return tuple(n // 2 if i == axis and n is not None else n for i, n in enumerate(x))


@op(shape=_glu_shape, dtype="float")
def glu(x, axis=-1):
    """Return ``a * sigmoid(b)`` for the halves a, b of ``x`` along ``axis``.

    References
    ----------
    Dauphin et al., 2017, arXiv:1612.08083.
    """
    xp, v = floating(x)
    _glu_shape(v.shape, axis)
    a, b = xp.split(v, 2, axis=axis)
    gate = x.backend.sigmoid(b)

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            linear, gated = ops.split(x, 2, axis=axis)
            s = _logistic(ops, gated)
            return ops.concatenate([dy * s, dy * linear * s * (1 - s)], axis=axis)
        da = dy.array * gate
        return xp.concatenate([da, da * a * (1 - gate)], axis=axis)

    return a * gate, vjp
