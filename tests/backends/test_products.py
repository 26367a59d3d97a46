"""Products in pieces: the same numbers, whatever the sizes and memory orders."""

import numpy as np
import pytest

from gpukeras.backends import products

RNG = np.random.default_rng(5)


@pytest.fixture(autouse=True)
def pieces(monkeypatch):
    """Cut also on processors where it gains nothing."""
    monkeypatch.setattr(products, "_cut", True)


@pytest.mark.parametrize("count, inner, outer", [
    (1, 3, 4), (0, 3, 4), (5000, 9, 32), (1001, 27, 32), (3, 2000, 600), (131, 300, 128), (100, 700, 256),
    (77, 500, 256), (64, 1000, 64), (63, 1, 1), (200, 1200, 128), (1003, 1, 2000),
])
@pytest.mark.parametrize("order", ["C", "F"])
def test_multiply(count, inner, outer, order):
    rows = np.asarray(RNG.standard_normal((count, inner)), "float32", order=order)
    matrix = RNG.standard_normal((inner, outer)).astype("float32")
    for given in (matrix, matrix.T.copy().T):
        out = np.full((count, outer), np.nan, "float32")
        products.multiply(rows, given, out)
        np.testing.assert_allclose(out, rows.astype("float64") @ matrix, 1e-4, 1e-3)
    slopes = RNG.standard_normal((count, outer)).astype("float32")
    out = np.full((inner, outer), np.nan, "float32")
    products.multiply_sum(rows, slopes, out, lambda size: np.empty(size, "float32"))
    np.testing.assert_allclose(out, rows.T.astype("float64") @ slopes, 1e-4, 1e-3)


def test_turned_matrices_are_not_cut(monkeypatch):
    monkeypatch.setattr(products, "piece", None)  # not even asked
    rows, matrix = RNG.standard_normal((5000, 9)).astype("f4"), RNG.standard_normal((32, 9)).astype("f4").T
    out = np.empty((5000, 32), "float32")
    products.multiply(rows, matrix, out)
    np.testing.assert_allclose(out, rows @ matrix, 1e-5, 1e-5)


def test_writes_where_it_is_told():
    """``out`` may be part of a larger array."""
    rows, matrix = RNG.standard_normal((5000, 9)).astype("f4"), RNG.standard_normal((9, 32)).astype("f4")
    whole = np.zeros((3, 5000, 32), "float32")
    products.multiply(rows, matrix, whole[1])
    np.testing.assert_allclose(whole[1], rows @ matrix, 1e-4, 1e-5)
    assert not whole[0].any() and not whole[2].any()


@pytest.mark.parametrize("count, inner, outer, expected", [
    (3125, 10, 32, 0),  # a million products: one piece
    (3126, 10, 32, 1568),  # two of equal size, in whole registers of 8 rows
    (4096, 288, 64, 48), (4096, 1000, 125, 8), (4096, 1000, 126, 0),  # fewer than 8 rows gain nothing
    (0, 10, 10, 0), (10, 0, 0, 0),
])
def test_size_of_a_piece(count, inner, outer, expected):
    found = products.piece(count, inner, outer)
    assert found == expected and found * inner * outer <= products.PIECE


def test_processors_without_that_way(monkeypatch):
    monkeypatch.setattr(products, "_cut", False)
    assert not products.piece(4096, 288, 64)


def test_double_precision_is_not_cut(monkeypatch):
    monkeypatch.setattr(products, "piece", None)  # not even asked
    rows, matrix, out = RNG.standard_normal((5000, 9)), RNG.standard_normal((9, 32)), np.empty((5000, 32))
    products.multiply(rows, matrix, out)
    np.testing.assert_allclose(out, rows @ matrix)
