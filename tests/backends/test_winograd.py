"""Winograd's algorithm: its matrices, every border of images and blocks, its errors, when it runs."""

import contextlib
import itertools
import tracemalloc

import numpy as np
import pytest

from gpukeras import backends, config
from gpukeras.backends import convolution_choice, threads, winograd
from gpukeras.backends.window_shapes import Windows, windows

RNG = np.random.default_rng(41)
CPU = backends.CPU
TEXTBOOK = (0.0, 1.0, -1.0, 2.0, -2.0)


def laid(size, padding="same") -> Windows:
    return windows(size, (3, 3), (1, 1), padding, (1, 1), "test")


def naive(x, w, where: Windows):
    """Return the outputs, and a function that gives the kernel's gradient, tap by tap in float64."""
    n, _, _, c = x.shape
    room = [low + size + out + 3 for low, size, out in zip(where.lows, where.size, where.out)]
    padded = np.zeros((n, *room, c))
    (top, left), (height, width) = where.lows, where.out
    padded[:, top : top + where.size[0], left : left + where.size[1]] = x
    taps = {
        (i, j): padded[:, i : i + height, j : j + width] for i, j in itertools.product(range(3), repeat=2)
    }

    def kernel(dy):
        dw = np.zeros((3, 3, c, dy.shape[-1]))
        for tap, found in taps.items():
            dw[tap] = np.tensordot(found, dy, ((0, 1, 2),) * 2)
        return dw

    return sum(found @ w[tap].astype(float) for tap, found in taps.items()), kernel


@pytest.fixture(params=[1, 2], ids=["one thread", "two threads"])
def parts(request, monkeypatch):
    """Run on one thread, and with even the smallest work split in two."""
    if request.param == 2:
        monkeypatch.setattr(threads, "WORTH", 1e-12)
    before = threads.get_threads()
    threads.set_threads(request.param)
    yield request.param
    threads.set_threads(before)


@contextlib.contextmanager
def setting(enabled):
    """Set what ``config.set_winograd`` sets, for a while."""
    before = convolution_choice._winograd
    convolution_choice.set_winograd(enabled)
    try:
        yield
    finally:
        convolution_choice._winograd = before


# ---- matrices -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("tile", [2, 4])
def test_matrices(tile):
    """A' [(G g) * (B' d)] is the correlation of d and g; along two axes G g G' takes one matrix."""
    matrices = winograd.transforms(tile)
    d, g = RNG.standard_normal(tile + 2), RNG.standard_normal((3, 3))
    line = matrices.output @ ((matrices.back.T @ g[0]) * (matrices.data @ d))
    np.testing.assert_allclose(line, np.correlate(d, g[0], "valid"), 1e-12, 1e-13)
    np.testing.assert_allclose(matrices.kernel @ g.reshape(9), matrices.back.T @ g @ matrices.back, 1e-13)
    assert winograd.transforms(tile, "float32").data.dtype == np.float32


@pytest.mark.parametrize("tile", [2, 4])
def test_matrices_of_data_and_outputs_are_exact_in_float32(tile):
    for name in ("data", "output"):
        exact, rounded = (getattr(winograd.transforms(tile, dtype), name) for dtype in ("float64", "float32"))
        np.testing.assert_array_equal(rounded, exact)


# ---- results --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("block", [1, 20_000, None])
@pytest.mark.parametrize("tile", [2, 4])
def test_every_border(tile, block, parts, monkeypatch):
    """All sizes around the tiles, all paddings, blocks of a row of tiles to blocks of several images."""
    if block:
        monkeypatch.setattr(winograd, "BLOCK_LEAST", block)
        monkeypatch.setattr(winograd, "BLOCK_MOST", block)
    sizes = [(n, m) for n in range(1, 11) for m in (1, 4, 5, 6, 7, 8, 9) if n <= m or n > 6]
    for size, padding in itertools.product(sizes, ("same", "valid")):
        if padding == "same" or min(size) >= 3:
            check(laid(size, padding), tile, images=3 if size[0] % 2 else 2)


