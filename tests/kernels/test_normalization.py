"""Kernels of batch and layer normalisation against formulas in float64, gradients by central differences."""

import numpy as np
import pytest
from support.fake_device import emulated
from support.halves import FLOATS

RNG = np.random.default_rng(81)
EPSILON = 1e-3
# One block for each tile of columns; parts of many rows; odd and even numbers of columns; several tiles.
BATCHES = [(1, 1), (2, 3), (1, 8), (33, 4), (40, 37), (64, 132), (1100, 3), (1200, 8), (1030, 260)]
LAYERS = [(1, 1), (3, 1), (2, 5), (5, 8), (33, 10), (7, 64), (3, 129), (2, 516), (2, 1000), (300, 4)]
TOLERANCE = {"float32": (2e-5, 2e-5), "float16": (3e-3, 3e-3), "bfloat16": (1e-2, 1e-2)}


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def close(gpu, found, expected, dtype="float32", scale=1.0):
    """Compare, where ``scale`` is the size of the terms that were summed."""
    relative, absolute = TOLERANCE[dtype]
    found = gpu.to_numpy(found).astype(float)
    np.testing.assert_allclose(found, expected, relative, absolute * max(scale, 1.0))


def naive_batch(x, gamma, beta, weights=None, guard=0.0):
    x = x.astype(float)
    weights = np.ones(len(x)) if weights is None else weights.astype(float)
    total = weights.sum() + guard
    mean = sum(w * row for w, row in zip(weights, x)) / total
    var = sum(w * (row - mean) ** 2 for w, row in zip(weights, x)) / total
    y = (x - mean) / np.sqrt(var + EPSILON)
    return y * (1 if gamma is None else gamma) + (0 if beta is None else beta), mean, var


def naive_layer(x, gamma, beta, center=True):
    x = x.astype(float)
    found = np.zeros(x.shape)
    for i, row in enumerate(x):
        far = row - (row.mean() if center else 0)
        found[i] = far / np.sqrt((far * far).mean() + EPSILON)
    return found * (1 if gamma is None else gamma) + (0 if beta is None else beta)


def slopes(function, inputs, dys, which):
    """Return the gradient of sum(dy y) of one input by central differences in float64."""
    inputs = [None if a is None else a.astype(float) for a in inputs]
    found = np.zeros(inputs[which].shape)
    for place in np.ndindex(found.shape):
        for step in (1e-5, -1e-5):
            moved = list(inputs)
            moved[which] = inputs[which].copy()
            moved[which][place] += step
            found[place] += sum((d * y).sum() for d, y in zip(dys, function(*moved))) / (2 * step)
    return found


def exact_batch_gradient(x, dy, gamma):
    x, dy = x.astype(float), dy.astype(float)
    r = 1 / np.sqrt(x.var(0) + EPSILON)
    xhat = (x - x.mean(0)) * r
    dx = r * gamma * (dy - dy.mean(0) - xhat * (dy * xhat).mean(0))
    return dx, (dy * xhat).sum(0), dy.sum(0)


def exact_layer_gradient(x, dy, gamma, center):
    x, dy = x.astype(float), dy.astype(float)
    far = x - (x.mean(1, keepdims=True) if center else 0)
    r = 1 / np.sqrt((far * far).mean(1, keepdims=True) + EPSILON)
    xhat, g = far * r, dy * gamma
    dx = r * (g - (g.mean(1, keepdims=True) if center else 0) - xhat * (g * xhat).mean(1, keepdims=True))
    return dx, (dy * xhat).sum(0), dy.sum(0)


def vectors(columns):
    return (RNG.random(columns) + 0.5).astype("float32"), RNG.standard_normal(columns).astype("float32")


