"""Layers that turn, shift, scale and shear images at random."""

from __future__ import annotations

import math

from gpukeras import ops
from gpukeras.layers.augmentation.moving import RandomAffineLayer


class RandomRotation(RandomAffineLayer):
    """Turn each image of a batch by a random angle in training.

    Parameters
    ----------
    factor : float or pair of float
        Lowest and greatest angle as parts of a whole turn, against the clock where positive; one number
        ``f`` means ``(-f, f)``.
    fill_mode : {"reflect", "wrap", "constant", "nearest", "mirror"}
        What appears at the borders: ``d c b a | a b c d | d c b a``, ``a b c d | a b c d | a b c d``,
        ``fill_value``, ``a a a a | a b c d | d d d d``, ``d c b | a b c d | c b a``.
    interpolation : {"bilinear", "nearest"}
    seed : int, optional
    fill_value : float
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(4, dtype="float32"), (2, 2, 1))
    >>> y = keras.layers.RandomRotation((0.25, 0.25))(x)  # a quarter turn
    >>> keras.ops.round(y, 3)[:, :, 0].tolist()
    [[1.0, 3.0], [0.0, 2.0]]
    """

    takes_factor = True

    def __init__(self, factor, fill_mode="reflect", interpolation="bilinear", seed=None, fill_value=0.0,
                 data_format=None, **kwargs):
        super().__init__(factor=factor, fill_mode=fill_mode, interpolation=interpolation, seed=seed,
                         fill_value=fill_value, data_format=data_format, **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        (height, width), batch = self.size_of(data), self.batch_of(data)
        lower, upper = self.factor
        angle = self.uniform(data, (batch,), 360.0 * lower, 360.0 * upper, seed)
        return {
            "angle": angle, "rotation_matrix": _rotation(angle, height, width), "image_height": height,
            "image_width": width, "batch_size": batch,
        }

    def matrices(self, transformation, height, width):
        return ops.reshape(ops.convert_to_tensor(transformation["rotation_matrix"]), (-1, 8))[:, :6]

    def size_in(self, transformation):
        return transformation["image_height"], transformation["image_width"]


def _rotation(angle, height: int, width: int):
    """Return matrices (N, 8) that turn images by degrees about their middle."""
    angle = angle * (math.pi / 180.0)
    c, s = ops.cos(angle), ops.sin(angle)
    x, y = (width - 1) / 2, (height - 1) / 2
    none = ops.zeros_like(c)
    return ops.stack([c, -s, x - c * x + s * y, s, c, y - s * x - c * y, none, none], axis=-1)


class RandomTranslation(RandomAffineLayer):
    """Shift each image of a batch by a random distance in training.

    Parameters
    ----------
    height_factor, width_factor : float or pair of float
        Lowest and greatest shift down and to the right, as parts of the image's size; one number ``f`` means
        ``(-f, f)``.
    fill_mode, interpolation, seed, fill_value, data_format
        As in ``RandomRotation``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(4, dtype="float32"), (1, 4, 1))
    >>> keras.layers.RandomTranslation(0.0, (0.5, 0.5), fill_mode="constant")(x)[0, :, 0].tolist()
    [0.0, 0.0, 0.0, 1.0]
    """

    def __init__(self, height_factor, width_factor, fill_mode="reflect", interpolation="bilinear", seed=None,
                 fill_value=0.0, data_format=None, **kwargs):
        super().__init__(fill_mode=fill_mode, interpolation=interpolation, seed=seed, fill_value=fill_value,
                         data_format=data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.height_lower, self.height_upper = _inside(self, "height_factor", height_factor)
        self.width_lower, self.width_upper = _inside(self, "width_factor", width_factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        (height, width), batch = self.size_of(data), self.batch_of(data)
        down = self.uniform(data, (batch, 1), self.height_lower * height, self.height_upper * height, seed)
        right = self.uniform(data, (batch, 1), self.width_lower * width, self.width_upper * width, seed)
        return {"translations": ops.concatenate([right, down], axis=1),
                "input_shape": tuple(self.images_of(data).shape)}

    def matrices(self, transformation, height, width):
        right, down = _columns(transformation["translations"], 2)
        one, none = ops.ones_like(right), ops.zeros_like(right)
        return ops.stack([one, none, -right, none, one, -down], axis=-1)

    def get_config(self):
        return super().get_config() | {
            "height_factor": self.height_factor, "width_factor": self.width_factor}


class RandomZoom(RandomAffineLayer):
    """Scale each image of a batch about its middle by a random factor in training.

    Parameters
    ----------
    height_factor : float or pair of float
        Lowest and greatest change of the height that is seen, as a part of it: positive numbers show more
        (smaller things), negative ones less; one number ``f`` means ``(-f, f)``.
    width_factor : float or pair of float, optional
        The same for the width; where left out, both change alike and proportions stay.
    fill_mode, interpolation, seed, fill_value, data_format
        As in ``RandomRotation``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(5, dtype="float32"), (1, 5, 1))
    >>> keras.layers.RandomZoom(0.0, (-0.5, -0.5))(x)[0, :, 0].tolist()
    [1.0, 1.5, 2.0, 2.5, 3.0]
    """

    def __init__(self, height_factor, width_factor=None, fill_mode="reflect", interpolation="bilinear",
                 seed=None, fill_value=0.0, data_format=None, **kwargs):
        super().__init__(fill_mode=fill_mode, interpolation=interpolation, seed=seed, fill_value=fill_value,
                         data_format=data_format, **kwargs)
        self.height_factor, self.width_factor = height_factor, width_factor
        self.height_lower, self.height_upper = _inside(self, "height_factor", height_factor)
        if width_factor is not None:
            self.width_lower, self.width_upper = _inside(self, "width_factor", width_factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = (self.batch_of(data), 1)
        down = self.uniform(data, shape, 1.0 + self.height_lower, 1.0 + self.height_upper, seed)
        across = down
        if self.width_factor is not None:
            across = self.uniform(data, shape, 1.0 + self.width_lower, 1.0 + self.width_upper, seed)
        return {"height_zoom": down, "width_zoom": across, "input_shape": tuple(self.images_of(data).shape)}

    def matrices(self, transformation, height, width):
        (across,), (down,) = (_columns(transformation[key], 1) for key in ("width_zoom", "height_zoom"))
        none = ops.zeros_like(across)
        return ops.stack([
            across, none, (1.0 - across) * ((width - 1) / 2), none, down, (1.0 - down) * ((height - 1) / 2),
        ], axis=-1)

    def get_config(self):
        return super().get_config() | {
            "height_factor": self.height_factor, "width_factor": self.width_factor}


class RandomShear(RandomAffineLayer):
    """Shear each image of a batch by random factors in training.

    Parameters
    ----------
    x_factor, y_factor : float or pair of float
        Lowest and greatest shift of a row to the left for every row, and of a column up for every column,
        between 0 and 1; one number ``f`` means ``(-f, f)``. Half of the images are sheared the other way.
    interpolation, fill_mode, fill_value, data_format, seed
        As in ``RandomRotation``.

    Notes
    -----
    Bounding boxes follow their images. (Real Keras moves them by another factor where images are not square.)

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(6, dtype="float32"), (2, 3, 1))
    >>> keras.layers.RandomShear((1.0, 1.0), fill_mode="constant", seed=1)(x)[:, :, 0].tolist()
    [[0.0, 1.0, 2.0], [4.0, 5.0, 0.0]]
    """

    factor_bounds = (0, 1)

    def __init__(self, x_factor=0.0, y_factor=0.0, interpolation="bilinear", fill_mode="reflect",
                 fill_value=0.0, data_format=None, seed=None, **kwargs):
        super().__init__(fill_mode=fill_mode, interpolation=interpolation, seed=seed, fill_value=fill_value,
                         data_format=data_format, **kwargs)
        self.x_factor, self.y_factor = self._both_ways("x_factor", x_factor), self._both_ways(
            "y_factor", y_factor)

    def _both_ways(self, name: str, factor) -> tuple[float, float]:
        if isinstance(factor, (int, float)):
            return -self.pair(name, factor)[1], self.pair(name, factor)[1]
        if isinstance(factor, (tuple, list)) and len(factor) == 2 and min(factor) < 0:
            return self.pair(name, factor, (-1, 1))  # as a configuration has it
        return self.pair(name, factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        shape = (self.batch_of(data), 1)
        factors = [self.uniform(data, shape, *bounds, seed) for bounds in (self.x_factor, self.y_factor)]
        way = ops.where(self.uniform(data, shape, seed=seed) < 0.5, -1.0, 1.0)
        return {"shear_factor": ops.concatenate(factors, axis=1) * way,
                "input_shape": tuple(self.images_of(data).shape)}

    def matrices(self, transformation, height, width):
        x, y = _columns(transformation["shear_factor"], 2)
        one, none = ops.ones_like(x), ops.zeros_like(x)
        return ops.stack([one, x, none, y, one, none], axis=-1)

    def get_config(self):
        return super().get_config() | {"x_factor": self.x_factor, "y_factor": self.y_factor}


def _inside(layer, name: str, factor) -> tuple[float, float]:
    """Return (lower, upper) of a factor; both must lie within the bounds."""
    found = layer.pair(name, factor)
    for number in found:
        layer.pair(name, number)
    return found


def _columns(x, count: int) -> list:
    """Return the columns of a tensor (N, ``count``)."""
    x = ops.reshape(ops.convert_to_tensor(x), (-1, count))
    return [x[:, i] for i in range(count)]
