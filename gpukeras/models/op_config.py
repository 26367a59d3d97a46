"""Ops called on symbolic tensors, as plain values in the format of Keras 3, and back.

Keras writes an op as an object: what is a tensor stays in the call (``inbound_nodes``), settings go into the
object's configuration. ``ops.mean(x, axis=-1)`` becomes ``Mean`` with ``{"axis": -1, "keepdims": False}``.
"""

from __future__ import annotations

import inspect

from gpukeras import tree
from gpukeras.op import REGISTRY
from gpukeras.symbolic import KerasTensor, OpCall, to_snake_case

# Where Keras 3 keeps its op classes; all others are in "numpy".
_MODULE_OF = dict.fromkeys(
    "AdaptiveAveragePool AdaptiveMaxPool AveragePool CTCDecode CTCLoss Celu DepthToSpace "
    "DotProductAttention Elu Gelu Glu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid "
    "LogSoftmax MaxPool Normalize OneHot Polar Relu Relu6 Selu Sigmoid Silu SoftShrink Softmax Softplus "
    "Softsign SpaceToDepth SparsePlus SparseSigmoid Sparsemax Squareplus TanhShrink Threshold".split(), "nn"
) | dict.fromkeys("Cast ScatterUpdate StopGradient Unstack".split(), "core") | dict.fromkeys(
    "Cholesky Det Eig Eigh Inv Lstsq LuFactor MatrixRank Pinv Qr Solve SolveTriangular SVD".split(), "linalg"
) | dict.fromkeys(
    "Erf Erfc Erfinv ExtractSequences FFT FFT2 IFFT2 InTopK IRFFT Logsumexp RFFT Rsqrt SegmentMax "
    "SegmentMin SegmentProd SegmentSum TopK ViewAsComplex ViewAsReal".split(), "math"
) | dict.fromkeys("ExtractPatches HSVToRGB Resize RGBToGrayscale RGBToHSV".split(), "image")
# Ops of ours that are recorded under another name than the public function of Keras.
_NAMES = {
    "gray": "RGBToGrayscale", "take_patches": "ExtractPatches", "to_hsv": "RGBToHSV", "to_rgb": "HSVToRGB",
    "adaptive_mean_pooling": "AdaptiveAveragePool", "adaptive_maximum_pooling": "AdaptiveMaxPool",
    "ctc_decode": "CTCDecode", "ctc_loss": "CTCLoss", "fft": "FFT", "fft2": "FFT2", "ifft2": "IFFT2",
    "irfft": "IRFFT", "rfft": "RFFT", "svd": "SVD", "unit_normalization": "Normalize", "_safe_sqrt": "Sqrt",
    "contract": "Einsum", "detach": "StopGradient", "gather": "Take", "getitem": "GetItem",
    "maximum_pooling": "MaxPool", "mean_pooling": "AveragePool", "pad_constant": "Pad",
    "repeat_elements": "Repeat", "resize_images": "Resize",
}
# Known to Keras only as the steps they are made of, or not at all: read by us alone.
_OURS = frozenset({
    "adaptive_max_gradient", "adaptive_max_select", "adaptive_mean_gradient", "additive_scores",
    "attention", "average_pool_gradient", "bag_of_ids", "batch_normalization_training", "bitcast",
    "clipped_relu", "conv_lstm", "convolution", "convolution_data", "convolution_kernel", "coordinates",
    "depthwise_convolution", "dropout", "elastic_shifts", "embedding", "embedding_gradient", "enlarge",
    "fourier", "fused_dense", "gather_nd", "give_back", "group_normalization", "gru", "half_transposed",
    "half_weighted", "hard_sigmoid_keras2", "index_put", "isin", "layer_normalization", "local_data",
    "local_kernel", "locally_connected", "lstm", "max_pool_gradient", "max_pool_select",
    "mean_absolute_error", "mean_squared_error", "mish", "overlap_add", "pad_copies", "positive",
    "product_dense", "put_block", "put_diagonal", "put_patches", "read_pixels", "resize_gradient",
    "rms_normalization", "scatter_values", "searchsorted", "separable_convolution", "sigmoid_cross_entropy",
    "simple_rnn", "slice_block", "slopes", "softmax_cross_entropy", "sparse_dense",
    "sparse_softmax_cross_entropy", "sum_blocks", "transposed_convolution", "weighted_total",
})
# Public functions whose Keras class is called something else.
_READ_AS = {
    "get_item": "getitem", "batch_norm": "batch_normalization", "layer_norm": "layer_normalization",
    "rms_norm": "rms_normalization", "is_in": "isin", "search_sorted": "searchsorted",
    "all_close": "allclose", "c_dist": "cdist", "true_divide": "divide",
}
# Settings that Keras leaves in the call although they are no tensors.
_IN_THE_CALL = {"GetItem": ("key",), "Pad": ("value",), "FullLike": ("fill_value",),
                "Isclose": ("rtol", "atol"), "DotProductAttention": ("scale",)}
