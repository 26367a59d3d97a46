"""Dropout."""

from __future__ import annotations

from gpukeras import autograd
from gpukeras.backends import shapes
from gpukeras.backends.program import recorded_draw
from gpukeras.op import op
from gpukeras.tensor import Tensor


@op(shape=shapes.same, dtype="float", bfloat16="kernels")
def dropout(x, rate, noise_shape=None, seed=None):
    """Set a random part ``rate`` of ``x`` to 0 and multiply the rest by ``1 / (1 - rate)``.

    Parameters
    ----------
    x : tensor
    rate : float
        From 0 (nothing) to 1 (everything).
    noise_shape : tuple of int or None, optional
        Shape of the random mask: 1 where elements share their fate, ``None`` for the size of ``x``.
    seed : None, int or SeedGenerator
        See ``keras.random``.

    Returns
    -------
    tensor like ``x``

    References
    ----------
    Srivastava et al., 2014, "Dropout: a simple way to prevent neural networks from overfitting", JMLR 15.

    Examples
    --------
    >>> import gpukeras as keras
    >>> y = keras.ops.dropout(keras.ops.ones((1000,)), 0.5, seed=1)
    >>> sorted(set(y.tolist()))
    [0.0, 2.0]
    """
    from .math import floating

    if isinstance(rate, bool) or not 0 <= rate <= 1:
        raise ValueError(f"dropout: rate must lie between 0 and 1, came {rate!r}")
    xp, a = floating(x)
    if rate == 0:
        return a, lambda dy: dy
    backend = x.backend
    if noise_shape is None:
        fused = backend.fused_dropout(lambda: _generator(backend, seed), a, float(rate))
        if fused is not None:
            return _fused(*fused)
    factor = _draw_factor(seed, backend, _noise_shape(a.shape, noise_shape), float(rate), a.dtype)

    def times(v):
        return xp.multiply(v, factor) if noise_shape is not None else backend.times(v, factor)

    def vjp(dy):
        return dy * Tensor(factor) if autograd.recording() else times(dy.array)

    return times(a), vjp


def _fused(y, backward):
    """Return the result and vjp of a dropout in one pass, which keeps no factors."""

    def vjp(dy):
        if autograd.recording():
            return dy * Tensor(backward(dy.backend.xp.ones_like(y)))
        return backward(dy.array)

    return y, vjp


@recorded_draw
def _draw_factor(seed, backend, shape, rate, dtype):
    return backend.dropout_factor(_generator(backend, seed), shape, rate, dtype)


def _generator(backend, seed):
    from gpukeras.random import device_generator

    return device_generator(backend, seed)


def _noise_shape(shape, noise_shape):
    if noise_shape is None:
        return shape
    wanted = tuple(n if m is None else int(m) for m, n in zip(noise_shape, shape))
    if len(noise_shape) != len(shape) or any(m not in (1, n) for m, n in zip(wanted, shape)):
        raise ValueError(
            f"dropout: noise_shape {tuple(noise_shape)} must have an entry for each axis of x ({shape}): "
            "1, the size of that axis, or None"
        )
    return wanted
