"""What a training step allocates once the first ones have been made, in large pieces: next to nothing."""

import tracemalloc

import numpy as np
import pytest

import gpukeras as keras

layers = keras.layers
pytestmark = pytest.mark.cpu


def dense():
    model = keras.Sequential([keras.Input((1200,)), layers.Dense(256, activation="relu"),
                              layers.Dense(10, activation="softmax")])
    return model, (1200,)


def convolutional():
    inputs = keras.Input((24, 24, 3))
    x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(32, 3, padding="same")(inputs)))
    x = layers.Add()([x, layers.Conv2D(32, 3, padding="same", activation="relu")(x)])
    x = layers.Dropout(0.25)(layers.MaxPooling2D()(x))
    x = layers.Flatten()(layers.Conv2D(64, 3, strides=2, activation="relu")(x))
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x)), (24, 24, 3)


@pytest.mark.parametrize("build, first, later", [
    (dense, 2_000_000, 50_000),  # NumPy's own buffers for mixed types take 33 kB
    (convolutional, 30_000_000, 1_000_000),  # transformed kernels and the like
])
def test_later_steps_allocate_almost_nothing(build, first, later):
    rng = np.random.default_rng(0)
    model, shape = build()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    x, y = rng.random((64 * 9, *shape), "float32"), rng.integers(0, 10, 64 * 9)
    peaks = []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            tracemalloc.reset_peak()
            self.before = tracemalloc.get_traced_memory()[0]

        def on_train_batch_end(self, batch, logs=None):
            peaks.append(tracemalloc.get_traced_memory()[1] - self.before)

    tracemalloc.start()
    try:
        model.fit(x, y, batch_size=64, epochs=2, verbose=0, callbacks=[Watch()])
    finally:
        tracemalloc.stop()
    assert peaks[0] > first
    assert max(peaks[7:]) < later


def test_fit_gives_a_lot_of_memory_back(monkeypatch):
    from gpukeras.backends import memory

    rng = np.random.default_rng(0)
    x, y = rng.random((64, 24, 24, 3), "float32"), rng.integers(0, 10, 64)
    model, _ = convolutional()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=32, verbose=0)
    assert any(memory._POOL.blocks.values())
    monkeypatch.setattr(memory, "KEPT", 1 << 20)
    model.fit(x, y, batch_size=32, verbose=0)
    assert not any(memory._POOL.blocks.values())
