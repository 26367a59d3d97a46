"""Layers that distort images at random: perspective and elastic."""

from __future__ import annotations

import numpy as np

from gpukeras import ops, random
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.layers.augmentation.moving import FILL_MODES, INTERPOLATIONS, move_boxes
from gpukeras.ops.image import elastic_transform, perspective_transform
from gpukeras.ops.warping import projection


class _SomeImages(RandomImageLayer):
    """Base: each image is transformed with a probability that is drawn from ``factor``."""

    takes_factor = True
    factor_bounds = (0, 1)

    def chosen(self, data, seed):
        """Return which images are transformed, shape (N,)."""
        shape = (self.batch_of(data),)
        probability = self.uniform(data, shape, *self.factor, seed)
        return self.uniform(data, shape, seed=seed) < probability

    def only(self, chosen, changed, images):
        """Return ``changed`` for the chosen ones, else ``images`` as they are."""
        chosen = ops.reshape(chosen, (-1,) + (1,) * (len(images.shape) - 1))
        return ops.where(chosen, changed, images)


class RandomPerspective(_SomeImages):
    """Show images as if seen from aside: their corners move at random in training.

    Parameters
    ----------
    factor : float or pair of float
        With which probability an image is changed, drawn anew for each from this range; one number ``f``
        means ``(0, f)``.
    scale : float
        How far the corners move, from 0 to 1: at most half of it, as a part of the image's size.
    interpolation : {"bilinear", "nearest"}
        Segmentation masks always take the nearest pixel.
    fill_value : float
        Of what appears at the borders.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Notes
    -----
    As in Keras the corner (0, 0) stays in place and corners on an axis stay on it: all coordinates are
    multiplied by ``1 + u`` with ``u`` uniform in ``[-scale / 2, scale / 2)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomPerspective(seed=1)(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_value=0.0, seed=None,
                 data_format=None, **kwargs):
        super().__init__(factor=factor, seed=seed, data_format=data_format, **kwargs)
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not 0 <= scale <= 1:
            raise ValueError(f"layer {self.name!r}: scale must be a number from 0 to 1, came {scale!r}")
        self.scale = scale
        self.interpolation = self.one_of("interpolation", interpolation, INTERPOLATIONS)
        self.fill_value = fill_value

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        batch, (height, width) = self.batch_of(data), self.size_of(data)
        chosen = self.chosen(data, seed)
        change = self.uniform(data, (batch, 4, 2), 1 - self.scale / 2, 1 + self.scale / 2, seed)
        right, bottom = float(width - 1), float(height - 1)
        corners = np.array([[0, 0], [right, 0], [0, bottom], [right, bottom]], "float32")
        with self.on_device_of(data):
            start = ops.tile(ops.convert_to_tensor(corners[None]), (batch, 1, 1))
        return {"apply_perspective": chosen, "start_points": start, "end_points": start * change,
                "input_shape": tuple(self.images_of(data).shape)}

    def transform_images(self, images, transformation, training=True):
        return self._project(self.in_layer_dtype(images), transformation, training, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._project(segmentation_masks, transformation, training, "nearest")

    def _project(self, images, transformation, training, interpolation):
        if not training or transformation is None:
            return images
        changed = perspective_transform(
            images, transformation["start_points"], transformation["end_points"], interpolation,
            self.fill_value, self.data_format,
        )
        return self.only(transformation["apply_perspective"], changed, images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training or transformation is None:
            return bounding_boxes
        shape = transformation["input_shape"]
        size = shape[self.height_axis], shape[self.width_axis]
        start, end = (ops.convert_to_tensor(transformation[key]) for key in ("start_points", "end_points"))
        a0, a1, a2, b0, b1, b2, c0, c1 = (projection(start, end)[:, i, None, None] for i in range(8))
        chosen = ops.reshape(transformation["apply_perspective"], (-1, 1, 1))

        def move(x, y):
            k = c0 * x + c1 * y + 1.0
            return (ops.where(chosen, (a0 * x + a1 * y + a2) / k, x),
                    ops.where(chosen, (b0 * x + b1 * y + b2) / k, y))

        return move_boxes(bounding_boxes, self.bounding_box_format, size, size, move)

    def get_config(self):
        return super().get_config() | {
            "scale": self.scale, "interpolation": self.interpolation, "fill_value": self.fill_value}


class RandomElasticTransform(_SomeImages):
    """Distort images like rubber: every pixel is shifted, neighbours alike, in training.

    Parameters
    ----------
    factor : float or pair of float
        With which probability an image is changed, drawn anew for each from this range; one number ``f``
        means ``(0, f)``.
    scale : float or pair of float
        Strength of the distortion, drawn once for a batch from this range; one number ``s`` means
        ``(0, s)``.
    interpolation : {"bilinear", "nearest"}
        Segmentation masks always take the nearest pixel.
    fill_mode : {"reflect", "wrap", "constant", "nearest", "mirror"}
    fill_value : float
    value_range : pair of float
        Lowest and greatest value of a pixel; results are cut there.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Notes
    -----
    Bounding boxes cannot follow such a distortion, as in Keras.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomElasticTransform(seed=1)(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, factor=1.0, scale=1.0, interpolation="bilinear", fill_mode="reflect", fill_value=0.0,
                 value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(factor=factor, seed=seed, data_format=data_format, **kwargs)
        self.scale = self.pair("scale", scale)
        self.interpolation = self.one_of("interpolation", interpolation, INTERPOLATIONS)
        self.fill_mode = self.one_of("fill_mode", fill_mode, FILL_MODES)
        self.fill_value = fill_value
        self.value_range = self.range_of_values(value_range)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        chosen = self.chosen(data, seed)
        strength = self.host_uniform(*self.scale, seed)
        # Images and masks must be distorted alike: the noise has a seed of its own.
        source = seed if isinstance(seed, random.SeedGenerator) else self.generator
        return {"apply_transform": chosen, "distortion_factor": strength, "seed": source.next()}

    def get_elastic_transform_params(self, height, width, factor):
        """Return ``alpha`` and ``sigma`` of ``ops.image.elastic_transform`` for a strength."""
        return max(height, width) * 0.1 * factor, min(height, width) * 0.05 * factor

    def transform_images(self, images, transformation, training=True):
        images = self.in_layer_dtype(images)
        if not training or transformation is None:
            return images
        return ops.clip(self._distort(images, transformation, self.interpolation), *self.value_range)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training or transformation is None:
            return segmentation_masks
        return self._distort(segmentation_masks, transformation, "nearest")

    def _distort(self, images, transformation, interpolation):
        strength = float(transformation["distortion_factor"])
        height, width = self.size_of(images)
        alpha, sigma = self.get_elastic_transform_params(height, width, strength)
        if sigma <= 0:
            return images
        changed = elastic_transform(
            images, alpha, sigma, interpolation, self.fill_mode, self.fill_value, transformation["seed"],
            self.data_format,
        )
        return self.only(transformation["apply_transform"], changed, images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        raise NotImplementedError(
            f"layer {self.name!r} (RandomElasticTransform): bounding boxes cannot follow an elastic "
            "distortion; use RandomPerspective or RandomShear, or leave the boxes out"
        )

    def get_config(self):
        return super().get_config() | {
            "scale": self.scale, "interpolation": self.interpolation, "fill_mode": self.fill_mode,
            "fill_value": self.fill_value, "value_range": self.value_range,
        }
