"""Compressed rows and sums over segments, held against dense float64 arithmetic."""

import numpy as np
import pytest
from support.fake_device import fake_device

from gpukeras import backends
from gpukeras.backends.sparse import compress_array, compress_matrix, density, segment_sums, stable_order


def mostly_zeros(seed, rows, width, part=0.1, ones=False):
    rng = np.random.default_rng(seed)
    values = np.ones((rows, width)) if ones else rng.standard_normal((rows, width))
    return (values * (rng.random((rows, width)) < part)).astype("float32")


@pytest.mark.parametrize("ones", [True, False])
@pytest.mark.parametrize("rows, width", [(1, 1), (7, 300), (40, 70000), (300, 9)])
def test_products_are_those_of_the_dense_matrix(rows, width, ones):
    x = mostly_zeros(1, rows, width, ones=ones)
    found = compress_array(x, 1.0)
    assert (found.values is None) == (ones or not x.any())
    assert found.shape == x.shape and found.size == x.size and len(found) == rows and found.ndim == 2
    np.testing.assert_array_equal(found.toarray(), x)
    rng = np.random.default_rng(2)
    order = rng.permutation(rows)[: max(1, rows - 1)]
    for key in (order, slice(0, rows), slice(rows // 2, rows)):
        part, dense = found[key], x[key].astype("float64")
        w, dz = rng.standard_normal((width, 5)), rng.standard_normal((len(part), 5))
        np.testing.assert_array_equal(part.toarray(), dense)
        y = part.dot(w.astype("float32"))
        assert y.dtype == "float32"
        np.testing.assert_allclose(y, dense @ w, rtol=1e-4, atol=1e-4)
        out = np.full((width, 5), np.nan, "float32")
        assert part.T.dot(dz.astype("float32"), out) is out
        np.testing.assert_allclose(out, dense.T @ dz, rtol=1e-4, atol=1e-4)


def test_segment_sums_of_every_length():
    rng = np.random.default_rng(3)
    for lengths in ([0], [0, 0, 0], [1] * 50, [5000, 1, 0, 3], [0, 2, 4097, 4096, 1, 1], range(100)):
        lengths = np.array(lengths)
        starts = np.cumsum(lengths) - lengths
        table = rng.standard_normal((30, 6)).astype("float32")
        indices = rng.integers(0, 30, lengths.sum()).astype("uint16")
        weights = rng.standard_normal(lengths.sum()).astype("float32")
        for w in (None, weights):
            rows = table[indices].astype("float64") * (1 if w is None else w[:, None])
            expected = [rows[a:a + n].sum(0) for a, n in zip(starts, lengths)]
            found = segment_sums(table, indices, starts, lengths, w)
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("bound", [5, 1 << 16, 1 << 20, 1 << 40])
def test_stable_order_is_that_of_numpy(bound):
    keys = np.random.default_rng(4).integers(0, bound, 3000)
    keys[::3] = keys[0]
    np.testing.assert_array_equal(stable_order(keys, bound), np.argsort(keys, kind="stable"))


def test_compression_gives_up_and_keeps_what_is_not_a_number():
    x = mostly_zeros(5, 60, 500, 0.2)
    assert compress_array(x, 0.1) is None
    assert 0.1 < density(x) < 0.3 and density(x[:3]) == pytest.approx(np.count_nonzero(x[:3]) / 1500)
    x[3, 4] = np.nan
    x[5, 6] = np.inf
    np.testing.assert_array_equal(compress_array(x, 0.5).toarray(), x)
    wide = compress_array(np.asfortranarray(x[:, ::2]), 0.5)
    np.testing.assert_array_equal(wide.toarray(), x[:, ::2])


def test_matrices_of_scipy_in_every_format():
    sparse = pytest.importorskip("scipy.sparse")
    x = mostly_zeros(6, 8, 30)
    for name in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
        for kind in ("matrix", "array"):
            found = compress_matrix(getattr(sparse, f"{name}_{kind}")(x), "float32")
            np.testing.assert_array_equal(found.toarray(), x)
            assert found.columns.dtype == "uint16"
    twice = sparse.csr_matrix((np.ones(4), [3, 3, 1, 0], [0, 2, 4]), (2, 5))
    np.testing.assert_array_equal(compress_matrix(twice, "float32").toarray(), twice.toarray())
    assert twice.nnz == 4, "the caller's matrix stays as it is"
    with pytest.raises(ValueError, match="two axes"):
        compress_matrix(sparse.coo_array(np.ones(3)), "float32")


def test_rows_reach_a_device_dense():
    x = mostly_zeros(7, 20, 40)
    with fake_device() as device:
        for backend in (backends.CPU, device):
            for matrix in (x, (x != 0).astype("float32")):
                dense = backend.rows_to_dense(compress_array(matrix, 1.0)[3:9])
                assert backend.owns(dense)
                np.testing.assert_array_equal(backend.to_numpy(dense), matrix[3:9])
