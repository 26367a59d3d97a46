"""Metrics over all thresholds: the area under a curve, and one rate at a given other."""

from __future__ import annotations

import numpy as np

from gpukeras.tensor import Tensor, to_array

from .arrays import ratio
from .confusion import CountingMetric, Thresholds
from .metric import scalar_tensor

EPSILON = 1e-7
CURVES = ("ROC", "PR", "PRGAIN")
SUMMATIONS = ("interpolation", "minoring", "majoring")


class AUC(CountingMetric):
    """Area under the ROC, precision-recall or precision-recall-gain curve, from a sum over thresholds.

    Parameters
    ----------
    num_thresholds : int
        At least 2; more give a closer approximation.
    curve : {"ROC", "PR", "PRGAIN"}
    summation_method : {"interpolation", "minoring", "majoring"}
        Mean, smaller or larger height of each interval. For PR, interpolation follows Davis and Goadrich.
    name : str, optional
    dtype : str, optional
    thresholds : list of float, optional
        Instead of evenly spaced ones.
    multi_label : bool
        Compute the area for each label, and average.
    num_labels : int, optional
        With ``multi_label``: their number, otherwise taken from the first predictions.
    label_weights : list of float, optional
        With ``multi_label`` weights of that average, without it weights of the columns.
    from_logits : bool
        Take the sigmoid of the predictions first.

    References
    ----------
    Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, ICML 2006

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.AUC(num_thresholds=3)
    >>> round(float(metric([0, 0, 1, 1], [0, 0.5, 0.3, 0.9])), 4)
    0.75
    """

    _direction = "up"

    def __init__(
        self, num_thresholds=200, curve="ROC", summation_method="interpolation", name=None, dtype=None,
        thresholds=None, multi_label=False, num_labels=None, label_weights=None, from_logits=False,
    ):
        super().__init__(name=name, dtype=dtype)
        curve = str(getattr(curve, "value", curve))
        method = str(getattr(summation_method, "value", summation_method))
        if curve.upper() not in CURVES:
            raise ValueError(f"AUC: curve must be one of {CURVES}, came {curve!r}")
        if method.lower() not in SUMMATIONS:
            raise ValueError(f"AUC: summation_method must be one of {SUMMATIONS}, came {method!r}")
        if thresholds is None and num_thresholds <= 1:
            raise ValueError(f"AUC: num_thresholds must be an integer > 1, came {num_thresholds}")
        if num_labels and not multi_label:
            raise ValueError("AUC: num_labels is only for multi_label=True")
        if thresholds is None:
            inner, even = [i / (num_thresholds - 1) for i in range(1, num_thresholds - 1)], True
        else:
            inner = sorted(float(t) for t in thresholds)
            even = Thresholds([0.0, *inner, 1.0]).even
        # The ends lie just outside [0, 1], so that every score is above the first and none above the last.
        self._limits = Thresholds([-EPSILON, *inner, 1 + EPSILON], even)
        self._given = None if thresholds is None else inner
        self.num_thresholds = len(self._limits)
        self.curve = curve.upper()
        self.summation_method = method.lower()
        self.multi_label = multi_label
        self.num_labels = num_labels
        self.label_weights = label_weights
        self.from_logits = from_logits
        self._built = False
        if not multi_label or num_labels:
            self._build(num_labels)

    @property
    def thresholds(self) -> list:
        """Thresholds, the two ends included."""
        return self._limits.values.tolist()

    def _build(self, labels) -> None:
        self._make(self._limits, (labels,) if self.multi_label else ())
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch at every threshold."""
        if self.from_logits:
            from gpukeras import ops

            y_pred = ops.sigmoid(y_pred)
        if self.multi_label:
            shape = np.shape(y_pred) if not isinstance(y_pred, Tensor) else y_pred.shape
            if len(shape) != 2:
                raise ValueError(f"AUC: multi_label=True needs scores of shape (N, labels), came {shape}")
            if not self._built:
                self._build(shape[1])
        self._add_counts(
            y_true, y_pred, sample_weight=sample_weight, multi_label=self.multi_label,
            label_weights=None if self.multi_label else self.label_weights,
        )

    def result(self):
        if not self._built:
            return Tensor(to_array(0.0, self.dtype))
        tp, fp, tn, fn = (getattr(self, name).array for name in self._kept)
        if self.curve == "PR" and self.summation_method == "interpolation":
            return self.interpolate_pr_auc()
        x, y = self._points(tp, fp, tn, fn)
        xp = self.true_positives.backend.xp
        heights = {
            "interpolation": lambda: (y[:-1] + y[1:]) / 2, "minoring": lambda: xp.minimum(y[:-1], y[1:]),
            "majoring": lambda: xp.maximum(y[:-1], y[1:]),
        }[self.summation_method]()
        return self._mean_over_labels((x[:-1] - x[1:]) * heights)

    def interpolate_pr_auc(self):
        """Return the area below precision over recall, interpolated between thresholds as counts are.

        References
        ----------
        Davis and Goadrich, The Relationship Between Precision-Recall and ROC Curves, ICML 2006
        """
        tp, fp, _, fn = (getattr(self, name).array for name in self._kept)
        return self._mean_over_labels(_interpolated(self.true_positives.backend.xp, tp, fp, fn))

    def _mean_over_labels(self, areas):
        """Return the sum over all stretches of the curve; with several labels their weighted mean."""
        total = areas.sum(axis=0)
        if not self.multi_label:
            return scalar_tensor(total)
        if self.label_weights is None:
            return scalar_tensor(total.mean())
        weights = to_array(self.label_weights, total.dtype, self.true_positives.backend)
        return scalar_tensor(ratio((total * weights).sum(), weights.sum()))

    def _points(self, tp, fp, tn, fn):
        """Return the curve as abscissas and ordinates, by decreasing abscissa."""
        recall = ratio(tp, tp + fn)
        if self.curve == "ROC":
            return ratio(fp, fp + tn), recall
        if self.curve == "PR":
            return recall, ratio(tp, tp + fp)
        xp = self.true_positives.backend.xp
        none, scale, one = tp == 0, ratio(tp + fn, tn + fp), tp.dtype.type(1)
        recall_gain = xp.where(none, tp.dtype.type(0), one - scale * ratio(fn, tp))
        precision_gain = xp.where(none, one, one - scale * ratio(fp, tp))
        return xp.maximum(recall_gain, 0), precision_gain

    def get_config(self):
        weights = self.label_weights
        config = {
            **super().get_config(), "num_thresholds": self.num_thresholds, "curve": self.curve,
            "summation_method": self.summation_method, "multi_label": self.multi_label,
            "num_labels": self.num_labels, "from_logits": self.from_logits,
            "label_weights": weights.tolist() if hasattr(weights, "tolist") else weights,
        }
        if self._given is not None:
            config["thresholds"] = self._given
        return config


def _interpolated(xp, tp, fp, fn):
    """Return the areas below precision over recall, true positives taken as linear in positive predictions.

    Between two thresholds ``TP = a + s P``; the integral of ``(a + s P) / P`` is ``s dP + a log P``.
    """
    one = tp.dtype.type(1)
    p = tp + fp
    dtp = tp[:-1] - tp[1:]
    slope = ratio(dtp, xp.maximum(p[:-1] - p[1:], 0))
    intercept = tp[1:] - slope * p[1:]
    both = (p[:-1] > 0) & (p[1:] > 0)
    growth = xp.where(both, p[:-1] / xp.where(both, p[1:], one), one)
    return ratio(slope * (dtp + intercept * xp.log(growth)), xp.maximum(tp[1:] + fn[1:], 0))


class SensitivitySpecificityBase(CountingMetric):
    """Base of metrics that report the best of one rate where another is at least a given value.

    Parameters
    ----------
    value : float
        That value, in [0, 1].
    num_thresholds : int
    class_id : int, optional
    name : str, optional
    dtype : str, optional
    """

    _direction = "up"
    _given = ""  # name of the argument with that value

    def __init__(self, value, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        cls = type(self).__name__
        if not 0 <= value <= 1:
            raise ValueError(f"{cls}: {self._given} must be in [0, 1], came {value}")
        if num_thresholds <= 0:
            raise ValueError(f"{cls}: num_thresholds must be an integer > 0, came {num_thresholds}")
        self.value = value
        self.num_thresholds = num_thresholds
        self.class_id = class_id
        if num_thresholds == 1:
            self.thresholds = [0.5]
        else:
            self.thresholds = [i / (num_thresholds - 1) for i in range(num_thresholds)]
        self._make(Thresholds(self.thresholds, num_thresholds > 1))

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch at every threshold."""
        self._add_counts(y_true, y_pred, class_id=self.class_id, sample_weight=sample_weight)

    def _rates(self, tp, fp, tn, fn):
        """Return the rate under the condition and the rate to report."""
        raise NotImplementedError

    def result(self):
        held, wanted = self._rates(*(getattr(self, name).array for name in self._kept))
        xp = self.true_positives.backend.xp
        enough = held >= held.dtype.type(self.value)
        return scalar_tensor(xp.where(enough, wanted, wanted.dtype.type(0)).max())

    def get_config(self):
        return {
            **super().get_config(), "num_thresholds": self.num_thresholds, "class_id": self.class_id,
            self._given: self.value,
        }


