"""How exactly float32 products are computed on a GPU; asked for by launchers, set by ``gpukeras.config``."""

from __future__ import annotations

_tf32 = False


def tf32() -> bool:
    """Tell whether tensor cores may round the factors of float32 products to TF32 (10 bits of mantissa)."""
    return _tf32


def set_tf32(enabled: bool) -> None:
    """Let them, or not."""
    global _tf32
    _tf32 = bool(enabled)
