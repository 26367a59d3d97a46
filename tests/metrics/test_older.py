"""Metrics of Keras 2 alone, values in and out, and every metric of the table on both devices."""

from __future__ import annotations

import numpy as np
import pytest
from support.metric_cases import ALL, identify

import gpukeras as keras
from gpukeras import metrics, ops


# ---- both devices -----------------------------------------------------------------------------------------
@pytest.mark.cpu  # once: the test itself goes to both devices
@pytest.mark.parametrize("case", ALL, ids=identify)
def test_state_and_result_are_the_same_on_both_devices(case, on_gpu):
    expected = measured(case)
    with on_gpu():
        found = measured(case)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def measured(case):
    name, settings, labels, predictions = case
    metric, rng = getattr(metrics, name)(**settings), np.random.default_rng(5)
    for weighted in (False, True):
        y_true, y_pred = (ops.convert_to_tensor(make(rng, 6)) for make in (labels, predictions))
        weights = None
        if weighted and name != "CosineSimilarity":
            dtype = "int32" if "IoU" in name else "float32"
            weights = ops.convert_to_tensor(rng.integers(0, 3, 6).astype(dtype))
        metric.update_state(y_true, y_pred, weights)
    return [metric.result().numpy(), *metric.get_weights()]


# ---- Keras 2 ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("reduction, plain, weighted", [
    ("sum", 10, 11 + 8), ("sum_over_batch_size", 2.5, 19 / 4), ("weighted_mean", 2.5, 19 / 6),
])
def test_reduce(reduction, plain, weighted):
    values, weights = [1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 2.0, 3.0]
    metric = metrics.Reduce(reduction, "mine")
    assert float(metric(values)) == plain
    metric.reset_state()
    assert float(metric(values, weights)) == pytest.approx(weighted)
    again = metrics.deserialize(metrics.serialize(metric))
    assert again.reduction == reduction and again.name == "mine"
    with pytest.raises(ValueError, match="reduction must be one of"):
        metrics.Reduce("average", "x")


def test_reduce_takes_one_weight_for_several_values():
    values = np.array([[1.0, 3.0], [5.0, 7.0]], "float32")
    for reduction, expected in (("sum", 4 + 24), ("weighted_mean", (2 + 12) / 3)):
        assert float(metrics.Reduce(reduction, "x")(values, [1.0, 2.0])) == pytest.approx(expected)


def test_clones_have_their_own_state():
    metric = metrics.AUC(num_thresholds=7, name="area")
    metric.update_state([0, 1], [0.2, 0.9])
    copy, same = metrics.clone_metrics([metric, len])
    assert same is len and copy.name == "area" and copy.num_thresholds == 7
    assert not np.any(copy.get_weights()[0])
    copy.set_weights(metric.get_weights())
    assert float(copy.result()) == float(metric.result())
    with pytest.raises(ValueError, match="arrays came"):
        copy.set_weights([])
    store: dict = {}
    metric.save_own_variables(store)
    copy.reset_state()
    copy.load_own_variables(store)
    assert float(copy.result()) == float(metric.result())


class Longest(metrics.experimental.PyMetric):
    """Sees NumPy arrays and keeps a list."""

    def reset_state(self):
        self.seen = []

    def update_state(self, y_true, y_pred, sample_weight=None):
        assert type(y_true) is type(y_pred) is np.ndarray
        assert sample_weight is None or type(sample_weight) is np.ndarray
        self.seen += [abs(y_true - y_pred).max()]

    def result(self):
        return max(self.seen, default=0.0)


def test_a_metric_of_the_host_in_a_model():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile("sgd", "mse", metrics=[Longest(name="longest")], weighted_metrics=[Longest(name="other")])
    x, y = np.array([[1.0, 2.0], [3.0, 4.0]], "float32"), np.array([[0.0], [2.0]], "float32")
    found = model.evaluate(x, y, batch_size=1, sample_weight=np.ones(2), verbose=0, return_dict=True)
    assert found["longest"] == found["other"] == 5.0
    assert float(Longest().result()) == 0.0


def test_names_of_keras_2():
    y = np.array([[1.0, 2.0], [3.0, 1.0]], "float32")
    np.testing.assert_allclose(metrics.cosine_proximity(y, y).numpy(), 1, rtol=1e-6)
    assert metrics.cosine is metrics.cosine_proximity and metrics.kld is metrics.kl_divergence
    assert issubclass(metrics.PrecisionAtRecall, metrics.SensitivitySpecificityBase)
    metric = metrics.AUC(curve="PR")
    metric.update_state([0, 1, 1], [0.1, 0.4, 0.8])
    assert float(metric.interpolate_pr_auc()) == float(metric.result())
    assert metric.trainable_weights == [] and metric.stateful
    assert metrics.serialize(metric, use_legacy_format=True)["class_name"] == "AUC"


def test_values_in_values_out():
    metric, plain = metrics.Mean(), metrics.Mean()
    state = metric.stateless_reset_state()
    for batch in ([1.0, 2.0], [6.0]):
        state = metric.stateless_update_state(state, batch)
        plain.update_state(batch)
    assert float(metric.stateless_result(state)) == float(plain.result()) == 3.0
    assert float(metric.count) == 0.0
    with pytest.raises(ValueError, match="2 state variables, 1 values"):
        metric.stateless_result(state[:1])
