"""Random numbers for noise on the device: dropout, random ops.

A *generator* is whatever ``new_generator`` returns; it is passed back to the drawing methods and advances
with every draw. Weights and shuffles do not come from here but from ``gpukeras.random.host_generator``, so
that both devices start equal.
"""

from __future__ import annotations

import math

import numpy as np

from .rows import CHUNK
from .special import SpecialMixin


class RandomMixin(SpecialMixin):
    """Draws over ``xp.random.Generator`` (the same interface in NumPy and CuPy)."""

    def new_generator(self, seed: list[int]):
        """Return a generator started from a list of non-negative integers."""
        words = np.random.SeedSequence(seed).generate_state(2, np.uint32)
        philox = self.xp.random.Philox4x3210(int(words[0]) | int(words[1] & 0x7FFFFFFF) << 32)
        return self.xp.random.Generator(philox)

    def uniform(self, generator, shape, low, high, dtype):
        """Return draws from ``[low, high)``."""
        y = self.xp.asarray(generator.random(shape, dtype=_drawn(dtype)))
        if high - low != 1:
            y *= high - low
        if low:
            y += low
        if np.dtype(dtype).itemsize == 2 or high - low != 1 or low:
            # Rounding may have reached `high`; the interval is open there.
            kind = np.dtype(dtype).type
            y = self.xp.minimum(y.astype(dtype, copy=False), np.nextafter(kind(high), kind(low)))
        return y

    def normal(self, generator, shape, mean, stddev, dtype):
        """Return draws from a normal distribution."""
        y = self.xp.asarray(generator.standard_normal(shape, dtype=_drawn(dtype)))
        if stddev != 1:
            y *= stddev
        if mean:
            y += mean
        return y.astype(dtype, copy=False)

    def truncated_normal(self, generator, shape, mean, stddev, dtype):
        """Return draws from a normal distribution cut at two standard deviations."""
        # Inverse of the distribution function: no rejected draws, so no loop that waits for the device.
        reach = math.erf(math.sqrt(2.0))
        u = self.uniform(generator, shape, -reach, reach, _drawn(dtype))
        y = self.erfinv(u)
        y *= math.sqrt(2.0) * stddev
        if mean:
            y += mean
        return y.astype(dtype, copy=False)

    def integers(self, generator, shape, low, high, dtype):
        """Return integers from ``[low, high)``."""
        return self.xp.asarray(generator.integers(low, high, size=shape)).astype(dtype, copy=False)

    def gamma(self, generator, shape, alpha, dtype):
        """Return draws from gamma distributions of scale 1; ``alpha`` broadcasts to ``shape``."""
        return generator.standard_gamma(alpha.astype("float64"), size=shape).astype(dtype, copy=False)

    def beta(self, generator, shape, alpha, beta, dtype):
        """Return draws from beta distributions; both parameters broadcast to ``shape``."""
        found = generator.beta(alpha.astype("float64"), beta.astype("float64"), size=shape)
        return found.astype(dtype, copy=False)

    def binomial(self, generator, shape, counts, probabilities, dtype):
        """Return numbers of successes; both parameters broadcast to ``shape``."""
        found = generator.binomial(counts.astype("int64"), probabilities.astype("float64"), size=shape)
        return found.astype(dtype, copy=False)

    def dropout_mask(self, generator, shape, rate):
        """Return booleans that are ``False`` with probability ``rate``."""
        return generator.random(shape, dtype="float32") >= rate

    def dropout_factor(self, generator, shape, rate, dtype):
        """Return 0 with probability ``rate`` and 1 / (1 - rate) elsewhere: what dropout multiplies by."""
        factor = self.dropout_mask(generator, shape, rate).astype(dtype)
        factor *= 1 / (1 - rate) if rate < 1 else 0
        return factor

    def fused_dropout(self, generator, x, rate):
        """Return dropout of ``x`` and the function that makes its gradient; ``None`` where nothing is fused.

        ``generator`` is a function that returns one; it is not called where the answer is ``None``.
        """
        return None


class NumpyRandomMixin(RandomMixin):
    """Small, fast generator; dropout compares 16-bit pieces of raw words with a threshold."""

    def new_generator(self, seed: list[int]):
        return np.random.Generator(np.random.SFC64(seed))

    def dropout_mask(self, generator, shape, rate):
        count = math.prod(shape)
        threshold = min(65535, round(rate * 65536))
        words = generator.bit_generator.random_raw(-(-count // 4))
        return (words.view(np.uint16)[:count] >= np.uint16(threshold)).reshape(shape)

    def dropout_factor(self, generator, shape, rate, dtype):
        factor = self.empty(shape, dtype)
        flat, scale = factor.reshape(-1), 1 / (1 - rate) if rate < 1 else 0
        for i in range(0, flat.size, CHUNK):  # words, truth values and factors of a chunk stay in cache
            part = flat[i:i + CHUNK]
            part[...] = self.dropout_mask(generator, part.shape, rate)
            part *= scale
        return factor


def _drawn(dtype) -> str:
    """Float type in which to draw for results of ``dtype``."""
    return "float64" if dtype == "float64" else "float32"
