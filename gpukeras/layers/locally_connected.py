"""Convolution without shared weights: layers of Keras 1 and 2."""

from __future__ import annotations

import math

import numpy as np

from gpukeras import ops
from gpukeras.backends import window_shapes
from gpukeras.layers.arguments import old_names
from gpukeras.layers.convolutional_base import NONE, OLD_NAMES_1D, OLD_NAMES_ND, Convolving, positive
from gpukeras.layers.input_spec import InputSpec
from gpukeras.ops.locally_connected import local_windows


class BaseLocallyConnected(Convolving):
    """What locally connected layers over any number of axes share.

    Parameters
    ----------
    rank : int
        Number of spatial axes.
    filters, kernel_size, strides, padding, data_format, activation, use_bias, kernel_initializer, \
bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint, \
bias_constraint, implementation
        As in ``LocallyConnected2D``.
    """

    _causal = False

    def __init__(
        self, rank, filters, kernel_size, strides=1, padding="valid", data_format=None, activation=None,
        use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros", kernel_regularizer=None,
        bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, bias_constraint=None,
        implementation=1, **kwargs,
    ):
        super().__init__(
            rank, kernel_size, strides, padding, data_format, 1,
            dict(activation=activation, use_bias=use_bias, kernel_initializer=kernel_initializer,
                 bias_initializer=bias_initializer, kernel_regularizer=kernel_regularizer,
                 bias_regularizer=bias_regularizer, kernel_constraint=kernel_constraint,
                 bias_constraint=bias_constraint),
            activity_regularizer, **kwargs,
        )
        self.filters = positive(filters, "filters", self)
        self.implementation = implementation
        if implementation not in (1, 2, 3):
            raise ValueError(
                f"layer {self.name!r}: implementation must be 1, 2 or 3, came {implementation!r}")
        if self.padding == "same" and implementation == 1:
            raise ValueError(f"layer {self.name!r}: padding='same' needs implementation=2 or 3")

    def _lay(self, input_shape) -> window_shapes.Windows:
        spatial, _ = window_shapes.split_format(input_shape, self.data_format)
        if None in spatial:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): weights differ from place to place, so all "
                f"sizes must be known; came input shape {tuple(input_shape)}"
            )
        return local_windows(spatial, self.kernel_size, self.strides, self.padding)

    def build(self, input_shape):
        channels = self._begin_build(input_shape)
        windows = self._windows = self._lay(input_shape)
        first = self.data_format == "channels_first"
        self._places = None
        shape: tuple[int, ...]
        if self.implementation == 1:
            shape = (math.prod(windows.out), math.prod(windows.window) * channels, self.filters)
        elif self.implementation == 2:
            shape = (channels, *windows.size, self.filters, *windows.out) if first else (
                *windows.size, channels, *windows.out, self.filters)
            self._places = ops.convert_to_tensor(_dense_places(windows, channels, self.filters, first))
        else:
            places, count = _sparse_places(windows, channels, self.filters, first)
            shape, self._places = (count,), ops.convert_to_tensor(places)
        self.kernel = self._add_kernel("kernel", shape)
        self._end_build(channels, self.filters)
        spatial = range(2, 2 + self.rank) if first else range(1, 1 + self.rank)
        sizes = {self._channel_axis: channels, **dict(zip(spatial, windows.size))}
        self.input_spec = InputSpec(ndim=self.rank + 2, axes=sizes)

    def _end_build(self, channels, outputs):
        bias_shape = (*self._windows.out, outputs)
        self.bias = self._add_kernel("bias", bias_shape, "bias") if self.use_bias else None
        self.built = True

    def call(self, inputs):
        kernel, bias = self.kernel, self.bias
        if self._places is not None:  # all weights in a row: those of every window side by side
            kernel = ops.take(ops.reshape(kernel, (-1,)), self._places, axis=0)
        if bias is not None and self.data_format == "channels_first":
            # As Keras does it: the numbers of (*out, filters) are read as (filters, *out).
            bias = ops.moveaxis(ops.reshape(bias, (self.filters, *self._windows.out)), 0, -1)
        outputs = ops.locally_connected(inputs, kernel, bias, self._windows, self.data_format)
        return outputs if self.activation in NONE else self.activation(outputs)

    def _output_shape(self, input_shape):
        out = self._lay(input_shape).out
        return window_shapes.join_format(input_shape[0], out, self.filters, self.data_format)

    _written = ("filters", "kernel_initializer", "kernel_regularizer", "kernel_constraint", "implementation")

    def get_config(self):
        found = super().get_config()
        del found["dilation_rate"]
        return found


def _taps(windows: window_shapes.Windows) -> tuple[np.ndarray, np.ndarray]:
    """Return which element of the inputs every tap of every window meets, and whether there is one.

    Both have the shape (positions, taps); elements are numbered row by row.
    """
    rank = len(windows.out)
    number: np.ndarray = np.zeros((1,) * (2 * rank), int)
    inside: np.ndarray = np.ones((1,) * (2 * rank), bool)
    for i, (n, k, o, s, low) in enumerate(zip(windows.size, windows.window, windows.out, windows.strides,
                                              windows.lows)):
        shape = [1] * (2 * rank)
        shape[i], shape[rank + i] = o, k
        at = (np.arange(o)[:, None] * s - low + np.arange(k)).reshape(shape)
        number = number * n + at
        inside = inside & (at >= 0) & (at < n)
    positions = math.prod(windows.out)
    return np.where(inside, number, 0).reshape(positions, -1), inside.reshape(positions, -1)


