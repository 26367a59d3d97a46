"""Elementwise arithmetic."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

from gpukeras import dtypes, ops
from gpukeras.autograd import GradientTape
from gpukeras.tensor import Tensor

rng = np.random.default_rng(1)


def spread(*shape, low=-2.0, high=2.0, apart=0.05):
    """Values in [low, high] that keep away from 0, from integers and from each other's ties."""
    x = rng.uniform(low, high, shape)
    near = np.abs(x - np.round(x)) < apart
    return np.where(near, x + 2 * apart * np.where(x >= np.round(x), 1, -1), x)


X, Y, ROW = spread(3, 4), spread(3, 4), spread(4)
POSITIVE = spread(3, 4, low=0.3, high=3.0)

UNARY = [
    ("negative", X, np.negative),
    ("positive", X, np.positive),
    ("square", X, np.square),
    ("reciprocal", X, lambda x: 1 / x),
    ("sqrt", POSITIVE, np.sqrt),
    ("rsqrt", POSITIVE, lambda x: 1 / np.sqrt(x)),
    ("cbrt", POSITIVE, np.cbrt),
    ("absolute", X, np.abs),
    ("abs", X, np.abs),
    ("fabs", X, np.fabs),
    ("conjugate", X, np.conj),
    ("conj", X, np.conj),
    ("real", X, np.real),
    ("deg2rad", X, np.deg2rad),
    ("rad2deg", X, np.rad2deg),
    ("nan_to_num", X, np.nan_to_num),
]
CONSTANT = [  # no gradient
    ("sign", X, np.sign),
    ("signbit", X, np.signbit),
    ("floor", X, np.floor),
    ("ceil", X, np.ceil),
    ("trunc", X, np.trunc),
    ("round", X, np.round),
    ("imag", X, np.imag),
    ("angle", X, np.angle),
]
BINARY = [
    ("add", np.add),
    ("subtract", np.subtract),
    ("multiply", np.multiply),
    ("divide", np.divide),
    ("true_divide", np.divide),
    ("divide_no_nan", np.divide),
    ("hypot", np.hypot),
    ("mod", np.mod),
    ("fmod", np.fmod),
    ("maximum", np.maximum),
    ("minimum", np.minimum),
    ("fmax", np.fmax),
    ("fmin", np.fmin),
    ("heaviside", np.heaviside),
]


@pytest.mark.parametrize("name, x, reference", UNARY, ids=lambda v: v if isinstance(v, str) else "")
def test_unary(backend, name, x, reference):
    check_op(getattr(ops, name), [x], reference, second_order=True)


@pytest.mark.parametrize("name, x, reference", CONSTANT, ids=lambda v: v if isinstance(v, str) else "")
def test_without_gradient(backend, name, x, reference):
    check_op(getattr(ops, name), [x], reference, grad=False)
    t = Tensor(ops.array(x, "float64").array)
    with GradientTape() as tape:
        tape.watch(t)
        y = getattr(ops, name)(t)
    assert tape.gradient(y, t) is None


@pytest.mark.parametrize("name, reference", BINARY)
@pytest.mark.parametrize("shapes", ["same", "row", "column", "scalar"])
def test_binary(backend, name, reference, shapes):
    second = {"same": Y, "row": ROW, "column": Y[:, :1], "scalar": np.asarray(Y[0, 0])}[shapes]
    check_op(getattr(ops, name), [X, second], reference, second_order=shapes in ("same", "row"))


@pytest.mark.parametrize("op", [ops.fmax, ops.fmin])
def test_numbers_beside_nan_take_the_whole_gradient(backend, op):
    a, b = ops.array([1.0, np.nan, 2.0, np.nan]), ops.array([np.nan, 3.0, 2.0, np.nan])
    with GradientTape() as tape:
        tape.watch([a, b])
        y = op(a, b)
    assert [g.tolist() for g in tape.gradient(y, [a, b])] == [[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]]


def test_nan_to_num_of_halves(backend):
    for kind in ("float16", "bfloat16"):
        x = ops.cast([np.nan, np.inf, -np.inf, 1.5], kind)
        largest = float(dtypes.finfo(kind).max)
        with GradientTape() as tape:
            tape.watch(x)
            y = ops.nan_to_num(x)
        assert y.dtype == kind
        assert ops.cast(y, "float32").tolist() == [0.0, largest, -largest, 1.5]
        assert tape.gradient(y, x).numpy().tolist() == [0.0, 0.0, 0.0, 1.0]
        assert ops.cast(ops.nan_to_num(x, posinf=2.0), "float32").tolist()[1] == 2.0


def test_binary_empty(backend):
    check_op(ops.add, [np.zeros((0, 4)), ROW], np.add)
    check_op(ops.multiply, [np.zeros((0, 4)), ROW], np.multiply)


def test_power(backend):
    check_op(ops.power, [POSITIVE, Y], np.power, second_order=True)
    check_op(ops.power, [POSITIVE, ROW], np.power, second_order=True)
    for exponent in (2, 3, 1, 0.5, -1, 2.5, -2, 0):
        check_op(ops.power, [POSITIVE, exponent], np.power, second_order=True)
    check_op(ops.power, [X, 2], np.power, second_order=True)
    check_op(ops.power, [2.0, X], np.power, second_order=True)


def test_power_at_the_edges(backend):
    x = ops.array([0.0, 0.0, -1.0])
    p = ops.array([0.0, 1.0, 2.0])
    with GradientTape() as tape:
        tape.watch([x, p])
        y = x**p
    dx, dp = tape.gradient(y, [x, p])
    np.testing.assert_array_equal(dx.numpy(), [0, 1, -2])
    np.testing.assert_array_equal(dp.numpy(), [0, 0, 0])
    np.testing.assert_array_equal((ops.array([2, 3]) ** 2).numpy(), [4, 9])


