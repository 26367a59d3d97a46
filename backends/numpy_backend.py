"""NumPy on the CPU."""

from __future__ import annotations

import platform

import numpy as np

from .base import Backend


class NumpyBackend(Backend):
    """The CPU backend: the generic contract on NumPy, with overrides where NumPy has a faster way."""

    xp = np
    name = "cpu"

    def describe(self) -> str:
        return f"CPU ({platform.machine()}), NumPy {np.__version__}"

    def to_numpy(self, array) -> np.ndarray:
        return np.asarray(array)

    def owns(self, array) -> bool:
        return isinstance(array, (np.ndarray, np.generic))
