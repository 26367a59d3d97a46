"""Sum and mean over batches, and the mean of a per-sample function of labels and predictions."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np

from gpukeras import dtypes
from gpukeras.losses.loss import to_tensor
from gpukeras.tensor import Tensor, to_array

from .arrays import align, masked_weights, ratio
from .metric import Metric, add, scalar_tensor


class Sum(Metric):
    """Sum of all values.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.Sum()
    >>> metric.update_state([1, 3, 5, 7], sample_weight=[1, 1, 0, 0])
    >>> float(metric.result())
    4.0
    """

    def __init__(self, name="sum", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self.dtype, name="total")

    def update_state(self, values, sample_weight=None):
        """Add values, each times its weight."""
        total, _, _ = _totals(self, values, sample_weight)
        add(self.total, total)

    def result(self):
        return Tensor(self.total.array.copy())


class Mean(Metric):
    """Weighted mean of all values.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Notes
    -----
    Values of rank two and more are averaged over all axes but the first, so every sample counts the same.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.Mean()
    >>> metric.update_state([1, 3, 5, 7])
    >>> float(metric.result())
    4.0
    """

    def __init__(self, name="mean", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), dtype=self.dtype, name="total")
        self.count = self.add_variable((), dtype=self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        """Take values into the mean.

        Parameters
        ----------
        values : tensor or array_like
        sample_weight : tensor or array_like, optional
            Of lower or equal rank; broadcast to the values.
        """
        self._take(values, sample_weight)

    def _take(self, values, sample_weight) -> None:
        """Do what ``update_state`` does, where nothing is recorded."""
        total, count, inner = _totals(self, values, sample_weight)
        if inner != 1:
            total = total / inner
            count = count / inner if sample_weight is not None else count
        add(self.total, total)
        add(self.count, count)

    def result(self):
        return Tensor(ratio(self.total.array, self.count.array))


def _totals(metric, values, sample_weight):
    """Return the weighted sum, the sum of weights (or number of samples), and the values per sample."""
    array = to_array(values, metric.dtype)
    if sample_weight is None:
        if array.ndim == 0:
            return array, 1, 1
        if array.size == 1:
            total = array.reshape(())
        else:  # the method goes through Python
            total = np.add.reduce(array, axis=None) if type(array) is np.ndarray else array.sum()
        return total, array.shape[0], max(1, math.prod(array.shape[1:]))
    if array.ndim == 0 and (
        type(sample_weight) is int or isinstance(sample_weight, numbers.Real)
    ):  # the loss of a batch
        weight = float(sample_weight)
        if type(array) is np.ndarray:
            return array.item() * weight, weight, 1
        return array * array.dtype.type(weight), weight, 1
    backend = Tensor(array).backend
    weights = masked_weights(sample_weight, getattr(values, "_keras_mask", None), metric.dtype, backend)
    array, weights = align(array, weights)
    if array.ndim > weights.ndim:
        axes = tuple(range(weights.ndim, array.ndim))
        array = array.sum(axis=axes) if isinstance(metric, Sum) else array.mean(axis=axes)
    weights = backend.xp.broadcast_to(weights, array.shape)
    return (array * weights).sum(), weights.sum(), max(1, math.prod(array.shape[1:]))


class MeanMetricWrapper(Mean):
    """Mean of a function of labels and predictions.

    Parameters
    ----------
    fn : callable
        ``fn(y_true, y_pred, **kwargs)`` returns one value per sample.
    name : str, optional
    dtype : str, optional
    **kwargs
        Passed on to ``fn``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> def gap(y_true, y_pred):
    ...     return keras.ops.abs(y_true - y_pred)
    >>> metric = keras.metrics.MeanMetricWrapper(gap)
    >>> float(metric(keras.ops.ones(4), keras.ops.zeros(4)))
    1.0
    """

    _counts = False  # whether a GPU updates the state in fewer launches, where the arguments allow it

    def __init__(self, fn, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype)
        self._fn = fn
        self._fn_kwargs = kwargs

    def update_state(self, y_true, y_pred, sample_weight=None):  # type: ignore[override]  # as Keras has it
        """Take a batch; a mask on ``y_pred`` counts as weights of zero and one."""
        if self._counts and not isinstance(self.total.array, np.ndarray):
            if self._counted(y_true, y_pred, sample_weight):
                return
        mask = getattr(y_pred, "_keras_mask", None)
        if isinstance(y_pred, Tensor) and (wide := dtypes.wide(y_pred.dtype)) != y_pred.dtype:
            y_pred = to_tensor(y_pred, wide.name)  # halves would round what is averaged
        values = self._fn(y_true, y_pred, **self._fn_kwargs)
        if mask is not None:
            sample_weight = Tensor(masked_weights(sample_weight, mask, self.dtype, y_pred.backend))
        self._take(values, sample_weight)

    def _counted(self, y_true, y_pred, sample_weight) -> bool:
        """Update the state without the values of single samples; tell whether that was possible."""
        return False

    def get_config(self):
        config = super().get_config()
        if type(self) is MeanMetricWrapper:
            from gpukeras.saving import serialize_keras_object

            config["fn"] = serialize_keras_object(self._fn)
            config.update(serialize_keras_object(self._fn_kwargs))
        return config

    @classmethod
    def from_config(cls, config):
        if "fn" in config:
            from gpukeras.saving import deserialize_keras_object

            config = {k: deserialize_keras_object(v) for k, v in config.items()}
        return cls(**config)


class MeanTensor(Metric):
    """Elementwise weighted mean of arrays of one shape (``tf.keras`` 2).

    Parameters
    ----------
    name : str
    dtype : str, optional
    shape : tuple of int, optional
        Taken from the first values unless given.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.MeanTensor()
    >>> metric.update_state([0.0, 2.0])
    >>> metric.update_state([2.0, 4.0])
    >>> metric.result().numpy()
    array([1., 3.], dtype=float32)
    """

    def __init__(self, name="mean_tensor", dtype=None, shape=None):
        super().__init__(name=name, dtype=dtype)
        self.shape = None
        self.total: Any = None
        self.count: Any = None
        if shape is not None:
            self._build(tuple(shape))

    def _build(self, shape):
        self.shape = shape
        self.total = self.add_variable(shape, dtype=self.dtype, name="total")
        self.count = self.add_variable(shape, dtype=self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        array = to_array(values, self.dtype)
        if self.shape is None:
            self._build(array.shape)
        if array.shape != self.shape:
            raise ValueError(f"metric {self.name!r} takes values of shape {self.shape}, came {array.shape}")
        if sample_weight is None:
            add(self.total, array)
            add(self.count, 1)
            return
        backend = Tensor(array).backend
        array, weights = align(array, to_array(sample_weight, self.dtype, backend))
        weights = weights.reshape(weights.shape + (1,) * (array.ndim - weights.ndim))
        weights = backend.xp.broadcast_to(weights, array.shape)
        add(self.total, array * weights)
        add(self.count, weights)

    def result(self):
        if self.shape is None:
            raise ValueError(f"metric {self.name!r} has no values yet")
        return Tensor(ratio(self.total.array, self.count.array))

    def get_config(self):
        return {**super().get_config(), "shape": self.shape}


class MeanRelativeError(Mean):
    """Mean of ``|y_true - y_pred| / normalizer``, 0 where the normalizer is 0 (``tf.keras`` 2).

    Parameters
    ----------
    normalizer : array_like
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.MeanRelativeError(normalizer=[1, 3, 2, 3])
    >>> float(metric([1, 3, 2, 3], [2, 4, 6, 8])) == 5 / 4
    True
    """

    def __init__(self, normalizer, name=None, dtype=None):
        super().__init__(name=name or "mean_relative_error", dtype=dtype)
        self.normalizer = normalizer

    def update_state(self, y_true, y_pred, sample_weight=None):  # type: ignore[override]  # as Keras has it
        y_pred = to_array(y_pred, self.dtype)
        backend = Tensor(y_pred).backend
        y_pred, y_true = align(y_pred, to_array(y_true, self.dtype, backend))
        error = ratio(abs(y_true - y_pred), to_array(self.normalizer, self.dtype, backend))
        super().update_state(scalar_tensor(error), sample_weight)

    def get_config(self):
        normalizer = self.normalizer
        if hasattr(normalizer, "tolist"):
            normalizer = normalizer.tolist()
        return {**super().get_config(), "normalizer": normalizer}
