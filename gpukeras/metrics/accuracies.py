"""Accuracies: how often the prediction is the label."""

from __future__ import annotations

from gpukeras.tensor import to_array

from .arrays import align, float_matches, masked_weights, pair, unequal
from .mean import MeanMetricWrapper


def accuracy(y_true, y_pred):
    """Return 1.0 where labels and predictions are equal, else 0.0."""
    _, y_true, y_pred = pair(y_true, y_pred)
    y_true, y_pred = align(y_true.astype(y_pred.dtype, copy=False), y_pred)
    return float_matches(y_true == y_pred)


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """Return 1.0 where predictions above the threshold meet labels of 1, or others labels of 0.

    Examples
    --------
    >>> binary_accuracy([[1], [1], [0]], [[0.9], [0.2], [0.3]]).numpy().ravel()
    array([1., 0., 1.], dtype=float32)
    """
    _, y_true, y_pred = pair(y_true, y_pred)
    y_true, y_pred = align(y_true, y_pred)
    if y_true.ndim != y_pred.ndim:
        raise unequal("binary_accuracy", y_true, y_pred)
    threshold = to_array(threshold, y_pred.dtype) if hasattr(threshold, "shape") else threshold
    return float_matches(y_true == (y_pred > threshold))


def categorical_accuracy(y_true, y_pred):
    """Return 1.0 where the largest score is at the class of a one-hot label.

    Examples
    --------
    >>> categorical_accuracy([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]).numpy()
    array([0., 1.], dtype=float32)
    """
    _, y_true, y_pred = pair(y_true, y_pred)
    if y_true.shape != y_pred.shape:
        raise ValueError(
            f"categorical_accuracy: y_true has shape {y_true.shape}, y_pred {y_pred.shape}; one-hot labels "
            "have the shape of the scores (sparse_categorical_accuracy takes class numbers)"
        )
    return float_matches(y_true.argmax(axis=-1) == y_pred.argmax(axis=-1))


def sparse_categorical_accuracy(y_true, y_pred):
    """Return 1.0 where the largest score is at the class number in ``y_true``.

    Examples
    --------
    >>> sparse_categorical_accuracy([2, 1], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]]).numpy()
    array([0., 1.], dtype=float32)
    """
    _, y_true, y_pred = pair(y_true, y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        y_true = y_true[..., 0]
    if y_true.shape != y_pred.shape[:-1]:
        raise ValueError(
            f"sparse_categorical_accuracy: y_true has shape {y_true.shape}, y_pred {y_pred.shape}; expected "
            f"one class number per row of scores, {y_pred.shape[:-1]} (categorical_accuracy takes one-hot)"
        )
    matches = y_pred.argmax(axis=-1) == y_true
    return float_matches(matches[..., 0] if matches.ndim > 1 and matches.shape[-1] == 1 else matches)


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """Return 1.0 where the class of a one-hot label is among the ``k`` largest scores.

    Examples
    --------
    >>> top_k_categorical_accuracy([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.1, 0.2, 0.9]], k=2).numpy()
    array([1., 1.], dtype=float32)
    """
    backend, y_true, y_pred = pair(y_true, y_pred)
    return float_matches(_in_top_k(backend, y_true.argmax(axis=-1), y_pred, k))


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5, from_sorted_ids=False):
    """Return 1.0 where the class number in ``y_true`` is among the ``k`` largest scores.

    With ``from_sorted_ids``, ``y_pred`` holds class numbers, best first, instead of scores.

    Examples
    --------
    >>> sparse_top_k_categorical_accuracy([2, 0], [[0.1, 0.9, 0.8], [0.1, 0.2, 0.9]], k=2).numpy()
    array([1., 0.], dtype=float32)
    """
    backend, y_true, y_pred = pair(y_true, y_pred)
    if y_true.ndim == y_pred.ndim and y_true.shape[-1] == 1:
        matches = _sparse_top_k(backend, y_true[..., 0], y_pred, k, from_sorted_ids)
        return float_matches(matches[..., None])
    return float_matches(_sparse_top_k(backend, y_true, y_pred, k, from_sorted_ids))


def _sparse_top_k(backend, y_true, y_pred, k, from_sorted_ids):
    if from_sorted_ids:
        return (y_pred[..., :k] == y_true[..., None]).any(axis=-1)
    return _in_top_k(backend, y_true.astype("int32", copy=False), y_pred, k)


def _in_top_k(backend, classes, scores, k):
    """Tell where fewer than ``k`` scores are larger than the one of the class; ties count as inside."""
    if classes.shape != scores.shape[:-1]:
        raise unequal("top-k accuracy", classes, scores)
    score = backend.xp.take_along_axis(scores, classes[..., None], axis=-1)
    return (scores > score).sum(axis=-1) < k


