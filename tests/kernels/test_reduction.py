"""Kernels of sums, extremes and counts against NumPy in float64."""

import numpy as np
import pytest
from support.fake_device import emulated, forbid_waiting, installed
from support.halves import FLOATS

RNG = np.random.default_rng(61)
SHAPES = [(1, 1), (1, 7), (5, 1), (3, 4), (33, 10), (300, 3), (7, 129), (64, 64), (2, 1028), (515, 12)]
TOLERANCE = {"float32": (2e-6, 1e-5), "float16": (2e-3, 2e-3), "bfloat16": (5e-3, 4e-3)}


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def close(gpu, found, expected, dtype="float32", factor=1.0):
    relative, absolute = TOLERANCE[dtype]
    assert found.dtype == dtype
    np.testing.assert_allclose(
        gpu.to_numpy(found).astype(float), expected, relative * factor, absolute * factor
    )


# ---- rows and columns -------------------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_and_columns(gpu, shape, dtype):
    x = RNG.standard_normal(shape).astype(dtype)
    wide = x.astype(float)
    a = gpu.asarray(x)
    close(gpu, gpu.row_sum(a), wide.sum(1, keepdims=True), dtype)
    close(gpu, gpu.column_sum(a), wide.sum(0), dtype)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.row_max(a)), x.max(1, keepdims=True))


def test_long_rows_and_many_rows_are_shared_by_blocks(gpu):
    from gpukeras.kernels import reduction_shapes as shapes

    x = RNG.standard_normal((2, 40_004)).astype("float32")
    assert shapes.parts_of_rows(*x.shape, 4, 16).grid[1] > 1
    close(gpu, gpu.row_sum(gpu.asarray(x)), x.sum(1, keepdims=True, dtype=float), factor=10)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.row_max(gpu.asarray(x))), x.max(1, keepdims=True))
    y = RNG.standard_normal((9001, 5)).astype("float32")
    assert shapes.columns(*y.shape, 1, 16).splits > 1
    close(gpu, gpu.column_sum(gpu.asarray(y)), y.sum(0, dtype=float), factor=10)
    odd = RNG.standard_normal((1, 20_011)).astype("float16")
    close(gpu, gpu.row_sum(gpu.asarray(odd)), odd.sum(1, keepdims=True, dtype=float), "float16", factor=5)


def test_nan_and_infinity(gpu):
    x = np.array([[1, np.nan, 3, 4], [-np.inf] * 4, [np.inf, -np.inf, 0, 0], [np.inf, 1, 2, 3]], "float32")
    a = gpu.asarray(x)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.row_max(a))[:, 0], [np.nan, -np.inf, np.inf, np.inf])
    np.testing.assert_array_equal(gpu.to_numpy(gpu.row_sum(a))[:, 0], [np.nan, -np.inf, np.nan, np.inf])
    smallest = gpu.to_numpy(gpu.extreme(a, (0,), "min"))[0]
    np.testing.assert_array_equal(smallest, [-np.inf, np.nan, -np.inf, -np.inf])


def test_sums_repeat_to_the_last_bit(gpu):
    x = gpu.asarray(RNG.standard_normal((3000, 6)).astype("float32"))
    first = gpu.to_numpy(gpu.column_sum(x)), gpu.to_numpy(gpu.sum(x, (0, 1)))
    from support import emulator

    with emulator.using(schedule="random", seed=3):
        again = gpu.to_numpy(gpu.column_sum(x)), gpu.to_numpy(gpu.sum(x, (0, 1)))
    for a, b in zip(first, again):
        np.testing.assert_array_equal(a, b)


def test_other_types_and_empty_arrays_go_the_generic_way(gpu):
    for dtype in ("float64", "int32"):
        x = RNG.integers(-9, 9, (4, 6)).astype(dtype)
        np.testing.assert_array_equal(gpu.to_numpy(gpu.column_sum(gpu.asarray(x))), x.sum(0))
        np.testing.assert_array_equal(gpu.to_numpy(gpu.row_max(gpu.asarray(x)))[:, 0], x.max(1))
    assert gpu.row_sum(gpu.asarray(np.zeros((0, 3), "float32"))).shape == (0, 1)
    np.testing.assert_array_equal(gpu.to_numpy(gpu.column_sum(gpu.asarray(np.zeros((0, 3), "float32")))), 0)


def test_arrays_that_are_not_contiguous(gpu):
    x = RNG.standard_normal((9, 8)).astype("float32")
    close(gpu, gpu.column_sum(gpu.asarray(x).T), x.sum(1, dtype=float))
    close(gpu, gpu.row_sum(gpu.asarray(x)[:, 1:6]), x[:, 1:6].sum(1, keepdims=True, dtype=float))
    flat = gpu.asarray(RNG.standard_normal(65).astype("float32"))
    shifted = flat[1:].reshape(8, 8)  # contiguous, but at no address for packs
    close(gpu, gpu.row_sum(shifted), gpu.to_numpy(shifted).sum(1, keepdims=True, dtype=float))