def check(where, tile, images, channels=(3, 5), activation="relu"):
    c, f = channels
    x, dy = RNG.standard_normal((images, *where.size, c)), RNG.standard_normal((images, *where.out, f))
    w, bias = RNG.standard_normal((3, 3, c, f)), RNG.standard_normal(f)
    y, kernel = naive(x, w, where)
    close = dict(rtol=1e-10, atol=1e-10, err_msg=f"{where}")
    with convolution_choice.forced(f"winograd{tile}"):
        found = CPU.conv_forward(x, w, where, 1, bias, activation)
        np.testing.assert_allclose(found, np.maximum(y + bias, 0), **close)
        np.testing.assert_allclose(CPU.conv_backward_kernel(x, dy, where), kernel(dy), **close)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("lows", [(0, 0), (1, 2), (2, 1), (5, 4), (7, 9)])
@pytest.mark.parametrize("out", [(3, 4), (8, 9), (12, 11)])
def test_windows_laid_anyhow(tile, lows, out):
    """Transposed convolutions and remainders of strides: any padding, inputs that no window reaches."""
    check(Windows((6, 7), (3, 3), out, (1, 1), lows, (1, 1)), tile, 2)


@pytest.mark.parametrize("tile", [2, 4])
@pytest.mark.parametrize("size, padding", [((5, 6), "same"), ((9, 7), "valid"), ((8, 8), "same")])
def test_gradients_by_differences(tile, size, padding, parts):
    """The passes are linear in inputs and kernels: one step along a random direction is exact."""
    where = laid(size, padding)
    x, v = RNG.standard_normal((2, 2, *size, 3))
    w, u = RNG.standard_normal((2, 3, 3, 3, 4))
    dy = RNG.standard_normal((2, *where.out, 4))
    with convolution_choice.forced(f"winograd{tile}"):
        y = CPU.conv_forward(x, w, where)
        along_w = np.vdot(dy, CPU.conv_forward(x, w + u, where) - y)
        assert np.isclose(along_w, np.vdot(CPU.conv_backward_kernel(x, dy, where), u), 1e-9)
        turned = w[::-1, ::-1].swapaxes(-1, -2)
        back = Windows(where.out, (3, 3), size, (1, 1), tuple(2 - low for low in where.lows), (1, 1))
        along_x = np.vdot(dy, CPU.conv_forward(x + v, w, where) - y)
        assert np.isclose(along_x, np.vdot(CPU.conv_forward(dy, turned, back), v), 1e-9)


def test_nothing_is_read_that_was_not_written(monkeypatch):
    def poisoned(count, dtype, slot=0):
        return np.full(count, np.nan, dtype)

    monkeypatch.setattr(type(CPU), "conv_scratch", staticmethod(poisoned))
    for size, padding, tile in itertools.product([(7, 9), (13, 6)], ("same", "valid"), (2, 4)):
        check(laid(size, padding), tile, 2)


@pytest.mark.parametrize("tile", [2, 4])
def test_other_layouts_and_no_images(tile):
    where = laid((6, 7))
    x = RNG.standard_normal((2, 3, 6, 7)).transpose(0, 2, 3, 1)
    w = RNG.standard_normal((3, 3, 5, 3)).swapaxes(2, 3)
    with convolution_choice.forced(f"winograd{tile}"):
        np.testing.assert_allclose(CPU.conv_forward(x, w, where), naive(x, w, where)[0], 1e-10, 1e-10)
        assert CPU.conv_forward(x[:0], w, where).shape == (0, 6, 7, 5)
        dw = CPU.conv_backward_kernel(x[:0], np.zeros((0, 6, 7, 5)), where)
    np.testing.assert_array_equal(dw, np.zeros((3, 3, 3, 5)))


@pytest.mark.parametrize("most", [0, 1 << 30], ids=["shared points", "shared blocks"])
def test_the_kernels_gradient_is_repeatable_on_threads(most, monkeypatch):
    """Whichever thread takes which part."""
    where, found = laid((13, 14)), {}
    x, dy = RNG.standard_normal((2, 5, 13, 14, 8)).astype("float32")
    monkeypatch.setattr(threads, "WORTH", 1e-12)
    monkeypatch.setattr(winograd, "SUMS_MOST", most)
    monkeypatch.setattr(winograd, "BLOCK_LEAST", 1 << 15)
    before = threads.get_threads()
    for count in (1, 2, 3, 2, 3):
        threads.set_threads(count)
        with convolution_choice.forced("winograd4"):
            dw = CPU.conv_backward_kernel(x, dy, where)
        np.testing.assert_array_equal(dw, found.setdefault(count, dw))
        np.testing.assert_allclose(dw, found[1], 1e-4, 2e-4)
    threads.set_threads(before)


