"""The dense op against plain products and finite differences."""

import numpy as np
import pytest
from support.checks import check_op

import gpukeras as keras
from gpukeras import ops

RNG = np.random.default_rng(1)
W, B = RNG.standard_normal((5, 3)), RNG.standard_normal(3)
REFERENCE = {
    None: lambda z: z, "linear": lambda z: z, "relu": lambda z: z * (z > 0), "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)), "gelu": None,
    "softmax": lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True),
}


@pytest.mark.parametrize("activation", [None, "linear", "relu", "tanh", "sigmoid", "softmax"])
@pytest.mark.parametrize("shape", [(4, 5), (1, 5), (2, 3, 5), (5,), (0, 5)])
def test_dense(backend, activation, shape):
    x = RNG.standard_normal(shape)

    def reference(x, w, b, activation):
        return REFERENCE[activation](x @ w + b)

    check_op(ops.dense, [x, W, B], reference, kwargs={"activation": activation}, second_order=True, rtol=5e-5)


def test_no_bias(backend):
    x = RNG.standard_normal((4, 5))
    check_op(ops.dense, [x, W, None], lambda x, w, b: x @ w, second_order=True)


def test_function_as_activation():
    x = RNG.standard_normal((2, 5)).astype("float32")
    for f in (ops.relu, keras.activations.relu, keras.activations.tanh, keras.activations.gelu, ops.softmax):
        name = getattr(f, "__name__", None)
        found = ops.dense(x, W.astype("float32"), B.astype("float32"), f).numpy()
        want = f(ops.matmul(x, W.astype("float32")) + B.astype("float32")).numpy()
        np.testing.assert_allclose(found, want, 1e-6, 1e-6, err_msg=name)


def test_one_node_and_only_what_is_asked():
    x = ops.ones((2, 5))
    w, b = keras.Variable(W), keras.Variable(B)
    with keras.GradientTape() as tape:
        y = ops.dense(x, w, b, "relu")
    assert len(tape._records) == 1
    dw, db = tape.gradient(y, [w, b])
    assert dw.shape == (5, 3) and db.shape == (3,)
    frozen = keras.Variable(W, trainable=False)
    with keras.GradientTape() as tape:
        y = ops.dense(x, frozen, b)
    assert tape.gradient(y, [frozen, b])[0] is None


def test_softmax_carries_logits():
    y = ops.dense(ops.ones((2, 5)), ops.ones((5, 3)), activation="softmax")
    assert y._keras_logits[0] == "softmax"


def test_mixed_dtypes():
    x = ops.convert_to_tensor(np.ones((2, 5)), dtype="int32")
    y = ops.dense(x, W.astype("float32"), B.astype("float32"))
    assert y.dtype == "float32"
    np.testing.assert_allclose(y.numpy(), np.ones((2, 5)) @ W + B, 1e-5)
    half = ops.dense(ops.cast(x, "float16"), ops.convert_to_tensor(W, dtype="float16"))
    assert half.dtype == "float16"


def test_errors():
    with pytest.raises(ValueError, match="5 expected, 4 came"):
        ops.dense(ops.ones((2, 4)), ops.ones((5, 3)))
    with pytest.raises(ValueError, match="bias must have shape"):
        ops.dense(ops.ones((2, 5)), ops.ones((5, 3)), ops.ones(4))
    with pytest.raises(ValueError, match="unknown activation"):
        ops.dense(ops.ones((2, 5)), ops.ones((5, 3)), activation="rellu")
    with pytest.raises(ValueError, match="expected, 4 came"):
        ops.dense(keras.KerasTensor((None, 4)), ops.ones((5, 3)), ops.ones(3))