# ---- batch normalisation ----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", BATCHES, ids=str)
def test_batch(gpu, shape, dtype):
    x = (RNG.standard_normal(shape) * 2 + 1).astype(dtype)
    dy = RNG.standard_normal(shape).astype(dtype)
    gamma, beta = vectors(shape[1])
    y, mean, var, cache = gpu.batch_norm_forward(
        gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON
    )
    want, wanted_mean, wanted_var = naive_batch(x, gamma, beta)
    assert y.dtype == dtype and mean.dtype == var.dtype == "float32"
    assert mean.shape == var.shape == (shape[1],)
    close(gpu, y, want, dtype)
    close(gpu, mean, wanted_mean)
    close(gpu, var, wanted_var)
    dx, dgamma, dbeta = gpu.batch_norm_backward(gpu.asarray(dy), cache)
    want = exact_batch_gradient(x, dy, gamma)
    assert dx.dtype == dtype
    size = np.sqrt(shape[0])
    close(gpu, dx, want[0], dtype, 30 if shape[0] < 3 else 1)  # of two rows the terms cancel
    close(gpu, dgamma, want[1], "float32", size)
    close(gpu, dbeta, want[2], "float32", size)
    none, *same = gpu.batch_norm_backward(gpu.asarray(dy), cache, need_dx=False)
    assert none is None
    for a, b in zip(same, (dgamma, dbeta)):
        np.testing.assert_array_equal(gpu.to_numpy(a), gpu.to_numpy(b))


@pytest.mark.parametrize("rows", [7, 1030])
@pytest.mark.parametrize("offset", [0, 1e3, -1e4])
def test_batch_far_from_zero(gpu, rows, offset):
    """The first row lies elsewhere: what is summed from there would lose the variance."""
    x = (RNG.standard_normal((rows, 5)) + offset).astype("float32")
    x[0] = 0
    want, mean, var = naive_batch(x, None, None)
    y, found_mean, found_var, _ = gpu.batch_norm_forward(gpu.asarray(x), None, None, EPSILON)
    np.testing.assert_allclose(gpu.to_numpy(found_mean), mean, 1e-6, 1e-6)
    np.testing.assert_allclose(gpu.to_numpy(found_var), var, 2e-5)
    x = (RNG.standard_normal((rows, 5)) + offset).astype("float32")
    want, mean, var = naive_batch(x, None, None)
    y, found_mean, found_var, _ = gpu.batch_norm_forward(gpu.asarray(x), None, None, EPSILON)
    # A mean that is rounded to float32 moves the results, as in the generic version, but not the variance.
    np.testing.assert_allclose(gpu.to_numpy(found_var), var, 2e-6)
    np.testing.assert_allclose(gpu.to_numpy(y), want, 1e-5, 1e-5 + 3e-7 * abs(offset))


@pytest.mark.parametrize("rows", [5, 1027])
def test_batch_of_equal_rows(gpu, rows):
    x = np.tile(np.array([3, -1e5, 0, 1e-8], "float32"), (rows, 1))
    y, mean, var, cache = gpu.batch_norm_forward(gpu.asarray(x), None, None, EPSILON)
    np.testing.assert_allclose(gpu.to_numpy(mean), x[0], 1e-6)
    np.testing.assert_allclose(gpu.to_numpy(var), 0, atol=1e-3)
    assert np.isfinite(gpu.to_numpy(y)).all()
    y = gpu.to_numpy(gpu.batch_norm_forward(gpu.asarray(x * np.nan), None, None, EPSILON)[0])
    assert np.isnan(y).all()


@pytest.mark.parametrize("shape", [(6, 3), (40, 8), (1100, 4)], ids=str)
@pytest.mark.parametrize("guard", [0.0, 0.5])
def test_batch_with_weights(gpu, shape, guard):
    x, dy = RNG.standard_normal((2, *shape)).astype("float32")
    weights = RNG.integers(0, 2, shape[0]).astype("float32")
    weights[:2] = 0, 1
    gamma, beta = vectors(shape[1])
    dmean, dvar = RNG.standard_normal((2, shape[1])).astype("float32")
    y, mean, var, cache = gpu.batch_norm_forward(
        gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON, gpu.asarray(weights), guard
    )
    for found, want in zip((y, mean, var), naive_batch(x, gamma, beta, weights, guard)):
        close(gpu, found, want)
    found = gpu.batch_norm_backward(gpu.asarray(dy), cache, gpu.asarray(dmean), gpu.asarray(dvar))
    # The generic version on NumPy in float64 has gradients tested on its own, in tests/ops.
    from gpukeras.backends.normalization import NormalizationMixin

    wide = [v.astype(float) for v in (x, gamma, beta, weights, dy, dmean, dvar)]
    *_, cache = NormalizationMixin().batch_norm_forward(*wide[:3], EPSILON, wide[3], guard)
    for a, b in zip(found, NormalizationMixin().batch_norm_backward(wide[4], cache, *wide[5:])):
        close(gpu, a, b, scale=shape[0] ** 0.5)


