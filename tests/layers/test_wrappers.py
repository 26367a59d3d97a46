"""Bidirectional and TimeDistributed: against the layers inside, and against real Keras."""

import numpy as np
import pytest
from support.checks import tensor_here
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import autograd, layers

N, T, D, U = 3, 4, 2, 5
MASK = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 1]], bool)
MODES = ["concat", "sum", "mul", "ave", None]


def _data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape or (N, T, D)).astype("float32")


def _randomize(layer, seed=1):
    rng = np.random.default_rng(seed)
    layer.set_weights([0.6 * rng.standard_normal(w.shape) for w in layer.weights])


def _merge(mode, a, b):
    return {"concat": lambda: np.concatenate([a, b], -1), "sum": lambda: a + b, "mul": lambda: a * b,
            "ave": lambda: (a + b) / 2, None: lambda: (a, b)}[mode]()


# ---- Bidirectional ---------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sequences", [False, True])
def test_bidirectional_contract(backend, mode, sequences):
    class Two(layers.Bidirectional):
        """Makes its own layers, since ``check_layer`` wants plain arguments."""

        def __init__(self, merge_mode, layer=None, backward_layer=None, **kwargs):
            layer = layers.LSTM(U, return_sequences=sequences, dtype=kwargs.get("dtype"), name="inside")
            super().__init__(layer, merge_mode, **kwargs)

        from_config = classmethod(lambda cls, config: cls(**config))

    check_layer(Two, {"merge_mode": mode}, (T, D), setup=_randomize, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("cls", [layers.LSTM, layers.GRU, layers.SimpleRNN])
def test_bidirectional_is_two_layers(cls, mode, mask):
    x = _data()
    layer = layers.Bidirectional(cls(U, return_sequences=True, return_state=True), merge_mode=mode)
    layer(x)
    _randomize(layer)
    weights = layer.get_weights()
    forward = cls(U, return_sequences=True, return_state=True, zero_output_for_mask=True)
    backward = cls(U, return_sequences=True, return_state=True, zero_output_for_mask=True, go_backwards=True)
    for one, own in ((forward, weights[:3]), (backward, weights[3:])):
        one.build(x.shape)
        one.set_weights(own)
    states = [_data(N, U, seed=k) for k in range(2 * len(forward.state_size))]
    half = len(states) // 2
    a, *a_states = (t.numpy() for t in forward(x, initial_state=states[:half], mask=mask))
    b, *b_states = (t.numpy() for t in backward(x, initial_state=states[half:], mask=mask))
    expected = _merge(mode, a, b[:, ::-1])
    expected = [*(expected if mode is None else [expected]), *a_states, *b_states]
    for found in (layer(x, initial_state=states, mask=mask), layer([x, *states], mask=mask)):
        for y, want in zip(found, expected, strict=True):
            np.testing.assert_allclose(y.numpy(), want, rtol=1e-5, atol=1e-6)
    symbolic = layer(keras.KerasTensor((None, T, D)))
    assert [s.shape for s in symbolic] == [(None, *w.shape[1:]) for w in expected]


@pytest.mark.parametrize("mode", ["concat", None])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("state", [False, True])
def test_bidirectional_masks(mode, sequences, state):
    x = tensor_here(_data())
    x._keras_mask = tensor_here(MASK)
    inner = layers.GRU(U, return_sequences=sequences, return_state=state)
    layer = layers.Bidirectional(inner, merge_mode=mode)
    found = layer(x)
    found = list(found) if isinstance(found, tuple) else [found]
    outputs = 2 if mode is None else 1
    for y in found[:outputs]:
        if sequences:
            np.testing.assert_array_equal(y._keras_mask.numpy(), MASK)
            assert not y.numpy()[~MASK].any()
        else:
            assert y._keras_mask is None
    assert all(y._keras_mask is None for y in found[outputs:])


def test_bidirectional_names_and_configuration():
    layer = layers.Bidirectional(layers.LSTM(U, name="memory", dropout=0.2), name="both")
    layer.build((None, T, D))
    assert [v.path for v in layer.weights[::3]] == [
        "both/forward_memory/lstm_cell/kernel", "both/backward_memory/lstm_cell/kernel"
    ]
    assert layer.layer is layer.forward_layer
    assert layer.backward_layer.go_backwards is True
    clone = layers.Bidirectional.from_config(layer.get_config())
    assert clone.get_config() == layer.get_config()
    assert layers.deserialize(layers.serialize(layer)).get_config() == layer.get_config()


def test_bidirectional_with_a_backward_layer():
    x = _data()
    backward = layers.LSTM(U, activation="relu", go_backwards=True)
    layer = layers.Bidirectional(layers.LSTM(U), backward_layer=backward, merge_mode=None)
    y, y_back = layer(x)
    assert layer.backward_layer is backward
    np.testing.assert_array_equal(y_back.numpy(), backward(x).numpy())
    np.testing.assert_array_equal(y.numpy(), layer.forward_layer(x).numpy())
    clone = layers.Bidirectional.from_config(layer.get_config())
    clone(x)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x)[1].numpy(), y_back.numpy())


