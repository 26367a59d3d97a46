"""SimpleRNN, GRU and LSTM: all steps in one op."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import SimpleNamespace

from gpukeras import activations, ops
from gpukeras.layers.arguments import old_names
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.layers.recurrent import RNN
from gpukeras.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell
from gpukeras.ops import recurrent as fused
from gpukeras.registry import is_own


def _of_cell(name: str):
    return property(lambda self: getattr(self.cell, name), doc=f"``{name}`` of the cell.")


@functools.cache
def _fused_names() -> dict:
    """Activation functions the fused steps know, with their names there."""
    found = {}
    for name in fused.ACTIVATIONS:  # Keras 2's comes last: in its era it is ``activations.hard_sigmoid``
        for module in (activations, ops):
            if hasattr(module, name):
                found[getattr(module, name)] = name
    return found


def _fused_name(function) -> str | None:
    """Return the name under which the fused steps know an activation, or ``None``: any other function."""
    if function is None:
        return "linear"
    try:
        return _fused_names().get(function)
    except TypeError:  # a callable object that cannot be hashed is none of ours
        return None


class _Fused(RNN):
    """An RNN whose cell is built in: runs as one op unless something asks for single steps.

    Single steps run with ``unroll=True``, with an activation the fused steps do not know, or with a cell
    whose ``call`` was replaced. Both ways give the same results.
    """

    op: Callable
    cell_class: type[Layer]

    def __init__(self, cell, **kwargs):
        super().__init__(cell, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    units = _of_cell("units")
    implementation = _of_cell("implementation")
    activation = _of_cell("activation")
    use_bias = _of_cell("use_bias")
    kernel_initializer = _of_cell("kernel_initializer")
    recurrent_initializer = _of_cell("recurrent_initializer")
    bias_initializer = _of_cell("bias_initializer")
    kernel_regularizer = _of_cell("kernel_regularizer")
    recurrent_regularizer = _of_cell("recurrent_regularizer")
    bias_regularizer = _of_cell("bias_regularizer")
    kernel_constraint = _of_cell("kernel_constraint")
    recurrent_constraint = _of_cell("recurrent_constraint")
    bias_constraint = _of_cell("bias_constraint")
    dropout = _of_cell("dropout")
    recurrent_dropout = _of_cell("recurrent_dropout")
    seed = _of_cell("seed")
    implementation = _of_cell("implementation")

    def _settings(self) -> dict | None:
        """Return the settings of the fused op, or ``None`` where single steps must run."""
        cell = self.cell
        if self.unroll or type(cell).call is not self.cell_class.call:
            return None
        found = {"activation": _fused_name(cell.activation)}
        if hasattr(cell, "recurrent_activation"):
            found["recurrent_activation"] = _fused_name(cell.recurrent_activation)
        if hasattr(cell, "reset_after"):
            found["reset_after"] = cell.reset_after
        return None if None in found.values() else found

    def _zero_states(self, sequences):
        if self._starts_from_zeros():
            return [None] * len(self.state_size)  # the op does so by itself
        return super()._zero_states(sequences)

    def _starts_from_zeros(self) -> bool:
        """Tell whether the first states are zeros that nobody need make: no method of theirs was replaced."""
        own = is_own(type(self).get_initial_state) and is_own(type(self.cell).get_initial_state)
        return own and self._settings() is not None

    def inner_loop(self, sequences, initial_state, mask, training=False, constants=None):
        settings = None if constants is not None else self._settings()
        if settings is None:
            return super().inner_loop(sequences, initial_state, mask, training, constants)
        cell = self.cell
        step, state = (SimpleNamespace(shape=s, dtype=sequences.dtype) for s in self._step_shapes(sequences))
        drop, recurrent_drop = cell.masks(step, state, training)
        output, *states = self.op(
            sequences, *initial_state, *cell.step_weights(), mask, drop, recurrent_drop,
            go_backwards=self.go_backwards, return_sequences=self.return_sequences,
            zero_output_for_mask=self.zero_output_for_mask, **settings,
        )
        return output, output, states

    def get_dropout_mask_for_cell(self, inputs, training, count=1):
        """See the method of the cell."""
        return self.cell.get_dropout_mask_for_cell(inputs, training, count)

    def get_recurrent_dropout_mask_for_cell(self, inputs, training, count=1):
        """See the method of the cell."""
        return self.cell.get_recurrent_dropout_mask_for_cell(inputs, training, count)

    def reset_dropout_mask(self):
        """See the method of the cell; every call of the layer ends with it."""
        self.cell.reset_dropout_mask()

    def reset_recurrent_dropout_mask(self):
        """See the method of the cell; every call of the layer ends with it."""
        self.cell.reset_recurrent_dropout_mask()

    def _step_shapes(self, sequences):
        """Return the shapes of one step of the inputs and of a state."""
        batch, _, features = sequences.shape
        return (batch, features), (batch, self.cell.units)

    def get_config(self):
        config = super().get_config()
        del config["cell"]
        of_cell = self.cell.get_config()
        return config | {k: v for k, v in of_cell.items() if k not in ("name", "trainable", "dtype")}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


# Keywords of Keras 1.
OLD_NAMES = {
    "init": "kernel_initializer", "inner_init": "recurrent_initializer",
    "inner_activation": "recurrent_activation", "W_regularizer": "kernel_regularizer",
    "U_regularizer": "recurrent_regularizer", "b_regularizer": "bias_regularizer", "dropout_W": "dropout",
    "dropout_U": "recurrent_dropout",
}
_old_names = old_names(output_dim="units", consume_less="implementation", **OLD_NAMES)


def _cudnn_choice(use_cudnn):
    """Return ``use_cudnn``, which is accepted for compatibility: there is one implementation."""
    if use_cudnn not in ("auto", True, False):
        raise ValueError(f"use_cudnn must be 'auto', True or False, came {use_cudnn!r}")
    return use_cudnn


def _cell_options(kwargs: dict) -> dict:
    """Arguments that a layer shares with its cell; ``implementation`` belongs to the cell alone."""
    if kwargs.pop("return_runtime", False):
        raise NotImplementedError("return_runtime=True is not supported: it told what TensorFlow ran on")
    return {
        "dtype": kwargs.get("dtype"), "trainable": kwargs.get("trainable", True),
        "implementation": kwargs.pop("implementation", 2),
        "enable_caching_device": kwargs.pop("enable_caching_device", False),
    }


class SimpleRNN(_Fused):
    """Fully connected recurrent layer: h' = activation(x W + h U + b).

    Parameters
    ----------
    units : int
        Size of the state and of each output.
    activation : str or callable
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped; the same ones at every step.
    return_sequences, return_state, go_backwards, stateful, unroll
        As in ``RNN``.
    seed : int, optional
        Of dropout.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.SimpleRNN(4)(keras.ops.ones((2, 5, 3))).shape
    (2, 4)
    """

    op = staticmethod(ops.simple_rnn)
    cell_class = SimpleRNNCell

    @_old_names
    def __init__(
        self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", kernel_regularizer=None,
        recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None, kernel_constraint=None,
        recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0,
        return_sequences=False, return_state=False, go_backwards=False, stateful=False, unroll=False,
        seed=None, **kwargs,
    ):
        cell = SimpleRNNCell(
            units, activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
            recurrent_initializer=recurrent_initializer, bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer, recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint, bias_constraint=bias_constraint, dropout=dropout,
            recurrent_dropout=recurrent_dropout, seed=seed, name="simple_rnn_cell", **_cell_options(kwargs),
        )
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, unroll=unroll, activity_regularizer=activity_regularizer, **kwargs,
        )


class GRU(_Fused):
    """Gated recurrent units; the formula stands at ``ops.gru``.

    Parameters
    ----------
    units : int
        Size of the state and of each output.
    activation, recurrent_activation : str or callable
        Of the candidate state, and of the gates.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    activity_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped; the same ones at every step.
    seed : int, optional
        Of dropout.
    return_sequences, return_state, go_backwards, stateful, unroll
        As in ``RNN``.
    reset_after : bool
        Apply the reset gate after the product with the recurrent kernel (the default since ``tf.keras`` 2)
        instead of before (standalone Keras 2).
    use_cudnn : "auto" or bool
        Accepted for compatibility.

    References
    ----------
    Cho et al.: Learning Phrase Representations using RNN Encoder-Decoder, arXiv:1406.1078

    Examples
    --------
    >>> import gpukeras as keras
    >>> y, h = keras.layers.GRU(4, return_sequences=True, return_state=True)(keras.ops.ones((2, 5, 3)))
    >>> y.shape, h.shape
    ((2, 5, 4), (2, 4))
    """

    op = staticmethod(ops.gru)
    cell_class = GRUCell
    recurrent_activation = _of_cell("recurrent_activation")
    reset_after = _of_cell("reset_after")

    @_old_names
    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, activity_regularizer=None,
        kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
        recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False, go_backwards=False,
        stateful=False, unroll=False, reset_after=True, use_cudnn="auto", **kwargs,
    ):
        cell = GRUCell(
            units, activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias,
            kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
            recurrent_regularizer=recurrent_regularizer, bias_regularizer=bias_regularizer,
            kernel_constraint=kernel_constraint, recurrent_constraint=recurrent_constraint,
            bias_constraint=bias_constraint, dropout=dropout, recurrent_dropout=recurrent_dropout,
            reset_after=reset_after, seed=seed, name="gru_cell", **_cell_options(kwargs),
        )
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, unroll=unroll, activity_regularizer=activity_regularizer, **kwargs,
        )
        self.use_cudnn = _cudnn_choice(use_cudnn)


class LSTM(_Fused):
    """Long short-term memory; the formula stands at ``ops.lstm``.

    Parameters
    ----------
    units : int
        Size of the state and of each output.
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
        Fraction of the inputs, and of the states, that is dropped; the same ones at every step.
    seed : int, optional
        Of dropout.
    return_sequences, return_state, go_backwards, stateful, unroll
        As in ``RNN``; the states are h and c.
    use_cudnn : "auto" or bool
        Accepted for compatibility.

    References
    ----------
    Hochreiter, Schmidhuber: Long Short-Term Memory, 1997, doi:10.1162/neco.1997.9.8.1735

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.ones((2, 5, 3))
    >>> y, h, c = keras.layers.LSTM(4, return_state=True)(x)
    >>> keras.layers.LSTM(4)(x, initial_state=[h, c]).shape
    (2, 4)
    """

    op = staticmethod(ops.lstm)
    cell_class = LSTMCell
    recurrent_activation = _of_cell("recurrent_activation")
    unit_forget_bias = _of_cell("unit_forget_bias")

    @_old_names
    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, bias_constraint=None,
        dropout=0.0, recurrent_dropout=0.0, seed=None, return_sequences=False, return_state=False,
        go_backwards=False, stateful=False, unroll=False, use_cudnn="auto", **kwargs,
    ):
        cell = LSTMCell(
            units, activation=activation, recurrent_activation=recurrent_activation, use_bias=use_bias,
            kernel_initializer=kernel_initializer, recurrent_initializer=recurrent_initializer,
            bias_initializer=bias_initializer, unit_forget_bias=unit_forget_bias,
            kernel_regularizer=kernel_regularizer, recurrent_regularizer=recurrent_regularizer,
            bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
            recurrent_constraint=recurrent_constraint, bias_constraint=bias_constraint, dropout=dropout,
            recurrent_dropout=recurrent_dropout, seed=seed, name="lstm_cell", **_cell_options(kwargs),
        )
        super().__init__(
            cell, return_sequences=return_sequences, return_state=return_state, go_backwards=go_backwards,
            stateful=stateful, unroll=unroll, activity_regularizer=activity_regularizer, **kwargs,
        )
        self.use_cudnn = _cudnn_choice(use_cudnn)
