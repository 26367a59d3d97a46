"""The backend contract, written once over ``xp`` (NumPy or CuPy).

Every method takes and returns arrays of one device. A subclass overrides only what it can do faster, so
a missing kernel is slow, never absent. Plain array functions (``exp``, ``sum``, ...) need no method here:
ops call them on ``backend.xp``.
"""

from __future__ import annotations

from .activation import ActivationMixin
from .attention import AttentionMixin
from .capture import CaptureMixin
from .convolution import ConvolutionMixin
from .dense import DenseMixin
from .depthwise import DepthwiseMixin
from .device import Device
from .embedding import EmbeddingMixin
from .fft import FourierMixin
from .group_normalization import GroupNormalizationMixin
from .indexing import IndexingMixin
from .linalg import LinalgMixin
from .local import LocalMixin
from .loss import LossMixin
from .normalization import NormalizationMixin
from .pooling import PoolingMixin
from .random import RandomMixin
from .recurrent import RecurrentMixin
from .reduction import ReductionMixin
from .resize import ResizeMixin
from .rows import RowsMixin
from .sparse import SparseMixin
from .special import SpecialMixin
from .update import UpdateMixin
from .update_matrices import MatrixUpdateMixin
from .update_rows import RowUpdateMixin
from .update_steps import StepMixin
from .warping import WarpingMixin


class Backend(
    GroupNormalizationMixin,
    WarpingMixin,
    AttentionMixin,
    SparseMixin, DenseMixin, LossMixin, ActivationMixin, NormalizationMixin, DepthwiseMixin, ConvolutionMixin,
    LocalMixin, PoolingMixin, ResizeMixin, RecurrentMixin, RowsMixin, ReductionMixin, MatrixUpdateMixin,
    LinalgMixin, EmbeddingMixin, FourierMixin, IndexingMixin, RandomMixin, SpecialMixin, RowUpdateMixin,
    UpdateMixin, StepMixin, CaptureMixin, Device,
):
    """Array functions of one device: what ``Device`` offers and all families."""
