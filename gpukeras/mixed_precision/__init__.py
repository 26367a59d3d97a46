"""Training in half precision: the policies of layers, and loss scaling, under the names of ``tf.keras``.

>>> import gpukeras as keras
>>> keras.mixed_precision.set_global_policy("mixed_float16")
>>> layer = keras.layers.Dense(1)
>>> layer.compute_dtype, layer.variable_dtype
('float16', 'float32')
>>> keras.mixed_precision.set_global_policy("float32")
"""

from __future__ import annotations

from gpukeras import lazy

_HOMES = {
    "DTypePolicy": "gpukeras.dtype_policies", "dtype_policy": "gpukeras.dtype_policies",
    "set_dtype_policy": "gpukeras.dtype_policies", "LossScaleOptimizer": "gpukeras.optimizers",
}
_SECOND_NAMES = {
    "Policy": "DTypePolicy", "global_policy": "dtype_policy", "set_global_policy": "set_dtype_policy",
}
__all__ = [*_HOMES, *_SECOND_NAMES]  # noqa: PLE0604  (strings)
__getattr__, __dir__ = lazy.names(__name__, _HOMES, _SECOND_NAMES)
