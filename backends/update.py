"""Optimizer rules on flat buffers: one in-place method each, written once over ``xp``.

Every method takes one-dimensional arrays of one dtype and equal length: parameters ``p``, gradients ``g``
(never written to) and the slots of the rule, which it updates together with ``p``. Rates and factors are
Python floats, or 0-d arrays of the device where a learning rate lives there.

A rule is a loop over passes: NumPy works in pieces that stay in the cache, other devices take everything at
once. See ``gpukeras/optimizers`` for the formulas' sources.
"""

from __future__ import annotations

import functools
import math
import threading

from . import blas, threads
from .device import Device
from .program import followed


def elementwise(rule):
    """Let the threads of the CPU share the work of a rule on large buffers."""

    @functools.wraps(rule)
    def update(self, *arrays, **settings):
        if self.update_split is None or arrays[0].size < self.update_split:
            return rule(self, *arrays, **settings)
        return self._update_in_parts(rule, arrays, settings)

    return update


class UpdateMixin(Device):
    """The rules, and what gradient clipping needs.

    Attributes
    ----------
    update_chunk : int or None
        Elements of one pass; ``None``: the whole buffer.
    update_split : int or None
        Elements from which on threads share the work; ``None``: never.
    direct_gradient : int or None
        Gradients of at least this many elements are used where they lie instead of being copied beside the
        others; ``None``: copy all (fewest kernel launches).
    flat_alignment : int
        Bytes to which every variable in a flat buffer is aligned.
    """

    update_chunk: int | None = None
    update_split: int | None = None
    direct_gradient: int | None = None
    flat_alignment: int = 16

    # ---- buffers and passes --------------------------------------------------------------------------
    def flat_buffer(self, size: int, dtype):
        """Return a new one-dimensional buffer of zeros, aligned for vector instructions."""
        return self.xp.zeros(size, dtype)

    def _scratch(self, count: int, size: int, dtype) -> tuple:
        """Return ``count`` temporary arrays; their contents are undefined."""
        return tuple(self.xp.empty(size, dtype) for _ in range(count))

    def _passes(self, temporaries: int, *arrays):
        """Return, for each pass, pieces of ``arrays`` (``None`` stays ``None``) and temporaries as long."""
        size = arrays[0].size
        chunk = self.update_chunk
        if chunk is None or size <= chunk:
            return ((*arrays, *self._scratch(temporaries, size, arrays[0].dtype)),)
        return self._pieces(temporaries, arrays, size, chunk)

    def _pieces(self, temporaries, arrays, size, chunk):
        for start in range(0, size, chunk):
            stop = min(start + chunk, size)
            pieces = [None if a is None else a[start:stop] for a in arrays]
            yield *pieces, *self._scratch(temporaries, stop - start, arrays[0].dtype)

    def _decay(self, state, keep, value, gain, t, square=False) -> None:
        """state = keep * state + gain * value (or value²), with the temporary ``t``."""
        xp = self.xp
        xp.multiply(state, keep, state)
        if square:
            xp.multiply(value, value, t)
            xp.multiply(t, gain, t)
        else:
            xp.multiply(value, gain, t)
        xp.add(state, t, state)

    def _descend(self, p, step, rate, t) -> None:
        """p -= rate * step, with the temporary ``t``, which may be ``step``."""
        self.xp.multiply(step, rate, t)
        self.xp.subtract(p, t, p)

    # ---- clipping ------------------------------------------------------------------------------------
    def square_sum(self, array):
        """Return the sum of squares of a vector as a 0-d array or scalar, never in half precision."""
        array = array.astype("float32") if array.dtype.itemsize < 4 else array
        return self.xp.dot(array, array)

    def clip_factor(self, square_sum, limit: float):
        """Return what scales a gradient to a norm of at most ``limit``; NaN where the norm is not finite."""
        norm = self.xp.sqrt(square_sum)
        return limit / self.xp.maximum(norm, limit) + (norm - norm)

    def clip_each(self, g, bounds, limit: float) -> None:
        """Scale the parts g[start:stop] of a gradient, each to a norm of at most ``limit``, in place.

        ``bounds`` is a tuple of pairs (start, stop) that do not overlap; what lies between them stays.
        """
        for start, stop in bounds:
            part = g[start:stop]
            factor = self.clip_factor(self.square_sum(part), limit)
            self.xp.multiply(part, scalar(factor, g.dtype), part)

    def decay_weights(self, p, part) -> None:
        """p -= part * p"""
        self.xp.multiply(p, scalar(1 - part, p.dtype), p)

    # ---- gradient descent ----------------------------------------------------------------------------
    @elementwise
    def sgd_update(self, p, g, *, learning_rate) -> None:
        """p -= learning_rate * g"""
        rate = scalar(learning_rate, p.dtype)
        for piece in self._passes(1, p, g):
            p, g, t = piece
            self._descend(p, g, rate, t)

    @elementwise
    def momentum_update(self, p, g, m, *, learning_rate, momentum, nesterov) -> None:
        """m = momentum * m - learning_rate * g; p += m (Nesterov: p += momentum * m - learning_rate * g)"""
        rate, mu = scalar(learning_rate, p.dtype), scalar(momentum, p.dtype)
        for piece in self._passes(1, p, g, m):
            p, g, m, t = piece
            self._decay(m, mu, g, -rate, t)
            if nesterov:
                self._descend(p, g, rate, t)
                self._descend(p, m, -mu, t)
            else:
                self.xp.add(p, m, p)

    # ---- rates of their own for every weight ---------------------------------------------------------
    @elementwise
    def rmsprop_update(self, p, g, v, m=None, a=None, *, learning_rate, rho, momentum, epsilon) -> None:
        """v = rho v + (1 - rho) g²; step = rate * g / sqrt(v - a² + epsilon); m gathers steps, a the g."""
        xp, c = self.xp, p.dtype.type
        rate, mu = scalar(learning_rate, p.dtype), c(momentum)
        keep, gain, eps = c(rho), c(1 - rho), c(epsilon)
        for piece in self._passes(2, p, g, v, m, a):
            p, g, v, m, a, t, u = piece
            self._decay(v, keep, g, gain, t, square=True)
            if a is None:
                xp.add(v, eps, t)
            else:
                self._decay(a, keep, g, gain, t)
                xp.multiply(a, a, t)
                xp.subtract(v, t, t)
                xp.add(t, eps, t)
            xp.sqrt(t, t)
            xp.divide(g, t, t)
            xp.multiply(t, rate, t)
            if m is not None:
                xp.multiply(m, mu, m)
                xp.add(m, t, m)
                t = m
            xp.subtract(p, t, p)

    @elementwise
    def root_update(self, p, g, s, a=None, *, learning_rate, keep, gain, epsilon) -> None:
        """s = keep s + gain g²; p -= rate * g / (sqrt(s - a²) + epsilon); a gathers the g as s the g²."""
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        for piece in self._passes(1, p, g, s, a):
            p, g, s, a, t = piece
            self._decay(s, c(keep), g, c(gain), t, square=True)
            if a is None:
                xp.sqrt(s, t)
            else:
                self._decay(a, c(keep), g, c(gain), t)
                xp.multiply(a, a, t)
                xp.subtract(s, t, t)
                xp.sqrt(t, t)
            xp.add(t, c(epsilon), t)
            xp.divide(g, t, t)
            self._descend(p, t, rate, t)

    @elementwise
    def adagrad_update(self, p, g, s, *, learning_rate, epsilon) -> None:
        """s += g²; p -= rate * g / sqrt(s + epsilon)"""
        xp, rate, eps = self.xp, scalar(learning_rate, p.dtype), p.dtype.type(epsilon)
        for piece in self._passes(1, p, g, s):
            p, g, s, t = piece
            xp.multiply(g, g, t)
            xp.add(s, t, s)
            xp.add(s, eps, t)
            xp.sqrt(t, t)
            xp.divide(g, t, t)
            self._descend(p, t, rate, t)

    @elementwise
    def adadelta_update(self, p, g, s, d, *, learning_rate, rho, epsilon) -> None:
        """s = rho s + (1 - rho) g²; step = g sqrt(d + eps) / sqrt(s + eps); d = rho d + (1 - rho) step²"""
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        keep, gain, eps = c(rho), c(1 - rho), c(epsilon)
        for piece in self._passes(2, p, g, s, d):
            p, g, s, d, t, u = piece
            self._decay(s, keep, g, gain, t, square=True)
            xp.add(d, eps, t)
            xp.sqrt(t, t)
            xp.add(s, eps, u)
            xp.sqrt(u, u)
            xp.divide(t, u, t)
            xp.multiply(t, g, t)
            self._decay(d, keep, t, gain, u, square=True)
            self._descend(p, t, rate, t)

    # ---- the Adam family ---
    @elementwise
    def adam_update(self, p, g, m, v, h=None, *, learning_rate, beta_1, beta_2, epsilon) -> None:
        """Moments m and v of the gradient; p -= rate * m / (sqrt(v) + epsilon); ``h`` keeps the largest v.

        ``learning_rate`` contains the correction for the moments' start at zero.
        """
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        b1, b2, c1, c2, eps = c(beta_1), c(beta_2), c(1 - beta_1), c(1 - beta_2), c(epsilon)
        for piece in self._passes(1, p, g, m, v, h):
            p, g, m, v, h, t = piece
            self._decay(m, b1, g, c1, t)
            self._decay(v, b2, g, c2, t, square=True)
            if h is None:
                xp.sqrt(v, t)
            else:
                xp.maximum(h, v, out=h)
                xp.sqrt(h, t)
            xp.add(t, eps, t)
            xp.divide(m, t, t)
            self._descend(p, t, rate, t)

    @elementwise
    def adamax_update(self, p, g, m, u, *, learning_rate, beta_1, beta_2, epsilon) -> None:
        """Mean m and weighted infinity norm u of the gradient; p -= rate * m / (u + epsilon)"""
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        b1, b2, c1, eps = c(beta_1), c(beta_2), c(1 - beta_1), c(epsilon)
        for piece in self._passes(1, p, g, m, u):
            p, g, m, u, t = piece
            self._decay(m, b1, g, c1, t)
            xp.multiply(u, b2, u)
            xp.absolute(g, t)
            xp.maximum(u, t, out=u)
            xp.add(u, eps, t)
            xp.divide(m, t, t)
            self._descend(p, t, rate, t)

    @elementwise
    def nadam_update(
        self, p, g, m, v, *, learning_rate, beta_1, beta_2, epsilon, momentum_factor, gradient_factor,
        correction, factors=None,
    ) -> None:
        """p -= rate * (momentum_factor m + gradient_factor g) / (sqrt(v / correction) + epsilon)

        ``factors``, an array of the device, takes the place of the last three numbers.
        """
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        b1, b2, c1, c2, eps = c(beta_1), c(beta_2), c(1 - beta_1), c(1 - beta_2), c(epsilon)
        if factors is not None:
            momentum_factor, gradient_factor, correction = factors[0], factors[1], factors[2]
        of_m, of_g = scalar(momentum_factor, p.dtype), scalar(gradient_factor, p.dtype)
        of_v = scalar(1 / correction, p.dtype)
        for piece in self._passes(2, p, g, m, v):
            p, g, m, v, t, u = piece
            self._decay(m, b1, g, c1, t)
            self._decay(v, b2, g, c2, t, square=True)
            xp.multiply(v, of_v, u)
            xp.sqrt(u, u)
            xp.add(u, eps, u)
            xp.multiply(g, of_g, t)
            xp.divide(t, u, t)
            xp.divide(m, u, u)
            xp.multiply(u, of_m, u)
            xp.add(t, u, t)
            self._descend(p, t, rate, t)

    def lamb_update(self, p, g, m, v, *, learning_rate, beta_1, beta_2, epsilon, corrections) -> None:
        """Adam's step with the length of the weights: for one variable at a time, as its norm matters."""
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        (t,) = self._scratch(1, p.size, p.dtype)
        u = xp.empty_like(p)
        self._decay(m, c(beta_1), g, c(1 - beta_1), t)
        self._decay(v, c(beta_2), g, c(1 - beta_2), t, square=True)
        xp.multiply(v, scalar(1 / corrections[1], p.dtype), t)
        xp.sqrt(t, t)
        xp.add(t, c(epsilon), t)
        xp.divide(m, t, u)
        xp.multiply(u, scalar(1 / corrections[0], p.dtype), u)
        weights, step = xp.sqrt(self.square_sum(p)), xp.sqrt(self.square_sum(u))
        usable = (weights > 0) & (step > 0)
        ratio = xp.where(usable, weights / xp.where(usable, step, c(1)), c(1)).astype(p.dtype)
        xp.multiply(u, ratio * rate, u)
        xp.subtract(p, u, p)

    # ---- others ---
    @elementwise
    def schedule_free_update(
        self, p, g, z, v, *, learning_rate, beta_1, beta_2, epsilon, correction, weight,
    ) -> None:
        """z -= rate * g / (sqrt(v / correction) + epsilon); x += weight (z - x); p = x + (1 - beta_1)(z - x)

        Of the mean ``x`` of all ``z`` nothing is kept: it follows from ``p`` and ``z``.
        """
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        b2, c2, eps, of_v = c(beta_2), c(1 - beta_2), c(epsilon), scalar(1 / correction, p.dtype)
        of_p, of_old = scalar(1 - weight, p.dtype), scalar((weight - 1) * (1 - beta_1), p.dtype)
        of_new = scalar(1 - beta_1 + beta_1 * weight, p.dtype)
        for piece in self._passes(1, p, g, z, v):
            p, g, z, v, t = piece
            self._decay(v, b2, g, c2, t, square=True)
            xp.multiply(p, of_p, p)
            xp.multiply(z, of_old, t)
            xp.add(p, t, p)
            xp.multiply(v, of_v, t)
            xp.sqrt(t, t)
            xp.add(t, eps, t)
            xp.divide(g, t, t)
            self._descend(z, t, rate, t)
            xp.multiply(z, of_new, t)
            xp.add(p, t, p)

    @elementwise
    def lion_update(self, p, g, m, *, learning_rate, beta_1, beta_2) -> None:
        """p -= rate * sign(beta_1 m + (1 - beta_1) g); m = beta_2 m + (1 - beta_2) g"""
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        b1, b2, c1, c2 = c(beta_1), c(beta_2), c(1 - beta_1), c(1 - beta_2)
        for piece in self._passes(2, p, g, m):
            p, g, m, t, u = piece
            xp.multiply(m, b1, t)
            xp.multiply(g, c1, u)
            xp.add(t, u, t)
            xp.sign(t, t)
            self._descend(p, t, rate, t)
            self._decay(m, b2, g, c2, t)

    @elementwise
    def ftrl_update(self, p, g, s, z, *, learning_rate, power, l1, l2, shrinkage, beta) -> None:
        """Follow the regularized leader: s gathers g², z the linear term; p is the closed-form minimum.

        ``power`` is the negative of Keras's ``learning_rate_power``.
        """
        xp, c, rate = self.xp, p.dtype.type, scalar(learning_rate, p.dtype)
        ridge, lasso = c(2 * l2), c(l1)
        if beta:
            ridge = ridge + scalar(beta / learning_rate, p.dtype)
        for piece in self._passes(2, p, g, s, z):
            p, g, s, z, t, u = piece
            _power(xp, s, power, u)
            xp.multiply(g, g, t)
            xp.add(s, t, s)
            _power(xp, s, power, t)
            xp.subtract(t, u, u)
            xp.divide(u, rate, u)
            xp.multiply(u, p, u)
            xp.subtract(z, u, z)
            xp.add(z, g, z)
            if shrinkage:
                xp.multiply(p, c(2 * shrinkage), u)
                xp.add(z, u, z)
            xp.divide(t, rate, t)
            xp.add(t, ridge, t)
            xp.clip(z, -lasso, lasso, out=u)
            xp.subtract(u, z, u)
            xp.divide(u, t, p)

    # ---- averages ---
    @elementwise
    def average_update(self, average, p, *, momentum: float) -> None:
        """average = momentum * average + (1 - momentum) * p"""
        c = p.dtype.type
        for piece in self._passes(1, average, p):
            average, p, t = piece
            self._decay(average, c(momentum), p, c(1 - momentum), t)


