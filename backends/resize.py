"""Resampling along one axis: a small matrix of weights, or repetition."""

from __future__ import annotations

import functools
import math

import numpy as np

from .device import Device

INTERPOLATIONS = (
    "nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area", "gaussian", "mitchellcubic",
)
EVERY_INTERPOLATION = INTERPOLATIONS


def _kernel(name: str, x: np.ndarray) -> np.ndarray:
    """Weight of a sample at distance ``x`` >= 0."""
    if name == "bilinear":
        return np.maximum(0.0, 1.0 - x)
    if name == "bicubic":  # Keys' cubic convolution with a = -1/2
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
    if name == "mitchellcubic":
        near = (7.0 * x - 12.0) * x * x / 6.0 + 8.0 / 9.0
        far = ((-7.0 * x + 36.0) * x - 60.0) * x / 18.0 + 16.0 / 9.0
        return np.where(x < 1.0, near, np.where(x < 2.0, far, 0.0))
    if name == "gaussian":  # the standard deviation is half an element
        return np.where(x < 1.5, np.exp(-2.0 * x * x), 0.0)
    radius = 3.0 if name == "lanczos3" else 5.0
    return np.where(x < radius, np.sinc(x) * np.sinc(x / radius), 0.0)


@functools.lru_cache(maxsize=256)
def weights(size: int, out: int, interpolation: str, antialias: bool) -> np.ndarray:
    """Return the matrix (out, size), float64, that resamples an axis of ``size`` elements to ``out``.

    Element ``i`` of the result lies at ``(i + 1/2) * size / out - 1/2`` of the input (centres of pixels);
    each row sums to one. With ``antialias``, the kernel is as wide as an output pixel where that is larger.
    """
    if interpolation == "nearest":
        found = np.zeros((out, size))
        found[np.arange(out), (2 * np.arange(out) + 1) * size // (2 * out)] = 1.0
    elif interpolation == "area":
        starts, pixels = np.arange(out)[:, None] * (size / out), np.arange(size)
        ends = np.minimum(starts + size / out, pixels + 1)
        found = np.maximum(0.0, ends - np.maximum(starts, pixels)) * (out / size)
    else:
        places = (np.arange(out) + 0.5) * (size / out) - 0.5
        width = max(size / out, 1.0) if antialias else 1.0
        found = _kernel(interpolation, np.abs(places[:, None] - np.arange(size)) / width)
        found /= found.sum(axis=1, keepdims=True)
    found.flags.writeable = False
    return found


class ResizeMixin(Device):
    """Linear maps along single axes of an array."""

    def resample(self, x, axis: int, matrix: np.ndarray):
        """Return ``matrix`` (out, size; host) applied along ``axis`` of ``x``."""
        xp = self.xp
        m = self.asarray(matrix, x.dtype)
        shape = x.shape
        x = xp.ascontiguousarray(x)
        after = math.prod(shape[axis + 1 :])
        y = xp.matmul(m, x.reshape(math.prod(shape[:axis]), shape[axis], after))
        return y.reshape(*shape[:axis], len(matrix), *shape[axis + 1 :])

    def repeat_blocks(self, x, factors: tuple[int, ...]):
        """Return ``x`` with every element repeated ``factors[i]`` times along axis ``i``."""
        xp = self.xp
        pairs = tuple(n for size, f in zip(x.shape, factors) for n in (size, f))
        single = tuple(n for size in x.shape for n in (size, 1))
        y = xp.empty(tuple(n * f for n, f in zip(x.shape, factors)), x.dtype)
        y.reshape(pairs)[...] = x.reshape(single)
        return y

    def sum_blocks(self, dy, factors: tuple[int, ...]):
        """Return the sums over blocks of ``factors``: the gradient of ``repeat_blocks``."""
        for axis, f in enumerate(factors):
            if f == 1:
                continue
            place: list = [slice(None)] * dy.ndim
            place[axis] = slice(0, None, f)
            total = dy[tuple(place)].copy()
            for t in range(1, f):
                place[axis] = slice(t, None, f)
                total += dy[tuple(place)]
            dy = total
        return dy
