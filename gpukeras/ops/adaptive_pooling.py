"""Pooling to a given size: windows that differ by at most one element along an axis."""

from __future__ import annotations

import inspect
import math

from gpukeras import config, dtypes
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops.convolutions import _plain, with_shape
from gpukeras.ops.pooling import maximum_pooling, mean_pooling
from gpukeras.ops.shaping import own


def adaptive_average_pool(inputs, output_size, data_format=None):
    """Take means so that every spatial axis comes to a given size.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
        One, two or three spatial axes.
    output_size : int or sequence of int
        Sizes of the spatial axes of the result.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor, shape (N, *output_size, C) or (N, C, *output_size)

    Raises
    ------
    ValueError
        Where there is no size for every axis, or one is not positive.

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``;
    neighbours share an element where that is no whole number.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(5, dtype="float32"), (1, 5, 1))
    >>> keras.ops.adaptive_average_pool(x, 2).numpy().ravel()
    array([1., 3.], dtype=float32)
    """
    return adaptive_mean_pooling(
        with_shape(inputs), output_size=_plain(output_size),
        data_format=config.standardize_data_format(data_format),
    )


def adaptive_max_pool(inputs, output_size, data_format=None):
    """Take the largest elements so that every spatial axis comes to a given size.

    Parameters
    ----------
    inputs, output_size, data_format
        As in ``adaptive_average_pool``, windows too.

    Returns
    -------
    tensor, shape (N, *output_size, C) or (N, C, *output_size)

    Raises
    ------
    ValueError
        Where there is no size for every axis, or one is not positive.

    Notes
    -----
    The gradient of a window goes to the first of its largest elements.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(5, dtype="float32"), (1, 5, 1))
    >>> keras.ops.adaptive_max_pool(x, 2).numpy().ravel()
    array([2., 4.], dtype=float32)
    """
    return adaptive_maximum_pooling(
        with_shape(inputs), output_size=_plain(output_size),
        data_format=config.standardize_data_format(data_format),
    )


_MEAN, _MAXIMUM = (inspect.unwrap(f) for f in (mean_pooling, maximum_pooling))  # what the ops are made of


# ---- the ops ---------------------------------------------------------------------------------------------
@op(shape=window_shapes.adaptive_pool, dtype="float")
def adaptive_mean_pooling(inputs, output_size, data_format="channels_last"):
    """Adaptive average pooling with all settings given: see ``adaptive_average_pool``."""
    shape = inputs.shape
    steps = _steps(shape, output_size, data_format)
    window = _even_window(shape, steps, data_format)
    if window:
        return _MEAN(inputs, window, window, "valid", data_format)
    y = inputs.array.astype(dtypes.float_type(inputs.dtype), copy=False)
    for axis, n, m in steps:
        y = _means(inputs.backend.xp, y, axis, n, m)
    return own(inputs, y), lambda dy: adaptive_mean_gradient(dy, shape, output_size, data_format)


# Linear, as the pooling itself: each is the gradient of the other.
@op(shape=lambda dy, shape, output_size, data_format: shape)
def adaptive_mean_gradient(dy, shape, output_size, data_format):
    """Spread the gradient of every window of an adaptive average evenly over its elements."""
    xp, dx = dy.backend.xp, dy.array
    for axis, n, m in reversed(_steps(shape, output_size, data_format)):
        spread = xp.zeros((*dx.shape[:axis], n, *dx.shape[axis + 1 :]), dx.dtype)
        target, source = _periods(spread, axis, n, m), _periods(dx, axis, m, n)
        for i, (start, stop) in enumerate(_windows(n, m)):
            target[:, :, start:stop] += source[:, :, i : i + 1] / (stop - start)
        dx = spread
    return dx, lambda v: adaptive_mean_pooling(v, output_size, data_format)


@op(shape=window_shapes.adaptive_pool)
def adaptive_maximum_pooling(inputs, output_size, data_format="channels_last"):
    """Adaptive maximum pooling with all settings given: see ``adaptive_max_pool``."""
    shape = inputs.shape
    steps = _steps(shape, output_size, data_format)
    window = _even_window(shape, steps, data_format)
    if window:
        return _MAXIMUM(inputs, window, window, "valid", data_format)
    xp, y = inputs.backend.xp, inputs.array
    winners = []
    for axis, n, m in steps:
        y, where = _maxima(xp, y, axis, n, m)
        winners.append(where)

    def vjp(dy):
        for step, where in zip(reversed(steps), reversed(winners)):
            dy = adaptive_max_gradient(dy, where, *step)
        return dy

    return own(inputs, y), vjp if dtypes.is_float(y.dtype) else None


