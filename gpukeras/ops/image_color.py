"""Colours of images: RGB, HSV and grey."""

from __future__ import annotations

import numpy as np

from gpukeras import autograd, config, dtypes, ops
from gpukeras.op import op
from gpukeras.ops.warping import image_rank
from gpukeras.tensor import Tensor

LUMA = (0.2989, 0.587, 0.114)  # how bright red, green and blue look


def _checked(name: str, images, data_format, allowed=(3,)) -> str:
    """Return the settled data format; there must be as many channels as allowed."""
    data_format = config.standardize_data_format(data_format)
    axis = _axis(data_format)
    if images.shape[axis] not in allowed:
        raise ValueError(
            f"{name}: expected {' or '.join(map(str, allowed))} channels in axis {axis}, came shape "
            f"{tuple(images.shape)} (data_format={data_format!r})"
        )
    return data_format


def _axis(data_format: str) -> int:
    """Return the axis of the channels, counted from the end."""
    return -1 if data_format == "channels_last" else -3


def _must_be_float(name: str, images) -> None:
    kind = str(images.dtype)
    if not kind.startswith(("float", "bfloat")):
        raise ValueError(
            f"{name}: images must have a float dtype and values from 0 to 1, came {kind}; use "
            "ops.cast(images, 'float32') / 255"
        )


def rgb_to_grayscale(images, data_format=None):
    """Return colour images in grey.

    Parameters
    ----------
    images : tensor, shape (N, H, W, 3), (H, W, 3) or with the channels before H
        Of one channel: returned as they are.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' dtype with one channel
        ``0.2989 R + 0.587 G + 0.114 B``; integers are cut, not rounded.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.round(ops.image.rgb_to_grayscale(ops.ones((1, 1, 3))), 4).tolist()
    [[[0.9998999834060669]]]
    """
    images = image_rank("rgb_to_grayscale", images)
    data_format = _checked("rgb_to_grayscale", images, data_format, (1, 3))
    return images if images.shape[_axis(data_format)] == 1 else gray(images, data_format)


def _gray_shape(x, data_format):
    shape = list(x)
    shape[_axis(data_format)] = 1
    return tuple(shape)


@op(shape=_gray_shape)
def gray(x, data_format):
    """Return the brightness of RGB images."""
    axis = _axis(data_format)
    kind = np.dtype("float32") if not dtypes.is_float(x.dtype) else x.dtype
    parts = [_channel(x.array, axis, i).astype(kind, copy=False) * w for i, w in enumerate(LUMA)]
    y = (parts[0] + parts[1] + parts[2]).astype(x.dtype, copy=False)

    def vjp(dy):
        return ops.concatenate([dy * w for w in LUMA], axis=axis)

    return y, vjp if dtypes.is_float(x.dtype) else None


def _channel(x, axis: int, i: int):
    """Return channel ``i`` of an array as a view with the axis kept."""
    return x[..., i : i + 1] if axis == -1 else x[..., i : i + 1, :, :]


def rgb_to_hsv(images, data_format=None):
    """Return RGB images as hue, saturation and value, all from 0 to 1.

    Parameters
    ----------
    images : tensor, shape (N, H, W, 3), (H, W, 3) or with the channels before H
        Floats from 0 to 1.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' shape and dtype
        A hue of 0 is red, 1/3 green, 2/3 blue; of greys it is 0.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.image.rgb_to_hsv(ops.convert_to_tensor([[[0.0, 0.5, 0.5]]])).tolist()
    [[[0.5, 1.0, 0.5]]]
    """
    images = image_rank("rgb_to_hsv", images)
    _must_be_float("rgb_to_hsv", images)
    return to_hsv(images, _checked("rgb_to_hsv", images, data_format))


def hsv_to_rgb(images, data_format=None):
    """Return images of hue, saturation and value as RGB.

    Parameters
    ----------
    images : tensor, shape (N, H, W, 3), (H, W, 3) or with the channels before H
        Floats from 0 to 1; hues beyond go round the circle.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' shape and dtype

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.image.hsv_to_rgb(ops.convert_to_tensor([[[0.5, 1.0, 0.5]]])).tolist()
    [[[0.0, 0.5, 0.5]]]
    """
    images = image_rank("hsv_to_rgb", images)
    _must_be_float("hsv_to_rgb", images)
    return to_rgb(images, _checked("hsv_to_rgb", images, data_format))


def _gradient_of(f, x, *settings):
    """Return a ``vjp``: the gradient of ``f``, which is made of ops, recorded again when it is asked for."""

    def vjp(dy):
        with autograd.GradientTape() as tape:
            tape.watch(x)
            y = f(x, *settings)
        return tape.gradient(y, x, dy)

    return vjp


@op(shape=lambda x, data_format: x)
def to_hsv(x, data_format):
    """Return RGB as HSV."""
    xp, axis = x.backend.xp, _axis(data_format)
    r, g, b = (_channel(x.array, axis, i) for i in range(3))
    value = xp.maximum(xp.maximum(r, g), b)
    span = value - xp.minimum(xp.minimum(r, g), b)
    safe = xp.where(span > 0, span, 1)
    hue = xp.where(value == r, (g - b) / safe, xp.where(value == g, (b - r) / safe + 2, (r - g) / safe + 4))
    hue = hue / 6
    y = xp.concatenate([
        hue + (hue < 0), xp.where(value > 0, span / xp.where(value > 0, value, 1), 0), value], axis=axis)
    return y.astype(x.dtype, copy=False), _gradient_of(_hsv_of_ops, x, axis)


def _hsv_of_ops(x, axis):
    """Return what ``to_hsv`` does, made of ops; for its gradient only."""
    r, g, b = ops.split(x, 3, axis=axis)
    value = ops.maximum(ops.maximum(r, g), b)
    span = value - ops.minimum(ops.minimum(r, g), b)
    grey = span <= 0
    safe = ops.where(grey, 1.0, span)
    hue = ops.where(value == r, (g - b) / safe, ops.where(value == g, (b - r) / safe, (r - g) / safe)) / 6
    black = value <= 0
    saturation = ops.where(black, 0.0, span / ops.where(black, 1.0, value))
    return ops.concatenate([hue, saturation, value], axis=axis)


@op(shape=lambda x, data_format: x)
def to_rgb(x, data_format):
    """Return HSV as RGB."""
    xp, axis = x.backend.xp, _axis(data_format)
    h, s, v = (_channel(x.array, axis, i) for i in range(3))
    turn = (h - xp.floor(h)) * 6
    parts = [
        abs(turn - 3) - 1, 2 - abs(turn - 2), 2 - abs(turn - 4),  # how much of red, green and blue
    ]
    chroma = s * v
    rest = v - chroma
    y = xp.concatenate([rest + xp.clip(p, 0, 1) * chroma for p in parts], axis=axis)
    return y.astype(x.dtype, copy=False), _gradient_of(_rgb_of_ops, x, axis)


def _rgb_of_ops(x, axis):
    """Return what ``to_rgb`` does, made of ops; for its gradient only."""
    h, s, v = ops.split(x, 3, axis=axis)
    turn = (h - Tensor(x.backend.xp.floor(h.array))) * 6.0
    parts = (ops.abs(turn - 3.0) - 1.0, 2.0 - ops.abs(turn - 2.0), 2.0 - ops.abs(turn - 4.0))
    chroma = s * v
    return ops.concatenate([v - chroma + ops.clip(p, 0.0, 1.0) * chroma for p in parts], axis=axis)