def test_batch_without_any_weight(gpu):
    x = gpu.asarray(np.ones((4, 3), "float32"))
    weights = gpu.asarray(np.zeros(4, "float32"))
    _, mean, var, _ = gpu.batch_norm_forward(x, None, None, EPSILON, weights, 1e-7)
    np.testing.assert_array_equal(gpu.to_numpy(mean), 0)
    np.testing.assert_array_equal(gpu.to_numpy(var), 0)


def test_gradients_of_batch(gpu):
    x, gamma, beta = RNG.standard_normal((5, 3)).astype("float32"), *vectors(3)
    dys = [RNG.standard_normal(s).astype("float32") for s in ((5, 3), 3, 3)]
    cache = gpu.batch_norm_forward(gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON)[-1]
    dy, dmean, dvar = (gpu.asarray(d) for d in dys)
    found = gpu.batch_norm_backward(dy, cache, dmean, dvar)
    for i, gradient in enumerate(found):
        close(gpu, gradient, slopes(naive_batch, (x, gamma, beta), dys, i), scale=10)


@pytest.mark.parametrize("kind", ["float32", "float16"])
@pytest.mark.parametrize("rows", [9, 1050])
def test_moving_averages(gpu, rows, kind):
    x = RNG.standard_normal((rows, 4)).astype("float32")
    before = RNG.random((2, 4)).astype(kind)
    for dtype in ("float32", "float64"):  # of x: by a kernel, the generic way
        moving = gpu.asarray(before[0]), gpu.asarray(before[1])
        gpu.batch_norm_forward(gpu.asarray(x.astype(dtype)), None, None, EPSILON, moving=(*moving, 0.9))
        for found, old, new in zip(moving, before, naive_batch(x, None, None)[1:]):
            close(gpu, found, old.astype(float) * 0.9 + new * 0.1, kind)


def test_half_that_no_kernel_takes_has_wide_sums_too(gpu, monkeypatch):
    from gpukeras.kernels import normalization

    monkeypatch.setattr(normalization, "takes", lambda *arrays: False)
    x, dy = (RNG.standard_normal((2, 40, 12)) * 300).astype("float16")
    gamma, beta = vectors(12)
    args = gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON
    y, _, variance, cache = gpu.batch_norm_forward(*args)
    close(gpu, variance, naive_batch(x, gamma, beta)[2], scale=1e5)
    found = y, *gpu.batch_norm_backward(gpu.asarray(dy), cache)
    for a, b in zip(found, (naive_batch(x, gamma, beta)[0], *exact_batch_gradient(x, dy, gamma))):
        close(gpu, a, b, "float16", 300)
    y, cache = gpu.layer_norm_forward(*args)
    found = y, *gpu.layer_norm_backward(gpu.asarray(dy), cache)
    for a, b in zip(found, (naive_layer(x, gamma, beta), *exact_layer_gradient(x, dy, gamma, True))):
        close(gpu, a, b, "float16", 300)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (7, 8), (3000, 4), (3, 1030)], ids=str)