def test_bidirectional_first_weights():
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(s).astype("float32") for s in [(D, U), (U, U), (U,)] * 2]
    layer = layers.Bidirectional(layers.SimpleRNN(U), weights=weights)
    layer(_data())
    for a, b in zip(layer.get_weights(), weights):
        np.testing.assert_array_equal(a, b)


def test_bidirectional_stateful():
    x = _data()
    layer = layers.Bidirectional(layers.LSTM(U, stateful=True))
    assert layer.states is None
    first = layer(x).numpy()
    assert np.abs(layer(x).numpy() - first).max() > 1e-4
    assert len(layer.states) == 4
    layer.reset_states()
    np.testing.assert_array_equal(layer(x).numpy(), first)
    layer.reset_state([s.numpy() * 0 for s in layer.states])
    np.testing.assert_array_equal(layer(x).numpy(), first)


def test_bidirectional_dropout_follows_training():
    layer = layers.Bidirectional(layers.GRU(U, dropout=0.5, recurrent_dropout=0.2))
    x = _data()
    np.testing.assert_array_equal(layer(x).numpy(), layer(x, training=False).numpy())
    assert np.abs(layer(x, training=True).numpy() - layer(x).numpy()).max() > 1e-4


def test_bidirectional_around_custom_cells():
    class Echo(layers.Layer):
        state_size = D

        def call(self, inputs, states):
            return inputs + states[0], [inputs]

    x = _data()
    y = layers.Bidirectional(layers.RNN(Echo()), merge_mode="sum")(x).numpy()
    np.testing.assert_allclose(y, x[:, -1] + x[:, -2] + x[:, 0] + x[:, 1], rtol=1e-6)


def test_bidirectional_wrong_arguments():
    with pytest.raises(ValueError, match="merge_mode must be"):
        layers.Bidirectional(layers.LSTM(U), merge_mode="max")
    with pytest.raises(ValueError, match="layer must be a layer, came 3"):
        layers.Bidirectional(3)
    with pytest.raises(ValueError, match="backward_layer must be a layer"):
        layers.Bidirectional(layers.LSTM(U), backward_layer="lstm")
    with pytest.raises(ValueError, match="opposite directions"):
        layers.Bidirectional(layers.LSTM(U), backward_layer=layers.LSTM(U))
    with pytest.raises(ValueError, match="return_sequences must be the same"):
        backward = layers.LSTM(U, go_backwards=True, return_sequences=True)
        layers.Bidirectional(layers.LSTM(U), backward_layer=backward)
    with pytest.raises(ValueError, match="states of both directions"):
        layers.Bidirectional(layers.GRU(U))(_data(), initial_state=[_data(N, U)])


# ---- TimeDistributed ---------------------------------------------------------------------------------
def test_time_distributed_contract(backend):
    class Each(layers.TimeDistributed):
        def __init__(self, units, **kwargs):
            kwargs.pop("layer", None)
            super().__init__(layers.Dense(units, activation="tanh", dtype=kwargs.get("dtype")), **kwargs)

        def get_config(self):
            config = super().get_config()
            del config["layer"]
            return config | {"units": self.layer.units}

        from_config = classmethod(lambda cls, config: cls(**config))

    check_layer(Each, {"units": U}, (T, D), setup=_randomize)
    check_layer(Each, {"units": U}, (T, D), setup=_randomize, mask=MASK, output_mask=MASK)


@pytest.mark.parametrize("make", [
    lambda: layers.Conv2D(4, 3, padding="same"), lambda: layers.Flatten(), lambda: layers.Dropout(0.5),
    lambda: layers.LSTM(U, return_sequences=True), lambda: layers.TimeDistributed(layers.Dense(3)),
    lambda: layers.GlobalAveragePooling2D(),
])
def test_time_distributed_is_the_layer_at_every_step(make):
    layer = layers.TimeDistributed(make())
    sequences = isinstance(layer.layer, (layers.LSTM, layers.TimeDistributed))
    shape = (N, T, 6, 2) if sequences else (N, T, 6, 5, 2)
    x = _data(*shape)
    y = layer(x)
    for t in range(T):
        np.testing.assert_allclose(y.numpy()[:, t], layer.layer(x[:, t]).numpy(), rtol=1e-5, atol=1e-6)
    assert layer(keras.KerasTensor((None, *shape[1:]))).shape == (None, *y.shape[1:])
    assert layer.compute_output_shape((None, None, *shape[2:])) == (None, None, *y.shape[2:])
    clone = layers.deserialize(layers.serialize(layer))
    clone(x)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x).numpy(), y.numpy())


