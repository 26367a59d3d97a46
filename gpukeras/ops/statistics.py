"""Quantiles, averages, reductions that skip NaN, and other statistics, made of other ops."""

from __future__ import annotations

import functools
import inspect
import math

import numpy as np

from gpukeras import dtypes, ops, symbolic
from gpukeras.backends import shapes
from gpukeras.ops.core import as_tensor
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor


def _float(x):
    x = as_tensor(x)
    return x if dtypes.is_float(x.dtype) else ops.cast(x, dtypes.floatx())


def _alike(x1, x2):
    """Return both as tensors of their common floating type."""
    x1, x2 = as_tensor(x1), as_tensor(x2)
    kind = dtypes.float_type(dtypes.result_type(np.dtype(x1.dtype), np.dtype(x2.dtype))).name
    return ops.cast(x1, kind), ops.cast(x2, kind)


# ---- averages -------------------------------------------------------------------------------------
def average(x, axis=None, weights=None):
    """Return the (weighted) mean over ``axis``.

    Parameters
    ----------
    x : tensor
    axis : int or tuple of int, optional
    weights : tensor, optional
        Of the shape of ``x``, or one weight per index along the single ``axis``.
    """
    x = _float(x)
    if weights is None:
        return ops.mean(x, axis)
    weights = as_tensor(weights)
    if len(weights.shape) != len(x.shape) or len(x.shape) == 1 and tuple(weights.shape) != tuple(x.shape):
        if axis is None or not hasattr(axis, "__index__") or len(weights.shape) != 1:
            raise ValueError(
                f"average: weights of shape {tuple(weights.shape)} for x of shape {tuple(x.shape)}; expected "
                "the same shape, or one axis of x with as many weights"
            )
        place = shapes.normalize_axis(int(axis), len(x.shape))
        weights = ops.cast(weights, x.dtype)
        along = ops.reshape(weights, tuple(-1 if i == place else 1 for i in range(len(x.shape))))
        return ops.sum(x * along, axis) / ops.sum(weights)
    weights = ops.cast(weights, x.dtype)
    return ops.sum(x * weights, axis) / ops.sum(weights, axis)


def trapezoid(y, x=None, dx=1.0, axis=-1):
    """Return the integral of samples ``y`` at ``x`` (or ``dx`` apart) by the trapezoidal rule."""
    y = ops.moveaxis(_float(y), axis, -1)
    if x is not None:
        x = _float(x)
        dx = ops.diff(x) if len(x.shape) == 1 else ops.diff(ops.moveaxis(x, axis, -1))
    return ops.sum((y[..., 1:] + y[..., :-1]) * dx, axis=-1) * 0.5


def diff(a, n=1, axis=-1):
    """Return the ``n``-th differences between neighbours along ``axis``."""
    a = as_tensor(a)
    if n < 0:
        raise ValueError(f"diff: n must be at least 0, came {n}")
    rank = len(a.shape)
    axis = shapes.normalize_axis(axis, rank)
    lead = (slice(None),) * axis
    differ = ops.not_equal if np.dtype(a.dtype).kind == "b" else ops.subtract
    for _ in range(n):
        later, earlier = lead + (slice(1, None),), lead + (slice(None, -1),)
        a = differ(a[later], a[earlier])
    return a


def corrcoef(x):
    """Return the correlation coefficients of the rows of ``x``, shape (variables, observations)."""
    x = _float(x)
    vector = len(x.shape) == 1
    if vector:
        x = ops.expand_dims(x, 0)
    far = x - ops.mean(x, axis=-1, keepdims=True)
    products = ops.matmul(far, ops.transpose(far))
    scale = ops.sqrt(ops.diagonal(products))
    found = ops.clip(products / ops.outer(scale, scale), -1.0, 1.0)
    return ops.reshape(found, ()) if vector else found


