"""Conversion, casts, facts about tensors, and cutting the tape."""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, backends, dtypes, symbolic, text
from gpukeras.autograd import custom_gradient, stop_gradient  # noqa: F401  (public here)
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, Variable, to_array


def convert_to_tensor(x, dtype=None, sparse=None, ragged=None):
    """Return ``x`` as a tensor on the current device.

    Parameters
    ----------
    x : tensor, array_like or number
        A tensor of the wanted dtype is returned as it is.
    dtype : str, optional
        Python floats and float64 arrays become ``floatx`` unless given; Python ints int32.
    sparse, ragged : bool, optional
        Only dense tensors exist; ``True`` is an error.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.convert_to_tensor([1, 2]).dtype
    dtype('int32')
    """
    if sparse or ragged:
        raise ValueError("convert_to_tensor: sparse and ragged tensors are not supported; pass dense values")
    if isinstance(x, (Tensor, KerasTensor)):
        if dtype is None or str(x.dtype) == dtypes.standardize_dtype(dtype):
            return x
        return cast(x, dtype)
    if dtype in (None, "string") and text.is_text(x):
        return text.string_tensor(x, "convert_to_tensor")
    return Tensor(to_array(x, dtype))


def array(x, dtype=None):
    """Return ``x`` as a tensor; same as ``convert_to_tensor``."""
    return convert_to_tensor(x, dtype)


def as_tensor(x):
    """Return ``x`` as it is where it is a tensor (or symbolic), else converted."""
    return x if isinstance(x, (Tensor, KerasTensor)) else Tensor(to_array(x))


def convert_to_numpy(x) -> np.ndarray:
    """Return the values of ``x`` as a NumPy array (a copy from the device where it is a GPU)."""
    if isinstance(x, KerasTensor):
        raise TypeError(f"convert_to_numpy: {x!r} is symbolic, it has no values until the model runs")
    if isinstance(x, Tensor):
        return x.numpy()
    if type(x).__module__.startswith("cupy"):
        return backends.backend_of(x).to_numpy(x)
    return np.asarray([convert_to_numpy(v) if isinstance(v, Tensor) else v for v in x]) if isinstance(
        x, (list, tuple)
    ) else np.asarray(x)


def is_tensor(x) -> bool:
    """Tell whether ``x`` is a tensor with values (symbolic ones are not)."""
    return isinstance(x, Tensor)


@op(shape=shapes.same, dtype=lambda x, dtype: dtypes.standardize_dtype(dtype), bfloat16="as is")
def cast(x, dtype):
    """Return ``x`` with another dtype; gradients are cast back.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.cast([1.7, -1.7], "int32").numpy()
    array([ 1, -1], dtype=int32)
    """
    a = x.array
    y = a.astype(dtypes.standardize_dtype(dtype), copy=isinstance(x, Variable))
    if not dtypes.is_float(a.dtype) or not dtypes.is_float(y.dtype):
        return y, None
    back = a.dtype.name
    return y, lambda dy: cast(dy, back)


cast.capturable = True  # models in half precision begin with one


def saturate_cast(x, dtype):
    """Cast ``x``, limiting values to the range of ``dtype`` instead of wrapping around."""
    from gpukeras import ops

    x = as_tensor(x)
    source, target = np.dtype(x.dtype), np.dtype(dtypes.standardize_dtype(dtype))
    low, high = _limits(target)
    source_low, source_high = _limits(source)
    if dtypes.is_float(source) and target.kind in "iub":
        # The bounds must be representable in the source type without rounding up past the target.
        low, high = source.type(low), source.type(high)
        if int(high) > _limits(target)[1]:
            high = np.nextafter(high, source.type(0))
        x = ops.clip(x, float(low), float(high))
    elif source_low < low or source_high > high:
        kind = type(source_low)
        x = ops.clip(x, max(kind(low), source_low), min(kind(high), source_high))
    return cast(x, target.name)


def _limits(dtype):
    if dtype.kind == "b":
        return 0, 1
    if dtypes.is_float(dtype):
        info = dtypes.finfo(dtype)
        return float(info.min), float(info.max)
    found = np.iinfo(dtype)
    return int(found.min), int(found.max)


@op(shape=shapes.same, bfloat16="as is")
def copy(x):
    """Return a copy of ``x`` with memory of its own."""
    return x.array.copy(), lambda dy: dy


@op(shape=shapes.same, bfloat16="as is")
def detach(x):
    """Return the same values with no way back for gradients (one tensor; see ``stop_gradient``)."""
    return (x.array.copy() if isinstance(x, Variable) else x.array), None


# ---- facts ----------------------------------------------------------------------------------------
def shape(x) -> tuple:
    """Return the shape of ``x``: ints, and ``None`` for sizes a symbolic tensor does not know."""
    if isinstance(x, (Tensor, KerasTensor)):
        return tuple(x.shape)
    return to_array(x).shape


def ndim(x) -> int:
    """Return the number of axes of ``x``."""
    return len(shape(x))


def size(x):
    """Return the number of elements of ``x``: an int, or a symbolic scalar where a size is unknown."""
    known = shapes.known_product(shape(x))
    return _count(x) if known is None else known


@op(shape=lambda x: (), dtype="int32", bfloat16="as is")
def _count(x):
    return x.backend.asarray(np.asarray(x.array.size), "int32"), None


def dtype(x) -> str:
    """Return the name of the dtype of ``x``."""
    return dtypes.standardize_dtype(as_tensor(x).dtype)


def is_symbolic(x) -> bool:
    """Tell whether ``x`` is a symbolic tensor of a model under construction."""
    return symbolic.is_symbolic(x)


def no_gradient(name: str, advice: str):
    """Return a vjp that refuses, for ops whose gradient is not written."""

    def vjp(dy):
        raise NotImplementedError(f"{name} has no gradient; {advice}")

    return vjp if autograd.recording() else None
