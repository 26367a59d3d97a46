"""Inverses, determinants, solvers, factorisations, norms."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

import gpukeras as keras
from gpukeras import ops
from gpukeras.autograd import GradientTape

rng = np.random.default_rng(5)
A = rng.standard_normal((2, 3, 3)) + 3 * np.eye(3)
B = rng.standard_normal((2, 3, 2))
TALL, WIDE = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 3, 5))
LOOSE = {"float32": 2e-4}


def t(x):
    return np.swapaxes(x, -1, -2)


def positive(x):
    """A symmetric positive definite matrix that depends smoothly on ``x``."""
    return ops.matmul(x, ops.swapaxes(x, -1, -2)) + ops.eye(x.shape[-1], dtype=x.dtype)


def test_inverse_and_determinants(backend):
    check_op(ops.inv, [A], np.linalg.inv, second_order=True, rtol=LOOSE)
    check_op(ops.det, [A], np.linalg.det, second_order=True, rtol=LOOSE)
    check_op(ops.slogdet, [A], np.linalg.slogdet, second_order=True, rtol=LOOSE)
    check_op(ops.logdet, [A @ t(A)], lambda x: np.log(np.linalg.det(x)), rtol=LOOSE)


@pytest.mark.parametrize("lower", [False, True])
def test_solvers(backend, lower):
    check_op(ops.solve, [A, B], np.linalg.solve, second_order=True, rtol=LOOSE)
    check_op(ops.solve, [A, B[..., 0]], lambda a, b: np.linalg.solve(a, b[..., None])[..., 0], rtol=LOOSE)
    check_op(ops.solve, [A[0], B[0, :, 0]], np.linalg.solve, second_order=True, rtol=LOOSE)
    check_op(ops.solve, [A[:1], B], np.linalg.solve, second_order=True, rtol=LOOSE, symbolic=False)
    check_op(ops.solve, [A, B[:1]], np.linalg.solve, second_order=True, rtol=LOOSE, symbolic=False)
    assert ops.solve(keras.KerasTensor((1, 3, 3)), keras.KerasTensor((5, 3, 2))).shape == (5, 3, 2)
    cut = np.tril if lower else np.triu
    for b in (B, B[..., 0]):
        check_op(
            ops.solve_triangular, [A, b],
            lambda a, b, lower: np.linalg.solve(cut(a), b.reshape(2, 3, -1)).reshape(b.shape),
            settings=(lower,),
            second_order=True, rtol=LOOSE,
        )


def test_cholesky(backend):
    definite = A @ t(A)
    check_op(ops.cholesky, [definite], np.linalg.cholesky, grad=False, rtol=LOOSE)
    check_op(
        ops.cholesky, [definite], lambda x, upper: t(np.linalg.cholesky(x)), settings=(True,), grad=False,
        rtol=LOOSE
    )
    check_gradient(lambda x: ops.cholesky(positive(x)), [A], second_order=True)
    check_gradient(lambda x: ops.cholesky(positive(x), upper=True), [A])
    low = np.linalg.cholesky(definite)
    check_op(ops.cholesky_inverse, [low], lambda x: np.linalg.inv(np.tril(x) @ t(np.tril(x))), rtol=LOOSE)
    np.testing.assert_allclose(
        ops.cholesky_inverse(t(low), upper=True).numpy(), np.linalg.inv(definite), rtol=1e-3, atol=1e-5
    )
    with pytest.raises(ValueError, match="cholesky"):
        ops.cholesky(-np.eye(3))


def test_singular_matrix_is_named():
    with pytest.raises(ValueError, match="inv: .*ingular"):
        ops.inv(np.zeros((2, 2)))


@pytest.mark.parametrize("x", [TALL, WIDE, A], ids=["tall", "wide", "square"])
def test_qr(backend, x):
    for mode in ("reduced", "complete"):
        q, r = ops.qr(ops.array(x, "float64"), mode)
        np.testing.assert_allclose(q.numpy() @ r.numpy(), x, atol=1e-12)
        identity = np.broadcast_to(np.eye(q.shape[-1]), (2, q.shape[-1], q.shape[-1]))
        np.testing.assert_allclose(t(q.numpy()) @ q.numpy(), identity, atol=1e-12)
        check_op(ops.qr, [x], np.linalg.qr, settings=(mode,), grad=False, rtol=LOOSE)
    if x is not WIDE:
        check_gradient(ops.qr, [x], second_order=True)
    with pytest.raises(ValueError, match="mode must be"):
        ops.qr(x, "economic")


def test_gradients_that_do_not_exist_say_so(backend):
    for f in (lambda x: ops.qr(x)[0], lambda x: ops.svd(x)[2], lambda x: ops.lu_factor(x)[0]):
        x = ops.array(WIDE)
        with GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        with pytest.raises(NotImplementedError, match="qr|svd|lu_factor"):
            tape.gradient(y, x)


@pytest.mark.parametrize("x", [TALL, WIDE, A], ids=["tall", "wide", "square"])
def test_svd(backend, x):
    check_op(ops.svd, [x], np.linalg.svd, kwargs={"full_matrices": True}, grad=False, rtol=LOOSE)
    check_op(ops.svd, [x], np.linalg.svd, kwargs={"full_matrices": False}, grad=False, rtol=LOOSE)
    check_op(ops.svd, [x], np.linalg.svd, kwargs={"compute_uv": False}, rtol=LOOSE)
    check_gradient(lambda x: ops.svd(x, full_matrices=False), [x])
    if x is A:
        check_gradient(lambda x: ops.svd(x), [x])


def test_eig(backend):
    for a in (A, np.stack([A, A[::-1]]), np.array([[0.0, 1], [-1, 0]])):
        values, vectors = ops.eig(ops.array(a, "float64"))
        assert values.dtype == vectors.dtype == "complex128"
        w, v = values.numpy(), vectors.numpy()
        np.testing.assert_allclose(a @ v, v * w[..., None, :], atol=1e-12)
        np.testing.assert_allclose(np.abs(v * v.conj()).sum(-2), 1)
    assert [str(y.dtype) for y in ops.eig(ops.array(A, "float16"))] == ["complex64"] * 2

    def loss(x):  # of values and vectors, whatever direction these have in the complex plane
        values, vectors = ops.eig(x)
        return ops.sum(ops.real(values * values)) + ops.sum(ops.abs(vectors) * ops.array(A))

    check_gradient(loss, [A])
    check_gradient(lambda x: ops.real(ops.eig(x)[0]) * ops.imag(ops.eig(x)[0]), [A])
    t = ops.array(A)
    with pytest.raises(NotImplementedError, match="use eigh"), GradientTape() as outer:
        outer.watch(t)
        with GradientTape() as tape:
            tape.watch(t)
            y = ops.real(ops.eig(t)[0])
        tape.gradient(y, t)


def test_eigh(backend):
    symmetric = A + t(A)
    check_op(ops.eigh, [symmetric], np.linalg.eigh, grad=False, rtol=LOOSE)
    check_gradient(lambda x: ops.eigh(x + ops.swapaxes(x, -1, -2)), [A], second_order=True)
    check_gradient(lambda x: ops.eigh(x + ops.swapaxes(x, -1, -2))[0], [A])


def test_pinv_lstsq_rank(backend):
    for x in (TALL, WIDE):
        check_op(ops.pinv, [x], np.linalg.pinv, second_order=True, rtol=LOOSE)
    for m in (TALL[0], WIDE[0]):
        for b in (rng.standard_normal((m.shape[0], 2)), rng.standard_normal(m.shape[0])):
            check_op(ops.lstsq, [m, b], lambda a, b: np.linalg.lstsq(a, b, rcond=None)[0], rtol=LOOSE)
    low = TALL @ np.diag([1.0, 1.0, 0.0])
    check_op(ops.matrix_rank, [np.stack([TALL[0], low[1]])], np.array([3, 2]), grad=False)
    assert int(ops.matrix_rank(np.diag([1.0, 0.1]), tol=0.5)) == 1


@pytest.mark.parametrize("x", [TALL, WIDE, A], ids=["tall", "wide", "square"])
def test_lu(backend, x):
    lu, pivots = (v.numpy() for v in ops.lu_factor(ops.array(x, "float64")))
    k = min(x.shape[-2:])
    for m, f, p in zip(x, lu, pivots):
        low = np.tril(f[:, :k], -1) + np.eye(len(m), k)
        m = m.copy()
        for i, j in enumerate(p):
            m[[i, j]] = m[[j, i]]
        np.testing.assert_allclose(low @ np.triu(f[:k]), m, atol=1e-12)
    check_op(ops.lu_factor, [x], lambda x: (lu, pivots), grad=False, rtol=LOOSE)


VECTOR_ORDERS = [None, 1, 2, 3, 0.5, np.inf, -np.inf, -2, 0]
MATRIX_ORDERS = [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf]


@pytest.mark.parametrize("order", VECTOR_ORDERS, ids=str)
def test_vector_norms(backend, order):
    for axis in (0, -1):
        for keepdims in (False, True):
            check_op(
                ops.norm, [TALL[0]], lambda x, ord, axis, keepdims: np.linalg.norm(x, ord, axis, keepdims),
                settings=(order, axis, keepdims), grad=order != 0, rtol=LOOSE,
            )
    check_op(ops.norm, [TALL[0, 0]], np.linalg.norm, settings=(order,), grad=order != 0, rtol=LOOSE)


@pytest.mark.parametrize("order", MATRIX_ORDERS, ids=str)
def test_matrix_norms(backend, order):
    for axis in ((0, 1), (2, 0), (-2, -1)):
        for keepdims in (False, True):
            check_op(
                ops.norm, [TALL], lambda x, ord, axis, keepdims: np.linalg.norm(x, ord, axis, keepdims),
                settings=(order, axis, keepdims), rtol=LOOSE, batch=(),
            )
    check_op(ops.norm, [TALL[0]], np.linalg.norm, settings=(order,), rtol=LOOSE)


def test_norm_edges(backend):
    check_op(ops.norm, [TALL], np.linalg.norm, second_order=True)
    check_op(
        ops.norm, [TALL], lambda x, keepdims: np.linalg.norm(x).reshape(1, 1, 1), kwargs={"keepdims": True}
    )
    assert ops.norm(np.array([3, 4], "int32")).dtype == "float32"
    zero = ops.zeros((3,))
    with GradientTape() as tape:
        tape.watch(zero)
        y = ops.norm(zero)
    assert tape.gradient(y, zero).numpy().tolist() == [0, 0, 0]
    for bad, message in (((TALL, "fro", 1), "for matrices"), ((TALL, 3), "needs axis"), ((TALL, 3, (0, 1)),
    "ord of"),
                         ((TALL, None, (0, 1, 2)), "one or two axes")):
        with pytest.raises(ValueError, match=message):
            ops.norm(*bad)


def test_shapes_are_checked(backend):
    with pytest.raises(ValueError, match="square matrices"):
        ops.inv(np.ones((2, 3)))
    with pytest.raises(ValueError, match="needs matrices"):
        ops.svd(np.ones(3))
    with pytest.raises(ValueError, match="do not fit"):
        ops.solve(np.eye(3), np.ones((2, 2)))


def test_float16_goes_through_float32(backend):
    x = ops.array(A, "float16")
    for y in (
        ops.inv(x), ops.det(x), ops.solve(x, ops.array(B, "float16")), *ops.svd(x), *ops.eigh(x), *ops.qr(x)
    ):
        assert y.dtype == "float16"
