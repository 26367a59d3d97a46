"""Metrics by class, function and name (``keras.metrics``)."""

from __future__ import annotations

# ruff: noqa: F401, I001  (packed by hand; these are the public names)

from gpukeras.losses import (
    KLD, MAE, MAPE, MSE, MSLE, binary_crossentropy, binary_focal_crossentropy, categorical_crossentropy,
    categorical_focal_crossentropy, categorical_hinge, hinge, huber, kl_divergence,
    kullback_leibler_divergence, log_cosh, logcosh, mae, mape, mean_absolute_error,
    mean_absolute_percentage_error, mean_squared_error, mean_squared_logarithmic_error, mse, msle, poisson,
    sparse_categorical_crossentropy, squared_hinge,
)
from gpukeras.registry import Registry, snake_case

from .accuracy import (
    Accuracy, BinaryAccuracy, CategoricalAccuracy, SparseCategoricalAccuracy, SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy, binary_accuracy, categorical_accuracy, sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy, top_k_categorical_accuracy,
)
from .confusion import (
    FalseNegatives, FalsePositives, Precision, Recall, TrueNegatives, TruePositives,
)
from .curves import (
    AUC, PrecisionAtRecall, RecallAtPrecision, SensitivityAtSpecificity, SpecificityAtSensitivity,
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
from .regression import (
    ConcordanceCorrelation, CosineSimilarity, PearsonCorrelation, R2Score, RootMeanSquaredError,
    concordance_correlation, cosine_similarity, pearson_correlation,
)

_CLASSES = (
    AUC, Accuracy, BinaryAccuracy, BinaryCrossentropy, BinaryIoU, CategoricalAccuracy,
    CategoricalCrossentropy, CategoricalHinge, ConcordanceCorrelation, CosineSimilarity, F1Score, FBetaScore,
    FalseNegatives, FalsePositives, Hinge, IoU, KLDivergence, LogCoshError, Mean, MeanAbsoluteError,
    MeanAbsolutePercentageError, MeanIoU, MeanMetricWrapper, MeanRelativeError, MeanSquaredError,
    MeanSquaredLogarithmicError, MeanTensor, Metric, OneHotIoU, OneHotMeanIoU, PearsonCorrelation, Poisson,
    Precision, PrecisionAtRecall, R2Score, Recall, RecallAtPrecision, RootMeanSquaredError,
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


def serialize(metric):
    """Return a metric as plain values."""
    return METRICS.serialize(metric)


def deserialize(config, custom_objects=None):
    """Return the metric that ``serialize`` described."""
    return METRICS.deserialize(config, custom_objects)


def get_for_compile(identifier, y_true_shape=None, y_pred_shape=None):
    """Return a ``Metric`` for one entry of ``compile(metrics=...)``.

    Parameters
    ----------
    identifier : str, dict, callable, class or Metric
        ``"accuracy"``/``"acc"`` and ``"crossentropy"``/``"ce"`` become the binary, categorical or sparse form
        by the shapes; a string stays the metric's name; functions are averaged.
    y_true_shape, y_pred_shape : tuple, optional
        Of labels and predictions.

    Examples
    --------
    >>> metric = get_for_compile("accuracy", (32,), (32, 10))
    >>> type(metric).__name__, metric.name
    ('SparseCategoricalAccuracy', 'accuracy')
    """
    kinds = {
        "accuracy": _ACCURACIES, "acc": _ACCURACIES, "crossentropy": _CROSSENTROPIES, "ce": _CROSSENTROPIES,
    }
    name = identifier.lower() if isinstance(identifier, str) else None
    if name in kinds and y_true_shape is not None and y_pred_shape is not None:
        found = kinds[name][_label_kind(tuple(y_true_shape), tuple(y_pred_shape))]()
    else:
        found = get(identifier)
    if isinstance(found, Metric):
        if isinstance(identifier, str):
            found.name = identifier
        return found
    if not callable(found):
        raise ValueError(f"compile(metrics=...) takes metrics, functions and names, came {identifier!r}")
    own = getattr(found, "__name__", None) or snake_case(type(found).__name__)
    return MeanMetricWrapper(found, name=identifier if isinstance(identifier, str) else own)


_ACCURACIES = {
    "binary": BinaryAccuracy, "sparse": SparseCategoricalAccuracy, "categorical": CategoricalAccuracy,
}
_CROSSENTROPIES = {
    "binary": BinaryCrossentropy, "sparse": SparseCategoricalCrossentropy,
    "categorical": CategoricalCrossentropy,
}


def _label_kind(y_true: tuple, y_pred: tuple) -> str:
    """Tell what labels of this shape are for predictions of that."""
    if not y_pred or y_pred[-1] == 1:
        return "binary"
    if len(y_true) < len(y_pred) or y_true[-1] == 1:
        return "sparse"
    return "categorical"
