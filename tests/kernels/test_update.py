"""Optimizer kernels against plain formulas in float64, five steps each."""

import math

import numpy as np
import pytest
from support.fake_device import emulated

from gpukeras.backends.sparse import RowGradient

RNG = np.random.default_rng(53)
STEPS = 5
SIZES = [1, 6, 261, 1024]


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


# ---- the rules, as the papers and Keras write them: p and slots are float64 arrays, changed in place -----
def sgd(p, g, *, learning_rate):
    p -= learning_rate * g


def momentum(p, g, m, *, learning_rate, momentum, nesterov):
    m[:] = momentum * m - learning_rate * g
    p += momentum * m - learning_rate * g if nesterov else m


def rmsprop(p, g, v, m=None, a=None, *, learning_rate, rho, momentum, epsilon):
    v[:] = rho * v + (1 - rho) * g**2
    variance = v
    if a is not None:
        a[:] = rho * a + (1 - rho) * g
        variance = v - a**2
    step = learning_rate * g / np.sqrt(variance + epsilon)
    if m is not None:
        m[:] = momentum * m + step
        step = m
    p -= step


def adagrad(p, g, s, *, learning_rate, epsilon):
    s += g**2
    p -= learning_rate * g / np.sqrt(s + epsilon)


def adadelta(p, g, s, d, *, learning_rate, rho, epsilon):
    s[:] = rho * s + (1 - rho) * g**2
    step = g * np.sqrt(d + epsilon) / np.sqrt(s + epsilon)
    d[:] = rho * d + (1 - rho) * step**2
    p -= learning_rate * step


def adam(p, g, m, v, h=None, *, learning_rate, beta_1, beta_2, epsilon):
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g**2 - v)
    if h is not None:
        h[:] = np.maximum(h, v)
    p -= learning_rate * m / (np.sqrt(v if h is None else h) + epsilon)


def adamax(p, g, m, u, *, learning_rate, beta_1, beta_2, epsilon):
    m += (1 - beta_1) * (g - m)
    u[:] = np.maximum(beta_2 * u, abs(g))
    p -= learning_rate * m / (u + epsilon)


def nadam(
    p, g, m, v, *, learning_rate, beta_1, beta_2, epsilon, momentum_factor, gradient_factor, correction,
):
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g**2 - v)
    step = momentum_factor * m + gradient_factor * g
    p -= learning_rate * step / (np.sqrt(v / correction) + epsilon)


def lamb(p, g, m, v, *, learning_rate, beta_1, beta_2, epsilon, corrections):
    m += (1 - beta_1) * (g - m)
    v += (1 - beta_2) * (g**2 - v)
    step = m / corrections[0] / (np.sqrt(v / corrections[1]) + epsilon)
    weights, length = np.sqrt(np.sum(p**2)), np.sqrt(np.sum(step**2))
    p -= learning_rate * (weights / length if weights > 0 and length > 0 else 1) * step


def lion(p, g, m, *, learning_rate, beta_1, beta_2):
    p -= learning_rate * np.sign(beta_1 * m + (1 - beta_1) * g)
    m += (1 - beta_2) * (g - m)


def ftrl(p, g, s, z, *, learning_rate, power, l1, l2, shrinkage, beta):
    before, after = s**power, (s + g**2) ** power
    s += g**2
    z += g + 2 * shrinkage * p - (after - before) / learning_rate * p
    p[:] = (np.clip(z, -l1, l1) - z) / (after / learning_rate + 2 * l2 + beta / learning_rate)


