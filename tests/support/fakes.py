"""Stand-ins for a model, so that callbacks are tested by themselves."""

from __future__ import annotations

import numpy as np

from gpukeras.callbacks import CallbackList


class FakeOptimizer:
    def __init__(self, learning_rate=0.1):
        self.learning_rate = learning_rate


class FakeModel:
    """A model whose one weight is the number of the epoch it was trained for."""

    def __init__(self, learning_rate=0.1):
        self.optimizer = FakeOptimizer(learning_rate)
        self.stop_training = False
        self.history = None
        self.metrics = []
        self.weight = np.float32(-1)
        self.saved = []

    def get_weights(self):
        return [np.array(self.weight)]

    def set_weights(self, weights):
        self.weight = np.float32(weights[0])

    def save(self, path, overwrite=True):
        self.saved.append(("model", str(path)))

    def save_weights(self, path, overwrite=True):
        self.saved.append(("weights", str(path)))


def run(callbacks, epochs, model=None, batches=0):
    """Drive callbacks like ``fit``; ``epochs`` lists the logs of each epoch. Returns the model."""
    model = model or FakeModel()
    params = {"verbose": 0, "epochs": len(epochs), "steps": batches}
    hooks = CallbackList(callbacks, add_history=True, model=model, **params)
    model.stop_training = False
    hooks.on_train_begin()
    logs = {}
    for epoch, values in enumerate(epochs):
        logs = dict(values)
        hooks.on_epoch_begin(epoch)
        model.weight = np.float32(epoch)
        for batch in range(batches):
            hooks.on_train_batch_begin(batch)
            hooks.on_train_batch_end(batch, dict(values))
            if model.stop_training:
                break
        hooks.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    hooks.on_train_end(logs)
    return model
