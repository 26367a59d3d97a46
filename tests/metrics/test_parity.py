"""Every metric against real Keras over several batches, weights, masks and configurations."""

from __future__ import annotations

import numpy as np
import pytest

from gpukeras import metrics
from gpukeras.tensor import Tensor

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in Keras's .numpy()
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),  # JAX inside IoU
    pytest.mark.filterwarnings("ignore:y_true has shape:UserWarning"),
]
CLASSES = 4


def probabilities(rng, n=7):
    scores = rng.random((n, CLASSES)).astype("float32")
    return scores / scores.sum(axis=1, keepdims=True)


def one_hot(rng, n=7):
    return np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, n)]


def numbers(rng, n=7):
    return rng.integers(0, CLASSES, n)


def binary(rng, n=7):
    return rng.integers(0, 2, (n, 1)).astype("float32")


def scores(rng, n=7):
    return rng.random((n, 1)).astype("float32")


def multi_hot(rng, n=7):
    return rng.integers(0, 2, (n, CLASSES)).astype("float32")


def many_scores(rng, n=7):
    return rng.random((n, CLASSES)).astype("float32")


def reals(rng, n=7):
    return rng.normal(2, 1, (n, 3)).astype("float32")


def positive(rng, n=7):
    return rng.uniform(0.5, 2, (n, 3)).astype("float32")


def images(rng, n=7):
    return rng.random((n, 5, 2)).astype("float32")


def logits(rng, n=7):
    return rng.normal(0, 2, (n, CLASSES)).astype("float32")


PLAIN = [  # name, settings, labels, predictions
    ("Accuracy", {}, numbers, numbers),
    ("BinaryAccuracy", {}, binary, scores), ("BinaryAccuracy", {"threshold": 0.3}, multi_hot, many_scores),
    ("CategoricalAccuracy", {}, one_hot, probabilities),
    ("SparseCategoricalAccuracy", {}, numbers, probabilities),
    ("TopKCategoricalAccuracy", {"k": 2}, one_hot, probabilities),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, numbers, probabilities),
    ("SparseTopKCategoricalAccuracy", {"k": 2, "from_sorted_ids": True}, numbers,
     lambda rng, n=7: rng.permuted(np.tile(np.arange(CLASSES), (n, 1)), axis=1).astype("float32")),
    ("MeanSquaredError", {}, reals, reals), ("MeanSquaredError", {}, images, images),
    ("RootMeanSquaredError", {}, reals, reals), ("MeanAbsoluteError", {}, reals, reals),
    ("MeanAbsolutePercentageError", {}, reals, reals),
    ("MeanSquaredLogarithmicError", {}, positive, positive),
    ("CosineSimilarity", {}, reals, reals), ("CosineSimilarity", {"axis": 0}, reals, reals),
    ("LogCoshError", {}, reals, reals), ("PearsonCorrelation", {}, reals, reals),
    ("ConcordanceCorrelation", {}, reals, reals), ("Hinge", {}, multi_hot, logits),
    ("SquaredHinge", {}, multi_hot, logits), ("CategoricalHinge", {}, one_hot, logits),
    ("KLDivergence", {}, probabilities, probabilities), ("Poisson", {}, positive, positive),
    ("BinaryCrossentropy", {}, multi_hot, many_scores),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, multi_hot, logits),
    ("CategoricalCrossentropy", {}, one_hot, probabilities),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, one_hot, logits),
    ("SparseCategoricalCrossentropy", {}, numbers, probabilities),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, numbers, logits),
    ("F1Score", {}, one_hot, probabilities),
    ("F1Score", {"average": "micro", "threshold": 0.4}, multi_hot, many_scores),
    ("FBetaScore", {"beta": 2.0, "average": "macro"}, one_hot, probabilities),
    ("FBetaScore", {"beta": 0.5, "average": "weighted", "threshold": 0.5}, multi_hot, many_scores),
    ("R2Score", {}, reals, reals), ("R2Score", {"class_aggregation": None}, reals, reals),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 2}, reals, reals),
]
SEVERAL = {"thresholds": [0.2, 0.45, 0.9]}
EVEN = {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}
CONFUSION = [
    *[(name, s, multi_hot, many_scores) for name in (
        "TruePositives", "FalsePositives", "TrueNegatives", "FalseNegatives", "Precision", "Recall")
      for s in ({}, SEVERAL, EVEN, {"thresholds": 0.3})],
    *[(name, s, multi_hot, many_scores) for name in ("Precision", "Recall") for s in (
        {"top_k": 2}, {"class_id": 1}, {"top_k": 1, "class_id": 3}, {"top_k": 3, "thresholds": 0.4})],
    ("SensitivityAtSpecificity", {"specificity": 0.4}, binary, scores),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5, "num_thresholds": 20}, binary, scores),
    ("PrecisionAtRecall", {"recall": 0.6}, binary, scores),
    ("RecallAtPrecision", {"precision": 0.5, "num_thresholds": 1}, binary, scores),
    ("RecallAtPrecision", {"precision": 0.5, "class_id": 2}, multi_hot, many_scores),
    *[("AUC", {"curve": c, "summation_method": m, "num_thresholds": n}, binary, scores)
      for c in ("ROC", "PR", "PRGAIN") for m in ("interpolation", "minoring", "majoring") for n in (200, 7)],
    ("AUC", {"thresholds": [0.1, 0.5, 0.6]}, binary, scores),
    ("AUC", {"thresholds": [0.25, 0.5, 0.75], "curve": "PR"}, binary, scores),
    ("AUC", {"multi_label": True}, multi_hot, many_scores),
    ("AUC", {"multi_label": True, "num_labels": CLASSES, "label_weights": [1.0, 0.5, 2.0, 0.0],
     "curve": "PR"},
     multi_hot, many_scores),
    ("AUC", {"multi_label": True, "thresholds": [0.2, 0.3, 0.8]}, multi_hot, many_scores),
    ("AUC", {"label_weights": [1.0, 0.5, 2.0, 0.1], "num_thresholds": 50}, multi_hot, many_scores),
    ("AUC", {"from_logits": True}, multi_hot, logits),
]
IOU = [
    ("IoU", {"num_classes": CLASSES, "target_class_ids": [0, 2]}, numbers, numbers),
    ("IoU", {"num_classes": CLASSES, "target_class_ids": [1, 3], "ignore_class": 0, "sparse_y_pred": False},
     numbers, probabilities),
    ("MeanIoU", {"num_classes": CLASSES}, numbers, numbers),
    ("BinaryIoU", {"threshold": 0.4}, binary, scores),
    ("BinaryIoU", {"target_class_ids": [1]}, binary, scores),
    ("OneHotIoU", {"num_classes": CLASSES, "target_class_ids": [0, 1]}, one_hot, probabilities),
    ("OneHotMeanIoU", {"num_classes": CLASSES}, one_hot, probabilities),
]


