"""SpectralNormalization: a layer around another that keeps the largest singular value of its kernel at 1."""

from __future__ import annotations

from typing import Any

from gpukeras import autograd, initializers, ops
from gpukeras.layers.wrappers import Wrapper
from gpukeras.ops.normalization import unit_normalization
from gpukeras.tensor import Tensor


class SpectralNormalization(Wrapper):
    """Divide the kernel of a layer by its largest singular value, before each call in training.

    Parameters
    ----------
    layer : Layer
        It has a ``kernel`` (Dense, convolutions) or ``embeddings``.
    power_iterations : int
        Steps of the power iteration that follows the singular value from call to call.

    Notes
    -----
    Of the kernel as a matrix W (its last axis are the columns) and a vector u that is kept:
    ``v = W u / |W u|``, ``u = v W / |v W|``, ``W = W / (v W u)``. The kernel itself is replaced, and no
    gradient runs through the division.

    References
    ----------
    Miyato et al., 2018, arXiv:1802.05957.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.SpectralNormalization(keras.layers.Dense(10), power_iterations=3)
    >>> layer(keras.ops.ones((1, 10, 10, 1))).shape
    (1, 10, 10, 10)
    """

    def __init__(self, layer, power_iterations=1, **kwargs):
        super().__init__(layer, **kwargs)
        whole = isinstance(power_iterations, int) and not isinstance(power_iterations, bool)
        if not whole or power_iterations < 1:
            raise ValueError(
                f"layer {self.name!r}: power_iterations must be a positive integer, came {power_iterations!r}"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape=None):
        super().build(input_shape)
        inside = vars(self.layer)
        self.kernel: Any = inside.get("kernel", inside.get("embeddings"))
        if self.kernel is None:
            raise ValueError(
                f"layer {self.name!r}: SpectralNormalization needs a layer with a kernel or embeddings, came "
                f"{self.layer.name!r} ({type(self.layer).__name__})"
            )
        self.vector_u = self.add_weight(
            name="vector_u", shape=(1, self.kernel.shape[-1]), trainable=False, autocast=False,
            initializer=initializers.TruncatedNormal(stddev=0.02), dtype=self.kernel.dtype.name,
        )
        self.built = True

    def call(self, inputs, training=False):
        if training:
            self.normalize_weights()
        return self.layer(inputs)

    def normalized_weights(self) -> tuple:
        """Return the vector u after the power iteration, and the kernel divided by its singular value."""
        kernel, old = Tensor(self.kernel.array), Tensor(self.vector_u.array)
        with autograd.no_recording():
            w, u = ops.reshape(kernel, (-1, kernel.shape[-1])), old
            for _ in range(self.power_iterations):
                v = unit_normalization(ops.matmul(u, ops.transpose(w)))
                u = unit_normalization(ops.matmul(v, w))
            value = ops.matmul(ops.matmul(v, w), ops.transpose(u))
            zero = ops.equal(value, 0.0)  # a kernel of zeros has no direction: nothing changes
            divisor = ops.reshape(ops.where(zero, ops.ones_like(value), value), (1,) * len(kernel.shape))
            return ops.where(zero, old, u), kernel / divisor

    def normalize_weights(self) -> None:
        """Replace the kernel, and the vector u, by ``normalized_weights``."""
        vector_u, kernel = self.normalized_weights()
        self.vector_u.assign(vector_u)
        self.kernel.assign(kernel)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        return super().get_config() | {"power_iterations": self.power_iterations}
