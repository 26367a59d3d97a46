"""``ProgbarLogger``: the progress bar of ``fit``, ``evaluate`` and ``predict``."""

from __future__ import annotations

from gpukeras.utils.progbar import Progbar, in_notebook, write

from .callback import Callback


class ProgbarLogger(Callback):
    """Print progress: ``verbose=1`` draws a bar, ``verbose=2`` one line per epoch.

    Parameters
    ----------
    count_mode, stateful_metrics
        Accepted for compatibility with Keras 2; they have no effect.

    Notes
    -----
    The bar is drawn at most four times a second (twice in a notebook), and metric values are read from the
    device only then.
    """

    def __init__(self, count_mode=None, stateful_metrics=None):
        super().__init__()
        self.count_mode = count_mode
        self.stateful_metrics = stateful_metrics
        self.seen = 0
        self.progbar: Progbar | None = None
        self.target: int | None = None
        self.verbose = 1
        self.epochs = 1
        self._training = False

    def set_params(self, params):
        self.params = params
        self.verbose = params.get("verbose", 1)
        self.epochs = params.get("epochs", 1)
        self.target = params.get("steps")

    def on_train_begin(self, logs=None):
        self._training = True

    def on_train_end(self, logs=None):
        self._training = False
        self.progbar = None

    def on_epoch_begin(self, epoch, logs=None):
        self._reset()
        if self.verbose and self.epochs > 1:
            write(f"Epoch {epoch + 1}/{self.epochs}\n")

    def on_epoch_end(self, epoch, logs=None):
        self._finish(logs)

    def on_test_begin(self, logs=None):
        if not self._training:
            self._reset()

    def on_test_end(self, logs=None):
        if not self._training:
            self._finish(logs)

    def on_predict_begin(self, logs=None):
        self._reset()

    def on_predict_end(self, logs=None):
        self._finish(logs)

    def on_train_batch_end(self, batch, logs=None):
        self._step(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        if not self._training:
            self._step(batch, logs)

    def on_predict_batch_end(self, batch, logs=None):
        self._step(batch, None)  # the outputs are no numbers to show

    def _reset(self) -> None:
        self.seen = 0
        self.progbar = None

    def _bar(self) -> Progbar:
        if self.progbar is None:
            # Values are averages over the epoch already: show them as they come.
            interval = 0.5 if in_notebook() else 0.25
            self.progbar = Progbar(
                self.target, verbose=self.verbose, interval=interval, stateless_metrics=()
            )
        return self.progbar

    def _step(self, batch: int, logs) -> None:
        self.seen = batch + 1
        bar = self.progbar or self._bar()
        values = list((logs or {}).items()) if bar.due() else ()
        bar.update(self.seen, values, finalize=False)

    def _finish(self, logs) -> None:
        bar = self._bar()
        if self.target is None:  # now it is known for the next epoch
            self.target = bar.target = self.seen
        if self.verbose:
            bar.update(self.seen, _numbers(logs), finalize=True)


def _numbers(logs) -> list:
    return [(name, value) for name, value in (logs or {}).items() if name != "outputs"]
