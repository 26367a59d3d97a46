"""``ops.image`` against real Keras 3: values, types and gradients."""

import numpy as np
import pytest
from support.quick_jax import quickly

from gpukeras import GradientTape, ops
from gpukeras.tensor import Tensor

pytestmark = pytest.mark.parity

RNG = np.random.default_rng(3)
IMAGES = RNG.uniform(0, 1, (2, 5, 6, 3)).astype("float32")
OTHERS = RNG.uniform(0, 1, (2, 5, 6, 3)).astype("float32")
VOLUMES = RNG.uniform(0, 1, (1, 4, 3, 5, 2)).astype("float32")
PLACES = RNG.uniform(-7, 9, (2, 4, 3)).astype("float32")
TRANSFORMS = np.array([[0.9314, 0.2171, 0.3137, -0.1233, 1.1371, 0.4412, 0, 0],
                       [1.2151, -0.3253, -0.4339, 0.5157, 0.7219, -0.8371, 0, 0]], "float32")
CORNERS = np.array([[[0, 0], [4, 0], [0, 3], [4, 3]]] * 2, "float32")
MOVED = np.array([[[0.3, 0.2], [4.4, -0.6], [-0.7, 2.9], [3.8, 3.4]],
                  [[-0.4, 0.1], [3.1, 0.3], [0.6, 3.2], [4.7, 2.6]]], "float32")
SCALE, SHIFT = np.array([1.3, 0.55], "float32"), np.array([0.33, -0.27], "float32")
MODES = ("constant", "nearest", "wrap", "mirror", "reflect")
FIRST = dict(data_format="channels_first")


def first(x):
    return np.moveaxis(x, -1, 1).copy()


# name: (function, differentiable inputs, settings or several of them)
CASES = {
    "map": ("map_coordinates", [IMAGES[0, :, :, 0], PLACES], [dict(
        order=order, fill_mode=mode, fill_value=0.7) for order in (0, 1) for mode in MODES]),
    "affine": ("affine_transform", [IMAGES], [dict(
        transform=TRANSFORMS, fill_mode=mode, fill_value=0.7) for mode in ("constant", "mirror")]),
    "affine nearest pixel": ("affine_transform", [IMAGES], dict(
        transform=TRANSFORMS, interpolation="nearest")),
    "affine first": ("affine_transform", [first(IMAGES)], dict(transform=TRANSFORMS, **FIRST)),
    "affine single": ("affine_transform", [IMAGES[0], TRANSFORMS[0]], {}),
    "perspective": ("perspective_transform", [IMAGES], dict(
        start_points=CORNERS, end_points=MOVED, fill_value=0.3)),
    "perspective first": ("perspective_transform", [first(IMAGES)], dict(
        start_points=CORNERS, end_points=MOVED, interpolation="nearest", **FIRST)),
    "patches": ("extract_patches", [IMAGES], dict(size=(2, 3))),
    "patches same": ("extract_patches", [first(IMAGES)], dict(
        size=(3, 2), strides=(2, 1), padding="same", **FIRST)),
    "patches dilated": ("extract_patches", [IMAGES[0]], dict(size=2, strides=1, dilation_rate=2)),
    "patches 3d": ("extract_patches_3d", [VOLUMES], dict(size=(2, 1, 3), strides=1, padding="same")),
    "crop": ("crop_images", [IMAGES], dict(
        top_cropping=1, left_cropping=2, bottom_cropping=0, target_width=3)),
    "pad": ("pad_images", [first(IMAGES)], dict(
        bottom_padding=2, left_padding=1, right_padding=0, target_height=9, **FIRST)),
    "blur": ("gaussian_blur", [first(IMAGES)], dict(kernel_size=(3, 3), sigma=(0.8, 0.8), **FIRST)),
    "sobel": ("sobel_edges", [IMAGES], {}),
    "sobel first": ("sobel_edges", [first(IMAGES)], FIRST),
    "ssim": ("ssim", [IMAGES, OTHERS], dict(filter_size=4, filter_sigma=1.2, k1=0.02, k2=0.05)),
    "gray": ("rgb_to_grayscale", [IMAGES], {}),
    "to hsv": ("rgb_to_hsv", [first(IMAGES)], FIRST),
    "to rgb": ("hsv_to_rgb", [IMAGES], {}),
    "scale": ("scale_and_translate", [IMAGES], [dict(
        output_shape=(2, 7, 4, 3), scale=SCALE, translation=SHIFT, spatial_dims=(1, 2), method=method,
        antialias=antialias,
    ) for method, antialias in [("linear", True), ("cubic", False), ("lanczos3", True), ("lanczos5", True)]]),
}


@pytest.mark.parametrize("case", CASES)
def test_as_keras(real_keras, case):
    import jax

    name, inputs, settings = CASES[case]
    theirs, ours = getattr(real_keras.ops.image, name), getattr(ops.image, name)
    several = settings if isinstance(settings, list) else [settings]

    def both_ways(inputs, dy):
        y, backward = jax.vjp(lambda *xs: jax.numpy.stack([theirs(*xs, **s) for s in several]), *inputs)
        return y, backward(dy)

    tensors = [Tensor(x) for x in inputs]
    with GradientTape() as tape:
        tape.watch(tensors)
        found = ops.stack([ours(*tensors, **s) for s in several])
    dy = RNG.standard_normal(found.shape).astype("float32")
    expected, gradients = quickly(both_ways, [*map(jax.numpy.asarray, inputs)], dy)
    assert found.dtype == expected.dtype and found.shape == expected.shape
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-4, atol=1e-4)
    found = tape.gradient(found, tensors, Tensor(dy), unconnected_gradients="zero")
    for a, b in zip(found, gradients):
        if a.shape == (8,):  # on JAX, Keras leaves the projective part of transforms out
            a, b = a[:6], b[:6]
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name, settings", [
    ("affine_transform", dict(transform=TRANSFORMS, interpolation="nearest")), ("rgb_to_grayscale", {}),
])
def test_bytes_as_keras(real_keras, name, settings):
    x = (IMAGES * 255).astype("uint8")
    expected = np.asarray(getattr(real_keras.ops.image, name)(x, **settings))
    found = getattr(ops.image, name)(x, **settings).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)
