"""New tensors: zeros, ones, ranges, grids, window functions."""

from __future__ import annotations

import math

import numpy as np

from gpukeras import backends, dtypes, ops
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.core import as_tensor
from gpukeras.ops.math import module
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, to_array


def _host(value):
    """Return a number or NumPy array for ``value`` (maybe a tensor: ranges come from host numbers)."""
    return value.backend.to_numpy(value.array) if isinstance(value, Tensor) else value


def _sizes(shape) -> tuple:
    if type(shape) is tuple and all(type(n) is int for n in shape):
        return shape
    shape = _host(shape)
    if np.ndim(shape) == 0 and not isinstance(shape, (tuple, list)):
        shape = (shape,)
    return tuple(int(_host(n)) for n in shape)


def _put(values, dtype=None) -> Tensor:
    """Return host ``values``, computed in float64, as a tensor of ``dtype`` or floatx."""
    return Tensor(backends.current().asarray(np.asarray(values), dtypes.standardize_dtype(dtype)))


# ---- constant tensors -----------------------------------------------------------------------------
def zeros(shape, dtype=None):
    """Return a tensor of zeros.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.zeros((2, 3)).shape
    (2, 3)
    """
    return Tensor(backends.current().xp.zeros(_sizes(shape), dtypes.standardize_dtype(dtype)))


def ones(shape, dtype=None):
    """Return a tensor of ones."""
    return Tensor(backends.current().xp.ones(_sizes(shape), dtypes.standardize_dtype(dtype)))


def empty(shape, dtype=None):
    """Return a tensor of arbitrary values; here zeros, so that no run differs from another."""
    return zeros(shape, dtype)


def full(shape, fill_value, dtype=None):
    """Return a tensor filled with ``fill_value``, a number or something that broadcasts to ``shape``."""
    backend = backends.current()
    target = backend.xp.empty(_sizes(shape), dtypes.standardize_dtype(dtype))
    target[...] = to_array(fill_value, target.dtype, backend)
    return Tensor(target)


def _like(x, *settings, dtype=None, **kwargs):
    return x if dtype is None else dtypes.standardize_dtype(dtype)


@op(shape=shapes.same, dtype=lambda x, dtype=None: _like(x, dtype=dtype), bfloat16="as is")
def zeros_like(x, dtype=None):
    """Return zeros of the shape and dtype of ``x``."""
    xp, a = module(x)
    return xp.zeros(a.shape, _like(a.dtype, dtype=dtype)), None


@op(shape=shapes.same, dtype=lambda x, dtype=None: _like(x, dtype=dtype), bfloat16="as is")
def ones_like(x, dtype=None):
    """Return ones of the shape and dtype of ``x``."""
    xp, a = module(x)
    return xp.ones(a.shape, _like(a.dtype, dtype=dtype)), None


@op(shape=shapes.same, dtype=lambda x, dtype=None: _like(x, dtype=dtype), bfloat16="as is")
def empty_like(x, dtype=None):
    """Return a tensor like ``x`` of arbitrary values (zeros)."""
    xp, a = module(x)
    return xp.zeros(a.shape, _like(a.dtype, dtype=dtype)), None


@op(shape=shapes.same, dtype=lambda x, fill_value=0, dtype=None: _like(x, dtype=dtype), bfloat16="as is")
def full_like(x, fill_value, dtype=None):
    """Return a tensor like ``x`` filled with ``fill_value``."""
    xp, a = module(x)
    target = xp.empty(a.shape, _like(a.dtype, dtype=dtype))
    target[...] = to_array(fill_value, target.dtype, x.backend)
    return target, None


# ---- matrices -------------------------------------------------------------------------------------
def eye(N, M=None, k=0, dtype=None):
    """Return an (N, M) matrix with ones on diagonal ``k``."""
    columns = None if M is None else int(M)
    return Tensor(backends.current().xp.eye(int(N), columns, k, dtypes.standardize_dtype(dtype)))


def identity(n, dtype=None):
    """Return the (n, n) identity matrix."""
    return eye(n, dtype=dtype)


def tri(N, M=None, k=0, dtype=None):
    """Return an (N, M) matrix with ones at and below diagonal ``k``."""
    return _put(np.tri(int(N), None if M is None else int(M), k), dtype)


def vander(x, N=None, increasing=False):
    """Return the matrix with columns ``x**(N-1), ..., x, 1`` (reversed: ``increasing``)."""
    from gpukeras import ops

    x = as_tensor(x)
    if x.ndim != 1:
        raise ValueError(f"vander: x must have one axis, came shape {x.shape}")
    count = x.shape[0] if N is None else int(N)
    if count is None:
        raise ValueError("vander: give N where the length of x is not known")
    powers = list(range(count)) if increasing else list(range(count - 1, -1, -1))
    columns = [ops.ones_like(x) if p == 0 else ops.power(x, p) for p in powers]
    return ops.stack(columns, axis=-1) if columns else zeros((x.shape[0], 0), x.dtype)


