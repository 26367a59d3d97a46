"""Activations that are layers: those with settings or weights."""

from __future__ import annotations

import warnings

from gpukeras import activations, ops
from gpukeras.layers.arguments import old_names, take_arguments, written_arguments
from gpukeras.layers.core import Elementwise
from gpukeras.layers.input_spec import InputSpec


class ReLU(Elementwise):
    """Rectified linear unit: ``x`` from ``threshold`` up to ``max_value``, a slope below the threshold.

    Parameters
    ----------
    max_value : float, optional
    negative_slope : float
    threshold : float
    """

    capturable = True

    def __init__(self, max_value=None, negative_slope=0.0, threshold=0.0, **kwargs):
        super().__init__(**kwargs)
        arguments = {"negative_slope": negative_slope, "threshold": threshold, "max_value": max_value}
        for name, value in arguments.items():
            if (value is None and name != "max_value") or (value is not None and value < 0):
                raise ValueError(f"layer {self.name!r}: {name} must be 0 or more, came {value!r}")
        self.max_value, self.negative_slope, self.threshold = max_value, negative_slope, threshold

    def call(self, inputs):
        return activations.relu(inputs, self.negative_slope, self.max_value, self.threshold)

    def get_config(self):
        return super().get_config() | written_arguments(self, "max_value", "negative_slope", "threshold")


class LeakyReLU(Elementwise):
    """``x`` where positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float
        ``alpha`` is Keras 2's name of it.
    """

    capturable = True

    def __init__(self, negative_slope=0.3, **kwargs):
        negative_slope = kwargs.pop("alpha", negative_slope)
        super().__init__(**kwargs)
        if negative_slope is None or negative_slope < 0:
            raise ValueError(
                f"layer {self.name!r}: negative_slope must be 0 or more, came {negative_slope!r}"
            )
        self.negative_slope = float(negative_slope)

    def call(self, inputs):
        return ops.leaky_relu(inputs, self.negative_slope)

    def get_config(self):
        return super().get_config() | {"negative_slope": self.negative_slope}


class ThresholdedReLU(Elementwise):
    """``x`` where above ``theta``, 0 elsewhere (Keras 2).

    Parameters
    ----------
    theta : float
    """

    capturable = True

    def __init__(self, theta=1.0, **kwargs):
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(f"layer {self.name!r}: theta must be 0 or more, came {theta!r}")
        self.theta = float(theta)

    def call(self, inputs):
        return inputs * ops.cast(ops.greater(inputs, self.theta), inputs.dtype)

    def get_config(self):
        return super().get_config() | {"theta": self.theta}


class ELU(Elementwise):
    """Exponential linear unit: ``x`` where positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float
    """

    capturable = True

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        self.alpha = float(alpha)

    def call(self, inputs):
        return ops.elu(inputs, self.alpha)

    def get_config(self):
        return super().get_config() | {"alpha": self.alpha}


class PReLU(Elementwise):
    """``x`` where positive, ``alpha * x`` elsewhere, with trainable ``alpha``.

    Parameters
    ----------
    alpha_initializer : str or Initializer
    alpha_regularizer : str or Regularizer, optional
    alpha_constraint : str or Constraint, optional
    shared_axes : int or list of int, optional
        Axes along which ``alpha`` is the same; ``[1, 2]`` for images.
    """

    capturable = True

    @old_names(init="alpha_initializer")
    def __init__(self, alpha_initializer="Zeros", alpha_regularizer=None, alpha_constraint=None,
                 shared_axes=None, **kwargs):
        super().__init__(**kwargs)
        self.built = False
        take_arguments(self, alpha_initializer=alpha_initializer, alpha_regularizer=alpha_regularizer,
                       alpha_constraint=alpha_constraint)
        axes = shared_axes if shared_axes is None or isinstance(shared_axes, (list, tuple)) else [shared_axes]
        self.shared_axes = axes if axes is None else list(axes)

    def build(self, input_shape):
        sizes = list(input_shape[1:])
        for axis in self.shared_axes or ():
            sizes[axis - 1] = 1
        self.alpha = self.add_weight(
            name="alpha", shape=tuple(sizes), initializer=self.alpha_initializer,
            regularizer=self.alpha_regularizer, constraint=self.alpha_constraint,
        )
        own = {i: n for i, n in enumerate(input_shape) if i > 0 and i not in (self.shared_axes or ())}
        self.input_spec = InputSpec(ndim=len(input_shape), axes=own)
        self.built = True

    def call(self, inputs):
        return ops.relu(inputs) - self.alpha * ops.relu(-inputs)

    def get_config(self):
        return super().get_config() | written_arguments(
            self, "alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes"
        )


class Softmax(Elementwise):
    """Turn numbers into probabilities along an axis.

    Parameters
    ----------
    axis : int or list of int
        Over several axes the probabilities sum to 1 over all of them.

    Notes
    -----
    ``exp(x) / sum(exp(x))``. Called with a ``mask`` of the shape of the inputs, masked places get 0.
    """

    capturable = True

    def __init__(self, axis=-1, **kwargs):
        if kwargs.pop("robust_masking", None):
            warnings.warn("Softmax: robust_masking is always on", stacklevel=2)
        super().__init__(**kwargs)
        self.axis = list(axis) if isinstance(axis, (list, tuple)) else axis

    def call(self, inputs, mask=None):
        axis = tuple(self.axis) if isinstance(self.axis, list) and len(self.axis) > 1 else None
        if mask is not None:
            kind = str(inputs.dtype)
            lowest = -3e4 if kind == "float16" else -1e9
            # A place that is masked is this far below any other: its probability is 0.
            inputs = inputs + (1.0 - ops.cast(mask, kind)) * lowest
        if axis is not None:
            outputs = ops.exp(inputs - ops.logsumexp(inputs, axis=axis, keepdims=True))
        else:
            outputs = activations.softmax(
                inputs, axis=self.axis[0] if isinstance(self.axis, list) else self.axis
            )
        # Where all places are masked, none is below the others.
        return outputs if mask is None else outputs * ops.cast(mask, outputs.dtype)

    def get_config(self):
        return super().get_config() | {"axis": self.axis}
