"""One table of metrics, their settings and data: for real Keras, for both devices."""

from __future__ import annotations

import numpy as np

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
ALL = PLAIN + CONFUSION + IOU


def identify(case):
    return "-".join([case[0], *(f"{k}={v}" for k, v in case[1].items())])
