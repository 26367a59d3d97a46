"""What it means for a monitored value to become better."""

from __future__ import annotations

import warnings

from .callback import Callback
from .logs import Logs, find_spelling

# Parts of names of metrics that are better when larger.
_LARGER_IS_BETTER = (
    "acc", "auc", "precision", "recall", "f1", "fbeta", "fmeasure", "iou", "r2", "top_k", "true_positives",
    "true_negatives", "sensitivity", "specificity", "cosine_similarity", "pearson", "concordance",
)
_SMALLER_IS_BETTER = (
    "loss", "error", "mse", "mae", "mape", "msle", "entropy", "hinge", "divergence", "poisson", "logcosh",
    "log_cosh", "false_positives", "false_negatives", "perplexity",
)


class MonitorCallback(Callback):
    """Base of callbacks that follow one value.

    Parameters
    ----------
    monitor : str
        Name in ``logs``.
    mode : {"auto", "min", "max"}
        Whether smaller or larger is better; ``"auto"`` goes by the metric's name.
    min_delta : float
        A smaller change does not count.
    """

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__}: mode must be 'auto', 'min' or 'max', came {mode!r}; using 'auto'",
                UserWarning, stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(min_delta)
        self.best: float | None = None
        self._warned = False

    def monitored_value(self, logs) -> float | None:
        """Return the value now; where there is none, warn once with the names there are, and return None."""
        logs = {} if logs is None else logs
        name = self.monitor
        if not isinstance(logs, Logs) and name not in logs:
            name = find_spelling(name, logs) or name
        value = logs.get(name)
        if value is None:
            if not self._warned:
                self._warned = True
                known = ", ".join(logs) or "none"
                hint = "; give fit validation_data or validation_split" if name.startswith("val_") else ""
                warnings.warn(
                    f"{type(self).__name__} follows {self.monitor!r}, which does not exist; "
                    f"there are: {known}{hint}",
                    UserWarning, stacklevel=4,
                )
            return None
        return float(value)

    def is_better(self, value: float, reference: float | None) -> bool:
        """Tell whether ``value`` improves on ``reference`` by more than ``min_delta``."""
        if reference is None:
            return True
        if self.larger_is_better():
            return value - self.min_delta > reference
        return value + self.min_delta < reference

    def larger_is_better(self) -> bool:
        """Return the direction that ``mode`` or the name says."""
        if self.mode == "auto":
            self.mode = "max" if self._guess() else "min"
        return self.mode == "max"

    def _guess(self) -> bool:
        name = self.monitor.removeprefix("val_")
        for metric in getattr(self.model, "metrics", None) or ():
            direction = getattr(metric, "_direction", None)
            if direction in ("up", "down") and getattr(metric, "name", None) == name:
                return direction == "up"
        if any(part in name for part in _LARGER_IS_BETTER):
            return True
        if not any(part in name for part in _SMALLER_IS_BETTER):
            warnings.warn(
                f"{type(self).__name__} cannot tell from the name {self.monitor!r} whether smaller or larger "
                "is better and takes smaller; pass mode='min' or mode='max'",
                UserWarning, stacklevel=4,
            )
        return False
