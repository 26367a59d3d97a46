"""Layers that are random in training and do nothing else: dropout and noise."""

from __future__ import annotations

import math

from gpukeras import config, lazy, ops, random
from gpukeras.layers.arguments import old_names
from gpukeras.layers.core import Elementwise
from gpukeras.layers.input_spec import InputSpec

ALPHA = -1.0507009873554805 * 1.6732632423543772  # what SELU tends to on the left


class RandomLayer(Elementwise):
    """Base: a seed and a generator of its own, and nothing to do outside training.

    Parameters
    ----------
    seed : int, optional
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.seed_generator = random.SeedGenerator(seed)

    def _check_rate(self, rate) -> float:
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise ValueError(f"layer {self.name!r}: rate must be between 0 and 1, came {rate!r}")
        return rate

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


class Dropout(RandomLayer):
    """Set a random part of the inputs to 0 in training, and scale the rest so that their sum stays.

    Parameters
    ----------
    rate : float
        The part, from 0 to 1.
    noise_shape : tuple of int or None, optional
        Shape of the random mask, 1 where it is shared: ``(None, 1, 64)`` drops whole features of sequences.
    seed : int, optional

    References
    ----------
    Srivastava et al., 2014, JMLR 15, 1929-1958.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Dropout(0.5)(keras.ops.ones((1, 3))).numpy()
    array([[1., 1., 1.]], dtype=float32)
    """

    capturable = True

    @old_names(p="rate")
    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = self._check_rate(rate)
        if noise_shape is not None and not isinstance(noise_shape, (tuple, list)):
            raise ValueError(f"layer {self.name!r}: noise_shape must be a tuple, came {noise_shape!r}")
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def _mask_shape(self, inputs):
        return self.noise_shape

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        return ops.dropout(inputs, self.rate, self._mask_shape(inputs), self.seed_generator)

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "noise_shape": self.noise_shape}


class _SpatialDropout(Dropout):
    """Base: whole maps are dropped, so there is no shape of noise to choose."""

    def get_config(self):
        found = super().get_config()
        for name in ("noise_shape", "trainable"):  # Keras 3 would not take these
            del found[name]
        return found


class SpatialDropout1D(_SpatialDropout):
    """Dropout of whole features: of (N, T, C), entire channels are set to 0.

    Parameters
    ----------
    rate : float
    seed : int, optional

    References
    ----------
    Tompson et al., 2014, arXiv:1411.4280.
    """

    @old_names(p="rate")
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        self.input_spec = InputSpec(ndim=3)

    def _mask_shape(self, inputs):
        return (None, 1, None)


class SpatialDropout2D(_SpatialDropout):
    """Dropout of whole feature maps of images.

    Parameters
    ----------
    rate : float
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    seed : int, optional

    References
    ----------
    Tompson et al., 2014, arXiv:1411.4280.
    """

    @old_names(p="rate", dim_ordering="data_format")
    def __init__(self, rate, data_format=None, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=4)

    def _mask_shape(self, inputs):
        return (None, 1, 1, None) if self.data_format == "channels_last" else (None, None, 1, 1)

    def get_config(self):
        return super().get_config() | {"data_format": self.data_format}


class SpatialDropout3D(_SpatialDropout):
    """Dropout of whole feature maps of volumes.

    Parameters
    ----------
    rate : float
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    seed : int, optional

    References
    ----------
    Tompson et al., 2014, arXiv:1411.4280.
    """

    @old_names(p="rate", dim_ordering="data_format")
    def __init__(self, rate, data_format=None, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=5)

    def _mask_shape(self, inputs):
        return (None, 1, 1, 1, None) if self.data_format == "channels_last" else (None, None, 1, 1, 1)

    def get_config(self):
        return super().get_config() | {"data_format": self.data_format}


class GaussianNoise(RandomLayer):
    """Add normal noise in training.

    Parameters
    ----------
    stddev : float
    seed : int, optional
    """

    @old_names(sigma="stddev")
    def __init__(self, stddev, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        if isinstance(stddev, bool) or not isinstance(stddev, (int, float)) or not 0 <= stddev <= 1:
            raise ValueError(f"layer {self.name!r}: stddev must be between 0 and 1, came {stddev!r}")
        self.stddev = stddev

    def call(self, inputs, training=False):
        if not training or not self.stddev:
            return inputs
        return inputs + random.normal(inputs.shape, 0.0, self.stddev, str(inputs.dtype), self.seed_generator)

    def get_config(self):
        return super().get_config() | {"stddev": self.stddev}


class GaussianDropout(RandomLayer):
    """Multiply by normal noise around 1 in training.

    Parameters
    ----------
    rate : float
        The noise has the variance of a dropout of this rate: ``rate / (1 - rate)``.
    seed : int, optional
    """

    @old_names(p="rate")
    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = self._check_rate(rate)
        if rate == 1:
            raise ValueError(f"layer {self.name!r}: rate must be below 1, came {rate!r}")

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        stddev = math.sqrt(self.rate / (1.0 - self.rate))
        return inputs * random.normal(inputs.shape, 1.0, stddev, str(inputs.dtype), self.seed_generator)

    def get_config(self):
        return super().get_config() | {"rate": self.rate}


class AlphaDropout(RandomLayer):
    """Dropout that keeps mean and variance of what SELU activations give.

    Parameters
    ----------
    rate : float
    noise_shape : tuple of int or None, optional
    seed : int, optional

    References
    ----------
    Klambauer et al., 2017, arXiv:1706.02515.
    """

    def __init__(self, rate, noise_shape=None, seed=None, **kwargs):
        super().__init__(seed=seed, **kwargs)
        self.rate = self._check_rate(rate)
        self.noise_shape = None if noise_shape is None else tuple(noise_shape)

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        if self.rate == 1:
            return ops.zeros_like(inputs)
        shape = inputs.shape if self.noise_shape is None else tuple(
            n if m is None else m for n, m in zip(inputs.shape, self.noise_shape, strict=True)
        )
        kind = str(inputs.dtype)
        kept = ops.cast(random.uniform(shape, dtype="float32", seed=self.seed_generator) >= self.rate, kind)
        scale = ((1 - self.rate) * (1 + self.rate * ALPHA**2)) ** -0.5
        return (inputs * kept + ALPHA * (1 - kept)) * scale - scale * ALPHA * self.rate

    def get_config(self):
        return super().get_config() | {"rate": self.rate, "noise_shape": self.noise_shape}


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
