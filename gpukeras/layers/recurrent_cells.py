"""Cells: one step of a recurrent layer. SimpleRNNCell, GRUCell, LSTMCell, StackedRNNCells."""

from __future__ import annotations

import functools
import inspect

import numpy as np

from gpukeras import activations, constraints, initializers, ops, random, regularizers, tree
from gpukeras.layers.layer import Layer
from gpukeras.tensor import Tensor


class DropoutRNNCell:
    """Dropout masks that stay the same over all steps of one call; a base beside ``Layer``.

    A cell that inherits from it has attributes ``dropout``, ``recurrent_dropout`` and ``seed``.
    ``dropout_mask_count`` says how many masks there are, one per gate, or ``None``: one for all gates.
    """

    dropout: float
    recurrent_dropout: float
    seed: int | None
    dropout_mask_count: int | None = None
    _dropout_mask = None
    _recurrent_dropout_mask = None
    _seed_generator = None

    @property
    def seed_generator(self):
        """Source of the masks, made on first use."""
        if self._seed_generator is None:
            self._seed_generator = random.SeedGenerator(self.seed)
        return self._seed_generator

    def get_dropout_mask(self, step_input):
        """Return the factors for the input: shaped like it, or one such per gate; ``None`` at rate 0."""
        if self._dropout_mask is None and self.dropout > 0:
            self._dropout_mask = self._draw(step_input, self.dropout)
        return self._dropout_mask

    def get_recurrent_dropout_mask(self, step_input):
        """Return the factors for the state; see ``get_dropout_mask``."""
        if self._recurrent_dropout_mask is None and self.recurrent_dropout > 0:
            self._recurrent_dropout_mask = self._draw(step_input, self.recurrent_dropout)
        return self._recurrent_dropout_mask

    def reset_dropout_mask(self):
        """Forget the mask: the next call draws another."""
        self._dropout_mask = None

    def reset_recurrent_dropout_mask(self):
        """Forget the mask: the next call draws another."""
        self._recurrent_dropout_mask = None

    def get_dropout_mask_for_cell(self, inputs, training, count=1):
        """Return ``count`` masks for the input as ``tf.keras`` did; for one the mask itself, at rate 0 none."""
        return self._mask_for_cell(self.get_dropout_mask, self.dropout, inputs, training, count)

    def get_recurrent_dropout_mask_for_cell(self, inputs, training, count=1):
        """Return masks for the state; see ``get_dropout_mask_for_cell``."""
        found = self.get_recurrent_dropout_mask
        return self._mask_for_cell(found, self.recurrent_dropout, inputs, training, count)

    def _mask_for_cell(self, find, rate, inputs, training, count):
        if not rate:
            return None
        if not training:
            masks = [ops.ones_like(inputs)] * count
        else:
            mask = find(inputs)
            masks = ops.unstack(mask) if len(mask.shape) > len(inputs.shape) else [mask] * count
        return masks[0] if count == 1 else list(masks[:count])

    def _draw(self, like, rate):
        count = () if self.dropout_mask_count is None else (self.dropout_mask_count,)
        ones = ops.ones((*count, *like.shape), dtype=like.dtype)
        return random.dropout(ones, rate, seed=self.seed_generator)


