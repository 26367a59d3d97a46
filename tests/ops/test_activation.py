"""Activations against plain float64 formulas, finite differences and real Keras."""

import math

import numpy as np
import pytest
from support.checks import check_op

import gpukeras as keras
from gpukeras import ops

RNG = np.random.default_rng(0)
X = RNG.uniform(-4, 4, (4, 6))
X += 0.03 * np.sign(X)  # away from the kink at 0
erf = np.vectorize(math.erf)


def sig(x):
    return 1 / (1 + np.exp(-x))


def soft(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def simplex(x):
    """Nearest point on the simplex, row by row, by bisection on the threshold."""
    rows = []
    for row in x.reshape(-1, x.shape[-1]):
        low, high = row.min() - 1, row.max()
        for _ in range(200):
            tau = (low + high) / 2
            low, high = (tau, high) if np.maximum(row - tau, 0).sum() > 1 else (low, tau)
        rows.append(np.maximum(row - tau, 0))
    return np.array(rows).reshape(x.shape)


ELEMENTWISE = {
    "relu": lambda x: x * (x > 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "leaky_relu": lambda x, s=0.2: np.where(x > 0, x, s * x),
    "sigmoid": sig,
    "silu": lambda x: x * sig(x),
    "log_sigmoid": lambda x: np.log(sig(x)),
    "elu": lambda x, a=1.0: np.where(x > 0, x, a * (np.exp(x) - 1)),
    "selu": lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1)),
    "celu": lambda x, a=1.0: np.maximum(x, 0) + np.minimum(0, a * (np.exp(x / a) - 1)),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "hard_sigmoid_keras2": lambda x: np.clip(0.2 * x + 0.5, 0, 1),
    "hard_silu": lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "squareplus": lambda x, b=4: (x + np.sqrt(x * x + b)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x < 1, 0.25 * (x + 1) ** 2, x)),
    "sparse_sigmoid": lambda x: np.clip(0.5 * (x + 1), 0, 1),
    "soft_shrink": lambda x, t=0.5: np.sign(x) * np.maximum(abs(x) - t, 0),
    "hard_shrink": lambda x, t=0.5: np.where(abs(x) > t, x, 0),
    "tanh_shrink": lambda x: x - np.tanh(x),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise(backend, name):
    check_op(getattr(ops, name), [X], ELEMENTWISE[name], second_order=True, rtol=5e-5)


@pytest.mark.parametrize(
    "name, setting",
    [("leaky_relu", 0.01), ("elu", 1.7), ("celu", 0.6), ("soft_shrink", 1.2), ("hard_shrink", 1.2),
     ("squareplus", 0.5)],
)
def test_settings(backend, name, setting):
    check_op(getattr(ops, name), [X], ELEMENTWISE[name], settings=(setting,), second_order=True, rtol=5e-5)


def test_gelu_exact(backend):
    check_op(ops.gelu, [X], lambda x, approximate: 0.5 * x * (1 + erf(x / math.sqrt(2))),
             kwargs={"approximate": False}, second_order=True, rtol=5e-5)


def test_threshold(backend):
    check_op(ops.threshold, [X], lambda x, t, d: np.where(x > t, x, d), settings=(0.7, -3.0),
             second_order=True)


@pytest.mark.parametrize(
    "slope, top, threshold", [(0.0, 2.0, 0.0), (0.1, None, 0.5), (0.3, 1.5, -1.0), (0, None, 1)]
)
def test_clipped_relu(backend, slope, top, threshold):
    def reference(x, slope, top, threshold):
        y = np.where(x > threshold, x, slope * (x - threshold))
        return y if top is None else np.minimum(y, top)

    check_op(ops.clipped_relu, [X], reference, settings=(slope, top, threshold), second_order=True)


def test_relu_large_and_integer(backend):
    """Large arrays take the chunked way; integers stay integers."""
    x = RNG.standard_normal((3, 70000)).astype("float32")
    np.testing.assert_array_equal(ops.relu(x).numpy(), x * (x > 0))
    found = ops.relu(ops.convert_to_tensor([-1, 2]))
    assert found.dtype == "int32" and found.tolist() == [0, 2]
    assert ops.sigmoid(ops.convert_to_tensor([1, 2])).dtype == "float32"


