"""Convolution kernels against naive loops in float64."""

import itertools

import numpy as np
import pytest
from support import emulator
from support.emulator import report
from support.fake_device import emulated
from support.halves import FLOATS, HALVES

from gpukeras.backends.window_shapes import windows

RNG = np.random.default_rng(77)
# size, window, strides, padding, dilation
CASES = [
    ((7,), (3,), (1,), "causal", (2,)), ((9,), (2,), (4,), "valid", (1,)),
    ((6, 5), (3, 3), (1, 1), "same", (1, 1)), ((7, 8), (3, 2), (2, 3), "valid", (1, 1)),
    ((5, 7), (3, 3), (2, 2), "same", (1, 1)), ((8, 7), (3, 2), (1, 1), "valid", (2, 3)),
    ((7, 7), (3, 3), (2, 3), "same", (3, 2)), ((5, 5), (1, 1), (2, 2), "valid", (1, 1)),
    ((3, 4, 5), (2, 3, 2), (1, 2, 1), "same", (1, 1, 2)),
    ((4, 3, 4), (2, 2, 2), (3, 2, 2), "valid", (1, 1, 1)),
]
PLAIN = [((5,), (1,), (1,), "same", (1,)), ((4, 3), (1, 1), (1, 1), "valid", (1, 1))]
IDS = ["-".join(map(str, case)).replace(" ", "") for case in CASES]
# channels, filters, groups
THIN = [(1, 1, 1), (1, 6, 1), (2, 17, 1), (3, 33, 1), (5, 3, 1), (8, 4, 1), (4, 70, 1), (6, 9, 3), (8, 8, 2)]
PACKED = [(8, 20, 1), (12, 36, 1), (16, 40, 2)]
DEPTHWISE = [(2, 2), (3, 6), (8, 8), (36, 36)]
ACTIVATIONS = {
    None: (lambda z: z, lambda z: np.ones_like(z)),
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0),
    "tanh": (np.tanh, lambda z: 1 / np.cosh(z) ** 2),
    "sigmoid": (lambda z: 1 / (1 + np.exp(-z)), lambda z: np.exp(-z) / (1 + np.exp(-z)) ** 2),
}


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def case(size, window, strides, padding, dilation):
    return windows(size, window, strides, padding, dilation, "test")


def meetings(where):
    """Yield (output, input, tap) wherever a tap of a window lies on an element of the inputs."""
    for output in itertools.product(*map(range, where.out)):
        for tap in itertools.product(*map(range, where.window)):
            element = tuple(
                o * s - low + t * d
                for o, s, low, t, d in zip(output, where.strides, where.lows, tap, where.dilation)
            )
            if all(0 <= e < n for e, n in zip(element, where.size)):
                yield (slice(None), *output), (slice(None), *element), tap


