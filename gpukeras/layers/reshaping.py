"""Layers that only change the shape: Flatten, Reshape, Permute, RepeatVector."""

from __future__ import annotations

import math

from gpukeras import config, ops
from gpukeras.backends import shapes
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.symbolic import KerasTensor


class Reshaping(Layer):
    """Base of layers that move values about: any dtype passes."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    def compute_output_spec(self, inputs):
        return KerasTensor(self.compute_output_shape(inputs.shape), inputs.dtype)


class Flatten(Reshaping):
    """Make one axis of all axes but the first.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        ``"channels_first"`` moves the channels to the end before, so that weights learned behind it fit both
        layouts. Default: ``config.image_data_format()``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Flatten()(keras.ops.ones((2, 3, 4))).shape
    (2, 12)
    """

    capturable = True

    def __init__(self, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.data_format = config.standardize_data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def call(self, inputs):
        shape = inputs.shape
        if self.data_format == "channels_first" and len(shape) > 2:
            inputs = ops.transpose(inputs, (0, *range(2, len(shape)), 1))
        # The product, not -1: that would be ambiguous for an empty batch.
        return ops.reshape(inputs, (shape[0], math.prod(shape[1:])))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], shapes.known_product(input_shape[1:]))

    def get_config(self):
        return super().get_config() | {"data_format": self.data_format}


class Reshape(Reshaping):
    """Give every sample another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Shape of one sample; one size may be -1, which is worked out.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Reshape((2, -1))(keras.ops.ones((5, 8))).shape
    (5, 2, 4)
    """

    capturable = True

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        target = (target_shape,) if isinstance(target_shape, int) else tuple(target_shape)
        self.target_shape = tuple(-1 if n is None else int(n) for n in target)

    def compute_output_shape(self, input_shape):
        try:
            return (input_shape[0], *shapes.reshape(tuple(input_shape[1:]), self.target_shape))
        except ValueError as error:
            raise ValueError(
                f"layer {self.name!r}: cannot give samples of shape {tuple(input_shape[1:])} the shape "
                f"{self.target_shape}: {error}"
            ) from None

    def call(self, inputs):
        return ops.reshape(inputs, self.compute_output_shape(inputs.shape))

    def get_config(self):
        return super().get_config() | {"target_shape": self.target_shape}


class Permute(Reshaping):
    """Reorder the axes of every sample.

    Parameters
    ----------
    dims : tuple of int
        New order of the axes, which count from 1: ``(2, 1)`` swaps the first two after the batch axis.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Permute((2, 1))(keras.ops.ones((5, 10, 64))).shape
    (5, 64, 10)
    """

    capturable = True

    def __init__(self, dims, **kwargs):
        super().__init__(**kwargs)
        self.dims = tuple(int(d) for d in dims)
        if sorted(self.dims) != list(range(1, len(self.dims) + 1)):
            raise ValueError(
                f"layer {self.name!r}: dims must hold each of 1 to {len(self.dims)} once, came {tuple(dims)}"
            )
        self.input_spec = InputSpec(ndim=len(self.dims) + 1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *(input_shape[d] for d in self.dims))

    def call(self, inputs):
        return ops.transpose(inputs, (0, *self.dims))

    def get_config(self):
        return super().get_config() | {"dims": self.dims}


class RepeatVector(Reshaping):
    """Repeat every vector ``n`` times: (N, F) becomes (N, n, F).

    Parameters
    ----------
    n : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RepeatVector(3)(keras.ops.ones((2, 8))).shape
    (2, 3, 8)
    """

    capturable = True

    def __init__(self, n, **kwargs):
        super().__init__(**kwargs)
        if isinstance(n, bool) or not isinstance(n, int):
            raise TypeError(f"layer {self.name!r}: n must be an integer, came {n!r}")
        self.n = n
        self.input_spec = InputSpec(ndim=2)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n, input_shape[1])

    def call(self, inputs):
        size, width = inputs.shape
        return ops.broadcast_to(ops.expand_dims(inputs, 1), (size, self.n, width))

    def get_config(self):
        return super().get_config() | {"n": self.n}
