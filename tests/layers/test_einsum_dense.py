"""EinsumDense: equations that are one product of matrices, and others."""

import numpy as np
import pytest
from support.checks import check_op
from support.layer_checks import check_layer

from gpukeras import layers, ops
from gpukeras.ops.einsum_dense import einsum_dense, plan
from gpukeras.symbolic import KerasTensor

RNG = np.random.default_rng(2)
# equation, shape of the inputs, of the kernel and of the bias, and whether it is one product
EQUATIONS = [
    ("abc,cde->abde", (2, 3, 4), (4, 2, 3), (2, 3), True),
    ("abc,dc->abd", (2, 3, 4), (5, 4), (5,), True),
    ("abcd,ecd->abe", (2, 3, 4, 2), (5, 4, 2), (5,), True),
    ("abcd,dce->abe", (2, 3, 4, 2), (2, 4, 5), None, True),
    ("ab...,bc->ac...", (2, 3, 4), (3, 5), (5, 1), True),
    ("...x,xy->...y", (2, 3, 4), (4, 5), (5,), True),
    ("abc,cde->abde", (2, 3, 4), (4, 2, 3), (2, 1), True),
    ("abc,dec->adeb", (2, 3, 4), (2, 5, 4), (2, 5, 1), True),
    ("abc,c->ab", (2, 3, 4), (4,), None, True),
    ("abc,bc->a", (2, 3, 4), (3, 4), None, True),
    ("abc,bcd->abd", (2, 3, 4), (3, 4, 5), (3, 5), False),
    ("abc,cd->ad", (2, 3, 4), (4, 5), (5,), False),
]


@pytest.mark.parametrize("equation, x, kernel, bias, one", EQUATIONS, ids=[e[0] for e in EQUATIONS])
def test_op(backend, equation, x, kernel, bias, one):
    assert (plan(equation, len(x), len(kernel)) is not None) == one
    inputs = [None if shape is None else RNG.standard_normal(shape) for shape in (x, kernel, bias)]
    for activation in (None, "relu", "tanh"):
        def reference(x, kernel, bias, equation, activation=activation):
            y = np.einsum(equation, x, kernel)
            y = y if bias is None else y + bias
            return {None: y, "relu": np.maximum(y, 0), "tanh": np.tanh(y)}[activation]

        check_op(lambda *args, activation=activation: einsum_dense(*args, activation), inputs, reference,
                 settings=(equation,), second_order=activation == "tanh", strided=activation is None)


def test_layer():
    def reference(x, kernel, bias):
        return np.maximum(np.einsum("abc,cde->abde", x, kernel) + bias, 0)

    kwargs = {"equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de",
              "activation": "relu", "kernel_regularizer": "l2", "bias_initializer": "ones"}
    layer = check_layer(layers.EinsumDense, kwargs, (5, 4), reference=reference, symbolic=False)
    assert layer.compute_output_shape((None, 5, 4)) == (None, None, 2, 3)
    kwargs = {"equation": "...ab,bc->...ac", "output_shape": (4, 5), "bias_axes": "ac"}
    check_layer(layers.EinsumDense, kwargs, (3, 4, 6), output_shape=(None, 3, 4, 5))
    assert layers.EinsumDense("ab,bc->ac", 3).partial_output_shape == (3,)


def test_like_dense():
    """The simplest equation is a Dense layer."""
    x = RNG.standard_normal((3, 5)).astype("float32")
    dense, einsum = layers.Dense(4, activation="softmax"), layers.EinsumDense("ab,bc->ac", 4, "softmax", "c")
    dense(x), einsum(x)
    einsum.set_weights(dense.get_weights())
    np.testing.assert_array_equal(dense(x).numpy(), einsum(x).numpy())


def test_symbolic_sizes():
    layer = layers.EinsumDense("ab...,bc->ac...", 5)
    assert layer(KerasTensor((None, 3, None, 7))).shape == (None, 5, None, 7)
    assert layers.EinsumDense("abc,c->ab", (None,))(KerasTensor((None, 4, 6))).shape == (None, None)
    assert layers.EinsumDense("abc,bc->a", ())(KerasTensor((None, 4, 6))).shape == (None,)


@pytest.mark.parametrize("args, shape, text", [
    (("ab,bc", 3), (2, 3), "the equation must be like 'abc,cd->abd'"),
    (("ab, bc -> ac", 3), (2, 3), "the equation must be like"),
    (("...ab,bc->ac", 3), (2, 3), "the equation must be like"),
    (("ab,bc->ac", 3), (2, 3, 4), "have 2 axes, came shape .2, 3, 4."),
    (("...ab,bc->...ac", (None, 3)), (2,), "have at least 2 axes"),
    (("abc,cd->abd", 5), (2, 3, 4), "output_shape needs a size for each of the axes 'bd'"),
    (("abc,cd->abd", (7, 5)), (2, 3, 4), "axis 'b' of 'abc,cd->abd' has 3 elements"),
    (("abc,cd->abd", (None, None)), (2, 3, 4), "the kernel of 'abc,cd->abd' needs known sizes"),
    (("abc,ed->abd", (None, 5)), (2, 3, 4), "axis 'e' of the kernel is neither one of the inputs"),
    (("abc,cd->abd", (None, 5), None, "x"), (2, 3, 4), "bias_axes='x' names 'x'"),
    (("abc,cd->abd", (None, 5), None, "b"), (2, None, 4), "the bias along 'b' needs known sizes"),
])
def test_errors(args, shape, text):
    with pytest.raises(ValueError, match=text):
        layers.EinsumDense(*args)(KerasTensor(shape))


@pytest.mark.parametrize("name", ["lora_rank", "lora_alpha", "quantization_config",
                                  "gptq_unpacked_column_size"])
def test_left_out(name):
    with pytest.raises(NotImplementedError, match=f"EinsumDense: {name}=4 is not supported"):
        layers.EinsumDense("ab,bc->ac", 3, **{name: 4})
    layers.EinsumDense("ab,bc->ac", 3, **{name: None})


def test_wrong_kernel():
    with pytest.raises(ValueError, match="axis 'b' has 3 elements in x .* and 4 in the kernel"):
        einsum_dense(ops.zeros((2, 3)), ops.zeros((4, 5)), None, "ab,bc->ac")
