"""Colour: brightness, contrast, hue, saturation and their relatives."""

from __future__ import annotations

from gpukeras import config, ops
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.layers.augmentation.values import RandomValueLayer, ValueLayer, beside, is_number, wrong


class RandomBrightness(RandomValueLayer):
    """Add a random number to all pixels of an image, in training.

    Parameters
    ----------
    factor : float or pair of float
        From -1 (all black) to 1 (all white), as a part of the value range; one number ``f`` means
        ``(-f, f)``.
    value_range : pair of float
        Lowest and highest value of the images; results are cut there.
    seed : int, optional
    **kwargs
        ``data_format`` and the arguments of every layer.

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.full((1, 2, 3), 100.0)
    >>> keras.layers.RandomBrightness((0.2, 0.2))(image)[0, 0].tolist()
    [151.0, 151.0, 151.0]
    """

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, seed=seed, **kwargs)

    def draw(self, data, seed):
        low, high = self.value_range
        low, high = (bound * (high - low) for bound in self.factor)
        return {"rgb_delta": self.uniform(data, (self.batch_of(data), 1, 1, 1), low, high, seed=seed)}

    def change_values(self, images, transformation):
        return self.clip(images + beside(transformation["rgb_delta"], images))


class RandomContrast(RandomValueLayer):
    """Move the pixels of each channel away from its mean, or towards it, in training.

    Parameters
    ----------
    factor : float or pair of float
        ``(lower, upper)``: the contrast is drawn from ``[1 - lower, 1 + upper]``. One number ``f`` means
        ``(0, f)``; in eras before Keras 3 ``(f, f)``.
    value_range : pair of float
        Lowest and highest value of the images; results are cut there.
    seed : int, optional
    **kwargs
        ``data_format`` and the arguments of every layer.

    Notes
    -----
    ``y = (x - mean) * contrast + mean``, with the mean over height and width.

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([100.0, 120.0]), (1, 2, 1))
    >>> keras.ops.ravel(keras.layers.RandomContrast((-0.5, 0.5))(image)).tolist()
    [95.0, 125.0]
    """

    factor_bounds = (0, 1)

    def __init__(self, factor, value_range=(0, 255), seed=None, **kwargs):
        if is_number(factor) and config.era() != "keras3":
            factor = (factor, factor)
        super().__init__(factor=factor, value_range=value_range, seed=seed, **kwargs)

    def draw(self, data, seed):
        lower, upper = self.factor
        shape = (self.batch_of(data), 1, 1, 1)
        return {"contrast_factor": self.uniform(data, shape, 1.0 - lower, 1.0 + upper, seed=seed)}

    def change_values(self, images, transformation):
        mean = ops.mean(images, axis=self.spatial_axes, keepdims=True)
        return self.clip((images - mean) * beside(transformation["contrast_factor"], images) + mean)


class RandomColorDegeneration(RandomValueLayer):
    """Blend images with their grey versions, in training.

    Parameters
    ----------
    factor : float or pair of float
        0 leaves the image, 1 makes it grey, less than 0 makes colours stronger. One number ``f`` means
        ``(-f, f)``, as in Keras 3.
    value_range : pair of float
        Lowest and highest value of the images; results are cut there.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([100.0, 200.0, 0.0]), (1, 1, 3))
    >>> keras.ops.ravel(keras.layers.RandomColorDegeneration((0.0, 0.0))(image)).tolist()
    [100.0, 200.0, 0.0]
    """

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)

    def draw(self, data, seed):
        return {"factor": self.uniform(data, (self.batch_of(data), 1, 1, 1), *self.factor, seed=seed)}

    def change_values(self, images, transformation):
        grey = _grey(self, images)
        return self.clip(images + beside(transformation["factor"], images) * (grey - images))


