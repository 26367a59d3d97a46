"""Dropout and its relatives, noise."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import GradientTape, layers, ops, random


@pytest.mark.parametrize("cls, kwargs, shape", [
    (layers.Dropout, {"rate": 0.5}, (30,)),
    (layers.Dropout, {"rate": 0.3, "seed": 7, "noise_shape": (None, 1, 8)}, (4, 8)),
    (layers.SpatialDropout1D, {"rate": 0.5}, (4, 20)),
    (layers.SpatialDropout2D, {"rate": 0.5, "data_format": "channels_last"}, (2, 3, 20)),
    (layers.GaussianNoise, {"stddev": 0.5}, (30,)),
    (layers.GaussianDropout, {"rate": 0.5}, (30,)),
    (layers.AlphaDropout, {"rate": 0.5}, (30,)),
])
def test_random_layers(backend, cls, kwargs, shape):
    check_layer(cls, kwargs, shape, random=True, reference=lambda x: x)


def test_dropout_keeps_the_mean(backend):
    y = layers.Dropout(0.25, seed=1)(np.ones((100, 100), "float32"), training=True).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs(y.mean() - 1) < 0.02


def test_dropout_gradient_is_the_mask(backend):
    x = ops.ones((50, 10))
    layer = layers.Dropout(0.5, seed=3)
    with GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), y.numpy())


def test_same_seed_same_sequence(backend):
    x = np.ones((4, 50), "float32")
    a, b = layers.Dropout(0.5, seed=11), layers.Dropout(0.5, seed=11)
    first = a(x, training=True).numpy()
    np.testing.assert_array_equal(first, b(x, training=True).numpy())
    second = a(x, training=True).numpy()
    assert (first != second).any()
    np.testing.assert_array_equal(second, b(x, training=True).numpy())


def test_global_seed_fixes_layers_without_a_seed(backend):
    found = []
    for _ in range(2):
        random.set_seed(5)
        found.append(layers.Dropout(0.5)(np.ones((4, 50), "float32"), training=True).numpy())
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("cls, whole", [(layers.SpatialDropout1D, (1,)), (layers.SpatialDropout2D, (1, 2))])
def test_spatial_dropout_drops_whole_maps(backend, cls, whole):
    shape = (8, *[3] * len(whole), 16)
    y = cls(0.5, seed=1)(np.ones(shape, "float32"), training=True).numpy()
    assert (y.min(axis=whole) == y.max(axis=whole)).all() and len(np.unique(y)) == 2


def test_spatial_dropout_channels_first(backend):
    layer = layers.SpatialDropout2D(0.5, "channels_first", seed=1)
    y = layer(np.ones((8, 16, 3, 3), "float32"), training=True).numpy()
    assert (y.min(axis=(2, 3)) == y.max(axis=(2, 3))).all() and len(np.unique(y)) == 2


def test_alpha_dropout_keeps_mean_and_variance(backend):
    x = np.random.default_rng(0).standard_normal((400, 400)).astype("float32")
    y = layers.AlphaDropout(0.2, seed=2)(x, training=True).numpy()
    assert y.dtype == np.float32
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02


def test_noise_has_the_deviation_asked_for(backend):
    x = np.full((300, 300), 2.0, "float32")
    noise = layers.GaussianNoise(0.3, seed=1)(x, training=True).numpy() - x
    assert abs(noise.mean()) < 0.01 and abs(noise.std() - 0.3) < 0.01
    y = layers.GaussianDropout(0.2, seed=1)(x, training=True).numpy()
    assert abs(y.mean() - 2) < 0.02 and abs(y.std() - 2 * 0.5) < 0.02


def test_rates():
    x = np.ones((2, 3), "float32")
    assert layers.Dropout(0.0)(x, training=True).numpy().tolist() == x.tolist()
    assert layers.Dropout(1.0)(x, training=True).numpy().tolist() == (0 * x).tolist()
    for make in (lambda: layers.Dropout(1.5), lambda: layers.Dropout(-0.1), lambda: layers.GaussianNoise(-1),
                 lambda: layers.AlphaDropout("0.5"), lambda: layers.GaussianDropout(2)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            make()
