"""Adam and its relatives: running moments of the gradient."""

from __future__ import annotations

import math

from gpukeras import backends
from gpukeras.tensor import Variable

from .deferred import DeferredAdam, can_defer
from .optimizer import Optimizer


class _Moments(Optimizer):
    """What the family shares: two decay rates and an epsilon."""

    def __init__(
        self, learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm,
        use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name,
        **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = 1e-7 if epsilon is None else epsilon

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            self._trainable_variables, ["momentum", "velocity"]
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2, "epsilon": self.epsilon}


class Adam(_Moments):
    """Running mean and mean square of the gradient, both corrected for their start at zero.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
        Decay rates of the mean and of the mean square.
    epsilon : float
        Added to the root ("epsilon hat" of the paper).
    amsgrad : bool
        Divide by the largest mean square so far.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``. ``adaptive_epsilon=True`` (``tf.keras``) takes ``epsilon`` as that of the paper's
        algorithm: the formula below has ``epsilon sqrt(1 - beta_2^t)`` then.

    Notes
    -----
    ``m += (1 - beta_1) (g - m); v += (1 - beta_2) (g² - v);``
    ``w -= lr sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)``

    References
    ----------
    Kingma and Ba, Adam, arXiv:1412.6980; Reddi et al., On the Convergence of Adam, ICLR 2018 (amsgrad)

    Examples
    --------
    >>> import gpukeras as keras
    >>> w = keras.Variable([1.0])
    >>> optimizer = keras.optimizers.Adam(0.1)
    >>> optimizer.apply([keras.ops.convert_to_tensor([2.0])], [w])
    >>> w.numpy().round(4), int(optimizer.iterations)
    (array([0.9], dtype=float32), 1)
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False, weight_decay=None,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):
        adaptive = bool(kwargs.pop("adaptive_epsilon", False))
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )
        self.amsgrad = amsgrad
        self.adaptive_epsilon = adaptive
        self.recordable = not adaptive

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(self._trainable_variables, "velocity_hat")

    recordable = True

    def _flat_rate(self, learning_rate):
        if self._device_step is not None:
            counter = self._iterations
            return counter.backend.adam_rate(learning_rate, counter.array, self.beta_1, self.beta_2)
        step = self._local_step
        return learning_rate * (math.sqrt(1 - self.beta_2**step) / (1 - self.beta_1**step))

    def update_flat(self, backend, p, g, slots, learning_rate):
        epsilon = self.epsilon
        if self.adaptive_epsilon:
            epsilon *= math.sqrt(1 - self.beta_2**self._local_step)
        backend.adam_update(
            p, g, slots["momentum"], slots["velocity"], slots.get("velocity_hat"),
            learning_rate=learning_rate, beta_1=self.beta_1, beta_2=self.beta_2, epsilon=epsilon,
        )

    def _update_rows(self, run, g, learning_rate):
        own = type(self).update_flat is Adam.update_flat
        if not own or self.amsgrad or self.adaptive_epsilon or not self.beta_1 or not self.beta_2:
            return False
        if deferred := self._deferred_rows(run):
            deferred.apply(g.rows, g.values, float(learning_rate))
        else:
            run.backend.adam_update_rows(
                run.p, g, run.slots["momentum"], run.slots["velocity"], learning_rate=learning_rate,
                beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon,
            )
        return True

    def _deferred_rows(self, run):
        """Return who puts off the steps of the run's table, or ``None`` where that may not be."""
        index = run.places[0][0]
        found = self._deferred.get(index)
        settings = (self.beta_1, self.beta_2, self.epsilon)
        if found is not None:
            if found.settings == settings:
                return found
            self._catch_up(index)
        variable = self._trainable_variables[index]
        plain = self.weight_decay is None and not self.use_ema and run.backend is backends.CPU
        if not plain or not can_defer(variable, *settings):
            return None
        slots = (self._momentums[index], self._velocities[index])
        found = self._deferred[index] = DeferredAdam(variable, *slots, *settings)
        return found

    def get_config(self):
        extra = {"adaptive_epsilon": True} if self.adaptive_epsilon else {}  # Keras 3 does not know it
        return {**super().get_config(), "amsgrad": self.amsgrad, **extra}


