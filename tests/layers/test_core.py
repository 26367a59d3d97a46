"""Dense, Activation, Masking, Lambda, Embedding and the activations that are layers."""

import json
import warnings

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import GradientTape, layers, ops, regularizers, saving


# ---- Dense --------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kwargs, shape, activation", [
    ({"units": 3}, (4,), lambda z: z),
    ({"units": 3, "use_bias": False}, (4,), lambda z: z),
    ({"units": 2, "activation": "tanh"}, (5, 4), np.tanh),
    ({"units": 2, "activation": "softmax"}, (4,), lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True)),
    ({"units": 3, "activation": "sigmoid", "bias_initializer": "ones"}, (2, 3, 4),
     lambda z: 1 / (1 + np.exp(-z))),
    ({"units": 3, "kernel_regularizer": "l2", "bias_constraint": "non_neg", "kernel_initializer": "he_normal",
      "activity_regularizer": "l1"}, (4,), lambda z: z),
])
def test_dense(backend, kwargs, shape, activation):
    def reference(x, kernel, bias=0.0):
        return activation(x @ kernel + bias)

    check_layer(layers.Dense, kwargs, shape, reference=reference,
                output_shape=(None, *shape[:-1], kwargs["units"]))


def test_dense_relu(backend):
    x = np.array([[1.0, -2.0, 3.0], [0.5, 1.5, -1.0]])
    kernel = np.array([[1.0, -1.0], [0.5, 2.0], [0.25, 0.75]])
    check_layer(layers.Dense, {"units": 2, "activation": "relu"}, inputs=x,
                weights=[kernel, np.array([0.1, 0.2])], reference=lambda x, k, b: np.maximum(x @ k + b, 0))


def test_dense_takes_any_callable_as_activation():
    layer = layers.Dense(2, activation=lambda x: x * 2.0, kernel_initializer="ones")
    np.testing.assert_array_equal(layer(np.ones((1, 3), "float32")).numpy(), [[6.0, 6.0]])


def test_dense_old_shape_arguments():
    assert layers.Dense(2, input_dim=5)._batch_input_shape == (None, 5)
    assert layers.Dense(2, input_shape=(3, 5))._batch_input_shape == (None, 3, 5)
    assert layers.Dense(2, batch_input_shape=(7, 5))._batch_input_shape == (7, 5)


def test_dense_initial_weights():
    kernel, bias = np.full((3, 2), 2.0), np.array([1.0, -1.0])
    layer = layers.Dense(2, weights=[kernel, bias])
    np.testing.assert_array_equal(layer(np.ones((1, 3))).numpy(), [[7.0, 5.0]])