class RandomGrayscale(RandomImageLayer):
    """Turn images grey with some probability, in training; the number of channels stays.

    Parameters
    ----------
    factor : float
        Probability, from 0 to 1.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([0.0, 100.0, 0.0]), (1, 1, 3))
    >>> [round(v, 1) for v in keras.ops.ravel(keras.layers.RandomGrayscale(1.0)(image)).tolist()]
    [58.7, 58.7, 58.7]
    """

    def __init__(self, factor=0.5, data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        if not is_number(factor) or not 0 <= factor <= 1:
            raise wrong(self, "factor", "a number from 0 to 1", factor)
        self.factor = factor

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        return ops.less(self.uniform(data, (self.batch_of(data), 1, 1, 1), seed=seed), self.factor)

    def transform_images(self, images, transformation, training=True):
        images = self.in_layer_dtype(images)
        if not training or transformation is None:
            return images
        grey = self.in_layer_dtype(_grey(self, ops.cast(images, _working(self))))
        return ops.where(beside(transformation, images), grey, images)

    def get_config(self):
        return super().get_config() | {"factor": self.factor}


class RandomInvert(RandomValueLayer):
    """Turn images into their negatives with some probability, in training.

    Parameters
    ----------
    factor : float or pair of float
        The probability is drawn from this range for every image; one number ``f`` means ``(0, f)``.
    value_range : pair of float
        Lowest and highest value of the images.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional

    Notes
    -----
    ``y = highest + lowest - x``. (Keras 3 leaves ``lowest`` out, which leads out of the value range where it
    is not 0.)

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomInvert((1.0, 1.0))(keras.ops.full((1, 1, 3), 55.0)).tolist()
    [[[200.0, 200.0, 200.0]]]
    """

    factor_bounds = (0, 1)

    def __init__(self, factor=1.0, value_range=(0, 255), seed=None, data_format=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)

    def draw(self, data, seed):
        return {"apply_inversion": self.happens(data, seed)}

    def change_values(self, images, transformation):
        negative = sum(self.value_range) - images
        return ops.where(beside(transformation["apply_inversion"], images), negative, images)


class RandomHue(RandomValueLayer):
    """Turn the hue of images around the colour circle, in training.

    Parameters
    ----------
    factor : float or pair of float
        Range of how far, either way: 0 leaves the image, 1 is half a turn. One number ``f`` means
        ``(0, f)``.
    value_range : pair of float
        Lowest and highest value of the images.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> red = keras.ops.reshape(keras.ops.convert_to_tensor([255.0, 0.0, 0.0]), (1, 1, 3))
    >>> keras.ops.ravel(keras.layers.RandomHue((1.0, 1.0))(red)).tolist()
    [0.0, 255.0, 255.0]
    """

    factor_bounds = (0, 1)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)

    def draw(self, data, seed):
        turn = self.per_image(data, [bound * 0.5 for bound in self.factor], seed)
        way = ops.less(self.per_image(data, (0.0, 1.0), seed), 0.5)
        return {"factor": ops.where(way, -turn, turn)}

    def change_values(self, images, transformation):
        hue, saturation, value = _to_hsv(self, images)
        hue = ops.mod(hue + beside(transformation["factor"], images), 1.0)
        return _from_hsv(self, hue, saturation, value)


class RandomSaturation(RandomValueLayer):
    """Make the colours of images stronger or weaker, in training.

    Parameters
    ----------
    factor : float or pair of float
        0 makes the image grey, 0.5 leaves it, 1 gives full colours. One number ``f`` means ``(-f, f)``, as
        in Keras 3; what is below 0 makes grey.
    value_range : pair of float
        Lowest and highest value of the images.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Notes
    -----
    The saturation of the HSV model is multiplied by ``f / (1 - f)`` and cut at 0 and 1. (Keras 3 cuts it at
    the ends of ``value_range``, so that for images of 0 to 255 strong colours come out negative.)

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([200.0, 100.0, 100.0]), (1, 1, 3))
    >>> keras.ops.ravel(keras.layers.RandomSaturation((0.0, 0.0))(image)).numpy().round(2).tolist()
    [200.0, 200.0, 200.0]
    """

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)

    def draw(self, data, seed):
        drawn = self.per_image(data, self.factor, seed)
        return {"factor": drawn / ops.maximum(1.0 - drawn, 1e-7)}

    def change_values(self, images, transformation):
        hue, saturation, value = _to_hsv(self, images)
        saturation = ops.clip(saturation * beside(transformation["factor"], images), 0.0, 1.0)
        return _from_hsv(self, hue, saturation, value)


# ---- colour models ----------------------------------------------------------------------------------
def _working(layer) -> str:
    return "float64" if layer.compute_dtype == "float64" else "float32"


def _grey(layer, images):
    """Return images (..., one channel) without colours; images of one channel as they are."""
    if images.shape[layer.channel_axis] == 1:
        return images
    return ops.image.rgb_to_grayscale(images, data_format=layer.data_format)


def _to_hsv(layer: ValueLayer, images) -> list:
    """Return hue, saturation and value of images, each with one channel and from 0 to 1."""
    if images.shape[layer.channel_axis] != 3:
        raise ValueError(
            f"layer {layer.name!r} ({type(layer).__name__}): images need 3 channels (red, green, blue), came "
            f"shape {tuple(images.shape)} with data_format={layer.data_format!r}"
        )
    scaled = layer.change_value_range(images, layer.value_range, (0, 1))
    hsv = ops.image.rgb_to_hsv(scaled, data_format=layer.data_format)
    return ops.split(hsv, 3, axis=layer.channel_axis)


def _from_hsv(layer: ValueLayer, hue, saturation, value):
    """Return images for their hue, saturation and value."""
    hsv = ops.concatenate([hue, saturation, value], axis=layer.channel_axis)
    scaled = ops.clip(ops.image.hsv_to_rgb(hsv, data_format=layer.data_format), 0.0, 1.0)
    return layer.change_value_range(scaled, (0, 1), layer.value_range)
