"""Data types: names, promotion without silent upcasts, and the default float type."""

from __future__ import annotations

import numpy as np

_FLOATX = "float32"
FLOATS = ("float16", "float32", "float64")
_ORDER = {  # rank inside the promotion lattice: bool < integers < floats
    name: i
    for i, name in enumerate(
        ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", *FLOATS)
    )
}
_ALIASES = {"float": "float32", "int": "int32", "half": "float16", "double": "float64", "string": "str"}


def floatx() -> str:
    """Return the name of the default float type, ``"float32"`` unless changed by ``set_floatx``."""
    return _FLOATX


def set_floatx(value: str) -> None:
    """Set the default float type to ``"float16"``, ``"float32"`` or ``"float64"``."""
    global _FLOATX
    if value not in FLOATS:
        raise ValueError(f"floatx must be one of {FLOATS}, came {value!r}")
    _FLOATX = value


def standardize_dtype(dtype) -> str:
    """Return the canonical name of ``dtype`` (a name, a NumPy dtype or type, ``None`` for floatx).

    Examples
    --------
    >>> standardize_dtype(np.float32), standardize_dtype("int"), standardize_dtype(None)
    ('float32', 'int32', 'float32')
    """
    if dtype is None:
        return _FLOATX
    if isinstance(dtype, str) and dtype in _ORDER:
        return dtype
    if dtype is float:
        return _FLOATX
    if dtype is int:
        return "int32"
    if dtype is bool:
        return "bool"
    if isinstance(dtype, str):
        dtype = _ALIASES.get(dtype, dtype)
    try:
        name = np.dtype(getattr(dtype, "as_numpy_dtype", dtype)).name
    except TypeError:
        raise ValueError(f"unknown dtype {dtype!r}; known are {', '.join(_ORDER)}") from None
    if name.startswith("str") or name in ("object", "complex64", "complex128"):
        return "string" if name.startswith("str") else name
    if name not in _ORDER:
        raise ValueError(f"dtype {name!r} is not supported; supported are {', '.join(_ORDER)}")
    return name


_cache: dict = {}


def result_type(*dtypes) -> np.dtype:
    """Promote as Keras 3 does: a float beats every integer, and integers never widen a float.

    Examples
    --------
    >>> result_type("int64", "float32").name, result_type("float16", "float32").name
    ('float32', 'float32')
    """
    try:
        return _cache[dtypes]
    except KeyError:
        pass
    kinds = [np.dtype(d) for d in dtypes]
    floats = [d for d in kinds if d.kind in "fc"]
    found = np.result_type(*(floats or kinds)) if kinds else np.dtype(_FLOATX)
    if not floats and found.kind == "f":  # int64 with uint64: NumPy would answer float64
        found = np.dtype("int64")
    _cache[dtypes] = found
    return found


def float_type(dtype) -> np.dtype:
    """Return ``dtype`` where it is floating, else floatx: the result type of exp, mean, ..."""
    dtype = np.dtype(dtype)
    return dtype if dtype.kind in "fc" else np.dtype(_FLOATX)