_NEVER_IN_THE_CALL = ("x_min", "x_max")  # of clip
# Public functions whose tensors do not come first, in the order in which Keras passes them.
_TENSORS = {"batch_normalization": ("x", "mean", "variance", "offset", "scale")}


def op_parts(call: OpCall, nodes: list) -> tuple[dict, list[tuple]]:
    """Return the configuration of a recorded op and, for each of its calls, (args, kwargs) left in it."""
    own = call.op.__name__
    if own in _OURS or own.startswith("_") and own not in _NAMES:
        # Settings stay in the call: nobody else reads this one.
        config = {"module": "gpukeras.ops", "class_name": own, "config": {"name": call.name},
                  "registered_name": own}
        return config, [(n.args, n.kwargs) for n in nodes]
    kind = keras_name(own)
    settings: dict = {}
    calls = []
    for node in nodes:  # an op has one call: every use records a new one
        args, kwargs, settings = _split(call.op, kind, node)
        calls.append((args, kwargs))
    config = {"module": f"keras.src.ops.{_MODULE_OF.get(kind, 'numpy')}", "class_name": kind,
              "config": {"name": call.name, **settings}, "registered_name": kind}
    return config, calls


def keras_name(own: str) -> str:
    """Return the name of Keras's class for an op of ours."""
    return _NAMES.get(own) or "".join(part.capitalize() for part in own.split("_"))


def _split(op, kind: str, node) -> tuple[tuple, dict, dict]:
    """Part the arguments of one call into those of the call and settings."""
    if kind == "Einsum":
        operands, subscripts = node.args
        return tuple(operands), {}, {"subscripts": subscripts}
    bound = inspect.signature(op).bind(*node.args, **node.kwargs)
    bound.apply_defaults()
    args: list = []
    settings: dict = {}
    stays = _IN_THE_CALL.get(kind, ())
    for i, (name, value) in enumerate(bound.arguments.items()):
        tensor = any(isinstance(leaf, KerasTensor) for leaf in tree.flatten(value))
        if tensor or name in stays or i < _tensor_count(op) and name not in _NEVER_IN_THE_CALL:
            args.append(value)
        else:
            settings[name] = value
    if kind == "Pad":
        settings["mode"] = "constant"
    return tuple(args), {}, settings


def _tensor_count(op) -> int:
    return getattr(op, "tensor_count", 1)  # functions around an op take one tensor


def read_op(data: dict) -> OpCall:
    """Return the op that a configuration names; only ops are looked up, by a closed list of names.

    Raises
    ------
    ValueError
        Where there is no such op.
    """
    from gpukeras import ops

    config = dict(data["config"])
    name = config.pop("name", None) or data.get("name")
    own = to_snake_case(data["class_name"])
    own = _READ_AS.get(own, own)
    if data.get("module") == "gpukeras.ops":
        own = data["class_name"]
    elif own.startswith("_"):
        own = ""
    found = REGISTRY.get(own)
    if own == "einsum" or found is None:
        found = _public(ops, own) or _public(ops.image, own)
    if found is None:
        raise ValueError(f"the configuration names op {data['class_name']!r}, which is not known here")
    settings = {k: _tuples(v) for k, v in config.items()}
    return ReadOp(found, name, settings)


def _public(module, name: str):
    found = None if name.startswith("_") else getattr(module, name, None)
    ours = inspect.isfunction(found) and found.__module__.startswith(("gpukeras.ops.", "gpukeras.autograd"))
    return found if ours else None


def _tuples(value):
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


class ReadOp(OpCall):
    """An op with settings, as a file describes it; calling it records the op itself."""

    def __init__(self, op, name, settings: dict):
        super().__init__(op, name)
        self.settings = settings

    def __call__(self, *args, **kwargs):
        kind = self.op.__name__
        accepted = inspect.signature(self.op).parameters
        # Settings that other releases write and ours does not know may hold their empty default only.
        settings = {k: v for k, v in self.settings.items() if k in accepted or v not in (None, False)}
        if kind == "getitem":
            args = (args[0], _tuples(args[1]))
        elif kind == "einsum":
            return self.op(settings["subscripts"], *args)
        elif kind == "pad" and len(args) > 1:
            args, settings = args[:1], {**settings, "constant_values": args[1]}
        elif kind in _TENSORS:
            args, settings = (), {**dict(zip(_TENSORS[kind], args)), **settings}
        return self.op(*args, **settings, **kwargs)