def _corners(windows, channels: int, filters: int, first: bool) -> tuple:
    """Return (element, channel, position, filter, whether inside), each (positions, taps, C, filters)."""
    element, inside = _taps(windows)
    position = np.arange(len(element))[:, None, None, None]
    channel = np.arange(channels)[:, None]
    parts = np.broadcast_arrays(
        element[:, :, None, None], channel, position, np.arange(filters), inside[:, :, None, None])
    return tuple(p.swapaxes(1, 2) if first else p for p in parts)  # channels before taps


def _dense_places(windows, channels: int, filters: int, first: bool) -> np.ndarray:
    """Return where, in a matrix of all inputs and outputs, the weights of every window are.

    Taps beyond the border meet zeros: any place will do.
    """
    element, channel, position, filter_, _ = _corners(windows, channels, filters, first)
    size, positions = math.prod(windows.size), math.prod(windows.out)
    if first:
        places = ((channel * size + element) * filters + filter_) * positions + position
    else:
        places = ((element * channels + channel) * positions + position) * filters + filter_
    return places.reshape(positions, -1, filters).astype("int32")


def _sparse_places(windows, channels: int, filters: int, first: bool) -> tuple[np.ndarray, int]:
    """Return where the weights of every window are among those that exist, and how many exist.

    They are sorted by output, then by input, both numbered as they lie in memory.
    """
    element, channel, position, filter_, inside = _corners(windows, channels, filters, first)
    size, positions = math.prod(windows.size), math.prod(windows.out)
    if first:
        output, source = filter_ * positions + position, channel * size + element
    else:
        output, source = position * filters + filter_, element * channels + channel
    key = np.where(inside, output * (size * channels) + source, -1).ravel()
    known = np.unique(key[key >= 0])
    places = np.maximum(np.searchsorted(known, key), 0)
    return places.reshape(positions, -1, filters).astype("int32"), len(known)


class LocallyConnected1D(BaseLocallyConnected):
    """Convolution over time with weights of its own for every step.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int
        Length of the window.
    strides : int
        Step between windows.
    padding : {"valid", "same"}
        ``"same"`` with ``implementation`` 2 and 3 only.
    data_format : {"channels_last", "channels_first"}, optional
        (N, T, C) or (N, C, T).
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.
    implementation : {1, 2, 3}
        How the kernel is stored; see ``LocallyConnected2D``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.LocallyConnected1D(4, 3)(keras.ops.ones((2, 10, 8))).shape
    (2, 8, 4)
    """

    @old_names(**OLD_NAMES_1D)
    def __init__(
        self, filters, kernel_size, strides=1, padding="valid", data_format=None, activation=None,
        use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros", kernel_regularizer=None,
        bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, bias_constraint=None,
        implementation=1, **kwargs,
    ):
        super().__init__(
            1, filters, kernel_size, strides, padding, data_format, activation, use_bias, kernel_initializer,
            bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint, implementation, **kwargs,
        )


class LocallyConnected2D(BaseLocallyConnected):
    """Convolution over height and width with weights of its own for every position.

    Parameters
    ----------
    filters : int
        Number of output channels.
    kernel_size : int or tuple of int
        Height and width of the window.
    strides : int or tuple of int
        Step between windows.
    padding : {"valid", "same"}
        ``"same"`` with ``implementation`` 2 and 3 only.
    data_format : {"channels_last", "channels_first"}, optional
        (N, H, W, C) or (N, C, H, W).
    activation, use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, \
activity_regularizer, kernel_constraint, bias_constraint
        As in ``Dense``.
    implementation : {1, 2, 3}
        How the kernel is stored, as in Keras 2: one matrix for every position (1); a matrix of all inputs and
        outputs, of which only what lies in windows is used (2); the weights that are used, in a row (3). The
        outputs are the same, and so is the computation: one product for every position.

    Notes
    -----
    All sizes must be known. Keras 3 has no such layer.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.LocallyConnected2D(4, 3)
    >>> layer(keras.ops.ones((2, 6, 6, 3))).shape, layer.kernel.shape
    ((2, 4, 4, 4), (16, 27, 4))
    """

    @old_names("nb_row", "nb_col", **OLD_NAMES_ND)
    def __init__(
        self, filters, kernel_size, strides=(1, 1), padding="valid", data_format=None, activation=None,
        use_bias=True, kernel_initializer="glorot_uniform", bias_initializer="zeros", kernel_regularizer=None,
        bias_regularizer=None, activity_regularizer=None, kernel_constraint=None, bias_constraint=None,
        implementation=1, **kwargs,
    ):
        super().__init__(
            2, filters, kernel_size, strides, padding, data_format, activation, use_bias, kernel_initializer,
            bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint,
            bias_constraint, implementation, **kwargs,
        )
