"""Normalisation layers: over the batch, over the features of a sample."""

from __future__ import annotations

import math

from gpukeras import autograd, config, lazy, ops
from gpukeras.backends import shapes
from gpukeras.layers.arguments import old_names, take_arguments, written_arguments
from gpukeras.layers.core import Elementwise
from gpukeras.layers.input_spec import InputSpec

_ARGUMENTS = (
    "axis", "epsilon", "center", "scale", "beta_initializer", "gamma_initializer", "beta_regularizer",
    "gamma_regularizer", "beta_constraint", "gamma_constraint",
)


class Normalization(Elementwise):
    """What normalising layers share: their arguments, ``gamma`` and ``beta``."""

    def __init__(self, **kwargs):
        arguments = {name: kwargs.pop(name) for name in _ARGUMENTS}
        super().__init__(**kwargs)
        self.built = False
        take_arguments(self, **arguments)
        self.gamma = self.beta = None

    def _add_gamma_and_beta(self, shape, gamma: bool, beta: bool) -> None:
        # Statistics are worked out in float32 at least, so these are read as they are.
        if gamma:
            self.gamma = self.add_weight(
                name="gamma", shape=shape, initializer=self.gamma_initializer, autocast=False,
                regularizer=self.gamma_regularizer, constraint=self.gamma_constraint,
            )
        if beta:
            self.beta = self.add_weight(
                name="beta", shape=shape, initializer=self.beta_initializer, autocast=False,
                regularizer=self.beta_regularizer, constraint=self.beta_constraint,
            )

    def _sizes(self, input_shape, axes) -> tuple:
        sizes = tuple(input_shape[axis] for axis in axes)
        if None in sizes:
            raise ValueError(
                f"layer {self.name!r}: axis {self.axis} of the inputs must have a known size, came "
                f"{input_shape}"
            )
        return sizes

    def get_config(self):
        return super().get_config() | written_arguments(self, *_ARGUMENTS)


class BatchNormalization(Normalization):
    """Normalise every feature by its mean and variance over the batch.

    In training the statistics are those of the batch, and moving averages of them are kept; otherwise, and
    where ``trainable`` is false, the moving averages are used.

    Parameters
    ----------
    axis : int
        Axis of the features; 1 for images with ``channels_first``.
    momentum : float
        Weight of the old value in a moving average.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add ``beta`` and to multiply by ``gamma``.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : \
str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    renorm : bool
        Batch renormalisation: in training, correct the statistics of the batch towards moving averages.
    renorm_clipping : dict, optional
        Limits ``"rmin"``, ``"rmax"`` and ``"dmax"`` of that correction.
    renorm_momentum : float
        Weight of the old value in the averages used for it.
    synchronized : bool
        Share statistics between devices; on one device it makes no difference.

    Notes
    -----
    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``, with the biased variance, which the moving
    average takes as well: ``moving = moving * momentum + batch * (1 - momentum)``. Called with a ``mask``,
    the statistics are those of the places that count.

    With ``renorm``, the normalised ``x`` becomes ``x * r + d`` before ``gamma`` and ``beta``, where
    ``r = std / renorm_stddev`` and ``d = (mean - renorm_mean) / renorm_stddev`` are constants for the
    gradient and ``std = sqrt(variance + epsilon)``.

    References
    ----------
    Ioffe and Szegedy, 2015, arXiv:1502.03167. Ioffe, 2017, arXiv:1702.03275 (renormalisation).

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.BatchNormalization(epsilon=0.0)
    >>> layer([[1.0], [3.0]], training=True).numpy()
    array([[-1.],
           [ 1.]], dtype=float32)
    >>> layer.moving_mean.numpy()
    array([0.02], dtype=float32)
    """

    @old_names(beta_init="beta_initializer", gamma_init="gamma_initializer")
    def __init__(
        self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones", moving_mean_initializer="zeros", moving_variance_initializer="ones",
        beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None,
        renorm=False, renorm_clipping=None, renorm_momentum=0.99, synchronized=False, **kwargs,
    ):
        if isinstance(axis, (list, tuple)) and len(axis) == 1:  # as saved by tf.keras 2
            axis = axis[0]
        super().__init__(
            axis=int(axis), epsilon=epsilon, center=bool(center), scale=bool(scale),
            beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint, gamma_constraint=gamma_constraint, **kwargs,
        )
        # Standalone Keras 2 went on normalising by the batch, without counting it.
        self._frozen_keeps_training = config.standalone_era()
        unknown = sorted(set(renorm_clipping or ()) - {"rmin", "rmax", "dmax"})
        if unknown:
            raise ValueError(
                f"layer {self.name!r}: renorm_clipping takes 'rmin', 'rmax' and 'dmax', came {unknown}"
            )
        if not 0 <= momentum <= 1:
            raise ValueError(f"layer {self.name!r}: momentum must be between 0 and 1, came {momentum!r}")
        take_arguments(
            self, momentum=momentum, synchronized=bool(synchronized),
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer,
        )
        self.renorm, self.renorm_momentum = bool(renorm), renorm_momentum
        self.renorm_clipping = dict(renorm_clipping or {}) if renorm else renorm_clipping

    def build(self, input_shape):
        axis = shapes.normalize_axis(self.axis, len(input_shape))
        shape = self._sizes(input_shape, (axis,))
        self._add_gamma_and_beta(shape, self.scale, self.center)
        self.moving_mean = self.add_weight(
            name="moving_mean", shape=shape, initializer=self.moving_mean_initializer, trainable=False,
            autocast=False,
        )
        self.moving_variance = self.add_weight(
            name="moving_variance", shape=shape, initializer=self.moving_variance_initializer,
            trainable=False, autocast=False,
        )
        if self.renorm:
            self._add_renorm_weights(shape)
        self.input_spec = InputSpec(ndim=len(input_shape), axes={axis: shape[0]})
        self.built = True

    def _add_renorm_weights(self, shape) -> None:
        def deviation(shape, dtype=None):
            return self.moving_variance_initializer(shape, dtype=dtype) ** 0.5

        for name, initializer in (
            ("moving_stddev", deviation), ("renorm_mean", self.moving_mean_initializer),
            ("renorm_stddev", deviation),
        ):
            weight = self.add_weight(name=name, shape=shape, initializer=initializer, trainable=False,
                                     autocast=False)
            setattr(self, name, weight)

    def call(self, inputs, training=None, mask=None):
        if not training or not (self._trainable or self._frozen_keeps_training):
            return ops.batch_normalization(
                inputs, self.moving_mean, self.moving_variance, self.axis, self.beta, self.gamma, self.epsilon
            )
        if self.renorm:
            return self._renormalize(inputs, mask)
        moving = (self.moving_mean, self.moving_variance, self.momentum) if self._trainable else None
        return ops.batch_normalization_training(
            inputs, self.gamma, self.beta, mask, axis=self.axis, epsilon=self.epsilon, moving=moving
        )[0]

    def _renormalize(self, inputs, mask):
        outputs, mean, variance = ops.batch_normalization_training(
            inputs, None, None, mask, axis=self.axis, epsilon=self.epsilon
        )
        with autograd.no_recording():
            deviation = ops.sqrt(variance + self.epsilon)
            limits = self.renorm_clipping
            factor, shift = deviation / self.renorm_stddev, (mean - self.renorm_mean) / self.renorm_stddev
            if "rmin" in limits or "rmax" in limits:
                factor = ops.clip(factor, limits.get("rmin", 0.0), limits.get("rmax", math.inf))
            if "dmax" in limits:
                shift = ops.clip(shift, -limits["dmax"], limits["dmax"])
            _move(self.renorm_mean, mean, self.renorm_momentum)
            _move(self.renorm_stddev, deviation, self.renorm_momentum)
            _move(self.moving_mean, mean, self.momentum)
            _move(self.moving_stddev, deviation, self.momentum)
            self.moving_variance.assign(self.moving_stddev * self.moving_stddev - self.epsilon)
        if self.gamma is not None:
            factor, shift = factor * self.gamma, shift * self.gamma
        if self.beta is not None:
            shift = shift + self.beta
        rank = len(inputs.shape)
        shape = tuple(-1 if i == self.axis % rank else 1 for i in range(rank))
        outputs = outputs * ops.reshape(factor, shape) + ops.reshape(shift, shape)
        return outputs if outputs.dtype == inputs.dtype else ops.cast(outputs, inputs.dtype)

    def get_config(self):
        return super().get_config() | written_arguments(
            self, "momentum", "moving_mean_initializer", "moving_variance_initializer", "synchronized",
            "renorm", "renorm_clipping", "renorm_momentum",
        )


