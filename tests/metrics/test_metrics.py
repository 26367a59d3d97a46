"""Metrics without real Keras: naive references in float64, devices, state, names, errors."""

from __future__ import annotations

import numpy as np
import pytest
from support.fake_device import fake_device, forbid_waiting

import gpukeras
from gpukeras import GradientTape, metrics, ops
from gpukeras.tensor import Tensor, Variable

rng = np.random.default_rng(0)
N, C = 9, 4
PROBABILITIES = rng.random((N, C)).astype("float32") + 0.1
PROBABILITIES /= PROBABILITIES.sum(axis=1, keepdims=True)
LABELS = rng.integers(0, C, N)
ONE_HOT = np.eye(C, dtype="float32")[LABELS]
MULTI_HOT = rng.integers(0, 2, (N, C)).astype("float32")
BINARY = rng.integers(0, 2, (N, 1)).astype("float32")
SCORES = rng.random((N, 1)).astype("float32")
REALS, MORE = rng.normal(2, 1, (N, 3)).astype("float32"), rng.normal(2, 1, (N, 3)).astype("float32")
WEIGHTS = rng.integers(0, 3, N).astype("float32")

# name, settings, labels, predictions: one case for every class
CASES = [
    ("Accuracy", {}, LABELS, PROBABILITIES.argmax(1)), ("BinaryAccuracy", {}, BINARY, SCORES),
    ("CategoricalAccuracy", {}, ONE_HOT, PROBABILITIES),
    ("SparseCategoricalAccuracy", {}, LABELS, PROBABILITIES),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT, PROBABILITIES),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, LABELS, PROBABILITIES),
    ("MeanSquaredError", {}, REALS, MORE), ("RootMeanSquaredError", {}, REALS, MORE),
    ("MeanAbsoluteError", {}, REALS, MORE), ("MeanAbsolutePercentageError", {}, REALS, MORE),
    ("MeanSquaredLogarithmicError", {}, abs(REALS), abs(MORE)), ("CosineSimilarity", {}, REALS, MORE),
    ("LogCoshError", {}, REALS, MORE), ("PearsonCorrelation", {}, REALS, MORE),
    ("ConcordanceCorrelation", {}, REALS, MORE), ("Hinge", {}, MULTI_HOT, PROBABILITIES),
    ("SquaredHinge", {}, MULTI_HOT, PROBABILITIES), ("CategoricalHinge", {}, ONE_HOT, PROBABILITIES),
    ("KLDivergence", {}, ONE_HOT, PROBABILITIES), ("Poisson", {}, ONE_HOT, PROBABILITIES),
    ("BinaryCrossentropy", {}, MULTI_HOT, PROBABILITIES),
    ("CategoricalCrossentropy", {}, ONE_HOT, PROBABILITIES),
    ("SparseCategoricalCrossentropy", {}, LABELS, PROBABILITIES),
    ("F1Score", {"average": "macro"}, ONE_HOT, PROBABILITIES),
    ("FBetaScore", {"beta": 2.0, "threshold": 0.3}, MULTI_HOT, PROBABILITIES), ("R2Score", {}, REALS, MORE),
    ("TruePositives", {}, BINARY, SCORES), ("FalsePositives", {"thresholds": [0.2, 0.8]}, BINARY, SCORES),
    ("TrueNegatives", {}, BINARY, SCORES), ("FalseNegatives", {}, BINARY, SCORES),
    ("Precision", {"top_k": 2}, MULTI_HOT, PROBABILITIES),
    ("Recall", {"class_id": 1}, MULTI_HOT, PROBABILITIES),
    ("AUC", {}, BINARY, SCORES), ("AUC", {"curve": "PR", "multi_label": True}, MULTI_HOT, PROBABILITIES),
    ("SensitivityAtSpecificity", {"specificity": 0.5}, BINARY, SCORES),
    ("SpecificityAtSensitivity", {"sensitivity": 0.5}, BINARY, SCORES),
    ("PrecisionAtRecall", {"recall": 0.5}, BINARY, SCORES),
    ("RecallAtPrecision", {"precision": 0.5}, BINARY, SCORES),
    ("IoU", {"num_classes": C, "target_class_ids": [0, 2]}, LABELS, PROBABILITIES.argmax(1)),
    ("MeanIoU", {"num_classes": C}, LABELS, PROBABILITIES.argmax(1)), ("BinaryIoU", {}, BINARY, SCORES),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [1]}, ONE_HOT, PROBABILITIES),
    ("OneHotMeanIoU", {"num_classes": C}, ONE_HOT, PROBABILITIES),
    ("MeanRelativeError", {"normalizer": [1.0, 2.0, 0.0]}, REALS, MORE),
]


