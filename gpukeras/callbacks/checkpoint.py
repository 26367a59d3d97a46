"""``ModelCheckpoint``: save the model while it trains."""

from __future__ import annotations

import os

from .logs import Logs
from .monitor import MonitorCallback


class ModelCheckpoint(MonitorCallback):
    """Save the model, or its weights, after epochs or batches.

    Parameters
    ----------
    filepath : str or path
        May hold fields: ``"model_{epoch:02d}_{val_loss:.3f}.keras"``. Epochs and batches count from 1 there.
    monitor : str
        Value that decides what is best.
    verbose : {0, 1}
    save_best_only : bool
        Save only when the value improves.
    save_weights_only : bool
        Call ``model.save_weights`` instead of ``model.save``.
    mode : {"auto", "min", "max"}
    save_freq : "epoch" or int
        After each epoch, or after so many batches.
    initial_value_threshold : float, optional
        Best value so far, for a run that continues another.
    period : int
        Epochs between two saves; an argument of Keras 2.

    Raises
    ------
    KeyError
        When ``filepath`` has a field that is no value of the run; the message lists those there are.

    Examples
    --------
    >>> keep = ModelCheckpoint("best.keras", monitor="val_accuracy", save_best_only=True)
    """

    def __init__(
        self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False,
        mode="auto", save_freq="epoch", initial_value_threshold=None, period=1,
    ):
        super().__init__(monitor, mode)
        if save_freq != "epoch" and (isinstance(save_freq, bool) or not isinstance(save_freq, int)):
            raise ValueError(
                f"save_freq of ModelCheckpoint must be 'epoch' or a number of batches, came {save_freq!r}"
            )
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        self.initial_value_threshold = initial_value_threshold
        self.period = period
        self.best = initial_value_threshold
        self._epoch = 0
        self._epochs_since_save = 0
        self._batches_since_save = 0
        self._last_batch = 0

    def on_train_batch_end(self, batch, logs=None):
        if self.save_freq == "epoch":
            return
        # Batches of one call of fit count from 0 each epoch; several may have passed since the last hook.
        passed = batch + 1 if batch <= self._last_batch else batch - self._last_batch
        self._batches_since_save += passed
        self._last_batch = batch
        if self._batches_since_save >= self.save_freq:
            self._save(self._epoch, batch, logs)
            self._batches_since_save = 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        self._epochs_since_save += 1
        if self.save_freq == "epoch" and self._epochs_since_save >= self.period:
            self._save(epoch, None, logs)
            self._epochs_since_save = 0

    def _save(self, epoch: int, batch: int | None, logs) -> None:
        logs = Logs(logs)
        if not self.save_best_only:
            self._write(epoch, batch, logs, "saving model to")
            return
        current = self.monitored_value(logs)
        if current is None:
            return
        if self.is_better(current, self.best):
            before = "inf" if self.best is None else f"{self.best:.5f}"
            before = f"-{before}" if self.best is None and self.larger_is_better() else before
            self.best = current
            improved = f"{self.monitor} improved from {before} to {current:.5f}, saving model to"
            self._write(epoch, batch, logs, improved)
        elif self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: {self.monitor} did not improve from {self.best:.5f}")

    def _write(self, epoch: int, batch: int | None, logs: Logs, message: str) -> None:
        path = self._path(epoch, batch, logs)
        if self.verbose > 0:
            print(f"\nEpoch {epoch + 1}: {message} {path}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path, overwrite=True)
        else:
            self.model.save(path, overwrite=True)

    def _path(self, epoch: int, batch: int | None, logs: Logs) -> str:
        fields = Logs(logs)
        fields["epoch"] = epoch + 1
        if batch is not None:
            fields["batch"] = batch + 1
        try:
            return self.filepath.format_map(fields)
        except KeyError as error:
            raise KeyError(
                f"filepath {self.filepath!r} of ModelCheckpoint has the field {error.args[0]!r}, which is no "
                f"value of this run; there are: {', '.join(fields)}"
            ) from None
