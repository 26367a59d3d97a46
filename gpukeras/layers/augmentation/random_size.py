"""Layers of ``tf.keras`` that change the height or the width of a batch at random."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.backends.resize import INTERPOLATIONS
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.layers.augmentation.moving import move_boxes


class _RandomSize(RandomImageLayer):
    """Base: one axis of all images of a batch gets another size.

    Parameters
    ----------
    factor : float or pair of float
        Lowest and greatest change as a part of the size, above -1; one number ``f`` means ``(-f, f)``.
    interpolation : str
        As in ``Resizing``.
    seed : int, optional
    """

    axis_name = "height"

    def __init__(self, factor, interpolation="bilinear", seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        low, high = factor if isinstance(factor, (tuple, list)) and len(factor) == 2 else (None, None)
        if isinstance(factor, (int, float)) and not isinstance(factor, bool):
            low, high = -factor, factor
        if not isinstance(low, (int, float)) or not isinstance(high, (int, float)) or not -1 <= low <= high:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): factor must be a number from 0 to 1, or a "
                f"pair (lower, upper) from -1, came {factor!r}"
            )
        self.factor = factor
        self.lower, self.upper = low, high
        self.interpolation = self.one_of("interpolation", str(interpolation).lower(), INTERPOLATIONS)

    @property
    def _axis(self) -> int:
        return self.height_axis if self.axis_name == "height" else self.width_axis

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = tuple(self.images_of(data).shape)
        part = self.host_uniform(1.0 + self.lower, 1.0 + self.upper, seed)
        return {self.axis_name: max(1, int(shape[self._axis] * part)), "input_shape": shape}

    def transform_images(self, images, transformation, training=True):
        return self._resize(self.in_layer_dtype(images), transformation, training, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._resize(segmentation_masks, transformation, training, "nearest")

    def _resize(self, images, transformation, training, interpolation):
        if not training or transformation is None:
            return images
        return ops.image.resize(
            images, self._new_size(self.size_of(images), transformation), interpolation=interpolation,
            data_format=self.data_format,
        )

    def _new_size(self, size, transformation) -> tuple[int, int]:
        new = int(transformation[self.axis_name])
        return (new, size[1]) if self.axis_name == "height" else (size[0], new)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training or transformation is None:
            return bounding_boxes
        shape = transformation["input_shape"]
        h, w = size = shape[self.height_axis], shape[self.width_axis]
        new_h, new_w = new_size = self._new_size(size, transformation)
        return move_boxes(bounding_boxes, self.bounding_box_format, size, new_size,
                          lambda x, y: (x * (new_w / w), y * (new_h / h)))

    def image_output_shape(self, shape):
        shape = list(shape)
        shape[self._axis] = None
        return tuple(shape)

    def get_config(self):
        return super().get_config() | {"factor": self.factor, "interpolation": self.interpolation}


class RandomHeight(_RandomSize):
    """Change the height of all images of a batch by a random factor in training (``tf.keras``).

    Parameters
    ----------
    factor : float or pair of float
        Lowest and greatest change as a part of the height, above -1; one number ``f`` means ``(-f, f)``.
    interpolation : str
        As in ``Resizing``.
    seed : int, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomHeight((0.5, 0.5))(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 12, 8, 3)
    """


class RandomWidth(_RandomSize):
    """Change the width of all images of a batch by a random factor in training (``tf.keras``).

    Parameters
    ----------
    factor : float or pair of float
        Lowest and greatest change as a part of the width, above -1; one number ``f`` means ``(-f, f)``.
    interpolation : str
        As in ``Resizing``.
    seed : int, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomWidth((0.5, 0.5))(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 12, 3)
    """

    axis_name = "width"
