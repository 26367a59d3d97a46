"""Models: Sequential, functional and subclassed, with one training loop."""

from gpukeras.registry import Registry
from gpukeras.saving.model_file import load_model, save_model

from .model import Functional, Model, clone_model, model_from_json
from .sequential import Sequential

__all__ = [
    "Functional", "Model", "Sequential", "clone_model", "load_model", "model_from_json", "save_model",
]

REGISTRY = Registry(
    "model", {"Sequential": Sequential, "Functional": Functional, "Model": Model}, module="keras",
    modules={"Functional": "keras.src.models.functional"},
)
