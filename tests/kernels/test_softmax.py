"""Kernels of softmax and cross-entropies against formulas in float64, gradients by central differences."""

import numpy as np
import pytest
from support.fake_device import emulated
from support.halves import FLOATS

from gpukeras import backends

RNG = np.random.default_rng(71)
SHAPES = [(1, 1), (1, 9), (6, 1), (5, 4), (33, 10), (3, 64), (2, 129), (2, 1000), (2, 520), (300, 3)]
TOLERANCE = {"float32": (3e-6, 3e-6), "float16": (2e-3, 1e-3), "bfloat16": (5e-3, 4e-3)}


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def naive_log_softmax(x):
    x = x.astype(float)
    found = np.zeros(x.shape)
    for i, row in enumerate(x):
        top = max(row)
        found[i] = row - top - np.log(sum(np.exp(v - top) for v in row))
    return found


def close(gpu, found, expected, dtype="float32", factor=1.0):
    relative, absolute = TOLERANCE[dtype]
    np.testing.assert_allclose(
        gpu.to_numpy(found).astype(float), expected, relative * factor, absolute * factor
    )


def slopes(function, x, dy):
    """Return the gradient of sum(dy function(x)) by central differences in float64."""
    x = x.astype(float)
    found = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        for step in (1e-5, -1e-5):
            moved = x.copy()
            moved[place] += step
            found[place] += (dy * function(moved)).sum() / (2 * step)
    return found


# ---- softmax ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_softmax(gpu, shape, dtype):
    x = (3 * RNG.standard_normal(shape)).astype(dtype)
    expected = np.exp(naive_log_softmax(x))
    a = gpu.asarray(x)
    found = gpu.softmax(a)
    assert found.dtype == dtype
    close(gpu, found, expected, dtype)
    y, top, total = gpu.softmax_rows(a)
    close(gpu, y, expected, dtype)
    np.testing.assert_array_equal(gpu.to_numpy(top), x.max(1, keepdims=True))
    wide = x.astype(float)
    close(gpu, total, np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True))
    dy = RNG.standard_normal(shape).astype(dtype)
    p = expected.astype(dtype).astype(float)
    d = dy.astype(float)
    dx = p * (d - (d * p).sum(1, keepdims=True))
    close(gpu, gpu.softmax_backward(gpu.asarray(dy), gpu.asarray(p.astype(dtype))), dx, dtype)


def test_gradient_of_softmax(gpu):
    x, dy = RNG.standard_normal((2, 3, 5)).astype("float32")
    y = gpu.softmax(gpu.asarray(x))
    expected = slopes(lambda x: np.exp(naive_log_softmax(x)), x, dy)
    close(gpu, gpu.softmax_backward(gpu.asarray(dy), y), expected, factor=10)


def test_rows_too_long_for_registers(gpu):
    for columns in (8196, 4099):
        x = RNG.standard_normal((2, columns)).astype("float32")
        p = np.exp(naive_log_softmax(x))
        y = gpu.softmax(gpu.asarray(x))
        np.testing.assert_allclose(gpu.to_numpy(y), p, 1e-5)
        ids = np.array([columns - 1, 3])
        loss, parts = gpu.softmax_cross_entropy(gpu.asarray(x), gpu.asarray(ids))
        np.testing.assert_allclose(gpu.to_numpy(loss), -np.log(p[[0, 1], ids]), 1e-5)
        t = RNG.random((2, columns)).astype("float32") / columns
        loss, _ = gpu.softmax_cross_entropy(gpu.asarray(x), gpu.asarray(t))
        np.testing.assert_allclose(gpu.to_numpy(loss), -(t * np.log(p)).sum(1), 1e-5)
        dx = gpu.to_numpy(gpu.softmax_backward(gpu.asarray(t), y))
        np.testing.assert_allclose(dx, p * (t - (t * p).sum(1, keepdims=True)), 1e-4, 1e-9)


def test_other_axes_and_ranks(gpu):
    x = RNG.standard_normal((2, 3, 4)).astype("float32")
    for axis in (-1, 2, 0, 1, (0, 2)):
        e = np.exp(x.astype(float))
        expected = e / e.sum(axis, keepdims=True)
        y = gpu.softmax(gpu.asarray(x), axis)
        close(gpu, y, expected)
        dx = expected * (x - (x * expected).sum(axis, keepdims=True))
        close(gpu, gpu.softmax_backward(gpu.asarray(x), y, axis), dx)
    wide = gpu.softmax(gpu.asarray(x.astype("float64")))
    assert wide.dtype == "float64"
    assert gpu.softmax(gpu.asarray(np.zeros((0, 3), "float32"))).shape == (0, 3)
    close(gpu, gpu.softmax(gpu.asarray(x).transpose(2, 0, 1)), _softmax(x.transpose(2, 0, 1)))


