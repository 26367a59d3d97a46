"""``keras.layers.experimental.preprocessing`` of ``tf.keras`` 2: layers that are in ``keras.layers`` now."""

from __future__ import annotations

_NAMES = (
    "CategoryCrossing", "CategoryEncoding", "CenterCrop", "Discretization", "HashedCrossing", "Hashing",
    "IntegerLookup", "Normalization", "PreprocessingLayer", "RandomContrast", "RandomCrop", "RandomFlip",
    "RandomHeight", "RandomRotation", "RandomTranslation", "RandomWidth", "RandomZoom", "Rescaling",
    "Resizing", "StringLookup", "TextVectorization",
)


def __getattr__(name: str):
    from gpukeras import layers

    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(layers, name)


def __dir__():
    return sorted(_NAMES)
