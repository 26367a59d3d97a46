"""Optimizers (``keras.optimizers``)."""

from __future__ import annotations

from gpukeras.registry import Registry

from . import experimental, legacy, schedules
from .adafactor import Adafactor
from .adam_family import Adam, Adamax, AdamW, Lamb, Lion, Nadam
from .adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from .gradient_descent import SGD
from .loss_scale import LossScaleOptimizer
from .multi import MultiOptimizer, OptimizerMap
from .muon import Muon
from .optimizer import Optimizer
from .schedule_free import ScheduleFreeAdamW
from .tf_optimizer import TFOptimizer

__all__ = [
    "SGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion",
    "LossScaleOptimizer", "MultiOptimizer", "Muon", "Nadam", "Optimizer", "OptimizerMap", "RMSprop",
    "ScheduleFreeAdamW", "TFOptimizer", "clip_norm", "deserialize", "experimental", "get", "legacy",
    "schedules", "serialize",
]

# Names of Keras 2.
adam, sgd, rmsprop, adagrad, adadelta, adamax, nadam = Adam, SGD, RMSprop, Adagrad, Adadelta, Adamax, Nadam

_classes = (SGD, RMSprop, Adam, AdamW, Adadelta, Adagrad, Adamax, Nadam, Ftrl, Lion, Lamb, Adafactor, Muon,
            ScheduleFreeAdamW, LossScaleOptimizer, MultiOptimizer, OptimizerMap, TFOptimizer)
REGISTRY = Registry(
    "optimizer", {cls.__name__: cls for cls in _classes},
    {cls.__name__.lower(): cls.__name__ for cls in _classes}, module="keras.optimizers", ignore_case=True,
)


def get(identifier, **kwargs):
    """Return the optimizer that a name, a configuration, a class or an optimizer stands for.

    Parameters
    ----------
    identifier : str, dict, class, Optimizer or None
    **kwargs
        ``use_legacy_optimizer=True`` (``tf.keras``) takes names for those of ``optimizers.legacy``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> type(keras.optimizers.get("rmsprop")).__name__
    'RMSprop'
    """
    registry = _registry("get", kwargs)
    foreign = hasattr(identifier, "apply_gradients") and not isinstance(identifier, (type, Optimizer))
    if foreign:  # Keras 2: an optimizer of TensorFlow's
        return TFOptimizer(identifier)
    found = registry.get(identifier)
    if found is not None and not isinstance(found, Optimizer):
        raise ValueError(f"expected an optimizer, a name or a configuration, came {identifier!r}")
    return found


def serialize(optimizer, use_legacy_format: bool = False) -> dict:
    """Return an optimizer as a dictionary of plain values; the legacy format is that of Keras 2."""
    return REGISTRY.serialize(optimizer, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format: bool = False, **kwargs):
    """Return the optimizer that ``serialize`` described; both formats are told apart by themselves.

    ``use_legacy_optimizer=True`` as for ``get``.
    """
    return _registry("deserialize", kwargs).deserialize(config, custom_objects)


def _registry(what: str, kwargs: dict) -> Registry:
    chosen = kwargs.pop("use_legacy_optimizer", False)
    if kwargs:
        raise TypeError(f"optimizers.{what}: unknown argument(s) {sorted(kwargs)}")
    return legacy.REGISTRY if chosen else REGISTRY


def clip_norm(g, c, n):
    """Return ``g * c / n`` where the norm ``n`` of ``g`` is ``c`` or more, else ``g`` (Keras 2).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.optimizers.clip_norm(keras.ops.convert_to_tensor([3.0, 4.0]), 1.0, 5.0).numpy()
    array([0.6, 0.8], dtype=float32)
    """
    from gpukeras import ops

    return g if c is None or c <= 0 else ops.where(ops.greater_equal(n, c), g * c / n, g)
