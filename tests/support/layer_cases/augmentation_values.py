"""Layers that change values of pixels or mix images; equal ends of a range leave nothing to chance."""

from support.layer_cases.case import Case

_SHAPE = (6, 7, 3)
_BYTES = {"interval": (0.0, 255.0), "training": True}
_UNIT = {"interval": (0.0, 1.0), "training": True}
_FIRST = {"data_format": "channels_first"}
_ANY = {"interval": (0.0, 255.0), "random": True, "training": False}

CASES = [
    Case("RandomBrightness", {"factor": (-0.3, -0.3)}, _SHAPE, **_BYTES),
    Case("RandomBrightness", {"factor": (0.2, 0.2), "value_range": (0, 1)}, _SHAPE, **_UNIT),
    Case("RandomBrightness", {"factor": 0.2, "seed": 3}, _SHAPE, **_ANY),
    Case("RandomContrast", {"factor": (-0.5, 0.5)}, _SHAPE, **_BYTES),
    Case("RandomContrast", {"factor": (-0.2, 0.2), "value_range": (0, 1), **_FIRST}, (3, 6, 7), **_UNIT),
    Case("RandomColorDegeneration", {"factor": (0.4, 0.4)}, _SHAPE, **_BYTES),
    Case("RandomColorDegeneration", {"factor": (-0.4, -0.4), "value_range": (0, 1), **_FIRST}, (3, 6, 7),
         **_UNIT),
    Case("RandomGrayscale", {"factor": 1.0}, _SHAPE, **_BYTES),
    Case("RandomGrayscale", {"factor": 1, **_FIRST}, (3, 6, 7), **_UNIT),
    Case("RandomInvert", {"factor": (1.0, 1.0)}, _SHAPE, **_BYTES),
    Case("RandomInvert", {"factor": (1.0, 1.0), "value_range": (0, 1)}, _SHAPE, **_UNIT),
    Case("RandomHue", {"factor": 0.5, "value_range": (0, 1), "seed": 5}, _SHAPE, **_ANY),
    Case("RandomHue", {"factor": (0.0, 0.0), **_FIRST}, (3, 6, 7), **_BYTES),
    Case("RandomSaturation", {"factor": (0.3, 0.3)}, _SHAPE, **_BYTES),
    Case("RandomSaturation", {"factor": (0.7, 0.7), "value_range": (0, 1), **_FIRST}, (3, 6, 7), **_UNIT),
    Case("RandomColorJitter", {"brightness_factor": (0.1, 0.1), "contrast_factor": (-0.2, 0.2),
                               "saturation_factor": (0.4, 0.4)}, _SHAPE, **_BYTES),
    Case("RandomColorJitter", {"hue_factor": 0.2, "value_range": [0, 1], "seed": 1}, _SHAPE, **_ANY),
    # ---- neighbours
    Case("RandomSharpness", {"factor": (0.2, 0.2)}, _SHAPE, **_BYTES),
    Case("RandomSharpness", {"factor": (0.8, 0.8), "value_range": (0, 1), **_FIRST}, (3, 6, 7), **_UNIT),
    Case("RandomGaussianBlur", {"factor": (1.0, 1.0), "sigma": (0.7, 0.7)}, _SHAPE, **_BYTES),
    Case("RandomGaussianBlur", {"factor": (1.0, 1.0), "kernel_size": [3, 5], "sigma": (1.0, 1.0),
                                "value_range": (0, 1), **_FIRST}, (3, 6, 7), **_UNIT),
    # ---- tones
    Case("RandomPosterization", {"factor": (3, 3)}, _SHAPE, **_BYTES),
    Case("RandomPosterization", {"factor": 1, "value_range": (0, 1)}, _SHAPE, **_UNIT),
    Case("Solarization", {}, _SHAPE, **_BYTES),
    Case("Solarization", {"addition_factor": 0.2, "threshold_factor": (0.2, 0.4), "value_range": (-1, 1)},
         _SHAPE, **_ANY),
    Case("AutoContrast", {}, _SHAPE, **_BYTES),
    Case("AutoContrast", {"value_range": (-1, 1)}, _SHAPE, interval=(-0.5, 0.2)),
    Case("Equalization", {}, _SHAPE, interval=(0.0, 255.0), gradients=False, training=False),
    Case("Equalization", {"bins": 16, "value_range": (0, 1), **_FIRST}, (3, 6, 7), gradients=False, **_UNIT),
    Case("ContrastLimitedAdaptiveHistogramEqualization", {"tile_grid_size": (2, 2)}, (8, 8, 2),
         gradients=False, **_BYTES),
    Case("ContrastLimitedAdaptiveHistogramEqualization",
         {"tile_grid_size": (3, 4), "clip_limit": 60.0, "value_range": (0, 1), **_FIRST}, (2, 10, 11),
         gradients=False, **_UNIT),
    # ---- mixing
    Case("MixUp", {"alpha": 0.5, "seed": 2}, _SHAPE, **_ANY),
    Case("CutMix", {"factor": (0.2, 0.6)}, _SHAPE, **_ANY),
    Case("RandomErasing", {"factor": (1.0, 1.0), "scale": (1.0, 1.0), "fill_value": 3.0}, _SHAPE, **_BYTES),
    Case("RandomErasing", {"factor": 0.5, "value_range": (0, 1), **_FIRST}, (3, 6, 7), **_ANY),
]
