"""Metrics of regression that are no mean of a loss: RMSE, R², cosine similarity, correlations."""

from __future__ import annotations

import warnings

import numpy as np

from gpukeras import dtypes, losses, ops
from gpukeras.tensor import Tensor

from .arrays import align, pair, unequal
from .mean import Mean, MeanMetricWrapper
from .metric import Metric, add, scalar_tensor

EPSILON = 1e-7


class RootMeanSquaredError(Mean):
    """Root of the mean of ``(y_true - y_pred)²``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.RootMeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]]))
    0.5
    """

    _direction = "down"

    def __init__(self, name="root_mean_squared_error", dtype=None):
        super().__init__(name, dtype)

    def update_state(self, y_true, y_pred, sample_weight=None):  # type: ignore[override]  # as Keras has it
        """Take a batch into the mean."""
        _, y_true, y_pred = pair(y_true, y_pred, self.dtype)
        y_true, y_pred = align(y_true, y_pred)
        if y_true.ndim != y_pred.ndim:
            raise unequal("RootMeanSquaredError", y_true, y_pred)
        error = y_pred - y_true
        super().update_state(scalar_tensor(error * error), sample_weight)

    def result(self):
        return scalar_tensor(self.total.backend.xp.sqrt(super().result().array))


def cosine_similarity(y_true, y_pred, axis=-1):
    """Return the cosine of the angle between labels and predictions (the loss is its negative)."""
    return ops.negative(losses.cosine_similarity(y_true, y_pred, axis=axis))


