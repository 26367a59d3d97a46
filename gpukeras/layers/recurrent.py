"""RNN: a cell run over all steps of a sequence."""

from __future__ import annotations

import numpy as np

from gpukeras import lazy, ops, tree
from gpukeras.layers.call_spec import is_numbers, is_shape
from gpukeras.layers.layer import Layer
from gpukeras.layers.recurrent_cells import DropoutRNNCell
from gpukeras.layers.recurrent_other_cells import StackedRNNCells
from gpukeras.layers.recurrent_states import (
    build_inside,
    call_cell,
    initial_state_of,
    map_shapes,
    output_size_of,
    state_shapes,
    takes,
)
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, Variable, to_array


class RNN(Layer):
    """Run a cell over the steps of a sequence.

    Parameters
    ----------
    cell : cell or list of cells
        Anything with ``call(inputs, states) -> (output, new states)`` and ``state_size`` (an int or a list),
        and maybe ``output_size`` and ``get_initial_state(batch_size)``. A list is stacked.
    return_sequences : bool
        Return the outputs of all steps instead of the last one.
    return_state : bool
        Return the last states after the output.
    go_backwards : bool
        Read the steps from last to first; the output sequence is in the order of reading.
    stateful : bool
        Start each batch from the states in which the last one ended; needs a fixed batch size.
    unroll : bool
        Run step by step on ops. For the built-in layers this replaces the fused steps: slower, and the way
        to second-order gradients.
    zero_output_for_mask : bool
        Put zeros in the output where the mask is ``False`` instead of repeating the last output.
    time_major : bool
        Inputs and outputs have shape (steps, batch, features), as in Keras 2.

    Notes
    -----
    Masked steps keep the state and repeat the last output, which is zero before the first valid step.
    Initial states may be given by ``initial_state=`` or behind the input in a list.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.RNN(keras.layers.SimpleRNNCell(4), return_sequences=True)
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    def __init__(self, cell, return_sequences=False, return_state=False, go_backwards=False, stateful=False,
                 unroll=False, zero_output_for_mask=False, **kwargs):
        time_major = kwargs.pop("time_major", False)
        super().__init__(**kwargs)
        if isinstance(cell, (list, tuple)):
            cell = StackedRNNCells(cell)
        for wanted in ("call", "state_size"):
            if not hasattr(cell, wanted):
                raise ValueError(
                    f"layer {self.name!r}: the cell needs {wanted!r}, which {cell!r} does not have"
                )
        if not isinstance(cell.state_size, (list, tuple, int, np.integer)):
            raise ValueError(
                f"layer {self.name!r}: state_size of the cell must be an int or a list of ints, one per "
                f"state, came {cell.state_size!r}"
            )
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.unroll = unroll
        self.zero_output_for_mask = zero_output_for_mask
        self.time_major = time_major
        self.supports_masking = True
        sizes = cell.state_size
        self.single_state = not isinstance(sizes, (list, tuple))
        self.state_size: list = list(sizes) if isinstance(sizes, (list, tuple)) else [int(sizes)]
        self._kept = _Kept()

    # ---- shapes and masks ------------------------------------------------------------------------
    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        shape = sequences_shape if is_shape(sequences_shape) else sequences_shape[0]
        steps, batch = (shape[0], shape[1]) if self.time_major else (shape[1], shape[0])
        size = output_size_of(self.cell)
        output = (batch, *((size,) if isinstance(size, (int, np.integer)) else tuple(size)))
        if self.return_sequences:
            output = (steps, *output) if self.time_major else (batch, steps, *output[1:])
        return (output, *state_shapes(self.state_size, batch)) if self.return_state else output

    def compute_mask(self, _, mask=None):
        mask = tree.flatten(mask)[0]
        found = mask if self.return_sequences else None
        return [found, *[None for _ in self.state_size]] if self.return_state else found

    def build(self, sequences_shape, initial_state_shape=None):
        shape = sequences_shape if is_shape(sequences_shape) else sequences_shape[0]
        if self.time_major:
            shape = (shape[1], shape[0], *shape[2:])
        build_inside(self.cell, (shape[0], *shape[2:]))
        if self.stateful:
            if shape[0] is None:
                raise ValueError(
                    f"layer {self.name!r}: stateful=True needs a fixed batch size, the input shape is {shape}"
                    ". Sequential: start with Input(batch_shape=(batch, steps, features)) or pass "
                    "batch_input_shape; functional: Input(batch_shape=...)"
                )
            self._make_states(shape[0])

    # ---- states ------------------------------------------------------------------------------------
    @property
    def states(self):
        """The kept states of a stateful layer (nested like the cell's), else ``None``."""
        return self._kept.states

    def _make_states(self, batch_size):
        def keep(x):
            return Variable(x, trainable=False, dtype=self.variable_dtype, name="rnn_state")

        self._kept.states = tree.map_structure(keep, self.get_initial_state(batch_size))
        self._kept.batch_size = batch_size

    def get_initial_state(self, batch_size=None, inputs=None):
        """Return the list of states before the first step (nested where the cell's are).

        Keras 2 passed the inputs instead of the batch size; that works too.
        """
        inputs = batch_size if hasattr(batch_size, "shape") and len(batch_size.shape) > 1 else inputs
        if inputs is not None:
            batch_size = inputs.shape[1 if self.time_major else 0]
        dtype = getattr(self.cell, "compute_dtype", self.compute_dtype)
        return initial_state_of(self.cell, batch_size, dtype)

    def reset_state(self, states=None):
        """Set the kept states of a stateful layer to zero, or to ``states`` (a list of arrays)."""
        if not self.stateful:
            raise AttributeError(f"layer {self.name!r} keeps no states: it was made with stateful=False")
        if self.states is None:
            if states is None:
                return  # not built yet: it will start from its initial states anyway
            raise ValueError(
                f"layer {self.name!r} is not built yet, so its states have no shape; call it first"
            )
        flat = tree.flatten(self.states)
        if states is None:
            fresh = self.get_initial_state(self._kept.batch_size)
        else:
            fresh = states if isinstance(states, (list, tuple)) else [states]
        fresh = tree.flatten(fresh)
        if len(fresh) != len(flat):
            raise ValueError(f"layer {self.name!r} has {len(flat)} states, {len(fresh)} were given")
        for variable, value in zip(flat, fresh):
            variable.assign(value)

    def reset_states(self, states=None):
        """Same as ``reset_state``."""
        self.reset_state(states)

    # ---- calling -------------------------------------------------------------------------------------
    def __call__(self, sequences, initial_state=None, mask=None, training=None, constants=None, **kwargs):
        if isinstance(sequences, (list, tuple)) and not is_numbers(sequences):
            if initial_state is not None or constants is not None:
                raise ValueError(
                    f"layer {self.name!r}: states came both in the list of inputs and by keyword; give them "
                    "once"
                )
            sequences, *rest = sequences
            count = len(rest) - self._constants_count(rest)
            initial_state = rest[:count] or None
            constants = rest[count:] or None
        if initial_state is not None:
            kwargs["initial_state"] = initial_state
            count = len(tree.flatten(initial_state))
            if count != self._state_count:
                raise ValueError(
                    f"layer {self.name!r} has {self._state_count} states, {count} initial states were given"
                )
        kwargs |= {"mask": mask, "training": training, "constants": constants}
        return super().__call__(sequences, **{k: v for k, v in kwargs.items() if v is not None})

    def _constants_count(self, rest) -> int:
        """How many of the tensors behind the input are constants: those beyond the states."""
        return max(0, len(rest) - self._state_count) if takes(self.cell, "constants") else 0

    @property
    def _state_count(self) -> int:
        shapes: list = []
        map_shapes(shapes.append, state_shapes(self.state_size, None))
        return len(shapes)

    def call(self, sequences, initial_state=None, mask=None, training=False, constants=None):
        if self.time_major:
            sequences = _swap_time(sequences)
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"layer {self.name!r}: unroll=True needs a known number of steps, the input has shape "
                f"{sequences.shape}; give it in Input(shape=(steps, features))"
            )
        self._check_batch(sequences)
        mask = self._step_mask(mask)
        states = self._first_states(sequences, initial_state)
        try:
            options = {} if constants is None else {"constants": constants}
            last, outputs, states = self.inner_loop(sequences, states, mask, training, **options)
        finally:
            _forget_masks(self.cell)
        if self.stateful:
            for variable, state in zip(tree.flatten(self.states), tree.flatten(states)):
                variable.assign(state)
        output = last
        if self.return_sequences:
            output = _swap_time(outputs) if self.time_major else outputs
        return (output, *states) if self.return_state else output

    def inner_loop(self, sequences, initial_state, mask, training=False, constants=None):
        """Run all steps; return (last output, all outputs, states), ``None`` for the one not asked for."""
        options = {} if constants is None else {"constants": constants}

        def step(x, states):
            return call_cell(self.cell, x, states, training, **options)

        return run_steps(
            step, sequences, initial_state, mask, go_backwards=self.go_backwards,
            zero_output_for_mask=self.zero_output_for_mask, return_sequences=self.return_sequences,
        )

    def _check_batch(self, sequences):
        size = self._kept.batch_size
        if self.stateful and size is not None and sequences.shape[0] not in (None, size):
            raise ValueError(
                f"stateful layer {self.name!r} keeps the states of {size} samples, came a batch of "
                f"{sequences.shape[0]}; use batch_size={size} and a multiple of {size} samples"
            )

    def _step_mask(self, mask):
        """Return the (N, T) mask: the first of a list; a step counts where any of its elements does."""
        mask = tree.flatten(mask)[0]
        if mask is None:
            return None
        if not isinstance(mask, (Tensor, KerasTensor)):
            mask = Tensor(to_array(mask))
        if len(mask.shape) > 2:
            mask = ops.any(mask, axis=tuple(range(2, len(mask.shape))))
        return _swap_time(mask) if self.time_major else mask

    def _first_states(self, sequences, initial_state):
        if initial_state is None:
            if not self.stateful:
                return self._zero_states(sequences)
            # Copies: the variables change before the tape is read.
            return tree.map_structure(lambda v: ops.cast(v.value, self.compute_dtype), self.states)
        states = list(initial_state) if tree.is_nested(initial_state) else [initial_state]
        if len(states) != len(self.state_size):  # given flat, kept nested
            template = map_shapes(lambda shape: 0, state_shapes(self.state_size, None))
            states = tree.pack_sequence_as(template, tree.flatten(states))
        return tree.map_structure(lambda x: ops.cast(x, self.compute_dtype), states)

    def _zero_states(self, sequences):
        return self.get_initial_state(sequences.shape[0])

    # ---- configuration -----------------------------------------------------------------------------
    def get_config(self):
        from gpukeras import saving

        config = {
            "return_sequences": self.return_sequences,
            "return_state": self.return_state,
            "go_backwards": self.go_backwards,
            "stateful": self.stateful,
            "unroll": self.unroll,
            "zero_output_for_mask": self.zero_output_for_mask,
        }
        if self.time_major:
            config["time_major"] = True
        config["cell"] = saving.serialize_keras_object(self.cell)
        return super().get_config() | config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras import layers

        config = dict(config)
        return cls(layers.deserialize(config.pop("cell"), custom_objects), **config)


