"""Layers that enlarge by whole factors."""

from __future__ import annotations

import numpy as np

from gpukeras import config
from gpukeras.backends import window_shapes
from gpukeras.backends.resize import INTERPOLATIONS
from gpukeras.layers.arguments import old_names
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.ops.enlarging import enlarge
from gpukeras.ops.resize import resize_images, scale_and_translate


class _UpSampling(Layer):
    """Base: a whole factor for each of ``rank`` spatial axes, by which every element is repeated."""

    def __init__(self, rank, size, data_format, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank
        self.data_format = config.standardize_data_format(data_format)
        self._factors = window_shapes.per_axis(size, rank, "size")
        self.input_spec = InputSpec(ndim=rank + 2)

    def call(self, inputs):
        factors = window_shapes.join_format(1, self._factors, 1, self.data_format)
        return enlarge(inputs, factors)

    def compute_output_shape(self, input_shape):
        spatial, channels = window_shapes.split_format(input_shape, self.data_format)
        spatial = [None if n is None else n * f for n, f in zip(spatial, self._factors)]
        return window_shapes.join_format(input_shape[0], spatial, channels, self.data_format)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "data_format": self.data_format}


class UpSampling1D(_UpSampling):
    """Repeat every step of sequences.

    Parameters
    ----------
    size : int
        How often.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(2, dtype="float32"), (1, 2, 1))
    >>> keras.layers.UpSampling1D(3)(x).numpy().ravel()
    array([0., 0., 0., 1., 1., 1.], dtype=float32)
    """

    @old_names(length="size")
    def __init__(self, size=2, **kwargs):
        super().__init__(1, size, "channels_last", **kwargs)
        (self.size,) = self._factors

    def get_config(self):
        found = super().get_config()
        del found["data_format"]  # the channels are always last
        return found


class UpSampling2D(_UpSampling):
    """Enlarge images by whole factors.

    Parameters
    ----------
    size : int or tuple of int
        Factors for height and width.
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area", "gaussian", \
"mitchellcubic"}
        ``"nearest"`` repeats rows and columns, and so does ``"area"``. The last three are of ``tf.keras``.

    References
    ----------
    Mitchell and Netravali, "Reconstruction filters in computer graphics", doi:10.1145/378456.378514.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(2, dtype="float32"), (1, 1, 2, 1))
    >>> keras.layers.UpSampling2D((1, 2))(x).numpy().ravel()
    array([0., 0., 1., 1.], dtype=float32)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        super().__init__(2, size, data_format, **kwargs)
        self.size = self._factors
        self.interpolation = str(interpolation).lower()
        self._from_corners = config.standalone_era()  # the first output lies on the first input
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"layer {self.name!r}: interpolation must be one of {INTERPOLATIONS}, came "
                f"{interpolation!r}"
            )

    def call(self, inputs):
        if self.interpolation in ("nearest", "area"):
            return super().call(inputs)
        size, _ = window_shapes.split_format(self.compute_output_shape(inputs.shape), self.data_format)
        if self._from_corners and self.interpolation == "bilinear":
            return self._from_the_corner(inputs, size)
        return resize_images(inputs, size, self.interpolation, False, self.data_format)

    def _from_the_corner(self, inputs, size):
        """Interpolate as Keras 2 did on TensorFlow 1: output ``i`` lies at input ``i / factor``."""
        first = 1 if self.data_format == "channels_last" else 2
        shape = [*inputs.shape]
        shape[first:first + 2] = size
        factors = np.array(self._factors, "float32")
        # Pixels are thought of as squares, whose middles lie half a pixel from their corners.
        shift = 0.5 - 0.5 * factors
        axes = first, first + 1
        return scale_and_translate(inputs, shape, factors, shift, axes, "linear", antialias=False)

    def get_config(self):
        return {**super().get_config(), "interpolation": self.interpolation}


class UpSampling3D(_UpSampling):
    """Repeat every element of volumes.

    Parameters
    ----------
    size : int or tuple of int
        How often along the three axes.
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.UpSampling3D((1, 2, 3))(keras.ops.ones((1, 2, 2, 2, 4))).shape
    (1, 2, 4, 6, 4)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, size=(2, 2, 2), data_format=None, **kwargs):
        super().__init__(3, size, data_format, **kwargs)
        self.size = self._factors
