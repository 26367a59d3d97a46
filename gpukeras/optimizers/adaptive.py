"""Optimizers that scale each weight's step by the size of its past gradients: Adagrad and what followed."""

from __future__ import annotations

from gpukeras import config

from .optimizer import Optimizer


class Adagrad(Optimizer):
    """Divide each step by the root of all squared gradients so far.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    initial_accumulator_value : float
        Where the sum of squares starts; not negative.
    epsilon : float
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    ``s += g²; w -= lr * g / sqrt(s + epsilon)``

    References
    ----------
    Duchi et al., Adaptive Subgradient Methods, JMLR 12 (2011)

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Adagrad(0.1).get_config()["initial_accumulator_value"]
    0.1
    """

    def __init__(
        self, learning_rate=0.001, initial_accumulator_value=0.1, epsilon=1e-7, weight_decay=None,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        if initial_accumulator_value < 0:
            raise ValueError(
                f"Adagrad: initial_accumulator_value must be >= 0, came {initial_accumulator_value}"
            )
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = 1e-7 if epsilon is None else epsilon
        self._epsilon_beside_root = config.standalone_era()

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._accumulators = self.add_optimizer_variables(
            self._trainable_variables, "accumulator", float(self.initial_accumulator_value)
        )

    recordable = True

    def update_flat(self, backend, p, g, slots, learning_rate):
        s = slots["accumulator"]
        if self._epsilon_beside_root:
            backend.root_update(
                p, g, s, learning_rate=learning_rate, keep=1.0, gain=1.0, epsilon=self.epsilon)
        else:
            backend.adagrad_update(p, g, s, learning_rate=learning_rate, epsilon=self.epsilon)

    def _update_rows(self, run, g, learning_rate):
        if type(self).update_flat is not Adagrad.update_flat or self._epsilon_beside_root:
            return False
        run.backend.adagrad_update_rows(
            run.p, g, run.slots["accumulator"], learning_rate=learning_rate, epsilon=self.epsilon
        )
        return True

    def get_config(self):
        return {
            **super().get_config(), "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }


class Adadelta(Optimizer):
    """Adagrad with forgetting, and steps in the units of the weights.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        The paper's form is 1.0.
    rho : float
        Decay of the averages.
    epsilon : float
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    ``s = rho s + (1 - rho) g²; step = g sqrt(d + epsilon) / sqrt(s + epsilon);``
    ``d = rho d + (1 - rho) step²; w -= lr * step``

    References
    ----------
    Zeiler, ADADELTA, arXiv:1212.5701

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Adadelta().rho
    0.95
    """

    def __init__(
        self, learning_rate=0.001, rho=0.95, epsilon=1e-7, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        self.rho = rho
        self.epsilon = 1e-7 if epsilon is None else epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            self._trainable_variables, ["accumulated_grad", "accumulated_delta_var"]
        )

    recordable = True

    def update_flat(self, backend, p, g, slots, learning_rate):
        backend.adadelta_update(
            p, g, slots["accumulated_grad"], slots["accumulated_delta_var"], learning_rate=learning_rate,
            rho=self.rho, epsilon=self.epsilon,
        )

    def get_config(self):
        return {**super().get_config(), "rho": self.rho, "epsilon": self.epsilon}


class RMSprop(Optimizer):
    """Divide each step by a running root mean square of the gradient.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    rho : float
        Decay of the averages.
    momentum : float
    epsilon : float
        Added under the root, as in Keras 3.
    centered : bool
        Subtract the squared mean of the gradient from its mean square.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    ``v = rho v + (1 - rho) g²; step = lr * g / sqrt(v + epsilon)``; with ``centered`` the mean of ``g``,
    squared, is taken from ``v``; with momentum ``m = momentum * m + step; w -= m``, else ``w -= step``.

    References
    ----------
    Tieleman and Hinton, Lecture 6.5, Coursera 2012; Graves, arXiv:1308.0850 (centred form)

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.RMSprop(learning_rate=1e-4).get_config()["learning_rate"]
    0.0001
    """

    def __init__(
        self, learning_rate=0.001, rho=0.9, momentum=0.0, epsilon=1e-7, centered=False, weight_decay=None,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        self.rho = rho
        self.momentum = momentum
        self.epsilon = 1e-7 if epsilon is None else epsilon
        self.centered = centered
        self._epsilon_beside_root = config.standalone_era()

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        variables = self._trainable_variables
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        self._momentums = self.add_optimizer_variables(variables, "momentum") if self.momentum > 0 else []
        self._average_gradients = (
            self.add_optimizer_variables(variables, "average_gradient") if self.centered else []
        )

    recordable = True

    def update_flat(self, backend, p, g, slots, learning_rate):
        if self._epsilon_beside_root and "momentum" not in slots:
            backend.root_update(
                p, g, slots["velocity"], slots.get("average_gradient"), learning_rate=learning_rate,
                keep=self.rho, gain=1 - self.rho, epsilon=self.epsilon,
            )
            return
        backend.rmsprop_update(
            p, g, slots["velocity"], slots.get("momentum"), slots.get("average_gradient"),
            learning_rate=learning_rate, rho=self.rho, momentum=self.momentum, epsilon=self.epsilon,
        )

    def _update_rows(self, run, g, learning_rate):
        if type(self).update_flat is not RMSprop.update_flat or self._epsilon_beside_root:
            return False
        if len(run.slots) > 1:  # momentum moves all rows
            return False
        run.backend.rmsprop_update_rows(
            run.p, g, run.slots["velocity"], learning_rate=learning_rate, rho=self.rho, epsilon=self.epsilon
        )
        return True

    def get_config(self):
        return {
            **super().get_config(), "rho": self.rho, "momentum": self.momentum, "epsilon": self.epsilon,
            "centered": self.centered,
        }


class Ftrl(Optimizer):
    """Follow the regularized leader, proximal form: sparse weights through an exact L1 step.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    learning_rate_power : float
        At most 0; how the rate falls with the squared gradients gathered (0: constant).
    initial_accumulator_value : float
        Where the sum of squares starts; not negative.
    l1_regularization_strength, l2_regularization_strength : float
        Penalties on the weights; not negative.
    l2_shrinkage_regularization_strength : float
        Penalty added to the gradient; not negative.
    beta : float
        As in the paper.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    With ``n`` the sum of ``g²`` before and ``n'`` after:
    ``z += g + 2 shrinkage w - (n'^-p - n^-p) / lr * w``;
    ``w = (clip(z, -l1, l1) - z) / (n'^-p / lr + 2 l2 + beta / lr)``, where p is ``learning_rate_power``.

    References
    ----------
    McMahan et al., Ad Click Prediction, KDD 2013, doi:10.1145/2487575.2488200

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Ftrl().learning_rate_power
    -0.5
    """

    def __init__(
        self, learning_rate=0.001, learning_rate_power=-0.5, initial_accumulator_value=0.1,
        l1_regularization_strength=0.0, l2_regularization_strength=0.0,
        l2_shrinkage_regularization_strength=0.0, beta=0.0, weight_decay=None, clipnorm=None, clipvalue=None,
        global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        for argument, value in {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }.items():
            if value < 0:
                raise ValueError(f"Ftrl: {argument} must be >= 0, came {value}")
        if learning_rate_power > 0:
            raise ValueError(f"Ftrl: learning_rate_power must be <= 0, came {learning_rate_power}")
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._accumulators, self._linears = self.add_optimizer_variables(
            self._trainable_variables, ["accumulator", "linear"],
            [float(self.initial_accumulator_value), "zeros"],
        )

    def update_flat(self, backend, p, g, slots, learning_rate):
        backend.ftrl_update(
            p, g, slots["accumulator"], slots["linear"], learning_rate=learning_rate,
            power=-self.learning_rate_power, l1=self.l1_regularization_strength,
            l2=self.l2_regularization_strength, shrinkage=self.l2_shrinkage_regularization_strength,
            beta=self.beta,
        )

    def get_config(self):
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
