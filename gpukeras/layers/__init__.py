"""Layers (``keras.layers``): every class listed here can be named in saved models."""

import inspect as _inspect

from gpukeras.layers.convolutional import Conv1D, Conv2D
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.layers.pooling import (
    AveragePooling1D, AveragePooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalMaxPooling1D,
    GlobalMaxPooling2D, MaxPooling1D, MaxPooling2D,
)
from gpukeras.layers.reshaping_2d import UpSampling2D, ZeroPadding2D
from gpukeras.registry import Registry as _Registry

__all__ = [
    # the base
    "InputSpec", "Layer", "deserialize", "serialize",
    # convolution and pooling
    "Conv1D", "Conv2D", "Convolution1D", "Convolution2D", "MaxPooling1D", "MaxPooling2D", "MaxPool1D",
    "MaxPool2D", "AveragePooling1D", "AveragePooling2D", "AvgPool1D", "AvgPool2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D", "UpSampling2D", "ZeroPadding2D",
]

# Second names of the same classes.
Convolution1D, Convolution2D = Conv1D, Conv2D
MaxPool1D, MaxPool2D, AvgPool1D, AvgPool2D = MaxPooling1D, MaxPooling2D, AveragePooling1D, AveragePooling2D
GlobalMaxPool1D, GlobalMaxPool2D = GlobalMaxPooling1D, GlobalMaxPooling2D
GlobalAvgPool1D, GlobalAvgPool2D = GlobalAveragePooling1D, GlobalAveragePooling2D


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
