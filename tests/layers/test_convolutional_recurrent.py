"""ConvLSTM layers and the cells of Keras 2: contract, single steps against the fused op, states, dropout."""

import numpy as np
import pytest
from support.checks import tensor_here
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import autograd, layers, ops

N, T, C, F = 2, 3, 2, 2
MASK = np.array([[True, False, True], [False, True, True]])
SHAPES = {1: (T, 5, C), 2: (T, 4, 3, C), 3: (T, 2, 3, 2, C)}
KINDS = {1: layers.ConvLSTM1D, 2: layers.ConvLSTM2D, 3: layers.ConvLSTM3D}


def _data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape or (N, *SHAPES[2]))


def _randomize(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([0.5 * rng.standard_normal(w.shape) for w in layer.weights])


def _twin(layer, x, **changes):
    other = type(layer).from_config(layer.get_config() | changes)
    other.build(x.shape)
    other.set_weights(layer.get_weights())
    return other


def _results(layer, x, **call):
    """Outputs and all gradients, as NumPy arrays."""
    x = tensor_here(x.copy())
    with autograd.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, **call)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
        loss = sum(ops.sum(y * y * (k + 1)) for k, y in enumerate(outputs))
    grads = tape.gradient(loss, [x, *layer.trainable_weights])
    return [t.numpy() for t in (*outputs, *grads)]


@pytest.mark.parametrize("rank, kwargs", [
    (1, {"return_sequences": True}),
    (2, {"strides": 2, "padding": "same", "return_state": True, "kernel_regularizer": "l2"}),
    (2, {"unroll": True, "activation": "gelu", "use_bias": False, "go_backwards": True}),
    (3, {"recurrent_constraint": "unit_norm", "unit_forget_bias": False}),
])
def test_contract(backend, rank, kwargs):
    check_layer(KINDS[rank], {"filters": F, "kernel_size": 2, **kwargs}, SHAPES[rank], setup=_randomize,
                rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kwargs, call", [
    ({"return_sequences": True, "return_state": True}, {}),
    ({"go_backwards": True, "data_format": "channels_first"}, {"mask": MASK}),
    ({"return_sequences": True, "zero_output_for_mask": True}, {"mask": MASK}),
    ({"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 5, "return_sequences": True}, {"training": True}),
    ({"time_major": True, "return_sequences": True}, {}),
], ids=str)
def test_single_steps_give_the_same(kwargs, call):
    layer = layers.ConvLSTM2D(F, (2, 3), padding="same", dtype="float64", **kwargs)
    x = _data()
    if layer.data_format == "channels_first":
        x = np.moveaxis(x, -1, 2)
    if layer.time_major:
        x = np.moveaxis(x, 1, 0)
    layer(x)
    _randomize(layer)
    assert layer._settings() is not None
    for a, b in zip(_results(layer, x, **call), _results(_twin(layer, x, unroll=True), x, **call)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_an_overridden_convolution_is_called():
    class Cell(layers.ConvLSTM2DCell):
        def recurrent_conv(self, x, w):
            return 0.0 * super().recurrent_conv(x, w)

    x = _data(N, 2, 4, 3, C).astype("float32")
    layer = layers.ConvRNN2D(Cell(F, 2))
    plain = layers.ConvRNN2D(layers.ConvLSTM2DCell(F, 2))
    assert layer(x).shape == plain(x).shape
    plain.set_weights(layer.get_weights())
    assert np.abs(plain(x).numpy() - layer(x).numpy()).max() > 1e-4
    np.testing.assert_allclose(plain(x[:, :1]).numpy(), layer(x[:, :1]).numpy(), rtol=1e-5, atol=1e-6)


def test_cells_of_keras_2():
    """The old hard sigmoid, under its old name; around a cell as in the layer."""
    x = _data().astype("float32")
    layer = layers.ConvRNN2D(layers.ConvLSTM2DCell(F, 2, padding="same"), return_sequences=True)
    y = layer(x)
    assert layer.cell.get_config()["recurrent_activation"] == "hard_sigmoid"
    assert layer._settings()["recurrent_activation"] == "hard_sigmoid_keras2"
    same = layers.ConvLSTM2D(F, 2, padding="same", recurrent_activation=ops.hard_sigmoid_keras2,
                             return_sequences=True)
    same(x)
    same.set_weights(layer.get_weights())
    np.testing.assert_allclose(same(x).numpy(), y.numpy(), rtol=1e-6)
    clone = layers.deserialize(layers.serialize(layer))
    clone(x)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x).numpy(), y.numpy())
    with pytest.raises(TypeError, match="takes one cell, came a list"):
        layers.ConvRNN2D([layers.ConvLSTM2DCell(F, 2)])
    with pytest.raises(ValueError, match="the cell needs 'filters'"):
        layers.ConvRNN2D(layers.LSTMCell(3))


