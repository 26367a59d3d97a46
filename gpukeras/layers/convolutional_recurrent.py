"""ConvLSTM1D, ConvLSTM2D and ConvLSTM3D: LSTMs over sequences of signals, images, volumes."""

from __future__ import annotations

from gpukeras import lazy, ops
from gpukeras.layers.arguments import old_names
from gpukeras.layers.convolutional_recurrent_cells import ConvLSTMCell, step_output
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.recurrent import RNN
from gpukeras.layers.recurrent_fused import OLD_NAMES, _Fused, _of_cell


class _ConvRNN(_Fused):
    """A recurrent layer around a convolutional cell, whose states are signals, images or volumes."""

    op = staticmethod(ops.conv_lstm)
    cell_class = ConvLSTMCell

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shape = sequences_shape
        if shape and isinstance(shape[0], (tuple, list)):
            shape = shape[0]
        steps, batch = (shape[0], shape[1]) if self.time_major else (shape[1], shape[0])
        output = state = step_output(self.cell, (batch, *shape[2:]))
        if self.return_sequences:
            output = (steps, *state) if self.time_major else (batch, steps, *state[1:])
        return (output, *(state for _ in self.state_size)) if self.return_state else output

    def get_initial_state(self, batch_size=None, inputs=None):
        """Return zeros: for so many samples once the layer is built, or for ``inputs``, as in Keras 2."""
        inputs = batch_size if hasattr(batch_size, "shape") and len(batch_size.shape) > 1 else inputs
        if inputs is None:
            return super().get_initial_state(batch_size)
        batch = inputs.shape[1 if self.time_major else 0]
        state = step_output(self.cell, (batch, *inputs.shape[2:]))
        return [ops.zeros(state, dtype=self.compute_dtype) for _ in self.state_size]

    def _settings(self):
        cell = self.cell
        found = super()._settings()
        if found is None or not isinstance(cell, ConvLSTMCell) or any(
            getattr(type(cell), name) is not getattr(ConvLSTMCell, name)
            for name in ("input_conv", "recurrent_conv")
        ):
            return None
        return found | cell.geometry()

    def _zero_states(self, sequences):
        if self._starts_from_zeros():
            return [None] * len(self.state_size)  # the op starts from zeros by itself
        return self.get_initial_state(inputs=ops.swapaxes(sequences, 0, 1) if self.time_major else sequences)

    def _step_shapes(self, sequences):
        step = (sequences.shape[0], *sequences.shape[2:])
        return step, step_output(self.cell, step)


class ConvRNN2D(_ConvRNN):
    """Run a convolutional cell over the steps of a sequence of images: Keras 2's base of ``ConvLSTM2D``.

    Parameters
    ----------
    cell : cell
        As for ``RNN``, with the attributes ``filters``, ``kernel_size``, ``strides``, ``padding``,
        ``data_format`` and ``dilation_rate``, which tell the size of its states.
    return_sequences, return_state, go_backwards, stateful, unroll, **kwargs
        As in ``RNN``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.ConvRNN2D(keras.layers.ConvLSTM2DCell(4, 3), return_sequences=True)
    >>> layer(keras.ops.ones((2, 5, 8, 8, 3))).shape
    (2, 5, 6, 6, 4)
    """

    def __init__(self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
                 unroll=False, **kwargs):
        if isinstance(cell, (list, tuple)):
            raise TypeError(f"ConvRNN2D takes one cell, came a list: {cell!r}; put several layers in a row")
        for wanted in ("filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate"):
            if not hasattr(cell, wanted):
                raise ValueError(f"ConvRNN2D: the cell needs {wanted!r}, which {cell!r} does not have")
        super().__init__(cell, return_sequences=return_sequences, return_state=return_state,
                         go_backwards=go_backwards, stateful=stateful, unroll=unroll, **kwargs)
        self.input_spec = InputSpec(ndim=5)

    get_config = RNN.get_config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras import layers

        config = dict(config)
        return cls(layers.deserialize(config.pop("cell"), custom_objects), **config)


class ConvLSTM(_ConvRNN):
    """What the three ConvLSTM layers share; runs as one op unless something asks for single steps.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    filters, kernel_size, ...
        As in ``ConvLSTM2D``.
    """

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):
        cell = ConvLSTMCell(
            rank, filters, kernel_size, strides=strides, padding=padding, data_format=data_format,
            dilation_rate=dilation_rate, activation=activation, recurrent_activation=recurrent_activation,
            use_bias=use_bias, kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer, bias_initializer=bias_initializer,
            unit_forget_bias=unit_forget_bias, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint, dropout=dropout, recurrent_dropout=recurrent_dropout, seed=seed,
            name="conv_lstm_cell", dtype=kwargs.get("dtype"), trainable=kwargs.get("trainable", True),
        )
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, activity_regularizer=activity_regularizer, **kwargs,
        )
        self.input_spec = InputSpec(ndim=rank + 3)

    filters = _of_cell("filters")
    kernel_size = _of_cell("kernel_size")
    strides = _of_cell("strides")
    padding = _of_cell("padding")
    data_format = _of_cell("data_format")
    dilation_rate = _of_cell("dilation_rate")
    recurrent_activation = _of_cell("recurrent_activation")
    unit_forget_bias = _of_cell("unit_forget_bias")


