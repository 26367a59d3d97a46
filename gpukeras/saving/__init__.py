"""Names of custom classes, objects as plain dictionaries, model and weight files."""

import importlib as _importlib

from .registration import (
    CustomObjectScope,
    custom_object_scope,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
)
from .serialization import ObjectSharingScope, deserialize_keras_object, serialize_keras_object

__all__ = [
    "CustomObjectScope",
    "ObjectSharingScope",
    "custom_object_scope",
    "deserialize_keras_object",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "load_model",
    "load_weights",
    "register_keras_serializable",
    "save_model",
    "save_weights",
    "serialize_keras_object",
]
# Loaded when first used: the registries need this package early, files are needed late.
_FILES = {
    "load_model": "model_file", "save_model": "model_file", "load_weights": "weights_file",
    "save_weights": "weights_file",
}


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module 'gpukeras.saving' has no attribute {name!r}")
    globals()[name] = found = getattr(_importlib.import_module(f"gpukeras.saving.{_FILES[name]}"), name)
    return found
