"""Normalisation: batch (training and inference), layer, root mean square."""

from __future__ import annotations

import functools
import math

from gpukeras import autograd, config, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def _ops():
    from gpukeras import ops

    return ops


def _wide(array):
    """Return halves as float32: sums of squares overflow in half precision."""
    return array.astype(dtypes.wide(dtypes.float_type(array.dtype)), copy=False)


def _rows_of(backend, array, axes):
    """Return ``_to_matrix`` of an array, of halves only for a backend that has wide sums of them."""
    half = backend.normalizes_half and array.dtype.itemsize == 2 and dtypes.is_float(array.dtype)
    return _to_matrix(backend.xp, array if half else _wide(array), axes)


def _like(gradient, source):
    if gradient is None or source is None:
        return None
    if gradient.shape != source.shape:
        gradient = gradient.reshape(source.shape)
    return gradient if gradient.dtype is source.array.dtype else gradient.astype(source.array.dtype)


def _to_matrix(xp, a, axes):
    """Return ``a`` as (M, C) with ``axes`` in C, and the function that brings such a matrix back."""
    rank = a.ndim
    width = math.prod(a.shape[i] for i in axes)
    rows = math.prod(n for i, n in enumerate(a.shape) if i not in axes)
    if axes == tuple(range(rank - len(axes), rank)):
        return a.reshape(rows, width), lambda m: m.reshape(a.shape)
    order = [i for i in range(rank) if i not in axes] + list(axes)
    moved = a.transpose(order)
    back = [order.index(i) for i in range(rank)]
    return moved.reshape(rows, width), lambda m: m.reshape(moved.shape).transpose(back)


# ---- batch normalisation --------------------------------------------------------------------------
def _statistics_shape(x, scale=None, offset=None, mask=None, axis=-1, epsilon=1e-3, **kwargs):
    size = (x[shapes.normalize_axis(axis, len(x))],)
    return [tuple(x), size, size]


def _statistics_dtype(x, *args, **kwargs):
    x = dtypes.float_type(x)
    x, wide = x.name, dtypes.wide(x).name
    return [x, wide, wide]


@op(shape=_statistics_shape, dtype=_statistics_dtype, tensors=4, bfloat16="kernels")
def batch_normalization_training(x, scale=None, offset=None, mask=None, axis=-1, epsilon=1e-3, moving=None):
    """Normalise ``x`` by the mean and variance of this batch.

    Parameters
    ----------
    x : tensor
    scale, offset : tensor, shape (C,), optional
        Gamma and beta.
    mask : tensor, bool, optional
        Which samples count in the statistics; the shape of the leading axes of ``x`` without ``axis``. All
        are normalised.
    axis : int
        Axis of the features C.
    epsilon : float
        Added to the variance.
    moving : tuple, optional
        Variables of moving mean and variance, and the momentum: they become ``moving * momentum + batch *
        (1 - momentum)``, without a record on any tape.

    Returns
    -------
    y, mean, variance
        ``mean`` and ``variance`` have shape (C,), float32 for halves. The variance is the biased one.

    Notes
    -----
    ``y = (x - mean) / sqrt(variance + epsilon) * scale + offset``. With a mask the statistics are weighted
    sums over the sum of the weights, to which ``config.epsilon()`` is added.

    References
    ----------
    Ioffe and Szegedy, 2015, arXiv:1502.03167.
    """
    axis = shapes.normalize_axis(axis, x.ndim)
    backend = x.backend
    _check_size("batch_normalization", x.shape[axis], x.shape, scale=scale, offset=offset)
    if 0 in x.shape:
        raise ValueError(f"batch_normalization: a batch of shape {x.shape} has no statistics")
    rows, back = _rows_of(backend, x.array, (axis,))
    gamma, beta = (None if v is None else v.array for v in (scale, offset))
    weights = None if mask is None else _weights(backend.xp, mask.array, x.shape, axis, rows)
    guard = config.epsilon() if mask is not None else 0.0
    if moving is not None:
        averages, momentum = moving[:2], moving[2]
        moving = (*(v.array for v in averages), momentum)
        for v in averages:
            v.version += 1
    y, mean, var, cache = backend.batch_norm_forward(rows, gamma, beta, epsilon, weights, guard, moving)
    need_dx = bool(_STATE.tapes) and autograd.is_tracked(x)
    y = back(y)

    def vjp(dys):
        dy, dmean, dvar = dys
        if _STATE.tapes:
            return _batch_second_order(dys, x, scale, offset, weights, axis, epsilon)
        g = backend.xp.zeros_like(rows) if dy is None else _rows_of(backend, dy.array, (axis,))[0]
        dx, dgamma, dbeta = backend.batch_norm_backward(
            g, cache, *(None if d is None else d.array for d in (dmean, dvar)), need_dx
        )
        return (None if dx is None else _like(back(dx), x)), _like(dgamma, scale), _like(dbeta, offset), None

    return (y if y.dtype == x.dtype or not dtypes.is_float(x.dtype) else y.astype(x.dtype), mean, var), vjp


