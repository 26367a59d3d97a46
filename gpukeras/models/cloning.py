"""Copies of models with new weights, and models from their configurations."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from gpukeras import tree
from gpukeras.models.functional_config import clone_graph
from gpukeras.models.model import Model
from gpukeras.models.sequential import Sequential
from gpukeras.symbolic import KerasTensor


def clone_model(model: Model, input_tensors=None, clone_function: Callable | None = None,
                call_function: Callable | None = None, recursive: bool = False, **kwargs) -> Model:
    """Return a model of the same architecture with new weights.

    Parameters
    ----------
    model : Model
        A subclassed model is copied from its configuration.
    input_tensors : KerasTensor or structure, optional
        Build the copy on these inputs.
    clone_function : callable, optional
        ``f(layer) -> layer``, called for every layer but the inputs; default: a copy from its configuration.
    call_function : callable, optional
        ``f(layer, *args, **kwargs) -> outputs``: how the copied layers of a functional model are called.
    recursive : bool
        Let ``clone_function`` and ``call_function`` reach the layers of nested models, too.

    Raises
    ------
    ValueError
        For arguments that the kind of model does not take.

    Examples
    --------
    >>> import gpukeras as keras
    >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="relu")])
    >>> def linear(layer):
    ...     return type(layer).from_config({**layer.get_config(), "activation": "linear"})
    >>> keras.models.clone_model(model, clone_function=linear).layers[0].activation.__name__
    'linear'
    """
    kwargs.pop("cache", None)  # Keras's own calls
    if kwargs:
        raise ValueError(f"clone_model: unknown argument(s) {sorted(kwargs)}")
    if recursive and input_tensors is not None:
        raise ValueError("clone_model: input_tensors and recursive=True exclude each other")

    def copy(layer):
        nested = isinstance(layer, Sequential) or isinstance(layer, Model) and layer._graph is not None
        if recursive and nested:
            further = None if isinstance(layer, Sequential) else call_function
            return clone_model(layer, None, clone_function, further, recursive=True)
        return _copied(layer) if clone_function is None else clone_function(layer)

    if isinstance(model, Sequential):
        if call_function is not None:
            raise ValueError("clone_model: call_function is for functional models, came a Sequential one")
        return _clone_sequential(model, input_tensors, copy)
    functional = getattr(model, "_graph", None) is not None
    plain = functional and type(model).get_config is Model.get_config
    if functional and (plain or clone_function is not None or input_tensors is not None):
        return clone_graph(model, input_tensors, copy, call_function)
    if any(given is not None for given in (input_tensors, clone_function, call_function)):
        raise ValueError(
            f"clone_model: model {model.name!r} ({type(model).__name__}) is subclassed: it is copied from "
            "its configuration, without input_tensors, clone_function or call_function"
        )
    return _copied(model)


def _copied(layer):
    return type(layer).from_config(layer.get_config())


def _clone_sequential(model: Sequential, input_tensors, copy) -> Sequential:
    tensors = None if input_tensors is None else tree.flatten(input_tensors)
    if tensors is not None and (len(tensors) != 1 or not isinstance(tensors[0], KerasTensor)):
        raise ValueError(
            "clone_model: a Sequential model takes one symbolic input (keras.Input) in input_tensors, came "
            f"{input_tensors!r}"
        )
    first = model._stack[:1] if model._stack and model._stack[0] not in model.layers else []
    new = Sequential(
        [*([] if tensors else map(_copied, first)), *map(copy, model.layers)], model._trainable, model.name)
    if tensors is not None:
        new._build_on(tensors[0])
    elif not new.built and (shape := model._batch_shape()) is not None:
        new.build(shape)
    return new


def model_from_json(json_string: str, custom_objects: Mapping | None = None) -> Model:
    """Make a model from the JSON that ``to_json`` returned; it has new weights and is not compiled."""
    return model_from_config(json.loads(json_string), custom_objects)


def model_from_config(config: Mapping, custom_objects: Mapping | None = None) -> Model:
    """Make a model from a dictionary with its class and its configuration (Keras 2).

    Examples
    --------
    >>> import gpukeras as keras
    >>> model = keras.Sequential([keras.layers.Dense(4)])
    >>> again = keras.models.model_from_config(
    ...     {"class_name": "Sequential", "config": model.get_config()})
    >>> again.layers[0].units
    4
    """
    from gpukeras import saving

    if isinstance(config, list):
        raise TypeError(
            "model_from_config takes a dictionary with 'class_name' and 'config', came a list; for that of a "
            "Sequential model use Sequential.from_config"
        )
    return saving.deserialize_keras_object(config, custom_objects=custom_objects)


def model_from_yaml(yaml_string: str, custom_objects: Mapping | None = None):
    """Raise: YAML can run code when it is read."""
    raise RuntimeError("models are not read from YAML, which can run code when it is read; use to_json")
