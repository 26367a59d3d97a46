"""Layers that scale their inputs without centering them: RMSNormalization, UnitNormalization."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.backends import shapes
from gpukeras.layers.core import Elementwise
from gpukeras.ops.normalization import unit_normalization


def _axes_of(layer: str, axis) -> list:
    axes = [axis] if isinstance(axis, int) else list(axis) if isinstance(axis, (list, tuple)) else [None]
    if not axes or any(isinstance(a, bool) or not isinstance(a, int) for a in axes):
        raise TypeError(f"{layer}: axis must be an integer or a list of them, came {axis!r}")
    return axes


class RMSNormalization(Elementwise):
    """Divide every sample by the root mean square of its features, and multiply by trainable numbers.

    Parameters
    ----------
    axis : int or list of int
        Axes of the features.
    epsilon : float
        Added to the mean square.

    Notes
    -----
    ``x / sqrt(mean(x ** 2) + epsilon) * scale``.

    References
    ----------
    Zhang and Sennrich, 2019, arXiv:1910.07467.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RMSNormalization()([[3.0, 4.0, 0.0, 0.0]]).numpy().round(3)
    array([[1.2, 1.6, 0. , 0. ]], dtype=float32)
    """

    capturable = True

    def __init__(self, axis=-1, epsilon=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.built = self.supports_masking = False
        self.axis, self.epsilon = _axes_of("RMSNormalization", axis), epsilon

    def build(self, input_shape):
        self._axes = shapes.normalize_axes(self.axis, len(input_shape))
        sizes = tuple(input_shape[a] for a in self._axes)
        if None in sizes:
            raise ValueError(
                f"layer {self.name!r}: axis {self.axis} of the inputs must have a known size, came "
                f"{input_shape}"
            )
        self.scale = self.add_weight(name="scale", shape=sizes, initializer="ones", autocast=False)
        self.built = True

    def call(self, x):
        return ops.rms_normalization(x, self.scale, self._axes, self.epsilon)

    def get_config(self):
        return super().get_config() | {"axis": self.axis, "epsilon": self.epsilon}


class UnitNormalization(Elementwise):
    """Scale every sample to a Euclidean length of 1.

    Parameters
    ----------
    axis : int or list of int
        Axes that the length is measured over.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.UnitNormalization()([[3.0, 4.0]]).numpy()
    array([[0.6, 0.8]], dtype=float32)
    """

    capturable = True

    def __init__(self, axis=-1, **kwargs):
        super().__init__(**kwargs)
        _axes_of("UnitNormalization", axis)
        self.axis = axis if isinstance(axis, int) else list(axis)

    def call(self, inputs):
        return unit_normalization(inputs, self.axis)

    def get_config(self):
        return super().get_config() | {"axis": self.axis}
