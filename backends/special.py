"""Special functions that NumPy lacks (the GPU backend takes CuPy's own)."""

from __future__ import annotations


class SpecialMixin:
    """Error functions over ``xp``."""
