"""Filters of images: blur, edges, and the similarity that is measured through a blurred window."""

from __future__ import annotations

import numpy as np

from gpukeras import config, dtypes, ops
from gpukeras.backends import window_shapes
from gpukeras.ops.warping import as_tensor, image_rank


def gaussian_blur(images, kernel_size=(3, 3), sigma=(1.0, 1.0), data_format=None):
    """Blur images by a Gaussian.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
        Integers are blurred as floats and rounded.
    kernel_size : int or (height, width)
        Where the Gaussian is cut off.
    sigma : float, (float, float) or tensor of shape (2,)
        Its standard deviations, in pixels, along height and width; gradients reach a tensor.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor of the images' shape and dtype

    Notes
    -----
    The weights of a window sum to 1; around the images there are zeros. Real Keras mixes up height and width
    where they differ, each of its engines in a way of its own, and on JAX blurs images with the channels last
    along their width only.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.one_hot(2, 5), (1, 5, 1))
    >>> ops.round(ops.image.gaussian_blur(x, (1, 3)), 3)[0, :, 0].tolist()
    [0.0, 0.27399998903274536, 0.4519999921321869, 0.27399998903274536, 0.0]
    """
    images = image_rank("gaussian_blur", images)
    data_format = config.standardize_data_format(data_format)
    sizes = window_shapes.per_axis(kernel_size, 2, "kernel_size")
    kind = str(images.dtype)
    x = _floating(images)
    single = len(x.shape) == 3
    x = ops.expand_dims(x, 0) if single else x
    sigmas = [sigma, sigma] if isinstance(sigma, (int, float)) else [sigma[0], sigma[1]]
    for axis, (size, width) in enumerate(zip(sizes, sigmas)):
        if size > 1:
            x = _along(x, _gaussian(size, width, str(x.dtype)), axis, "same", data_format)
    return _as_before(ops.squeeze(x, 0) if single else x, kind)


def _floating(images):
    """Return images as floats."""
    kind = np.dtype(str(images.dtype)) if str(images.dtype) != "bfloat16" else None
    return images if kind is None or dtypes.is_float(kind) else ops.cast(images, dtypes.floatx())


def _as_before(x, kind: str):
    """Return computed images in the dtype they came in."""
    if str(x.dtype) == kind:
        return x
    return ops.saturate_cast(ops.round(x), kind) if np.dtype(kind).kind in "iu" else ops.cast(x, kind)


def _gaussian(size: int, sigma, kind: str):
    """Return ``size`` weights that sum to 1."""
    at = np.arange(size) - (size - 1) / 2
    if isinstance(sigma, (int, float)):
        if sigma <= 0:
            raise ValueError(f"the sigma of a Gaussian must be above 0, came {sigma}")
        weights = np.exp(-(at**2) / (2 * sigma**2))
        return ops.convert_to_tensor(weights / weights.sum(), kind)
    weights = ops.exp(ops.convert_to_tensor(-(at**2) / 2, kind) / ops.square(ops.cast(sigma, kind)))
    return weights / ops.sum(weights)


def _along(x, weights, axis: int, padding: str, data_format: str):
    """Convolve every channel of a batch with the same weights along its height or width."""
    channels = x.shape[-1 if data_format == "channels_last" else 1]
    if channels is None:
        raise ValueError(f"images need a known number of channels, came shape {tuple(x.shape)}")
    shape = (-1, 1, 1, 1) if axis == 0 else (1, -1, 1, 1)
    kernel = ops.tile(ops.reshape(weights, shape), (1, 1, channels, 1))
    return ops.depthwise_conv(x, kernel, padding=padding, data_format=data_format)


def sobel_edges(images, data_format=None):
    """Return how fast images change down and to the right: the Sobel operator.

    Parameters
    ----------
    images : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
        Integers are taken as floats.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor, shape (*images.shape, 2)
        ``[dy, dx]`` in the last axis; around the images there are zeros.

    Notes
    -----
    ``dy`` is the outer product of ``[-1, 0, 1]`` down and ``[1, 2, 1]`` across, ``dx`` its transpose.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.repeat(ops.arange(3, dtype="float32"), 3), (3, 3, 1))
    >>> ops.image.sobel_edges(x)[1, 1, 0].tolist()
    [8.0, 0.0]
    """
    images = _floating(image_rank("sobel_edges", images))
    data_format = config.standardize_data_format(data_format)
    single = len(images.shape) == 3
    x = ops.expand_dims(images, 0) if single else images
    kind = str(x.dtype)
    change, across = (ops.convert_to_tensor(np.array(w), kind) for w in ((-1, 0, 1), (1, 2, 1)))
    edges = ops.stack([
        _along(_along(x, change, axis, "same", data_format), across, 1 - axis, "same", data_format)
        for axis in (0, 1)
    ], axis=-1)
    return ops.squeeze(edges, 0) if single else edges


def ssim(
    image1, image2, max_val=1.0, filter_size=11, filter_sigma=1.5, k1=0.01, k2=0.03, data_format=None,
):
    """Return the structural similarity of images: 1 where they are equal, around 0 where unrelated.

    Parameters
    ----------
    image1, image2 : tensor, shape (N, H, W, C), (H, W, C) or with the channels before H
        Integers are taken as floats.
    max_val : float
        The largest value a pixel may have.
    filter_size : int
        Height and width of the Gaussian window; images must not be smaller.
    filter_sigma : float
        Its standard deviation.
    k1, k2 : float
        Small numbers that keep the quotients steady.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Returns
    -------
    tensor, shape (N,), or () for two single images

    Notes
    -----
    The mean over windows and channels of
    ``(2 m1 m2 + c1) (2 s12 + c2) / ((m1^2 + m2^2 + c1) (s1 + s2 + c2))`` with the means ``m``, variances
    ``s`` and the covariance ``s12`` in a window, ``c1 = (k1 max_val)^2`` and ``c2 = (k2 max_val)^2``.

    References
    ----------
    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment: from error visibility to structural
    similarity", doi:10.1109/TIP.2003.819861.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.arange(256, dtype="float32") / 255.0, (16, 16, 1))
    >>> round(float(ops.image.ssim(x, x)), 4)
    1.0
    """
    x, y = (_floating(image_rank("ssim", as_tensor(image))) for image in (image1, image2))
    if len(x.shape) != len(y.shape):
        raise ValueError(f"ssim: images of shapes {tuple(x.shape)} and {tuple(y.shape)} differ in rank")
    data_format = config.standardize_data_format(data_format)
    single = len(x.shape) == 3
    if single:
        x, y = ops.expand_dims(x, 0), ops.expand_dims(y, 0)
    first = 1 if data_format == "channels_last" else 2
    if any(n is not None and n < filter_size for n in x.shape[first : first + 2]):
        raise ValueError(
            f"ssim: images of shape {tuple(x.shape)} are smaller than filter_size={filter_size}; give a "
            "smaller one"
        )
    window = _gaussian(filter_size, float(filter_sigma), str(x.dtype))

    def mean(z):
        return _along(_along(z, window, 0, "valid", data_format), window, 1, "valid", data_format)

    m1, m2 = mean(x), mean(y)
    square, product = ops.square(m1) + ops.square(m2), m1 * m2
    spread = mean(ops.square(x) + ops.square(y)) - square
    shared = mean(x * y) - product
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    found = (2 * product + c1) * (2 * shared + c2) / ((square + c1) * (spread + c2))
    found = ops.mean(found, axis=(1, 2, 3))
    return ops.squeeze(found, 0) if single else found