@pytest.mark.parametrize("kwargs, message", [
    ({"units": 0}, "positive integer, came 0"),
    ({"units": 2.5}, "positive integer, came 2.5"),
    ({"units": 2, "activation": "relo"}, "did you mean 'relu'"),
    ({"units": 2, "kernel_initializer": "glorot"}, "unknown initializer 'glorot'"),
])
def test_dense_refuses(kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.Dense(**kwargs)


def test_dense_names_itself_where_the_inputs_do_not_fit():
    layer = layers.Dense(2, name="head")
    layer(np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"layer 'head'.*expected size 3 on axis -1, came shape \(1, 4\)"):
        layer(np.ones((1, 4)))
    with pytest.raises(ValueError, match="at least rank 2"):
        layer(np.ones(3))
    with pytest.raises(NotImplementedError, match="lora_rank"):
        layers.Dense(2, lora_rank=2)
    with pytest.raises(TypeError, match="unknown arguments .'activations'"):
        layers.Dense(2, activations="relu")


# ---- elementwise ---------------------------------------------------------------------------------------
def test_activation(backend):
    check_layer(layers.Activation, {"activation": "tanh"}, (3, 2), reference=lambda x: np.tanh(x))


def test_activation_passes_masks(backend):
    mask = np.array([[True, False], [True, True], [False, False]])
    check_layer(layers.Activation, {"activation": "tanh"}, (2, 3), mask=mask, output_mask=mask)


def test_identity(backend):
    check_layer(layers.Identity, {}, (3,), reference=lambda x: x)


def test_activity_regularization(backend):
    check_layer(layers.ActivityRegularization, {"l1": 0.1, "l2": 0.2}, (3,), reference=lambda x: x)
    layer = layers.ActivityRegularization(l1=0.5, l2=2.0)
    layer(np.array([[1.0, -3.0]]))
    assert [float(loss) for loss in layer.losses] == [0.5 * 4 + 2.0 * 10]


def _general_relu(x, slope=0.0, top=np.inf, threshold=0.0):
    return np.where(x >= threshold, np.minimum(x, top), slope * (x - threshold))


@pytest.mark.parametrize("cls, kwargs, reference", [
    (layers.ReLU, {}, _general_relu),
    (layers.ReLU, {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2},
     lambda x: _general_relu(x, 0.1, 1.0, 0.2)),
    (layers.LeakyReLU, {}, lambda x: np.where(x > 0, x, 0.3 * x)),
    (layers.LeakyReLU, {"negative_slope": 0.1}, lambda x: np.where(x > 0, x, 0.1 * x)),
    (layers.ThresholdedReLU, {"theta": 0.4}, lambda x: np.where(x > 0.4, x, 0.0)),
    (layers.ELU, {"alpha": 0.7}, lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    (layers.Softmax, {}, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)),
    (layers.Softmax, {"axis": 1}, lambda x: np.exp(x) / np.exp(x).sum(1, keepdims=True)),
    (layers.Softmax, {"axis": [1, 2]}, lambda x: np.exp(x) / np.exp(x).sum((1, 2), keepdims=True)),
])
def test_activation_layers(backend, cls, kwargs, reference):
    x = np.array([[[-1.3, 0.7, 2.1], [0.3, -0.2, 1.1]], [[0.9, -2.0, 0.5], [1.6, 0.1, -0.6]]])
    check_layer(cls, kwargs, inputs=x, reference=reference)


def test_leaky_relu_old_name():
    assert layers.LeakyReLU(alpha=0.2).negative_slope == 0.2


@pytest.mark.parametrize("shared", [None, [1], [1, 2]])
def test_prelu(backend, shared):
    def setup(layer):
        layer.alpha.assign(np.arange(1, layer.alpha.size + 1).reshape(layer.alpha.shape) / 10)

    check_layer(layers.PReLU, {"shared_axes": shared}, (2, 3, 2), setup=setup,
                reference=lambda x, alpha: np.where(x > 0, x, alpha * x))


def test_softmax_mask(backend):
    x = np.array([[1.0, 2.0, 3.0]])
    mask = np.array([[True, False, True]])
    y = layers.Softmax()(x, mask=mask).numpy()
    np.testing.assert_allclose(y, [[1 / (1 + np.e**2), 0, 1 / (1 + np.e**-2)]], rtol=1e-6)


def test_wrong_settings_of_activations():
    for make in (lambda: layers.ReLU(max_value=-1.0), lambda: layers.ReLU(negative_slope=-0.1),
                 lambda: layers.LeakyReLU(-1.0), lambda: layers.ThresholdedReLU(theta=-1.0)):
        with pytest.raises(ValueError, match="must be 0 or more"):
            make()


# ---- Masking, Embedding --------------------------------------------------------------------------------
def test_masking(backend):
    x = np.array([[[1.0, 2.0], [7.0, 7.0], [7.0, 1.0]], [[7.0, 7.0], [3.0, 4.0], [5.0, 6.0]]])
    mask = (x != 7.0).any(-1)
    check_layer(layers.Masking, {"mask_value": 7.0}, inputs=x, reference=lambda x: x * mask[:, :, None],
                gradients=False, output_mask=mask)


def test_embedding(backend):
    check_layer(layers.Embedding, {"input_dim": 7, "output_dim": 3}, (4,), input_dtype="int", high=7,
                reference=lambda x, table: table[x], output_shape=(None, 4, 3))


def test_embedding_mask(backend):
    ids = np.array([[1, 0, 2], [0, 3, 3]])
    check_layer(layers.Embedding, {"input_dim": 4, "output_dim": 2, "mask_zero": True}, inputs=ids,
                output_mask=ids != 0, reference=lambda x, table: table[x])


def test_embedding_of_floats_weights_and_length():
    table = np.arange(6.0).reshape(3, 2)
    layer = layers.Embedding(3, 2, weights=[table], input_length=4)
    assert layer._batch_input_shape == (None, 4)
    np.testing.assert_array_equal(layer(np.array([[2.0, 0.0]])).numpy(), table[[[2, 0]]])
    assert layers.Embedding(3, 2)._batch_input_shape is None


@pytest.mark.cpu  # a GPU is not asked; there the result is not a number
def test_embedding_out_of_range():
    with pytest.raises(ValueError, match="3"):
        layers.Embedding(3, 2)(np.array([[3]]))
    with pytest.raises(ValueError, match="must be positive"):
        layers.Embedding(0, 2)


# ---- Lambda --------------------------------------------------------------------------------------------
@saving.register_keras_serializable("test_core")
def scaled(x, factor=1.0):
    return x * factor


def test_lambda(backend):
    check_layer(layers.Lambda, {"function": scaled, "arguments": {"factor": 2.5}}, (3,),
                reference=lambda x: x * 2.5)


def test_lambda_output_shape_and_tracing():
    from gpukeras import Input

    x = Input((4,))
    assert layers.Lambda(lambda t: t[:, :2] + 1)(x).shape == (None, 2)
    assert layers.Lambda(lambda t: t, output_shape=(7,))(x).shape == (None, 7)
    assert layers.Lambda(lambda t: t, output_shape=lambda s: (s[0], 9))(x).shape == (None, 9)
    pair = layers.Lambda(lambda ts: ts[0] + ts[1])([x, x])
    assert pair.shape == (None, 4)


def test_lambda_gets_mask_and_training():
    seen = {}

    def function(x, mask=None, training=None):
        seen.update(mask=mask, training=training)
        return x

    layers.Lambda(function, mask=lambda x, m: m)(np.ones((1, 2)), training=True)
    assert seen["training"] is True
    assert seen["mask"] is None


def test_lambda_in_a_file_needs_unsafe_loading():
    layer = layers.Lambda(lambda x: x + 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = json.loads(json.dumps(layers.serialize(layer)))
    with pytest.raises(ValueError, match="safe_mode=False"):
        layers.deserialize(config)
    again = saving.deserialize_keras_object(config, safe_mode=False)
    np.testing.assert_array_equal(again(np.zeros((1, 2), "float32")).numpy(), [[1.0, 1.0]])


def test_lambda_needs_a_function():
    with pytest.raises(TypeError, match="must be callable"):
        layers.Lambda(3)


# ---- Input ---------------------------------------------------------------------------------------------
def test_input():
    from gpukeras import Input

    assert Input((3, None)).shape == (None, 3, None)
    assert Input((3,), batch_size=5).shape == (5, 3)
    assert Input(batch_shape=(5, 3)).shape == (5, 3)
    assert Input(()).shape == (None,)
    named = Input((3,), name="image", dtype="int32")
    assert (named.name, named.dtype) == ("image", "int32")
    assert Input((3,), sparse=True).sparse and not named.sparse
    layer = named.history[0].operation
    assert isinstance(layer, layers.InputLayer)
    assert layer.name == "image" and layer.output is named
    again = layers.InputLayer.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == json.loads(json.dumps(layer.get_config())) | {"batch_shape": (None, 3)}


@pytest.mark.parametrize("kwargs, error, message", [
    ({}, ValueError, "either shape"),
    ({"shape": 3}, TypeError, r"tuple such as \(784,\)"),
    ({"shape": (3,), "batch_shape": (None, 3)}, ValueError, "both"),
    ({"batch_shape": (2, 3), "batch_size": 2}, ValueError, "leave batch_size out"),
    ({"shape": (-3,)}, ValueError, "positive"),
    ({"shape": (3,), "ragged": True}, ValueError, "pad_sequences"),
    ({"tensor": np.ones(3)}, TypeError, "symbolic"),
])
def test_input_refuses(kwargs, error, message):
    from gpukeras import Input

    with pytest.raises(error, match=message):
        Input(**kwargs)


# ---- registry ------------------------------------------------------------------------------------------
def test_serialize_and_deserialize():
    layer = layers.Dense(3, activation="relu", kernel_regularizer=regularizers.L2(0.1), name="d")
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert isinstance(again, layers.Dense)
    assert again.get_config() == layer.get_config()
    old = layers.deserialize({"class_name": "Dense", "config": {
        "name": "d", "trainable": True, "units": 3, "activation": "relu", "use_bias": True,
        "kernel_initializer": {"class_name": "GlorotUniform", "config": {"seed": None}},
        "batch_input_shape": [None, 4], "dtype": "float32"}})
    assert old.units == 3 and old._batch_input_shape == (None, 4)


def test_gradient_skips_frozen_layers():
    layer = layers.Dense(2, trainable=False)
    with GradientTape() as tape:
        y = ops.sum(layer(np.ones((1, 3))))
    assert layer.trainable_weights == [] and len(layer.non_trainable_weights) == 2
    assert tape.gradient(y, layer.weights) == [None, None]
