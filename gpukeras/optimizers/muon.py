"""Muon: orthogonal steps for matrices, Adam's for everything else."""

from __future__ import annotations

import math
import re

from .optimizer import Optimizer


class Muon(Optimizer):
    """Give the momentum of every matrix nearly equal singular values before it becomes a step.

    Parameters
    ----------
    learning_rate : float, LearningRateSchedule or callable
    adam_beta_1, adam_beta_2, epsilon : float
        Of Adam, for the variables that are no matrices or are excluded.
    adam_weight_decay, weight_decay : float, optional
        Decoupled decay of the variables under Adam, and of the matrices.
    clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum, ema_overwrite_frequency, loss_scale_factor,
    gradient_accumulation_steps, name, **kwargs
        See ``Optimizer``.
    exclude_layers : list of str, optional
        Regular expressions; variables in whose path one is found are left to Adam.
    exclude_embeddings : bool
        Leave variables to Adam whose path contains "embedding".
    muon_a, muon_b, muon_c : float
        Coefficients of the iteration.
    adam_lr_ratio : float
        What the learning rate is multiplied by for Adam.
    momentum : float
    ns_steps : int
        Number of iterations.
    nesterov : bool
        Look ahead along the momentum.
    rms_rate : float, optional
        Root mean square of the steps relative to the rate: steps of a matrix of n times m are multiplied by
        ``sqrt(max(n, m)) rms_rate``. ``None``: they are not.

    Notes
    -----
    ``m = momentum m + g``, ``x = g + momentum m`` (or ``m``), ``x = x / |x|``; then ``ns_steps`` times
    ``x = a x + b (x x') x + c (x x')² x``; ``w -= lr sqrt(max(n, m)) rms_rate x``.

    References
    ----------
    Jordan et al., Muon: An optimizer for hidden layers in neural networks (2024);
    Liu et al., Muon is Scalable for LLM Training, arXiv:2502.16982

    Examples
    --------
    >>> import gpukeras as keras
    >>> w = keras.Variable([[3.0, 0.0], [0.0, 1.0]])
    >>> optimizer = keras.optimizers.Muon(0.1, weight_decay=None)
    >>> optimizer.apply([keras.ops.convert_to_tensor([[5.0, 0.0], [0.0, 2.0]])], [w])
    >>> (w.numpy() < [[3.0, 0.1], [0.1, 1.0]]).tolist()
    [[True, True], [True, True]]
    """

    counts_on_device = True

    def __init__(
        self, learning_rate=0.001, adam_beta_1=0.9, adam_beta_2=0.999, adam_weight_decay=0.004, epsilon=1e-7,
        weight_decay=0.004, clipnorm=None, clipvalue=None, global_clipnorm=None, use_ema=False,
        ema_momentum=0.99, ema_overwrite_frequency=None, loss_scale_factor=None,
        gradient_accumulation_steps=None, name=None, exclude_layers=None, exclude_embeddings=True,
        muon_a=3.4445, muon_b=-4.7750, muon_c=2.0315, adam_lr_ratio=1, momentum=0.95, ns_steps=5,
        nesterov=True, rms_rate=0.2, **kwargs,
    ):
        super().__init__(
            learning_rate, weight_decay, clipnorm, clipvalue, global_clipnorm, use_ema, ema_momentum,
            ema_overwrite_frequency, loss_scale_factor, gradient_accumulation_steps, name, **kwargs,
        )
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = list(exclude_layers or [])
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.momentums: list = []
        self.adam_velocities: list = []
        for variable in self._trainable_variables:
            momentum = velocity = None
            if not variable.overwrite_with_gradient:
                momentum = self.add_variable_from_reference(variable, "momentum")
                if self._left_to_adam(variable):
                    velocity = self.add_variable_from_reference(variable, "velocity")
            self.momentums.append(momentum)
            self.adam_velocities.append(velocity)
        self._slot_lists["momentum"] = self.momentums
        self._slot_lists["velocity"] = self.adam_velocities

    def _left_to_adam(self, variable) -> bool:
        if len(variable.shape) != 2:
            return True
        if self.exclude_embeddings and "embedding" in variable.path.lower():
            return True
        return any(re.search(keyword, variable.path) for keyword in self.exclude_layers)

    def _apart(self):
        return frozenset(i for i, v in enumerate(self.adam_velocities) if v is None)

    # ---- decay ---
    def _decays(self):
        return self.weight_decay is not None or self.adam_weight_decay is not None

    def _decay_weights(self, plan, rate):
        if plan.decayed is None:
            plan.decayed = []
            of_adam = {i for i, v in enumerate(self.adam_velocities) if v is not None}
            for decay, kind in ((self.adam_weight_decay, of_adam), (self.weight_decay, self._apart())):
                wanted = {i for i in kind if self._use_weight_decay(self._trainable_variables[i])}
                if decay is not None:
                    plan.decayed += [(run, decay, p) for run in plan.runs for p in run.stretches(wanted)]
        for run, decay, p in plan.decayed:
            run.backend.decay_weights(p, rate * decay)

    # ---- steps ---
    def _adam_rate(self, rate):
        rate = rate * self.adam_lr_ratio
        if self._device_step is not None:
            counter = self._iterations
            return counter.backend.adam_rate(rate, counter.array, self.adam_beta_1, self.adam_beta_2)
        step = self._local_step
        return rate * (math.sqrt(1 - self.adam_beta_2**step) / (1 - self.adam_beta_1**step))

    def _update_run(self, run, g, learning_rate):
        if "velocity" in run.slots:
            run.backend.adam_update(
                run.p, g, run.slots["momentum"], run.slots["velocity"],
                learning_rate=self._adam_rate(learning_rate), beta_1=self.adam_beta_1,
                beta_2=self.adam_beta_2, epsilon=self.epsilon,
            )
            return
        shape = self._trainable_variables[run.places[0][0]].shape
        scale = 1.0 if self.rms_rate is None else math.sqrt(max(shape)) * self.rms_rate
        run.backend.muon_update(
            run.p, g, run.slots["momentum"], shape=shape, learning_rate=learning_rate * scale,
            momentum=self.momentum, nesterov=self.nesterov, steps=self.ns_steps,
            coefficients=(self.muon_a, self.muon_b, self.muon_c),
        )

    def get_config(self):
        names = ("adam_beta_1", "adam_beta_2", "epsilon", "exclude_layers", "muon_a", "muon_b", "muon_c",
                 "adam_lr_ratio", "momentum", "ns_steps", "nesterov", "exclude_embeddings",
                 "adam_weight_decay", "rms_rate")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
