"""Layers (``keras.layers``): every class listed here can be named in saved models."""

from gpukeras import lazy as _lazy
from gpukeras.registry import Registry as _Registry

# Module -> the public names it defines; a module loads when one of its names is first used.
_ROOMS = {
    # the base
    "input_layer": "Input InputLayer",
    "input_spec": "InputSpec",
    "layer": "Layer",
    # core
    "activation_layers": "ELU LeakyReLU PReLU ReLU Softmax ThresholdedReLU",
    "core": "Activation ActivityRegularization Dense Identity Masking",
    "embedding": "Embedding",
    "lambda_layer": "Lambda",
    "reshaping": "Flatten Permute RepeatVector Reshape",
    "wrappers": "Bidirectional TimeDistributed Wrapper",
    # noise and normalisation
    "noise": "AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D SpatialDropout2D",
    "normalization": "BatchNormalization LayerNormalization",
    # merging
    "merging": "Add Average Concatenate Dot Maximum Minimum Multiply Subtract"
               " add average concatenate dot maximum minimum multiply subtract",
    # convolution and pooling
    "convolutional": "Conv1D Conv2D",
    "pooling": "AveragePooling1D AveragePooling2D GlobalAveragePooling1D GlobalAveragePooling2D"
               " GlobalMaxPooling1D GlobalMaxPooling2D MaxPooling1D MaxPooling2D",
    "reshaping_2d": "UpSampling2D ZeroPadding2D",
    # recurrent layers
    "convolutional_recurrent": "ConvLSTM1D ConvLSTM2D ConvLSTM3D ConvRNN2D",
    "convolutional_recurrent_cells": "ConvLSTM2DCell",
    "recurrent": "RNN",
    "recurrent_cells": "GRUCell LSTMCell SimpleRNNCell StackedRNNCells",
    "recurrent_fused": "GRU LSTM SimpleRNN",
}
# Second names of the same classes.
_SECOND_NAMES = {
    **{f"Convolution{rank}D": f"Conv{rank}D" for rank in (1, 2)},
    **{f"{short}{rank}D": f"{long}{rank}D" for rank in (1, 2) for short, long in (
        ("MaxPool", "MaxPooling"), ("AvgPool", "AveragePooling"), ("GlobalMaxPool", "GlobalMaxPooling"),
        ("GlobalAvgPool", "GlobalAveragePooling"),
    )},
}
_HOMES = _lazy.homes(__name__, _ROOMS)
_NOT_LAYERS = {"Input", "InputSpec"}  # capital letters, but no layers

__all__ = ["deserialize", "serialize", *_HOMES, *_SECOND_NAMES]  # noqa: PLE0604  (strings)
__getattr__, __dir__ = _lazy.names(__name__, _HOMES, _SECOND_NAMES)


def serialize(layer) -> dict:
    """Return a layer as a dictionary of plain values."""
    return _REGISTRY.serialize(layer)


def deserialize(config, custom_objects=None):
    """Return the layer that ``serialize`` described; configurations of Keras 2 work as well."""
    return _REGISTRY.deserialize(config, custom_objects)


_REGISTRY = _Registry(
    "layer", {},
    homes={name: home for name, home in _HOMES.items() if name[0].isupper() and name not in _NOT_LAYERS},
    module="keras.layers",
)