def correlate(x1, x2, mode="valid"):
    """Return the cross-correlation of two vectors.

    Parameters
    ----------
    x1, x2 : tensor of rank 1
    mode : {"valid", "same", "full"}
        Positions: complete overlap; as many as the longer vector; any overlap.
    """
    x1, x2 = _alike(x1, x2)
    if len(x1.shape) != 1 or len(x2.shape) != 1:
        raise ValueError(f"correlate needs vectors, came shapes {tuple(x1.shape)} and {tuple(x2.shape)}")
    if mode not in ("valid", "same", "full"):
        raise ValueError(f"correlate: mode must be 'valid', 'same' or 'full', came {mode!r}")
    n, m = x1.shape[0], x2.shape[0]
    padded = ops.pad(x1, [[m - 1, m - 1]])
    windows = ops.take(padded, np.arange(n + m - 1)[:, None] + np.arange(m)[None, :], axis=0)
    found = ops.matmul(windows, x2)
    if mode == "full":
        return found
    if mode == "same":
        start, count = (min(n, m) - 1) // 2, max(n, m)
        # NumPy centres a longer second vector the other way round.
        start = start if n >= m or min(n, m) % 2 else start + 1
    else:
        start, count = min(n, m) - 1, abs(n - m) + 1
    return found[start:start + count]


def cdist(x, y):
    """Return the Euclidean distances between rows, (..., N, D) and (..., M, D) to (..., N, M)."""
    x, y = _alike(x, y)
    return ops.norm(ops.expand_dims(x, -2) - ops.expand_dims(y, -3), axis=-1)


def psnr(x1, x2, max_val):
    """Return the peak signal-to-noise ratio in decibels, ``10 log10(max_val² / mean((x1 - x2)²))``."""
    error = ops.mean(ops.square(_float(x1) - _float(x2)))
    return 20 * math.log10(max_val) - ops.log10(error) * 10


# ---- quantiles ------------------------------------------------------------------------------------
_METHODS = ("linear", "lower", "higher", "midpoint", "nearest")


def _line_up(x, axis):
    """Return ``x`` with the reduced axes flattened into the last, the axes, and the kept shape."""
    rank = len(x.shape)
    axes = shapes.normalize_axes(axis, rank)
    rest = tuple(i for i in range(rank) if i not in axes)
    lead = tuple(-1 if x.shape[i] is None else x.shape[i] for i in rest)
    flat = ops.reshape(
        ops.transpose(x, rest + axes), (*lead, shapes.known_product([x.shape[i] for i in axes]))
    ) if len(axes) != 1 or axes[0] != rank - 1 else x
    return flat, axes, tuple(1 if i in axes else n for i, n in enumerate(x.shape))


