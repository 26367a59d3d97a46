"""The ten workloads: course-size models in the API that Keras and gpukeras share, and made-up data for them.

Layers have names, so that every peer can be given the same weights (``initial.py``). There is no dropout and
no shuffling in what is checked, so that peers can be held to the same losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

WORDS = 20000


# ---- models ---------------------------------------------------------------------------------------------
def _sequential(keras, *layers, optimizer, loss, metric="accuracy"):
    model = keras.Sequential(list(layers))
    model.compile(optimizer=optimizer, loss=loss, metrics=[metric])
    return model


def mlp_digits(keras):
    """Return the model of (a)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((784,)),
        L.Dense(128, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )


def mlp_wide(keras):
    """Return the model of (b)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((784,)),
        L.Dense(512, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer="rmsprop", loss="sparse_categorical_crossentropy",
    )


def mlp_reviews(keras):
    """Return the model of (c)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((10000,)),
        L.Dense(16, activation="relu", name="hidden1"), L.Dense(16, activation="relu", name="hidden2"),
        L.Dense(1, activation="sigmoid", name="out"),
        optimizer="rmsprop", loss="binary_crossentropy",
    )


def mlp_houses(keras):
    """Return the model of (d)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((13,)),
        L.Dense(64, activation="relu", name="hidden1"), L.Dense(64, activation="relu", name="hidden2"),
        L.Dense(1, name="out"),
        optimizer="rmsprop", loss="mse", metric="mae",
    )


def convnet_digits(keras):
    """Return the model of (e)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((28, 28, 1)),
        L.Conv2D(32, 3, activation="relu", name="conv1"), L.Conv2D(64, 3, activation="relu", name="conv2"),
        L.MaxPooling2D(2), L.Flatten(),
        L.Dense(128, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer="adam", loss="sparse_categorical_crossentropy",
    )


def convnet_pictures(keras):
    """Return the model of (f)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((32, 32, 3)),
        L.Conv2D(32, 3, padding="same", activation="relu", name="conv1"),
        L.Conv2D(32, 3, activation="relu", name="conv2"), L.MaxPooling2D(2),
        L.Conv2D(64, 3, padding="same", activation="relu", name="conv3"),
        L.Conv2D(64, 3, activation="relu", name="conv4"), L.MaxPooling2D(2), L.Flatten(),
        L.Dense(512, activation="relu", name="hidden"), L.Dense(10, activation="softmax", name="out"),
        optimizer=keras.optimizers.RMSprop(learning_rate=1e-4), loss="sparse_categorical_crossentropy",
    )


def lstm_reviews(keras):
    """Return the model of (g)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((80,), dtype="int32"),
        L.Embedding(WORDS, 128, name="words"), L.LSTM(128, name="lstm"),
        L.Dense(1, activation="sigmoid", name="out"),
        optimizer="adam", loss="binary_crossentropy",
    )


