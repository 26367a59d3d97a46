"""Depthwise convolution, and separable convolution: depthwise first, then a mix of the channels."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.convolutional_base import (
    FUSED,
    NONE,
    OLD_NAMES,
    Convolving,
    one_group,
    positive,
)

OLD = {
    **OLD_NAMES, "subsample": "strides", "dim_ordering": "data_format", "b_regularizer": "bias_regularizer",
    "b_constraint": "bias_constraint", "bias": "use_bias",
}


# Keras 2 took these for depthwise layers, where they had no effect.
OLD_DEPTHWISE = {
    f"kernel_{kind}": f"depthwise_{kind}" for kind in ("initializer", "regularizer", "constraint")
}


class BaseDepthwiseConv(Convolving):
    """What depthwise convolutions over any number of axes share.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    depth_multiplier, kernel_size, strides, padding, data_format, dilation_rate, activation, use_bias, \
depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer, activity_regularizer, \
depthwise_constraint, bias_constraint
        As in ``DepthwiseConv2D``.
    """

    def __init__(
        self, rank, depth_multiplier, kernel_size, strides=1, padding="valid", data_format=None,
        dilation_rate=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        bias_initializer="zeros", depthwise_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, depthwise_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            rank, kernel_size, strides, padding, data_format, dilation_rate,
            dict(activation=activation, use_bias=use_bias, depthwise_initializer=depthwise_initializer,
                 bias_initializer=bias_initializer, depthwise_regularizer=depthwise_regularizer,
                 bias_regularizer=bias_regularizer, depthwise_constraint=depthwise_constraint,
                 bias_constraint=bias_constraint),
            activity_regularizer, **one_group(kwargs, self),
        )
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", self)

    @property
    def depthwise_kernel(self):
        """The kernel, by its name in Keras 2."""
        return self.kernel

    def build(self, input_shape):
        channels = self._begin_build(input_shape)
        shape = (*self.kernel_size, channels, self.depth_multiplier)
        self.kernel = self._add_kernel("kernel", shape, "depthwise")
        self._end_build(channels, channels * self.depth_multiplier)

    def call(self, inputs):
        fused = FUSED.get(self.activation)
        outputs = ops.depthwise_convolution(
            inputs, self.kernel, self.bias, self.strides, self.padding, self.data_format, self.dilation_rate,
            fused,
        )
        return outputs if fused or self.activation in NONE else self.activation(outputs)

    def _output_shape(self, input_shape):
        kernel = (*self.kernel_size, self._channels_of(input_shape), self.depth_multiplier)
        return window_shapes.depthwise_convolution(
            input_shape, kernel, None, self.strides, self.padding, self.data_format, self.dilation_rate,
        )

    _written = (
        "depth_multiplier", "depthwise_initializer", "depthwise_regularizer", "depthwise_constraint")


class BaseSeparableConv(Convolving):
    """What separable convolutions over any number of axes share.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    depth_multiplier, filters, kernel_size, strides, padding, data_format, dilation_rate, activation, \
