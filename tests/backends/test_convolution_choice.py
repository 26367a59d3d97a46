"""The rule that chooses an algorithm of a convolution, at its borders."""

import threading

import numpy as np
import pytest

from gpukeras import backends
from gpukeras.backends import convolution_choice, window_shapes
from gpukeras.backends.convolution_choice import choose, forced


def windows(size, window, strides=1, padding="same", dilation=1):
    axes = ((value,) * len(size) for value in (window, strides, dilation))
    window, strides, dilation = axes
    return window_shapes.windows(size, window, strides, padding, dilation, "test")


def way(step, size, channels, filters, window, images=8, groups=1, has_winograd=False, **settings):
    found = windows(size, window, **settings)
    shape = (*found.window, channels // groups, filters)
    return choose(step, (images, *size, channels), shape, found, groups, np.dtype("float32"), has_winograd)


@pytest.mark.parametrize("size, channels, window, settings, expected", [
    ((28, 28), 8, 3, {}, "planar"),  # runs of 24 numbers: the longest that are copied by planes
    ((28, 28), 9, 3, {}, "rows"),
    ((20, 20), 8, 3, {}, "rows"),  # rows of the output are shorter than those of the window
    ((28, 24), 8, 3, {}, "planar"), ((28, 23), 8, 3, {}, "rows"),
    ((28, 28), 4, 3, dict(strides=2), "rows"), ((28, 48), 4, 3, dict(strides=2), "planar"),
    ((28, 28), 24, 3, dict(dilation=2), "planar"),  # a dilated window is C numbers at a time
    ((28, 28), 25, 3, dict(dilation=2), "rows"),
    ((28, 28), 8, 1, {}, "pointwise"), ((28, 28), 32, 1, dict(strides=2), "rows"),
    ((100,), 128, 5, {}, "rows"), ((100,), 1, 9, {}, "planar"), ((8, 8, 8), 2, 3, {}, "planar"),
])
@pytest.mark.parametrize("step", ["forward", "kernel"])
def test_columns(step, size, channels, window, settings, expected):
    assert way(step, size, channels, 16, window, **settings) == expected


@pytest.mark.parametrize("step, channels, filters, window, settings, expected", [
    ("forward", 9, 1, 3, {}, "spread"), ("forward", 8, 1, 3, {}, "planar"), ("forward", 64, 2, 3, {}, "rows"),
    ("forward", 64, 1, 3, dict(strides=2), "rows"), ("forward", 64, 1, 3, dict(dilation=2), "spread"),
    ("kernel", 12, 6, 3, {}, "exchanged"), ("kernel", 11, 6, 3, {}, "rows"),
    ("kernel", 64, 7, 3, {}, "rows"),  # columns of 21 numbers
    ("kernel", 64, 4, 5, {}, "exchanged"), ("kernel", 64, 1, 3, dict(strides=2), "rows"),
])
def test_narrow_outputs(step, channels, filters, window, settings, expected):
    assert way(step, (28, 28), channels, filters, window, **settings) == expected


@pytest.mark.parametrize("size, channels, filters, window, images, settings, expected", [
    ((28, 28), 64, 64, 3, 8, {}, "mirrored"),
    ((28, 28), 1, 24, 3, 8, {}, "mirrored"), ((28, 28), 1, 25, 3, 8, {}, "scatter"),  # one column of products
    ((28, 28), 64, 64, 3, 8, dict(strides=2), "phases"),
    ((7, 7), 512, 512, 3, 8, {}, "scatter"),  # few positions: turning the kernel takes too long
    ((7, 7), 512, 512, 3, 64, {}, "mirrored"),
    ((7, 7), 512, 512, 1, 8, dict(strides=2), "laid"),  # windows apart from each other
    ((8, 8), 3, 64, 4, 8, dict(strides=4), "laid"), ((9, 9), 16, 16, 4, 8, dict(strides=4), "scatter"),
    ((28, 28), 8, 8, 1, 8, {}, "pointwise"),
])
def test_data_gradient(size, channels, filters, window, images, settings, expected):
    assert way("data", size, channels, filters, window, images, **settings) == expected


def test_data_gradient_without_turning():
    """Windows that begin before all inputs they could meet have no mirrored form."""
    odd = window_shapes.Windows((9,), (2,), (12,), (1,), (2,), (1,))
    assert not convolution_choice.can_mirror(odd) and not convolution_choice.can_split(odd)
    assert choose("data", (4, 9, 64), (2, 64, 64), odd) == "scatter"


def test_groups():
    assert way("forward", (9, 9), 8, 8, 3, groups=8) == "depthwise"
    assert way("forward", (9, 9), 8, 8, 3, groups=4) == "grouped"


@pytest.mark.parametrize("step", ["forward", "kernel", "data"])
def test_winograd_only_where_it_may_run(step, monkeypatch):
    monkeypatch.setattr(convolution_choice, "_winograd", True)
    large = dict(size=(56, 56), channels=64, filters=64, window=3, has_winograd=True)
    expected = {"data": "mirrored"}.get(step, "winograd4")
    assert way(step, **large) == expected
    for change in (dict(strides=2), dict(dilation=2), dict(window=5), dict(has_winograd=False)):
        assert not way(step, **(large | change)).startswith("winograd"), change
    monkeypatch.setattr(convolution_choice, "_winograd", False)
    assert not way(step, **large).startswith("winograd")


def test_forced():
    assert way("forward", (28, 28), 64, 64, 3) == "rows"
    with forced("planar"):
        assert way("forward", (28, 28), 64, 64, 3) == "planar"
        assert way("data", (28, 28), 64, 64, 3) == "mirrored"  # it is no way of this pass
        with forced("scatter"):
            assert way("data", (28, 28), 64, 64, 3) == "scatter"
            assert way("forward", (28, 28), 64, 64, 3) == "rows"
        seen = []
        other = threading.Thread(target=lambda: seen.append(way("forward", (28, 28), 64, 64, 3)))
        other.start()
        other.join()
        assert seen == ["rows"]  # other threads choose freely
    assert way("forward", (28, 28), 64, 64, 3) == "rows"
    with forced("phases"):
        assert way("data", (7, 7), 512, 512, 3, strides=2) == "phases"
    assert way("data", (7, 7), 512, 512, 3, strides=2) == "scatter"
    with forced("winograd2"):  # only with the algorithm, and only where it applies
        assert way("forward", (28, 28), 4, 4, 3) == "planar"
        assert way("forward", (28, 28), 4, 4, 3, has_winograd=True) == "winograd2"
        assert way("forward", (28, 28), 4, 4, 5, has_winograd=True) != "winograd2"


def test_wrong_words():
    with pytest.raises(ValueError, match="unknown way 'fast'.*scatter"), forced("fast"):
        pass
    with pytest.raises(ValueError, match="unknown pass 'backward'"):
        way("backward", (9, 9), 4, 4, 3)


def test_large_columns_of_few_images_are_split(monkeypatch):
    """A single image is shared by all threads along its rows."""
    from gpukeras.backends import threads

    monkeypatch.setattr(threads, "WORTH", 1e-9)
    monkeypatch.setattr(threads, "may_split", lambda: True)
    monkeypatch.setattr(threads, "get_threads", lambda: 2)
    parts = backends.CPU._conv_plan(1, 28, 1000, 1e9)
    assert [b.rows for part in parts for b in part] == [slice(i, i + 7) for i in range(0, 28, 7)]
    assert len(parts) == 4  # two for each thread


@pytest.mark.parametrize("size, window, stride, low, dilation", [
    (9, 3, 2, 1, 1), (8, 3, 2, 0, 1), (7, 2, 3, 0, 1), (10, 5, 2, 2, 2), (9, 1, 2, 0, 1), (12, 4, 4, 0, 1),
])
def test_phases_meet_every_tap_once(size, window, stride, low, dilation):
    """Each pair of an input and a window over it is found in exactly one phase."""
    out = (size + low - (window - 1) * dilation - 1) // stride + 1
    found = window_shapes.Windows((size,), (window,), (out,), (stride,), (low,), (dilation,))
    pairs = {}
    for (_, places), taps, back in window_shapes.phases(found):
        inputs = range(size)[places]
        if taps is None:
            continue
        numbers = list(range(window))[taps[0]][::-1]  # mirrored
        for m, i in enumerate(inputs):
            for j, t in enumerate(numbers):
                o = m - back.lows[0] + j * back.dilation[0]
                if 0 <= o < out:
                    pairs[i, t] = o
    expected = {
        (o * stride - low + t * dilation, t): o
        for o in range(out) for t in range(window) if 0 <= o * stride - low + t * dilation < size
    }
    assert pairs == expected