class AdamW(Adam):
    """Adam with decoupled weight decay: ``w -= lr * weight_decay * w`` beside Adam's step.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    weight_decay : float
    beta_1, beta_2, epsilon, amsgrad
        As for ``Adam``.
    clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
    gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    References
    ----------
    Loshchilov and Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101

    Examples
    --------
    >>> import gpukeras as keras
    >>> optimizer = keras.optimizers.AdamW(1e-3, weight_decay=0.01)
    >>> optimizer.exclude_from_weight_decay(var_names=["bias"])
    """

    def __init__(
        self, learning_rate=0.001, weight_decay=0.004, beta_1=0.9, beta_2=0.999, epsilon=1e-7, amsgrad=False,
        clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99,
        ema_overwrite_frequency=None, loss_scale_factor=None, gradient_accumulation_steps=None, name=None,
        **kwargs,
    ):
        if weight_decay is None:
            raise ValueError("AdamW: weight_decay must be a number, came None; without decay use Adam")
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay, clipnorm, clipvalue,
            global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
            gradient_accumulation_steps, name, **kwargs,
        )


class Adamax(_Moments):
    """Adam with the largest recent gradient in the place of the root mean square.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2 : float
        Decay rates of the mean and of the infinity norm.
    epsilon : float
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    ``m += (1 - beta_1) (g - m); u = max(beta_2 u, |g|); w -= lr / (1 - beta_1^t) * m / (u + epsilon)``

    References
    ----------
    Kingma and Ba, Adam, section 7.1, arXiv:1412.6980

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Adamax().beta_2
    0.999
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None, clipnorm=None,
        clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )

    def build(self, variables):
        if self.built:
            return
        Optimizer.build(self, variables)
        self._m, self._u = self.add_optimizer_variables(self._trainable_variables, ["momentum", "norm"])

    recordable = True

    def _flat_rate(self, learning_rate):
        if self._device_step is not None:
            return self._iterations.backend.adamax_rate(learning_rate, self._iterations.array, self.beta_1)
        return learning_rate / (1 - self.beta_1**self._local_step)

    def update_flat(self, backend, p, g, slots, learning_rate):
        backend.adamax_update(
            p, g, slots["momentum"], slots["norm"], beta_1=self.beta_1, beta_2=self.beta_2,
            epsilon=self.epsilon, learning_rate=learning_rate,
        )


class Nadam(_Moments):
    """Adam with Nesterov momentum, whose strength grows with the steps.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2, epsilon
        As for ``Adam``.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.
        ``schedule_decay`` (Keras 2; 0.004 there) slows the growth of the momentum down; 1 in Keras 3.

    Notes
    -----
    ``u_t = beta_1 (1 - 0.96^t / 2)``, ``U_t`` the product of all ``u`` up to t; moments as in Adam;
    ``w -= lr * (u_{t+1} m / (1 - U_{t+1}) + (1 - u_t) g / (1 - U_t)) / (sqrt(v / (1 - beta_2^t)) + epsilon)``

    References
    ----------
    Dozat, Incorporating Nesterov Momentum into Adam, ICLR workshop 2016

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Nadam().beta_1
    0.9
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None, clipnorm=None,
        clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        self.schedule_decay = kwargs.pop("schedule_decay", 1.0)
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        dtype = self._trainable_variables[0].dtype if self._trainable_variables else None
        self._u_product = Variable(1.0, dtype=dtype, trainable=False)
        self._host_product, self._product_version = 1.0, self._u_product.version
        self._factors = None

    def _momentum_at(self, step: int) -> float:
        return self.beta_1 * (1 - 0.5 * 0.96 ** (step * self.schedule_decay))

    def _begin_update(self) -> None:
        """Take this step's momentum into the product: on the host for the rule, in a variable for files."""
        product = self._u_product
        if self._device_step is not None:
            self._factors = product.backend.nadam_factors(
                self._iterations.array, product.array, self.beta_1, self.beta_2, self.schedule_decay
            )
            product.version += 1
            return
        if product.version != self._product_version:  # loaded from a file
            self._host_product = float(product.numpy())
        self._host_product *= self._momentum_at(self._local_step)
        product.array.fill(self._host_product)
        product.version += 1
        self._product_version = product.version

    counts_on_device = True

    @property
    def device_state(self):
        return [self._u_product]

    def update_flat(self, backend, p, g, slots, learning_rate):
        if self._device_step is not None:
            backend.nadam_update(
                p, g, slots["momentum"], slots["velocity"], learning_rate=learning_rate, beta_1=self.beta_1,
                beta_2=self.beta_2, epsilon=self.epsilon, momentum_factor=0.0, gradient_factor=0.0,
                correction=1.0, factors=self._factors,
            )
            return
        step, product = self._local_step, self._host_product
        now, then = self._momentum_at(step), self._momentum_at(step + 1)
        backend.nadam_update(
            p, g, slots["momentum"], slots["velocity"], learning_rate=learning_rate, beta_1=self.beta_1,
            beta_2=self.beta_2, epsilon=self.epsilon, momentum_factor=then / (1 - product * then),
            gradient_factor=(1 - now) / (1 - product), correction=1 - self.beta_2**step,
        )

    def get_config(self):
        config = super().get_config()
        if self.schedule_decay != 1.0:  # Keras 3 does not know it
            config["schedule_decay"] = self.schedule_decay
        return config