MOMENTS = {"beta_1": 0.9, "beta_2": 0.99}
RATE = 0.05
RULES = {  # name of the case: method, reference, first values of the slots, settings
    "sgd": ("sgd_update", sgd, (), {}),
    "momentum": ("momentum_update", momentum, (0,), {"momentum": 0.9, "nesterov": False}),
    "nesterov": ("momentum_update", momentum, (0,), {"momentum": 0.9, "nesterov": True}),
    "rmsprop": ("rmsprop_update", rmsprop, (0,), {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-3}),
    "rmsprop_momentum": ("rmsprop_update", rmsprop, (0, 0), {"rho": 0.9, "momentum": 0.7, "epsilon": 1e-3}),
    "rmsprop_centered": ("rmsprop_update", rmsprop, (0, 0, 0), {
        "rho": 0.9, "momentum": 0.7, "epsilon": 1e-2}),
    "rmsprop_centered_only": (
        "rmsprop_update", rmsprop, (0, None, 0), {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-2}),
    "adagrad": ("adagrad_update", adagrad, (0.1,), {"epsilon": 1e-3}),
    "adadelta": ("adadelta_update", adadelta, (0, 0), {"rho": 0.9, "epsilon": 1e-3}),
    "adam": ("adam_update", adam, (0, 0), {**MOMENTS, "epsilon": 1e-3}),
    "amsgrad": ("adam_update", adam, (0, 0, 0), {**MOMENTS, "epsilon": 1e-3}),
    "adamax": ("adamax_update", adamax, (0, 0), {**MOMENTS, "epsilon": 1e-3}),
    "nadam": ("nadam_update", nadam, (0, 0), {
        **MOMENTS, "epsilon": 1e-3, "momentum_factor": 0.8, "gradient_factor": 0.3, "correction": 0.5}),
    "lamb": ("lamb_update", lamb, (0, 0), {**MOMENTS, "epsilon": 1e-3, "corrections": (0.2, 0.04)}),
    "lion": ("lion_update", lion, (0,), MOMENTS),
    "ftrl": ("ftrl_update", ftrl, (0.1, 0), {
        "power": 0.5, "l1": 0.1, "l2": 0.2, "shrinkage": 0.1, "beta": 0.3}),
    "ftrl_power": ("ftrl_update", ftrl, (0.1, 0), {
        "power": 0.7, "l1": 0.0, "l2": 0.2, "shrinkage": 0.0, "beta": 0.0}),
}


def run(gpu, name, size, start=0, on_device=False, rates=(RATE,) * STEPS):
    """Return what five steps of kernel and reference make of parameters and slots."""
    method, reference, first, settings = RULES[name]
    p = RNG.standard_normal(size).astype("float32")
    state = [None if f is None else np.full(size, f, "float32") for f in first]
    exact = [a if a is None else a.astype(float) for a in (p, *state)]
    held = [a if a is None else placed(gpu, a, start) for a in (p, *state)]
    for rate in rates:
        g = RNG.standard_normal(size).astype("float32")
        given = placed(gpu, g, start)
        asked = gpu.asarray(np.float32(rate)) if on_device else rate
        getattr(gpu, method)(held[0], given, *held[1:], learning_rate=asked, **settings)
        np.testing.assert_array_equal(gpu.to_numpy(given), g)
        reference(exact[0], g.astype(float), *exact[1:], learning_rate=rate, **settings)
    return [(gpu.to_numpy(h), e) for h, e in zip(held, exact) if h is not None]


def placed(gpu, values, start):
    """Return ``values`` in an array that begins ``start`` elements into another."""
    whole = gpu.asarray(np.full(values.size + start, 7, "float32"))
    part = whole[start:]
    part[...] = gpu.asarray(values)
    return part


def assert_close(pairs):
    for found, expected in pairs:
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-6)


@pytest.mark.parametrize("name", RULES)
def test_five_steps(gpu, name):
    assert_close(run(gpu, name, 261))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", ["adam", "lamb", "momentum"])
def test_sizes(gpu, name, size):
    assert_close(run(gpu, name, size))


@pytest.mark.parametrize("name", ["sgd", "amsgrad", "lamb", "ftrl"])
def test_vectors_that_begin_anywhere(gpu, name):
    assert_close(run(gpu, name, 37, start=1))


