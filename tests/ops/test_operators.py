"""Python operators and NumPy-style methods of tensors."""

import operator

import numpy as np
import pytest

from gpukeras import ops
from gpukeras.autograd import GradientTape
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, Variable

A, B = np.array([[1.5, -2.0], [3.0, 4.5]], "float32"), np.array([[2.0, 3.0], [-1.0, 0.5]], "float32")
P, Q = np.array([[6, 5], [12, 3]], "int32"), np.array([[3, 4], [2, 1]], "int32")
ARITHMETIC = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul"]
COMPARISONS = ["eq", "ne", "lt", "le", "gt", "ge"]


@pytest.mark.parametrize("name", ARITHMETIC + COMPARISONS)
def test_binary_operators(backend, name):
    f = getattr(operator, name)
    left = np.abs(A) if name == "pow" else A
    expected = f(left, B)
    t, u = ops.array(left), ops.array(B)
    cases = [f(t, u), f(t, B), f(left, u)]  # NumPy on either side gives a tensor
    for y in cases:
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    s = f(KerasTensor((None, 2)), KerasTensor((2, 2) if name == "matmul" else (None, 2)))
    assert s.shape == (None, 2) and s.dtype == expected.dtype.name
    for mixed in (f(KerasTensor((2, 2)), t), f(t, KerasTensor((2, 2)))):
        assert isinstance(mixed, KerasTensor)


@pytest.mark.parametrize("name", [n for n in ARITHMETIC if n != "matmul"] + COMPARISONS)
def test_numbers_on_either_side(backend, name):
    f = getattr(operator, name)
    t = ops.array(np.abs(A))
    np.testing.assert_allclose(f(t, 2.5).numpy(), f(np.abs(A), np.float32(2.5)), rtol=1e-6)
    np.testing.assert_allclose(f(2.5, t).numpy(), f(np.float32(2.5), np.abs(A)), rtol=1e-6)
    for number in (2, 2.5, np.float64(2.5), np.float32(2), True):
        y = f(t, number)
        assert y.dtype == ("bool" if name in COMPARISONS else "float32"), number
        y = f(number, t)
        assert y.dtype == ("bool" if name in COMPARISONS else "float32"), number


@pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
def test_bits(backend, name):
    f = getattr(operator, name)
    assert f(ops.array(P), ops.array(Q)).numpy().tolist() == f(P, Q).tolist()
    assert f(ops.array(P), 2).numpy().tolist() == f(P, 2).tolist()
    assert f(2, ops.array(P) % 8).numpy().tolist() == f(2, P % 8).tolist()
    if "shift" not in name:
        p, q = A > 0, B > 0
        y = f(ops.array(p), ops.array(q))
        assert y.dtype == "bool" and y.numpy().tolist() == f(p, q).tolist()
        assert f(ops.array(p), True).numpy().tolist() == f(p, True).tolist()
        assert f(KerasTensor((2, 2), "bool"), KerasTensor((2, 2), "bool")).dtype == "bool"


def test_unary(backend):
    t = ops.array(A)
    assert (-t).numpy().tolist() == (-A).tolist()
    assert (+t).numpy().tolist() == A.tolist()
    assert abs(t).numpy().tolist() == np.abs(A).tolist()
    assert round(t).numpy().tolist() == np.round(A).tolist()
    assert round(t * 1.111, 1).numpy().tolist() == np.round(A * np.float32(1.111), 1).tolist()
    assert (~ops.array(A > 0)).numpy().tolist() == (A <= 0).tolist()
    assert (~ops.array(P)).numpy().tolist() == (~P).tolist()
    quotient, rest = divmod(ops.array(P), ops.array(Q))
    assert quotient.numpy().tolist() == (P // Q).tolist() and rest.numpy().tolist() == (P % Q).tolist()


METHODS = [
    ("sum", (), {}), ("sum", (0,), {"keepdims": True}), ("mean", (), {"axis": 1}), ("std", (1,), {}), ("var",
    (), {}),
    ("prod", (0,), {}), ("max", (), {}), ("min", (1,), {}), ("argmax", (), {"axis": 0}), ("argmin", (), {}),
    ("all", (), {}), ("any", (0,), {}), ("cumsum", (0,), {}), ("cumprod", (1,), {}), ("reshape", (4,), {}),
    ("reshape", ((4, 1),), {}), ("reshape", (-1, 1), {}), ("reshape", ([1, 4],), {}), ("transpose", (), {}),
    ("transpose", (1, 0), {}), ("transpose", ((1, 0),), {}), ("flatten", (), {}), ("ravel", (), {}),
    ("swapaxes", (0, 1), {}), ("repeat", (2,), {"axis": 0}), ("diagonal", (), {}), ("trace", (), {}),
    ("copy", (), {}),
    ("clip", (-1.0, 2.0), {}), ("round", (), {}), ("astype", ("int32",), {}), ("squeeze", (), {}), ("conj",
    (), {}),
]


@pytest.mark.parametrize("name, args, kwargs", METHODS, ids=lambda v: str(v))
def test_methods(backend, name, args, kwargs):
    y = getattr(ops.array(A), name)(*args, **kwargs)
    expected = np.asarray(getattr(A, name)(*args, **kwargs))
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6)
    s = getattr(KerasTensor((2, 2)), name)(*args, **kwargs)
    assert s.shape == expected.shape and s.dtype == y.dtype.name


