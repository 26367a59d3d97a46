"""Losses of regression: squared, absolute and relative errors, similarities."""

from __future__ import annotations

import math

from gpukeras import config, ops

from .loss import LossFunctionWrapper, align

_LOG2 = math.log(2)


def mean_squared_error(y_true, y_pred):
    """Return ``mean((y_true - y_pred)^2)`` over the last axis.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.losses.mean_squared_error([[0.0, 1.0]], [[1.0, 1.0]]).numpy()
    array([0.5], dtype=float32)
    """
    return ops.mean_squared_error(*align(y_true, y_pred))


def mean_absolute_error(y_true, y_pred):
    """Return ``mean(|y_true - y_pred|)`` over the last axis."""
    return ops.mean_absolute_error(*align(y_true, y_pred))


def mean_absolute_percentage_error(y_true, y_pred):
    """Return ``100 mean(|y_true - y_pred| / max(|y_true|, epsilon))`` over the last axis."""
    y_true, y_pred = align(y_true, y_pred)
    scale = ops.maximum(ops.abs(y_true), config.epsilon())
    return ops.mean(ops.abs((y_true - y_pred) / scale), axis=-1) * 100.0


def mean_squared_logarithmic_error(y_true, y_pred):
    """Return ``mean((log(y_true + 1) - log(y_pred + 1))^2)``, both at least epsilon, over the last axis."""
    y_true, y_pred = align(y_true, y_pred)
    eps = config.epsilon()
    of_true = ops.log(ops.maximum(y_true, eps) + 1.0)
    return ops.mean(ops.square(ops.log(ops.maximum(y_pred, eps) + 1.0) - of_true), axis=-1)


def huber(y_true, y_pred, delta=1.0):
    """Return the mean Huber loss over the last axis: ``e^2 / 2`` up to ``delta``, a line beyond.

    Notes
    -----
    For an error ``e = |y_true - y_pred| > delta`` the value is ``delta (e - delta / 2)``.

    References
    ----------
    Huber, 1964, doi:10.1214/aoms/1177703732.
    """
    y_true, y_pred = align(y_true, y_pred)
    e = y_true - y_pred
    size = ops.abs(e)
    line = size * delta - 0.5 * delta * delta
    return ops.mean(ops.where(size <= delta, ops.square(e) * 0.5, line), axis=-1)


def log_cosh(y_true, y_pred):
    """Return ``mean(log(cosh(y_pred - y_true)))`` over the last axis, without overflow."""
    y_true, y_pred = align(y_true, y_pred)
    e = y_pred - y_true
    return ops.mean(e + ops.softplus(e * -2.0) - _LOG2, axis=-1)


def cosine_similarity(y_true, y_pred, axis=-1):
    """Return minus the cosine of the angle between ``y_true`` and ``y_pred`` along ``axis``.

    -1 means the same direction, 0 a right angle, 1 the opposite; 0 also where one of them is 0.
    """
    y_true, y_pred = align(y_true, y_pred)
    return -ops.sum(_unit(y_true, axis) * _unit(y_pred, axis), axis=axis)


def _unit(x, axis):
    length = ops.sum(ops.square(x), axis=axis, keepdims=True)
    return x * ops.rsqrt(ops.maximum(length, 1e-12))


def poisson(y_true, y_pred):
    """Return ``mean(y_pred - y_true log(y_pred + epsilon))`` over the last axis."""
    y_true, y_pred = align(y_true, y_pred)
    return ops.mean(y_pred - y_true * ops.log(y_pred + config.epsilon()), axis=-1)


# ---- classes --------------------------------------------------------------------------------------
class MeanSquaredError(LossFunctionWrapper):
    """Mean of squared errors ``(y_true - y_pred)^2``.

    Parameters
    ----------
    reduction, name, dtype
        See ``Loss``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.losses.MeanSquaredError()([[0.0], [2.0]], [[1.0], [2.0]]))
    0.5
    """

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_error", dtype=None):
        super().__init__(mean_squared_error, reduction, name, dtype)


class MeanAbsoluteError(LossFunctionWrapper):
    """Mean of absolute errors ``|y_true - y_pred|``; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_error", dtype=None):
        super().__init__(mean_absolute_error, reduction, name, dtype)


class MeanAbsolutePercentageError(LossFunctionWrapper):
    """Mean of absolute errors in per cent of the target; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_absolute_percentage_error", dtype=None):
        super().__init__(mean_absolute_percentage_error, reduction, name, dtype)


class MeanSquaredLogarithmicError(LossFunctionWrapper):
    """Mean of squared differences of ``log(1 + y)``; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(mean_squared_logarithmic_error, reduction, name, dtype)


class Huber(LossFunctionWrapper):
    """Squared error near 0, absolute error beyond ``delta``; see ``huber``.

    Parameters
    ----------
    delta : float
        Where the parabola becomes a line.
    reduction, name, dtype
        See ``Loss``.
    """

    def __init__(self, delta=1.0, reduction="sum_over_batch_size", name="huber_loss", dtype=None):
        super().__init__(huber, reduction, name, dtype, delta=delta)


class LogCosh(LossFunctionWrapper):
    """Logarithm of the hyperbolic cosine of the error; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="log_cosh", dtype=None):
        super().__init__(log_cosh, reduction, name, dtype)


class CosineSimilarity(LossFunctionWrapper):
    """Minus the cosine between targets and predictions along ``axis``; further arguments as in ``Loss``."""

    def __init__(self, axis=-1, reduction="sum_over_batch_size", name="cosine_similarity", dtype=None):
        super().__init__(cosine_similarity, reduction, name, dtype, axis=axis)


class Poisson(LossFunctionWrapper):
    """Negative log-likelihood of counts under a Poisson rate; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="poisson", dtype=None):
        super().__init__(poisson, reduction, name, dtype)


__all__ = [
    "CosineSimilarity", "Huber", "LogCosh", "MeanAbsoluteError", "MeanAbsolutePercentageError",
    "MeanSquaredError", "MeanSquaredLogarithmicError", "Poisson", "cosine_similarity", "huber",
    "log_cosh", "mean_absolute_error", "mean_absolute_percentage_error", "mean_squared_error",
    "mean_squared_logarithmic_error", "poisson",
]
