"""Pooling over all positions."""

from __future__ import annotations

from gpukeras import config, ops
from gpukeras.backends import shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.ops.embedding import mean_of_gathered
from gpukeras.sparse import GatheredTensor


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

    @old_names(dim_ordering="data_format")
    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(2, data_format, keepdims, **kwargs)


class GlobalMaxPooling3D(_GlobalMaxPooling):
    """Keep the largest element of each channel over a whole volume.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).
    keepdims : bool
        Keep the three axes, with size 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.GlobalMaxPooling3D()(keras.ops.ones((2, 4, 5, 6, 8))).shape
    (2, 8)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(3, data_format, keepdims, **kwargs)


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

    @old_names(dim_ordering="data_format")
    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(2, data_format, keepdims, **kwargs)


class GlobalAveragePooling3D(_GlobalAveragePooling):
    """Take the mean of each channel over a whole volume.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        (N, D, H, W, C) or (N, C, D, H, W).
    keepdims : bool
        Keep the three axes, with size 1.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.GlobalAveragePooling3D()(keras.ops.ones((2, 4, 5, 6, 8))).shape
    (2, 8)
    """

    @old_names(dim_ordering="data_format")
    def __init__(self, data_format=None, keepdims=False, **kwargs):
        super().__init__(3, data_format, keepdims, **kwargs)
