"""Intersection over union of predicted and true regions, from a confusion matrix."""

from __future__ import annotations

import warnings

import numpy as np

from gpukeras import dtypes
from gpukeras.tensor import Tensor, to_array

from .arrays import pair
from .confusion import class_counts
from .metric import Metric, add, scalar_tensor

EPSILON = 1e-7


class IoU(Metric):
    """Mean over chosen classes of ``TP / (TP + FP + FN)``.

    Parameters
    ----------
    num_classes : int
    target_class_ids : list of int
        Classes to average; those that never occur are left out.
    name : str, optional
    dtype : str, optional
        Of the counts; int32 by default.
    ignore_class : int, optional
        Label that does not count, for example 255 for a border.
    sparse_y_true, sparse_y_pred : bool
        Class numbers; otherwise scores or one-hot labels along ``axis``.
    axis : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.IoU(num_classes=2, target_class_ids=[0])
    >>> round(float(metric([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    _direction = "up"

    def __init__(
        self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_true=True,
        sparse_y_pred=True, axis=-1,
    ):
        super().__init__(name=name, dtype=dtype or "int32")
        if max(target_class_ids) >= num_classes or min(target_class_ids) < 0:
            raise ValueError(
                f"{type(self).__name__}: target_class_ids must be in [0, {num_classes}), came "
                f"{list(target_class_ids)}"
            )
        self.num_classes = num_classes
        self.target_class_ids = list(target_class_ids)
        self.ignore_class = ignore_class
        self.sparse_y_true = sparse_y_true
        self.sparse_y_pred = sparse_y_pred
        self.axis = axis
        self.total_cm = self.add_variable(
            (num_classes, num_classes), dtype=self.dtype, name="total_confusion_matrix"
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch; labels and predictions outside the classes are left out."""
        backend, y_true, y_pred = pair(y_true, y_pred)
        xp = backend.xp
        y_true = (y_true if self.sparse_y_true else y_true.argmax(axis=self.axis)).reshape(-1)
        y_pred = (y_pred if self.sparse_y_pred else y_pred.argmax(axis=self.axis)).reshape(-1)
        y_true, y_pred = y_true.astype(self.dtype), y_pred.astype(self.dtype)
        if y_true.shape != y_pred.shape:
            raise ValueError(
                f"metric {self.name!r}: {y_true.size} labels came for {y_pred.size} predictions"
            )
        inside = (y_true >= 0) & (y_true < self.num_classes) & (y_pred >= 0) & (y_pred < self.num_classes)
        if self.ignore_class is not None:
            inside &= y_true != self.ignore_class
        weights = self._weights(sample_weight, backend)
        weights = xp.where(inside, weights, xp.zeros((), self.dtype)).astype(self.dtype)
        y_true, y_pred = xp.where(inside, y_true, 0), xp.where(inside, y_pred, 0)
        add(self.total_cm, class_counts(backend, y_true, y_pred, self.num_classes, weights, self.dtype))

    def _weights(self, sample_weight, backend):
        if sample_weight is None:
            return backend.xp.ones((), self.dtype)
        weights = to_array(sample_weight, backend=backend)
        if dtypes.is_float(weights.dtype) and np.dtype(self.dtype).kind in "iu":
            warnings.warn(
                f"metric {self.name!r}: weights of {weights.dtype} are cut to {self.dtype}; make the metric "
                "with dtype='float32' for fractional weights", stacklevel=4,
            )
        return weights.astype(self.dtype).reshape(-1) if weights.ndim else weights.astype(self.dtype)

    def result(self):
        xp = self.total_cm.backend.xp
        table = self.total_cm.array.astype(dtypes.floatx())
        hits = xp.diagonal(table)
        union = table.sum(axis=0) + table.sum(axis=1) - hits
        chosen = xp.asarray(self.target_class_ids)
        hits, union = hits[chosen], union[chosen]
        present = union > 1e-9
        scores = xp.where(present, hits / (union + EPSILON), union.dtype.type(0))
        return scalar_tensor(scores.sum() / (present.sum().astype(table.dtype) + EPSILON))

    def get_config(self):
        return {
            **super().get_config(), "num_classes": self.num_classes,
            "target_class_ids": self.target_class_ids, "ignore_class": self.ignore_class,
            "sparse_y_true": self.sparse_y_true,
            "sparse_y_pred": self.sparse_y_pred, "axis": self.axis,
        }

    def _config_without(self, *names) -> dict:
        return {k: v for k, v in IoU.get_config(self).items() if k not in names}


