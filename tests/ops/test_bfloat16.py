"""Ops on bfloat16: computed in float32 and rounded once, on both devices, with gradients of their type."""

import numpy as np
import pytest
from support.halves import needs_bfloat16

from gpukeras import GradientTape, Variable, dtypes, ops, random
from gpukeras.tensor import Tensor

pytestmark = needs_bfloat16
RNG = np.random.default_rng(16)
X = RNG.uniform(0.2, 0.9, (3, 4))
# Ops of one tensor that the backends compute by themselves, as the op's float32 result, rounded.
UNARY = [
    "exp", "log", "tanh", "sigmoid", "relu", "gelu", "silu", "softmax", "log_softmax", "sqrt", "square",
    "sum", "mean", "max", "cumsum", "sort", "erf", "sin", "reciprocal", "softplus", "std", "logsumexp",
    "negative", "floor", "sign", "var", "prod", "nan_to_num", "leaky_relu", "elu", "hard_sigmoid", "round",
    "abs", "clip01",
]
MOVES = {
    "reshape": ((4, 3),), "transpose": (), "expand_dims": (0,), "flip": (), "roll": (1,), "tile": (2,),
    "repeat": (2,), "squeeze": (), "ravel": (), "broadcast_to": ((2, 3, 4),), "copy": (), "diag": (),
    "swapaxes": (0, 1), "pad": (1,), "triu": (), "moveaxis": (0, 1),
}


def narrow(values):
    return ops.cast(ops.convert_to_tensor(np.asarray(values, "float32")), "bfloat16")


def rounded(array):
    return np.asarray(array).astype("bfloat16")


def call(name, x):
    return ops.clip(x, 0.3, 0.6) if name == "clip01" else getattr(ops, name)(x)


@pytest.mark.parametrize("name", UNARY)
def test_one_tensor(backend, name):
    x = narrow(X)
    found, exact = call(name, x), call(name, ops.cast(x, "float32"))
    assert found.dtype == "bfloat16"
    kernels_round_alike = {"rtol": 2.0**-7, "atol": 2.0**-8}  # a neighbour: sums in another order
    np.testing.assert_allclose(found.numpy().astype(float), exact.numpy(), **kernels_round_alike)
    if backend.name == "cpu" and name != "std":  # made of two ops
        np.testing.assert_array_equal(found.numpy(), rounded(exact.numpy()))


@pytest.mark.parametrize("name", MOVES)
def test_elements_are_moved(backend, name):
    x = narrow(X)
    found = getattr(ops, name)(x, *MOVES[name])
    exact = getattr(ops, name)(ops.cast(x, "float32"), *MOVES[name])
    assert found.dtype == "bfloat16"
    np.testing.assert_array_equal(found.numpy().astype("float32"), exact.numpy())


@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide", "maximum", "power", "matmul"])
@pytest.mark.parametrize("other, expected", [
    ("bfloat16", "bfloat16"), ("float16", "float32"), ("float32", "float32"), ("int32", "bfloat16"),
])
def test_two_tensors(backend, name, other, expected):
    x, y = narrow(X), ops.cast(ops.convert_to_tensor(RNG.uniform(1, 3, (4, 4)).astype("float32")), other)
    y = y if name == "matmul" else y[:3]
    for one, two in ((x, y), (y[:3, :3], x)) if name == "matmul" else ((x, y), (y, x)):
        found = getattr(ops, name)(one, two)
        assert found.dtype == expected
        exact = getattr(ops, name)(ops.cast(one, "float32"), ops.cast(two, "float32")).numpy()
        tolerance = 2.0**-7 if expected == "bfloat16" else 1e-5
        np.testing.assert_allclose(found.numpy().astype(float), exact, tolerance)


