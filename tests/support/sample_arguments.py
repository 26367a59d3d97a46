"""Arguments for any class of the contracts: those it needs, and for each parameter another value."""

from __future__ import annotations

import numpy as np

from . import contracts


def _keras():
    import gpukeras

    return gpukeras


class With:
    """A value that makes sense together with other arguments only."""

    def __init__(self, value, **others):
        self.value, self.others = value, others


# Arguments that have no default, by name; functions are called for a fresh value.
NEEDED = {
    "units": 4, "filters": 4, "kernel_size": 3, "pool_size": 2, "output_size": 2, "n": 2, "rate": 0.5,
    "dims": (1,),
    "stddev": 0.1, "target_shape": (2, -1), "input_dim": 5, "output_dim": 3, "num_heads": 2, "key_dim": 4,
    "head_dim": 4, "num_query_heads": 4, "num_key_value_heads": 2, "equation": "ab,bc->ac", "output_shape": 8,
    "num_classes": 3, "num_tokens": 4, "factor": 0.2, "height": 4, "width": 4, "height_factor": 0.2,
    "width_factor": 0.2, "max_number": 5, "num_bins": 3, "scale": 0.5, "value": 0.5, "axes": 1,
    "recall": 0.5, "precision": 0.5, "sensitivity": 0.5, "specificity": 0.5, "target_class_ids": [0, 1],
    "decay_steps": 10, "decay_rate": 0.5, "initial_learning_rate": 0.1, "first_decay_steps": 10,
    "boundaries": [1, 2], "values": [0.1, 0.2, 0.3], "function": lambda: abs, "activation": "relu",
    "layer": lambda: _keras().layers.Dense(3), "cell": lambda: _keras().layers.SimpleRNNCell(3),
    "cells": lambda: [_keras().layers.SimpleRNNCell(3)], "layers": lambda: [_keras().layers.Rescaling(0.5)],
    "fn": lambda: (lambda y_true, y_pred: y_true - y_pred), "name": "named", "reduction": "sum",
    "inner_optimizer": lambda: _keras().optimizers.SGD(),
    "default_optimizer": lambda: _keras().optimizers.SGD(),
    "optimizer": "sgd", "mask": lambda: np.ones((3, 4)), "vocabulary_size": 6, "size": 2,
    "normalizer": [1.0, 2.0],
}
# For single classes: (class, parameter) -> value.
NEEDED_BY = {
    ("layers.RNN", "cell"): lambda: _keras().layers.SimpleRNNCell(3),
    ("layers.Bidirectional", "layer"): lambda: _keras().layers.LSTM(3),
    ("layers.SpectralNormalization", "layer"): lambda: _keras().layers.Dense(3),
    ("layers.Discretization", "bin_boundaries"): [0.0, 1.0],
    ("layers.Embedding", "input_dim"): 7, ("layers.RandomPosterization", "factor"): 4,
    ("initializers.Constant", "value"): 0.5,
    ("optimizers.TFOptimizer", "optimizer"): lambda: _keras().optimizers.SGD(),
    ("optimizers.MultiOptimizer", "optimizer_map"):
        lambda: _keras().optimizers.OptimizerMap(_keras().optimizers.SGD()),
}
for _rank in (1, 2, 3):
    NEEDED_BY[f"layers.ConvRNN{_rank}D", "cell"] = lambda: _keras().layers.ConvLSTM2DCell(2, 2)