class BinaryIoU(IoU):
    """Intersection over union of scores above a threshold, for two classes.

    Parameters
    ----------
    target_class_ids : sequence of int
        (0, 1): mean over background and foreground; (1,): foreground alone.
    threshold : float
        Scores from here on are class 1.
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.BinaryIoU((0, 1), threshold=0.3)([0, 1, 0, 1], [0.1, 0.2, 0.4, 0.7])), 4)
    0.3333
    """

    def __init__(self, target_class_ids=(0, 1), threshold=0.5, name=None, dtype=None):
        super().__init__(2, target_class_ids, name=name, dtype=dtype)
        self.threshold = threshold

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch."""
        y_pred = to_array(y_pred, dtypes.floatx()) >= self.threshold
        super().update_state(y_true, Tensor(y_pred), sample_weight)

    def get_config(self):
        return {
            "target_class_ids": self.target_class_ids, "threshold": self.threshold, "name": self.name,
            "dtype": self.dtype,
        }


class MeanIoU(IoU):
    """Intersection over union, mean over all classes.

    Parameters
    ----------
    num_classes : int
    name, dtype, ignore_class, sparse_y_true, sparse_y_pred, axis
        As for ``IoU``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> round(float(keras.metrics.MeanIoU(num_classes=2)([0, 0, 1, 1], [0, 1, 0, 1])), 4)
    0.3333
    """

    def __init__(
        self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_true=True, sparse_y_pred=True,
        axis=-1,
    ):
        super().__init__(
            num_classes, list(range(num_classes)), name, dtype, ignore_class, sparse_y_true, sparse_y_pred,
            axis
        )

    def get_config(self):
        return self._config_without("target_class_ids")


class OneHotIoU(IoU):
    """``IoU`` for one-hot labels, and scores unless ``sparse_y_pred``.

    Parameters
    ----------
    num_classes : int
    target_class_ids : list of int
    name, dtype, ignore_class, sparse_y_pred, axis
        As for ``IoU``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.OneHotIoU(num_classes=2, target_class_ids=[0])
    >>> float(metric([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]])) > 0.999
    True
    """

    def __init__(
        self, num_classes, target_class_ids, name=None, dtype=None, ignore_class=None, sparse_y_pred=False,
        axis=-1,
    ):
        super().__init__(
            num_classes, target_class_ids, name, dtype, ignore_class, False, sparse_y_pred, axis
        )

    def get_config(self):
        return self._config_without("sparse_y_true")


class OneHotMeanIoU(MeanIoU):
    """``MeanIoU`` for one-hot labels, and scores unless ``sparse_y_pred``.

    Parameters
    ----------
    num_classes : int
    name, dtype, ignore_class, sparse_y_pred, axis
        As for ``IoU``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.OneHotMeanIoU(num_classes=2)
    >>> float(metric([[1, 0], [0, 1]], [[0.9, 0.1], [0.2, 0.8]])) > 0.999
    True
    """

    def __init__(
        self, num_classes, name=None, dtype=None, ignore_class=None, sparse_y_pred=False, axis=-1,
    ):
        super().__init__(num_classes, name, dtype, ignore_class, False, sparse_y_pred, axis)

    def get_config(self):
        return self._config_without("target_class_ids", "sparse_y_true")
