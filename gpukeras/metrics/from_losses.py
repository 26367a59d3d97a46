"""Means of the loss functions: errors, cross-entropies, hinges and divergences as metrics."""

from __future__ import annotations

from gpukeras import losses

from .mean import MeanMetricWrapper


class _MeanLoss(MeanMetricWrapper):
    """Base: the mean of a loss function without settings."""

    _direction = "down"

    def __init__(self, fn, name, dtype, **settings):
        super().__init__(fn, name, dtype, **settings)
        for argument, value in settings.items():
            setattr(self, argument, value)

    def get_config(self):
        return {**super().get_config(), **self._fn_kwargs}


class MeanSquaredError(_MeanLoss):
    """Mean of ``(y_true - y_pred)²``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.MeanSquaredError()([[0, 1], [0, 0]], [[1, 1], [0, 0]])), 4)
    0.25
    """

    def __init__(self, name="mean_squared_error", dtype=None):
        super().__init__(losses.mean_squared_error, name, dtype)


class MeanAbsoluteError(_MeanLoss):
    """Mean of ``|y_true - y_pred|``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.MeanAbsoluteError()([[0, 1], [0, 0]], [[1, 1], [0, 0]])), 4)
    0.25
    """

    def __init__(self, name="mean_absolute_error", dtype=None):
        super().__init__(losses.mean_absolute_error, name, dtype)


class MeanAbsolutePercentageError(_MeanLoss):
    """Mean of ``100 |y_true - y_pred| / |y_true|``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.MeanAbsolutePercentageError()([[1.0, 2.0]], [[1.0, 1.0]])), 4)
    25.0
    """

    def __init__(self, name="mean_absolute_percentage_error", dtype=None):
        super().__init__(losses.mean_absolute_percentage_error, name, dtype)


class MeanSquaredLogarithmicError(_MeanLoss):
    """Mean of ``(log(y_true + 1) - log(y_pred + 1))²``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.MeanSquaredLogarithmicError()([[0, 1]], [[0, 1]])), 4)
    0.0
    """

    def __init__(self, name="mean_squared_logarithmic_error", dtype=None):
        super().__init__(losses.mean_squared_logarithmic_error, name, dtype)


class LogCoshError(_MeanLoss):
    """Mean of ``log(cosh(y_pred - y_true))``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.LogCoshError()([[0, 1]], [[0, 1]])), 4)
    0.0
    """

    def __init__(self, name="logcosh", dtype=None):
        super().__init__(losses.log_cosh, name, dtype)


class Hinge(_MeanLoss):
    """Mean of ``max(0, 1 - y_true y_pred)``; labels of 0 count as -1.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.Hinge()([[1, -1]], [[0.5, -0.5]])), 4)
    0.5
    """

    def __init__(self, name="hinge", dtype=None):
        super().__init__(losses.hinge, name, dtype)


class SquaredHinge(_MeanLoss):
    """Mean of ``max(0, 1 - y_true y_pred)²``; labels of 0 count as -1.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.SquaredHinge()([[1, -1]], [[0.5, -0.5]])), 4)
    0.25
    """

    def __init__(self, name="squared_hinge", dtype=None):
        super().__init__(losses.squared_hinge, name, dtype)


class CategoricalHinge(_MeanLoss):
    """Mean of ``max(0, largest wrong score - right score + 1)``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.CategoricalHinge()([[0, 1]], [[0.5, 0.5]])), 4)
    1.0
    """

    def __init__(self, name="categorical_hinge", dtype=None):
        super().__init__(losses.categorical_hinge, name, dtype)


class KLDivergence(_MeanLoss):
    """Mean of ``sum(y_true log(y_true / y_pred))``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.KLDivergence()([[0.5, 0.5]], [[0.5, 0.5]])), 4)
    0.0
    """

    def __init__(self, name="kl_divergence", dtype=None):
        super().__init__(losses.kl_divergence, name, dtype)


class Poisson(_MeanLoss):
    """Mean of ``y_pred - y_true log(y_pred)``.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.Poisson()([[0.0, 0.0]], [[1.0, 3.0]])), 4)
    2.0
    """

    def __init__(self, name="poisson", dtype=None):
        super().__init__(losses.poisson, name, dtype)


class BinaryCrossentropy(_MeanLoss):
    """Mean of ``-y log(p) - (1 - y) log(1 - p)``.

    Parameters
    ----------
    name : str
    dtype : str, optional
    from_logits : bool
        Predictions come before the sigmoid.
    label_smoothing : float
        In [0, 1]: moves labels that far towards 1/2.

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.BinaryCrossentropy()([[0, 1], [0, 0]], [[0.6, 0.4], [0.4, 0.6]])), 4)
    0.8149
    """

    def __init__(self, name="binary_crossentropy", dtype=None, from_logits=False, label_smoothing=0):
        super().__init__(
            losses.binary_crossentropy, name, dtype, from_logits=from_logits, label_smoothing=label_smoothing
        )


class CategoricalCrossentropy(_MeanLoss):
    """Mean of ``-sum(y_true log(y_pred))`` for one-hot labels.

    Parameters
    ----------
    name : str
    dtype : str, optional
    from_logits : bool
        Predictions come before the softmax.
    label_smoothing : float
    axis : int
        Axis of the classes.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.CategoricalCrossentropy()
    >>> round(float(metric([[0, 1, 0], [0, 0, 1]], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])), 4)
    1.1769
    """

    def __init__(
        self, name="categorical_crossentropy", dtype=None, from_logits=False, label_smoothing=0, axis=-1,
    ):
        super().__init__(
            losses.categorical_crossentropy, name, dtype, from_logits=from_logits,
            label_smoothing=label_smoothing, axis=axis,
        )


class SparseCategoricalCrossentropy(_MeanLoss):
    """Mean of ``-log(y_pred[label])`` for class numbers as labels.

    Parameters
    ----------
    name : str
    dtype : str, optional
    from_logits : bool
        Predictions come before the softmax.
    ignore_class : int, optional
        Label that does not count.
    axis : int
        Axis of the classes.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.SparseCategoricalCrossentropy()
    >>> round(float(metric([1, 2], [[0.05, 0.95, 0], [0.1, 0.8, 0.1]])), 4)
    1.1769
    """

    def __init__(
        self, name="sparse_categorical_crossentropy", dtype=None, from_logits=False, ignore_class=None,
        axis=-1,
    ):
        super().__init__(
            losses.sparse_categorical_crossentropy, name, dtype, from_logits=from_logits,
            ignore_class=ignore_class, axis=axis,
        )
