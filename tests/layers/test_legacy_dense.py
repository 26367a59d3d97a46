"""MaxoutDense and Highway: contract and plain float64 references."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers


def _randomize(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([rng.standard_normal(w.shape) for w in layer.weights])


def _maxout(x, w, b=0.0):
    return (np.einsum("nd,kdo->kno", x, w) + (b[:, None] if np.ndim(b) else b)).max(axis=0)


def _highway(x, w, w_carry, b=0.0, b_carry=0.0):
    gate = 1 / (1 + np.exp(-(x @ w_carry + b_carry)))
    return gate * np.tanh(x @ w + b) + (1 - gate) * x


@pytest.mark.parametrize("kwargs", [
    {"nb_feature": 3, "W_regularizer": "l2", "b_constraint": "non_neg"}, {"bias": False, "input_dim": 4},
])
def test_maxout(backend, kwargs):
    layer = check_layer(layers.MaxoutDense, {"output_dim": 2, **kwargs}, (4,), reference=_maxout,
                        output_shape=(None, 2), setup=_randomize)
    assert [w.name for w in layer.weights] == ["W", "b"][:len(layer.weights)]


@pytest.mark.parametrize("kwargs", [
    {"W_constraint": "unit_norm", "b_regularizer": "l1"}, {"bias": False}, {"transform_bias": -1.0},
])
def test_highway(backend, kwargs):
    layer = check_layer(layers.Highway, {"activation": "tanh", **kwargs}, (4,), reference=_highway,
                        output_shape=(None, 4), setup=_randomize)
    assert [w.name for w in layer.weights] == ["W", "W_carry", "b", "b_carry"][:len(layer.weights)]


def test_first_weights():
    layer = layers.Highway(weights=[np.eye(2), np.zeros((2, 2)), np.zeros(2), np.zeros(2)], input_dim=2)
    x = np.array([[1.0, -2.0]], "float32")
    np.testing.assert_allclose(layer(x).numpy(), x)  # half of it by each way
    plain = layers.Highway()
    plain(x)
    np.testing.assert_array_equal(plain.b_carry.numpy(), [1.0, 1.0])
