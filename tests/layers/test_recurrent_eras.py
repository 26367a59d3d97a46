"""Recurrent layers of other eras: CuDNN layers, bases before there were cells, peepholes, old keywords."""

import numpy as np
import pytest
from support.checks import tensor_here
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import activations, autograd, compat, layers, ops, tree
from gpukeras.layers import recurrent_cudnn

N, T, D, U = 3, 4, 2, 5


def wave(first, *shape):
    return np.sin(first + np.arange(np.prod(shape))).reshape(shape).astype("float32")


def _data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape or (N, T, D)).astype("float32")


def _randomize(layer):
    rng = np.random.default_rng(1)
    layer.set_weights([0.6 * rng.standard_normal(w.shape) for w in layer.weights])


# ---- CuDNN layers --------------------------------------------------------------------------------------
# Of Keras 2.2.4: these weights converted by it, then its GRU(reset_after=True) and LSTM with sigmoid gates.
KERAS_224 = {
    "CuDNNGRU": [[0.533482, 0.571853], [0.563548, 0.856132]],
    "CuDNNLSTM": [[0.319982, 0.015055], [0.100208, 0.137161]],
}
PLAIN = {"CuDNNGRU": layers.GRU, "CuDNNLSTM": layers.LSTM}
cudnn = pytest.mark.parametrize("name", PLAIN)


@cudnn
def test_cudnn_weights_mean_what_they_did(name):
    gates = 3 if name == "CuDNNGRU" else 4
    x, weights = wave(0, 2, 3, 3), [wave(1, 3, gates * 2), wave(2, 2, gates * 2), wave(3, 4 * gates)]
    layer, plain = getattr(layers, name)(2), PLAIN[name](2)
    for one, values in ((layer, weights), (plain, recurrent_cudnn.plain_weights(weights))):
        one(x)
        one.set_weights(values)
        np.testing.assert_allclose(one(x).numpy(), KERAS_224[name], rtol=1e-5, atol=1e-6)
    again = recurrent_cudnn.plain_weights(recurrent_cudnn.cudnn_weights(plain.get_weights()))
    for a, b in zip(again, plain.get_weights()):
        np.testing.assert_array_equal(a, b)


@cudnn
@pytest.mark.parametrize("kwargs", [
    {"return_sequences": True, "kernel_regularizer": "l2"}, {"return_state": True, "unroll": True},
])
def test_cudnn_contract(name, kwargs):
    layer = check_layer(getattr(layers, name), {"units": U, **kwargs}, (T, D), setup=_randomize, rtol=1e-4,
                        atol=1e-5)
    assert [w.name for w in layer.weights] == ["kernel", "recurrent_kernel", "bias"]
    assert not {"activation", "dropout", "reset_after", "implementation"} & set(layer.get_config())


def test_cudnn_first_bias():
    layer = layers.CuDNNLSTM(2)
    layer.build((None, T, D))
    np.testing.assert_array_equal(layer.weights[2].numpy(), [0] * 10 + [1] * 2 + [0] * 4)
    with pytest.raises(TypeError, match="activation"):
        layers.CuDNNGRU(2, activation="relu")
    with pytest.raises(ValueError, match="weights of a CuDNN layer"):
        recurrent_cudnn.plain_weights([np.ones((3, 8)), np.ones((2, 8)), np.ones(8)])


