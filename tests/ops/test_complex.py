"""Complex numbers: made of real ones, taken apart, multiplied in between."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op, tensor_here

from gpukeras import GradientTape, ops
from gpukeras.symbolic import KerasTensor

RNG = np.random.default_rng(0)
PAIRS, OTHERS = RNG.uniform(0.5, 2.0, (2, 3, 4, 2))
SIZES, ANGLES = RNG.uniform(0.5, 2.0, (3, 4)), RNG.uniform(-2.0, 2.0, (3, 4))


def _complex(x):
    return x[..., 0] + 1j * x[..., 1]


def _parts(z):
    return np.stack([z.real, z.imag], axis=-1)


# Functions of real pairs that pass through complex numbers, and the same in NumPy.
CHAINS = {
    "there and back": (lambda x: ops.view_as_real(ops.view_as_complex(x)), lambda x: x),
    "product": (
        lambda x, y: ops.view_as_real(ops.view_as_complex(x) * ops.view_as_complex(y)),
        lambda x, y: _parts(_complex(x) * _complex(y)),
    ),
    "quotient": (
        lambda x, y: ops.view_as_real(ops.view_as_complex(x) / ops.view_as_complex(y)),
        lambda x, y: _parts(_complex(x) / _complex(y)),
    ),
    "sum and difference": (
        lambda x, y: ops.view_as_real(ops.view_as_complex(x) * 2.0 - ops.view_as_complex(y)),
        lambda x, y: _parts(_complex(x) * 2 - _complex(y)),
    ),
    "conjugate": (
        lambda x: ops.view_as_real(ops.conjugate(ops.view_as_complex(x)) * ops.view_as_complex(x)),
        lambda x: _parts(np.abs(_complex(x)) ** 2 + 0j),
    ),
    "real": (lambda x: ops.real(ops.square(ops.view_as_complex(x))), lambda x: (_complex(x) ** 2).real),
    "imag": (lambda x: ops.imag(ops.square(ops.view_as_complex(x))), lambda x: (_complex(x) ** 2).imag),
    "absolute": (lambda x: ops.absolute(ops.view_as_complex(x)), lambda x: np.abs(_complex(x))),
    "angle": (lambda x: ops.angle(ops.view_as_complex(x)), lambda x: np.angle(_complex(x))),
    "exp": (lambda x: ops.real(ops.exp(ops.view_as_complex(x))), lambda x: np.exp(_complex(x)).real),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chain(backend, name):
    chain, reference = CHAINS[name]
    inputs = [PAIRS, OTHERS][: chain.__code__.co_argcount]
    check_op(chain, inputs, reference)


def test_polar(backend):
    """As ``abs * exp(i angle)``, and rotary embeddings as in their formula in real numbers."""
    check_op(lambda r, a: ops.view_as_real(ops.polar(r, a)), [SIZES, ANGLES],
             lambda r, a: _parts(r * np.exp(1j * a)))
    check_gradient(lambda r, a: ops.view_as_real(ops.polar(r, a[0])), [SIZES[:, :1], ANGLES])

    def rotated(x, angles):
        turned = ops.view_as_complex(x) * ops.polar(ops.ones_like(angles), angles)
        return ops.view_as_real(turned)

    def reference(x, angles):
        a, b, c, s = x[..., 0], x[..., 1], np.cos(angles), np.sin(angles)
        return np.stack([a * c - b * s, a * s + b * c], axis=-1)

    check_op(rotated, [PAIRS, ANGLES], reference)


@pytest.mark.parametrize("kind, made", [
    ("float32", "complex64"), ("float64", "complex128"), ("float16", "complex64"), ("int32", "complex64"),
])
def test_dtypes(backend, kind, made):
    z = ops.view_as_complex(tensor_here(PAIRS.astype(kind)))
    assert z.dtype == made
    assert ops.polar(tensor_here(SIZES.astype(kind)), tensor_here(ANGLES.astype(kind))).dtype == made
    real = "float64" if made == "complex128" else "float32"
    assert {str(f(z).dtype) for f in (ops.real, ops.imag, ops.angle, ops.abs, ops.view_as_real)} == {real}
    np.testing.assert_array_equal(ops.view_as_real(z).numpy(), PAIRS.astype(kind).astype(real))


def test_real_tensors():
    x = ops.convert_to_tensor([-1.0, 2.0])
    np.testing.assert_array_equal(ops.view_as_real(x).numpy(), [[-1, 0], [2, 0]])
    np.testing.assert_array_equal(ops.real(x).numpy(), x.numpy())
    np.testing.assert_array_equal(ops.imag(x).numpy(), [0, 0])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.view_as_real(x) * [[2.0, 3.0]]
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [2, 2])


def test_absolute_at_zero():
    x = ops.convert_to_tensor([[0.0, 0.0]])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.absolute(ops.view_as_complex(x))
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [[0, 0]])


def test_symbolic():
    z = ops.view_as_complex(KerasTensor((None, 3, 2), "float32"))
    assert (z.shape, z.dtype) == ((None, 3), "complex64")
    x = ops.view_as_real(z)
    assert (x.shape, x.dtype) == ((None, 3, 2), "float32")
    assert ops.polar(KerasTensor((None, 3)), KerasTensor((3,))).dtype == "complex64"
    assert (ops.abs(z).dtype, ops.angle(z).dtype, ops.conj(z).dtype) == ("float32", "float32", "complex64")


def test_errors():
    with pytest.raises(ValueError, match="last axis.*came shape .3,."):
        ops.view_as_complex([1.0, 2.0, 3.0])
    z = ops.view_as_complex([[1.0, 2.0]])
    with pytest.raises(TypeError, match="must be real, came complex64"):
        ops.polar(z, z)
    with pytest.raises(TypeError, match="must be real, came complex64"):
        ops.view_as_complex(ops.stack([z, z], axis=-1))
