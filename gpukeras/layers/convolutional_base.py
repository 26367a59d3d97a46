"""What all convolution layers share."""

from __future__ import annotations

from gpukeras import activations, config, ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import OLD_WEIGHT_NAMES, take_arguments, written_arguments
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer

NONE = (None, activations.linear)
# Activations that the convolution applies while its results are in cache. Not sigmoid and softmax: those
# remember their inputs, from which losses compute exactly.
FUSED = {activations.relu: "relu", activations.tanh: "tanh"}
# Arguments of Keras 1 by their names today; see ``old_names``.
OLD_NAMES = {"nb_filter": "filters", "border_mode": "padding"}
OLD_NAMES_1D = {
    **OLD_NAMES, **OLD_WEIGHT_NAMES, "filter_length": "kernel_size", "subsample_length": "strides",
}
OLD_NAMES_ND = {**OLD_NAMES, **OLD_WEIGHT_NAMES, "subsample": "strides", "dim_ordering": "data_format"}


class Convolving(Layer):
    """Base of layers that slide windows of weights over ``rank`` spatial axes.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    kernel_size : int or tuple of int
        Size of the window.
    strides, dilation_rate : int or tuple of int
        Step between windows, and between the elements of one window.
    padding : {"valid", "same", "causal"}
        ``"causal"`` (one axis only) pads in front, so that no output sees later inputs.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    **arguments
        Activation, ``use_bias``, initializers, regularizers and constraints: attributes of the same name.
    """

    _causal = True  # whether ``padding="causal"`` is there for one axis

    def __init__(
        self, rank, kernel_size, strides, padding, data_format, dilation_rate, arguments,
        activity_regularizer=None, **kwargs,
    ):
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.rank = rank
        self.kernel_size = window_shapes.per_axis(kernel_size, rank, "kernel_size")
        self.strides = window_shapes.per_axis(strides, rank, "strides")
        self.dilation_rate = window_shapes.per_axis(dilation_rate, rank, "dilation_rate")
        self.padding = str(padding).lower()
        allowed = ("valid", "same", "causal") if rank == 1 and self._causal else ("valid", "same")
        if self.padding not in allowed:
            raise ValueError(f"layer {self.name!r}: padding must be one of {allowed}, came {padding!r}")
        self.data_format = config.standardize_data_format(data_format)
        take_arguments(self, **arguments)
        self.use_bias = bool(arguments["use_bias"])
        self.input_spec = InputSpec(ndim=rank + 2)

    def _only_strides_or_dilation(self) -> None:
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"layer {self.name!r}: strides={self.strides} and dilation_rate={self.dilation_rate}; one of "
                "the two must be 1 (the functions in ops take both)"
            )

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def _channels_of(self, input_shape) -> int:
        """Return the number of input channels, which must be known."""
        channels = input_shape[self._channel_axis]
        if channels is None:
            raise ValueError(
                f"layer {self.name!r}: the number of channels must be known, came input shape "
                f"{tuple(input_shape)} (data_format={self.data_format!r})"
            )
        return channels

    def _begin_build(self, input_shape) -> int:
        """Check the shape of the inputs; return the number of channels."""
        channels = self._channels_of(input_shape)
        self.compute_output_shape(input_shape)  # for its errors, before any weight is made
        return channels

    def _add_kernel(self, name: str, shape, kind: str = "kernel"):
        """Make a kernel; initializer, regularizer and constraint are attributes that begin with ``kind``."""
        return self.add_weight(
            name=name, shape=shape, initializer=getattr(self, f"{kind}_initializer"),
            regularizer=getattr(self, f"{kind}_regularizer"), constraint=getattr(self, f"{kind}_constraint"),
        )

    def _end_build(self, channels: int, outputs: int) -> None:
        self.bias = self._add_kernel("bias", (outputs,), "bias") if self.use_bias else None
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: channels})
        self.built = True

    def _finish(self, outputs):
        """Add the bias and apply the activation, one after the other."""
        if self.bias is not None:
            shape = [1] * (self.rank + 2)
            shape[self._channel_axis] = self.bias.shape[0]
            outputs = outputs + ops.reshape(self.bias, shape)
        return outputs if self.activation in NONE else self.activation(outputs)

    def _output_shape(self, input_shape):
        """Return the shape of the outputs; subclasses must write it."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape):
        try:
            return self._output_shape(input_shape)
        except ValueError as error:
            text = str(error)
            where = "" if text.startswith("layer ") else f"layer {self.name!r} ({type(self).__name__}): "
            raise ValueError(where + text) from None

    _written: tuple[str, ...] = ()  # further arguments of a class

    def get_config(self):
        return {
            **super().get_config(),
            **written_arguments(
                self, *self._written, "kernel_size", "strides", "padding", "data_format", "dilation_rate",
                "activation", "use_bias", "bias_initializer", "bias_regularizer", "activity_regularizer",
                "bias_constraint",
            ),
        }


def positive(value, what: str, layer) -> int:
    """Return a positive whole number."""
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ValueError(f"layer {layer.name!r}: {what} must be a positive integer, came {value!r}")
    return int(value)


def one_group(kwargs: dict, layer) -> dict:
    """Take out ``groups``, which ``tf.keras`` writes for every convolution and which must be 1 here."""
    groups = kwargs.pop("groups", 1)
    if groups != 1:
        raise ValueError(f"{type(layer).__name__} has no groups, came groups={groups!r}")
    return kwargs
