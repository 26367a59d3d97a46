"""Depthwise and separable convolutions: every channel by itself, then, if wanted, mixed at every position."""

from __future__ import annotations

from gpukeras import autograd, config
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops import convolutions as plain
from gpukeras.ops.convolutions import _cast, _channels_back, _channels_last, _like, _plain, with_shape


def depthwise_conv(inputs, kernel, strides=1, padding="valid", data_format=None, dilation_rate=1):
    """Convolve each channel with its own filters.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
    kernel : tensor, shape (*window, C, multiplier)
    strides, padding, data_format, dilation_rate
        As in ``conv``.

    Returns
    -------
    tensor with C * multiplier channels: those made from channel 0 first.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.depthwise_conv(keras.ops.ones((1, 4, 4, 3)), keras.ops.ones((3, 3, 3, 2))).shape
    (1, 2, 2, 6)
    """
    return depthwise_convolution(
        with_shape(inputs), with_shape(kernel), None, strides=_plain(strides), padding=padding.lower(),
        data_format=config.standardize_data_format(data_format), dilation_rate=_plain(dilation_rate),
    )


def separable_conv(
    inputs, depthwise_kernel, pointwise_kernel, strides=1, padding="valid", data_format=None,
    dilation_rate=1,
):
    """Convolve each channel by itself, then mix the channels at every position.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
    depthwise_kernel : tensor, shape (*window, C, multiplier)
    pointwise_kernel : tensor, shape (1, ..., 1, C * multiplier, filters)
    strides, padding, data_format, dilation_rate
        As in ``conv``, for the first step.

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)

    References
    ----------
    Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv:1610.02357.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x, depthwise = keras.ops.ones((1, 4, 4, 3)), keras.ops.ones((3, 3, 3, 2))
    >>> keras.ops.separable_conv(x, depthwise, keras.ops.ones((1, 1, 6, 5))).shape
    (1, 2, 2, 5)
    """
    return separable_convolution(
        with_shape(inputs), with_shape(depthwise_kernel), with_shape(pointwise_kernel), None,
        strides=_plain(strides), padding=padding.lower(),
        data_format=config.standardize_data_format(data_format), dilation_rate=_plain(dilation_rate),
    )


# ---- the ops ---------------------------------------------------------------------------------------------
@op(shape=window_shapes.depthwise_convolution, tensors=3)
def depthwise_convolution(
    inputs, kernel, bias=None, strides=1, padding="valid", data_format="channels_last", dilation_rate=1,
    activation=None,
):
    """Convolve each channel with its own filters, add a bias and apply an activation, in one step.

    Parameters
    ----------
    inputs, kernel, strides, padding, data_format, dilation_rate
        As in ``depthwise_conv``.
    bias : tensor, shape (C * multiplier,), optional
    activation : {None, "relu", "tanh", "sigmoid"}

    Returns
    -------
    tensor with C * multiplier channels
    """
    window_shapes.depthwise_convolution(  # for its errors
        inputs.shape, kernel.shape, None if bias is None else bias.shape, strides, padding, data_format,
        dilation_rate,
    )
    *window, channels, multiplier = kernel.shape
    return plain.fused(
        inputs, kernel, bias, strides, padding, data_format, dilation_rate, channels, activation,
        (*window, 1, channels * multiplier),
    )


@op(shape=window_shapes.separable_convolution, tensors=4)
def separable_convolution(
    inputs, depthwise_kernel, pointwise_kernel, bias=None, strides=1, padding="valid",
    data_format="channels_last", dilation_rate=1, activation=None,
):
    """Convolve each channel by itself, mix the channels, add a bias and apply an activation, in one step.

    Parameters
    ----------
    inputs, depthwise_kernel, pointwise_kernel, strides, padding, data_format, dilation_rate
        As in ``separable_conv``.
    bias : tensor, shape (filters,), optional
    activation : {None, "relu", "tanh", "sigmoid"}

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)
    """
    plain._check_activation(activation, "separable convolution")
    window_shapes.separable_convolution(  # for its errors
        inputs.shape, depthwise_kernel.shape, pointwise_kernel.shape, None if bias is None else bias.shape,
        strides, padding, data_format, dilation_rate,
    )
    backend = inputs.backend
    x, w, p, b = plain._promote(inputs, depthwise_kernel, pointwise_kernel, bias)
    x, channels = _channels_last(x, data_format), w.shape[-2]
    w = w.reshape(*w.shape[:-2], 1, -1)
    windows = plain._windows(x.shape, w.shape, strides, padding, dilation_rate)
    one = (1,) * len(windows.out)
    points = window_shapes.Windows(windows.out, one, windows.out, one, (0,) * len(one), one)
    between = backend.conv_forward(x, w, windows, channels)
    y = backend.conv_forward(between, p, points, 1, b, activation)
    tensors = (inputs, depthwise_kernel, pointwise_kernel, bias)
    wanted = [autograd.is_tracked(t) for t in tensors]

    def vjp(dy):
        if autograd.recording():
            return _by_ops(dy)
        dz, dx, dw, dp = _channels_last(plain._array(dy, y.dtype), data_format), None, None, None
        if not (wanted[0] or wanted[1]):
            dp, db = backend.conv_backward_first(between, dz, y, points, 1, activation, wanted[3])
            return None, None, _like(dp, pointwise_kernel), _like(db, bias)
        dz, db = backend.conv_backward_output(dz, y, activation, wanted[3])
        if wanted[2]:
            dp = _like(backend.conv_backward_kernel(between, dz, points), pointwise_kernel)
        dz = backend.conv_backward_data(dz, p, points)
        if wanted[1]:
            dw = backend.conv_backward_kernel(x, dz, windows, channels).reshape(depthwise_kernel.shape)
        if wanted[0]:
            dx = _channels_back(backend.conv_backward_data(dz, w, windows, channels), data_format)
        return _like(dx, inputs), _like(dw, depthwise_kernel), dp, _like(db, bias)

    def _by_ops(dy):
        """Do the same with ops, to be differentiated again."""
        first = dict(windows=windows, data_format=data_format, groups=channels)
        second = dict(windows=points, data_format=data_format)
        laid = plain._reshaped(depthwise_kernel, w.shape)
        middle = plain._convolve(inputs, laid, **first)
        dz = dy
        if activation is not None:
            z = plain._with_bias(plain._convolve(middle, pointwise_kernel, **second), bias, data_format)
            dz = plain._through_activation(dy, activation, z)
        d = plain.convolution_data(dz, pointwise_kernel, **second)
        found = (
            plain.convolution_data(d, laid, **first) if wanted[0] else None,
            plain._reshaped(plain.convolution_kernel(inputs, d, **first), depthwise_kernel.shape)
            if wanted[1] else None,
            plain.convolution_kernel(middle, dz, **second) if wanted[2] else None,
            plain._sum_positions(dz, data_format) if wanted[3] else None,
        )
        return tuple(_cast(d, t) for d, t in zip(found, tensors))

    return _channels_back(y, data_format), vjp
