"""Which algorithm runs a convolution: plain rules on shapes, each with its reason.

``choose`` names the way for one pass; ``forced`` overrides it for experiments and tests.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading
from collections.abc import Iterator

import numpy as np

from .window_shapes import Windows, phases

PASSES = ("forward", "data", "kernel")  # the outputs, the gradient of the inputs, that of the kernel
WAYS = {
    "pointwise": "one matrix product: every window is one element",
    "rows": "columns copied along rows of the window: (positions, taps * C)",
    "planar": "columns copied along rows of the output: (taps * C, positions); for few channels",
    "grouped": "one convolution for each group of channels",
    "depthwise": "multiply and add tap by tap: one filter bank for each channel",
    "mirrored": "data gradient as the forward pass with the mirrored kernel",
    "scatter": "data gradient by columns, added to where their inputs came from",
    "laid": "data gradient by columns that do not overlap, put where their inputs came from",
    "phases": "data gradient for strides: one mirrored convolution for each remainder",
    "spread": "forward pass of one filter: by columns of outputs, added to where they belong",
    "exchanged": "kernel gradient with inputs and gradient exchanged: columns of the latter, which is narrow",
    "winograd2": "Winograd's F(2x2, 3x3)",
    "winograd4": "Winograd's F(4x4, 3x3)",
}
PLANAR_RUN = 24  # numbers that follow each other in memory: longer runs are quick enough to copy one by one
NARROW_RUN = 20  # the same of an output gradient whose columns take the place of those of the inputs
SPREAD = 8  # channels: from more of them on, one filter's products are made before anything is moved
WINOGRAD_VARIABLE = "GPUKERAS_WINOGRAD"

_winograd: bool | None = None  # by set_winograd
_local = threading.local()  # .forced: the way asked for by ``forced``


@contextlib.contextmanager
def forced(way: str) -> Iterator[None]:
    """Let ``choose`` answer ``way`` in this thread wherever that way can run; an experiment's tool."""
    if way not in WAYS:
        raise ValueError(f"unknown way {way!r} of a convolution; expected one of {', '.join(sorted(WAYS))}")
    before = getattr(_local, "forced", None)
    _local.forced = way
    try:
        yield
    finally:
        _local.forced = before


def choose(
    step: str, x_shape: tuple, w_shape: tuple, windows: Windows, groups: int = 1, dtype=np.float32,
    has_winograd: bool = False,
) -> str:
    """Return the algorithm for one pass.

    Parameters
    ----------
    step : {"forward", "data", "kernel"}
    x_shape : tuple
        Of the inputs (N, *size, C), in every pass.
    w_shape : tuple
        (*window, C // groups, filters)
    has_winograd : bool
        Whether the backend has Winograd's algorithm.

    Returns
    -------
    str
        A key of ``WAYS``.
    """
    if step not in PASSES:
        raise ValueError(f"unknown pass {step!r} of a convolution; expected one of {PASSES}")
    asked = getattr(_local, "forced", None)
    if asked is not None and asked in _able(step, w_shape, windows, groups, has_winograd):
        return asked
    if groups > 1:
        return "depthwise" if w_shape[-2] == 1 else "grouped"
    if windows.plain:
        return "pointwise"
    if step != "data" and _is_narrow(step, w_shape, windows):
        return "spread" if step == "forward" else "exchanged"
    tile = 0
    if has_winograd and dtype == np.float32 and fits_winograd(windows) and winograd():
        tile = winograd_tile(x_shape[0], w_shape, windows)
    if step == "data":  # "mirrored" and "phases" ask again for their forward passes
        return "mirrored" if tile and can_mirror(windows) else _choose_data(x_shape, w_shape, windows)
    if tile:
        return f"winograd{tile}"
    return choose_columns(w_shape, windows)


def _able(step, w_shape, windows: Windows, groups: int, has_winograd: bool) -> tuple[str, ...]:
    """Return all ways that give the right result: what ``forced`` may ask for."""
    if groups > 1:
        return ("grouped", "depthwise") if w_shape[-2] == 1 else ("grouped",)
    if step == "data":
        found: tuple[str, ...] = ("scatter", "mirrored") if can_mirror(windows) else ("scatter",)
        if can_split(windows):
            found += ("phases",)
        if windows.apart:
            found += ("laid",)
    else:
        found = ("rows", "planar")
        if can_mirror(windows):
            found += ("spread",) if step == "forward" else ("exchanged",)
        if has_winograd and fits_winograd(windows):
            found += ("winograd2", "winograd4")
    return found + ("pointwise",) if windows.plain else found


