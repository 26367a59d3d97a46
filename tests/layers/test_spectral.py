"""SpectralNormalization: the largest singular value of a kernel becomes 1."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import GradientTape, layers, ops

X = np.random.default_rng(0).standard_normal((4, 6, 6, 3)).astype("float32")
TEXT = np.array([[1, 2], [3, 0]])
CASES = [
    (lambda: layers.Dense(5), X), (lambda: layers.Conv2D(4, 3, use_bias=False), X),
    (lambda: layers.Embedding(7, 4), TEXT),
]


@pytest.mark.parametrize("make, x", CASES, ids=["Dense", "Conv2D", "Embedding"])
def test_singular_value(make, x):
    layer = layers.SpectralNormalization(make(), power_iterations=200)
    before = layer(x).numpy()
    kernel = layer.get_weights()[0]
    size = np.linalg.svd(kernel.reshape(-1, kernel.shape[-1]), compute_uv=False)[0]
    np.testing.assert_array_equal(layer(x, training=False).numpy(), before)
    after = layer(x, training=True).numpy()
    np.testing.assert_allclose(layer.get_weights()[0], kernel / size, rtol=2e-3)
    if len(layer.weights) == 2:  # without a bias
        np.testing.assert_allclose(after, before / size, rtol=2e-3, atol=1e-6)
    assert [w.name for w in layer.weights[:2]] == [layer.weights[0].name, "vector_u"]
    assert layer.vector_u.shape == (1, kernel.shape[-1]) and not any(
        w is layer.vector_u for w in layer.trainable_weights)


def test_power_iteration():
    """One step, number by number."""
    layer = layers.SpectralNormalization(layers.Dense(3))
    x = X[:, 0, 0]
    layer(x)
    w, u, _ = layer.get_weights()
    v = u @ w.T / np.linalg.norm(u @ w.T)
    new = v @ w / np.linalg.norm(v @ w)
    layer(x, training=True)
    np.testing.assert_allclose(layer.vector_u.numpy(), new, rtol=1e-5)
    np.testing.assert_allclose(layer.get_weights()[0], w / (v @ w @ new.T), rtol=1e-5)


def test_kernel_of_zeros():
    layer = layers.SpectralNormalization(layers.Dense(3, kernel_initializer="zeros"))
    layer(X)
    u = layer.vector_u.numpy()
    assert not layer(X, training=True).numpy().any()
    np.testing.assert_array_equal(layer.vector_u.numpy(), u)


def test_gradient_and_training():
    """The gradient is that of the layer with its new kernel; training keeps the singular value near 1."""
    layer = layers.SpectralNormalization(layers.Dense(1))
    x = X[:, 0, 0]
    with GradientTape() as tape:
        y = ops.sum(layer(x, training=True))
    np.testing.assert_allclose(tape.gradient(y, layer.weights[0]).numpy(), x.sum(0)[:, None], rtol=1e-5)
    model = keras.Sequential([
        keras.Input((3,)), layers.SpectralNormalization(layers.Dense(8, activation="relu")), layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(x, x.sum(1, keepdims=True), epochs=5, verbose=0)
    kernel = model.layers[0].get_weights()[0]
    assert 0.8 < np.linalg.svd(kernel, compute_uv=False)[0] < 1.3


def test_configuration():
    layer = layers.SpectralNormalization(layers.Dense(3, name="inner"), power_iterations=2, name="outer")
    again = layers.deserialize(layers.serialize(layer))
    assert again.power_iterations == 2 and again.layer.units == 3 and again.name == "outer"
    assert layer.compute_output_shape((None, 4)) == (None, 3)


def test_errors():
    with pytest.raises(ValueError, match="power_iterations must be a positive integer, came 0"):
        layers.SpectralNormalization(layers.Dense(3), power_iterations=0)
    with pytest.raises(ValueError, match="needs a layer with a kernel or embeddings, came 'flatten"):
        layers.SpectralNormalization(layers.Flatten())(X)
    with pytest.raises(ValueError, match="SpectralNormalization wraps a layer"):
        layers.SpectralNormalization("dense")
