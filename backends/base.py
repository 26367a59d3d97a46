"""The backend contract, written once over ``xp`` (NumPy or CuPy).

Every method takes and returns arrays of one device. A subclass overrides only what it can do faster, so
a missing kernel is slow, never absent. Plain array functions (``exp``, ``sum``, ...) need no method here:
ops call them on ``backend.xp``.
"""

from __future__ import annotations

from .activation import ActivationMixin
from .capture import CaptureMixin
from .convolution import ConvolutionMixin
from .dense import DenseMixin
from .depthwise import DepthwiseMixin
from .device import Device
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
from .sparse import SparseMixin
from .special import SpecialMixin
from .update import UpdateMixin
from .update_rows import RowUpdateMixin


class Backend(
    SparseMixin, DenseMixin, LossMixin, ActivationMixin, NormalizationMixin, DepthwiseMixin, ConvolutionMixin,
    PoolingMixin, ResizeMixin, RecurrentMixin, RowsMixin, ReductionMixin, LinalgMixin, EmbeddingMixin,
    IndexingMixin, RandomMixin, SpecialMixin, RowUpdateMixin, UpdateMixin, CaptureMixin, Device,
):
    """Array functions of one device: what ``Device`` offers and all families."""
