"""Layers that ``tf.keras`` 2 had under ``keras.layers.experimental``."""

from gpukeras import lazy as _lazy

_HOMES = _lazy.homes("gpukeras.layers", {
    "einsum_dense": "EinsumDense",
    "experimental.random_features": "RandomFourierFeatures",
    "experimental.synchronized": "SyncBatchNormalization",
})

__all__ = sorted(_HOMES)  # noqa: PLE0605
_TABLES = "its tables grow within TensorFlow; StringLookup and IntegerLookup adapt before training instead"
__getattr__, __dir__ = _lazy.names(
    __name__, _HOMES, absent={"DynamicEmbedding": _TABLES, "DynamicLookup": _TABLES})
