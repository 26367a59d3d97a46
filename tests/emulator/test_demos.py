"""Right kernels give right results in every tier and order, and what the emulator measures is right."""

import numpy as np
import pytest
from support.emulator import report, using

rng = np.random.default_rng(3)


@pytest.mark.parametrize("m, k, n", [(16, 16, 16), (33, 50, 7), (1, 1, 1)])
def test_tiled_gemm(cupy, load, tier, schedule, m, k, n):
    a, b = rng.standard_normal((m, k)).astype("f4"), rng.standard_normal((k, n)).astype("f4")
    c = cupy.empty((m, n), "f4")
    arguments = (cupy.asarray(a), cupy.asarray(b), c, m, n, k)
    load("demos.cu", "gemm_tiled")((-(-n // 16), -(-m // 16)), (16, 16), arguments)
    np.testing.assert_allclose(c.get(), a.astype("f8") @ b, atol=1e-5)


def test_shuffle_reduction(cupy, load, tier, schedule):
    x, sums = rng.standard_normal(1001).astype("f4"), cupy.empty(3, "f4")
    load("demos.cu", "sum_of_blocks")((3,), (96,), (cupy.asarray(x), sums, x.size), shared_mem=12)
    assert abs(sums.get().sum() - x.sum(dtype="f8")) < 1e-4


def test_matrix_product_of_a_warp(cupy, load, tier, schedule):
    def rounded(x):  # to bfloat16, as bits and as numbers
        word = x.view("u4")
        bits = ((word + 0x7FFF + (word >> 16 & 1)) >> 16).astype("u2")
        return bits, (bits.astype("u4") << 16).view("f4")

    a, a_numbers = rounded(rng.standard_normal((16, 48)).astype("f4"))
    b, b_numbers = rounded(rng.standard_normal((8, 48)).astype("f4"))
    c = cupy.empty((16, 8), "f4")
    load("demos.cu", "gemm_bfloat16")((1,), (32,), (cupy.asarray(a), cupy.asarray(b), c, 48))
    np.testing.assert_allclose(c.get(), a_numbers.astype("f8") @ b_numbers.T, atol=1e-5)


def test_lanes_see_each_other(cupy, load, tier, schedule):
    y = cupy.empty(32, "f4")
    load("demos.cu", "reversed")((1,), (32,), (cupy.arange(32, dtype="f4"), y))
    assert y.get().tolist() == list(range(31, -1, -1))


def test_halves_vectors_and_structures(cupy, load, tier):
    x, y = rng.standard_normal(40).astype("f2"), cupy.empty(40, "f4")
    shape = np.zeros((), [("rows", "i4"), ("columns", "i4"), ("scale", "f4")])
    shape["scale"] = 3
    load("demos.cu", "scaled")((1,), (32,), (cupy.asarray(x), y, shape, 10, np.bool_(True)))
    np.testing.assert_array_equal(y.get(), -3 * x.astype("f4"))


def test_votes_and_shuffles(cupy, load, tier, schedule):
    x, y = rng.integers(-9, 10, 64).astype("i4"), cupy.empty((64, 8), "i4")
    load("demos.cu", "votes")((1,), (64,), (cupy.asarray(x), y))
    lane = np.arange(64)
    ballot = [sum(1 << i for i in range(32) if w[i] & 1) for w in x.reshape(2, 32)]
    expected = [
        np.full(64, (x > 0).sum()), np.full(64, 1), np.repeat(np.array(ballot, "u4").view("i4"), 32),
        np.where(lane % 16, np.roll(x, 1), x), x[lane ^ 3], x[lane // 8 * 8 + 5],
        np.repeat(x.reshape(2, 32).sum(1), 32),
        ((0x9E3779B9 * x.view("u4").astype("u8")) >> np.uint64(32)).astype("u4").view("i4"),
    ]
    for column, value in enumerate(expected):
        assert (y.get()[:, column] == value).all(), column


def test_atomic_counts(cupy, load, tier, schedule):
    x, counts = rng.integers(0, 8, 300).astype("i4"), cupy.zeros(8, "i4")
    load("demos.cu", "histogram")((2,), (64,), (cupy.asarray(x), counts, 300))
    assert (counts.get() == 2 * np.bincount(x, minlength=8)).all()


def test_arrays_that_share_memory(cupy, load, tier):
    memory = cupy.arange(20, dtype="f4")
    load("demos.cu", "in_place")((1,), (32,), (memory[2:12], memory[2:12], 10))
    assert (memory.get() == [0, 1, *range(4, 24, 2), *range(12, 20)]).all()


def test_an_empty_array_and_a_view(cupy, load, tier):
    x, y = cupy.arange(8, dtype="f4"), cupy.zeros(8, "f4")
    load("demos.cu", "in_place")((1,), (32,), (x[4:], y[:4], 4))
    load("demos.cu", "in_place")((1,), (32,), (x[:0], y[:0], 0))
    assert y.get().tolist() == [8, 10, 12, 14, 0, 0, 0, 0]


@pytest.mark.parametrize("capability", ["75", "90"])
def test_compute_capability(cupy, load, capability):
    y = cupy.empty(1, "i4")
    with using(compute_capability=capability):
        load("demos.cu", "architecture")((1,), (1,), (y,))
        assert cupy.cuda.Device().compute_capability == capability
    assert y.get() == 10 * int(capability)


def test_memory_requests_are_counted(cupy, load):
    kernel = load("demos.cu", "column_of")
    for stride, sectors in ((1, 4), (8, 32)):
        x, y = cupy.zeros(32 * stride, "f4"), cupy.empty(32, "f4")
        with using(tier="check", trace_blocks=1):
            kernel((1,), (32,), (x, y, stride))
            found = {(r.space, r.kind): r for r in report.requests(kernel)
                     if r.space == "shared" or r.kind == "read"}
        assert (found["global", "read"].parts, found["global", "read"].ideal) == (sectors, 4)
        assert found["shared", "write"].parts == 32  # all lanes want one bank


def test_tiers_agree_and_orders_agree(cupy, load):
    a, b = rng.standard_normal((20, 40)).astype("f4"), rng.standard_normal((40, 20)).astype("f4")
    results = []
    for tier in ("fast", "check"):
        for schedule in ("forward", "reverse", "random"):
            c = cupy.empty((20, 20), "f4")
            with using(tier=tier, schedule=schedule, seed=len(results)):
                arguments = (cupy.asarray(a), cupy.asarray(b), c, 20, 20, 40)
                load("demos.cu", "gemm_tiled")((2, 2), (16, 16), arguments)
            results.append(c.get())
    assert all((r == results[0]).all() for r in results)