def _softmax(x):
    e = np.exp(x.astype(float))
    return e / e.sum(-1, keepdims=True)


def test_extreme_logits(gpu):
    inf = np.inf
    x = np.array([[1e4, 0, -1e4], [-inf, 0, 1], [7, 7, 7], [-inf] * 3, [inf, 0, 0], [np.nan, 0, 1],
                  [-3e38, 3e38, 0]], "float32")
    y = gpu.to_numpy(gpu.softmax(gpu.asarray(x)))
    share = 1 / (1 + np.e)
    np.testing.assert_allclose(y[:3], [[1, 0, 0], [0, share, 1 - share], [1 / 3] * 3], 1e-6)
    assert np.isnan(y[3:6]).all()
    np.testing.assert_array_equal(y[6], [0, 1, 0])
    loss, parts = gpu.softmax_cross_entropy(gpu.asarray(x), gpu.asarray(np.array([1, 1, 0, 0, 0, 0, 1])))
    found = gpu.to_numpy(loss)
    np.testing.assert_allclose(found[:3], [1e4, 1 + np.log(1 + 1 / np.e), np.log(3)], 1e-6)
    assert np.isnan(found[3:6]).all() and found[6] == 0


# ---- cross-entropy ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("labels", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_class_numbers(gpu, shape, labels, dtype):
    x = (3 * RNG.standard_normal(shape)).astype(dtype)
    ids = RNG.integers(0, min(shape[1], 255), shape[0]).astype(labels)
    dy = RNG.standard_normal(shape[0]).astype(dtype)
    every = np.arange(shape[0])
    log_p = naive_log_softmax(x)
    one_hot = np.eye(shape[1])[ids]
    dx = (np.exp(log_p) - one_hot) * dy.astype(float)[:, None]
    a, t, d = gpu.asarray(x), gpu.asarray(ids), gpu.asarray(dy)

    loss, parts = gpu.softmax_cross_entropy(a, t)
    assert loss.dtype == dtype and loss.shape == (shape[0],)
    close(gpu, loss, -log_p[every, ids], dtype)
    found = gpu.softmax_cross_entropy_backward(d, parts, t)
    assert found.dtype == dtype
    close(gpu, found, dx, dtype)
    rows = gpu.softmax_rows(a)
    close(gpu, gpu.picked_cross_entropy(a, rows, t), -log_p[every, ids], dtype)
    close(gpu, gpu.softmax_cross_entropy_backward(d, (rows[0], None), t), dx, dtype)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_targets(gpu, shape, dtype):
    x = (3 * RNG.standard_normal(shape)).astype(dtype)
    t = (RNG.random(shape) / shape[1]).astype(dtype)  # their sums are not 1
    dy = RNG.standard_normal(shape[0]).astype(dtype)
    log_p, wide = naive_log_softmax(x), t.astype(float)
    loss, parts = gpu.softmax_cross_entropy(gpu.asarray(x), gpu.asarray(t))
    close(gpu, loss, -(wide * log_p).sum(1), dtype)
    dx = (np.exp(log_p) * wide.sum(1, keepdims=True) - wide) * dy.astype(float)[:, None]
    close(gpu, gpu.softmax_cross_entropy_backward(gpu.asarray(dy), parts, gpu.asarray(t)), dx, dtype)
    x = x.astype(float)
    total = np.exp(x - x.max(1, keepdims=True)).sum(1, keepdims=True)
    close(gpu, parts[1], total)  # the op takes the logarithm of it for the gradient of the targets


def test_gradient_of_cross_entropy(gpu):
    x = RNG.standard_normal((3, 5)).astype("float32")
    ids, dy = np.array([4, 0, 2]), np.array([1, -2, 0.5], "float32")
    _, parts = gpu.softmax_cross_entropy(gpu.asarray(x), gpu.asarray(ids))
    found = gpu.softmax_cross_entropy_backward(gpu.asarray(dy), parts, gpu.asarray(ids))
    close(gpu, found, slopes(lambda x: -naive_log_softmax(x)[[0, 1, 2], ids], x, dy), factor=10)