class CosineSimilarity(MeanMetricWrapper):
    """Mean cosine of the angle between labels and predictions.

    Parameters
    ----------
    name : str
    dtype : str, optional
    axis : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.CosineSimilarity(axis=1)([[0., 1.], [1., 1.]], [[1., 0.], [1., 1.]])), 4)
    0.5
    """

    _direction = "up"

    def __init__(self, name="cosine_similarity", dtype=None, axis=-1):
        super().__init__(cosine_similarity, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


def _paired(y_true, y_pred):
    y_pred = ops.convert_to_tensor(y_pred)
    y_pred = y_pred if dtypes.is_float(y_pred.dtype) else ops.cast(y_pred, dtypes.floatx())
    return losses.loss.align(y_true, y_pred)


def pearson_correlation(y_true, y_pred, axis=-1):
    """Return the Pearson correlation of labels and predictions along ``axis``.

    Examples
    --------
    >>> y_true, y_pred = [[0., 1., 0.5], [1., 1., 0.2]], [[0.1, 0.9, 0.5], [1., 0.9, 0.2]]
    >>> pearson_correlation(y_true, y_pred).numpy().round(3)
    array([1.   , 0.993], dtype=float32)
    """
    y_true, y_pred = _paired(y_true, y_pred)
    a = y_true - ops.mean(y_true, axis=axis, keepdims=True)
    b = y_pred - ops.mean(y_pred, axis=axis, keepdims=True)
    a = a / ops.std(a, axis=axis, keepdims=True)
    b = b / ops.std(b, axis=axis, keepdims=True)
    return ops.mean(a * b, axis=axis)


def concordance_correlation(y_true, y_pred, axis=-1):
    """Return the concordance correlation of labels and predictions along ``axis``.

    Notes
    -----
    ``2 mean((y_true - mean(y_pred)) (y_pred - mean(y_pred))) / (var(y_true) + var(y_pred) + (difference of
    the means)²)``, as Keras computes it.

    Examples
    --------
    >>> y_true, y_pred = [[0., 1., 0.5], [1., 1., 0.2]], [[0.1, 0.9, 0.5], [1., 0.9, 0.2]]
    >>> concordance_correlation(y_true, y_pred).numpy().round(3)
    array([0.976, 0.988], dtype=float32)
    """
    y_true, y_pred = _paired(y_true, y_pred)
    mean_true = ops.mean(y_true, axis=axis, keepdims=True)
    mean_pred = ops.mean(y_pred, axis=axis, keepdims=True)
    spread = (
        ops.var(y_true, axis=axis, keepdims=True) + ops.var(y_pred, axis=axis, keepdims=True)
        + ops.square(mean_true - mean_pred)
    )
    together = (y_true - mean_pred) * (y_pred - mean_pred)
    return ops.mean(2 * together / (spread + EPSILON), axis=axis)


class PearsonCorrelation(MeanMetricWrapper):
    """Mean Pearson correlation of the rows of labels and predictions.

    Parameters
    ----------
    name : str
    dtype : str, optional
    axis : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.PearsonCorrelation()([[0., 1., 0.5]], [[0.1, 0.9, 0.5]])), 4)
    1.0
    """

    _direction = "up"

    def __init__(self, name="pearson_correlation", dtype=None, axis=-1):
        super().__init__(pearson_correlation, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class ConcordanceCorrelation(MeanMetricWrapper):
    """Mean concordance correlation of the rows of labels and predictions.

    Parameters
    ----------
    name : str
    dtype : str, optional
    axis : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.ConcordanceCorrelation()([[0., 1., 0.5]], [[0.1, 0.9, 0.5]])), 4)
    0.9756
    """

    _direction = "up"

    def __init__(self, name="concordance_correlation", dtype=None, axis=-1):
        super().__init__(concordance_correlation, name, dtype, axis=axis)
        self.axis = axis

    def get_config(self):
        return {**super().get_config(), "axis": self.axis}


class R2Score(Metric):
    """Coefficient of determination: the share of the labels' variance that the predictions explain.

    Parameters
    ----------
    class_aggregation : {None, "uniform_average", "variance_weighted_average"}
        How to combine several outputs; ``None``: one score each.
    num_regressors : int
        Number of independent regressors, for the adjusted score; 0: the plain one.
    name : str
    dtype : str, optional

    Notes
    -----
    ``1 - sum((y_true - y_pred)²) / sum((y_true - mean(y_true))²)``

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.R2Score()([[1], [4], [3]], [[2], [4], [4]])), 4)
    0.5714
    """

    _direction = "up"

    def __init__(self, class_aggregation="uniform_average", num_regressors=0, name="r2_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        allowed = (None, "uniform_average", "variance_weighted_average")
        if class_aggregation not in allowed:
            raise ValueError(f"R2Score: class_aggregation must be in {allowed}, came {class_aggregation!r}")
        if num_regressors < 0:
            raise ValueError(f"R2Score: num_regressors must be >= 0, came {num_regressors}")
        self.class_aggregation = class_aggregation
        self.num_regressors = num_regressors
        self.num_samples = self.add_variable((), name="num_samples")
        self._built = False

    def _build(self, outputs: int) -> None:
        self.squared_sum = self.add_variable((outputs,), name="squared_sum")
        self.sum = self.add_variable((outputs,), name="sum")
        self.total_mse = self.add_variable((outputs,), name="residual")
        self.count = self.add_variable((outputs,), name="count")
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Take a batch of shape (N, outputs) into the sums."""
        backend, y_true, y_pred = pair(y_true, y_pred, self.dtype)
        y_true, y_pred = align(y_true, y_pred)
        if y_true.ndim != 2 or y_pred.shape != y_true.shape:
            raise ValueError(
                f"R2Score takes labels and predictions of shape (N, outputs), came y_true {y_true.shape} and "
                f"y_pred {y_pred.shape}"
            )
        if not self._built:
            self._build(y_true.shape[1])
        xp = backend.xp
        if sample_weight is None:
            weights = xp.ones((), self.dtype)
        else:
            weights = pair(sample_weight, Tensor(y_pred), self.dtype)[1]
            weights = weights[:, None] if weights.ndim == 1 else weights
        weights = xp.broadcast_to(weights, y_true.shape)
        weighted = y_true * weights
        add(self.sum, weighted.sum(axis=0))
        add(self.squared_sum, (y_true * weighted).sum(axis=0))
        add(self.total_mse, ((y_true - y_pred) ** 2 * weights).sum(axis=0))
        add(self.count, weights.sum(axis=0))
        add(self.num_samples, y_true.size)

    def result(self):
        if not self._built:
            raise ValueError(f"metric {self.name!r} has no values yet; call update_state first")
        xp = self.sum.backend.xp
        with np.errstate(divide="ignore", invalid="ignore"):
            total = self.squared_sum.array - self.sum.array * (self.sum.array / self.count.array)
            scores = 1 - self.total_mse.array / total
            scores = xp.where(xp.isinf(scores), scores.dtype.type(0), scores)
            if self.class_aggregation == "uniform_average":
                scores = scores.mean()
            elif self.class_aggregation == "variance_weighted_average":
                scores = (total * scores).sum() / total.sum()
        return scalar_tensor(self._adjusted(scores) if self.num_regressors else scores)

    def _adjusted(self, score):
        freedom = int(self.num_samples) - self.num_regressors - 1
        if freedom <= 0:
            warnings.warn(
                f"R2Score: {int(self.num_samples)} samples are too few to adjust for {self.num_regressors} "
                "regressors; this is the plain score", stacklevel=3,
            )
            return score
        return 1 - (1 - score) * ((freedom + self.num_regressors) / freedom)

    def get_config(self):
        return {
            **super().get_config(), "class_aggregation": self.class_aggregation,
            "num_regressors": self.num_regressors,
        }
