"""Metrics and helpers that only Keras 2 has."""

from __future__ import annotations

import functools

import numpy as np

from gpukeras import tree
from gpukeras.tensor import Tensor, to_array

from .arrays import align, ratio
from .metric import Metric, add

_REDUCTIONS = ("sum", "sum_over_batch_size", "weighted_mean")


class Reduce(Metric):
    """A sum or mean of all values (Keras 2.3): base of ``Sum`` and ``Mean`` there.

    Parameters
    ----------
    reduction : {"sum", "sum_over_batch_size", "weighted_mean"}
        The second divides by the number of values, the third by the sum of their weights.
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.Reduce("weighted_mean", name="average")
    >>> metric.update_state([1.0, 3.0, 5.0], sample_weight=[1.0, 1.0, 0.0])
    >>> float(metric.result())
    2.0
    """

    def __init__(self, reduction, name, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if reduction not in _REDUCTIONS:
            raise ValueError(f"Reduce: reduction must be one of {_REDUCTIONS}, came {reduction!r}")
        self.reduction = reduction
        self.total = self.add_variable((), dtype=self.dtype, name="total")
        if reduction != "sum":
            self.count = self.add_variable((), dtype=self.dtype, name="count")

    def update_state(self, values, sample_weight=None):
        """Take values, each times its weight."""
        array = to_array(values, self.dtype)
        weights = None
        if sample_weight is not None:
            backend = Tensor(array).backend
            array, weights = align(array, to_array(sample_weight, self.dtype, backend))
            if array.ndim > weights.ndim:  # one weight for several values
                axes = tuple(range(weights.ndim, array.ndim))
                array = array.sum(axis=axes) if self.reduction == "sum" else array.mean(axis=axes)
            weights = backend.xp.broadcast_to(weights, array.shape)
            array = array * weights
        add(self.total, array.sum())
        if self.reduction == "sum_over_batch_size" or (self.reduction == "weighted_mean" and weights is None):
            add(self.count, array.size)
        elif weights is not None and self.reduction == "weighted_mean":
            add(self.count, weights.sum())

    def result(self):
        if self.reduction == "sum":
            return Tensor(self.total.array.copy())
        return Tensor(ratio(self.total.array, self.count.array))

    def get_config(self):
        return {**super().get_config(), "reduction": self.reduction}


class PyMetric(Metric):
    """A metric that computes on the host: its methods get NumPy arrays and may keep anything in attributes.

    A subclass writes ``update_state(self, y_true, y_pred, sample_weight=None)``, ``result(self)``, which
    returns a number or an array, and ``reset_state(self)``. On a GPU every batch waits for its values.

    Parameters
    ----------
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Seen(keras.metrics.experimental.PyMetric):
    ...     def reset_state(self):
    ...         self.labels = set()
    ...     def update_state(self, y_true, y_pred, sample_weight=None):
    ...         self.labels |= set(y_true.tolist())
    ...     def result(self):
    ...         return len(self.labels)
    >>> float(Seen()([1, 2, 2], [0, 0, 0]))
    2.0
    """

    def __init__(self, name=None, dtype=None, **kwargs):
        super().__init__(name=name, dtype=dtype, **kwargs)
        self.reset_state()

    def __init_subclass__(cls, **kwargs):
        for name, wrap in (("update_state", _on_host), ("result", _as_tensor)):
            if name in cls.__dict__:
                setattr(cls, name, wrap(cls.__dict__[name]))
        super().__init_subclass__(**kwargs)


def _on_host(update):
    @functools.wraps(update)
    def update_state(self, y_true, y_pred, sample_weight=None):
        update(self, _to_host(y_true), _to_host(y_pred), sample_weight=_to_host(sample_weight))

    return update_state


def _to_host(value):
    """Return arrays of the host; nested lists of numbers are one array."""
    if value is None:
        return None
    if tree.is_nested(value) and any(hasattr(leaf, "shape") for leaf in tree.flatten(value)):
        return tree.map_structure(_to_host, value)
    return value.numpy() if isinstance(value, Tensor) else np.asarray(value)


def _as_tensor(result):
    @functools.wraps(result)
    def converted(self):
        found = result(self)
        return found if isinstance(found, Tensor) else Tensor(to_array(np.asarray(found), self.dtype))

    return converted


def clone_metric(metric):
    """Return a metric of the same class and settings with a state of its own; functions stay as they are."""
    return type(metric).from_config(metric.get_config()) if isinstance(metric, Metric) else metric


def clone_metrics(metrics):
    """Return copies of a list, or a dictionary, of metrics: see ``clone_metric``."""
    return tree.map_structure(clone_metric, metrics)