# ---- before there were cells -----------------------------------------------------------------------------
class Leaky(layers.Recurrent):
    """Two states and a constant, in the style of Keras 1."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.states = [None, None]

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[-1], self.units),
                                      initializer="glorot_uniform")

    def get_constants(self, inputs, training=None):
        return [ops.cast(2.0, inputs.dtype)]

    def preprocess_input(self, inputs, training=None):
        return ops.matmul(inputs, self.kernel)

    def step(self, inputs, states):
        h, count, factor = states
        h = 0.5 * h + factor * inputs
        return h, [h, count + 1.0]

    def get_config(self):
        return super().get_config() | {"units": self.units}


def test_recurrent_base():
    x = _data()
    mask = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [0, 1, 1, 0]], bool)
    layer = Leaky(U, return_sequences=True, return_state=True)
    y, h, count = layer(x, mask=mask)
    kernel, state, last = layer.kernel.numpy(), np.zeros((N, U)), np.zeros((N, U))
    for t in range(T):
        state = np.where(mask[:, t, None], 0.5 * state + 2 * x[:, t] @ kernel, state)
        last = np.where(mask[:, t, None], state, last)
        np.testing.assert_allclose(y.numpy()[:, t], last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h.numpy(), state, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(count.numpy()[:, 0], mask.sum(axis=1))
    symbolic = layer(keras.Input((T, D)))
    assert [s.shape for s in symbolic] == [(None, T, U), (None, U), (None, U)]
    check_layer(Leaky, {"units": U}, (T, D), custom_objects={"Leaky": Leaky})


def test_recurrent_base_keeps_states():
    x = _data()
    whole = Leaky(U)
    expected = whole(x).numpy()
    layer = Leaky(U, stateful=True)
    layer(x)
    layer.set_weights(whole.get_weights())
    assert len(layer.weights) == 1  # kept states are none
    for _ in range(2):
        layer.reset_states()
        layer(x[:, :2])
        np.testing.assert_allclose(layer(x[:, 2:]).numpy(), expected, rtol=1e-5, atol=1e-6)
    layer.reset_states([np.ones((N, U)), np.zeros((N, U))])
    np.testing.assert_allclose(layer(x).numpy(), expected + 0.5**T, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(whole([x, np.ones((N, U), "float32"), np.zeros((N, U), "float32")]).numpy(),
                               expected + 0.5**T, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="has 2 states, 1 were given"):
        layer.reset_states([np.ones((N, U))])
    with pytest.raises(ValueError, match="has 2 states, 1 initial states"):
        whole(x, initial_state=np.ones((N, U), "float32"))
    with pytest.raises(AttributeError, match="stateful=False"):
        whole.reset_states()
    with pytest.raises(NotImplementedError, match=r"no step\(\) method"):
        bare = layers.Recurrent()
        bare.units = 2
        bare(x)


class Fading(layers.ConvRecurrent2D):
    def step(self, inputs, states):
        h = 0.5 * states[0] + ops.conv(inputs, ops.ones((2, 2, 1, 3)), data_format=self.data_format)
        return h, [h]


def test_convolutional_recurrent_base():
    layer = Fading(3, 2, return_sequences=True, return_state=True)
    y, h = layer(np.ones((2, 3, 4, 5, 1), "float32"))
    assert (y.shape, h.shape) == ((2, 3, 3, 4, 3), (2, 3, 4, 3))
    np.testing.assert_allclose(y.numpy()[0, :, 0, 0, 0], [4, 6, 7])
    assert Fading.from_config(layer.get_config()).compute_output_shape((None, 3, 4, 5, 1)) == (
        (None, 3, 3, 4, 3), (None, 3, 4, 3))


# ---- cells ---------------------------------------------------------------------------------------------
def _peephole(x, units, kernel, recurrent, bias, p_i, p_f, p_o):
    def gate(a):
        return np.clip(0.2 * a + 0.5, 0, 1)

    h = c = np.zeros((len(x), units))
    for t in range(x.shape[1]):
        z = x[:, t] @ kernel + h @ recurrent + bias
        i, f, g, o = (z[:, k * units:(k + 1) * units] for k in range(4))
        c = gate(f + c * p_f) * c + gate(i + c * p_i) * np.tanh(g)
        h = gate(o + c * p_o) * np.tanh(c)
    return h


def test_peephole_cell():
    layer = layers.RNN(keras.experimental.PeepholeLSTMCell(U), return_state=True)
    x = _data()
    layer(x)
    _randomize(layer)
    assert [w.name for w in layer.weights][3:] == [
        f"{gate}_gate_peephole_weights" for gate in ("input", "forget", "output")
    ]
    expected = _peephole(x, U, *layer.get_weights())
    np.testing.assert_allclose(layer(x)[0].numpy(), expected, rtol=1e-4, atol=1e-5)
    clone = layers.RNN.from_config(layer.get_config())
    clone(x)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x)[0].numpy(), layer(x)[0].numpy())
    assert layer.cell.get_config()["recurrent_activation"] == "hard_sigmoid"


def test_abstract_cell():
    class Cell(layers.AbstractRNNCell):
        state_size = [3, (2, 2)]
        output_size = 4

        def call(self, inputs, states):
            a, b = states
            b = b + ops.reshape(inputs, (-1, 2, 2))
            return ops.reshape(b, (-1, 4)) + a[:, :1], [a + 1.0, b]

    layer = layers.RNN(Cell(), return_state=True)
    y, a, b = layer(np.ones((2, 3, 4), "float32"))
    np.testing.assert_array_equal(y.numpy(), np.full((2, 4), 5.0))
    assert (a.shape, b.shape) == ((2, 3), (2, 2, 2))
    symbolic = layer(keras.Input((3, 4)))
    assert [s.shape for s in symbolic] == [(None, 4), (None, 3), (None, 2, 2)]
    assert [s.shape for s in Cell().get_initial_state(tensor_here(np.ones((5, 4))))] == [(5, 3), (5, 2, 2)]
    bare = layers.AbstractRNNCell()
    with pytest.raises(NotImplementedError, match="no state_size"):
        _ = bare.state_size
    with pytest.raises(NotImplementedError, match="no call"):
        bare(1.0, [])


def test_states_of_a_stack_in_the_old_order():
    x = _data()
    cells = [layers.LSTMCell(U), layers.GRUCell(2)]
    plain = layers.RNN(layers.StackedRNNCells(cells), return_state=True)
    y, h, c, last = tree.flatten(plain(x))
    old = layers.RNN(layers.StackedRNNCells(cells, reverse_state_order=True), return_state=True)
    for a, b in zip(tree.flatten(old(x)), (y, last, h, c), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert old.cell.state_size == [2, [U, U]]
    assert old.cell.get_config()["reverse_state_order"] is True


class Shifted(layers.Layer):
    """A cell with a constant."""

    state_size = output_size = U

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], U), name="kernel")

    def call(self, inputs, states, constants=None, training=False):
        h = 0.5 * states[0] + ops.matmul(inputs, self.kernel) + constants[0]
        return h, [h]


def test_constants_reach_the_cells_that_take_them():
    x, shift = _data(), _data(N, U, seed=1)
    layer = layers.RNN([layers.GRUCell(3), Shifted()])
    first = layers.RNN(layer.cell.cells[0], return_sequences=True)
    inner = layers.RNN(layer.cell.cells[1])
    y = layer(x, constants=[shift])
    np.testing.assert_allclose(y.numpy(), inner(first(x), constants=[shift]).numpy(), rtol=1e-5, atol=1e-6)
    states = [_data(N, n, seed=n) for n in (3, U)]
    np.testing.assert_array_equal(layer([x, *states, shift]).numpy(),
                                  layer(x, initial_state=states, constants=[shift]).numpy())
    both = layers.Bidirectional(layers.RNN(Shifted()))
    given = both(x, constants=[shift])
    np.testing.assert_array_equal(
        given.numpy()[:, :U], both.forward_layer(x, constants=[shift]).numpy())
    np.testing.assert_array_equal(
        given.numpy()[:, U:], both.backward_layer(x, constants=[shift]).numpy())
    starts = [_data(N, U, seed=k) for k in (2, 3)]
    np.testing.assert_array_equal(both([x, *starts, shift]).numpy(),
                                  both(x, initial_state=starts, constants=[shift]).numpy())


def test_masks_as_tf_keras_hands_them_out():
    cell, x = layers.LSTMCell(U, dropout=0.5, recurrent_dropout=0.5, seed=1), tensor_here(_data(N, D))
    masks = cell.get_dropout_mask_for_cell(x, training=True, count=4)
    assert [m.shape for m in masks] == [(N, D)] * 4
    assert set(np.unique(np.stack([m.numpy() for m in masks]))) == {0.0, 2.0}
    again = cell.get_dropout_mask_for_cell(x, training=True, count=4)
    np.testing.assert_array_equal(again[0].numpy(), masks[0].numpy())
    np.testing.assert_array_equal(cell.get_recurrent_dropout_mask_for_cell(x, training=False).numpy(), 1.0)
    assert layers.GRU(U).get_dropout_mask_for_cell(x, training=True) is None
    layer = layers.GRU(U, dropout=0.5)
    first = layer.get_dropout_mask_for_cell(x, training=True)
    layer.reset_dropout_mask()
    layer.reset_recurrent_dropout_mask()
    assert first.shape == (N, D) and layer.cell._dropout_mask is None


def test_initial_states_as_both_eras_ask_for_them():
    cell, x = layers.LSTMCell(U), tensor_here(_data(N, D))
    for found in (cell.get_initial_state(N), cell.get_initial_state(inputs=x), cell.get_initial_state(x)):
        assert [s.shape for s in found] == [(N, U)] * 2
    assert cell.get_initial_state(batch_size=2, dtype="float64")[0].dtype == "float64"


def test_masked_steps_both_ways():
    """Standalone Keras 2 repeated outputs, later ones put zeros there."""
    x, mask = _data(), np.array([[1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1]], bool)
    found = {}
    for era in ("keras2", "tfkeras2"):
        with compat.era_scope(era):
            layer = layers.Bidirectional(layers.SimpleRNN(U, return_sequences=True))
        layer(x)
        _randomize(layer)
        found[era] = layer(x, mask=mask).numpy()
    np.testing.assert_array_equal(found["tfkeras2"][~mask], 0.0)
    np.testing.assert_array_equal(found["keras2"][0, 2, :U], found["keras2"][0, 1, :U])
    np.testing.assert_array_equal(found["keras2"][0, 2, U:], found["keras2"][0, 3, U:])
    np.testing.assert_array_equal(found["keras2"][mask], found["tfkeras2"][mask])


# ---- keywords of Keras 1 ---------------------------------------------------------------------------------
def test_old_keywords():
    layer = layers.GRU(output_dim=U, init="zeros", inner_init="ones", inner_activation="hard_sigmoid",
                       W_regularizer="l2", U_regularizer="l1", b_regularizer="l2", dropout_W=0.1,
                       dropout_U=0.2, consume_less="gpu", input_dim=D, input_length=T)
    assert (layer.units, layer.cell.dropout, layer.cell.recurrent_dropout) == (U, 0.1, 0.2)
    assert layers.LSTM(output_dim=U, consume_less="cpu").implementation == 1
    assert layers.SimpleRNN(U, implementation=2).implementation == 2
    layer = layers.ConvLSTM2D(nb_filter=2, nb_row=3, nb_col=2, border_mode="same", subsample=(1, 2),
                              dim_ordering="th", bias=False)
    assert (layer.kernel_size, layer.padding, layer.strides) == ((3, 2), "same", (1, 2))
    assert (layer.data_format, layer.use_bias) == ("channels_first", False)
    with compat.era_scope("keras2"):
        assert layers.LSTM(output_dim=U, inner_activation="tanh").recurrent_activation is activations.tanh
    with pytest.raises(NotImplementedError, match="return_runtime"):
        layers.LSTM(U, return_runtime=True)
    with pytest.raises(ValueError, match="implementation must be 0, 1 or 2"):
        layers.LSTM(U, implementation=3)


def test_gradients_of_legacy_layers():
    for layer in (layers.MaxoutDense(3), layers.Highway(activation="tanh", transform_bias=-2)):
        x = tensor_here(_data(N, 3).astype("float64"))
        with autograd.GradientTape() as tape:
            tape.watch(x)
            y = ops.sum(layer(x) ** 2)
        assert all(g is not None for g in tape.gradient(y, [x, *layer.weights]))
    np.testing.assert_array_equal(layer.b_carry.numpy(), [-2.0] * 3)
