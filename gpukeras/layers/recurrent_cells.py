"""Cells: one step of a recurrent layer. SimpleRNNCell, GRUCell, LSTMCell."""

from __future__ import annotations

import functools

import numpy as np

from gpukeras import activations, constraints, initializers, ops, random, regularizers
from gpukeras.layers.layer import Layer
from gpukeras.layers.recurrent_states import build_inside, zero_states  # noqa: F401  (read from here)
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
        """Return ``count`` masks (one: the mask) for the input, as in ``tf.keras``; ``None`` at rate 0."""
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
    _config_names: tuple[str, ...] = (
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

    def step_weights(self) -> tuple:
        """Return kernel, recurrent kernel and bias (or ``None``) as ``call`` takes them."""
        return self.kernel, self.recurrent_kernel, self.bias

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
        kernel, recurrent_kernel, bias = self.step_weights()
        sums = _product(sequence, kernel, drop) + _product(h, recurrent_kernel, recurrent_drop)
        y = _activate(self.activation, sums if bias is None else sums + bias)
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
        kernel, recurrent_kernel, bias = self.step_weights()
        gate = functools.partial(_activate, self.recurrent_activation)
        outer = _product(inputs, kernel, drop)
        if bias is not None:
            outer = outer + (ops.getitem(bias, 0) if self.reset_after else bias)
        x_z, x_r, x_h = ops.split(outer, 3, axis=-1)
        if self.reset_after:
            inner = _product(h, recurrent_kernel, recurrent_drop)
            if bias is not None:
                inner = inner + ops.getitem(bias, 1)
            h_z, h_r, h_h = ops.split(inner, 3, axis=-1)
            z, r = gate(x_z + h_z), gate(x_r + h_r)
            candidate = _activate(self.activation, x_h + r * h_h)
        else:
            of_gates = of_h = recurrent_drop
            if recurrent_drop is not None and recurrent_drop.ndim == 3:
                of_gates, of_h = recurrent_drop[:2], recurrent_drop[2]
            for_gates, for_h = ops.split(recurrent_kernel, [2 * self.units], axis=-1)
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
        return with_forget_bias(self)

    def call(self, inputs, states, training=False):
        h, c = states
        drop, recurrent_drop = self.masks(inputs, h, training)
        kernel, recurrent_kernel, bias = self.step_weights()
        sums = _product(inputs, kernel, drop) + _product(h, recurrent_kernel, recurrent_drop)
        i, f, g, o = ops.split(sums if bias is None else sums + bias, 4, axis=-1)
        gate = functools.partial(_activate, self.recurrent_activation)
        c = gate(f) * c + gate(i) * _activate(self.activation, g)
        h = gate(o) * _activate(self.activation, c)
        return h, [h, c]


def with_forget_bias(cell, before: int = 1, behind: int = 2):
    """Return the initializer of an LSTM's bias, with ones for the forget gate where the cell wants that.

    ``before`` and ``behind`` it there are so many times ``units`` numbers.
    """
    if not cell.unit_forget_bias:
        return cell.bias_initializer

    def initializer(shape, dtype=None):
        rest = [cell.bias_initializer((n * cell.units,), dtype=dtype) for n in (before, behind)]
        rest = [x.numpy() if isinstance(x, Tensor) else np.asarray(x) for x in rest]
        return np.concatenate([rest[0], np.ones(cell.units, rest[0].dtype), rest[1]])

    return initializer


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
