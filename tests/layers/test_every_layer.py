"""Every layer trains a step on the GPU (or its stand-in) as it does on the CPU."""

import numpy as np
import pytest
from support.layer_cases import every_case
from support.layer_cases.case import random_weights

from gpukeras import GradientTape, layers, ops, tree
from gpukeras.layers.call_spec import call_spec
from gpukeras.tensor import Tensor

RATE = 0.1

# Layers without a case, because ...
_BASE = "a class to derive from, or an input"
_CELL = "cases of RNN, ConvRNN2D and Bidirectional run it"
_TEXT = "has no weights; test_lookup.py, test_text_vectorization.py, test_text_golden.py"
WITHOUT_CASE = {
    **dict.fromkeys(("AbstractRNNCell", "InputLayer", "Layer", "PreprocessingLayer", "Wrapper"), _BASE),
    **dict.fromkeys(("ConvLSTM2DCell", "GRUCell", "LSTMCell", "PeepholeLSTMCell", "SimpleRNNCell",
                     "StackedRNNCells"), _CELL),
    **dict.fromkeys(("CategoryCrossing", "HashedCrossing", "Hashing", "IntegerLookup", "StringLookup",
                     "TextVectorization"), _TEXT),
    **dict.fromkeys(("ConvRecurrent2D", "Recurrent"), "Keras 2's bases; tests/layers/test_recurrent*.py"),
    "Lambda": "a function of the user's; tests/layers/test_core.py",
}


@pytest.mark.cpu
def test_every_layer_has_a_case():
    known = {layers._SECOND_NAMES.get(case.name, case.name) for case in every_case()}
    known |= {getattr(layers, name).__name__ for name in known}
    missing = {name for name in layers._HOMES if name[0].isupper()} - known - layers._NOT_LAYERS
    assert missing == set(WITHOUT_CASE)


@pytest.mark.cpu  # once: the test itself goes to both devices
@pytest.mark.parametrize("case", every_case(), ids=repr)
def test_step(case, on_gpu):
    """Outputs, gradients, the weights after a step and the next outputs are those of the CPU."""
    expected, weights = _step(case, None)
    with on_gpu():
        found, _ = _step(case, weights)
    assert found.keys() == expected.keys()
    for what in expected:
        assert len(found[what]) == len(expected[what]), what
        for i, (a, b) in enumerate(zip(found[what], expected[what])):
            case.compare(a, b, f"{what} {i}")


def _step(case, weights):
    layer = case.make(layers)
    data = [ops.convert_to_tensor(x) if x.dtype.kind in "fiub" else x for x in case.data()]
    inputs = case.arguments(data)
    call = case.keywords(ops.convert_to_tensor)
    if case.setup:
        case.setup(layer, *inputs)
    training = not case.random if case.training is None else case.training
    if call_spec(type(layer)).training:
        call["training"] = training
    layer(*inputs, **call)
    if weights is None:
        weights = layer.get_weights() if case.setup else random_weights(layer)
    layer.set_weights(weights)
    if case.random and call_spec(type(layer)).training:
        layer(*inputs, **{**call, "training": True})
    with GradientTape() as tape:
        if case.gradients:
            tape.watch(data)
        outputs = tree.flatten(layer(*inputs, **call))
    rng = np.random.default_rng(7)
    seeds = [(y, rng.standard_normal(y.shape)) for y in outputs if _is_float(y)]
    trainable = layer.trainable_weights
    sources = [*trainable, *(data if case.gradients else [])]
    found = {"output": outputs, "gradient": []}
    if seeds and sources:
        seeds = [(y, ops.convert_to_tensor(s.astype(str(y.dtype)))) for y, s in seeds]
        found["gradient"] = tape.gradient(
            [y for y, _ in seeds], sources, [s for _, s in seeds], unconnected_gradients="zero")
        for weight, gradient in zip(trainable, found["gradient"]):
            weight.assign(weight - RATE * gradient)
    found["weight after the step"] = layer.weights
    found["output after the step"] = tree.flatten(layer(*inputs, **call))
    return {what: [ops.convert_to_numpy(x) for x in values] for what, values in found.items()}, weights


def _is_float(y):
    return isinstance(y, Tensor) and y.dtype.kind == "f"
