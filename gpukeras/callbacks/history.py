"""``History``: the values of every epoch."""

from __future__ import annotations

from .callback import Callback
from .logs import Logs


class History(Callback):
    """Keep the values of every epoch; ``fit`` returns one.

    Attributes
    ----------
    history : dict of str to list
        One list per name. Old spellings are found: ``history["acc"]`` is ``history["accuracy"]``.
    epoch : list of int
        Numbers of the epochs, from 0.

    Examples
    --------
    >>> h = History()
    >>> h.on_train_begin()
    >>> h.on_epoch_end(0, {"loss": 2.0})
    >>> h.on_epoch_end(1, {"loss": 1.5})
    >>> h.history, h.epoch
    ({'loss': [2.0, 1.5]}, [0, 1])
    """

    def __init__(self):
        super().__init__()
        self.history: Logs = Logs()
        self.epoch: list[int] = []

    def on_train_begin(self, logs=None):
        self.epoch = []

    def on_epoch_end(self, epoch, logs=None):
        self.epoch.append(epoch)
        for name, value in (logs or {}).items():
            dict.setdefault(self.history, name, []).append(value)


class BaseLogger(Callback):
    """Accepted for compatibility with Keras 2: the values in ``logs`` are averages already.

    Parameters
    ----------
    stateful_metrics : sequence of str, optional
        Has no effect.
    """

    def __init__(self, stateful_metrics=None):
        super().__init__()
        self.stateful_metrics = set(stateful_metrics or ())