class ConvLSTM1D(ConvLSTM):
    """Convolutional LSTM over a sequence of signals.

    Inputs have shape (batch, steps, length, channels),
    with ``"channels_first"`` (batch, steps, channels, length).

    Parameters
    ----------
    filters : int
        Channels of the state and of each output.
    kernel_size : int
        Size of the window, for inputs and states alike.
    strides, dilation_rate : int
        Of the convolution of the inputs; one of the two must be 1.
    padding : {"valid", "same"}
        Of the convolution of the inputs.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    activation, recurrent_activation : str or callable
        Of the candidate and the output, and of the gates.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Start the bias of the forget gate at one.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped: for each gate others, at every step the
        same.
    seed : int, optional
        Of dropout.
    return_sequences, return_state, go_backwards, stateful, **kwargs
        As in ``RNN``; the states are h and c.

    References
    ----------
    Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
    arXiv:1506.04214

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ConvLSTM1D(4, 3)(keras.ops.ones((2, 5, 8, 3))).shape
    (2, 6, 4)
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):
        super().__init__(
            1, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, recurrent_constraint, bias_constraint, dropout,
            recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful, **kwargs,
        )


class ConvLSTM2D(ConvLSTM):
    """Convolutional LSTM over a sequence of images.

    Inputs have shape (batch, steps, height, width, channels),
    with ``"channels_first"`` (batch, steps, channels, height, width).

    Parameters
    ----------
    filters : int
        Channels of the state and of each output.
    kernel_size : int or tuple of int
        Size of the window, for inputs and states alike.
    strides, dilation_rate : int or tuple of int
        Of the convolution of the inputs; one of the two must be 1.
    padding : {"valid", "same"}
        Of the convolution of the inputs.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    activation, recurrent_activation : str or callable
        Of the candidate and the output, and of the gates.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Start the bias of the forget gate at one.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped: for each gate others, at every step the
        same.
    seed : int, optional
        Of dropout.
    return_sequences, return_state, go_backwards, stateful, **kwargs
        As in ``RNN``; the states are h and c.

    References
    ----------
    Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
    arXiv:1506.04214

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ConvLSTM2D(4, 3)(keras.ops.ones((2, 5, 8, 8, 3))).shape
    (2, 6, 6, 4)
    """

    @old_names(
        "nb_row", "nb_col", nb_filter="filters", subsample="strides", border_mode="padding",
        dim_ordering="data_format", bias="use_bias", **OLD_NAMES,
    )
    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, recurrent_constraint, bias_constraint, dropout,
            recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful, **kwargs,
        )


class ConvLSTM3D(ConvLSTM):
    """Convolutional LSTM over a sequence of volumes.

    Inputs have shape (batch, steps, depth, height, width, channels),
    with ``"channels_first"`` (batch, steps, channels, depth, height, width).

    Parameters
    ----------
    filters : int
        Channels of the state and of each output.
    kernel_size : int or tuple of int
        Size of the window, for inputs and states alike.
    strides, dilation_rate : int or tuple of int
        Of the convolution of the inputs; one of the two must be 1.
    padding : {"valid", "same"}
        Of the convolution of the inputs.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    activation, recurrent_activation : str or callable
        Of the candidate and the output, and of the gates.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Start the bias of the forget gate at one.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped: for each gate others, at every step the
        same.
    seed : int, optional
        Of dropout.
    return_sequences, return_state, go_backwards, stateful, **kwargs
        As in ``RNN``; the states are h and c.

    References
    ----------
    Shi et al.: Convolutional LSTM Network: A Machine Learning Approach for Precipitation Nowcasting,
    arXiv:1506.04214

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ConvLSTM3D(4, 3)(keras.ops.ones((2, 5, 4, 4, 4, 1))).shape
    (2, 2, 2, 2, 4)
    """

    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, dilation_rate=1,
        activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, **kwargs,
    ):
        super().__init__(
            3, filters, kernel_size, strides, padding, data_format, dilation_rate, activation,
            recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
            activity_regularizer, kernel_constraint, recurrent_constraint, bias_constraint, dropout,
            recurrent_dropout, seed, return_sequences, return_state, go_backwards, stateful, **kwargs,
        )


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
