"""Convolution whose weights differ from position to position: one product of matrices for every position."""

from __future__ import annotations

import math

from gpukeras import autograd
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops.convolutions import _cast, _channels_back, _channels_last, _promote


def local_windows(spatial, window, strides, padding: str) -> window_shapes.Windows:
    """Lay the windows of a locally connected layer over axes of known sizes.

    With ``padding="same"`` the middle of a window (of an even one: the element after it) lies at its position
    times the stride, which is not what convolution does.
    """
    rank = len(spatial)
    found = window_shapes.windows(spatial, window, strides, padding, (1,) * rank, "locally connected layer")
    return found._replace(lows=tuple(k // 2 for k in window)) if padding == "same" else found


def _shape(x, kernel, bias, windows, data_format="channels_last"):
    return window_shapes.join_format(x[0], windows.out, kernel[-1], data_format)


@op(shape=_shape, tensors=3)
def locally_connected(inputs, kernel, bias, windows, data_format="channels_last"):
    """Convolve with weights that differ from position to position, and add a bias, in one step.

    Parameters
    ----------
    inputs : tensor, shape (N, *spatial, C) or (N, C, *spatial)
    kernel : tensor, shape (positions, taps * C, filters)
        One matrix for each position of a window, row by row; with the channels first, (positions, C * taps,
        filters).
    bias : tensor, shape (*out, filters) or (positions, filters), optional
    windows : Windows
        From ``local_windows``.
    data_format : {"channels_last", "channels_first"}

    Returns
    -------
    tensor, shape (N, *out, filters) or (N, filters, *out)
    """
    x, w, b = _promote(inputs, kernel, bias)
    y = _multiply(inputs.backend, x, w, windows, data_format)
    if b is not None:
        y += b.reshape(len(w), 1, -1)
    tracked = [autograd.is_tracked(t) for t in (inputs, kernel, bias)]

    def vjp(dy):
        from gpukeras import ops

        settings = dict(windows=windows, data_format=data_format)
        dx = local_data(dy, kernel, **settings) if tracked[0] else None
        dw = local_kernel(inputs, dy, **settings) if tracked[1] else None
        db = None
        if tracked[2]:
            db = ops.sum(dy, axis=0)
            db = ops.reshape(db if data_format == "channels_last" else ops.moveaxis(db, 0, -1), bias.shape)
        return tuple(_cast(d, t) for d, t in zip((dx, dw, db), (inputs, kernel, bias)))

    return _outputs(y, windows, data_format), vjp


def _data_shape(dy, kernel, windows, data_format="channels_last"):
    channels = kernel[1] // math.prod(windows.window)
    return window_shapes.join_format(dy[0], windows.size, channels, data_format)


# These are linear in both tensors, and their gradients are each other and the product itself.
@op(shape=_data_shape, tensors=2)
def local_data(dy, kernel, windows, data_format="channels_last"):
    """Return the gradient of the inputs, given that of the outputs."""
    d, w = _promote(dy, kernel)
    backend = dy.backend
    patches = backend.matmul(_rows(backend, d, data_format), w.swapaxes(-1, -2))
    dx = backend.local_patches_sum(patches, windows, data_format == "channels_first")
    tracked = autograd.is_tracked(dy), autograd.is_tracked(kernel)

    def vjp(v):
        settings = dict(windows=windows, data_format=data_format)
        return (
            _cast(locally_connected(v, kernel, None, **settings), dy) if tracked[0] else None,
            _cast(local_kernel(v, dy, **settings), kernel) if tracked[1] else None,
        )

    return _channels_back(dx, data_format), vjp


def _kernel_shape(x, dy, windows, data_format="channels_last"):
    channels, filters = (window_shapes.split_format(s, data_format)[1] for s in (x, dy))
    return (math.prod(windows.out), math.prod(windows.window) * channels, filters)


@op(shape=_kernel_shape, tensors=2)
def local_kernel(inputs, dy, windows, data_format="channels_last"):
    """Return the gradient of the kernel, given that of the outputs."""
    x, d = _promote(inputs, dy)
    backend = dy.backend
    patches = _patches(backend, x, windows, data_format)
    dw = backend.matmul(patches.swapaxes(-1, -2), _rows(backend, d, data_format))
    tracked = autograd.is_tracked(inputs), autograd.is_tracked(dy)

    def vjp(v):
        settings = dict(windows=windows, data_format=data_format)
        return (
            _cast(local_data(dy, v, **settings), inputs) if tracked[0] else None,
            _cast(locally_connected(inputs, v, None, **settings), dy) if tracked[1] else None,
        )

    return dw, vjp


# ---- small tools -----------------------------------------------------------------------------------------
def _patches(backend, x, windows, data_format: str):
    return backend.local_patches(_channels_last(x, data_format), windows, data_format == "channels_first")


def _multiply(backend, x, w, windows, data_format: str):
    """Return the products of all positions (positions, N, filters)."""
    return backend.matmul(_patches(backend, x, windows, data_format), w)


def _rows(backend, dy, data_format: str):
    """Return gradients of the outputs as (positions, N, filters)."""
    d = backend.xp.moveaxis(_channels_last(dy, data_format), 0, -2)
    return backend.xp.ascontiguousarray(d).reshape(-1, *d.shape[-2:])


def _outputs(y, windows, data_format: str):
    """Return products (positions, N, filters) as outputs."""
    _, n, filters = y.shape
    return _channels_back(y.swapaxes(0, 1).reshape(n, *windows.out, filters), data_format)
