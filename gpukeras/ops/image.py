"""Operations on images (``keras.ops.image``)."""

from .resize import resize

__all__ = ["resize"]
