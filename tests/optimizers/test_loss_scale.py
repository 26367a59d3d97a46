"""Loss scaling where the device decides: no step waits, and steps that overflow leave no trace."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support import emulator
from support.fake_device import emulated, forbid_waiting

import gpukeras as keras
from gpukeras import optimizers
from gpukeras.models.graph_step import GraphStep
from gpukeras.optimizers import schedules
from gpukeras.tensor import Tensor, Variable

pytestmark = [
    pytest.mark.cpu,  # every test chooses its device
    pytest.mark.skipif(bool(emulator.missing()), reason=f"kernels: {emulator.missing()}"),
]
VALUES = (3.0, 0.5, np.inf, 1.0, np.nan, 2.0, 1.5)
INNER = {
    "sgd": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: optimizers.Adam(0.1, global_clipnorm=1.0, weight_decay=0.1),
    "adamax": lambda: optimizers.Adamax(0.1, clipnorm=0.5),
    "nadam": lambda: optimizers.Nadam(0.1),
    "lamb": lambda: optimizers.Lamb(0.1, clipvalue=0.4),
    "adafactor": lambda: optimizers.Adafactor(0.1),
    "muon": lambda: optimizers.Muon(0.1),
    "schedule_free": lambda: optimizers.ScheduleFreeAdamW(0.1, warmup_steps=3),
    "cosine": lambda: optimizers.Adam(schedules.CosineDecay(0.1, 5, warmup_target=0.2, warmup_steps=2)),
    "decay": lambda: optimizers.SGD(0.1, decay=0.5),
    "function": lambda: optimizers.SGD(lambda: 0.1),
}


def steps(make, scaled=True):
    """Return weights after each step, the scales, and the optimizer."""
    variables = [Variable(np.linspace(-1, 2, 6, dtype="float32").reshape(2, 3), name="kernel"),
                 Variable(np.ones(3, "float32"), name="bias", constraint="non_neg")]
    variables[1].constraint = keras.constraints.NonNeg()
    optimizer = optimizers.LossScaleOptimizer(make(), 8.0, 2) if scaled else make()
    seen, scales = [], []
    for number, value in enumerate(VALUES):
        if not scaled and not np.isfinite(value):
            seen.append([v.numpy() for v in variables])
            continue
        one = Tensor(variables[0].backend.asarray(np.float32(1)))
        scale = optimizer.scale_loss(one) if scaled else one
        gradients = [Tensor(variables[0].backend.asarray(
            np.resize([value, -1.0, 0.5 * number], v.shape).astype("float32"))) * scale for v in variables]
        if number and scaled and variables[0].device != "cpu":
            with forbid_waiting():
                optimizer.apply(gradients, variables)
        else:
            optimizer.apply(gradients, variables)
        scales.append(float(scale.numpy()))
        seen.append([v.numpy() for v in variables])
    return seen, scales, optimizer


@pytest.mark.parametrize("case", INNER)
def test_steps_that_overflow_do_not_count(case):
    with np.errstate(invalid="ignore", over="ignore"):
        expected, _, reference = steps(INNER[case], scaled=False)
        on_cpu, scales, _ = steps(INNER[case])
        with emulated():
            on_gpu, scales_there, optimizer = steps(INNER[case])
            assert optimizer.decides_on_device()
            state = [v.numpy() for v in optimizer.inner_optimizer.variables]
    assert scales == scales_there == [8, 8, 16, 8, 8, 4, 4]
    for a, b, c in zip(expected, on_cpu, on_gpu, strict=True):
        for x, y, z in zip(a, b, c):
            np.testing.assert_allclose(y, x, rtol=2e-5, atol=2e-6)
            np.testing.assert_allclose(z, x, rtol=2e-5, atol=2e-6)
    for a, b in zip(state, reference.variables):
        np.testing.assert_allclose(a, b.numpy(), rtol=2e-5, atol=2e-6, err_msg=b.path)
    assert int(state[0]) == 5


def test_what_cannot_be_taken_back_waits():
    class Own(optimizers.SGD):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(variable, gradient)

    with emulated():
        v = Variable(np.ones(2, "float32"))
        for inner in (Own(0.1), optimizers.SGD(0.1, use_ema=True),
                      optimizers.SGD(0.1, gradient_accumulation_steps=2)):
            optimizer = optimizers.LossScaleOptimizer(inner)
            optimizer.build([v])
            assert not optimizer.decides_on_device()
            before = v.numpy()
            optimizer.apply([Tensor(v.backend.asarray(np.array([np.inf, 1], "float32")))])
            np.testing.assert_array_equal(v.numpy(), before)
            assert float(optimizer.dynamic_scale) == 2.0**14


@pytest.mark.parametrize("make", [lambda: "adam", lambda: optimizers.SGD(schedules.ExponentialDecay(
    0.2, 3, 0.5)), optimizers.Nadam], ids=["adam", "schedule", "nadam"])
def test_half_precision_is_captured(make):
    """The whole step is one graph; an overflow in the middle is found and left out there."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((48, 6)).astype("float32")
    y = x[:, :1] * 2
    x[20] = 6e4  # too much for float16 times a loss scale

    def train(eager):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4, dtype="mixed_float16"),
                                  keras.layers.Dense(1, dtype="float32")])
        optimizer = optimizers.LossScaleOptimizer(optimizers.get(make()), 2.0**12, 3)
        model.compile(optimizer, "mse", run_eagerly=eager)
        with np.errstate(all="ignore"):
            model.fit(x, y, batch_size=8, epochs=3, verbose=0, shuffle=False)
        found = [*model.get_weights(), *(v.numpy() for v in optimizer.variables)]
        graphs = [] if eager else [g for g in model._captured.programs.values() if isinstance(g, GraphStep)]
        return found, graphs, optimizer

    with emulated():
        captured, graphs, optimizer = train(False)
        ordinary, _, _ = train(True)
        assert len(graphs) == 1 and graphs[0].proven and graphs[0].plan is not None
        assert int(optimizer.iterations) == 15 and math.isfinite(float(optimizer.dynamic_scale))
    for a, b in zip(captured, ordinary, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["Nadam", "Lamb", "Adafactor", "Muon", "ScheduleFreeAdamW"])
