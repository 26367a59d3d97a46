"""Patches, borders, filters and colours of images, against naive loops and finite differences."""

import colorsys

import numpy as np
import pytest
from support.checks import check_gradient, check_op, tensor_here

from gpukeras import ops

RNG = np.random.default_rng(9)
LAYOUTS = ["channels_last", "channels_first"]


def laid_out(x, data_format):
    return x if data_format == "channels_last" else np.moveaxis(x, -1, 1).copy()


def back(x, data_format):
    return x if data_format == "channels_last" else np.moveaxis(x, 1, -1)


# ---- patches ---------------------------------------------------------------------------------------------
def naive_patches(x, size, strides=None, dilation_rate=1, padding="valid", data_format="channels_last"):
    x = back(x, data_format)
    rank = x.ndim - 2
    size, strides, rates = (
        (v,) * rank if isinstance(v, int) else tuple(v) for v in (size, strides or size, dilation_rate))
    reach = [d * (k - 1) + 1 for k, d in zip(size, rates)]
    out, pads = [], []
    for n, s, r in zip(x.shape[1:-1], strides, reach):
        m = -(-n // s) if padding == "same" else (n - r) // s + 1
        total = max(0, (m - 1) * s + r - n) if padding == "same" else 0
        out.append(m)
        pads.append((total // 2, total - total // 2))
    x = np.pad(x, [(0, 0), *pads, (0, 0)])
    y = np.zeros((len(x), *out, int(np.prod(size)) * x.shape[-1]))
    for b in range(len(x)):
        for where in np.ndindex(*out):
            window = tuple(slice(i * s, i * s + r, d) for i, s, r, d in zip(where, strides, reach, rates))
            y[(b, *where)] = x[(b, *window)].ravel()
    return laid_out(y, data_format) if data_format == "channels_last" else np.moveaxis(y, -1, 1)


@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("settings", [
    (2,), ((2, 3), 1), ((2, 3), (2, 1), 1, "same"), (2, 1, (2, 1)), (3, (1, 2), 2, "same"), (2, 2, 2)])
def test_extract_patches(backend, settings, data_format):
    check_op(ops.image.extract_patches, [laid_out(RNG.standard_normal((2, 5, 7, 3)), data_format)],
             naive_patches, settings=settings, kwargs={"data_format": data_format})


@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("settings", [(2,), ((1, 2, 3), 1, 1, "same"), (2, (2, 1, 2), (1, 2, 1))])
def test_extract_patches_3d(backend, settings, data_format):
    x = laid_out(RNG.standard_normal((1, 4, 5, 6, 2)), data_format)
    check_op(ops.image.extract_patches_3d, [x], naive_patches, settings=settings,
             kwargs={"data_format": data_format})
    size = (2, 2, 2) if settings[0] == 2 else settings[0]
    found = ops.image.extract_patches(tensor_here(x[0]), size, *settings[1:], data_format=data_format)
    np.testing.assert_array_equal(found.numpy(), naive_patches(x, *settings, data_format=data_format)[0])


def test_second_order_of_patches():
    check_gradient(lambda x: ops.image.extract_patches(x, 2, 1) ** 3, [RNG.standard_normal((1, 3, 4, 1))],
                   second_order=True)


# ---- borders ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("settings, rows, columns", [
    ((1, 2, 0, 1), (1, 5), (2, 6)), ((1, None, None, 2, 3, 4), (1, 4), (1, 5)),
    ((None, 0, 2, None, 3, 4), (0, 3), (0, 4)),
])
def test_crop_images(backend, settings, rows, columns, data_format):
    def expected(x, *_, **__):
        return laid_out(back(x, data_format)[:, slice(*rows), slice(*columns)], data_format)

    check_op(ops.image.crop_images, [laid_out(RNG.standard_normal((2, 5, 7, 3)), data_format)], expected,
             settings=settings, kwargs={"data_format": data_format})


@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("settings, rows, columns", [
    ((1, 2, 0, 1), (1, 0), (2, 1)), ((1, None, None, 2, 9, 9), (1, 3), (0, 2)),
])
def test_pad_images(backend, settings, rows, columns, data_format):
    def expected(x, *_, **__):
        return laid_out(np.pad(back(x, data_format), [(0, 0), rows, columns, (0, 0)]), data_format)

    check_op(ops.image.pad_images, [laid_out(RNG.standard_normal((2, 5, 7, 3)), data_format)], expected,
             settings=settings, kwargs={"data_format": data_format})


def test_borders_of_unknown_size():
    from gpukeras import Input

    x = Input((None, 6, 3))
    assert ops.image.crop_images(x, 1, 1, 1, 1).shape == (None, None, 4, 3)
    assert ops.image.crop_images(x, None, 1, 1, 1, target_height=4).shape == (None, None, 4, 3)
    assert ops.image.pad_images(x, 1, 1, 1, 1).shape == (None, None, 8, 3)
    with pytest.raises(ValueError, match="known size"):
        ops.image.pad_images(x, 1, 1, None, 1, target_height=9)


# ---- filters ---------------------------------------------------------------------------------------------
def naive_filter(x, kernel, padding="same"):
    """Correlate images (N, H, W, C) with one kernel, zeros around."""
    kh, kw = kernel.shape
    if padding == "same":
        low = [(kh - 1) // 2, (kw - 1) // 2]
        x = np.pad(x, [(0, 0), (low[0], kh - 1 - low[0]), (low[1], kw - 1 - low[1]), (0, 0)])
    n, h, w, c = x.shape
    y = np.zeros((n, h - kh + 1, w - kw + 1, c))
    for i, j in np.ndindex(kh, kw):
        y += kernel[i, j] * x[:, i : i + y.shape[1], j : j + y.shape[2]]
    return y


def gaussian(size, sigma):
    weights = np.array([np.exp(-((i - (size - 1) / 2) ** 2) / (2 * sigma**2)) for i in range(size)])
    return weights / weights.sum()


@pytest.mark.parametrize("data_format", LAYOUTS)
@pytest.mark.parametrize("size, sigma", [((3, 5), (1.0, 0.6)), ((2, 1), (0.5, 2.0)), (3, 1.5)])
def test_gaussian_blur(backend, size, sigma, data_format):
    sizes, sigmas = (size, size) if size == 3 else size, (sigma, sigma) if size == 3 else sigma

    def expected(x, *_, **__):
        kernel = np.outer(gaussian(sizes[0], sigmas[0]), gaussian(sizes[1], sigmas[1]))
        return laid_out(naive_filter(back(x, data_format), kernel), data_format)

    check_op(ops.image.gaussian_blur, [laid_out(RNG.standard_normal((2, 5, 6, 2)), data_format)], expected,
             settings=(size, sigma), kwargs={"data_format": data_format})


def test_blur_of_single_images_and_bytes(backend):
    x = RNG.integers(0, 256, (5, 6, 3)).astype("uint8")
    found = ops.image.gaussian_blur(tensor_here(x))
    kernel = np.outer(gaussian(3, 1.0), gaussian(3, 1.0))
    assert found.dtype == "uint8"
    np.testing.assert_allclose(found.numpy(), naive_filter(x[None].astype(float), kernel)[0], atol=0.51)
    check_gradient(lambda s: ops.image.gaussian_blur(tensor_here(x.astype(float)), (3, 5), s),
                   [np.array([0.7, 1.3])])


@pytest.mark.parametrize("data_format", LAYOUTS)
def test_sobel_edges(backend, data_format):
    down = np.outer([-1, 0, 1], [1, 2, 1])

    def expected(x, data_format):
        x = back(x, data_format)
        return np.stack([laid_out(naive_filter(x, k), data_format) for k in (down, down.T)], -1)

    check_op(ops.image.sobel_edges, [laid_out(RNG.standard_normal((2, 4, 5, 2)), data_format)], expected,
             kwargs={"data_format": data_format})
    single = tensor_here(RNG.integers(0, 256, (4, 5, 1)).astype("uint8"))
    assert ops.image.sobel_edges(single).shape == (4, 5, 1, 2)


def naive_ssim(x, y, max_val=1.0, size=11, sigma=1.5, k1=0.01, k2=0.03, data_format="channels_last"):
    """Weighted moments in every window, from differences to the mean."""
    x, y = back(x, data_format), back(y, data_format)
    weights = np.outer(gaussian(size, sigma), gaussian(size, sigma))
    c1, c2 = (k1 * max_val) ** 2, (k2 * max_val) ** 2
    n, h, w, channels = x.shape
    found = np.zeros((n, h - size + 1, w - size + 1, channels))
    for b, i, j, c in np.ndindex(found.shape):
        p, q = (z[b, i : i + size, j : j + size, c] for z in (x, y))
        mp, mq = (weights * p).sum(), (weights * q).sum()
        vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
        shared = (weights * (p - mp) * (q - mq)).sum()
        found[b, i, j, c] = (2 * mp * mq + c1) * (2 * shared + c2) / ((mp**2 + mq**2 + c1) * (vp + vq + c2))
    return found.mean((1, 2, 3))


@pytest.mark.parametrize("data_format", LAYOUTS)
def test_ssim(backend, data_format):
    x, y = (laid_out(RNG.uniform(0, 1, (2, 7, 6, 2)), data_format) for _ in range(2))
    check_op(ops.image.ssim, [x, y], naive_ssim, settings=(1.0, 4, 1.2, 0.02, 0.05),
             kwargs={"data_format": data_format}, rtol=1e-4, atol=1e-5, symbolic=False)
    single = ops.image.ssim(tensor_here(x[0]), tensor_here(y[0]), filter_size=4, data_format=data_format)
    np.testing.assert_allclose(single.numpy(), naive_ssim(x, y, size=4, data_format=data_format)[0])
    big = tensor_here(RNG.integers(0, 256, (12, 12, 3)).astype("uint8"))
    np.testing.assert_allclose(ops.image.ssim(big, big, 255).numpy(), 1.0, rtol=1e-5)


# ---- colours ---------------------------------------------------------------------------------------------
def pixelwise(f):
    def run(x, data_format="channels_last"):
        x = back(x, data_format)
        y = np.array([f(*p) for p in x.reshape(-1, 3)]).reshape(x.shape)
        return laid_out(y, data_format)

    return run


@pytest.mark.parametrize("data_format", LAYOUTS)
def test_hue_saturation_value(backend, data_format):
    x = laid_out(RNG.uniform(0.05, 0.95, (2, 4, 5, 3)), data_format)
    settings = {"kwargs": {"data_format": data_format}, "rtol": 1e-4}
    check_op(ops.image.rgb_to_hsv, [x], pixelwise(colorsys.rgb_to_hsv), **settings)
    check_op(ops.image.hsv_to_rgb, [x], pixelwise(colorsys.hsv_to_rgb), **settings)


def test_colours_at_the_corners(backend):
    corners = np.array([[c, b, a] for a in (0, 1) for b in (0, 0.5, 1) for c in (0, 0.5, 1)], "float32")
    found = ops.image.rgb_to_hsv(tensor_here(corners[None])).numpy()[0]
    np.testing.assert_allclose(found, [colorsys.rgb_to_hsv(*map(float, p)) for p in corners], atol=1e-6)
    beyond = tensor_here(np.array([[[1.2, 0.5, 0.5], [-0.1, 0.5, 0.5]]], "float32"))
    inside = tensor_here(np.array([[[0.2, 0.5, 0.5], [0.9, 0.5, 0.5]]], "float32"))
    np.testing.assert_allclose(
        ops.image.hsv_to_rgb(beyond).numpy(), ops.image.hsv_to_rgb(inside).numpy(), atol=1e-6)


@pytest.mark.parametrize("data_format", LAYOUTS)
def test_grayscale(backend, data_format):
    def expected(x, data_format):
        return laid_out((back(x, data_format) @ [0.2989, 0.587, 0.114])[..., None], data_format)

    check_op(ops.image.rgb_to_grayscale, [laid_out(RNG.uniform(0, 1, (2, 3, 4, 3)), data_format)], expected,
             kwargs={"data_format": data_format})
    cut = ops.image.rgb_to_grayscale(tensor_here(np.array([[[200, 100, 53], [1, 2, 3]]], "uint8")))
    assert cut.dtype == "uint8" and cut.numpy().ravel().tolist() == [124, 1]
    gray = tensor_here(np.ones((3, 4, 1), "uint8"))
    assert ops.image.rgb_to_grayscale(gray).shape == (3, 4, 1)


@pytest.mark.parametrize("call, words", [
    (lambda f: f.extract_patches(np.ones((4, 4)), 2), "rank 3 or 4"),
    (lambda f: f.extract_patches(np.ones((4, 4, 1)), (2,)), "2 or 3 elements"),
    (lambda f: f.extract_patches(np.ones((4, 4, 1)), 2, padding="full"), "padding must be"),
    (lambda f: f.crop_images(np.ones((4, 4, 1)), 1, 1, 1), "exactly two of left_cropping"),
    (lambda f: f.crop_images(np.ones((4, 4, 1)), 2, 1, 2, 1), "target_height must be at least 1"),
    (lambda f: f.crop_images(np.ones((4, 4, 1)), 0, 0, target_height=9, target_width=2), "bottom_cropping"),
    (lambda f: f.pad_images(np.ones((4, 4, 1)), -1, 1, 2, 1), "top_padding must be at least 0"),
    (lambda f: f.pad_images(np.ones((4, 4, 1)), 1, 1, target_height=3, target_width=9), "bottom_padding"),
    (lambda f: f.gaussian_blur(np.ones((4, 4, 1)), 3, 0.0), "sigma of a Gaussian"),
    (lambda f: f.ssim(np.ones((4, 4, 1)), np.ones((4, 4, 1))), "smaller than filter_size"),
    (lambda f: f.ssim(np.ones((14, 14, 1)), np.ones((1, 14, 14, 1))), "differ in rank"),
    (lambda f: f.rgb_to_hsv(np.ones((4, 4, 3), "uint8")), "must have a float dtype"),
    (lambda f: f.hsv_to_rgb(np.ones((4, 4, 2))), "expected 3 channels"),
    (lambda f: f.rgb_to_grayscale(np.ones((4, 4, 2))), "expected 1 or 3 channels"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call(ops.image)
