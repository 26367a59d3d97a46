"""Products of matrices against NumPy in float64. Whole numbers make most results exact in every type."""

import contextlib
import sys

import numpy as np
import pytest
from support import emulator
from support.emulator import report
from support.emulator.settings import SCHEDULES
from support.fake_device import emulated
from support.halves import FLOATS, HAS_BFLOAT16

RNG = np.random.default_rng(53)
KINDS = ["nn", "nt", "tn"]
# Places in the tables of tiles: item type, whether on tensor cores, which one.
TILES = [("float32", False, i) for i in range(4)] + [("float16", False, 0)]
TILES += [(dtype, True, i) for dtype in ("float32", "float16") for i in range(3)]
if HAS_BFLOAT16:
    TILES += [("bfloat16", False, 0), *(("bfloat16", True, i) for i in range(3))]
TILE_IDS = [f"{dtype}-{'tensor' if tensor else 'plain'}-{i}" for dtype, tensor, i in TILES]
ACTIVATIONS = {
    None: lambda z: z, "relu": lambda z: np.where(z < 0, 0, z), "tanh": np.tanh,
    "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
}
SLOPES = {"relu": lambda y: y > 0, "tanh": lambda y: 1 - y * y, "sigmoid": lambda y: y * (1 - y)}
CLOSE = {
    "float32": {"rtol": 1e-5, "atol": 1e-5}, "float16": {"rtol": 2e-3, "atol": 2e-3},
    "bfloat16": {"rtol": 5e-3, "atol": 5e-3},
}


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend, checked_launches():
        yield backend


@contextlib.contextmanager
def checked_launches():
    """Hold launches against their declarations, and leave the module's switches as they were."""
    from gpukeras.kernels import gemm, launch

    launch.debug(True)
    try:
        yield
    finally:
        launch.debug(False)
        gemm.precision.set_tf32(False)
        gemm.prefer("auto")


