"""Blocks of images: space to depth and back, sliding windows as columns and back."""

from __future__ import annotations

import numpy as np

from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops.shaping import own, reshape, transpose


@op(shape=window_shapes.depth_to_space)
def depth_to_space(x, block_size, data_format="channels_last"):
    """Return images with blocks of channels laid out as ``block_size`` x ``block_size`` squares of pixels.

    Parameters
    ----------
    x : tensor, shape (N, H, W, C * block_size**2), or channels first
    block_size : int
    data_format : {"channels_last", "channels_first"}
        As in Keras this also settles the order of input channels: the place in the square runs slowest with
        the channels last, fastest with the channels first.

    Returns
    -------
    tensor, shape (N, H * block_size, W * block_size, C)
    """
    shape, size = window_shapes.depth_to_space(x.shape, block_size, data_format), block_size
    if data_format == "channels_last":
        n, h, w, _ = x.shape
        blocks = x.array.reshape(n, h, w, size, size, shape[3]).transpose(0, 1, 3, 2, 4, 5)
    else:
        n, _, h, w = x.shape
        blocks = x.array.reshape(n, shape[1], size, size, h, w).transpose(0, 1, 4, 2, 5, 3)
    return own(x, blocks.reshape(shape)), lambda dy: space_to_depth(dy, size, data_format)


@op(shape=window_shapes.space_to_depth)
def space_to_depth(x, block_size, data_format="channels_last"):
    """Return images with squares of ``block_size`` x ``block_size`` pixels stacked as channels.

    Parameters
    ----------
    x : tensor, shape (N, H, W, C), or channels first
        H and W are multiples of ``block_size``.
    block_size : int
    data_format : {"channels_last", "channels_first"}
        Also settles the order of result channels; see ``depth_to_space``.

    Returns
    -------
    tensor, shape (N, H / block_size, W / block_size, C * block_size**2)
    """
    shape, size = window_shapes.space_to_depth(x.shape, block_size, data_format), block_size
    if data_format == "channels_last":
        n, h, w, c = x.shape
        blocks = x.array.reshape(n, h // size, size, w // size, size, c).transpose(0, 1, 3, 2, 4, 5)
    else:
        n, c, h, w = x.shape
        blocks = x.array.reshape(n, c, h // size, size, w // size, size).transpose(0, 1, 3, 5, 2, 4)
    return own(x, blocks.reshape(shape)), lambda dy: depth_to_space(dy, size, data_format)


def _window_positions(size, kernel_size, dilation, padding, stride):
    """Return the pixel number (kH * kW, L) of every place of every window, and the pads of (H, W)."""
    kernel, dilate, pads, step = (
        (v, v) if isinstance(v, int) else tuple(v) for v in (kernel_size, dilation, padding, stride)
    )
    lines = []
    for n, k, d, p, s in zip(size, kernel, dilate, pads, step):
        count = (n + 2 * p - d * (k - 1) - 1) // s + 1
        if count < 1:
            raise ValueError(f"windows of size {k} (dilation {d}) do not fit an axis of size {n} + 2 * {p}")
        lines.append(np.arange(k)[:, None] * d + np.arange(count)[None, :] * s)
    rows, columns = lines
    width = size[1] + 2 * pads[1]
    grid = rows[:, None, :, None] * width + columns[None, :, None, :]  # kH kW rows columns
    return grid.reshape(kernel[0] * kernel[1], -1), pads


def unfold(x, kernel_size, dilation=1, padding=0, stride=1):
    """Return all sliding windows of images as columns (im2col).

    Parameters
    ----------
    x : tensor, shape (N, C, H, W)
    kernel_size, dilation, padding, stride : int or (int, int)

    Returns
    -------
    tensor, shape (N, C * kH * kW, L)
        L is the number of windows.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.unfold(ops.ones((1, 2, 4, 4)), 2, stride=2).shape
    (1, 8, 4)
    """
    from gpukeras import ops

    if len(x.shape) != 4 or None in x.shape[1:]:
        raise ValueError(f"unfold needs images of known sizes (N, C, H, W), came shape {tuple(x.shape)}")
    c, h, w = x.shape[1:]
    positions, (ph, pw) = _window_positions((h, w), kernel_size, dilation, padding, stride)
    padded = ops.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))
    pixels = reshape(padded, (-1, c, (h + 2 * ph) * (w + 2 * pw)))
    windows = ops.take(pixels, positions, axis=2)
    return reshape(windows, (-1, c * positions.shape[0], positions.shape[1]))


def fold(x, output_size, kernel_size, dilation=1, padding=0, stride=1):
    """Return images as the sums of overlapping windows (col2im): what ``unfold`` took, added back.

    Parameters
    ----------
    x : tensor, shape (N, C * kH * kW, L)
    output_size : int or (int, int)
        H and W of the images.
    kernel_size, dilation, padding, stride : int or (int, int)

    Returns
    -------
    tensor, shape (N, C, H, W)

    Examples
    --------
    >>> from gpukeras import ops
    >>> patches = ops.unfold(ops.ones((1, 1, 3, 3)), 2)
    >>> ops.fold(patches, (3, 3), 2)[0, 0].tolist()
    [[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]
    """
    from gpukeras.ops.scattering import segment_sum

    h, w = (output_size, output_size) if isinstance(output_size, int) else output_size
    positions, (ph, pw) = _window_positions((h, w), kernel_size, dilation, padding, stride)
    places, count = positions.shape
    if len(x.shape) != 3 or x.shape[1] is None or x.shape[1] % places or x.shape[2] not in (None, count):
        raise ValueError(
            f"fold: windows of shape {tuple(x.shape)} do not fit; expected (N, C * {places}, {count}) for "
            f"output_size={(h, w)}"
        )
    c, wide = x.shape[1] // places, (h + 2 * ph) * (w + 2 * pw)
    windows = transpose(reshape(x, (-1, c, places * count)), (2, 0, 1))
    summed = segment_sum(windows, positions.reshape(-1), wide)
    images = reshape(transpose(summed, (1, 2, 0)), (-1, c, h + 2 * ph, w + 2 * pw))
    return images[:, :, ph : ph + h, pw : pw + w]
