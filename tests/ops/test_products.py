"""Matrix products, contractions, einsum."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

from gpukeras import ops
from gpukeras.autograd import GradientTape
from gpukeras.ops.products import parse_subscripts

rng = np.random.default_rng(4)


def draw(*shape):
    return rng.standard_normal(shape)


@pytest.mark.parametrize(
    "first, second",
    [((2, 3), (3, 4)), ((3,), (3,)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (5, 3,
    4)),
     ((2, 3), (5, 3, 4)), ((1, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 2)), ((3,), (5, 3, 4)), ((5, 2, 3),
     (3,)),
     ((0, 3), (3, 2)), ((2, 0), (0, 3))],
    ids=str,
)
def test_matmul(backend, first, second):
    check_op(ops.matmul, [draw(*first), draw(*second)], np.matmul, second_order=True, batch=())


def test_matmul_free_batch(backend):
    check_op(ops.matmul, [draw(2, 3), draw(3, 4)], np.matmul)
    check_op(ops.matmul, [draw(2, 2, 3), draw(3, 4)], np.matmul)


def test_matmul_dtypes(backend):
    a = ops.ones((3, 3), "int8") * 100
    assert ops.matmul(a, a).dtype == "int32" and int(ops.matmul(a, a)[0, 0]) == 30000
    assert ops.matmul(ops.ones((2, 2), "float16"), ops.ones((2, 2), "float32")).dtype == "float32"
    assert ops.matmul(ops.ones((2, 2), "int32"), ops.ones((2, 2), "float16")).dtype == "float16"
    check_op(ops.matmul, [draw(4, 5), draw(5, 3)], np.matmul, dtypes=("float16",))
    half, single = ops.ones((2, 2), "float16"), ops.ones((2, 2), "float32")
    with GradientTape() as tape:
        tape.watch([half, single])
        y = half @ single
    assert [g.dtype.name for g in tape.gradient(y, [half, single])] == ["float16", "float32"]


def test_matmul_errors(backend):
    with pytest.raises(ValueError, match="must equal"):
        ops.matmul(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="rank 1 or more"):
        ops.matmul(np.ones((2, 3)), 2.0)


@pytest.mark.parametrize(
    "first, second, axes",
    [((2, 3, 4), (3, 4, 5), 2), ((2, 3), (4, 5), 0), ((2, 3, 4), (4, 2), 1), ((2, 3, 4), (5, 4, 3), [[1, 2],
    [2, 1]]),
     ((2, 3, 4), (5, 3), [1, 1]), ((2, 3), (3, 2), [[0, 1], [1, 0]]), ((2, 3, 4), (4, 3), [[-1, 1], [0,
     -1]])],
    ids=str,
)
def test_tensordot(backend, first, second, axes):
    check_op(
        ops.tensordot, [draw(*first), draw(*second)], np.tensordot, settings=(axes,), second_order=True,
        batch=()
    )


def test_tensordot_errors(backend):
    with pytest.raises(ValueError, match="sizes differ"):
        ops.tensordot(np.ones((2, 3)), np.ones((2, 3)), 1)
    with pytest.raises(ValueError, match="axes=3"):
        ops.tensordot(np.ones((2, 3)), np.ones((2, 3)), 3)
    with pytest.raises(ValueError, match="as many axes"):
        ops.tensordot(np.ones((2, 3)), np.ones((2, 3)), [[0, 1], [0]])


@pytest.mark.parametrize(
    "first, second",
    [((3,), (3,)), ((2, 3), (3, 4)), ((), (2, 3)), ((2, 3), (3,)), ((2, 3, 4), (4,)), ((2, 3, 4), (5, 4,
    6))], ids=str,
)
def test_dot(backend, first, second):
    check_op(ops.dot, [draw(*first), draw(*second)], np.dot, second_order=True)


def test_inner_outer_vdot_kron(backend):
    check_op(ops.inner, [draw(2, 3), draw(4, 3)], np.inner, second_order=True)
    check_op(ops.inner, [draw(3), draw(3)], np.inner)
    check_op(ops.outer, [draw(2, 3), draw(4)], np.outer, second_order=True)
    check_op(ops.vdot, [draw(2, 3), draw(2, 3)], np.vdot)
    check_op(ops.kron, [draw(2, 3), draw(3, 2)], np.kron, second_order=True, batch=())
    check_op(ops.kron, [draw(3), draw(2, 2)], np.kron, batch=())


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning")
@pytest.mark.parametrize("sizes", [(3, 3), (3, 2), (2, 3), (2, 2)])
def test_cross(backend, sizes):
    a, b = draw(4, sizes[0]), draw(4, sizes[1])
    pad = [np.pad(v, [(0, 0), (0, 3 - v.shape[1])]) for v in (a, b)]
    expected = np.cross(*pad)
    check_op(ops.cross, [a, b], expected[:, 2] if sizes == (2, 2) else expected, second_order=True)


def test_cross_axes(backend):
    a, b = draw(3, 5), draw(5, 3)
    check_op(ops.cross, [a, b], np.cross, kwargs={"axisa": 0, "axisb": 1, "axisc": 0}, batch=())
    check_op(ops.cross, [a, a + 1], np.cross, kwargs={"axis": 0}, batch=())
    with pytest.raises(ValueError, match="2 or 3 components"):
        ops.cross(draw(4), draw(4))


def test_trace(backend):
    check_op(ops.trace, [draw(4, 5)], np.trace)
    check_op(ops.trace, [draw(2, 4, 4)], np.trace, kwargs={"offset": 1, "axis1": 1, "axis2": 2})


@pytest.mark.parametrize(
    "subscripts, shapes",
    [
        ("ij,jk->ik", [(2, 3), (3, 4)]), ("ij,jk", [(2, 3), (3, 4)]), ("bij,bjk->bik", [(2, 3, 4), (2, 4,
        5)]),
        ("ij->ji", [(2, 3)]), ("ij->", [(2, 3)]), ("ij->j", [(2, 3)]), ("ii->i", [(3, 3)]), ("ii", [(3, 3)]),
        ("iij->ij", [(3, 3, 2)]), ("i,j->ij", [(2,), (3,)]), ("ij,ij->ij", [(2, 3), (2, 3)]),
        ("ij,kj->k", [(2, 3), (4, 3)]), ("...ij,...jk->...ik", [(2, 2, 3), (2, 3, 4)]),
        ("...ij,jk->...ik", [(5, 2, 3), (3, 4)]), ("b...,b->...", [(2, 3, 4), (2,)]),
        ("ij,jk,kl->il", [(2, 3), (3, 4), (4, 2)]), ("bqhd,bkhd->bhqk", [(2, 3, 2, 4), (2, 5, 2, 4)]),
        ("i,i,i->i", [(3,), (3,), (3,)]), ("abc,cd->bd", [(2, 3, 4), (4, 5)]), ("ij , jk -> ki", [(2, 3), (3,
        4)]),
        ("ba,cb", [(2, 3), (4, 2)]),
    ],
)
def test_einsum(backend, subscripts, shapes):
    arrays = [draw(*s) for s in shapes]
    check_op(
        lambda *xs: ops.einsum(subscripts, *xs), arrays, lambda *xs: np.einsum(subscripts, *xs),
        second_order=True,
        batch=(),
    )


def test_einsum_size_one_broadcasts(backend):
    check_op(
        lambda *xs: ops.einsum("ij,jk->ik", *xs), [draw(2, 1), draw(3, 4)],
        lambda a, b: a @ b.sum(0, keepdims=True), batch=(),
    )


def test_einsum_integers(backend):
    a = np.arange(6, dtype="int32").reshape(2, 3)
    small = np.full((1, 3), 100, "int8")
    assert ops.einsum("ij,kj->ik", small, small).numpy().tolist() == [[30000]]  # summed in int32
    assert ops.einsum("ij,kj->ik", a, a).numpy().tolist() == (a @ a.T).tolist()


def test_einsum_errors(backend):
    with pytest.raises(ValueError, match="describes 2 operands, came 1"):
        ops.einsum("ij,jk->ik", np.ones((2, 2)))
    with pytest.raises(ValueError, match="does not describe a tensor of rank 3"):
        ops.einsum("ij->ji", np.ones((2, 2, 2)))
    with pytest.raises(ValueError, match="index 'j' has sizes 3 and 4"):
        ops.einsum("ij,jk->ik", np.ones((2, 3)), np.ones((4, 2)))
    with pytest.raises(TypeError, match="subscripts must be a string"):
        ops.einsum(np.ones(2), [0])
    with pytest.raises(TypeError, match="unknown arguments"):
        ops.einsum("i->", np.ones(2), casting="no")


def test_parse_subscripts():
    labels, result = parse_subscripts("...a,...b->...ab", (2, 3))
    assert labels[1][1] == labels[0][0] and result == labels[1][:2] + "ab"


def test_attention_like_chain(backend):
    def attend(q, k, v):
        scores = ops.exp(ops.einsum("bqd,bkd->bqk", q, k))
        return ops.einsum("bqk,bkd->bqd", scores / ops.sum(scores, -1, keepdims=True), v)

    check_gradient(attend, [draw(2, 3, 4), draw(2, 3, 4), draw(2, 3, 4)], second_order=True)