NEEDED_BY["layers.convolutional_recurrent.ConvRNN2D", "cell"] = NEEDED_BY["layers.ConvRNN2D", "cell"]
# What else a class wants, though its signature does not say so.
ALSO = {
    "layers.CategoryEncoding": {"num_tokens": 4},
    "layers.Discretization": {"bin_boundaries": [0.0, 1.0]},
    "layers.IntegerLookup": {"vocabulary": [1, 2, 3]},
    "layers.StringLookup": {"vocabulary": ["a", "b"]},
    "layers.TextVectorization": {"vocabulary": ["a", "b"]},
    "layers.Flatten": {}, "layers.InputLayer": {"shape": (3,)},
}
# Another value than the default, by name.
OTHER = {
    "activation": "relu", "recurrent_activation": "tanh", "dtype": "float64", "data_format": "channels_first",
    "padding": "same", "name": "other", "axis": 1, "merge_mode": "sum", "interpolation": "nearest", "seed": 7,
    "trainable": False, "activity_regularizer": "l2", "mask_value": 2.0, "reduction": "sum",
    "weight_decay": 0.01,
    "clipnorm": 1.0, "clipvalue": 0.5, "global_clipnorm": 2.0, "ema_overwrite_frequency": 3,
    "loss_scale_factor": 2.0, "gradient_accumulation_steps": 2, "max_value": 3.0, "min_value": 0.25,
    "noise_shape": (1, 4), "mode": "fan_avg", "distribution": "uniform", "ignore_class": 1, "class_id": 1,
    "top_k": 2, "thresholds": [0.2, 0.8], "curve": "PR", "summation_method": "majoring", "average": "micro",
    "threshold": 0.3, "class_aggregation": None, "strides": 3, "dilation_rate": 2, "output_padding": 1,
    "groups": 2, "shared_axes": [1], "scaling": "spectrum", "side": "imag", "window": "hamming",
    "fill_mode": "nearest", "value_range": (0, 1), "output_mode": "one_hot", "standardize": "lower",
    "split": "character", "vocabulary_dtype": "int32", "mask_token": "", "oov_token": "[OOV]", "salt": 3,
    "encoding": "latin-1", "max_tokens": 10, "fft_length": 512, "frame_step": 64, "max_freq": 4000.0,
    "warmup_target": 0.5, "score_mode": "concat", "attention_axes": (1,), "value_dim": 5, "bias_axes": "c",
    "ngrams": 2, "output_sequence_length": 5, "num_labels": 3, "label_weights": [1.0, 2.0],
    "input_axes": [0], "output_axes": [1], "use_cudnn": False, "renorm_clipping": {"rmax": 2.0, "dmax": 1.0},
    "sliding_window": 3, "l": 0.5, "flash_attention": False, "epsilon": 0.02, "mean": 0.5, "variance": 0.5,
}
OTHER |= {
    "tile_grid_size": (2, 3), "brightness_factor": 0.2, "contrast_factor": 0.2, "saturation_factor": 0.2,
    "hue_factor": 0.2, "fill_value": 0.25,
}
# What every layer takes through ``**kwargs``.
OTHER |= {
    "input_shape": (3, 4), "batch_input_shape": (2, 3, 4), "batch_shape": (2, 3, 4),
    "input_dim": 6, "input_length": With(3, input_dim=4), "weights": lambda: [np.ones((3,))],
    "autocast": False, "implementation": 1, "zero_output_for_mask": True, "rms_scaling": True, "alpha": 0.7,
    "sparse": True, "ragged": True, "dynamic": True, "time_major": True, "enable_caching_device": True,
    "pool_size": 3, "size": 3, "cropping": 2, "jit_compile": False, "use_one_hot_matmul": True,
}
OTHER |= {name: True for name in ("unroll", "return_state", "go_backwards", "reverse_state_order")}
OTHER |= {"lr": 0.3, "decay": 0.2, "schedule_decay": 0.1, "transform_bias": -1, "interpolation": "bilinear"}
OTHER |= {f"{name}_factor": 0.3 for name in ("saturation", "hue", "contrast", "brightness")}
OTHER |= {"batch_size": With(2, input_shape=(3, 4)), "input_dtype": With("float64", input_shape=(3, 4))}
OTHER |= {"sequence_length": 100, "gradient_aggregator": lambda: list}
OTHER |= {"gradient_transformers": lambda: [list]}
OTHER_BY: dict = {
    **{(f"layers.{name}", "sparse"): With(True, output_mode="multi_hot") for name in (
        "StringLookup", "IntegerLookup", "TextVectorization", "Hashing", "Discretization")},
    ("layers.HashedCrossing", "sparse"): With(True, output_mode="one_hot"),
    **{(f"layers.{name}", "dtype"): "int32" for name in ("Hashing", "HashedCrossing")},
    ("layers.IntegerLookup", "idf_weights"):
        With([0.5, 2.0, 1.0], output_mode="tf_idf", vocabulary=[5, 6, 7]),
    **{(f"layers.{name}", "idf_weights"): With([0.5, 2.0], output_mode="tf_idf")
       for name in ("StringLookup", "TextVectorization")},
    ("layers.IntegerLookup", "oov_method"): "farmhash",
    ("layers.IntegerLookup", "salt"): With(3, oov_method="farmhash"),
    ("layers.Normalization", "mean"): With(0.5, variance=1.0),
    ("layers.Normalization", "variance"): With(0.5, mean=1.0),
    ("layers.Discretization", "num_bins"): With(3, bin_boundaries=None),
    ("layers.RandomErasing", "scale"): (0.1, 0.2), ("layers.RandomErasing", "fill_value"): 0.5,
    ("layers.RandomGaussianBlur", "kernel_size"): 5, ("layers.RandomGaussianBlur", "sigma"): 0.5,
    ("layers.STFTSpectrogram", "mode"): "psd", ("layers.MultiHeadAttention", "output_shape"): 6,
    ("layers.ContrastLimitedAdaptiveHistogramEqualization", "tile_grid_size"): (4, 4),
    ("layers.InputSpec", "shape"): (None, 3), ("layers.InputSpec", "axes"): {1: 3},
    **{("layers.InputSpec", name): 3 for name in ("ndim", "min_ndim", "max_ndim")},
    ("layers.InputLayer", "batch_size"): 2,
    ("layers.InputLayer", "batch_shape"): With((2, 3, 4), shape=None),
    ("layers.InputLayer", "batch_input_shape"): With((2, 3, 4), shape=None),
    ("layers.InputLayer", "input_shape"): With((3, 4), shape=None),
    **{(f"layers.{name}", "interpolation"): "nearest" for name in (
        "Resizing", "RandomZoom", "RandomTranslation", "RandomRotation", "RandomShear", "RandomPerspective",
        "RandomElasticTransform", "RandomHeight", "RandomWidth", "RandAugment", "AugMix")},
    **{(f"layers.LocallyConnected{rank}D", "padding"): With("same", implementation=2) for rank in (1, 2)},
    ("layers.IntegerLookup", "mask_value"): 7, ("layers.IntegerLookup", "oov_value"): -5,
    ("layers.IntegerLookup", "max_values"): 9,
    ("layers.Discretization", "bins"): With([0.5, 2.0], bin_boundaries=None),
    ("layers.CategoryEncoding", "max_tokens"): With(6, num_tokens=None),
    ("layers.RandomZoom", "width_factor"): 0.3, ("layers.RandomFlip", "mode"): "vertical",
    ("layers.Resizing", "fill_mode"): "constant",
    ("layers.experimental.RandomFourierFeatures", "kernel_initializer"): "laplacian",
    ("layers.experimental.RandomFourierFeatures", "scale"): 0.5,
    ("optimizers.OptimizerMap", "optimizer_map"): lambda: {"dense": _keras().optimizers.SGD()},
    ("optimizers.Muon", "exclude_layers"): ["dense"],
    ("layers.ReversibleEmbedding", "logit_soft_cap"): 2.0,
    ("layers.ReversibleEmbedding", "reverse_dtype"): "float64",
    ("metrics.AUC", "num_labels"): With(3, multi_label=True),
    ("metrics.AUC", "label_weights"): With([1.0, 2.0], multi_label=True),
    ("layers.ZeroPadding1D", "padding"): 2, ("layers.ZeroPadding2D", "padding"): 2,
    ("layers.ZeroPadding3D", "padding"): 2, ("metrics.MeanTensor", "shape"): (2,),
    ("layers.Conv1DTranspose", "output_padding"): 0, ("layers.Conv2DTranspose", "output_padding"): 0,
    ("layers.Conv3DTranspose", "output_padding"): 0,
    ("layers.Bidirectional", "backward_layer"): lambda: _keras().layers.LSTM(3, go_backwards=True),
    ("layers.Lambda", "output_shape"): (3,), ("layers.Lambda", "mask"): lambda: abs,
    ("layers.Lambda", "arguments"): {"a": 1}, ("layers.Activation", "activation"): "tanh",
    ("regularizers.OrthogonalRegularizer", "mode"): "columns", ("metrics.BinaryIoU", "target_class_ids"): [0],
}
# Parameters that name objects: any other object will do.
ENDINGS = {"initializer": "he_normal", "regularizer": "l1", "constraint": "non_neg", "init": "he_normal"}

