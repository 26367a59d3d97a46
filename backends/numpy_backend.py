"""NumPy on the CPU."""

from __future__ import annotations

import platform

import numpy as np

from . import memory
from .activation import NumpyActivationMixin
from .attention import NumpyAttentionMixin
from .base import Backend
from .convolution import NumpyConvolutionMixin
from .dense import NumpyDenseMixin
from .depthwise import NumpyDepthwiseMixin
from .embedding import NumpyEmbeddingMixin
from .group_normalization import NumpyGroupNormalizationMixin
from .indexing import NumpyIndexingMixin
from .linalg import NumpyLinalgMixin
from .loss import NumpyLossMixin
from .normalization import NumpyNormalizationMixin
from .pooling import NumpyPoolingMixin
from .program import kept
from .random import NumpyRandomMixin
from .recurrent import NumpyRecurrentMixin
from .reduction import NumpyReductionMixin
from .rows import NumpyRowsMixin
from .update import NumpyUpdateMixin
from .warping import NumpyWarpingMixin


class NumpyBackend(
    NumpyGroupNormalizationMixin,
    NumpyAttentionMixin,
    NumpyNormalizationMixin, NumpyDepthwiseMixin, NumpyConvolutionMixin, NumpyPoolingMixin,
    NumpyRecurrentMixin, NumpyActivationMixin, NumpyLossMixin, NumpyRowsMixin, NumpyReductionMixin,
    NumpyDenseMixin, NumpyLinalgMixin, NumpyEmbeddingMixin, NumpyIndexingMixin, NumpyRandomMixin,
    NumpyUpdateMixin, NumpyWarpingMixin, Backend,
):
    """The CPU backend: the generic contract on NumPy, with overrides where NumPy has a faster way."""

    xp = np
    name = "cpu"

    def describe(self) -> str:
        return f"CPU ({platform.machine()}), NumPy {np.__version__}"

    def empty(self, shape, dtype) -> np.ndarray:
        return kept(memory.empty(shape, dtype))

    def release_memory(self) -> None:
        memory.release(memory.KEPT)

    def to_numpy(self, array) -> np.ndarray:
        return np.asarray(array)

    def owns(self, array) -> bool:
        return isinstance(array, (np.ndarray, np.generic))