def test_class_numbers_out_of_range_give_nan(gpu):
    x = gpu.asarray(RNG.standard_normal((5, 4)).astype("float32"))
    dy = gpu.asarray(np.ones(5, "float32"))
    for dtype in ("int32", "int64"):
        ids = gpu.asarray(np.array([0, 4, 3, -1, 2**31 - 1], dtype))
        bad = [False, True, False, True, True]
        loss, parts = gpu.softmax_cross_entropy(x, ids)
        np.testing.assert_array_equal(np.isnan(gpu.to_numpy(loss)), bad)
        rows = gpu.softmax_rows(x)
        np.testing.assert_array_equal(np.isnan(gpu.to_numpy(gpu.picked_cross_entropy(x, rows, ids))), bad)
        for given in (parts, (rows[0], None)):
            dx = gpu.to_numpy(gpu.softmax_cross_entropy_backward(dy, given, ids))
            np.testing.assert_array_equal(np.isnan(dx), np.repeat(bad, 4).reshape(5, 4))
    huge = gpu.asarray(np.array([0, 2**32, 2**33 + 1, 1, -2**40]))
    np.testing.assert_array_equal(
        np.isnan(gpu.to_numpy(gpu.softmax_cross_entropy(x, huge)[0])), [False, True, True, False, True]
    )


def test_double_precision_goes_the_generic_way(gpu):
    x, ids, dy = RNG.standard_normal((4, 3)), np.array([0, 2, 1, 1]), RNG.standard_normal(4)
    loss, parts = gpu.softmax_cross_entropy(gpu.asarray(x), gpu.asarray(ids))
    np.testing.assert_allclose(gpu.to_numpy(loss), -naive_log_softmax(x)[np.arange(4), ids], 1e-12)
    dx = gpu.softmax_cross_entropy_backward(gpu.asarray(dy), parts, gpu.asarray(ids))
    expected = backends.CPU.softmax_cross_entropy_backward(
        dy, backends.CPU.softmax_cross_entropy(x, ids)[1], ids
    )
    np.testing.assert_allclose(gpu.to_numpy(dx), expected, 1e-12)


# ---- sigmoid ----------------------------------------------------------------------------------------------
def naive_sigmoid_loss(x, t):
    p = 1 / (1 + np.exp(-x.astype(float)))
    return -(t * np.log(p) + (1 - t) * np.log1p(-p))


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(1,), (7,), (6, 4), (33, 3), (2, 3, 5), (40, 16)], ids=str)
def test_sigmoid(gpu, shape, dtype):
    x = (3 * RNG.standard_normal(shape)).astype(dtype)
    t = RNG.random(shape).astype(dtype)
    wide, truth = x.astype(float), t.astype(float)
    a, b = gpu.asarray(x), gpu.asarray(t)
    found = gpu.sigmoid_cross_entropy(a, b)
    assert found.dtype == dtype and found.shape == shape
    close(gpu, found, naive_sigmoid_loss(wide, truth), dtype, 2)
    slope = 1 / (1 + np.exp(-wide)) - truth
    kinds = [shape, shape[:-1] + (1,), (1,) * len(shape), (1,) + shape[1:]]
    for kind in kinds:
        dy = RNG.standard_normal(kind).astype(dtype)
        dx = gpu.sigmoid_cross_entropy_backward(gpu.asarray(dy), a, b)
        assert dx.dtype == dtype and dx.shape == shape
        close(gpu, dx, slope * dy.astype(float), dtype, 2)
    spread = gpu.xp.broadcast_to(gpu.asarray(np.full((), 0.5, dtype)), shape)
    close(gpu, gpu.sigmoid_cross_entropy_backward(spread, a, b), slope * 0.5, dtype, 2)


def test_sigmoid_of_large_logits(gpu):
    x = np.array([100, -100, 1e30, -1e30, 0, -0.0, 50, -90], "float32")
    t = np.array([1, 0, 0, 1, 1, 0, 1, 0], "float32")
    found = gpu.to_numpy(gpu.sigmoid_cross_entropy(gpu.asarray(x), gpu.asarray(t)))
    np.testing.assert_allclose(found, [0, 0, 1e30, 1e30, np.log(2), np.log(2), 0, 0], 1e-6, 1e-20)
    ones = gpu.asarray(np.ones(8, "float32"))
    dx = gpu.sigmoid_cross_entropy_backward(ones, gpu.asarray(x), gpu.asarray(t))
    np.testing.assert_allclose(gpu.to_numpy(dx), [0, 0, 1, -1, -0.5, 0.5, 0, 0], 1e-6, 1e-20)


def test_repetition_of_gradients_is_found():
    with emulated() as gpu:
        from gpukeras.kernels import softmax

        kinds = [gpu.xp.ones(shape, "float32") for shape in ((3, 1), (3, 4), ())]
        assert [softmax.spread(dy, (3, 4))[1] for dy in kinds] == [4, 1, 12]
        found, inner = softmax.spread(gpu.asarray(np.arange(4.0)), (3, 4))
        assert inner == 1 and found.shape == (3, 4)
