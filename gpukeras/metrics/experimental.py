"""``tf.keras.metrics.experimental``."""

from .older import PyMetric

__all__ = ["PyMetric"]