class Accuracy(MeanMetricWrapper):
    """How often predictions equal labels.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.Accuracy()([[1], [2], [3], [4]], [[0], [2], [3], [4]]))
    0.75
    """

    _direction = "up"

    def __init__(self, name="accuracy", dtype=None):
        super().__init__(accuracy, name, dtype)


class _CountedAccuracy(MeanMetricWrapper):
    """An accuracy that a GPU counts by kernels: of matrices or less, with at most one weight per sample."""

    _counts = True

    def _counted(self, y_true, y_pred, sample_weight):
        backend, labels, scores = pair(y_true, y_pred)
        if not scores.ndim or not scores.size or self.total.backend is not backend:
            return False
        weights = masked_weights(sample_weight, getattr(y_pred, "_keras_mask", None), self.dtype, backend)
        if weights is not None:
            if weights.shape not in ((len(scores),), (len(scores), 1)):
                return False
            weights = weights.reshape(-1)
        if not self._count(backend, labels, scores, self.total.array, self.count.array, weights):
            return False
        self.total.version += 1
        self.count.version += 1
        return True

    def _count(self, backend, labels, scores, total, count, weights) -> bool:
        """Let the backend count, unless the shapes are others than it takes."""
        raise NotImplementedError


class BinaryAccuracy(_CountedAccuracy):
    """How often predictions on the right side of a threshold meet labels of 0 and 1.

    Parameters
    ----------
    name : str
    dtype : str, optional
    threshold : float

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.BinaryAccuracy()([[1], [1], [0], [0]], [[0.98], [1], [0], [0.6]]))
    0.75
    """

    _direction = "up"

    def __init__(self, name="binary_accuracy", dtype=None, threshold=0.5):
        super().__init__(binary_accuracy, name, dtype, threshold=threshold)
        self.threshold = threshold

    def _count(self, backend, labels, scores, total, count, weights):
        labels, scores = align(labels, scores)
        if labels.shape != scores.shape or not isinstance(self.threshold, (int, float)):
            return False
        backend.count_binary(scores, labels, total, count, self.threshold, weights)
        return True

    def get_config(self):
        return {**super().get_config(), "threshold": self.threshold}


class CategoricalAccuracy(_CountedAccuracy):
    """How often the largest score is at the class of a one-hot label.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.CategoricalAccuracy()
    >>> float(metric([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    _direction = "up"

    def __init__(self, name="categorical_accuracy", dtype=None):
        super().__init__(categorical_accuracy, name, dtype)

    def _count(self, backend, labels, scores, total, count, weights):
        if scores.ndim != 2 or labels.shape != scores.shape:
            return False
        backend.count_classes(scores, labels, total, count, weights)
        return True


class SparseCategoricalAccuracy(_CountedAccuracy):
    """How often the largest score is at the class number given as label.

    Parameters
    ----------
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.SparseCategoricalAccuracy()
    >>> float(metric([[2], [1]], [[0.1, 0.6, 0.3], [0.05, 0.95, 0]]))
    0.5
    """

    _direction = "up"

    def __init__(self, name="sparse_categorical_accuracy", dtype=None):
        super().__init__(sparse_categorical_accuracy, name, dtype)

    def _count(self, backend, labels, scores, total, count, weights):
        if scores.ndim != 2 or labels.shape not in ((len(scores),), (len(scores), 1)):
            return False
        backend.count_classes(scores, labels.reshape(-1), total, count, weights)
        return True


class TopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class of a one-hot label is among the ``k`` largest scores.

    Parameters
    ----------
    k : int
    name : str
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.TopKCategoricalAccuracy(k=1)
    >>> float(metric([[0, 0, 1], [0, 1, 0]], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    _direction = "up"

    def __init__(self, k=5, name="top_k_categorical_accuracy", dtype=None):
        super().__init__(top_k_categorical_accuracy, name, dtype, k=k)
        self.k = k

    def get_config(self):
        return {**super().get_config(), "k": self.k}


class SparseTopKCategoricalAccuracy(MeanMetricWrapper):
    """How often the class number given as label is among the ``k`` largest scores.

    Parameters
    ----------
    k : int
    name : str
    dtype : str, optional
    from_sorted_ids : bool
        Predictions are class numbers, best first, instead of scores.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.SparseTopKCategoricalAccuracy(k=1)
    >>> float(metric([2, 1], [[0.1, 0.9, 0.8], [0.05, 0.95, 0]]))
    0.5
    """

    _direction = "up"

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy", dtype=None, from_sorted_ids=False):
        super().__init__(
            sparse_top_k_categorical_accuracy, name, dtype, k=k, from_sorted_ids=from_sorted_ids
        )
        self.k = k
        self.from_sorted_ids = from_sorted_ids

    def get_config(self):
        config = {**super().get_config(), "k": self.k}
        if self.from_sorted_ids:
            config["from_sorted_ids"] = True
        return config
