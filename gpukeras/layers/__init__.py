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
    "embedding": "Embedding ReversibleEmbedding",
    "lambda_layer": "Lambda",
    "reshaping": "Flatten Permute RepeatVector Reshape",
    "wrappers": "Bidirectional TimeDistributed Wrapper",
    # attention
    "attention": "AdditiveAttention Attention",
    "attention_grouped": "GroupQueryAttention",
    "attention_heads": "MultiHeadAttention",
    "einsum_dense": "EinsumDense",
    # noise and normalisation
    "noise": "AlphaDropout Dropout GaussianDropout GaussianNoise SpatialDropout1D SpatialDropout2D"
             " SpatialDropout3D",
    "normalization": "BatchNormalization LayerNormalization",
    "normalization_group": "GroupNormalization",
    "normalization_scale": "RMSNormalization UnitNormalization",
    "spectral": "SpectralNormalization",
    "experimental.random_features": "RandomFourierFeatures",
    "experimental.synchronized": "SyncBatchNormalization",
    # merging
    "merging": "Add Average Concatenate Dot Maximum Minimum Multiply Subtract"
               " add average concatenate dot maximum minimum multiply subtract",
    # convolution and pooling
    "convolutional": "Conv1D Conv2D Conv3D",
    "convolutional_separable": "DepthwiseConv1D DepthwiseConv2D SeparableConv1D SeparableConv2D",
    "convolutional_transposed": "Conv1DTranspose Conv2DTranspose Conv3DTranspose",
    "locally_connected": "LocallyConnected1D LocallyConnected2D",
    "pooling": "AveragePooling1D AveragePooling2D AveragePooling3D MaxPooling1D MaxPooling2D MaxPooling3D",
    "pooling_adaptive": "AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D"
                        " AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D",
    "pooling_global": "GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D"
                      " GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D",
    "borders": "Cropping1D Cropping2D Cropping3D ZeroPadding1D ZeroPadding2D ZeroPadding3D",
    "upsampling": "UpSampling1D UpSampling2D UpSampling3D",
    # recurrent layers
    "convolutional_recurrent": "ConvLSTM1D ConvLSTM2D ConvLSTM3D ConvRNN2D",
    "convolutional_recurrent_cells": "ConvLSTM2DCell",
    "legacy_dense": "Highway MaxoutDense",
    "recurrent": "RNN",
    "recurrent_cells": "GRUCell LSTMCell SimpleRNNCell",
    "recurrent_cudnn": "CuDNNGRU CuDNNLSTM",
    "recurrent_fused": "GRU LSTM SimpleRNN",
    "recurrent_legacy": "ConvRecurrent2D Recurrent",
    "recurrent_other_cells": "AbstractRNNCell PeepholeLSTMCell StackedRNNCells",
    # preparation of other inputs
    "preprocessing.base": "PreprocessingLayer",
    "preprocessing.category_encoding": "CategoryCrossing CategoryEncoding",
    "preprocessing.discretization": "Discretization",
    "preprocessing.hashing": "HashedCrossing Hashing",
    "preprocessing.integer_lookup": "IntegerLookup",
    "preprocessing.normalization": "Normalization",
    "preprocessing.pipeline": "Pipeline",
    "preprocessing.rescaling": "Rescaling",
    "preprocessing.spectrograms": "MelSpectrogram STFTSpectrogram",
    "preprocessing.string_lookup": "StringLookup",
    "preprocessing.text_vectorization": "TextVectorization",
    # image preparation and augmentation: sizes, places and forms
    "augmentation.affine": "RandomRotation RandomShear RandomTranslation RandomZoom",
    "augmentation.box_number": "MaxNumBoundingBoxes",
    "augmentation.distortion": "RandomElasticTransform RandomPerspective",
    "augmentation.flipping": "RandomFlip",
    "augmentation.random_size": "RandomHeight RandomWidth",
    "augmentation.resizing": "CenterCrop RandomCrop Resizing",
    # image augmentation: colours, and images mixed
    "augmentation.blur": "RandomGaussianBlur RandomSharpness",
    "augmentation.colour": "RandomBrightness RandomColorDegeneration RandomContrast RandomGrayscale RandomHue"
                           " RandomInvert RandomSaturation",
    "augmentation.composed": "AugMix RandAugment RandomColorJitter",
    "augmentation.histograms": "ContrastLimitedAdaptiveHistogramEqualization Equalization",
    "augmentation.mixing": "CutMix MixUp RandomErasing",
    "augmentation.tones": "AutoContrast RandomPosterization Solarization",
}
# Second names of the same classes.
_SECOND_NAMES = {
    **{f"Convolution{rank}D{more}": f"Conv{rank}D{more}" for rank in (1, 2, 3) for more in ("", "Transpose")},
    **{f"SeparableConvolution{rank}D": f"SeparableConv{rank}D" for rank in (1, 2)},
    **{f"{name}{rank}D": f"Conv{rank}DTranspose" for rank in (2, 3) for name in ("Deconvolution", "Deconv")},
    **{f"{short}{rank}D": f"{long}{rank}D" for rank in (1, 2, 3) for short, long in (
        ("MaxPool", "MaxPooling"), ("AvgPool", "AveragePooling"), ("GlobalMaxPool", "GlobalMaxPooling"),
        ("GlobalAvgPool", "GlobalAveragePooling"),
    )},
}
_HOMES = _lazy.homes(__name__, _ROOMS)
_NOT_LAYERS = {"Input", "InputSpec"}  # capital letters, but no layers

__all__ = ["deserialize", "serialize", *_HOMES, *_SECOND_NAMES]  # noqa: PLE0604  (strings)
__getattr__, __dir__ = _lazy.names(__name__, _HOMES, _SECOND_NAMES, {
    "DenseFeatures": "feature columns are TensorFlow's; Normalization, Discretization, StringLookup, "
                     "CategoryEncoding and HashedCrossing do their work",
})


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
