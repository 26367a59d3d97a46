"""Names of ``tf.keras`` 2.1 to 2.6, where a policy also said how the loss is scaled."""

from __future__ import annotations

from gpukeras import dtype_policies, optimizers
from gpukeras.dtype_policies import dtype_policy as global_policy
from gpukeras.dtype_policies import set_dtype_policy as set_policy

__all__ = ["LossScaleOptimizer", "Policy", "get_layer_policy", "global_policy", "set_policy"]


class Policy(dtype_policies.DTypePolicy):
    """A dtype policy with a loss scale of its own.

    Parameters
    ----------
    name : str
        As of ``DTypePolicy``.
    loss_scale : "auto", "dynamic", float or None
        What ``compile`` does to the optimizer: ``"auto"`` scales by ``LossScaleOptimizer`` under
        ``"mixed_float16"`` only.

    Examples
    --------
    >>> Policy("mixed_float16").loss_scale, Policy("mixed_bfloat16").loss_scale
    ('dynamic', None)
    """

    def __init__(self, name, loss_scale="auto"):
        super().__init__(name)
        self._loss_scale = _checked(super().loss_scale if loss_scale == "auto" else loss_scale)
        self._chosen = loss_scale != "auto"

    @property
    def loss_scale(self):
        """``"dynamic"``, a number, or ``None``: the loss is not scaled."""
        return self._loss_scale

    def get_config(self):
        return super().get_config() | ({"loss_scale": self._loss_scale} if self._chosen else {})

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)


class LossScaleOptimizer(optimizers.LossScaleOptimizer):
    """Scale the loss, by a number that stays or by one that finds its way.

    Parameters
    ----------
    optimizer : Optimizer
        What updates the weights.
    loss_scale : "dynamic" or float

    Examples
    --------
    >>> import gpukeras as keras
    >>> optimizer = LossScaleOptimizer(keras.optimizers.SGD(0.5), loss_scale=8)
    >>> w = keras.Variable([1.0])
    >>> optimizer.apply([keras.ops.convert_to_tensor([8.0])], [w])
    >>> w.numpy(), float(optimizer.scale_loss(keras.ops.convert_to_tensor(2.0)))
    (array([0.5], dtype=float32), 16.0)
    """
