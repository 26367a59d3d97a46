"""Learning-rate schedules: formulas, kinds of steps, configurations, and real Keras."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gpukeras.optimizers import schedules
from gpukeras.tensor import Tensor

CASES = [
    ("ExponentialDecay", (0.1, 7, 0.9), {}),
    ("ExponentialDecay", (0.1, 7, 0.9), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 9], [1.0, 0.5, 0.25]), {}),
    ("PolynomialDecay", (0.5, 10), {"power": 2.0}),
    ("PolynomialDecay", (0.5, 10, 0.05), {"cycle": True}),
    ("InverseTimeDecay", (0.3, 5, 0.7), {}),
    ("InverseTimeDecay", (0.3, 5, 0.7), {"staircase": True}),
    ("CosineDecay", (0.4, 12), {"alpha": 0.1}),
    ("CosineDecay", (0.0, 12), {"warmup_target": 0.4, "warmup_steps": 4}),
    ("CosineDecayRestarts", (0.4, 5), {"m_mul": 0.7, "alpha": 0.05}),
    ("CosineDecayRestarts", (0.4, 5), {"t_mul": 1.0}),
    ("CosineDecayRestarts", (0.4, 3), {"t_mul": 1.5}),
]


def make(module, case):
    name, args, kwargs = case
    return getattr(module, name)(*args, **kwargs)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_kinds_of_steps(backend, case):
    schedule = make(schedules, case)
    expected = [schedule(s) for s in range(30)]
    assert all(type(e) is float for e in expected)
    np.testing.assert_allclose(schedule(np.arange(30)), expected, rtol=1e-6)
    found = schedule(Tensor(backend.asarray(7)))
    assert found.shape == () and found.dtype == "float32" and found.backend is backend
    np.testing.assert_allclose(float(found), expected[7], rtol=1e-6)
    assert schedule.at(7, None) == expected[7]
    again = schedules.deserialize(schedules.serialize(schedule))
    assert type(again) is type(schedule) and again.get_config() == schedule.get_config()
    assert [again(s) for s in range(30)] == expected


def test_restarts_fall_on_their_step():
    schedule = schedules.CosineDecayRestarts(1.0, 10, t_mul=2.0, m_mul=0.5)
    starts = {0: 1.0, 10: 0.5, 30: 0.25, 70: 0.125}
    for step, rate in starts.items():
        assert math.isclose(schedule(step), rate)
    assert schedule(29) < 0.01 and schedule(69) < 0.01


def test_errors():
    with pytest.raises(ValueError, match="one more value than boundaries"):
        schedules.PiecewiseConstantDecay([1], [1.0])
    with pytest.raises(ValueError, match="decay_steps must be > 0"):
        schedules.CosineDecay(0.1, 0)
    with pytest.raises(ValueError, match="initial_learning_rate must be a number"):
        schedules.ExponentialDecay("x", 1, 1)
    with pytest.raises(NotImplementedError, match="must define __call__"):
        schedules.LearningRateSchedule()(1)
    with pytest.raises(NotImplementedError, match="get_config"):
        schedules.LearningRateSchedule().get_config()


@pytest.mark.parity
@pytest.mark.parametrize("case", CASES, ids=str)
def test_parity(real_keras, case):
    ours, theirs = make(schedules, case), make(real_keras.optimizers.schedules, case)
    steps = [0, 1, 2, 3, 4, 6, 8, 10, 11, 13, 19, 28]
    found = [ours(s) for s in steps]
    expected = [float(theirs(real_keras.ops.array(s, "int32"))) for s in steps]
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-7)
    assert ours.get_config() == theirs.get_config()