def test_memory():
    """Past the first call a pass allocates its result and the kernels at all points, hardly more."""
    where = laid((28, 28))
    x, dy = RNG.standard_normal((2, 16, 28, 28, 64)).astype("float32")
    w = RNG.standard_normal((3, 3, 64, 64)).astype("float32")
    kernels = 4 * w.nbytes  # 36 points for 9 taps
    with convolution_choice.forced("winograd4"):
        for call, result in [
            (lambda: CPU.conv_forward(x, w, where), x.nbytes),
            (lambda: CPU.conv_backward_kernel(x, dy, where), w.nbytes),
        ]:
            call()
            tracemalloc.start()
            call()
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < result + 2 * kernels + (1 << 20)


@pytest.mark.parametrize("images, rows", [(3, 4), (1, 12), (7, 1), (2, 23), (12, 5), (1, 1)])
def test_blocks_cover_everything_once(images, rows):
    for most, parts in itertools.product((1, 2, 3, 4, 5, 8, 9, 100), (1, 2, 3)):
        blocks, found = winograd._blocks(images, rows, most, parts), []
        for which, band in blocks:
            one_image = which.stop - which.start == 1
            assert one_image or (band.start, band.stop) == (0, rows)
            assert (which.stop - which.start) * (band.stop - band.start) <= most
            for image in range(which.start, which.stop):
                found += range(image * rows + band.start, image * rows + band.stop)
        assert found == list(range(images * rows))


@pytest.mark.parametrize("images, rows, most, parts, expected", [
    (128, 6, 36, 2, 22), (6, 4, 8, 2, 6), (5, 4, 8, 2, 5), (90, 4, 40, 2, 9), (1, 7, 3, 2, 4),
    (3, 4, 100, 2, 1),
])
def test_every_thread_gets_a_block(images, rows, most, parts, expected):
    """Three blocks on two threads would leave one with nothing to do half of the time."""
    blocks = winograd._blocks(images, rows, most, parts)
    assert len(blocks) == expected
    shapes = [block.shape for block in blocks]
    assert len(set(shapes)) <= 2  # what is prepared serves nearly all


# ---- errors ---------------------------------------------------------------------------------------------
def errors(tile, size, c, f) -> list[float]:
    """Return the root mean square errors of the passes over that of their results, float32."""
    where = laid((size, size))
    x = np.maximum(RNG.standard_normal((2, size, size, c)), 0).astype("float32")
    w = (RNG.standard_normal((3, 3, c, f)) * np.sqrt(2 / (9 * c))).astype("float32")
    dy = RNG.standard_normal((2, size, size, f)).astype("float32")
    y, kernel = naive(x, w, where)
    turned = np.ascontiguousarray(w[::-1, ::-1].swapaxes(-1, -2))
    with convolution_choice.forced(f"winograd{tile}"):
        pairs = [
            (CPU.conv_forward(x, w, where), y),
            (CPU.conv_backward_data(dy, w, where), naive(dy, turned, where)[0]),
            (CPU.conv_backward_kernel(x, dy, where), kernel(dy.astype(float))),
        ]
    return [float(np.sqrt(np.mean((a - b) ** 2) / np.mean(b**2))) for a, b in pairs]


@pytest.mark.parametrize("size, c, f", [(14, 128, 32), (28, 32, 64), (7, 256, 64)])
def test_errors_are_those_of_the_documentation(size, c, f):
    assert max(errors(4, size, c, f)) < 1.7e-6
    assert max(errors(2, size, c, f)) < 0.9e-6


def test_points_beat_the_textbook(monkeypatch):
    ours = errors(4, 14, 64, 32)
    monkeypatch.setitem(winograd.POINTS, 4, TEXTBOOK)
    winograd.transforms.cache_clear()
    try:
        theirs = errors(4, 14, 64, 32)
    finally:
        winograd.transforms.cache_clear()
    assert all(a * 1.5 < b for a, b in zip(ours, theirs))


