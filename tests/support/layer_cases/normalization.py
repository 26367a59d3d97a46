"""Normalisation."""

from .case import MASK, Case

CASES = [
    *[Case("BatchNormalization", kwargs, shape, training=mode)
      for mode in (True, False) for kwargs, shape in (
        ({}, (4,)), ({"axis": 1, "epsilon": 0.01}, (4, 3)), ({"center": False, "scale": False}, (2, 3, 4)),
    )],
    Case("BatchNormalization", {"renorm": True, "renorm_clipping": {"rmax": 1.2, "dmax": 0.3}}, (4,),
         training=True),
    Case("BatchNormalization", {}, (5, 4), training=True, call={"mask": MASK}),
    Case("SyncBatchNormalization", {"momentum": 0.5}, (4,), training=True, keras3=False),
    Case("LayerNormalization", {}, (3, 4)),
    Case("LayerNormalization", {"axis": [1, 2], "epsilon": 0.01}, (3, 4)),
    Case("LayerNormalization", {"center": False, "scale": False}, (4,)),
    Case("GroupNormalization", {"groups": 2}, (3, 5, 4)),
    Case("GroupNormalization", {"groups": 3, "axis": 1, "epsilon": 0.01, "center": False}, (6, 4)),
    Case("GroupNormalization", {"groups": -1, "axis": 2, "scale": False}, (3, 4, 2)),
    Case("GroupNormalization", {"groups": 1}, (4,)),
    Case("RMSNormalization", {}, (3, 4)),
    Case("RMSNormalization", {"axis": [1, 2], "epsilon": 0.1}, (3, 4)),
    Case("UnitNormalization", {}, (3, 4)),
    Case("UnitNormalization", {"axis": [1, 2]}, (3, 4)),
    # Keras on JAX sends gradients through the division, as one engine of several.
    Case("SpectralNormalization", lambda L: {"layer": L.Dense(3)}, (4,)),
    Case("SpectralNormalization", lambda L: {"layer": L.Dense(3), "power_iterations": 2}, (4,), training=True,
         keras3=False),
    Case("SpectralNormalization", lambda L: {"layer": L.Conv2D(2, 2, use_bias=False)}, (4, 4, 2),
         training=True, keras3=False),
    Case("SpectralNormalization", lambda L: {"layer": L.Embedding(5, 3)}, (4,), integers=5, training=True,
         keras3=False),
]
