"""Branches, loops, maps and scans."""

import numpy as np
import pytest
from support.checks import check_gradient

import gpukeras as keras
from gpukeras import ops

X = np.array([[1.0, 2.0], [3.0, -1.0], [0.5, 4.0]])


def test_cond_and_switch(backend):
    x = ops.array(3.0)
    assert float(ops.cond(x > 2, lambda: x * 2, lambda: x)) == 6
    assert float(ops.cond(False, lambda: x * 2, lambda: x)) == 3
    branches = [lambda a, b: a + b, lambda a, b: a - b]
    assert [float(ops.switch(i, branches, 5.0, 3.0)) for i in (0, 1, 9, -4)] == [8, 2, 2, 8]
    with pytest.raises(ValueError, match="at least one branch"):
        ops.switch(0, [])
    check_gradient(lambda x: ops.cond(ops.sum(x) > 0, lambda: x * x, lambda: -x), [X], second_order=True)


def test_while_loop(backend):
    i, total = ops.while_loop(lambda i, s: i < 5, lambda i, s: (i + 1, s + i), (ops.array(0), ops.array(0)))
    assert (int(i), int(total)) == (5, 10)
    assert int(ops.while_loop(lambda i: i < 5, lambda i: i + 1, 0)) == 5
    assert int(ops.while_loop(lambda i: i < 5, lambda i: (i + 1,), (0,), maximum_iterations=2)[0]) == 2
    with pytest.raises(ValueError, match="structures differ"):
        ops.while_loop(lambda i: i < 5, lambda i: (i, i), (0,))
    check_gradient(lambda x: ops.while_loop(lambda y: ops.sum(y) < 50, lambda y: y * 2, (x,))[0], [X])


def test_fori_loop(backend):
    assert int(ops.fori_loop(1, ops.array(4), lambda i, v: v * i, ops.array(1))) == 6
    check_gradient(lambda x: ops.fori_loop(0, 3, lambda i, v: v * x, x), [X], second_order=True)


def test_map(backend):
    assert ops.map(lambda r: r * 2, X).numpy().tolist() == (X * 2).tolist()
    found = ops.map(lambda d: {"s": d["a"] + d["b"]}, {"a": X, "b": X})
    assert found["s"].numpy().tolist() == (2 * X).tolist()
    assert ops.vectorized_map(ops.sum, X).numpy().tolist() == X.sum(1).tolist()
    with pytest.raises(ValueError, match="one known length"):
        ops.map(lambda d: d[0], (X, X[:2]))
    with pytest.raises(ValueError, match="length 0"):
        ops.map(ops.sum, np.zeros((0, 2)))
    check_gradient(lambda x: ops.map(lambda r: r * ops.sum(r), x), [X], second_order=True)


def test_scan(backend):
    carry, ys = ops.scan(lambda c, x: (c + x, c * x), np.zeros(2), X)
    assert carry.numpy().tolist() == X.sum(0).tolist()
    before = np.concatenate([np.zeros((1, 2)), np.cumsum(X, 0)[:-1]])
    np.testing.assert_allclose(ys.numpy(), before * X)
    _, back = ops.scan(lambda c, x: (c + x, c + x), np.zeros(2), X, reverse=True)
    np.testing.assert_allclose(back.numpy(), np.cumsum(X[::-1], 0)[::-1])
    carry, ys = ops.scan(lambda c, x: (c + 1, c), ops.array(0), length=3)
    assert int(carry) == 3 and ys.numpy().tolist() == [0, 1, 2]
    carry, ys = ops.scan(lambda c, x: (c + x, None), ops.array(0.0), X[:, 0])
    assert float(carry) == 4.5 and ys is None
    with pytest.raises(ValueError, match="xs or length"):
        ops.scan(lambda c, x: (c, c), 0.0)
    with pytest.raises(ValueError, match="length"):
        ops.scan(lambda c, x: (c, c), 0.0, X, length=2)
    check_gradient(lambda x: ops.scan(lambda c, r: (c * r, c + r), x[0], x)[1], [X], second_order=True)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11])
def test_associative_scan(backend, count):
    x = np.random.default_rng(0).uniform(0.5, 1.5, (count, 2))
    np.testing.assert_allclose(ops.associative_scan(ops.add, x).numpy(), np.cumsum(x, 0), rtol=1e-5)
    found = ops.associative_scan(lambda a, b: (a[0] * b[0], a[1] + b[1]), (x, x), reverse=True)
    np.testing.assert_allclose(found[0].numpy(), np.cumprod(x[::-1], 0)[::-1], rtol=1e-5)
    np.testing.assert_allclose(found[1].numpy(), np.cumsum(x[::-1], 0)[::-1], rtol=1e-5)
    np.testing.assert_allclose(
        ops.associative_scan(ops.add, x, axis=1).numpy(), np.cumsum(x, 1), rtol=1e-5
    )


