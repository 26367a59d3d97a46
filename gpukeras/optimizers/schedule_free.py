"""Schedule-free AdamW: averaging in the place of a falling learning rate."""

from __future__ import annotations

from gpukeras.tensor import Tensor

from .optimizer import Optimizer


class ScheduleFreeAdamW(Optimizer):
    """Train at a point between Adam's weights and their mean, so that no schedule needs to know the end.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1 : float
        How far the weights of the model are on the way from Adam's (0) to their mean (1).
    beta_2 : float
        Decay rate of the mean square.
    epsilon : float
    warmup_steps : int
        Steps in which the learning rate rises from zero.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    ``v += (1 - beta_2) (g² - v)``, ``z -= lr g / (sqrt(v / (1 - beta_2^t)) + epsilon)``,
    ``x += (z - x) / t``; the model has ``beta_1 x + (1 - beta_1) z``. Only ``z`` and ``v`` are kept.

    References
    ----------
    Defazio et al., The Road Less Scheduled, arXiv:2405.15682

    Examples
    --------
    >>> import gpukeras as keras
    >>> w = keras.Variable([1.0])
    >>> optimizer = keras.optimizers.ScheduleFreeAdamW(0.1)
    >>> optimizer.apply([keras.ops.convert_to_tensor([2.0])], [w])
    >>> w.numpy().round(4)
    array([0.9], dtype=float32)
    """

    counts_on_device = True

    def __init__(
        self, learning_rate=0.0025, beta_1=0.9, beta_2=0.999, epsilon=1e-8, warmup_steps=0, weight_decay=None,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            self._trainable_variables, ["momentum", "velocity"]
        )
        for momentum, variable in zip(self._momentums, self._trainable_variables):
            if momentum is not None:
                momentum.assign(Tensor(variable.array))

    def _flat_rate(self, learning_rate):
        if self.warmup_steps <= 0:
            return learning_rate
        part = self._local_step / self.warmup_steps
        return learning_rate * (min(part, 1.0) if isinstance(part, float) else part.clip(0.0, 1.0))

    def update_flat(self, backend, p, g, slots, learning_rate):
        step = self._local_step
        backend.schedule_free_update(
            p, g, slots["momentum"], slots["velocity"], learning_rate=learning_rate, beta_1=self.beta_1,
            beta_2=self.beta_2, epsilon=self.epsilon, correction=1 - self.beta_2**step, weight=1 / step,
        )

    def get_config(self):
        return {
            **super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }
