"""The layer that mirrors images at random."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.layers.augmentation.moving import move_boxes

MODES = ("horizontal", "vertical", "horizontal_and_vertical")


class RandomFlip(RandomImageLayer):
    """Mirror each image of a batch, with probability 1/2, in training.

    Parameters
    ----------
    mode : {"horizontal_and_vertical", "horizontal", "vertical"}
        Left and right change places, top and bottom, or both at once.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.ones((4, 8, 8, 3))
    >>> keras.layers.RandomFlip("horizontal", seed=1)(x).shape
    (4, 8, 8, 3)
    """

    def __init__(self, mode="horizontal_and_vertical", seed=None, data_format=None, **kwargs):
        super().__init__(seed=seed, data_format=data_format, **kwargs)
        self.mode = self.one_of("mode", mode, MODES)

    @property
    def _axes(self) -> list[int]:
        axes = {"horizontal": self.width_axis, "vertical": self.height_axis}
        return [axis for name, axis in axes.items() if name in self.mode]

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = (self.batch_of(data), 1, 1, 1)
        return {"flips": self.uniform(data, shape, seed=seed) <= 0.5,
                "input_shape": tuple(self.images_of(data).shape)}

    def transform_images(self, images, transformation, training=True):
        return self._flip(self.in_layer_dtype(images), transformation, training)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._flip(segmentation_masks, transformation, training)

    def _flip(self, images, transformation, training):
        if not training or transformation is None:
            return images
        return ops.where(transformation["flips"], ops.flip(images, axis=self._axes), images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training or transformation is None:
            return bounding_boxes
        shape = transformation["input_shape"]
        size = shape[self.height_axis], shape[self.width_axis]
        flips = ops.reshape(transformation["flips"], (-1, 1, 1))

        def move(x, y):
            if self.width_axis in self._axes:
                x = ops.where(flips, size[1] - x, x)
            if self.height_axis in self._axes:
                y = ops.where(flips, size[0] - y, y)
            return x, y

        return move_boxes(bounding_boxes, self.bounding_box_format, size, size, move)

    def get_config(self):
        return super().get_config() | {"mode": self.mode}
