"""Pooling, cropping, padding, enlarging, and dropout of whole maps."""

from .case import MASK, Case, images

FIRST = {"data_format": "channels_first"}
SAME = {"padding": "same"}

CASES = [
    *[Case(f"{kind}Pooling1D", kwargs, (7, 3)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": 2}, {"pool_size": 3, "strides": 1, **SAME}, {"pool_size": 3, "strides": 2, **FIRST},
    )],
    *[Case(f"{kind}Pooling2D", kwargs, (6, 7, 3)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": 2}, {"pool_size": (3, 2), "strides": (2, 1), **SAME},
        {"pool_size": 3, "strides": 2, **FIRST},
    )],
    *[Case(f"{kind}Pooling3D", kwargs, (4, 5, 3, 2)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": (2, 2, 1)}, {"pool_size": 2, "strides": (2, 1, 2), **SAME, **FIRST},
    )],
    *[Case(f"Global{kind}Pooling{rank}D", kwargs, shape) for kind in ("Max", "Average")
      for rank, shape in ((1, (5, 3)), (2, (4, 5, 3)), (3, (2, 3, 4, 2)))
      for kwargs in ({}, {"keepdims": True, **FIRST})],
    Case("GlobalAveragePooling1D", {}, (5, 3), call={"mask": MASK}),
    # ---- to a given size
    *[Case(f"Adaptive{kind}Pooling{rank}D", {"output_size": size, **more}, shape)
      for kind, rank, size, more, shape in (
        ("Max", 1, 3, {}, (7, 2)), ("Max", 2, 2, FIRST, (3, 5, 4)), ("Max", 3, (2, 3, 1), {}, (4, 3, 5, 2)),
        ("Average", 1, 4, {}, (7, 2)), ("Average", 2, (3, 2), {}, (6, 5, 2)),
        ("Average", 3, (2, 1, 3), FIRST, (2, 4, 3, 5)),
    )],
    # ---- borders
    Case("Cropping1D", {"cropping": (1, 2)}, (6, 2)),
    *images("Cropping2D", {"cropping": ((0, 1), (2, 0))}, {"cropping": 1, **FIRST}, shape=(4, 5, 4)),
    *[Case("Cropping3D", kwargs, (4, 3, 5, 4)) for kwargs in ({}, {"cropping": (1, 0, 1), **FIRST})],
    Case("ZeroPadding1D", {"padding": (1, 2)}, (4, 2)),
    Case("ZeroPadding1D", {**FIRST}, (4, 2)),
    *images("ZeroPadding2D", {}, {"padding": (1, 2)}, {"padding": ((0, 1), (2, 0)), **FIRST}),
    *[Case("ZeroPadding3D", kwargs, (2, 3, 2, 2)) for kwargs in (
        {"padding": ((0, 1), (2, 0), (1, 1))}, {"padding": 2, **FIRST})],
    # ---- enlarging
    Case("UpSampling1D", {"size": 3}, (4, 2)),
    *images("UpSampling2D", {}, {"size": (2, 3), **FIRST}, {"interpolation": "bilinear"},
            {"size": (3, 2), "interpolation": "bicubic", **FIRST}, {"interpolation": "lanczos3"},
            {"interpolation": "lanczos5"}, shape=(3, 4, 2)),
    *images("UpSampling2D", {"interpolation": "mitchellcubic"}, {"interpolation": "gaussian"},
            shape=(3, 4, 2), keras3=False),
    Case("UpSampling3D", {"size": (1, 2, 3)}, (2, 3, 2, 2)),
    # ---- dropout of whole maps
    *[Case(f"SpatialDropout{rank}D", {"rate": 0.5, **more}, shape, random=True) for rank, shape, more in (
        (1, (4, 3), {}), (2, (3, 4, 2), FIRST), (3, (2, 3, 2, 3), {}))],
]
