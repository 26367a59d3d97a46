"""GroupNormalization: over groups of the channels of a sample."""

from __future__ import annotations

from gpukeras.backends import shapes
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.normalization import Normalization
from gpukeras.ops.normalization import group_normalization


class GroupNormalization(Normalization):
    """Normalise groups of neighbouring channels of every sample by their own mean and variance.

    Parameters
    ----------
    groups : int
        It divides the number of channels; -1: each channel is a group, 1: all of them are one.
    axis : int
        Axis of the channels; 1 for images with ``channels_first``.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add ``beta`` and to multiply by ``gamma``, one number for each channel.
    beta_initializer, gamma_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional

    Notes
    -----
    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, mean and variance over all places of a group.

    References
    ----------
    Wu and He, 2018, arXiv:1803.08494. Ulyanov et al., 2016, arXiv:1607.08022 (each channel by itself).

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.GroupNormalization(groups=2, epsilon=0.0001)
    >>> layer([[1.0, 3.0, 5.0, 5.0]]).numpy().round(3)
    array([[-1.,  1.,  0.,  0.]], dtype=float32)
    """

    capturable = True

    def __init__(
        self, groups=32, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
        gamma_constraint=None, **kwargs,
    ):
        if isinstance(axis, (list, tuple)) and len(axis) == 1:
            axis = axis[0]
        if isinstance(axis, bool) or not isinstance(axis, int):
            raise TypeError(f"GroupNormalization: axis must be an integer, came {axis!r}")
        super().__init__(
            axis=axis, epsilon=epsilon, center=bool(center), scale=bool(scale),
            beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint, gamma_constraint=gamma_constraint, **kwargs,
        )
        if isinstance(groups, bool) or not isinstance(groups, int) or (groups < 1 and groups != -1):
            raise ValueError(f"layer {self.name!r}: groups must be a positive integer or -1, came {groups!r}")
        self.groups = groups

    def build(self, input_shape):
        axis = shapes.normalize_axis(self.axis, len(input_shape))
        if not axis:
            raise ValueError(f"layer {self.name!r}: axis {self.axis} is that of the samples")
        (size,) = self._sizes(input_shape, (axis,))
        if self.groups == -1:
            self.groups = size
        if size % self.groups:
            raise ValueError(
                f"layer {self.name!r}: groups={self.groups} must divide the number of channels, {size} (axis "
                f"{self.axis} of inputs of shape {tuple(input_shape)})"
            )
        self._add_gamma_and_beta((size,), self.scale, self.center)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: size})
        self.built = True

    def call(self, inputs):
        return group_normalization(inputs, self.gamma, self.beta, self.groups, self.axis, self.epsilon)

    def get_config(self):
        return super().get_config() | {"groups": self.groups}
