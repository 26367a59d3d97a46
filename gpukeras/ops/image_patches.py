"""Parts of images: patches in sliding windows, and borders cut off or added."""

from __future__ import annotations

import itertools

import numpy as np

from gpukeras import config, ops
from gpukeras.backends import window_shapes
from gpukeras.op import op
from gpukeras.ops.warping import as_tensor, image_rank


# ---- patches ---------------------------------------------------------------------------------------------
def extract_patches(images, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Lay the pixels of sliding windows out as channels.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C) or (H, W, C); for three sizes (N, D, H, W, C) or (D, H, W, C)
        With ``data_format="channels_first"`` C comes before the sizes.
    size : int, (height, width) or (depth, height, width)
        Of a window; one number means a square.
    strides : int or tuple of int, optional
        From window to window; ``size`` unless given: windows side by side.
    dilation_rate : int or tuple of int
        From pixel to pixel inside a window.
    padding : {"valid", "same"}
        ``"same"`` puts zeros around the images so that there are ``ceil(H / stride)`` windows.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor, shape (N, rows, columns, height * width * C), without N for a single image
        The channels of a pixel lie side by side, pixels follow row by row.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.arange(16), (4, 4, 1))
    >>> ops.image.extract_patches(x, 2)[0].tolist()
    [[0, 1, 4, 5], [2, 3, 6, 7]]
    """
    rank = 2 if isinstance(size, int) else len(size)
    if rank not in (2, 3):
        raise ValueError(
            f"extract_patches: size must be an int or have 2 or 3 elements, came {size!r}"
        )
    return _patches("extract_patches", images, rank, size, strides, dilation_rate, padding, data_format)


def extract_patches_3d(volumes, size, strides=None, dilation_rate=1, padding="valid", data_format=None):
    """Lay the elements of sliding windows of volumes out as channels: ``extract_patches`` in three axes.

    Parameters
    ----------
    volumes : tensor, shape (N, D, H, W, C) or (D, H, W, C)
    size : int or (depth, height, width)
    strides, dilation_rate, padding, data_format
        As in ``extract_patches``.

    Returns
    -------
    tensor, shape (N, layers, rows, columns, depth * height * width * C), or without N

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.image.extract_patches_3d(ops.ones((4, 4, 4, 2)), 2).shape
    (2, 2, 2, 16)
    """
    return _patches("extract_patches_3d", volumes, 3, size, strides, dilation_rate, padding, data_format)


def _patches(name: str, images, rank: int, size, strides, dilation_rate, padding: str, data_format):
    images = as_tensor(images)
    if len(images.shape) not in (rank + 1, rank + 2):
        raise ValueError(
            f"{name}: windows of {rank} axes need inputs of rank {rank + 1} or {rank + 2} (a batch), came "
            f"shape {tuple(images.shape)}"
        )
    size = window_shapes.per_axis(size, rank, "size")
    strides = size if strides is None else window_shapes.per_axis(strides, rank, "strides")
    dilation = window_shapes.per_axis(dilation_rate, rank, "dilation_rate")
    if padding.lower() not in ("valid", "same"):
        raise ValueError(f"{name}: padding must be 'valid' or 'same', came {padding!r}")
    single = len(images.shape) == rank + 1
    y = take_patches(
        ops.expand_dims(images, 0) if single else images, size, strides, dilation, padding.lower(),
        config.standardize_data_format(data_format),
    )
    return ops.squeeze(y, 0) if single else y


def _patches_shape(x, size, strides, dilation_rate, padding, data_format):
    batch, *spatial = x
    channels = spatial.pop(-1 if data_format == "channels_last" else 0)
    out = window_shapes.window_outputs(spatial, size, strides, padding, dilation_rate, "extract_patches")
    whole = None if channels is None else channels * int(np.prod(size))
    return window_shapes.join_format(batch, tuple(out), whole, data_format)


def _layout(shape, size, strides, dilation, padding, data_format):
    """Return the spatial sizes, the zeros around them, the outputs and where the first spatial axis is."""
    first = 1 if data_format == "channels_last" else 2
    spatial = shape[first : first + len(size)]
    pads = [window_shapes.window_padding(n, k, s, padding, d)
            for n, k, s, d in zip(spatial, size, strides, dilation)]
    out = window_shapes.window_outputs(spatial, size, strides, padding, dilation, "extract_patches")
    return spatial, pads, tuple(out), first


def _windows(size, strides, dilation, out, first):
    """Yield the number of every place in a window and the key of what all windows have there."""
    before = (slice(None),) * first
    for i, place in enumerate(itertools.product(*(range(k) for k in size))):
        yield i, (*before, *(
            slice(at * d, at * d + (n - 1) * s + 1, s) for at, d, n, s in zip(place, dilation, out, strides)
        ))


@op(shape=_patches_shape)
def take_patches(x, size, strides, dilation_rate, padding, data_format):
    """Do the work of ``extract_patches`` for a batch."""
    xp, shape = x.backend.xp, x.shape
    settings = (size, strides, dilation_rate, padding, data_format)
    _, pads, out, first = _layout(shape, *settings)
    padded = x.array
    if any(low or high for low, high in pads):
        widths = [(0, 0)] * x.ndim
        widths[first : first + len(pads)] = pads
        padded = xp.pad(padded, widths)
    count = int(np.prod(size))
    # Places in a window lie before the channels, in either layout.
    where = first + len(size) if data_format == "channels_last" else 1
    channels = shape[-1 if data_format == "channels_last" else 1]
    parts = list(_patches_shape(shape, *settings))
    parts[where : where + 1] = [count, channels]
    y = x.backend.empty(tuple(parts), x.dtype)
    for i, key in _windows(size, strides, dilation_rate, out, first):
        y[(slice(None),) * where + (i,)] = padded[key]
    return y.reshape(_patches_shape(shape, *settings)), lambda dy: put_patches(dy, shape, *settings)


@op(shape=lambda dy, shape, *settings: shape)
def put_patches(dy, shape, size, strides, dilation, padding, data_format):
    """Add patches where they were taken from: the gradient of ``take_patches``."""
    xp = dy.backend.xp
    settings = (size, strides, dilation, padding, data_format)
    spatial, pads, out, first = _layout(shape, *settings)
    where = first + len(size) if data_format == "channels_last" else 1
    channels = shape[-1 if data_format == "channels_last" else 1]
    parts = list(dy.shape)
    parts[where : where + 1] = [int(np.prod(size)), channels]
    d = dy.array.reshape(parts)
    wide = list(shape)
    wide[first : first + len(size)] = [
        max(n + sum(p), (m - 1) * s + (k - 1) * e + 1)
        for n, p, m, s, k, e in zip(spatial, pads, out, strides, size, dilation)
    ]
    total = xp.zeros(tuple(wide), dy.dtype)
    for i, key in _windows(size, strides, dilation, out, first):
        total[key] += d[(slice(None),) * where + (i,)]
    inner = (slice(None),) * first + tuple(slice(p[0], p[0] + n) for p, n in zip(pads, spatial))
    return xp.ascontiguousarray(total[inner]), lambda v: take_patches(v, *settings)


# ---- borders ---------------------------------------------------------------------------------------------
def crop_images(
    images, top_cropping=None, left_cropping=None, bottom_cropping=None, right_cropping=None,
    target_height=None, target_width=None, data_format=None,
):
    """Cut borders off images.

    Of the three numbers about each axis, two are given and the third follows.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
    top_cropping, bottom_cropping : int, optional
        Rows to leave out.
    left_cropping, right_cropping : int, optional
        Columns to leave out.
    target_height, target_width : int, optional
        Size of the result.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.arange(9), (3, 3, 1))
    >>> ops.image.crop_images(x, 1, 0, target_height=2, target_width=2)[:, :, 0].tolist()
    [[3, 4], [6, 7]]
    """
    images = image_rank("crop_images", images)
    first, last = _spatial_axes(images, data_format)
    key = [slice(None)] * len(images.shape)
    for axis, what, low, high, target in (
        (first, ("top_cropping", "bottom_cropping", "target_height"), top_cropping, bottom_cropping,
         target_height),
        (last, ("left_cropping", "right_cropping", "target_width"), left_cropping, right_cropping,
         target_width),
    ):
        size = images.shape[axis]
        low, high, target = _third("crop_images", what, low, high, target, size, -1)
        # Counted from whichever side is known, so that a size of None is no hindrance.
        if low is None:
            key[axis] = slice(-(high + target), -high or None)
        else:
            key[axis] = slice(low, -high or None if target is None else low + target)
    return images[tuple(key)]


def pad_images(
    images, top_padding=None, left_padding=None, bottom_padding=None, right_padding=None, target_height=None,
    target_width=None, data_format=None,
):
    """Put zeros around images.

    Of the three numbers about each axis, two are given and the third follows.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
    top_padding, bottom_padding : int, optional
        Rows of zeros to add.
    left_padding, right_padding : int, optional
        Columns of zeros to add.
    target_height, target_width : int, optional
        Size of the result.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.image.pad_images(ops.ones((15, 25, 3)), 2, 3, target_height=20, target_width=30).shape
    (20, 30, 3)
    """
    images = image_rank("pad_images", images)
    first, last = _spatial_axes(images, data_format)
    widths = [(0, 0)] * len(images.shape)
    for axis, what, low, high, target in (
        (first, ("top_padding", "bottom_padding", "target_height"), top_padding, bottom_padding,
         target_height),
        (last, ("left_padding", "right_padding", "target_width"), left_padding, right_padding, target_width),
    ):
        size = images.shape[axis]
        low, high, _ = _third("pad_images", what, low, high, target, size, 1)
        if low is None or high is None:
            raise ValueError(
                f"pad_images: {what[2]}={target} needs images of known size along axis {axis}, came shape "
                f"{tuple(images.shape)}; give {what[0]} and {what[1]} instead"
            )
        widths[axis] = (low, high)
    return ops.pad(images, widths)


def _spatial_axes(images, data_format) -> tuple[int, int]:
    first = len(images.shape) - (3 if config.standardize_data_format(data_format) == "channels_last" else 2)
    return first, first + 1


def _third(name: str, what, low, high, target, size, sign: int) -> tuple:
    """Return the numbers about one axis, the missing one computed where ``size`` is known; checked."""
    given = [n is not None for n in (low, high, target)]
    if sum(given) != 2:
        raise ValueError(
            f"{name}: exactly two of {', '.join(what)} must be given, came {what[0]}={low}, "
            f"{what[1]}={high}, {what[2]}={target}"
        )
    if size is not None:
        if target is None:
            target = size + sign * (low + high)
        elif low is None:
            low = sign * (target - size) - high
        else:
            high = sign * (target - size) - low
    for label, n in zip(what, (low, high, target)):
        if n is not None and n < (label == what[2]):
            raise ValueError(
                f"{name}: {label} must be at least {int(label == what[2])}, is {n} for images of size "
                f"{size}; came {what[0]}={low}, {what[1]}={high}, {what[2]}={target}"
            )
    return low, high, target