def test_rules_that_count_on_the_device_are_captured(name):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((40, 6)).astype("float32")

    def train(eager):
        keras.utils.set_random_seed(3)
        model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(4), keras.layers.Dense(1)])
        model.compile(getattr(optimizers, name)(0.01), "mse", run_eagerly=eager)
        model.fit(x, x[:, :1], batch_size=8, epochs=2, verbose=0, shuffle=False)
        graphs = [] if eager else [g for g in model._captured.programs.values() if isinstance(g, GraphStep)]
        return [*model.get_weights(), *(v.numpy() for v in model.optimizer.variables)], graphs

    with emulated():
        captured, graphs = train(False)
        ordinary, _ = train(True)
    assert len(graphs) == 1 and graphs[0].plan is not None and graphs[0].proven
    for a, b in zip(captured, ordinary, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("schedule", [
    schedules.ExponentialDecay(0.5, 3, 0.7), schedules.ExponentialDecay(0.5, 3, 0.7, staircase=True),
    schedules.PiecewiseConstantDecay([2, 5], [1.0, 0.5, 0.1]), schedules.PolynomialDecay(1.0, 4, 0.1, 2.0),
    schedules.PolynomialDecay(1.0, 4, 0.1, cycle=True), schedules.InverseTimeDecay(1.0, 3, 0.5, True),
    schedules.CosineDecay(1.0, 5, 0.1), schedules.CosineDecay(0.1, 5, 0.2, warmup_target=1.0, warmup_steps=3),
    schedules.CosineDecayRestarts(1.0, 3, 2.0, 0.5, 0.1), schedules.CosineDecayRestarts(1.0, 3, 1.0, 0.9),
], ids=lambda s: type(s).__name__)
def test_schedules_on_the_device(schedule):
    with emulated() as backend:
        for step in range(12):
            counter = Tensor(backend.asarray(np.int32(step)))
            with forbid_waiting():
                found = schedule.on_device(counter)
            np.testing.assert_allclose(backend.to_numpy(found), schedule(step), rtol=1e-12)
