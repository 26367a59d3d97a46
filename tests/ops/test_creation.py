"""New tensors."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import ops
from gpukeras.symbolic import KerasTensor


def same(tensor, expected, dtype="float32", rtol=1e-6):
    assert tensor.dtype == dtype
    assert tensor.shape == np.shape(expected)
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=rtol, atol=1e-6)


def test_constants(backend):
    same(ops.zeros((2, 3)), np.zeros((2, 3)))
    same(ops.zeros(3, "int32"), np.zeros(3), "int32")
    same(ops.ones((2, ops.array(3))), np.ones((2, 3)))
    same(ops.empty((2,)), np.zeros(2))
    same(ops.full((2, 2), 7.5), np.full((2, 2), 7.5))
    same(ops.full((2, 2), [1, 2], "int32"), [[1, 2], [1, 2]], "int32")
    same(ops.eye(3), np.eye(3))
    same(ops.eye(2, 4, 1, "float16"), np.eye(2, 4, 1), "float16")
    same(ops.identity(2), np.eye(2))
    same(ops.tri(3, 4, -1), np.tri(3, 4, -1))
    assert ops.zeros((2,)).backend is backend


def test_likes(backend):
    x = np.arange(6.0).reshape(2, 3)
    for name in ("zeros_like", "ones_like", "empty_like"):
        reference = np.zeros_like if name == "empty_like" else getattr(np, name)
        check_op(getattr(ops, name), [x], reference, grad=False)
        assert getattr(ops, name)(x, "int32").dtype == "int32"
        assert getattr(ops, name)(KerasTensor((None, 2)), dtype="int32").dtype == "int32"
    check_op(ops.full_like, [x], np.full_like, settings=(2.5,), grad=False)
    assert ops.full_like(x, 2.0, "int32").numpy().tolist() == np.full((2, 3), 2).tolist()


def test_ranges(backend):
    same(ops.arange(5), np.arange(5), "int32")
    same(ops.arange(2, 8, 3), [2, 5], "int32")
    same(ops.arange(0.0, 1.0, 0.25), np.arange(0, 1, 0.25))
    same(ops.arange(3, dtype="float32"), [0, 1, 2])
    same(ops.arange(ops.array(3)), [0, 1, 2], "int32")
    same(ops.linspace(0, 1, 5), np.linspace(0, 1, 5))
    same(ops.linspace(0, 1, 5, endpoint=False), np.linspace(0, 1, 5, endpoint=False))
    values, step = ops.linspace(0, 4, 5, retstep=True)
    same(step, 1.0)
    same(ops.linspace([0.0, 1.0], [1.0, 3.0], 3, axis=1), np.linspace([0, 1], [1, 3], 3, axis=1))
    same(ops.linspace(0, 9, 4, dtype="int32"), [0, 3, 6, 9], "int32")
    same(ops.logspace(0, 2, 3), [1, 10, 100])
    same(ops.logspace(0, 3, 4, base=2), [1, 2, 4, 8])
    same(ops.geomspace(1, 1000, 4), [1, 10, 100, 1000])


def test_vander(backend):
    x = np.array([1.5, 2.0, -3.0])
    check_op(ops.vander, [x], np.vander, second_order=True)
    check_op(ops.vander, [x], np.vander, settings=(2, True))
    with pytest.raises(ValueError, match="one axis"):
        ops.vander(np.ones((2, 2)))


def test_windows(backend):
    for name in ("bartlett", "blackman", "hamming", "hanning"):
        same(getattr(ops, name)(7), getattr(np, name)(7))
    same(ops.kaiser(7, 3.0), np.kaiser(7, 3.0))
    with pytest.raises(ValueError, match="finite"):
        ops.kaiser(7, float("nan"))