@pytest.fixture
def forced(gpu, monkeypatch):
    """Give a function that makes all products use one tile and cut their sums into that many parts."""
    from gpukeras.kernels import gemm

    def force(dtype, tensor, index, splits=1):
        tiles = gemm.TENSOR if tensor else gemm.PLAIN if dtype == "float32" else gemm.PLAIN_HALVES
        tile = tiles[index]
        depth = tile.depth_of(np.dtype(dtype).itemsize)

        def plan(m, n, k, *rest):
            slice_ = max(1, -(-k // (splits * depth))) * depth
            return gemm.Plan(tile, max(1, -(-k // slice_)), slice_)

        monkeypatch.setattr(gemm, "plan", plan)
        gemm.precision.set_tf32(tensor)
        return tile, depth

    return force


def numbers(*shape, dtype="float32", most=3):
    """Return whole numbers, so few and small that sums of products are exact until they are rounded."""
    return RNG.integers(-most, most + 1, shape).astype(dtype)


def as_stored(x, letter):
    return np.ascontiguousarray(x if letter == "n" else x.swapaxes(-1, -2))


def multiply(gpu, a, b, kind="nn", **options):
    """Return the product of host matrices; those in ``options`` go to the device too."""
    from gpukeras.kernels import gemm

    options = {k: gpu.asarray(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    a, b = (gpu.asarray(as_stored(x, letter)) for x, letter in zip((a, b), kind))
    found = gemm.multiply(a, b, kind, **options)
    return tuple(map(gpu.to_numpy, found)) if isinstance(found, tuple) else gpu.to_numpy(found)


def exact(x):
    return x.astype("float64")


# ---- every tile ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", TILES, ids=TILE_IDS)
@pytest.mark.parametrize("packed", [False, True])
def test_products_over_the_edges_of_tiles(gpu, forced, chosen, kind, packed):
    dtype = chosen[0]
    tile, depth = forced(*chosen)
    m, n, k = (tile.rows + 8, 8, 2 * depth + 8) if packed else (7, tile.columns + 5, depth + 3)
    a, b = numbers(m, k, dtype=dtype), numbers(k, n, dtype=dtype)
    c = multiply(gpu, a, b, kind)
    assert c.dtype == dtype
    np.testing.assert_array_equal(c, (exact(a) @ exact(b)).astype(dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", TILES, ids=TILE_IDS)
def test_split_sums(gpu, forced, chosen, kind):
    dtype = chosen[0]
    _, depth = forced(*chosen, splits=3)
    a, b = numbers(5, 2 * depth + 3, dtype=dtype), numbers(2 * depth + 3, 9, dtype=dtype)
    bias = numbers(9, dtype=dtype)
    c = multiply(gpu, a, b, kind, bias=bias, activation="relu")
    np.testing.assert_array_equal(c, np.maximum(exact(a) @ exact(b) + exact(bias), 0).astype(dtype))


@pytest.mark.parametrize("splits", [1, 2])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("chosen", TILES, ids=TILE_IDS)
def test_slopes_and_column_sums(gpu, forced, chosen, packed, splits):
    dtype = chosen[0]
    _, depth = forced(*chosen, splits=splits)
    rows, inputs, units = (2 * depth, 8, 24) if packed else (depth + 1, 5, 19)
    x, w = numbers(rows, inputs, dtype=dtype), numbers(inputs, units, dtype=dtype)
    y, dy = numbers(rows, units, dtype=dtype), numbers(rows, units, dtype=dtype)
    dz = np.where(y > 0, exact(dy), 0)
    dkernel, dbias = multiply(gpu, x.T, dy, "tn", y=y, activation="relu", sums=True)
    np.testing.assert_array_equal(dkernel, (exact(x).T @ dz).astype(dtype))
    np.testing.assert_array_equal(dbias, dz.sum(0).astype(dtype))
    dx = multiply(gpu, dy, w.T, "nt", y=y, activation="relu")
    np.testing.assert_array_equal(dx, (dz @ exact(w).T).astype(dtype))


# ---- what comes with a product ---------------------------------------------------------------------------
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
def test_bias_activation_and_factor(gpu, activation, dtype):
    a, b = (RNG.standard_normal(s).astype(dtype) for s in ((19, 21), (21, 13)))
    bias = RNG.standard_normal(13).astype(dtype)
    c = multiply(gpu, a, b, bias=bias, activation=activation, alpha=0.5)
    expected = ACTIVATIONS[activation](0.5 * exact(a) @ exact(b) + bias)
    np.testing.assert_allclose(c, expected, **CLOSE[dtype])


@pytest.mark.parametrize("activation", SLOPES)
def test_slopes(gpu, activation):
    x, dy = RNG.standard_normal((11, 6)).astype("float32"), RNG.standard_normal((11, 7)).astype("float32")
    y = ACTIVATIONS[activation](RNG.standard_normal((11, 7))).astype("float32")
    dz = exact(dy) * SLOPES[activation](exact(y))
    dkernel, dbias = multiply(gpu, x.T, dy, "tn", y=y, activation=activation, sums=True)
    np.testing.assert_allclose(dkernel, exact(x).T @ dz, **CLOSE["float32"])
    np.testing.assert_allclose(dbias, dz.sum(0), **CLOSE["float32"])


def test_what_is_no_number_stays_so(gpu):
    a = np.array([[np.nan, 1], [np.inf, 1], [-np.inf, 1], [2, 3]], "float32")
    c = multiply(gpu, a, np.eye(2, dtype="float32"), activation="relu")
    np.testing.assert_array_equal(c, [[np.nan] * 2, [np.inf, np.nan], [0, np.nan], [2, 3]])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shapes", [((3, 5, 6), (3, 6, 4)), ((3, 5, 6), (6, 4)), ((5, 6), (3, 6, 4))])
def test_batches(gpu, shapes, kind):
    a, b = map(lambda s: numbers(*s), shapes)
    np.testing.assert_array_equal(multiply(gpu, a, b, kind, alpha=2.0), 2 * exact(a) @ exact(b))


def test_batches_of_split_sums(gpu, forced):
    forced("float32", False, 3, splits=2)
    a, b = numbers(3, 5, 130), numbers(3, 130, 4)
    np.testing.assert_array_equal(multiply(gpu, a, b), exact(a) @ exact(b))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("m, n, k", [(0, 3, 2), (3, 0, 2), (3, 2, 0), (0, 0, 0), (1, 1, 1)])
def test_nothing_to_add_up(gpu, m, n, k, kind):
    a, b, bias = numbers(m, k), numbers(k, n), numbers(n)
    np.testing.assert_array_equal(multiply(gpu, a, b, kind, bias=bias), exact(a) @ exact(b) + bias)


@pytest.mark.parametrize("rows, inputs", [(4, 0), (0, 3)])
def test_column_sums_beside_nothing(gpu, rows, inputs):
    x, dy = numbers(rows, inputs), numbers(rows, 5)
    dkernel, dbias = multiply(gpu, x.T, dy, "tn", sums=True)
    assert dkernel.shape == (inputs, 5) and not dkernel.any()
    np.testing.assert_array_equal(dbias, exact(dy).sum(0))


def test_any_address(gpu):
    from gpukeras.kernels import gemm

    flat = gpu.asarray(numbers(1 + 8 * 8 + 8 * 8 + 8 * 8))
    a, b, c = (flat[1 + 64 * i:65 + 64 * i].reshape(8, 8) for i in range(3))
    before = gpu.to_numpy(flat)
    assert gemm.multiply(a, b, out=c) is c
    after = gpu.to_numpy(flat)
    np.testing.assert_array_equal(after[:129], before[:129])
    np.testing.assert_array_equal(
        after[129:].reshape(8, 8), before[1:65].reshape(8, 8) @ before[65:129].reshape(8, 8)
    )


def test_arrays_with_gaps(gpu):
    x, w, b = numbers(6, 8), numbers(8, 10), numbers(10)
    y, dy = numbers(6, 10), numbers(6, 10)
    xd, wd, bd, yd, dyd = (v[..., ::2] for v in map(gpu.asarray, (x, w[::2], b, y, dy)))
    x, w, b, y, dy = x[:, ::2], w[::2, ::2], b[::2], y[:, ::2], dy[:, ::2]
    found = gpu.dense_forward(xd, wd, bd, "relu")
    np.testing.assert_array_equal(gpu.to_numpy(found), np.maximum(x @ w + b, 0))
    dz = dy * (y > 0)
    dx, dkernel, dbias = gpu.dense_backward(dyd, xd, wd, yd, "relu", True, True, True)
    for value, right in ((dx, dz @ w.T), (dkernel, x.T @ dz), (dbias, dz.sum(0))):
        np.testing.assert_array_equal(gpu.to_numpy(value), right)


def test_results_repeat_in_any_order_of_blocks(gpu, forced):
    forced("float32", False, 2, splits=3)
    a, b = (RNG.standard_normal(s).astype("float32") for s in ((40, 100), (100, 33)))
    found = []
    for schedule in SCHEDULES:
        with emulator.using(schedule=schedule):
            found.append(multiply(gpu, a, b, bias=b[0], activation="tanh"))
    assert found[0].tobytes() == found[1].tobytes() == found[2].tobytes()


def test_operands_that_do_not_fit(gpu):
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2, 3\) do not fit"):
        multiply(gpu, numbers(2, 3), numbers(2, 3))
    with pytest.raises(ValueError, match="no column sums"):
        multiply(gpu, numbers(2, 3), numbers(3, 2), sums=True)
    with pytest.raises(ValueError, match="engine must be one of auto, own, library"):
        from gpukeras.kernels import gemm

        gemm.prefer("fast")


# ---- memory ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chosen", TILES[:2] + TILES[5:7] + TILES[8:10], ids=str)
@pytest.mark.parametrize("tier", ["check"], indirect=True)
def test_banks(gpu, forced, chosen, kind):
    """Tiles are copied, and fragments read, in as few passes through shared memory as there can be."""
    from gpukeras.kernels import gemm

    dtype = np.dtype(chosen[0])
    tile, depth = forced(*chosen)
    kernel = gemm.MODULE.kernel(f"gemm_{kind}", **tile.defines(dtype.name))
    with emulator.using(trace_blocks=1):
        multiply(gpu, *(numbers(*s, dtype=dtype) for s in ((tile.rows, depth), (depth, tile.columns))), kind)
    found = report.requests(kernel._function)
    copies = [r for r in found if "twins.h" in r.line or "mma.cuh" in r.line]
    assert any(r.kind == "write" for r in copies)
    assert any(r.kind == "read" for r in copies) == (chosen[1] and (kind != "tn" or dtype.itemsize == 2))
    assert all(r.parts <= 1.25 * r.ideal for r in copies), copies


# ---- precision -------------------------------------------------------------------------------------------
def test_float32_is_rounded_only_where_that_is_allowed(gpu):
    from gpukeras.kernels import gemm

    a, b = (1 + RNG.random(s).astype("float32") for s in ((17, 40), (40, 9)))
    product = exact(a) @ exact(b)
    assert abs(multiply(gpu, a, b) / product - 1).max() < 1e-6
    gemm.precision.set_tf32(True)
    assert gemm.tf32_allowed()
    found = multiply(gpu, a, b)
    assert abs(found / product - 1).max() > 1e-6
    rounded = [((x.view("uint32") + 0x1000) & 0xFFFFE000).view("float32") for x in (a, b)]
    np.testing.assert_allclose(found, exact(rounded[0]) @ exact(rounded[1]), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_devices_without_tensor_cores_of_this_kind(dtype):
    with emulated(compute_capability="75") as gpu, checked_launches():
        from gpukeras.kernels import gemm

        gemm.precision.set_tf32(True)
        assert not gemm.tf32_allowed()
        a, b = numbers(9, 20, dtype=dtype), numbers(20, 11, dtype=dtype)
        np.testing.assert_array_equal(multiply(gpu, a, b), exact(a) @ exact(b))


# ---- plans -----------------------------------------------------------------------------------------------
@pytest.fixture
def plan():
    with emulated():
        from gpukeras.kernels import gemm

        yield gemm.plan


@pytest.mark.parametrize("tensor, itemsize", [(False, 4), (True, 4), (True, 2), (False, 2)])
def test_plans_cover_the_sum(plan, tensor, itemsize):
    for m, n, k, batch in RNG.integers(1, 5000, (200, 4)).tolist() + [[1, 1, 0, 1], [1, 1, 10**6, 60000]]:
        tile, splits, slice_ = plan(m, n, k, batch, itemsize, tensor, 132)
        assert slice_ % tile.depth_of(itemsize) == 0
        assert (splits - 1) * slice_ < max(k, 1) <= splits * slice_
        assert splits * batch <= 65535


def test_plans_fill_the_device(plan):
    def blocks(m, n, k):
        tile, splits, _ = plan(m, n, k, 1, 4, False, 132)
        return -(-m // tile.rows) * -(-n // tile.columns) * splits

    large = plan(4096, 4096, 4096, 1, 4, False, 132)
    assert (large.tile.rows, large.tile.columns, large.splits) == (128, 128, 1)
    assert plan(64, 64, 100_000, 1, 4, False, 132).splits > 1  # few results, a long sum
    assert plan(32, 128, 64, 1, 4, False, 132).splits == 1  # a second launch would take longer
    assert blocks(32, 512, 784) >= 64
    assert blocks(512, 512, 512) >= 100


# ---- the backend -----------------------------------------------------------------------------------------
def dense_case(activation, dtype="float32"):
    x, w, b, dy = (RNG.standard_normal(s).astype(dtype) for s in ((9, 6), (6, 5), (5,), (9, 5)))
    return x, w, b, dy, ACTIVATIONS[activation](exact(x) @ exact(w) + b)


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_dense(gpu, activation, dtype):
    x, w, b, dy, expected = dense_case(activation, dtype)
    xd, wd, bd, dyd = map(gpu.asarray, (x, w, b, dy))
    y = gpu.dense_forward(xd, wd, bd, activation)
    np.testing.assert_allclose(gpu.to_numpy(y), expected, **CLOSE[dtype])
    dz = exact(dy) * (SLOPES[activation](expected) if activation else 1)
    wanted = [dz @ exact(w).T, exact(x).T @ dz, dz.sum(0)]
    for asked in np.ndindex(2, 2, 2):
        found = gpu.dense_backward(dyd, xd, wd, y, activation, *map(bool, asked))
        for one, value, right in zip(asked, found, wanted):
            assert (value is not None) == bool(one)
            if one:
                assert value.dtype == dtype
                tolerance = 5 * CLOSE[dtype]["rtol"]
                np.testing.assert_allclose(gpu.to_numpy(value), right, rtol=tolerance, atol=tolerance)


def test_dense_in_given_memory(gpu):
    x, w, _, dy, _ = dense_case(None)
    flat = gpu.asarray(np.zeros(31, "float32"))
    out = flat[1:].reshape(6, 5)
    _, dkernel, _ = gpu.dense_backward(
        gpu.asarray(dy), gpu.asarray(x), gpu.asarray(w), None, None, False, True, True, out
    )
    assert dkernel is out
    np.testing.assert_allclose(gpu.to_numpy(flat)[1:].reshape(6, 5), x.T @ dy, **CLOSE["float32"])
    assert gpu.dense_kernel_gradient(gpu.asarray(x), gpu.asarray(dy), out) is out


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_other_types_go_the_generic_way(gpu, dtype):
    x, w = numbers(3, 4, dtype=dtype), numbers(4, 5, dtype=dtype)
    xd, wd = gpu.asarray(x), gpu.asarray(w)
    for found in (gpu.matmul(xd, wd), gpu.dense_product(xd, wd), gpu.dense_forward(xd, wd, None)):
        assert found.dtype == dtype
        np.testing.assert_array_equal(gpu.to_numpy(found), x @ w)


@pytest.mark.parametrize("shapes", [
    ((4, 5), (5, 3)), ((2, 4, 5), (5, 3)), ((4, 5), (2, 5, 3)), ((2, 3, 4, 5), (2, 3, 5, 3)),
    ((1, 5), (5, 1)), ((2, 1, 4, 5), (3, 5, 3)), ((5,), (5, 3)), ((4, 5), (5,)), ((2, 0, 5), (2, 5, 3)),
    ((0, 4, 5), (0, 5, 3)), ((2, 4, 0), (0, 3)),
], ids=str)
@pytest.mark.parametrize("turned", ["nn", "nt", "tn", "tt"])
def test_matmul_of_views(gpu, shapes, turned):
    if min(map(len, shapes)) == 1 and turned != "nn":
        return
    x, y = (numbers(*s) for s in shapes)
    xd, yd = (gpu.asarray(as_stored(v, t)) for v, t in zip((x, y), turned))
    xd, yd = (v if t == "n" else v.swapaxes(-1, -2) for v, t in zip((xd, yd), turned))
    found = gpu.matmul(xd, yd)
    np.testing.assert_array_equal(gpu.to_numpy(found), x @ y)


def test_matmul_of_parts(gpu):
    x, y = numbers(6, 10), numbers(10, 8)
    found = gpu.matmul(gpu.asarray(x)[::2, ::2], gpu.asarray(y)[::2, 1:4])
    np.testing.assert_array_equal(gpu.to_numpy(found), x[::2, ::2] @ y[::2, 1:4])


def test_products_in_a_captured_graph(gpu):
    cupy = sys.modules["cupy"]
    x, w, b, dy, _ = dense_case("tanh")
    xd, wd, bd, dyd = map(gpu.asarray, (x, w, b, dy))

    def step():
        y = gpu.dense_forward(xd, wd, bd, "tanh")
        return y, *gpu.dense_backward(dyd, xd, wd, y, "tanh", True, True, True)

    step()  # compiles
    stream, pool = cupy.cuda.Stream(non_blocking=True), cupy.cuda.MemoryPool()
    with stream, cupy.cuda.using_allocator(pool.malloc):
        stream.begin_capture()
        results = step()
        graph = stream.end_capture()
    xd[...] = gpu.asarray(2 * x)
    graph.launch(stream)
    stream.synchronize()
    for captured, eager in zip(results, step()):
        np.testing.assert_array_equal(gpu.to_numpy(captured), gpu.to_numpy(eager))
