"""Losses by class, function and name (``keras.losses``)."""

from __future__ import annotations

# ruff: noqa: F401, I001  (packed by hand; these are the public names)

from gpukeras.registry import Registry

from .crossentropy import (
    CTC, BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy,
    CategoricalFocalCrossentropy, CategoricalGeneralizedCrossEntropy, KLDivergence,
    SparseCategoricalCrossentropy, binary_crossentropy, binary_focal_crossentropy,
    categorical_crossentropy, categorical_focal_crossentropy, categorical_generalized_cross_entropy, ctc,
    kl_divergence, sparse_categorical_crossentropy,
)
from .loss import Loss, LossFunctionWrapper, Reduction
from .margin import (
    CategoricalHinge, Circle, Dice, Hinge, SquaredHinge, Tversky, categorical_hinge, circle, dice, hinge,
    squared_hinge, tversky,
)
from .regression import (
    CosineSimilarity, Huber, LogCosh, MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError,
    MeanSquaredLogarithmicError, Poisson, cosine_similarity, huber, log_cosh, mean_absolute_error,
    mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, poisson,
)

# Names of Keras 2; the similarity that 2.2 and 2.3 called cosine_proximity is the same function.
MSE = mse = mean_squared_error
MAE = mae = mean_absolute_error
MAPE = mape = mean_absolute_percentage_error
MSLE = msle = mean_squared_logarithmic_error
BCE = bce = binary_crossentropy
KLD = kld = kullback_leibler_divergence = kl_divergence
logcosh = log_cosh
huber_loss = huber
cosine = cosine_proximity = cosine_similarity

_FUNCTIONS = (
    binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy, categorical_focal_crossentropy,
    categorical_generalized_cross_entropy, categorical_hinge, circle, cosine_similarity, ctc, dice, hinge,
    huber, kl_divergence, log_cosh, mean_absolute_error, mean_absolute_percentage_error, mean_squared_error,
    mean_squared_logarithmic_error, poisson, sparse_categorical_crossentropy, squared_hinge, tversky,
)
_CLASSES = (
    CTC, BinaryCrossentropy, BinaryFocalCrossentropy, CategoricalCrossentropy, CategoricalFocalCrossentropy,
    CategoricalGeneralizedCrossEntropy, CategoricalHinge, Circle, CosineSimilarity, Dice, Hinge, Huber,
    KLDivergence, LogCosh, Loss, LossFunctionWrapper, MeanAbsoluteError, MeanAbsolutePercentageError,
    MeanSquaredError, MeanSquaredLogarithmicError, Poisson, SparseCategoricalCrossentropy, SquaredHinge,
    Tversky,
)
LOSSES = Registry(
    "loss",
    {thing.__name__: thing for thing in (*_FUNCTIONS, *_CLASSES)},
    {
        "mse": "mean_squared_error", "MSE": "mean_squared_error",
        "mae": "mean_absolute_error", "MAE": "mean_absolute_error",
        "mape": "mean_absolute_percentage_error", "MAPE": "mean_absolute_percentage_error",
        "msle": "mean_squared_logarithmic_error", "MSLE": "mean_squared_logarithmic_error",
        "bce": "binary_crossentropy", "BCE": "binary_crossentropy",
        "kld": "kl_divergence", "KLD": "kl_divergence", "kullback_leibler_divergence": "kl_divergence",
        "logcosh": "log_cosh", "huber_loss": "huber",
        "cosine": "cosine_similarity", "cosine_proximity": "cosine_similarity",
    },
    module="keras.losses",
)


def get(identifier):
    """Return the loss that ``identifier`` stands for.

    Parameters
    ----------
    identifier : str, callable, Loss, class, dict or None
        Names in small letters give functions (``"mse"``), class names give instances
        (``"MeanSquaredError"``); ``None`` stays ``None``.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest known one.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.losses.get("mse") is keras.losses.mean_squared_error
    True
    >>> keras.losses.get({"class_name": "Huber", "config": {"delta": 2.0}}).delta
    2.0
    """
    return LOSSES.get(identifier)


def serialize(loss, use_legacy_format: bool = False):
    """Return plain values from which ``deserialize`` makes the loss again; the legacy format is Keras 2's."""
    return LOSSES.serialize(loss, use_legacy_format)


def deserialize(name, custom_objects=None, use_legacy_format: bool = False):
    """Return the loss that ``serialize`` described; names, and the format of Keras 2, work as well."""
    return LOSSES.deserialize(name, custom_objects)


def is_categorical_crossentropy(loss) -> bool:
    """Tell whether ``loss`` is the categorical cross-entropy, in any of its forms."""
    if isinstance(loss, str):
        return loss in ("categorical_crossentropy", "CategoricalCrossentropy")
    return loss is categorical_crossentropy or isinstance(loss, CategoricalCrossentropy)
