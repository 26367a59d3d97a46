"""What the table of ops does not tell: results that are not unique, random or no tensors; types of pairs."""

import pathlib

import numpy as np
import pytest
from support import contracts
from support.op_cases import every_case

from gpukeras import GradientTape, KerasTensor, ops, tree
from gpukeras.tensor import Tensor

pytestmark = pytest.mark.parity

RNG = np.random.default_rng(11)
X = RNG.uniform(-2, 2, (3, 4)).astype("float32")
A = RNG.uniform(-2, 2, (4, 4)).astype("float32")
TESTS = pathlib.Path(__file__).resolve().parents[1]
# Ops that are in no table, and the test that compares them with real Keras or, where it is wrong, otherwise.
ELSEWHERE = {
    "convert_to_numpy": "parity/test_ops.py::test_facts", "dtype": "parity/test_ops.py::test_facts",
    "is_tensor": "parity/test_ops.py::test_facts",
    "empty": "parity/test_ops.py::test_empty", "empty_like": "parity/test_ops.py::test_empty",
    "custom_gradient": "parity/test_ops.py::test_custom_gradient", "jvp": "parity/test_ops.py::test_jvp",
    "vectorize": "parity/test_ops.py::test_vectorize",
    "eig": "parity/test_ops.py::test_factors", "qr": "parity/test_ops.py::test_factors",
    "image.elastic_transform": "ops/test_warping.py::test_elastic_transform",  # random
    "sparsemax": "ops/test_activation.py::test_sparsemax",  # that of Keras 3.15 does not sum to 1
}


def test_every_op_is_compared():
    """Each public op of the contract stands in the table, or has a test of its own."""
    names = {case.name.removeprefix("nn.") for case in every_case() if case.real}
    public = {path.removeprefix("ops.") for path, entry in contracts.symbols("keras3").items()
              if path.startswith("ops.") and entry.get("k") == "function" and "same" not in entry}
    assert len(public) > 330
    assert public - names == set(ELSEWHERE)
    for place in ELSEWHERE.values():
        path, _, test = place.partition("::")
        assert f"def {test}(" in (TESTS / path).read_text(encoding="utf-8"), place


def test_facts(real_keras):
    theirs = real_keras.ops
    for value in (X, 2.5, [1, 2], np.float64(3.0), np.ones(2, "float64"), True):
        a, b = ops.convert_to_tensor(value), theirs.convert_to_tensor(value)
        assert ops.dtype(a) == theirs.dtype(b)
        np.testing.assert_array_equal(ops.convert_to_numpy(a), theirs.convert_to_numpy(b), strict=True)
        assert ops.is_tensor(a) and theirs.is_tensor(b) and not ops.is_tensor(value)
        assert not theirs.is_tensor(value)
        np.testing.assert_array_equal(ops.convert_to_numpy(value), theirs.convert_to_numpy(value))
    assert not theirs.is_tensor(real_keras.KerasTensor((2,)))
    assert not ops.is_tensor(KerasTensor((2,)))


def test_empty(real_keras):
    for K in (ops, real_keras.ops):
        made = (K.empty((2, 3)), K.empty((2,), dtype="int32"), K.empty_like(X), K.empty_like(X, dtype="int8"))
        assert [(tuple(y.shape), str(y.dtype)) for y in made] == [
            ((2, 3), "float32"), ((2,), "int32"), ((3, 4), "float32"), ((3, 4), "int8")]


def test_custom_gradient(real_keras):
    import jax

    def make(K):
        @K.custom_gradient
        def clipped(x, y):
            def grad(*args, upstream=None):
                dy = args[0] if upstream is None else upstream
                return K.clip(dy * y, -0.5, 0.5), dy * 3.0

            return x * y, grad

        return clipped

    expected, backward = jax.vjp(make(real_keras.ops), X, X + 1)
    a, b = Tensor(X), Tensor(X + 1)
    with GradientTape() as tape:
        tape.watch([a, b])
        y = make(ops)(a, b)
    np.testing.assert_allclose(y.numpy(), expected, 1e-6)
    for ours, theirs in zip(tape.gradient(y, [a, b], Tensor(X)), backward(jax.numpy.asarray(X))):
        np.testing.assert_allclose(ours.numpy(), theirs, 1e-6)


def test_jvp(real_keras):
    def moved(K):
        def f(x, y):
            return {"a": K.sin(x) * y, "b": K.sum(x)}, K.cos(x)

        tensors = [K.convert_to_tensor(v) for v in (X, X + 1, Y, Y * 2)]
        return K.jvp(f, tuple(tensors[:2]), tuple(tensors[2:]), has_aux=True)

    Y = RNG.uniform(-2, 2, X.shape).astype("float32")
    ours, theirs = moved(ops), moved(real_keras.ops)
    assert len(ours) == len(theirs) == 3
    for a, b in zip(tree.flatten(ours), tree.flatten(theirs), strict=True):
        np.testing.assert_allclose(a.numpy(), b, 1e-5, 1e-6)