def identify(case):
    return case[0]


def place(array):
    """Return an array as a tensor on the current device."""
    return Tensor(gpukeras.backends.current().asarray(array))


def measure(case, weights=None):
    name, settings, y_true, y_pred = case
    metric = getattr(metrics, name)(**settings)
    for part in (slice(0, 4), slice(4, None)):
        w = None if weights is None else place(weights[part])
        metric.update_state(place(y_true[part]), place(y_pred[part]), w)
    return metric


@pytest.mark.parametrize("case", CASES, ids=identify)
def test_devices_state_and_configuration(backend, case):
    metric = measure(case)
    value = metric.result()
    with gpukeras.device("cpu"):
        expected = measure(case).result().numpy()
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5)
    assert value.backend is backend and value.dtype == "float32"
    assert all(not v.trainable for v in metric.variables)
    metric.update_state(*(place(a) for a in case[2:]))
    np.testing.assert_allclose(value.numpy(), expected, rtol=1e-5, err_msg="a result must not change later")
    again = metrics.deserialize(metrics.serialize(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()
    for part in (slice(0, 4), slice(4, None)):
        again.update_state(place(case[2][part]), place(case[3][part]))
    np.testing.assert_allclose(again.result().numpy(), expected, rtol=1e-5)
    metric.reset_state()
    assert all(not np.any(v.numpy()) for v in metric.variables)


@pytest.mark.parametrize("case", CASES, ids=identify)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["plain", "weighted"])
def test_nothing_waits_for_the_device(case, weights):
    if weights is not None and "IoU" in case[0]:
        weights = weights.astype("int32")
    expected = measure(case, weights).result().numpy()
    with fake_device():
        with forbid_waiting():
            metric = measure(case, weights)
            found = metric.result()
            metric.reset_state()
        assert found.device == "gpu:0"
        np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=1e-6)


TIES = rng.integers(0, 3, (N, C)).astype("float32") / 2
STEPS = rng.integers(0, 3, (N, 4, C)).astype("float32") / 2
ACCURACIES = [
    ("SparseCategoricalAccuracy", {}, LABELS, TIES), ("SparseCategoricalAccuracy", {}, LABELS[:, None], TIES),
    ("SparseCategoricalAccuracy", {}, rng.integers(0, C, (N, 4)), STEPS),
    ("CategoricalAccuracy", {}, ONE_HOT, TIES),
    ("CategoricalAccuracy", {}, np.eye(C, dtype="float32")[rng.integers(0, C, (N, 4))], STEPS),
    ("BinaryAccuracy", {}, BINARY, SCORES), ("BinaryAccuracy", {}, BINARY[:, 0], SCORES),
    ("BinaryAccuracy", {"threshold": 0.25}, MULTI_HOT, TIES),
    ("BinaryAccuracy", {"threshold": 1}, MULTI_HOT, TIES),
    ("BinaryAccuracy", {}, rng.integers(0, 2, (N, 4, C)), STEPS),
    ("BinaryAccuracy", {}, MULTI_HOT[:, None], STEPS),
]


