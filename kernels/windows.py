"""``Windows`` as kernels take them: three axes, those that are missing first, of one element."""

from __future__ import annotations

import functools

import numpy as np

DTYPE = np.dtype([(f, "i4", 3) for f in ("size", "out", "window", "strides", "lows", "dilation")])
FILL = {"lows": 0}


@functools.lru_cache(maxsize=1024)
def pack(windows) -> np.ndarray:
    """Return ``Windows`` of ``backends.window_shapes`` as a structure of ``windows.cuh``, passed by value."""
    found = np.zeros((), DTYPE)
    for field in DTYPE.names:
        values = getattr(windows, field)
        found[field] = (FILL.get(field, 1),) * (3 - len(values)) + tuple(values)
    return found
