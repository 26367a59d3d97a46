"""Names of arguments that Keras 1 had, and errors about them."""

import numpy as np
import pytest

from gpukeras import layers

pytestmark = pytest.mark.cpu


@pytest.mark.parametrize("make, want", [
    (lambda: layers.Convolution2D(8, 3, 5, border_mode="same", subsample=(2, 2), dim_ordering="th"),
     dict(filters=8, kernel_size=(3, 5), padding="same", strides=(2, 2), data_format="channels_first")),
    (lambda: layers.Convolution2D(nb_filter=8, nb_row=3, nb_col=5, bias=False, init="zeros"),
     dict(filters=8, kernel_size=(3, 5), use_bias=False)),
    (lambda: layers.Convolution1D(nb_filter=4, filter_length=3, subsample_length=2),
     dict(filters=4, kernel_size=(3,), strides=(2,))),
    (lambda: layers.Convolution3D(4, 2, 3, 4, border_mode="same"),
     dict(kernel_size=(2, 3, 4), padding="same")),
    (lambda: layers.Deconvolution2D(4, 3, 3, subsample=(2, 2)), dict(kernel_size=(3, 3), strides=(2, 2))),
    (lambda: layers.SeparableConvolution2D(4, 3, 3, border_mode="same"), dict(kernel_size=(3, 3))),
    (lambda: layers.MaxPooling1D(pool_length=3, stride=1, border_mode="same"),
     dict(pool_size=(3,), strides=(1,), padding="same")),
    (lambda: layers.AveragePooling3D(dim_ordering="tf"), dict(data_format="channels_last")),
    (lambda: layers.GlobalMaxPooling2D(dim_ordering="default"), dict(data_format="channels_last")),
    (lambda: layers.UpSampling1D(length=3), dict(size=3)),
    (lambda: layers.ZeroPadding3D(dim_ordering="th"), dict(data_format="channels_first")),
    (lambda: layers.SpatialDropout3D(p=0.25, dim_ordering="th"),
     dict(rate=0.25, data_format="channels_first")),
    (lambda: layers.GaussianNoise(sigma=0.25), dict(stddev=0.25)),
    # Today's words keep today's meaning.
    (lambda: layers.Conv2D(8, 3, 3), dict(kernel_size=(3, 3), strides=(3, 3))),
])
def test_old_names(make, want):
    layer = make()
    assert {name: getattr(layer, name) for name in want} == want


def test_old_names_reach_the_weights():
    layer = layers.Convolution2D(1, 2, 2, init="ones", W_regularizer="l2", b_constraint="non_neg")
    layer(np.ones((1, 3, 3, 1), "float32"))
    assert np.all(layer.kernel.numpy() == 1) and len(layer.losses) == 1
    assert layer.bias.constraint is not None and layer.kernel.constraint is None


@pytest.mark.parametrize("make, words", [
    (lambda: layers.Conv2D(8, 3, filters=4), "filters"),
    (lambda: layers.Conv2D(8, 3, nb_filter=4), "'filters' is given twice"),
    (lambda: layers.Conv2D(filters=8, nb_filter=4, kernel_size=3),
     "'filters' or, as in Keras 1, 'nb_filter'"),
    (lambda: layers.Conv2D(8, nb_row=4), "all of nb_row, nb_col"),
    (lambda: layers.Conv2D(8, 3, nb_epoch=4), "unknown arguments.*nb_epoch"),
])
def test_errors(make, words):
    with pytest.raises(TypeError, match=words):
        make()