def test_numbers_take_the_type_of_the_tensor(backend):
    x = narrow(X)
    for found in (x * 0.1, 2 - x, x + 1, x / 3, np.float32(2) * 1.0 + x, 0.5**x, x // 0.3):
        assert found.dtype == "bfloat16"
    assert (x > 0.5).dtype == bool and ops.argmax(x).dtype == "int32"
    tenth = np.float32(rounded(0.1))
    np.testing.assert_array_equal((x * 0.1).numpy(), rounded(x.numpy().astype("float32") * tenth))


def test_many_additions_are_not_rounded_each(backend):
    x = narrow(np.ones(4000))
    assert float(ops.sum(x)) == 4000 and float(ops.mean(x)) == 1
    assert float(ops.matmul(x[None], x[:, None])[0, 0]) == 4000
    assert float(ops.sum(ops.reshape(x, (2, 2000)), axis=(0, 1))) == 4000
    y = narrow(np.ones((5, 300, 3)))
    np.testing.assert_array_equal(ops.sum(y, axis=(0, 2)).numpy().astype(float), np.full(300, 15.0))
    np.testing.assert_array_equal(ops.sum(y, axis=1).numpy().astype(float), np.full((5, 3), 300.0))


# ---- gradients -------------------------------------------------------------------------------------------
def chain(x, w):
    y = ops.matmul(ops.reshape(x, (6, 2)), w)
    y = ops.concatenate([ops.gelu(y), ops.tanh(y[:, ::-1])], axis=1)
    return ops.sum(ops.softmax(y * 0.7 + ops.mean(y, axis=0)) * ops.sqrt(ops.abs(y) + 1))


def test_gradients(backend):
    """Those of a chain of ops have the type of the tensors, and are near those of float32."""
    x, w = narrow(X), narrow(RNG.standard_normal((2, 3)))
    found = []
    for kind in ("bfloat16", "float32"):
        inputs = ops.cast(x, kind), ops.cast(w, kind)
        with GradientTape() as tape:
            tape.watch(inputs)
            y = chain(*inputs)
        assert y.dtype == kind
        found.append(tape.gradient(y, inputs))
    for half, exact in zip(*found):
        assert half.dtype == "bfloat16"
        exact = exact.numpy()
        np.testing.assert_allclose(half.numpy().astype(float), exact, 0.05, 0.02 * abs(exact).max())


def test_gradients_of_gradients(backend):
    x = narrow([0.5, 1.5, -0.75])
    with GradientTape() as outer:
        outer.watch(x)
        with GradientTape() as inner:
            inner.watch(x)
            y = ops.sum(x * x * x)
        first = inner.gradient(y, x)
    second = outer.gradient(first, x)
    assert first.dtype == second.dtype == "bfloat16"
    np.testing.assert_allclose(second.numpy().astype(float), [3, 9, -4.5], 0.02)


def test_variables(backend):
    v = Variable([1.0, 2.0], dtype="bfloat16")
    assert v.auto_watch and v.dtype == "bfloat16"
    v.assign_add([0.5, 0.25])
    v.assign_sub(np.array([1.0, 1.0], "float32"))
    np.testing.assert_array_equal(v.numpy().astype(float), [0.5, 1.25])
    with GradientTape() as tape:
        y = ops.sum(v * v)
    np.testing.assert_array_equal(tape.gradient(y, v).numpy().astype(float), [1.0, 2.5])


# ---- conversions -----------------------------------------------------------------------------------------
def test_casts(backend):
    host = np.array([1.0, 1.00390625, -3e38, np.inf, np.nan, 1e-40], "float32")
    x = ops.cast(ops.convert_to_tensor(host), "bfloat16")
    assert x.dtype == dtypes.bfloat16() and x.numpy().dtype == dtypes.bfloat16()
    np.testing.assert_array_equal(np.asarray(x)[:5].astype(float), host.astype("bfloat16")[:5].astype(float))
    assert ops.convert_to_tensor(x.numpy()).dtype == "bfloat16"
    assert ops.convert_to_tensor([1.0, 2.0], "bfloat16").dtype == "bfloat16"
    assert ops.cast(x[:2], "int32").numpy().tolist() == [1, 1]
    assert ops.cast([1, 300], "bfloat16").numpy().astype(float).tolist() == [1, 300]
    assert ops.saturate_cast(narrow([300.0, -1.0, 7.0]), "uint8").numpy().tolist() == [255, 0, 7]
    assert ops.convert_to_numpy(ops.ones((2, 2), dtype="bfloat16")).tolist() == [[1, 1], [1, 1]]
    assert ops.view(narrow([1.0]), "int16").numpy().tolist() == [0x3F80]
    assert float(narrow([1.5])[0]) == 1.5 and narrow([[1.5]]).tolist() == [[1.5]]


def test_new_tensors(backend):
    made = [ops.zeros((2,), "bfloat16"), ops.full((2,), 0.1, "bfloat16"), ops.arange(3, dtype="bfloat16"),
            ops.eye(2, dtype="bfloat16"), ops.zeros_like(narrow(X)), ops.full_like(narrow(X), 2),
            ops.one_hot([0, 1], 2, dtype="bfloat16"), ops.linspace(0, 1, 5, dtype="bfloat16")]
    assert {str(t.dtype) for t in made} == {"bfloat16"}


def test_random_numbers(backend):
    u = random.uniform((4000,), 1.0, 2.0, dtype="bfloat16", seed=1)
    z = random.normal((4000,), dtype="bfloat16", seed=2)
    t = random.truncated_normal((400,), dtype="bfloat16", seed=3)
    assert u.dtype == z.dtype == t.dtype == "bfloat16"
    values = u.numpy().astype(float)
    assert values.min() >= 1 and values.max() < 2 and abs(values.mean() - 1.5) < 0.03
    assert abs(z.numpy().astype(float).std() - 1) < 0.05
    y = ops.dropout(narrow(np.ones(1000)), 0.5, seed=4)
    assert y.dtype == "bfloat16" and set(y.tolist()) == {0.0, 2.0}


def test_other_shapes_than_kernels_take(backend):
    """Axes that are not neighbours, vectors, views with gaps."""
    x = narrow(RNG.standard_normal((3, 4, 5)))
    wide = ops.cast(x, "float32")
    for f in (lambda v: ops.softmax(v, axis=1), lambda v: ops.softmax(v, axis=(0, 2)),
              lambda v: ops.sum(v, axis=(0, 2)), lambda v: ops.matmul(v[0, :, 0], v[1]),
              lambda v: ops.matmul(v, ops.transpose(v[:1], (0, 2, 1))),
              lambda v: ops.relu(v[:, ::2]), lambda v: ops.tensordot(v, v, 3), lambda v: v[[0, 0, 2]],
              lambda v: ops.take(v, [1, -1], axis=1), lambda v: ops.einsum("abc,abd->cd", v, v),
              lambda v: ops.segment_sum(v, np.array([0, 1, 0]), 2)):
        inputs = x, wide
        results = []
        for v in inputs:
            with GradientTape() as tape:
                tape.watch(v)
                y = f(v)
                total = ops.sum(ops.cast(y, "float32") ** 2)
            results.append((y, tape.gradient(total, v)))
        (y, dx), (exact, wanted) = results
        assert y.dtype == dx.dtype == "bfloat16"
        for a, b in ((y, exact), (dx, wanted)):
            b = b.numpy()
            np.testing.assert_allclose(a.numpy().astype(float), b, 0.04, 0.02 * abs(b).max())


def test_what_only_moves_is_not_computed():
    x = Tensor(np.ones((2, 2), "bfloat16"))
    assert np.shares_memory(ops.reshape(x, (4,)).array, x.array)
