"""Keys, gathers, choices, codes, scatters, segments."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

from gpukeras import autograd, backends, ops
from gpukeras.backends.indexing import IndexingMixin
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor

RNG = np.random.default_rng(5)
S = np.s_


def values(*shape):
    return np.asarray(RNG.permutation(np.prod(shape, dtype=int)).reshape(shape) / 7.0 + 0.5)


KEYS = [
    S[1], S[-1], S[:, 2], S[1, 2, 3], S[0, ..., -1], S[...], S[1:], S[:, ::2], S[::-1, 1:3], S[:, 3:0:-2],
    S[2:1],
    S[None], S[:, None, 1], S[..., None], S[None, ..., None, 0], S[np.int64(1)], S[()],
    S[[2, 0, 2]], S[:, [1, 1]], S[[0, 2], [1, 1]], S[[[0, 1], [2, 2]]], S[[0, 2], :, [1, 3]],
    S[:, [0, 1], [1, 3]],
    S[1, [0, 1, 0]], S[1, :, [0, 1, 0]], S[[[0], [2]], [1, 1, 0]], S[[-1, -3]], S[..., [0, 0]],
    S[[1, 1], None, 1:],
    S[np.array([True, False, True])], S[:, np.array([False, True, True])], S[[True, False, True], [0, 1]],
    S[np.zeros(3, bool)], S[np.zeros((3, 3), bool)], S[np.eye(3, dtype=bool)], S[[]], S[:, [], 1],
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_getitem(backend, key):
    check_op(ops.getitem, [values(3, 3, 4)], lambda x, k: x[k], settings=(key,), second_order=True, batch=())


def test_keys_of_tensors(backend):
    x = values(3, 4)
    t = Tensor(backend.asarray(x))
    rows = ops.convert_to_tensor([2, 0])
    np.testing.assert_array_equal(t[rows].numpy(), x[[2, 0]])
    np.testing.assert_array_equal(t[:, rows].numpy(), x[:, [2, 0]])
    np.testing.assert_array_equal(t[t > 1.0].numpy(), x[x > 1.0])
    np.testing.assert_array_equal(t[ops.convert_to_tensor(1)].numpy(), x[1])
    np.testing.assert_array_equal(t[[ops.convert_to_tensor(1), 2]].numpy(), x[[1, 2]])
    np.testing.assert_array_equal(t[rows[1] : rows[0]].numpy(), x[0:2])
    np.testing.assert_array_equal(ops.get_item(t, (0, slice(1, 3))).numpy(), x[0, 1:3])


def test_key_errors(backend):
    x = ops.ones((2, 3))
    with pytest.raises(IndexError, match=r"tensor of shape \(2, 3\)"):
        x[2]
    with pytest.raises(IndexError):
        x[0, 0, 0]
    for key in ([0, 5], (slice(None), [-4]), (0, np.array([3])), (np.ones(2, bool), [0, 3])):
        with pytest.raises(IndexError):
            x[key]
    with pytest.raises(TypeError, match="integer or boolean"):
        x[1.0]
    with pytest.raises(TypeError, match="integer or boolean"):
        x[[0.5]]
    with pytest.raises(TypeError, match="True or False"):
        x[True]
    with pytest.raises(TypeError, match="symbolic"):
        x[KerasTensor((2,), "int32")]


def test_symbolic_keys():
    x = KerasTensor((None, 3, 4))
    for key, shape in [
        (S[:, 1:3], (None, 2, 4)), (S[1:3], (None, 3, 4)), (S[2:2], (0, 3, 4)), (S[..., 0], (None, 3)),
        (S[:, [0, 1]], (None, 2, 4)), (S[:, None], (None, 1, 3, 4)), (S[0], (3, 4)),
        (S[7, :, [0, 1]], (2, 3)),
        (S[:, np.array([True, False, True])], (None, 2, 4)), (S[KerasTensor((5, 2), "int32")], (5, 2, 3, 4)),
        (S[:, KerasTensor((None,), "int32"), 0], (None, None)),
    ]:
        assert x[key].shape == shape, key
    assert KerasTensor((None, 3), "int32")[0].dtype == "int32"
    with pytest.raises(TypeError, match="boolean masks"):
        x[KerasTensor((None,), "bool")]
    with pytest.raises(IndexError, match="too many"):
        x[0, 0, 0, 0]
    with pytest.raises(IndexError, match="index 3 is out of range for axis 1"):
        x[:, 3]


@pytest.mark.parametrize("indices, axis", [
    ([3, 0, 3, -1], None), ([[2, 0], [1, -1]], 0), ([1, 1, 1], 1), ([], -1), (2, 0), (-1, 1),
])
def test_take(backend, indices, axis):
    indices = np.asarray(indices, dtype="int64")
    check_op(ops.take, [values(3, 4, 2), indices], lambda x, i, axis: np.take(x, i, axis),
             kwargs={"axis": axis}, second_order=True, batch=(0,) if axis else ())


def test_take_of_a_plain_int_and_outside(backend):
    x = Tensor(backend.asarray(values(3, 2).astype("float16")))
    assert ops.take(x, 2, axis=0).shape == (2,)
    assert ops.take(ops.arange(2**24 + 4, dtype="float32"), 2**24 + 3).numpy() == 2**24 + 4
    assert ops.take(x, 1, axis=-1).dtype == "float16"
    with pytest.raises(TypeError, match="must be integers"):
        ops.take(x, [1.0])
    with pytest.raises(ValueError, match="axis=2"):
        ops.take(x, [1], axis=2)
    with pytest.raises(ValueError, match="axis=2"):
        ops.take(KerasTensor((2, 2)), [1], axis=2)


def test_outside_raises_on_the_cpu_and_marks_elsewhere():
    x = np.arange(6.0).reshape(2, 3)
    with pytest.raises(IndexError, match=r"axis 1 must lie in \[-3, 3\).*between -1 and 5"):
        ops.take(x, [-1, 5], axis=1)
    with pytest.raises(IndexError, match=r"axis 0 must lie in \[-2, 2\)"):
        ops.take_along_axis(x, [[2, 0, 0]], axis=0)
    with pytest.raises(IndexError, match=r"axis 0 must lie in \[-3, 3\)"):
        ops.scatter([[3]], [1.0], (3,))
    generic, cpu = IndexingMixin, backends.CPU
    y = generic.take(cpu, x, np.array([[-1, 5], [0, -4]]), 1)
    np.testing.assert_array_equal(y, [[[2, np.nan], [0, np.nan]], [[5, np.nan], [3, np.nan]]])
    y = generic.take(cpu, np.arange(3, dtype="int32"), np.array([1, 3]), 0)
    assert y.tolist() == [1, -(2**31)]
    y = generic.take_along_axis(cpu, x, np.array([[2, 0, -1]]), 0)
    np.testing.assert_array_equal(y, [[np.nan, 1, 5]])


@pytest.mark.parametrize("shape, indices, axis", [
    ((3, 4), [[1, 0], [2, 2], [0, -1]], 1), ((3, 4), [[1, 0, 2, 2]], 0), ((3, 4), [[1], [3], [0]], -1),
    ((3, 4), [[1, -1]], 1), ((1, 4), [[1], [3], [3]], 1), ((2, 3), [5, 0, 5], None),
])
def test_take_along_axis(backend, shape, indices, axis):
    indices = np.array(indices)
    check_op(ops.take_along_axis, [values(*shape), indices],
             lambda x, i, axis: np.take_along_axis(x, i, axis), kwargs={"axis": axis}, second_order=True,
             batch=(0, 1) if axis in (1, -1) and shape[0] == len(indices) else ())


def test_take_along_axis_errors():
    with pytest.raises(ValueError, match="same rank"):
        ops.take_along_axis(ops.ones((2, 2)), [0], axis=1)
    with pytest.raises(ValueError, match="broadcast"):
        ops.take_along_axis(ops.ones((2, 2)), [[0], [1], [0]], axis=1)


# ---- slices ----------------------------------------------------------------------------------------
def test_slice(backend):
    x = values(3, 4)
    check_op(ops.slice, [x], lambda x, *_: x[1:3, 2:3], settings=((1, 2), (2, 1)), second_order=True,
             batch=())
    check_op(ops.slice, [x], lambda x, *_: x[:, 1:], settings=([0, 1], [3, -1]), batch=())
    check_op(ops.slice, [x], lambda x, *_: x[1:, 2:], settings=((2, 9), (2, 2)), batch=())
    t = Tensor(backend.asarray(x))
    np.testing.assert_array_equal(ops.slice(t, ops.convert_to_tensor([1, 0]), (2, 3)).numpy(), x[1:3, :3])
    assert ops.slice(KerasTensor((None, 4)), (0, 1), (2, 2)).shape == (2, 2)
    assert ops.slice(KerasTensor((None, 4)), (0, 1), (-1, 2)).shape == (None, 2)
    assert ops.slice(KerasTensor((None, 4)), KerasTensor((2,), "int32"), (1, 2)).shape == (1, 2)
    with pytest.raises(ValueError, match="need 2 numbers"):
        ops.slice(t, (0,), (1,))
    with pytest.raises(ValueError, match="size 5 from an axis of size 4"):
        ops.slice(t, (0, 0), (1, 5))


def test_slice_update(backend):
    def reference(x, start, u):
        x = x.copy()
        x[start[0] : start[0] + u.shape[0], start[1] : start[1] + u.shape[1]] = u
        return x

    x, u = values(3, 4), -values(2, 1)
    check_op(lambda x, u: ops.slice_update(x, (1, 2), u), [x, u], lambda x, u: reference(x, (1, 2), u),
             second_order=True, batch=(0, 1))
    check_op(lambda x, u: ops.slice_update(x, ops.convert_to_tensor([2, 3]), u), [x, u],
             lambda x, u: reference(x, (1, 3), u), batch=())
    with pytest.raises(ValueError, match="do not fit"):
        ops.slice_update(x, (0, 0), values(4, 1))
    with pytest.raises(ValueError, match="do not fit"):
        ops.slice_update(x, (0, 0), values(2))


# ---- choosing --------------------------------------------------------------------------------------
def test_where(backend):
    mask, a, b = RNG.random((3, 4)) > 0.5, values(3, 1), values(4)
    check_op(ops.where, [mask, a, b], np.where, second_order=True)
    check_op(ops.where, [mask.astype("int32"), a, 2.0], lambda m, a, b: np.where(m, a, b), wrt=[1])
    found = ops.where(ops.convert_to_tensor(mask))
    assert [i.tolist() for i in found] == [i.tolist() for i in np.nonzero(mask)]
    assert all(i.dtype == "int32" for i in found)
    for dtypes, result in [
        (("float16", "int64"), "float16"), (("int32", "float32"), "float32"), (("bool", "int32"), "int32"),
    ]:
        pair = [np.ones(2, d) for d in dtypes]
        assert ops.where([True, False], *pair).dtype == result
        assert ops.where(KerasTensor((2,), "bool"), *(KerasTensor((2,), d) for d in dtypes)).dtype == result
    assert ops.where([True, False], 1, 2.0).dtype == "float32"
    assert ops.where(KerasTensor((None, 1), "bool"), KerasTensor((None, 3)), 0).shape == (None, 3)
    with pytest.raises(ValueError, match="both x1 and x2"):
        ops.where([True], 1.0)
    places = ops.where(KerasTensor((2, 3), "bool"))
    assert [(i.shape, i.dtype) for i in places] == [((None,), "int32")] * 2


def test_select(backend):
    c1, c2 = np.array([True, False, False]), np.array([True, True, False])
    check_op(lambda a, b: ops.select([c1, c2], [a, b], 7.5), [values(3), values(3)],
             lambda a, b: np.select([c1, c2], [a, b], 7.5), batch=())
    assert ops.select([c1], [np.array([1, 2, 3])]).tolist() == [1, 0, 0]
    with pytest.raises(ValueError, match="2 conditions for 1 choices"):
        ops.select([c1, c2], [c1])


def test_nonzero_and_unravel_index(backend):
    x = np.array([[0, 2, 0], [3, 0, 4]])
    assert [i.tolist() for i in ops.nonzero(ops.convert_to_tensor(x))] == [[0, 1, 1], [1, 0, 2]]
    with pytest.raises(ValueError, match="scalar"):
        ops.nonzero(ops.convert_to_tensor(1))
    assert [i.shape for i in ops.nonzero(KerasTensor((3, None)))] == [(None,), (None,)]
    check_op(ops.unravel_index, [np.array([[1, 5], [0, 3]])], np.unravel_index, settings=((2, 3),),
             grad=False)
    assert [i.tolist() for i in ops.unravel_index(ops.convert_to_tensor([-1, 9]), (2, 3))] == [[1, 1], [2, 2]]
    with pytest.raises(TypeError, match="integers"):
        ops.unravel_index(ops.ones(2), (2, 2))


def test_one_hot(backend):
    x = np.array([[0, 2], [3, -1]])
    expected = np.zeros((2, 2, 3), "float32")
    expected[0, 0, 0] = expected[0, 1, 2] = 1
    for axis, moved in [(-1, expected), (0, expected.transpose(2, 0, 1)), (1, expected.transpose(0, 2, 1))]:
        check_op(ops.one_hot, [x], moved, settings=(3,), kwargs={"axis": axis}, grad=False,
                 dtypes=("float32",), batch=(0,) if axis else ())
    assert ops.one_hot(x, 3, dtype="int32").dtype == "int32"
    assert ops.one_hot(np.array([3], "uint8"), 300).numpy()[0].nonzero()[0].tolist() == [3]
    assert ops.one_hot(2, 3).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="sparse"):
        ops.one_hot(x, 3, sparse=True)


def test_multi_hot(backend):
    x = np.array([[0, 2], [1, 1], [2, 5]])
    expected = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 1]], "float32")
    check_op(ops.multi_hot, [x], lambda x, n: expected, settings=(3,), grad=False, dtypes=("float32",))
    assert ops.multi_hot([0, 2], num_tokens=3, dtype="int32").tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="num_classes"):
        ops.multi_hot(x)
    with pytest.raises(TypeError, match="depth"):
        ops.multi_hot(x, 3, depth=4)


# ---- scatter ---------------------------------------------------------------------------------------
def _scatter(target, indices, updates, reduction):
    target = target.copy()
    for place in np.ndindex(indices.shape[:-1]):
        key, new = tuple(indices[place]), updates[place]
        old = target[key]
        target[key] = {
            None: new, "add": old + new, "mul": old * new, "max": np.maximum(old, new),
            "min": np.minimum(old, new),
        }[reduction]
    return target


INDEX_VECTORS = [
    ((4,), [[1], [3], [1], [-1]], (4,)),
    ((4, 2), [[1], [0], [1]], (3, 2)),
    ((3, 4), [[1, 1], [0, -1], [1, 1]], (3,)),
    ((3, 4, 2), [[[1, 1], [0, 2]], [[1, 1], [1, 1]]], (2, 2, 2)),
    ((3, 2), np.zeros((0, 1), int), (0, 2)),
]


@pytest.mark.parametrize("shape, indices, update_shape", INDEX_VECTORS)
@pytest.mark.parametrize("reduction", [None, "add", "mul", "max", "min"])
def test_scatter_update(backend, shape, indices, update_shape, reduction):
    indices = np.array(indices)
    # Apart from each other, so that extremes have no ties.
    count = np.prod(update_shape, dtype=int)
    updates = RNG.permutation(40)[:count].reshape(update_shape) / 9.0 + 0.56
    check_op(ops.scatter_update, [values(*shape), indices, updates], lambda x, i, u, r: _scatter(x, i, u, r),
             settings=(reduction,), second_order=reduction in (None, "add", "mul"), batch=())


def test_scatter_update_gradients_at_ties_and_zeros(backend):
    x = Tensor(backend.asarray(np.array([2.0, 5.0])))
    u = Tensor(backend.asarray(np.array([2.0, 2.0, 1.0])))
    with autograd.GradientTape() as tape:
        tape.watch([x, u])
        y = ops.scatter_update(x, [[0], [0], [1]], u, "max")
    dx, du = tape.gradient(y, [x, u])
    np.testing.assert_allclose(dx.numpy(), [1 / 3, 1])
    np.testing.assert_allclose(du.numpy(), [1 / 3, 1 / 3, 0])
    u = Tensor(backend.asarray(np.array([3.0, 0.0, 4.0])))
    with autograd.GradientTape() as tape:
        tape.watch([x, u])
        y = ops.scatter_update(x, [[0], [0], [1]], u, "mul")
    dx, du = tape.gradient(y, [x, u])
    assert dx.tolist() == [0.0, 4.0] and du.tolist() == [0.0, 6.0, 5.0]


def test_scatter_update_keeps_the_dtype_of_its_input(backend):
    x = ops.zeros((2,), dtype="int32")
    assert ops.scatter_update(x, [[1]], [2.7]).tolist() == [0, 2]
    halves = ops.zeros(2, dtype="float16")
    assert ops.scatter_update(halves, [[1]], np.array([2.0], "float32")).dtype == "float16"
    with pytest.raises(ValueError, match="reduction must be"):
        ops.scatter_update(x, [[1]], [2], "sum")
    with pytest.raises(ValueError, match="expected"):
        ops.scatter_update(x, [[1]], [2, 3])
    with pytest.raises(ValueError, match="between 1 and 1"):
        ops.scatter_update(x, [[1, 0]], [2])
    with pytest.raises(TypeError, match="integers"):
        ops.scatter_update(x, [[1.0]], [2])


@pytest.mark.parametrize("shape, indices, update_shape", INDEX_VECTORS)
def test_scatter_and_gather(backend, shape, indices, update_shape):
    indices = np.array(indices)
    check_op(lambda i, v: ops.scatter(i, v, shape), [indices, values(*update_shape)],
             lambda i, v: _scatter(np.zeros(shape), i, v, "add"), second_order=True, batch=())
    check_op(ops.gather_nd, [values(*shape), indices], lambda x, i: x[tuple(np.moveaxis(i, -1, 0))],
             second_order=True, batch=())


def test_symbolic_scatter():
    y = ops.scatter(KerasTensor((None, 2), "int32"), KerasTensor((None,)), (3, 4))
    assert (y.shape, y.dtype) == ((3, 4), "float32")
    y = ops.scatter_update(KerasTensor((None, 4)), KerasTensor((None, 1), "int32"), KerasTensor((None, 4)))
    assert y.shape == (None, 4)
    with pytest.raises(ValueError, match="do not fit"):
        ops.scatter(KerasTensor((None, 2), "int32"), KerasTensor((None, 3)), (3, 4))


# ---- segments --------------------------------------------------------------------------------------
SEGMENTS = {
    ops.segment_sum: (np.sum, 0.0), ops.segment_prod: (np.prod, 1.0), ops.segment_max: (np.max, -np.inf),
    ops.segment_min: (np.min, np.inf),
}


@pytest.mark.parametrize("op", SEGMENTS, ids=lambda op: op.__name__)
@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)])
def test_segments(backend, op, shape):
    reduce, empty = SEGMENTS[op]
    ids = np.array([2, 0, 2, -1, 7, 2])
    count = 4 if np.isfinite(empty) else 3  # infinite values have no finite differences
    if count == 3:
        ids[-1] = 1

    def reference(x, ids, num_segments):
        rows = [x[ids == i] for i in range(num_segments)]
        return np.stack([reduce(r, axis=0) if len(r) else np.full(x.shape[1:], empty) for r in rows])

    check_op(op, [values(*shape), ids], reference, kwargs={"num_segments": count}, batch=(),
             second_order=op in (ops.segment_sum, ops.segment_prod))


def test_segment_details(backend):
    assert ops.segment_sum(ops.ones((3, 2)), [0, 2, 2]).shape == (3, 2)
    assert ops.segment_sum(ops.ones((0, 2)), ops.zeros((0,), dtype="int32")).shape == (0, 2)
    assert ops.segment_max(ops.ones(2), [0, 2], 3).tolist() == [1, -np.inf, 1]
    assert ops.segment_max(np.array([1, 2]), [0, 2], 3).tolist() == [1, -(2**63), 2]
    assert ops.segment_min(np.array([1, 2], "int32"), [0, 2], 3, sorted=True).tolist() == [1, 2**31 - 1, 2]
    assert ops.segment_sum(KerasTensor((None, 2)), KerasTensor((None,), "int32"), 3).shape == (3, 2)
    assert ops.segment_sum(KerasTensor((None, 2)), KerasTensor((None,), "int32")).shape == (None, 2)
    check_gradient(lambda x: ops.segment_prod(x, np.array([0, 0, 1]), 2), [np.array([0.0, 2.0, 3.0])])
    with pytest.raises(ValueError, match="vector"):
        ops.segment_sum(ops.ones((3, 2)), [[0, 1, 2]])
    with pytest.raises(ValueError, match="needs 2 rows"):
        ops.segment_sum(ops.ones((3, 2)), [0, 1])


# ---- backend methods: the generic code and NumPy's own must agree ------------------------------------
@pytest.mark.parametrize("reduction", ["set", "add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int8", "bool"])
@pytest.mark.parametrize("width", [(), (3,), (2, 2)])
def test_generic_scatter_rows(reduction, dtype, width):
    if dtype == "bool" and reduction != "set":
        pytest.skip("no arithmetic on booleans")
    rng = np.random.default_rng(0)
    target = rng.integers(1, 4, (5, *width)).astype(dtype)
    new = rng.integers(1, 3, (13, *width)).astype(dtype)
    rows = rng.integers(-1, 6, 13)
    inside = (rows >= 0) & (rows < 5)
    expected = _scatter(target, rows[inside][:, None], new[inside], None if reduction == "set" else reduction)
    for found in (
        IndexingMixin.scatter_rows(backends.CPU, target, rows, new, reduction),
        backends.CPU.scatter_rows(target, rows, new, reduction),
    ):
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, expected)


def test_generic_linear_rows():
    vectors = np.array([[1, -1], [0, 2], [2, 0], [-3, 0]])
    assert IndexingMixin.linear_rows(backends.CPU, vectors, (2, 3)).tolist() == [5, 2, -1, -1]
    assert backends.CPU.linear_rows(vectors[:2], (2, 3)).tolist() == [5, 2]


@pytest.mark.parametrize("dtype", ["float32", "float16", "int64", "int8"])
def test_generic_scatter_add(dtype):
    rows = np.array([3, 0, 3, -1])
    for key, shape in [(rows, (4, 2)), ((slice(None), rows), (3, 4)), ((rows, rows), (4, 4, 2))]:
        new = np.ones(np.zeros(shape)[key].shape, dtype)
        expected = np.zeros(shape, dtype)
        np.add.at(expected, key, new)
        for method in (IndexingMixin.scatter_add, type(backends.CPU).scatter_add):
            for order in "CF":
                found = np.zeros(shape, dtype, order=order)
                method(backends.CPU, found, key, new)
                np.testing.assert_array_equal(found, expected)


def test_scatter_add_in_pieces(monkeypatch):
    from gpukeras.backends import indexing

    monkeypatch.setattr(indexing, "CHUNK", 8)
    rng = np.random.default_rng(0)
    rows, new = rng.integers(0, 10, 50), rng.random((50, 3))
    found, expected = np.zeros((10, 3)), np.zeros((10, 3))
    backends.CPU.scatter_add(found, rows, new)
    np.add.at(expected, rows, new)
    np.testing.assert_allclose(found, expected)


def test_gpu_starts_stay_on_the_device(monkeypatch):
    """A GPU tensor of starts gives index arrays, without reading its values."""
    from gpukeras.ops.indexing import block_key

    monkeypatch.setattr(type(backends.CPU), "name", "gpu:0")
    x, start = Tensor(np.arange(12.0).reshape(3, 4)), Tensor(np.array([2, 1]))
    key = block_key(x, start, (2, 2))
    assert all(isinstance(k, np.ndarray) for k in key)
    np.testing.assert_array_equal(x.array[key], x.array[1:3, 1:3])
    with pytest.raises(ValueError, match="on the host"):
        block_key(x, start, (2, -1))


def test_nothing_waits_for_the_device():
    """The ops of a training step run on a device that refuses to hand values to the host."""
    from support.fake_device import fake_device, forbid_waiting

    with fake_device(), forbid_waiting():
        x = ops.convert_to_tensor(values(3, 4))
        rows = ops.convert_to_tensor([2, 0, 2])
        with autograd.GradientTape() as tape:
            tape.watch(x)
            terms = [
                x[1:, ::2], x[rows], x[np.array([True, False, True])], x[:, [0, 0]],
                ops.take(x, rows, axis=1), ops.take(x, 1, axis=0),
                ops.take_along_axis(x, rows[:, None], axis=1), ops.sort(x),
                ops.top_k(x, 2)[0], ops.where(x > 0, x, 0.0), ops.segment_max(x, rows, 3),
                ops.segment_prod(x, rows, 3), ops.scatter(rows[:, None], x, (3, 4)),
                *[ops.scatter_update(x, rows[:, None], x, r) for r in (None, "add", "mul", "max", "min")],
                ops.slice(x, rows[:2], (2, 2)), ops.slice_update(x, rows[:2], x[:1, :1]),
                ops.pad(x, 1, mode="reflect"), ops.concatenate([x, x]), ops.repeat(x, [1, 2, 1], axis=0),
                ops.tile(x, 2), ops.diagonal(x), ops.tril(x),
            ]
            total = sum(ops.sum(t) for t in terms)
        assert tape.gradient(total, x).shape == (3, 4)
        assert ops.in_top_k(rows, x, 2).shape == (3,)
        assert ops.one_hot(rows, 3).shape == (3, 3)
        assert ops.searchsorted(ops.sort(x[0]), x).shape == (3, 4)
