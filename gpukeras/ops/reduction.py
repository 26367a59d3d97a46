"""Sums, means, extremes and other reductions over axes."""

from __future__ import annotations

from gpukeras import autograd, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.core import as_tensor, cast
from gpukeras.ops.math import floating, module
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def kept(shape, axes):
    """Return ``shape`` with 1 in the places ``axes``: the shape of a reduction that keeps its axes."""
    return tuple(1 if i in axes else n for i, n in enumerate(shape))


def spread(dy, shape, axes):
    """Broadcast the gradient of a reduction over ``axes`` back to ``shape``."""
    if not _STATE.tapes:
        return Tensor(dy.backend.xp.broadcast_to(dy.array.reshape(kept(shape, axes)), shape))
    from gpukeras import ops

    return ops.broadcast_to(ops.reshape(dy, kept(shape, axes)), shape)


def _sum_dtype(x, *args, dtype=None, **kwargs):
    """Small integers are summed in 32 bits."""
    if dtype is not None:
        return dtypes.standardize_dtype(dtype)
    small = {"bool": "int32", "int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}
    return small.get(x, x)


def _int_sum(x, a, axes, keepdims, function="sum"):
    return getattr(a, function)(axis=axes, keepdims=keepdims, dtype=_sum_dtype(a.dtype.name))


# ---- sums -----------------------------------------------------------------------------------------
@op(shape=shapes.reduce, dtype=_sum_dtype, bfloat16="kernels")
def sum(x, axis=None, keepdims=False):
    """Return the sum over ``axis`` (all axes unless given).

    Parameters
    ----------
    x : tensor
    axis : int or tuple of int, optional
    keepdims : bool
        Keep the summed axes with size 1.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.sum([[1.0, 2.0], [3.0, 4.0]], axis=0).numpy()
    array([4., 6.], dtype=float32)
    """
    a = x.array
    axes = shapes.normalize_axes(axis, a.ndim)
    if not dtypes.is_float(a.dtype):
        return _int_sum(x, a, axes, keepdims), None
    return x.backend.sum(a, axes, keepdims), lambda dy: spread(dy, a.shape, axes)


@op(shape=shapes.reduce, dtype="float", bfloat16="kernels")
def mean(x, axis=None, keepdims=False):
    """Return the mean over ``axis``; integers give floats."""
    _, a = floating(x)
    axes = shapes.normalize_axes(axis, a.ndim)
    count = 1
    for i in axes:
        count *= a.shape[i]
    if not count:
        return a.sum(axis=axes, keepdims=keepdims) * float("nan"), lambda dy: spread(dy, a.shape, axes)
    y = x.backend.sum(a, axes, keepdims, 1.0 / count)
    return y, lambda dy: spread(_times(dy, 1.0 / count), a.shape, axes)


def _times(dy, number: float):
    """Return ``dy * number``, where the number is not rounded to a half before."""
    wide = dtypes.wide(dy.dtype)
    return dy * number if wide == dy.dtype else cast(cast(dy, wide.name) * number, dy.dtype)


def _prod_shape(x, axis=None, keepdims=False, dtype=None):
    return shapes.reduce(x, axis, keepdims)


def _prod_dtype(x, axis=None, keepdims=False, dtype=None):
    return _sum_dtype(x, dtype=dtype)


@op(shape=_prod_shape, dtype=_prod_dtype)
def prod(x, axis=None, keepdims=False, dtype=None):
    """Return the product over ``axis``; exact gradient also where elements are 0."""
    xp, a = module(x)
    axes = shapes.normalize_axes(axis, a.ndim)
    kind = _sum_dtype(a.dtype.name, dtype=dtype)
    y = a.prod(axis=axes, keepdims=keepdims, dtype=kind)

    def vjp(dy):
        from gpukeras import ops

        # Move the reduced axes to the end, flatten them, and multiply what stands before and after each
        # element.
        order = tuple(i for i in range(a.ndim) if i not in axes) + axes
        lead = tuple(a.shape[i] for i in order[: a.ndim - len(axes)])
        flat = ops.reshape(ops.transpose(ops.cast(x, kind), order), (*lead, -1)) if a.size else x
        if not a.size:
            return xp.zeros_like(a)
        one = ops.ones((*lead, 1), kind) if not lead or lead else None
        before = cumprod(ops.concatenate([one, flat[..., :-1]], axis=-1), axis=-1)
        after = ops.flip(cumprod(ops.concatenate([one, ops.flip(flat, -1)[..., :-1]], axis=-1), axis=-1), -1)
        found = ops.reshape(before * after, tuple(a.shape[i] for i in order))
        inverse = tuple(order.index(i) for i in range(a.ndim))
        return ops.cast(spread(dy, a.shape, axes) * ops.transpose(found, inverse), x.dtype)

    return y, vjp


# ---- extremes -------------------------------------------------------------------------------------
def _extreme(x, axis, keepdims, initial, name, pick):
    xp, a = module(x)
    axes = shapes.normalize_axes(axis, a.ndim)
    if initial is None:
        if not a.size:
            raise ValueError(f"{name} of a tensor of shape {a.shape} without elements; give initial=...")
        y = x.backend.extreme(a, axes, name)
    else:
        start = a.dtype.type(float(initial) if dtypes.is_float(a.dtype) else int(initial))
        y = pick(xp)(x.backend.extreme(a, axes, name), start) if a.size else xp.full(
            kept(a.shape, axes), start, a.dtype
        )
    result = y if keepdims else y.reshape(shapes.reduce(a.shape, axes))
    if not dtypes.is_float(a.dtype) or not _STATE.tapes:
        return result, None

    def vjp(dy):
        mask = (a == y).astype(a.dtype)
        ties = xp.maximum(x.backend.sum(mask, axes, keepdims=True), 1)  # 0: `initial` won
        if not _STATE.tapes:
            mask *= dy.array.reshape(y.shape) / ties
            return mask
        mask /= ties
        return spread(dy, a.shape, axes) * Tensor(mask)

    return result, vjp


@op(shape=shapes.reduce)
def max(x, axis=None, keepdims=False, initial=None):
    """Return the largest element over ``axis``; equal largest elements share the gradient evenly.

    ``initial`` is a lower bound of the result (needed for empty tensors).
    """
    return _extreme(x, axis, keepdims, initial, "max", lambda xp: xp.maximum)


@op(shape=shapes.reduce)
def min(x, axis=None, keepdims=False, initial=None):
    """Return the smallest element over ``axis``; equal smallest elements share the gradient evenly.

    ``initial`` is an upper bound of the result (needed for empty tensors).
    """
    return _extreme(x, axis, keepdims, initial, "min", lambda xp: xp.minimum)


def amax(x, axis=None, keepdims=False):
    """Return the largest element over ``axis``; same as ``max``."""
    return max(x, axis, keepdims)


def amin(x, axis=None, keepdims=False):
    """Return the smallest element over ``axis``; same as ``min``."""
    return min(x, axis, keepdims)


def ptp(x, axis=None, keepdims=False):
    """Return the largest minus the smallest element over ``axis``."""
    x = as_tensor(x)
    return max(x, axis, keepdims) - min(x, axis, keepdims)


def _arg_shape(x, axis=None, keepdims=False):
    if axis is not None and not hasattr(axis, "__index__"):
        raise TypeError(f"axis must be an int or None, came {axis!r}")
    return shapes.reduce(x, axis, keepdims)


def _arg(x, axis, keepdims, name):
    xp, a = module(x)
    if not a.size:
        raise ValueError(f"{name} of a tensor of shape {a.shape} without elements")
    shape = _arg_shape(a.shape, axis, keepdims)
    return getattr(xp, name)(a, axis=axis).astype("int32").reshape(shape), None


@op(shape=_arg_shape, dtype="int32")
def argmax(x, axis=None, keepdims=False):
    """Return the index of the (first) largest element along ``axis``, or in the flattened tensor."""
    return _arg(x, axis, keepdims, "argmax")


@op(shape=_arg_shape, dtype="int32")
def argmin(x, axis=None, keepdims=False):
    """Return the index of the (first) smallest element along ``axis``, or in the flattened tensor."""
    return _arg(x, axis, keepdims, "argmin")


# ---- truth and counts -----------------------------------------------------------------------------
@op(shape=shapes.reduce, dtype="bool")
def all(x, axis=None, keepdims=False):
    """Tell whether all elements over ``axis`` are true (not zero)."""
    _, a = module(x)
    return a.all(axis=shapes.normalize_axes(axis, a.ndim), keepdims=keepdims), None


@op(shape=shapes.reduce, dtype="bool")
def any(x, axis=None, keepdims=False):
    """Tell whether any element over ``axis`` is true (not zero)."""
    _, a = module(x)
    return a.any(axis=shapes.normalize_axes(axis, a.ndim), keepdims=keepdims), None


@op(shape=lambda x, axis=None: shapes.reduce(x, axis), dtype="int32")
def count_nonzero(x, axis=None):
    """Return how many elements over ``axis`` are not zero."""
    _, a = module(x)
    return (a != 0).sum(axis=shapes.normalize_axes(axis, a.ndim), dtype="int32"), None


# ---- spread ---------------------------------------------------------------------------------------
@op(shape=shapes.reduce, dtype="float")
def var(x, axis=None, keepdims=False):
    """Return the variance over ``axis``: the mean square distance from the mean."""
    _, a = floating(x)
    axes = shapes.normalize_axes(axis, a.ndim)
    count = 1
    for i in axes:
        count *= a.shape[i]
    if not count:
        return a.sum(axis=axes, keepdims=keepdims) * float("nan"), lambda dy: spread(dy, a.shape, axes)
    backend = x.backend
    distance = a - backend.sum(a, axes, True, 1.0 / count)

    def vjp(dy):
        far = x - mean(x, axes, True) if _STATE.tapes else Tensor(distance)
        return spread(dy * (2.0 / count), a.shape, axes) * far

    return backend.sum(distance * distance, axes, keepdims, 1.0 / count), vjp


def std(x, axis=None, keepdims=False):
    """Return the standard deviation over ``axis``; where it is 0 so is its gradient."""
    return _safe_sqrt(var(x, axis, keepdims))


@op(shape=shapes.same, dtype="float")
def _safe_sqrt(x):
    """Return the square root with gradient 0 at 0."""
    xp, a = floating(x)

    def vjp(dy):
        from gpukeras import ops

        return ops.divide_no_nan(dy * 0.5, _safe_sqrt(x))

    return xp.sqrt(a), vjp


def moments(x, axes, keepdims=False, synchronized=False):
    """Return mean and variance over ``axes``.

    Parameters
    ----------
    x : tensor
        float16 is accumulated in float32.
    axes : int or sequence of int
    keepdims : bool
    synchronized : bool
        Only one device computes; ``True`` is an error as in Keras without a distribution.
    """
    if synchronized:
        raise NotImplementedError("moments: synchronized=True needs a multi-device setup; pass False")
    axes = tuple(axes) if isinstance(axes, (list, tuple)) else axes
    x = as_tensor(x)
    return mean(x, axes, keepdims), var(x, axes, keepdims)


# ---- logarithm of a sum, norms --------------------------------------------------------------------
@op(shape=shapes.reduce, dtype="float")
def logsumexp(x, axis=None, keepdims=False):
    """Return ``log(sum(exp(x)))`` over ``axis`` without overflow."""
    xp, a = floating(x)
    axes = shapes.normalize_axes(axis, a.ndim)
    top = a.max(axis=axes, keepdims=True)
    top = xp.where(xp.isfinite(top), top, xp.zeros_like(top))
    with _quiet():
        y = xp.log(xp.exp(a - top).sum(axis=axes, keepdims=True)) + top

    def vjp(dy):
        from gpukeras import ops

        whole = logsumexp(x, axes, True) if _STATE.tapes else Tensor(y)
        return spread(dy, a.shape, axes) * ops.exp(x - whole)

    return (y if keepdims else y.reshape(shapes.reduce(a.shape, axes))), vjp


def _quiet():
    """Let all -inf give -inf without a warning about log(0)."""
    import numpy as np

    return np.errstate(divide="ignore")


def normalize(x, axis=-1, order=2, epsilon=None):
    """Divide ``x`` by its ``order``-norm along ``axis``, but by no less than ``epsilon``.

    Parameters
    ----------
    x : tensor
    axis : int or tuple of int
    order : int or float
    epsilon : float, optional
        ``keras.config.epsilon()`` (1e-7) unless given.
    """
    from gpukeras import config, ops
    from gpukeras.ops.normalization import unit_normalization

    if epsilon is None:
        epsilon = config.epsilon()
    if order == 2:
        return unit_normalization(x, axis, epsilon)
    x = as_tensor(x)
    if dtypes.standardize_dtype(x.dtype) not in dtypes.FLOATS:
        x = ops.cast(x, dtypes.floatx())
    return x / ops.maximum(ops.norm(x, ord=order, axis=axis, keepdims=True), epsilon)


# ---- running sums and products --------------------------------------------------------------------
def _running_shape(x, axis=None, dtype=None):
    if axis is None:
        return (shapes.known_product(x),)
    shapes.normalize_axis(axis, len(x))
    return x


def _running_dtype(x, axis=None, dtype=None):
    if dtype is not None:
        return dtypes.standardize_dtype(dtype)
    return "int32" if x == "bool" else x


def reverse_cumsum(dy, axis):
    """Return the sums of everything from each element on."""
    from gpukeras import ops

    return ops.flip(cumsum(ops.flip(dy, axis), axis), axis)


@op(shape=_running_shape, dtype=_running_dtype)
def cumsum(x, axis=None, dtype=None):
    """Return the running sum along ``axis`` (of the flattened tensor unless given)."""
    _, a = module(x)
    kind = _running_dtype(a.dtype.name, axis, dtype)

    def vjp(dy):
        from gpukeras import ops

        if axis is None:
            return ops.cast(ops.reshape(reverse_cumsum(dy, 0), a.shape), a.dtype)
        return ops.cast(reverse_cumsum(dy, axis), a.dtype)

    return a.cumsum(axis=axis, dtype=kind), vjp


@op(shape=_running_shape, dtype=_running_dtype)
def cumprod(x, axis=None, dtype=None):
    """Return the running product along ``axis`` (of the flattened tensor unless given).

    Notes
    -----
    The gradient runs ``r[i] = dy[i] + x[i+1] * r[i+1]`` backwards along the axis, so it is exact for zeros
    too.
    """
    _, a = module(x)
    kind = _running_dtype(a.dtype.name, axis, dtype)

    def vjp(dy):
        from gpukeras import ops

        where = 0 if axis is None else axis
        flat = ops.cast(ops.reshape(x, (-1,)) if axis is None else x, kind)
        count = flat.shape[where]
        if not count:
            return ops.zeros_like(x)
        xs, dys = ops.unstack(flat, count, where), ops.unstack(dy, count, where)
        rest = [dys[-1]]
        for i in range(count - 2, -1, -1):
            rest.append(dys[i] + xs[i + 1] * rest[-1])
        rest = ops.stack(rest[::-1], axis=where)
        found = [ops.ones_like(xs[0]), *ops.unstack(cumprod(flat, where), count, where)[:-1]]
        return ops.cast(ops.reshape(rest * ops.stack(found, axis=where), a.shape), a.dtype)

    return a.cumprod(axis=axis, dtype=kind), vjp
