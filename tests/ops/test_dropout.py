"""Dropout: what stays, what is scaled, what is shared, and its gradient."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import ops


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_rate_and_scale(backend, rate):
    y = ops.dropout(ops.ones((200, 500)), rate, seed=1).numpy()
    assert y.dtype == np.float32
    kept = y != 0
    assert abs(kept.mean() - (1 - rate)) < 0.01
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), 1e-6)


def test_gradient_is_the_same_mask(backend):
    x = ops.full((50, 20), 3.0)
    with keras.GradientTape() as tape:
        tape.watch(x)
        y = ops.dropout(x, 0.3, seed=2)
    np.testing.assert_allclose(tape.gradient(y, x).numpy(), y.numpy() / 3, 1e-6)


def test_edges(backend):
    x = ops.convert_to_tensor(np.arange(6.0, dtype="float32").reshape(2, 3))
    np.testing.assert_array_equal(ops.dropout(x, 0.0).numpy(), x.numpy())
    np.testing.assert_array_equal(ops.dropout(x, 1.0).numpy(), np.zeros((2, 3)))
    assert ops.dropout(ops.ones((0, 3)), 0.5).shape == (0, 3)
    assert ops.dropout(ops.ones((4, 3), dtype="float16"), 0.5).dtype == "float16"


def test_noise_shape(backend):
    y = ops.dropout(ops.ones((30, 4, 8)), 0.5, noise_shape=(None, 1, None), seed=3).numpy()
    assert (y == y[:, :1]).all()
    assert 0.2 < (y == 0).mean() < 0.8


def test_seeds(backend):
    x = ops.ones((100,))
    assert ops.dropout(x, 0.5, seed=5).tolist() == ops.dropout(x, 0.5, seed=5).tolist()
    generator = keras.random.SeedGenerator(5)
    first = ops.dropout(x, 0.5, seed=generator).tolist()
    assert first != ops.dropout(x, 0.5, seed=generator).tolist()
    keras.random.set_seed(9)
    first = ops.dropout(x, 0.5).tolist()
    keras.random.set_seed(9)
    assert first == ops.dropout(x, 0.5).tolist()


def test_errors_and_symbolic():
    for rate in (-0.1, 1.5, True):
        with pytest.raises(ValueError, match="rate must lie between 0 and 1"):
            ops.dropout(ops.ones(3), rate)
    for shape in ((2,), (2, 2)):
        with pytest.raises(ValueError, match="noise_shape"):
            ops.dropout(ops.ones((4, 3)), 0.5, noise_shape=shape)
    assert ops.dropout(keras.KerasTensor((None, 3)), 0.5).shape == (None, 3)
