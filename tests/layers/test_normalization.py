"""BatchNormalization, LayerNormalization."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import GradientTape, layers, ops


def _batch_norm(x, mean, variance, gamma, beta, axis=-1, epsilon=1e-3):
    shape = [1] * x.ndim
    shape[axis] = -1
    mean, variance, gamma, beta = (np.asarray(v).reshape(shape) for v in (mean, variance, gamma, beta))
    return (x - mean) / np.sqrt(variance + epsilon) * gamma + beta


def _statistics(x, axis):
    others = tuple(i for i in range(x.ndim) if i != axis % x.ndim)
    return x.mean(axis=others), x.var(axis=others)


def _set_random(layer):
    rng = np.random.default_rng(3)
    layer.set_weights([rng.uniform(0.5, 2.0, w.shape) for w in layer.weights])


@pytest.mark.parametrize("kwargs, shape", [
    ({}, (4,)), ({}, (2, 3, 4)), ({"axis": 1}, (4, 3)), ({"axis": -2, "epsilon": 0.1}, (2, 4, 3)),
])
def test_batch_normalization(backend, kwargs, shape):
    axis, epsilon = kwargs.get("axis", -1), kwargs.get("epsilon", 1e-3)

    def reference(x, gamma, beta, mean, variance):
        return _batch_norm(x, mean, variance, gamma, beta, axis, epsilon)

    check_layer(layers.BatchNormalization, kwargs, shape, reference=reference, setup=_set_random, batch=4,
                training=(True, False))


@pytest.mark.parametrize("kwargs, names", [
    ({"center": False}, ["gamma", "moving_mean", "moving_variance"]),
    ({"scale": False}, ["beta", "moving_mean", "moving_variance"]),
    ({"center": False, "scale": False}, ["moving_mean", "moving_variance"]),
])
def test_batch_normalization_without_parts(backend, kwargs, names):
    layer = check_layer(layers.BatchNormalization, kwargs, (4,), setup=_set_random, training=(True, False),
                        batch=5)
    assert [w.name for w in layer.weights] == names


def test_batch_normalization_in_training(backend):
    x = np.random.default_rng(0).normal(3.0, 2.0, (16, 5, 4))
    layer = layers.BatchNormalization(momentum=0.9, dtype="float64")
    y = layer(x, training=True)
    mean, variance = _statistics(x, -1)
    np.testing.assert_allclose(y.numpy(), _batch_norm(x, mean, variance, np.ones(4), np.zeros(4)), atol=1e-12)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * mean, rtol=1e-12)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * variance, rtol=1e-12)
    before = layer.get_weights()
    layer(x, training=False)
    for a, b in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_frozen_batch_normalization_runs_in_inference_mode(backend):
    x = np.random.default_rng(0).normal(3.0, 2.0, (16, 4))
    layer = layers.BatchNormalization(dtype="float64")
    layer(x)
    expected = layer(x, training=False).numpy()
    layer.trainable = False
    np.testing.assert_array_equal(layer(x, training=True).numpy(), expected)
    np.testing.assert_array_equal(layer.moving_mean.numpy(), np.zeros(4))
    assert layer.trainable_weights == [] and len(layer.weights) == 4


def test_batch_normalization_counts_only_unmasked_places(backend):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4, 2))
    mask = np.array([[1, 1, 0, 0], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
    layer = layers.BatchNormalization(momentum=0.0, dtype="float64")
    y = layer(x, training=True, mask=mask)
    kept = x[mask]
    # Keras adds config.epsilon() to the number of places.
    mean = kept.sum(0) / (mask.sum() + 1e-7)
    variance = ((kept - mean) ** 2).sum(0) / (mask.sum() + 1e-7)
    np.testing.assert_allclose(layer.moving_mean.numpy(), mean, rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance.numpy(), variance, rtol=1e-5)
    np.testing.assert_allclose(y.numpy(), (x - mean) / np.sqrt(variance + 1e-3), rtol=1e-5, atol=1e-6)
    carried = ops.convert_to_tensor(x, "float64")
    carried._keras_mask = ops.convert_to_tensor(mask)
    z = layer(carried, training=True)
    np.testing.assert_array_equal(z.numpy(), y.numpy())
    np.testing.assert_array_equal(np.asarray(z._keras_mask), mask)


def test_batch_normalization_learns_under_a_tape(backend):
    x = np.random.default_rng(0).standard_normal((8, 3))
    layer = layers.BatchNormalization(dtype="float64")
    with GradientTape() as tape:
        loss = ops.sum(layer(x, training=True) ** 2)
    found = tape.gradient(loss, layer.trainable_weights)
    assert [w.name for w in layer.trainable_weights] == ["gamma", "beta"]
    assert all(np.isfinite(g.numpy()).all() for g in found)


def test_batch_normalization_in_half_precision(backend):
    layer = layers.BatchNormalization(dtype="mixed_float16")
    y = layer(np.full((4, 300), 300.0, "float32") + np.arange(4)[:, None], training=True)
    assert y.dtype == "float16" and layer.gamma.dtype == "float32" and np.isfinite(y.numpy()).all()
    np.testing.assert_allclose(layer.moving_mean.numpy(), 3.015, rtol=1e-3)
    assert layers.BatchNormalization(dtype="float16")(np.ones((4, 3)), training=True).dtype == "float16"


@pytest.mark.parametrize("clipping", [None, {"rmin": 0.95, "rmax": 1.1, "dmax": 0.1}])
def test_batch_renormalization(backend, clipping):
    layer = layers.BatchNormalization(momentum=0.9, epsilon=0.01, renorm=True, renorm_clipping=clipping,
                                      renorm_momentum=0.8, dtype="float64")
    layer.build((None, 2))
    layer.gamma.assign([2.0, 0.5])
    layer.beta.assign([1.0, -1.0])
    limits = clipping or {"rmin": 0.0, "rmax": np.inf, "dmax": np.inf}
    average, spread, moving, moving_spread = np.zeros(2), np.ones(2), np.zeros(2), np.ones(2)
    rng = np.random.default_rng(0)
    for step in range(3):
        x = rng.normal(1.0 + step, 2.0, (6, 2))
        mean, std = x.mean(0), np.sqrt(x.var(0) + 0.01)
        r = np.clip(std / spread, limits["rmin"], limits["rmax"])
        d = np.clip((mean - average) / spread, -limits["dmax"], limits["dmax"])
        expected = ((x - mean) / std * r + d) * [2.0, 0.5] + [1.0, -1.0]
        np.testing.assert_allclose(layer(x, training=True).numpy(), expected, atol=1e-12)
        average, spread = 0.8 * average + 0.2 * mean, 0.8 * spread + 0.2 * std
        moving, moving_spread = 0.9 * moving + 0.1 * mean, 0.9 * moving_spread + 0.1 * std
    expected = [moving, moving_spread**2 - 0.01, moving_spread, average, spread]
    for found, want in zip(layer.get_weights()[2:], expected):
        np.testing.assert_allclose(found, want, rtol=1e-12)
    y = layer(x, training=False).numpy()
    np.testing.assert_allclose(y, _batch_norm(x, moving, expected[1], [2.0, 0.5], [1.0, -1.0], epsilon=0.01))


def test_batch_renormalization_contract(backend):
    check_layer(layers.BatchNormalization, {"renorm": True, "axis": 1}, (4, 3), batch=4)
    layer = layers.BatchNormalization(renorm=True, dtype="mixed_float16")
    assert layer(np.ones((4, 3)), training=True).dtype == "float16"


def test_batch_normalization_refuses():
    with pytest.raises(ValueError, match="momentum must be between 0 and 1"):
        layers.BatchNormalization(momentum=1.5)
    with pytest.raises(ValueError, match="axis=3 is out of range"):
        layers.BatchNormalization(axis=3)(np.ones((2, 3)))
    with pytest.raises(ValueError, match="renorm_clipping takes .* came .'max'."):
        layers.BatchNormalization(renorm=True, renorm_clipping={"max": 2.0})
    layer = layers.BatchNormalization(name="bn")
    layer(np.ones((2, 3)))
    with pytest.raises(ValueError, match="layer 'bn'"):
        layer(np.ones((2, 4)))


def test_batch_normalization_axis_as_tf_keras_writes_it():
    assert layers.BatchNormalization.from_config({"axis": [3]}).axis == 3


# ---- LayerNormalization --------------------------------------------------------------------------------
def _layer_norm(x, gamma, beta, axes, epsilon=1e-3):
    mean, variance = x.mean(axis=axes, keepdims=True), x.var(axis=axes, keepdims=True)
    shape = [n if i in [a % x.ndim for a in axes] else 1 for i, n in enumerate(x.shape)]
    return (x - mean) / np.sqrt(variance + epsilon) * np.reshape(gamma, shape) + np.reshape(beta, shape)


@pytest.mark.parametrize("kwargs, shape", [
    ({}, (5,)), ({}, (2, 5)), ({"axis": 1}, (4, 3)), ({"axis": [1, 2]}, (3, 4)),
    ({"axis": [-2, -1], "epsilon": 0.2}, (2, 3, 4)),
])
def test_layer_normalization(backend, kwargs, shape):
    axes = kwargs.get("axis", -1)
    axes = tuple(axes) if isinstance(axes, list) else (axes,)

    def reference(x, gamma, beta):
        return _layer_norm(x, gamma, beta, axes, kwargs.get("epsilon", 1e-3))

    check_layer(layers.LayerNormalization, kwargs, shape, reference=reference, setup=_set_random)


@pytest.mark.parametrize("kwargs, names", [
    ({"center": False}, ["gamma"]), ({"scale": False}, ["beta"]), ({"center": False, "scale": False}, []),
])
def test_layer_normalization_without_parts(backend, kwargs, names):
    layer = check_layer(layers.LayerNormalization, kwargs, (4,), setup=_set_random)
    assert [w.name for w in layer.weights] == names


def test_layer_normalization_rms_scaling(backend):
    def reference(x, gamma):
        return x / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-3) * gamma

    check_layer(layers.LayerNormalization, {"rms_scaling": True}, (3, 5), reference=reference,
                setup=_set_random)


def test_layer_normalization_passes_masks(backend):
    mask = np.array([[True, False], [True, True], [False, True]])
    check_layer(layers.LayerNormalization, {}, (2, 3), mask=mask, output_mask=mask)


def test_layer_normalization_refuses():
    with pytest.raises(TypeError, match="axis must be"):
        layers.LayerNormalization(axis="last")
    from gpukeras import Input

    with pytest.raises(ValueError, match="must have a known size"):
        layers.LayerNormalization()(Input((3, None)))
