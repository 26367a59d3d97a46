"""What makes programs of older Keras releases run: eras and old names of modules."""

from gpukeras import lazy as _lazy

_HOMES = _lazy.homes(__name__, {"eras": "ERAS era era_scope set_era"})

__all__ = list(_HOMES)
__getattr__, __dir__ = _lazy.names(__name__, _HOMES)
