"""Dynamic loss scaling for training in half precision."""

from __future__ import annotations

import operator

from gpukeras import backends, ops, tensor
from gpukeras.tensor import Tensor, Variable, to_array

from .optimizer import Optimizer

_OF_INNER = {
    "weight_decay": None, "clipnorm": None, "global_clipnorm": None, "clipvalue": None, "use_ema": False,
    "ema_momentum": 0.99, "ema_overwrite_frequency": None, "loss_scale_factor": None,
    "gradient_accumulation_steps": None,
}


class LossScaleOptimizer(Optimizer):
    """Scale the loss so that small gradients survive float16; leave out steps that overflow.

    Parameters
    ----------
    inner_optimizer : Optimizer
        What updates the weights.
    initial_scale : float
    dynamic_growth_steps : int
        After so many steps in a row without overflow the scale doubles; an overflow halves it.
    name : str, optional
    **kwargs
        ``dynamic`` of ``tf.keras``; where it is ``False`` the scale stays, and no step is left out.

    Notes
    -----
    On a GPU nobody waits to learn whether gradients are finite: the step is made, and taken back on the
    device where they are not. Only where the inner optimizer keeps averages (``use_ema``), accumulates
    gradients or has a rule of the user's, each step reads that from the device.

    References
    ----------
    Micikevicius et al., Mixed Precision Training, arXiv:1710.03740

    Examples
    --------
    >>> import gpukeras as keras
    >>> optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.5), initial_scale=8.0)
    >>> w = keras.Variable([1.0])
    >>> optimizer.apply([keras.ops.convert_to_tensor([8.0])], [w])
    >>> w.numpy(), float(optimizer.scale_loss(keras.ops.convert_to_tensor(2.0)))
    (array([0.5], dtype=float32), 16.0)
    """

    may_overflow = True

    def __init__(
        self, inner_optimizer, initial_scale=2.0**15, dynamic_growth_steps=2000, name=None, **kwargs,
    ):
        self.__dict__["dynamic"] = bool(kwargs.pop("dynamic", True))
        for argument in [k for k in kwargs if k in _OF_INNER]:
            if kwargs.pop(argument) != _OF_INNER[argument]:
                raise ValueError(f"LossScaleOptimizer: set {argument} on the inner optimizer")
        if not isinstance(inner_optimizer, Optimizer) or isinstance(inner_optimizer, LossScaleOptimizer):
            raise TypeError(
                f"LossScaleOptimizer: inner_optimizer must be another optimizer, came {inner_optimizer!r}"
            )
        self.__dict__["inner_optimizer"] = inner_optimizer
        super().__init__(0.0, name=name, **kwargs)
        self.initial_scale = float(initial_scale)
        self.dynamic_growth_steps = dynamic_growth_steps
        inner_optimizer.loss_scale_factor = None  # otherwise gradients would be scaled twice

    def build(self, variables):
        if self.built:
            return
        variables = list(variables)
        with backends.backend_scope(variables[0].backend if variables else backends.current()):
            self.step_counter = self.add_variable((), dtype="int32", name="step_counter")
            self.dynamic_scale = self.add_variable(
                (), self.initial_scale, dtype="float32", name="dynamic_scale"
            )
        self.inner_optimizer.build(variables)
        super().build(variables)

    @property
    def variables(self):
        return [*self._variables, *self.inner_optimizer.variables]

    @property
    def iterations(self):
        """Updates of the inner optimizer: steps that overflowed do not count."""
        return self.inner_optimizer.iterations

    @property
    def learning_rate(self):
        return self.inner_optimizer.learning_rate

    @learning_rate.setter
    def learning_rate(self, value):
        self.inner_optimizer.learning_rate = value

    # ---- steps ---------------------------------------------------------------------------------------
    def apply(self, grads, trainable_variables=None):
        """Update through the inner optimizer where all gradients are finite; adapt the scale."""
        grads = list(grads)
        if not grads:
            return
        if not self.built:
            self.build(self._variables_to_build(trainable_variables))
        inner = self.inner_optimizer
        if not self.dynamic:
            self._apply_scaled(grads, trainable_variables, self.initial_scale)
        elif self.decides_on_device():
            indices = inner._indices_of(grads, trainable_variables)
            if any(type(g) is not Tensor for g in grads):
                grads, indices = inner._as_tensors(grads, indices)
            plan = inner._plan(indices, True, True)
            inner._gather(plan, grads)
            self._step_on_device(plan, inner.rate_on_device())
            self._count_on_device(plan)
        else:
            self._apply_waiting(grads, trainable_variables)

    def _apply_waiting(self, grads, trainable_variables) -> None:
        if not bool(self.check_finite(grads)):
            self.step_counter.assign(0)
            self.dynamic_scale.assign(self.dynamic_scale.array * 0.5)
            return
        self._apply_scaled(grads, trainable_variables, float(self.dynamic_scale))
        if int(self.step_counter) == self.dynamic_growth_steps - 1:
            self.step_counter.assign(0)
            self.dynamic_scale.assign(self.dynamic_scale.array * 2)
        else:
            self.step_counter.assign_add(1)

    def _apply_scaled(self, grads, trainable_variables, scale: float) -> None:
        inner = self.inner_optimizer
        inner.loss_scale_factor = scale
        try:
            inner.apply(grads, trainable_variables)
        finally:
            inner.loss_scale_factor = None

    def decides_on_device(self) -> bool:
        """Tell whether steps that overflow are taken back on a GPU, without asking the host."""
        inner = self.inner_optimizer
        if not self.built or not self.dynamic:
            return False
        return self.dynamic_scale.backend is inner._iterations.backend and inner.can_undo()

    def _step_on_device(self, plan, rate) -> None:
        """Do a step on gradients in their places; it counts where they are finite."""
        backend, inner = self.dynamic_scale.backend, self.inner_optimizer
        xp, scale, counter = backend.xp, self.dynamic_scale.array, self.step_counter.array
        finite = backend.all_finite([run.g for run in plan.runs])
        for run in plan.runs:
            xp.divide(run.g, scale.astype(run.g.dtype), run.g)
        inner.update_where(plan, rate, finite)
        grows = counter == self.dynamic_growth_steps - 1
        scale[...] = scale * xp.where(finite, xp.where(grows, 2.0, 1.0), 0.5).astype(scale.dtype)
        counter[...] = xp.where(finite & ~grows, counter + 1, 0)

    def _count_on_device(self, plan) -> None:
        """Note on the host that values have changed; which number the step has, only the device knows."""
        for variable in (*plan.variables, *self.device_state):
            variable.version += 1

    def check_finite(self, grads):
        """Return, as a tensor, whether all gradients are finite; ``None`` among them is left out."""
        arrays = [to_array(g) for g in grads if g is not None]
        if not arrays:
            return Tensor(to_array(True))
        return Tensor(Tensor(arrays[0]).backend.all_finite(arrays))

    def scale_loss(self, loss):
        """Return the loss times the present scale."""
        if not self.built:
            return loss * self.initial_scale
        return loss * Tensor(self.dynamic_scale.array.astype(loss.dtype))

    # ---- names of tf.keras 2 ---
    @property
    def loss_scale(self) -> Tensor:
        """The present scale."""
        return self.dynamic_scale.value if self.built else Tensor(to_array(self.initial_scale, "float32"))

    @property
    def dynamic_counter(self):
        """Steps in a row without overflow; ``None`` where the scale stays."""
        return getattr(self, "step_counter", None) if self.dynamic else None

    def get_scaled_loss(self, loss):
        """Return the loss times the present scale; of a function that returns a loss, such a function."""
        if callable(loss) and not isinstance(loss, Tensor):
            return lambda: self.scale_loss(loss())
        return self.scale_loss(loss)

    def get_unscaled_gradients(self, grads):
        """Return gradients of a scaled loss divided by the present scale; ``None`` stays."""
        scale = self.loss_scale
        return [g if g is None else g / ops.cast(scale, g.dtype) for g in grads]

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    # ---- for recorded steps (``models.captured``) ---
    _layout = property(lambda self: self.inner_optimizer._layout, lambda self, value: None)

    def plan_to_record(self, whole=False):
        inner = self.inner_optimizer
        if not whole or not self.decides_on_device() or inner.plan_to_record(whole=True) is None:
            return None
        return inner._plan(inner._all, True, True)

    def update_captured(self, plan, rate, flat_rate):
        if not isinstance(self.inner_optimizer._learning_rate, Variable) or self.inner_optimizer.decay:
            rate = self.inner_optimizer.rate_on_device()
        self._step_on_device(plan, rate)

    def count_recorded(self, plan, counted=False):
        self._count_on_device(plan)

    def _changes_gradients(self):
        return True

    def _rate(self):
        """Return what the host knows of the rate: schedules and decays need the number of the step."""
        inner = self.inner_optimizer
        return inner._given_rate() if isinstance(inner._learning_rate, Variable) else 0.0

    @property
    def device_state(self):
        inner = self.inner_optimizer
        return [self.step_counter, self.dynamic_scale, inner._iterations, *inner.device_state]

    def gradient_places(self, variables):
        inner = self.inner_optimizer
        if not self.built or not self.decides_on_device() or tensor.layout_version != inner._layout:
            return {}
        known = self._trainable_variables
        if len(variables) != len(known) or not all(map(operator.is_, variables, known)):
            return {}
        return dict(inner._plan(inner._all, True, True).places)

    # ---- configuration ---
    def get_config(self):
        from gpukeras.saving import serialize_keras_object

        return {
            "name": self.name, "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps,
            **({} if self.dynamic else {"dynamic": False}),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras.saving import deserialize_keras_object

        config = dict(config)
        config["inner_optimizer"] = deserialize_keras_object(config["inner_optimizer"], custom_objects)
        return cls(**config)
