"""Quantiles, averages, reductions that skip NaN."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import ops

rng = np.random.default_rng(7)
X = rng.permutation(24).reshape(2, 3, 4) / 7 - 1.3
HOLES = X.copy()
HOLES[0, 1, 2] = HOLES[1, 0, 0] = HOLES[1, 2, 0] = HOLES[1, 1, 3] = np.nan
METHODS = ["linear", "lower", "higher", "midpoint", "nearest"]


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2)], ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_quantiles(backend, axis, method):
    for q in (0.3, [0.0, 0.5, 0.81, 1.0]):
        for keepdims in (False, True):
            check_op(
                lambda x: ops.quantile(x, q, axis, method, keepdims), [X],
                lambda x: np.quantile(x, q, axis, method=method, keepdims=keepdims), batch=(),
            )
    check_op(
        lambda x: ops.percentile(x, 30, axis, method), [X], lambda x: np.percentile(x, 30, axis,
        method=method), batch=()
    )
    check_op(
        lambda x: ops.nanquantile(x, [0.2, 0.7], axis, method), [HOLES],
        lambda x: np.nanquantile(x, [0.2, 0.7], axis, method=method), grad=False, batch=(),
    )
    check_op(
        lambda x: ops.nanpercentile(x, 20, axis, method, True), [HOLES],
        lambda x: np.nanpercentile(x, 20, axis, method=method, keepdims=True), grad=False, batch=(),
    )


def test_medians(backend):
    for axis in (None, 1, (0, 1)):
        for keepdims in (False, True):
            check_op(lambda x: ops.median(x, axis, keepdims), [X], lambda x: np.median(x, axis,
            keepdims=keepdims),
                     batch=())
            check_op(lambda x: ops.nanmedian(x, axis, keepdims), [HOLES],
                     lambda x: np.nanmedian(x, axis, keepdims=keepdims), grad=False, batch=())
    assert np.isnan(float(ops.median(HOLES)))
    with pytest.raises(ValueError, match="between 0 and 1"):
        ops.quantile(X, 1.5)
    with pytest.raises(ValueError, match="method must be"):
        ops.quantile(X, 0.5, method="cubic")


NAN = [
    ("nansum", np.nansum), ("nanprod", np.nanprod), ("nanmean", np.nanmean), ("nanvar", np.nanvar),
    ("nanstd", np.nanstd), ("nanmax", np.nanmax), ("nanmin", np.nanmin),
]


@pytest.mark.parametrize("name, reference", NAN)
def test_nan_reductions(backend, name, reference):
    for x in (X, HOLES):
        for axis in (None, 0, 2, (0, 2)):
            for keepdims in (False, True):
                check_op(
                    lambda x: getattr(ops, name)(x, axis, keepdims), [x],
                    lambda x: reference(x, axis=axis, keepdims=keepdims), grad=x is X,
                )


def test_nothing_but_nan(backend):
    nothing = np.array([[np.nan, np.nan], [1.0, 2.0]])
    for name in ("nanmax", "nanmin", "nanmean", "nanvar", "nanmedian"):
        y = getattr(ops, name)(nothing, axis=1).numpy()
        assert np.isnan(y[0]) and np.isfinite(y[1]), name
    assert ops.nanargmax(nothing, axis=1).numpy().tolist() == [-1, 1]
    assert ops.nanargmin(nothing, axis=1).numpy().tolist() == [-1, 0]


def test_nan_positions_and_running(backend):
    for axis in (None, 0, 1):
        check_op(ops.nanargmax, [HOLES], np.nanargmax, settings=(axis,), grad=False)
        check_op(ops.nanargmin, [HOLES], np.nanargmin, settings=(axis,), grad=False)
        check_op(ops.nancumsum, [HOLES], np.nancumsum, settings=(axis,), grad=False)
        check_op(ops.nancumprod, [HOLES], np.nancumprod, settings=(axis,), grad=False)
    assert int(ops.nansum(np.array([1, 2], "int32"))) == 3


def test_average(backend):
    w = rng.uniform(0.5, 1.5, X.shape)
    check_op(ops.average, [X], lambda x: np.average(x))
    check_op(lambda x, w: ops.average(x, 1, w), [X, w], lambda x, w: np.average(x, 1, w))
    check_op(lambda x, w: ops.average(x, 1, w), [X, w[0, :, 0]], lambda x, w: np.average(x, 1, w), batch=())
    with pytest.raises(ValueError, match="weights of shape"):
        ops.average(X, None, w[0])


def test_diff_and_trapezoid(backend):
    for n in (0, 1, 2):
        check_op(lambda x: ops.diff(x, n, 1), [X], lambda x: np.diff(x, n, 1))
    assert ops.diff(np.array([True, False, False])).numpy().tolist() == [True, False]
    steps = np.sort(rng.random(4))
    check_op(lambda y: ops.trapezoid(y, dx=0.5), [X], lambda y: np.trapezoid(y, dx=0.5))
    check_op(lambda y, x: ops.trapezoid(y, x), [X, steps], np.trapezoid)
    check_op(lambda y: ops.trapezoid(y, axis=1), [X], lambda y: np.trapezoid(y, axis=1))


def test_corrcoef(backend):
    check_op(ops.corrcoef, [rng.standard_normal((3, 8))], np.corrcoef, batch=())
    assert float(ops.corrcoef([1.0, 2.0, 4.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("mode", ["valid", "same", "full"])
def test_correlate(backend, mode):
    for n, m in ((6, 3), (6, 2), (3, 6), (2, 6), (4, 4), (5, 5), (1, 3), (3, 4), (4, 3)):
        check_op(
            ops.correlate, [rng.standard_normal(n), rng.standard_normal(m)], np.correlate, settings=(mode,),
            batch=()
        )


def test_cdist(backend):
    x, y = rng.standard_normal((2, 4, 3)), rng.standard_normal((2, 5, 3))
    check_op(ops.cdist, [x, y], lambda x, y: np.sqrt(((x[:, :, None] - y[:, None]) ** 2).sum(-1)))


def test_psnr(backend):
    x, y = rng.random((4, 5)), rng.random((4, 5))
    check_op(
        lambda x, y: ops.psnr(x, y, 2.0), [x, y], lambda x, y: 10 * np.log10(4 / np.mean((x - y) ** 2))
    )