def test_time_distributed_training_passes_through():
    layer = layers.TimeDistributed(layers.Dropout(0.5, seed=1))
    x = np.ones((N, T, 50), "float32")
    np.testing.assert_array_equal(layer(x).numpy(), x)
    assert 0.2 < (layer(x, training=True).numpy() == 0).mean() < 0.8


def test_time_distributed_masks():
    mask = np.ones((N, T, 6), bool)
    mask[0, 1] = False
    mask[:, :, 4:] = False
    x = tensor_here(_data(N, T, 6, D))
    x._keras_mask = tensor_here(mask)
    inner = layers.GRU(U)
    y = layers.TimeDistributed(inner)(x)
    np.testing.assert_array_equal(y._keras_mask.numpy(), mask.any(-1))
    np.testing.assert_allclose(y.numpy()[:, 2], inner(x.numpy()[:, 2], mask=mask[:, 2]).numpy(), rtol=1e-6)
    sequences = layers.TimeDistributed(layers.GRU(U, return_sequences=True))(x)
    np.testing.assert_array_equal(sequences._keras_mask.numpy(), mask)
    ids = np.array([[[1, 2, 0], [0, 0, 0]]])
    embedded = layers.TimeDistributed(layers.Embedding(5, 2, mask_zero=True))(ids)
    np.testing.assert_array_equal(embedded._keras_mask.numpy(), ids > 0)
    with pytest.raises(ValueError, match="the mask must begin with the batch and step axes"):
        layers.TimeDistributed(layers.Dense(2))(_data(), mask=MASK[:, :2])


def test_wrappers_wrap_layers():
    with pytest.raises(ValueError, match="TimeDistributed wraps a layer, came 3"):
        layers.TimeDistributed(3)
    with pytest.raises(ValueError, match="at least 3 axes"):
        layers.TimeDistributed(layers.Dense(2))(_data(N, D))
    wrapper = layers.Wrapper(layers.Dense(2))
    wrapper.build((None, 3))
    assert wrapper.layer.built
    assert layers.Wrapper.from_config(wrapper.get_config()).get_config() == wrapper.get_config()


def test_first_weights_of_the_layer_inside():
    kernel, bias = _data(D, 3), _data(3)
    layer = layers.TimeDistributed(layers.Dense(3, weights=[kernel, bias]))
    np.testing.assert_allclose(layer(_data()).numpy(), _data() @ kernel + bias, rtol=1e-5, atol=1e-6)


# ---- real Keras ----------------------------------------------------------------------------------------
@pytest.mark.parity
@pytest.mark.parametrize("cls, mode, kwargs, mask", [
    ("LSTM", "concat", {"return_sequences": True}, MASK),
    ("LSTM", "concat", {}, None),
    ("GRU", "mul", {"return_state": True}, MASK),
    ("GRU", None, {"return_sequences": True, "return_state": True}, None),
    ("SimpleRNN", "ave", {"return_sequences": True}, MASK),
])
def test_bidirectional_parity(real_keras, cls, mode, kwargs, mask):
    x = _data()
    theirs = real_keras.layers.Bidirectional(getattr(real_keras.layers, cls)(U, **kwargs), merge_mode=mode)
    ours = layers.Bidirectional(getattr(layers, cls)(U, **kwargs), merge_mode=mode)
    theirs(x)
    ours(x)
    _randomize(ours)
    theirs.set_weights(ours.get_weights())
    found, expected = ours(x, mask=mask), theirs(x, mask=mask)
    found = list(found) if isinstance(found, tuple) else [found]
    expected = list(expected) if isinstance(expected, (list, tuple)) else [expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), np.asarray(b), rtol=1e-5, atol=1e-5)
    paths = [[v.path.split("/", 1)[1].split("_", 1)[0] for v in layer.weights] for layer in (ours, theirs)]
    assert paths[0] == paths[1]
    # Keras reads what we write.
    text = ours.get_config()
    text.pop("name")
    again = real_keras.layers.Bidirectional.from_config(text)
    again(x)
    again.set_weights(ours.get_weights())
    y = again(x, mask=mask)
    np.testing.assert_allclose(np.asarray(y[0] if isinstance(y, (list, tuple)) else y), found[0].numpy(),
                               rtol=1e-5, atol=1e-5)


def test_gradient_through_both_directions():
    layer = layers.Bidirectional(layers.LSTM(U, return_sequences=True))
    x = tensor_here(_data())
    with autograd.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
    grads = tape.gradient(y, [x, *layer.trainable_weights])
    assert all(g is not None and np.abs(g.numpy()).max() > 0 for g in grads)
