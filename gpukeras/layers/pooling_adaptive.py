"""Pooling to a given size."""

from __future__ import annotations

from gpukeras import config, ops
from gpukeras.backends import window_shapes
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer


class BaseAdaptivePooling(Layer):
    """What adaptive pooling over any number of axes shares; subclasses name the op.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    output_size : int or tuple of int
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    """

    def __init__(self, rank, output_size, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank
        several = isinstance(output_size, (tuple, list))
        if several and len(output_size) != rank:  # one number in a tuple does not stand for all
            raise TypeError(
                f"layer {self.name!r}: output_size must be an integer or {rank} of them, came {output_size!r}"
            )
        self.output_size = window_shapes.per_axis(output_size, rank, "output_size")
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)

    def compute_output_shape(self, input_shape):
        return window_shapes.adaptive_pool(input_shape, self.output_size, self.data_format)

    def get_config(self):
        return {**super().get_config(), "output_size": self.output_size, "data_format": self.data_format}


class BaseAdaptiveAveragePooling(BaseAdaptivePooling):
    """Means over adaptive windows."""

    def call(self, inputs):
        return ops.adaptive_average_pool(inputs, self.output_size, self.data_format)


class BaseAdaptiveMaxPooling(BaseAdaptivePooling):
    """Maxima over adaptive windows."""

    def call(self, inputs):
        return ops.adaptive_max_pool(inputs, self.output_size, self.data_format)


class AdaptiveAveragePooling1D(BaseAdaptiveAveragePooling):
    """Bring sequences to a given length by means, whatever their length was.

    Parameters
    ----------
    output_size : int
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AdaptiveAveragePooling1D(3)(keras.ops.ones((2, 7, 4))).shape
    (2, 3, 4)
    """

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(1, output_size, data_format, **kwargs)


class AdaptiveAveragePooling2D(BaseAdaptiveAveragePooling):
    """Bring images to a given height and width by means, whatever their size was.

    Parameters
    ----------
    output_size : int or tuple of int
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AdaptiveAveragePooling2D((2, 3))(keras.ops.ones((2, 5, 7, 4))).shape
    (2, 2, 3, 4)
    """

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(2, output_size, data_format, **kwargs)


class AdaptiveAveragePooling3D(BaseAdaptiveAveragePooling):
    """Bring volumes to a given size by means, whatever their size was.

    Parameters
    ----------
    output_size : int or tuple of int
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AdaptiveAveragePooling3D(2)(keras.ops.ones((2, 5, 4, 3, 4))).shape
    (2, 2, 2, 2, 4)
    """

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(3, output_size, data_format, **kwargs)


class AdaptiveMaxPooling1D(BaseAdaptiveMaxPooling):
    """Bring sequences to a given length by maxima, whatever their length was.

    Parameters
    ----------
    output_size : int
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AdaptiveMaxPooling1D(3)(keras.ops.ones((2, 7, 4))).shape
    (2, 3, 4)
    """

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(1, output_size, data_format, **kwargs)


class AdaptiveMaxPooling2D(BaseAdaptiveMaxPooling):
    """Bring images to a given height and width by maxima, whatever their size was.

    Parameters
    ----------
    output_size : int or tuple of int
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AdaptiveMaxPooling2D((2, 3))(keras.ops.ones((2, 5, 7, 4))).shape
    (2, 2, 3, 4)
    """

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(2, output_size, data_format, **kwargs)


class AdaptiveMaxPooling3D(BaseAdaptiveMaxPooling):
    """Bring volumes to a given size by maxima, whatever their size was.

    Parameters
    ----------
    output_size : int or tuple of int
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Notes
    -----
    Of ``n`` elements, window ``i`` of ``m`` holds those from ``floor(i n / m)`` to ``ceil((i + 1) n / m)``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AdaptiveMaxPooling3D(2)(keras.ops.ones((2, 5, 4, 3, 4))).shape
    (2, 2, 2, 2, 4)
    """

    def __init__(self, output_size, data_format=None, **kwargs):
        super().__init__(3, output_size, data_format, **kwargs)
