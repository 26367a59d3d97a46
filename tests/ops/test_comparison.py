"""Comparisons, logic, classification, bits."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import ops

A = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
B = np.array([1.0, 3.0, 2.0])
TRUTH = np.array([True, True, False, False])
OTHER = np.array([True, False, True, False])
BITS = np.array([6, 5, 12], "int32")
MASK = np.array([3, 4, 10], "int32")
ODD = np.array([1.0, np.nan, np.inf, -np.inf])


@pytest.mark.parametrize("name", ["equal", "not_equal", "less", "less_equal", "greater", "greater_equal"])
def test_comparisons(backend, name):
    check_op(getattr(ops, name), [A, B], getattr(np, name), grad=False)
    check_op(getattr(ops, name), [A, 3.0], getattr(np, name), grad=False)
    check_op(getattr(ops, name), [BITS, MASK], getattr(np, name), grad=False)


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
def test_logic(backend, name):
    check_op(getattr(ops, name), [TRUTH, OTHER], getattr(np, name), grad=False)
    check_op(getattr(ops, name), [A, np.array([0.0, 1.0, 0.0])], getattr(np, name), grad=False)


def test_logical_not(backend):
    check_op(ops.logical_not, [TRUTH], np.logical_not, grad=False)


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal"])
def test_kinds(backend, name):
    check_op(getattr(ops, name), [ODD], getattr(np, name), grad=False)


def test_closeness(backend):
    x, y = np.array([1.0, 1.0 + 1e-7, np.nan]), np.array([1.0, 1.0, np.nan])
    assert ops.isclose(x, y).numpy().tolist() == [True, True, False]
    assert ops.isclose(x, y, equal_nan=True).numpy().tolist() == [True, True, True]
    assert bool(ops.allclose(x[:2], y[:2]))
    assert not bool(ops.allclose([1.0], [1.1]))
    assert bool(ops.allclose([1.0], [1.1], rtol=0.2))


@pytest.mark.parametrize(
    "name, reference",
    [("bitwise_and", np.bitwise_and), ("bitwise_or", np.bitwise_or), ("bitwise_xor", np.bitwise_xor),
     ("bitwise_left_shift", np.left_shift), ("bitwise_right_shift", np.right_shift), ("left_shift",
     np.left_shift),
     ("right_shift", np.right_shift)],
)
def test_bits(backend, name, reference):
    check_op(getattr(ops, name), [BITS, MASK], reference, grad=False)


def test_bitwise_not(backend):
    check_op(ops.bitwise_not, [BITS], np.invert, grad=False)
    check_op(ops.bitwise_invert, [TRUTH], np.invert, grad=False)
    with pytest.raises(TypeError, match="needs integers"):
        ops.bitwise_and([1.0], [2.0])
