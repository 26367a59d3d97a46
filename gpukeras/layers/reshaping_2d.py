"""Layers that change height and width of images: padding and upsampling."""

from __future__ import annotations

from gpukeras import config, ops
from gpukeras.backends import window_shapes
from gpukeras.backends.resize import INTERPOLATIONS
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer


class ZeroPadding2D(Layer):
    """Surround images with zeros.

    Parameters
    ----------
    padding : int, (int, int) or ((int, int), (int, int))
        On all sides; (top and bottom, left and right); or ((top, bottom), (left, right)).
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.ZeroPadding2D(((1, 0), (2, 2)))(keras.ops.ones((4, 5, 5, 3))).shape
    (4, 6, 9, 3)
    """

    def __init__(self, padding=(1, 1), data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.padding = _sides(padding, self)
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs):
        sides = self.padding
        around = [(0, 0), *sides, (0, 0)] if self.data_format == "channels_last" else [(0, 0), (0, 0), *sides]
        return ops.pad(inputs, around)

    def compute_output_shape(self, input_shape):
        spatial, channels = window_shapes.split_format(input_shape, self.data_format)
        spatial = [None if n is None else n + a + b for n, (a, b) in zip(spatial, self.padding)]
        return window_shapes.join_format(input_shape[0], spatial, channels, self.data_format)

    def get_config(self):
        return {**super().get_config(), "padding": self.padding, "data_format": self.data_format}


def _sides(padding, layer) -> tuple[tuple[int, int], ...]:
    """Bring the three ways of writing the padding into ((top, bottom), (left, right))."""
    pairs = (padding, padding) if isinstance(padding, int) else tuple(padding)
    found = tuple((p, p) if isinstance(p, int) else tuple(p) for p in pairs)
    if len(found) != 2 or any(len(p) != 2 or any(int(n) != n or n < 0 for n in p) for p in found):
        raise ValueError(
            f"layer {layer.name!r}: padding must be an integer, (height, width) or ((top, bottom), (left, "
            f"right)), none of them negative; came {padding!r}"
        )
    return tuple((int(a), int(b)) for a, b in found)


class UpSampling2D(Layer):
    """Enlarge images by whole factors.

    Parameters
    ----------
    size : int or tuple of int
        Factors for height and width.
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    interpolation : {"nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"}
        ``"nearest"`` repeats rows and columns.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(2, dtype="float32"), (1, 1, 2, 1))
    >>> keras.layers.UpSampling2D((1, 2))(x).numpy().ravel()
    array([0., 0., 1., 1.], dtype=float32)
    """

    def __init__(self, size=(2, 2), data_format=None, interpolation="nearest", **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.size = window_shapes.per_axis(size, 2, "size")
        self.interpolation = str(interpolation).lower()
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"layer {self.name!r}: interpolation must be one of {INTERPOLATIONS}, came {interpolation!r}"
            )
        self.input_spec = InputSpec(ndim=4)

    def call(self, inputs):
        spatial, _ = window_shapes.split_format(self.compute_output_shape(inputs.shape), self.data_format)
        return ops.image.resize(
            inputs, spatial, interpolation=self.interpolation, data_format=self.data_format
        )

    def compute_output_shape(self, input_shape):
        spatial, channels = window_shapes.split_format(input_shape, self.data_format)
        spatial = [None if n is None else n * f for n, f in zip(spatial, self.size)]
        return window_shapes.join_format(input_shape[0], spatial, channels, self.data_format)

    def get_config(self):
        return {
            **super().get_config(), "size": self.size, "data_format": self.data_format,
            "interpolation": self.interpolation,
        }
