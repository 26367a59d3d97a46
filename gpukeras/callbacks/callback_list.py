"""``CallbackList``: several callbacks called as one, at no cost for hooks that nobody uses."""

from __future__ import annotations

import inspect
import sys

from gpukeras import tree

from .callback import HOOKS, Callback, implements
from .history import History
from .logs import Logs, host_values
from .progbar_logger import ProgbarLogger

_NONE: dict[str, list] = {hook: [] for hook in HOOKS}


class CallbackList(Callback):
    """Call several callbacks in turn.

    Parameters
    ----------
    callbacks : list of Callback, optional
    add_history, add_progbar : bool
        Add a ``History`` or a ``ProgbarLogger`` unless one is there.
    model : Model, optional
    **params
        Parameters of the run, handed to every callback.

    Notes
    -----
    Hooks that no callback overrides cost nothing; loops may ask ``wants(hook)`` first. Callbacks see the
    logs as a ``Logs``: its values are fetched only if a callback reads it (or keeps it for later). What they
    write into it is written back.

    Examples
    --------
    >>> hooks = CallbackList([History()])
    >>> hooks.wants("on_epoch_end"), hooks.wants("on_train_batch_end")
    (True, False)
    """

    def __init__(self, callbacks=None, add_history=False, add_progbar=False, model=None, **params):
        super().__init__()
        self.callbacks = [] if callbacks is None else tree.flatten(callbacks)
        for callback in self.callbacks:
            _check(callback)
        if add_progbar and self._find(ProgbarLogger) is None:
            self.callbacks.append(ProgbarLogger())
        self._history = self._find(History)
        if add_history and self._history is None:
            self._history = History()
            self.callbacks.append(self._history)
        self._handlers: dict[str, list] = {}
        self._collect()
        if params:
            self.set_params(params)
        if model is not None:
            self.set_model(model)

    def _find(self, kind):
        return next((c for c in self.callbacks if isinstance(c, kind)), None)

    def _collect(self) -> None:
        self._handlers = _NONE if not self.callbacks else {
            hook: [getattr(c, hook) for c in self.callbacks if implements(c, hook)] for hook in HOOKS
        }

    def append(self, callback) -> None:
        """Add a callback."""
        _check(callback)
        self.callbacks.append(callback)
        self._collect()

    def set_params(self, params: dict) -> None:
        """Hand the parameters of the run to every callback."""
        self.params = params
        for callback in self.callbacks:
            if hasattr(callback, "set_params"):
                callback.set_params(params)

    def set_model(self, model) -> None:
        """Hand the model to every callback, and the history to the model."""
        self.model = model
        if self._history is not None:
            model.history = self._history
        for callback in self.callbacks:
            if hasattr(callback, "set_model"):
                callback.set_model(model)
        self._collect()  # set_model may have given callbacks new methods

    def wants(self, hook: str) -> bool:
        """Tell whether any callback overrides ``hook``."""
        return bool(self._handlers[hook])

    def __iter__(self):
        return iter(self.callbacks)

    def _call(self, hook: str, number, logs) -> None:
        handlers = self._handlers[hook]
        if not handlers:
            return
        seen = _readable(logs)
        held = sys.getrefcount(seen)
        for handler in handlers:
            handler(number, seen)
        # Someone keeps logs that nobody has read: fetch while the values are still those of this moment.
        if seen.pending and sys.getrefcount(seen) > held:
            seen.fetch()
        _write_back(seen, logs)

    def _call_whole(self, hook: str, logs) -> None:
        handlers = self._handlers[hook]
        if handlers:
            seen = _readable(logs)
            for handler in handlers:
                handler(seen)
            _write_back(seen, logs)

    def on_batch_begin(self, batch, logs=None):
        self._call("on_train_batch_begin", batch, logs)

    def on_batch_end(self, batch, logs=None):
        self._call("on_train_batch_end", batch, logs)

    def on_train_batch_begin(self, batch, logs=None):
        self._call("on_train_batch_begin", batch, logs)

    def on_train_batch_end(self, batch, logs=None):
        self._call("on_train_batch_end", batch, logs)

    def on_test_batch_begin(self, batch, logs=None):
        self._call("on_test_batch_begin", batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self._call("on_test_batch_end", batch, logs)

    def on_predict_batch_begin(self, batch, logs=None):
        self._call("on_predict_batch_begin", batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        for handler in self._handlers["on_predict_batch_end"]:
            handler(batch, logs)  # outputs, not numbers: as they are

    def on_epoch_begin(self, epoch, logs=None):
        self._call("on_epoch_begin", epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self._call("on_epoch_end", epoch, logs)

    def on_train_begin(self, logs=None):
        self._call_whole("on_train_begin", logs)

    def on_train_end(self, logs=None):
        self._call_whole("on_train_end", logs)

    def on_test_begin(self, logs=None):
        self._call_whole("on_test_begin", logs)

    def on_test_end(self, logs=None):
        self._call_whole("on_test_end", logs)

    def on_predict_begin(self, logs=None):
        self._call_whole("on_predict_begin", logs)

    def on_predict_end(self, logs=None):
        self._call_whole("on_predict_end", logs)


def _readable(logs) -> Logs:
    """Return logs that fetch themselves when read, whatever a training step returned."""
    if type(logs) is Logs:
        return logs
    if logs is None:
        return Logs()
    return Logs(lambda: host_values(logs))


def _write_back(seen: Logs, logs) -> None:
    """Put what callbacks wrote (a learning rate, a score of their own) into the caller's dictionary."""
    if seen is not logs and type(logs) is dict and not seen.pending:
        logs.update(seen)


def _check(callback) -> None:
    if inspect.isclass(callback):
        name = callback.__name__
        raise TypeError(f"callbacks must be objects, came the class {name}; write {name}()")
    if not any(hasattr(callback, hook) for hook in HOOKS):
        raise TypeError(
            f"callbacks must be keras.callbacks.Callback objects, came {type(callback).__name__}; a plain "
            "function goes into LambdaCallback(on_epoch_end=...)"
        )