def test_ties_share_the_gradient(backend):
    x, y = ops.array([1.0, 2.0, 3.0]), ops.array([1.0, 3.0, 2.0])
    for f, expected in ((ops.maximum, [0.5, 0, 1]), (ops.minimum, [0.5, 1, 0])):
        with GradientTape() as tape:
            tape.watch([x, y])
            z = f(x, y)
        dx, dy = tape.gradient(z, [x, y])
        np.testing.assert_array_equal(dx.numpy(), expected)
        np.testing.assert_array_equal(dy.numpy(), 1 - np.array(expected))


def test_clip(backend):
    x = spread(4, 5) * 2
    check_op(ops.clip, [x, -1.0, 1.5], lambda x, a, b: np.clip(x, a, b))
    check_op(ops.clip, [x, np.full((4, 1), -1.0), np.full(5, 1.5)], np.clip)
    check_op(ops.clip, [x, None, 1.5], lambda x, a, b: np.minimum(x, b))
    check_op(ops.clip, [x, -1.0, None], lambda x, a, b: np.maximum(x, a))
    assert ops.clip(ops.array([1, 5, 9]), 2, 6).numpy().tolist() == [2, 5, 6]
    assert ops.clip(ops.array([1, 5, 9]), 1.5, 6.5).numpy().tolist() == [1.5, 5, 6.5]
    t = ops.array([0.0, 0.5, 1.0])
    with GradientTape() as tape:
        tape.watch(t)
        y = ops.clip(t, 0.0, 1.0)
    np.testing.assert_array_equal(tape.gradient(y, t).numpy(), [1, 1, 1])  # on the bound the gradient passes


def test_divide_no_nan_at_zero(backend):
    x, y = ops.array([1.0, 2.0]), ops.array([0.0, 4.0])
    with GradientTape() as tape:
        tape.watch([x, y])
        z = ops.divide_no_nan(x, y)
    np.testing.assert_array_equal(z.numpy(), [0, 0.5])
    dx, dy = tape.gradient(z, [x, y])
    np.testing.assert_array_equal(dx.numpy(), [0, 0.25])
    np.testing.assert_array_equal(dy.numpy(), [0, -0.125])


def test_integers(backend):
    a, b = np.array([7, -7, 5], "int32"), np.array([2, 2, -3], "int32")
    for name, f in (("floor_divide", np.floor_divide), ("mod", np.mod), ("fmod", np.fmod), ("maximum",
    np.maximum),
                    ("add", np.add), ("multiply", np.multiply), ("subtract", np.subtract)):
        check_op(getattr(ops, name), [a, b], f, grad=False)
    check_op(ops.gcd, [np.abs(a), np.abs(b)], np.gcd, grad=False)
    check_op(ops.lcm, [np.abs(a), np.abs(b)], np.lcm, grad=False)
    assert ops.divide(a, b).dtype == "float32"
    assert ops.floor(a).dtype == "float32"
    assert ops.round(a).dtype == "int32"
    assert ops.trunc(a).dtype == "int32"
    quotient, rest = ops.divmod(a, b)
    np.testing.assert_array_equal(quotient.numpy() * b + rest.numpy(), a)


def test_booleans(backend):
    t = np.array([True, False, True])
    assert ops.add(t, t).dtype == "bool"
    assert ops.subtract(t, t).numpy().tolist() == [0, 0, 0]
    for name in ("square", "sign", "round"):
        assert getattr(ops, name)(t).dtype == "int32"
    assert ops.power(t, t).dtype == "int32"
    assert (ops.array(t) + 1).numpy().tolist() == [2, 1, 2]


def test_rounding_halves_to_even(backend):
    check_op(ops.round, [np.array([0.5, 1.5, 2.5, -0.5])], np.round, grad=False)
    check_op(ops.round, [np.array([1.234, 5.678])], np.round, settings=(2,), grad=False)


def test_nan_to_num(backend):
    x = ops.array([np.nan, np.inf, -np.inf, 1.0])
    np.testing.assert_array_equal(ops.nan_to_num(x, 7.0, 8.0, 9.0).numpy(), [7, 8, 9, 1])
    assert np.isfinite(ops.nan_to_num(x).numpy()).all()
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.nan_to_num(x)
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [0, 0, 0, 1])


def test_bits_of_floats(backend):
    check_op(ops.ldexp, [X, np.array([1, -2, 3, 0], "int32")], np.ldexp)
    np.testing.assert_array_equal(
        ops.nextafter([1.0, -1.0], [2.0, 0.0]).numpy(), np.nextafter(np.float32([1, -1]), np.float32([2, 0]))
    )
    with pytest.raises(TypeError, match="x2 must hold integers"):
        ops.ldexp([1.0], [0.5])


def test_operands_nobody_follows_cost_no_gradient(backend):
    x, y = ops.array([1.0, 2.0]), ops.array([3.0, 4.0])
    with GradientTape() as tape:
        tape.watch(x)
        z = x * y + x / y - y
    assert tape.gradient(z, [x, y])[1] is None


def test_same_operand_twice(backend):
    check_gradient(lambda x: x * x - x / x + x**x, [POSITIVE], second_order=True)


def test_mixed_dtypes(backend):
    half, single = ops.array([1.5], "float16"), ops.array([2.0], "float32")
    with GradientTape() as tape:
        tape.watch([half, single])
        y = half * single + single / half
    assert y.dtype == "float32"
    dh, ds = tape.gradient(y, [half, single])
    assert dh.dtype == "float16" and ds.dtype == "float32"


def test_shapes_that_do_not_broadcast(backend):
    with pytest.raises(ValueError):
        ops.add(np.ones((2, 3)), np.ones((2, 4)))
