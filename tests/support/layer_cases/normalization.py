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
    Case("LayerNormalization", {}, (3, 4)),
    Case("LayerNormalization", {"axis": [1, 2], "epsilon": 0.01}, (3, 4)),
    Case("LayerNormalization", {"center": False, "scale": False}, (4,)),
]
