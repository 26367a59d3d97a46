"""Convolution, pooling, padding, enlarging."""

from .case import MASK, Case, images

CASES = [
    *[Case("Conv1D", {"filters": 4, "kernel_size": 3, **kwargs}, (7, 2)) for kwargs in (
        {}, {"padding": "same", "strides": 2, "activation": "relu"},
        {"padding": "causal", "dilation_rate": 2}, {"groups": 2, "use_bias": False},
    )],
    *images("Conv2D", {"filters": 4, "kernel_size": 3}, {"filters": 4, "kernel_size": (2, 3), "strides": 2},
            {"filters": 4, "kernel_size": 3, "padding": "same", "activation": "tanh", "strides": (1, 2)},
            {"filters": 4, "kernel_size": 2, "dilation_rate": 2},
            {"filters": 4, "kernel_size": 3, "groups": 2}),
    *[Case(f"{kind}Pooling1D", kwargs, (7, 3)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": 2}, {"pool_size": 3, "strides": 1, "padding": "same"}, {"pool_size": 3, "strides": 2},
    )],
    *[Case(f"{kind}Pooling2D", kwargs, (6, 7, 3)) for kind in ("Max", "Average") for kwargs in (
        {"pool_size": 2}, {"pool_size": (3, 2), "strides": (2, 1), "padding": "same"},
        {"pool_size": 3, "strides": 2},
    )],
    *[Case(f"Global{kind}Pooling{rank}D", kwargs, shape) for kind in ("Max", "Average")
      for rank, shape in ((1, (5, 3)), (2, (4, 5, 3))) for kwargs in ({}, {"keepdims": True})],
    Case("GlobalAveragePooling1D", {}, (5, 3), call={"mask": MASK}),
    *images("ZeroPadding2D", {}, {"padding": (1, 2)}, {"padding": ((0, 1), (2, 0))}),
    *images("UpSampling2D", {}, {"size": (2, 3)}, {"interpolation": "bilinear"}, shape=(3, 4, 2)),
]
