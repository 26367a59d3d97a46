"""Callbacks that change the learning rate."""

from __future__ import annotations

import inspect

import numpy as np

from .callback import Callback
from .monitor import MonitorCallback


class LearningRateScheduler(Callback):
    """Set the learning rate before every epoch.

    Parameters
    ----------
    schedule : callable
        ``f(epoch)`` or ``f(epoch, learning_rate)``, returning a number; epochs count from 0.
    verbose : {0, 1}

    Examples
    --------
    >>> halve = LearningRateScheduler(lambda epoch, lr: lr * 0.5 if epoch else lr)
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"schedule of LearningRateScheduler must be a function, came {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose

    def on_epoch_begin(self, epoch, logs=None):
        _need_learning_rate(self)
        before = _learning_rate(self.model)
        rate = self.schedule(epoch, before) if _takes_two(self.schedule) else self.schedule(epoch)
        if hasattr(rate, "numpy"):
            rate = rate.numpy()
        if isinstance(rate, (bool, str)) or np.ndim(rate) or np.asarray(rate).dtype.kind not in "iuf":
            raise ValueError(f"schedule of LearningRateScheduler must return a number, came {rate!r}")
        self.model.optimizer.learning_rate = float(rate)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: LearningRateScheduler setting learning rate to {float(rate)}.")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["learning_rate"] = _learning_rate(self.model)


def _takes_two(schedule) -> bool:
    """Tell whether a schedule wants the learning rate as well as the epoch."""
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:  # a builtin without a signature
        return False
    return True


class ReduceLROnPlateau(MonitorCallback):
    """Lower the learning rate when a value has stopped improving.

    Parameters
    ----------
    monitor : str
    factor : float
        ``new rate = rate * factor``; below 1.
    patience : int
        Epochs without improvement before the rate is lowered.
    verbose : {0, 1}
    mode : {"auto", "min", "max"}
    min_delta : float
        A smaller change does not count as an improvement. Keras 2 also called it ``epsilon``.
    cooldown : int
        Epochs to wait after lowering before counting again.
    min_lr : float
        Least learning rate.

    Examples
    --------
    >>> reduce = ReduceLROnPlateau(monitor="val_loss", factor=0.2, patience=5, min_lr=1e-4)
    """

    def __init__(
        self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0,
        min_lr=0.0, **kwargs,
    ):
        min_delta = kwargs.pop("epsilon", min_delta)
        if kwargs:
            raise TypeError(f"ReduceLROnPlateau got an unexpected argument {next(iter(kwargs))!r}")
        if factor >= 1.0:
            raise ValueError(f"factor of ReduceLROnPlateau must be below 1, came {factor!r}")
        super().__init__(monitor, mode, min_delta)
        self.factor = factor
        self.patience = patience
        self.verbose = verbose
        self.cooldown = cooldown
        self.min_lr = min_lr
        self.cooldown_counter = 0
        self.wait = 0

    def on_train_begin(self, logs=None):
        self.best = None
        self.cooldown_counter = 0
        self.wait = 0

    def on_epoch_end(self, epoch, logs=None):
        _need_learning_rate(self)
        if logs is not None:
            logs["learning_rate"] = _learning_rate(self.model)
        current = self.monitored_value(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.is_better(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                self._lower(epoch)

    def _lower(self, epoch: int) -> None:
        rate = _learning_rate(self.model)
        if rate <= np.float32(self.min_lr):
            return
        rate = max(rate * self.factor, self.min_lr)
        self.model.optimizer.learning_rate = rate
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate}.")
        self.cooldown_counter = self.cooldown
        self.wait = 0

    def in_cooldown(self) -> bool:
        """Tell whether the wait after the last lowering is still on."""
        return self.cooldown_counter > 0


def _learning_rate(model) -> float:
    rate = model.optimizer.learning_rate
    return float(rate.numpy() if hasattr(rate, "numpy") else rate)


def _need_learning_rate(callback) -> None:
    optimizer = getattr(callback.model, "optimizer", None)
    if not hasattr(optimizer, "learning_rate"):
        raise ValueError(
            f"{type(callback).__name__} needs a compiled model whose optimizer has a learning_rate, came "
            f"{type(optimizer).__name__}"
        )