# ---- runs of axes -----------------------------------------------------------------------------------------
@pytest.mark.parametrize("shape, axes", [
    ((3, 4, 5), (0,)), ((3, 4, 5), (1,)), ((3, 40, 8), (1,)), ((3, 4, 5), (2,)), ((3, 4, 5), (0, 1)),
    ((3, 4, 5), (1, 2)), ((3, 4, 5), (0, 1, 2)), ((3, 4, 5), (0, 2)), ((2, 1, 5, 1), (0, 3)), ((2, 3), ()),
    ((1, 1), (0,)), ((130, 40, 4), (1,)), ((2, 70, 33), (1,)), ((6,), (0,)), ((12, 16), (0,)),
], ids=str)
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum_and_extremes(gpu, shape, axes, keepdims):
    x = RNG.standard_normal(shape).astype("float32")
    a = gpu.asarray(x)
    found = gpu.sum(a, axes, keepdims, 0.25)
    expected = x.astype(float).sum(axes, keepdims=keepdims) * 0.25
    assert found.shape == expected.shape
    close(gpu, found, expected)
    for name in ("max", "min"):
        found = gpu.extreme(a, axes, name)
        np.testing.assert_array_equal(gpu.to_numpy(found), getattr(x, name)(axis=axes, keepdims=True))


def test_half_sums_beyond_its_range_come_back_when_scaled(gpu):
    x = np.full((3, 200), 1000, "float16")
    np.testing.assert_array_equal(gpu.to_numpy(gpu.sum(gpu.asarray(x), (1,), scale=1 / 200)), [1000] * 3)
    assert np.isinf(gpu.to_numpy(gpu.sum(gpu.asarray(x), (1,)))).all()


# ---- right predictions ------------------------------------------------------------------------------------
def state(gpu):
    return gpu.asarray(np.full((), 2, "float32")), gpu.asarray(np.full((), 3, "float32"))


