"""Resizing of images: ``ops.image.resize``."""

from __future__ import annotations

import numpy as np

from gpukeras import config, dtypes
from gpukeras.backends import window_shapes
from gpukeras.backends.resize import INTERPOLATIONS, weights
from gpukeras.op import op
from gpukeras.ops.convolutions import with_shape


def resize(
    images, size, interpolation="bilinear", antialias=False, crop_to_aspect_ratio=False,
    pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, data_format=None,
):
    """Bring images to another height and width.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
    size : tuple of int
        New height and width.
    interpolation : {"bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"}
    antialias : bool
        Average over all input pixels under an output pixel when shrinking.
    crop_to_aspect_ratio, pad_to_aspect_ratio : bool
        Keep the proportions: cut the centre out first, or add a border of ``fill_value`` first.
    fill_mode : {"constant"}
    fill_value : float
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' dtype; integers are rounded and kept in their range.

    Raises
    ------
    ValueError
        For an unknown interpolation or size, or when both ways of keeping proportions are asked for.

    Notes
    -----
    Pixel centres coincide (``half_pixel_centers``): output pixel ``i`` lies at
    ``(i + 1/2) H / H_new - 1/2``. Bicubic is Keys' kernel with ``a = -1/2``.

    References
    ----------
    Keys, "Cubic convolution interpolation for digital image processing", doi:10.1109/TASSP.1981.1163711.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.convert_to_tensor([0.0, 4.0]), (1, 2, 1))
    >>> keras.ops.image.resize(x, (1, 4)).numpy().ravel()
    array([0., 1., 3., 4.], dtype=float32)
    """
    images = with_shape(images)
    data_format = config.standardize_data_format(data_format)
    size = tuple(int(n) for n in size)
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"resize: size must be (height, width), both positive, came {size}")
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"resize: interpolation must be one of {INTERPOLATIONS}, came {interpolation!r}")
    if fill_mode != "constant":
        raise ValueError(f"resize: fill_mode must be 'constant', came {fill_mode!r}")
    if crop_to_aspect_ratio and pad_to_aspect_ratio:
        raise ValueError("resize: crop_to_aspect_ratio and pad_to_aspect_ratio exclude each other")
    window_shapes.resize(images.shape, size, data_format=data_format)  # for its errors
    if crop_to_aspect_ratio or pad_to_aspect_ratio:
        images = _fit(images, size, data_format, fill_value if pad_to_aspect_ratio else None)
    return resize_images(images, size=size, interpolation=interpolation, antialias=bool(antialias),
                         data_format=data_format)


def _fit(images, size, data_format: str, fill_value):
    """Cut (``fill_value`` is None) or pad images so that they have the proportions of ``size``."""
    from gpukeras import ops

    first = _first_axis(images.shape, data_format)
    h, w = images.shape[first : first + 2]
    if h is None or w is None:
        raise ValueError(
            f"resize to an aspect ratio needs known height and width, came {tuple(images.shape)}"
        )
    by_width, by_height = int(w * size[0] / size[1]), int(h * size[1] / size[0])
    if fill_value is None:
        new = min(h, max(1, by_width)), min(w, max(1, by_height))
        index = [slice(None)] * len(images.shape)
        for i, (n, m) in enumerate(zip((h, w), new)):
            index[first + i] = slice((n - m) // 2, (n - m) // 2 + m)
        return images[tuple(index)]
    new = max(h, by_width), max(w, by_height)
    pads = [(0, 0)] * len(images.shape)
    for i, (n, m) in enumerate(zip((h, w), new)):
        pads[first + i] = ((m - n) // 2, (m - n) // 2)  # equal borders, as Keras makes them
    return ops.pad(images, pads, constant_values=fill_value)


def _first_axis(shape, data_format: str) -> int:
    """Return the axis of the height."""
    return len(shape) - (3 if data_format == "channels_last" else 2)


def _axes(shape, size, data_format: str) -> list[tuple[int, int, int]]:
    """Return (axis, old size, new size) of the axes that change."""
    first = _first_axis(shape, data_format)
    found = [(first + i, shape[first + i], size[i]) for i in (0, 1)]
    return [entry for entry in found if entry[1] != entry[2]]


def _factors(shape, axes) -> tuple[int, ...] | None:
    """Return how often each element is repeated where that is a whole number."""
    factors = [1] * len(shape)
    for axis, old, new in axes:
        if new % old:
            return None
        factors[axis] = new // old
    return tuple(factors)


def _working(kind: np.dtype) -> str:
    """Return the type to compute in: one that holds every value of ``kind``."""
    return "float64" if kind.itemsize >= 4 and kind != np.float32 else "float32"


# Resizing is linear: each of the two ops is the gradient of the other.
@op(shape=window_shapes.resize)
def resize_images(images, size, interpolation="bilinear", antialias=False, data_format="channels_last"):
    """Resize with all settings given: see ``ops.image.resize``."""
    backend, xp = images.backend, images.backend.xp
    x, shape = images.array, images.shape
    axes = _axes(shape, size, data_format)
    kind = x.dtype
    factors = _factors(shape, axes) if interpolation == "nearest" and 0 not in shape else None
    if factors:
        y = backend.repeat_blocks(x, factors)
    else:
        y = x.astype(_working(kind), copy=False)
        for axis, old, new in axes:
            if not old:
                raise ValueError(f"resize: the images have no pixels along axis {axis} (shape {shape})")
            y = backend.resample(y, axis, weights(old, new, interpolation, antialias))
        if kind.kind in "iu" and axes:
            info = np.iinfo(kind)
            y = xp.clip(xp.rint(y), info.min, info.max)
        y = y.astype(kind, copy=False)

    def vjp(dy):
        return resize_gradient(dy, shape, interpolation, antialias, data_format)

    return y, vjp if dtypes.is_float(kind) else None


@op(shape=lambda dy, shape, *settings: shape)
def resize_gradient(dy, shape, interpolation, antialias, data_format):
    """Return the gradient of images of ``shape`` that were resized."""
    backend = dy.backend
    d = dy.array
    first = _first_axis(shape, data_format)
    size = d.shape[first : first + 2]
    axes = _axes(shape, size, data_format)
    factors = _factors(shape, axes) if interpolation == "nearest" and 0 not in shape else None
    if factors:
        d = backend.sum_blocks(d, factors)
    else:
        d = d.astype(_working(dy.dtype), copy=False)
        for axis, old, new in axes:
            d = backend.resample(d, axis, weights(old, new, interpolation, antialias).T)
        d = d.astype(dy.dtype, copy=False)
    return d, lambda v: resize_images(v, size, interpolation, antialias, data_format)
