"""Activation kernels against formulas in float64 and their differences."""

import math

import numpy as np
import pytest
from support.fake_device import emulated
from support.halves import FLOATS

RNG = np.random.default_rng(52)
erf = np.vectorize(math.erf, otypes=[float])
SIZES = [0, 1, 7, 1027]
ALPHA, SCALE = 1.6732632423543772, 1.0507009873554805


def sig(x):
    return 1 / (1 + np.exp(-x))


FORMULAS = {  # name: formula, settings, kinks
    "linear": (lambda x: x, (), ()),
    "relu": (lambda x: np.where(x > 0, x, 0), (), (0,)),
    "relu6": (lambda x: np.clip(x, 0, 6), (), (0, 6)),
    "clipped_relu": (
        lambda x: np.minimum(np.where(x > 0.5, x, 0.2 * (x - 0.5)), 3), (0.2, 0.5, 3.0), (0.5, 3)
    ),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.3 * x), (0.3,), (0,)),
    "elu": (lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)), (0.7,), (0,)),
    "selu": (lambda x: SCALE * np.where(x > 0, x, ALPHA * (np.exp(x) - 1)), (), (0,)),
    "celu": (lambda x: np.where(x > 0, x, 1.5 * (np.exp(x / 1.5) - 1)), (1.5,), (0,)),
    "sigmoid": (sig, (), ()),
    "tanh": (np.tanh, (), ()),
    "silu": (lambda x: x * sig(x), (), ()),
    "log_sigmoid": (lambda x: np.log(sig(x)), (), ()),
    "hard_sigmoid": (lambda x: np.clip(x / 6 + 0.5, 0, 1), (), (-3, 3)),
    "hard_sigmoid_keras2": (lambda x: np.clip(x * 0.2 + 0.5, 0, 1), (), (-2.5, 2.5)),
    "sparse_sigmoid": (lambda x: np.clip(x / 2 + 0.5, 0, 1), (), (-1, 1)),
    "hard_silu": (lambda x: x * np.clip(x / 6 + 0.5, 0, 1), (), (-3, 3)),
    "hard_tanh": (lambda x: np.clip(x, -1, 1), (), (-1, 1)),
    "softplus": (lambda x: np.log(1 + np.exp(x)), (), ()),
    "softsign": (lambda x: x / (1 + abs(x)), (), ()),
    "mish": (lambda x: x * np.tanh(np.log(1 + np.exp(x))), (), ()),
    "gelu_tanh": (lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), (), ()),
    "gelu_erf": (lambda x: x / 2 * (1 + erf(x / math.sqrt(2))), (), ()),
    "squareplus": (lambda x: (x + np.sqrt(x**2 + 3)) / 2, (3.0,), ()),
    "sparse_plus": (lambda x: np.where(x <= -1, 0, np.where(x < 1, (x + 1) ** 2 / 4, x)), (), ()),
    "soft_shrink": (lambda x: np.sign(x) * np.maximum(abs(x) - 0.4, 0), (0.4,), (-0.4, 0.4)),
    "hard_shrink": (lambda x: np.where(abs(x) > 0.4, x, 0), (0.4,), (-0.4, 0.4)),
    "tanh_shrink": (lambda x: x - np.tanh(x), (), ()),
    "threshold": (lambda x: np.where(x > 0.5, x, -2), (0.5, -2.0), (0.5,)),
}
TOLERANCE = {
    "float32": {"rtol": 2e-5, "atol": 2e-6}, "float16": {"rtol": 2e-3, "atol": 1e-3},
    "bfloat16": {"rtol": 5e-3, "atol": 4e-3},
}


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def values(size, dtype, kinks=()):
    """Return numbers from -8 to 8 that keep away from the kinks."""
    x = RNG.uniform(-8, 8, size)
    for kink in kinks:
        x += 0.05 * np.sign(x - kink) * (abs(x - kink) < 0.05)
    return x.astype(dtype)


