"""Locally connected layers: values of the real Keras 2, one result for all ways of storing the kernel."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers, ops

RNG = np.random.default_rng(31)
FIRST = {"data_format": "channels_first"}
SAME = {"padding": "same"}


def wave(shape, k):
    return np.sin(k * np.arange(np.prod(shape)) + k).reshape(shape).astype("float32")


# Outputs of tf_keras 2.21 for inputs wave(shape, 0.7) and weights wave(., 0.3), wave(., 0.5).
KERAS_2 = [
    ("LocallyConnected1D", dict(filters=2, kernel_size=2, **FIRST), (1, 2, 4), [(3, 4, 2), (3, 2)],
     [0.33948, 2.68628, -0.36782, 1.26120, 2.09388, -1.42663]),
    ("LocallyConnected1D", dict(filters=2, kernel_size=3, strides=2, implementation=2, **SAME), (1, 5, 2),
     [(5, 2, 3, 2), (3, 2)], [0.74230, 1.02491, 0.45908, 0.39541, -0.37651, -1.00283]),
    ("LocallyConnected1D", dict(filters=1, kernel_size=4, implementation=3, **SAME, **FIRST), (1, 2, 5),
     [(32,), (5, 1)], [-0.37218, 2.09120, 1.97626, -0.37573, 1.11682]),
    ("LocallyConnected2D", dict(filters=2, kernel_size=(2, 3)), (1, 3, 4, 2), [(4, 12, 2), (2, 2, 2)],
     [0.33363, 1.66381, -0.72769, 0.02276, 2.77320, 1.47855, 2.48821, 1.59274]),
    ("LocallyConnected2D", dict(filters=2, kernel_size=2, implementation=2, strides=2, **SAME, **FIRST),
     (1, 2, 3, 3), [(2, 3, 3, 2, 2, 2), (2, 2, 2)],
     [0.72961, 0.62891, 1.31869, 0.51869, 0.65295, 0.22613, -0.14933, -1.09662]),
    ("LocallyConnected2D", dict(filters=1, kernel_size=2, padding="same", implementation=3), (1, 3, 2, 2),
     [(30,), (3, 2, 1)], [1.22623, 3.45186, 1.94631, 2.09446, 1.24014, -0.72033]),
]


@pytest.mark.parametrize("name, settings, shape, weights, want", KERAS_2)
def test_as_keras_2(name, settings, shape, weights, want):
    layer = getattr(layers, name)(**settings)
    layer.build(shape)
    assert [tuple(w.shape) for w in layer.weights] == weights
    layer.set_weights([wave(s, 0.3 + 0.2 * i) for i, s in enumerate(weights)])
    found = layer(wave(shape, 0.7))
    np.testing.assert_allclose(found.numpy().ravel(), want, atol=2e-5)
    assert layer.compute_output_shape(shape) == found.shape


@pytest.mark.parametrize("name, settings, shape", [
    ("LocallyConnected1D", dict(kernel_size=3, activation="tanh"), (5, 2)),
    ("LocallyConnected2D", dict(kernel_size=2, implementation=3, padding="same", **FIRST), (2, 3, 3)),
])
def test_contract_of_layers(name, settings, shape):
    def noisy(layer):
        layer.bias.assign(RNG.standard_normal(layer.bias.shape))

    check_layer(getattr(layers, name), {"filters": 2, **settings}, shape, setup=noisy)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_all_implementations_are_one(data_format):
    """Equal weights make equal outputs, however they are stored."""
    x = RNG.standard_normal((2, 4, 5, 3)).astype("float32")
    x = x if data_format == "channels_last" else np.moveaxis(x, -1, 1).copy()
    made = [layers.LocallyConnected2D(2, (2, 3), (2, 1), data_format=data_format, implementation=i)
            for i in (1, 2, 3)]
    for layer in made:
        layer.build(x.shape)
    one, dense, sparse = made
    values = RNG.standard_normal(one.kernel.shape).astype("float32")
    one.kernel.assign(values)
    for layer in (dense, sparse):
        kernel = np.full(int(np.prod(layer.kernel.shape)), 7.0, "float32")
        kernel[ops.convert_to_numpy(layer._places)] = values
        layer.kernel.assign(kernel.reshape(layer.kernel.shape))
        np.testing.assert_allclose(layer(x).numpy(), one(x).numpy(), 1e-5, 1e-5)
    assert sparse.count_params() == one.count_params()


def test_arguments_of_keras_1():
    layer = layers.LocallyConnected2D(4, 3, 3, border_mode="valid", dim_ordering="th", bias=False)
    assert (layer.kernel_size, layer.data_format, layer.use_bias) == ((3, 3), "channels_first", False)
    layer = layers.LocallyConnected1D(nb_filter=2, filter_length=3, subsample_length=2, W_regularizer="l2")
    assert (layer.filters, layer.kernel_size, layer.strides) == (2, (3,), (2,))
    layer(np.ones((1, 7, 2), "float32"))
    assert len(layer.losses) == 1


@pytest.mark.parametrize("make, words", [
    (lambda: layers.LocallyConnected1D(2, 3, padding="same"), "implementation=2 or 3"),
    (lambda: layers.LocallyConnected1D(2, 3, implementation=4), "implementation must be 1, 2 or 3"),
    (lambda: layers.LocallyConnected1D(2, 3, padding="causal"), "padding must be one of"),
    (lambda: layers.LocallyConnected2D(2, 3, name="l").build((None, None, 5, 2)), "'l'.*all sizes must be"),
    (lambda: layers.LocallyConnected2D(2, 3, name="l").build((None, 2, 5, 2)), "'l'.*window of 3"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
