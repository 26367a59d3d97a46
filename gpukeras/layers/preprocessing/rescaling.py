"""Inputs times a factor plus an offset."""

from __future__ import annotations

import numpy as np

from gpukeras import config, ops
from gpukeras.layers.layer import Layer
from gpukeras.layers.preprocessing.constants import Constants
from gpukeras.saving import deserialize_keras_object, serialize_keras_object


class Rescaling(Layer):
    """Multiply by ``scale`` and add ``offset``, in training and inference alike.

    Parameters
    ----------
    scale : float or sequence of float
        A sequence has a factor for each channel.
    offset : float or sequence of float

    Examples
    --------
    >>> import gpukeras as keras
    >>> import numpy as np
    >>> keras.layers.Rescaling(1 / 127.5, offset=-1)(np.array([0, 255], "uint8")).tolist()
    [-1.0, 1.0]
    """

    capturable = True

    def __init__(self, scale, offset=0.0, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True
        self._constants = Constants()

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        y = x * self._factor("scale", x)
        if isinstance(self.offset, (int, float)) and not self.offset:
            return y
        return y + self._factor("offset", x)

    def _factor(self, name, x):
        """Return an argument as it goes with ``x``: a number, or a tensor with channels where they are."""
        values = getattr(self, name)
        if isinstance(values, (bool, int, float)):
            return values
        values = np.asarray(values)
        if values.ndim and config.image_data_format() == "channels_first" and x.ndim > 3:
            values = values.reshape(*values.shape, *(1,) * (3 - values.ndim))
        return self._constants.get(f"{name}{values.shape}", values, x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return super().get_config() | {
            name: serialize_keras_object(getattr(self, name)) for name in ("scale", "offset")}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("scale", "offset"):
            if isinstance(config.get(name), dict):
                config[name] = deserialize_keras_object(config[name], custom_objects=custom_objects)
        return cls(**config)
