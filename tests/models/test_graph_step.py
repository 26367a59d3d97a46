"""Training steps captured as graphs, on the stand-in for a GPU: the same numbers as ordinary steps and as a CPU."""

import copy
import gc
import pickle
import warnings
import weakref

import numpy as np
import pytest
from support import emulator
from support.fake_device import emulated, forbid_waiting

import gpukeras as keras
from gpukeras import backends
from gpukeras.models import captured
from gpukeras.models.graph_step import GraphStep

pytestmark = pytest.mark.skipif(bool(emulator.missing()), reason=f"kernels: {emulator.missing()}")
layers = keras.layers


@pytest.fixture
def gpu():
    with emulated() as backend:
        yield backend


def graphs(model) -> list:
    found = model._captured.programs.values() if model._captured is not None else []
    return [g for g in found if isinstance(g, GraphStep) and g.proven]


def reasons(model) -> list:
    return [found for found in model._captured.programs.values() if isinstance(found, str)]


def table(samples=44, classes=3):
    rng = np.random.default_rng(1)
    return rng.standard_normal((samples, 6)).astype("float32"), rng.integers(0, classes, samples)


def images(samples=20):
    rng = np.random.default_rng(2)
    return rng.standard_normal((samples, 6, 6, 2)).astype("float32"), rng.integers(0, 3, samples)


def series(samples=20):
    rng = np.random.default_rng(3)
    return rng.standard_normal((samples, 5, 3)).astype("float32"), rng.standard_normal((samples, 1)).astype("float32")


def mlp(optimizer="adam", rate=0.0, **compiling):
    model = keras.Sequential([
        keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dropout(rate),
        layers.Dense(12, activation="tanh", kernel_regularizer="l2"), layers.Dense(3, activation="softmax"),
    ], name="mlp")
    model.compile(**{"optimizer": optimizer, "loss": "sparse_categorical_crossentropy",
                     "metrics": ["accuracy", "sparse_categorical_crossentropy"]} | compiling)
    return model


def convnet():
    model = keras.Sequential([
        keras.Input((6, 6, 2)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(),
        layers.Activation("relu"), layers.MaxPooling2D(), layers.Flatten(), layers.Dense(3, activation="softmax"),
    ])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def recurrent():
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile("rmsprop", "mse", metrics=["mae"])
    return model


def branches():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    joined = layers.Concatenate()([layers.Dense(4, activation="elu")(a), layers.Dense(4)(b) * 0.5])
    outputs = {"first": layers.Dense(1, name="first")(joined), "second": layers.Dense(1, name="second")(joined)}
    model = keras.Model({"b": b, "a": a}, outputs)
    model.compile("adam", {"first": "mse", "second": "mae"}, metrics={"first": ["mae"]})
    return model


def binary():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"),
                              layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.1, clipnorm=0.5), "binary_crossentropy",
                  ["accuracy", keras.metrics.AUC(num_thresholds=20), keras.metrics.Precision()])
    return model


def train(build, x, y, epochs=5, batch_size=8, eager=False, **kwargs):
    keras.utils.set_random_seed(5)
    model = build()
    model.run_eagerly = eager
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, **kwargs)
    return model, history.history


def assert_alike(model, history, other, expected, rtol=1e-6, atol=1e-6):
    assert history.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=max(rtol, 1e-5), err_msg=name)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
    for a, b in zip(model.optimizer.get_weights(), other.optimizer.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def columns(data):
    x, y = data
    return x, (y[:, None] > 0).astype("float32")


def several():
    x, y = table()
    return {"a": x, "b": x[::-1].copy()}, {"first": y[:, None].astype("float32"), "second": x[:, :1]}


CASES = {
    "mlp": (mlp, table, {}),
    "dropout": (lambda: mlp(rate=0.3), table, {}),
    "sample weights": (lambda: mlp(rate=0.3, weighted_metrics=["accuracy"]), table,
                       {"sample_weight": np.linspace(0.1, 2, 44).astype("float32")}),
    "class weights": (mlp, table, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "shuffle": False}),
    "batch normalization": (convnet, images, {}),
    "recurrent": (recurrent, series, {"batch_size": 5, "validation_split": 0.25}),
    "several inputs": (branches, several, {}),
    "curves": (binary, lambda: columns(table()), {}),
    "schedule": (lambda: mlp(keras.optimizers.RMSprop(
        keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9), momentum=0.5)), table, {}),
    "weight decay": (lambda: mlp(keras.optimizers.AdamW(0.01, global_clipnorm=1.0)), table, {}),
    "nadam": (lambda: mlp("nadam"), table, {}),
    "averages": (lambda: mlp(keras.optimizers.Adam(0.01, use_ema=True)), table, {}),
    "accumulation": (lambda: mlp(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)), table, {}),
    "constraint": (lambda: constrained(), table, {}),
}


def constrained():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, kernel_constraint="max_norm")])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("case", CASES)
def test_captured_training_equals_ordinary_training(gpu, case):
    build, data, kwargs = CASES[case]
    x, y = data()
    ordinary, expected = train(build, x, y, eager=True, **kwargs)
    model, history = train(build, x, y, **kwargs)
    assert not graphs(ordinary) and graphs(model), captured.explain(model)
    assert graphs(model)[0].replays > 3
    assert_alike(model, history, ordinary, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c not in ("dropout", "sample weights")])
def test_captured_training_equals_that_of_a_cpu(case):
    build, data, kwargs = CASES[case]
    x, y = data()
    with backends.device_scope("cpu"):
        on_cpu, expected = train(build, x, y, eager=True, **kwargs)
        with emulated():
            model, history = train(build, x, y, **kwargs)
            assert graphs(model)
            assert_alike(model, history, on_cpu, expected, rtol=1e-3, atol=2e-5)
