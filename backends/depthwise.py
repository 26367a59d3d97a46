"""Depthwise convolution: every channel has filters of its own, so there is no matrix product."""

from __future__ import annotations

from .convolution import ConvolutionMixin, blocks, inner_slices, tap_slices
from .window_shapes import Windows


class DepthwiseMixin(ConvolutionMixin):
    """Depthwise convolution as sums over the taps of the window, written once over ``xp``.

    Shapes: ``x`` (N, *size, C), ``w`` (*window, 1, C * many), ``y`` and ``dy`` (N, *out, C * many).
    """

    def _depthwise_forward(self, x, w, windows: Windows, y, finish) -> None:
        xp, c = self.xp, x.shape[-1]
        many = w.shape[-1] // c
        w = w.reshape(*windows.window, c, many)
        step, _ = blocks(len(x), 1, y[:1].nbytes + 1, self.column_bytes // 2)
        padded = self._conv_padding(x, windows, step)
        for n in range(0, len(x), step):
            images = slice(n, min(n + step, len(x)))
            source = padded(images)
            block = y[images]
            sums = block.reshape(*block.shape[:-1], c, many)
            store = self.conv_scratch(block.size, x.dtype).reshape(sums.shape)
            for i, (tap, places) in enumerate(tap_slices(windows)):
                found = source[places][..., None]
                xp.multiply(found, w[tap], out=store if i else sums)
                if i:
                    xp.add(sums, store, out=sums)
            finish(block.reshape(-1, block.shape[-1]))

    def _depthwise_backward_data(self, dy, w, windows: Windows, c: int):
        xp = self.xp
        many = dy.shape[-1] // c
        w = w.reshape(*windows.window, c, many)
        dx = xp.empty((len(dy), *windows.size, c), dy.dtype)
        step, _ = blocks(len(dy), 1, dx[:1].nbytes + 1, self.column_bytes // 2)
        sums = xp.empty((min(step, max(1, len(dy))), *windows.padded, c), dy.dtype)
        inside = inner_slices(windows)
        for n in range(0, len(dy), step):
            block = dy[n : n + step].reshape(-1, *windows.out, c, many)
            sums[...] = 0
            for tap, places in tap_slices(windows):
                found = block * w[tap]
                target = sums[: len(block)][places]
                target += found[..., 0] if many == 1 else found.sum(axis=-1)
            dx[n : n + step] = sums[: len(block)][inside]
        return dx

    def _depthwise_backward_kernel(self, x, dy, windows: Windows, dw) -> None:
        c = x.shape[-1]
        many = dy.shape[-1] // c
        step, _ = blocks(len(x), 1, dy[:1].nbytes + 1, self.column_bytes // 2)
        padded = self._conv_padding(x, windows, step)
        for n in range(0, len(x), step):
            images = slice(n, min(n + step, len(x)))
            source = padded(images)
            block = dy[images].reshape(len(source), *windows.out, c, many)
            for tap, places in tap_slices(windows):
                product = source[places][..., None] * block
                dw[tap][0] += self.column_sum(product.reshape(-1, c * many))
