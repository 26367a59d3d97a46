"""``Model``: a layer that trains. Functional where it is given inputs and outputs, else subclassed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping

from gpukeras import tree
from gpukeras.layers.call_spec import is_shape, shapes_for
from gpukeras.layers.layer import Layer
from gpukeras.layers.stand_in import without_stand_ins
from gpukeras.layers.tracking import CALLS
from gpukeras.models.graph import Graph
from gpukeras.models.older import OlderModel
from gpukeras.symbolic import KerasTensor


class Model(OlderModel):
    """A layer with ``compile``, ``fit``, ``evaluate``, ``predict`` and saving.

    Parameters
    ----------
    inputs, outputs : KerasTensor or structure of them, optional
        Both for a functional model: it replays the layers between them. Neither for a subclass that writes
        ``call``.
    name : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> inputs = keras.Input((4,))
    >>> outputs = keras.layers.Dense(2)(keras.layers.Dense(3, activation="relu")(inputs))
    >>> model = keras.Model(inputs, outputs)
    >>> model.predict([[1.0, 2.0, 3.0, 4.0]], verbose=0).shape
    (1, 2)
    """

    def __new__(cls, *args, **kwargs):
        if cls is Model and (len(args) >= 2 or "outputs" in kwargs):
            cls = Functional
        return super().__new__(cls, *args, **kwargs)

    def __init__(self, *args, **kwargs):
        names = ("inputs", "outputs", "name")
        if len(args) > 3:
            raise TypeError(f"Model takes inputs, outputs and name, came {len(args)} positional arguments")
        given = dict(zip(names, args)) | kwargs
        inputs, outputs = given.pop("inputs", None), given.pop("outputs", None)
        if (inputs is None) != (outputs is None):
            raise ValueError("Model needs both inputs and outputs, or neither (a subclass with call())")
        Layer.__init__(self, **given)
        self._init_training()
        self._graph: Graph | None = None
        self._extra_losses: list[KerasTensor] = []
        if inputs is not None:
            self._set_graph(Graph(inputs, outputs, self.name))

    def _set_graph(self, graph: Graph) -> None:
        self._graph = graph
        self.built = True
        self.supports_masking = True

    # ---- layers and weights -------------------------------------------------------------------------
    def _tracked(self):
        if self._graph is None:
            yield from super()._tracked()
            return
        yield from self._graph.layers
        yield from super()._tracked()

    @property
    def layers(self) -> list[Layer]:
        """The layers directly inside this model."""
        return self._sublayers()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """Return a layer by its name or its position.

        Raises
        ------
        ValueError
            Where there is none; the message lists the names, the nearest first.
        """
        if (name is None) == (index is None):
            raise ValueError("get_layer takes either name or index")
        layers = self.layers
        if index is not None:
            if not -len(layers) <= index < len(layers):
                raise ValueError(
                    f"model {self.name!r} has {len(layers)} layers, index {index} does not exist"
                )
            return layers[index]
        for layer in layers:
            if layer.name == name:
                return layer
        import difflib

        names = [layer.name for layer in layers]
        near = difflib.get_close_matches(str(name), names, n=1)
        raise ValueError(
            f"model {self.name!r} has no layer {name!r}" + (f"; did you mean {near[0]!r}?" if near else ".")
            + f" Its layers: {names}"
        )

    # ---- functional ------------------------------------------------------------------------------------
    def __getattr__(self, name):
        if name in _OF_THE_GRAPH and self.__dict__.get("_graph") is None:
            raise AttributeError(
                f"model {self.name!r} ({type(self).__name__}) has no symbolic {name}: it is subclassed, or a "
                "Sequential model whose input shape is not known yet (start it with keras.Input)"
            )
        return super().__getattr__(name)

    def _known_output_names(self) -> list[str] | None:
        graph = self.__dict__.get("_graph")
        return None if graph is None else graph.output_names

    def _need_graph(self) -> Graph:
        if self._graph is None:
            raise AttributeError  # Python asks __getattr__ next, which says why
        return self._graph

    @property
    def inputs(self) -> list[KerasTensor]:
        return self._need_graph().inputs

    @property
    def outputs(self) -> list[KerasTensor]:
        return self._need_graph().outputs

    @property
    def input(self):
        graph = self._need_graph()
        return graph.inputs_struct

    @property
    def output(self):
        return self._need_graph().outputs_struct

    @property
    def input_names(self) -> list[str]:
        return self._need_graph().input_names

    @property
    def output_names(self) -> list[str]:
        return self._need_graph().output_names

    @property
    def input_shape(self):
        return tree.map_structure(lambda t: t.shape, self._need_graph().inputs_struct)

    @property
    def output_shape(self):
        return tree.map_structure(lambda t: t.shape, self._need_graph().outputs_struct)

    def call(self, inputs, training=None, mask=None):
        if self._graph is None:
            raise NotImplementedError(
                f"model {self.name!r} ({type(self).__name__}) has no call() method: write one, or make a "
                "functional model with Model(inputs, outputs)"
            )
        values = self._graph.arrange(inputs)
        if mask is not None:
            for value, one in zip(values, tree.flatten(mask), strict=True):
                value._keras_mask = one
        if not self._extra_losses:
            return self._graph.run(values)
        found = self._loss_graph.run(values)
        count = len(self._graph.outputs)
        super().add_loss(list(found[count:]))
        return self._graph.pack(found[:count])

    def add_loss(self, loss, inputs=None) -> None:
        """Add a loss: a tensor of this call, a function, or (functional) a symbolic tensor for every call."""
        if isinstance(loss, KerasTensor) and not CALLS.state.tracing:
            self._extra_losses.append(loss)
            graph = self._need_graph()
            self._loss_graph = Graph(graph.inputs_struct, [*graph.outputs, *self._extra_losses], self.name)
            return
        super().add_loss(loss)

    def compute_output_spec(self, *args, **kwargs):
        if self._graph is None:
            if type(self).compute_output_shape is Model.compute_output_shape:
                return self._trace(*args, **kwargs)
            return super().compute_output_spec(*args, **kwargs)
        found = self._graph.arrange(args[0] if args else kwargs["inputs"])
        if all(t.shape == spec.shape for t, spec in zip(found, self._graph.inputs)):
            outputs = self._graph.outputs_struct
        else:
            outputs = self._graph.run(found)
        return tree.map_structure(lambda t: KerasTensor(t.shape, t.dtype), outputs)

    def compute_output_shape(self, input_shape):
        """Return the shape of the outputs for the shape (or structure of shapes) of the inputs."""
        if self._graph is None:
            return super().compute_output_shape(input_shape)
        shapes = [input_shape] if is_shape(input_shape) else _flatten_shapes(input_shape)
        found = [KerasTensor(s, t.dtype) for s, t in zip(shapes, self._graph.inputs, strict=True)]
        return tree.map_structure(lambda t: t.shape, self._graph.run(self._graph.arrange(found)))

    def compute_mask(self, inputs, previous_mask=None):
        return None  # the layers inside have set the masks of the outputs already

    def _set_masks(self, inputs, outputs, mask):
        if not self.supports_masking or type(self).compute_mask is not Model.compute_mask:
            super()._set_masks(inputs, outputs, mask)

    def build(self, input_shape=None):
        """Make the weights for an input shape (or a structure of shapes), batch axis included."""
        if self.built:
            return
        if input_shape is None:
            raise ValueError(
                f"model {self.name!r}: build needs the input shape, e.g. model.build((None, 784))"
            )
        if type(self).call is not Model.call:
            self.built = True
            self.compute_output_shape(input_shape)

    def _build(self, spec, args, kwargs):
        """First call of a subclass without ``build``: the call itself builds the layers it uses."""
        if type(self).build is not Model.build or self._graph is not None:
            super()._build(spec, args, kwargs)
            return
        shapes, _ = shapes_for(Layer.build, spec, args, kwargs)
        self._build_shape = without_stand_ins(shapes[0])
        self.built = True

    # ---- writing down --------------------------------------------------------------------------------
    def summary(self, line_length=None, positions=None, print_fn=None, expand_nested=False,
                show_trainable=False, layer_range=None) -> None:
        """Print the layers with their output shapes and numbers of parameters.

        Parameters
        ----------
        line_length : int, optional
            Characters in a line.
        positions : list of float, optional
            Where the columns end, as parts of the line.
        print_fn : callable, optional
            Takes the text instead of ``print``.
        expand_nested : bool
            Show the layers of nested models.
        show_trainable : bool
            Add a column that says whether a layer is trained.
        layer_range : pair of str, optional
            Names of the first and last layer to show (regular expressions work).
        """
        from gpukeras.models.summary import summary_text

        text = summary_text(self, line_length, positions, expand_nested, show_trainable, layer_range)
        (print_fn or print)(text)

    def get_config(self) -> dict:
        if self._graph is not None and type(self).__init__ is Model.__init__:
            from gpukeras.models.functional_config import graph_config

            return graph_config(self)
        base = super().get_config()
        return self._auto_config(base) if type(self).get_config is Model.get_config else base

    @classmethod
    def from_config(cls, config: dict, custom_objects: Mapping | None = None):
        """Make a model from the result of ``get_config``."""
        if "layers" in config and "input_layers" in config:
            from gpukeras.models.functional_config import model_from_graph_config

            return model_from_graph_config(cls, config, custom_objects)
        from gpukeras.saving import custom_object_scope

        with custom_object_scope(custom_objects or {}):
            return super().from_config(config)

    def to_json(self, **kwargs) -> str:
        """Return the architecture (no weights) as JSON; ``kwargs`` go to ``json.dumps``."""
        from gpukeras import saving

        return json.dumps(saving.serialize_keras_object(self), **kwargs)

    def get_compile_config(self) -> dict | None:
        """Return the arguments of ``compile`` as plain values, or ``None``."""
        if not self.compiled or self._compile_config is None:
            return None
        from gpukeras import saving

        config = dict(self._compile_config, optimizer=self.optimizer)
        return {k: saving.serialize_keras_object(v) for k, v in config.items()}

    def compile_from_config(self, config: dict) -> None:
        """Compile with the result of ``get_compile_config``."""
        from gpukeras import saving

        arguments = {k: saving.deserialize_keras_object(v) for k, v in config.items()
                     if k in inspect.signature(Model.compile).parameters}
        self.compile(**arguments)
        if self.built and hasattr(self.optimizer, "build"):
            self.optimizer.build(self._trained_variables())

    def save_weights(self, filepath, overwrite: bool = True) -> None:
        """Write all weights to an HDF5 file (``.weights.h5``, the format of Keras 3, or ``.h5``)."""
        from gpukeras.saving import weights_file

        weights_file.save_weights(self, filepath, overwrite)

    def load_weights(self, filepath, skip_mismatch: bool = False, by_name: bool = False) -> None:
        """Read weights written by ``save_weights``; the layers must be built and alike."""
        from gpukeras.saving import weights_file

        weights_file.load_weights(self, filepath, skip_mismatch=skip_mismatch, by_name=by_name)

    def save(self, filepath, overwrite: bool = True, **kwargs) -> None:
        """Write architecture, weights and compile settings to a ``.keras`` file."""
        from gpukeras.saving import model_file

        model_file.save_model(self, filepath, overwrite, **kwargs)

    def reset_states(self) -> None:
        """Reset the states of all stateful layers."""
        for layer in self._flatten_layers(include_self=False):
            reset = getattr(layer, "reset_states", None) or getattr(layer, "reset_state", None)
            if getattr(layer, "stateful", False) and reset is not None:
                reset()


_OF_THE_GRAPH = frozenset({
    "inputs", "outputs", "input", "output", "input_names", "output_names", "input_shape", "output_shape",
})


class Functional(Model):
    """A model given by its symbolic inputs and outputs; made by ``Model(inputs, outputs)``."""

    __init__ = Model.__init__


def _flatten_shapes(shapes) -> list:
    if isinstance(shapes, Mapping):
        return [s for key in sorted(shapes) for s in _flatten_shapes(shapes[key])]
    return [shapes] if is_shape(shapes) else [s for inner in shapes for s in _flatten_shapes(inner)]