class _Cell(Layer, DropoutRNNCell):
    """What the three built-in cells share: weights for ``gates`` blocks of ``units`` columns.

    Subclasses write their own constructor, because the order of arguments differs, and ``call``.
    """

    gates = 1
    _config_names = (
        "units", "activation", "recurrent_activation", "use_bias", "kernel_initializer",
        "recurrent_initializer", "bias_initializer", "unit_forget_bias", "kernel_regularizer",
        "recurrent_regularizer", "bias_regularizer", "kernel_constraint", "recurrent_constraint",
        "bias_constraint", "dropout", "recurrent_dropout", "reset_after", "seed",
    )

    def _set_up(
        self, units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
        kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
        bias_constraint, dropout, recurrent_dropout, seed, implementation,
    ):
        if not isinstance(units, (int, np.integer)) or units <= 0:
            raise ValueError(f"{type(self).__name__}: units must be a positive integer, came {units!r}")
        self.units = int(units)
        self.activation = activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer)
        self.recurrent_initializer = initializers.get(recurrent_initializer)
        self.bias_initializer = initializers.get(bias_initializer)
        self.kernel_regularizer = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.bias_regularizer = regularizers.get(bias_regularizer)
        self.kernel_constraint = constraints.get(kernel_constraint)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.bias_constraint = constraints.get(bias_constraint)
        self.dropout = min(1.0, max(0.0, dropout))
        self.recurrent_dropout = min(1.0, max(0.0, recurrent_dropout))
        self.seed = seed
        # Keras draws one mask per gate in implementation 1, which recurrent dropout always uses.
        self.implementation = 1 if self.recurrent_dropout else _implementation(implementation, self)
        if self.implementation == 1 and self.gates > 1:
            self.dropout_mask_count = self.gates
        self.state_size: int | list[int] = self.units
        self.output_size = self.units
        self.bias = None

    def build(self, input_shape):
        width = self.gates * self.units
        self.kernel = self.add_weight(
            shape=(input_shape[-1], width), name="kernel", initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer, constraint=self.kernel_constraint,
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, width), name="recurrent_kernel", initializer=self.recurrent_initializer,
            regularizer=self.recurrent_regularizer, constraint=self.recurrent_constraint,
        )
        if self.use_bias:
            self.bias = self.add_weight(
                shape=self._bias_shape(width), name="bias", initializer=self._first_bias(),
                regularizer=self.bias_regularizer, constraint=self.bias_constraint,
            )

    def _bias_shape(self, width):
        return (width,)

    def _first_bias(self):
        return self.bias_initializer

    def masks(self, inputs, state, training):
        """Return the dropout masks of input and state for this call, ``None`` where there is none."""
        drop = self.get_dropout_mask(inputs) if training and 0 < self.dropout < 1 else None
        if not training or not 0 < self.recurrent_dropout < 1:
            return drop, None
        return drop, self.get_recurrent_dropout_mask(state)

    def get_initial_state(self, batch_size=None, inputs=None, dtype=None):
        """Return zeros for the states of ``batch_size`` samples, or for ``inputs``, as in ``tf.keras``."""
        return zero_states(self, batch_size, inputs, dtype)

    def get_config(self):
        config = super().get_config()
        for name in self._config_names:
            if hasattr(self, name):
                config[name] = _plain(name, getattr(self, name))
        if self.implementation == 1 and not self.recurrent_dropout:
            config["implementation"] = 1
        return config


def _implementation(value, layer) -> int:
    """Return ``implementation``: 1, a product for each gate, or 2, one for all; 0 was another form of 1."""
    value = {"cpu": 0, "mem": 1, "gpu": 2}.get(value, value)  # of Keras 1, by what they save
    if value not in (0, 1, 2):
        raise ValueError(f"layer {layer.name!r}: implementation must be 0, 1 or 2, came {value!r}")
    return value or 1


def _plain(name: str, value):
    """Return a constructor argument as a plain value."""
    kind = name.rpartition("_")[2]
    module = {"activation": activations, "initializer": initializers, "regularizer": regularizers,
              "constraint": constraints}.get(kind)
    return value if module is None else module.serialize(value)


class SimpleRNNCell(_Cell):
    """One step of a simple RNN: h' = activation(x W + h U + b).

    Parameters
    ----------
    units : int
    activation : str or callable
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped; the same ones at every step.
    seed : int, optional
        Of dropout.

    Examples
    --------
    >>> import gpukeras as keras
    >>> cell = keras.layers.SimpleRNNCell(4)
    >>> y, states = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
    >>> y.shape
    (2, 4)
    """

    def __init__(
        self, units, activation="tanh", use_bias=True, kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal", bias_initializer="zeros", kernel_regularizer=None,
        recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None, recurrent_constraint=None,
        bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, seed=None, **kwargs,
    ):
        implementation = kwargs.pop("implementation", 2)
        self.enable_caching_device = kwargs.pop("enable_caching_device", False)  # there is nothing to cache
        super().__init__(**kwargs)
        self._set_up(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, implementation,
        )

    def call(self, sequence, states, training=False):
        h = states[0] if isinstance(states, (list, tuple)) else states
        drop, recurrent_drop = self.masks(sequence, h, training)
        sums = _product(sequence, self.kernel, drop) + _product(h, self.recurrent_kernel, recurrent_drop)
        y = _activate(self.activation, sums if self.bias is None else sums + self.bias)
        return y, [y] if isinstance(states, (list, tuple)) else y