@pytest.mark.parametrize("name", RULES)
def test_rates_on_the_device(gpu, name):
    assert_close(run(gpu, name, 70, on_device=True, rates=(0.1, 0.05, 0.02, 0.01, 0.03)))


@pytest.mark.parametrize("name", RULES)
def test_nothing_to_update(gpu, name):
    run(gpu, name, 0)


def test_average(gpu):
    average, p = RNG.standard_normal((2, 45)).astype("float32")
    held = gpu.asarray(average)
    for _ in range(STEPS):
        gpu.average_update(held, gpu.asarray(p), momentum=0.9)
        average = 0.9 * average.astype(float) + 0.1 * p
    np.testing.assert_allclose(gpu.to_numpy(held), average, 1e-5, 1e-6)


@pytest.mark.parametrize("name", [n for n in RULES if n != "lamb"])
def test_nan_stays_where_it_is(gpu, name):
    method, _, first, settings = RULES[name]
    g = np.array([np.nan, 1, np.nan, -1, 1, np.nan], "float32")
    held = [None if f is None else gpu.asarray(np.full(6, f, "float32")) for f in (1, *first)]
    getattr(gpu, method)(held[0], gpu.asarray(g), *held[1:], learning_rate=RATE, **settings)
    np.testing.assert_array_equal(np.isnan(gpu.to_numpy(held[0])), np.isnan(g))


def test_lamb_without_weights_or_steps(gpu):
    """Where a norm is zero the step is that of Adam, of length rate."""
    for p, g in ((0.0, 1.0), (1.0, 0.0)):
        arrays = [gpu.asarray(np.full(9, v, "float32")) for v in (p, g, 0, 0)]
        exact = [np.full(9, v) for v in (p, g, 0.0, 0.0)]
        settings = {**MOMENTS, "epsilon": 1e-3, "corrections": (0.1, 0.01), "learning_rate": RATE}
        gpu.lamb_update(*arrays, **settings)
        lamb(*exact, **settings)
        np.testing.assert_allclose(gpu.to_numpy(arrays[0]), exact[0], 1e-5)


@pytest.mark.parametrize("name", RULES)
def test_other_types_go_the_generic_way(gpu, name):
    method, reference, first, settings = RULES[name]
    exact = [None if f is None else np.full(12, float(f)) for f in (1, 2, *first)]
    held = [a if a is None else gpu.asarray(a) for a in exact]
    getattr(gpu, method)(*held, learning_rate=RATE, **settings)
    reference(*exact, learning_rate=RATE, **settings)
    np.testing.assert_allclose(gpu.to_numpy(held[0]), exact[0], 1e-12)


# ---- clipping --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [0, 1, 5, 1000, 5001])
@pytest.mark.parametrize("start", [0, 1])
def test_sum_of_squares(gpu, size, start):
    x = RNG.standard_normal(size).astype("float32")
    given = placed(gpu, x, start)
    total = gpu.square_sum(given)
    assert total.shape == ()
    np.testing.assert_allclose(gpu.to_numpy(total), np.sum(x.astype(float) ** 2), 1e-5)
    assert gpu.to_numpy(gpu.square_sum(given)) == gpu.to_numpy(total)


@pytest.mark.parametrize("schedule", ["forward", "reverse", "random"])
def test_sums_do_not_depend_on_the_order_of_threads(schedule):
    x = np.random.default_rng(1).standard_normal(3000).astype("float32")
    with emulated(schedule=schedule) as gpu:
        found = float(gpu.to_numpy(gpu.square_sum(gpu.asarray(x))))
    with emulated() as gpu:
        assert found == float(gpu.to_numpy(gpu.square_sum(gpu.asarray(x))))


