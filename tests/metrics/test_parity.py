"""Every metric against real Keras over several batches, weights, masks and configurations."""

from __future__ import annotations

import numpy as np
import pytest
from support.metric_cases import ALL, CONFUSION, IOU, PLAIN, identify

from gpukeras import metrics
from gpukeras.tensor import Tensor

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in Keras's .numpy()
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),  # JAX inside IoU
    pytest.mark.filterwarnings("ignore:y_true has shape:UserWarning"),
]


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


@pytest.mark.parametrize("case", ALL, ids=identify)
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


def test_the_table_is_complete(real_keras):
    """Every class is in it; Mean, Sum and the wrapper of functions have tests of their own."""
    classes = {name for name, thing in vars(real_keras.metrics).items() if isinstance(thing, type)}
    assert classes - {"Metric", "Mean", "Sum", "MeanMetricWrapper"} == {case[0] for case in ALL}
