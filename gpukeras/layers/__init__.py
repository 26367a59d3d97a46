"""Layers (``keras.layers``): every class listed here can be named in saved models."""
# ruff: noqa: I001  (packed by hand)

import inspect as _inspect

from gpukeras.layers.activation_layers import ELU, LeakyReLU, PReLU, ReLU, Softmax, ThresholdedReLU
from gpukeras.layers.convolutional import Conv1D, Conv2D
from gpukeras.layers.core import Activation, ActivityRegularization, Dense, Identity, Masking
from gpukeras.layers.embedding import Embedding
from gpukeras.layers.input_layer import Input, InputLayer
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.lambda_layer import Lambda
from gpukeras.layers.layer import Layer
from gpukeras.layers.merging import (
    Add, Average, Concatenate, Dot, Maximum, Minimum, Multiply, Subtract, add, average, concatenate, dot,
    maximum, minimum, multiply, subtract,
)
from gpukeras.layers.noise import (
    AlphaDropout, Dropout, GaussianDropout, GaussianNoise, SpatialDropout1D, SpatialDropout2D,
)
from gpukeras.layers.normalization import BatchNormalization, LayerNormalization
from gpukeras.layers.pooling import (
    AveragePooling1D, AveragePooling2D, GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalMaxPooling1D,
    GlobalMaxPooling2D, MaxPooling1D, MaxPooling2D,
)
from gpukeras.layers.recurrent import RNN
from gpukeras.layers.recurrent_cells import GRUCell, LSTMCell, SimpleRNNCell, StackedRNNCells
from gpukeras.layers.recurrent_fused import GRU, LSTM, SimpleRNN
from gpukeras.layers.reshaping import Flatten, Permute, RepeatVector, Reshape
from gpukeras.layers.reshaping_2d import UpSampling2D, ZeroPadding2D
from gpukeras.layers.wrappers import Bidirectional, TimeDistributed, Wrapper
from gpukeras.registry import Registry as _Registry

__all__ = [
    # the base
    "Input", "InputLayer", "InputSpec", "Layer", "deserialize", "serialize",
    # core
    "Activation", "ActivityRegularization", "Dense", "Embedding", "Flatten", "Identity", "Lambda", "Masking",
    "Permute", "RepeatVector", "Reshape",
    # activations with settings or weights
    "ELU", "LeakyReLU", "PReLU", "ReLU", "Softmax", "ThresholdedReLU",
    # noise and normalisation
    "AlphaDropout", "BatchNormalization", "Dropout", "GaussianDropout", "GaussianNoise", "LayerNormalization",
    "SpatialDropout1D", "SpatialDropout2D",
    # merging
    "Add", "Average", "Concatenate", "Dot", "Maximum", "Minimum", "Multiply", "Subtract", "add", "average",
    "concatenate", "dot", "maximum", "minimum", "multiply", "subtract",
    # convolution and pooling
    "Conv1D", "Conv2D", "Convolution1D", "Convolution2D", "MaxPooling1D", "MaxPooling2D", "MaxPool1D",
    "MaxPool2D", "AveragePooling1D", "AveragePooling2D", "AvgPool1D", "AvgPool2D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalAveragePooling1D",
    "GlobalAveragePooling2D", "GlobalAvgPool1D", "GlobalAvgPool2D", "UpSampling2D", "ZeroPadding2D",
    # recurrent layers and wrappers
    "GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "SimpleRNN", "SimpleRNNCell", "StackedRNNCells",
    "Bidirectional", "TimeDistributed", "Wrapper",
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
