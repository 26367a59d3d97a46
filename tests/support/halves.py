"""Floating types for tests; those of bfloat16 skip where ``ml_dtypes`` is missing."""

from __future__ import annotations

import importlib.util

import pytest

HAS_BFLOAT16 = importlib.util.find_spec("ml_dtypes") is not None
if HAS_BFLOAT16:
    import ml_dtypes  # noqa: F401  (NumPy knows the name from now on)

needs_bfloat16 = pytest.mark.skipif(not HAS_BFLOAT16, reason="no bfloat16: pip install 'gpukeras[bfloat16]'")
BFLOAT16 = pytest.param("bfloat16", marks=needs_bfloat16)
HALVES = ["float16", BFLOAT16]
FLOATS = ["float32", *HALVES]
