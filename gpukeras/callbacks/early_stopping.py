"""``EarlyStopping``: end training when it stops helping."""

from __future__ import annotations

from .monitor import MonitorCallback


class EarlyStopping(MonitorCallback):
    """End training when a value has stopped improving.

    Parameters
    ----------
    monitor : str
        Name of the value to follow.
    min_delta : float
        A smaller change does not count as an improvement.
    patience : int
        Epochs without improvement before training ends.
    verbose : {0, 1}
    mode : {"auto", "min", "max"}
    baseline : float, optional
        Training also ends, as soon as values stop improving, if none has beaten this number within
        ``patience`` epochs.
    restore_best_weights : bool
        Put back the weights of the best epoch at the end.
    start_from_epoch : int
        Epochs at the start that do not count.

    Examples
    --------
    >>> stop = EarlyStopping(monitor="val_accuracy", patience=3, restore_best_weights=True)
    """

    def __init__(
        self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None,
        restore_best_weights=False, start_from_epoch=0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience = patience
        self.verbose = verbose
        self.baseline = baseline
        self.restore_best_weights = restore_best_weights
        self.start_from_epoch = start_from_epoch
        self._reset()

    def _reset(self) -> None:
        self.wait = 0
        self.stopped_epoch = 0
        self.best = None
        self.best_weights = None
        self.best_epoch = 0

    def on_train_begin(self, logs=None):
        self._reset()

    def on_epoch_end(self, epoch, logs=None):
        current = self.get_monitor_value(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._remember(epoch)  # in case no value ever improves (all of them NaN)
        self.wait += 1
        if self.is_better(current, self.best):
            self.best = current
            self.best_epoch = epoch
            if self.restore_best_weights:
                self._remember(epoch)
            if self.baseline is None or self.is_better(current, self.baseline):
                self.wait = 0
            return  # as in Keras 3: while the best value improves, a missed baseline does not stop it
        if self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _remember(self, epoch: int) -> None:
        self.best_weights = self.model.get_weights()
        self.best_epoch = epoch

    def on_train_end(self, logs=None):
        if self.stopped_epoch > 0 and self.verbose > 0:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose > 0:
                print(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def get_monitor_value(self, logs):
        """Return the monitored value of this epoch, or None with a warning."""
        return self.monitored_value(logs)
