"""Convolution over one to three spatial axes."""

from __future__ import annotations

from gpukeras import lazy, ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.convolutional_base import (
    FUSED,
    NONE,
    OLD_NAMES_1D,
    OLD_NAMES_ND,
    Convolving,
    positive,
)


class BaseConv(Convolving):
    """What convolution layers over any number of axes share: arguments, kernel, bias, activation.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Size of the window.
    strides, dilation_rate : int or tuple of int
        Step between windows, and between the elements of one window; one of the two must be 1.
    padding : {"valid", "same", "causal"}
        ``"causal"`` (one axis only) pads in front, so that no output sees later inputs.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    groups : int
        Into how many independent convolutions the channels are split.
    activation : str or callable, optional
    use_bias : bool
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, kernel_constraint, \
bias_constraint : str or object, optional
    """

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        groups=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):
        super().__init__(
            rank, kernel_size, strides, padding, data_format, dilation_rate,
            dict(activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
                 bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
                 bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
                 bias_constraint=bias_constraint),
            activity_regularizer, **kwargs,
        )
        self.filters = positive(filters, "filters", self)
        self.groups = positive(groups, "groups", self)
        if self.filters % self.groups:
            raise ValueError(
                f"layer {self.name!r}: filters={self.filters} cannot be split into groups={self.groups}"
            )
        self._only_strides_or_dilation()

    def _channels_of(self, input_shape) -> int:
        channels = super()._channels_of(input_shape)
        if channels % self.groups:
            raise ValueError(
                f"layer {self.name!r}: {channels} input channels cannot be split into groups={self.groups} "
                f"(input shape {tuple(input_shape)}, data_format={self.data_format!r})"
            )
        return channels

    def _kernel_shape(self, channels: int) -> tuple:
        return (*self.kernel_size, channels // self.groups, self.filters)

    def build(self, input_shape):
        channels = self._begin_build(input_shape)
        self.kernel = self._add_kernel("kernel", self._kernel_shape(channels))
        self._end_build(channels, self.filters)

    def convolution_op(self, inputs, kernel):
        """Convolve without bias and activation; subclasses may override it, to change the kernel first."""
        return ops.convolution(
            inputs, kernel, None, self.strides, self.padding, self.data_format, self.dilation_rate,
            self.groups,
        )

    def call(self, inputs):
        if type(self).convolution_op is not BaseConv.convolution_op:
            return self._finish(self.convolution_op(inputs, self.kernel))
        fused = FUSED.get(self.activation)
        outputs = ops.convolution(
            inputs, self.kernel, self.bias, self.strides, self.padding, self.data_format, self.dilation_rate,
            self.groups, fused,
        )
        return outputs if fused or self.activation in NONE else self.activation(outputs)

    def _output_shape(self, input_shape):
        return window_shapes.convolution(
            input_shape, self._kernel_shape(self._channels_of(input_shape)), None, self.strides, self.padding,
            self.data_format, self.dilation_rate, self.groups,
        )

    _written = ("filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint")


class Conv1D(BaseConv):
    """Convolution over one axis: time, or positions in a text.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int
        Length of the window.
    strides, dilation_rate : int
        Step between windows, and between the elements of one window; one of the two must be 1.
    padding : {"valid", "same", "causal"}
        ``"causal"``: no output sees later inputs.
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    groups : int
        Into how many independent convolutions the channels are split.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.

    Notes
    -----
    ``y[n, t, f] = activation(bias[f] + sum_{k, c} x[n, t * stride + k * dilation, c] kernel[k, c, f])``

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Conv1D(32, 3, activation="relu")(keras.ops.ones((4, 10, 8))).shape
    (4, 8, 32)
    """

    @old_names(**OLD_NAMES_1D)
    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1, groups=1,
        activation=None, use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):
        super().__init__(
            1, filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )


class Conv2D(BaseConv):
    """Convolution over height and width of images.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Height and width of the window.
    strides, dilation_rate : int or tuple of int
        Step between windows, and between the elements of one window; one of the two must be 1.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    groups : int
        Into how many independent convolutions the channels are split.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.

    Notes
    -----
    ``y[n, i, j, f] = activation(bias[f] + sum_{a, b, c} x[n, i s + a d, j s + b d, c] kernel[a, b, c, f])``
    with strides ``s`` and dilation ``d``; elements outside the image are zero.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Conv2D(32, 3, activation="relu")(keras.ops.ones((4, 28, 28, 1))).shape
    (4, 26, 26, 32)
    """

    @old_names("nb_row", "nb_col", **OLD_NAMES_ND)
    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1),
        groups=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        bias_constraint=None, **kwargs,
    ):
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )


class Conv3D(BaseConv):
    """Convolution over the three axes of volumes, or over height, width and time of films.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Size of the window along the three axes.
    strides, dilation_rate : int or tuple of int
        Step between windows, and between the elements of one window; one of the two must be 1.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).
    groups : int
        Into how many independent convolutions the channels are split.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.

    References
    ----------
    Ji et al., "3D Convolutional Neural Networks for Human Action Recognition", doi:10.1109/TPAMI.2012.59.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Conv3D(32, 3, activation="relu")(keras.ops.ones((2, 8, 8, 8, 1))).shape
    (2, 6, 6, 6, 32)
    """

    @old_names("kernel_dim1", "kernel_dim2", "kernel_dim3", **OLD_NAMES_ND)
    def __init__(
        self, filters, kernel_size, strides=(1, 1, 1), padding="valid", data_format=None,
        dilation_rate=(1, 1, 1), groups=1, activation=None, use_bias=True,
        kernel_initializer="glorot_uniform", bias_initializer="zeros", kernel_regularizer=None,
        bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, bias_constraint=None,
        **kwargs,
    ):
        super().__init__(
            3, filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation,
            use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