def check(gpu, name, size, dtype):
    formula, settings, kinks = FORMULAS[name]
    x, dy = values(size, dtype, kinks), values(size, dtype)
    exact = x.astype(float)
    y = gpu.fused_activation(name, gpu.asarray(x), *settings)
    assert y.dtype == dtype
    np.testing.assert_allclose(gpu.to_numpy(y).astype(float), formula(exact), **TOLERANCE[dtype])
    given = y if name in ("relu", "sigmoid", "tanh") else gpu.asarray(x)
    dx = gpu.fused_activation_backward(name, gpu.asarray(dy), given, *settings)
    slope = (formula(exact + 1e-5) - formula(exact - 1e-5)) / 2e-5
    scale = {k: v * 5 if dtype == "float32" else v * 20 for k, v in TOLERANCE[dtype].items()}
    np.testing.assert_allclose(gpu.to_numpy(dx).astype(float), dy.astype(float) * slope, **scale)


def test_all_activations_are_tested(gpu):
    from gpukeras.kernels import elementwise

    assert FORMULAS.keys() == elementwise.ACTIVATIONS.keys()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", FORMULAS)
def test_values_and_gradients(gpu, name, dtype):
    check(gpu, name, 137, dtype)


@pytest.mark.parametrize("size", SIZES)
def test_sizes(gpu, size):
    check(gpu, "silu", size, "float32")
    check(gpu, "gelu_tanh", size, "float16")


@pytest.mark.parametrize("start", [1, 2, 4])
def test_arrays_that_begin_anywhere(gpu, start):
    x = RNG.standard_normal(65).astype("float32")
    part = gpu.asarray(x)[start:]
    np.testing.assert_allclose(gpu.to_numpy(gpu.sigmoid(part)), sig(x[start:].astype(float)), 1e-5)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.relu(gpu.asarray(x)[::2])), np.maximum(x[::2], 0))


@pytest.mark.parametrize("size", [6, 64])
def test_in_place(gpu, size):
    from gpukeras.kernels import elementwise

    x, dy = RNG.standard_normal((2, size)).astype("float32")
    for name, formula in (("relu", FORMULAS["relu"][0]), ("sigmoid", sig)):
        a = gpu.asarray(x)
        assert getattr(gpu, name)(a, out=a) is a
        np.testing.assert_allclose(gpu.to_numpy(a), formula(x.astype(float)), 1e-5)
    d = gpu.asarray(dy)
    assert elementwise.activation_backward(d, gpu.asarray(x), "relu", out=d) is d
    np.testing.assert_array_equal(gpu.to_numpy(d), np.where(x > 0, dy, 0))


@pytest.mark.parametrize("activation", [None, "relu", "sigmoid", "tanh"])
def test_gradients_from_results(gpu, activation):
    y, dy = RNG.uniform(-1, 1, (2, 5, 9)).astype("float32")
    slopes = {None: 1, "relu": y > 0, "sigmoid": y * (1.0 - y), "tanh": 1 - y.astype(float) ** 2}
    kept = dy.copy()
    given = gpu.asarray(dy)
    dx = gpu.activation_backward(given, gpu.asarray(y), activation)
    np.testing.assert_allclose(gpu.to_numpy(dx), dy * slopes[activation], 1e-5, 1e-6)
    np.testing.assert_array_equal(gpu.to_numpy(given), kept)


@pytest.mark.parametrize("name", FORMULAS)
def test_nan_and_infinity(gpu, name):
    """What is not a number stays so; the ends of an activation are its limits."""
    formula, settings, _ = FORMULAS[name]
    x = np.array([np.nan, np.inf, -np.inf, 90.0, -90.0, 1e30, -1e30], "float32")
    y = gpu.to_numpy(gpu.fused_activation(name, gpu.asarray(x), *settings))
    assert np.isnan(y[0]) or name == "threshold"  # NaN is not above it
    with np.errstate(all="ignore"):
        expected = formula(x.astype(float))
    for i in range(1, 7):
        if np.isfinite(expected[i]) and abs(expected[i]) < 1e30:
            assert math.isclose(y[i], expected[i], rel_tol=1e-5, abs_tol=1e-6), (name, x[i])
    dx = gpu.to_numpy(gpu.fused_activation_backward(name, gpu.asarray(np.ones(4, "float32")),
                                                    gpu.asarray(x[3:]), *settings))
    if name not in ("sigmoid", "tanh", "gelu_tanh", "gelu_erf", "silu", "mish", "squareplus"):
        assert np.isfinite(dx).all()


