"""Inputs shifted and scaled to mean 0 and variance 1."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpukeras import config as settings
from gpukeras import ops
from gpukeras.layers.preprocessing.base import PreprocessingLayer
from gpukeras.layers.preprocessing.constants import Constants


class Normalization(PreprocessingLayer):
    """Subtract the mean and divide by the standard deviation, both of data seen by ``adapt`` or given.

    Parameters
    ----------
    axis : int, tuple of int or None
        Axes that keep a mean and a variance for each position; over all others, these are shared. -1: each
        feature has its own; ``None``: one for all.
    mean, variance : float or sequence of float, optional
        Instead of ``adapt``; both or none.
    invert : bool
        Do the opposite: multiply by the standard deviation and add the mean.

    Notes
    -----
    ``y = (x - mean) / max(sqrt(variance), epsilon)`` with the epsilon of ``keras.config``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.Normalization()
    >>> layer.adapt([[1.0, 10.0], [3.0, 30.0]])
    >>> layer([[2.0, 30.0]]).tolist()
    [[0.0, 1.0]]
    """

    capturable = True

    def __init__(self, axis=-1, mean=None, variance=None, invert=False, **kwargs):
        super().__init__(**kwargs)
        self.axis = () if axis is None else (axis,) if isinstance(axis, int) else tuple(axis)
        if (mean is None) != (variance is None):
            raise ValueError(
                f"Normalization: mean and variance go together, came mean={mean} and variance={variance}"
            )
        self.input_mean, self.input_variance, self.invert = mean, variance, invert
        self.supports_masking = True
        self._constants = Constants()
        self._known: tuple = ()
        self._shape: tuple = ()
        self._kept: tuple = ()
        self._seen, self._mean, self._variance = 0, 0.0, 0.0
        self.adapt_mean: Any = None
        self.adapt_variance: Any = None
        self.count: Any = None

    def build(self, input_shape):
        rank = len(input_shape)
        kept = []
        for axis in self.axis:
            if not -rank <= axis < rank:
                raise ValueError(
                    f"Normalization: axis={self.axis} does not exist in inputs of shape {tuple(input_shape)}")
            kept.append(axis % rank)
        sizes = [input_shape[a] for a in sorted(kept)]
        if None in sizes:
            raise ValueError(
                f"Normalization: the sizes of axis={self.axis} must be known, came {tuple(input_shape)}")
        self._reduced = tuple(a for a in range(rank) if a not in kept)
        self._kept = tuple(sizes)
        self._shape = tuple(input_shape[a] if a in kept else 1 for a in range(rank))
        if self.input_mean is None:
            self.adapt_mean = self.add_weight(
                shape=self._kept, initializer="zeros", trainable=False, autocast=False, name="mean")
            self.adapt_variance = self.add_weight(
                shape=self._kept, initializer="ones", trainable=False, autocast=False, name="variance")
            self.count = self.add_weight(
                shape=(), dtype="int64", initializer="zeros", trainable=False, name="count")

    # ---- learning ------------------------------------------------------------------------------------
    def _check_adaptable(self):
        if self.input_mean is not None:
            raise ValueError("Normalization: adapt has nothing to learn, as mean and variance were given")

    def _build_for(self, batch):
        self.build((None, *batch.shape[1:]) if 0 not in self._positive_axes(batch) else batch.shape)

    def _positive_axes(self, batch):
        return [a % batch.ndim for a in self.axis if -batch.ndim <= a < batch.ndim]

    def reset_state(self):
        self._seen, self._mean, self._variance = 0, 0.0, 0.0

    def update_state(self, data):
        data = np.asarray(data)
        if data.ndim != len(self._shape):
            raise ValueError(
                f"Normalization was built for inputs with {len(self._shape)} axes, came shape {data.shape}")
        here = int(np.prod([data.shape[a] for a in self._reduced], initial=1))
        if not here:
            return
        mean = data.mean(self._reduced, dtype=np.float64)
        variance = data.var(self._reduced, dtype=np.float64)
        total = self._seen + here
        old, new = self._seen / total, here / total
        joined = old * self._mean + new * mean
        self._variance = old * (self._variance + (self._mean - joined) ** 2) + new * (
            variance + (mean - joined) ** 2)
        self._mean, self._seen = joined, total

    def finalize_state(self):
        if self.input_mean is None and self._seen:
            self.adapt_mean.assign(np.asarray(self._mean))
            self.adapt_variance.assign(np.asarray(self._variance))

    # ---- values ----------------------------------------------------------------------------------------
    def _values(self) -> tuple:
        """Return mean and variance in float64 on the host, in the shape that goes with the inputs."""
        if self.input_mean is not None:
            values = [np.asarray(v, np.float64) for v in (self.input_mean, self.input_variance)]
            if not self.built:
                return tuple(values)
            return tuple(np.broadcast_to(v, self._kept).reshape(self._shape) for v in values)
        if not self.built:
            return None, None
        version = self.adapt_mean.version, self.adapt_variance.version
        if self._known[:1] != (version,):
            self._constants.clear()
            found = (v.numpy().astype(np.float64).reshape(self._shape)
                     for v in (self.adapt_mean, self.adapt_variance))
            self._known = (version, tuple(found))
        return self._known[1]

    @property
    def mean(self):
        """The means, as they are subtracted; ``None`` before the layer is built."""
        mean = self._values()[0]
        return None if mean is None else ops.convert_to_tensor(mean, self.compute_dtype)

    @property
    def variance(self):
        """The variances; ``None`` before the layer is built."""
        variance = self._values()[1]
        return None if variance is None else ops.convert_to_tensor(variance, self.compute_dtype)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        mean, variance = self._values()
        deviation = np.maximum(np.sqrt(variance), settings.epsilon())
        shift = self._constants.get("mean", mean, x, self.compute_dtype)
        factor = self._constants.get("deviation", deviation, x, self.compute_dtype)
        return x * factor + shift if self.invert else (x - shift) / factor

    def compute_output_shape(self, input_shape):
        return tuple(input_shape)

    def get_config(self):
        return super().get_config() | {
            "axis": self.axis, "invert": self.invert, "mean": _plain(self.input_mean),
            "variance": _plain(self.input_variance)}


def _plain(values):
    """Return numbers or arrays of numbers as numbers and lists."""
    return np.asarray(values).tolist() if values is not None else None
