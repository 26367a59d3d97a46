"""Layers that choose among many transformations of images."""

from support.layer_cases.case import Case

_SHAPE = (6, 7, 3)
_FIRST = {"data_format": "channels_first"}
_ANY = {"interval": (0.0, 255.0), "random": True, "training": False}

CASES = [
    Case("RandAugment", {"num_ops": 3, "factor": (0.1, 0.6), "value_range": (0, 1)}, _SHAPE, **_ANY),
    Case("RandAugment", {"interpolation": "nearest", **_FIRST}, (3, 6, 7), **_ANY),
    Case("AugMix", {"num_chains": 2, "chain_depth": 2, "factor": 0.5, "alpha": 0.5, "seed": 3}, _SHAPE,
         **_ANY),
    Case("AugMix", {"all_ops": False, "interpolation": "nearest", **_FIRST}, (3, 6, 7), **_ANY),
]
