"""Pooling layers against plain NumPy, contracts of every layer, and real Keras."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers, ops

RNG = np.random.default_rng(13)


def distinct(*shape):
    return RNG.permutation(np.arange(np.prod(shape))).reshape(shape) / 8.0 - 3.0


def halves(x, reduce):
    """Pool (N, H, W, C) over windows of 2 by 2, dropping what does not fill one."""
    n, h, w, c = x.shape
    return reduce(x[:, :h // 2 * 2, :w // 2 * 2].reshape(n, h // 2, 2, w // 2, 2, c), axis=(2, 4))


@pytest.mark.parametrize("cls, reduce", [(layers.MaxPooling2D, np.max), (layers.AveragePooling2D, np.mean)])
def test_default_windows(backend, cls, reduce):
    check_layer(cls, {}, inputs=distinct(3, 5, 6, 2), reference=lambda x: halves(x, reduce),
                output_shape=(None, 2, 3, 2))


@pytest.mark.parametrize("cls", [layers.MaxPooling2D, layers.AveragePooling2D])
@pytest.mark.parametrize("settings", [
    dict(pool_size=(3, 2), strides=(1, 2)), dict(pool_size=3, strides=2, padding="same"),
    dict(data_format="channels_first"), dict(pool_size=2, strides=1, padding="same"),
])
def test_pooling_2d(backend, cls, settings):
    check_layer(cls, settings, inputs=distinct(3, 5, 6, 4))


@pytest.mark.parametrize("cls", [layers.MaxPooling1D, layers.AveragePooling1D])
@pytest.mark.parametrize("settings", [
    dict(), dict(pool_size=3, strides=1), dict(pool_size=3, strides=2, padding="same"),
    dict(pool_size=(2,), data_format="channels_first"),
])
def test_pooling_1d(backend, cls, settings):
    check_layer(cls, settings, inputs=distinct(3, 6, 4))


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(backend, rank, data_format, keepdims):
    x = distinct(3, *(4, 5)[:rank], 2)
    axes = tuple(range(1, rank + 1))
    if data_format == "channels_first":
        x, axes = np.moveaxis(x, -1, 1), tuple(range(2, rank + 2))
    settings = dict(data_format=data_format, keepdims=keepdims)
    for name, reduce in (("Max", np.max), ("Average", np.mean)):
        cls = getattr(layers, f"Global{name}Pooling{rank}D")
        check_layer(cls, settings, inputs=x, reference=reduce(x, axis=axes, keepdims=keepdims))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("keepdims", [False, True])
def test_masked_average(backend, data_format, keepdims):
    x = distinct(3, 4, 2)
    mask = np.array([[1, 1, 0, 1], [1, 0, 0, 0], [1, 1, 1, 1]], bool)
    want = np.stack([row[keep].mean(axis=0) for row, keep in zip(x, mask)])
    axis = 1
    if data_format == "channels_first":
        x, axis = np.moveaxis(x, -1, 1), 2
    if keepdims:
        want = np.expand_dims(want, axis)
    check_layer(layers.GlobalAveragePooling1D, dict(data_format=data_format, keepdims=keepdims), inputs=x,
                mask=mask, reference=want, output_mask=None)


def test_config_and_aliases():
    layer = layers.MaxPooling2D((2, 3), padding="same", name="p")
    assert layer.strides == (2, 3)
    assert layers.MaxPooling2D(padding="SAME").padding == "same"
    config = layer.get_config()
    assert {k: config[k] for k in ("pool_size", "strides", "padding", "data_format")} == {
        "pool_size": (2, 3), "strides": (2, 3), "padding": "same", "data_format": "channels_last"}
    assert layers.MaxPool2D is layers.MaxPooling2D and layers.GlobalAvgPool1D is layers.GlobalAveragePooling1D
    again = layers.deserialize(layers.serialize(layer))
    assert type(again) is layers.MaxPooling2D and again.get_config() == config


@pytest.mark.parametrize("make, words", [
    (lambda: layers.MaxPooling2D(0), "pool_size"),
    (lambda: layers.MaxPooling2D(2, strides=(1, 2, 3)), "strides"),
    (lambda: layers.AveragePooling1D(2, padding="causal"), "'valid' or 'same'"),
    (lambda: layers.GlobalMaxPooling1D("last"), "data_format"),
    (lambda: layers.MaxPooling2D(3, name="p")(np.ones((1, 2, 5, 1), "float32")), "'p'.*window of 3.*size 2"),
    (lambda: layers.MaxPooling2D(2, name="p")(np.ones((1, 5, 1), "float32")), "'p'.*rank 4"),
    (lambda: layers.GlobalMaxPooling2D(name="p")(np.ones((1, 5, 1), "float32")), "'p'.*rank 4"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parity
@pytest.mark.parametrize("name, settings, shape", [
    ("MaxPooling2D", dict(pool_size=3, strides=2, padding="same"), (2, 7, 6, 3)),
    ("AveragePooling2D", dict(pool_size=3, strides=2, padding="same"), (2, 7, 6, 3)),
    ("MaxPooling1D", dict(pool_size=3), (2, 7, 3)),
    ("AveragePooling1D", dict(pool_size=2, padding="same"), (2, 7, 3)),
    ("GlobalMaxPooling1D", dict(keepdims=True), (2, 7, 3)),
    ("GlobalAveragePooling2D", dict(), (2, 7, 6, 3)),
])
def test_as_keras(real_keras, name, settings, shape):
    x = RNG.standard_normal(shape).astype("float32")
    ours, theirs = getattr(layers, name)(**settings), getattr(real_keras.layers, name)(**settings)
    np.testing.assert_allclose(ours(x).numpy(), np.asarray(theirs(x)), 1e-6, 1e-6)
    plain = ("name", "dtype")
    assert {k: v for k, v in ours.get_config().items() if k not in plain} == {
        k: v for k, v in theirs.get_config().items() if k not in plain}


@pytest.mark.parity
def test_masked_average_as_keras(real_keras):
    x = RNG.standard_normal((3, 4, 2)).astype("float32")
    mask = RNG.random((3, 4)) < 0.6
    mask[:, 0] = True
    want = real_keras.layers.GlobalAveragePooling1D()(x, mask=mask)
    found = layers.GlobalAveragePooling1D()(x, mask=ops.convert_to_tensor(mask))
    np.testing.assert_allclose(found.numpy(), np.asarray(want), 1e-6, 1e-6)
