"""Data types: names, promotion without silent upcasts, and the default float type.

NumPy has no bfloat16. The package ``ml_dtypes`` adds it (``pip install 'gpukeras[bfloat16]'``); it is
imported when the name is first asked for, and NumPy knows the name from then on. Its letter there is ``V``.
"""

from __future__ import annotations

import numpy as np

_FLOATX = "float32"
FLOATS = ("float16", "bfloat16", "float32", "float64")
FLOAT_KINDS = "fV"  # NumPy's letters of real floating types: ``dtype.kind in FLOAT_KINDS``, where calls cost
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
    """Set the default float type to ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``."""
    global _FLOATX
    if value not in FLOATS:
        raise ValueError(f"floatx must be one of {FLOATS}, came {value!r}")
    _FLOATX = standardize_dtype(value)


# ---- bfloat16 -------------------------------------------------------------------------------------------
BFLOAT16: np.dtype | None = None  # NumPy's dtype, once somebody has asked for it: until then no array has it


def bfloat16() -> np.dtype:
    """Return NumPy's dtype of that name, importing ``ml_dtypes`` on first use.

    Raises
    ------
    ImportError
        Naming the extra to install.
    """
    global BFLOAT16
    if BFLOAT16 is None:
        try:
            import ml_dtypes
        except ImportError as error:
            raise ImportError(
                "dtype 'bfloat16' needs the package ml_dtypes, as NumPy has no such type: "
                "pip install 'gpukeras[bfloat16]'"
            ) from error
        BFLOAT16 = np.dtype(ml_dtypes.bfloat16)
    return BFLOAT16


def is_float(dtype) -> bool:
    """Tell whether ``dtype`` (NumPy's, or a name) is a real floating type.

    Examples
    --------
    >>> is_float("float16"), is_float(np.dtype("int32")), is_float("complex64")
    (True, False, False)
    """
    try:
        return dtype.kind in FLOAT_KINDS
    except AttributeError:
        return np.dtype(standardize_dtype(dtype)).kind in FLOAT_KINDS


def finfo(dtype):
    """Return what ``numpy.finfo`` tells of a floating type, of bfloat16 as well."""
    dtype = np.dtype(standardize_dtype(dtype))
    if dtype.kind != "V":
        return np.finfo(dtype)
    import ml_dtypes

    return ml_dtypes.finfo(dtype)


def wide(dtype) -> np.dtype:
    """Return the type to sum in, and to hand to BLAS: float32 for the two halves, else ``dtype`` itself."""
    dtype = np.dtype(dtype)
    return np.dtype("float32") if dtype.itemsize == 2 and dtype.kind in FLOAT_KINDS else dtype


# ---- names ----------------------------------------------------------------------------------------------
class _StringType(str):
    """The name of the type of text, with what is asked of NumPy's types."""

    kind = "T"
    name = "string"


STRING = _StringType("string")


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
        if dtype == "bfloat16" and BFLOAT16 is None:
            bfloat16()
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
    if name.startswith(("str", "bytes")) or name == "object":
        return STRING
    if name in ("complex64", "complex128"):
        return name
    if name not in _ORDER:
        raise ValueError(f"dtype {name!r} is not supported; supported are {', '.join(_ORDER)}")
    if name == "bfloat16":
        bfloat16()  # whoever brings such an array has the package: from now on we look out for them
    return name


_cache: dict = {}


def result_type(*dtypes) -> np.dtype:
    """Promote as Keras 3 does: a float beats every integer, and integers never widen a float.

    float16 and bfloat16, neither of which holds the other, meet in float32.

    Examples
    --------
    >>> result_type("int64", "float32").name, result_type("float16", "float32").name
    ('float32', 'float32')
    """
    try:
        return _cache[dtypes]
    except KeyError:
        pass
    if STRING in dtypes:
        raise TypeError("text cannot be computed with; turn it into numbers first (StringLookup, Hashing)")
    kinds = [np.dtype(standardize_dtype(d)) if isinstance(d, str) else np.dtype(d) for d in dtypes]
    floats = [d for d in kinds if d.kind in "fVc"]
    if any(d.kind == "V" for d in floats):  # beside any other float at least float32, which holds them all
        others = [d for d in floats if d.kind != "V"]
        floats = [np.dtype("float32"), *others] if others else [bfloat16()]
    found = np.result_type(*(floats or kinds)) if kinds else np.dtype(_FLOATX)
    if kinds and not floats and found.kind == "f":  # int64 with uint64: NumPy would answer float64
        found = np.dtype("int64")
    _cache[dtypes] = found
    return found


def float_type(dtype) -> np.dtype:
    """Return ``dtype`` where it is floating, else floatx: the result type of exp, mean, ..."""
    dtype = np.dtype(dtype)
    return dtype if dtype.kind in "fVc" else np.dtype(_FLOATX)
