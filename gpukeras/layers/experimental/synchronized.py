"""SyncBatchNormalization of ``tf.keras`` 2."""

from __future__ import annotations

from gpukeras.layers.normalization import BatchNormalization


class SyncBatchNormalization(BatchNormalization):
    """Batch normalisation whose statistics are shared between devices; see ``BatchNormalization``.

    Parameters
    ----------
    axis, momentum, epsilon, center, scale, beta_initializer, gamma_initializer, moving_mean_initializer, \
moving_variance_initializer, beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint
        As those of ``BatchNormalization``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.experimental.SyncBatchNormalization(epsilon=0.0)
    >>> layer([[1.0], [3.0]], training=True).numpy()
    array([[-1.],
           [ 1.]], dtype=float32)
    """

    def __init__(
        self, axis=-1, momentum=0.99, epsilon=1e-3, center=True, scale=True, beta_initializer="zeros",
        gamma_initializer="ones", moving_mean_initializer="zeros", moving_variance_initializer="ones",
        beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, gamma_constraint=None, **kwargs,
    ):
        super().__init__(
            axis=axis, momentum=momentum, epsilon=epsilon, center=center, scale=scale,
            beta_initializer=beta_initializer, gamma_initializer=gamma_initializer,
            moving_mean_initializer=moving_mean_initializer,
            moving_variance_initializer=moving_variance_initializer, beta_regularizer=beta_regularizer,
            gamma_regularizer=gamma_regularizer, beta_constraint=beta_constraint,
            gamma_constraint=gamma_constraint, synchronized=True, **kwargs,
        )

    def get_config(self):
        config = super().get_config()
        for name in ("synchronized", "renorm", "renorm_clipping", "renorm_momentum"):
            del config[name]
        return config
