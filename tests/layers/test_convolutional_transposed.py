"""Transposed, depthwise and separable convolution layers: values, arguments, and that one op does it all."""

import numpy as np
import pytest
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import layers, ops

RNG = np.random.default_rng(37)


def noisy_bias(layer):
    layer.bias.assign(RNG.standard_normal(layer.bias.shape))


def spread(x, kernel, bias, stride, cut, size):
    """A transposed convolution of (N, T, C) by its definition: each input adds a window to the outputs."""
    y = np.zeros((len(x), x.shape[1] * stride + 9, kernel.shape[1]))
    for t in range(x.shape[1]):
        for k in range(len(kernel)):
            y[:, t * stride + k] += x[:, t] @ kernel[k].T
    return y[:, cut:cut + size] + bias


@pytest.mark.parametrize("settings, cut, size", [
    (dict(kernel_size=3), 0, 6), (dict(kernel_size=3, strides=2, padding="same"), 0, 8),
    (dict(kernel_size=2, strides=3), 0, 12), (dict(kernel_size=4, strides=2, padding="same"), 1, 8),
    (dict(kernel_size=3, strides=2, output_padding=1), 0, 10),
])
def test_conv1d_transpose(settings, cut, size):
    stride = settings.get("strides", 1)
    check_layer(layers.Conv1DTranspose, {"filters": 3, **settings}, (4, 2), setup=noisy_bias,
                reference=lambda x, k, b: spread(x, k, b, stride, cut, size), output_shape=(None, size, 3))


@pytest.mark.parametrize("name, settings, shape", [
    ("Conv2DTranspose", dict(filters=2, kernel_size=2, strides=2, activation="relu"), (2, 3, 2)),
    ("Conv3DTranspose", dict(filters=2, kernel_size=2, data_format="channels_first"), (2, 2, 2, 3)),
    ("DepthwiseConv1D", dict(kernel_size=2, padding="causal", depth_multiplier=2, activation="tanh"), (4, 2)),
    ("DepthwiseConv2D", dict(kernel_size=2, strides=(1, 2)), (4, 4, 2)),
    ("SeparableConv1D", dict(filters=3, kernel_size=2, padding="causal", activation="softmax"), (4, 2)),
    ("SeparableConv2D", dict(filters=3, kernel_size=2, depth_multiplier=2, activation="relu"), (3, 4, 2)),
])
def test_contract_of_layers(name, settings, shape):
    check_layer(getattr(layers, name), settings, shape, setup=noisy_bias)


@pytest.mark.parametrize("name, settings, op", [
    ("Conv2DTranspose", dict(filters=2, kernel_size=3), "transposed_convolution"),
    ("DepthwiseConv2D", dict(kernel_size=3), "depthwise_convolution"),
    ("SeparableConv2D", dict(filters=2, kernel_size=3), "separable_convolution"),
])
def test_bias_and_activation_belong_to_one_op(name, settings, op, monkeypatch):
    """relu and tanh run inside; sigmoid and softmax keep their inputs for the losses."""
    from gpukeras import autograd

    recorded = []
    true = autograd.record
    monkeypatch.setattr(autograd, "record", lambda name, *args: recorded.append(name) or true(name, *args))
    x = ops.ones((1, 4, 4, 2))
    layer = getattr(layers, name)(**settings, activation="relu")
    layer.build(x.shape)
    with keras.GradientTape():
        layer(x)
    assert recorded == [op]
    assert getattr(layers, name)(**settings, activation="sigmoid")(x)._keras_logits is not None


@pytest.mark.parametrize("name, settings", [
    ("Conv2DTranspose", dict(filters=2, kernel_size=3)), ("DepthwiseConv2D", dict(kernel_size=3)),
    ("SeparableConv2D", dict(filters=2, kernel_size=3)),
])
def test_mixed_precision(name, settings):
    layer = getattr(layers, name)(**settings, dtype="mixed_float16", activation="relu")
    with keras.GradientTape() as tape:
        y = layer(np.ones((1, 5, 5, 2), "float32"))
    assert y.dtype == "float16"
    for weight, gradient in zip(layer.weights, tape.gradient(y, layer.trainable_weights)):
        assert weight.dtype == gradient.dtype == "float32"


def test_regularizers_and_constraints():
    layer = layers.SeparableConv2D(
        2, 2, depthwise_regularizer="l2", pointwise_regularizer="l1", bias_regularizer="l2",
        activity_regularizer="l2", depthwise_constraint="non_neg", pointwise_constraint="max_norm",
        bias_constraint="unit_norm", depthwise_initializer="ones", pointwise_initializer="ones")
    layer(np.ones((1, 3, 3, 2), "float32"))
    assert len(layer.losses) == 4 and all(w.constraint is not None for w in layer.weights)
    layer = layers.DepthwiseConv2D(2, depthwise_regularizer="l2", depthwise_constraint="non_neg")
    layer(np.ones((1, 3, 3, 2), "float32"))
    assert len(layer.losses) == 1 and layer.depthwise_kernel is layer.kernel
    assert layer.kernel.constraint is not None


def test_configurations_of_tf_keras():
    """They hold one group, and settings of a kernel that is not there."""
    for cls, kwargs in ((layers.Conv2DTranspose, dict(filters=2, kernel_size=3)),
                        (layers.DepthwiseConv2D, dict(kernel_size=3)),
                        (layers.SeparableConv1D, dict(filters=2, kernel_size=3))):
        config = cls(**kwargs).get_config()
        old = {"kernel_initializer": "zeros"} if cls is layers.SeparableConv1D else {}
        assert cls.from_config({**config, "groups": 1, **old}).get_config() == config
    layer = layers.DepthwiseConv2D(3, kernel_initializer="zeros")
    assert type(layer.depthwise_initializer).__name__ == "Zeros"


@pytest.mark.parametrize("make, words", [
    (lambda: layers.Conv2DTranspose(2, 3, strides=2, output_padding=2), "0 or more and below the stride"),
    (lambda: layers.Conv2DTranspose(2, 3, strides=2, output_padding=(1,)), "a number for each of 2 axes"),
    (lambda: layers.Conv2DTranspose(2, 3, strides=2, dilation_rate=2), "one of the two must be 1"),
    (lambda: layers.Conv1DTranspose(2, 3, padding="causal"), "padding must be one of"),
    (lambda: layers.Conv2DTranspose(2, 3, groups=2), "has no groups"),
    (lambda: layers.DepthwiseConv2D(3, depth_multiplier=0), "depth_multiplier must be a positive"),
    (lambda: layers.DepthwiseConv2D(3, padding="causal"), "padding must be one of"),
    (lambda: layers.SeparableConv2D(0, 3), "filters must be a positive"),
    (lambda: layers.SeparableConv2D(2, 3, name="s").build((None, 2, 5, 2)), "'s'.*window of 3"),
    (lambda: layers.DepthwiseConv1D(3, name="d").build((None, 5, None)), "'d'.*channels must be known"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
