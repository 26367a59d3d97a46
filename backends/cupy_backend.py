"""CuPy on an NVIDIA GPU: the generic contract on ``cupy``; kernels override it family by family."""

from __future__ import annotations

import cupy
import numpy as np
from cupyx.scipy import special

from . import DeviceError
from .base import Backend
from .cupy_activation import CupyActivationMixin
from .cupy_capture import CupyCaptureMixin
from .cupy_convolution import CupyConvolutionMixin
from .cupy_dense import CupyDenseMixin
from .cupy_embedding import CupyEmbeddingMixin
from .cupy_faults import check_version, count_devices, try_out, waiting, watch_memory
from .cupy_loss import CupyLossMixin
from .cupy_normalization import CupyNormalizationMixin
from .cupy_pooling import CupyPoolingMixin
from .cupy_random import CupyRandomMixin
from .cupy_recurrent import CupyRecurrentMixin
from .cupy_reduction import CupyReductionMixin
from .cupy_update import CupyUpdateMixin


class CupyBackend(
    CupyActivationMixin, CupyCaptureMixin, CupyConvolutionMixin, CupyDenseMixin, CupyEmbeddingMixin,
    CupyLossMixin, CupyNormalizationMixin, CupyPoolingMixin, CupyRandomMixin, CupyRecurrentMixin,
    CupyReductionMixin, CupyUpdateMixin, Backend,
):
    """The backend of one GPU.

    Parameters
    ----------
    index : int
        CUDA device number.

    Raises
    ------
    DeviceError
        Where CuPy is too old, the driver is missing, there is no such device, or nothing can be computed on
        it.
    """

    xp = cupy
    takes_bfloat16 = True

    def __init__(self, index: int = 0):
        check_version()
        count = count_devices()
        if index >= count:
            raise DeviceError(f"this machine has {count} CUDA device(s), numbered from 0")
        self.index = index
        self.alone = count == 1
        self.name = f"gpu:{index}"
        try_out(index)
        watch_memory()

    def describe(self) -> str:
        name = cupy.cuda.runtime.getDeviceProperties(self.index)["name"].decode()
        return f"GPU {self.index} ({name}), CuPy {cupy.__version__}"

    def activate(self) -> None:
        cupy.cuda.Device(self.index).use()

    def asarray(self, value, dtype=None):
        if isinstance(value, cupy.ndarray) or cupy.cuda.runtime.getDevice() == self.index:
            return cupy.asarray(value, dtype=dtype)
        with cupy.cuda.Device(self.index):
            return cupy.asarray(value, dtype=dtype)

    def to_numpy(self, array) -> np.ndarray:
        with waiting(self.name):
            return cupy.asnumpy(array)

    def free_memory(self) -> int:
        with cupy.cuda.Device(self.index):
            return cupy.cuda.runtime.memGetInfo()[0] + cupy.get_default_memory_pool().free_bytes()

    def synchronize(self) -> None:
        with waiting(self.name):
            cupy.cuda.Device(self.index).synchronize()

    def owns(self, array) -> bool:
        return isinstance(array, cupy.ndarray) and array.device.id == self.index

    # ---- special functions: CuPy has its own, float64 for what is not float32 ----------------------------
    def erf(self, x):
        return _in_own_type(special.erf, x)

    def erfc(self, x):
        return _in_own_type(special.erfc, x)

    def erfinv(self, x):
        return _in_own_type(special.erfinv, x)


def _in_own_type(f, x):
    """Return ``f(x)`` in the type of ``x``; halves go through float32, as CuPy would answer in float64."""
    if x.dtype.itemsize < 4:
        return f(x.astype(np.float32)).astype(x.dtype)
    return f(x)