@pytest.mark.parametrize("weights", ["none", "samples", "column", "number", "places", "mask"])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("name, settings, labels, scores", ACCURACIES)
def test_accuracies_on_a_gpu_are_those_of_the_cpu(name, settings, labels, scores, dtype, weights):
    scores, values = scores.astype(dtype), None
    if weights in ("places", "mask") and scores.ndim < 3:
        values = WEIGHTS if weights == "places" else (WEIGHTS > 0)
    elif weights != "none":
        shapes = {"samples": (N,), "column": (N, 1), "number": ()}
        values = rng.integers(0, 3, shapes.get(weights, (N, 4))).astype("float32")

    def state():
        metric = getattr(metrics, name)(**settings)
        for _ in range(2):
            y, p, w = place(labels), place(scores), None if values is None else place(values)
            if weights == "mask":
                p._keras_mask, w = place(values > 0), None
            metric.update_state(y, p, sample_weight=w)
        return metric

    expected = [v.numpy() for v in state().variables]
    with fake_device():
        with forbid_waiting():
            metric = state()
        for variable, want in zip(metric.variables, expected):
            np.testing.assert_allclose(variable.numpy(), want, 1e-6)
            assert variable.version == 2


def test_a_gpu_counts_right_predictions_without_values_of_samples(monkeypatch):
    with fake_device() as gpu:
        metric = metrics.SparseCategoricalAccuracy()
        monkeypatch.setattr(metric, "_fn", None)
        metric.update_state(place(LABELS), place(TIES), sample_weight=place(WEIGHTS))
        assert float(metric.count.numpy()) == WEIGHTS.sum() and gpu.owns(metric.total.array)


def test_confusion_counts_by_hand(backend):
    y, p = place(np.array([1, 1, 0, 0, 1])), place(np.array([0.9, 0.5, 0.7, 0.1, 0.2], "float32"))
    w = place(np.array([1, 2, 3, 4, 5], "float32"))
    expected = {"TruePositives": 1, "FalsePositives": 3, "TrueNegatives": 4, "FalseNegatives": 7}
    for name, value in expected.items():
        metric = getattr(metrics, name)()
        assert float(metric(y, p, w)) == value  # a score of exactly 0.5 is not above the threshold
    even, uneven = ({"thresholds": t} for t in ([0, 0.25, 0.5, 0.75, 1], [0, 0.25, 0.5, 0.7501, 1]))
    for settings in (even, uneven):
        found = metrics.TruePositives(**settings)(y, p, w).numpy()
        np.testing.assert_allclose(found, [8, 3, 1, 1, 0])


def test_area_under_the_curve_against_all_pairs(backend):
    y = rng.integers(0, 2, 400)
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0, 1).astype("float32")
    difference = p[y == 1][:, None] - p[y == 0][None]
    exact = (difference > 0).mean() + 0.5 * (difference == 0).mean()
    found = metrics.AUC(num_thresholds=1000)(place(y), place(p))
    assert abs(float(found) - exact) < 2e-3


def test_loss_of_a_batch_is_averaged_over_samples(backend):
    metric = metrics.Mean()
    metric.update_state(place(np.float32(2.0)), sample_weight=32)
    metric.update_state(place(np.float32(4.0)), sample_weight=16)
    np.testing.assert_allclose(float(metric.result()), (64 + 64) / 48, rtol=1e-6)
    metric.reset_states()
    assert float(metric.result()) == 0.0


def test_nothing_is_recorded(backend):
    v = Variable(np.ones((N, 1), "float32"))
    metric = metrics.MeanSquaredError()
    with GradientTape() as tape:
        y = v * 2.0
        count = len(tape._records)
        metric.update_state(place(BINARY), y)
        assert len(tape._records) == count
        loss = ops.sum(y)
    np.testing.assert_allclose(tape.gradient(loss, v).numpy(), 2.0)


def test_custom_metrics():
    class Count(metrics.Metric):
        def __init__(self, name="count", **kwargs):
            super().__init__(name=name, **kwargs)
            self.seen = self.add_weight("seen", initializer="zeros")
            self.inside = metrics.Mean()
            self.own = Variable(0.0, trainable=False)

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.seen.assign_add(float(len(y_pred)))
            self.own.assign_add(1.0)
            self.inside.update_state(y_pred)

        def result(self):
            return self.seen.value

    metric, other = Count(), Count()
    assert len(metric.variables) == 4
    assert float(metric(LABELS, SCORES)) == N
    other.update_state(LABELS, SCORES)
    metric.merge_state([other])
    assert float(metric.result()) == 2 * N and float(metric.own) == 2
    metric.reset_state()
    assert float(metric.inside.result()) == 0 == float(metric.own)

    class Forgot(metrics.Metric):
        def __init__(self):
            self.total = self.add_weight(name="total")

    with pytest.raises(RuntimeError, match="super"):
        Forgot()
    with pytest.raises(NotImplementedError, match="update_state"):
        metrics.Metric()(1, 2)


