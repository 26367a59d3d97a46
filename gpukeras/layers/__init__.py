"""Layers (``keras.layers``): every class listed here can be named in saved models."""

import inspect as _inspect

from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.registry import Registry as _Registry

__all__ = [
    # the base
    "InputSpec", "Layer", "deserialize", "serialize",
]


def serialize(layer) -> dict:
    """Return a layer as a dictionary of plain values."""
    return _REGISTRY.serialize(layer)


def deserialize(config, custom_objects=None):
    """Return the layer that ``serialize`` described; configurations of Keras 2 work as well."""
    return _REGISTRY.deserialize(config, custom_objects)


_REGISTRY = _Registry(
    "layer",
    {name: globals()[name] for name in __all__
     if _inspect.isclass(globals()[name]) and issubclass(globals()[name], Layer)},
    module="keras.layers",
)