@pytest.mark.parametrize("values, limit, factor", [
    ([3.0, 4.0], 1.0, 0.2), ([0.3, 0.4], 1.0, 1.0), ([0.0, 0.0], 1.0, 1.0), ([np.inf, 0.0], 1.0, np.nan),
    ([np.nan, 1.0], 1.0, np.nan), ([3.0, 4.0], 7.0, 1.0),
])
def test_clip_factor(gpu, values, limit, factor):
    total = gpu.square_sum(gpu.asarray(np.float32(values)))
    np.testing.assert_allclose(gpu.to_numpy(gpu.clip_factor(total, limit)), factor, 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("bounds", [
    ((0, 5),), ((0, 3), (4, 8), (8, 200), (204, 205)), ((1, 3), (3, 10)), ((4, 4), (8, 17000)), (),
])
def test_every_variable_to_its_own_norm(gpu, bounds, start, dtype):
    g = RNG.standard_normal(17_005).astype(dtype)
    given = placed(gpu, g, start) if dtype == "float32" else gpu.asarray(g)
    gpu.clip_each(given, bounds, 1.5)
    expected = g.astype(float)
    for first, last in bounds:
        expected[first:last] *= 1.5 / max(1.5, np.linalg.norm(expected[first:last]))
    np.testing.assert_allclose(gpu.to_numpy(given), expected, 1e-5)


def test_a_gradient_that_is_not_finite_spoils_no_other(gpu):
    g = np.array([3, 4, 0, 0, 1, np.inf, 7, 0, np.nan], "float32")
    given = gpu.asarray(g)
    gpu.clip_each(given, ((0, 2), (4, 6), (8, 9)), 1.0)
    np.testing.assert_allclose(gpu.to_numpy(given), [0.6, 0.8, 0, 0, np.nan, np.nan, 7, 0, np.nan], 1e-6)


def test_clipping_of_other_types(gpu):
    x = gpu.asarray(np.array([3.0, 4.0]))
    total = gpu.square_sum(x)
    assert total.dtype == "float64"
    np.testing.assert_allclose(gpu.to_numpy(gpu.clip_factor(total, 1.0)), 0.2)
    assert gpu.to_numpy(gpu.square_sum(gpu.asarray(np.full(1000, 30.0), "float16"))) == 900000


# ---- numbers that the device counts ----------------------------------------------------------------------
@pytest.mark.parametrize("step", [1, 2, 10, 1000, 1_000_000])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.9), (0.5, 0.99999)])
def test_corrections_by_the_device(gpu, step, betas):
    from gpukeras.kernels import update

    b1, b2 = betas
    counter, rate = gpu.asarray(np.int32(step - 1)), gpu.asarray(np.float32(0.01))
    first, second = -math.expm1(step * math.log(b1)) if b1 else 1, -math.expm1(step * math.log(b2))
    adam_rate = update.adam_rate(rate, counter, b1, b2)
    np.testing.assert_allclose(gpu.to_numpy(adam_rate), 0.01 * math.sqrt(second) / first, 2e-6)
    np.testing.assert_allclose(gpu.to_numpy(update.adamax_rate(rate, counter, b1)), 0.01 / first, 2e-6)
    np.testing.assert_allclose(gpu.to_numpy(update.lamb_corrections(counter, b1, b2)), [first, second], 2e-6)


