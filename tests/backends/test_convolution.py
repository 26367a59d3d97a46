"""Array methods of convolution, pooling and resizing: adjoints, block plans, generic against NumPy."""

import itertools

import numpy as np
import pytest

from gpukeras import backends
from gpukeras.backends import resize, window_shapes
from gpukeras.backends.base import Backend
from gpukeras.backends.convolution import blocks

RNG = np.random.default_rng(23)


class Generic(Backend):
    """The contract with no override, on NumPy arrays."""

    xp = np

    def asarray(self, value, dtype=None):
        return np.asarray(value, dtype)


GENERIC, NUMPY = Generic(), backends.CPU
SIZES = {1: (9,), 2: (6, 7), 3: (4, 5, 3)}


@pytest.mark.parametrize("rank, padding", [(1, "causal"), *itertools.product((1, 2, 3), ("valid", "same"))])
@pytest.mark.parametrize(
    "channels, filters, groups", [(1, 2, 1), (1, 17, 1), (17, 3, 1), (3, 19, 1), (4, 6, 2), (3, 6, 3)])
def test_gradients_are_adjoints(rank, padding, channels, filters, groups):
    """<dy, conv(v, w)> = <dx, v> and <dy, conv(x, u)> = <dw, u> for every window, stride and dilation."""
    size = SIZES[rank]
    for k, s, d in itertools.product((1, 2, 3), repeat=3):
        if padding == "valid" and (k - 1) * d + 1 > min(size):
            continue
        windows = window_shapes.windows(size, (k,) * rank, (s,) * rank, padding, (d,) * rank, "test")
        x, v = RNG.standard_normal((2, 2, *size, channels))
        w, u = RNG.standard_normal((2, *(k,) * rank, channels // groups, filters))
        y = NUMPY.conv_forward(x, w, windows, groups)
        dy = RNG.standard_normal(y.shape)
        dx = NUMPY.conv_backward_data(dy, w, windows, groups)
        dw = NUMPY.conv_backward_kernel(x, dy, windows, groups)
        assert np.isclose(np.vdot(dy, NUMPY.conv_forward(v, w, windows, groups)), np.vdot(dx, v)), windows
        assert np.isclose(np.vdot(dy, NUMPY.conv_forward(x, u, windows, groups)), np.vdot(dw, u)), windows


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_generic_agrees(groups):
    windows = window_shapes.windows((8, 7), (3, 2), (2, 1), "same", (1, 1), "test")
    x, w = RNG.standard_normal((3, 8, 7, 4)), RNG.standard_normal((3, 2, 4 // groups, 8))
    bias, dy = RNG.standard_normal(8), RNG.standard_normal((3, 4, 7, 8))
    for name, args in [
        ("conv_forward", (x, w, windows, groups, bias, "sigmoid")),
        ("conv_backward_data", (dy, w, windows, groups)),
        ("conv_backward_data", (dy, w, windows, groups, bias[:4], "tanh")),
        ("conv_backward_kernel", (x, dy, windows, groups)),
    ]:
        np.testing.assert_allclose(getattr(GENERIC, name)(*args), getattr(NUMPY, name)(*args), 1e-12, 1e-12)
    y = NUMPY.max_pool_forward(x, windows)
    dy = RNG.standard_normal(y.shape)
    np.testing.assert_array_equal(GENERIC.max_pool_forward(x, windows), y)
    (z, where), found = NUMPY.max_pool_training(x, windows), GENERIC.max_pool_training(x, windows)
    np.testing.assert_array_equal(z, y)
    np.testing.assert_array_equal(found, (z, where))
    np.testing.assert_array_equal(GENERIC.max_pool_backward(dy, where, windows),
                                  NUMPY.max_pool_backward(dy, where, windows))
    np.testing.assert_allclose(GENERIC.average_pool_backward(dy, windows),
                               NUMPY.average_pool_backward(dy, windows), 1e-12)
    matrix = resize.weights(7, 9, "bicubic", False)
    np.testing.assert_array_equal(GENERIC.resample(x, 2, matrix), NUMPY.resample(x, 2, matrix))


@pytest.mark.parametrize("n, rows, row, budget, plan", [
    (10, 4, 100, 1000, (2, 4)),  # whole images
    (10, 4, 100, 10**9, (10, 4)),  # everything at once
    (10, 40, 100, 1000, (1, 10)),  # part of an image
    (10, 40, 5000, 1000, (1, 1)),  # never less than a row
    (0, 4, 100, 1000, (1, 4)), (3, 0, 100, 1000, (3, 1)), (3, 4, 0, 1000, (3, 4)),
])
def test_blocks(n, rows, row, budget, plan):
    assert blocks(n, rows, row, budget) == plan


def test_unknown_activation():
    with pytest.raises(ValueError, match="cannot be fused"):
        NUMPY.conv_backward_output(np.ones((1, 2, 2)), np.ones((1, 2, 2)), "gelu")


def test_large_buffers_are_not_kept():
    dtype = np.dtype("float32")
    small = NUMPY.conv_scratch(100, dtype, 7)
    assert np.shares_memory(small, NUMPY.conv_scratch(50, dtype, 7))
    large = NUMPY.conv_scratch(NUMPY._kept_bytes, dtype, 7)
    assert not np.shares_memory(large, NUMPY.conv_scratch(NUMPY._kept_bytes, dtype, 7))
