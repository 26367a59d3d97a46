"""``TerminateOnNaN``: end a run that is lost."""

from __future__ import annotations

import math

from .callback import Callback


class TerminateOnNaN(Callback):
    """End training as soon as the loss is no number.

    Parameters
    ----------
    raise_error : bool
        Raise ``RuntimeError`` instead of ending quietly.

    Notes
    -----
    The loss is read after every batch, so a GPU waits there. To find out which layer made the first such
    value, see ``keras.config.check_numerics``.
    """

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch, logs=None):
        loss = (logs or {}).get("loss")
        if loss is None or math.isfinite(float(loss)):
            return
        if self.raise_error:
            raise RuntimeError(f"batch {batch}: the loss is {float(loss)}")
        print(f"\nBatch {batch}: Invalid loss, terminating training")
        self.model.stop_training = True