def test_nadam_counted_by_the_device(gpu):
    from gpukeras.kernels import update

    p = RNG.standard_normal(11).astype("float32")
    held = [gpu.asarray(a) for a in (p, np.zeros(11, "float32"), np.zeros(11, "float32"))]
    exact = [p.astype(float), np.zeros(11), np.zeros(11)]
    counted, whole = gpu.asarray(np.float32(1)), 1.0
    for step in range(1, STEPS + 1):
        g = RNG.standard_normal(11).astype("float32")
        factors = update.nadam_factors(gpu.asarray(np.int32(step - 1)), counted, 0.9, 0.99, 1.0)
        update.nadam_update(held[0], gpu.asarray(g), *held[1:], learning_rate=RATE, **MOMENTS, epsilon=1e-3,
                            momentum_factor=0, gradient_factor=0, correction=1, factors=factors)
        now, then = (0.9 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
        whole *= now
        nadam(exact[0], g.astype(float), *exact[1:], learning_rate=RATE, **MOMENTS, epsilon=1e-3,
              momentum_factor=then / (1 - whole * then), gradient_factor=(1 - now) / (1 - whole),
              correction=1 - 0.99**step)
    np.testing.assert_allclose(gpu.to_numpy(held[0]), exact[0], 2e-5, 1e-6)
    np.testing.assert_allclose(gpu.to_numpy(counted), whole, 1e-6)


def test_lamb_corrected_by_the_device(gpu):
    from gpukeras.kernels import update

    start = np.linspace(1, 2, 9, dtype="float32")
    arrays, others = [[gpu.asarray(start) for _ in range(4)] for _ in range(2)]
    corrections = update.lamb_corrections(gpu.asarray(np.int32(2)), 0.9, 0.99)
    settings = {**MOMENTS, "epsilon": 1e-3, "learning_rate": RATE}
    gpu.lamb_update(*arrays, corrections=corrections, **settings)
    gpu.lamb_update(*others, corrections=(1 - 0.9**3, 1 - 0.99**3), **settings)
    np.testing.assert_allclose(gpu.to_numpy(arrays[0]), gpu.to_numpy(others[0]), 1e-5)


# ---- few rows of a table ---------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sgd", "adagrad", "rmsprop", "adam"])
@pytest.mark.parametrize("rows", [[4, 0, 8], [5], []])
def test_rows(gpu, name, rows, dtype):
    method, reference, first, settings = RULES[name]
    count, width = 9, 5
    p = RNG.standard_normal(count * width).astype(dtype)
    state = [np.full(p.size, f, dtype) for f in first]
    exact = [a.astype(float) for a in (p, *state)]
    held = [gpu.asarray(a) for a in (p, *state)]
    settings = {k: v for k, v in settings.items() if (name, k) != ("rmsprop", "momentum")}
    for _ in range(STEPS):
        values = RNG.standard_normal((len(rows), width)).astype(dtype)
        whole = np.zeros((count, width))
        whole[rows] = values
        g = RowGradient(gpu.asarray(np.array(rows, "int32")), gpu.asarray(values), count)
        getattr(gpu, f"{method}_rows")(held[0], g, *held[1:], learning_rate=RATE, **settings)
        more = {"momentum": 0.0} if name == "rmsprop" else {}
        reference(exact[0], whole.ravel(), *exact[1:], learning_rate=RATE, **settings, **more)
    for h, e in zip(held, exact):
        np.testing.assert_allclose(gpu.to_numpy(h), e, 2e-4, 2e-6)


def test_rows_outside_of_the_table_are_passed_over(gpu):
    p = gpu.asarray(np.ones(6, "float32"))
    g = RowGradient(gpu.asarray(np.array([-1, 1, 3])), gpu.asarray(np.ones((3, 2), "float32")), 3)
    gpu.sgd_update_rows(p, g, learning_rate=0.5)
    np.testing.assert_array_equal(gpu.to_numpy(p), [1, 1, 0.5, 0.5, 1, 1])
    s = gpu.asarray(np.zeros(6, "float32"))
    gpu.adagrad_update_rows(p, g, s, learning_rate=0.5, epsilon=0.0)
    np.testing.assert_array_equal(gpu.to_numpy(s), [0, 0, 1, 1, 0, 0])
    v = gpu.asarray(np.zeros(6, "float32"))
    gpu.adam_update_rows(p, g, s, v, learning_rate=0.0, **MOMENTS, epsilon=1)
    np.testing.assert_allclose(gpu.to_numpy(s), [0, 0, 1, 1, 0, 0], 1e-6)
