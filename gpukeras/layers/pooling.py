"""Pooling over windows."""

from __future__ import annotations

from gpukeras import config, lazy, ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer

# Arguments of Keras 1 by their names today; see ``old_names``.
OLD_1D = {"pool_length": "pool_size", "stride": "strides", "border_mode": "padding"}
OLD = {"border_mode": "padding", "dim_ordering": "data_format"}


class BasePooling(Layer):
    """Pooling over windows of ``rank`` spatial axes; subclasses name the op.

    Parameters
    ----------
    rank : int
    pool_size : int or tuple of int
        Size of the window.
    strides : int or tuple of int, optional
        Step between windows; default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    """

    def __init__(self, rank, pool_size, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(name=name, **kwargs)
        self.rank = rank
        self.pool_size = window_shapes.per_axis(pool_size, rank, "pool_size")
        self.strides = self.pool_size if strides is None else window_shapes.per_axis(strides, rank, "strides")
        self.padding = str(padding).lower()
        if self.padding not in ("valid", "same"):
            raise ValueError(f"layer {self.name!r}: padding must be 'valid' or 'same', came {padding!r}")
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(ndim=rank + 2)

    def build(self, input_shape):
        self.compute_output_shape(input_shape)  # for its errors
        self.built = True

    def _pool(self, inputs, **settings):
        raise NotImplementedError

    def call(self, inputs):
        return self._pool(
            inputs, pool_size=self.pool_size, strides=self.strides, padding=self.padding,
            data_format=self.data_format,
        )

    def compute_output_shape(self, input_shape):
        try:
            return window_shapes.pool(
                input_shape, self.pool_size, self.strides, self.padding, self.data_format
            )
        except ValueError as error:
            raise ValueError(f"layer {self.name!r} ({type(self).__name__}): {error}") from None

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


class _MaxPooling(BasePooling):
    def _pool(self, inputs, **settings):
        return ops.max_pool(inputs, **settings)


class _AveragePooling(BasePooling):
    def _pool(self, inputs, **settings):
        return ops.average_pool(inputs, **settings)


class MaxPooling1D(_MaxPooling):
    """Keep the largest element of every window in time.

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        Default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.MaxPooling1D(2)(keras.ops.ones((4, 10, 8))).shape
    (4, 5, 8)
    """

    @old_names(**OLD_1D)
    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(1, pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling2D(_MaxPooling):
    """Keep the largest element of every window of an image.

    Parameters
    ----------
    pool_size : int or tuple of int
    strides : int or tuple of int, optional
        Default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.MaxPooling2D()(keras.ops.ones((4, 26, 26, 32))).shape
    (4, 13, 13, 32)
    """

    @old_names(**OLD)
    def __init__(
        self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(2, pool_size, strides, padding, data_format, name, **kwargs)


class MaxPooling3D(_MaxPooling):
    """Keep the largest element of every window of a volume.

    Parameters
    ----------
    pool_size : int or tuple of int
    strides : int or tuple of int, optional
        Default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.MaxPooling3D()(keras.ops.ones((2, 8, 8, 8, 4))).shape
    (2, 4, 4, 4, 4)
    """

    @old_names(**OLD)
    def __init__(
        self, pool_size=(2, 2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(3, pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling1D(_AveragePooling):
    """Take the mean of every window in time; padding does not count.

    Parameters
    ----------
    pool_size : int
    strides : int, optional
        Default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AveragePooling1D(2)(keras.ops.ones((4, 10, 8))).shape
    (4, 5, 8)
    """

    @old_names(**OLD_1D)
    def __init__(self, pool_size=2, strides=None, padding="valid", data_format=None, name=None, **kwargs):
        super().__init__(1, pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling2D(_AveragePooling):
    """Take the mean of every window of an image; padding does not count.

    Parameters
    ----------
    pool_size : int or tuple of int
    strides : int or tuple of int, optional
        Default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AveragePooling2D()(keras.ops.ones((4, 26, 26, 32))).shape
    (4, 13, 13, 32)
    """

    @old_names(**OLD)
    def __init__(
        self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(2, pool_size, strides, padding, data_format, name, **kwargs)


class AveragePooling3D(_AveragePooling):
    """Take the mean of every window of a volume; padding does not count.

    Parameters
    ----------
    pool_size : int or tuple of int
    strides : int or tuple of int, optional
        Default: ``pool_size``.
    padding : {"valid", "same"}
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AveragePooling3D()(keras.ops.ones((2, 8, 8, 8, 4))).shape
    (2, 4, 4, 4, 4)
    """

    @old_names(**OLD)
    def __init__(
        self, pool_size=(2, 2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(3, pool_size, strides, padding, data_format, name, **kwargs)


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
