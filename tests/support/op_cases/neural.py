"""Activations, normalisations, convolutions, pooling, cross-entropies, attention."""

import numpy as np

from .case import Case, each
from .data import CORNERS, IMAGE, MASK, ONE_HOT, SOFT, B, N, P, V, X, Y, f32

_NO = {"gradients": False}
_FIRST = {"data_format": "channels_first"}
_SQUARE = f32(2, 4, 4, 4)  # a kernel fits both layouts
_ROW = f32(2, 8, 3)
_TARGETS = MASK.astype("float32")
_HEADS = f32(2, 5, 3, 4), f32(2, 6, 3, 4), f32(2, 6, 3, 4)
_QKV = dict(zip(("query", "key", "value"), _HEADS))
_BIAS = f32(2, 3, 5, 6)
_LABELS = np.array([[1, 2, 2], [3, 1, 0]], "int32")
_FRAMES = f32(2, 6, 5)
_SCORES = f32(4, 4, low=0.1)

CASES = [
    *each("nn.relu nn.relu6 nn.sigmoid nn.softplus nn.softsign nn.silu nn.log_sigmoid nn.selu "
          "nn.hard_sigmoid nn.hard_silu nn.hard_tanh nn.tanh_shrink nn.sparse_plus", x=CORNERS),
    Case("nn.sparse_sigmoid", {"x": CORNERS + 0.25}),
    Case("nn.leaky_relu", {"x": CORNERS}, {}, {"negative_slope": 0.4}),
    *each("nn.elu nn.celu", {}, {"alpha": 0.4}, x=CORNERS),
    Case("nn.gelu", {"x": CORNERS}, {}, {"approximate": False}),
    Case("nn.glu", {"x": B}, {}, {"axis": 0}),
    *each("nn.hard_shrink nn.soft_shrink", {}, {"threshold": 1.5}, x=CORNERS),
    Case("nn.squareplus", {"x": CORNERS}, {}, {"b": 1.5}),
    Case("nn.threshold", {"x": CORNERS, "threshold": 0.5, "default_value": -7.0}),
    *each("nn.softmax nn.log_softmax", {}, {"axis": 1}, {"axis": (1, 2)}, {"axis": None}, x=B),
    *each("nn.softmax nn.log_softmax", x=N, options={"label": "NaN", **_NO}),
    # ---- cross-entropies
    Case("nn.binary_crossentropy", {"target": _TARGETS, "output": P}, {}, {"from_logits": True}),
    Case("nn.categorical_crossentropy", {"target": SOFT, "output": P}, {}, {"from_logits": True},
         {"axis": 0}, {"axis": 0, "from_logits": True}),
    Case("nn.categorical_crossentropy", {"target": ONE_HOT, "output": SOFT}, label="certain",
         gradients=False),
    Case("nn.sparse_categorical_crossentropy", {"target": np.array([1, 3, 0]), "output": P}, {},
         {"from_logits": True}, {"target": np.array([[1], [3], [0]])}, kinds=False),
    Case("nn.sparse_categorical_crossentropy", {"target": np.array([1, 3, 0, 2]), "output": _SCORES}, {},
         {"axis": 0}, label="axis", kinds=False),
    Case("nn.ctc_loss", {"target": _LABELS, "output": _FRAMES, "target_length": np.array([3, 2]),
                         "output_length": np.array([6, 4])}, {}, {"mask_index": 4}, tolerance=1e-4,
         kinds=False),
    Case("nn.ctc_decode", {"inputs": _FRAMES, "sequence_lengths": np.array([6, 4])}, {},
         {"merge_repeated": False}, {"mask_index": 4}, {"strategy": "beam_search", "beam_width": 4},
         {"strategy": "beam_search", "beam_width": 4, "top_paths": 2}, gradients=False, kinds=False),
    # ---- normalisation
    Case("nn.layer_normalization", {"x": X}, {}, {"gamma": V}, {"beta": V}, {"axis": 0}, {"epsilon": 0.1},
         {"gamma": V, "beta": V, "epsilon": 1e-3, "axis": 1}, kinds=False),
    # Without the mean, as a release or two had it.
    Case("nn.layer_normalization", {"x": X}, {"rms_scaling": True}, label="scaling", real=False),
    Case("nn.layer_normalization", {"x": B}, {"axis": (1, 2)}, {"axis": [-1]}, label="axes"),
    Case("nn.rms_normalization", {"x": X}, {}, {"scale": V}, {"axis": 0}, {"epsilon": 0.1}, kinds=False),
    Case("nn.rms_normalization", {"x": B}, {"axis": (1, 2)}, label="axes"),
    Case("nn.batch_normalization", {"x": X, "mean": V, "variance": np.abs(V) + 1, "axis": -1}, {},
         {"offset": V}, {"scale": V}, {"epsilon": 0.1}, {"scale": V, "offset": V}, kinds=False),
    Case("nn.batch_normalization", {"x": B, "mean": B[0, :, 0], "variance": B[1, :, 0] ** 2, "axis": 1},
         label="axis", kinds=False),
    # ---- convolution
    Case("nn.conv", {"inputs": _SQUARE, "kernel": f32(2, 2, 4, 3)}, {}, {"strides": 2}, {"padding": "same"},
         _FIRST, {"dilation_rate": 2}, {"strides": (1, 2), "padding": "same"}),
    Case("nn.conv", {"inputs": IMAGE, "kernel": f32(3, 2, 2, 6)}, {"padding": "same"}, label="groups",
         kinds=False),
    Case("nn.conv", {"inputs": _ROW, "kernel": f32(3, 3, 2)}, {},
         {"padding": "same", "strides": 3}, label="1D", kinds=False),
    Case("nn.conv_transpose", {"inputs": _SQUARE, "kernel": f32(3, 2, 3, 4)}, {}, {"strides": 2},
         {"padding": "same"}, _FIRST, {"dilation_rate": 2}, {"strides": 3, "output_padding": 1},
         {"strides": 2, "padding": "same", "output_padding": 1}, {"strides": 2, "padding": "same"}),
    Case("nn.depthwise_conv", {"inputs": _SQUARE, "kernel": f32(3, 2, 4, 2)}, {}, {"strides": 2},
         {"padding": "same"}, _FIRST, {"dilation_rate": 2, "padding": "same"}, {"dilation_rate": (1, 2)}),
    Case("nn.separable_conv", {"inputs": _SQUARE, "depthwise_kernel": f32(3, 2, 4, 2),
                               "pointwise_kernel": f32(1, 1, 8, 3)}, {}, {"strides": 2}, {"padding": "same"},
         _FIRST, {"dilation_rate": 2, "padding": "same"}, {"dilation_rate": (1, 2)}),
    *each("nn.max_pool nn.average_pool", {"strides": 2}, {"strides": 1}, {"strides": 2, **_FIRST},
          {"pool_size": (4, 3), "padding": "same", "strides": (4, 3)}, {"padding": "same", "strides": 4},
          inputs=IMAGE, pool_size=2),
    *each("nn.max_pool nn.average_pool", {"strides": 1, "padding": "same"}, {"strides": 3},
          inputs=_ROW, pool_size=2, options={"label": "1D", "kinds": False}),
    # Real Keras on JAX fails here.
    *each("nn.max_pool nn.average_pool", {}, {"padding": "same"}, {"pool_size": (4, 3)}, inputs=IMAGE,
          pool_size=2, options={"label": "strides", "real": False}),
    *each("nn.adaptive_average_pool nn.adaptive_max_pool", {}, {"output_size": (4, 3)}, _FIRST, inputs=IMAGE,
          output_size=2),
    # ---- blocks
    *each("nn.depth_to_space nn.space_to_depth", {}, _FIRST, x=_SQUARE, block_size=2),
    Case("nn.depth_to_space", {"x": f32(1, 8, 2, 3), "block_size": 2}, _FIRST, label="channels"),
    Case("nn.space_to_depth", {"x": IMAGE.transpose(0, 3, 1, 2), "block_size": 3}, _FIRST, label="channels"),
    Case("nn.unfold", {"x": f32(1, 2, 5, 5), "kernel_size": 2}, {}, {"dilation": 2}, {"padding": 1},
         {"stride": 2}, {"kernel_size": (3, 2), "padding": (0, 1), "stride": (2, 1)}),
    Case("nn.fold", {"x": f32(1, 8, 16), "output_size": (5, 5), "kernel_size": 2}),
    Case("nn.fold", {"x": f32(1, 8, 9), "output_size": 5, "kernel_size": 2}, {"dilation": 2},
         {"output_size": 6, "stride": 2}, {"output_size": 4}, {"output_size": 4, "padding": 1, "stride": 2},
         label="settings"),
    Case("nn.polar", {"abs_": P, "angle": Y}, gradients=False, kinds=False),
    # ---- attention
    Case("nn.dot_product_attention", _QKV, {}, {"bias": _BIAS}, {"mask": _BIAS > -1}, {"scale": 0.3},
         {"is_causal": True}, {"bias": _BIAS, "is_causal": True}, {"flash_attention": False}, tolerance=1e-4,
         kinds=False),
    Case("nn.dot_product_attention", _QKV, {"attn_logits_soft_cap": 0.5}, label="cap", real=False),
    Case("nn.dot_product_attention", {"query": _HEADS[0], "key": _HEADS[1][:, :, :1],
                                      "value": _HEADS[2][:, :, :1]}, label="grouped", tolerance=1e-4),
]
