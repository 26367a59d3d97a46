"""F scores: one number from precision and recall, per class or averaged."""

from __future__ import annotations

from gpukeras.tensor import Variable

from .arrays import pair
from .metric import Metric, add, scalar_tensor

EPSILON = 1e-7


class FBetaScore(Metric):
    """Weighted harmonic mean of precision and recall.

    Parameters
    ----------
    average : {None, "micro", "macro", "weighted"}
        ``None``: one score per class; over all decisions; plain mean; mean weighted by the classes' labels.
    beta : float
        Weight of recall beside precision.
    threshold : float, optional
        In (0, 1]. Without it, the largest score of a row is the prediction.
    name : str
    dtype : str, optional

    Notes
    -----
    ``F = (1 + beta²) precision * recall / (beta² precision + recall)``

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.FBetaScore(beta=2.0, threshold=0.5)
    >>> metric.update_state([[1, 1, 1], [1, 0, 0], [1, 1, 0]], [[.2, .6, .7], [.2, .6, .6], [.6, .8, 0.]])
    >>> metric.result().numpy().round(4)
    array([0.3846, 0.9091, 0.8333], dtype=float32)
    """

    _direction = "up"
    true_positives: Variable
    false_positives: Variable
    false_negatives: Variable
    intermediate_weights: Variable

    def __init__(self, average=None, beta=1.0, threshold=None, name="fbeta_score", dtype=None):
        super().__init__(name=name, dtype=dtype)
        cls = type(self).__name__
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(f"{cls}: average must be None, 'micro', 'macro' or 'weighted', came {average!r}")
        if not isinstance(beta, (int, float)) or beta <= 0:
            raise ValueError(f"{cls}: beta must be a number > 0, came {beta!r}")
        if threshold is not None and not (isinstance(threshold, (int, float)) and 0 < threshold <= 1):
            raise ValueError(f"{cls}: threshold must be a number in (0, 1], came {threshold!r}")
        self.average = average
        self.beta = beta
        self.threshold = threshold
        self._built = False

    def _build(self, y_true, y_pred) -> None:
        if y_true.ndim != 2 or y_pred.ndim != 2:
            raise ValueError(
                f"{type(self).__name__} takes labels and scores of shape (N, classes), came y_true "
                f"{y_true.shape} and y_pred {y_pred.shape}"
            )
        shape = () if self.average == "micro" else y_pred.shape[1:]
        for name in ("true_positives", "false_positives", "false_negatives", "intermediate_weights"):
            setattr(self, name, self.add_variable(shape, dtype=self.dtype, name=name))
        self._built = True

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Count a batch; ``sample_weight`` has shape (N,)."""
        backend, y_true, y_pred = pair(y_true, y_pred, self.dtype)
        xp = backend.xp
        if not self._built:
            self._build(y_true, y_pred)
        if self.threshold is None:
            chosen = (y_pred >= y_pred.max(axis=-1, keepdims=True)) & (xp.absolute(y_pred) > 1e-9)
        else:
            chosen = y_pred > self.threshold
        chosen = chosen.astype(self.dtype)
        weights = 1 if sample_weight is None else pair(sample_weight, y_pred, self.dtype)[1].reshape(-1, 1)
        axis = None if self.average == "micro" else 0
        add(self.true_positives, (chosen * y_true * weights).sum(axis=axis))
        add(self.false_positives, (chosen * (1 - y_true) * weights).sum(axis=axis))
        add(self.false_negatives, ((1 - chosen) * y_true * weights).sum(axis=axis))
        add(self.intermediate_weights, (y_true * weights).sum(axis=axis))

    def result(self):
        if not self._built:
            raise ValueError(f"metric {self.name!r} has no values yet; call update_state first")
        tp, square = self.true_positives.array, self.beta**2
        precision = tp / (tp + self.false_positives.array + EPSILON)
        recall = tp / (tp + self.false_negatives.array + EPSILON)
        score = precision * recall / (square * precision + recall + EPSILON) * (1 + square)
        if self.average == "weighted":
            weights = self.intermediate_weights.array
            score = (score * (weights / (weights.sum() + EPSILON))).sum()
        elif self.average is not None:
            score = score.mean()
        return scalar_tensor(score)

    def get_config(self):
        return {
            **super().get_config(), "average": self.average, "beta": self.beta, "threshold": self.threshold,
        }


class F1Score(FBetaScore):
    """Harmonic mean of precision and recall.

    Parameters
    ----------
    average, threshold, name, dtype
        As for ``FBetaScore``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> metric = keras.metrics.F1Score(average="macro", threshold=0.5)
    >>> metric.update_state([[1, 1, 1], [1, 0, 0], [1, 1, 0]], [[.2, .6, .7], [.2, .6, .6], [.6, .8, 0.]])
    >>> round(float(metric.result()), 4)
    0.6556
    """

    def __init__(self, average=None, threshold=None, name="f1_score", dtype=None):
        super().__init__(average, 1.0, threshold, name, dtype)

    def get_config(self):
        config = super().get_config()
        del config["beta"]
        return config
