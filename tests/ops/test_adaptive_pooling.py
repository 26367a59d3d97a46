"""Adaptive pooling against windows written out, finite differences and real Keras."""

import itertools

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import autograd, ops
from gpukeras.tensor import Tensor

RNG = np.random.default_rng(4)
OPS = [(ops.adaptive_average_pool, np.mean), (ops.adaptive_max_pool, np.max)]


def naive(x, output_size, data_format="channels_last", mode=np.mean):
    """Loop over windows, whose ends are rounded to the outside."""
    if data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    sizes = (output_size,) * (x.ndim - 2) if isinstance(output_size, int) else tuple(output_size)
    y = np.zeros((len(x), *sizes, x.shape[-1]))
    for place in itertools.product(*map(range, sizes)):
        key = tuple(
            slice(int(np.floor(i * n / m)), int(np.ceil((i + 1) * n / m - 1e-9)))
            for i, n, m in zip(place, x.shape[1:-1], sizes))
        y[(slice(None), *place)] = mode(x[(slice(None), *key)], axis=tuple(range(1, x.ndim - 1)))
    return np.moveaxis(y, -1, 1) if data_format == "channels_first" else y


def distinct(*shape):
    return RNG.permutation(np.arange(np.prod(shape, dtype=int))).reshape(shape) / 8.0 - 2.0


CASES = {
    "1d": ((2, 7, 3), 3), "1d even": ((2, 6, 3), 2), "1d whole": ((2, 5, 2), 1),
    "1d the same": ((2, 5, 2), 5),
    "1d periods": ((2, 10, 2), 4), "1d longer": ((2, 3, 2), 5), "2d": ((2, 5, 7, 2), (2, 3)),
    "2d mixed": ((2, 6, 7, 2), (3, 3)), "2d even": ((2, 6, 4, 2), (3, 2)), "2d whole": ((2, 3, 4, 2), (1,)),
    "2d one axis": ((2, 5, 4, 2), (5, 2)), "3d": ((1, 4, 3, 5, 2), (2, 2, 3)),
}


@pytest.mark.parametrize("op, mode", OPS)
@pytest.mark.parametrize("case", CASES)
def test_values_and_gradients(backend, op, mode, case):
    shape, size = CASES[case]
    sizes = size * (len(shape) - 2) if size == (1,) else size
    squares = case in ("2d", "1d longer")  # so that there is a second derivative
    check_op(lambda x, s: op(x, s) ** (2 if squares else 1), [distinct(*shape)],
             lambda x, _: naive(x, sizes, mode=mode) ** (2 if squares else 1), settings=(size,),
             second_order=squares, rtol=1e-5, grad_rtol=1e-5,
             dtypes=("float64", "float32", *(["float16"] if case == "2d" else [])))


@pytest.mark.parametrize("op, mode", OPS)
def test_channels_first(backend, op, mode):
    for size in ((2, 3), (5, 2), (1, 1)):
        check_op(op, [distinct(2, 3, 5, 4)], lambda x, *a: naive(x, *a, mode=mode),
                 settings=(size, "channels_first"), dtypes=("float64",), directions=1)


def test_ties_and_other_types(backend):
    x = Tensor(backend.xp.zeros((1, 5, 7, 1), "float32"))
    with autograd.GradientTape() as tape:
        tape.watch(x)
        y = ops.adaptive_max_pool(x, (2, 3))
    expected = np.zeros((5, 7))
    expected[np.ix_([0, 2], [0, 2, 4])] = 1  # the first of each window
    np.testing.assert_array_equal(tape.gradient(y, x).numpy()[0, :, :, 0], expected)
    numbers = Tensor(backend.xp.arange(5, dtype="int32").reshape(1, 5, 1))
    assert ops.adaptive_max_pool(numbers, 2).numpy().ravel().tolist() == [2, 4]
    y = ops.adaptive_average_pool(numbers, 2)
    assert y.dtype == "float32" and y.numpy().ravel().tolist() == [1, 3]
    infinite = Tensor(backend.xp.asarray(np.array([[[np.inf], [1], [2], [3], [np.nan]]], "float32")))
    found = ops.adaptive_average_pool(infinite, 4).numpy().ravel()
    np.testing.assert_array_equal(found, [np.inf, 1.5, 2.5, np.nan])


@pytest.mark.parametrize("call, words", [
    (lambda: ops.adaptive_max_pool(np.ones((1, 5, 1)), 0), "output_size must be a positive"),
    (lambda: ops.adaptive_average_pool(np.ones((1, 5, 5, 1)), (2, 2, 2)), "output_size must be a positive"),
    (lambda: ops.adaptive_average_pool(np.ones((5, 1)), 2), "spatial axes"),
    (lambda: ops.adaptive_average_pool(np.ones((1, 0, 1)), 2), "needs elements"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parity
@pytest.mark.parametrize("case", ["1d periods", "2d mixed"])
def test_as_keras(real_keras, case):
    shape, size = CASES[case]
    x = distinct(*shape).astype("float32")
    for name in ("adaptive_max_pool", "adaptive_average_pool"):
        want = np.asarray(getattr(real_keras.ops, name)(x, size))
        np.testing.assert_allclose(getattr(ops, name)(x, size).numpy(), want, 1e-5, 1e-6, err_msg=name)