# ---- ranges ---------------------------------------------------------------------------------------
def arange(start, stop=None, step=None, dtype=None):
    """Return ``start, start + step, ...`` up to but not including ``stop``.

    Parameters
    ----------
    start, stop, step : number
        With one argument the range is ``[0, start)``. Integers give int32, floats ``floatx``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.arange(2, 8, 3).numpy()
    array([2, 5], dtype=int32)
    """
    start, stop, step = (None if v is None else _host(v) for v in (start, stop, step))
    if dtype is None:
        given = [np.asarray(v) for v in (start, stop, step) if v is not None]
        dtype = dtypes.floatx() if any(dtypes.is_float(v.dtype) for v in given) else "int32"
    if stop is None:
        start, stop = 0, start
    values = np.arange(start, stop, 1 if step is None else step)
    return _put(values, dtype)


def _float_or(dtype, *values):
    """Dtype of a range: as given, else the tensors' float type, else floatx."""
    if dtype is not None:
        return dtypes.standardize_dtype(dtype)
    kinds = [v.dtype for v in values if isinstance(v, (Tensor, KerasTensor))]
    return dtypes.float_type(dtypes.result_type(*kinds)).name if kinds else dtypes.floatx()


def linspace(start, stop, num=50, endpoint=True, retstep=False, dtype=None, axis=0):
    """Return ``num`` evenly spaced values from ``start`` to ``stop``; with ``retstep`` also the distance.

    ``start`` and ``stop`` may be numbers or tensors (a new axis is put at ``axis``).

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.linspace(0.0, 1.0, 5).tolist()
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    kind = _float_or(dtype, start, stop)
    if _are_tensors(start, stop):
        values, step = _between(start, stop, num, endpoint, axis)
        if np.dtype(kind).kind in "iu":
            values = ops.floor(values)
        return (ops.cast(values, kind), ops.cast(step, kind)) if retstep else ops.cast(values, kind)
    values, step = np.linspace(
        np.asarray(start, "float64"), np.asarray(stop, "float64"), int(num), endpoint=endpoint, retstep=True,
        axis=axis,
    )
    found = _put(np.floor(values) if np.dtype(kind).kind in "iu" else values, kind)
    return (found, _put(step, kind)) if retstep else found


def _are_tensors(*values) -> bool:
    return any(isinstance(v, (Tensor, KerasTensor)) for v in values)


def _between(start, stop, num, endpoint, axis):
    """Return evenly spaced values between tensors, which the gradient reaches, and their distance."""
    start, stop = as_tensor(start), as_tensor(stop)
    kind = dtypes.float_type(dtypes.result_type(str(start.dtype), str(stop.dtype))).name
    start, stop = ops.cast(start, kind), ops.cast(stop, kind)
    parts = int(num) - bool(endpoint)
    rank = max(len(start.shape), len(stop.shape))
    weights = np.arange(int(num)).reshape(-1, *[1] * rank) / max(parts, 1)
    values = start * _put(1 - weights, kind) + stop * _put(weights, kind)
    return ops.moveaxis(values, 0, axis), (stop - start) / parts if parts else (stop - start) * math.nan


def logspace(start, stop, num=50, endpoint=True, base=10, dtype=None, axis=0):
    """Return ``num`` values from ``base**start`` to ``base**stop``, evenly spaced in the exponent."""
    kind = _float_or(dtype, start, stop)
    if _are_tensors(start, stop, base):
        return ops.cast(ops.power(base, _between(start, stop, num, endpoint, axis)[0]), kind)
    values = np.logspace(
        np.asarray(start, "float64"), np.asarray(stop, "float64"), int(num), endpoint=endpoint, base=base,
        axis=axis,
    )
    return _put(values, kind)


def geomspace(start, stop, num=50, endpoint=True, dtype=None, axis=0):
    """Return ``num`` values from ``start`` to ``stop``, each a constant multiple of the one before."""
    kind = _float_or(dtype, start, stop)
    if _are_tensors(start, stop):
        sign = ops.sign(start)
        exponents = _between(ops.log(start * sign), ops.log(stop * sign), num, endpoint, axis)[0]
        if len(sign.shape):
            sign = ops.expand_dims(sign, axis)
        return ops.cast(ops.exp(exponents) * sign, kind)
    values = np.geomspace(
        np.asarray(start, "float64"), np.asarray(stop, "float64"), int(num), endpoint=endpoint, axis=axis,
    )
    return _put(values, kind)


# ---- window functions -----------------------------------------------------------------------------
def bartlett(x):
    """Return the triangular window of ``x`` points."""
    return _put(np.bartlett(int(_host(x))))


def blackman(x):
    """Return the Blackman window of ``x`` points."""
    return _put(np.blackman(int(_host(x))))


def hamming(x):
    """Return the Hamming window of ``x`` points."""
    return _put(np.hamming(int(_host(x))))


def hanning(x):
    """Return the von Hann window of ``x`` points."""
    return _put(np.hanning(int(_host(x))))


def kaiser(x, beta):
    """Return the Kaiser window of ``x`` points with shape parameter ``beta``."""
    beta = float(_host(beta))
    if not math.isfinite(beta):
        raise ValueError(f"kaiser: beta must be finite, came {beta}")
    return _put(np.kaiser(int(_host(x)), beta))
