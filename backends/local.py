"""Patches for products with weights of their own at every position: locally connected layers."""

from __future__ import annotations

import math

from .convolution_columns import ColumnsMixin, _patches, inner_slices, tap_slices
from .window_shapes import Windows


class LocalMixin(ColumnsMixin):
    """Patches and their sums, written once over ``xp``.

    Shapes: ``x`` (N, *size, C); patches (positions, N, taps * C), as batches of matrices; with
    ``channels_first`` their last axis is C * taps.
    """

    def local_patches(self, x, windows: Windows, channels_first: bool = False):
        """Return the inputs under every window, zeros where it reaches over the border."""
        xp, n, c = self.xp, len(x), x.shape[-1]
        if windows.padded == windows.size:
            source = xp.ascontiguousarray(x)
        else:
            source = xp.zeros((n, *windows.padded, c), x.dtype)
            source[inner_slices(windows)] = x
        rank = len(windows.out)
        view = _patches(xp, source, windows, planar=False).reshape(n, *windows.out, *windows.window, c)
        taps = tuple(range(1 + rank, 1 + 2 * rank))
        last = (1 + 2 * rank, *taps) if channels_first else (*taps, 1 + 2 * rank)
        view = view.transpose(*range(1, 1 + rank), 0, *last)
        return xp.ascontiguousarray(view).reshape(math.prod(windows.out), n, -1)

    def local_patches_sum(self, patches, windows: Windows, channels_first: bool = False):
        """Return for every input the sum over the windows that hold it: the way back of ``local_patches``."""
        xp, n, rank = self.xp, patches.shape[1], len(windows.out)
        c = patches.shape[-1] // math.prod(windows.window)
        inner = (c, *windows.window) if channels_first else (*windows.window, c)
        patches = patches.reshape(*windows.out, n, *inner)
        sums = xp.zeros((n, *windows.padded, c), patches.dtype)
        for tap, places in tap_slices(windows):
            key = (slice(None), *tap) if channels_first else (*tap, slice(None))
            sums[places] += xp.moveaxis(patches[(slice(None),) * (rank + 1) + key], rank, 0)
        return xp.ascontiguousarray(sums[inner_slices(windows)])
