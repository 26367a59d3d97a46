"""Memory that recurrent layers use again at every step of training."""

from __future__ import annotations

import math

import numpy as np

KEPT = 1 << 26  # bytes that wait for their next use at most
LINE = 64  # arrays start on a cache line: vector instructions are up to a tenth faster there


class Pool:
    """Flat arrays that were given back, for the next borrower.

    Borrowing and giving back may meet in any thread, even inside one another (arrays are given back by
    ``__del__``), so there are single dictionary operations here and no lock.
    """

    def __init__(self, kept: int = KEPT):
        self.kept = kept
        self.free: dict[int, np.ndarray] = {}  # oldest first

    def take(self, size: int) -> np.ndarray:
        """Return at least ``size`` bytes."""
        fitting = [a for a in list(self.free.values()) if size <= a.size <= 2 * size]
        for array in sorted(fitting, key=lambda a: a.size):
            if self.free.pop(id(array), None) is not None:
                return array
        memory = np.empty(size + LINE, np.uint8)
        start = -memory.ctypes.data % LINE
        return memory[start:start + size]

    def give_back(self, arrays) -> None:
        """Keep ``arrays``; the oldest ones go where that would be too much."""
        for array in arrays:
            self.free[id(array)] = array
        total = sum(a.size for a in list(self.free.values()))
        for key in list(self.free):
            if total <= self.kept:
                break
            array = self.free.pop(key, None)
            total -= 0 if array is None else array.size


POOL = Pool()


class Loan:
    """Arrays borrowed together; they go back when this object goes.

    Nothing borrowed may be handed out as a result.
    """

    def __init__(self, pool: Pool = POOL):
        self.pool = pool
        self.arrays: list[np.ndarray] = []

    def empty(self, shape, dtype) -> np.ndarray:
        """Return an array of rubbish."""
        dtype = np.dtype(dtype)
        size = math.prod(shape) * dtype.itemsize
        memory = self.pool.take(size)
        self.arrays.append(memory)
        return memory[:size].view(dtype).reshape(shape)

    def __del__(self):
        self.pool.give_back(self.arrays)
