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
        self._chosen = loss_scale != "auto"
        self._loss_scale = _checked("Policy", loss_scale) if self._chosen else super().loss_scale

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

    def __init__(self, optimizer, loss_scale):
        scale = _checked("LossScaleOptimizer", loss_scale)
        fixed = {} if scale == "dynamic" else {"initial_scale": scale, "dynamic": False}
        super().__init__(optimizers.get(optimizer), **fixed)
        self.given_scale = scale

    def get_config(self):
        config = super().get_config()
        return {"optimizer": config["inner_optimizer"], "loss_scale": self.given_scale}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        inner = optimizers.deserialize(config["optimizer"], custom_objects)
        return cls(inner, config["loss_scale"])


def get_layer_policy(layer) -> dtype_policies.DTypePolicy:
    """Return the dtype policy of a layer."""
    return layer.dtype_policy


def _checked(owner: str, loss_scale):
    if loss_scale is None or loss_scale == "dynamic":
        return loss_scale
    if isinstance(loss_scale, bool) or not isinstance(loss_scale, (int, float)) or not loss_scale > 0:
        raise ValueError(
            f"{owner}: loss_scale must be 'dynamic' or a positive number, came {loss_scale!r}"
        )
    return float(loss_scale)
