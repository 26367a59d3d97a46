"""The sixteen workloads: course-size models (``keras_models.py``) and made-up data for them.

Nothing is shuffled in what is checked, so that peers can be held to the same losses.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras_models as models
import numpy as np
from keras_models import WORDS


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


def _drawn(samples, rng):
    """Return latent vectors and the smooth images that belong to them."""
    x = rng.standard_normal((samples, 64)).astype("float32")
    coarse = (x @ rng.standard_normal((64, 49)).astype("float32")).reshape(-1, 7, 7, 1) / 4
    return x, (1 / (1 + np.exp(-coarse))).repeat(4, axis=1).repeat(4, axis=2)


def _videos(samples, rng):
    """Return ten frames with two spots that move, and for each the frame that follows."""
    start, speed = rng.uniform(8, 24, (samples, 1, 2, 2)), rng.uniform(-1.5, 1.5, (samples, 1, 2, 2))
    places = start + speed * np.arange(11)[:, None, None]  # (samples, frame, spot, row or column)
    away = np.exp(-((np.arange(32) - places[..., None]) ** 2) / 8)  # along each axis
    frames = np.einsum("nfsr, nfsc -> nfrc", away[:, :, :, 0], away[:, :, :, 1])[..., None]
    frames = np.minimum(frames, 1).astype("float32")
    return frames[:, :-1].copy(), frames[:, 1:].copy()


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
        Targets for the best Keras engine's time per step over ours; 1 where none has been set.
    """

    title: str
    build: Callable
    make: Callable
    batch: int
    steps: int
    checked: int
    predicted: int
    must: float = 1.0
    aim: float = 1.0

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return x and y of an epoch, the same each time."""
        return self.make(self.batch * self.steps, np.random.default_rng(7))


WORKLOADS = {
    "a": Workload(
        "MLP 784-128-10, Adam, batch 32",
        models.mlp_digits, _images(784), batch=32, steps=200, checked=40, predicted=1024, must=1.1, aim=1.5),
    "b": Workload(
        "MLP 784-512-10, RMSprop, batch 128",
        models.mlp_wide, _images(784), batch=128, steps=60, checked=20, predicted=1024, must=1.0, aim=1.3),
    "c": Workload(
        "MLP 10000-16-16-1 on multi-hot words, RMSprop, batch 512",
        models.mlp_reviews, _multi_hot, batch=512, steps=8, checked=8, predicted=1024, must=1.0, aim=2.0),
    "d": Workload(
        "MLP 13-64-64-1, RMSprop, batch 1",
        models.mlp_houses, _houses, batch=1, steps=404, checked=100, predicted=404, must=3.0, aim=6.0),
    "e": Workload(
        "convnet 32-64-pool-128, Adam, batch 128",
        models.convnet_digits, _images(28, 28, 1),
        batch=128, steps=4, checked=4, predicted=256, must=1.0, aim=1.4),
    "f": Workload(
        "convnet 32-32-pool-64-64-pool-512, RMSprop, batch 32",
        models.convnet_pictures, _images(32, 32, 3),
        batch=32, steps=8, checked=8, predicted=256, must=0.85, aim=1.1),
    "g": Workload(
        "Embedding(20000, 128) + LSTM(128), T = 80, Adam, batch 32",
        models.lstm_reviews, _reviews(80), batch=32, steps=8, checked=8, predicted=256, must=1.0, aim=1.2),
    "h": Workload(
        "Embedding(20000, 64) + average over T = 256, Adam, batch 32",
        models.average_reviews, _reviews(256),
        batch=32, steps=40, checked=20, predicted=1024, must=1.0, aim=2.0),
    "i": Workload(
        "Embedding(20000, 128) + two Conv1D(128, 5), T = 200, RMSprop, batch 128",
        models.convnet_news, _news, batch=128, steps=4, checked=2, predicted=256, must=1.0, aim=1.3),
    "j": Workload(
        "two residual blocks of 64 channels with batch norm on 32x32, Adam, batch 64",
        models.residual_pictures, _images(32, 32, 3),
        batch=64, steps=2, checked=2, predicted=64, must=0.8, aim=1.1),
    "k": Workload(
        "separable and depthwise convolutions 32-64-128 with batch norm on 32x32, Adam, batch 64",
        models.separable_pictures, _images(32, 32, 3), batch=64, steps=2, checked=2, predicted=128),
    "l": Workload(
        "generator 64-7x7x128 with transposed convolutions 64-32-1 to 28x28, Adam, batch 64",
        models.generator_digits, _drawn, batch=64, steps=4, checked=4, predicted=256),
    "m": Workload(
        "Embedding(20000, 128) + GRU(128), T = 80, RMSprop, batch 32",
        models.gru_reviews, _reviews(80), batch=32, steps=8, checked=8, predicted=256),
    "n": Workload(
        "two ConvLSTM2D(16, 3) with batch norm + Conv3D(1, 3), 10 frames of 32x32, Adam, batch 4",
        models.next_frames, _videos, batch=4, steps=4, checked=4, predicted=32),
    "o": Workload(
        "Embedding(20000, 64) + Transformer block of 4 heads of 16 and 128 units, T = 128, Adam, batch 32",
        models.transformer_reviews, _reviews(128), batch=32, steps=16, checked=4, predicted=512),
    "p": Workload(
        "convnet 32-64-128 with group norm on 32x32, Adam, batch 64",
        models.grouped_pictures, _images(32, 32, 3), batch=64, steps=4, checked=4, predicted=256),
}

# For ``compare_devices.py`` alone: too much work for a CPU.
BLOCKS = {
    name: Workload(
        f"two bottlenecks of {width} and {4 * width} channels, batch norm, {size}x{size}, Adam, batch 64",
        models.bottlenecks(size, width), _images(size, size, width),
        batch=64, steps=2, checked=2, predicted=64)
    for name, size, width in (("block56", 56, 64), ("block28", 28, 128), ("block14", 14, 256))
}
ALL = WORKLOADS | BLOCKS
