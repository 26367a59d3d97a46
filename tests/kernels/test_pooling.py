"""Pooling kernels against naive loops in float64."""

import itertools
import math

import numpy as np
import pytest
from support.fake_device import emulated
from support.halves import HALVES

from gpukeras.backends.window_shapes import windows

RNG = np.random.default_rng(51)
# size, window, strides, padding
CASES = [
    ((7,), (2,), (2,), "valid"), ((7,), (3,), (1,), "same"), ((9,), (2,), (4,), "valid"),
    ((6, 8), (2, 2), (2, 2), "valid"), ((5, 7), (3, 3), (2, 2), "same"), ((5, 4), (2, 3), (1, 1), "valid"),
    ((5, 5), (2, 2), (3, 3), "same"), ((4, 5, 3), (2, 2, 2), (2, 1, 2), "valid"),
    ((3, 4, 5), (3, 2, 3), (2, 2, 2), "same"),
]
CHANNELS = [1, 3, 8]
IDS = [f"{size}-{window}-{strides}-{padding}" for size, window, strides, padding in CASES]


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def case(size, window, strides, padding):
    return windows(size, window, strides, padding, (1,) * len(size), "test")


def taps(where, position):
    """Yield (number, place in the image) of the taps of a window that lie in the image."""
    for number, tap in enumerate(itertools.product(*(range(k) for k in where.window))):
        place = [o * s - low + t for o, s, low, t in zip(position, where.strides, where.lows, tap)]
        if all(0 <= p < n for p, n in zip(place, where.size)):
            yield number, tuple(place)


def positions(where):
    return itertools.product(*(range(n) for n in where.out))


def naive_max(x, where):
    """Return the maxima and the numbers of their taps."""
    y = np.zeros((len(x), *where.out, x.shape[-1]))
    at = np.zeros(y.shape, int)
    for n, c in np.ndindex(len(x), x.shape[-1]):
        for o in positions(where):
            found = [(x[(n, *place, c)], -number) for number, place in taps(where, o)]
            y[(n, *o, c)], number = max(found)
            at[(n, *o, c)] = -number
    return y, at


def inputs(where, channels, dtype="float32"):
    """Return whole numbers, many of them equal: every result is exact and ties occur."""
    return RNG.integers(-9, 9, (2, *where.size, channels)).astype(dtype)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("chosen", CASES, ids=IDS)
def test_max(gpu, chosen, channels):
    where = case(*chosen)
    x = inputs(where, channels)
    y, at = gpu.max_pool_training(gpu.asarray(x), where)
    expected, numbers = naive_max(x, where)
    np.testing.assert_array_equal(gpu.to_numpy(y), expected)
    np.testing.assert_array_equal(gpu.to_numpy(at), numbers)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.max_pool_forward(gpu.asarray(x), where)), expected)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("chosen", CASES, ids=IDS)
def test_gradient_of_max(gpu, chosen, channels):
    where = case(*chosen)
    x = inputs(where, channels)
    _, at = naive_max(x, where)
    dy = RNG.integers(-9, 9, at.shape).astype("float32")
    dx = np.zeros(x.shape)
    chosen_elements = np.zeros(at.shape)
    for n, c in np.ndindex(len(x), channels):
        for o in positions(where):
            place = dict(taps(where, o))[at[(n, *o, c)]]
            dx[(n, *place, c)] += dy[(n, *o, c)]
            chosen_elements[(n, *o, c)] = x[(n, *place, c)]
    numbers = gpu.asarray(at.astype("uint8"))
    np.testing.assert_array_equal(gpu.to_numpy(gpu.max_pool_backward(gpu.asarray(dy), numbers, where)), dx)
    np.testing.assert_array_equal(
        gpu.to_numpy(gpu.max_pool_select(gpu.asarray(x), numbers, where)), chosen_elements
    )


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("chosen", CASES, ids=IDS)
def test_average(gpu, chosen, channels):
    where = case(*chosen)
    x = RNG.standard_normal((2, *where.size, channels)).astype("float32")
    dy = RNG.standard_normal((2, *where.out, channels)).astype("float32")
    y, dx = np.zeros(dy.shape), np.zeros(x.shape)
    for o in positions(where):
        places = [place for _, place in taps(where, o)]
        for place in places:
            y[(slice(None), *o)] += x[(slice(None), *place)].astype(float) / len(places)
            dx[(slice(None), *place)] += dy[(slice(None), *o)].astype(float) / len(places)
    np.testing.assert_allclose(gpu.to_numpy(gpu.average_pool_forward(gpu.asarray(x), where)), y, 1e-5, 1e-6)
    found = gpu.to_numpy(gpu.average_pool_backward(gpu.asarray(dy), where))
    np.testing.assert_allclose(found, dx, 1e-5, 1e-6)


