"""Padding and upsampling of images."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers

RNG = np.random.default_rng(17)


@pytest.mark.parametrize("padding, sides", [
    (2, ((2, 2), (2, 2))), ((1, 2), ((1, 1), (2, 2))), (((1, 0), (0, 3)), ((1, 0), (0, 3))),
    (0, ((0, 0), (0, 0))),
])
def test_zero_padding(backend, padding, sides):
    layer = check_layer(layers.ZeroPadding2D, {"padding": padding}, (3, 4, 2),
                        reference=lambda x: np.pad(x, ((0, 0), *sides, (0, 0))))
    assert layer.padding == sides
    check_layer(layers.ZeroPadding2D, {"padding": padding, "data_format": "channels_first"}, (2, 3, 4),
                reference=lambda x: np.pad(x, ((0, 0), (0, 0), *sides)))


@pytest.mark.parametrize("size", [2, (3, 1), (1, 1)])
def test_nearest(backend, size):
    h, w = (size, size) if isinstance(size, int) else size
    check_layer(layers.UpSampling2D, {"size": size}, (3, 4, 2),
                reference=lambda x: x.repeat(h, 1).repeat(w, 2))
    check_layer(layers.UpSampling2D, {"size": size, "data_format": "channels_first"}, (2, 3, 4),
                reference=lambda x: x.repeat(h, 2).repeat(w, 3))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3", "lanczos5"])
def test_interpolation(backend, interpolation):
    check_layer(layers.UpSampling2D, {"size": (2, 3), "interpolation": interpolation}, (3, 4, 2),
                output_shape=(None, 6, 12, 2))


def test_unknown_sizes():
    assert layers.ZeroPadding2D((1, 2)).compute_output_shape((None, None, 4, 3)) == (None, None, 8, 3)
    assert layers.UpSampling2D(2).compute_output_shape((None, None, 4, 3)) == (None, None, 8, 3)


@pytest.mark.parametrize("make, words", [
    (lambda: layers.ZeroPadding2D((1, 2, 3)), "none of them negative"),
    (lambda: layers.ZeroPadding2D(-1), "came -1"),
    (lambda: layers.ZeroPadding2D(((1, 2), (3,))), "before, behind"),
    (lambda: layers.UpSampling2D(0), "size"),
    (lambda: layers.UpSampling2D(2, interpolation="area"), "interpolation must be one of"),
    (lambda: layers.UpSampling2D(2, name="u")(np.ones((2, 3, 4), "float32")), "'u'.*rank 4"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parity
@pytest.mark.parametrize("name, settings", [
    ("ZeroPadding2D", dict(padding=((1, 0), (2, 3)))), ("UpSampling2D", dict(size=(2, 3))),
    ("UpSampling2D", dict(size=2, interpolation="bilinear")),
    ("UpSampling2D", dict(size=(3, 2), interpolation="bicubic", data_format="channels_first")),
])
def test_as_keras(real_keras, name, settings):
    x = RNG.standard_normal((2, 3, 4, 5)).astype("float32")
    ours, theirs = getattr(layers, name)(**settings), getattr(real_keras.layers, name)(**settings)
    np.testing.assert_allclose(ours(x).numpy(), np.asarray(theirs(x)), 1e-5, 1e-5)
    plain = ("name", "dtype")
    assert {k: v for k, v in ours.get_config().items() if k not in plain} == {
        k: v for k, v in theirs.get_config().items() if k not in plain}
