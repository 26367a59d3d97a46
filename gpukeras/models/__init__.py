"""Models: Sequential, functional and subclassed, with one training loop."""

from gpukeras.registry import Registry

from .model import Functional, Model
from .sequential import Sequential

__all__ = ["Functional", "Model", "Sequential"]

Registry(
    "model", {"Model": Model, "Sequential": Sequential, "Functional": Functional},
    module="keras", modules={"Functional": "keras.src.models.functional"},
)
