"""RandomFourierFeatures: random features whose products approximate a kernel."""

from __future__ import annotations

import math

import numpy as np

from gpukeras import initializers, ops, random
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer

KERNELS = ("gaussian", "laplacian")


class RandomFourierFeatures(Layer):
    """Map inputs to random cosines, whose products approximate a shift-invariant kernel.

    A linear model behind it is a kernel method, approximately.

    Parameters
    ----------
    output_dim : int
        Number of features.
    kernel_initializer : {"gaussian", "laplacian"} or Initializer
        What the directions are drawn from: for ``exp(-|x - y|^2 / (2 scale^2))`` normal numbers, for
        ``exp(-|x - y|_1 / scale)`` those of a Cauchy distribution.
    scale : float, optional
        Of the kernel; ``sqrt(inputs / 2)`` for the Gaussian one, else 1, unless given.
    trainable : bool
        Whether the scale is trained.

    Notes
    -----
    ``cos(x @ (directions / scale) + offsets)`` with offsets drawn from 0 to 2 pi; there is no factor
    ``sqrt(2 / output_dim)``.

    References
    ----------
    Rahimi and Recht, 2007, "Random features for large-scale kernel machines", NIPS 20.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.experimental.RandomFourierFeatures(8, scale=2.0)
    >>> layer(keras.ops.ones((3, 4))).shape
    (3, 8)
    """

    capturable = True

    def __init__(self, output_dim, kernel_initializer="gaussian", scale=None, trainable=False, name=None,
                 **kwargs):
        super().__init__(trainable=trainable, name=name, **kwargs)
        if isinstance(output_dim, bool) or not isinstance(output_dim, int) or output_dim < 1:
            raise ValueError(
                f"layer {self.name!r}: output_dim must be a positive integer, came {output_dim!r}"
            )
        if isinstance(kernel_initializer, str):
            kernel_initializer = kernel_initializer.lower()
            if kernel_initializer not in KERNELS:
                raise ValueError(
                    f"layer {self.name!r}: kernel_initializer must be one of {', '.join(map(repr, KERNELS))} "
                    f"or an initializer, came {kernel_initializer!r}"
                )
        else:
            kernel_initializer = initializers.get(kernel_initializer)
        if scale is not None and not scale > 0:
            raise ValueError(f"layer {self.name!r}: scale must be a positive number, came {scale!r}")
        self.output_dim, self.kernel_initializer, self.scale = output_dim, kernel_initializer, scale
        self.input_spec = InputSpec(ndim=2)

    def build(self, input_shape):
        (_, width) = input_shape
        if width is None:
            raise ValueError(
                f"layer {self.name!r}: the last axis of the inputs must have a known size, came {input_shape}"
            )
        if self.scale is None:
            self.scale = math.sqrt(width / 2) if self.kernel_initializer == "gaussian" else 1.0
        drawn = {"gaussian": initializers.RandomNormal(stddev=1.0), "laplacian": _cauchy}
        named = isinstance(self.kernel_initializer, str)
        self.unscaled_kernel = self.add_weight(
            name="unscaled_kernel", shape=(width, self.output_dim), trainable=False,
            initializer=drawn[self.kernel_initializer] if named else self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias", shape=(self.output_dim,), trainable=False,
            initializer=initializers.RandomUniform(0.0, 2 * math.pi),
        )
        self.kernel_scale = self.add_weight(
            name="kernel_scale", shape=(1,), initializer=initializers.Constant(self.scale),
            trainable=self.trainable, constraint="non_neg",
        )
        self.input_spec = InputSpec(ndim=2, axes={1: width})
        self.built = True

    def call(self, inputs):
        kernel = ops.divide(self.unscaled_kernel, self.kernel_scale)
        return ops.cos(ops.dense(inputs, kernel, self.bias))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)

    def get_config(self):
        initializer = self.kernel_initializer
        if not isinstance(initializer, str):
            initializer = initializers.serialize(initializer)
        return super().get_config() | {
            "output_dim": self.output_dim, "kernel_initializer": initializer, "scale": self.scale,
        }

    @classmethod
    def from_config(cls, config):
        """Make a layer of its configuration."""
        config = dict(config)
        if isinstance(config.get("kernel_initializer"), dict):
            config["kernel_initializer"] = initializers.deserialize(config["kernel_initializer"])
        return super().from_config(config)


def _cauchy(shape, dtype=None):
    """Return draws from a standard Cauchy distribution."""
    return random.host_generator().standard_cauchy(shape).astype(np.dtype(dtype or "float32"))
