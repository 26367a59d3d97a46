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
    "dtype_policies.AWQDTypePolicy": _QUANTISATION,
    "dtype_policies.GPTQDTypePolicy": _QUANTISATION,
    "dtype_policies.Int4DTypePolicy": _QUANTISATION,
    "dtype_policies.QuantizedDTypePolicy": _QUANTISATION,
    "dtype_policies.QuantizedFloat8DTypePolicy": _QUANTISATION,
}

_LORA = "low-rank adapters are outside the project"
_SPEED = "chose an implementation or a device there; results are the same"
# Parameters that are not taken, by name or (path, name).
PARAMETERS_LEFT_OUT = {
    "lora_rank": _LORA, "lora_alpha": _LORA, "quantization_config": _QUANTISATION,
    "gptq_unpacked_column_size": _QUANTISATION,
}
# Parameters that are taken and change nothing.
WITHOUT_EFFECT = {
    "implementation": _SPEED, "jit_compile": _SPEED, "dynamic": _SPEED, "enable_caching_device": _SPEED,
    "use_cudnn": _SPEED, "experimental_autocast": _SPEED,
}


def parameter_reason(path: str, name: str) -> str | None:
    """Return why a parameter is left out, or None."""
    return PARAMETERS_LEFT_OUT.get((path, name)) or PARAMETERS_LEFT_OUT.get(name)


def reason(path: str) -> str | None:
    """Return why a name is left out, or None."""
    while path:
        if path in LEFT_OUT:
            return LEFT_OUT[path]
        path = path.rpartition(".")[0]
    return None
