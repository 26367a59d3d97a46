"""Training beside real Keras 3: same initial weights, same batches, the same losses for 100 steps."""

import numpy as np
import pytest
from support.trajectories import MODELS, OPTIMIZERS, inputs_for, losses, mlp

import gpukeras as keras

pytestmark = [
    pytest.mark.parity,
    # Real Keras converts its variables in a way that NumPy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(params=["float32", "float64"])
def precision(request, real_keras):
    """Set the float type of both libraries; yields the relative tolerance that the runs must keep."""
    import jax

    before = jax.config.jax_enable_x64
    jax.config.update("jax_enable_x64", request.param == "float64")
    keras.config.set_floatx(request.param)
    real_keras.config.set_floatx(request.param)
    # Layers made under another policy keep it; new ones follow floatx.
    real_keras.config.set_dtype_policy(request.param)
    yield request.param
    jax.config.update("jax_enable_x64", before)
    keras.config.set_floatx("float32")
    real_keras.config.set_floatx("float32")
    real_keras.config.set_dtype_policy("float32")


def run_both(real_keras, build, optimizer, precision, loss="sparse_categorical_crossentropy", scale=1.0):
    rng = np.random.default_rng(7)
    count = 160
    x = inputs_for(build, rng, count)
    x = [v.astype(precision) for v in x] if isinstance(x, list) else (
        x if x.dtype == "int32" else x.astype(precision))
    labels = rng.integers(0, 4, count)
    keras.utils.set_random_seed(3)
    ours, theirs = build(keras), build(real_keras)
    theirs.set_weights(ours.get_weights())
    ours.compile(optimizer=optimizer(keras), loss=loss)
    theirs.compile(optimizer=optimizer(real_keras), loss=loss)
    found, expected = losses(ours, x, labels), losses(theirs, x, labels)
    assert abs(expected[-1] - expected[0]) > 1e-4, "the run does not move, so it compares nothing"
    return found, expected, ours, theirs


@pytest.mark.parametrize("build", MODELS, ids=lambda f: f.__name__)
def test_models(real_keras, precision, build):
    found, expected, ours, theirs = run_both(
        real_keras, build, lambda k: k.optimizers.Adam(learning_rate=0.003), precision)
    rtol = 1e-3 if precision == "float32" else 1e-8
    np.testing.assert_allclose(found, expected, rtol=rtol)
    for a, b in zip(ours.get_weights(), theirs.get_weights()):
        # float32: 100 steps of Adam amplify rounding where gradients are near zero.
        np.testing.assert_allclose(a, np.asarray(b), **(
            {"rtol": 1e-2, "atol": 1e-3} if precision == "float32" else {"rtol": 1e-6, "atol": 1e-8}))


@pytest.mark.parametrize("precision", ["float32", "float64"], indirect=True)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(real_keras, precision, name):
    found, expected, *_ = run_both(real_keras, mlp, OPTIMIZERS[name], precision)
    np.testing.assert_allclose(found, expected, rtol=1e-3 if precision == "float32" else 1e-8)
