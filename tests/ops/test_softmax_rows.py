"""A cross-entropy that takes over what its softmax found gives what it gives from the logits."""

from __future__ import annotations

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import ops


def _loss_and_gradient(x, labels, from_logits, **settings):
    x = ops.convert_to_tensor(x, str(x.dtype))
    with keras.GradientTape() as tape:
        tape.watch(x)
        p = x if from_logits else ops.softmax(x)
        loss = ops.sparse_categorical_crossentropy(labels, p, from_logits=from_logits, **settings)
        total = ops.sum(loss * ops.cast(ops.arange(len(labels)), loss.dtype))
    return loss.numpy(), tape.gradient(total, x).numpy(), p


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(6, 4), (40, 10), (3, 100)])
def test_rows_give_what_logits_give(backend, shape, dtype):
    rng = np.random.default_rng(0)
    x = (rng.standard_normal(shape) * 30).astype(dtype)  # the softmax rounds to 0 and 1
    labels = rng.integers(0, shape[1], shape[0])
    loss, gradient, p = _loss_and_gradient(x, labels, from_logits=False)
    expected, slope, _ = _loss_and_gradient(x, labels, from_logits=True)
    assert (p._softmax_rows is None) == (dtype == "float16")
    tolerance = {"float16": 1e-3, "float32": 1e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(loss, expected, rtol=tolerance, atol=tolerance)
    np.testing.assert_allclose(gradient, slope, rtol=10 * tolerance, atol=10 * tolerance)
    exact = x.astype("float64")
    exact = np.log(np.exp(exact - exact.max(1, keepdims=True)).sum(1)) + exact.max(1) - exact[
        np.arange(shape[0]), labels]
    np.testing.assert_allclose(loss, exact, rtol=10 * tolerance, atol=10 * tolerance)


def test_ignored_classes_have_no_loss(backend):
    x = np.random.default_rng(1).standard_normal((5, 3)).astype("float32")
    labels = np.array([0, -1, 2, -1, 1])
    loss, gradient, _ = _loss_and_gradient(x, labels, from_logits=False, ignore_class=-1)
    expected, slope, _ = _loss_and_gradient(x, labels, from_logits=True, ignore_class=-1)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-7)
    assert not loss[[1, 3]].any() and not gradient[[1, 3]].any()


def test_second_order_passes_through(backend):
    x = ops.convert_to_tensor(np.array([[0.3, -0.2, 0.1]], "float32"))
    with keras.GradientTape() as outer:
        outer.watch(x)
        with keras.GradientTape() as inner:
            inner.watch(x)
            loss = ops.sum(ops.sparse_categorical_crossentropy([1], ops.softmax(x)))
        first = inner.gradient(loss, x)
        total = ops.sum(first * first)
    p = ops.softmax(x).numpy()[0].astype("float64")
    g = p - np.array([0, 1, 0])
    jacobian = np.diag(p) - np.outer(p, p)
    np.testing.assert_allclose(outer.gradient(total, x).numpy()[0], 2 * jacobian @ g, rtol=1e-4, atol=1e-6)
