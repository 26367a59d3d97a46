"""Convolution layers against naive loops, contracts of every layer, and real Keras."""

import itertools

import numpy as np
import pytest
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import layers, ops

RNG = np.random.default_rng(11)


def naive(x, kernel, bias, strides, padding, dilation=(1, 1), groups=1):
    """Loop over output positions and taps of a batch (N, H, W, C)."""
    kh, kw, inner, filters = kernel.shape
    spots = []
    for n, k, s, d in zip(x.shape[1:3], (kh, kw), strides, dilation):
        reach = (k - 1) * d + 1
        out = -(-n // s) if padding == "same" else (n - reach) // s + 1
        spots.append((max(0, (out - 1) * s + reach - n) // 2 if padding == "same" else 0, out))
    y = np.zeros((len(x), spots[0][1], spots[1][1], filters)) + bias
    for i, j, a, b in itertools.product(range(spots[0][1]), range(spots[1][1]), range(kh), range(kw)):
        r = i * strides[0] - spots[0][0] + a * dilation[0]
        c = j * strides[1] - spots[1][0] + b * dilation[1]
        if 0 <= r < x.shape[1] and 0 <= c < x.shape[2]:
            for f in range(filters):
                first = f // (filters // groups) * inner
                y[:, i, j, f] += x[:, r, c, first:first + inner] @ kernel[a, b, :, f]
    return y


def noisy_bias(layer):
    layer.bias.assign(RNG.standard_normal(layer.bias.shape))


@pytest.mark.parametrize("settings", [
    dict(), dict(padding="same", strides=2), dict(dilation_rate=(1, 2)), dict(groups=2, padding="same"),
    dict(kernel_size=1), dict(kernel_size=(3, 2), strides=(2, 1)),
])
def test_conv2d(backend, settings):
    settings = {"kernel_size": 3, **settings}

    def pair(v):
        return v if isinstance(v, tuple) else (v, v)

    def reference(x, kernel, bias):
        return naive(x, kernel, bias, pair(settings.get("strides", 1)), settings.get("padding", "valid"),
                     pair(settings.get("dilation_rate", 1)), settings.get("groups", 1))

    check_layer(layers.Conv2D, {"filters": 4, **settings}, (6, 5, 2), reference=reference, setup=noisy_bias)


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid", "softmax", "gelu", "linear", None])
@pytest.mark.parametrize("use_bias", [True, False])
def test_activation(activation, use_bias):
    settings = dict(filters=3, kernel_size=2, activation=activation, use_bias=use_bias)
    layer = check_layer(layers.Conv2D, settings, (4, 4, 2), setup=noisy_bias if use_bias else None)
    x = RNG.standard_normal((2, 4, 4, 2))
    plain = ops.conv(x, layer.kernel)
    if use_bias:
        plain = plain + layer.bias
    expected = plain if activation is None else keras.activations.get(activation)(plain)
    np.testing.assert_allclose(layer(x).numpy(), expected.numpy(), 1e-12)


def test_fused_and_separate_activations():
    """relu and tanh run inside the convolution; sigmoid and softmax keep their inputs for the losses."""
    x = keras.ops.ones((1, 4, 4, 2))
    for name in ("sigmoid", "softmax"):
        assert layers.Conv2D(2, 1, activation=name)(x)._keras_logits is not None
    assert layers.Conv2D(2, 1, activation="relu")(x)._keras_logits is None


@pytest.mark.parametrize("settings", [
    dict(), dict(padding="same", strides=2), dict(padding="causal"), dict(padding="causal", dilation_rate=2),
    dict(data_format="channels_first"), dict(groups=2), dict(kernel_size=4, padding="same"),
])
def test_conv1d(backend, settings):
    check_layer(layers.Conv1D, {"filters": 4, "kernel_size": 3, **settings}, (6, 6), setup=noisy_bias)


def test_causal_looks_back_only():
    layer = layers.Conv1D(2, 3, padding="causal", dilation_rate=2)
    x = RNG.standard_normal((1, 9, 3)).astype("float32")
    before = layer(x).numpy()
    x[:, 5:] += 1
    after = layer(x).numpy()
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).all()


def test_channels_first_equals_channels_last(backend):
    x = RNG.standard_normal((2, 5, 6, 3)).astype("float32")
    last = layers.Conv2D(4, 3, padding="same", activation="relu", data_format="channels_last")
    first = layers.Conv2D(4, 3, padding="same", activation="relu", data_format="channels_first")
    y = last(backend.asarray(x)).numpy()
    first.build((None, 3, 5, 6))
    first.set_weights(last.get_weights())
    found = first(backend.asarray(np.moveaxis(x, -1, 1).copy())).numpy()
    np.testing.assert_allclose(np.moveaxis(found, 1, -1), y, 1e-6, 1e-6)
    check_layer(layers.Conv2D, dict(filters=2, kernel_size=2, data_format="channels_first"), (3, 4, 5))


def test_default_data_format():
    keras.config.set_image_data_format("channels_first")
    try:
        assert layers.Conv2D(2, 3).data_format == "channels_first"
        assert layers.MaxPooling2D().data_format == "channels_first"
    finally:
        keras.config.set_image_data_format("channels_last")


def test_regularizers_constraints_and_losses():
    layer = layers.Conv2D(
        2, 2, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2",
        kernel_constraint="non_neg", bias_constraint="max_norm", kernel_initializer="ones",
    )
    layer(np.ones((1, 3, 3, 1), "float32"))
    assert len(layer.losses) == 3
    assert np.isclose(float(layer.losses[1]), 0.01 * 8)
    again = layers.Conv2D.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert layer.kernel.constraint is not None and layer.bias.constraint is not None


def test_names_and_counts():
    layer = layers.Conv2D(32, (3, 3), input_shape=(28, 28, 1), name="first")
    layer.build((None, 28, 28, 1))
    assert [v.path for v in layer.weights] == ["first/kernel", "first/bias"]
    assert layer.count_params() == 320
    assert layer.compute_output_shape((None, 28, 28, 1)) == (None, 26, 26, 32)
    assert layer.compute_output_shape((8, None, None, 1)) == (8, None, None, 32)
    assert layers.Convolution2D is layers.Conv2D


def test_convolution_op_can_be_overridden():
    class Centred(layers.Conv2D):
        def convolution_op(self, inputs, kernel):
            return super().convolution_op(inputs, kernel - ops.mean(kernel))

    layer = Centred(3, 2, activation="relu", bias_initializer="ones", data_format="channels_first")
    y = layer(np.ones((1, 2, 4, 4), "float32"))
    kernel = layer.kernel.numpy()
    expected = np.maximum(0, (kernel - kernel.mean()).sum((0, 1, 2)) + 1)
    np.testing.assert_allclose(y.numpy()[0, :, 1, 1], expected, 1e-5)


def test_mixed_precision():
    layer = layers.Conv2D(4, 3, dtype="mixed_float16", activation="relu")
    with keras.GradientTape() as tape:
        y = layer(np.ones((1, 5, 5, 2), "float32"))
    assert y.dtype == "float16" and layer.kernel.dtype == "float32"
    for grad in tape.gradient(y, layer.trainable_weights):
        assert grad.dtype == "float32"


@pytest.mark.parametrize("make, words", [
    (lambda: layers.Conv2D(0, 3), "filters must be a positive"),
    (lambda: layers.Conv2D(2, 0), "kernel_size must be a positive"),
    (lambda: layers.Conv2D(2, (3, 3, 3)), "kernel_size"),
    (lambda: layers.Conv2D(2, 3, strides=-1), "strides"),
    (lambda: layers.Conv2D(3, 3, groups=2), "'bad'.*groups=2"),
    (lambda: layers.Conv2D(3, 3, strides=2, dilation_rate=2), "one of the two must be 1"),
    (lambda: layers.Conv2D(3, 3, padding="causal"), "'bad'.*padding must be one of"),
    (lambda: layers.Conv2D(3, 3, data_format="NHWC"), "data_format"),
    (lambda: layers.Conv2D(3, 3, activation="rely"), "relu"),
])
def test_argument_errors(make, words, monkeypatch):
    from gpukeras import symbolic

    monkeypatch.setattr(symbolic, "auto_name", lambda prefix: "bad")
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("layer, shape, words", [
    (layers.Conv2D(2, 3, name="c"), (1, 2, 5, 1), "'c'.*window of 3.*size 2"),
    (layers.Conv2D(2, 3, name="c"), (1, 5, 1), "'c'.*rank 4"),
    (layers.Conv2D(2, 3, groups=2, name="c"), (1, 5, 5, 3), "'c'.*3 input channels.*groups=2"),
])
def test_input_errors(layer, shape, words):
    with pytest.raises(ValueError, match=words):
        layer(np.ones(shape, "float32"))


def test_changed_channels_and_unknown_channels():
    layer = layers.Conv1D(2, 3, name="c")
    layer(np.ones((1, 5, 3), "float32"))
    with pytest.raises(ValueError, match="'c'.*size 3 on axis -1"):
        layer(np.ones((1, 5, 4), "float32"))
    with pytest.raises(ValueError, match="number of channels must be known"):
        layers.Conv1D(2, 3).build((None, 5, None))


# ---- real Keras ----------------------------------------------------------------------------------------
@pytest.mark.parity
@pytest.mark.parametrize("name, settings, shape", [
    ("Conv2D", dict(kernel_size=3, activation="relu"), (3, 8, 7, 4)),
    ("Conv2D", dict(kernel_size=(2, 3), padding="same", strides=2, activation="tanh"), (3, 8, 7, 4)),
    ("Conv2D", dict(kernel_size=3, dilation_rate=2, groups=2, activation="softmax"), (3, 8, 7, 4)),
    ("Conv2D", dict(kernel_size=3, use_bias=False, padding="same"), (3, 8, 7, 4)),
    ("Conv1D", dict(kernel_size=3, padding="causal", dilation_rate=2, activation="sigmoid"), (3, 9, 4)),
    ("Conv1D", dict(kernel_size=5, strides=2, padding="same"), (3, 9, 4)),
])
def test_as_keras(real_keras, name, settings, shape):
    import jax

    ours = getattr(layers, name)(6, **settings)
    theirs = getattr(real_keras.layers, name)(6, **settings)
    theirs.build(shape)
    ours.build(shape)
    values = [RNG.standard_normal(v.shape).astype("float32") * 0.3 for v in theirs.weights]
    ours.set_weights(values)
    theirs.set_weights(values)
    assert {k: v for k, v in ours.get_config().items() if k not in ("name", "dtype")}.keys() == {
        k for k in theirs.get_config() if k not in ("name", "dtype")}
    x = RNG.standard_normal(shape).astype("float32")
    dy = RNG.standard_normal(theirs.compute_output_shape(shape)).astype("float32")
    with keras.GradientTape() as tape:
        tensor = keras.ops.convert_to_tensor(x)
        tape.watch(tensor)
        y = ours(tensor)
    found = tape.gradient(y, [tensor, *ours.weights], keras.ops.convert_to_tensor(dy))

    def loss(x, weights):
        return (theirs.stateless_call(weights, [], x)[0] * dy).sum()

    want = jax.grad(loss, argnums=(0, 1))(x, [w.value for w in theirs.weights])
    np.testing.assert_allclose(y.numpy(), np.asarray(theirs(x)), 1e-5, 1e-5)
    for ours_grad, theirs_grad in zip(found, [want[0], *want[1]]):
        np.testing.assert_allclose(ours_grad.numpy(), np.asarray(theirs_grad), 1e-5, 1e-4)