def test_windows_of_many_taps_count_them_in_whole_numbers(gpu):
    where = case((20, 15), (20, 15), (20, 15), "valid")
    x = RNG.permutation(600).astype("float32").reshape(2, 20, 15, 1)
    y, at = gpu.max_pool_training(gpu.asarray(x), where)
    assert at.dtype == np.int32
    np.testing.assert_array_equal(gpu.to_numpy(at).ravel(), x.reshape(2, -1).argmax(1))
    dx = gpu.to_numpy(gpu.max_pool_backward(y, at, where))
    np.testing.assert_array_equal(dx, np.where(x == x.max((1, 2, 3), keepdims=True), x, 0))


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("channels", [1, 4])
def test_halves(gpu, channels, dtype):
    where = case((6, 8), (3, 3), (2, 2), "same")
    x = inputs(where, channels, dtype)
    y, at = gpu.max_pool_training(gpu.asarray(x), where)
    expected, numbers = naive_max(x, where)
    assert y.dtype == dtype
    np.testing.assert_array_equal(gpu.to_numpy(y), expected)
    np.testing.assert_array_equal(gpu.to_numpy(at), numbers)
    mean = gpu.to_numpy(gpu.average_pool_forward(gpu.asarray(x), where))
    counts = np.array([len(list(taps(where, o))) for o in positions(where)]).reshape(where.out)
    wide = x.astype(float)
    sums = [sum(wide[(slice(None), *place)] for _, place in taps(where, o)) for o in positions(where)]
    sums = np.stack(sums, 1).reshape(2, *where.out, channels)
    tolerance = 1e-3 if dtype == "float16" else 5e-3
    np.testing.assert_allclose(mean.astype(float), sums / counts[..., None], tolerance, tolerance)
    dx = gpu.max_pool_backward(y, at, where)
    naive = np.zeros(x.shape)
    for n, c in np.ndindex(len(x), channels):
        for o in positions(where):
            number = numbers[(n, *o, c)]
            naive[(n, *dict(taps(where, o))[number], c)] += expected[(n, *o, c)]
    np.testing.assert_array_equal(gpu.to_numpy(dx), naive.astype(dtype))
    np.testing.assert_array_equal(gpu.to_numpy(gpu.max_pool_select(gpu.asarray(x), at, where)), expected)
    ones = gpu.average_pool_backward(gpu.asarray(np.ones_like(expected).astype(dtype)), where)
    shares = np.zeros(x.shape[1:-1])
    for o in positions(where):
        under = [place for _, place in taps(where, o)]
        for place in under:
            shares[place] += 1 / len(under)
    np.testing.assert_allclose(gpu.to_numpy(ones).astype(float)[1, ..., -1], shares, tolerance)


def test_not_a_number_wins(gpu):
    where = case((4, 4), (2, 2), (2, 2), "valid")
    x = RNG.standard_normal((1, 4, 4, 4)).astype("float32")
    x[0, 1, 1, 2] = math.nan
    x[0, 2:, 2:, 0] = -math.inf
    y = gpu.to_numpy(gpu.max_pool_forward(gpu.asarray(x), where))
    np.testing.assert_array_equal(y, x.reshape(1, 2, 2, 2, 2, 4).max((2, 4)))


def test_views_and_nothing(gpu):
    where = case((4, 6), (2, 2), (2, 2), "valid")
    x = RNG.standard_normal((2, 6, 4, 8)).astype("float32")
    view = gpu.asarray(x).transpose(0, 2, 1, 3)[..., ::2]
    expected = naive_max(x.transpose(0, 2, 1, 3)[..., ::2], where)[0]
    np.testing.assert_array_equal(gpu.to_numpy(gpu.max_pool_forward(view, where)), expected)
    assert gpu.max_pool_forward(gpu.asarray(x[:0].transpose(0, 2, 1, 3)), where).shape == (0, 2, 3, 8)


def test_other_types_go_the_generic_way(gpu):
    where = case((6, 8), (2, 2), (2, 2), "valid")
    x = inputs(where, 4, "float64")
    y, at = gpu.max_pool_training(gpu.asarray(x), where)
    assert y.dtype == np.float64
    np.testing.assert_array_equal(gpu.to_numpy(y), naive_max(x, where)[0])
    np.testing.assert_array_equal(
        gpu.to_numpy(gpu.max_pool_forward(gpu.asarray(x.astype("int32")), where)), naive_max(x, where)[0]
    )
