"""Sorting, ranking, counting, sets."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import ops
from gpukeras.symbolic import KerasTensor

RNG = np.random.default_rng(7)


def values(*shape):
    return np.asarray(RNG.permutation(np.prod(shape, dtype=int)).reshape(shape) / 7.0 - 1.0)


@pytest.mark.parametrize("axis", [-1, 0, 1, None])
def test_sort(backend, axis):
    check_op(ops.sort, [values(3, 4, 2)], lambda x, axis: np.sort(x, axis), kwargs={"axis": axis},
             second_order=True)
    check_op(ops.argsort, [values(3, 4, 2)], lambda x, axis: np.argsort(x, axis), kwargs={"axis": axis},
             grad=False)
    x = values(3, 4, 2)
    order = ops.argpartition(x, 1, axis=axis).numpy()
    line = x.ravel() if axis is None else np.moveaxis(x, axis, 0)
    order = order if axis is None else np.moveaxis(order, axis, 0)
    picked = np.take_along_axis(line, order, 0)
    np.testing.assert_array_equal(picked[1], np.sort(line, 0)[1])
    assert (picked[:1] <= picked[1]).all() and (picked[2:] >= picked[1]).all()
    np.testing.assert_array_equal(np.sort(order, 0)[-1], np.full(line.shape[1:], line.shape[0] - 1))


def test_sort_details(backend):
    assert ops.argsort(np.array([1, 0, 1, 0])).tolist() == [1, 3, 0, 2]
    assert ops.argsort(np.ones(2)).dtype == "int32"
    np.testing.assert_array_equal(ops.sort(np.array([np.nan, 2, 1])).numpy(), [1, 2, np.nan])
    assert ops.sort(ops.zeros((0, 2)), axis=0).shape == (0, 2)
    assert ops.sort(KerasTensor((None, 3)), axis=None).shape == (None,)
    partition = ops.argpartition(KerasTensor((None, 3)), 1)
    assert (partition.shape, partition.dtype) == ((None, 3), "int32")
    with pytest.raises(ValueError, match="axis=2"):
        ops.sort(KerasTensor((2, 2)), axis=2)
    with pytest.raises(ValueError, match="axis=2"):
        ops.argsort(ops.ones((2, 2)), axis=2)
    with pytest.raises(ValueError, match="kth=3"):
        ops.argpartition(ops.ones((2, 2)), 3)


@pytest.mark.parametrize("k", [0, 1, 3, 5])
def test_top_k(backend, k):
    def reference(x, k):
        order = np.argsort(-x, axis=-1)[..., :k]
        return np.take_along_axis(x, order, -1), order

    check_op(ops.top_k, [values(3, 2, 5)], reference, settings=(k,), second_order=k > 0)
    check_op(ops.top_k, [values(5)], reference, settings=(k,), kwargs=None)


def test_top_k_details(backend):
    best, at = ops.top_k(np.array([1, 3, 3, 2], "uint8"), 3, sorted=False)
    assert (best.tolist(), at.tolist(), at.dtype) == ([3, 3, 2], [1, 2, 3], "int32")
    best, at = ops.top_k(np.array([1.0, np.nan, 3.0]), 2)
    assert at.tolist() == [1, 2]
    best, at = ops.top_k(KerasTensor((None, 4)), 2)
    assert (best.shape, best.dtype, at.shape, at.dtype) == ((None, 2), "float32", (None, 2), "int32")
    for x in (ops.ones(4), KerasTensor((4,))):
        with pytest.raises(ValueError, match="k=5"):
            ops.top_k(x, 5)
    with pytest.raises(ValueError, match="scalar"):
        ops.top_k(ops.ones(()), 1)


def test_in_top_k(backend):
    targets = np.array([2, 0, 1, 9, -1, 1])
    scores = np.array([[1, 2, 2.0], [3, 3, 3], [1, 2, 3], [1, 2, 3], [1, 2, 3], [1, np.nan, 3]])
    check_op(ops.in_top_k, [targets, scores], np.array([True, True, False, False, False, False]),
             settings=(1,), grad=False, batch=(0, 1))
    assert ops.in_top_k(targets, scores, 2).tolist() == [True, True, True, False, False, False]
    assert ops.in_top_k(np.array([1]), np.array([[1, 2, np.nan]]), 1).tolist() == [True]
    with pytest.raises(ValueError, match="targets of shape"):
        ops.in_top_k(targets, scores[:2], 1)
    with pytest.raises(TypeError, match="integers"):
        ops.in_top_k(targets * 1.0, scores, 1)


def test_searchsorted_and_digitize(backend):
    line, x = np.array([1.0, 2.0, 2.0, 4.0]), np.array([[0.5, 2.0], [4.0, 9.0]])
    for side in ("left", "right"):
        check_op(ops.searchsorted, [line, x], lambda a, v, side: np.searchsorted(a, v, side).astype("int32"),
                 kwargs={"side": side}, grad=False, batch=(1,))
    check_op(ops.digitize, [x, np.array([1.0, 2.0, 4.0])], np.array([[0, 2], [3, 3]]), grad=False)
    assert ops.searchsorted([1, 3], 2.5).numpy() == 1  # numbers are not rounded to the other's type
    assert ops.digitize([0, 1, 9], [0.5, 1.5]).tolist() == [0, 1, 2]
    assert ops.searchsorted([1, 2], [3]).dtype == "int32"
    with pytest.raises(ValueError, match="vector"):
        ops.searchsorted(x, x)
    with pytest.raises(ValueError, match="side"):
        ops.searchsorted(line, x, side="middle")
    with pytest.raises(ValueError, match="vector"):
        ops.digitize(line, x)


def test_bincount(backend):
    x = np.array([1, 1, 3, 0])
    check_op(ops.bincount, [x], np.bincount(x), grad=False, symbolic=False)
    check_op(ops.bincount, [x, values(4)], lambda x, w, minlength: np.bincount(x, w, minlength),
             kwargs={"minlength": 6}, second_order=True, symbolic=False)
    table = np.array([[1, 1, 3], [0, 0, 1]])
    check_op(ops.bincount, [table, values(2, 3)],
             lambda x, w: np.stack([np.bincount(r, v, 4) for r, v in zip(x, w)]), symbolic=False)
    assert ops.bincount(table).tolist() == [[0, 2, 0, 1], [2, 1, 0, 0]]
    assert ops.bincount(np.zeros(0, int), minlength=2).tolist() == [0, 0]
    assert ops.bincount(x).dtype == "int32"
    y = ops.bincount(KerasTensor((None, 3), "int32"), weights=KerasTensor((None, 3)))
    assert (y.shape, y.dtype) == ((None, None), "float32")
    with pytest.raises(ValueError, match="came -2"):
        ops.bincount([1, -2])
    with pytest.raises(TypeError, match="integers"):
        ops.bincount([1.0])
    with pytest.raises(ValueError, match="sparse"):
        ops.bincount(x, sparse=True)
    with pytest.raises(ValueError, match="weights of shape"):
        ops.bincount(x, weights=ops.ones(3))
    with pytest.raises(ValueError, match="rank 1 or 2"):
        ops.bincount(KerasTensor((2, 2, 2), "int32"))


def test_histogram(backend):
    x = np.array([1.0, 2.0, 2.5, 7.0, 4.0])
    for settings in ((), (3,), (4, (0, 4))):
        counts, edges = np.histogram(x, *settings)
        check_op(ops.histogram, [x], (counts.astype(float), edges), settings=settings, grad=False)
    assert [t.dtype.name for t in ops.histogram(np.array([1, 2, 3]), 2)] == ["float32"] * 2
    with pytest.raises(ValueError, match="vector"):
        ops.histogram(ops.ones((2, 2)))
    with pytest.raises(TypeError, match="bins"):
        ops.histogram(x, bins=[0, 1])
    with pytest.raises(ValueError, match="low <= high"):
        ops.histogram(x, range=(4, 1))


def test_isin(backend):
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    check_op(ops.isin, [x, np.array([2.0, 4.0])], np.isin, grad=False)
    assert ops.isin(x, [2, 9], assume_unique=True, invert=True).tolist() == [[True, False], [True, True]]
    assert ops.isin(2, [1, 2]).numpy()


def test_unique(backend):
    x = np.array([[3, 1], [1, 2]])
    found = ops.unique(x, return_index=True, return_inverse=True, return_counts=True)
    assert [t.tolist() for t in found] == [[1, 2, 3], [1, 3, 0], [[2, 0], [0, 1]], [2, 1, 1]]
    assert [t.dtype.name for t in found] == ["int64", "int32", "int32", "int32"]
    assert ops.unique(x, sorted=False).tolist() == [1, 2, 3]
    rows, inverse = ops.unique(np.array([[3, 1], [0, 1], [3, 1]]), axis=0, return_inverse=True)
    assert (rows.tolist(), inverse.tolist()) == ([[0, 1], [3, 1]], [1, 0, 1])
    assert ops.unique(np.array([[3, 1, 3], [0, 1, 0]]), axis=-1).tolist() == [[1, 3], [1, 0]]
    assert ops.unique(x, size=5).tolist() == [1, 2, 3, 0, 0]
    found = ops.unique(x, size=5, fill_value=9, return_index=True, return_counts=True)
    assert [t.tolist() for t in found] == [[1, 2, 3, 9, 9], [1, 3, 0, 1, 1], [2, 1, 1, 0, 0]]
    assert ops.unique(x, size=2).tolist() == [1, 2]
    assert ops.unique(np.zeros(0), size=2, return_index=True)[1].tolist() == [0, 0]
    assert ops.unique(KerasTensor((3,))).shape == (None,)
    told = ops.unique(KerasTensor((3, 4)), axis=1, size=7, return_inverse=True, return_counts=True)
    assert [(t.shape, t.dtype) for t in told] == [((3, 7), "float32"), ((4,), "int32"), ((7,), "int32")]
