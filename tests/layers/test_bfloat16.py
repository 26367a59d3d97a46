"""Layers that compute in bfloat16: types of outputs, weights and gradients, values near those of float32."""

import numpy as np
import pytest
from support.halves import needs_bfloat16
from support.layer_cases import every_case
from support.layer_cases.case import random_weights

from gpukeras import GradientTape, dtypes, layers, ops, tree

pytestmark = needs_bfloat16
NAMES = """
    Dense EinsumDense Embedding Conv1D Conv2D Conv3D DepthwiseConv2D SeparableConv2D Conv2DTranspose
    BatchNormalization LayerNormalization GroupNormalization AveragePooling2D GlobalAveragePooling2D
    MaxPooling2D LSTM GRU SimpleRNN ConvLSTM2D MultiHeadAttention Attention Softmax LeakyReLU PReLU Add
    Concatenate Multiply Dot Reshape Permute Cropping2D ZeroPadding2D UpSampling2D UnitNormalization
    RMSNormalization
""".split()
CASES = {}
for _case in every_case():
    if _case.name in NAMES and not _case.random:
        CASES.setdefault(_case.name, _case)
KINKS = ("MaxPooling2D", "Conv3D")  # gradients jump where rounding changes which element wins


def run(case, policy, weights=None):
    """Return the layer, its outputs and the gradients of a sum of theirs."""
    layer = case.make(layers, dtype=policy)
    inputs = [ops.convert_to_tensor(x) for x in case.data()]
    call = case.keywords(ops.convert_to_tensor)
    layer(*case.arguments(inputs), **call)
    layer.set_weights(random_weights(layer) if weights is None else weights)
    with GradientTape() as tape:
        floats = [x for x in inputs if dtypes.is_float(x.dtype)]
        tape.watch(floats)
        outputs = tree.flatten(layer(*case.arguments(inputs), **call))
        total = ops.convert_to_tensor(0.0)
        for y in outputs:
            factors = np.cos(np.arange(np.prod(y.shape))).reshape(y.shape).astype("float32")
            total = total + ops.sum(ops.cast(y, "float32") * factors)
    grads = tape.gradient(total, [*layer.trainable_weights, *floats], unconnected_gradients="zero")
    return layer, outputs, grads


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_layer(name, policy):
    case = CASES[name]
    exact, expected, wanted = run(case, "float32")
    layer, outputs, grads = run(case, policy, exact.get_weights())
    variable = "float32" if policy == "mixed_bfloat16" else "bfloat16"
    assert layer.compute_dtype == "bfloat16" and layer.variable_dtype == variable
    assert {str(y.dtype) for y in outputs} == {"bfloat16"}
    assert all(w.dtype == variable for w in layer.weights if dtypes.is_float(w.dtype))
    pairs = [*zip(outputs, expected)] + ([] if name in KINKS else [*zip(grads, wanted)])
    for found, near in pairs:
        near = near.numpy()
        scale = max(1.0, abs(near).max(initial=0))
        np.testing.assert_allclose(found.numpy().astype(float) / scale, near / scale, atol=0.05)
    for gradient, weight in zip(grads, layer.trainable_weights):
        assert gradient.dtype == weight.dtype and gradient.shape == weight.shape


def test_all_are_there():
    assert set(NAMES) == set(CASES)


def test_inputs_are_cast_once_and_masks_stay():
    x = np.array([[1, 2, 0], [3, 0, 0]], "int32")
    y = layers.Embedding(5, 4, mask_zero=True, dtype="mixed_bfloat16")(x)
    z = layers.LSTM(3, dtype="mixed_bfloat16", return_sequences=True)(y)
    assert y.dtype == z.dtype == "bfloat16" and y._keras_mask is not None and z._keras_mask is not None
    half = layers.Dense(2, dtype="mixed_float16")(y)  # another half
    assert half.dtype == "float16"
    plain = layers.Dense(2)(y)
    assert plain.dtype == "float32"
    kept = layers.Activation("relu", dtype="mixed_bfloat16", autocast=False)(np.ones((2, 2), "float32"))
    assert kept.dtype == "float32"


def test_symbolic_types_are_those_of_values():
    inputs = layers.Input((4,))
    for policy in ("mixed_bfloat16", "bfloat16"):
        x = layers.Dense(3, activation="softmax", dtype=policy)(inputs)
        y = layers.LayerNormalization(dtype="float32")(x)
        assert (x.dtype, y.dtype) == ("bfloat16", "float32")
        assert (x * 2.0 + 1).dtype == ops.mean(x, axis=0).dtype == "bfloat16"
        assert ops.add(x, ops.cast(x, "float16")).dtype == "float32" and ops.argmax(x).dtype == "int32"
