"""``CSVLogger``: one line of a file per epoch."""

from __future__ import annotations

import csv
import os

import numpy as np

from .callback import Callback


class CSVLogger(Callback):
    """Write the values of every epoch into a CSV file.

    Parameters
    ----------
    filename : str or path
    separator : str
    append : bool
        Continue a file instead of replacing it.

    Notes
    -----
    The columns are ``epoch`` and the names of the first epoch in alphabetical order; where a later epoch has
    no value for one, ``NA`` is written. A ``val_`` column is kept for every metric, because validation may
    come in later epochs only.
    """

    def __init__(self, filename, separator: str = ",", append: bool = False):
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self.keys: list[str] | None = None
        self.append_header = True

    def on_train_begin(self, logs=None):
        self.append_header = True
        if self.append and os.path.exists(self.filename):
            with open(self.filename, newline="") as f:
                self.append_header = not f.readline().strip()
        self.keys = None
        # The file is open only while a line is written: a run that breaks off leaves nothing open.
        with open(self.filename, "a" if self.append else "w"):
            pass

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys if key != "learning_rate"]
        with open(self.filename, "a", newline="") as f:
            writer = csv.writer(f, delimiter=self.separator, lineterminator="\n")
            if self.append_header:
                writer.writerow(["epoch", *self.keys])
                self.append_header = False
            writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])


def _cell(value):
    if isinstance(value, (list, tuple, np.ndarray)) and np.ndim(value):
        return "[" + ", ".join(map(str, value)) + "]"
    return value
