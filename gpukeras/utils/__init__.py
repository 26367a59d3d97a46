"""Helpers around training: labels, seeds, files, progress, data sequences, custom objects."""

from gpukeras.config import (
    disable_interactive_logging,
    enable_interactive_logging,
    is_interactive_logging_enabled,
)
from gpukeras.dtypes import standardize_dtype
from gpukeras.saving import (
    CustomObjectScope,
    custom_object_scope,
    deserialize_keras_object,
    get_custom_objects,
    get_registered_name,
    get_registered_object,
    register_keras_serializable,
    serialize_keras_object,
)
from gpukeras.symbolic import clear_session

from . import bounding_boxes
from .arrays import normalize, to_categorical, to_ordinal
from .files import get_file
from .progbar import Progbar
from .py_dataset import PyDataset, Sequence
from .seeds import set_random_seed
from .sequences import pad_sequences
from .structures import is_keras_tensor, pack_x_y_sample_weight, unpack_x_y_sample_weight

__all__ = [
    "CustomObjectScope",
    "Progbar",
    "PyDataset",
    "Sequence",
    "bounding_boxes",
    "clear_session",
    "custom_object_scope",
    "deserialize_keras_object",
    "disable_interactive_logging",
    "enable_interactive_logging",
    "get_custom_objects",
    "get_file",
    "get_registered_name",
    "get_registered_object",
    "is_interactive_logging_enabled",
    "is_keras_tensor",
    "normalize",
    "pack_x_y_sample_weight",
    "pad_sequences",
    "register_keras_serializable",
    "serialize_keras_object",
    "set_random_seed",
    "standardize_dtype",
    "to_categorical",
    "to_ordinal",
    "unpack_x_y_sample_weight",
]
