"""The generic methods, which a GPU runs where no kernel exists, agree with NumPy's own versions."""

import numpy as np
import pytest

from gpukeras import backends
from gpukeras.backends import threads
from gpukeras.backends.base import Backend

RNG = np.random.default_rng(6)


class Generic(Backend):
    """The contract with no override, on NumPy arrays."""

    xp = np


GENERIC, NUMPY = Generic(), backends.CPU


@pytest.mark.parametrize("shape", [(1, 3), (20, 7), (33, 100), (64, 4), (70000, 2)])
def test_rows(shape):
    x = RNG.standard_normal(shape).astype("float32")
    for name in ("row_max", "row_sum", "column_sum", "relu", "sigmoid", "softmax"):
        a, b = getattr(GENERIC, name)(x), getattr(NUMPY, name)(x)
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, 1e-4, 1e-2 if "sum" in name else 1e-6, err_msg=name)
    out = x.copy()
    assert NUMPY.relu(out, out=out) is out
    np.testing.assert_array_equal(out, GENERIC.relu(x))
    wide, k = NUMPY.widen(x)
    assert wide.shape == (shape[0] // k, shape[1] * k)
    np.testing.assert_array_equal(NUMPY.row_starts(*shape), GENERIC.row_starts(*shape))


@pytest.mark.parametrize("shape, axes", [
    ((4, 20, 3), (1,)), ((4, 20, 3), (0,)), ((4, 20, 3), (2,)), ((4, 20, 3), (0, 1)), ((4, 20, 3), (1, 2)),
    ((2, 6, 8, 5), (1, 2)), ((2, 6, 8, 5), (0, 2)), ((12, 9), (0, 1)), ((3, 16, 1), (1,)), ((0, 16, 2), (1,)),
    ((2, 64, 300), (1,)), ((9,), (0,)), ((3, 4), ()),
])
def test_reductions(shape, axes):
    x = RNG.standard_normal(shape)
    for keepdims in (True, False):
        for scale in (None, 0.25):
            found = NUMPY.sum(x, axes, keepdims, scale)
            want = x.sum(axis=axes, keepdims=keepdims) * (scale or 1)
            assert found.shape == want.shape
            np.testing.assert_allclose(found, want, 1e-12, 1e-12)
    for name in ("max", "min") if x.size else ():
        np.testing.assert_array_equal(NUMPY.extreme(x, axes, name), GENERIC.extreme(x, axes, name))
        turned = x.T
        np.testing.assert_array_equal(NUMPY.extreme(turned, axes, name), GENERIC.extreme(turned, axes, name))


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", [(700, 300), (70001, 3), (2, 100001)])
def test_large_activations(shape, count):
    """Cut into chunks, on one thread and on several."""
    x, dy = RNG.standard_normal((2, *shape)).astype("float32")
    threads.set_threads(count)
    try:
        found = {}
        for kind in (GENERIC, NUMPY):
            y, p = kind.relu(x), kind.softmax(x)
            found[kind] = (y, p, kind.relu_backward(dy, y), kind.softmax_backward(dy, p), kind.sigmoid(x),
                           kind.times(x, dy))
    finally:
        threads.set_threads(None)
    for a, b in zip(found[GENERIC], found[NUMPY]):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, 1e-4, 1e-6)
    out = x.copy()
    assert NUMPY.sigmoid(out, out=out) is out
    np.testing.assert_array_equal(out, found[NUMPY][4])
    np.testing.assert_allclose(NUMPY.times(x.T, dy.T), (x * dy).T)


def test_dropout_factor_in_chunks():
    factor = NUMPY.dropout_factor(NUMPY.new_generator([3]), (50, 3001), 0.2, np.dtype("float32"))
    kept = NUMPY.dropout_mask(NUMPY.new_generator([3]), (50, 3001), 0.2)
    np.testing.assert_array_equal(factor, kept * np.float32(1.25))
    assert not NUMPY.dropout_factor(NUMPY.new_generator([3]), (100000,), 1.0, np.dtype("float32")).any()


def test_shared_constants_cannot_be_written():
    for constant in (NUMPY.ones(5, np.dtype("float32")), NUMPY._zeros(5, np.dtype("float32")),
                     NUMPY.row_starts(2, 3)):
        with pytest.raises(ValueError, match="read-only"):
            constant[0] = 7


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid"])
def test_dense(activation):
    x, w, b, dy = (RNG.standard_normal(s).astype("float32") for s in ((6, 5), (5, 3), (3,), (6, 3)))
    y = GENERIC.dense_forward(x, w, b, activation)
    np.testing.assert_allclose(y, NUMPY.dense_forward(x, w, b, activation), 1e-5, 1e-6)
    for a, c in zip(GENERIC.dense_backward(dy, x, w, y, activation, True, True, True),
                    NUMPY.dense_backward(dy, x, w, y, activation, True, True, True)):
        np.testing.assert_allclose(a, c, 1e-5, 1e-6)
    assert GENERIC.dense_backward(dy, x, w, y, activation, False, False, False) == (None, None, None)


def test_losses():
    x, t = RNG.standard_normal((20, 5)).astype("float32"), RNG.random((20, 5)).astype("float32")
    ids, dy = RNG.integers(0, 5, 20), RNG.standard_normal(20).astype("float32")
    for target in (ids, t):
        a, parts = GENERIC.softmax_cross_entropy(x, target)
        b, others = NUMPY.softmax_cross_entropy(x, target)
        np.testing.assert_allclose(a, b, 1e-5, 1e-6)
        np.testing.assert_allclose(GENERIC.softmax_cross_entropy_backward(dy, parts, target),
                                   NUMPY.softmax_cross_entropy_backward(dy, others, target), 1e-5, 1e-6)
    GENERIC.check_labels(np.array([9]), 5)  # a GPU does not look at values


