"""Recurrent and ConvRecurrent2D: bases for recurrent layers of one's own, as Keras had them before cells."""

from __future__ import annotations

from gpukeras import config, ops, tree
from gpukeras.backends import window_shapes
from gpukeras.layers.call_spec import is_numbers, is_shape
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.layers.recurrent import _Kept, run_steps
from gpukeras.tensor import Variable


class Recurrent(Layer):
    """Base of recurrent layers that write ``step`` themselves.

    Subclasses set ``units`` and, where there is more than one state, ``states = [None, None]``; they write
    ``build`` and ``step(inputs, states) -> (output, new states)``. ``get_constants`` may return tensors that
    follow the states in every step, ``preprocess_input`` may work on all steps at once, before the first.

    Parameters
    ----------
    return_sequences, return_state, go_backwards, stateful, unroll
        As in ``RNN``.
    implementation : {0, 1, 2}
        For subclasses that have more than one.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Leaky(keras.layers.Recurrent):
    ...     units = 3
    ...     def step(self, inputs, states):
    ...         h = 0.5 * states[0] + inputs
    ...         return h, [h]
    >>> Leaky(return_sequences=True)(keras.ops.ones((1, 2, 3))).numpy()
    array([[[1. , 1. , 1. ],
            [1.5, 1.5, 1.5]]], dtype=float32)
    """

    def __init__(self, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
                 unroll=False, implementation=0, **kwargs):
        super().__init__(**kwargs)
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.implementation = implementation
        self.supports_masking = True
        self.input_spec = [InputSpec(ndim=3)]  # type: ignore[assignment]  # a list, which subclasses change
        self.state_spec = None
        self.dropout = 0
        self.recurrent_dropout = 0
        self._kept = _Kept()

    # ---- what subclasses write -----------------------------------------------------------------------
    def step(self, inputs, states):
        """Return output and new states of one step; ``states`` ends with the constants."""
        raise NotImplementedError(f"layer {self.name!r} ({type(self).__name__}) has no step() method")

    def get_constants(self, inputs, training=None):
        """Return tensors that are the same at every step."""
        return []

    def preprocess_input(self, inputs, training=None):
        """Return what the steps are given, made of all inputs at once."""
        return inputs

    def get_initial_state(self, inputs):
        """Return the states before the first step: zeros."""
        shape = self._state_shape(inputs.shape)
        return [ops.zeros(shape, dtype=self.compute_dtype) for _ in self.states]

    def _state_shape(self, input_shape) -> tuple:
        return (input_shape[0], self.units)

    # ---- shapes, masks, states -------------------------------------------------------------------------
    def compute_output_shape(self, input_shape):
        shape = input_shape if is_shape(input_shape) else input_shape[0]
        state = self._state_shape(shape)
        output = (state[0], shape[1], *state[1:]) if self.return_sequences else state
        return (output, *(state for _ in self.states)) if self.return_state else output

    def compute_mask(self, inputs, mask=None):
        mask = tree.flatten(mask)[0]
        found = mask if self.return_sequences else None
        return [found, *(None for _ in self.states)] if self.return_state else found

    @property
    def states(self):
        """One entry for each state: what a stateful layer keeps, else ``None``."""
        return [None] if self._kept.states is None else self._kept.states

    @states.setter
    def states(self, value):
        self._kept.states = list(value)

    def reset_states(self, states=None):
        """Set the kept states of a stateful layer to zero, or to ``states``."""
        if not self.stateful:
            raise AttributeError(f"layer {self.name!r} keeps no states: it was made with stateful=False")
        kept = self.states
        if states is None:
            self.states = [None if v is None else _kept_state(self, ops.zeros_like(v.value)) for v in kept]
            return
        states = list(states) if isinstance(states, (list, tuple)) else [states]
        if len(states) != len(kept):
            raise ValueError(f"layer {self.name!r} has {len(kept)} states, {len(states)} were given")
        self.states = [_kept_state(self, value) for value in states]

    # ---- calling -----------------------------------------------------------------------------------------
    def __call__(self, inputs, initial_state=None, **kwargs):
        if isinstance(inputs, (list, tuple)) and not is_numbers(inputs):
            inputs, *rest = inputs
            initial_state = rest or initial_state
        if initial_state is not None:
            given = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
            kwargs["initial_state"] = list(given)
        return super().__call__(inputs, **kwargs)

    def call(self, inputs, mask=None, training=None, initial_state=None):
        states = self._first_states(inputs, initial_state)
        constants = list(self.get_constants(inputs, training=training))
        steps = self.preprocess_input(inputs, training=training)
        if mask is not None and len(mask.shape) > 2:
            mask = ops.any(mask, axis=tuple(range(2, len(mask.shape))))
        last, outputs, states = run_steps(
            lambda x, given: self.step(x, [*given, *constants]), steps, states, mask,
            go_backwards=self.go_backwards, return_sequences=self.return_sequences,
        )
        if self.stateful:
            self._keep(states)
        output = outputs if self.return_sequences else last
        return (output, *states) if self.return_state else output

    def _keep(self, states) -> None:
        if any(v is None for v in self.states):
            self.states = [_kept_state(self, state) for state in states]
        for variable, state in zip(self.states, states):
            variable.assign(state)

    def _first_states(self, inputs, initial_state):
        if initial_state is not None:
            if len(initial_state) != len(self.states):
                raise ValueError(
                    f"layer {self.name!r} has {len(self.states)} states, {len(initial_state)} initial states "
                    "were given"
                )
            return [ops.cast(state, self.compute_dtype) for state in initial_state]
        kept = self.states
        if self.stateful and all(v is not None for v in kept):
            return [ops.cast(v.value, self.compute_dtype) for v in kept]  # copies: they change before the end
        return list(self.get_initial_state(inputs))

    def get_config(self):
        return {
            **super().get_config(),
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "implementation": self.implementation,
        }