def average_reviews(keras):
    """Return the model of (h)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((256,), dtype="int32"),
        L.Embedding(WORDS, 64, name="words"), L.GlobalAveragePooling1D(),
        L.Dense(16, activation="relu", name="hidden"), L.Dense(1, activation="sigmoid", name="out"),
        optimizer="adam", loss="binary_crossentropy",
    )


def convnet_news(keras):
    """Return the model of (i)."""
    L = keras.layers
    return _sequential(
        keras, keras.Input((200,), dtype="int32"),
        L.Embedding(WORDS, 128, name="words"),
        L.Conv1D(128, 5, activation="relu", name="conv1"), L.MaxPooling1D(5),
        L.Conv1D(128, 5, activation="relu", name="conv2"), L.GlobalMaxPooling1D(),
        L.Dense(128, activation="relu", name="hidden"), L.Dense(20, activation="softmax", name="out"),
        optimizer="rmsprop", loss="sparse_categorical_crossentropy",
    )


def bottlenecks(size, width):
    """Return a function that returns the model of two bottleneck blocks, as in ResNet-50."""

    def build(keras):
        L = keras.layers

        def convolve(x, filters, window, name):
            x = L.Conv2D(filters, window, padding="same", use_bias=False, name=f"conv_{name}")(x)
            return L.BatchNormalization(name=f"norm_{name}")(x)

        def block(x, number):
            y = L.Activation("relu")(convolve(x, width, 1, f"{number}a"))
            y = L.Activation("relu")(convolve(y, width, 3, f"{number}b"))
            y = convolve(y, 4 * width, 1, f"{number}c")
            x = convolve(x, 4 * width, 1, f"{number}d") if number == 1 else x  # from one width to the other
            return L.Activation("relu")(L.Add()([x, y]))

        inputs = keras.Input((size, size, width))
        x = block(block(inputs, 1), 2)
        outputs = L.Dense(10, activation="softmax", name="out")(L.GlobalAveragePooling2D()(x))
        model = keras.Model(inputs, outputs)
        model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
        return model

    return build


def residual_pictures(keras):
    """Return the model of (j)."""
    L = keras.layers

    def convolve(x, number):
        x = L.Conv2D(64, 3, padding="same", use_bias=False, name=f"conv{number}")(x)
        return L.BatchNormalization(name=f"norm{number}")(x)

    inputs = keras.Input((32, 32, 3))
    x = L.Activation("relu")(convolve(inputs, 0))
    for number in (1, 3):
        y = L.Activation("relu")(convolve(x, number))
        y = convolve(y, number + 1)
        x = L.Activation("relu")(L.Add()([x, y]))
    outputs = L.Dense(10, activation="softmax", name="out")(L.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


# ---- data -----------------------------------------------------------------------------------------------
def _classes(rng, x, count=10):
    """Return labels that a linear model can learn."""
    flat = x.reshape(len(x), -1) - x.mean()
    return np.argmax(flat @ rng.standard_normal((flat.shape[1], count)).astype("float32"), 1)


def _images(*shape):
    def data(samples, rng):
        x = rng.random((samples, *shape), "float32")
        return x, _classes(rng, x)

    return data


def _texts(rng, samples, length, words):
    """Return word numbers that occur as often as in text (Zipf's law as corrected by Mandelbrot)."""
    often = np.cumsum(1.0 / (np.arange(words) + 2.7))
    drawn = np.searchsorted(often, rng.random((samples, length)) * often[-1])
    return np.minimum(drawn, words - 1).astype("int32")


def _reviews(length):
    def data(samples, rng):
        x = _texts(rng, samples, length, WORDS)
        mood = rng.standard_normal(WORDS)[x].mean(1)
        return x, (mood > np.median(mood)).astype("float32")[:, None]

    return data


def _news(samples, rng):
    x = _texts(rng, samples, 200, WORDS)
    return x, np.argmax(rng.standard_normal((WORDS, 20))[x].mean(1), 1)


def _multi_hot(samples, rng):
    x = np.zeros((samples, 10000), "float32")
    words = _texts(rng, samples, 240, 10000)
    np.put_along_axis(x, words, 1.0, 1)
    mood = rng.standard_normal(10000)[words].mean(1)
    return x, (mood > np.median(mood)).astype("float32")[:, None]


def _houses(samples, rng):
    x = rng.standard_normal((samples, 13)).astype("float32")
    price = 20 + x @ rng.standard_normal((13, 1)) * 3 + rng.standard_normal((samples, 1))
    return x, price.astype("float32")


# ---- the table ------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Workload:
    """One model with its data.

    Parameters
    ----------
    title : str
    build : callable
        ``build(keras)`` returns the compiled model.
    make : callable
        ``make(samples, rng)`` returns arrays x and y.
    batch, steps : int
        Samples in a batch, batches in an epoch.
    checked : int
        Batches that all peers train from the same weights before their losses are compared.
    predicted : int
        Samples of ``predict`` and ``evaluate``.
    must, aim : float
        Targets for the best Keras engine's time per step over ours.
    """

    title: str
    build: Callable
    make: Callable
    batch: int
    steps: int
    checked: int
    predicted: int
    must: float
    aim: float

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of an epoch, the same each time."""
        return self.make(self.batch * self.steps, np.random.default_rng(7))


WORKLOADS = {
    "a": Workload(
        "MLP 784-128-10, Adam, batch 32",
        mlp_digits, _images(784), batch=32, steps=200, checked=40, predicted=1024, must=1.1, aim=1.5),
    "b": Workload(
        "MLP 784-512-10, RMSprop, batch 128",
        mlp_wide, _images(784), batch=128, steps=60, checked=20, predicted=1024, must=1.0, aim=1.3),
    "c": Workload(
        "MLP 10000-16-16-1 on multi-hot words, RMSprop, batch 512",
        mlp_reviews, _multi_hot, batch=512, steps=8, checked=8, predicted=1024, must=1.0, aim=2.0),
    "d": Workload(
        "MLP 13-64-64-1, RMSprop, batch 1",
        mlp_houses, _houses, batch=1, steps=404, checked=100, predicted=404, must=3.0, aim=6.0),
    "e": Workload(
        "convnet 32-64-pool-128, Adam, batch 128",
        convnet_digits, _images(28, 28, 1), batch=128, steps=4, checked=4, predicted=256, must=1.0, aim=1.4),
    "f": Workload(
        "convnet 32-32-pool-64-64-pool-512, RMSprop, batch 32",
        convnet_pictures, _images(32, 32, 3),
        batch=32, steps=8, checked=8, predicted=256, must=0.85, aim=1.1),
    "g": Workload(
        "Embedding(20000, 128) + LSTM(128), T = 80, Adam, batch 32",
        lstm_reviews, _reviews(80), batch=32, steps=8, checked=8, predicted=256, must=1.0, aim=1.2),
    "h": Workload(
        "Embedding(20000, 64) + average over T = 256, Adam, batch 32",
        average_reviews, _reviews(256), batch=32, steps=40, checked=20, predicted=1024, must=1.0, aim=2.0),
    "i": Workload(
        "Embedding(20000, 128) + two Conv1D(128, 5), T = 200, RMSprop, batch 128",
        convnet_news, _news, batch=128, steps=4, checked=2, predicted=256, must=1.0, aim=1.3),
    "j": Workload(
        "two residual blocks of 64 channels with batch norm on 32x32, Adam, batch 64",
        residual_pictures, _images(32, 32, 3),
        batch=64, steps=2, checked=2, predicted=64, must=0.8, aim=1.1),
}

# For ``compare_devices.py`` alone: too much work for a CPU.
BLOCKS = {
    name: Workload(
        f"two bottlenecks of {width} and {4 * width} channels, batch norm, {size}x{size}, Adam, batch 64",
        bottlenecks(size, width), _images(size, size, width),
        batch=64, steps=2, checked=2, predicted=64, must=1.0, aim=1.0)
    for name, size, width in (("block56", 56, 64), ("block28", 28, 128), ("block14", 14, 256))
}
ALL = WORKLOADS | BLOCKS