@pytest.mark.parametrize("labels", ["int32", "int64", "uint8", "float32", "float16", "dense", "dense64"])
@pytest.mark.parametrize("shape", [(1, 2), (37, 10), (300, 4), (3, 300)], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_classes(gpu, shape, labels, weighted):
    scores = RNG.integers(0, 6, shape).astype("float32")  # many ties: the first counts
    wanted = RNG.integers(0, min(shape[1], 4), shape[0])
    if labels.startswith("dense"):
        truth = np.eye(shape[1], dtype="int64" if labels == "dense64" else "float32")[wanted]
    else:
        truth = wanted.astype(labels)
    weights = RNG.integers(0, 4, shape[0]).astype("float32") if weighted else np.ones(shape[0], "float32")
    total, count = state(gpu)
    given = gpu.asarray(weights) if weighted else None
    gpu.count_classes(gpu.asarray(scores), gpu.asarray(truth), total, count, given)
    hits = scores.argmax(1) == wanted
    assert gpu.to_numpy(total) == 2 + (hits * weights).sum() and gpu.to_numpy(count) == 3 + weights.sum()


def test_counting_waits_for_nothing(gpu, monkeypatch):
    from gpukeras.kernels import launch

    monkeypatch.setattr(launch, "_debug", False)  # that would wait by itself
    scores, truth = gpu.asarray(np.eye(4, dtype="float32")), gpu.asarray(np.array([0, 1, 2, 0], "uint8"))
    total, count = state(gpu)
    with forbid_waiting():
        gpu.count_classes(scores, truth, total, count)
        gpu.count_binary(scores, scores, total, count, 0.5)
    assert gpu.to_numpy(total) == 2 + 3 + 4 and gpu.to_numpy(count) == 3 + 4 + 4


def test_classes_of_scores_that_are_no_numbers(gpu):
    nan, inf = np.nan, np.inf
    scores = np.array([[1, nan, inf], [-inf] * 3, [nan, 2, nan], [0, inf, inf]], "float32")
    total, count = state(gpu)
    labels = np.array([1, 0, 0, 1], "int32")
    assert (scores.argmax(1) == labels).all()
    gpu.count_classes(gpu.asarray(scores), gpu.asarray(labels), total, count)
    assert gpu.to_numpy(total) == 6 and gpu.to_numpy(count) == 7


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("shape", [(1, 1), (37, 3), (2000, 1)], ids=str)
def test_binary(gpu, shape, dtype):
    scores = RNG.integers(0, 5, shape).astype(dtype) / 4
    truth = RNG.integers(0, 2, shape)
    weights = RNG.integers(0, 3, shape[0]).astype("float32")
    for given in (None, weights):
        total, count = state(gpu)
        arrays = gpu.asarray(scores), gpu.asarray(truth)
        gpu.count_binary(*arrays, total, count, 0.5, None if given is None else gpu.asarray(given))
        each = (truth == (scores > 0.5)).mean(1) * (1 if given is None else given)
        np.testing.assert_allclose(gpu.to_numpy(total), 2 + each.sum(), 1e-6)
        assert gpu.to_numpy(count) == 3 + (shape[0] if given is None else given.sum())


def test_binary_thresholds_are_of_the_type_of_the_scores(gpu):
    scores = np.array([0.3, 0.3, 0.30029297], "float16")  # the second number above 0.3, as 0.3 is in float16
    truth = np.array([0, 1, 1], "float32")
    total, count = state(gpu)
    gpu.count_binary(gpu.asarray(scores), gpu.asarray(truth), total, count, 0.3)
    assert gpu.to_numpy(total) == 2 + 2 and gpu.to_numpy(count) == 3 + 3


@pytest.mark.parametrize("scores, kind", [
    ("float64", "float32"), ("float32", "float64"), ("int32", "float32"),
])
def test_other_types_are_counted_the_generic_way(gpu, scores, kind):
    x, truth = RNG.integers(0, 6, (9, 4)).astype(scores), RNG.integers(0, 4, 9)
    total, count = (gpu.asarray(np.zeros((), kind)) for _ in range(2))
    weights = RNG.integers(0, 4, 9).astype(kind)
    gpu.count_classes(gpu.asarray(x), gpu.asarray(truth), total, count, gpu.asarray(weights))
    assert gpu.to_numpy(total) == ((x.argmax(1) == truth) * weights).sum()
    assert total.dtype == kind and gpu.to_numpy(count) == weights.sum()
    gpu.count_binary(gpu.asarray(x), gpu.asarray(x > 2), total, count, 2, gpu.asarray(weights))
    assert gpu.to_numpy(count) == 2 * weights.sum()
    gpu.count_classes(gpu.asarray(x[:0]), gpu.asarray(truth[:0]), total, count)
    assert gpu.to_numpy(count) == 2 * weights.sum()


# ---- layouts ----------------------------------------------------------------------------------------------
@pytest.fixture
def shapes():
    with installed():
        from gpukeras.kernels import reduction_shapes

        yield reduction_shapes


SIZES = [1, 2, 3, 5, 31, 32, 33, 127, 128, 1000, 1024, 4096, 8192, 8193, 65536, 1_000_003]


def test_layout_of_rows(shapes):
    for columns in SIZES:
        for pack in (1, 4) if columns % 4 == 0 else (1,):
            for count in (1, 7, 10_000_000):
                plan = shapes.rows(count, columns, pack)
                assert plan.group & (plan.group - 1) == 0 and plan.threads % plan.group == 0
                assert plan.group <= shapes.WARP or plan.group <= plan.threads
                assert plan.blocks * (plan.threads // plan.group) >= count
                if plan.held:
                    assert plan.held * pack * plan.group >= columns
                    assert plan.group > shapes.THREADS or plan.threads == shapes.THREADS


def test_layout_of_parts_covers_every_row_once(shapes):
    for columns in SIZES:
        for pack in (1, 4) if columns % 4 == 0 else (1,):
            for count in (1, 7, 5000):
                plan = shapes.parts_of_rows(count, columns, pack, 132)
                splits = plan.grid[1]
                assert plan.part % pack == 0
                assert (splits - 1) * plan.part < columns <= splits * plan.part
                assert plan.grid[0] * (shapes.THREADS // plan.group) >= count
                assert plan.group <= shapes.WARP or plan.group == shapes.THREADS
    assert shapes.parts_of_rows(1, 10_000_000, 4, 132).grid[1] > 132
    assert shapes.parts_of_rows(10_000_000, 10, 1, 132).grid[1] == 1


def test_layout_of_columns(shapes):
    for columns in SIZES:
        for pack in (1, 4) if columns % 4 == 0 else (1,):
            for rows in (1, 40, 1024, 1025, 10_000_000):
                plan = shapes.columns(rows, columns, pack, 132)
                across, down = plan.block
                assert 1 <= down <= max(rows, 1) and across * down <= shapes.THREADS
                assert (plan.tiles - 1) * across * pack < columns <= plan.tiles * across * pack
                assert plan.splits >= 1
                if rows > shapes.TIRED * down:
                    assert plan.splits * plan.tiles >= min(132, rows // (shapes.TIRED * down))
    assert shapes.columns(10_000_000, 1, 1, 132).splits == 4 * 132
    assert shapes.columns(10_000_000, 64, 4, 132, splits=1).grid == (1, 1)


def test_runs_of_axes(shapes):
    assert shapes.runs((2, 3, 4, 5), (1, 2)) == (2, 12, 5)
    assert shapes.runs((2, 3, 4), (0, 1, 2)) == (1, 24, 1)
    assert shapes.runs((2, 1, 4), (0, 2)) == (1, 8, 1)
    assert shapes.runs((2, 3, 4), (0, 2)) is None and shapes.runs((1, 3), (0,)) is None
