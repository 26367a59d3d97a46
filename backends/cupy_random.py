"""Random numbers on a GPU by our own kernels."""

from __future__ import annotations

import functools

import numpy as np

from gpukeras.kernels import dropout
from gpukeras.kernels.elementwise import TYPES

from .random import RandomMixin


class Generator:
    """A sequence of random numbers whose state lies, and advances, on the device.

    What our kernels do not draw comes from a generator of CuPy that is started from the same seed.

    Parameters
    ----------
    module : module
        ``cupy``.
    key : int
        64 bits.

    Attributes
    ----------
    state : array of uint64
        Recorded launches (CUDA graphs) read it where it lies: ``restart`` keeps it there.
    """

    def __init__(self, module, key: int):
        self._module = module
        self._key = key
        self.state = dropout.new_state(key)

    def restart(self, key: int) -> None:
        """Start another sequence in the same place."""
        self._key = key
        self.state[...] = dropout.new_state(key)
        self.__dict__.pop("_other", None)

    @functools.cached_property
    def _other(self):
        philox = self._module.random.Philox4x3210(self._key >> 1)  # CuPy takes signed seeds
        return self._module.random.Generator(philox)

    def random(self, shape=(), dtype="float64"):
        """Return draws from [0, 1)."""
        if np.dtype(dtype).name in TYPES:
            return dropout.uniform(self.state, shape, 0.0, 1.0, dtype)
        return self._other.random(shape, dtype=dtype)

    def standard_normal(self, shape=(), dtype="float64"):
        """Return draws from the standard normal distribution."""
        if np.dtype(dtype).name in TYPES:
            return dropout.normal(self.state, shape, 0.0, 1.0, dtype)
        return self._other.standard_normal(shape, dtype=dtype)

    def integers(self, low, high, size=None):
        """Return integers from [low, high)."""
        return self._other.integers(low, high, size=size)

    def standard_gamma(self, alpha, size=None):
        """Return draws from gamma distributions of scale 1."""
        return self._other.standard_gamma(alpha, size=size)

    def beta(self, alpha, beta, size=None):
        """Return draws from beta distributions."""
        return self._other.beta(alpha, beta, size=size)

    def binomial(self, counts, probabilities, size=None):
        """Return numbers of successes."""
        return self._other.binomial(counts, probabilities, size=size)


class CupyRandomMixin(RandomMixin):
    """Kernels for float32 and the halves; other types and distributions go the generic way."""

    def new_generator(self, seed):
        words = np.random.SeedSequence(seed).generate_state(2, np.uint32)
        return Generator(self.xp, int(words[0]) | int(words[1]) << 32)

    def uniform(self, generator, shape, low, high, dtype):
        if np.dtype(dtype).name not in TYPES:
            return super().uniform(generator, shape, low, high, dtype)
        return dropout.uniform(generator.state, shape, low, high, dtype)

    def normal(self, generator, shape, mean, stddev, dtype):
        if np.dtype(dtype).name not in TYPES:
            return super().normal(generator, shape, mean, stddev, dtype)
        return dropout.normal(generator.state, shape, mean, stddev, dtype)

    def dropout_mask(self, generator, shape, rate):
        return dropout.dropout_factor(generator.state, shape, rate, "float16") > 0

    def dropout_factor(self, generator, shape, rate, dtype):
        if np.dtype(dtype).name not in TYPES:
            return super().dropout_factor(generator, shape, rate, dtype)
        return dropout.dropout_factor(generator.state, shape, rate, dtype)

    def fused_dropout(self, generator, x, rate):
        if x.dtype.name not in TYPES:
            return None
        y, drawn = dropout.dropout_forward(generator().state, x, rate)
        return y, lambda dy: dropout.dropout_backward(drawn, dy, rate)