def identify(case):
    return "-".join([case[0], *(f"{k}={v}" for k, v in case[1].items())])


def both(keras, case, weights=lambda rng, n: None, batches=2):
    """Return our metric and Keras's after the same batches."""
    name, settings, labels, predictions = case
    ours, theirs = getattr(metrics, name)(**settings), getattr(keras.metrics, name)(**settings)
    rng = np.random.default_rng(5)
    for n in [6] * batches:  # one shape: JAX compiles once
        y, p = labels(rng, n), predictions(rng, n)
        w = weights(rng, n)
        ours.update_state(Tensor(y), Tensor(p), None if w is None else Tensor(w))
        theirs.update_state(keras.ops.array(y), keras.ops.array(p), w)
    return ours, theirs


def same(ours, theirs, rtol=3e-5):
    result = ours.result()
    np.testing.assert_allclose(result.numpy(), np.asarray(theirs.result()), rtol=rtol, atol=2e-6)
    assert result.dtype == np.asarray(theirs.result()).dtype
    assert [v.shape for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]
    for a, b in zip(ours.variables, theirs.variables):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=rtol, atol=1e-5, err_msg=a.path)


@pytest.mark.parametrize("case", PLAIN + CONFUSION + IOU, ids=identify)
def test_result(real_keras, case):
    ours, theirs = both(real_keras, case)
    same(ours, theirs)
    config, other = ours.get_config(), theirs.get_config()
    for name in ("fn", "name", "fn_kwargs"):
        config.pop(name, None), other.pop(name, None)
    if "label_weights" in other and other["label_weights"] is not None:
        other["label_weights"] = np.asarray(other["label_weights"]).tolist()
        np.testing.assert_allclose(config.pop("label_weights"), other.pop("label_weights"))
    if "thresholds" in other and other["thresholds"] is not None:
        np.testing.assert_allclose(config.pop("thresholds"), other.pop("thresholds"))
    if case[0] == "CosineSimilarity":  # Keras forgets the axis
        config.pop("axis")
    assert config == other


@pytest.mark.parametrize("case", [c for c in PLAIN if c[0] != "CosineSimilarity"] + CONFUSION, ids=identify)
def test_sample_weight(real_keras, case):
    same(*both(real_keras, case, lambda rng, n: rng.integers(0, 3, n).astype("float32")))


@pytest.mark.parametrize("case", IOU, ids=identify)
def test_integer_weights(real_keras, case):
    same(*both(real_keras, case, lambda rng, n: rng.integers(0, 3, n).astype("int32")))


@pytest.mark.parametrize("shape", [(), (1,), "n", "n1", "n5"])
@pytest.mark.parametrize("name", ["Mean", "Sum"])
@pytest.mark.parametrize("values", [(6,), (6, 1), (6, 5), (6, 5, 2), ()])
def test_mean_and_sum_weights(real_keras, name, values, shape):
    rng = np.random.default_rng(3)
    shape = {"n": values[:1], "n1": (*values[:1], 1), "n5": values[:2]}.get(shape, shape)
    if len(shape) > len(values) + 1 or (not values and shape not in ((), (1,))):
        pytest.skip("weights of a higher rank than the values")
    x, w = rng.random(values).astype("float32"), rng.random(shape).astype("float32")
    ours, theirs = getattr(metrics, name)(), getattr(real_keras.metrics, name)()
    for metric in (ours, theirs):
        metric.update_state(x)
        metric.update_state(x, sample_weight=w)
    same(ours, theirs)


def test_masks(real_keras):
    rng = np.random.default_rng(0)
    y, p = rng.random((4, 3, 2)).astype("float32"), rng.random((4, 3, 2)).astype("float32")
    mask = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], bool)
    for weights in (None, rng.random((4, 3)).astype("float32")):
        ours, theirs = metrics.MeanSquaredError(), real_keras.metrics.MeanSquaredError()
        tensor, array = Tensor(p), real_keras.ops.array(p)
        tensor._keras_mask = Tensor(mask)
        real_keras.src.backend.set_keras_mask(array, real_keras.ops.array(mask))
        ours.update_state(y, tensor, weights)
        theirs.update_state(y, array, weights)
        same(ours, theirs)


def test_names(real_keras):
    for name in ("mse", "MAE", "mean_absolute_error", "AUC", "precision", "kl_divergence", "R2Score"):
        theirs, ours = real_keras.metrics.get(name), metrics.get(name)
        assert type(ours).__name__ == type(theirs).__name__
        assert ours.name.rstrip("_0123456789") == theirs.name.rstrip("_0123456789")
