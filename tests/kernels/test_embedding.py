"""Embedding kernels: rows gathered, gradients summed by sorting, scattered additions."""

import numpy as np
import pytest
from support.fake_device import emulated, forbid_waiting
from support.halves import FLOATS

RNG = np.random.default_rng(54)


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def naive_sums(dy, rows, count):
    """Return the gradient of a table of ``count`` rows, in float64."""
    total = np.zeros((count, dy.shape[-1]))
    for d, i in zip(dy.reshape(rows.size, dy.shape[-1]), rows.reshape(-1)):
        if 0 <= i < count:
            total[i] += d
    return total


# ---- gathering -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8"])
@pytest.mark.parametrize("dtype, width", [
    ("float32", 1), ("float32", 7), ("float32", 8), ("float16", 3), ("float16", 6), ("float16", 8),
    ("uint8", 5), ("uint8", 12), ("float64", 3), ("bool", 4), ("int64", 1),
])
def test_rows_of_every_width(gpu, dtype, width, kind):
    table = RNG.integers(0, 100, (9, width)).astype(dtype)
    rows = RNG.integers(0, 9, (4, 5)).astype(kind)
    found = gpu.gather_rows(gpu.asarray(table), gpu.asarray(rows))
    assert found.dtype == dtype
    np.testing.assert_array_equal(gpu.to_numpy(found), table[rows])
    out = gpu.asarray(np.zeros_like(table[rows]))
    assert gpu.gather_rows(gpu.asarray(table), gpu.asarray(rows), out) is out
    np.testing.assert_array_equal(gpu.to_numpy(out), table[rows])


@pytest.mark.parametrize("shape", [(), (0,), (3, 0), (2, 1, 3)])
def test_any_shape_of_numbers(gpu, shape):
    table = RNG.standard_normal((5, 4)).astype("float32")
    rows = RNG.integers(0, 5, shape)
    found = gpu.embedding_forward(gpu.asarray(table), gpu.asarray(rows))
    np.testing.assert_array_equal(gpu.to_numpy(found), table[rows])


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("width", [3, 8])
def test_rows_that_do_not_exist_are_nan(gpu, dtype, width):
    table = RNG.standard_normal((5, width)).astype(dtype)
    rows = np.array([0, 5, -1, 4, 2**31 - 1, -(2**31)])
    found = gpu.to_numpy(gpu.embedding_forward(gpu.asarray(table), gpu.asarray(rows)))
    np.testing.assert_array_equal(found[[0, 3]], table[[0, 4]])
    assert np.isnan(found[[1, 2, 4, 5]]).all()


@pytest.mark.parametrize("dtype, outside", [
    ("float32", np.nan), ("float16", np.nan), ("int32", -(2**31)), ("int8", -128), ("uint8", 0), ("bool", 0),
    ("float64", np.nan), ("int64", -(2**63)),
])
def test_take_counts_from_the_end(gpu, dtype, outside):
    x = RNG.integers(0, 2, (4, 3, 2)).astype(dtype)
    indices = np.array([[-1, 3], [4, -5]])
    found = gpu.to_numpy(gpu.take(gpu.asarray(x), gpu.asarray(indices), 0))
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0], x[[-1, 3]])
    np.testing.assert_array_equal(found[1], np.full((2, 3, 2), outside, dtype))
    good = gpu.asarray(np.array([2, 0, -3]))
    np.testing.assert_array_equal(gpu.to_numpy(gpu.take(gpu.asarray(x), good, 1)), x[:, [2, 0, -3]])
    turned = gpu.asarray(x).transpose(1, 0, 2)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.take(turned, good, 0)), x.transpose(1, 0, 2)[[2, 0, -3]])


@pytest.mark.parametrize("dtype", [*FLOATS, "float64"])
@pytest.mark.parametrize("width", [3, 8])
def test_means(gpu, width, dtype):
    table = RNG.standard_normal((6, width)).astype(dtype)
    rows = RNG.integers(0, 6, (5, 7))
    out = gpu.asarray(np.zeros((5, width), dtype))
    gpu.mean_rows(gpu.asarray(table), gpu.asarray(rows), out)
    expected = table[rows].astype(float).mean(1)
    tolerance = {"float16": (2e-3, 1e-3), "bfloat16": (5e-3, 4e-3)}.get(dtype, (1e-5, 1e-6))
    np.testing.assert_allclose(gpu.to_numpy(out).astype(float), expected, *tolerance)


# ---- sorting ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("n, count", [
    (1, 1), (40, 7), (257, 255), (300, 256), (300, 70_000), (4096, 10), (4097, 300), (9000, 1000),
    (50, 1 << 24),
])
def test_sorting_keeps_the_order_of_equals(gpu, n, count):
    from gpukeras.kernels import embedding_gradient

    rows = RNG.integers(0, count, n)
    keys, places = embedding_gradient.sort_rows(gpu.asarray(rows), count)
    order = np.argsort(rows, kind="stable")
    np.testing.assert_array_equal(gpu.to_numpy(places), order)
    np.testing.assert_array_equal(gpu.to_numpy(keys), rows[order])


@pytest.mark.parametrize("n", [1, 255, 4096, 9001])
def test_where_digits_begin(gpu, n):
    """In several rounds of the one block that adds all counts."""
    from gpukeras.kernels import embedding_gradient

    counts = RNG.integers(0, 50, n).astype("int32")
    given = gpu.asarray(counts)
    embedding_gradient.MODULE.kernel("digit_starts", T="float")(1, 1024, given, n)
    np.testing.assert_array_equal(gpu.to_numpy(given), np.cumsum(counts) - counts)


