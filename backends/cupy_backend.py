"""CuPy on an NVIDIA GPU: the generic contract on ``cupy``; kernels override it family by family."""

from __future__ import annotations

import cupy
import numpy as np

from .base import Backend


class CupyBackend(Backend):
    """The backend of one GPU.

    Parameters
    ----------
    index : int
        CUDA device number.
    """

    xp = cupy

    def __init__(self, index: int = 0):
        try:
            count = cupy.cuda.runtime.getDeviceCount()
        except cupy.cuda.runtime.CUDARuntimeError as error:
            raise RuntimeError(f"CUDA reports: {error}") from error
        if index >= count:
            raise RuntimeError(f"this machine has {count} CUDA device(s), numbered from 0")
        self.index = index
        self.name = f"gpu:{index}"

    def describe(self) -> str:
        name = cupy.cuda.runtime.getDeviceProperties(self.index)["name"].decode()
        return f"GPU {self.index} ({name}), CuPy {cupy.__version__}"

    def asarray(self, value, dtype=None):
        with cupy.cuda.Device(self.index):
            return cupy.asarray(value, dtype=dtype)

    def to_numpy(self, array) -> np.ndarray:
        return cupy.asnumpy(array)

    def synchronize(self) -> None:
        cupy.cuda.Device(self.index).synchronize()

    def owns(self, array) -> bool:
        return isinstance(array, cupy.ndarray) and array.device.id == self.index

    # ---- special functions: CuPy has its own -------------------------------------------------------
    def erf(self, x):
        from cupyx.scipy import special

        return special.erf(x)

    def erfc(self, x):
        from cupyx.scipy import special

        return special.erfc(x)

    def erfinv(self, x):
        from cupyx.scipy import special

        return special.erfinv(x)