def test_gradients_at_kinks_are_those_of_the_cpu(gpu):
    from gpukeras import GradientTape, backends, ops

    points = np.array([-3, -2.5, -1, -0.5, -0.4, 0, 0.4, 0.5, 1, 2.5, 3, 6], "float32")
    given = gpu.asarray(points)
    ones = gpu.asarray(np.ones_like(points))
    cases = [(name, settings) for name, (_, settings, kinks) in FORMULAS.items() if kinks]
    for name, settings in [*cases, ("clipped_relu", (0.2, 0.0, 3.0)), ("clipped_relu", (0.2, 0.5, None))]:
        with backends.device_scope("cpu"):
            x = ops.convert_to_tensor(points)
            with GradientTape() as tape:
                tape.watch(x)
                if name == "clipped_relu":
                    slope, threshold, most = settings
                    y = ops.activation.clipped_relu(x, slope, max_value=most, threshold=threshold)
                else:
                    y = getattr(ops.activation, name)(x, *settings)
            expected = tape.gradient(y, x).numpy()
        found = gpu.to_numpy(gpu.fused_activation_backward(name, ones, given, *settings))
        np.testing.assert_allclose(found, expected, 1e-6, err_msg=name)


def test_rectifier_without_limit(gpu):
    x = np.array([np.inf, 5.0, 0.0, -5.0, -np.inf], "float32")
    y = gpu.fused_activation("clipped_relu", gpu.asarray(x), 0.0, 0.0, None)
    np.testing.assert_array_equal(gpu.to_numpy(y), [np.inf, 5, 0, 0, 0])
    dy = gpu.asarray(np.ones(5, "float32"))
    dx = gpu.fused_activation_backward("clipped_relu", dy, gpu.asarray(x), 0.0, 0.0, None)
    np.testing.assert_array_equal(gpu.to_numpy(dx), [1, 1, 0, 0, 0])


def test_no_gradient_passes_a_closed_rectifier(gpu):
    dy = np.array([np.nan, np.inf, 1, 2], "float32")
    dx = gpu.relu_backward(gpu.asarray(dy), gpu.asarray(np.array([0, 0, 0, 3], "float32")))
    np.testing.assert_array_equal(gpu.to_numpy(dx), [0, 0, 0, 2])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(5, 8), (3, 7), (0, 4), (2, 3, 16), (1, 1)])
@pytest.mark.parametrize("activation", [None, "relu", "tanh", "sigmoid"])
def test_bias(gpu, shape, dtype, activation):
    x, bias = RNG.standard_normal(shape).astype(dtype), RNG.standard_normal(shape[-1]).astype(dtype)
    expected = FORMULAS[activation or "linear"][0](x.astype(float) + bias.astype(float))
    a = gpu.asarray(x)
    np.testing.assert_allclose(gpu.to_numpy(gpu.bias_activation(a, gpu.asarray(bias), activation)), expected,
                               **TOLERANCE[dtype])
    assert gpu.bias_activation(a, gpu.asarray(bias), activation, out=a) is a
    np.testing.assert_allclose(gpu.to_numpy(a), expected, **TOLERANCE[dtype])


def test_other_types_go_the_generic_way(gpu):
    x = RNG.standard_normal((3, 4))
    a = gpu.asarray(x)
    np.testing.assert_allclose(gpu.to_numpy(gpu.sigmoid(a)), sig(x), 1e-12)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.relu(gpu.asarray(np.array([-1, 2])))), [0, 2])
    np.testing.assert_array_equal(gpu.to_numpy(gpu.relu_backward(a, a)), np.where(x > 0, x, 0))
    np.testing.assert_allclose(gpu.to_numpy(gpu.activation_backward(a, a, "tanh")), x * (1 - x * x), 1e-12)
    assert gpu.fused_activation("relu", a) is None and gpu.fused_activation_backward("relu", a, a) is None
    bias = gpu.asarray(np.ones(4))
    for name, formula in ((None, lambda v: v), ("tanh", np.tanh), ("sigmoid", sig)):
        np.testing.assert_allclose(gpu.to_numpy(gpu.bias_activation(a, bias, name)), formula(x + 1), 1e-12)
    wide = gpu.asarray(np.zeros((4, 6), "float32"))
    view = gpu.asarray(np.ones((4, 3), "float32"))
    assert gpu.relu(view, out=wide[:, ::2]) is not None  # results with gaps go the generic way
    assert gpu.to_numpy(wide).sum() == 12
