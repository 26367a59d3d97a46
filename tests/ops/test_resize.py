"""Resizing of images against a naive sum over pixels, finite differences and real Keras."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import autograd, ops
from gpukeras.tensor import Tensor

RNG = np.random.default_rng(5)
METHODS = ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5")
TF_METHODS = ("area", "gaussian", "mitchellcubic")  # of tf.keras alone


def kernel(name, x):
    x = abs(x)
    if name == "bilinear":
        return max(0.0, 1 - x)
    if name == "bicubic":
        if x < 1:
            return 1.5 * x**3 - 2.5 * x**2 + 1
        return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
    if name == "gaussian":
        return np.exp(-2 * x**2) if x < 1.5 else 0.0
    if name == "mitchellcubic":
        if x < 1:
            return (21 * x**3 - 36 * x**2 + 16) / 18
        return (-7 * x**3 + 36 * x**2 - 60 * x + 32) / 18 if x < 2 else 0.0
    radius = int(name[-1])
    if x == 0:
        return 1.0
    return radius * np.sin(np.pi * x) * np.sin(np.pi * x / radius) / (np.pi * x) ** 2 if x < radius else 0.0


def naive_axis(x, out, method, antialias):
    """Resample the first axis, one output element at a time."""
    size = len(x)
    y = np.zeros((out, *x.shape[1:]))
    for i in range(out):
        if method == "nearest":
            y[i] = x[int(np.floor((i + 0.5) * size / out))]
            continue
        if method == "area":  # the mean of many points in the output pixel
            points = (i + (np.arange(720720) + 0.5) / 720720) * size / out
            y[i] = np.tensordot(np.bincount(points.astype(int), minlength=size) / 720720, x, 1)
            continue
        centre, width = (i + 0.5) * size / out - 0.5, max(1.0, size / out) if antialias else 1.0
        weights = [kernel(method, (j - centre) / width) for j in range(size)]
        y[i] = sum(w * x[j] for j, w in enumerate(weights)) / sum(weights)
    return y


def naive_resize(x, size, interpolation="bilinear", antialias=False, data_format="channels_last"):
    first = x.ndim - (3 if data_format == "channels_last" else 2)
    for axis, n in zip((first, first + 1), size):
        x = np.moveaxis(naive_axis(np.moveaxis(x, axis, 0), n, interpolation, antialias), 0, axis)
    return x


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(8, 10), (7, 3), (4, 9), (4, 5), (1, 1)])
@pytest.mark.parametrize("antialias", [False, True])
def test_resize(backend, method, size, antialias):
    check_op(ops.image.resize, [RNG.standard_normal((2, 4, 5, 3))], naive_resize,
             settings=(size, method, antialias))


@pytest.mark.parametrize("method", TF_METHODS)
def test_methods_of_tf_keras(backend, method):
    for size, antialias in [((7, 3), False), ((2, 8), True)]:
        check_op(ops.image.resize, [RNG.standard_normal((1, 4, 5, 2))], naive_resize,
                 settings=(size, method, antialias), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", ["nearest", "bicubic"])
def test_layouts(backend, method):
    for shape, data_format in [((4, 5, 3), "channels_last"), ((3, 4, 5), "channels_first"),
                               ((2, 3, 4, 5), "channels_first")]:
        for size in ((8, 5), (6, 7)):
            check_op(ops.image.resize, [RNG.standard_normal(shape)], naive_resize, settings=(size, method),
                     kwargs=dict(data_format=data_format), batch=(0,) if len(shape) == 4 else ())


@pytest.mark.parametrize("method, size", [("nearest", (8, 10)), ("nearest", (3, 7)), ("bilinear", (6, 3))])
def test_second_order(method, size):
    check_op(lambda x: ops.image.resize(x, size, method) ** 2, [RNG.standard_normal((1, 4, 5, 2))],
             lambda x: naive_resize(x, size, method) ** 2, second_order=True)


def test_half_precision(backend):
    check_op(ops.image.resize, [RNG.standard_normal((1, 4, 5, 2))], naive_resize, settings=((7, 3),),
             dtypes=("float64", "float16"))


def test_integers_are_rounded_and_clipped():
    x = np.array([0, 255, 255, 0], "uint8").reshape(1, 4, 1)
    y = ops.image.resize(x, (1, 9), "bicubic")
    exact = naive_resize(x.astype("float64"), (1, 9), "bicubic")
    assert exact.min() < 0 and exact.max() > 255
    assert y.dtype == "uint8"
    np.testing.assert_array_equal(y.numpy(), np.clip(np.rint(exact), 0, 255))


def test_aspect_ratio_gradients(backend):
    x = Tensor(backend.asarray(RNG.standard_normal((1, 4, 8, 2))))
    with autograd.GradientTape(persistent=True) as tape:
        tape.watch(x)
        cut = ops.image.resize(x, (4, 4), "nearest", crop_to_aspect_ratio=True)
        padded = ops.image.resize(x, (8, 8), "nearest", pad_to_aspect_ratio=True, fill_value=7.0)
    assert tape.gradient(cut, x).numpy()[0, 0, :, 0].tolist() == [0, 0, 1, 1, 1, 1, 0, 0]
    assert (tape.gradient(padded, x).numpy() == 1).all()
    assert (padded.numpy()[:, [0, 1, 6, 7]] == 7).all()


def test_empty_batch(backend):
    x = Tensor(backend.xp.zeros((0, 4, 5, 2), "float32"))
    for method in ("nearest", "bilinear"):
        with autograd.GradientTape() as tape:
            tape.watch(x)
            y = ops.image.resize(x, (8, 10), method)
        assert y.shape == (0, 8, 10, 2) and tape.gradient(y, x).shape == x.shape


@pytest.mark.parametrize("settings, words", [
    (dict(size=(3,)), "height, width"), (dict(size=(3, 0)), "both positive"),
    (dict(size=(3, 3), interpolation="spline"), "interpolation must be one of"),
    (dict(size=(3, 3), fill_mode="reflect"), "fill_mode"),
    (dict(size=(3, 3), data_format="HWC"), "data_format"),
    (dict(size=(3, 3), crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "exclude each other"),
])
def test_errors(settings, words):
    with pytest.raises(ValueError, match=words):
        ops.image.resize(np.ones((1, 4, 4, 1)), **settings)
    with pytest.raises(ValueError, match="rank 3 or 4"):
        ops.image.resize(np.ones((4, 4)), (2, 2))


@pytest.mark.parity
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("settings", [{}, dict(antialias=True), dict(crop_to_aspect_ratio=True),
                                      dict(pad_to_aspect_ratio=True, fill_value=-1.0)])
def test_as_keras(real_keras, method, settings):
    for shape, size in [((2, 4, 6, 3), (8, 12)), ((2, 4, 6, 3), (3, 5)), ((1, 7, 5, 2), (5, 9)),
                        ((5, 5, 1), (3, 4))]:
        x = RNG.standard_normal(shape).astype("float32")
        want = np.asarray(real_keras.ops.image.resize(x, size, interpolation=method, **settings))
        found = ops.image.resize(x, size, interpolation=method, **settings)
        np.testing.assert_allclose(found.numpy(), want, 1e-4, 1e-4, err_msg=f"{shape} to {size}")


# ---- scale_and_translate ---------------------------------------------------------------------------------
def naive_placed(x, output_shape, scale, shift, axes, method, antialias=True):
    """Sum over all elements, one output element at a time."""
    name = {"linear": "bilinear", "cubic": "bicubic"}.get(method, method)
    for i, axis in enumerate(axes):
        x = np.moveaxis(x, axis, 0)
        y = np.zeros((output_shape[axis], *x.shape[1:]))
        for k in range(len(y)):
            at = (k + 0.5 - shift[i]) / scale[i] - 0.5
            width = max(1.0, 1 / abs(scale[i])) if antialias else 1.0
            weights = [kernel(name, (j - at) / width) for j in range(len(x))]
            if -0.5 <= at <= len(x) - 0.5:
                y[k] = sum(w * v for w, v in zip(weights, x)) / sum(weights)
        x = np.moveaxis(y, 0, axis)
    return x


@pytest.mark.parametrize("method", ["linear", "cubic", "lanczos3", "lanczos5"])
@pytest.mark.parametrize("antialias", [True, False])
def test_scale_and_translate(backend, method, antialias):
    def f(x, scale, shift):
        return ops.image.scale_and_translate(x, (2, 6, 3, 2), scale, shift, (1, -2), method, antialias)

    check_op(f, [RNG.standard_normal((2, 4, 5, 2)), np.array([1.37, 0.46]), np.array([0.31, -0.22])],
             lambda x, scale, shift: naive_placed(x, (2, 6, 3, 2), scale, shift, (1, 2), method, antialias),
             rtol=2e-4, atol=2e-4, grad=False, dtypes=("float32",), symbolic=False)
    matrix = (2, 4, 5, 2)
    check_op(lambda x: f(x, [1.37, 0.46], [0.31, -0.22]), [RNG.standard_normal(matrix)],
             lambda x: naive_placed(x, (2, 6, 3, 2), [1.37, 0.46], [0.31, -0.22], (1, 2), method, antialias),
             rtol=2e-4, atol={"float32": 2e-4, "float64": 2e-5})


def test_scale_and_translate_errors():
    x = np.ones((2, 4))
    for change, words in [
        ({"method": "nearest"}, "method must be one of"), ({"output_shape": (3, 4)}, "output_shape"),
        ({"scale": 2.0}, "one number for each"), ({"translation": [1.0, 2.0]}, "one number for each"),
    ]:
        settings = dict(output_shape=(2, 5), scale=[2.0], translation=[0.0], spatial_dims=(1,),
                        method="linear") | change
        with pytest.raises(ValueError, match=words):
            ops.image.scale_and_translate(x, **settings)