use_bias, depthwise_initializer, pointwise_initializer, bias_initializer, depthwise_regularizer, \
pointwise_regularizer, bias_regularizer, activity_regularizer, depthwise_constraint, \
pointwise_constraint, bias_constraint
        As in ``SeparableConv2D``.
    """

    def __init__(
        self, rank, depth_multiplier, filters, kernel_size, strides=1, padding="valid", data_format=None,
        dilation_rate=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
        pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None, pointwise_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            rank, kernel_size, strides, padding, data_format, dilation_rate,
            dict(activation=activation, use_bias=use_bias, depthwise_initializer=depthwise_initializer,
                 pointwise_initializer=pointwise_initializer, bias_initializer=bias_initializer,
                 depthwise_regularizer=depthwise_regularizer, pointwise_regularizer=pointwise_regularizer,
                 bias_regularizer=bias_regularizer, depthwise_constraint=depthwise_constraint,
                 pointwise_constraint=pointwise_constraint, bias_constraint=bias_constraint),
            activity_regularizer, **one_group(kwargs, self),
        )
        self.depth_multiplier = positive(depth_multiplier, "depth_multiplier", self)
        self.filters = positive(filters, "filters", self)

    def _kernel_shapes(self, channels: int) -> tuple[tuple, tuple]:
        inner = channels * self.depth_multiplier
        return (
            (*self.kernel_size, channels, self.depth_multiplier), (*(1,) * self.rank, inner, self.filters))

    def build(self, input_shape):
        channels = self._begin_build(input_shape)
        depthwise, pointwise = self._kernel_shapes(channels)
        self.depthwise_kernel = self._add_kernel("depthwise_kernel", depthwise, "depthwise")
        self.pointwise_kernel = self._add_kernel("pointwise_kernel", pointwise, "pointwise")
        self._end_build(channels, self.filters)

    def call(self, inputs):
        fused = FUSED.get(self.activation)
        outputs = ops.separable_convolution(
            inputs, self.depthwise_kernel, self.pointwise_kernel, self.bias, self.strides, self.padding,
            self.data_format, self.dilation_rate, fused,
        )
        return outputs if fused or self.activation in NONE else self.activation(outputs)

    def _output_shape(self, input_shape):
        depthwise, pointwise = self._kernel_shapes(self._channels_of(input_shape))
        return window_shapes.separable_convolution(
            input_shape, depthwise, pointwise, None, self.strides, self.padding, self.data_format,
            self.dilation_rate,
        )

    @classmethod
    def from_config(cls, config):
        unused = ("kernel_initializer", "kernel_regularizer", "kernel_constraint")  # tf.keras writes them
        return super().from_config({k: v for k, v in config.items() if k not in unused})

    _written = (
        "depth_multiplier", "filters", "depthwise_initializer", "pointwise_initializer",
        "depthwise_regularizer", "pointwise_regularizer", "depthwise_constraint", "pointwise_constraint")


class DepthwiseConv1D(BaseDepthwiseConv):
    """Convolution over time of every channel by itself.

    Parameters
    ----------
    kernel_size : int
        Size of the window.
    strides, dilation_rate : int
        Step between windows, and between the elements of one window.
    padding : {"valid", "same", "causal"}
    depth_multiplier : int
        How many filters, and outputs, every channel has.
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    activation, use_bias, depthwise_initializer, bias_initializer, depthwise_regularizer, \
bias_regularizer, activity_regularizer, depthwise_constraint, bias_constraint
        As in ``Dense``, ``depthwise_`` for the kernel's.

    Notes
    -----
    Outputs have ``channels * depth_multiplier`` channels: those of input channel 0 first.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.DepthwiseConv1D(3, depth_multiplier=2)(keras.ops.ones((4, 10, 8))).shape
    (4, 8, 16)
    """

    def __init__(
        self, kernel_size, strides=1, padding="valid", depth_multiplier=1, data_format=None,
        dilation_rate=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        bias_initializer="zeros", depthwise_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, depthwise_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            1, depth_multiplier, kernel_size, strides, padding, data_format, dilation_rate, activation,
            use_bias, depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer,
            activity_regularizer, depthwise_constraint, bias_constraint, **kwargs,
        )


class DepthwiseConv2D(BaseDepthwiseConv):
    """Convolution over height and width of every channel by itself.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Size of the window.
    strides, dilation_rate : int or tuple of int
        Step between windows, and between the elements of one window.
    padding : {"valid", "same"}
    depth_multiplier : int
        How many filters, and outputs, every channel has.
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    activation, use_bias, depthwise_initializer, bias_initializer, depthwise_regularizer, \
bias_regularizer, activity_regularizer, depthwise_constraint, bias_constraint
        As in ``Dense``, ``depthwise_`` for the kernel's.

    Notes
    -----
    Outputs have ``channels * depth_multiplier`` channels: those of input channel 0 first.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.DepthwiseConv2D(3, padding="same")(keras.ops.ones((4, 7, 7, 8))).shape
    (4, 7, 7, 8)
    """

    @old_names(**OLD_DEPTHWISE)
    def __init__(
        self, kernel_size, strides=(1, 1), padding="valid", depth_multiplier=1, data_format=None,
        dilation_rate=(1, 1), activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        bias_initializer="zeros", depthwise_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, depthwise_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            2, depth_multiplier, kernel_size, strides, padding, data_format, dilation_rate, activation,
            use_bias, depthwise_initializer, bias_initializer, depthwise_regularizer, bias_regularizer,
            activity_regularizer, depthwise_constraint, bias_constraint, **kwargs,
        )


class SeparableConv1D(BaseSeparableConv):
    """Convolution over time of every channel by itself, then a mix of the channels at every step.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int
        Size of the window of the first step.
    strides, dilation_rate : int
        Step between windows, and between the elements of one window.
    padding : {"valid", "same", "causal"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    depth_multiplier : int
        How many outputs every channel has in the first step.
    activation, use_bias, depthwise_initializer, pointwise_initializer, bias_initializer, \
depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer, \
depthwise_constraint, pointwise_constraint, bias_constraint
        As in ``Dense``, ``depthwise_`` for the kernel of the first step, ``pointwise_`` for the second.

    References
    ----------
    Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv:1610.02357.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.SeparableConv1D(16, 3)(keras.ops.ones((4, 10, 8))).shape
    (4, 8, 16)
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        depth_multiplier=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
        pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None, pointwise_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            1, depth_multiplier, filters, kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, depthwise_initializer, pointwise_initializer, bias_initializer,
            depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer,
            depthwise_constraint, pointwise_constraint, bias_constraint, **kwargs,
        )


class SeparableConv2D(BaseSeparableConv):
    """Convolution of every channel by itself, then a mix of the channels at every pixel.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Size of the window of the first step.
    strides, dilation_rate : int or tuple of int
        Step between windows, and between the elements of one window.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    depth_multiplier : int
        How many outputs every channel has in the first step.
    activation, use_bias, depthwise_initializer, pointwise_initializer, bias_initializer, \
depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer, \
depthwise_constraint, pointwise_constraint, bias_constraint
        As in ``Dense``, ``depthwise_`` for the kernel of the first step, ``pointwise_`` for the second.

    References
    ----------
    Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions", arXiv:1610.02357.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.SeparableConv2D(16, 3, activation="relu")(keras.ops.ones((4, 7, 7, 8))).shape
    (4, 5, 5, 16)
    """

    @old_names("nb_row", "nb_col", **OLD)
    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1),
        depth_multiplier=1, activation=None, use_bias=True, depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform", bias_initializer="zeros", depthwise_regularizer=None,
        pointwise_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        depthwise_constraint=None, pointwise_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            2, depth_multiplier, filters, kernel_size, strides, padding, data_format, dilation_rate,
            activation, use_bias, depthwise_initializer, pointwise_initializer, bias_initializer,
            depthwise_regularizer, pointwise_regularizer, bias_regularizer, activity_regularizer,
            depthwise_constraint, pointwise_constraint, bias_constraint, **kwargs,
        )