def split(groups, channels, filters):
    """Yield the channels and the filters of every group."""
    for g in range(groups):
        yield (slice(g * channels // groups, (g + 1) * channels // groups),
               slice(g * filters // groups, (g + 1) * filters // groups))


class Naive:
    """One convolution of random arrays, all three passes; ``seen`` is what kernels make of them."""

    def __init__(self, where, channels, filters, groups=1, images=2, dtype="float32", seen=np.asarray):
        rng = np.random.default_rng([channels, filters, *where.size, *where.window])
        self.where, self.groups = where, groups
        self.x = rng.standard_normal((images, *where.size, channels)).astype(dtype)
        self.w = rng.standard_normal((*where.window, channels // groups, filters)).astype(dtype)
        self.b = rng.standard_normal(filters).astype(dtype)
        self.c = rng.standard_normal(channels).astype(dtype)  # bias of the transposed convolution
        self.dy = rng.standard_normal((images, *where.out, filters)).astype(dtype)
        x, w, dy = (seen(a).astype("float64") for a in (self.x, self.w, self.dy))
        self.y, self.dx, self.dw = np.zeros(dy.shape), np.zeros(x.shape), np.zeros(w.shape)
        for output, element, tap in meetings(where):
            for c, f in split(groups, channels, filters):
                self.y[output][:, f] += x[element][:, c] @ w[tap][:, f]
                self.dx[element][:, c] += dy[output][:, f] @ w[tap][:, f].T
                self.dw[tap][:, f] += x[element][:, c].T @ dy[output][:, f]

    def check(self, gpu, tolerance=2e-5, bias=True):
        where, groups = self.where, self.groups
        x, w, b, dy = (gpu.asarray(a) for a in (self.x, self.w, self.b, self.dy))
        y = gpu.conv_forward(x, w, where, groups, b if bias else None)
        close(gpu, y, self.y + (self.b if bias else 0), tolerance)
        if bias:
            transposed = gpu.conv_backward_data(dy, w, where, groups, gpu.asarray(self.c), "relu")
            close(gpu, transposed, np.maximum(self.dx + self.c, 0), tolerance)
        else:
            close(gpu, gpu.conv_backward_data(dy, w, where, groups), self.dx, tolerance)
        close(gpu, gpu.conv_backward_kernel(x, dy, where, groups), self.dw, tolerance)


def tf32(a):
    """Return float32 numbers with ten bits of fraction, ties away from zero."""
    return ((a.view("uint32") + 0x1000) & 0xFFFFE000).view("float32")


def close(gpu, found, expected, tolerance=2e-5):
    """Compare, relative to the largest number."""
    found = gpu.to_numpy(found).astype("float64")
    assert found.shape == expected.shape
    expected = expected.astype("float64")
    scale = np.abs(expected).max(initial=1)
    np.testing.assert_allclose(found / scale, expected / scale, rtol=0, atol=tolerance)


@pytest.fixture
def modules(gpu):
    """The launchers, on the stand-in."""
    from gpukeras.kernels import (
        convolution,
        convolution_first,
        convolution_kernel,
        convolution_mma,
        convolution_mma_kernel,
        convolution_thin,
        convolution_tiles,
        gemm,
        launch,
    )

    class Modules:
        tiles = convolution_tiles
        launchers = (convolution, convolution_first, convolution_kernel, convolution_mma,
                     convolution_mma_kernel, convolution_thin)

    Modules.gemm, Modules.launch, Modules.convolution = gemm, launch, convolution
    launch.debug(True)
    yield Modules
    launch.debug(False)


@pytest.fixture
def plans(modules, monkeypatch):
    """Choose tiles and parts in place of the estimate; ``plans.made`` has the launchers' choices of tiles."""

    class Plans:
        made: list = []

        def force(self, tile=None, parts=None):
            def forced(product, processors, tiles):
                self.made.append(tiles)
                found = modules.tiles.plan(product, processors, tiles)
                return modules.tiles.Plan(found.tile if tile is None else tile, parts or found.parts)

            for launcher in modules.launchers:
                monkeypatch.setattr(launcher, "plan", forced)

    return Plans()


# ---- every kernel, every shape ---------------------------------------------------------------------------
@pytest.mark.parametrize("channels, filters, groups", THIN + PACKED)
@pytest.mark.parametrize("chosen", CASES, ids=IDS)
def test_passes(gpu, modules, chosen, channels, filters, groups):
    Naive(case(*chosen), channels, filters, groups).check(gpu)


@pytest.mark.parametrize("channels, filters", [(1, 1), (3, 5), (8, 20)])
@pytest.mark.parametrize("chosen", PLAIN)
def test_pointwise(gpu, modules, chosen, channels, filters):
    Naive(case(*chosen), channels, filters).check(gpu)


@pytest.mark.parametrize("channels, filters", DEPTHWISE)
@pytest.mark.parametrize("chosen", CASES, ids=IDS)
def test_depthwise(gpu, modules, chosen, channels, filters):
    Naive(case(*chosen), channels, filters, channels).check(gpu)


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("number", range(4))
def test_tiles(gpu, modules, plans, number, parts):
    """Every tile of plain products, over its borders, and with sums in parts, some of them empty."""
    tile = modules.tiles.TILES[number]
    plans.force(tile, parts)
    where = case((5, 7), (3, 1), (2, 1), "same", (1, 1))
    Naive(where, 20, tile.columns + 8, images=4).check(gpu)
    Naive(where, 40, 48, groups=2, images=1).check(gpu, bias=False)
    assert set(plans.made) == {modules.tiles.TILES}


@pytest.mark.parametrize("parts", [1, 2, 5])
@pytest.mark.parametrize("channels, filters, groups", [(3, 5, 1), (8, 20, 1), (17, 3, 1), (6, 4, 2)])
def test_parts(gpu, modules, plans, channels, filters, groups, parts):
    plans.force(parts=parts)
    where = case((5, 5), (3, 3), (1, 2), "same", (1, 1))
    Naive(where, channels, filters, groups).check(gpu)
    Naive(where, channels, filters, groups, images=1).check(gpu, bias=False)


@pytest.mark.parametrize("channels, filters, groups", [(3, 66, 1), (4, 130, 1), (20, 1, 1), (9, 16, 1)])
def test_many_filters_and_deep_sums(gpu, modules, channels, filters, groups):
    """More columns than a tile of any kernel has; sums in several slices."""
    Naive(case((4, 5), (3, 3), (1, 1), "valid", (1, 1)), channels, filters, groups).check(gpu)


def test_many_rows(gpu, modules):
    """More rows than one tile has, in images of other sizes than tiles."""
    for channels, filters in [(1, 3), (8, 20)]:
        Naive(case((13, 11), (2, 2), (1, 1), "same", (1, 1)), channels, filters, images=3).check(gpu)


# ---- bias, activations -----------------------------------------------------------------------------------
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("channels, filters, groups", [(3, 5, 1), (8, 20, 1), (6, 6, 6), (1, 70, 1)])
@pytest.mark.parametrize("window", [(2, 2), (1, 1)])
def test_activations(gpu, modules, window, channels, filters, groups, activation):
    where = case((5, 4), window, (1, 1), "same", (1, 1))
    one = Naive(where, channels, filters, groups)
    forward, slope = ACTIVATIONS[activation]
    z = one.y + one.b
    x, w, b, dy = (gpu.asarray(a) for a in (one.x, one.w, one.b, one.dy))
    y = gpu.conv_forward(x, w, where, groups, b, activation)
    close(gpu, y, forward(z), 1e-5)
    dz = one.dy * slope(z)
    y = gpu.asarray(forward(z).astype("float32"))
    found, dbias = gpu.conv_backward_output(dy, y, activation)
    close(gpu, found, dz, 1e-5)
    close(gpu, dbias, dz.reshape(-1, filters).sum(0), 1e-5)
    again = Naive.__new__(Naive)
    again.dw = np.zeros(one.dw.shape)
    for output, element, tap in meetings(where):
        for c, f in split(groups, channels, filters):
            again.dw[tap][:, f] += one.x[element].astype("f8")[:, c].T @ dz[output][:, f]
    for with_bias in (True, False):
        dw, dbias = gpu.conv_backward_first(x, dy, y, where, groups, activation, with_bias)
        close(gpu, dw, again.dw)
        assert (dbias is None) is not with_bias
        if with_bias:
            close(gpu, dbias, dz.reshape(-1, filters).sum(0))


def test_nan_passes_relu(gpu, modules):
    x = gpu.asarray(np.full((1, 2, 1), np.nan, "float32"))
    w = gpu.asarray(np.ones((2, 1, 1), "float32"))
    y = gpu.conv_forward(x, w, case((2,), (2,), (1,), "same", (1,)), 1, None, "relu")
    assert np.isnan(gpu.to_numpy(y)).all()


def test_unknown_activation(gpu, modules):
    x = gpu.asarray(np.ones((1, 2, 1), "float32"))
    where = case((2,), (1,), (1,), "valid", (1,))
    for call in (lambda: gpu.conv_forward(x, x[:1, :1], where, 1, None, "gelu"),
                 lambda: gpu.conv_backward_output(x, x, "gelu"),
                 lambda: gpu.conv_backward_first(x, x, x, where, 1, "gelu")):
        with pytest.raises(ValueError, match="'gelu' cannot be fused into a convolution"):
            call()


@pytest.mark.parametrize("columns", [1, 5, 8, 300, 1040])
def test_bias_gradient(gpu, modules, columns):
    """Rows of several blocks; more columns than a block has threads."""
    dy = RNG.standard_normal((2, 37, columns)).astype("float32")
    same, dbias = gpu.conv_backward_output(gpu.asarray(dy), None)
    close(gpu, same, dy, 0)
    close(gpu, dbias, dy.astype("float64").sum((0, 1)))
    assert gpu.conv_backward_output(gpu.asarray(dy), None, None, False)[1] is None


# ---- half precision, tensor cores ------------------------------------------------------------------------
ROUNDED = {"float16": 1e-3, "bfloat16": 4e-3}  # tolerances


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("channels, filters, groups", [
    (3, 5, 1), (12, 20, 1), (24, 24, 1), (8, 8, 8), (3, 6, 3),
])
@pytest.mark.parametrize("chosen", CASES[4:9:2], ids=IDS[4:9:2])
def test_halves(gpu, modules, chosen, channels, filters, groups, dtype):
    Naive(case(*chosen), channels, filters, groups, dtype=dtype).check(gpu, ROUNDED[dtype])


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_in_parts(gpu, modules, plans, dtype):
    plans.force(parts=3)
    where = case((5, 5), (3, 3), (1, 1), "same", (1, 1))
    for channels, filters in ((3, 5), (12, 20), (8, 24)):
        Naive(where, channels, filters, dtype=dtype).check(gpu, ROUNDED[dtype])


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("dtype", FLOATS)
def test_tensor_cores(gpu, modules, plans, monkeypatch, dtype, number, parts):
    """Every tile of tensor cores, over its borders, and with sums in parts, some of them empty."""
    monkeypatch.setattr(modules.gemm.precision, "_tf32", True)
    plans.force(modules.tiles.MMA_TILES[number], parts)
    where = case((4, 5), (3, 1), (2, 1), "same", (1, 1))
    settings, tolerance = ({"seen": tf32}, 1e-5) if dtype == "float32" else ({"dtype": dtype}, ROUNDED[dtype])
    Naive(where, 24, 72, images=4, **settings).check(gpu, tolerance)
    Naive(where, 48, 48, groups=2, images=1, **settings).check(gpu, tolerance, bias=False)
    assert set(plans.made) == {modules.tiles.MMA_TILES}


def test_tf32_is_asked_for(gpu, modules, monkeypatch):
    one = Naive(case((5, 5), (3, 3), (1, 1), "same", (1, 1)), 16, 24)
    one.check(gpu, 1e-6)
    monkeypatch.setattr(modules.gemm.precision, "_tf32", True)
    with pytest.raises(AssertionError):
        one.check(gpu, 1e-6)
    one.check(gpu, 2e-3)


@pytest.mark.parametrize("dtype", HALVES)
def test_before_tensor_cores(tier, dtype):
    with emulated(tier=tier, compute_capability="75") as gpu:
        one = Naive(case((4, 4), (3, 3), (1, 1), "same", (1, 1)), 16, 24, dtype=dtype)
        one.check(gpu, ROUNDED[dtype])


# ---- memory ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tier", ["check"], indirect=True)
@pytest.mark.parametrize("dtype, tensor, number", [
    *(("float32", False, i) for i in range(4)),
    *((dtype, True, i) for dtype in ("float32", "float16") for i in range(3)),
])
def test_banks(gpu, modules, plans, monkeypatch, dtype, tensor, number):
    """Shared memory is written and read in as few passes as there can be."""
    tiles = modules.tiles.MMA_TILES if tensor else modules.tiles.TILES
    monkeypatch.setattr(modules.gemm.precision, "_tf32", tensor)
    plans.force(tiles[number], 1)
    launched = []
    call = modules.launch.Kernel.__call__
    monkeypatch.setattr(
        modules.launch.Kernel, "__call__",
        lambda kernel, *args, **more: launched.append(kernel) or call(kernel, *args, **more),
    )
    with emulator.using(trace_blocks=1):
        Naive(case((6, 8), (2, 2), (1, 1), "same", (1, 1)), 24, 64, dtype=dtype).check(gpu, 2e-3)
    assert len(launched) == 3
    found = [r for r in report.requests(launched[-1]._function) if r.space == "shared" and r.count >= 32]
    assert {r.kind for r in found} == {"read", "write"}
    assert all(r.parts <= 1.25 * r.ideal for r in found), found


# ---- the same every time ---------------------------------------------------------------------------------
@pytest.mark.parametrize("channels, filters, groups", [(3, 5, 1), (8, 20, 1), (4, 4, 4)])
def test_results_do_not_depend_on_the_order_of_blocks(channels, filters, groups):
    one = Naive(case((7, 6), (3, 3), (1, 1), "same", (1, 1)), channels, filters, groups, images=5)
    found = []
    for schedule in ("forward", "reverse", "random"):
        with emulated(schedule=schedule) as gpu:
            x, w, dy = (gpu.asarray(a) for a in (one.x, one.w, one.dy))
            found.append([gpu.to_numpy(a) for a in (
                gpu.conv_forward(x, w, one.where, groups), gpu.conv_backward_data(dy, w, one.where, groups),
                gpu.conv_backward_kernel(x, dy, one.where, groups), gpu.conv_backward_output(dy, None)[1],
            )])
    for other in found[1:]:
        for a, b in zip(found[0], other):
            np.testing.assert_array_equal(a, b)


# ---- edges -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("channels, filters, groups", [(3, 5, 1), (8, 20, 1), (4, 4, 4)])
@pytest.mark.parametrize("window", [(2, 2), (1, 1)])
def test_empty_batch(gpu, modules, window, channels, filters, groups):
    where = case((5, 4), window, (1, 1), "same", (1, 1))
    x = gpu.asarray(np.zeros((0, 5, 4, channels), "float32"))
    w = gpu.asarray(np.ones((*window, channels // groups, filters), "float32"))
    b = gpu.asarray(np.ones(filters, "float32"))
    y = gpu.conv_forward(x, w, where, groups, b, "relu")
    assert y.shape == (0, 5, 4, filters)
    assert gpu.conv_backward_data(y, w, where, groups).shape == x.shape
    dw, db = gpu.conv_backward_first(x, y, y, where, groups, "relu")
    again = gpu.conv_backward_kernel(x, y, where, groups)
    for found, shape in ((again, w.shape), (dw, w.shape), (db, b.shape)):
        np.testing.assert_array_equal(gpu.to_numpy(found), np.zeros(shape))


def test_no_windows(gpu, modules):
    """Gradients of inputs that no window covers are zeros."""
    where = case((3,), (2,), (4,), "valid", (1,))._replace(out=(0,))
    dy = gpu.asarray(np.zeros((2, 0, 3), "float32"))
    w = gpu.asarray(np.ones((2, 4, 3), "float32"))
    np.testing.assert_array_equal(gpu.to_numpy(gpu.conv_backward_data(dy, w, where)), np.zeros((2, 3, 4)))


@pytest.mark.parametrize("dtype, by", [("float32", 1), ("float16", 4)])
def test_strided_and_misaligned_inputs(gpu, modules, dtype, by):
    one = Naive(case((5, 4), (2, 2), (1, 1), "same", (1, 1)), 24, 24, dtype=dtype)
    wide = gpu.asarray(np.repeat(one.x, 2, axis=-1))
    shifted = gpu.asarray(np.concatenate([np.zeros(by, dtype), one.w.ravel()]))[by:].reshape(one.w.shape)
    close(gpu, gpu.conv_forward(wide[..., ::2], shifted, one.where), one.y, 1e-3)
    turned = gpu.asarray(np.ascontiguousarray(one.dy.transpose(0, 3, 1, 2))).transpose(0, 2, 3, 1)
    close(gpu, gpu.conv_backward_data(turned, shifted, one.where), one.dx, 1e-3)
    close(gpu, gpu.conv_backward_kernel(wide[..., ::2], turned, one.where), one.dw, 1e-3)


def test_other_types_go_the_generic_way(gpu, modules):
    one = Naive(case((5, 4), (2, 2), (1, 1), "same", (1, 1)), 8, 20, dtype="float64")
    one.check(gpu, 1e-14)


def test_what_does_not_fit_in_32_bits():
    with emulated():
        from gpukeras.kernels.convolution import takes
    where = case((1024, 1024), (3, 3), (1, 1), "valid", (1, 1))
    kind = np.dtype("float32")
    assert takes(kind, 127, where, 16, 16, 1)
    assert not takes(kind, 128, where, 16, 16, 1)  # inputs
    assert not takes(kind, 127, where, 1, 32, 1)  # outputs
    assert not takes(kind, 1, where, 1 << 14, 1 << 14, 1)  # kernel
    assert not takes(np.dtype("float64"), 1, where, 1, 1, 1)
    steps = case((1024, 1024), (3, 3), (256, 256), "valid", (1, 1))
    assert not takes(kind, 1, steps, 1, 1, 1)  # more phases than a grid has