# ---- when it runs ---------------------------------------------------------------------------------------
def way(images, size, channels, filters, step="forward", dtype=np.float32, has_winograd=True, **changed):
    where = laid((size, size))._replace(**changed)
    shape = (images, size, size, channels)
    kernel = (*where.window, channels, filters)
    return convolution_choice.choose(step, shape, kernel, where, 1, np.dtype(dtype), has_winograd)


def tile_of(*args, **settings) -> int:
    """Return the side of Winograd's tile that the rule takes, 0 where it takes columns."""
    name, _, side = way(*args, **settings).partition("winograd")
    return 0 if name else int(side)


@pytest.mark.parametrize("images, size, channels, filters, expected", [
    (8, 56, 64, 64, 4), (8, 28, 128, 128, 4), (8, 14, 256, 256, 4),
    (32, 7, 512, 512, 4), (32, 30, 32, 32, 4), (32, 15, 32, 64, 4),
    (8, 28, 8, 64, 4), (8, 7, 512, 512, 4),
    (8, 4, 256, 256, 2),  # more tiles share the kernels at 16 points than at 36
    (32, 6, 64, 64, 2), (8, 5, 256, 256, 2),  # tiles of 4x4 would cover 64 outputs
    (1, 7, 512, 512, 0),  # too few outputs for kernels at 16 points
    (1, 14, 32, 32, 0), (1, 8, 64, 64, 0),  # calls cost more than they save
    (32, 28, 3, 32, 0), (32, 28, 8, 4, 0),  # transforms cost more than they save
])
def test_rule(images, size, channels, filters, expected):
    with setting(True):
        assert tile_of(images, size, channels, filters) == expected
        assert tile_of(images, size, channels, filters, "kernel") == expected
        if expected:
            assert way(images, size, channels, filters, "data") == "mirrored"


def test_where_it_cannot_run():
    with setting(True):
        assert tile_of(8, 28, 64, 64) == 4
        assert tile_of(8, 28, 64, 64, dtype="float64") == 0
        assert tile_of(8, 28, 64, 64, has_winograd=False) == 0
        assert tile_of(8, 28, 64, 64, strides=(2, 2), out=(14, 14)) == 0
        assert tile_of(8, 28, 64, 64, dilation=(2, 2)) == 0
        assert tile_of(8, 28, 64, 64, window=(5, 5)) == 0


def test_half_precision_is_computed_by_it():
    x, w = RNG.standard_normal((8, 28, 28, 32)).astype("float16"), RNG.standard_normal((3, 3, 32, 32)) / 17
    w, where, ran = w.astype("float16"), laid((28, 28)), []
    with setting(True), pytest.MonkeyPatch.context() as patch:
        true = winograd.forward
        patch.setattr(winograd, "forward", lambda *a: ran.append(a) or true(*a))
        y = CPU.conv_forward(x, w, where)
    assert y.dtype == np.float16 and len(ran) == 1
    np.testing.assert_allclose(y, naive(x, w, where)[0], 2e-3, 2e-3)


# ---- the setting ----------------------------------------------------------------------------------------
def test_setting():
    with setting(None):
        assert config.winograd() is True
        config.set_winograd(False)
        assert config.winograd() is False
        assert tile_of(8, 28, 64, 64) == 0
        with convolution_choice.forced("winograd2"):
            assert tile_of(8, 28, 64, 64) == 2
        config.set_winograd(True)
        assert tile_of(8, 28, 64, 64) == 4


@pytest.mark.parametrize("value, expected", [("0", False), ("1", True), ("", True), (" 0 ", False)])
def test_environment(value, expected, monkeypatch):
    monkeypatch.setenv("GPUKERAS_WINOGRAD", value)
    with setting(None):
        assert config.winograd() is expected


def test_environment_must_be_clear(monkeypatch):
    monkeypatch.setenv("GPUKERAS_WINOGRAD", "off")
    with setting(None), pytest.raises(ValueError, match="GPUKERAS_WINOGRAD.*must be 0 or 1.*'off'"):
        config.winograd()
