"""Course-size models and made-up data of their shapes, in the API that Keras and gpukeras share."""

from __future__ import annotations

import numpy as np


def mlp_digits(keras):
    """(a) MLP 784-128-10, Adam, batch 32."""
    model = keras.Sequential([
        keras.layers.Input((784,)), keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    return model, rng.random((32 * 200, 784), "float32"), rng.integers(0, 10, 32 * 200), 32


def mlp_houses(keras):
    """(d) MLP 13-64-64-1, RMSprop, batch 1."""
    model = keras.Sequential([
        keras.layers.Input((13,)), keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1),
    ])
    model.compile(optimizer="rmsprop", loss="mse", metrics=["mae"])
    rng = np.random.default_rng(0)
    return model, rng.standard_normal((404, 13)).astype("float32"), rng.random((404, 1), "float32") * 20, 1


def mlp_wide(keras):
    """(b) MLP 784-512-10, RMSprop, batch 128."""
    model = keras.Sequential([
        keras.layers.Input((784,)), keras.layers.Dense(512, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ])
    model.compile(optimizer="rmsprop", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    return model, rng.random((128 * 60, 784), "float32"), rng.integers(0, 10, 128 * 60), 128


def convnet_digits(keras):
    """(e) convnet 32-64-pool-128, Adam, batch 128."""
    model = keras.Sequential([
        keras.layers.Input((28, 28, 1)), keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Conv2D(64, 3, activation="relu"), keras.layers.MaxPooling2D(2),
        keras.layers.Flatten(), keras.layers.Dense(128, activation="relu"),
        keras.layers.Dense(10, activation="softmax"),
    ])
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    return model, rng.random((128 * 4, 28, 28, 1), "float32"), rng.integers(0, 10, 128 * 4), 128


def lstm_reviews(keras):
    """(g) Embedding(20000, 128) + LSTM(128), T = 80, Adam, batch 32."""
    model = keras.Sequential([
        keras.layers.Input((80,), dtype="int32"), keras.layers.Embedding(20000, 128),
        keras.layers.LSTM(128), keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
    rng = np.random.default_rng(0)
    x = rng.integers(0, 20000, (32 * 8, 80)).astype("int32")
    return model, x, rng.integers(0, 2, (32 * 8, 1)).astype("float32"), 32


WORKLOADS = {"a": mlp_digits, "b": mlp_wide, "d": mlp_houses, "e": convnet_digits, "g": lstm_reviews}