def test_numbers_from_outside_come_last(gpu):
    from gpukeras.kernels import embedding_gradient

    rows = np.array([3, -1, 9, 0, -(2**40), 2**40, 3])
    keys, places = embedding_gradient.sort_rows(gpu.asarray(rows), 4)
    assert gpu.to_numpy(keys).tolist() == [0, 3, 3, 4, 4, 4, 4]
    assert gpu.to_numpy(places).tolist() == [3, 0, 6, 1, 2, 4, 5]
    keys, _ = embedding_gradient.sort_rows(gpu.asarray(rows), 4, wrap=True)
    assert gpu.to_numpy(keys).tolist() == [0, 3, 3, 3, 4, 4, 4]


# ---- gradients -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n, count, width", [
    (0, 5, 3), (1, 5, 4), (31, 3, 1), (64, 1, 8), (100, 40, 5), (333, 4, 8), (700, 90, 3), (50, 3, 0),
])
def test_sums(gpu, n, count, width, dtype):
    rows, dy = RNG.integers(-1, count + 1, n), RNG.standard_normal((n, width)).astype(dtype)
    total = gpu.embedding_backward(gpu.asarray(dy), gpu.asarray(rows), count)
    assert total.dtype == dtype
    tolerance = {"float32": 1e-5, "float16": 2e-3, "bfloat16": 5e-3}[dtype]
    tolerance = {"rtol": tolerance, "atol": tolerance}
    expected = naive_sums(dy.astype(float), rows, count)
    np.testing.assert_allclose(gpu.to_numpy(total).astype(float), expected, **tolerance)


def test_sums_of_a_text(gpu):
    """Some words come in every chunk, most of them once; no wait for the device."""
    rows = np.minimum(RNG.zipf(1.2, (60, 50)) - 1, 499)
    dy = RNG.standard_normal((60, 50, 4)).astype("float32")
    given = gpu.asarray(dy), gpu.asarray(rows.astype("int32"))
    with forbid_waiting():
        total = gpu.embedding_backward(*given, 500)
    np.testing.assert_allclose(gpu.to_numpy(total), naive_sums(dy.astype(float), rows, 500), 1e-4, 1e-5)


@pytest.mark.parametrize("schedule", ["reverse", "random"])
def test_sums_do_not_depend_on_the_order_of_threads(schedule):
    rng = np.random.default_rng(2)
    rows, dy = rng.integers(0, 5, 900), rng.standard_normal((900, 3)).astype("float32")
    with emulated() as gpu:
        expected = gpu.to_numpy(gpu.embedding_backward(gpu.asarray(dy), gpu.asarray(rows), 5))
    with emulated(schedule=schedule) as gpu:
        found = gpu.to_numpy(gpu.embedding_backward(gpu.asarray(dy), gpu.asarray(rows), 5))
    np.testing.assert_array_equal(found, expected)


def test_samples_that_share_a_row(gpu):
    """The gradient of a mean over time is one row per sample, seen as many."""
    rows, dy = RNG.integers(0, 4, (6, 9)), RNG.standard_normal((6, 1, 5)).astype("float32")
    wide = gpu.xp.broadcast_to(gpu.asarray(dy), (6, 9, 5))
    total = gpu.embedding_backward(wide, gpu.asarray(rows), 4)
    expected = naive_sums(np.broadcast_to(dy, (6, 9, 5)).astype(float), rows, 4)
    np.testing.assert_allclose(gpu.to_numpy(total), expected, 1e-5, 1e-5)


def test_gradients_of_other_types(gpu):
    rows, dy = RNG.integers(0, 4, 9), RNG.standard_normal((9, 2))
    total = gpu.embedding_backward(gpu.asarray(dy), gpu.asarray(rows), 4)
    np.testing.assert_allclose(gpu.to_numpy(total), naive_sums(dy, rows, 4), 1e-12)


# ---- scattering ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [*FLOATS, "float64", "int32"])
@pytest.mark.parametrize("key", ["rows", "grid", "mixed", "one"])
def test_scattered_additions(gpu, key, dtype):
    target = RNG.integers(-9, 9, (5, 4, 2)).astype(dtype)
    host = {
        "rows": RNG.integers(-5, 5, (3, 6)), "one": (RNG.integers(0, 5, 7),),
        "grid": (RNG.integers(0, 5, 9), RNG.integers(-4, 4, 9)),
        "mixed": (RNG.integers(0, 5, 8), slice(1, 3)),
    }[key]
    values = RNG.integers(-9, 9, target[host].shape).astype(dtype)
    expected = target.copy()
    np.add.at(expected, host, values)
    parts = host if type(host) is tuple else (host,)
    device = tuple(gpu.asarray(k) if isinstance(k, np.ndarray) else k for k in parts)
    device = device if type(host) is tuple else device[0]
    found = gpu.asarray(target)
    gpu.scatter_add(found, device, gpu.asarray(values))
    np.testing.assert_array_equal(gpu.to_numpy(found), expected)


@pytest.mark.parametrize("dtype", [*FLOATS, "float64"])
@pytest.mark.parametrize("reduction", ["add", "max", "set"])
def test_scattered_rows(gpu, reduction, dtype):
    target = RNG.integers(-9, 9, (5, 3)).astype(dtype)
    rows, values = np.array([1, 4, 1, -1, 7, 1]), RNG.integers(-9, 9, (6, 3)).astype(dtype)
    expected = target.copy()
    for r, v in zip(rows, values):
        if 0 <= r < 5:
            expected[r] = {"add": expected[r] + v, "max": np.maximum(expected[r], v), "set": v}[reduction]
    given = gpu.asarray(target)
    found = gpu.scatter_rows(given, gpu.asarray(rows), gpu.asarray(values), reduction)
    np.testing.assert_array_equal(gpu.to_numpy(found), expected)
    np.testing.assert_array_equal(gpu.to_numpy(given), target)
