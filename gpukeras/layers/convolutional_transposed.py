"""Transposed convolution: layers that enlarge what convolution makes smaller."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.convolutional_base import (
    FUSED,
    NONE,
    OLD_NAMES_1D,
    OLD_NAMES_ND,
    Convolving,
    one_group,
    positive,
)


class BaseConvTranspose(Convolving):
    """What transposed convolutions over any number of axes share.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation, \
use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Conv2DTranspose``.

    Notes
    -----
    Every input element is spread over a window of outputs: it is the gradient of a convolution with regard to
    its inputs, used forwards, plus bias and activation.

    References
    ----------
    Dumoulin and Visin, "A guide to convolution arithmetic for deep learning", arXiv:1603.07285.
    """

    _causal = False

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", output_padding=None, data_format=None,
        dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            rank, kernel_size, strides, padding, data_format, dilation_rate,
            dict(activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
                 bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
                 bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
                 bias_constraint=bias_constraint),
            activity_regularizer, **one_group(kwargs, self),
        )
        self.filters = positive(filters, "filters", self)
        self.output_padding = self._per_axis(output_padding)
        self._only_strides_or_dilation()

    def _per_axis(self, value) -> tuple[int, ...] | None:
        """Return the output padding of every axis, which must be below its stride."""
        if value is None:
            return None
        values = (value,) * self.rank if isinstance(value, int) else tuple(value)
        fits = len(values) == self.rank and all(
            int(v) == v and 0 <= v < s for v, s in zip(values, self.strides))
        if not fits:
            raise ValueError(
                f"layer {self.name!r}: output_padding must be a number for each of {self.rank} axes, 0 or "
                f"more and below the stride; came output_padding={value!r}, strides={self.strides}"
            )
        return tuple(int(v) for v in values)

    def _kernel_shape(self, channels: int) -> tuple:
        return (*self.kernel_size, self.filters, channels)

    def build(self, input_shape):
        channels = self._begin_build(input_shape)
        self.kernel = self._add_kernel("kernel", self._kernel_shape(channels))
        self._end_build(channels, self.filters)

    def call(self, inputs):
        fused = FUSED.get(self.activation)
        outputs = ops.transposed_convolution(
            inputs, self.kernel, self.bias, self.strides, self.padding, self.output_padding, self.data_format,
            self.dilation_rate, fused,
        )
        return outputs if fused or self.activation in NONE else self.activation(outputs)

    def _output_shape(self, input_shape):
        return window_shapes.transposed_convolution(
            input_shape, self._kernel_shape(self._channels_of(input_shape)), None, self.strides, self.padding,
            self.output_padding, self.data_format, self.dilation_rate,
        )

    _written = (
        "filters", "output_padding", "kernel_initializer", "kernel_regularizer", "kernel_constraint")


class Conv1DTranspose(BaseConvTranspose):
    """Transposed convolution over time.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int
        Size of the window.
    strides : int
        How much larger the outputs are than the inputs.
    padding : {"valid", "same"}
    output_padding : int, optional
        Extra size at the end of each axis, below the stride. Default: with ``padding="same"`` what makes the
        outputs ``strides`` times the inputs; else what a stride beyond the window leaves.
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    dilation_rate : int
        Step between the elements of a window; it or ``strides`` must be 1.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Conv1DTranspose(8, 3, strides=2, padding="same")(keras.ops.ones((4, 10, 16))).shape
    (4, 20, 8)
    """

    @old_names(**OLD_NAMES_1D)
    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", output_padding=None, data_format=None,
        dilation_rate=1, activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            1, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate,
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )


class Conv2DTranspose(BaseConvTranspose):
    """Transposed convolution over height and width of images.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Size of the window.
    strides : int or tuple of int
        How much larger the outputs are than the inputs.
    padding : {"valid", "same"}
    output_padding : int or tuple of int, optional
        Extra size at the end of each axis, below the stride. Default: with ``padding="same"`` what makes the
        outputs ``strides`` times the inputs; else what a stride beyond the window leaves.
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    dilation_rate : int or tuple of int
        Step between the elements of a window; it or ``strides`` must be 1.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.Conv2DTranspose(8, 3, strides=2, padding="same", activation="relu")
    >>> layer(keras.ops.ones((4, 7, 7, 16))).shape
    (4, 14, 14, 8)
    """

    @old_names("nb_row", "nb_col", **OLD_NAMES_ND)
    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", output_padding=None, data_format=None,
        dilation_rate=(1, 1), activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            2, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate,
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )


class Conv3DTranspose(BaseConvTranspose):
    """Transposed convolution over the three axes of volumes.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Size of the window.
    strides : int or tuple of int
        How much larger the outputs are than the inputs.
    padding : {"valid", "same"}
    output_padding : int or tuple of int, optional
        Extra size at the end of each axis, below the stride. Default: with ``padding="same"`` what makes the
        outputs ``strides`` times the inputs; else what a stride beyond the window leaves.
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).
    dilation_rate : int or tuple of int
        Step between the elements of a window; it or ``strides`` must be 1.
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.

    Notes
    -----
    By position, ``data_format`` comes before ``output_padding``: the order that Keras 3 has here.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Conv3DTranspose(2, 3, strides=2)(keras.ops.ones((1, 3, 4, 5, 4))).shape
    (1, 7, 9, 11, 2)
    """

    @old_names("kernel_dim1", "kernel_dim2", "kernel_dim3", **OLD_NAMES_ND)
    def __init__(
        self, filters, kernel_size, strides=(1, 1, 1), padding="valid", data_format=None, output_padding=None,
        dilation_rate=(1, 1, 1), activation=None, use_bias=True, kernel_initializer="glorot_uniform",
        bias_initializer="zeros", kernel_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, bias_constraint=None, **kwargs,
    ):
        super().__init__(
            3, filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate,
            activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, bias_constraint, **kwargs,
        )