def test_normalization():
    x, g, b, dy = (RNG.standard_normal(s).astype("float32") for s in ((64, 4), (4,), (4,), (64, 4)))
    for kind in ("batch_norm", "layer_norm"):
        found = [getattr(k, f"{kind}_forward")(x, g, b, 0.01) for k in (GENERIC, NUMPY)]
        np.testing.assert_allclose(found[0][0], found[1][0], 1e-4, 1e-5)
        grads = [getattr(k, f"{kind}_backward")(dy, r[-1]) for k, r in zip((GENERIC, NUMPY), found)]
        for a, c in zip(*grads):
            np.testing.assert_allclose(a, c, 1e-4, 1e-4)


@pytest.mark.parametrize("shape", [(3000, 7), (700, 64), (4, 9000), (2, 9000), (1, 70000), (300000, 1)])
@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_large_batch_norm(monkeypatch, shape, offset):
    """NumPy's version reads the inputs as strips; a mean large beside the deviation costs no digits."""
    monkeypatch.setattr(type(NUMPY), "_strip", 20000)
    monkeypatch.setattr(type(NUMPY), "_small", 0)
    x, dy = RNG.standard_normal((2, *shape)).astype("float32").astype("float64")
    x = (x + offset).astype("float32").astype("float64")
    g, b, dmean, dvar = RNG.standard_normal((4, shape[1]))
    want = GENERIC.batch_norm_forward(x, g, b, 0.01)
    grads = GENERIC.batch_norm_backward(dy, want[-1], dmean, dvar)
    for kind, rtol in (("float64", 1e-9), ("float32", 2e-4)):
        x, dy, g, b, dmean, dvar = (a.astype(kind) for a in (x, dy, g, b, dmean, dvar))
        found = NUMPY.batch_norm_forward(x, g, b, 0.01)
        assert found[0].flags.c_contiguous and found[0].dtype == found[1].dtype == found[2].dtype == kind
        for a, c in zip(found[:3], want):
            np.testing.assert_allclose(a, c, rtol, rtol)
        for a, c in zip(NUMPY.batch_norm_backward(dy, found[-1], dmean, dvar), grads):
            assert a.dtype == kind
            np.testing.assert_allclose(a, c, rtol, rtol * max(1, abs(c).max()))
        assert NUMPY.batch_norm_backward(dy, found[-1], need_dx=False)[0] is None
        np.testing.assert_allclose(NUMPY.affine_columns(x, g, b), x * g + b, rtol, rtol * max(1, offset))
    half = NUMPY.batch_norm_forward(x, None, None, 0.01)[0]
    np.testing.assert_allclose(half, (want[0] - b) / g, 2e-4, 2e-4 / abs(g).min())


@pytest.mark.parametrize("shape", [(3000, 7), (700, 64), (4, 9000), (1, 70000)])
@pytest.mark.parametrize("offset", [0.0, 300.0])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_large_layer_norm(monkeypatch, shape, offset, center, affine):
    monkeypatch.setattr(type(NUMPY), "_strip", 20000)
    monkeypatch.setattr(type(NUMPY), "_small", 0)
    x, dy = RNG.standard_normal((2, *shape)).astype("float32").astype("float64")
    x = (x + offset).astype("float32").astype("float64")
    g, b = RNG.standard_normal((2, shape[1])) if affine else (None, None)
    want = GENERIC.layer_norm_forward(x, g, b, 0.01, center)
    grads = GENERIC.layer_norm_backward(dy, want[1])
    for kind, tol in (("float64", 1e-9), ("float32", 5e-4)):
        x, dy, g, b = (a if a is None else a.astype(kind) for a in (x, dy, g, b))
        y, cache = NUMPY.layer_norm_forward(x, g, b, 0.01, center)
        assert y.dtype == kind
        np.testing.assert_allclose(y, want[0], tol, tol)
        found = NUMPY.layer_norm_backward(dy, cache)
        for a, c in zip(found, grads):
            assert a.dtype == kind
            np.testing.assert_allclose(a, c, tol, tol * max(1, abs(c).max()))
        assert NUMPY.layer_norm_backward(dy, cache, need_dx=False)[0] is None


def test_constant_columns():
    """No deviation, of large and of no values: normalised to zero."""
    x = np.ones((1000, 64), "float32") * np.arange(64, dtype="float32")
    y, mean, var, cache = NUMPY.batch_norm_forward(x, None, None, 1e-3)
    np.testing.assert_allclose(mean, np.arange(64), 1e-6)
    np.testing.assert_allclose(var, 0, atol=1e-9)
    np.testing.assert_allclose(y, 0, atol=1e-4)


def test_embedding():
    table, ids = RNG.standard_normal((6, 3)).astype("float32"), np.array([[0, 5], [5, 5]])
    np.testing.assert_array_equal(GENERIC.embedding_forward(table, ids), NUMPY.embedding_forward(table, ids))
    assert np.isnan(GENERIC.embedding_forward(table, np.array([6]))).all()
    dy = RNG.standard_normal((2, 2, 3)).astype("float32")
    np.testing.assert_allclose(GENERIC.embedding_backward(dy, ids, 6), NUMPY.embedding_backward(dy, ids, 6),
                               1e-6)
