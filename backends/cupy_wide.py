"""bfloat16 where there is no kernel for it: generic code gets float32, as ops do it on a CPU."""

from __future__ import annotations


def wide(method, *args, out=None, **settings):
    """Return what a generic method makes of ``args``; arrays of bfloat16 go in as float32, and come back so.

    Parameters
    ----------
    method : callable
        Returns an array, or a tuple of arrays and ``None``.
    out : array, optional
        Takes the result.
    """
    narrow = next((a.dtype for a in (*args, out) if _is_narrow(a)), None)
    if narrow is None:
        return method(*args, **settings) if out is None else method(*args, out=out, **settings)
    found = method(*(a.astype("float32") if _is_narrow(a) else a for a in args), **settings)
    if isinstance(found, tuple):
        return tuple(_rounded(a, narrow) for a in found)
    if out is None:
        return _rounded(found, narrow)
    out[...] = found
    return out


def _is_narrow(value) -> bool:
    return getattr(getattr(value, "dtype", None), "kind", None) == "V"


def _rounded(array, dtype):
    return array.astype(dtype) if getattr(array, "dtype", None) == "float32" else array
