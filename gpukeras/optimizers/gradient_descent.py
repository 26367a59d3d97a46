"""Gradient descent, with and without momentum."""

from __future__ import annotations

from .optimizer import Optimizer


class SGD(Optimizer):
    """Gradient descent with optional momentum.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    momentum : float
        Share of the last step that goes on, in [0, 1].
    nesterov : bool
        Look ahead along the momentum.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    Without momentum ``w -= lr * g``. With it ``m = momentum * m - lr * g``, then ``w += m``, or with Nesterov
    ``w += momentum * m - lr * g``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> w = keras.Variable([1.0])
    >>> optimizer = keras.optimizers.SGD(0.1)
    >>> optimizer.apply([keras.ops.convert_to_tensor([2.0])], [w])
    >>> w.numpy()
    array([0.8], dtype=float32)
    """

    def __init__(
        self, learning_rate=0.01, momentum=0.0, nesterov=False, weight_decay=None, clipnorm=None,
        clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ValueError(f"SGD: momentum must be a number in [0, 1], came {momentum!r}")
        self.momentum = momentum
        self.nesterov = nesterov

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        if self.momentum:
            self.momentums = self.add_optimizer_variables(self._trainable_variables, "momentum")

    recordable = True

    def update_flat(self, backend, p, g, slots, learning_rate):
        if "momentum" in slots:
            backend.momentum_update(
                p, g, slots["momentum"], learning_rate=learning_rate, momentum=self.momentum,
                nesterov=self.nesterov,
            )
        else:
            backend.sgd_update(p, g, learning_rate=learning_rate)

    def _update_rows(self, run, g, learning_rate):
        if "momentum" in run.slots or type(self).update_flat is not SGD.update_flat:
            return False
        run.backend.sgd_update_rows(run.p, g, learning_rate=learning_rate)
        return True

    def get_config(self):
        return {**super().get_config(), "momentum": self.momentum, "nesterov": self.nesterov}
