"""Gradients that ``fit`` lets ops write beside each other train like those of a tape that a user holds."""

from __future__ import annotations

import numpy as np
import pytest

import gpukeras as keras
from gpukeras.backends import CPU


def _shared_model():
    """Two uses of one large kernel, beside kernels that are used once."""
    inputs = keras.Input((300,))
    shared = keras.layers.Dense(300, activation="relu")
    x = keras.layers.Dense(4)(shared(shared(inputs)))
    return keras.Model(inputs, x)


def _plain_model():
    return keras.Sequential([
        keras.layers.Input((300,)), keras.layers.Dense(300, activation="tanh"), keras.layers.Dense(4),
    ])


def _embedded_model():
    """A large gradient that no op writes to its place."""
    return keras.Sequential([
        keras.layers.Input((5,)), keras.layers.Embedding(6000, 16), keras.layers.Flatten(),
        keras.layers.Dense(4),
    ])


def _steps(model, optimizer, x, y, by_hand: bool):
    model.compile(optimizer=optimizer, loss="mse")
    for _ in range(5):
        if not by_hand:
            model.train_on_batch(x, y)
            continue
        with keras.GradientTape() as tape:
            loss = model.compute_loss(x, y, model(x, training=True))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
    return model.get_weights()


@pytest.mark.parametrize("make", [_shared_model, _plain_model, _embedded_model])
@pytest.mark.parametrize("settings", [
    {}, {"clipnorm": 0.1}, {"global_clipnorm": 0.1}, {"gradient_accumulation_steps": 2}, {"use_ema": True},
    {"weight_decay": 0.01},
])
def test_fit_and_a_tape_train_alike(make, settings, monkeypatch):
    # Both ways cut the buffers differently, and long pieces round differently.
    monkeypatch.setattr(type(CPU), "_one_pass", 1 << 60)
    rng = np.random.default_rng(0)
    x = rng.random((8, 300), "float32")
    if make is _embedded_model:
        x = rng.integers(0, 6000, (8, 5)).astype("int32")
    y = rng.random((8, 4), "float32")
    one, two = make(), make()
    two.set_weights(one.get_weights())
    start = one.get_weights()
    fitted = _steps(one, keras.optimizers.Adam(0.01, **settings), x, y, by_hand=False)
    held = _steps(two, keras.optimizers.Adam(0.01, **settings), x, y, by_hand=True)
    for a, b, before in zip(fitted, held, start):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
        assert np.abs(a - before).max() > 1e-4


def test_a_held_gradient_is_never_written_again():
    model = _plain_model()
    model.compile(optimizer="adam", loss="mse")
    x, y = np.ones((4, 300), "float32"), np.ones((4, 4), "float32")
    model.train_on_batch(x, y)
    with keras.GradientTape() as tape:
        loss = model.compute_loss(x, y, model(x, training=True))
    gradients = tape.gradient(loss, model.trainable_variables)
    copies = [g.numpy().copy() for g in gradients]
    model.train_on_batch(x, y)
    for gradient, copy in zip(gradients, copies):
        np.testing.assert_array_equal(gradient.numpy(), copy)


def test_rules_of_users_may_keep_their_gradients():
    kept = []

    class Keeping(keras.optimizers.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            kept.append((gradient, gradient.numpy().copy()))
            self.assign_sub(variable, learning_rate * gradient)

    model = _plain_model()
    model.compile(optimizer=Keeping(0.1), loss="mse")
    x, y = np.ones((4, 300), "float32"), np.ones((4, 4), "float32")
    for _ in range(3):
        model.train_on_batch(x, y)
    assert len(kept) == 12
    for gradient, copy in kept:
        np.testing.assert_array_equal(gradient.numpy(), copy)