class SensitivityAtSpecificity(SensitivitySpecificityBase):
    """Best sensitivity (recall) among thresholds where the specificity is at least the given one.

    Parameters
    ----------
    specificity : float
    num_thresholds : int
    class_id : int, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.SensitivityAtSpecificity(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    _given = "specificity"

    def __init__(self, specificity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(specificity, num_thresholds, class_id, name, dtype)
        self.specificity = specificity

    def _rates(self, tp, fp, tn, fn):
        return ratio(tn, tn + fp), ratio(tp, tp + fn)


class SpecificityAtSensitivity(SensitivitySpecificityBase):
    """Best specificity among thresholds where the sensitivity (recall) is at least the given one.

    Parameters
    ----------
    sensitivity : float
    num_thresholds : int
    class_id : int, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.SpecificityAtSensitivity(0.5)
    >>> round(float(metric([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8])), 4)
    0.6667
    """

    _given = "sensitivity"

    def __init__(self, sensitivity, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(sensitivity, num_thresholds, class_id, name, dtype)
        self.sensitivity = sensitivity

    def _rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fn), ratio(tn, tn + fp)


class PrecisionAtRecall(SensitivitySpecificityBase):
    """Best precision among thresholds where the recall is at least the given one.

    Parameters
    ----------
    recall : float
    num_thresholds : int
    class_id : int, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.PrecisionAtRecall(0.5)([0, 0, 0, 1, 1], [0, 0.3, 0.8, 0.3, 0.8]))
    0.5
    """

    _given = "recall"

    def __init__(self, recall, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(recall, num_thresholds, class_id, name, dtype)
        self.recall = recall

    def _rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fn), ratio(tp, tp + fp)


class RecallAtPrecision(SensitivitySpecificityBase):
    """Best recall among thresholds where the precision is at least the given one.

    Parameters
    ----------
    precision : float
    num_thresholds : int
    class_id : int, optional
    name : str, optional
    dtype : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> float(keras.metrics.RecallAtPrecision(0.8)([0, 0, 1, 1], [0, 0.5, 0.3, 0.9]))
    0.5
    """

    _given = "precision"

    def __init__(self, precision, num_thresholds=200, class_id=None, name=None, dtype=None):
        super().__init__(precision, num_thresholds, class_id, name, dtype)
        self.precision = precision

    def _rates(self, tp, fp, tn, fn):
        return ratio(tp, tp + fp), ratio(tp, tp + fn)