def scalar(value, dtype):
    """Return a rate in the dtype of the buffers, on the host where it is a Python number."""
    return value.astype(dtype) if hasattr(value, "astype") else dtype.type(value)


def _power(xp, array, exponent: float, out) -> None:
    """out = array ** exponent, by the square root where that is meant."""
    if exponent == 0.5:
        xp.sqrt(array, out)
    else:
        xp.power(array, array.dtype.type(exponent), out)


class NumpyUpdateMixin(UpdateMixin):
    """How NumPy goes through the rules: in pieces that fit the cache, with temporaries kept per thread."""

    update_chunk = 262144
    update_split = 262144
    direct_gradient = 65536
    flat_alignment = 64
    _one_pass = 8192  # elements from which on the BLAS is faster, its longer calls included
    _temporaries = threading.local()

    def flat_buffer(self, size, dtype):
        spare = 64 // dtype.itemsize
        buffer = self.xp.zeros(size + spare, dtype)
        skip = -buffer.ctypes.data % 64 // dtype.itemsize
        return buffer[skip:skip + size]

    def _scratch(self, count, size, dtype):
        kept: dict = self._temporaries.__dict__
        found = kept.get((dtype, count))
        if found is None or found[0].size < size:
            found = kept[dtype, count] = tuple(self.xp.empty(size, dtype) for _ in range(count))
        return followed(found if found[0].size == size else tuple(t[:size] for t in found))

    def clip_factor(self, square_sum, limit):
        norm = math.sqrt(square_sum)
        return limit / max(norm, limit) if math.isfinite(norm) else math.nan

    def _update_in_parts(self, rule, arrays, settings):
        def part(start, stop):
            rule(self, *[None if a is None else a[start:stop] for a in arrays], **settings)

        threads.share(part, arrays[0].size, arrays[0].size * 1.3e-9, block=1024)

    def _decay(self, state, keep, value, gain, t, square=False):
        if state.size < self._one_pass:
            return super()._decay(state, keep, value, gain, t, square)
        if square:
            self.xp.multiply(value, value, t)
            value = t
        if not blas.current().scaled_sum(gain, value, keep, state):
            super()._decay(state, keep, value, gain, t)

    def _descend(self, p, step, rate, t):
        if p.size < self._one_pass or not blas.current().scaled_sum(-rate, step, 1.0, p):
            super()._descend(p, step, rate, t)
