"""What every family of array methods stands on: the array module of a device and how arrays get there."""

from __future__ import annotations

from typing import Any

import numpy as np


class Device:
    """One device and its array module.

    Attributes
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    name : str
        ``"cpu"`` or ``"gpu:N"``.
    takes_bfloat16 : bool
        Whether the methods take arrays of that type. Generic code does not: beside a Python number such
        arrays become float32, in NumPy and in CuPy. Ops widen them first.
    """

    xp: Any = np
    name = "cpu"
    takes_bfloat16 = False

    def describe(self) -> str:
        """Return one readable line about the device."""
        raise NotImplementedError

    def activate(self) -> None:
        """Make this device the calling thread's own; nothing to do on a CPU."""

    def asarray(self, value, dtype=None):
        """Return ``value`` (host data or an array of this device) as an array on this device."""
        return self.xp.asarray(value, dtype=dtype)

    def empty(self, shape, dtype):
        """Return an uninitialised array for a result; on a CPU large ones come from ``memory``."""
        return self.xp.empty(shape, dtype)

    def release_memory(self) -> None:
        """Give back memory that was kept for results to come, if it is a lot."""

    def to_numpy(self, array) -> np.ndarray:
        """Return ``array`` as a NumPy array on the host (the only road from the device)."""
        raise NotImplementedError

    def free_memory(self) -> int | None:
        """Return the bytes that new arrays may take, or ``None`` where nobody counts them."""
        return None

    def synchronize(self) -> None:
        """Wait until the device has finished; nothing to do on a CPU."""

    def owns(self, array) -> bool:
        """Tell whether ``array`` lives on this device."""
        raise NotImplementedError
