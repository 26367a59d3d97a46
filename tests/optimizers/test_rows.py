"""Tables of which a step uses few rows: the numbers of the dense rules."""

import warnings

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import backends, optimizers
from gpukeras.backends.sparse import RowGradient
from gpukeras.sparse import RowTensor

ROWS, WIDTH = 700, 4

MAKERS = {
    "sgd": lambda: optimizers.SGD(0.5),
    "momentum": lambda: optimizers.SGD(0.1, momentum=0.9),
    "adagrad": lambda: optimizers.Adagrad(0.1),
    "rmsprop": lambda: optimizers.RMSprop(0.01),
    "rmsprop_momentum": lambda: optimizers.RMSprop(0.01, momentum=0.5),
    "centered": lambda: optimizers.RMSprop(0.01, centered=True),
    "adam": lambda: optimizers.Adam(0.01),
    "adam_schedule": lambda: optimizers.Adam(optimizers.schedules.ExponentialDecay(0.02, 5, 0.7)),
    "adam_fast": lambda: optimizers.Adam(0.01, beta_1=0.5, beta_2=0.6),
    "adam_no_mean": lambda: optimizers.Adam(0.01, beta_1=0.0),
    "amsgrad": lambda: optimizers.Adam(0.01, amsgrad=True),
    "adamw": lambda: optimizers.AdamW(0.01, weight_decay=0.1),
    "clipped": lambda: optimizers.Adam(0.01, global_clipnorm=0.1),
    "average": lambda: optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=7),
    "accumulating": lambda: optimizers.Adam(0.01, gradient_accumulation_steps=3),
    "lamb": lambda: optimizers.Lamb(0.01),
    "ftrl": lambda: optimizers.Ftrl(0.01),
}


@pytest.fixture
def small_tables_count(monkeypatch):
    """Treat the tables of these tests as large ones."""
    monkeypatch.setattr(type(backends.CPU), "direct_gradient", 1000)


def texts(samples=96, length=6):
    rng = np.random.default_rng(0)
    x = np.minimum(rng.zipf(1.3, (samples, length)) - 1, ROWS - 1).astype("int32")
    return x, rng.standard_normal((samples, 2)).astype("float32")


def trained(make, rows: bool, monkeypatch, epochs=3, **layer):
    """Return a model trained with the gradients of tables by rows or whole."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential([
        keras.Input((6,), dtype="int32"), keras.layers.Embedding(ROWS, WIDTH, **layer),
        keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(2),
    ])
    model.compile(make(), "mse")
    x, y = texts()
    with monkeypatch.context() as patch:
        if not rows:
            patch.setattr(type(backends.CPU), "embedding_row_gradient", lambda *args: None)
        history = model.fit(x, y, batch_size=8, epochs=epochs, verbose=0).history["loss"]
    return model, history


def assert_alike(one, two):
    np.testing.assert_allclose(one[1], two[1], rtol=1e-4)
    for a, b in zip(one[0].get_weights(), two[0].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-6)
    for a, b in zip(one[0].optimizer.variables, two[0].optimizer.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("name", MAKERS)
def test_rules_by_rows_are_the_dense_rules(name, monkeypatch, small_tables_count):
    assert_alike(trained(MAKERS[name], True, monkeypatch), trained(MAKERS[name], False, monkeypatch))


@pytest.mark.parametrize("layer", [
    {"mask_zero": True}, {"embeddings_regularizer": "l2"}, {"embeddings_constraint": "unit_norm"},
    {"dtype": "mixed_float16"},
])
def test_masks_regularizers_and_constraints(layer, monkeypatch, small_tables_count):
    found = trained(MAKERS["adam"], True, monkeypatch, **layer)
    assert_alike(found, trained(MAKERS["adam"], False, monkeypatch, **layer))


def test_rows_are_what_the_optimizer_gets(monkeypatch, small_tables_count):
    taken = []
    original = optimizers.Adam.update_rows

    def spy(self, backend, p, g, slots, rate):
        assert type(g) is RowGradient and len(np.unique(g.rows)) == len(g.rows)
        taken.append(len(g.rows))
        return original(self, backend, p, g, slots, rate)

    monkeypatch.setattr(optimizers.Adam, "update_rows", spy)
    trained(MAKERS["adam"], True, monkeypatch, epochs=1)
    assert len(taken) > 8 and max(taken) < 48

    class Mine(optimizers.Adam):
        def update_flat(self, backend, p, g, slots, learning_rate):
            assert type(g) is np.ndarray
            super().update_flat(backend, p, g, slots, learning_rate)

    trained(Mine, True, monkeypatch, epochs=1)


def test_a_gradient_that_is_asked_for_is_dense(small_tables_count):
    layer = keras.layers.Embedding(ROWS, WIDTH)
    ids = np.array([[3, 5, 3], [699, 0, 5]])
    with keras.GradientTape() as tape:
        loss = keras.ops.sum(layer(ids) * np.arange(24, dtype="float32").reshape(2, 3, 4))
    gradient = tape.gradient(loss, layer.embeddings)
    assert type(gradient) is not RowTensor
    expected = np.zeros((ROWS, WIDTH))
    np.add.at(expected, ids, np.arange(24.0).reshape(2, 3, 4))
    np.testing.assert_array_equal(gradient.numpy(), expected)
    rows = RowTensor(RowGradient(np.array([1, 4]), np.ones((2, 3), "float32"), 6))
    assert rows.shape == (6, 3) and rows.dtype == "float32" and float(keras.ops.sum(rows)) == 6


def test_two_uses_of_one_table_and_a_step_of_the_user(monkeypatch, small_tables_count):
    results = []
    for rows in (True, False):
        with monkeypatch.context() as patch:
            if not rows:
                patch.setattr(type(backends.CPU), "embedding_row_gradient", lambda *args: None)
            keras.utils.set_random_seed(2)
            a, b = keras.Input((6,), dtype="int32"), keras.Input((6,), dtype="int32")
            table = keras.layers.Embedding(ROWS, WIDTH)
            both = keras.layers.Flatten()(keras.layers.Multiply()([table(a), table(b)]))
            model = keras.Model([a, b], keras.layers.Dense(2)(both))
            model.compile("adam", "mse")
            x, y = texts()
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                history = model.fit([x, x[::-1]], y, batch_size=8, epochs=2, verbose=0).history["loss"]
            with keras.GradientTape() as tape:
                loss = keras.ops.mean((model([x, x]) - y) ** 2)
            model.optimizer.apply(tape.gradient(loss, model.trainable_weights), model.trainable_weights)
            results.append((model, history))
    assert_alike(*results)
