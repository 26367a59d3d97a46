"""``optimizers.legacy`` against TensorFlow's numbers (``make_golden.py``), and its own arguments."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from gpukeras import ops, optimizers
from gpukeras.optimizers import legacy, schedules
from gpukeras.tensor import Tensor, Variable

GOLDEN = json.loads((pathlib.Path(__file__).with_name("golden") / "legacy.json").read_text())
START = [np.array([[1.0, -2.0], [0.5, 3.0]], "float32"), np.array([0.3, -0.7], "float32")]


def gradients(values, step):
    return [np.asarray(v * 0.5 + np.cos(step + i), "float32") for i, v in enumerate(values)]


def train(optimizer, steps=5):
    variables, seen = [Variable(v) for v in START], []
    for step in range(steps):
        grads = gradients([v.numpy() for v in variables], step)
        optimizer.apply_gradients([(Tensor(v.backend.asarray(g)), v) for g, v in zip(grads, variables)])
        seen.append([v.numpy() for v in variables])
    return variables, seen


@pytest.mark.parametrize("case", GOLDEN, ids=lambda c: "-".join([c["name"], *c["settings"]]))
def test_numbers_of_tensorflow(case):
    optimizer = getattr(legacy, case["name"])(**case["settings"])
    variables, seen = train(optimizer)
    for found, expected in zip(seen, case["weights"], strict=True):
        for a, b in zip(found, expected):
            np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    state = optimizer.get_weights()
    assert [np.shape(a) for a in state] == [np.shape(b) for b in case["state"]]
    for a, b in zip(state, case["state"]):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)
    assert sorted(optimizer.get_slot_names()) == case["slots"]
    for name in case["slots"]:
        assert optimizer.get_slot(variables[0], name).shape == (2, 2)
    config = optimizer.get_config()
    assert list(config) == list(case["config"])
    for key, value in case["config"].items():
        assert config[key] == (pytest.approx(value) if isinstance(value, float) else value)
    again = legacy.REGISTRY.deserialize(optimizers.serialize(optimizer))
    assert type(again) is type(optimizer) and again.get_config() == config


def test_names_choose_between_the_generations():
    assert type(optimizers.get("adam", use_legacy_optimizer=True)) is legacy.Adam
    assert type(optimizers.get("Adam")) is optimizers.Adam
    written = optimizers.serialize(legacy.SGD(0.5, 0.9), use_legacy_format=True)
    assert written["class_name"] == "SGD" and set(written) == {"class_name", "config"}
    assert type(optimizers.deserialize(written, use_legacy_optimizer=True)) is legacy.SGD
    with pytest.raises(TypeError, match="unknown argument"):
        optimizers.get("adam", use_old=True)


def test_aggregator_and_transformers():
    calls = []

    def aggregate(pairs):
        calls.append("aggregate")
        return [g * 2.0 for g, _ in pairs]

    def transform(pairs):
        calls.append("transform")
        return [(g + 1.0, v) for g, v in pairs]

    optimizer = legacy.SGD(1.0, gradient_aggregator=aggregate, gradient_transformers=[transform])
    v = Variable(np.zeros(2, "float32"))
    optimizer.apply_gradients([(ops.ones(2), v)])
    np.testing.assert_allclose(v.numpy(), [-3, -3])
    assert calls == ["aggregate", "transform"]
    with pytest.raises(ValueError, match="exclude each other"):
        legacy.SGD(1.0, gradient_transformers=[transform], clipnorm=1.0)


def test_arguments_of_its_own():
    with pytest.raises(TypeError, match=r"unknown argument\(s\) \['weight_decay'\]"):
        legacy.Adam(weight_decay=0.1)
    with pytest.raises(ValueError, match="decay must not be negative"):
        legacy.SGD(decay=-1.0)
    with pytest.raises(ValueError, match="must be a number"):
        legacy.Nadam(schedules.ExponentialDecay(0.1, 1, 0.5))
    assert legacy.Adam(0.1, 0.8, 0.9, 1e-3, True, "mine").name == "mine"
    assert float(legacy.SGD(lr=0.25).lr) == 0.25


class Older(legacy.Optimizer):
    """A custom optimizer of tf.keras 2.0 to 2.10."""

    def __init__(self, learning_rate=0.5, name="Older", **kwargs):
        super().__init__(name, **kwargs)
        self._set_hyper("learning_rate", learning_rate)

    def _create_slots(self, var_list):
        for var in var_list:
            self.add_slot(var, "sum")

    def _resource_apply_dense(self, grad, var, apply_state=None):
        total = self.get_slot(var, "sum")
        total.assign_add(grad)
        var.assign_sub(self._get_hyper("learning_rate") * total)


def test_custom_optimizer_of_old():
    optimizer = Older()
    v = Variable(np.zeros(2, "float32"))
    for _ in range(2):
        optimizer.minimize(lambda: ops.sum(v), [v], grad_loss=2.0)
    np.testing.assert_allclose(v.numpy(), [-3, -3])
    assert optimizer.get_slot_names() == ["sum"] and len(optimizer.variables()) == 2
    assert optimizer.add_weight("extra", (2,)).shape == (2,)
    with pytest.raises(KeyError, match="no slot"):
        optimizer.get_slot(v, "other")
