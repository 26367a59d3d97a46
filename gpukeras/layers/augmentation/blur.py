"""Blur and sharpness: weighted sums over the neighbours of each pixel."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.layers.augmentation.values import RandomValueLayer, beside, wrong


class RandomSharpness(RandomValueLayer):
    """Blend images with blurred versions of them, or move away from those, in training.

    Parameters
    ----------
    factor : float or pair of float
        0 blurs, 0.5 leaves the image, 1 sharpens it. One number ``f`` means ``(0, f)``.
    value_range : pair of float
        Lowest and highest value of the images; results are cut there.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Notes
    -----
    ``y = blurred + 2 * factor * (x - blurred)``. The blur weights a pixel with 5/13 and its 8 neighbours
    with 1/13; what lies outside the image counts as 0.

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.pad(keras.ops.full((1, 1, 1), 130.0), ((1, 1), (1, 1), (0, 0)))
    >>> keras.layers.RandomSharpness((0.0, 0.0))(image)[1, :, 0].numpy()
    array([10., 50., 10.], dtype=float32)
    """

    factor_bounds = (0, 1)

    def __init__(self, factor, value_range=(0, 255), data_format=None, seed=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)

    def draw(self, data, seed):
        return {"factor": self.per_image(data, self.factor, seed)}

    def change_values(self, images, transformation):
        weights = ops.convert_to_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]], dtype=images.dtype) / 13
        blurred = _weighted_sums(images, weights, self)
        return self.clip(blurred + beside(transformation["factor"], images) * 2 * (images - blurred))


class RandomGaussianBlur(RandomValueLayer):
    """Blur images with some probability, in training.

    Parameters
    ----------
    factor : float or pair of float
        The probability is drawn from this range for every image; one number ``f`` means ``(0, f)``.
    kernel_size : odd int or pair of odd int
        Size of the window across (width) and down (height), in this order, as in Keras 3.
    sigma : float or pair of float
        Range of the standard deviations of the window, in pixels; they are drawn once for a batch. One
        number ``s`` up to 1 means ``(0, s)``.
    value_range : pair of float
        Lowest and highest value of the images; results are cut there.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Notes
    -----
    What lies outside the image counts as 0.

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.pad(keras.ops.full((1, 1, 1), 100.0), ((1, 1), (1, 1), (0, 0)))
    >>> blurred = keras.layers.RandomGaussianBlur((1.0, 1.0), sigma=(1.0, 1.0))(image)
    >>> [round(v, 2) for v in blurred[1, :, 0].tolist()]
    [12.38, 20.42, 12.38]
    """

    factor_bounds = (0, 1)

    def __init__(
        self, factor=1.0, kernel_size=3, sigma=1.0, value_range=(0, 255), data_format=None, seed=None,
        **kwargs,
    ):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)
        sizes = tuple(kernel_size) if isinstance(kernel_size, (tuple, list)) else (kernel_size, kernel_size)
        if len(sizes) != 2 or any(type(n) is not int or n < 1 or n % 2 == 0 for n in sizes):
            raise wrong(self, "kernel_size", "an odd number or a pair of them", kernel_size)
        self.kernel_size = sizes
        self.sigma = self.pair("sigma", sigma, (0, 1))
        if self.sigma[0] < 0:
            raise wrong(self, "sigma", "a number from 0 or a pair of them", sigma)

    def draw(self, data, seed):
        return {
            "should_apply_blur": self.happens(data, seed),
            "blur_factor": self.uniform(data, (2,), *self.sigma, seed=seed),
        }

    def change_values(self, images, transformation):
        sigma = ops.maximum(ops.cast(transformation["blur_factor"], images.dtype), 1e-2)  # 0: no blur
        across, down = (_bell(n, sigma[i]) for i, n in enumerate(self.kernel_size))
        blurred = _weighted_sums(_weighted_sums(images, across[None, :], self), down[:, None], self)
        return ops.where(beside(transformation["should_apply_blur"], images), self.clip(blurred), images)

    def get_config(self):
        return super().get_config() | {"kernel_size": self.kernel_size, "sigma": self.sigma}


def _bell(size: int, sigma):
    """Return ``size`` weights of a normal distribution around the middle; their sum is 1."""
    distance = ops.arange(size, dtype=sigma.dtype) - (size - 1) / 2
    weights = ops.exp(-0.5 * ops.square(distance / sigma))
    return weights / ops.sum(weights)


def _weighted_sums(images, window, layer):
    """Return the sums of each pixel and its neighbours, weighted by ``window`` (height, width)."""
    channels = images.shape[layer.channel_axis]
    kernel = ops.tile(ops.reshape(window, (*window.shape, 1, 1)), (1, 1, channels, 1))
    return ops.depthwise_conv(images, kernel, padding="same", data_format=layer.data_format)
