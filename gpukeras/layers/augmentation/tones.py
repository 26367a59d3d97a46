"""Tones: fewer bits, solarization, and values stretched over the whole range."""

from __future__ import annotations

from gpukeras import ops, random
from gpukeras.layers.augmentation.values import RandomValueLayer, ValueLayer, beside, wrong


class RandomPosterization(RandomValueLayer):
    """Keep only some of the 8 bits of each value, in training.

    Parameters
    ----------
    factor : int or pair of int
        Bits to keep, from 1 to 8. For a pair ``(lower, upper)`` they are drawn from ``lower`` to
        ``upper - 1``, as in Keras 3, or are that number where both are equal; one number ``n`` means
        ``(1, n)``.
    value_range : pair of float
        Lowest and highest value of the images, which stand for 0 and 255.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    References
    ----------
    Cubuk et al., 2018, "AutoAugment", arXiv:1805.09501.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomPosterization((2, 2))(keras.ops.full((1, 1, 3), 200.0)).tolist()
    [[[192.0, 192.0, 192.0]]]
    """

    factor_bounds = (1, 8)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)
        if any(int(bits) != bits or not 1 <= bits <= 8 for bits in self.factor):
            raise wrong(self, "factor", "a whole number of bits from 1 to 8, or a pair of them", factor)

    def draw(self, data, seed):
        lower, upper = map(int, self.factor)
        with self.on_device_of(data):
            source = self.generator if seed is None else seed
            bits = random.randint((self.batch_of(data),), lower, max(upper, lower + 1), seed=source)
        return {"shift_factor": ops.cast(8 - bits, "uint8")}

    def change_values(self, images, transformation):
        # Powers of two divide and multiply exactly.
        step = ops.exp2(beside(transformation["shift_factor"], images))
        return self.from_bytes(ops.floor(self.levels(images, 255) / step) * step)


class Solarization(RandomValueLayer):
    """Turn pixels above a threshold into their negatives, in training.

    Parameters
    ----------
    addition_factor : float or pair of float
        Range of what is added to all pixels before, from 0 to 1 as a part of the value range. One number
        ``f`` means ``(0, f)``.
    threshold_factor : float or pair of float
        Range of the threshold, in the same way; pixels from there on are turned.
    value_range : pair of float
        Lowest and highest value of the images.
    seed : int, optional
    **kwargs
        ``data_format`` and the arguments of every layer.

    Notes
    -----
    Both are drawn for every image. (Keras 3 takes the lower end of a pair as it is instead of as a part of
    the value range.)

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([10.0, 200.0]), (1, 2, 1))
    >>> keras.ops.ravel(keras.layers.Solarization(threshold_factor=(0.5, 0.5))(image)).tolist()
    [10.0, 55.0]
    """

    takes_factor = False

    def __init__(self, addition_factor=0.0, threshold_factor=0.0, value_range=(0, 255), seed=None, **kwargs):
        super().__init__(value_range=value_range, seed=seed, **kwargs)
        self.addition_factor = self._part("addition_factor", addition_factor)
        self.threshold_factor = self._part("threshold_factor", threshold_factor)

    def _part(self, name, factor):
        low, high = self.pair(name, factor, (0, 1))
        if low < 0 or high > 1:
            raise wrong(self, name, "a number from 0 to 1 or a pair of them", factor)
        return low, high

    def draw(self, data, seed):
        shape = (self.batch_of(data), 1, 1, 1)
        ranges = {"additions": self.addition_factor, "thresholds": self.threshold_factor}
        return {
            name: self.uniform(data, shape, low * 255.0, high * 255.0, seed=seed)
            for name, (low, high) in ranges.items()
        }

    def change_values(self, images, transformation):
        added = ops.clip(self.in_bytes(images) + beside(transformation["additions"], images), 0, 255)
        kept = ops.less(added, beside(transformation["thresholds"], images))
        return self.from_bytes(ops.where(kept, added, 255 - added))

    def get_config(self):
        return super().get_config() | {
            "addition_factor": self.addition_factor, "threshold_factor": self.threshold_factor,
        }


class AutoContrast(ValueLayer):
    """Stretch the values of each channel of an image over the whole value range, also outside training.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value of the images.
    **kwargs
        ``data_format`` and the arguments of every layer.

    Notes
    -----
    Channels of one value stay as they are.

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([100.0, 110.0, 120.0]), (1, 3, 1))
    >>> keras.ops.ravel(keras.layers.AutoContrast()(image)).tolist()
    [0.0, 127.5, 255.0]
    """

    def __init__(self, value_range=(0, 255), **kwargs):
        super().__init__(value_range=value_range, **kwargs)

    def acts(self, transformation, training) -> bool:
        return True

    def change_values(self, images, transformation):
        low = ops.min(images, axis=self.spatial_axes, keepdims=True)
        reach = ops.max(images, axis=self.spatial_axes, keepdims=True) - low
        flat = ops.equal(reach, 0)
        part = (images - low) / ops.where(flat, 1.0, reach)
        return ops.where(flat, images, self.change_value_range(part, (0, 1), self.value_range))
