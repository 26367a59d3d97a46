"""``tf.keras.models.experimental``: training that looks for flat minima."""

from __future__ import annotations

from gpukeras import autograd, ops
from gpukeras.autograd import GradientTape
from gpukeras.models.model import Model
from gpukeras.utils.structures import unpack_x_y_sample_weight


class SharpnessAwareMinimization(Model):
    """Train another model at the worst point near its weights.

    Parameters
    ----------
    model : Model
    rho : float
        How far away that point is.
    num_batch_splits : int, optional
        Look for it in so many parts of each batch by itself; their gradients are added up.
    name : str, optional

    Notes
    -----
    With the gradient ``g`` of the loss at ``w`` the step is along the gradient at ``w + rho g / |g|``. The
    loss is that of ``compile``, without penalties of weights.

    References
    ----------
    Foret et al., Sharpness-Aware Minimization for Efficiently Improving Generalization, arXiv:2010.01412

    Examples
    --------
    >>> import numpy as np
    >>> import gpukeras as keras
    >>> inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    >>> model = keras.models.experimental.SharpnessAwareMinimization(inner, rho=0.1)
    >>> model.compile("sgd", "mse")
    >>> history = model.fit(np.ones((4, 2)), np.ones((4, 1)), epochs=2, verbose=0)
    >>> history.history["loss"][1] < history.history["loss"][0]
    True
    """

    def __init__(self, model, rho=0.05, num_batch_splits=None, name=None):
        super().__init__(name=name)
        self.model = model
        self.rho = rho
        self.num_batch_splits = num_batch_splits

    def call(self, inputs, **kwargs):  # type: ignore[override]  # whatever the inner model takes
        return self.model(inputs, **kwargs)

    def train_step(self, data):
        """Train on one batch."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        if self._compile_loss is None:
            raise ValueError(f"model {self.name!r} needs a loss: compile(optimizer, loss)")
        count = self.num_batch_splits or 1
        parts = zip(*(
            [value] * count if value is None or count == 1 else ops.split(value, count)
            for value in (x, y, sample_weight)
        ))
        predictions, total = [], None
        for part in parts:
            y_pred, gradients = self._gradients_nearby(*part)
            predictions.append(y_pred)
            total = gradients if total is None else [
                a if b is None else b if a is None else a + b for a, b in zip(total, gradients)]
        variables = self.model.trainable_variables
        self.optimizer.apply(total, variables)
        y_pred = predictions[0] if count == 1 else ops.concatenate(predictions)
        self._loss_tracker.update_state(self.compiled_loss(y, y_pred, sample_weight))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def _gradients_nearby(self, x, y, sample_weight):
        """Return the outputs at the weights, and the gradients at the worst point near them."""
        with GradientTape() as tape:
            y_pred = self(x)
            loss = self.compiled_loss(y, y_pred, sample_weight)
        variables = self.model.trainable_variables
        gradients = tape.gradient(loss, variables)
        with autograd.no_recording():
            squares = [ops.sum(ops.square(ops.cast(g, "float32"))) for g in gradients if g is not None]
            scale = self.rho / (ops.sqrt(sum(squares)) + 1e-12)
            steps = [None if g is None else ops.cast(g * ops.cast(scale, g.dtype), v.dtype)
                     for g, v in zip(gradients, variables)]
            before = [v.value for v in variables]
            for variable, step in zip(variables, steps):
                if step is not None:
                    variable.assign_add(step)
        try:
            with GradientTape() as tape:
                loss = self.compiled_loss(y, self(x, training=True), sample_weight)
            return y_pred, tape.gradient(loss, variables)
        finally:
            for variable, value in zip(variables, before):
                variable.assign(value)

    def get_config(self):
        from gpukeras.saving import serialize_keras_object

        return {
            "model": serialize_keras_object(self.model), "rho": self.rho,
            "num_batch_splits": self.num_batch_splits, "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras.saving import deserialize_keras_object

        config = {k: v for k, v in config.items() if k not in ("trainable", "dtype")}
        model = deserialize_keras_object(config.pop("model"), custom_objects=custom_objects)
        return cls(model, **config)
