"""Layers around another layer: Wrapper, Bidirectional, TimeDistributed."""

from __future__ import annotations

from gpukeras import config, lazy, ops, tree
from gpukeras.layers.call_spec import call_spec, is_numbers, is_shape
from gpukeras.layers.layer import Layer
from gpukeras.layers.recurrent_states import build_inside, takes


class Wrapper(Layer):
    """Base of layers that hold one other layer.

    Parameters
    ----------
    layer : Layer
    """

    def __init__(self, layer, **kwargs):
        if not isinstance(layer, Layer):
            raise ValueError(f"{type(self).__name__} wraps a layer, came {layer!r}")
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape=None):
        build_inside(self.layer, input_shape)

    def get_config(self):
        from gpukeras import saving

        return super().get_config() | {"layer": saving.serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras import layers

        config = dict(config)
        return cls(layers.deserialize(config.pop("layer"), custom_objects), **config)


class TimeDistributed(Wrapper):
    """Apply a layer to every step of a sequence.

    Steps join the batch axis, so that the layer runs once: it sees inputs of shape
    (batch * steps, ...).

    Parameters
    ----------
    layer : Layer

    Notes
    -----
    A mask of shape (batch, steps) passes by; one with further axes, (batch, steps, inner steps), reaches the
    layer step by step. The output is masked where the layer says so, else at the steps without any valid
    element.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.TimeDistributed(keras.layers.Dense(4))
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    (2, 5, 4)
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.supports_masking = True

    def _step_shape(self, input_shape):
        if not is_shape(input_shape) or len(input_shape) < 3:
            raise ValueError(
                f"layer {self.name!r} (TimeDistributed) needs inputs of shape (batch, steps, ...) with at "
                f"least 3 axes, came {input_shape}"
            )
        return (input_shape[0], *input_shape[2:])

    def build(self, input_shape=None):
        build_inside(self.layer, self._step_shape(input_shape))

    def compute_output_shape(self, input_shape):
        shape = self.layer.compute_output_shape(self._step_shape(input_shape))
        return (shape[0], input_shape[1], *shape[1:])

    def call(self, inputs, training=None, mask=None):
        batch, steps = inputs.shape[:2]
        self._check_mask(inputs, mask)
        kwargs = {}
        if mask is not None and len(mask.shape) > 2 and call_spec(type(self.layer)).mask:
            kwargs["mask"] = _fold(mask)
        if call_spec(type(self.layer)).training:
            kwargs["training"] = training
        flat = self.layer(_fold(inputs), **kwargs)
        output = _unfold(flat, batch, steps)
        if flat._keras_mask is not None:
            output._keras_mask = _unfold(flat._keras_mask, batch, steps)
        return output

    def compute_mask(self, inputs, mask=None):
        if mask is not None and len(mask.shape) > 2:
            mask = ops.any(mask, axis=tuple(range(2, len(mask.shape))))
        return mask

    def _check_mask(self, inputs, mask):
        if mask is not None and (len(mask.shape) < 2 or tuple(mask.shape[:2]) != tuple(inputs.shape[:2])):
            raise ValueError(
                f"layer {self.name!r} (TimeDistributed): the mask must begin with the batch and step axes "
                f"{tuple(inputs.shape[:2])} of the inputs, came shape {tuple(mask.shape)}"
            )


def _fold(x):
    """Join batch and step axes."""
    return ops.reshape(x, (x.shape[0] * x.shape[1], *x.shape[2:]))


def _unfold(x, batch, steps):
    return ops.reshape(x, (batch, steps, *x.shape[1:]))


class Bidirectional(Layer):
    """Run a recurrent layer forwards and backwards and merge the outputs.

    Parameters
    ----------
    layer : Layer
        A recurrent layer, or one with ``go_backwards``, ``return_sequences``, ``return_state``, ``stateful``.
        It is copied for each direction.
    merge_mode : {"concat", "sum", "mul", "ave", None}
        ``None``: both outputs are returned.
    weights : list of arrays, optional
        First weights, those of the forward layer before those of the backward layer.
    backward_layer : Layer, optional
        Layer for the way back; it must have the opposite ``go_backwards``.

    Notes
    -----
    With ``return_state`` the states of the forward layer come before those of the backward layer, and
    ``initial_state`` takes them in that order; ``constants`` go to both. Initial states and constants may
    also stand behind the input in a list. With ``return_sequences``, masked steps give zeros; in the eras of
    standalone Keras 2 (``compat.set_era``) they repeat the output before.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.Bidirectional(keras.layers.LSTM(4, return_sequences=True))
    >>> layer(keras.ops.ones((2, 5, 3))).shape
    (2, 5, 8)
    """

    def __init__(self, layer, merge_mode="concat", weights=None, backward_layer=None, **kwargs):
        for what, value in (("layer", layer), ("backward_layer", backward_layer)):
            if not isinstance(value, Layer) and (what == "layer" or value is not None):
                raise ValueError(f"Bidirectional: {what} must be a layer, came {value!r}")
        if merge_mode not in ("sum", "mul", "ave", "concat", None):
            raise ValueError(
                "Bidirectional: merge_mode must be 'sum', 'mul', 'ave', 'concat' or None, came "
                f"{merge_mode!r}"
            )
        super().__init__(**kwargs)
        self.forward_layer = _copy(layer, "forward_")
        self.backward_layer = backward_layer
        if backward_layer is None:
            self.backward_layer = _copy(layer, "backward_", go_backwards=True)
        self._check_pair()
        if not config.standalone_era():  # there masked steps repeat the output before them
            for one in (self.forward_layer, self.backward_layer):
                if hasattr(one, "zero_output_for_mask"):
                    one.zero_output_for_mask = one.return_sequences
        self.merge_mode = merge_mode
        self.stateful = layer.stateful
        self.return_sequences = layer.return_sequences
        self.return_state = layer.return_state
        self.supports_masking = True
        self.input_spec = layer.input_spec
        self._initial_weights = weights

    def _check_pair(self):
        forward, backward = self.forward_layer, self.backward_layer
        if forward.go_backwards == backward.go_backwards:
            raise ValueError(
                f"layer {self.name!r}: forward and backward layer must run in opposite directions, both have "
                f"go_backwards={forward.go_backwards}"
            )
        for name in ("stateful", "return_sequences", "return_state"):
            if getattr(forward, name) != getattr(backward, name):
                raise ValueError(
                    f"layer {self.name!r}: {name} must be the same in both directions, the forward layer has "
                    f"{getattr(forward, name)}, the backward layer {getattr(backward, name)}"
                )

    @property
    def layer(self):
        """The forward layer, under the name of Keras 2."""
        return self.forward_layer

    @property
    def states(self):
        """Kept states of both layers (forward first), or ``None``."""
        if self.forward_layer.states is None:
            return None
        return tuple(self.forward_layer.states) + tuple(self.backward_layer.states)

    def reset_state(self, states=None):
        """Reset the kept states of both layers, to ``states`` (forward ones first) where given."""
        half = None if states is None else len(states) // 2
        self.forward_layer.reset_state(None if half is None else states[:half])
        self.backward_layer.reset_state(None if half is None else states[half:])

    def reset_states(self, states=None):
        """Same as ``reset_state``."""
        self.reset_state(states)

    def build(self, sequences_shape, initial_state_shape=None):
        for layer in (self.forward_layer, self.backward_layer):
            build_inside(layer, sequences_shape)

    def compute_output_shape(self, sequences_shape, initial_state_shape=None):
        output = self.forward_layer.compute_output_shape(sequences_shape)
        output, *states = output if self.return_state else (output,)
        if self.merge_mode == "concat":
            output = (*output[:-1], 2 * output[-1])
        outputs = (output, output) if self.merge_mode is None else (output,)
        found = (*outputs, *states, *states)
        return found if len(found) > 1 else output

    def compute_mask(self, _, mask=None):
        mask = tree.flatten(mask)[0]
        found = mask if self.return_sequences else None
        outputs = [found, found] if self.merge_mode is None else [found]
        if self.return_state:
            outputs += [None] * 2 * len(self.forward_layer.state_size)
        return outputs if len(outputs) > 1 else found

    @property
    def constraints(self) -> dict:
        """Constraints of both layers by weight, where the layers tell them so (as in Keras 1)."""
        return {**getattr(self.forward_layer, "constraints", {}),
                **getattr(self.backward_layer, "constraints", {})}

    def __call__(self, sequences, initial_state=None, mask=None, training=None, constants=None, **kwargs):
        if isinstance(sequences, (list, tuple)) and not is_numbers(sequences):
            sequences, *rest = sequences
            cell, count = getattr(self.forward_layer, "cell", None), len(rest)
            if cell is not None and takes(cell, "constants"):
                count = 2 * self.forward_layer._state_count
            initial_state = rest[:count] or initial_state
            constants = rest[count:] or constants
        kwargs |= {"initial_state": initial_state, "mask": mask, "training": training, "constants": constants}
        return super().__call__(sequences, **{k: v for k, v in kwargs.items() if v is not None})

    def call(self, sequences, initial_state=None, mask=None, training=None, constants=None):
        if initial_state is not None and len(initial_state) % 2:
            raise ValueError(
                f"layer {self.name!r}: initial_state holds the states of both directions, forward first; "
                f"came {len(initial_state)} of them"
            )
        outputs, states = [], []
        for i, layer in enumerate((self.forward_layer, self.backward_layer)):
            kwargs = {}
            if initial_state is not None:
                half = len(initial_state) // 2
                kwargs["initial_state"] = list(initial_state[i * half:(i + 1) * half])
            if constants is not None:
                kwargs["constants"] = constants
            for name, value in (("mask", mask), ("training", training)):
                if value is not None and getattr(call_spec(type(layer)), name):
                    kwargs[name] = value
            y = layer(sequences, **kwargs)
            if self.return_state:
                y, *last = y
                states += last
            if i and self.return_sequences:
                y = ops.flip(y, axis=0 if getattr(layer, "time_major", False) else 1)
            outputs.append(y)
        merged = self._merge(*outputs)
        found = (*merged, *states)
        return found if len(found) > 1 else merged[0]

    def _merge(self, y, y_back):
        if self.merge_mode == "concat":
            return (ops.concatenate([y, y_back], axis=-1),)
        if self.merge_mode == "sum":
            return (y + y_back,)
        if self.merge_mode == "ave":
            return ((y + y_back) * 0.5,)
        if self.merge_mode == "mul":
            return (y * y_back,)
        return y, y_back

    def get_config(self):
        from gpukeras import saving

        inner = {
            "layer": saving.serialize_keras_object(self.forward_layer),
            "backward_layer": saving.serialize_keras_object(self.backward_layer),
        }
        for written in inner.values():
            written.pop("build_config", None)  # the layers are copied when read, and built by this one
        return super().get_config() | {"merge_mode": self.merge_mode} | inner

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras import layers

        config = dict(config)
        layer = layers.deserialize(config.pop("layer"), custom_objects)
        backward = config.pop("backward_layer", None)
        if backward is not None:
            backward = layers.deserialize(backward, custom_objects)
        return cls(layer, backward_layer=backward, **config)


def _copy(layer, prefix: str, **changes):
    """Make a fresh layer from the configuration of ``layer``; custom classes inside need no registration."""
    from gpukeras import saving

    config = layer.get_config() | changes
    config["name"] = prefix + layer.name.removeprefix(prefix)
    with saving.custom_object_scope({type(inner).__name__: type(inner) for inner in layer._flatten_layers()}):
        return type(layer).from_config(config)


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
