"""One table of losses and their arguments: for real Keras, for both devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

N, K = 6, 4  # samples, classes


@dataclass
class LossCase:
    """A loss class with settings, and data for it.

    Attributes
    ----------
    targets, predictions : callable
        ``f(rng)`` returns an array.
    function : str or None
        Name of the function of the same loss.
    per_sample : bool
        Whether it has a value for every sample, so that weights of samples have a meaning.
    real : bool
        Whether real Keras can do it.
    slope : bool
        Whether its gradient is compared with that of real Keras; CTC's takes JAX too long.
    """

    name: str
    settings: dict
    targets: Callable
    predictions: Callable
    function: str | None = None
    per_sample: bool = True
    tolerance: float = 1e-5
    real: bool = True
    slope: bool = True
    arrays: tuple = field(init=False)

    def __post_init__(self):
        rng = np.random.default_rng(len(self.name) + len(self.settings))
        self.arrays = self.targets(rng), self.predictions(rng)

    def __repr__(self):
        shape = "x".join(map(str, self.arrays[1].shape))
        return "-".join([self.name, shape, *(f"{k}={v}" for k, v in self.settings.items())])


def reals(*shape):
    return lambda rng: rng.normal(0.5, 2, shape).astype("float32")


def positive(*shape):
    return lambda rng: rng.uniform(0.2, 2.5, shape).astype("float32")


def shares(*shape):
    return lambda rng: rng.uniform(0.05, 0.95, shape).astype("float32")


def binary(*shape):
    return lambda rng: rng.integers(0, 2, shape).astype("float32")


def signs(*shape):
    return lambda rng: (rng.integers(0, 2, shape) * 2 - 1).astype("float32")


def probabilities(*shape, axis=-1):
    def make(rng):
        values = rng.uniform(0.1, 1, shape).astype("float32")
        return values / values.sum(axis, keepdims=True)

    return make


def numbers(*shape):
    return lambda rng: rng.integers(0, K, shape)


def one_hot(*shape, axis=-1):
    return lambda rng: np.moveaxis(np.eye(K, dtype="float32")[rng.integers(0, K, shape)], -1, axis)


def unit(*shape):
    def make(rng):
        values = rng.standard_normal(shape).astype("float32")
        return values / np.linalg.norm(values, axis=-1, keepdims=True)

    return make


def _regression():
    for name, function, targets, predictions in (
        ("MeanSquaredError", "mean_squared_error", reals, reals),
        ("MeanAbsoluteError", "mean_absolute_error", reals, reals),
        ("MeanAbsolutePercentageError", "mean_absolute_percentage_error", positive, reals),
        ("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error", positive, positive),
        ("LogCosh", "log_cosh", reals, reals), ("Huber", "huber", reals, reals),
        ("CosineSimilarity", "cosine_similarity", reals, reals), ("Poisson", "poisson", positive, positive),
        ("KLDivergence", "kl_divergence", shares, shares), ("Hinge", "hinge", signs, reals),
        ("SquaredHinge", "squared_hinge", binary, reals),
        ("CategoricalHinge", "categorical_hinge", None, reals),
    ):
        targets = targets or (lambda *shape: one_hot(*shape[:-1]))
        yield LossCase(name, {}, targets(N, K), predictions(N, K), function)
        yield LossCase(name, {}, targets(N, 3, K), predictions(N, 3, K), function)
    yield LossCase("MeanSquaredError", {}, reals(N), reals(N, 1), "mean_squared_error")
    yield LossCase("MeanAbsoluteError", {}, reals(N, 1), reals(N), "mean_absolute_error")
    yield LossCase("Huber", {"delta": 0.3}, reals(N, K), reals(N, K), "huber")
    yield LossCase("CosineSimilarity", {"axis": 1}, reals(N, 3, K), reals(N, 3, K), "cosine_similarity")
    yield LossCase("CosineSimilarity", {"axis": (1, 2)}, reals(N, 3, K), reals(N, 3, K), "cosine_similarity")


def _binary():
    name, function = "BinaryCrossentropy", "binary_crossentropy"
    yield LossCase(name, {}, binary(N, 1), shares(N, 1), function)
    yield LossCase(name, {"label_smoothing": 0.2}, binary(N, 3, K), shares(N, 3, K), function)
    yield LossCase(name, {"from_logits": True, "axis": 1}, binary(N, 3, K), reals(N, 3, K), function)
    name, function = "BinaryFocalCrossentropy", "binary_focal_crossentropy"
    yield LossCase(name, {}, binary(N, K), shares(N, K), function)
    yield LossCase(name, {"apply_class_balancing": True, "alpha": 0.4, "gamma": 1.5}, binary(N, 3, K),
                   shares(N, 3, K), function)
    yield LossCase(name, {"from_logits": True, "label_smoothing": 0.1, "axis": 1}, binary(N, 3, K),
                   reals(N, 3, K), function)


def _classes():
    name, function = "CategoricalCrossentropy", "categorical_crossentropy"
    yield LossCase(name, {}, one_hot(N), probabilities(N, K), function)
    yield LossCase(name, {}, one_hot(N), positive(N, K), function)  # sums other than one
    yield LossCase(name, {"from_logits": True, "label_smoothing": 0.1}, one_hot(N, 3), reals(N, 3, K),
                   function)
    yield LossCase(name, {"axis": 1}, one_hot(N, 3, axis=1), probabilities(N, K, 3, axis=1), function)
    name, function = "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"
    yield LossCase(name, {}, numbers(N), probabilities(N, K), function)
    yield LossCase(name, {"from_logits": True}, numbers(N, 1), reals(N, K), function)
    yield LossCase(name, {"from_logits": True, "ignore_class": 1}, numbers(N, 3), reals(N, 3, K), function)
    yield LossCase(name, {"ignore_class": 0}, numbers(N, 3), probabilities(N, 3, K), function)
    yield LossCase(name, {"axis": 1, "from_logits": True}, numbers(N, 3), reals(N, K, 3), function,
                   real=False)
    name, function = "CategoricalFocalCrossentropy", "categorical_focal_crossentropy"
    yield LossCase(name, {}, one_hot(N), probabilities(N, K), function)
    yield LossCase(name, {"alpha": 0.5, "gamma": 1.0, "from_logits": True, "label_smoothing": 0.1},
                   one_hot(N, 3), reals(N, 3, K), function)
    yield LossCase(name, {"alpha": [0.1, 0.2, 0.3, 0.4], "axis": 1}, one_hot(N, axis=1),
                   probabilities(N, K), function)
    name, function = "CategoricalGeneralizedCrossEntropy", "categorical_generalized_cross_entropy"
    yield LossCase(name, {}, numbers(N), probabilities(N, K), None)
    yield LossCase(name, {"q": 0.7}, numbers(N), probabilities(N, K), function)
    yield LossCase("CTC", {}, lambda rng: np.array([[1, 2, 0], [1, 1, 3], [2, 3, 1]]), reals(3, 6, K), "ctc",
                   tolerance=1e-4, slope=False)


def _overlaps():
    for name, function in (("Dice", "dice"), ("Tversky", "tversky")):
        yield LossCase(name, {}, binary(N, 3, 2), shares(N, 3, 2), function, per_sample=False)
        yield LossCase(name, {"axis": (1, 2)}, binary(N, 3, 2), shares(N, 3, 2), function)
    yield LossCase("Tversky", {"alpha": 0.3, "beta": 0.8}, binary(N, 3), shares(N, 3), "tversky", False)
    for settings in ({}, {"gamma": 5.0, "margin": 0.2, "remove_diagonal": False}):
        yield LossCase("Circle", settings, lambda rng: np.array([0, 1, 0, 2, 1, 1]), unit(N, K), "circle",
                       tolerance=1e-4)


CASES = [*_regression(), *_binary(), *_classes(), *_overlaps()]