class _Kept:
    """States kept between batches: a place of their own, because they are no weights."""

    states: list | None = None
    batch_size: int | None = None


def run_steps(step, sequences, states, mask=None, *, go_backwards=False, zero_output_for_mask=False,
              return_sequences=True):
    """Run ``step(x, states) -> (output, new states)`` over axis 1 of ``sequences``, on ops.

    Parameters
    ----------
    step : callable
    sequences : tensor, shape (N, T, ...)
    states : list of tensors, maybe nested
    mask : tensor of bool, shape (N, T), optional
    go_backwards, zero_output_for_mask, return_sequences : bool
        As in ``RNN``.

    Returns
    -------
    last output, all outputs or None, states
    """
    if not sequences.shape[1]:
        raise ValueError(
            f"running step by step needs a known number of steps, at least one; came {sequences.shape}"
        )
    xs = ops.unstack(sequences, axis=1)
    valid = [None] * len(xs) if mask is None else ops.unstack(ops.cast(mask, "bool"), axis=1)
    pairs = list(zip(xs, valid))
    outputs = []
    output = None
    for x, keep in reversed(pairs) if go_backwards else pairs:
        new, new_states = step(x, states)
        new_states = list(new_states) if tree.is_nested(new_states) else [new_states]
        if keep is not None:
            before = ops.zeros_like(new) if zero_output_for_mask or output is None else output
            new = _choose(keep, new, before)
            flat = [_choose(keep, a, b) for a, b in zip(tree.flatten(new_states), tree.flatten(states))]
            new_states = tree.pack_sequence_as(states, flat)
        output, states = new, new_states
        outputs.append(output)
    return output, ops.stack(outputs, axis=1) if return_sequences else None, states


def _choose(valid, new, before):
    return ops.where(ops.reshape(valid, (-1, *[1] * (len(new.shape) - 1))), new, before)


def _swap_time(x):
    return ops.swapaxes(x, 0, 1)


def _forget_masks(cell) -> None:
    """Let cells draw new dropout masks at the next call."""
    if isinstance(cell, DropoutRNNCell):
        cell.reset_dropout_mask()
        cell.reset_recurrent_dropout_mask()
    elif isinstance(cell, StackedRNNCells):
        for inner in cell.cells:
            _forget_masks(inner)


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
