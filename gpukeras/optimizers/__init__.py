"""Optimizers (``keras.optimizers``)."""

from __future__ import annotations

from gpukeras.registry import Registry

from . import legacy, schedules
from .adam import Adam, Adamax, AdamW, Lamb, Lion, Nadam
from .adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from .loss_scale import LossScaleOptimizer
from .optimizer import Optimizer
from .sgd import SGD

__all__ = [
    "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lamb", "Lion", "LossScaleOptimizer",
    "Nadam", "Optimizer", "RMSprop", "deserialize", "get", "legacy", "schedules", "serialize",
]

_classes = (SGD, RMSprop, Adam, AdamW, Adadelta, Adagrad, Adamax, Nadam, Ftrl, Lion, Lamb,
            LossScaleOptimizer)
REGISTRY = Registry(
    "optimizer", {cls.__name__: cls for cls in _classes},
    {cls.__name__.lower(): cls.__name__ for cls in _classes}, module="keras.optimizers", ignore_case=True,
)


def get(identifier):
    """Return the optimizer that a name, a configuration, a class or an optimizer stands for.

    Examples
    --------
    >>> import gpukeras as keras
    >>> type(keras.optimizers.get("rmsprop")).__name__
    'RMSprop'
    """
    found = REGISTRY.get(identifier)
    if found is not None and not isinstance(found, Optimizer):
        raise ValueError(f"expected an optimizer, a name or a configuration, came {identifier!r}")
    return found


def serialize(optimizer) -> dict:
    """Return an optimizer as a dictionary of plain values."""
    return REGISTRY.serialize(optimizer)


def deserialize(config, custom_objects=None):
    """Return the optimizer that ``serialize`` described."""
    return REGISTRY.deserialize(config, custom_objects)
