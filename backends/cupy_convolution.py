"""Convolution on a GPU by our own kernels."""

from __future__ import annotations

from gpukeras.kernels import convolution

from .convolution import ConvolutionMixin
from .cupy_wide import wide


class CupyConvolutionMixin(ConvolutionMixin):
    """Kernels for float32 and the halves; other types, and arrays of 2**31 elements, go the generic way."""

    def conv_forward(self, x, w, windows, groups=1, bias=None, activation=None):
        if not convolution.takes(x.dtype, len(x), windows, w.shape[-2], w.shape[-1], groups):
            return wide(super().conv_forward, x, w, windows, groups, bias, activation)
        return convolution.forward(x, w, windows, groups, bias, activation)

    def conv_backward_data(self, dy, w, windows, groups=1, bias=None, activation=None):
        if not convolution.takes(dy.dtype, len(dy), windows, w.shape[-2], w.shape[-1], groups):
            return wide(super().conv_backward_data, dy, w, windows, groups, bias, activation)
        return convolution.backward_data(dy, w, windows, groups, bias, activation)

    def conv_backward_kernel(self, x, dy, windows, groups=1):
        if not convolution.takes(x.dtype, len(x), windows, x.shape[-1] // groups, dy.shape[-1], groups):
            return wide(super().conv_backward_kernel, x, dy, windows, groups)
        return convolution.backward_kernel(x, dy, windows, groups)

    def conv_backward_output(self, dy, y, activation=None, with_bias=True):
        if not convolution.takes_output(dy):
            return wide(super().conv_backward_output, dy, y, activation, with_bias)
        return convolution.backward_output(dy, y, activation, with_bias)

    def conv_backward_first(self, x, dy, y, windows, groups=1, activation=None, with_bias=True):
        if not convolution.takes(x.dtype, len(x), windows, x.shape[-1] // groups, dy.shape[-1], groups):
            return wide(super().conv_backward_first, x, dy, y, windows, groups, activation, with_bias)
        return convolution.backward_first(x, dy, y, windows, groups, activation, with_bias)