@pytest.mark.parametrize("name, settings", [
    ("leaky_relu", {}), ("leaky_relu", {"negative_slope": 1.5}), ("gelu", {"approximate": False}),
    ("silu", {}), ("hard_tanh", {}), ("relu", {"negative_slope": 0.1, "max_value": 1.0, "threshold": 0.5}),
])
def test_large_arrays_are_those_of_their_pieces(name, settings):
    x, dy = np.random.default_rng(0).standard_normal((2, 70_001)).astype("float32")

    def run(x, dy):
        x = keras.Variable(x)
        with keras.GradientTape() as tape:
            y = getattr(keras.activations, name)(x, **settings)
        return np.stack([y.numpy(), tape.gradient(y, x, ops.convert_to_tensor(dy)).numpy()])

    pieces = [run(x[i:i + 7001], dy[i:i + 7001]) for i in range(0, len(x), 7001)]
    np.testing.assert_allclose(run(x, dy), np.concatenate(pieces, axis=1), rtol=1e-6, atol=1e-7)


def test_kinks():
    """The gradients at the kinks are those of Keras."""
    for name, at, want in [("relu", 0.0, 0.0), ("relu6", 6.0, 0.0), ("leaky_relu", 0.0, 1.0),
                           ("hard_sigmoid", 3.0, 0.0), ("hard_tanh", 1.0, 1.0), ("hard_shrink", 0.5, 0.0)]:
        x = ops.convert_to_tensor([at])
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = getattr(ops, name)(x)
        assert tape.gradient(y, x).tolist() == [want], name


@pytest.mark.parametrize("axis", [-1, 0, 1, (0, 1), None])
def test_softmax(backend, axis):
    check_op(ops.softmax, [X], lambda x, axis: soft(x, axis), kwargs={"axis": axis}, second_order=True)
    check_op(ops.log_softmax, [X], lambda x, axis: np.log(soft(x, axis)), kwargs={"axis": axis},
             second_order=True)


def test_softmax_many_rows_and_ranks(backend):
    check_op(ops.softmax, [RNG.standard_normal((3, 8, 5))], soft, second_order=True)
    check_op(ops.softmax, [RNG.standard_normal((40, 5))], soft)
    check_op(ops.softmax, [RNG.standard_normal(5)], soft)


def test_extreme_values():
    x = np.array([[-1e4, 0.0, 1e4], [-200.0, -100.0, 200.0]], "float32")
    for name in ("sigmoid", "softmax", "log_softmax", "softplus", "log_sigmoid", "silu", "mish", "elu",
                 "gelu"):
        with keras.GradientTape() as tape:
            t = ops.convert_to_tensor(x)
            tape.watch(t)
            y = getattr(ops, name)(t)
        assert np.isfinite(y.numpy()).all(), name
        assert np.isfinite(tape.gradient(y, t).numpy()).all(), name


def test_sparsemax(backend):
    check_op(ops.sparsemax, [X], simplex)
    check_op(ops.sparsemax, [X.T.copy()], lambda x, axis: simplex(x.T).T, kwargs={"axis": 0})


@pytest.mark.parametrize("axis", [-1, 0])
def test_glu(backend, axis):
    def reference(x, axis):
        a, b = np.split(x, 2, axis)
        return a * sig(b)

    check_op(ops.glu, [X], reference, kwargs={"axis": axis}, second_order=True, batch=())


def test_errors():
    with pytest.raises(ValueError, match="halves axis"):
        ops.glu(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match="out of range"):
        ops.softmax(np.ones((2, 3), "float32"), axis=2)


def test_remembered_logits():
    x = ops.convert_to_tensor(X.astype("float32"))
    assert ops.softmax(x)._keras_logits == ("softmax", x)
    assert ops.sigmoid(x)._keras_logits[1] is x
    assert ops.softmax(x, axis=0)._keras_logits is None
    assert ops.tanh(x)._keras_logits is None


def test_symbolic_call_replays_with_logits():
    """A recorded softmax remembers its logits again when the graph runs on values."""
    for f in (ops.softmax, ops.sigmoid):
        y = f(keras.KerasTensor((None, 3)))
        operation = y.history[0].operation
        assert operation.op is f
        assert operation(ops.ones((2, 3)))._keras_logits is not None


@pytest.mark.parity
def test_real_keras(real_keras):
    # Not sparsemax: Keras 3.15 returns rows that do not sum to 1.
    x = X.astype("float32")
    for name in [*ELEMENTWISE, "softmax", "log_softmax", "glu"]:
        if name == "hard_sigmoid_keras2":
            continue
        real = getattr(real_keras.ops, name, None) or getattr(real_keras.activations, name)
        want = np.asarray(real(x))
        np.testing.assert_allclose(getattr(ops, name)(x).numpy(), want, 2e-5, 2e-6, err_msg=name)


def test_scalars_have_array_gradients():
    for name in ("relu", "sigmoid", "gelu"):
        x = ops.convert_to_tensor(0.7)
        with keras.GradientTape() as tape:
            tape.watch(x)
            y = getattr(ops, name)(x)
        assert isinstance(tape.gradient(y, x).array, np.ndarray)
