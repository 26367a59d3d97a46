"""Shape rules against NumPy: every size known, and every size that may be unknown."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpukeras.backends import shapes

sizes = st.integers(0, 3)
shape = st.lists(sizes, min_size=0, max_size=4).map(tuple)


def agrees(found, real):
    """Tell whether a rule's answer fits the real shape: equal where it knows."""
    return len(found) == len(real) and all(n is None or n == m for n, m in zip(found, real))


def maskings(x):
    """Return ``x`` with every choice of sizes made unknown."""
    return itertools.product(*[(n, None) for n in x])


@settings(max_examples=60, deadline=None)
@given(shape, shape)
def test_broadcast(a, b):
    try:
        real = np.broadcast_shapes(a, b)
    except ValueError:
        with pytest.raises(ValueError, match="cannot be broadcast"):
            shapes.broadcast(a, b)
        return
    assert shapes.broadcast(a, b) == real
    for masked in maskings(a):
        found = shapes.broadcast(masked, b)
        assert agrees(found, real) or 1 in a  # an unknown 1 may be taken for the other's size


@settings(max_examples=60, deadline=None)
@given(shape, st.data())
def test_reduce(x, data):
    axes = data.draw(st.none() | st.sets(st.integers(0, max(0, len(x) - 1)), max_size=len(x)).map(tuple))
    axes = axes if x or axes is None else ()
    for keepdims in (False, True):
        real = np.zeros(x).sum(axis=axes, keepdims=keepdims).shape
        for masked in maskings(x):
            assert agrees(shapes.reduce(masked, axes, keepdims), real)


SLICES = [slice(None), slice(1, None), slice(None, -1), slice(None, None, -1), slice(0, 2), slice(2, 2),
          slice(3, 0, -2)]
ITEMS = [*SLICES, None, Ellipsis, 0, -1, [0, 0], [[0], [-1]]]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(ITEMS), max_size=4).map(tuple),
       st.lists(st.integers(1, 4), min_size=4, max_size=4))
def test_getitem(key, sizes_of_x):
    if sum(item is Ellipsis for item in key) > 1:
        return
    x = tuple(sizes_of_x)
    arrays = tuple(np.array(item) if isinstance(item, list) else item for item in key)
    spec = tuple(item.shape if isinstance(item, np.ndarray) else item for item in arrays)
    real = np.zeros(x)[arrays].shape
    assert shapes.getitem(x, spec) == real
    for masked in maskings(x):
        assert agrees(shapes.getitem(masked, spec), real)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=4).map(tuple), st.data())
def test_reshape(x, data):
    total = int(np.prod(x))
    a = data.draw(st.sampled_from([n for n in range(1, total + 1) if total % n == 0]))
    for target in ((a, total // a), (-1, a), (a, -1), (-1,), (total,)):
        real = np.zeros(x).reshape(target).shape
        assert shapes.reshape(x, target) == real
        for masked in maskings(x):
            assert agrees(shapes.reshape(masked, target), real)
    with pytest.raises(ValueError, match="cannot reshape"):
        shapes.reshape(x, (total + 1,))


def test_reshape_of_unknown_batches():
    assert shapes.reshape((None, 4, 6), (-1, 24)) == (None, 24)
    assert shapes.reshape((None, None, 6), (None, None, 2, 3)) == (None, None, 2, 3)
    with pytest.raises(ValueError, match="only one size"):
        shapes.reshape((2, 6), (-1, -1))
    with pytest.raises(ValueError, match="only one size"):
        shapes.reshape((None, 6), (-1, -1, 2))
    with pytest.raises(ValueError, match="cannot reshape"):
        shapes.reshape((0, 3), (-1, 0))


@pytest.mark.parametrize("x, y", [
    ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((4, 2, 3), (3, 5)), ((4, 2, 3), (1, 3, 5)),
    ((4, 2, 0), (0, 5)),
])
def test_matmul(x, y):
    assert shapes.matmul(x, y) == np.matmul(np.zeros(x), np.zeros(y)).shape


def test_matmul_errors():
    with pytest.raises(ValueError, match="last axis of the first \\(3\\)"):
        shapes.matmul((2, 3), (2, 3))
    with pytest.raises(ValueError, match="rank 1"):
        shapes.matmul((), (2,))


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(4)), st.integers(0, 3), st.integers(0, 3))
def test_orders(axes, a, b):
    x = np.zeros((2, 3, 4, 5))
    assert shapes.transpose(x.shape, axes) == x.transpose(axes).shape
    assert tuple(x.shape[i] for i in shapes.swap_order(4, a, b)) == x.swapaxes(a, b).shape
    assert tuple(x.shape[i] for i in shapes.move_order(4, a, b)) == np.moveaxis(x, a, b).shape
    source, destination = axes[:2], (a, (a + 1) % 4)
    moved = np.moveaxis(x, source, destination)
    assert tuple(x.shape[i] for i in shapes.move_order(4, source, destination)) == moved.shape


@pytest.mark.parametrize("size, parts", [(6, 3), (5, [1, 3]), (5, [3, 1]), (5, [-2]), (5, [9]), (0, 2)])
def test_split(size, parts):
    real = [p.shape for p in np.split(np.zeros((2, size)), parts, axis=1)]
    assert shapes.split((2, size), parts, 1) == real
    if parts != [9]:
        assert all(agrees(s, r) for s, r in zip(shapes.split((2, None), parts, 1), real))
    uneven = [p.shape for p in np.array_split(np.zeros((size + 1, 2)), parts)]
    assert shapes.array_split((size + 1, 2), parts) == uneven


@pytest.mark.parametrize("width, pads", [
    (1, ((1, 1), (1, 1))), ([1], ((1, 1), (1, 1))), ((1, 2), ((1, 2), (1, 2))), (((1, 2),), ((1, 2), (1, 2))),
    (((1, 2), (0, 3)), ((1, 2), (0, 3))), ([[1], [2]], ((1, 1), (2, 2))),
])
def test_pad_widths(width, pads):
    assert shapes.pad_widths(2, width) == pads


@pytest.mark.parametrize("offset", range(-4, 5))
def test_diagonals(offset):
    for axes in ((0, 1), (1, 0), (-1, 0), (1, 2)):
        real = np.zeros((2, 3, 4)).diagonal(offset, *axes).shape
        assert shapes.diagonal((2, 3, 4), offset, *axes) == real
    assert shapes.diag((3,), offset) == np.diag(np.zeros(3), offset).shape
    assert shapes.diag((3, 2), offset) == np.diag(np.zeros((3, 2)), offset).shape


@pytest.mark.parametrize("call, message", [
    (lambda: shapes.normalize_axis(3, 2), "axis=3"),
    (lambda: shapes.normalize_axes((0, -2), 2), "twice"),
    (lambda: shapes.concatenate((2, 3), (2,)), "one rank"),
    (lambda: shapes.concatenate((2, 3), (3, 3), axis=1), "other axes"),
    (lambda: shapes.take_along_axis((2, 3), (2,), 0), "same rank"),
    (lambda: shapes.gather_nd((2, 3), (4, 3)), "between 1 and 2"),
    (lambda: shapes.gather_nd((2, 3), ()), "between 1 and 2"),
    (lambda: shapes.segment((3, 2), (2,)), "needs 2 rows"),
    (lambda: shapes.one_hot((2,), 3, axis=4), "axis=4"),
])
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
