"""Names of custom classes, and objects as plain dictionaries that can be stored as JSON."""

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
    "register_keras_serializable",
    "serialize_keras_object",
]
