"""Dynamic loss scaling for training in half precision."""

from __future__ import annotations

from gpukeras.tensor import Tensor, to_array

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
        ``dynamic=True`` of older releases.

    Notes
    -----
    Each step reads from the device whether the gradients are finite.

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
        if not kwargs.pop("dynamic", True):
            raise ValueError(
                "LossScaleOptimizer: dynamic=False is gone; set loss_scale_factor on the inner optimizer"
            )
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

    def apply(self, grads, trainable_variables=None):
        """Update through the inner optimizer where all gradients are finite; adapt the scale."""
        grads = list(grads)
        if not self.built:
            self.build(self._variables_to_build(trainable_variables))
        if not _all_finite(grads):
            self.step_counter.assign(0)
            self.dynamic_scale.assign(self.dynamic_scale.array * 0.5)
            return
        inner = self.inner_optimizer
        inner.loss_scale_factor = float(self.dynamic_scale)
        try:
            inner.apply(grads, trainable_variables)
        finally:
            inner.loss_scale_factor = None
        if int(self.step_counter) == self.dynamic_growth_steps - 1:
            self.step_counter.assign(0)
            self.dynamic_scale.assign(self.dynamic_scale.array * 2)
        else:
            self.step_counter.assign_add(1)

    def scale_loss(self, loss):
        """Return the loss times the present scale."""
        if not self.built:
            return loss * self.initial_scale
        return loss * Tensor(self.dynamic_scale.array.astype(loss.dtype))

    def finalize_variable_values(self, var_list):
        self.inner_optimizer.finalize_variable_values(var_list)

    def get_config(self):
        from gpukeras.saving import serialize_keras_object

        return {
            "name": self.name, "inner_optimizer": serialize_keras_object(self.inner_optimizer),
            "initial_scale": self.initial_scale, "dynamic_growth_steps": self.dynamic_growth_steps,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        from gpukeras.saving import deserialize_keras_object

        config = dict(config)
        config["inner_optimizer"] = deserialize_keras_object(config["inner_optimizer"], custom_objects)
        return cls(**config)


def _all_finite(grads) -> bool:
    """Read from the device whether all gradients are finite."""
    flag = None
    for g in grads:
        if g is not None:
            array = to_array(g)
            finite = Tensor(array).backend.xp.isfinite(array).all()
            flag = finite if flag is None else flag & finite
    return flag is None or bool(Tensor(flag))