# The next two are linear in their tensor, and each is the other's gradient.
@op(shape=lambda dy, where, axis, n, m: (*dy[:axis], n, *dy[axis + 1 :]))
def adaptive_max_gradient(dy, where, axis, n, m):
    """Send the gradient of every window along one axis to its largest element."""
    xp = dy.backend.xp
    dx = xp.zeros((*dy.shape[:axis], n, *dy.shape[axis + 1 :]), dy.dtype)
    target, source = _periods(dx, axis, n, m), _periods(dy.array, axis, m, n)
    for i, (start, stop) in enumerate(_windows(n, m)):
        taps = xp.arange(stop - start).reshape(-1, 1)
        target[:, :, start:stop] += source[:, :, i : i + 1] * (taps == where[:, :, i : i + 1])
    return dx, lambda v: adaptive_max_select(v, where, axis, n, m)


@op(shape=lambda v, where, axis, n, m: (*v[:axis], m, *v[axis + 1 :]))
def adaptive_max_select(v, where, axis, n, m):
    """Take the element of ``v`` where the maximum of its window along one axis was."""
    xp = v.backend.xp
    y = xp.zeros((*v.shape[:axis], m, *v.shape[axis + 1 :]), v.dtype)
    target, source = _periods(y, axis, m, n), _periods(v.array, axis, n, m)
    for i, (start, stop) in enumerate(_windows(n, m)):
        taps = xp.arange(stop - start).reshape(-1, 1)
        here = taps == where[:, :, i : i + 1]
        target[:, :, i] = (source[:, :, start:stop] * here).sum(axis=2)
    return y, lambda dy: adaptive_max_gradient(dy, where, axis, n, m)


# ---- one axis --------------------------------------------------------------------------------------------
def _steps(shape, output_size, data_format: str) -> list[tuple[int, int, int]]:
    """Return (axis, size, new size) of the axes that change, the last one first."""
    sizes, _ = window_shapes.split_format(
        window_shapes.adaptive_pool(shape, output_size, data_format), data_format)
    first = 1 if data_format == "channels_last" else 2
    axes = range(first, first + len(sizes))
    if 0 in shape[first : first + len(sizes)]:
        raise ValueError(f"adaptive pooling needs elements on every spatial axis, came shape {tuple(shape)}")
    return [(i, shape[i], m) for i, m in reversed(list(zip(axes, sizes))) if shape[i] != m]


def _even_window(shape, steps, data_format: str) -> tuple[int, ...] | None:
    """Return the window where all are equal and apart: that is ordinary pooling.

    Whole axes are quicker reduced than pooled.
    """
    if not steps or any(n % m for _, n, m in steps) or all(m == 1 for _, _, m in steps):
        return None
    spatial, _ = window_shapes.split_format(tuple(range(len(shape))), data_format)
    window = {axis: n // m for axis, n, m in steps}
    return tuple(window.get(axis, 1) for axis in spatial)


def _windows(n: int, m: int) -> list[tuple[int, int]]:
    """Return the windows of one period: they repeat after ``n / gcd`` elements."""
    periods = math.gcd(n, m)
    n, m = n // periods, m // periods
    return [(i * n // m, -(-(i + 1) * n // m)) for i in range(m)]


def _periods(x, axis: int, size: int, other: int):
    """Return a view (before, periods, elements of one, after) of a contiguous array."""
    periods = math.gcd(size, other)
    before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    return x.reshape(before, periods, size // periods, after)


def _means(xp, x, axis: int, n: int, m: int):
    y = xp.empty((*x.shape[:axis], m, *x.shape[axis + 1 :]), x.dtype)
    source, target = _periods(x, axis, n, m), _periods(y, axis, m, n)
    for i, (start, stop) in enumerate(_windows(n, m)):
        target[:, :, i] = source[:, :, start:stop].mean(axis=2)
    return y


def _maxima(xp, x, axis: int, n: int, m: int):
    """Return the maxima along one axis, and which element of its window each one was, by periods."""
    y = xp.empty((*x.shape[:axis], m, *x.shape[axis + 1 :]), x.dtype)
    source, target = _periods(x, axis, n, m), _periods(y, axis, m, n)
    where = xp.empty(target.shape, "int32")
    for i, (start, stop) in enumerate(_windows(n, m)):
        part = source[:, :, start:stop]
        target[:, :, i] = part.max(axis=2)
        where[:, :, i] = part.argmax(axis=2)
    return y, where
