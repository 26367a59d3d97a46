"""Every algorithm of a convolution, forced, against sums written out tap by tap in float64."""

import contextlib
import itertools

import numpy as np
import pytest

from gpukeras import backends
from gpukeras.backends import convolution_choice, threads, window_shapes

RNG = np.random.default_rng(31)
BACKEND = backends.CPU
SIZES = {1: (23,), 2: (9, 10), 3: (5, 6, 7)}
WAYS = ["pointwise", "rows", "planar", "mirrored", "scatter", "phases", "laid", "spread",
        "exchanged", "winograd2", "winograd4"]


def naive(x, w, windows):
    """Return the outputs, and functions that give both gradients, by one product for each tap."""
    x, w = x.astype("float64"), w.astype("float64")
    high = [p + r for p, r in zip(windows.padded, windows.reach)]
    padded = np.zeros((len(x), *high, x.shape[-1]))
    inside = (slice(None), *(slice(low, low + n) for low, n in zip(windows.lows, windows.size)))
    padded[inside] = x
    places = {}
    for tap in itertools.product(*map(range, windows.window)):
        places[tap] = (slice(None), *(
            slice(t * d, t * d + (o - 1) * s + 1, s)
            for t, d, s, o in zip(tap, windows.dilation, windows.strides, windows.out)
        ))
    y = sum(padded[p] @ w[tap] for tap, p in places.items())

    def data(dy):
        sums = np.zeros_like(padded)
        for tap, p in places.items():
            sums[p] += dy.astype("float64") @ w[tap].T
        return sums[inside]

    def kernel(dy):
        dw = np.zeros_like(w)
        for tap, p in places.items():
            dw[tap] = np.tensordot(padded[p], dy.astype("float64"), (range(x.ndim - 1),) * 2)
        return dw

    return y, data, kernel


@contextlib.contextmanager
def two_threads(monkeypatch):
    """Split even the smallest work in two."""
    monkeypatch.setattr(threads, "WORTH", 1e-12)
    before = threads.get_threads()
    threads.set_threads(2)
    try:
        yield
    finally:
        threads.set_threads(before)


def cases():
    for rank in (1, 2, 3):
        paddings = ("valid", "same", "causal")
        for k, s, d, padding in itertools.product((1, 2, 3, 5), (1, 2, 3), (1, 2), paddings):
            fits = (k - 1) * d + 1 <= min(SIZES[rank]) or padding != "valid"
            if fits and (rank == 1 or padding != "causal") and (rank < 3 or (k < 4 and s < 3)):
                yield rank, k, s, d, padding


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("way", WAYS)
def test_every_way(way, parts, monkeypatch):
    split = two_threads(monkeypatch) if parts == 2 else contextlib.nullcontext()
    monkeypatch.setattr(type(BACKEND), "column_bytes", 1 << 12)  # several blocks
    ran = []
    true = BACKEND._conv_way
    monkeypatch.setattr(BACKEND, "_conv_way", lambda *a: ran.append(true(*a)) or ran[-1], raising=False)
    with split, convolution_choice.forced(way):
        for rank, k, s, d, padding in cases():
            size = SIZES[rank]
            windows = window_shapes.windows(size, (k,) * rank, (s,) * rank, padding, (d,) * rank, "test")
            check(windows, 3, 5, "relu")
    assert ran.count(way) >= (2 if way == "pointwise" else 9), f"{way} ran {ran.count(way)} times"


def check(windows, channels, filters, activation, dtype="float32", tolerance=2e-5):
    x = RNG.standard_normal((3, *windows.size, channels)).astype(dtype)
    w = (RNG.standard_normal((*windows.window, channels, filters)) / 4).astype(dtype)
    b = RNG.standard_normal(filters).astype(dtype)
    y, data, kernel = naive(x, w, windows)
    dy = RNG.standard_normal(y.shape).astype(dtype)
    z = BACKEND.conv_forward(x, w, windows, 1, b, activation)
    close = dict(rtol=tolerance, atol=tolerance * 10, err_msg=str(windows))
    np.testing.assert_allclose(z, np.maximum(y + b, 0) if activation else y + b, **close)
    np.testing.assert_allclose(BACKEND.conv_forward(x, w, windows), y, **close)
    if activation:  # as a transposed convolution
        c = RNG.standard_normal(channels).astype(dtype)
        found = BACKEND.conv_backward_data(dy, w, windows, 1, c, activation)
        np.testing.assert_allclose(found, np.maximum(data(dy) + c, 0), **close)
    else:
        np.testing.assert_allclose(BACKEND.conv_backward_data(dy, w, windows), data(dy), **close)
    np.testing.assert_allclose(BACKEND.conv_backward_kernel(x, dy, windows), kernel(dy), **close)
    both = BACKEND.conv_backward_transposed(dy, x, w, windows)  # here x is the gradient of the outputs
    for found, expected in zip(both, (y, kernel(dy))):
        np.testing.assert_allclose(found, expected, **close)
    dw, db = BACKEND.conv_backward_first(x, dy, z, windows, 1, activation)
    dz = dy * (z > 0) if activation else dy
    np.testing.assert_allclose(dw, kernel(dz), **close)
    np.testing.assert_allclose(db, dz.astype("float64").reshape(-1, filters).sum(axis=0), **close)
    assert {a.dtype for a in (z, dw, db)} == {np.dtype(dtype)}


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-12), ("float16", 2e-3)])
@pytest.mark.parametrize("way", WAYS)
def test_other_dtypes(way, dtype, tolerance):
    with convolution_choice.forced(way):
        for k, s, padding in [(3, 1, "same"), (3, 2, "same"), (1, 1, "valid"), (2, 3, "valid")]:
            windows = window_shapes.windows((9, 10), (k, k), (s, s), padding, (1, 1), "test")
            check(windows, 4, 6, None, dtype, tolerance)


def test_parts_are_deterministic(monkeypatch):
    """Equal thread counts give equal bits: partial sums are added in a fixed order."""
    windows = window_shapes.windows((9, 10), (3, 3), (1, 1), "same", (1, 1), "test")
    x, dy = RNG.standard_normal((2, 8, 9, 10, 4)).astype("float32")
    with two_threads(monkeypatch):
        for way in ("rows", "planar"):
            with convolution_choice.forced(way):
                first = BACKEND.conv_backward_kernel(x, dy, windows)
                for _ in range(5):
                    np.testing.assert_array_equal(BACKEND.conv_backward_kernel(x, dy, windows), first)


def test_results_outlive_the_next_call():
    windows = window_shapes.windows((9, 10), (3, 3), (1, 1), "same", (1, 1), "test")
    x, dy = RNG.standard_normal((2, 2, 9, 10, 4)).astype("float32")
    w = RNG.standard_normal((3, 3, 4, 4)).astype("float32")
    for way in WAYS:
        with convolution_choice.forced(way):
            calls = [
                lambda a=1: BACKEND.conv_forward(a * x, w, windows),
                lambda a=1: BACKEND.conv_backward_data(a * dy, w, windows),
                lambda a=1: BACKEND.conv_backward_kernel(a * x, dy, windows),
            ]
            found = [call() for call in calls]
            copies = [f.copy() for f in found]
            for call in calls:
                call(2)
            for f, copy in zip(found, copies):
                np.testing.assert_array_equal(f, copy)
