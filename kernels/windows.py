"""``Windows`` as kernels take them: three axes, those that are missing first, of one element."""

from __future__ import annotations

import functools

import numpy as np

FIELDS = ("size", "out", "window", "strides", "lows", "dilation")
DTYPE = np.dtype([(field, "i4", 3) for field in FIELDS])
FILL = {"lows": 0}


@functools.lru_cache(maxsize=1024)
def pack(windows) -> np.ndarray:
    """Return ``Windows`` of ``backends.window_shapes`` as a structure of ``windows.cuh``, passed by value."""
    found = np.zeros((), DTYPE)
    for field in FIELDS:
        values = getattr(windows, field)
        found[field] = (FILL.get(field, 1),) * (3 - len(values)) + tuple(values)
    return found
