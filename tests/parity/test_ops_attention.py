"""Attention, normalisation and complex numbers against real Keras 3 (on JAX): values, dtypes, gradients."""

import json

import numpy as np
import pytest

import gpukeras
from gpukeras import GradientTape, ops
from gpukeras.tensor import Tensor

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:You passed `rms_scaling=True`:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]
RNG = np.random.default_rng(12)


def f32(*shape):
    return RNG.uniform(-2.0, 2.0, shape).astype("float32")


Q, K, V = f32(2, 3, 4, 5), f32(2, 6, 2, 5), f32(2, 6, 2, 5)
BIAS, SEEN = f32(1, 4, 3, 6), RNG.random((2, 1, 3, 6)) < 0.6
SEEN[1, 0, 2] = False  # a query that sees nothing
X, G, B = f32(3, 4, 6), f32(6), f32(6)
PAIRS, ANGLES = f32(3, 4, 2), f32(3, 4)


def rotated(ops, x, angles):
    """A rotary embedding."""
    return ops.view_as_real(ops.view_as_complex(x) * ops.polar(ops.ones_like(angles), angles))


# A function of the module of ops and of tensors, and these tensors.
CASES = {
    "attention": (lambda k, *t: k.dot_product_attention(*t), Q, K, V),
    "attention, bias and mask": (
        lambda k, q, x, v, b: k.nn.dot_product_attention(q, x, v, bias=b, mask=SEEN), Q, K, V, BIAS),
    "attention, causal": (
        lambda k, *t: k.dot_product_attention(*t, is_causal=True, scale=0.3, flash_attention=False), Q, K, V),
    "layer_normalization": (lambda k, *t: k.layer_normalization(*t, epsilon=0.01), X, G, B),
    "layer_normalization, rms_scaling": (
        lambda k, *t: k.layer_normalization(*t, epsilon=0.01, rms_scaling=True), X, G),
    "rms_normalization": (lambda k, *t: k.rms_normalization(*t, epsilon=0.01), X, G),
    "normalize": (lambda k, x: k.normalize(x, axis=-1), X),
    "normalize, epsilon": (lambda k, x: k.normalize(x, axis=1, epsilon=3.0), X),
    "normalize, order 3": (lambda k, x: k.normalize(x, order=3), X),
    "complex numbers": (rotated, PAIRS, ANGLES),
    "parts": (lambda k, x: k.real(k.view_as_complex(x)) * k.imag(k.view_as_complex(x)), PAIRS),
    "sizes": (lambda k, x: k.abs(k.view_as_complex(x)), PAIRS),
    "conjugate": (lambda k, x: k.view_as_real(k.conjugate(k.view_as_complex(x))), PAIRS),
}


@pytest.mark.parametrize("name", CASES)
def test_op(real_keras, name):
    import jax

    function, *arrays = CASES[name]

    def theirs(*tensors):
        return function(real_keras.ops, *tensors)

    expected, backward = jax.vjp(theirs, *arrays)
    dy = RNG.standard_normal(expected.shape).astype("float32")
    tensors = [ops.convert_to_tensor(a) for a in arrays]
    with GradientTape() as tape:
        tape.watch(tensors)
        found = function(ops, *tensors)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-5, atol=2e-6)
    for a, b in zip(tape.gradient(found, tensors, Tensor(dy)), backward(dy)):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-4, atol=1e-5)


def test_angle(real_keras):
    z = PAIRS[..., 0] + 1j * PAIRS[..., 1]
    np.testing.assert_allclose(ops.angle(z).numpy(), real_keras.ops.angle(z), rtol=1e-5)
    np.testing.assert_array_equal(ops.view_as_real(z).numpy(), real_keras.ops.view_as_real(z))


@pytest.mark.parametrize("shapes, function", [
    ([(3, 2, 4)], lambda k, x: k.dot_product_attention(x, x, x, is_causal=True, scale=0.5)),
    ([(3, 2, 4), (1, 3, 3)], lambda k, x, mask: k.dot_product_attention(x, x, x, mask=mask > 0)),
    ([(3, 4)], lambda k, x: k.normalize(x, axis=1)),
    ([(3, 4), (3, 4)], lambda k, x, y: k.view_as_real(k.polar(x, y))),
], ids=["attention", "mask", "normalize", "complex"])
def test_models_of_ops(real_keras, shapes, function):
    """Real Keras reads what we write, and we what it writes."""
    data = [f32(2, *shape) for shape in shapes]
    for writer, reader in ((gpukeras, real_keras), (real_keras, gpukeras)):
        inputs = [writer.Input(shape) for shape in shapes]
        model = writer.Model(inputs, function(writer.ops, *inputs))
        again = reader.Model.from_config(json.loads(json.dumps(model.get_config())))
        found = [np.asarray(m(data)) for m in (model, again)]
        np.testing.assert_allclose(*found, rtol=1e-5, atol=1e-6)
