"""Metrics by class, function and name (``keras.metrics``)."""

from __future__ import annotations

# ruff: noqa: F401, I001  (packed by hand; these are the public names)

from gpukeras.losses import (
    KLD, MAE, MAPE, MSE, MSLE, binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy,
    categorical_focal_crossentropy, categorical_hinge, hinge, huber, kl_divergence, kld,
    kullback_leibler_divergence, log_cosh, logcosh, mae, mape, mean_absolute_error,
    mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, mse, msle, poisson,
    sparse_categorical_crossentropy, squared_hinge,
)
from gpukeras.registry import Registry

from .accuracies import (
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy, accuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy, top_k_categorical_accuracy,
)
from .confusion import (
    FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives,
)
from . import experimental
from .curves import (
    AUC, PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SensitivitySpecificityBase,
    SpecificityAtSensitivity,
)
from .from_losses import (
    BinaryCrossentropy, CategoricalCrossentropy, CategoricalHinge, Hinge, KLDivergence, LogCoshError,
    MeanAbsoluteError, MeanAbsolutePercentageError, MeanSquaredError, MeanSquaredLogarithmicError, Poisson,
    SparseCategoricalCrossentropy, SquaredHinge,
)
from .fscore import F1Score, FBetaScore
from .iou import BinaryIoU, IoU, MeanIoU, OneHotIoU, OneHotMeanIoU
from .mean import Mean, MeanMetricWrapper, MeanRelativeError, MeanTensor, Sum
from .metric import Metric
from .older import PyMetric, Reduce, clone_metric, clone_metrics
from .regression import (
    ConcordanceCorrelation, CosineSimilarity, PearsonCorrelation, R2Score, RootMeanSquaredError,
    concordance_correlation, cosine_similarity, pearson_correlation,
)

cosine = cosine_proximity = cosine_similarity  # Keras 2

_CLASSES = (
    AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, BinaryIoU, CategoricalAccuracy,
    CategoricalCrossentropy, CategoricalHinge, ConcordanceCorrelation, CosineSimilarity, F1Score, FBetaScore,
    FalseNegatives, FalsePositives, Hinge, IoU, KLDivergence, LogCoshError, Mean, MeanAbsoluteError,
    MeanAbsolutePercentageError, MeanIoU, MeanMetricWrapper, MeanRelativeError, MeanSquaredError,
    MeanSquaredLogarithmicError, MeanTensor, Metric, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Poisson,
    Precision, PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, Reduce, RootMeanSquaredError,
    SensitivityAtSpecificity, SparseCategoricalAccuracy, SparseCategoricalCrossentropy,
    SparseTopKCategoricalAccuracy, SpecificityAtSensitivity, SquaredHinge, Sum, TopKCategoricalAccuracy,
    TrueNegatives, TruePositives,
)
METRICS = Registry(
    "metric",
    {cls.__name__: cls for cls in _CLASSES},
    {
        "mse": "MeanSquaredError", "MSE": "MeanSquaredError", "mae": "MeanAbsoluteError",
        "MAE": "MeanAbsoluteError", "mape": "MeanAbsolutePercentageError",
        "MAPE": "MeanAbsolutePercentageError",
        "msle": "MeanSquaredLogarithmicError", "MSLE": "MeanSquaredLogarithmicError",
        "bce": "BinaryCrossentropy", "BCE": "BinaryCrossentropy", "rmse": "RootMeanSquaredError",
        "kld": "KLDivergence", "KLD": "KLDivergence", "kl_divergence": "KLDivergence",
        "kullback_leibler_divergence": "KLDivergence", "logcosh": "LogCoshError", "log_cosh": "LogCoshError",
        "cosine": "CosineSimilarity", "cosine_proximity": "CosineSimilarity", "binary_io_u": "BinaryIoU",
        "f_beta_score": "FBetaScore", "fbeta_score": "FBetaScore", "acc": "Accuracy",
    },
    module="keras.metrics",
)


def get(identifier):
    """Return the metric that ``identifier`` stands for.

    Parameters
    ----------
    identifier : str, dict, class, callable, Metric or None
        A name or a class gives a new instance; a function is returned as it is.

    Raises
    ------
    ValueError
        For an unknown name, with the nearest known one.

    Examples
    --------
    >>> get("mae").name
    'mean_absolute_error'
    """
    return METRICS.get(identifier)


def serialize(metric, use_legacy_format: bool = False):
    """Return a metric as plain values; the legacy format is that of Keras 2."""
    return METRICS.serialize(metric, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format: bool = False):
    """Return the metric that ``serialize`` described; both formats are told apart by themselves."""
    return METRICS.deserialize(config, custom_objects)