class GRUCell(_Cell):
    """One step of gated recurrent units; the formula stands at ``ops.gru``.

    Parameters
    ----------
    units : int
    activation, recurrent_activation : str or callable
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped; the same ones at every step.
    reset_after : bool
        Apply the reset gate after the product with ``recurrent_kernel`` instead of before.
    seed : int, optional
        Of dropout.

    Examples
    --------
    >>> import gpukeras as keras
    >>> cell = keras.layers.GRUCell(4)
    >>> y, states = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
    >>> y.shape
    (2, 4)
    """

    gates = 3

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, kernel_constraint=None,
        recurrent_constraint=None, bias_constraint=None, dropout=0.0, recurrent_dropout=0.0, reset_after=True,
        seed=None, **kwargs,
    ):
        implementation = kwargs.pop("implementation", 2)
        self.enable_caching_device = kwargs.pop("enable_caching_device", False)  # there is nothing to cache
        super().__init__(**kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.reset_after = reset_after
        self._set_up(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, implementation,
        )

    def _bias_shape(self, width):
        return (2, width) if self.reset_after else (width,)

    def call(self, inputs, states, training=False):
        h = states[0] if isinstance(states, (list, tuple)) else states
        drop, recurrent_drop = self.masks(inputs, h, training)
        gate = functools.partial(_activate, self.recurrent_activation)
        outer = _product(inputs, self.kernel, drop)
        if self.bias is not None:
            outer = outer + (ops.getitem(self.bias, 0) if self.reset_after else self.bias)
        x_z, x_r, x_h = ops.split(outer, 3, axis=-1)
        if self.reset_after:
            inner = _product(h, self.recurrent_kernel, recurrent_drop)
            if self.bias is not None:
                inner = inner + ops.getitem(self.bias, 1)
            h_z, h_r, h_h = ops.split(inner, 3, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = _activate(self.activation, x_h + r * h_h)
        else:
            of_gates = of_h = recurrent_drop
            if recurrent_drop is not None and recurrent_drop.ndim == 3:
                of_gates, of_h = recurrent_drop[:2], recurrent_drop[2]
            for_gates, for_h = ops.split(self.recurrent_kernel, [2 * self.units], axis=-1)
            h_z, h_r = ops.split(_product(h, for_gates, of_gates), 2, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = _activate(self.activation, x_h + _product(r * h, for_h, of_h))
        y = z * h + (1 - z) * candidate
        return y, [y] if isinstance(states, (list, tuple)) else y


class LSTMCell(_Cell):
    """One step of a long short-term memory; the formula stands at ``ops.lstm``.

    Parameters
    ----------
    units : int
    activation, recurrent_activation : str or callable
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str or Initializer
    unit_forget_bias : bool
        Start the bias of the forget gate at one.
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
    kernel_constraint, recurrent_constraint, bias_constraint : str or Constraint, optional
    dropout, recurrent_dropout : float
        Fraction of the inputs, and of the states, that is dropped; the same ones at every step.
    seed : int, optional
        Of dropout.

    Examples
    --------
    >>> import gpukeras as keras
    >>> cell = keras.layers.LSTMCell(4)
    >>> y, (h, c) = cell(keras.ops.ones((2, 3)), cell.get_initial_state(2))
    >>> y.shape, c.shape
    ((2, 4), (2, 4))
    """

    gates = 4

    def __init__(
        self, units, activation="tanh", recurrent_activation="sigmoid", use_bias=True,
        kernel_initializer="glorot_uniform", recurrent_initializer="orthogonal", bias_initializer="zeros",
        unit_forget_bias=True, kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None,
        kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, dropout=0.0,
        recurrent_dropout=0.0, seed=None, **kwargs,
    ):
        implementation = kwargs.pop("implementation", 2)
        self.enable_caching_device = kwargs.pop("enable_caching_device", False)  # there is nothing to cache
        super().__init__(**kwargs)
        self.recurrent_activation = activations.get(recurrent_activation)
        self.unit_forget_bias = unit_forget_bias
        self._set_up(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint,
            recurrent_constraint, bias_constraint, dropout, recurrent_dropout, seed, implementation,
        )
        self.state_size = [self.units, self.units]

    def _first_bias(self):
        if not self.unit_forget_bias:
            return self.bias_initializer

        def initializer(shape, dtype=None):
            units = self.units
            rest = [self.bias_initializer((n,), dtype=dtype) for n in (units, 2 * units)]
            rest = [x.numpy() if isinstance(x, Tensor) else np.asarray(x) for x in rest]
            return np.concatenate([rest[0], np.ones(units, rest[0].dtype), rest[1]])

        return initializer

    def call(self, inputs, states, training=False):
        h, c = states
        drop, recurrent_drop = self.masks(inputs, h, training)
        sums = _product(inputs, self.kernel, drop) + _product(h, self.recurrent_kernel, recurrent_drop)
        i, f, g, o = ops.split(sums if self.bias is None else sums + self.bias, 4, axis=-1)
        gate = functools.partial(_activate, self.recurrent_activation)
        c = gate(f) * c + gate(i) * _activate(self.activation, g)
        h = gate(o) * _activate(self.activation, c)
        return h, [h, c]


def _activate(function, x):
    return x if function is None else function(x)


def as_keras2(activation):
    """Return an activation by its name in Keras 2, where ``"hard_sigmoid"`` was another function."""
    return ops.hard_sigmoid_keras2 if activation == "hard_sigmoid" else activations.get(activation)


def with_keras2_names(layer, config: dict) -> dict:
    """Return a configuration with activations by the names that ``as_keras2`` reads."""
    return {k: "hard_sigmoid" if getattr(layer, k, None) is ops.hard_sigmoid_keras2 else v
            for k, v in config.items()}


def _product(x, weights, mask):
    """``x @ weights`` with dropout factors on ``x``: none, one for all gates, or one per gate."""
    if mask is None:
        return ops.matmul(x, weights)
    if mask.ndim == x.ndim:
        return ops.matmul(x * mask, weights)
    gates = mask.shape[0]
    blocks = ops.split(weights, gates, axis=-1)
    return ops.concatenate([ops.matmul(x * mask[k], blocks[k]) for k in range(gates)], axis=-1)


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


# ---- what RNN and StackedRNNCells ask of any cell, built in or not ---------------------------------------
def output_size_of(cell):
    """Return ``output_size`` of a cell, else the size of its first state."""
    found = getattr(cell, "output_size", None)
    if found is None:
        found = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    return found


def initial_state_of(cell, batch_size, dtype):
    """Return the initial states of a cell as a list: its own ``get_initial_state``, else zeros."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        names = inspect.signature(own).parameters
        given = {"batch_size": batch_size}
        if "dtype" in names:  # as in Keras 2
            given["dtype"] = dtype
        if "batch_size" not in names and "inputs" in names:
            given = {"inputs": ops.zeros((batch_size, 1), dtype=dtype)}
        state = own(**given)
        return list(state) if tree.is_nested(state) else [state]
    return zero_states(cell, batch_size, None, dtype)


def zero_states(cell, batch_size, inputs=None, dtype=None) -> list:
    """Return zeros for the states of a cell, nested like its ``state_size``."""
    dtype = dtype or getattr(cell, "compute_dtype", None)
    shapes = state_shapes(cell.state_size, samples_of(batch_size, inputs))
    return map_shapes(lambda shape: ops.zeros(shape, dtype=dtype), shapes)


def samples_of(batch_size, inputs=None):
    """Return the number of samples: given as such, or as that of ``inputs``, which may come first."""
    if hasattr(batch_size, "shape") and len(batch_size.shape) > 0:
        inputs = batch_size
    return batch_size if inputs is None else inputs.shape[0]


def state_shapes(state_size, batch_size) -> list:
    """Return the shapes of a cell's states as a list: an int is a vector's size, a tuple inside a shape.

    Lists inside are those of cells in a stack.
    """
    sizes = list(state_size) if isinstance(state_size, (list, tuple)) else [state_size]
    return [
        state_shapes(n, batch_size) if isinstance(n, list)
        else (batch_size, *n) if isinstance(n, tuple) else (batch_size, int(n))
        for n in sizes
    ]


def map_shapes(function, shapes):
    """Return ``function`` of every shape (a tuple) in nested lists of them."""
    if isinstance(shapes, list):
        return [map_shapes(function, shape) for shape in shapes]
    return function(shapes)


def call_cell(cell, inputs, states, training, **kwargs):
    """Run one step of a cell, giving it ``training`` where it takes that."""
    if takes(cell, "training"):
        kwargs["training"] = training
    return cell(inputs, states, **kwargs) if callable(cell) else cell.call(inputs, states, **kwargs)


def takes(cell, argument: str) -> bool:
    """Tell whether a cell's ``call`` has an argument of that name."""
    if isinstance(cell, StackedRNNCells) and argument != "training":
        return any(takes(inner, argument) for inner in cell.cells)
    return argument in inspect.signature(cell.call).parameters


def build_inside(layer, shape, **shapes) -> None:
    """Build a layer or cell inside another, with the weights it was given in its constructor, if any."""
    if isinstance(layer, Layer):
        if not layer.built:
            layer.build(shape, **shapes)
            layer.built = True
            if layer._initial_weights is not None:
                layer.set_weights(layer._initial_weights)
                layer._initial_weights = None
    elif hasattr(layer, "build") and not getattr(layer, "built", False):
        layer.build(shape)
        layer.built = True