def test_vectorize(backend):
    f = ops.vectorize(lambda a, b: a * a + b)
    np.testing.assert_allclose(f(X, X[0]).numpy(), X * X + X[0])
    g = ops.vectorize(lambda a, k: a * k[1], excluded={1})
    np.testing.assert_allclose(g(X, [5.0, 2.0]).numpy(), X * 2)
    h = ops.vectorize(lambda v, m: (ops.matmul(m, v), ops.sum(v)), signature="(n),(m,n)->(m),()")
    matrices = np.arange(24.0).reshape(2, 1, 4, 3)[:, :, :, :2]
    product, total = h(X, matrices)
    np.testing.assert_allclose(product.numpy(), np.einsum("bn,abmn->abm", X, matrices.repeat(3, 1)), 1e-6)
    np.testing.assert_allclose(total.numpy(), X.sum(-1)[None].repeat(2, 0), 1e-6)
    with pytest.raises(ValueError, match="must look like"):
        ops.vectorize(lambda a: a, signature="n->()")
    with pytest.raises(ValueError, match="does not fit shapes"):
        h(X, matrices[..., :1])
    with pytest.raises(TypeError, match="takes 2 arguments, came 1"):
        h(X)


def test_jvp(backend):
    x, v = ops.array(X, "float64"), ops.array(np.ones_like(X), "float64")
    y, dy = ops.jvp(lambda x: ops.sin(x) * x, (x,), (v,))
    np.testing.assert_allclose(y.numpy(), np.sin(X) * X)
    np.testing.assert_allclose(dy.numpy(), np.cos(X) * X + np.sin(X))
    y, dy, aux = ops.jvp(lambda a, b: (a * b, "aux"), (x, x), (v, v * 2), has_aux=True)
    np.testing.assert_allclose(dy.numpy(), 3 * X)
    assert aux == "aux"


# ---- inside models -----------------------------------------------------------------------------------
BATCH = np.array([[1.0, 2.0, -1.0], [0.5, -2.0, 3.0]], "float32")


@pytest.mark.parametrize("build, expected, told", [
    (lambda x: ops.map(lambda row: row * 2 + 1, x), lambda x: x * 2 + 1, (None, 3)),
    (lambda x: ops.map(lambda t: ops.sum(t["a"]) + t["b"][0], {"a": x, "b": x * 3}),
     lambda x: x.sum(1) + 3 * x[:, 0], (None,)),
    (lambda x: ops.vectorized_map(ops.sum, x), lambda x: x.sum(1), (None,)),
    (lambda x: ops.scan(lambda c, row: (c + ops.sum(row), c * row), 0.5, x)[1],
     lambda x: x * np.array([[0.5], [2.5]]), (None, 3)),
    (lambda x: ops.associative_scan(ops.add, x), lambda x: np.cumsum(x, 0), (None, 3)),
    (lambda x: ops.associative_scan(ops.add, x, reverse=True, axis=1),
     lambda x: np.cumsum(x[:, ::-1], 1)[:, ::-1], (None, 3)),
    (lambda x: ops.cond(ops.sum(x) > 0, lambda: x * 2, lambda: x - 1), lambda x: x * 2, (None, 3)),
    (lambda x: ops.switch(ops.cast(ops.max(x), "int32"), [lambda a: a, lambda a: a * 5, lambda a: a * 7], x),
     lambda x: x * 7, (None, 3)),
    (lambda x: ops.while_loop(lambda v: ops.sum(v) < 20, lambda v: v * 2, x), lambda x: x * 8, (None, 3)),
    (lambda x: ops.while_loop(lambda i, v: i < 3, lambda i, v: (i + 1, v * 2), (0, x))[1], lambda x: x * 8,
     (None, 3)),
    (lambda x: ops.fori_loop(0, ops.cast(ops.max(x), "int32"), lambda i, v: v + 1, x), lambda x: x + 3,
     (None, 3)),
    (lambda x: ops.jvp(ops.square, (x,), (x,))[1], lambda x: 2 * x * x, (None, 3)),
    (lambda x: ops.quantile(x, [0.0, 1.0], axis=0), lambda x: np.stack([x.min(0), x.max(0)]), (2, 3)),
    (lambda x: ops.nanmedian(x, keepdims=True), lambda x: np.median(x, keepdims=True), (1, 1)),
    (lambda x: ops.unique(x, return_counts=True)[1], lambda x: np.ones(6), (None,)),
    (lambda x: ops.nonzero(x > 0)[1], lambda x: np.nonzero(x > 0)[1], (None,)),
    (lambda x: x / ops.cast(ops.size(x), "float32"), lambda x: x / 6, (None, 3)),
    (lambda x: ops.custom_gradient(lambda a: (a * 2, lambda dy: -dy))(x), lambda x: x * 2, (None, 3)),
    (lambda x: ops.sort(keras.random.shuffle(x), axis=0), lambda x: np.sort(x, 0), (None, 3)),
    (lambda x: keras.random.categorical(x * 100, 4), lambda x: x.argmax(1)[:, None].repeat(4, 1), (None, 4)),
    (lambda x: ops.linspace(x, x + 1, 2, axis=-1), lambda x: np.stack([x, x + 1], -1), (None, 3, 2)),
])
def test_in_a_model(backend, build, expected, told):
    x = keras.Input((3,))
    y = build(x)
    model = keras.Model(x, y)
    assert y.shape == told
    np.testing.assert_allclose(model(BATCH).numpy(), expected(BATCH), 1e-6)


def test_functions_that_use_other_symbolic_tensors(backend):
    x, y = keras.Input((3,)), keras.Input((3,))
    with pytest.raises(ValueError, match="map: the function uses symbolic tensors of the model"):
        ops.map(lambda row: row + y[0], x)
    a, b = keras.Input(batch_shape=(2, 3)), keras.Input((3,))
    model = keras.Model([a, b], ops.map(lambda row: row + b[0], a))  # written out: the length is known
    np.testing.assert_allclose(model([BATCH, BATCH]).numpy(), BATCH + BATCH[0])
