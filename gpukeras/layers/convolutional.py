"""Convolution layers."""

from __future__ import annotations

from gpukeras import activations, config, constraints, initializers, lazy, ops, regularizers
from gpukeras.backends import window_shapes
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer


class BaseConv(Layer):
    """What all convolution layers share: arguments, kernel, bias, activation.

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
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.rank = rank
        self.filters = _positive(filters, "filters", self)
        self.groups = _positive(groups, "groups", self)
        self.kernel_size = window_shapes.per_axis(kernel_size, rank, "kernel_size")
        self.strides = window_shapes.per_axis(strides, rank, "strides")
        self.dilation_rate = window_shapes.per_axis(dilation_rate, rank, "dilation_rate")
        self.padding = _padding(padding, rank, self)
        self.data_format = config.standardize_data_format(data_format)
        self.activation = activations.get(activation)
        self.use_bias = bool(use_bias)
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        if self.filters % self.groups:
            raise ValueError(
                f"layer {self.name!r}: filters={self.filters} cannot be split into groups={self.groups}"
            )
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"layer {self.name!r}: strides={self.strides} and dilation_rate={self.dilation_rate}; one of "
                "the two must be 1 (ops.conv takes both)"
            )
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def _channels_of(self, input_shape) -> int:
        """Return the number of input channels, which must be known and fit the groups."""
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"layer {self.name!r}: the number of channels must be known, came input shape "
                f"{tuple(input_shape)} (data_format={self.data_format!r})"
            )
        if channels % self.groups:
            raise ValueError(
                f"layer {self.name!r}: {channels} input channels cannot be split into groups={self.groups} "
                f"(input shape {tuple(input_shape)}, data_format={self.data_format!r})"
            )
        return channels

    def _kernel_shape(self, channels: int) -> tuple:
        return (*self.kernel_size, channels // self.groups, self.filters)

    def build(self, input_shape):
        channels = self._channels_of(input_shape)
        self.compute_output_shape(input_shape)  # for its errors, before any weight is made
        self.kernel = self.add_weight(
            name="kernel", shape=self._kernel_shape(channels), initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias", shape=(self.filters,), initializer=self.bias_initializer,
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: channels})
        self.built = True

    def convolution_op(self, inputs, kernel):
        """Convolve without bias and activation; subclasses may override it, to change the kernel first."""
        return ops.convolution(
            inputs, kernel, None, self.strides, self.padding, self.data_format, self.dilation_rate,
            self.groups,
        )

    def call(self, inputs):
        if type(self).convolution_op is not BaseConv.convolution_op:
            return self._finish(self.convolution_op(inputs, self.kernel))
        fused = _FUSED.get(self.activation)
        outputs = ops.convolution(
            inputs, self.kernel, self.bias, self.strides, self.padding, self.data_format, self.dilation_rate,
            self.groups, fused,
        )
        return outputs if fused or self.activation in _NONE else self.activation(outputs)

    def _finish(self, outputs):
        """Add the bias and apply the activation, one after the other."""
        if self.bias is not None:
            shape = [1] * (self.rank + 2)
            shape[self._channel_axis] = self.filters
            outputs = outputs + ops.reshape(self.bias, shape)
        return outputs if self.activation in _NONE else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        kernel = self._kernel_shape(self._channels_of(input_shape))
        try:
            return window_shapes.convolution(
                input_shape, kernel, None, self.strides, self.padding, self.data_format, self.dilation_rate,
                self.groups,
            )
        except ValueError as error:
            raise ValueError(f"layer {self.name!r} ({type(self).__name__}): {error}") from None

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer),
            "bias_initializer": initializers.serialize(self.bias_initializer),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer),
            "kernel_constraint": constraints.serialize(self.kernel_constraint),
            "bias_constraint": constraints.serialize(self.bias_constraint),
        }


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


_NONE = (None, activations.linear)
# Activations that the convolution applies while its results are in cache. Not sigmoid and softmax: those
# remember their inputs, from which losses compute exactly.
_FUSED = {activations.relu: "relu", activations.tanh: "tanh"}


def _positive(value, what: str, layer) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"layer {layer.name!r}: {what} must be a positive integer, came {value!r}")
    return int(value)


def _padding(value, rank: int, layer) -> str:
    name = str(value).lower()
    allowed = ("valid", "same", "causal") if rank == 1 else ("valid", "same")
    if name not in allowed:
        raise ValueError(f"layer {layer.name!r}: padding must be one of {allowed}, came {value!r}")
    return name


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
