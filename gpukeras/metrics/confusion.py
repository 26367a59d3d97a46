"""True and false positives and negatives at thresholds, and what is made of them: precision, recall."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes
from gpukeras.tensor import Tensor, Variable, to_array

from .arrays import NEGATIVE_INFINITY, align, pair, ratio, unequal
from .metric import Metric, add, scalar_tensor

COUNTS = ("true_positives", "false_positives", "true_negatives", "false_negatives")


class Thresholds:
    """Thresholds of a metric, on the host, and on the device after their first use there.

    Parameters
    ----------
    values : sequence of float
        In increasing order where they are many.
    even : bool, optional
        Whether they divide [0, 1] evenly: then scores are sorted into buckets instead of compared with each.
    """

    def __init__(self, values, even: bool | None = None):
        self.values = np.asarray(values, "float64")
        self.even = _evenly_spaced(self.values) if even is None else even
        self._placed: dict = {}

    def __len__(self):
        return len(self.values)

    def on(self, backend, dtype):
        """Return them as an array of the device."""
        key = backend, dtype
        if key not in self._placed:
            self._placed[key] = backend.asarray(self.values, dtype)
        return self._placed[key]


def _evenly_spaced(values) -> bool:
    count = len(values)
    return count >= 3 and bool(np.allclose(values, np.arange(count) / (count - 1), atol=1e-7))


def parse_thresholds(name: str, thresholds, default: float) -> list:
    """Return thresholds as a list; a number, a list or ``None`` is accepted."""
    if thresholds is None:
        return [default]
    found = list(thresholds) if isinstance(thresholds, (list, tuple, np.ndarray)) else [thresholds]
    wrong = [t for t in found if t is None or t < 0 or t > 1]
    if wrong:
        raise ValueError(f"{name}: thresholds must be in [0, 1], came {wrong}")
    return found


def count(
    name, y_true, y_pred, thresholds: Thresholds, dtype, *, top_k=None, class_id=None, sample_weight=None,
    multi_label=False, label_weights=None,
) -> dict:
    """Count what predictions above each threshold meet.

    Returns
    -------
    dict from name (``COUNTS``) to array of shape (thresholds,), or (thresholds, labels) with ``multi_label``
    """
    backend, y_true, y_pred = pair(y_true, y_pred, dtype)
    xp = backend.xp
    y_pred, y_true = align(y_pred, y_true)
    if y_pred.shape != y_true.shape:
        raise unequal(name, y_true, y_pred)
    weights = None
    if sample_weight is not None:
        weights = to_array(sample_weight, dtype, backend)[..., None]
        _, weights = align(y_true, weights, expand_rank_1=False)
    if top_k is not None:
        y_pred = _keep_top_k(xp, y_pred, top_k)
    if class_id is not None:
        if y_pred.ndim == 1:
            raise ValueError(f"{name}: class_id needs scores of shape (N, classes), came {y_pred.shape}")
        y_true, y_pred = y_true[..., class_id, None], y_pred[..., class_id, None]
    if weights is not None:
        weights = xp.broadcast_to(weights, y_pred.shape)
    if label_weights is not None:
        label_weights = xp.broadcast_to(to_array(label_weights, dtype, backend)[None], y_pred.shape)
        weights = label_weights if weights is None else weights * label_weights
    if not multi_label:
        y_true, y_pred = y_true.reshape(-1), y_pred.reshape(-1)
        weights = None if weights is None else weights.reshape(-1)
    positive = y_true != 0
    true = positive.astype(y_pred.dtype)
    false = 1 - true
    if weights is not None:
        true, false = true * weights, false * weights
    counter = _count_in_buckets if thresholds.even else _count_by_comparing
    tp, fp = counter(backend, y_pred, true, false, thresholds)
    return {
        "true_positives": tp, "false_positives": fp, "true_negatives": false.sum(axis=0) - fp,
        "false_negatives": true.sum(axis=0) - tp,
    }


def _count_by_comparing(backend, y_pred, true, false, thresholds):
    """Compare every score with every threshold."""
    limits = thresholds.on(backend, y_pred.dtype)
    if y_pred.ndim == 1:
        above = (y_pred > limits[:, None]).astype(y_pred.dtype)
        found = backend.matmul(above, backend.xp.stack([true, false], axis=1))
        return found[:, 0], found[:, 1]
    above = y_pred > limits[:, None, None]
    return (above * true).sum(axis=1), (above * false).sum(axis=1)


def _count_in_buckets(backend, y_pred, true, false, thresholds):
    """Sort the scores into the intervals between evenly spaced thresholds, then sum from above."""
    xp, size = backend.xp, len(thresholds)
    # A score must be larger than its threshold: interval i is (t_i, t_(i+1)], and -1 lies below all.
    bucket = xp.ceil(xp.clip(y_pred, 0, 1) * y_pred.dtype.type(size - 1)) - 1
    if thresholds.values[0] < 0 or thresholds.values[-1] > 1:  # the ends were moved out: 0 is above the first
        bucket = xp.maximum(bucket, 0)
    rows = bucket.astype("int32") + 1
    labels = 1 if y_pred.ndim == 1 else y_pred.shape[1]
    if labels > 1 or y_pred.ndim > 1:
        rows = (rows + xp.arange(labels, dtype="int32") * (size + 1)).reshape(-1)
    sums = xp.zeros((2, labels * (size + 1)), y_pred.dtype)
    backend.scatter_add(sums[0], rows, true.reshape(-1))
    backend.scatter_add(sums[1], rows, false.reshape(-1))
    sums = sums.reshape(2, labels, size + 1)[:, :, :0:-1]  # from the highest down, without the lowest
    sums = xp.cumsum(sums, axis=2)[:, :, ::-1]
    if y_pred.ndim == 1:
        return sums[0, 0], sums[1, 0]
    return sums[0].T, sums[1].T


def _keep_top_k(xp, scores, k: int):
    """Replace all but the ``k`` largest scores of each row; of equal ones the first count."""
    order = xp.argsort(-scores, axis=-1, kind="stable")
    kept = xp.argsort(order, axis=-1) < k
    return xp.where(kept, scores, scores.dtype.type(NEGATIVE_INFINITY))


class CountingMetric(Metric):
    """Base of metrics on confusion counts: makes their variables, and adds to them."""

    _kept: tuple[str, ...] = COUNTS
    true_positives: Variable
    false_positives: Variable
    true_negatives: Variable
    false_negatives: Variable

    def _make(self, thresholds: Thresholds, shape=()) -> None:
        self._limits = thresholds
        for name in self._kept:
            setattr(self, name, self.add_variable((len(thresholds), *shape), name=name))

    def _add_counts(self, y_true, y_pred, **settings) -> None:
        kind = dtypes.floatx()
        counts = count(type(self).__name__, y_true, y_pred, self._limits, kind, **settings)
        for name in self._kept:
            add(getattr(self, name), counts[name])

    def _result(self, values):
        return scalar_tensor(values[0] if len(self._limits) == 1 else values)


class _OneCount(CountingMetric):
    """Base of the four plain counts."""

    def __init__(self, thresholds=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.thresholds = parse_thresholds(type(self).__name__, thresholds, 0.5)
        self._limits = Thresholds(self.thresholds)
        self.accumulator = self.add_variable((len(self.thresholds),), name="accumulator")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        name, kind = type(self).__name__, dtypes.floatx()
        counts = count(name, y_true, y_pred, self._limits, kind, sample_weight=sample_weight)
        add(self.accumulator, counts[self._kept[0]])

    def result(self):
        return self._result(self.accumulator.array.copy())

    def get_config(self):
        return {**super().get_config(), "thresholds": self.init_thresholds}


class TruePositives(_OneCount):
    """Number (or weight) of labels of 1 with a prediction above the threshold.

    Parameters
    ----------
    thresholds : float or list of float, optional
        0.5 by default; with a list the result has one value for each.
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.TruePositives()([0, 1, 1, 1], [1, 0, 1, 1]))
    2.0
    """

    _kept = ("true_positives",)


class FalsePositives(_OneCount):
    """Number (or weight) of labels of 0 with a prediction above the threshold.

    Parameters
    ----------
    thresholds : float or list of float, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.FalsePositives()([0, 1, 0, 0], [0, 0, 1, 1]))
    2.0
    """

    _kept = ("false_positives",)


class TrueNegatives(_OneCount):
    """Number (or weight) of labels of 0 with a prediction up to the threshold.

    Parameters
    ----------
    thresholds : float or list of float, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.TrueNegatives()([0, 1, 0, 0], [1, 1, 0, 0]))
    2.0
    """

    _kept = ("true_negatives",)


class FalseNegatives(_OneCount):
    """Number (or weight) of labels of 1 with a prediction up to the threshold.

    Parameters
    ----------
    thresholds : float or list of float, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.FalseNegatives()([0, 1, 1, 1], [0, 1, 0, 0]))
    2.0
    """

    _kept = ("false_negatives",)


class _Share(CountingMetric):
    """Base of precision and recall: a share of true positives."""

    _direction = "up"

    def __init__(self, thresholds=None, top_k=None, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.init_thresholds = thresholds
        self.top_k = top_k
        self.class_id = class_id
        default = 0.5 if top_k is None else NEGATIVE_INFINITY
        self.thresholds = parse_thresholds(type(self).__name__, thresholds, default)
        self._make(Thresholds(self.thresholds))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        self._add_counts(
            y_true, y_pred, top_k=self.top_k, class_id=self.class_id, sample_weight=sample_weight
        )

    def result(self):
        hits, others = (getattr(self, name).array for name in self._kept)
        return self._result(ratio(hits, hits + others))

    def get_config(self):
        return {
            **super().get_config(), "thresholds": self.init_thresholds, "top_k": self.top_k,
            "class_id": self.class_id,
        }


class Precision(_Share):
    """Share of true positives among all positive predictions.

    Parameters
    ----------
    thresholds : float or list of float, optional
        0.5 by default; with ``top_k`` no threshold.
    top_k : int, optional
        Only the largest scores of a sample count as positive predictions.
    class_id : int, optional
        Look at this class alone.
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.Precision()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    """

    _kept = ("true_positives", "false_positives")


class Recall(_Share):
    """Share of true positives among all labels of 1.

    Parameters
    ----------
    thresholds : float or list of float, optional
        0.5 by default; with ``top_k`` no threshold.
    top_k : int, optional
        Only the largest scores of a sample count as positive predictions.
    class_id : int, optional
        Look at this class alone.
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.Recall()([0, 1, 1, 1], [1, 0, 1, 1])), 4)
    0.6667
    """

    _kept = ("true_positives", "false_negatives")


def confusion_matrix(labels, predictions, num_classes, weights=None, dtype="int32"):
    """Count how often class i (row) was predicted as class j (column).

    Parameters
    ----------
    labels, predictions : tensor or array_like of int
    num_classes : int
    weights : tensor or array_like, optional
    dtype : str

    Returns
    -------
    tensor, shape (num_classes, num_classes)

    Examples
    --------
    >>> confusion_matrix([0, 1, 1], [0, 0, 1], 2).numpy()
    array([[1, 0],
           [1, 1]], dtype=int32)
    """
    backend, labels, predictions = pair(labels, predictions)
    return Tensor(class_counts(backend, labels, predictions, num_classes, weights, dtype))


def class_counts(backend, labels, predictions, num_classes, weights, dtype):
    """Return the confusion matrix of two integer arrays."""
    xp = backend.xp
    rows = (labels.astype("int32") * num_classes + predictions.astype("int32")).reshape(-1)
    if weights is None:
        weights = xp.ones(rows.shape, dtype)
    else:
        weights = xp.broadcast_to(to_array(weights, dtype, backend).reshape(-1), rows.shape)
    table = xp.zeros(num_classes * num_classes, dtype)
    backend.scatter_add(table, rows, weights)
    return table.reshape(num_classes, num_classes)
