"""Maximum and average pooling over one to three spatial axes."""

from __future__ import annotations

import functools

from gpukeras import autograd, config, dtypes
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops.convolutions import _channels_back, _channels_last, _plain, with_shape


def max_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Take the largest element of every window of every channel.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
        One, two or three spatial axes.
    pool_size : int or sequence of int
        Size of the window.
    strides : int or sequence of int, optional
        Step between windows; default: ``pool_size``.
    padding : {"valid", "same"}
        Whole windows only, or windows that may reach over the border.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor, shape (N, *out, C) or (N, C, *out)

    Raises
    ------
    ValueError
        Where a window is larger than the input.

    Notes
    -----
    The gradient of a window goes to the first of its largest elements.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.convert_to_tensor([1.0, 3.0, 2.0, 5.0]), (1, 4, 1))
    >>> keras.ops.max_pool(x, 2).numpy().ravel()
    array([3., 5.], dtype=float32)
    """
    return maximum_pooling(with_shape(inputs), **_settings(pool_size, strides, padding, data_format))


def average_pool(inputs, pool_size, strides=None, padding="valid", data_format=None):
    """Take the mean of every window of every channel.

    Parameters
    ----------
    inputs, pool_size, strides, padding, data_format
        As in ``max_pool``.

    Returns
    -------
    tensor, shape (N, *out, C) or (N, C, *out)

    Raises
    ------
    ValueError
        Where a window is larger than the input.

    Notes
    -----
    With ``padding="same"`` a window at the border is the mean of its real elements only.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.convert_to_tensor([1.0, 3.0, 2.0]), (1, 3, 1))
    >>> keras.ops.average_pool(x, 2, padding="same").numpy().ravel()
    array([2., 2.], dtype=float32)
    """
    return mean_pooling(with_shape(inputs), **_settings(pool_size, strides, padding, data_format))


def _settings(pool_size, strides, padding, data_format) -> dict:
    return {
        "pool_size": _plain(pool_size), "strides": _plain(strides), "padding": padding.lower(),
        "data_format": config.standardize_data_format(data_format),
    }


@functools.lru_cache(maxsize=256)
def _windows(shape, pool_size, strides, padding, data_format) -> window_shapes.Windows:
    window_shapes.pool(shape, pool_size, strides, padding, data_format)  # for its errors
    spatial, _ = window_shapes.split_format(shape, data_format)
    rank = len(spatial)
    window = window_shapes.per_axis(pool_size, rank, "pool_size")
    step = window if strides is None else window_shapes.per_axis(strides, rank, "strides")
    return window_shapes.windows(spatial, window, step, padding, (1,) * rank, "pooling")


# ---- the ops ---------------------------------------------------------------------------------------------
@op(shape=window_shapes.pool, bfloat16="kernels")
def maximum_pooling(inputs, pool_size, strides=None, padding="valid", data_format="channels_last"):
    """Maximum pooling with all settings given: see ``max_pool``."""
    windows = _windows(inputs.shape, pool_size, strides, padding, data_format)
    backend = inputs.backend
    x = _channels_last(inputs.array, data_format)
    if not (autograd.recording() and autograd.is_tracked(inputs)):
        return _channels_back(backend.max_pool_forward(x, windows), data_format), None
    y, where = backend.max_pool_training(x, windows)
    kind = y.dtype

    def vjp(dy):
        if autograd.recording():
            return max_pool_gradient(dy, where, windows, data_format)
        d = _channels_last(dy.array.astype(kind, copy=False), data_format)
        return _channels_back(backend.max_pool_backward(d, where, windows), data_format)

    return _channels_back(y, data_format), vjp


# The next two are linear in their tensor, and each is the other's gradient: any order of derivatives works.
def _gradient_shape(dy, where, windows, data_format="channels_last"):
    return window_shapes.join_format(where.shape[0], windows.size, where.shape[-1], data_format)


@op(shape=_gradient_shape, bfloat16="kernels")
def max_pool_gradient(dy, where, windows, data_format="channels_last"):
    """Send the gradient of every window to its largest element; ``where``: a channels-last array."""
    dx = dy.backend.max_pool_backward(_channels_last(dy.array, data_format), where, windows)
    return _channels_back(dx, data_format), lambda v: max_pool_select(v, where, windows, data_format)


def _select_shape(v, where, windows, data_format="channels_last"):
    return window_shapes.join_format(where.shape[0], windows.out, where.shape[-1], data_format)


@op(shape=_select_shape, bfloat16="kernels")
def max_pool_select(v, where, windows, data_format="channels_last"):
    """Take the element of ``v`` where the maximum of its window was."""
    found = v.backend.max_pool_select(_channels_last(v.array, data_format), where, windows)
    return _channels_back(found, data_format), lambda dy: max_pool_gradient(dy, where, windows, data_format)


@op(shape=window_shapes.pool, dtype="float", bfloat16="kernels")
def mean_pooling(inputs, pool_size, strides=None, padding="valid", data_format="channels_last"):
    """Average pooling with all settings given: see ``average_pool``."""
    windows = _windows(inputs.shape, pool_size, strides, padding, data_format)
    kind = dtypes.float_type(inputs.dtype)
    x = _channels_last(inputs.array.astype(kind, copy=False), data_format)
    y = inputs.backend.average_pool_forward(x, windows)
    return _channels_back(y, data_format), lambda dy: average_pool_gradient(dy, windows, data_format)


def _spread_shape(dy, windows, data_format="channels_last"):
    channels = window_shapes.split_format(dy, data_format)[1]
    return window_shapes.join_format(dy[0], windows.size, channels, data_format)


@op(shape=_spread_shape, bfloat16="kernels")
def average_pool_gradient(dy, windows, data_format="channels_last"):
    """Spread the gradient of every window evenly over its elements."""
    dx = dy.backend.average_pool_backward(_channels_last(dy.array, data_format), windows)

    def vjp(v):
        return mean_pooling(v, windows.window, windows.strides, _padding_of(windows), data_format)

    return _channels_back(dx, data_format), vjp


def _padding_of(windows: window_shapes.Windows) -> str:
    """Return the padding that lays these windows."""
    return "valid" if windows.padded == windows.size else "same"
