"""What ``tf.keras`` once called experimental (``keras.experimental``)."""

from gpukeras import lazy as _lazy

_HOMES = {
    "CosineDecay": "gpukeras.optimizers.schedules",
    "CosineDecayRestarts": "gpukeras.optimizers.schedules",
    "LinearModel": "gpukeras.models.premade",
    "WideDeepModel": "gpukeras.models.premade",
    "PeepholeLSTMCell": "gpukeras.layers.recurrent_other_cells",
}

__all__ = list(_HOMES)
__getattr__, __dir__ = _lazy.names(__name__, _HOMES)