def test_states():
    x = _data().astype("float32")
    layer = layers.ConvLSTM2D(F, 2, return_state=True)
    y, h, c = layer(x)
    np.testing.assert_array_equal(y.numpy(), h.numpy())
    assert [s.shape for s in layer.get_initial_state(5)] == [(5, 3, 2, F)] * 2
    assert [s.shape for s in layer.get_initial_state(tensor_here(x))] == [(N, 3, 2, F)] * 2
    # the states after two steps start the third
    _, *states = layer(x[:, :2])
    for a, b in zip(layer(x[:, 2:], initial_state=states), (y, h, c)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    kept = layers.ConvLSTM2D(F, 2, stateful=True)
    kept(x)
    kept.set_weights(layer.get_weights())
    kept.reset_states()
    kept(x[:, :2])
    np.testing.assert_allclose(kept(x[:, 2:]).numpy(), y.numpy(), rtol=1e-5, atol=1e-6)
    assert [s.shape for s in kept.states] == [(N, 3, 2, F)] * 2
    with pytest.raises(ValueError, match="the sizes of its states are not known"):
        layers.ConvLSTM2D(F, 2).get_initial_state(3)


def test_symbolic_shapes():
    layer = layers.ConvLSTM2D(F, 3, padding="same", return_sequences=True, return_state=True)
    y, h, c = layer(keras.Input((None, None, 6, C)))
    assert (y.shape, h.shape, c.shape) == ((None, None, None, 6, F), *[(None, None, 6, F)] * 2)
    both = layers.Bidirectional(layers.ConvLSTM1D(F, 3, return_sequences=True))
    assert both(keras.Input((4, 6, C))).shape == (None, 4, 4, 2 * F)
    assert both(_data(N, 4, 6, C)).shape == (N, 4, 4, 2 * F)


def test_half_precision():
    layer = layers.ConvLSTM2D(F, 2, dtype="mixed_float16", return_state=True)
    y, h, _ = layer(_data().astype("float32"))
    assert y.dtype == h.dtype == "float16"
    single = layers.ConvLSTM2D(F, 2)
    single(_data().astype("float32"))
    single.set_weights(layer.get_weights())
    np.testing.assert_allclose(y.numpy(), single(_data().astype("float32")).numpy(), rtol=2e-3, atol=2e-3)


def test_learns():
    """The next position of a dot that moves to the right."""
    keras.utils.set_random_seed(0)
    x = np.zeros((8, 3, 3, 8, 1), "float32")
    y = np.zeros((8, 3, 8, 1), "float32")
    for n in range(8):
        for t in range(3):
            x[n, t, n % 3, n % 5 + t] = 1
        y[n, n % 3, n % 5 + 3] = 1
    model = keras.Sequential([
        keras.Input(x.shape[1:]), layers.ConvLSTM2D(4, 3, padding="same"),
        layers.Conv2D(1, 3, padding="same", activation="sigmoid"),
    ])
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy")
    losses = model.fit(x, y, batch_size=8, epochs=30, verbose=0).history["loss"]
    assert losses[-1] < 0.3 * losses[0]


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="padding must be 'valid' or 'same', came 'causal'"):
        layers.ConvLSTM1D(F, 2, padding="causal")
    with pytest.raises(ValueError, match="one of the two must be 1"):
        layers.ConvLSTM2D(F, 2, strides=2, dilation_rate=2)
    with pytest.raises(ValueError, match="number of channels must be known"):
        layers.ConvLSTM1D(F, 2)(keras.Input((3, 5, None)))
    with pytest.raises(ValueError, match="does not fit"):
        layers.ConvLSTM1D(F, 6)(_data(N, T, 5, C))
    with pytest.raises(TypeError, match="use_cudnn"):
        layers.ConvLSTM1D(F, 2, use_cudnn=True)
