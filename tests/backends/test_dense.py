"""The dense layer's products on the CPU: every form the rules may choose, alone and in parts."""

import numpy as np
import pytest

from gpukeras.backends import CPU, dense, products, threads

# rows, inputs, units: small, one row, rows in pieces, columns of 64, kernel turned, neither, empty
SHAPES = [
    (3, 5, 4), (1, 300, 500), (32, 784, 128), (8, 1024, 128), (5, 700, 192), (40, 300, 256), (100, 200, 512),
    (200, 70, 90), (300, 300, 17), (0, 5, 4),
]


@pytest.fixture(params=["alone", "in parts", "without pieces"])
def way(request, monkeypatch):
    """How the threads and the processor are: results must not depend on it."""
    monkeypatch.setattr(products, "_cut", request.param != "without pieces")
    monkeypatch.setattr(threads, "_chosen", 2 if request.param == "in parts" else 1)
    monkeypatch.setattr(threads, "WORTH", 1e-9)
    with threads.session():
        yield request.param


def close(found, expected):
    limit = np.abs(expected).max(initial=1)
    tolerance = 3e-3 if found.dtype == np.float16 else 5e-6
    np.testing.assert_allclose(found, expected, atol=tolerance * limit, rtol=0)


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_products(way, shape, dtype):
    rows, inputs, units = shape
    rng = np.random.default_rng(0)
    sizes = ((rows, inputs), (inputs, units), (rows, units))
    x, kernel, dz = (rng.standard_normal(size).astype(dtype) for size in sizes)
    exact = [a.astype("float64") for a in (x, kernel, dz)]
    for found, expected in (
        (CPU.dense_product(x, kernel), exact[0] @ exact[1]),
        (CPU.dense_gradient(dz, kernel), exact[2] @ exact[1].T),
        (CPU.dense_kernel_gradient(x, dz), exact[0].T @ exact[2]),
        (CPU.matmul(x, kernel), exact[0] @ exact[1]),
    ):
        assert found.dtype == dtype and found.flags.c_contiguous
        close(found, expected)
    place = np.full((inputs, units), np.nan, dtype)
    assert CPU.dense_kernel_gradient(x, dz, place) is place
    close(place, exact[0].T @ exact[2])


@pytest.mark.parametrize("first, second", [
    ((6, 40, 30), (6, 30, 50)), ((6, 40, 30), (30, 50)), ((40, 30), (6, 30, 50)), ((1, 40, 30), (6, 30, 50)),
    ((2, 3, 40, 30), (3, 30, 50)), ((1, 40, 30), (1, 30, 50)), ((5, 0, 4), (5, 4, 3)), ((30,), (30, 50)),
    ((40, 30), (30,)),
])
def test_batched_products(way, first, second):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(first).astype("float32"), rng.standard_normal(second).astype("float32")
    found, expected = CPU.matmul(x, y), x.astype("float64") @ y
    assert found.shape == expected.shape and found.dtype == "float32"
    close(found, expected)


def test_products_of_whole_numbers_and_of_two_kinds(way):
    x, y = np.arange(12).reshape(3, 4), np.arange(20).reshape(4, 5)
    np.testing.assert_array_equal(CPU.matmul(x, y), x @ y)
    np.testing.assert_array_equal(CPU.dense_product(x, y), x @ y)


def test_a_large_product_is_split_in_a_session_only(monkeypatch):
    monkeypatch.setattr(threads, "_chosen", 2)
    shared = []
    monkeypatch.setattr(threads, "share", lambda part, count, *rest: (shared.append(count), part(0, count)))
    x, kernel = np.ones((400, 300), "float32"), np.ones((300, 500), "float32")
    CPU.dense_product(x, kernel)
    CPU.matmul(x, kernel)
    assert not shared
    with threads.session():
        CPU.dense_product(x, kernel)
        CPU.dense_gradient(x @ kernel, kernel)
        CPU.dense_kernel_gradient(x, x @ kernel)
        CPU.matmul(x, kernel)
    assert shared == [500, 300, 300, 500]


@pytest.mark.parametrize("rows, inputs, units, turned", [
    (1, 784, 128, False), (2, 784, 128, True), (32, 784, 128, True), (32, 128, 10, False),
    (33, 784, 64, False), (64, 784, 128, True), (65, 784, 128, False), (128, 784, 512, True),
    (129, 784, 512, False),
])
def test_when_the_kernel_is_not_turned(rows, inputs, units, turned):
    assert dense._better_turned(rows, inputs, units) is turned
