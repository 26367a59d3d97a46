"""Sums, means, extremes, running sums, norms of axes."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

from gpukeras import ops
from gpukeras.autograd import GradientTape

rng = np.random.default_rng(3)
X = rng.permutation(24).reshape(2, 3, 4) / 7 - 1.3  # no ties, no zeros
AXES = [None, 0, 1, -1, (0, 2), (1, 2), (0, 1, 2), ()]

REDUCTIONS = [
    ("sum", np.sum, True), ("mean", np.mean, True), ("prod", np.prod, True), ("max", np.max, False),
    ("min", np.min, False), ("amax", np.max, False), ("amin", np.min, False), ("var", np.var, True),
    ("std", np.std, True), ("ptp", np.ptp, False),
    ("logsumexp", lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)), True),
]


@pytest.mark.parametrize("name, reference, twice", REDUCTIONS, ids=[r[0] for r in REDUCTIONS])
@pytest.mark.parametrize("axis", AXES, ids=str)
def test_reductions(backend, name, reference, twice, axis):
    smooth = axis != () or name not in ("var", "std")  # of single elements they are 0: a kink
    for keepdims in (False, True):
        check_op(
            lambda x: getattr(ops, name)(x, axis=axis, keepdims=keepdims), [X],
            lambda x: reference(x, axis=axis, keepdims=keepdims),
            grad=smooth, second_order=twice and smooth and not keepdims,
        )


@pytest.mark.parametrize("name", ["all", "any"])
@pytest.mark.parametrize("axis", AXES[:-1], ids=str)
def test_truth(backend, name, axis):
    x = rng.random((2, 3, 4)) > 0.4
    for keepdims in (False, True):
        check_op(
            getattr(ops, name), [x], lambda x, axis, keepdims: getattr(np, name)(x, axis=axis,
            keepdims=keepdims),
            settings=(axis, keepdims), grad=False,
        )
    check_op(getattr(ops, name), [np.array([0.0, 2.0])], getattr(np, name), grad=False)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_positions(backend, name, axis):
    for keepdims in (False, True):
        check_op(
            getattr(ops, name), [X], lambda x, axis, keepdims: getattr(np, name)(x, axis=axis,
            keepdims=keepdims),
            settings=(axis, keepdims), grad=False,
        )
    assert getattr(ops, name)(X, axis=axis).dtype == "int32"


def test_count_nonzero(backend):
    x = np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 3.0]])
    for axis in (None, 0, 1, (0, 1)):
        check_op(ops.count_nonzero, [x], np.count_nonzero, settings=(axis,), grad=False)


def test_ties_share_the_gradient(backend):
    x = ops.array([[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])
    with GradientTape(persistent=True) as tape:
        tape.watch(x)
        top, bottom = ops.max(x, axis=1), ops.min(x)
    np.testing.assert_allclose(tape.gradient(top, x).numpy(), [[0, 0.5, 0.5], [1 / 3] * 3], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(bottom, x).numpy(), [[1, 0, 0], [0, 0, 0]])


def test_initial(backend):
    check_op(lambda x: ops.max(x, axis=1, initial=0.5), [X], lambda x: np.max(x, axis=1, initial=0.5))
    check_op(lambda x: ops.min(x, axis=1, initial=0.5), [X], lambda x: np.min(x, axis=1, initial=0.5))
    assert ops.max(np.zeros((0, 3)), axis=0, initial=-1.0).numpy().tolist() == [-1, -1, -1]
    assert int(ops.max(np.array([1, 2], "int32"), initial=5)) == 5
    with pytest.raises(ValueError, match="initial"):
        ops.max(np.zeros((0, 3)))


def test_empty(backend):
    x = np.zeros((0, 3))
    check_op(lambda x: ops.sum(x, axis=0), [x], lambda x: x.sum(axis=0))
    check_op(lambda x: ops.prod(x, axis=0), [x], lambda x: x.prod(axis=0))
    assert np.isnan(ops.mean(x).numpy())
    assert np.isnan(ops.var(x, axis=0).numpy()).all()


def test_small_integers_are_summed_in_32_bits(backend):
    for dtype, expected in (("bool", "int32"), ("int8", "int32"), ("uint8", "uint32"), ("int32", "int32"),
                            ("int64", "int64"), ("float16", "float16")):
        x = ops.ones((300,), dtype)
        assert ops.sum(x).dtype == expected and int(ops.sum(x)) == 300
        assert ops.prod(x).dtype == expected
    assert ops.mean(np.array([1, 2], "int32")).dtype == "float32"
    assert float(ops.mean(np.array([True, False]))) == 0.5
    assert ops.max(np.array([1, 2], "uint8")).dtype == "uint8"


def test_float16_is_summed_in_float32(backend):
    x = ops.full((70, 100), 10.0, "float16")
    assert ops.sum(x, axis=0).numpy().tolist() == [700.0] * 100
    assert float(ops.mean(ops.full((5000,), 20.0, "float16"))) == 20.0


def test_many_rows(backend):
    """The CPU sums leading axes through a matrix product from 16 rows on."""
    x = rng.standard_normal((5, 8, 3, 2))
    for axis in (0, (0, 1), (0, 1, 2)):
        check_op(lambda x: ops.sum(x, axis=axis), [x], lambda x: x.sum(axis=axis))
        check_op(
            lambda x: ops.mean(x, axis=axis, keepdims=True), [x], lambda x: x.mean(axis=axis, keepdims=True)
        )


def test_prod_and_cumprod_with_zeros(backend):
    for x in ([1.5, 0.0, 2.0], [0.0, 3.0, 0.0], [0.5, 2.0, -1.0]):
        check_op(ops.prod, [np.array(x)], np.prod, second_order=True)
        check_op(ops.cumprod, [np.array(x)], np.cumprod, second_order=True)


@pytest.mark.parametrize("name", ["cumsum", "cumprod"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_running(backend, name, axis):
    check_op(getattr(ops, name), [X], getattr(np, name), settings=(axis,), second_order=True)


def test_running_dtypes(backend):
    assert ops.cumsum(np.array([True, True])).numpy().tolist() == [1, 2]
    assert ops.cumsum(np.array([100, 100], "int8"), dtype="int32").numpy().tolist() == [100, 200]
    assert ops.prod(np.array([2, 3], "int8"), dtype="float32").dtype == "float32"


def test_moments(backend):
    for axes in (0, [0, 2], (0, 1, 2)):
        for keepdims in (False, True):
            check_op(
                lambda x: ops.moments(x, axes, keepdims), [X],
                lambda x: (
                    x.mean(axis=tuple(np.atleast_1d(axes)), keepdims=keepdims),
                    x.var(axis=tuple(np.atleast_1d(axes)), keepdims=keepdims),
                ),
            )
    with pytest.raises(NotImplementedError, match="synchronized"):
        ops.moments(X, 0, synchronized=True)


def test_std_of_equal_values_has_gradient_zero(backend):
    x = ops.array([2.0, 2.0, 2.0])
    with GradientTape() as tape:
        tape.watch(x)
        y = ops.std(x)
    assert tape.gradient(y, x).numpy().tolist() == [0, 0, 0]


def test_logsumexp_does_not_overflow(backend):
    check_op(
        lambda x: ops.logsumexp(x * 1000, axis=0), [np.array([[1.0], [2.0]])], np.array([2000.0]), grad=False
    )
    assert float(ops.logsumexp(ops.array([-np.inf, -np.inf]))) == -np.inf
    assert float(ops.logsumexp(ops.array([np.inf, 1.0]))) == np.inf


def test_normalize(backend):
    def reference(x, axis=-1, order=2):
        return x / np.linalg.norm(x, ord=order, axis=axis, keepdims=True)

    check_op(ops.normalize, [X], reference, second_order=True)
    check_op(ops.normalize, [X], reference, kwargs={"axis": 1})
    check_op(ops.normalize, [X], reference, kwargs={"order": 1})
    check_op(ops.normalize, [X], reference, kwargs={"order": 3})
    zero = ops.zeros((2, 3))
    assert ops.normalize(zero).numpy().tolist() == np.zeros((2, 3)).tolist()


def test_axis_errors(backend):
    with pytest.raises(ValueError, match="axis=3 is out of range"):
        ops.sum(X, axis=3)
    with pytest.raises(ValueError, match="twice"):
        ops.sum(X, axis=(0, -3))
    with pytest.raises(TypeError, match="axis must be an int"):
        ops.argmax(X, axis=(0, 1))


def test_gradient_through_broadcast_back(backend):
    check_gradient(lambda x: ops.sum(x, 0) * ops.mean(x, 0) + ops.max(x, 0), [X], second_order=False)
    check_gradient(lambda x: ops.sum(x, 0) * ops.mean(x, 0), [X], second_order=True)
