"""The long trainings that are compared with real Keras, here on a GPU: captured steps against the CPU's."""

import numpy as np
import pytest
from support import emulator
from support.fake_device import emulated
from support.trajectories import MODELS, OPTIMIZERS, inputs_for, losses, mlp

import gpukeras as keras
from gpukeras import backends
from gpukeras.models.graph_step import GraphStep

pytestmark = [
    pytest.mark.cpu,  # both devices are chosen here
    pytest.mark.skipif(bool(emulator.missing()), reason=f"kernels: {emulator.missing()}"),
]


def train(build, optimizer):
    """Return the loss of every step, and the model."""
    rng = np.random.default_rng(7)
    x = inputs_for(build, rng, 160)
    if isinstance(x, list):
        x = [v.astype("float32") for v in x]
    elif x.dtype != "int32":
        x = x.astype("float32")
    labels = rng.integers(0, 4, 160)
    keras.utils.set_random_seed(3)
    model = build(keras)
    model.compile(optimizer=optimizer(keras), loss="sparse_categorical_crossentropy")
    return losses(model, x, labels), model


def compare(build, optimizer):
    """Train on both devices; the losses must be those of the CPU but for rounding."""
    expected, _ = train(build, optimizer)
    with backends.device_scope("cpu"), emulated():
        found, model = train(build, optimizer)
        (step,) = [s for s in model._captured.programs.values() if isinstance(s, GraphStep)]
        assert step.proven and step.replays > 90
    assert abs(expected[-1] - expected[0]) > 1e-4
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("build", MODELS, ids=lambda f: f.__name__)
def test_models(build):
    compare(build, lambda k: k.optimizers.Adam(learning_rate=0.003))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    compare(mlp, OPTIMIZERS[name])
