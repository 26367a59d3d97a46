"""The backend contract, written once over ``xp`` (NumPy or CuPy).

Every method takes and returns arrays of one device. A subclass overrides only what it can do faster, so
a missing kernel is slow, never absent. Plain array functions (``exp``, ``sum``, ...) need no method here:
ops call them on ``backend.xp``.
"""

from __future__ import annotations

import numpy as np

from .activation import ActivationMixin
from .convolution import ConvolutionMixin
from .dense import DenseMixin
from .embedding import EmbeddingMixin
from .indexing import IndexingMixin
from .linalg import LinalgMixin
from .loss import LossMixin
from .normalization import NormalizationMixin
from .pooling import PoolingMixin
from .random import RandomMixin
from .recurrent import RecurrentMixin
from .reduction import ReductionMixin
from .resize import ResizeMixin
from .rows import RowsMixin
from .special import SpecialMixin
from .update import UpdateMixin


class Backend(
    IndexingMixin, RecurrentMixin, RowsMixin, ActivationMixin, DenseMixin, LossMixin, NormalizationMixin,
    ConvolutionMixin, PoolingMixin, ResizeMixin, UpdateMixin, ReductionMixin, LinalgMixin, SpecialMixin, RandomMixin,
    EmbeddingMixin,
):
    """Array functions of one device.

    Attributes
    ----------
    xp : module
        ``numpy`` or ``cupy``.
    name : str
        ``"cpu"`` or ``"gpu:N"``.
    """

    xp = np
    name = "cpu"

    def describe(self) -> str:
        """Return one readable line about the device."""
        raise NotImplementedError

    # ---- moving and making arrays ------------------------------------------------------------

    def asarray(self, value, dtype=None):
        """Return ``value`` (host data or an array of this device) as an array on this device."""
        return self.xp.asarray(value, dtype=dtype)

    def to_numpy(self, array) -> np.ndarray:
        """Return ``array`` as a NumPy array on the host (the only road from the device)."""
        raise NotImplementedError

    def synchronize(self) -> None:
        """Wait until the device has finished; nothing to do on a CPU."""

    def owns(self, array) -> bool:
        """Tell whether ``array`` lives on this device."""
        raise NotImplementedError
