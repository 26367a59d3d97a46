"""What a layer tells about its calls, calls with given weights, and the spellings of Keras 2 for them."""

from __future__ import annotations

from collections.abc import Callable

from gpukeras import autograd, rematerialization, tree
from gpukeras.layers.input_spec import InputSpec, check_inputs
from gpukeras.layers.tracking import CALLS
from gpukeras.layers.weights import Stateful
from gpukeras.scopes import StatelessScope
from gpukeras.symbolic import KerasTensor, Node
from gpukeras.tensor import Tensor, Variable


class Called(Stateful):
    """The part of ``Layer`` that looks back at its calls."""

    stateful = False  # whether states are kept from one batch to the next
    dynamic = False  # whether ``call`` may run on values only: every layer may, so that it changes nothing
    _remat_mode: rematerialization.RematScope | None = None  # the scope in which the layer was made

    # Set by Layer.
    input_spec: InputSpec | list | None
    call: Callable
    compute_output_shape: Callable

    # ---- nodes: one for each call on symbolic tensors ---------------------------------------------------
    @property
    def inbound_nodes(self) -> list[Node]:
        """The calls on symbolic tensors so far."""
        return list(self._inbound_nodes)

    def _node_at(self, index: int) -> Node:
        if not -len(self._inbound_nodes) <= index < len(self._inbound_nodes):
            raise ValueError(
                f"layer {self.name!r} was called on symbolic tensors {len(self._inbound_nodes)} times, so "
                f"there is no call number {index}"
            )
        return self._inbound_nodes[index]

    def get_input_at(self, node_index: int):
        """Return the symbolic input, or inputs, of the call of that number."""
        return _one_or_all(self._node_at(node_index).inputs)

    def get_output_at(self, node_index: int):
        """Return the symbolic output, or outputs, of the call of that number."""
        return _one_or_all(self._node_at(node_index).outputs)

    def get_input_shape_at(self, node_index: int):
        """Return the shape of the input, or the inputs' shapes, of the call of that number."""
        return _one_or_all([t.shape for t in self._node_at(node_index).inputs])

    def get_output_shape_at(self, node_index: int):
        """Return the shape of the output, or the outputs' shapes, of the call of that number."""
        return _one_or_all([t.shape for t in self._node_at(node_index).outputs])

    def get_input_mask_at(self, node_index: int):
        """Return the mask of the input of the call of that number: symbolic tensors have none."""
        return _one_or_all([t._keras_mask for t in self._node_at(node_index).inputs])

    def get_output_mask_at(self, node_index: int):
        """Return the mask of the output of the call of that number: symbolic tensors have none."""
        return _one_or_all([t._keras_mask for t in self._node_at(node_index).outputs])

    @property
    def input_mask(self):
        """The mask of the symbolic input of the first call."""
        return self.get_input_mask_at(0)

    @property
    def output_mask(self):
        """The mask of the symbolic output of the first call."""
        return self.get_output_mask_at(0)

    # ---- Keras 2 ---------------------------------------------------------------------------------------
    def assert_input_compatibility(self, inputs) -> None:
        """Raise ``ValueError`` where inputs do not fit ``input_spec``."""
        if self.input_spec is not None:
            check_inputs(self.input_spec, inputs, self.name)

    def compute_output_signature(self, input_signature):
        """Return symbolic outputs for symbolic inputs, or anything with a shape and a dtype."""
        shapes = tree.map_structure(lambda t: tuple(t.shape), input_signature)
        dtype = tree.flatten(input_signature)[0].dtype
        found = self.compute_output_shape(shapes)
        if isinstance(found, (tuple, list)) and not (found and isinstance(found[0], (tuple, list))):
            return KerasTensor(tuple(found), str(dtype))
        return [KerasTensor(shape, str(dtype)) for shape in found]

    def add_update(self, updates, inputs=None) -> None:
        """Call functions that would be called after the layer; assignments happen where they are written."""
        for update in updates if isinstance(updates, (list, tuple)) else [updates]:
            if callable(update) and not isinstance(update, Tensor):
                update()

    @property
    def updates(self) -> list:
        """Nothing: assignments happen where they are written."""
        return []

    def get_updates_for(self, inputs) -> list:
        """Return nothing: see ``updates``."""
        return []

    def get_losses_for(self, inputs) -> list:
        """Return the losses of the last call, or for ``None`` those of the weights alone."""
        of_weights = [v.regularizer(v) for v in self.trainable_weights if v.regularizer is not None]
        if inputs is None:
            return of_weights
        return self.losses[:len(self.losses) - len(of_weights)]

    def finalize_state(self) -> None:
        """Finish what a layer has learned from ``adapt``: layers that need it override this."""

    # ---- values in, values out ---
    @property
    def metrics_variables(self) -> list[Variable]:
        """The state of the metrics of this layer and the layers inside."""
        return [v for metric in self.metrics for v in metric.variables]

    def stateless_call(
        self, trainable_variables, non_trainable_variables, *args, return_losses=False, **kwargs,
    ):
        """Call the layer with given weights; its own do not change.

        Parameters
        ----------
        trainable_variables, non_trainable_variables : list of tensors
            In the order of the properties of these names.
        return_losses : bool
        *args, **kwargs
            As for the layer itself.

        Returns
        -------
        outputs : tensor or structure of them
        non_trainable_variables : list of tensors
            After the call.
        losses : list
            With ``return_losses``.

        Examples
        --------
        >>> import gpukeras as keras
        >>> layer = keras.layers.Dense(1, use_bias=False)
        >>> layer.build((None, 2))
        >>> outputs, state = layer.stateless_call([[[1.0], [2.0]]], [], keras.ops.ones((1, 2)))
        >>> outputs.numpy(), state
        (array([[3.]], dtype=float32), [])
        """
        if not self.built:
            raise ValueError(
                f"layer {self.name!r}: stateless_call needs a built layer; call it on data first"
            )
        trained, others = self.trainable_variables, self.non_trainable_variables
        for what, given, own in (("trainable_variables", trainable_variables, trained),
                                 ("non_trainable_variables", non_trainable_variables, others)):
            if len(given) != len(own):
                raise ValueError(f"layer {self.name!r} has {len(own)} {what}, {len(given)} values came")
        mapping = [*zip(trained, trainable_variables), *zip(others, non_trainable_variables)]
        with StatelessScope(mapping, collect_losses=return_losses) as scope:
            outputs = self(*args, **kwargs)
            losses = self.losses if return_losses else []
            state = [scope.get_current_value(v) for v in others]
        return (outputs, state, losses) if return_losses else (outputs, state)

    # ---- rematerialization ---
    def rematerialized_call(self, layer_call, *args, **kwargs):  # type: ignore[override]  # as Keras has it
        """Return ``layer_call`` as the ``RematScope`` in which the layer was made wants it."""
        return rematerialization.layer_call(self, layer_call, args, kwargs)

    def in_this_context(self, call: Callable) -> Callable:
        """Return ``call`` such that it can be repeated later with the modes of now."""
        state, shared = CALLS.state, autograd.STATE
        training, autocast = state.training, shared.autocast

        def repeated(*args, **kwargs):
            modes = state.training, shared.autocast, state.loss_number
            state.training, shared.autocast, state.loss_number = training, autocast, -1
            state.stack.append(self)
            try:
                found = call(*args, **kwargs)
                if state.loss_number != -1:
                    raise NotImplementedError(
                        f"layer {self.name!r} adds losses in its call, and is in a RematScope: their "
                        "gradients would be lost. Make it outside of the scope"
                    )
                return found
            finally:
                state.stack.pop()
                state.training, shared.autocast, state.loss_number = modes

        repeated.owner = self  # type: ignore[attr-defined]  # whose states change once
        return repeated


def _one_or_all(items: list):
    return items[0] if len(items) == 1 else items
