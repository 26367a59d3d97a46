"""Pooling layers: over windows, and over all positions."""

from __future__ import annotations

from gpukeras import config, lazy, ops
from gpukeras.backends import shapes, window_shapes
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.ops.embedding import mean_of_gathered
from gpukeras.sparse import GatheredTensor


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

    def __init__(
        self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(2, pool_size, strides, padding, data_format, name, **kwargs)


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

    def __init__(
        self, pool_size=(2, 2), strides=None, padding="valid", data_format=None, name=None, **kwargs
    ):
        super().__init__(2, pool_size, strides, padding, data_format, name, **kwargs)


# ---- over all positions -----------------------------------------------------------------------------------
class BaseGlobalPooling(Layer):
    """Pooling over all positions of ``rank`` spatial axes.

    Parameters
    ----------
    rank : int
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.
    keepdims : bool
        Keep the pooled axes, with size 1.
    """

    def __init__(self, rank, data_format=None, keepdims=False, **kwargs):
        super().__init__(**kwargs)
        self.rank = rank
        self.data_format = config.standardize_data_format(data_format)
        self.keepdims = bool(keepdims)
        self.input_spec = InputSpec(ndim=rank + 2)

    @property
    def _axes(self) -> tuple[int, ...]:
        first = 1 if self.data_format == "channels_last" else 2
        return tuple(range(first, first + self.rank))

    def compute_output_shape(self, input_shape):
        return shapes.reduce(input_shape, self._axes, self.keepdims)

    def get_config(self):
        return {**super().get_config(), "data_format": self.data_format, "keepdims": self.keepdims}


class _GlobalMaxPooling(BaseGlobalPooling):
    def call(self, inputs):
        return ops.max(inputs, axis=self._axes, keepdims=self.keepdims)


class _GlobalAveragePooling(BaseGlobalPooling):
    capturable = True

    def call(self, inputs):
        return ops.mean(inputs, axis=self._axes, keepdims=self.keepdims)


class GlobalMaxPooling1D(_GlobalMaxPooling):
    """Keep the largest element of each channel over all time steps.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    keepdims : bool
        Keep the time axis, with size 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.GlobalMaxPooling1D()(keras.ops.ones((4, 10, 8))).shape
    (4, 8)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(1, data_format, keepdims, **kwargs)


class GlobalMaxPooling2D(_GlobalMaxPooling):
    """Keep the largest element of each channel of an image.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    keepdims : bool
        Keep height and width, with size 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.GlobalMaxPooling2D(keepdims=True)(keras.ops.ones((4, 6, 5, 8))).shape
    (4, 1, 1, 8)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(2, data_format, keepdims, **kwargs)


class GlobalAveragePooling1D(_GlobalAveragePooling):
    """Take the mean of each channel over all time steps, or over those that a mask leaves.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    keepdims : bool
        Keep the time axis, with size 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.convert_to_tensor([1.0, 3.0, 8.0]), (1, 3, 1))
    >>> keras.layers.GlobalAveragePooling1D()(x, mask=[[True, True, False]]).numpy()
    array([[2.]], dtype=float32)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(1, data_format, keepdims, **kwargs)

    def call(self, inputs, mask=None):
        (axis,) = self._axes
        if mask is None:
            if type(inputs) is GatheredTensor and inputs.ndim == 3 and axis == 1 and inputs.shape[1]:
                return mean_of_gathered(inputs, self.keepdims)
            return super().call(inputs)
        weights = ops.expand_dims(ops.cast(mask, inputs.dtype), -1 if axis == 1 else 1)
        total = ops.sum(inputs * weights, axis=axis, keepdims=self.keepdims)
        return total / ops.sum(weights, axis=axis, keepdims=self.keepdims)

    def compute_mask(self, inputs, mask=None):
        return None


class GlobalAveragePooling2D(_GlobalAveragePooling):
    """Take the mean of each channel of an image.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    keepdims : bool
        Keep height and width, with size 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.GlobalAveragePooling2D()(keras.ops.ones((4, 6, 5, 8))).shape
    (4, 8)
    """

    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(2, data_format, keepdims, **kwargs)


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
