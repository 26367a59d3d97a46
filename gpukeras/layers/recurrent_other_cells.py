"""Cells around the three plain ones: AbstractRNNCell, StackedRNNCells, PeepholeLSTMCell."""

from __future__ import annotations

from gpukeras import ops, tree
from gpukeras.layers.layer import Layer
from gpukeras.layers.recurrent_cells import LSTMCell, _activate, _product, as_keras2, with_keras2_names
from gpukeras.layers.recurrent_states import (
    build_inside,
    call_cell,
    initial_state_of,
    output_size_of,
    samples_of,
    takes,
    zero_states,
)


class AbstractRNNCell(Layer):
    """Base class for cells of one's own, as ``tf.keras`` had it.

    Subclasses write ``call(inputs, states) -> (output, new states)`` and the property ``state_size``;
    ``output_size`` where it is not the size of the first state.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Sum(keras.layers.AbstractRNNCell):
    ...     state_size = 3
    ...     def call(self, inputs, states):
    ...         total = states[0] + inputs
    ...         return total, [total]
    >>> keras.layers.RNN(Sum())(keras.ops.ones((1, 4, 3))).numpy()
    array([[4., 4., 4.]], dtype=float32)
    """

    def call(self, inputs, states):
        """Return the output of a step and the list of new states; subclasses must write it."""
        raise NotImplementedError(f"cell {self.name!r} ({type(self).__name__}) has no call() method")

    @property
    def state_size(self):
        """Size of the state, or a list with the size of each; subclasses must write it."""
        raise NotImplementedError(f"cell {self.name!r} ({type(self).__name__}) has no state_size")

    @property
    def output_size(self):
        """Size of the output: unless written otherwise, that of the first state."""
        return self.state_size[0] if isinstance(self.state_size, (list, tuple)) else self.state_size

    def get_initial_state(self, batch_size=None, inputs=None, dtype=None):
        """Return zeros for the states of ``batch_size`` samples, or for ``inputs``, as in ``tf.keras``."""
        return zero_states(self, batch_size, inputs, dtype)


class StackedRNNCells(Layer):
    """Several cells that act as one: each step goes through all of them in turn.

    Parameters
    ----------
    cells : list of cells
    reverse_state_order : bool
        List the states of the last cell first, as Keras did before 2.2.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.RNN([keras.layers.LSTMCell(4), keras.layers.GRUCell(3)])
    >>> layer(keras.ops.ones((2, 5, 6))).shape
    (2, 3)
    """

    def __init__(self, cells, **kwargs):
        self.reverse_state_order = kwargs.pop("reverse_state_order", False)
        super().__init__(**kwargs)
        for cell in cells:
            for wanted in ("call", "state_size"):
                if not hasattr(cell, wanted):
                    raise ValueError(
                        f"StackedRNNCells: every cell needs {wanted!r}, which {cell!r} does not have"
                    )
        self.cells = list(cells)

    @property
    def state_size(self):
        """State sizes of the cells, one entry (an int or a list) per cell."""
        sizes = [list(s) if isinstance(s, tuple) else s for s in (cell.state_size for cell in self.cells)]
        return self._in_order(sizes)

    def _in_order(self, of_cells: list) -> list:
        """Bring what there is for each cell into the order of the states, or back."""
        return of_cells[::-1] if self.reverse_state_order else of_cells

    @property
    def output_size(self):
        """Size of the last cell's output."""
        return output_size_of(self.cells[-1])

    def build(self, input_shape):
        batch = input_shape[0]
        for cell in self.cells:
            build_inside(cell, input_shape)
            size = output_size_of(cell)
            input_shape = (batch, *size) if isinstance(size, (list, tuple)) else (batch, size)

    def get_initial_state(self, batch_size=None, inputs=None, dtype=None):
        """Return zeros (or what the cells say) for every cell's states."""
        batch_size, dtype = samples_of(batch_size, inputs), dtype or self.compute_dtype
        return self._in_order([initial_state_of(cell, batch_size, dtype) for cell in self.cells])

    def call(self, inputs, states, training=False, constants=None, **kwargs):
        if constants is not None:
            kwargs["constants"] = constants
        new_states = []
        for cell, given in zip(self.cells, self._in_order(list(states))):
            nested = tree.is_nested(given)
            options = {k: v for k, v in kwargs.items() if takes(cell, k)}
            inputs, state = call_cell(cell, inputs, list(given) if nested else [given], training, **options)
            if not tree.is_nested(state):
                state = [state]
            new_states.append(list(state) if nested else state[0])
        return inputs, self._in_order(new_states)

    def get_config(self):
        from gpukeras import saving

        config = super().get_config()
        if self.reverse_state_order:
            config["reverse_state_order"] = True
        return config | {"cells": [saving.serialize_keras_object(cell) for cell in self.cells]}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras import layers

        config = dict(config)
        cells = [layers.deserialize(cell, custom_objects) for cell in config.pop("cells")]
        return cls(cells, **config)


class PeepholeLSTMCell(LSTMCell):
    """One step of an LSTM whose gates also see the cell state, as ``tf.keras`` had it once.

    Parameters
    ----------
    units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer, \
bias_initializer, unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer, \
kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed
        As in ``LSTMCell``. ``"hard_sigmoid"`` is that of Keras 2: 0.2 x + 0.5, between 0 and 1.

    Notes
    -----
    With p the peephole weights, one for each unit, multiplied element by element::

        i, f = s(x W + h U + b + c p) of their columns,  g = a(x W + h U + b) of c's
        c' = f * c + i * g,  o = s(x W + h U + b + c' p),  h' = o * a(c')

    References
    ----------
    Gers, Schraudolph, Schmidhuber: Learning Precise Timing with LSTM Recurrent Networks, 2002,
    doi:10.1162/153244303768966139

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.RNN(keras.experimental.PeepholeLSTMCell(4))
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    (2, 4)
    """

    def __init__(
        self, units, activation="tanh", recurrent_activation="hard_sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
        recurrent_dropout=0.0, seed=None, **kwargs,
    ):
        super().__init__(
            units, activation, recurrent_activation, use_bias, kernel_initializer, recurrent_initializer,
            bias_initializer, unit_forget_bias, kernel_regularizer, recurrent_regularizer, bias_regularizer,
            kernel_constraint, recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed,
            **kwargs,
        )
        self.activation = as_keras2(activation)
        self.recurrent_activation = as_keras2(recurrent_activation)

    def build(self, input_shape):
        super().build(input_shape)
        for gate in ("input", "forget", "output"):
            name = f"{gate}_gate_peephole_weights"
            setattr(self, name, self.add_weight(
                shape=(self.units,), name=name, initializer=self.kernel_initializer
            ))

    def call(self, inputs, states, training=False):
        h, c = states
        drop, recurrent_drop = self.masks(inputs, h, training)
        kernel, recurrent_kernel, bias = self.step_weights()
        sums = _product(inputs, kernel, drop) + _product(h, recurrent_kernel, recurrent_drop)
        i, f, g, o = ops.split(sums if bias is None else sums + bias, 4, axis=-1)
        i = _activate(self.recurrent_activation, i + c * self.input_gate_peephole_weights)
        f = _activate(self.recurrent_activation, f + c * self.forget_gate_peephole_weights)
        c = f * c + i * _activate(self.activation, g)
        o = _activate(self.recurrent_activation, o + c * self.output_gate_peephole_weights)
        h = o * _activate(self.activation, c)
        return h, [h, c]

    def get_config(self):
        return with_keras2_names(self, super().get_config())
