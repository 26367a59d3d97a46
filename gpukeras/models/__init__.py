"""Models: Sequential, functional and subclassed, with one training loop."""

from gpukeras import lazy as _lazy
from gpukeras.registry import Registry
from gpukeras.saving.model_file import load_model, save_model

from .cloning import clone_model, model_from_config, model_from_json, model_from_yaml
from .model import Functional, Model
from .sequential import Sequential

_HOMES = {
    "Function": "gpukeras.models.function", "Input": "gpukeras.layers", "InputLayer": "gpukeras.layers",
    "LinearModel": "gpukeras.models.premade", "WideDeepModel": "gpukeras.models.premade",
}
__all__ = [
    "Function", "Functional", "Input", "InputLayer", "LinearModel", "Model", "Sequential", "WideDeepModel",
    "clone_model", "experimental", "load_model", "model_from_config", "model_from_json", "model_from_yaml",
    "save_model",
]

_find, __dir__ = _lazy.names(__name__, _HOMES)


def __getattr__(name: str):
    if name == "experimental":
        import importlib

        return importlib.import_module("gpukeras.models.experimental")
    return _find(name)


REGISTRY = Registry(
    "model", {"Sequential": Sequential, "Functional": Functional, "Model": Model}, module="keras",
    modules={"Functional": "keras.src.models.functional"},
    homes={
        "LinearModel": "gpukeras.models.premade", "WideDeepModel": "gpukeras.models.premade",
        "SharpnessAwareMinimization": "gpukeras.models.experimental",
    },
)