# Classes to derive from, which do nothing by themselves.
ABSTRACT = {"losses.Loss", "metrics.Metric", "optimizers.Optimizer", "constraints.Constraint",
            "initializers.Initializer", "regularizers.Regularizer", "optimizers.legacy.Optimizer",
            "optimizers.schedules.LearningRateSchedule", "layers.AbstractRNNCell", "layers.Wrapper",
            "optimizers.experimental.Optimizer"}


def needed(path: str, parameters: dict) -> dict:
    """Return arguments for what has no default."""
    found = dict(ALSO.get(path, {}))
    for name, default in parameters.items():
        if default is contracts.REQUIRED:
            value = NEEDED_BY.get((path, name), NEEDED.get(name))
            if value is None:
                raise KeyError(f"{path}: no sample of the argument {name!r}; add one to NEEDED")
            found[name] = value() if callable(value) else value
    return found


def other(path: str, name: str, default):
    """Return a value for a parameter that is not its default, and the arguments that go with it."""
    found = _other(path, name, default)
    return (found.value, found.others) if isinstance(found, With) else (found, {})


def _other(path: str, name: str, default):
    if (path, name) in OTHER_BY:
        value = OTHER_BY[path, name]
        return value() if callable(value) else value
    if name in OTHER:
        value = OTHER[name]
        value = value() if callable(value) else value
        if not isinstance(value, (str, int, float)) or value != default:
            return value
    ending = name.rpartition("_")[2]
    if ending in ENDINGS:
        return ENDINGS[ending]
    if isinstance(default, bool):
        return not default
    if isinstance(default, int):
        return default + 1
    if isinstance(default, float):
        return default / 2 if default else 0.25
    raise KeyError(f"{path}: no other value for {name}={default!r}; add one to OTHER")
