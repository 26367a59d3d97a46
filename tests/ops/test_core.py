"""Conversion, casts, facts, cutting the tape."""

import numpy as np
import pytest
from support.checks import check_op

import gpukeras as keras
from gpukeras import ops
from gpukeras.autograd import GradientTape
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, Variable

rng = np.random.default_rng(6)


@pytest.mark.parametrize(
    "value, dtype",
    [([1.0, 2.0], "float32"), ([1, 2], "int32"), ([True], "bool"), (np.zeros(2), "float32"), (2.5, "float32"),
     (np.zeros(2, "int64"), "int64"), (np.zeros(2, "float16"), "float16"), (2**40, "int64"), (3, "int32")],
    ids=str,
)
def test_conversion_dtypes(backend, value, dtype):
    t = ops.convert_to_tensor(value)
    assert t.dtype == dtype and t.backend is backend
    np.testing.assert_array_equal(ops.convert_to_numpy(t), value)


def test_conversion_of_tensors(backend):
    t = ops.array([1.0])
    assert ops.convert_to_tensor(t) is t
    assert ops.convert_to_tensor(t, "float32") is t
    assert ops.convert_to_tensor(t, "int32").dtype == "int32"
    nested = ops.convert_to_tensor([t[0], 2.0])
    assert nested.numpy().tolist() == [1, 2]
    s = KerasTensor((None, 3))
    assert ops.convert_to_tensor(s) is s
    assert ops.convert_to_tensor(s, "float16").dtype == "float16"
    with pytest.raises(TypeError, match="symbolic"):
        ops.convert_to_numpy(s)
    with pytest.raises(ValueError, match="sparse and ragged"):
        ops.convert_to_tensor([1], sparse=True)
    with pytest.raises(ValueError, match="ragged"):
        ops.convert_to_tensor([[1], [2, 3]])
    assert ops.convert_to_numpy([t, t]).shape == (2, 1)
    assert ops.is_tensor(t) and not ops.is_tensor(np.zeros(1)) and not ops.is_tensor(s)


def test_cast(backend):
    x = rng.uniform(-3, 3, (2, 3))
    check_op(ops.cast, [x], lambda x, dtype: x, settings=("float64",), dtypes=("float64",))
    t = ops.array(x)
    with GradientTape() as tape:
        tape.watch(t)
        y = ops.cast(t, "float16")
    g = tape.gradient(y, t)
    assert y.dtype == "float16" and g.dtype == "float32" and (g.numpy() == 1).all()
    assert ops.cast(x, "int32").numpy().tolist() == x.astype("int32").tolist()
    s = ops.cast(KerasTensor((None, 2)), "int32")
    assert s.dtype == "int32" and s.shape == (None, 2)
    v = Variable([1.0])
    kept = ops.cast(v, "float32")
    v.assign([5.0])
    assert float(kept[0]) == 1.0  # a variable changes in place, the tensor must not


@pytest.mark.parametrize(
    "value, source, target, expected",
    [(300.0, "float32", "uint8", 255), (-3.0, "float32", "uint8", 0), (1e10, "float32", "int32", 2147483520),
     (-1e10, "float32", "int32", -2147483648), (300, "int32", "int8", 127), (-300, "int32", "int8", -128),
     (-1, "int32", "uint32", 0), (70000.0, "float32", "float16", 65504.0), (1e39, "float64", "float32", None),
     (5, "int32", "float32", 5.0), (200, "uint8", "int8", 127)],
)
def test_saturate_cast(backend, value, source, target, expected):
    y = ops.saturate_cast(ops.array([value], source), target)
    assert y.dtype == target
    assert y.numpy()[0] == (np.finfo("float32").max if expected is None else np.dtype(target).type(expected))


def test_facts(backend):
    t, s = ops.zeros((2, 3), "float16"), KerasTensor((None, 3), "int32")
    assert ops.shape(t) == (2, 3) and ops.shape(s) == (None, 3) and ops.shape([[1, 2]]) == (1, 2)
    assert ops.ndim(t) == 2 and ops.ndim(3.0) == 0
    assert ops.size(t) == 6 and (ops.size(s).shape, ops.size(s).dtype) == ((), "int32")
    assert ops.dtype(t) == "float16" and ops.dtype(s) == "int32" and ops.dtype([1.0]) == "float32"


def test_copy_detach_stop_gradient(backend):
    check_op(ops.copy, [rng.random((2, 3))], lambda x: x, second_order=True)
    x = ops.array([1.0, 2.0])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * ops.stop_gradient(x)
        z = ops.stop_gradient({"a": x, "b": [x * 2]})
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [1, 2])
    assert tape.gradient(z["b"][0], x) is None
    v = Variable([1.0])
    kept = ops.stop_gradient(v)
    v.assign([2.0])
    assert float(kept[0]) == 1.0
    assert type(kept) is Tensor


def test_public_names():
    assert keras.ops is ops
    for name in ("add", "matmul", "einsum", "norm", "cond", "median", "custom_gradient", "erfinv"):
        assert callable(getattr(ops, name))


def test_namespaces():
    assert ops.nn.relu is ops.relu
    assert ops.numpy.add is ops.add
    assert ops.linalg.norm is ops.norm and ops.linalg.jvp is ops.jvp
