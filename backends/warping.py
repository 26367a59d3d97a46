"""Reading arrays between their elements: values at real-valued places, by nearest or linear interpolation.

An array has the shape (B, S, C) here: B images of S pixels, flattened from ``sizes`` (one number for each
axis of space), with C channels. Places have the shape (axes of space, B or 1, P). Both ways work corner by
corner: a place lies between two pixels along each axis, so its value is a sum over 2 ** axes pixels, each
weighted by one factor for every axis.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from . import threads
from .indexing import IndexingMixin

FILL_MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
_FAR = 2.0**30  # places are cut there: they become int32, and NaN must go somewhere
MANY = 8  # channels from which NumPy reads whole pixels
_SECONDS = 2e-9  # for one channel of one corner of one place, on one thread


def working_type(kind: np.dtype) -> np.dtype:
    """Return the type in which elements of ``kind`` are weighted and summed."""
    if kind.kind == "f":
        return np.dtype("float32") if kind.itemsize < 4 else kind
    return np.dtype("float32") if kind.itemsize < 4 else np.dtype("float64")


class WarpingMixin(IndexingMixin):
    """Methods for warping images."""

    def sample(self, x, sizes, places, order: int, mode: str, fill: float):
        """Return the values of ``x`` (B, S, C) at ``places`` (axes, B or 1, P): shape (B, P, C).

        Parameters
        ----------
        order : {0, 1}
            Nearest element (halves away from 0), or linear.
        mode : str
            What lies outside: see ``FILL_MODES``. With ``"constant"``, ``fill`` does.
        """
        xp = self.xp
        batch, size, channels = x.shape
        rows = xp.ascontiguousarray(x).reshape(batch * size, channels)
        first = (xp.arange(batch, dtype="int32") * size).reshape(-1, 1)
        axes = self._axes(sizes, places, order, mode, working_type(x.dtype))
        if order == 0:
            index, inside = self._corner([sides[0] for sides in axes])
            y = rows[index + first]
            if inside is not None:
                y = xp.where(inside[..., None] != 0, y, _as(fill, x.dtype))
            return y
        total = None
        for corner in itertools.product(*axes):
            index, weight = self._corner(corner)
            part = rows[index + first] * weight[..., None]
            total = part if total is None else total + part
        if mode == "constant" and fill:
            total = total + self._filled(axes, fill)[..., None]
        return self.back_to(total, x.dtype)

    def sample_backward(self, dy, x, sizes, places, order: int, mode: str, fill: float, wants):
        """Return the gradients of ``x`` and of ``places`` for the gradient ``dy`` (B, P, C).

        ``wants``: a pair of booleans; what is not wanted is ``None``. The values of ``x`` are read for the
        gradient of the places only.
        """
        xp = self.xp
        batch, size, channels = x.shape
        kind = working_type(x.dtype)
        dy = dy.astype(kind, copy=False)
        axes = self._axes(sizes, places, order, mode, kind)
        first = (xp.arange(batch, dtype="int32") * size).reshape(-1, 1)
        dx = xp.zeros((batch * size, channels), kind) if wants[0] else None
        sums = None
        if wants[1] and order == 1:
            rows = xp.ascontiguousarray(x).reshape(batch * size, channels)
            sums = [xp.zeros(dy.shape[:2], kind) for _ in sizes]
        for sides in itertools.product(range(1 + order), repeat=len(sizes)):
            corner = [axes[k][side] for k, side in enumerate(sides)]
            index, weight = self._corner(corner)
            index = index + first
            if dx is not None:
                part = dy if weight is None else dy * weight[..., None]
                self.scatter_add(dx, index.reshape(-1), part.reshape(-1, channels))
            if sums is not None:
                along = (rows[index] * dy).sum(axis=-1)
                for k, side in enumerate(sides):
                    self._add_slope(sums[k], along, corner, k, side)
        if sums is not None and mode == "constant" and fill:
            self._add_slope_of_fill(sums, axes, fill, dy)
        dplaces = self._places_gradient(sums, places) if wants[1] else None
        return None if dx is None else dx.reshape(x.shape).astype(x.dtype, copy=False), dplaces

    # ---- one axis, one corner ---------------------------------------------------------------------------
    def _axes(self, sizes, places, order: int, mode: str, kind) -> list:
        """Return for each axis its sides: (index times stride, weight, slope's factor), two if linear."""
        xp = self.xp
        found = []
        for k, (n, at) in enumerate(zip(sizes, places)):
            stride = math.prod(sizes[k + 1 :])
            at = xp.minimum(xp.fmax(at, -_FAR), _FAR)
            low = xp.floor(at)
            part = at - low
            index = low.astype("int32")
            if order == 0:
                index = index + ((part > 0.5) | ((part == 0.5) & (at > 0)))
                sides = [(index, None)]
            else:
                part = part.astype(kind, copy=False)
                sides = [(index, 1 - part), (index + 1, part)]
            found.append([self._side(i, w, n, stride, mode, kind) for i, w in sides])
        return found

    def _side(self, index, weight, n: int, stride: int, mode: str, kind):
        """Return (index within the array, times ``stride``; weight; 1 inside and 0 outside, or ``None``)."""
        xp = self.xp
        inside = None
        if mode == "constant":
            inside = ((index >= 0) & (index < n)).astype(kind)
            weight = inside if weight is None else weight * inside
        if mode in ("constant", "nearest"):
            index = xp.clip(index, 0, n - 1)
        elif mode == "wrap":
            index = index % n
        elif mode == "mirror":
            index = abs(n - 1 - abs((index % max(1, 2 * n - 2)) - (n - 1)))
        else:
            index = index % (2 * n)
            index = xp.minimum(index, 2 * n - 1 - index)
        return (index * stride if stride != 1 else index), weight, inside

    def _corner(self, corner):
        """Return flat index and weight of a corner, from one side of each axis."""
        index, weight = corner[0][:2]
        for i, w, _ in corner[1:]:
            index = index + i
            if w is not None:
                weight = w if weight is None else weight * w
        return index, weight

    def _filled(self, axes, fill: float):
        """Return what ``fill`` contributes: its share is what the weights inside of the array leave of 1."""
        known = axes[0][0][1] + axes[0][1][1]
        for low, high in axes[1:]:
            known = known * (low[1] + high[1])
        if math.isfinite(fill):
            return (1 - known) * fill
        return self.xp.where(known < 0.9999, fill, 0).astype(known.dtype)  # no trace of it inside

    # ---- gradient of the places --------------------------------------------------------------------------
    def _add_slope(self, total, along, corner, k: int, side: int) -> None:
        """Add what the corner's value contributes to the slope along axis ``k``."""
        part = along if side else -along
        for j, (_, weight, inside) in enumerate(corner):
            factor = inside if j == k else weight
            if factor is not None:
                part = part * factor
        total += part

    def _add_slope_of_fill(self, sums, axes, fill: float, dy) -> None:
        whole = dy.sum(axis=-1) * -fill
        for k, (low, high) in enumerate(axes):
            part = whole * (high[2] - low[2])
            for j, (a, b) in enumerate(axes):
                if j != k:
                    part = part * (a[1] + b[1])
            sums[k] += part

    def _places_gradient(self, sums, places):
        xp = self.xp
        if sums is None:  # nearest: the value does not change with the place
            return xp.zeros(places.shape, places.dtype)
        found = xp.stack(sums)
        if places.shape[1] != found.shape[1]:
            found = found.sum(axis=1, keepdims=True)
        return found.astype(places.dtype, copy=False)

    def back_to(self, y, kind: np.dtype):
        """Return ``y`` in type ``kind``; for integers rounded, halves away from 0, and kept in range."""
        if kind.kind == "f" or y.dtype == kind:
            return y.astype(kind, copy=False)
        xp = self.xp
        if kind.kind == "b":
            return y != 0
        info = np.iinfo(kind)
        return xp.clip(xp.trunc(y + xp.copysign(0.5, y)), info.min, info.max).astype(kind)


def _as(number: float, kind: np.dtype):
    """Return a number as a scalar of ``kind``, cut where it does not fit."""
    if kind.kind in "iu":
        info = np.iinfo(kind)
        return kind.type(min(max(round(number), info.min), info.max))
    return kind.type(number)


class NumpyWarpingMixin(WarpingMixin):
    """NumPy reads channel by channel: rows of three numbers are slow to take and slower to multiply."""

    def sample(self, x, sizes, places, order: int, mode: str, fill: float):
        batch, _, channels = x.shape
        if channels > MANY:
            return super().sample(x, sizes, places, order, mode, fill)
        y = _like(self, x, places.shape[2])

        def images(start: int, stop: int) -> None:
            for b in range(start, stop):
                at = places[:, min(b, places.shape[1] - 1)]
                self._sample_image(y[b].T, x[b].T, sizes, at, order, mode, fill)

        threads.share(images, batch, y.size * (1 + 3 * order) * _SECONDS)
        return y

    def _sample_image(self, y, x, sizes, places, order, mode, fill) -> None:
        """Fill ``y`` (C, P) with the values of one image (C, S)."""
        axes = self._axes(sizes, places, order, mode, working_type(x.dtype))
        corners = [self._corner(sides) for sides in itertools.product(*axes)]
        rest = self._filled(axes, fill) if order and mode == "constant" and fill else None
        for target, plane in zip(y, x):
            plane = np.ascontiguousarray(plane)
            if order == 0:
                index, inside = corners[0]
                found = plane.take(index, mode="clip")
                target[...] = found if inside is None else np.where(inside, found, _as(fill, x.dtype))
                continue
            total = None
            for index, weight in corners:
                part = plane.take(index, mode="clip") * weight
                total = part if total is None else np.add(total, part, out=total)
            if rest is not None:
                total += rest
            target[...] = self.back_to(total, x.dtype)

    def sample_backward(self, dy, x, sizes, places, order: int, mode: str, fill: float, wants):
        batch, _, channels = x.shape
        if channels > MANY:
            return super().sample_backward(dy, x, sizes, places, order, mode, fill, wants)
        dx = np.empty_like(x) if wants[0] else None
        sums = np.zeros((len(sizes), *dy.shape[:2]), working_type(x.dtype)) if wants[1] and order else None

        def images(start: int, stop: int) -> None:
            for b in range(start, stop):
                at = places[:, min(b, places.shape[1] - 1)]
                axes = self._axes(sizes, at, order, mode, working_type(x.dtype))
                if dx is not None:
                    _spread_image(dx[b].T, dy[b].T, [self._corner(c) for c in itertools.product(*axes)])
                if sums is not None:
                    self._slopes(sums[:, b], dy[b].T, x[b].T, axes, fill if mode == "constant" else 0)

        threads.share(images, batch, dy.size * (1 + 3 * order) * 2 * _SECONDS)
        return dx, self._places_gradient(sums, places) if wants[1] else None

    def _slopes(self, sums, dy, x, axes, fill) -> None:
        """Add to ``sums`` (axes, P) the gradient of the places in one image."""
        planes = np.ascontiguousarray(x)
        for sides in itertools.product(range(2), repeat=len(axes)):
            corner = [axes[k][side] for k, side in enumerate(sides)]
            index = self._corner(corner)[0]
            along = sum(plane.take(index, mode="clip") * d for plane, d in zip(planes, dy))
            for k, side in enumerate(sides):
                self._add_slope(sums[k], along, corner, k, side)
        if fill:
            self._add_slope_of_fill(sums, axes, fill, dy.T)


def _like(backend, x, count: int):
    """Return an array (B, ``count``, C) whose axes lie in memory as those of ``x`` (B, S, C) do."""
    batch, _, channels = x.shape
    if x.strides[2] > x.strides[1]:
        return backend.empty((batch, channels, count), x.dtype).transpose(0, 2, 1)
    return backend.empty((batch, count, channels), x.dtype)


def _spread_image(dx, dy, corners) -> None:
    """Fill ``dx`` (C, S) with what every place of ``dy`` (C, P) gives back to the pixels around it."""
    for target, plane in zip(dx, dy):
        target[...] = sum(
            np.bincount(index, plane if weight is None else plane * weight, target.size)
            for index, weight in corners
        )
