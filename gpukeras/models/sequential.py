"""``Sequential``: a stack of layers, each with one input and one output."""

from __future__ import annotations

from collections.abc import Mapping

from gpukeras import tree
from gpukeras.layers.layer import Layer
from gpukeras.models.compiled import as_list
from gpukeras.models.graph import Graph
from gpukeras.models.model import Model
from gpukeras.models.older import OlderSequential
from gpukeras.symbolic import KerasTensor


class Sequential(OlderSequential, Model):
    """A stack of layers.

    The weights are made as soon as the input shape is known: from ``keras.Input`` or ``input_shape=`` at
    the front, from ``build``, or from the first data.

    Parameters
    ----------
    layers : list of Layer, optional
    trainable : bool
    name : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> model = keras.Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    >>> model.build((None, 4))
    >>> model.count_params()
    49
    """

    def __new__(cls, *args, **kwargs):
        return super().__new__(cls)

    def __init__(self, layers=None, trainable=True, name=None):
        super().__init__(name=name, trainable=trainable)
        self.supports_masking = True
        self._stack: list[Layer] = []
        self._shape_given: tuple | None = None  # batch input shape, where it is known before any data
        self._shape_dtype: str | None = None
        for layer in as_list(layers):
            self.add(layer, rebuild=False)
        self._maybe_rebuild()

    # ---- the stack ---------------------------------------------------------------------------------
    def _tracked(self):
        yield from self._stack

    @property
    def layers(self) -> list[Layer]:
        """The layers, without the input."""
        return [layer for layer in self._stack if not _is_input_layer(layer)]

    def add(self, layer, rebuild: bool = True) -> None:
        """Put ``layer`` (a layer, or the result of ``keras.Input``) on top of the stack."""
        if isinstance(layer, KerasTensor) and layer.history is not None:
            layer = layer.history[0].operation
        if not isinstance(layer, Layer):
            if callable(layer):
                from gpukeras.layers import Lambda

                layer = Lambda(layer)
            else:
                raise TypeError(f"Sequential.add expects a layer, came {type(layer).__name__}")
        if any(layer is other for other in self._stack) or any(layer.name == o.name for o in self._stack):
            raise ValueError(
                f"all layers of a Sequential model need different names; {layer.name!r} is there already"
            )
        if _is_input_layer(layer):
            if self._stack:
                raise ValueError(f"model {self.name!r} has layers already; Input must come first")
            self._shape_given, self._shape_dtype = layer.batch_shape, layer.dtype
        elif not self._stack and layer._batch_input_shape is not None:
            self._shape_given, self._shape_dtype = layer._batch_input_shape, layer._input_dtype
        elif not self._stack and isinstance(layer, Model) and layer._graph is not None:
            self._shape_given, self._shape_dtype = layer.inputs[0].shape, layer.inputs[0].dtype
        self._stack.append(layer)
        if rebuild:
            self._maybe_rebuild()

    def pop(self, rebuild: bool = True) -> Layer:
        """Take the top layer off the stack and return it."""
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layers to take away")
        layer = self._stack.pop()
        self._graph = None
        self.built = False
        if rebuild:
            self._maybe_rebuild()
        return layer

    def _maybe_rebuild(self) -> None:
        self.built = False
        self._graph = None
        self._forget_compiled_state()
        if self._shape_given is not None and self.layers:
            self.build(self._shape_given)

    def _batch_shape(self):
        return self._shape_given or (self._graph.inputs[0].shape if self._graph is not None else None)

    def build(self, input_shape=None):
        """Make the weights for an input shape, batch axis included."""
        shape = input_shape if input_shape is not None else self._batch_shape()
        if shape is None:
            raise ValueError(
                f"model {self.name!r}: the input shape is not known; start with keras.Input(shape), or call "
                "model.build((None, ...))"
            )
        if not self.layers:
            raise ValueError(f"model {self.name!r} has no layers; add some first")
        from gpukeras.layers import Input

        first = self._stack[0]
        if _is_input_layer(first):
            tensor = first.output
        else:
            tensor = Input(batch_shape=shape, dtype=self._shape_dtype or first.input_dtype)
        self._build_on(tensor)
        self._build_shape = tuple(tensor.shape)

    def _build_on(self, tensor: KerasTensor) -> None:
        x = tensor
        for layer in self.layers:
            x = layer(x)
            if not isinstance(x, KerasTensor):
                raise ValueError(
                    f"layer {layer.name!r} returns {len(tree.flatten(x))} tensors; in a Sequential model "
                    "each layer has one output. Use the functional API"
                )
        self._set_graph(Graph(tensor, x, self.name))

    # ---- calling -----------------------------------------------------------------------------------
    def _build(self, spec, args, kwargs):
        """First call: draw up the graph from the data's shape, batch axis left free."""
        inputs = args[0] if args else kwargs["inputs"]
        self._shape_dtype = self._shape_dtype or str(inputs.dtype)
        self.build((None, *inputs.shape[1:]))

    # ---- writing down --------------------------------------------------------------------------------
    def get_config(self) -> dict:
        from gpukeras import dtype_policies, saving

        config = {"name": self.name, "trainable": self._trainable,
                  "dtype": dtype_policies.written(self.dtype_policy),
                  "layers": [saving.serialize_keras_object(layer) for layer in self._stack]}
        if self._batch_shape() is not None:
            config["build_input_shape"] = self._batch_shape()
        return config

    @classmethod
    def from_config(cls, config, custom_objects: Mapping | None = None):
        """Make a model from the result of ``get_config`` (Keras 2's list of layers works as well)."""
        from gpukeras import saving

        layers = config if isinstance(config, list) else config["layers"]
        settings = {} if isinstance(config, list) else config
        made = [saving.deserialize_keras_object(one, custom_objects=custom_objects) for one in layers]
        model = cls(made, name=settings.get("name"), trainable=settings.get("trainable", True))
        shape = settings.get("build_input_shape")
        if model._graph is None and shape is not None:
            model.build(tuple(shape))
        return model


def _is_input_layer(layer) -> bool:
    from gpukeras.layers import InputLayer

    return isinstance(layer, InputLayer)
