"""Cells of convolutional recurrent layers: ConvLSTMCell, and ConvLSTM2DCell of Keras 2."""

from __future__ import annotations

from gpukeras import activations, config, ops
from gpukeras.backends import window_shapes
from gpukeras.layers.recurrent_cells import (
    _activate,
    _Cell,
    as_keras2,
    with_forget_bias,
    with_keras2_names,
)


class ConvLSTMCell(_Cell):
    """One step of a ConvLSTM; the formula stands at ``ops.conv_lstm``.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    filters : int
        Channels of the state and of the output.
    kernel_size, strides, padding, data_format, dilation_rate
        Of the convolution of the inputs. That of the state has the same window, strides of one and
        ``"same"`` padding.
    activation, recurrent_activation : str or callable
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Start the bias of the forget gate at one.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped: for each gate others, at every step the
        same.
    seed : int, optional
        Of dropout.
    """

    gates = 4
    _config_names = (
        "filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate",
        *(name for name in _Cell._config_names if name not in ("units", "reset_after")),
    )

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
        recurrent_dropout=0.0, seed=None, **kwargs,
    ):
        super().__init__(**kwargs)
        self.rank = rank
        self._set_up(
            filters, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, implementation=2,
        )
        self.filters = self.units
        self.kernel_size = window_shapes.per_axis(kernel_size, rank, "kernel_size")
        self.strides = window_shapes.per_axis(strides, rank, "strides")
        self.dilation_rate = window_shapes.per_axis(dilation_rate, rank, "dilation_rate")
        self.padding = str(padding).lower()
        self.data_format = config.standardize_data_format(data_format)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self.dropout_mask_count = 4
        self.state_size = [self.filters, self.filters]
        self.sizes: tuple | None = None  # spatial sizes of the state, known once built
        if self.padding not in ("valid", "same"):
            raise ValueError(f"layer {self.name!r}: padding must be 'valid' or 'same', came {padding!r}")
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                f"layer {self.name!r}: strides={self.strides} and dilation_rate={self.dilation_rate}; one of "
                "the two must be 1"
            )

    def geometry(self) -> dict:
        """Return the settings of the input convolution."""
        return {"strides": self.strides, "padding": self.padding, "data_format": self.data_format,
                "dilation_rate": self.dilation_rate}

    def build(self, input_shape):
        channels = window_shapes.split_format(input_shape, self.data_format)[1]
        if channels is None:
            raise ValueError(
                f"layer {self.name!r}: the number of channels must be known, one step has shape "
                f"{tuple(input_shape)} (data_format={self.data_format!r})"
            )
        self.sizes = window_shapes.split_format(step_output(self, input_shape), self.data_format)[0]
        width = 4 * self.filters
        self.kernel = self.add_weight(
            shape=(*self.kernel_size, channels, width), name="kernel", initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            shape=(*self.kernel_size, self.filters, width), name="recurrent_kernel",
            initializer=self.recurrent_initializer, regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(width,), name="bias", initializer=with_forget_bias(self),
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )

    def get_initial_state(self, batch_size=None, inputs=None, dtype=None):
        """Return zeros for the states: of ``batch_size`` samples if the cell is built, or for ``inputs``."""
        inputs = batch_size if hasattr(batch_size, "shape") and len(batch_size.shape) > 1 else inputs
        dtype = dtype or self.compute_dtype
        if inputs is not None:
            return [ops.zeros(step_output(self, inputs.shape), dtype=dtype) for _ in range(2)]
        if self.sizes is None or None in self.sizes:
            raise ValueError(
                f"layer {self.name!r}: the sizes of its states are not known ({self.sizes}); build it for "
                "inputs of known sizes, or pass initial_state"
            )
        shape = window_shapes.join_format(batch_size, self.sizes, self.filters, self.data_format)
        return [ops.zeros(shape, dtype=dtype) for _ in range(2)]

    def input_conv(self, x, w, b=None, padding="valid"):
        """Convolve one step of the inputs."""
        return ops.convolution(x, w, b, **self.geometry() | {"padding": padding})

    def recurrent_conv(self, x, w):
        """Convolve a state."""
        return ops.convolution(x, w, None, padding="same", data_format=self.data_format)

    def call(self, inputs, states, training=False):
        h, c = states
        drop, recurrent_drop = self.masks(inputs, h, training)
        channel = -1 if self.data_format == "channels_last" else 1

        def of_gates(x, mask, weights, convolve):
            if mask is None:
                return ops.split(convolve(x, weights), 4, axis=channel)
            return [convolve(x * mask[k], w) for k, w in enumerate(ops.split(weights, 4, axis=-1))]

        def of_input(x, w):
            return self.input_conv(x, w, padding=self.padding)

        of_x = of_gates(inputs, drop, self.kernel, of_input)
        of_h = of_gates(h, recurrent_drop, self.recurrent_kernel, self.recurrent_conv)
        sums = [a + b for a, b in zip(of_x, of_h)]
        if self.bias is not None:
            shape = (4, *window_shapes.join_format(1, (1,) * self.rank, self.filters, self.data_format))
            sums = [a + b for a, b in zip(sums, ops.unstack(ops.reshape(self.bias, shape)))]
        i, f, o = (_activate(self.recurrent_activation, sums[k]) for k in (0, 1, 3))
        c = f * c + i * _activate(self.activation, sums[2])
        h = o * _activate(self.activation, c)
        return h, [h, c]


class ConvLSTM2DCell(ConvLSTMCell):
    """One step of a ConvLSTM over images, as Keras 2 had it: for ``ConvRNN2D``.

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, dilation_rate, activation, recurrent_activation, \
use_bias, kernel_initializer, recurrent_initializer, bias_initializer, unit_forget_bias, \
kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint, \
bias_constraint, dropout, recurrent_dropout
        As in ``ConvLSTM2D``. ``"hard_sigmoid"`` is that of Keras 2: 0.2 x + 0.5, between 0 and 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.ConvRNN2D(keras.layers.ConvLSTM2DCell(4, 3, padding="same"))
    >>> layer(keras.ops.ones((2, 5, 8, 8, 3))).shape
    (2, 8, 8, 4)
    """

    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, dilation_rate=(1, 1),
        activation="tanh", recurrent_activation="hard_sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
        recurrent_dropout=0.0, seed=None, **kwargs,
    ):
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, **kwargs,
        )
        self.activation = as_keras2(activation)
        self.recurrent_activation = as_keras2(recurrent_activation)

    def get_config(self):
        return with_keras2_names(self, super().get_config())


def step_output(cell, input_shape) -> tuple:
    """Return the shape of output and states of a convolutional cell for a batch of one step's inputs."""
    channels = window_shapes.split_format(input_shape, cell.data_format)[1]
    kernel = (*cell.kernel_size, channels, cell.filters)
    return window_shapes.convolution(
        input_shape, kernel, None, cell.strides, cell.padding, cell.data_format, cell.dilation_rate
    )
