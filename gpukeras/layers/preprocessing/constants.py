"""Host arrays that a layer's computation needs: on the device of its inputs, copied there once."""

from __future__ import annotations

import numpy as np

from gpukeras.tensor import Tensor


class Constants:
    """Tensors by name, made from host arrays on every device where they are asked for.

    A copy of a layer makes its own, and a file holds none of them.
    """

    def __init__(self):
        self._made: dict = {}

    def get(self, name: str, values, like: Tensor, dtype=None) -> Tensor:
        """Return host values as a tensor beside ``like``; ``name`` stands for them until ``clear``."""
        backend = like.backend
        key = name, backend.name, str(dtype)
        found = self._made.get(key)
        if found is None:
            found = self._made[key] = Tensor(backend.asarray(np.asarray(values), dtype))
        return found

    def clear(self) -> None:
        self._made.clear()

    def __deepcopy__(self, memo):
        return Constants()

    def __reduce__(self):
        return Constants, ()