def test_wrapped_function_keeps_its_settings():
    def off_by(y_true, y_pred, scale=1.0):
        return ops.abs(y_true - y_pred) * scale

    metric = metrics.MeanMetricWrapper(off_by, name="off", scale=3.0)
    np.testing.assert_allclose(float(metric(REALS, MORE)), 3 * abs(REALS - MORE).mean(), rtol=1e-6)
    with gpukeras.utils.custom_object_scope({"off_by": off_by}):
        again = metrics.deserialize(metrics.serialize(metric))
    np.testing.assert_allclose(float(again(REALS, MORE)), float(metric.result()), rtol=1e-6)


def test_mean_tensor(backend):
    metric = metrics.MeanTensor()
    metric.update_state(place(np.float32([[1, 2], [3, 4]])))
    metric.update_state(place(np.float32([[5, 6], [7, 8]])), place(np.float32([1, 0])))
    np.testing.assert_allclose(metric.result().numpy(), [[3, 4], [3, 4]])
    with pytest.raises(ValueError, match="takes values of shape"):
        metric.update_state(place(np.float32([1, 2])))
    with pytest.raises(ValueError, match="no values"):
        metrics.MeanTensor().result()
    assert metrics.MeanTensor(shape=(2,)).total.shape == (2,)


def test_dtypes():
    metric = metrics.Mean("exact", "float64")
    metric.update_state(np.float64([1, 2, 4]))
    assert (metric.name, metric.dtype, metric.result().dtype) == ("exact", "float64", np.dtype("float64"))
    assert metrics.Metric("named", "float16").dtype == "float16"


def test_names():
    for name, cls in {"mse": "MeanSquaredError", "acc": "Accuracy", "AUC": "AUC", "kld": "KLDivergence",
                      "cosine_proximity": "CosineSimilarity", "top_k_categorical_accuracy":
                      "TopKCategoricalAccuracy", "rmse": "RootMeanSquaredError"}.items():
        assert type(metrics.get(name)).__name__ == cls
    assert metrics.get(None) is None and metrics.get(metrics.binary_accuracy) is metrics.binary_accuracy
    with pytest.raises(ValueError, match="did you mean 'precision'"):
        metrics.get("precison")
    with pytest.raises(ValueError, match="cannot make a metric of 3"):
        metrics.get(3)