class ConvRecurrent2D(Recurrent):
    """Base of recurrent layers over images that write ``step`` themselves.

    Parameters
    ----------
    filters : int
        Channels of the state and of the output.
    kernel_size, strides, padding, data_format, dilation_rate
        Of the convolution of the inputs, which tells the size of the state.
    return_sequences, go_backwards, stateful, **kwargs
        As in ``Recurrent``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Fading(keras.layers.ConvRecurrent2D):
    ...     def step(self, inputs, states):
    ...         h = 0.5 * states[0] + inputs
    ...         return h, [h]
    >>> Fading(3, 1)(keras.ops.ones((2, 4, 5, 5, 3))).shape
    (2, 5, 5, 3)
    """

    def __init__(self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None,
                 dilation_rate=(1, 1), return_sequences=False, go_backwards=False, stateful=False, **kwargs):
        super().__init__(return_sequences=return_sequences, go_backwards=go_backwards, stateful=stateful,
                         **kwargs)
        self.filters = self.units = filters
        self.kernel_size = window_shapes.per_axis(kernel_size, 2, "kernel_size")
        self.strides = window_shapes.per_axis(strides, 2, "strides")
        self.padding = str(padding).lower()
        self.data_format = config.standardize_data_format(data_format)
        self.dilation_rate = window_shapes.per_axis(dilation_rate, 2, "dilation_rate")
        self.input_spec = [InputSpec(ndim=5)]  # type: ignore[assignment]

    def _state_shape(self, input_shape):
        step = (input_shape[0], *input_shape[2:])
        channels = window_shapes.split_format(step, self.data_format)[1]
        return window_shapes.convolution(
            step, (*self.kernel_size, channels, self.filters), None, self.strides, self.padding,
            self.data_format, self.dilation_rate,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
        }


def _kept_state(layer, value) -> Variable:
    return Variable(value, trainable=False, dtype=layer.variable_dtype, name="rnn_state")