def _is_narrow(step: str, w_shape: tuple, windows: Windows) -> bool:
    """Whether the outputs are so much narrower than the inputs that better they are moved about.

    Columns of the inputs, each of which the window reaches several times, are most of the work then: those of
    the outputs are as much smaller as there are fewer filters than channels. Measured on one core: kernel
    gradients take 0.15 to 0.8 of the time, forward passes with one filter 0.25 to 0.6. With two filters,
    adding up columns in front takes longer than copying those of the inputs.
    """
    channels, filters = w_shape[-2:]
    if not can_mirror(windows):
        return False
    if step == "forward":
        return filters == 1 and channels > SPREAD
    return 2 * filters <= channels and filters * windows.window[-1] <= NARROW_RUN


def choose_columns(w_shape: tuple, windows: Windows) -> str:
    """Choose between copying along rows of the window and along rows of the output: the longer runs win.

    The latter read every ``stride``-th number only.
    """
    run = w_shape[-2] * (windows.window[-1] if windows.dilation[-1] == 1 else 1)
    return "planar" if run <= min(PLANAR_RUN, windows.out[-1] // windows.strides[-1]) else "rows"


def can_mirror(windows: Windows) -> bool:
    """Whether the data gradient is a convolution of the same kind with the kernel turned round."""
    return set(windows.strides) == {1} and all(low < r for low, r in zip(windows.lows, windows.reach))


def can_split(windows: Windows) -> bool:
    """Whether the data gradient falls apart into convolutions with steps of one."""
    return all(back is None or min(back.lows) >= 0 for _, _, back in phases(windows))


def _choose_data(x_shape: tuple, w_shape: tuple, windows: Windows) -> str:
    """Choose between convolving with the turned kernel and scattering columns, where windows overlap.

    Both need the same products. Shares of their time, measured on one core: adding columns to where they
    came from costs 25 / filters; copying columns of the outputs' gradient costs less, unless channels are so
    few that products with that few columns are slow: 1 / channels; turning the kernel round costs
    65 / positions, for a single tap nothing.
    """
    if windows.apart:
        return "laid"
    way = "mirrored" if can_mirror(windows) else "phases" if can_split(windows) else "scatter"
    channels, filters = w_shape[-2:]
    positions = max(1, x_shape[0] * math.prod(windows.out))
    turning = 65 / positions if math.prod(windows.window) > 1 else 0
    return way if 1 / max(1, channels) + turning <= 25 / max(1, filters) else "scatter"


def fits_winograd(windows: Windows) -> bool:
    """Whether Winograd's algorithm applies: 3x3 windows over images, side by side."""
    return windows.window == (3, 3) and windows.strides == (1, 1) and windows.dilation == (1, 1)


def winograd_tile(images: int, w_shape: tuple, windows: Windows) -> int:
    """Return the side of Winograd's output tile, 4 or 2, or 0 where columns are expected to be faster."""
    channels, filters = w_shape[-2:]
    positions = images * math.prod(windows.out)
    seconds = {0: 40e-6 + positions * (0.18e-9 * channels * filters + 1.9e-9 * channels + 0.2e-9 * filters)}
    seconds |= {tile: winograd_seconds(tile, images, w_shape, windows) for tile in (4, 2)}
    return min(seconds, key=seconds.__getitem__)


def winograd_seconds(tile: int, images: int, w_shape: tuple, windows: Windows) -> float:
    """Estimate the time of one pass: what every call takes, kernels to points, products, tiles to points.

    Fitted, like the time of columns above, to 3000 random shapes on one Zen 4 core; the ways chosen with them
    take 1% longer than the best ones. Winograd's algorithm loses where tiles cover more than the outputs, and
    where few tiles share a kernel.
    """
    channels, filters = w_shape[-2:]
    points = (tile + 2) ** 2
    tiles = images * math.prod(math.ceil(n / tile) for n in windows.out)
    each = 0.021e-9 * channels * filters + 0.35e-9 * (channels + filters) + 12e-9
    return 62e-6 + points * (0.33e-9 * channels * filters + tiles * each)


def winograd() -> bool:
    """Tell whether Winograd's algorithm may run: by ``set_winograd``, else by the environment, else yes."""
    global _winograd
    if _winograd is None:
        value = os.environ.get(WINOGRAD_VARIABLE, "").strip() or "1"
        if value not in ("0", "1"):
            raise ValueError(f"{WINOGRAD_VARIABLE} in the environment must be 0 or 1, is {value!r}")
        _winograd = value == "1"
    return _winograd


def set_winograd(enabled: bool | None) -> None:
    """Let Winograd's algorithm run, or not; ``None``: as the environment says."""
    global _winograd
    _winograd = None if enabled is None else bool(enabled)
