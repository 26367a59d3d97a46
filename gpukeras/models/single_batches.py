"""Training, evaluation and prediction of one batch at a time."""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, tree
from gpukeras.backends import threads
from gpukeras.callbacks.logs import host_values
from gpukeras.models.data import one_batch
from gpukeras.models.training import Trainer, flat_logs
from gpukeras.tensor import Tensor


class SingleBatches(Trainer):
    """``train_on_batch`` and its like; a part of ``Model``."""

    @threads.session()
    def train_on_batch(self, x, y=None, sample_weight=None, class_weight=None, return_dict=False,
                       reset_metrics=False):
        """Train on one batch and return its loss and metrics.

        Metrics go on counting over the calls, as in Keras 3; ``reset_metrics=True`` starts them anew first.
        """
        self._need_compile("train_on_batch")
        step = self._step_function()
        return self._on_batch(step, x, y, sample_weight, class_weight, return_dict, reset_metrics)

    @threads.session()
    def test_on_batch(self, x, y=None, sample_weight=None, return_dict=False, reset_metrics=False):
        """Return the loss and metrics of one batch, in test mode."""
        self._need_compile("test_on_batch")
        with autograd.no_recording():
            step = self._evaluation_function()
            return self._on_batch(step, x, y, sample_weight, None, return_dict, reset_metrics)

    def _on_batch(self, step, x, y, sample_weight, class_weight, return_dict, reset_metrics):
        if reset_metrics:
            self.reset_metrics()
        if self._captured is None or self._captured.latest is None:  # recorded steps: the metrics are settled
            self._metrics_cached = None
        logs = host_values(flat_logs(step(one_batch(x, y, sample_weight, class_weight))) or {})
        if return_dict:
            return logs
        values = list(logs.values())
        return values[0] if len(values) == 1 else values

    @threads.session()
    def predict_on_batch(self, x):
        """Return the outputs for one batch as NumPy arrays."""
        with autograd.no_recording():
            outputs = self.predict_step(one_batch(x, None, None, None))
        return tree.map_structure(lambda t: t.numpy() if isinstance(t, Tensor) else np.asarray(t), outputs)
