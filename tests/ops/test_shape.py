"""Reordering, joining, splitting, repeating, padding, diagonals, blocks."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

import gpukeras as keras
from gpukeras import ops
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, Variable

RNG = np.random.default_rng(3)


def values(*shape):
    return np.asarray(RNG.permutation(np.prod(shape, dtype=int)).reshape(shape) / 7.0)


LINEAR = [
    # op, shape, settings, reference
    (ops.reshape, (2, 6), ((3, -1),), lambda x, s: x.reshape(s)),
    (ops.reshape, (2, 3), (6,), lambda x, s: x.reshape(s)),
    (ops.reshape, (), ((1, 1),), lambda x, s: x.reshape(s)),
    (ops.ravel, (2, 3, 2), (), lambda x: x.flatten()),
    (ops.transpose, (2, 3, 4), (), lambda x: x.T),
    (ops.transpose, (2, 3, 4), ((-1, 0, 1),), lambda x, a: np.einsum("abc->cab", x)),
    (ops.swapaxes, (2, 3, 4), (0, -1), lambda x, a, b: np.einsum("abc->cba", x)),
    (ops.moveaxis, (2, 3, 4), (0, -1), lambda x, a, b: np.einsum("abc->bca", x)),
    (ops.moveaxis, (2, 3, 4), ((0, 1), (2, 0)), lambda x, a, b: np.einsum("abc->bca", x)),
    (ops.expand_dims, (2, 3), (1,), lambda x, a: x[:, None]),
    (ops.expand_dims, (2, 3), ((0, -1),), lambda x, a: x[None, ..., None]),
    (ops.squeeze, (2, 1, 3, 1), (), lambda x: x[:, 0, :, 0]),
    (ops.squeeze, (2, 1, 3, 1), (1,), lambda x, a: x[:, 0]),
    (ops.squeeze, (2, 1, 3, 1), ((1, -1),), lambda x, a: x[:, 0, :, 0]),
    (ops.broadcast_to, (3, 1), ((2, 3, 4),), lambda x, s: np.zeros(s) + x),
    (ops.flip, (2, 3), (), lambda x: x[::-1, ::-1]),
    (ops.flip, (2, 3), (-1,), lambda x, a: x[:, ::-1]),
    (ops.fliplr, (2, 3), (), lambda x: x[:, ::-1]),
    (ops.flipud, (2, 3), (), lambda x: x[::-1]),
    (ops.roll, (2, 3), (2,), lambda x, s: np.concatenate([x.ravel()[-2:], x.ravel()[:-2]]).reshape(2, 3)),
    (ops.roll, (2, 3), ((1, -1), (0, 1)), lambda x, s, a: x[::-1][:, [1, 2, 0]]),
    (ops.rot90, (2, 3), (), lambda x: x.T[::-1]),
    (ops.rot90, (2, 3), (2,), lambda x, k: x[::-1, ::-1]),
    (ops.rot90, (2, 3), (3,), lambda x, k: x[::-1].T),
    (ops.rot90, (2, 3, 4), (-1, (1, 2)), lambda x, k, a: x[:, ::-1].swapaxes(1, 2)),
    (ops.rot90, (2, 3), (4,), lambda x, k: x),
    (ops.tile, (2, 3), (2,), lambda x, r: np.concatenate([x, x], 1)),
    (ops.tile, (2, 3), ((2, 1, 3),), lambda x, r: np.stack([np.concatenate([x, x, x], 1)] * 2)),
    (ops.tile, (2, 3), ((2, 0),), lambda x, r: np.zeros((4, 0))),
    (ops.repeat, (2, 3), (2,), lambda x, r: np.stack([x.ravel()] * 2, 1).ravel()),
    (ops.repeat, (2, 3), (2, 1), lambda x, r, a: x[:, [0, 0, 1, 1, 2, 2]]),
    (ops.repeat, (2, 3), ([2, 0, 1], -1), lambda x, r, a: x[:, [0, 0, 2]]),
    (ops.repeat, (3,), ([1, 2, 3],), lambda x, r: x[[0, 1, 1, 2, 2, 2]]),
    (ops.repeat, (2, 3), ([3], 0), lambda x, r, a: x[[0, 0, 0, 1, 1, 1]]),
    (ops.diag, (3,), (1,),
     lambda x, k: np.array([[0, x[0], 0, 0], [0, 0, x[1], 0], [0, 0, 0, x[2]], [0] * 4])),
    (ops.diag, (3, 4), (-1,), lambda x, k: x[[1, 2], [0, 1]]),
    (ops.diagonal, (2, 3, 4), (1, 0, 2), lambda x, k, a, b: np.stack([x[0, :, 1], x[1, :, 2]], -1)),
    (ops.diagonal, (2, 3, 4), (-1, 2, 1),
     lambda x, k, a, b: np.stack([x[:, 0, 1], x[:, 1, 2], x[:, 2, 3]], -1)),
    (ops.diagonal, (2, 3), (7,), lambda x, k: np.zeros(0)),
    (ops.diagflat, (2, 2), (-1,), lambda x, k: np.diag(x.ravel(), -1)),
    (ops.tril, (2, 3, 4), (1,), lambda x, k: x * (np.arange(4) <= np.arange(3)[:, None] + 1)),
    (ops.triu, (3, 4), (-1,), lambda x, k: x * (np.arange(4) >= np.arange(3)[:, None] - 1)),
    (ops.depth_to_space, (2, 1, 3, 8), (2,), lambda x, b: _depth_to_space(x, b)),
    (ops.space_to_depth, (2, 4, 2, 3), (2,), lambda x, b: _space_to_depth(x, b)),
    (ops.depth_to_space, (2, 8, 1, 3), (2, "channels_first"),
     lambda x, b, f: np.stack([
         _depth_to_space(x[:, c : c + b * b].transpose(0, 2, 3, 1), b)[..., 0]
         for c in range(0, x.shape[1], b * b)
     ], 1)),
    (ops.space_to_depth, (2, 3, 4, 2), (2, "channels_first"),
     lambda x, b, f: np.concatenate([
         _space_to_depth(x[:, c, :, :, None], b).transpose(0, 3, 1, 2) for c in range(x.shape[1])
     ], 1)),
    (ops.pad, (2, 3), (1,), lambda x, w: np.pad(x, w)),
    (ops.pad, (2, 3), ((1, 2),), lambda x, w: np.pad(x, w)),
    (ops.pad, (2, 3), (((0, 1), (2, 0)), "constant", 5.0),
     lambda x, w, m, v: np.pad(x, w, constant_values=v)),
    *[
        (ops.pad, (3, 4), (((2, 0), (1, 2)), mode), lambda x, w, m: np.pad(x, w, m))
        for mode in "edge reflect symmetric wrap linear_ramp maximum minimum mean median".split()
    ],
    (ops.pad, (3,), (5, "reflect"), lambda x, w, m: np.pad(x, w, m)),
    (ops.pad, (3,), ((1, 1), "circular"), lambda x, w, m: x[[2, 0, 1, 2, 0]]),
    (ops.pad, (0, 2), (1,), lambda x, w: np.zeros((2, 4))),
    (ops.reshape, (0, 3), ((3, -1),), lambda x, s: np.zeros((3, 0))),
    (ops.flip, (0, 3), (), lambda x: x),
]


def _depth_to_space(x, b):
    n, h, w, c = x.shape
    y = np.zeros((n, h * b, w * b, c // b**2))
    for i, j in np.ndindex(b, b):
        k = (i * b + j) * y.shape[3]
        y[:, i::b, j::b] = x[..., k : k + y.shape[3]]
    return y


def _space_to_depth(x, b):
    return np.concatenate([x[:, i::b, j::b] for i in range(b) for j in range(b)], axis=-1)


@pytest.mark.parametrize("case", range(len(LINEAR)), ids=lambda i: f"{i}-{LINEAR[i][0].__name__}")
def test_one_input(backend, case):
    op, shape, settings, reference = LINEAR[case]
    second = not any(m in settings for m in ("median", "maximum", "minimum"))
    check_op(op, [values(*shape)], reference, settings=settings, second_order=second,
             symbolic=op is not ops.pad or "median" not in settings)


LISTED = [
    (ops.concatenate, [(2, 3), (1, 3)], {}, lambda xs: np.vstack(xs)),
    (ops.concatenate, [(2, 3), (2, 0), (2, 1)], {"axis": -1}, lambda xs, axis: np.hstack(xs)),
    (ops.stack, [(2, 3), (2, 3)], {"axis": 1}, lambda xs, axis: np.array(xs).transpose(1, 0, 2)),
    (ops.stack, [(2,), (2,)], {"axis": -1}, lambda xs, axis: np.array(xs).T),
    (ops.hstack, [(2,), (3,)], {}, lambda xs: np.hstack(xs)),
    (ops.hstack, [(2, 2), (2, 1)], {}, lambda xs: np.hstack(xs)),
    (ops.vstack, [(2,), (2,)], {}, lambda xs: np.vstack(xs)),
    (ops.dstack, [(2,), (2,)], {}, lambda xs: np.dstack(xs)),
    (ops.dstack, [(2, 3), (2, 3)], {}, lambda xs: np.dstack(xs)),
]


@pytest.mark.parametrize("op, shapes, kwargs, reference", LISTED, ids=lambda v: getattr(v, "__name__", ""))
def test_lists(backend, op, shapes, kwargs, reference):
    check_op(op, [values(*s) for s in shapes], reference, kwargs=kwargs, listed=True, second_order=True,
             batch=(0, 1, 2) if op in (ops.stack, ops.dstack) else ())


def test_append_and_meshgrid(backend):
    check_op(ops.append, [values(2, 2), values(3)], lambda a, b: np.append(a, b), second_order=True)
    check_op(ops.append, [values(2, 2), values(2, 1)], lambda a, b, axis: np.append(a, b, axis),
             kwargs={"axis": 1}, batch=(0, 1))
    for indexing in ("xy", "ij"):
        check_op(ops.meshgrid, [values(2), values(3), values(2)],
                 lambda *v, indexing: tuple(np.meshgrid(*v, indexing=indexing)),
                 kwargs={"indexing": indexing})
    assert [g.shape for g in ops.meshgrid(3, [1, 2])] == [(2, 1), (2, 1)]


SPLITS = [
    (ops.split, (6, 2), (3,), {}),
    (ops.split, (2, 5), ([1, 3],), {"axis": 1}),
    (ops.split, (2, 5), ([3, 3, 9],), {"axis": -1}),
    (ops.split, (5,), ([-2],), {}),
    (ops.array_split, (5, 2), (3,), {}),
    (ops.array_split, (2, 5), ([4, 1],), {"axis": 1}),
]


@pytest.mark.parametrize("op, shape, settings, kwargs", SPLITS)
def test_splits(backend, op, shape, settings, kwargs):
    numpy_op = {"split": np.split, "array_split": np.array_split}[op.__name__]
    check_op(op, [values(*shape)], lambda x, *s, **k: tuple(numpy_op(x, *s, **k)), settings=settings,
             kwargs=kwargs, second_order=True, batch=() if not kwargs else (0,))


def test_split_is_a_list_whose_unused_parts_get_zeros(backend):
    parts = ops.split(ops.ones((2, 4)), 2, axis=1)
    assert isinstance(parts, list) and [p.shape for p in parts] == [(2, 2), (2, 2)]
    check_gradient(lambda x: ops.split(x, 3)[1] * 2.0, [values(3, 2)])
    check_gradient(lambda x: ops.array_split(x, [2, 1])[0] * 2.0, [values(3, 2)])
    check_gradient(lambda x: ops.unstack(x, axis=-1)[1] * 2.0, [values(3, 2)])
    assert [p.shape for p in ops.vsplit(ops.ones((4, 2)), 2)] == [(2, 2)] * 2
    assert [p.shape for p in ops.hsplit(ops.ones((4, 2)), 2)] == [(4, 1)] * 2
    assert [p.shape for p in ops.hsplit(ops.ones((4,)), 2)] == [(2,)] * 2
    assert [p.shape for p in ops.dsplit(ops.ones((4, 2, 2)), [1])] == [(4, 2, 1)] * 2


def test_unstack(backend):
    check_op(ops.unstack, [values(2, 3)], lambda x: (x[0], x[1]), second_order=True, batch=())
    check_op(ops.unstack, [values(2, 3)], lambda x, axis: tuple(x.T), kwargs={"axis": 1}, second_order=True)
    parts = ops.unstack(KerasTensor((None, 3)), num=2)
    assert [p.shape for p in parts] == [(3,), (3,)]
    with pytest.raises(ValueError, match="pass num="):
        ops.unstack(KerasTensor((None, 3)))
    with pytest.raises(ValueError, match="num=4"):
        ops.unstack(ops.ones((2, 3)), num=4)


def _unfold(x, k, d, p, s):
    x = np.pad(x, ((0, 0), (0, 0), (p[0], p[0]), (p[1], p[1])))
    n, c, h, w = x.shape
    columns = []
    for i in range(0, h - d[0] * (k[0] - 1), s[0]):
        for j in range(0, w - d[1] * (k[1] - 1), s[1]):
            window = x[:, :, i : i + d[0] * (k[0] - 1) + 1 : d[0], j : j + d[1] * (k[1] - 1) + 1 : d[1]]
            columns.append(window.reshape(n, -1))
    return np.stack(columns, -1)


@pytest.mark.parametrize("k, d, p, s", [(2, 1, 0, 1), ((2, 3), (2, 1), (1, 0), (1, 2)), (3, 1, 1, 2)])
def test_unfold_and_fold(backend, k, d, p, s):
    pairs = [(v, v) if isinstance(v, int) else v for v in (k, d, p, s)]
    x = values(2, 2, 4, 5)
    check_op(ops.unfold, [x], lambda x, *_: _unfold(x, *pairs), settings=(k, d, p, s), second_order=True)
    columns = _unfold(x, *pairs)
    flat = np.eye(40).reshape(40, 2, 4, 5)  # the matrix of unfold: fold is its transpose
    matrix = _unfold(flat, *pairs).reshape(40, -1)
    expected = (columns.reshape(2, -1) @ matrix.T).reshape(x.shape)
    check_op(ops.fold, [columns], lambda *a: expected, settings=((4, 5), k, d, p, s), second_order=True)


def test_block_errors():
    with pytest.raises(ValueError, match="do not fit an axis of size 2"):
        ops.unfold(ops.ones((1, 1, 2, 2)), 3)
    with pytest.raises(ValueError, match="known sizes"):
        ops.unfold(KerasTensor((2, 2, None, 3)), 2)
    with pytest.raises(ValueError, match="expected \\(N, C \\* 4, 4\\)"):
        ops.fold(ops.ones((1, 3, 4)), 3, 2)
    with pytest.raises(ValueError, match="6 channels"):
        ops.depth_to_space(ops.ones((1, 2, 2, 6)), 2)
    with pytest.raises(ValueError, match="not a multiple"):
        ops.space_to_depth(ops.ones((1, 3, 2, 6)), 2)
    with pytest.raises(ValueError, match="data_format"):
        ops.space_to_depth(ops.ones((1, 2, 2, 6)), 2, "last")
    with pytest.raises(ValueError, match="rank 4"):
        ops.space_to_depth(ops.ones((2, 2, 6)), 2)


def test_rearrange(backend):
    x = values(2, 6, 4)
    check_op(ops.rearrange, [x], lambda x, p, k: x.reshape(2, 3, 2, 4).reshape(6, 8), second_order=True,
             settings=("b (h k) c -> (b h) (k c)",), kwargs={"k": 2})
    check_op(ops.rearrange, [x], lambda x, p: x.transpose(2, 0, 1).reshape(4, 1, 12), symbolic=False,
             settings=("b h c -> c 1 (b h)",))
    y = ops.rearrange(KerasTensor((None, 6, 4)), "b (h k) c -> b k h c", h=3)
    assert y.shape == (None, 2, 3, 4)
    for pattern, lengths, message in [
        ("a b -> a b", {}, "does not fit"), ("a b c -> a b", {}, "same axes"),
        ("a (b d) c -> a b c d", {}, "open"), ("a (b d) c -> a b c d", {"b": 4}, "cannot be split"),
        ("a ((b) c) d -> a b c d", {}, "not understood"),
    ]:
        with pytest.raises(ValueError, match=message):
            ops.rearrange(x, pattern, **lengths)


def test_view(backend):
    x = np.array([[1.5, -2.0]], "float32")
    assert ops.view(x, "int32").tolist() == x.view("int32").tolist()
    assert ops.view(x, "int16").numpy().tolist() == x.view("int16").tolist()
    assert ops.view(x, "float64").shape == (1, 1)
    assert ops.view(x).dtype == "float32"
    symbolic = ops.view(KerasTensor((None, 4), "int16"), "int32")
    assert (symbolic.shape, symbolic.dtype) == ((None, 2), "int32")
    with pytest.raises(ValueError, match="does not hold whole float64"):
        ops.view(np.zeros(3, "float32"), "float64")


def test_common_dtype_of_joined_tensors(backend):
    ints, floats, halves = np.array([1]), np.array([2.0], "float32"), np.array([3.0], "float16")
    for op in (ops.concatenate, ops.stack):
        assert op([ints, floats]).dtype == "float32"
        assert op([halves, ints]).dtype == "float16"
        assert op([KerasTensor((1,), "int64"), KerasTensor((1,), "float16")]).dtype == "float16"
    a, b = (ops.convert_to_tensor(v) for v in (floats, halves))
    with keras.autograd.GradientTape() as tape:
        tape.watch([a, b])
        y = ops.sum(ops.concatenate([a, b]) * 3.0)
    da, db = tape.gradient(y, [a, b])
    assert (da.dtype, db.dtype) == ("float32", "float16")


def test_views_of_variables_are_copies(backend):
    v = Variable(np.arange(6.0).reshape(2, 3))
    made = [
        ops.reshape(v, (3, 2)), ops.transpose(v), ops.ravel(v), v[0], ops.split(v, 2)[0], ops.flip(v),
        ops.expand_dims(v, 0), ops.unstack(v)[1], ops.broadcast_to(v, (2, 2, 3)), ops.swapaxes(v, 0, 1),
        ops.slice(v, (0, 0), (1, 2)), ops.pad(v, 0, mode="edge"), ops.rot90(v, 2),
    ]
    before = [y.numpy() for y in made]
    v.assign(np.zeros((2, 3)))
    for y, values_before in zip(made, before):
        np.testing.assert_array_equal(y.numpy(), values_before)


def test_reshape_with_unknown_sizes():
    x = KerasTensor((None, None, 6))
    y = ops.reshape(x, (ops.shape(x)[0], ops.shape(x)[1], 2, 3))
    assert y.shape == (None, None, 2, 3)
    assert ops.reshape(ops.ones((4, 5, 6)), (None, None, 2, 3)).shape == (4, 5, 2, 3)
    assert ops.reshape(ops.ones((4, 6)), (None, 3)).shape == (8, 3)
    assert ops.reshape(KerasTensor((None, 4, 6)), (-1, 24)).shape == (None, 24)


@pytest.mark.parametrize("call, error, message", [
    (lambda: ops.reshape(ops.ones((2, 3)), (4, 2)), ValueError, r"cannot reshape \(2, 3\)"),
    (lambda: ops.reshape(ops.ones((2, 3)), (-1, 4)), ValueError, "cannot reshape"),
    (lambda: ops.transpose(ops.ones((2, 3)), (0, 0)), ValueError, "every axis"),
    (lambda: ops.swapaxes(ops.ones((2, 3)), 0, 2), ValueError, "axis2=2"),
    (lambda: ops.moveaxis(ops.ones((2, 3)), (0, 1), 0), ValueError, "pair"),
    (lambda: ops.squeeze(ops.ones((2, 3)), 0), ValueError, "size 2"),
    (lambda: ops.broadcast_to(ops.ones((2, 3)), (3, 3)), ValueError, "cannot be broadcast"),
    (lambda: ops.broadcast_to(KerasTensor((None, 2)), (4, 3)), ValueError, "cannot be broadcast"),
    (lambda: ops.concatenate([ops.ones((2, 3)), ops.ones((3, 2))]), ValueError, "other axes"),
    (lambda: ops.concatenate([ops.ones((2, 3)), ops.ones(2)]), ValueError, "one rank"),
    (lambda: ops.concatenate([]), ValueError, "empty list"),
    (lambda: ops.stack([ops.ones((2, 3)), ops.ones((3, 2))]), ValueError, "one shape"),
    (lambda: ops.split(ops.ones((5, 2)), 2), ValueError, "array_split"),
    (lambda: ops.split(ops.ones((5, 2)), 0), ValueError, "1 or more"),
    (lambda: ops.repeat(ops.ones((3,)), [1, 2]), ValueError, "2 repeats"),
    (lambda: ops.pad(ops.ones((3,)), ((1, 1), (1, 1))), ValueError, "rank 1"),
    (lambda: ops.pad(ops.ones((3,)), -1), ValueError, "negative"),
    (lambda: ops.pad(ops.ones((3,)), 1, mode="mirror"), ValueError, "unknown pad mode"),
    (lambda: ops.pad(ops.ones((3,)), 1, mode="edge", constant_values=1), ValueError, "constant_values"),
    (lambda: ops.pad(ops.ones((0,)), 1, mode="edge"), ValueError, "empty"),
    (lambda: ops.diag(ops.ones((2, 2, 2))), ValueError, "rank 1 or 2"),
    (lambda: ops.diagonal(ops.ones(2)), ValueError, "rank 2"),
    (lambda: ops.tril(ops.ones(2)), ValueError, "rank 2"),
    (lambda: ops.fliplr(ops.ones(2)), ValueError, "rank 2"),
    (lambda: ops.rot90(ops.ones((2, 2)), axes=(1, 1)), ValueError, "different"),
    (lambda: ops.rot90(ops.ones((2, 2)), axes=(1,)), ValueError, "two axes"),
    (lambda: ops.meshgrid(ops.ones(2), indexing="yx"), ValueError, "indexing"),
    (lambda: ops.vsplit(ops.ones(2), 2), ValueError, "rank 2"),
    (lambda: ops.dsplit(ops.ones((2, 2)), 2), ValueError, "rank 3"),
])
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("make, shape", [
    (lambda x: ops.tile(x, (2, 2)), (None, 6)),
    (lambda x: ops.repeat(x, 2), (None,)),
    (lambda x: ops.repeat(x, 2, axis=1), (None, 6)),
    (lambda x: ops.repeat(x, 2, axis=0), (None, 3)),
    (lambda x: ops.ravel(x), (None,)),
    (lambda x: ops.diagonal(x), (None,)),
    (lambda x: ops.diag(x), (None,)),
    (lambda x: ops.diagflat(x), (None, None)),
    (lambda x: ops.pad(x, ((1, 1), (0, 2))), (None, 5)),
    (lambda x: ops.pad(x, ((0, 0), (1, 1)), mode="mean"), (None, 5)),
    (lambda x: ops.split(x, 3, axis=0)[1], (None, 3)),
    (lambda x: ops.split(x, [2], axis=0)[1], (None, 3)),
    (lambda x: ops.concatenate([x, x], axis=0), (None, 3)),
    (lambda x: ops.stack([x, x]), (2, None, 3)),
    (lambda x: ops.broadcast_to(x, (2, 5, 3)), (2, 5, 3)),
    (lambda x: ops.rot90(x), (3, None)),
    (lambda x: ops.squeeze(x), (None, 3)),
])
def test_unknown_sizes(make, shape):
    assert make(KerasTensor((None, 3))).shape == shape


def test_gradient_of_a_view_does_not_touch_it(backend):
    x = Tensor(backend.asarray(values(2, 3)))
    with keras.autograd.GradientTape() as tape:
        tape.watch(x)
        y = ops.reshape(x, (3, 2))
    dy = ops.ones((3, 2), dtype="float64")
    dx = tape.gradient(y, x, output_gradients=dy)
    assert dx.shape == (2, 3) and dy.numpy().sum() == 6
