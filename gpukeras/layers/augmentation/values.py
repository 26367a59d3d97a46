"""What layers share that change the values of pixels and leave them in their places."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.layers.augmentation.base import BaseImagePreprocessingLayer, RandomImageLayer


class ValueLayer(BaseImagePreprocessingLayer):
    """Base of layers that change values of pixels: subclasses write ``change_values``.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value that images hold.

    Notes
    -----
    Computed in float32, or in float64 where the layer's dtype is; the result has the layer's dtype. With
    ``dtype="uint8"`` fractions are cut off.
    """

    def __init__(self, value_range=(0, 255), **kwargs):
        super().__init__(**kwargs)
        self.value_range = self.range_of_values(value_range)

    def change_values(self, images, transformation):
        """Return the changed images; both in floats."""
        raise NotImplementedError(f"{type(self).__name__} has no change_values()")

    def transform_images(self, images, transformation=None, training=True):
        images = self.in_layer_dtype(images)
        if not self.acts(transformation, training):
            return images
        working = "float64" if self.compute_dtype == "float64" else "float32"
        return self.in_layer_dtype(self.change_values(ops.cast(images, working), transformation))

    def acts(self, transformation, training) -> bool:
        """Tell whether there is something to do."""
        return bool(training)

    # ---- tools ------------------------------------------------------------------------------------------
    def clip(self, images):
        """Return images cut at the ends of ``value_range``."""
        return ops.clip(images, *self.value_range)

    def in_bytes(self, images):
        """Return images with the values 0 to 255 in place of ``value_range``."""
        return self.change_value_range(images, self.value_range, (0, 255))

    def from_bytes(self, images):
        """Return images that hold 0 to 255 in ``value_range``."""
        return self.change_value_range(images, (0, 255), self.value_range)

    def levels(self, images, last: int):
        """Return images with the whole numbers 0 to ``last`` in place of ``value_range``.

        What scaling has moved off a whole number by rounding, counts as that number.
        """
        scaled = self.change_value_range(images, self.value_range, (0, last))
        return ops.clip(ops.floor(scaled + 1e-3), 0, last)

    @property
    def spatial_axes(self) -> tuple[int, int]:
        """Axes of height and width in a batch."""
        return self.height_axis, self.width_axis

    def get_config(self):
        return super().get_config() | {"value_range": self.value_range}


class RandomValueLayer(ValueLayer, RandomImageLayer):
    """Base of layers that draw how they change values: subclasses write ``draw`` as well.

    Parameters
    ----------
    factor : float or pair of float
    value_range : pair of float
    seed : int, optional
    """

    takes_factor = True

    def draw(self, data, seed) -> dict:
        """Return the drawn transformation of a batch."""
        raise NotImplementedError(f"{type(self).__name__} has no draw()")

    def get_random_transformation(self, data, training=True, seed=None):
        return self.draw(data, seed) if training else None

    def acts(self, transformation, training) -> bool:
        return bool(training) and transformation is not None

    def per_image(self, data, bounds, seed):
        """Return one number for every image, shape (N,), drawn between two bounds."""
        return self.uniform(data, (self.batch_of(data),), bounds[0], bounds[1], seed=seed)

    def happens(self, data, seed):
        """Return for every image whether something happens to it, with a probability from ``factor``."""
        chance = self.per_image(data, self.factor, seed)
        return ops.less(self.per_image(data, (0.0, 1.0), seed), chance)


def wrong(layer, name: str, expected: str, came) -> ValueError:
    """Return the error for an argument of a layer."""
    kind = type(layer).__name__
    return ValueError(f"layer {layer.name!r} ({kind}): {name} must be {expected}, came {came!r}")


def is_number(value) -> bool:
    """Tell whether an argument is one plain number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def beside(numbers, images):
    """Return numbers of a transformation, shape (N,) or (N, 1, 1, 1), so that they broadcast with images."""
    numbers = ops.convert_to_tensor(numbers)
    if str(numbers.dtype) != "bool":
        numbers = ops.cast(numbers, images.dtype)
    return ops.reshape(numbers, (-1, 1, 1, 1))