class Lion(Optimizer):
    """Step by the sign of a blend of momentum and gradient.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
        Usually 3 to 10 times smaller than for Adam.
    beta_1 : float
        Blend for the step, in (0, 1].
    beta_2 : float
        Decay rate of the momentum.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    ``w -= lr * sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g``

    References
    ----------
    Chen et al., Symbolic Discovery of Optimization Algorithms, arXiv:2302.06675

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Lion().beta_2
    0.99
    """

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.99, weight_decay=None, clipnorm=None,
        clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        if not 0 < beta_1 <= 1:
            raise ValueError(f"Lion: beta_1 must be in (0, 1], came {beta_1}; otherwise it is sign descent")
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._momentums = self.add_optimizer_variables(self._trainable_variables, "momentum")

    recordable = True

    def update_flat(self, backend, p, g, slots, learning_rate):
        backend.lion_update(
            p, g, slots["momentum"], learning_rate=learning_rate, beta_1=self.beta_1, beta_2=self.beta_2
        )

    def get_config(self):
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}


class Lamb(_Moments):
    """Adam whose step for each variable is as long as the variable itself: for very large batches.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    beta_1, beta_2, epsilon
        As for ``Adam``.
    weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency,
    loss_scale_factor, gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.

    Notes
    -----
    With ``u = m / (1 - beta_1^t) / (sqrt(v / (1 - beta_2^t)) + epsilon)``: ``w -= lr * |w| / |u| * u``, where
    a norm of zero counts as a ratio of one.

    References
    ----------
    You et al., Large Batch Optimization for Deep Learning, arXiv:1904.00962

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.Lamb().epsilon
    1e-07
    """

    elementwise = False

    def __init__(
        self, learning_rate=0.001, beta_1=0.9, beta_2=0.999, epsilon=1e-7, weight_decay=None, clipnorm=None,
        clipvalue=None, global_clipnorm=None, use_ema=False, ema_momentum=0.99, ema_overwrite_frequency=None,
        loss_scale_factor=None, gradient_accumulation_steps=None, name=None, **kwargs,
    ):
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, weight_decay, clipnorm, clipvalue, global_clipnorm,
            use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps,
            name, **kwargs,
        )

    counts_on_device = True

    def update_flat(self, backend, p, g, slots, learning_rate):
        if self._device_step is not None:
            corrections = backend.lamb_corrections(self._iterations.array, self.beta_1, self.beta_2)
        else:
            corrections = 1 - self.beta_1**self._local_step, 1 - self.beta_2**self._local_step
        backend.lamb_update(
            p, g, slots["momentum"], slots["velocity"], learning_rate=learning_rate, beta_1=self.beta_1,
            beta_2=self.beta_2, epsilon=self.epsilon, corrections=corrections,
        )