def _move(variable, value, momentum: float) -> None:
    """Take ``value`` into a moving average, in place; no tape needs to know."""
    variable.array *= momentum
    variable.array += value.array * (1.0 - momentum)
    variable.version += 1


class LayerNormalization(Normalization):
    """Normalise every sample by the mean and variance of its own features.

    Parameters
    ----------
    axis : int or list of int
        Axes of the features.
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether to add ``beta`` and to multiply by ``gamma``.
    beta_initializer, gamma_initializer : str or Initializer
    beta_regularizer, gamma_regularizer : str or Regularizer, optional
    beta_constraint, gamma_constraint : str or Constraint, optional
    rms_scaling : bool
        Of Keras 3: divide by the standard deviation only, without subtracting the mean, and multiply by
        ``gamma``.

    Notes
    -----
    ``(x - mean) / sqrt(variance + epsilon) * gamma + beta``.

    References
    ----------
    Ba et al., 2016, arXiv:1607.06450.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.LayerNormalization(epsilon=0.0)([[1.0, 3.0]]).numpy()
    array([[-1.,  1.]], dtype=float32)
    """

    capturable = True

    def __init__(
        self, axis=-1, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones", beta_regularizer=None, gamma_regularizer=None, beta_constraint=None,
        gamma_constraint=None, rms_scaling=False, **kwargs,
    ):
        if not isinstance(axis, (int, list, tuple)) or isinstance(axis, bool):
            raise TypeError(f"LayerNormalization: axis must be an integer or a list of them, came {axis!r}")
        super().__init__(
            axis=axis if isinstance(axis, int) else list(axis), epsilon=epsilon, center=bool(center),
            scale=bool(scale), beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
            beta_regularizer=beta_regularizer, gamma_regularizer=gamma_regularizer,
            beta_constraint=beta_constraint, gamma_constraint=gamma_constraint, **kwargs,
        )
        self.rms_scaling = bool(rms_scaling)

    def build(self, input_shape):
        axes = shapes.normalize_axes(self.axis, len(input_shape))
        shape = self._sizes(input_shape, axes)
        self._add_gamma_and_beta(shape, self.scale or self.rms_scaling, self.center and not self.rms_scaling)
        self.input_spec = InputSpec(ndim=len(input_shape), axes=dict(zip(axes, shape)))
        self._axes = axes
        self.built = True

    def call(self, inputs):
        return ops.layer_normalization(
            inputs, self.gamma, self.beta, self._axes, self.epsilon, rms_scaling=self.rms_scaling
        )

    def get_config(self):
        return super().get_config() | {"rms_scaling": self.rms_scaling}


__getattr__ = lazy.second_home(__name__)  # Keras 2 kept more layers under this name