def test_vectorize(real_keras):
    def results(K):
        x = K.convert_to_tensor(X)
        yield K.vectorize(lambda a, b: a * a + b)(x, x[0])
        yield K.vectorize(lambda a, k: a * k[1], excluded={1})(x, x[0])
        yield K.vectorize(lambda v: v / K.sum(v), signature="(n)->(n)")(x)
        yield K.vectorize(lambda v, m: K.matmul(m, v), signature="(n),(m,n)->(m)")(x, x)

    for a, b in zip(results(ops), results(real_keras.ops), strict=True):
        np.testing.assert_allclose(a.numpy(), b, 1e-5)


def test_factors(real_keras):
    """Factors are not unique: signs and orders are told apart from what they must be."""
    theirs = real_keras.ops
    for shape in ((3, 4), (4, 3)):
        x = A[: shape[0], : shape[1]]
        for mode in ("reduced", "complete"):
            (q, r), (q2, r2) = ops.qr(x, mode=mode), theirs.qr(x, mode=mode)
            np.testing.assert_allclose((q @ r).numpy(), x, atol=1e-5)
            assert (q.shape, r.shape) == (q2.shape, r2.shape)
            np.testing.assert_allclose(np.abs(r.numpy()), np.abs(r2), atol=1e-5)
        for full in (True, False):
            found, expected = ops.svd(x, full_matrices=full), theirs.svd(x, full_matrices=full)
            assert [y.shape for y in found] == [y.shape for y in expected]
            for a, b in zip(found, expected):
                a, b = np.abs(a.numpy())[:3], np.abs(np.asarray(b))[:3]
                np.testing.assert_allclose(a[..., :3], b[..., :3], atol=1e-5)
    symmetric = A + A.T
    for a, b in zip(ops.eigh(symmetric), theirs.eigh(symmetric)):
        np.testing.assert_allclose(np.abs(a.numpy()), np.abs(np.asarray(b)), atol=1e-5)
    found, expected = ops.eig(A), theirs.eig(A)
    assert [str(y.dtype) for y in found] == [str(y.dtype) for y in expected]
    values = [np.sort_complex(np.asarray(y[0])) for y in (found, expected)]
    np.testing.assert_allclose(*values, 1e-4)
    w, v = (y.numpy() for y in found)
    np.testing.assert_allclose(A @ v, v * w, atol=1e-5)


# ---- dtypes ----------------------------------------------------------------------------------------
# Without the types that need 64 bits to meet (int32 with uint32): JAX has none by default. Keras is asked
# symbolically, which needs no compilation; of single inputs the table of ops tells.
KINDS = ("bool", "uint8", "int8", "uint16", "int16", "int32", "float16", "float32")
OWN_WAY = {
    ("relu", "bool"),  # int64 here and of no use anywhere
    ("matmul", "int8"), ("dot", "int8"),  # int32 here also beside a bool: 128 would overflow int8
    # On booleans Keras raises when it comes to run these.
    ("subtract", "bool"), ("power", "bool"), ("floor_divide", "bool"), ("negative", "bool"),
}
BINARY = ("add subtract multiply divide maximum power floor_divide mod matmul equal logical_and where "
          "concatenate stack arctan2 logaddexp dot outer tensordot minimum append").split()


def result_kind(call):
    """Return the dtype of a result, or the name of the error."""
    try:
        return str(call().dtype)
    except (TypeError, ValueError) as error:
        return type(error).__name__


def differences(name, pairs):
    """Return ``{inputs: (our dtype, Keras' dtype)}`` where they differ; what Keras refuses we may do."""
    return {
        kinds: (a, b) for kinds, a, b in pairs
        if a != b and not b.endswith("Error") and not any((name, kind) in OWN_WAY for kind in kinds)
    }


@pytest.mark.parametrize("name", BINARY)
def test_dtypes_of_two_inputs(real_keras, name):
    def both():
        for kinds in [(a, b) for a in KINDS for b in KINDS]:
            ours = result_kind(lambda: call_pair(ops, name, *map(np_ones, kinds)))
            symbols = [real_keras.KerasTensor((2, 2), kind) for kind in kinds]
            yield kinds, ours, result_kind(lambda: call_pair(real_keras.ops, name, *symbols))

    assert differences(name, both()) == {}


@pytest.mark.parametrize("number", [True, 2, 2.5], ids=str)
@pytest.mark.parametrize("name", "add multiply divide maximum power where subtract".split())
def test_dtypes_with_a_number(real_keras, name, number):
    def both():
        for kind in KINDS:
            ours = result_kind(lambda: call_pair(ops, name, np_ones(kind), number))
            symbol = real_keras.KerasTensor((2, 2), kind)
            theirs = result_kind(lambda: call_pair(real_keras.ops, name, symbol, number))
            yield (kind,), ours, theirs

    assert differences(name, both()) == {}


def np_ones(kind):
    return ops.ones((2, 2), dtype=kind)


def call_pair(K, name, x, y):
    if name == "where":
        return K.where(K.ones((2, 2), dtype="bool"), x, y)
    if name in ("concatenate", "stack"):
        return getattr(K, name)([x, y])
    return getattr(K, name)(x, y)