def _weights(xp, mask, shape, axis, rows):
    """Return the mask as a weight for each row of the matrix."""
    lead = tuple(n for i, n in enumerate(shape) if i != axis)
    if mask.shape != lead[:mask.ndim]:
        raise ValueError(
            f"batch_normalization: the mask must have the leading axes of x (shape {shape}, features on axis "
            f"{axis}), that is {lead} or its beginning; came {mask.shape}"
        )
    mask = mask.astype(dtypes.wide(rows.dtype)).reshape(mask.shape + (1,) * (len(lead) - mask.ndim))
    return xp.ascontiguousarray(xp.broadcast_to(mask, lead)).reshape(-1)


def _batch_second_order(dys, x, scale, offset, weights, axis, epsilon):
    """Return the gradients by differentiating the formula written in ops."""
    ops = _ops()

    def formula(x, scale, offset):
        others = tuple(i for i in range(x.ndim) if i != axis)
        shape = tuple(n if i == axis else 1 for i, n in enumerate(x.shape))
        if weights is None:
            mean = ops.mean(x, axis=others, keepdims=True)
            var = ops.mean(ops.square(x - mean), axis=others, keepdims=True)
        else:
            lead = tuple(n for i, n in enumerate(x.shape) if i != axis)
            w = ops.expand_dims(Tensor(weights.reshape(lead)), axis)
            total = ops.sum(w) + config.epsilon()
            mean = ops.sum(x * w, axis=others, keepdims=True) / total
            var = ops.sum(ops.square(x - mean) * w, axis=others, keepdims=True) / total
        y = (x - mean) * ops.rsqrt(var + epsilon)
        y = y if scale is None else y * ops.reshape(scale, shape)
        y = y if offset is None else y + ops.reshape(offset, shape)
        return y, ops.reshape(mean, (-1,)), ops.reshape(var, (-1,))

    return (*_differentiate(formula, (x, scale, offset), dys), None)


