"""Layers that turn raw inputs into what models compute with: numbers into bins, text into ids."""

from gpukeras import lazy as _lazy

_HOMES = _lazy.homes(__name__, {
    "base": "PreprocessingLayer",
    "category_encoding": "CategoryCrossing CategoryEncoding",
    "discretization": "Discretization",
    "hashing": "HashedCrossing Hashing",
    "integer_lookup": "IntegerLookup",
    "normalization": "Normalization",
    "pipeline": "Pipeline",
    "rescaling": "Rescaling",
    "spectrograms": "MelSpectrogram STFTSpectrogram",
    "string_lookup": "StringLookup",
    "text_vectorization": "TextVectorization",
})

__all__ = sorted(_HOMES)  # noqa: PLE0605
__getattr__, __dir__ = _lazy.names(__name__, _HOMES)
