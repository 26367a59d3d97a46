"""What of the Keras contracts is left out on purpose, with the reason."""

from __future__ import annotations

_OTHER_LIBRARY = "wraps a model of another library (JAX, Flax, TensorFlow, PyTorch), which is not there"
_QUANTISATION = "quantisation is outside the project"
_RAGGED = "works on TensorFlow's feature columns or tables, which only TensorFlow has"

LEFT_OUT = {
    "layers.FlaxLayer": _OTHER_LIBRARY,
    "layers.JaxLayer": _OTHER_LIBRARY,
    "layers.TFSMLayer": _OTHER_LIBRARY,
    "layers.TorchModuleWrapper": _OTHER_LIBRARY,
    "layers.DenseFeatures": _RAGGED,
    "layers.experimental.DynamicEmbedding": _RAGGED,
    "layers.experimental.DynamicLookup": _RAGGED,
    "experimental.SequenceFeatures": _RAGGED,
    "experimental.SidecarEvaluator": "watches checkpoints of another process of a TensorFlow cluster",
    "layers.wrappers.disable_tracking": "a decorator for the constructors of that release's own layers",
    "layers.disable_v2_dtype_behavior": "switches TensorFlow 1's rules for dtypes on, which nothing here has",
    "layers.enable_v2_dtype_behavior": "switches TensorFlow 1's rules for dtypes off, which nothing here has",
    "dtype_policies.AWQDTypePolicy": _QUANTISATION,
    "dtype_policies.GPTQDTypePolicy": _QUANTISATION,
    "dtype_policies.Int4DTypePolicy": _QUANTISATION,
    "dtype_policies.QuantizedDTypePolicy": _QUANTISATION,
    "dtype_policies.QuantizedFloat8DTypePolicy": _QUANTISATION,
}

_LORA = "low-rank adapters are outside the project"
_LENGTHS = "rows of several lengths are TensorFlow's ragged tensors, which are not there: an error says so"
_DEVICES = "spread variables over several devices of TensorFlow"
_SPEED = "chose an implementation or a device there; results are the same"
# Parameters that are not taken, by name or (path, name).
PARAMETERS_LEFT_OUT = {
    "lora_rank": _LORA, "lora_alpha": _LORA, "quantization_config": _QUANTISATION,
    "gptq_unpacked_column_size": _QUANTISATION,
    **dict.fromkeys(((f"layers.Conv{rank}DTranspose", "groups") for rank in (1, 2, 3)),
                    "tf.keras took it and then could not compute: an error says so"),
    ("layers.IntegerLookup", "vocabulary_dtype"): "int64 only: an error says so",
    ("layers.InputLayer", "input_tensor"): "stands for the layer's output, which exists without it as well",
    **dict.fromkeys((("layers.Embedding", "autocast"), ("layers.ReversibleEmbedding", "autocast")),
                    "their inputs are numbers of rows, which are never cast"),
    "ragged": _LENGTHS, "type_spec": _LENGTHS, "mesh": _DEVICES,
    "return_runtime": "named the implementation that TensorFlow chose: an error says so",
    ("layers.CuDNNGRU", "cell"): "an internal argument of the base class",
    ("layers.CuDNNLSTM", "cell"): "an internal argument of the base class",
    ("layers.TextVectorization", "has_input_vocabulary"): "written into files, not given by hand",
    ("layers.TextVectorization", "vocabulary_size"): "written into files, not given by hand",
    ("layers.StringLookup", "has_input_vocabulary"): "written into files, not given by hand",
    ("layers.StringLookup", "vocabulary_size"): "written into files, not given by hand",
    ("layers.IntegerLookup", "has_input_vocabulary"): "written into files, not given by hand",
    ("layers.IntegerLookup", "vocabulary_size"): "written into files, not given by hand",
}
# Parameters that are taken and change nothing.
WITHOUT_EFFECT = {
    "implementation": _SPEED, "jit_compile": _SPEED, "dynamic": _SPEED, "enable_caching_device": _SPEED,
    "use_cudnn": _SPEED, "robust_masking": "a mask is always robust here",
    "softmax_robust_masking": "a mask is always robust here", "use_one_hot_matmul": _SPEED,
    ("layers.Embedding", "sparse"): "gradients of embeddings hold the rows that were read, always",
    ("layers.Resizing", "fill_mode"): "has one value only",
    "experimental_autocast": _SPEED,
}


def parameter_reason(path: str, name: str) -> str | None:
    """Return why a parameter is left out, or None."""
    if path == "metrics.experimental.PyMetric":
        return "its base class was a layer in tf.keras and is none in Keras 3"
    return PARAMETERS_LEFT_OUT.get((path, name)) or PARAMETERS_LEFT_OUT.get(name)


def reason(path: str) -> str | None:
    """Return why a name is left out, or None."""
    while path:
        if path in LEFT_OUT:
            return LEFT_OUT[path]
        path = path.rpartition(".")[0]
    return None
