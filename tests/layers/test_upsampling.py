"""Enlarging by whole factors."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers

FIRST = {"data_format": "channels_first"}


@pytest.mark.parametrize("size", [2, (3, 1), (1, 1)])
def test_nearest(size):
    h, w = (size, size) if isinstance(size, int) else size
    check_layer(layers.UpSampling2D, {"size": size}, (3, 4, 2),
                reference=lambda x: x.repeat(h, 1).repeat(w, 2))
    check_layer(layers.UpSampling2D, {"size": size, "interpolation": "area", **FIRST}, (2, 3, 4), save=False,
                reference=lambda x: x.repeat(h, 2).repeat(w, 3))


def test_one_and_three_axes():
    check_layer(layers.UpSampling1D, {"size": 3}, (3, 2), reference=lambda x: x.repeat(3, 1))
    check_layer(layers.UpSampling3D, {"size": (1, 2, 3), **FIRST}, (2, 2, 3, 2),
                reference=lambda x: x.repeat(2, 3).repeat(3, 4))


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos3", "lanczos5", "mitchellcubic"])
def test_interpolation(interpolation):
    check_layer(layers.UpSampling2D, {"size": (2, 3), "interpolation": interpolation}, (3, 4, 2),
                output_shape=(None, 6, 12, 2))


# Outputs of tf_keras 2.21 for four pixels sin(0.7), sin(1.4), sin(2.1), sin(2.8).
KERAS_2 = {
    "gaussian": [0.66883, 0.73529, 0.87392, 0.94037, 0.70821, 0.73200, 0.78163, 0.80542,
                 0.79035, 0.72514, 0.58910, 0.52389, 0.82973, 0.72185, 0.49681, 0.38893],
    "mitchellcubic": [0.62608, 0.72824, 0.91475, 1.01692, 0.69432, 0.72950, 0.79374, 0.82893,
                      0.81889, 0.73180, 0.57282, 0.48574, 0.88712, 0.73306, 0.45181, 0.29775],
}


@pytest.mark.parametrize("interpolation", KERAS_2)
def test_interpolations_of_keras_2(interpolation):
    x = np.sin(0.7 * np.arange(1, 5)).reshape(1, 2, 2, 1).astype("float32")
    found = layers.UpSampling2D(interpolation=interpolation)(x)
    np.testing.assert_allclose(found.numpy().ravel(), KERAS_2[interpolation], atol=2e-5)


def test_unknown_sizes_and_configuration():
    assert layers.UpSampling2D(2).compute_output_shape((None, None, 4, 3)) == (None, None, 8, 3)
    assert layers.UpSampling1D(2).get_config()["size"] == 2
    assert layers.UpSampling3D(2).get_config()["size"] == (2, 2, 2)


@pytest.mark.parametrize("make, words", [
    (lambda: layers.UpSampling2D(0), "size"),
    (lambda: layers.UpSampling3D((1, 2)), "size"),
    (lambda: layers.UpSampling2D(2, interpolation="box"), "interpolation must be one of"),
    (lambda: layers.UpSampling2D(2, name="u")(np.ones((2, 3, 4), "float32")), "'u'.*rank 4"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
