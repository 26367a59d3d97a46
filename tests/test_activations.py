"""Activations by name: aliases, arguments, serialization, real Keras."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import activations, ops

NAMES = [name for name in activations.__all__ if name not in ("get", "serialize", "deserialize")]
X = np.linspace(-4, 4, 24, dtype="float32").reshape(4, 6) + 0.01


@pytest.mark.parametrize("name", NAMES)
def test_get_and_serialize(name):
    f = activations.get(name)
    assert f is getattr(activations, name) and activations.get(f) is f
    written = activations.serialize(f)
    assert isinstance(written, str)
    assert activations.deserialize(written) is f


def test_aliases_and_none():
    assert activations.get(None) is activations.linear
    assert activations.serialize(activations.swish) == "silu"
    assert activations.get("hard_swish") is activations.hard_silu


def test_unknown_and_custom():
    with pytest.raises(ValueError, match="unknown activation 'rellu'; did you mean 'relu'"):
        activations.get("rellu")

    def double(x):
        return x * 2

    assert activations.get(double) is double
    with keras.utils.custom_object_scope({"double": double}):
        assert activations.get("double") is double


def test_relu_arguments():
    def run(**kwargs):
        return activations.relu(X, **kwargs).numpy()

    np.testing.assert_array_equal(run(), np.maximum(X, 0))
    np.testing.assert_allclose(run(alpha=0.1), run(negative_slope=0.1))
    np.testing.assert_array_equal(run(max_value=2.0), np.clip(X, 0, 2))
    np.testing.assert_allclose(activations.leaky_relu(X, alpha=0.3).numpy(), np.where(X > 0, X, 0.3 * X),
                               1e-6)
    with pytest.raises(ValueError, match="max_value"):
        run(max_value=-1.0)


def test_linear_keeps_the_tensor():
    x = ops.convert_to_tensor(X)
    assert activations.linear(x) is x
    assert activations.softmax(x)._keras_logits is not None


@pytest.mark.parity
def test_real_keras(real_keras):
    for name in NAMES:
        if name == "sparsemax":  # Keras 3.15 returns rows that do not sum to 1
            continue
        args = (0.5, -1.0) if name == "threshold" else ()
        want = np.asarray(getattr(real_keras.activations, name)(X, *args))
        np.testing.assert_allclose(np.asarray(getattr(activations, name)(X, *args)), want, 2e-5, 2e-6,
                                   err_msg=name)
    for kwargs in ({"negative_slope": 0.1}, {"max_value": 2.0}, {"threshold": 1.0, "max_value": 3.0},
                   {"negative_slope": 0.2, "threshold": 0.5}, {"negative_slope": 0.1, "max_value": 2.0}):
        want = np.asarray(real_keras.activations.relu(X, **kwargs))
        np.testing.assert_allclose(activations.relu(X, **kwargs).numpy(), want, 1e-5, 1e-6,
                                   err_msg=str(kwargs))
