"""Convolution of every kind."""

from .case import Case, images

FIRST, SAME = {"data_format": "channels_first"}, {"padding": "same"}
BOTH = {"filters": 4, "kernel_size": 3}

CASES = [
    *[Case("Conv1D", {**BOTH, **kwargs}, (7, 2)) for kwargs in (
        {}, {**SAME, "strides": 2, "activation": "relu"},
        {"padding": "causal", "dilation_rate": 2}, {"groups": 2, "use_bias": False},
    )],
    Case("Conv1D", {**BOTH, **FIRST, "padding": "causal", "strides": 2}, (2, 7)),
    *images("Conv2D", BOTH, {"filters": 4, "kernel_size": (2, 3), "strides": 2},
            {**BOTH, **SAME, "activation": "tanh", "strides": (1, 2)},
            {"filters": 4, "kernel_size": 2, "dilation_rate": 2},
            {**BOTH, "groups": 2}, {**BOTH, **FIRST, **SAME, "groups": 2, "activation": "elu"}),
    *[Case("Conv3D", kwargs, (4, 5, 3, 2)) for kwargs in (
        {"filters": 2, "kernel_size": (2, 3, 1), "activation": "relu"},
        {"filters": 4, "kernel_size": 3, **SAME, "strides": (2, 1, 2), "groups": 2},
    )],
    Case("Conv3D", {"filters": 2, "kernel_size": 2, "dilation_rate": (1, 2, 1), **FIRST}, (2, 4, 5, 3)),
    # ---- transposed
    *[Case("Conv1DTranspose", {"filters": 3, "kernel_size": 3, **kwargs}, (5, 2)) for kwargs in (
        {"activation": "relu"}, {"strides": 3, **SAME, "output_padding": 1},
        {"dilation_rate": 2, "use_bias": False},
    )],
    *images("Conv2DTranspose", {**BOTH, "strides": 2, **SAME, "activation": "tanh"},
            {"filters": 3, "kernel_size": (2, 3), "strides": (3, 1)},
            {"filters": 3, "kernel_size": 4, "strides": 2, "output_padding": (1, 0), **FIRST},
            shape=(3, 4, 2)),
    Case("Conv3DTranspose", {"filters": 2, "kernel_size": 2, "strides": 2, "activation": "sigmoid"},
         (2, 3, 2, 2)),
    Case("Conv3DTranspose", {"filters": 2, "kernel_size": 3, "strides": (1, 2, 3), **SAME,
                             "output_padding": (0, 1, 2)}, (2, 3, 2, 2)),
    # ---- depthwise and separable
    Case("DepthwiseConv1D", {"kernel_size": 3, **SAME, "strides": 2, "activation": "relu"}, (7, 4)),
    Case("DepthwiseConv1D", {"kernel_size": 2, "depth_multiplier": 2, "dilation_rate": 2, **FIRST}, (3, 7)),
    *images("DepthwiseConv2D", {"kernel_size": 3, "activation": "tanh"},
            {"kernel_size": (3, 2), "depth_multiplier": 2, "strides": 2, **SAME, "use_bias": False},
            {"kernel_size": 2, "dilation_rate": (2, 1), **FIRST}, shape=(5, 6, 4)),
    Case("SeparableConv1D", {**BOTH, "depth_multiplier": 2, "activation": "relu"}, (7, 3)),
    Case("SeparableConv1D", {**BOTH, **SAME, "strides": 2, **FIRST}, (3, 7)),
    *images("SeparableConv2D", {**BOTH, **SAME, "activation": "relu"},
            {"filters": 5, "kernel_size": (2, 3), "strides": 2, "depth_multiplier": 2, "activation": "elu"},
            {"filters": 3, "kernel_size": 2, "dilation_rate": 2, "use_bias": False, **FIRST},
            shape=(5, 6, 4)),
    # ---- without shared weights: Keras 2 alone has these
    *[Case("LocallyConnected1D", {**BOTH, **kwargs}, shape, keras3=False) for kwargs, shape in (
        ({"activation": "relu"}, (7, 2)), ({"implementation": 2, **SAME, "strides": 2}, (7, 2)),
        ({"implementation": 3, **FIRST}, (2, 7)),
    )],
    *images("LocallyConnected2D", {"filters": 2, "kernel_size": (2, 3), **FIRST},
            {"filters": 2, "kernel_size": 3, "implementation": 3, **SAME, "use_bias": False},
            shape=(3, 4, 5), keras3=False),
]