@pytest.mark.parametrize("make, message", [
    (lambda: metrics.Precision(thresholds=[0.5, 1.5]), r"in \[0, 1\], came \[1.5\]"),
    (lambda: metrics.AUC(curve="XY"), "curve must be one of"),
    (lambda: metrics.AUC(summation_method="x"), "summation_method must be one of"),
    (lambda: metrics.AUC(num_thresholds=1), "num_thresholds"),
    (lambda: metrics.AUC(num_labels=3), "multi_label"),
    (lambda: metrics.AUC(multi_label=True)(LABELS, LABELS), r"\(N, labels\)"),
    (lambda: metrics.PrecisionAtRecall(2), r"recall must be in \[0, 1\]"),
    (lambda: metrics.PrecisionAtRecall(0.5, num_thresholds=0), "num_thresholds"),
    (lambda: metrics.FBetaScore(average="x"), "average must be"),
    (lambda: metrics.FBetaScore(beta=0), "beta must be"),
    (lambda: metrics.FBetaScore(threshold=2.0), "threshold must be"),
    (lambda: metrics.F1Score()(LABELS, LABELS), r"\(N, classes\)"),
    (lambda: metrics.F1Score().result(), "no values yet"),
    (lambda: metrics.R2Score("x"), "class_aggregation"),
    (lambda: metrics.R2Score(num_regressors=-1), "num_regressors"),
    (lambda: metrics.R2Score()(LABELS, LABELS), r"\(N, outputs\)"),
    (lambda: metrics.R2Score().result(), "no values yet"),
    (lambda: metrics.IoU(2, [2]), "target_class_ids"),
    (lambda: metrics.MeanIoU(2)(LABELS, LABELS[:3]), "9 labels came for 3"),
    (lambda: metrics.Recall()(LABELS, PROBABILITIES), "they must be equal"),
    (lambda: metrics.Recall(class_id=1)(LABELS, LABELS), "class_id needs"),
    (lambda: metrics.categorical_accuracy(LABELS, PROBABILITIES), "one-hot labels"),
    (lambda: metrics.sparse_categorical_accuracy(ONE_HOT, PROBABILITIES), "one class number"),
    (lambda: metrics.top_k_categorical_accuracy(ONE_HOT[:3], PROBABILITIES), "they must be equal"),
    (lambda: metrics.BinaryAccuracy()(LABELS, PROBABILITIES), "they must be equal"),
    (lambda: metrics.RootMeanSquaredError()(LABELS, PROBABILITIES), "they must be equal"),
    (lambda: metrics.Mean().merge_state([metrics.Sum()]), "cannot merge"),
])
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_warnings():
    with pytest.warns(UserWarning, match="too few to adjust"):
        metric = metrics.R2Score(num_regressors=30)
        metric(REALS, MORE)
    with pytest.warns(UserWarning, match="cut to int32"):
        metrics.MeanIoU(C)(LABELS, LABELS, WEIGHTS)


def test_confusion_matrix(backend):
    found = metrics.confusion.confusion_matrix(place(LABELS), place(PROBABILITIES.argmax(1)), C)
    expected = np.zeros((C, C), int)
    np.add.at(expected, (LABELS, PROBABILITIES.argmax(1)), 1)
    np.testing.assert_array_equal(found.numpy(), expected)


def test_mask_on_predictions_counts_as_weights(backend):
    y_true, y_pred = place(np.zeros((2, 3, 2), "float32")), place(np.ones((2, 3, 2), "float32"))
    y_pred.array[0, 2] = 9
    y_pred.array[1, 1:] = 9
    y_pred._keras_mask = place(np.array([[True, True, False], [True, False, False]]))
    for weights in (None, place(np.array([[1, 2, 3], [4, 5, 6]], "float32"))):
        metric = metrics.MeanSquaredError()
        metric.update_state(y_true, y_pred, weights)
        np.testing.assert_allclose(float(metric.result()), 1.0)


def test_scores_that_are_sorted_class_numbers():
    ids = np.array([[2, 0, 1], [1, 2, 0]])
    found = metrics.sparse_top_k_categorical_accuracy([0, 0], ids, k=2, from_sorted_ids=True)
    assert found.numpy().tolist() == [1, 0]
    assert metrics.sparse_top_k_categorical_accuracy([[0], [0]], ids, k=2).shape == (2, 1)


@pytest.mark.parametrize("curve", ["ROC", "PR", "PRGAIN"])
@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
def test_areas_bracket_each_other(curve, method):
    areas = {
        m: float(metrics.AUC(50, curve, m)(BINARY, SCORES)) for m in ("minoring", method, "majoring")
    }
    assert areas["minoring"] <= areas[method] + 1e-6 and areas[method] <= areas["majoring"] + 1e-6
    labels = metrics.AUC(50, curve, method, multi_label=True, label_weights=[1, 0, 0, 0])
    alone = metrics.AUC(50, curve, method)
    np.testing.assert_allclose(
        float(labels(MULTI_HOT, PROBABILITIES)), float(alone(MULTI_HOT[:, 0], PROBABILITIES[:, 0])), rtol=1e-5
    )
    assert len(alone.thresholds) == 50
    assert float(metrics.AUC(multi_label=True).result()) == 0.0
