"""``Callback``: the base class."""

from __future__ import annotations

from typing import Any


class Callback:
    """Base of callbacks: overwrite the methods of interest, pass the object to ``fit(callbacks=[...])``.

    Attributes
    ----------
    model : Model
        The model being trained; ``self.model.stop_training = True`` ends training.
    params : dict
        ``verbose``, ``epochs``, ``steps`` of the run.

    Notes
    -----
    ``logs`` behaves like a dictionary of metric values. Reading it makes a GPU finish its work first, so read
    it no more often than needed. What is written into ``logs`` at the end of an epoch lands in the history.

    Examples
    --------
    >>> class StopAt(Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["accuracy"] > 0.99:
    ...             self.model.stop_training = True
    """

    # Class-level defaults: subclasses that forget super().__init__() work as well.
    params: dict = {}
    model: Any = None
    validation_data = None

    def __init__(self):
        self.params = {}
        self.model = None
        self.validation_data = None

    def set_params(self, params: dict) -> None:
        """Take the parameters of the run."""
        self.params = params

    def set_model(self, model) -> None:
        """Take the model."""
        self.model = model

    def on_batch_begin(self, batch, logs=None):
        """Old name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch, logs=None):
        """Old name of ``on_train_batch_end``."""

    def on_epoch_begin(self, epoch, logs=None):
        """Called before an epoch of training; ``epoch`` counts from 0."""

    def on_epoch_end(self, epoch, logs=None):
        """Called after an epoch; ``logs`` holds training and (``val_``) validation values."""

    def on_train_batch_begin(self, batch, logs=None):
        """Called before a batch of training."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        """Called after a batch of training; ``logs`` holds the averages of the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_batch_begin(self, batch, logs=None):
        """Called before a batch of evaluation or validation."""

    def on_test_batch_end(self, batch, logs=None):
        """Called after a batch of evaluation or validation."""

    def on_predict_batch_begin(self, batch, logs=None):
        """Called before a batch of prediction."""

    def on_predict_batch_end(self, batch, logs=None):
        """Called after a batch of prediction; ``logs["outputs"]`` is what the model returned."""

    def on_train_begin(self, logs=None):
        """Called once at the start of training."""

    def on_train_end(self, logs=None):
        """Called once at the end of training, with the values of the last epoch."""

    def on_test_begin(self, logs=None):
        """Called at the start of evaluation or validation."""

    def on_test_end(self, logs=None):
        """Called at the end of evaluation or validation."""

    def on_predict_begin(self, logs=None):
        """Called at the start of prediction."""

    def on_predict_end(self, logs=None):
        """Called at the end of prediction."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
_DELEGATES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


def implements(callback, hook: str) -> bool:
    """Tell whether calling ``hook`` of ``callback`` does anything."""
    method = getattr(callback, hook, None)
    if method is None:
        return False
    if getattr(method, "__func__", None) is not vars(Callback)[hook]:
        return True
    return hook in _DELEGATES and implements(callback, _DELEGATES[hook])
