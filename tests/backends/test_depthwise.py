"""Depthwise convolution in NumPy's own way, against the generic version: every kind of window."""

import numpy as np
import pytest

from gpukeras import backends
from gpukeras.backends import threads, window_shapes
from gpukeras.backends.base import Backend
from gpukeras.backends.depthwise import DepthwiseMixin

RNG = np.random.default_rng(8)


class Generic(Backend):
    """The contract with no override, on NumPy arrays."""

    xp = np


GENERIC, NUMPY = Generic(), backends.CPU

CASES = {  # sizes, window, strides, padding, dilation, channels, filters of each
    "1d": ((9,), (3,), (1,), "valid", (1,), 4, 1),
    "1d causal dilated": ((11,), (3,), (1,), "causal", (3,), 2, 2),
    "1d strided": ((12,), (5,), (3,), "same", (1,), 3, 1),
    "one element": ((1, 1), (3, 3), (1, 1), "same", (1, 1), 5, 1),
    "2d": ((7, 6), (3, 3), (1, 1), "same", (1, 1), 4, 1),
    "2d valid": ((7, 6), (3, 2), (1, 1), "valid", (1, 1), 4, 1),
    "2d window of one": ((5, 6), (1, 1), (1, 1), "valid", (1, 1), 4, 2),
    "2d strides": ((7, 8), (3, 3), (2, 2), "same", (1, 1), 4, 1),
    "2d strides apart": ((7, 9), (3, 4), (1, 3), "same", (1, 1), 4, 1),
    "2d strides beyond the window": ((9, 10), (2, 2), (3, 4), "valid", (1, 1), 4, 1),
    "2d dilated": ((9, 8), (3, 2), (1, 1), "same", (2, 3), 4, 1),
    "2d strides and dilation": ((11, 12), (3, 3), (2, 2), "same", (3, 2), 2, 1),
    "2d many": ((6, 7), (3, 3), (1, 1), "same", (1, 1), 3, 3),
    "2d many strided": ((6, 7), (3, 3), (2, 2), "valid", (1, 1), 3, 2),
    "2d wide": ((3, 90), (3, 3), (1, 1), "same", (1, 1), 60, 1),
    "3d": ((4, 5, 6), (2, 3, 3), (1, 2, 2), "same", (1, 1, 1), 3, 1),
    "2d beyond the last window": ((6, 8), (2, 2), (4, 3), "valid", (1, 1), 2, 1),
}


def make(case, n=3):
    size, window, strides, padding, dilation, c, many = CASES[case]
    windows = window_shapes.windows(size, window, strides, padding, dilation, "test")
    x = RNG.standard_normal((n, *size, c))
    w = RNG.standard_normal((*window, 1, c * many))
    return windows, c, x, w, RNG.standard_normal((n, *windows.out, c * many))


def passes(backend, windows, c, x, w, dy, bias=None):
    dw = np.zeros_like(w)
    if x.size:
        dw = backend.conv_backward_kernel(x, dy, windows, c)
    return (backend.conv_forward(x, w, windows, c, bias, None if bias is None else "relu"),
            backend.conv_backward_data(dy, w, windows, c), dw)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("nbytes", [1, 1 << 20])
def test_as_generic(monkeypatch, case, nbytes):
    monkeypatch.setattr(type(NUMPY), "_image_bytes", nbytes)
    assert type(NUMPY)._depthwise_forward is not DepthwiseMixin._depthwise_forward
    arrays = make(case)
    bias = RNG.standard_normal(arrays[3].shape[-1])
    for a, b in zip(passes(GENERIC, *arrays, bias), passes(NUMPY, *arrays, bias)):
        assert a.shape == b.shape
        np.testing.assert_allclose(b, a, 1e-10, 1e-10)


def test_naive():
    windows, c, x, w, _ = make("2d many strided")
    y = NUMPY.conv_forward(x, w, windows, c)
    for n, i, j, f in np.ndindex(y.shape):
        patch = x[n, 2 * i:2 * i + 3, 2 * j:2 * j + 3, f // 2]
        np.testing.assert_allclose(y[n, i, j, f], (patch * w[:, :, 0, f]).sum())


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_types(kind):
    windows, c, *arrays = make("2d strides")
    want = passes(NUMPY, windows, c, *arrays)
    for a, b in zip(want, passes(NUMPY, windows, c, *(v.astype(kind) for v in arrays))):
        assert b.dtype == kind
        rtol, atol = (1e-5, 1e-5) if kind == "float32" else (0.03, 0.1)
        np.testing.assert_allclose(b, a, rtol, atol)


def test_no_images():
    for case in ("2d", "2d strides"):
        arrays = make(case, n=0)
        y, dx, _ = passes(NUMPY, *arrays)
        assert y.shape == arrays[4].shape and dx.shape == arrays[2].shape
        assert not NUMPY.conv_backward_kernel(arrays[2], arrays[4], arrays[0], arrays[1]).any()


def test_threads():
    windows = window_shapes.windows((30, 30), (3, 3), (1, 1), "same", (1, 1), "test")
    x, dy = RNG.standard_normal((2, 5, 30, 30, 64)).astype("float32")
    w = RNG.standard_normal((3, 3, 1, 64)).astype("float32")
    found = []
    for count in (1, 3):
        threads.set_threads(count)
        try:
            found.append(passes(NUMPY, windows, 64, x, w, dy))
        finally:
            threads.set_threads(None)
    for a, b in zip(*found):
        np.testing.assert_allclose(a, b, 1e-4, 1e-4)