def test_more_methods(backend):
    t = ops.array(A)
    assert t.T.numpy().tolist() == A.T.tolist()
    assert t.mT.numpy().tolist() == A.T.tolist()
    assert t.ptp().numpy() == np.ptp(A)
    assert t.dot(ops.array(B)).numpy().tolist() == A.dot(B).tolist()
    assert t.sort().numpy().tolist() == np.sort(A).tolist()
    assert t.argsort().numpy().tolist() == np.argsort(A).tolist()
    assert t.take(ops.array([1]), axis=0).numpy().tolist() == A[1:].tolist()
    assert KerasTensor((None, 3)).T.shape == (3, None)


def test_getitem(backend):
    t = ops.array(A)
    assert t[0].numpy().tolist() == A[0].tolist()
    assert t[:, 1:].numpy().tolist() == A[:, 1:].tolist()
    assert t[..., None].shape == (2, 2, 1)
    assert [row.numpy().tolist() for row in t] == A.tolist()
    assert KerasTensor((None, 5, 3))[:, 1:3, 0].shape == (None, 2)


def test_equality_with_strangers(backend):
    t = ops.array(A)
    assert (t == None) is False  # noqa: E711
    assert (t != None) is True  # noqa: E711
    assert (t == "text") is False
    assert len({t: 1, ops.array(A): 2}) == 2
    assert len({KerasTensor((2,)), KerasTensor((2,))}) == 2
    with pytest.raises(TypeError):
        t < None  # noqa: B015


def test_variables_in_arithmetic(backend):
    v = Variable([1.0, 2.0])
    kept = v
    with GradientTape() as tape:
        y = v * 2.0 + 1.0
    assert type(y) is Tensor and tape.gradient(y, v).numpy().tolist() == [2, 2]
    v += 1.0
    assert type(v) is Tensor and v.numpy().tolist() == [2, 3] and kept.numpy().tolist() == [1, 2]
    assert (kept @ kept).numpy() == 5
    assert kept[0].numpy() == 1
    assert (kept == 1.0).numpy().tolist() == [True, False]


def test_tensor_in_place_makes_a_new_tensor(backend):
    t = ops.array([1.0, 2.0])
    kept = t
    t *= 3.0
    assert t.numpy().tolist() == [3, 6] and kept.numpy().tolist() == [1, 2]


def test_gradient_through_operators(backend):
    x, y = ops.array(A), ops.array(B)
    with GradientTape() as tape:
        tape.watch([x, y])
        z = ((x @ y - 1.0) ** 2 / (y.T + 10.0)).sum() + abs(x).mean() + x[0].max()
    dx, dy = tape.gradient(z, [x, y])
    assert dx.shape == x.shape and dy.shape == y.shape
    assert np.isfinite(dx.numpy()).all() and np.isfinite(dy.numpy()).all()


def test_to_python(backend):
    t = ops.array(3.5)
    assert float(t) == 3.5 and int(t) == 3 and bool(t) and t.item() == 3.5
    assert f"{t:.2f}" == "3.50"
    assert [10, 20, 30][ops.array(1)] == 20
    assert ops.array(P).tolist() == P.tolist()
    assert len(ops.array(A)) == 2
    with pytest.raises(ValueError, match="ambiguous"):
        bool(ops.array(A))
    with pytest.raises(TypeError, match="ops.any"):
        1.0 in ops.array(A)  # noqa: B015
    with pytest.raises(TypeError, match="integer scalar"):
        [1, 2][ops.array(1.0)]
    with pytest.raises(TypeError, match="symbolic"):
        bool(KerasTensor(()) > 1)