def _differentiate(formula, inputs, dys):
    """Return the gradients of ``formula(*inputs)``, itself recorded by the open tapes."""
    with autograd.GradientTape(watch_accessed_variables=False) as tape:
        floats = [v for v in inputs if v is not None and dtypes.is_float(v.array.dtype)]
        tape.watch(floats)
        outputs = formula(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    used = [(y, dy) for y, dy in zip(outputs, dys) if dy is not None]
    found = iter(tape.gradient([y for y, _ in used], floats, [dy for _, dy in used]))
    return tuple(next(found) if v is not None and dtypes.is_float(v.array.dtype) else None for v in inputs)


def _check_size(name, size, shape, **vectors):
    for what, v in vectors.items():
        if v is not None and v.size != size:
            raise ValueError(
                f"{name}: {what} has shape {v.shape}, but the normalised axes of x (shape {shape}) have "
                f"{size} elements"
            )


def _same_first(x, *args, **kwargs):
    return tuple(x)


def _float_first(x, *args, **kwargs):
    return dtypes.float_type(x).name


@op(shape=_same_first, dtype=_float_first, tensors=5, bfloat16="kernels")
def _normalize(x, mean, variance, scale, offset, axis, epsilon):
    """Normalise by a given mean and variance: ``batch_normalization`` with its tensors in front."""
    axis = shapes.normalize_axis(axis, x.ndim)
    backend = x.backend
    xp = backend.xp
    _check_vectors(x, axis, mean, variance, scale, offset)
    rows, back = _rows_of(backend, x.array, (axis,))
    m, v, s, b = (None if t is None else _wide(t.array) for t in (mean, variance, scale, offset))
    r = 1 / xp.sqrt(v + epsilon)
    factor = r if s is None else r * s
    shift = m * -factor if b is None else b - m * factor
    y = back(backend.affine_columns(rows, factor, shift))
    inputs = (x, mean, variance, scale, offset)
    needs = [bool(_STATE.tapes) and autograd.is_tracked(t) for t in inputs]

    def vjp(dy):
        if _STATE.tapes:
            formula = functools.partial(_normalize_formula, axis=axis, epsilon=epsilon)
            return _differentiate(formula, inputs, (dy,))
        g = _rows_of(backend, dy.array, (axis,))[0]
        found = [back(backend.affine_columns(g, factor)) if needs[0] else None] + [None] * 4
        if any(needs[1:]):
            g = _wide(g)
            total = backend.column_sum(g)
            along = backend.column_sum(g * _wide(rows)) - m * total  # with x - mean
            found[1:] = total * -factor, along * factor * r * r * -0.5, along * r, total
        return tuple(_like(d, t) if need else None for d, t, need in zip(found, inputs, needs))

    return (y if y.dtype == x.dtype or not dtypes.is_float(x.dtype) else y.astype(x.dtype)), vjp


def _normalize_formula(x, mean, variance, scale, offset, axis, epsilon):
    ops = _ops()
    shape = tuple(-1 if i == axis else 1 for i in range(x.ndim))
    y = (x - ops.reshape(mean, shape)) * ops.rsqrt(ops.reshape(variance, shape) + epsilon)
    y = y if scale is None else y * ops.reshape(scale, shape)
    return y if offset is None else y + ops.reshape(offset, shape)


def _check_vectors(x, axis, *vectors) -> None:
    size = x.shape[axis]
    if any(v is not None and v.shape != (size,) for v in vectors):
        raise ValueError(
            f"batch_normalization: x has {size} features on axis {axis}; mean, variance, scale and offset "
            f"came with shapes {[None if v is None else tuple(v.shape) for v in vectors]}"
        )


def batch_normalization(x, mean, variance, axis, offset=None, scale=None, epsilon=1e-3):
    """Normalise ``x`` by a given mean and variance (inference).

    Parameters
    ----------
    x : tensor
    mean, variance : tensor, shape (C,)
    axis : int
        Axis of the features C.
    offset, scale : tensor, shape (C,), optional
        Beta and gamma.
    epsilon : float
        Added to the variance.

    Returns
    -------
    tensor like ``x``

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.convert_to_tensor([[1.0], [3.0]])
    >>> mean, variance = keras.ops.convert_to_tensor([2.0]), keras.ops.convert_to_tensor([1.0])
    >>> keras.ops.batch_normalization(x, mean, variance, axis=-1, epsilon=0.0).numpy()
    array([[-1.],
           [ 1.]], dtype=float32)
    """
    return _normalize(x, mean, variance, scale, offset, axis=axis, epsilon=epsilon)


# ---- layer and RMS normalisation ------------------------------------------------------------------
def _row_norm(name, x, gamma, beta, axis, epsilon, center):
    """Normalise over ``axis``; shared by layer and root-mean-square normalisation."""
    epsilon = config.epsilon() if epsilon is None else epsilon
    axes = shapes.normalize_axes(axis, x.ndim)
    backend = x.backend
    width = math.prod(x.shape[i] for i in axes)
    _check_size(name, width, x.shape, gamma=gamma, beta=beta)
    rows, back = _rows_of(backend, x.array, axes)
    vectors = [None if v is None else v.array.reshape(-1) for v in (gamma, beta)]
    y, cache = backend.layer_norm_forward(rows, *vectors, epsilon, center)
    need_dx = bool(_STATE.tapes) and autograd.is_tracked(x)
    y = back(y)

    def vjp(dy):
        if _STATE.tapes:
            return _differentiate(
                lambda x, gamma, beta: _row_norm_formula(x, gamma, beta, axes, epsilon, center),
                (x, gamma, beta), (dy,),
            )
        g = _rows_of(backend, dy.array, axes)[0]
        dx, dgamma, dbeta = backend.layer_norm_backward(g, cache, need_dx)
        return (None if dx is None else _like(back(dx), x)), _like(dgamma, gamma), _like(dbeta, beta)

    return (y if y.dtype == x.dtype or not dtypes.is_float(x.dtype) else y.astype(x.dtype)), vjp


def _row_norm_formula(x, gamma, beta, axes, epsilon, center):
    ops = _ops()
    if center:
        x = x - ops.mean(x, axis=axes, keepdims=True)
    y = x * ops.rsqrt(ops.mean(ops.square(x), axis=axes, keepdims=True) + epsilon)
    shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
    y = y if gamma is None else y * ops.reshape(gamma, shape)
    return y if beta is None else y + ops.reshape(beta, shape)


@op(shape=_same_first, dtype=_float_first, tensors=3, bfloat16="kernels")
def layer_normalization(x, gamma=None, beta=None, axis=-1, epsilon=None, rms_scaling=False):
    """Normalise every sample over ``axis``: mean 0, variance 1, then ``* gamma + beta``.

    Parameters
    ----------
    x : tensor
    gamma, beta : tensor with the sizes of ``axis``, optional
    axis : int or sequence of int
    epsilon : float, optional
        Added to the variance; ``None``: ``config.epsilon()``.
    rms_scaling : bool
        Of Keras 3: divide by the standard deviation without subtracting the mean, multiply by ``gamma``, and
        leave ``beta`` out.

    Returns
    -------
    tensor like ``x``

    References
    ----------
    Ba et al., 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.layer_normalization([[1.0, 3.0]], epsilon=0.0).numpy()
    array([[-1.,  1.]], dtype=float32)
    """
    if rms_scaling:
        return _deviation_norm(x, gamma, axis, epsilon)
    return _row_norm("layer_normalization", x, gamma, beta, axis, epsilon, True)


def _deviation_norm(x, gamma, axis, epsilon):
    """Divide by the standard deviation; the gradient is that of the formula."""
    axes = shapes.normalize_axes(axis, x.ndim)
    epsilon = config.epsilon() if epsilon is None else epsilon
    _check_size("layer_normalization", math.prod(x.shape[i] for i in axes), x.shape, gamma=gamma)

    def formula(x, gamma):
        ops = _ops()
        wide = ops.cast(x, dtypes.wide(dtypes.float_type(x.dtype)).name)
        y = wide * ops.rsqrt(ops.var(wide, axis=axes, keepdims=True) + epsilon)
        shape = tuple(n if i in axes else 1 for i, n in enumerate(x.shape))
        y = y if gamma is None else y * ops.reshape(gamma, shape)
        return ops.cast(y, dtypes.float_type(x.dtype).name)

    with autograd.no_recording():
        y = formula(x, gamma)
    return y.array, lambda dy: (*_differentiate(formula, (x, gamma), (dy,)), None)


@op(shape=_same_first, dtype=_float_first, tensors=2, bfloat16="kernels")
def rms_normalization(x, scale=None, axis=-1, epsilon=None):
    """Divide every sample by its root mean square over ``axis``, then multiply by ``scale``.

    Parameters
    ----------
    x : tensor
    scale : tensor with the sizes of ``axis``, optional
    axis : int or sequence of int
    epsilon : float, optional
        Added to the mean square; ``None``: ``config.epsilon()``.

    Returns
    -------
    tensor like ``x``

    References
    ----------
    Zhang and Sennrich, 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.rms_normalization([[3.0, 4.0, 0.0, 0.0]], epsilon=0.0).numpy()
    array([[1.2, 1.6, 0. , 0. ]], dtype=float32)
    """
    y, vjp = _row_norm("rms_normalization", x, scale, None, axis, epsilon, False)
    return y, lambda dy: vjp(dy)[:2]


# ---- group and unit normalisation -----------------------------------------------------------------
@op(shape=_same_first, dtype=_float_first, tensors=3)
def group_normalization(x, gamma=None, beta=None, groups=32, axis=-1, epsilon=1e-3):
    """Normalise groups of neighbouring channels of every sample: mean 0, variance 1, ``* gamma + beta``.

    Parameters
    ----------
    x : tensor, shape (N, ..., C)
    gamma, beta : tensor, shape (C,), optional
    groups : int
        It divides C.
    axis : int
        Axis of the channels C, not the first.
    epsilon : float
        Added to the variance.

    Returns
    -------
    tensor like ``x``

    References
    ----------
    Wu and He, 2018, arXiv:1803.08494.

    Examples
    --------
    >>> from gpukeras.ops.normalization import group_normalization
    >>> group_normalization([[1.0, 3.0, 5.0, 5.0]], groups=2, epsilon=0.0001).numpy().round(3)
    array([[-1.,  1.,  0.,  0.]], dtype=float32)
    """
    axis = shapes.normalize_axis(axis, x.ndim)
    if not axis or x.shape[axis] % groups:
        raise ValueError(
            f"group_normalization: {groups} groups of the channels on axis {axis} of x (shape {x.shape}): "
            "their number must be a multiple of that of groups, and the first axis is that of samples"
        )
    _check_size("group_normalization", x.shape[axis], x.shape, gamma=gamma, beta=beta)
    backend, last = x.backend, axis != 1 or x.ndim == 2
    order = tuple(i for i in range(x.ndim) if i != axis) + (axis,) if last and axis != x.ndim - 1 else None
    half = backend.normalizes_half and x.array.dtype == "float16"
    a = _ordered(x.array if half else _wide(x.array), order)
    shape = (a.shape[0], -1, a.shape[-1]) if last else (a.shape[0], a.shape[1], -1)
    if 0 in a.shape:
        return _wide(x.array).astype(x.dtype), lambda dy: (dy, *(_zeros_like(v) for v in (gamma, beta)))
    vectors = [None if v is None else v.array for v in (gamma, beta)]
    y, cache = backend.group_norm_forward(a.reshape(shape), groups, *vectors, epsilon, last)
    need_dx = bool(_STATE.tapes) and autograd.is_tracked(x)
    back = None if order is None else tuple(order.index(i) for i in range(x.ndim))

    def vjp(dy):
        if _STATE.tapes:
            formula = functools.partial(_group_norm_formula, groups=groups, axis=axis, epsilon=epsilon)
            return _differentiate(formula, (x, gamma, beta), (dy,))
        g = dy.array if half and dy.array.dtype == "float16" else _wide(dy.array)
        dx, dgamma, dbeta = backend.group_norm_backward(_ordered(g, order).reshape(shape), cache, need_dx)
        dx = None if dx is None else _like(_ordered(dx.reshape(a.shape), back), x)
        return dx, _like(dgamma, gamma), _like(dbeta, beta)

    y = _ordered(y.reshape(a.shape), back)
    kind = dtypes.float_type(x.dtype)
    return (y if y.dtype == kind else y.astype(kind)), vjp


def _ordered(a, order):
    return a if order is None else a.transpose(order)


def _zeros_like(tensor):
    return None if tensor is None else Tensor(tensor.backend.xp.zeros_like(tensor.array))


def _group_norm_formula(x, gamma, beta, groups, axis, epsilon):
    ops = _ops()
    size = x.shape[axis]
    split = (*x.shape[:axis], groups, size // groups, *x.shape[axis + 1:])
    z = ops.reshape(x, split)
    axes = tuple(i for i in range(1, len(split)) if i != axis)
    z = _row_norm_formula(z, None, None, axes, epsilon, True)
    shape = tuple(size if i == axis else 1 for i in range(len(x.shape)))
    y = ops.reshape(z, x.shape)
    y = y if gamma is None else y * ops.reshape(gamma, shape)
    return y if beta is None else y + ops.reshape(beta, shape)


@op(shape=_same_first, dtype=_float_first)
def unit_normalization(x, axis=-1, epsilon=1e-12):
    """Divide ``x`` by its Euclidean length along ``axis``, but by no less than ``epsilon``.

    Parameters
    ----------
    x : tensor
    axis : int or tuple of int
    epsilon : float

    Notes
    -----
    ``dx = (dy - y sum(dy y)) / length`` where the length is above ``epsilon``, else ``dy / epsilon``.
    """
    a = x.array if dtypes.is_float(x.array.dtype) else x.array.astype(dtypes.floatx())
    axes, xp = shapes.normalize_axes(axis, a.ndim), x.backend.xp
    wide = _wide(a)
    squares = (wide * wide).sum(axis=axes, keepdims=True)
    floor = wide.dtype.type(epsilon * epsilon)
    r = 1 / xp.sqrt(xp.maximum(squares, floor))
    y = wide * r

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()

            def formula(x):
                total = ops.sum(ops.square(x), axis=axes, keepdims=True)
                return x * ops.rsqrt(ops.maximum(total, float(floor)))

            return _differentiate(formula, (x,), (dy,))
        d = _wide(dy.array)
        along = (d * y).sum(axis=axes, keepdims=True) * (squares > floor)
        return _like((d - y * along) * r, x)

    return y.astype(a.dtype, copy=False), vjp