def _by_count(function):
    """Let a function that needs the number of elements take symbolic tensors that do not know it.

    It is then one step of the graph.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        x = given.arguments["x"]
        if isinstance(x, KerasTensor) and None in x.shape:
            given.apply_defaults()
            axes = shapes.normalize_axes(given.arguments["axis"], len(x.shape))
            kept = [n for i, n in enumerate(x.shape) if i not in axes]
            if kept.count(None) > 1 or None in (x.shape[i] for i in axes):
                found = shapes.reduce(x.shape, axes, given.arguments["keepdims"])
                many = np.shape(_host_q(given.arguments.get("q", 0), 100))
                outputs = KerasTensor((*many, *found), dtypes.float_type(x.dtype).name)
                return symbolic.record(call, *args, outputs=outputs, **kwargs)
        return function(*args, **kwargs)

    return call


def _host_q(q, scale):
    q = q.numpy() if isinstance(q, Tensor) else q
    q = np.asarray(q, "float64") / scale
    if q.ndim > 1 or ((q < 0) | (q > 1)).any():
        raise ValueError(f"q must be a number or a list of numbers between 0 and {scale}")
    return q


@_by_count
def quantile(x, q, axis=None, method="linear", keepdims=False):
    """Return the quantiles ``q`` (between 0 and 1) over ``axis``.

    Parameters
    ----------
    x : tensor
    q : float or list of float
        A list puts a new first axis.
    axis : int or tuple of int, optional
    method : {"linear", "lower", "higher", "midpoint", "nearest"}
        What to take between two elements.
    keepdims : bool

    Examples
    --------
    >>> from gpukeras import ops
    >>> float(ops.quantile([1.0, 2.0, 4.0], 0.75))
    3.0
    """
    return _quantile(x, _host_q(q, 1), axis, method, keepdims)


@_by_count
def percentile(x, q, axis=None, method="linear", keepdims=False):
    """Return the percentiles ``q`` (between 0 and 100) over ``axis``; see ``quantile``."""
    return _quantile(x, _host_q(q, 100), axis, method, keepdims)


@_by_count
def median(x, axis=None, keepdims=False):
    """Return the median over ``axis``: the middle element, or the mean of the two middle ones."""
    return _quantile(x, np.asarray(0.5), axis, "midpoint", keepdims)


def _between(position, method):
    """Return the two neighbouring places of ``position`` and the weight of the upper one (host numbers)."""
    low, high = math.floor(position), math.ceil(position)
    weight = {
        "linear": position - low, "lower": 0.0, "higher": 1.0, "midpoint": 0.5,
        "nearest": round(position) - low,
    }[method]
    return low, high, float(weight)


def _quantile(x, q, axis, method, keepdims):
    if method not in _METHODS:
        raise ValueError(f"quantile: method must be one of {_METHODS}, came {method!r}")
    flat, _, kept = _line_up(_float(x), axis)
    count = flat.shape[-1]
    if not count:
        raise ValueError("quantile of a tensor without elements along the reduced axes")
    ordered = ops.sort(flat, axis=-1)
    bad = ops.isnan(ordered[..., -1])  # NaN sorts last
    found = []
    for value in q.reshape(-1):
        low, high, weight = _between(float(value) * (count - 1), method)
        if not weight or low == high:
            y = ordered[..., low]
        elif weight == 1:
            y = ordered[..., high]
        else:
            y = ordered[..., low] * (1 - weight) + ordered[..., high] * weight
        y = ops.where(bad, float("nan"), y)
        found.append(ops.reshape(y, tuple(-1 if n is None else n for n in kept)) if keepdims else y)
    return found[0] if q.ndim == 0 else ops.stack(found, axis=0)


# ---- reductions that skip NaN ---------------------------------------------------------------------
def _without_nan(x, value):
    """Return ``x`` with NaN replaced, and where it was."""
    x = as_tensor(x)
    if not dtypes.is_float(x.dtype):
        return x, None
    missing = ops.isnan(x)
    return ops.where(missing, ops.full_like(x, value), x), missing


def _present(x, missing, axis, keepdims):
    """Return how many elements over ``axis`` are not NaN, in the dtype of ``x``."""
    ones = ops.ones_like(x) if missing is None else ops.cast(ops.logical_not(missing), x.dtype)
    return ops.sum(ones, axis, keepdims)


def nansum(x, axis=None, keepdims=False):
    """Return the sum over ``axis`` of what is not NaN."""
    return ops.sum(_without_nan(x, 0)[0], axis, keepdims)


def nanprod(x, axis=None, keepdims=False):
    """Return the product over ``axis`` of what is not NaN."""
    return ops.prod(_without_nan(x, 1)[0], axis, keepdims)


def nanmean(x, axis=None, keepdims=False):
    """Return the mean over ``axis`` of what is not NaN (NaN where there is nothing)."""
    filled, missing = _without_nan(_float(x), 0)
    return ops.sum(filled, axis, keepdims) / _nan_if_zero(_present(filled, missing, axis, keepdims))


def _nan_if_zero(count):
    return ops.where(count == 0, float("nan"), count)


def nanvar(x, axis=None, keepdims=False):
    """Return the variance over ``axis`` of what is not NaN."""
    x = _float(x)
    filled, missing = _without_nan(x, 0)
    count = _nan_if_zero(_present(filled, missing, axis, True))
    far = filled - ops.sum(filled, axis, True) / count
    far = ops.where(missing, ops.zeros_like(far), far)
    total = ops.sum(ops.square(far), axis, keepdims)
    return total / (count if keepdims else _nan_if_zero(_present(filled, missing, axis, False)))


def nanstd(x, axis=None, keepdims=False):
    """Return the standard deviation over ``axis`` of what is not NaN."""
    return ops.sqrt(nanvar(x, axis, keepdims))


def _nan_extreme(x, axis, keepdims, reduce, worst):
    filled, missing = _without_nan(x, worst)
    found = reduce(filled, axis, keepdims)
    return found if missing is None else ops.where(ops.all(missing, axis, keepdims), float("nan"), found)


def nanmax(x, axis=None, keepdims=False):
    """Return the largest element over ``axis`` that is not NaN (NaN where there is none)."""
    return _nan_extreme(x, axis, keepdims, ops.max, -float("inf"))


def nanmin(x, axis=None, keepdims=False):
    """Return the smallest element over ``axis`` that is not NaN (NaN where there is none)."""
    return _nan_extreme(x, axis, keepdims, ops.min, float("inf"))


def _nan_arg(x, axis, keepdims, find, worst):
    filled, missing = _without_nan(x, worst)
    found = find(filled, axis, keepdims)
    return found if missing is None else ops.where(ops.all(missing, axis, keepdims), -1, found)


def nanargmax(x, axis=None, keepdims=False):
    """Return the index of the largest element that is not NaN (-1 where there is none)."""
    return _nan_arg(x, axis, keepdims, ops.argmax, -float("inf"))


def nanargmin(x, axis=None, keepdims=False):
    """Return the index of the smallest element that is not NaN (-1 where there is none)."""
    return _nan_arg(x, axis, keepdims, ops.argmin, float("inf"))


def nancumsum(x, axis=None, dtype=None):
    """Return the running sum with NaN counted as 0."""
    return ops.cumsum(_without_nan(x, 0)[0], axis, dtype)


def nancumprod(x, axis=None, dtype=None):
    """Return the running product with NaN counted as 1."""
    return ops.cumprod(_without_nan(x, 1)[0], axis, dtype)


@_by_count
def nanquantile(x, q, axis=None, method="linear", keepdims=False):
    """Return the quantiles of what is not NaN; see ``quantile``."""
    return _nan_quantile(x, _host_q(q, 1), axis, method, keepdims)


@_by_count
def nanpercentile(x, q, axis=None, method="linear", keepdims=False):
    """Return the percentiles of what is not NaN; see ``quantile``."""
    return _nan_quantile(x, _host_q(q, 100), axis, method, keepdims)


@_by_count
def nanmedian(x, axis=None, keepdims=False):
    """Return the median over ``axis`` of what is not NaN."""
    return _nan_quantile(x, np.asarray(0.5), axis, "midpoint", keepdims)


def _nan_quantile(x, q, axis, method, keepdims):
    if method not in _METHODS:
        raise ValueError(f"nanquantile: method must be one of {_METHODS}, came {method!r}")
    x = _float(x)
    flat, _, kept = _line_up(x, axis)
    filled, missing = _without_nan(flat, float("inf"))  # NaN goes to the end, out of reach
    ordered = ops.sort(filled, axis=-1)
    count = _present(flat, missing, -1, True)
    last = ops.maximum(count - 1, 0)
    found = []
    for value in q.reshape(-1):
        position = last * float(value)
        low, high = ops.floor(position), ops.ceil(position)
        weight = {
            "linear": position - low, "lower": ops.zeros_like(low), "higher": ops.ones_like(low),
            "midpoint": ops.full_like(low, 0.5), "nearest": ops.round(position) - low,
        }[method]
        below = ops.take_along_axis(ordered, ops.cast(low, "int32"), axis=-1)
        above = ops.take_along_axis(ordered, ops.cast(high, "int32"), axis=-1)
        y = ops.where(low == high, below, below * (1 - weight) + above * weight)
        y = ops.where(count == 0, float("nan"), y)[..., 0]
        found.append(ops.reshape(y, tuple(-1 if n is None else n for n in kept)) if keepdims else y)
    return found[0] if q.ndim == 0 else ops.stack(found, axis=0)
