"""Layers that move the pixels of images: with one possible draw in training, and at rest."""

from support.layer_cases.case import Case, images

FIRST = dict(data_format="channels_first")
AT_REST = dict(shape=(5, 6, 3), random=True, training=False)


def drawn(name, *many, **settings):
    """Return cases in training mode, for settings that leave nothing to chance."""
    return images(name, *many, shape=(5, 6, 3), training=True, tolerance=1e-4, **settings)


CASES = [
    *images("Resizing", dict(height=7, width=9),
            dict(height=3, width=4, interpolation="bicubic", antialias=True),
            dict(height=4, width=9, crop_to_aspect_ratio=True, interpolation="nearest"),
            dict(height=8, width=4, pad_to_aspect_ratio=True, fill_value=0.5, **FIRST), shape=(5, 6, 3),
            tolerance=1e-4),
    Case("Resizing", dict(height=3, width=4), (5, 6, 3), integers=200),
    *images("CenterCrop", dict(height=2, width=3), dict(height=7, width=4, **FIRST), shape=(5, 6, 3)),
    *drawn("RandomCrop", dict(height=5, width=6, seed=1)),
    *images("RandomFlip", dict(mode="horizontal", seed=1), **AT_REST),
    *drawn("RandomRotation", dict(factor=(0.1, 0.1)), dict(factor=(-0.3, -0.3), fill_mode="constant",
                                                           fill_value=0.5, **FIRST)),
    *drawn("RandomTranslation", dict(height_factor=(0.17, 0.17), width_factor=(-0.31, -0.31)),
           dict(height_factor=(-0.4, -0.4), width_factor=0, fill_mode="wrap", interpolation="nearest")),
    *drawn("RandomZoom", dict(height_factor=(0.3, 0.3)),
           dict(height_factor=(-0.4, -0.4), width_factor=(0.2, 0.2), fill_mode="nearest", **FIRST)),
    *images("RandomShear", dict(x_factor=(0.1, 0.3), y_factor=(0.2, 0.2), fill_mode="wrap"), **AT_REST),
    *drawn("RandomPerspective", dict(factor=0.0, scale=0.3)),
    *images("RandomPerspective", dict(factor=(0.4, 0.6), fill_value=2.0, seed=1), **AT_REST),
    *images("RandomElasticTransform", dict(
        factor=0.7, scale=(0.2, 0.5), interpolation="nearest", fill_mode="wrap", value_range=(0, 1), seed=1,
    ), **AT_REST),
    *images("RandomHeight", dict(factor=(0.5, 0.5), interpolation="area"), shape=(4, 6, 3),
            keras3=False, training=True),
    *images("RandomWidth", dict(factor=(-0.5, -0.5), **FIRST), shape=(3, 4, 6), keras3=False, training=True),
    *images("MaxNumBoundingBoxes", dict(max_number=3), shape=(5, 6, 3)),
]