@pytest.mark.parametrize("dtype", FLOATS)
def test_affine_columns(gpu, shape, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    scale, offset = vectors(shape[1])
    a, wide = gpu.asarray(x), x.astype(float)
    close(gpu, gpu.affine_columns(a, gpu.asarray(scale)), wide * scale, dtype)
    found = gpu.affine_columns(a, gpu.asarray(scale), gpu.asarray(offset))
    close(gpu, found, wide * scale + offset, dtype)


# ---- layer normalisation ----------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("shape", LAYERS, ids=str)
def test_layer(gpu, shape, center, dtype):
    x = (RNG.standard_normal(shape) * 2 + 1).astype(dtype)
    dy = RNG.standard_normal(shape).astype(dtype)
    gamma, beta = vectors(shape[1])
    y, cache = gpu.layer_norm_forward(
        gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON, center
    )
    assert y.dtype == dtype
    close(gpu, y, naive_layer(x, gamma, beta, center), dtype)
    want = exact_layer_gradient(x, dy, gamma, center)
    found = gpu.layer_norm_backward(gpu.asarray(dy), cache)
    close(gpu, found[0], want[0], dtype, 30 if shape[1] < 3 else 2)
    none, *sums = gpu.layer_norm_backward(gpu.asarray(dy), cache, need_dx=False)
    assert none is None
    for pair in (found[1:], sums):
        for a, b in zip(pair, want[1:]):
            assert a.shape == (shape[1],)
            close(gpu, a, b, scale=shape[0] ** 0.5)


@pytest.mark.parametrize("columns", [8200, 4101])
def test_rows_too_long_for_registers(gpu, columns):
    x, dy = RNG.standard_normal((2, 2, columns)).astype("float32")
    gamma, beta = vectors(columns)
    y, cache = gpu.layer_norm_forward(gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON)
    close(gpu, y, naive_layer(x, gamma, beta))
    found = gpu.layer_norm_backward(gpu.asarray(dy), cache)
    for a, b in zip(found, exact_layer_gradient(x, dy, gamma, True)):
        close(gpu, a, b)


def test_layer_without_vectors_and_far_from_zero(gpu):
    x = (RNG.standard_normal((4, 33)) + 1e3).astype("float32")
    y, cache = gpu.layer_norm_forward(gpu.asarray(x), None, None, EPSILON)
    np.testing.assert_allclose(gpu.to_numpy(y), naive_layer(x, None, None), 2e-4, 2e-4)
    dy = RNG.standard_normal(x.shape).astype("float32")
    dx = gpu.layer_norm_backward(gpu.asarray(dy), cache)[0]
    close(gpu, dx, exact_layer_gradient(x, dy, 1.0, True)[0], scale=10)
    equal = gpu.asarray(np.full((3, 8), 5, "float32"))
    np.testing.assert_array_equal(gpu.to_numpy(gpu.layer_norm_forward(equal, None, None, EPSILON)[0]), 0)


@pytest.mark.parametrize("center", [True, False])
def test_gradients_of_layer(gpu, center):
    x, gamma, beta = RNG.standard_normal((3, 5)).astype("float32"), *vectors(5)
    dy = RNG.standard_normal((3, 5)).astype("float32")
    cache = gpu.layer_norm_forward(gpu.asarray(x), gpu.asarray(gamma), gpu.asarray(beta), EPSILON, center)[1]
    found = gpu.layer_norm_backward(gpu.asarray(dy), cache)

    def function(x, gamma, beta):
        return (naive_layer(x, gamma, beta, center),)

    for i, gradient in enumerate(found):
        close(gpu, gradient, slopes(function, (x, gamma, beta), [dy], i), scale=10)


# ---- both -------------------------------------------------------------------------------------------------
def test_results_repeat_to_the_last_bit(gpu):
    from support import emulator

    x, dy = (gpu.asarray(a) for a in RNG.standard_normal((2, 1500, 6)).astype("float32"))

    def run():
        y, mean, var, cache = gpu.batch_norm_forward(x, None, None, EPSILON)
        z, other = gpu.layer_norm_forward(x, None, None, EPSILON)
        arrays = y, mean, var, *gpu.batch_norm_backward(dy, cache), z, *gpu.layer_norm_backward(dy, other)
        return [gpu.to_numpy(a) for a in arrays]

    first = run()
    with emulator.using(schedule="random", seed=5):
        for a, b in zip(first, run()):
            np.testing.assert_array_equal(a, b)


def test_vectors_at_odd_addresses_and_of_other_types(gpu):
    x = RNG.standard_normal((6, 8)).astype("float32")
    flat = gpu.asarray(RNG.random(17).astype("float32"))
    gamma, beta = flat[1:9], flat[9:]
    g, b = gpu.to_numpy(gamma), gpu.to_numpy(beta)
    close(gpu, gpu.layer_norm_forward(gpu.asarray(x), gamma, beta, EPSILON)[0], naive_layer(x, g, b))
    close(gpu, gpu.batch_norm_forward(gpu.asarray(x), gamma, beta, EPSILON)[0], naive_batch(x, g, b)[0])
    half = gamma.astype("float16")
    want = naive_batch(x, gpu.to_numpy(half).astype(float), None)[0]
    close(gpu, gpu.batch_norm_forward(gpu.asarray(x), half, None, EPSILON)[0], want)
    wide = gpu.asarray(x.astype("float64"))
    y, _, _, cache = gpu.batch_norm_forward(wide, None, None, EPSILON)
    assert y.dtype == gpu.batch_norm_backward(wide, cache)[0].dtype == "float64"
    y, cache = gpu.layer_norm_forward(wide, None, None, EPSILON)
    assert y.dtype == gpu.layer_norm_backward(wide, cache)[0].dtype == "float64"
