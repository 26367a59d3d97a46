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
    interpolation : str
        ``"bilinear"``, ``"nearest"``, ``"bicubic"``, ``"lanczos3"``, ``"lanczos5"``; of ``tf.keras`` also
        ``"area"`` (the mean over an output pixel's area), ``"gaussian"`` and ``"mitchellcubic"``.
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


# ---- any scale and place ---------------------------------------------------------------------------------
_METHODS = {
    "linear": "bilinear", "bilinear": "bilinear", "trilinear": "bilinear", "triangle": "bilinear",
    "cubic": "bicubic", "bicubic": "bicubic", "tricubic": "bicubic", "lanczos3": "lanczos3",
    "lanczos5": "lanczos5",
}


def scale_and_translate(images, output_shape, scale, translation, spatial_dims, method, antialias=True):
    """Scale arrays along some axes and move them, by the kernels of ``resize``.

    Parameters
    ----------
    images : tensor, any rank
    output_shape : sequence of int
        Shape of the result; only ``spatial_dims`` may differ from the shape of ``images``.
    scale, translation : tensor, shape (axes,)
        For each of ``spatial_dims``: the point ``x`` goes to ``x * scale + translation``, where 1/2 is the
        middle of the first element. Gradients reach both.
    spatial_dims : sequence of int
    method : str
        ``"linear"``, ``"bilinear"``, ``"trilinear"`` or ``"triangle"``; ``"cubic"``, ``"bicubic"`` or
        ``"tricubic"``; ``"lanczos3"``; ``"lanczos5"``.
    antialias : bool
        Average over all elements under one of the result when shrinking.

    Returns
    -------
    tensor, shape ``output_shape``, 0 where nothing of the images lies; floating

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.convert_to_tensor([1.0, 2.0, 3.0])
    >>> ops.image.scale_and_translate(x, (3,), [1.0], [1.0], (0,), "linear").tolist()
    [0.0, 1.0, 2.0]
    """
    from gpukeras import dtypes, ops

    images = ops.convert_to_tensor(images) if not hasattr(images, "shape") else images
    if method not in _METHODS:
        raise ValueError(f"scale_and_translate: method must be one of {tuple(_METHODS)}, came {method!r}")
    rank = len(images.shape)
    axes = [int(d) + rank if d < 0 else int(d) for d in spatial_dims]
    output_shape = tuple(None if n is None else int(n) for n in output_shape)
    kept = [i for i in range(rank) if i not in axes]
    if len(output_shape) != rank or any(
        output_shape[i] != images.shape[i] and images.shape[i] is not None for i in kept
    ):
        raise ValueError(
            f"scale_and_translate: output_shape {output_shape} must agree with the images' shape "
            f"{tuple(images.shape)} outside of spatial_dims {tuple(spatial_dims)}"
        )
    scale, translation = (_numbers(name, v, len(axes)) for name, v in (
        ("scale", scale), ("translation", translation)))
    kind = str(images.dtype)
    kind = kind if kind in dtypes.FLOATS else dtypes.floatx()
    y = ops.cast(images, kind)
    for i, axis in enumerate(axes):
        matrix = _placed(images.shape[axis], output_shape[axis], scale[i], translation[i], _METHODS[method],
                         antialias, kind)
        y = ops.moveaxis(ops.tensordot(y, matrix, axes=[[axis], [1]]), -1, axis)
    return y


def _numbers(name: str, value, count: int):
    from gpukeras import ops

    value = ops.convert_to_tensor(value) if not hasattr(value, "shape") else value
    if tuple(value.shape) != (count,):
        raise ValueError(
            f"scale_and_translate: {name} must hold one number for each of spatial_dims, shape ({count},), "
            f"came {tuple(value.shape)}"
        )
    return value


def _placed(size: int, out: int, scale, shift, interpolation: str, antialias: bool, kind: str):
    """Return the matrix (out, size), made of ops, that scales and moves an axis."""
    from gpukeras import ops

    scale, shift = ops.cast(scale, "float32"), ops.cast(shift, "float32")
    places = (np.arange(out, dtype="float32")[:, None] + np.float32(0.5) - shift) / scale - 0.5
    apart = ops.abs(places - np.arange(size, dtype="float32"))
    if antialias:
        apart = apart * ops.minimum(ops.abs(scale), 1.0)
    weights = _kernel_of_ops(interpolation, apart)
    total = ops.sum(weights, axis=1, keepdims=True)
    inside = ops.logical_and(places >= -0.5, places <= size - 0.5)
    inside = ops.logical_and(inside, ops.abs(total) > 1e-4)
    safe = ops.where(inside, total, 1.0)
    return ops.cast(ops.where(inside, weights / safe, 0.0), kind)


def _kernel_of_ops(name: str, x):
    """Return the weight of a sample at distance ``x``, differentiably."""
    from gpukeras import ops

    if name == "bilinear":
        return ops.maximum(0.0, 1.0 - x)
    if name == "bicubic":
        near = (1.5 * x - 2.5) * x * x + 1.0
        far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        return ops.where(x < 1.0, near, ops.where(x < 2.0, far, 0.0))
    radius = 3.0 if name == "lanczos3" else 5.0
    return ops.where(x < radius, ops.sinc(x) * ops.sinc(x / radius), 0.0)
