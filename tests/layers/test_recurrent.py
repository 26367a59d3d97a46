"""SimpleRNN, GRU, LSTM, RNN and cells: contract, single steps against fused ones, states, masks, dropout."""

import numpy as np
import pytest
from support.checks import tensor_here
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import autograd, compat, layers, ops
from gpukeras.layers import recurrent_fused

N, T, D, U = 3, 4, 2, 5
FUSED = {"SimpleRNN": layers.SimpleRNN, "GRU": layers.GRU, "LSTM": layers.LSTM}
CELLS = {"SimpleRNN": layers.SimpleRNNCell, "GRU": layers.GRUCell, "LSTM": layers.LSTMCell}
each = pytest.mark.parametrize("name", FUSED)
MASK = np.array([[1, 1, 1, 1], [0, 1, 1, 0], [1, 0, 0, 1]], bool)
GAPS = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 0, 0, 1]], bool)


def _data(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape or (N, T, D))


def _randomize(layer, seed=1):
    """Weights that are neither zero nor near the start of training."""
    rng = np.random.default_rng(seed)
    layer.set_weights([0.6 * rng.standard_normal(w.shape) for w in layer.weights])


def _twin(layer, x, **changes):
    """A layer like ``layer`` but for ``changes``, with its weights."""
    other = type(layer).from_config(layer.get_config() | changes)
    other.build(x.shape)
    other.set_weights(layer.get_weights())
    return other


# ---- the contract of every layer -------------------------------------------------------------------
@each
@pytest.mark.parametrize("kwargs", [
    {},
    {"return_sequences": True, "go_backwards": True},
    {"return_state": True, "use_bias": False},
    {"return_sequences": True, "return_state": True, "activation": "relu", "unroll": True},
    {"activation": "gelu", "kernel_regularizer": "l2", "recurrent_constraint": "unit_norm", "seed": 3},
])
def test_contract(backend, name, kwargs):
    check_layer(FUSED[name], {"units": U, **kwargs}, (T, D), setup=_randomize, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kwargs", [
    {"reset_after": False}, {"recurrent_activation": "hard_sigmoid"}, {"reset_after": False, "unroll": True},
])
def test_gru_variants(backend, kwargs):
    check_layer(layers.GRU, {"units": U, **kwargs}, (T, D), setup=_randomize, rtol=1e-4, atol=1e-5)


def test_lstm_variants(backend):
    check_layer(layers.LSTM, {"units": U, "unit_forget_bias": False, "recurrent_activation": "hard_sigmoid"},
                (T, D), setup=_randomize)


@each
def test_masks(backend, name):
    check_layer(FUSED[name], {"units": U, "return_sequences": True}, (T, D), mask=MASK, output_mask=MASK,
                setup=_randomize)
    check_layer(FUSED[name], {"units": U}, (T, D), mask=MASK, output_mask=None, setup=_randomize)


@pytest.mark.parametrize("cell", CELLS)
def test_rnn_around_a_cell(backend, cell):
    layer = layers.RNN(CELLS[cell](U), return_sequences=True, return_state=True)
    x = _data().astype("float32")
    y, *states = layer(x)
    fused = FUSED[cell](U, return_sequences=True, return_state=True)
    fused(x)
    fused.set_weights(layer.get_weights())
    for a, b in zip((y, *states), fused(x)):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)
    clone = layers.RNN.from_config(layer.get_config())
    clone(x)
    clone.set_weights(layer.get_weights())
    np.testing.assert_array_equal(clone(x)[0].numpy(), y.numpy())


# ---- single steps and fused steps agree ----------------------------------------------------------------
def _results(layer, x, mask=None, training=None, **kwargs):
    """Outputs and gradients of everything, as NumPy arrays."""
    x = tensor_here(x.copy())
    starts = [tensor_here(s.copy()) for s in kwargs.pop("initial_state", [])]
    if starts:
        kwargs["initial_state"] = starts
    with autograd.GradientTape() as tape:
        tape.watch([x, *starts])
        outputs = layer(x, mask=mask, training=training, **kwargs)
        outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    rng = np.random.default_rng(5)
    seeds = [tensor_here(rng.standard_normal(y.shape).astype(y.dtype)) for y in outputs]
    grads = tape.gradient(outputs, [x, *starts, *layer.trainable_weights], seeds)
    return [t.numpy() for t in (*outputs, *grads)]


@each
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
@pytest.mark.parametrize("kwargs", [
    {"return_sequences": True, "return_state": True}, {"go_backwards": True},
    {"return_sequences": True, "zero_output_for_mask": True}, {"use_bias": False, "return_state": True},
])
def test_unrolled_equals_fused(name, mask, kwargs):
    layer = FUSED[name](U, dtype="float64", **kwargs)
    x = _data()
    layer(x)
    _randomize(layer)
    states = [_data(N, U, seed=k + 7) for k in range(len(layer.state_size))]
    for more in ({}, {"initial_state": states}):
        fused = _results(layer, x, mask, **more)
        for a, b in zip(fused, _results(_twin(layer, x, unroll=True), x, mask, **more)):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


@each
@pytest.mark.parametrize("activation", recurrent_fused.fused.ACTIVATIONS)
def test_activation_names_mean_the_same_in_both_ways(name, activation):
    if activation == "hard_sigmoid_keras2":
        with compat.era_scope("keras2"):
            _check_both_ways(name, "hard_sigmoid", activation)
    else:
        _check_both_ways(name, activation, activation)


def _check_both_ways(name, activation, fused):
    layer = FUSED[name](U, activation=activation, dtype="float64")
    x = 0.3 * _data()
    layer.build(x.shape)
    _randomize(layer)
    layer.set_weights([0.3 * w for w in layer.get_weights()])  # exponential explodes otherwise
    assert layer._settings()["activation"] == fused
    for a, b in zip(_results(layer, x), _results(_twin(layer, x, unroll=True), x)):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@each
def test_any_activation_runs_step_by_step(name):
    def cube(x):
        return x * x * x

    layer = FUSED[name](U, activation=cube)
    assert layer._settings() is None
    y = layer(_data().astype("float32"))
    assert y.shape == (N, U)
    assert np.isfinite(y.numpy()).all()


@each
def test_no_activation_is_linear(name):
    x = _data().astype("float32")
    layer = FUSED[name](U, activation=None)
    layer(x)
    np.testing.assert_array_equal(layer(x).numpy(), _twin(layer, x, activation="linear")(x).numpy())
    steps = _twin(layer, x, unroll=True)
    np.testing.assert_allclose(steps(x).numpy(), layer(x).numpy(), rtol=1e-5, atol=1e-6)


def test_activation_objects_run_step_by_step():
    class Double:
        __hash__ = None

        def __call__(self, x):
            return 2.0 * x

    assert layers.LSTM(U, activation=Double())(_data()).shape == (N, U)


@each
def test_second_order_by_unrolling(name):
    x = tensor_here(_data())
    layer = FUSED[name](U, unroll=True, dtype="float64")
    with autograd.GradientTape() as outer:
        outer.watch(x)
        with autograd.GradientTape() as inner:
            inner.watch(x)
            y = ops.sum(layer(x) ** 2)
        dx = inner.gradient(y, x)
    second = outer.gradient(dx, x).numpy()
    way = _data(seed=9)
    ends = []
    for step in (1e-5, -1e-5):
        moved = tensor_here(x.numpy() + step * way)
        with autograd.GradientTape() as tape:
            tape.watch(moved)
            y = ops.sum(layer(moved) ** 2)
        ends.append(tape.gradient(y, moved).numpy().sum())
    np.testing.assert_allclose(np.vdot(second, way), (ends[0] - ends[1]) / 2e-5, rtol=1e-6)


# ---- dropout ---------------------------------------------------------------------------------------------
@each
@pytest.mark.parametrize("kwargs", [
    {"dropout": 0.5}, {"recurrent_dropout": 0.4}, {"dropout": 0.3, "recurrent_dropout": 0.3},
    {"dropout": 0.5, "implementation": 1},
])
def test_dropout_fused_equals_single_steps(name, kwargs):
    """The same seed gives the same masks, one per gate where Keras draws one per gate."""
    _check_dropout(name, kwargs)


def test_dropout_of_a_gru_that_resets_before():
    _check_dropout("GRU", {"dropout": 0.3, "recurrent_dropout": 0.3, "reset_after": False})


def _check_dropout(name, kwargs):
    layer = FUSED[name](U, seed=11, dtype="float64", return_sequences=True, **kwargs)
    x = _data()
    layer(x)
    _randomize(layer)
    twin = _twin(layer, x, unroll=True)
    for a, b in zip(_results(layer, x, MASK, True), _results(twin, x, MASK, True)):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)
    plain = layer(x, training=False).numpy()
    first, second = (layer(x, training=True).numpy() for _ in range(2))
    assert np.abs(first - plain).max() > 1e-3
    assert np.abs(first - second).max() > 1e-3  # a new mask for every call
    np.testing.assert_array_equal(layer(x).numpy(), plain)


def test_dropout_mask_is_the_same_at_every_step():
    layer = layers.SimpleRNN(
        1, activation="linear", dropout=0.5, seed=2, return_sequences=True, use_bias=False
    )
    x = np.ones((1, 6, 8), "float32")
    layer(x)
    layer.set_weights([np.eye(8, 1, dtype="float32") + 0.5, np.zeros((1, 1), "float32")])
    y = layer(x, training=True).numpy()
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))


def test_mask_counts_follow_the_implementation():
    assert layers.LSTM(U).cell.dropout_mask_count is None
    assert layers.LSTM(U, recurrent_dropout=0.1).cell.dropout_mask_count == 4
    assert layers.GRU(U, implementation=1).cell.dropout_mask_count == 3
    assert layers.SimpleRNN(U, recurrent_dropout=0.1).cell.dropout_mask_count is None


# ---- states ------------------------------------------------------------------------------------------------
@each
def test_initial_state_by_keyword_and_in_the_list(name):
    x = _data().astype("float32")
    layer = FUSED[name](U)
    states = [_data(N, U, seed=k).astype("float32") for k in range(len(layer.state_size))]
    a = layer(x, initial_state=states if len(states) > 1 else states[0])
    b = layer([x, *states])
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert np.abs(a.numpy() - layer(x).numpy()).max() > 1e-3
    count = len(states)
    with pytest.raises(ValueError, match=f"{count} states, {count + 1} initial states were given"):
        layer(x, initial_state=[*states, states[0]])
    with pytest.raises(ValueError, match="give them once"):
        layer([x, *states], initial_state=states)


@each
def test_stateful_continues_where_it_ended(name):
    x = _data(N, 6, D).astype("float32")
    whole = FUSED[name](U, return_state=True)
    expected = [t.numpy() for t in whole(x)]
    layer = FUSED[name](U, stateful=True, return_state=True)
    layer(x[:, :2])
    layer.set_weights(whole.get_weights())
    assert len(layer.weights) == 3  # kept states are no weights
    layer.reset_states()
    for part in (x[:, :2], x[:, 2:3], x[:, 3:]):
        found = layer(part)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)
    for a, b in zip(layer.states, expected[1:]):
        np.testing.assert_allclose(a.numpy(), b, rtol=1e-5, atol=1e-6)
    layer.reset_states([np.zeros((N, U))] * len(layer.state_size))
    np.testing.assert_allclose(layer(x)[0].numpy(), expected[0], rtol=1e-5, atol=1e-6)


@each
@pytest.mark.parametrize("unroll", [False, True])
def test_gradients_of_a_stateful_layer(name, unroll):
    """The kept states change before the tape is read; the gradient is that of the states before."""
    x = _data()
    layer = FUSED[name](U, stateful=True, dtype="float64", unroll=unroll)
    layer(x)
    states = [s.numpy() for s in layer.states]
    found = _results(layer, x)
    plain = _twin(layer, x, stateful=False)
    expected = _results(plain, x, initial_state=states)
    del expected[2:2 + len(states)]  # gradients of the states, which are constants here
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11)


def test_stateful_needs_a_batch_size():
    layer = layers.LSTM(U, stateful=True)
    with pytest.raises(ValueError, match="stateful=True needs a fixed batch size"):
        layer(keras.KerasTensor((None, T, D)))
    layer = layers.LSTM(U, stateful=True)
    layer(_data())
    with pytest.raises(ValueError, match="keeps the states of 3 samples, came a batch of 2"):
        layer(_data(2, T, D))


def test_reset_state_says_what_is_wrong():
    with pytest.raises(AttributeError, match="stateful=False"):
        layers.LSTM(U).reset_state()
    layer = layers.LSTM(U, stateful=True)
    layer.reset_state()
    with pytest.raises(ValueError, match="not built"):
        layer.reset_state([np.zeros((N, U))] * 2)
    layer(_data())
    with pytest.raises(ValueError, match="2 states, 1 were given"):
        layer.reset_state([np.zeros((N, U))])


def test_symbolic_states_from_another_layer():
    """The encoder-decoder: states of one LSTM start another."""
    source, target = keras.KerasTensor((None, T, D)), keras.KerasTensor((None, 6, 3))
    encoder, decoder = layers.LSTM(U, return_state=True), layers.LSTM(U, return_sequences=True)
    _, h, c = encoder(source)
    y = decoder(target, initial_state=[h, c])
    assert y.shape == (None, 6, U)
    again = layers.LSTM(U)([target, h, c])
    assert again.shape == (None, U)
    node = y.history[0]
    assert [t is s for t, s in zip(node.inputs, (target, h, c))] == [True] * 3


def test_time_major():
    x = _data().astype("float32")
    layer = layers.GRU(U, return_sequences=True)
    expected = layer(x).numpy()
    other = _twin(layer, x, time_major=True)
    np.testing.assert_allclose(other(x.swapaxes(0, 1)).numpy().swapaxes(0, 1), expected, rtol=1e-6)
    assert other.compute_output_shape((T, N, D)) == (T, N, U)
    assert other.get_config()["time_major"] is True


# ---- cells -------------------------------------------------------------------------------------------
class Leaky(layers.Layer):
    """A custom cell: its output is not its state."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units
        self.output_size = 2 * units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), name="kernel")

    def call(self, inputs, states, training=False):
        h = 0.5 * states[0] + ops.matmul(inputs, self.kernel)
        if training:
            h = h + 1.0
        return ops.concatenate([h, -h], axis=-1), [h]

    def get_config(self):
        return super().get_config() | {"units": self.units}


def test_custom_cell_layer():
    x = _data().astype("float32")
    layer = layers.RNN(Leaky(U), return_sequences=True, return_state=True)
    y, h = layer(x, mask=MASK)
    assert (y.shape, h.shape) == ((N, T, 2 * U), (N, U))
    kernel = layer.cell.kernel.numpy()
    state, last = np.zeros((N, U)), np.zeros((N, 2 * U))
    for t in range(T):
        valid = MASK[:, t, None]
        new = 0.5 * state + x[:, t] @ kernel
        state, last = np.where(valid, new, state), np.where(valid, np.concatenate([new, -new], -1), last)
        np.testing.assert_allclose(y.numpy()[:, t], last, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h.numpy(), state, rtol=1e-5, atol=1e-6)
    assert np.abs(layer(x, training=True)[0].numpy() - layer(x)[0].numpy()).max() > 0.5
    assert layer(keras.KerasTensor((None, T, D)))[0].shape == (None, T, 2 * U)
    with keras.saving.custom_object_scope({"Leaky": Leaky}):
        clone = layers.RNN.from_config(layer.get_config())
    assert isinstance(clone.cell, Leaky)


def test_custom_cell_without_a_layer():
    class Sum:
        state_size = (2, 3)  # two states

        def call(self, inputs, states):
            a, b = states
            a, b = a + inputs[:, :2], b * 1.0 + 1.0
            return a, (a, b)

    x = _data().astype("float32")
    y, a, b = layers.RNN(Sum(), return_state=True)(x)
    np.testing.assert_allclose(y.numpy(), x.sum(1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(b.numpy(), np.full((N, 3), T))


def test_cell_of_keras_2_gets_its_arguments():
    class Old(layers.Layer):
        state_size = D

        def get_initial_state(self, inputs=None, batch_size=None, dtype=None):
            return ops.ones((batch_size, D), dtype=dtype)

        def call(self, inputs, states, constants=None):
            return states[0] + inputs * constants[0], [states[0] + inputs * constants[0]]

    x = _data().astype("float32")
    y = layers.RNN(Old())(x, constants=[np.full((1, D), 2.0, "float32")])
    np.testing.assert_allclose(y.numpy(), 1 + 2 * x.sum(1), rtol=1e-5, atol=1e-6)


def test_stacked_cells():
    x = _data().astype("float32")
    layer = layers.RNN([layers.LSTMCell(4), layers.GRUCell(3)], return_sequences=True, return_state=True)
    y, (h, c), (g,) = layer(x, mask=MASK)
    first = layers.LSTM(4, return_sequences=True, return_state=True)
    second = layers.GRU(3, return_sequences=True)
    inner = first(x, mask=MASK)
    second(inner[0], mask=MASK)
    weights = layer.get_weights()
    first.set_weights(weights[:3])
    second.set_weights(weights[3:])
    inner = first(x, mask=MASK)
    np.testing.assert_allclose(y.numpy(), second(inner[0], mask=MASK).numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(h.numpy(), inner[1].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(c.numpy(), inner[2].numpy(), rtol=1e-5, atol=1e-6)
    path = f"{layer.name}/{layer.cell.name}/{layer.cell.cells[0].name}"
    assert [v.path for v in layer.weights][:2] == [f"{path}/kernel", f"{path}/recurrent_kernel"]
    clone = layers.RNN.from_config(layer.get_config())
    clone(x)
    clone.set_weights(weights)
    np.testing.assert_array_equal(clone(x, mask=MASK)[0].numpy(), y.numpy())
    assert layer.compute_output_shape((None, T, D)) == ((None, T, 3), [(None, 4), (None, 4)], (None, 3))


def test_stacked_cells_with_dropout_and_state():
    layer = layers.RNN([layers.LSTMCell(4, dropout=0.5, seed=1), layers.SimpleRNNCell(3)], stateful=True)
    x = _data().astype("float32")
    assert np.abs(layer(x, training=True).numpy() - layer(x, training=True).numpy()).max() > 1e-4
    layer.reset_state()
    a = layer(x).numpy()
    assert np.abs(layer(x).numpy() - a).max() > 1e-4  # went on from the kept states
    layer.reset_state()
    np.testing.assert_array_equal(layer(x).numpy(), a)


# ---- weights, names, dtypes, errors -----------------------------------------------------------------
def test_weight_names_and_shapes():
    biases = {"SimpleRNN": (U,), "LSTM": (4 * U,), "GRU": (2, 3 * U)}
    for name, cls in FUSED.items():
        gates, bias = biases[name][-1] // U, biases[name]
        layer = cls(U, name="one")
        layer.build((None, T, D))
        cell = layer.cell.name
        assert [v.path for v in layer.weights] == [
            f"one/{cell}/kernel", f"one/{cell}/recurrent_kernel", f"one/{cell}/bias"
        ]
        assert [v.shape for v in layer.weights] == [(D, gates * U), (U, gates * U), bias]
    assert layers.LSTM(U).cell.name == "lstm_cell"


def test_forget_bias_starts_at_one():
    layer = layers.LSTM(2)
    layer.build((None, T, D))
    np.testing.assert_array_equal(layer.cell.bias.numpy(), [0, 0, 1, 1, 0, 0, 0, 0])


def test_frozen_layer_and_regularizers():
    layer = layers.LSTM(U, kernel_regularizer=keras.regularizers.L2(0.1), trainable=False)
    layer(_data())
    assert layer.trainable_weights == []
    layer.trainable = True
    (loss,) = layer.losses
    np.testing.assert_allclose(float(loss), 0.1 * (layer.cell.kernel.numpy() ** 2).sum(), rtol=1e-5)


@each
def test_mixed_precision(name):
    layer = FUSED[name](U, dtype="mixed_float16", return_sequences=True)
    x = _data().astype("float32")
    with autograd.GradientTape() as tape:
        y = layer(x)
    assert y.dtype == "float16"
    grads = tape.gradient(y, layer.trainable_weights)
    assert [g.dtype for g in grads] == ["float32"] * 3
    plain = _twin(layer, x, dtype="float32")
    np.testing.assert_allclose(y.numpy(), plain(x).numpy(), atol=5e-3)


@each
def test_attributes_of_the_cell_show_on_the_layer(name):
    layer = FUSED[name](U, dropout=0.1, kernel_initializer="he_normal", seed=4)
    assert (layer.units, layer.dropout, layer.seed) == (U, 0.1, 4)
    assert type(layer.kernel_initializer).__name__ == "HeNormal"
    assert layer.activation is keras.activations.tanh


def test_masks_of_higher_rank_count_where_any_element_does():
    x = _data().astype("float32")
    layer = layers.GRU(U, return_sequences=True)
    wide = np.stack([MASK, np.zeros_like(MASK)], axis=-1)
    np.testing.assert_array_equal(layer(x, mask=wide).numpy(), layer(x, mask=MASK).numpy())
    np.testing.assert_array_equal(layer.call(tensor_here(x), mask=MASK).numpy(), layer(x, mask=MASK).numpy())


def test_nested_states_may_be_given_flat():
    layer = layers.RNN([layers.LSTMCell(4), layers.LSTMCell(3)])
    x = _data().astype("float32")
    h, c, h2, c2 = (_data(N, n, seed=n + k).astype("float32") for n in (4, 3) for k in (0, 1))
    nested = layer(x, initial_state=[[h, c], [h2, c2]]).numpy()
    np.testing.assert_array_equal(layer([x, h, c, h2, c2]).numpy(), nested)


def test_initial_state_for_inputs_as_in_keras_2():
    states = layers.LSTM(U).get_initial_state(tensor_here(_data()))
    assert [s.shape for s in states] == [(N, U), (N, U)]


def test_wrong_arguments():
    with pytest.raises(ValueError, match="units must be a positive integer, came 0"):
        layers.LSTM(0)
    with pytest.raises(ValueError, match="use_cudnn must be 'auto', True or False"):
        layers.GRU(U, use_cudnn="yes")
    with pytest.raises(ValueError, match="the cell needs 'state_size'"):
        layers.RNN(layers.Layer())
    bad = layers.SimpleRNNCell(2)
    bad.state_size = "two"
    with pytest.raises(ValueError, match="must be an int or a list of ints, one per state, came 'two'"):
        layers.RNN(bad)
    with pytest.raises(ValueError, match="at least one"):
        layers.LSTM(U, unroll=True)(_data(N, 0, D))
    with pytest.raises(ValueError, match="unroll=True needs a known number of steps"):
        layers.LSTM(U, unroll=True).call(keras.KerasTensor((None, None, D)))
    with pytest.raises(ValueError, match="expected rank 3, came rank 2"):
        layers.LSTM(U)(_data(N, D))
    with pytest.raises(ValueError, match="every cell needs 'state_size'"):
        layers.StackedRNNCells([layers.Layer()])


# ---- real Keras --------------------------------------------------------------------------------------
CASES = {
    "plain": ({}, None),
    "padded, backwards": ({"return_sequences": True, "go_backwards": True}, MASK),
    "gaps": ({"return_sequences": True}, GAPS),
    "gaps, no bias": ({"use_bias": False, "activation": "relu"}, GAPS),
    "padded with zeros": ({"return_sequences": True, "zero_output_for_mask": True}, MASK),
}


@pytest.mark.parity
@each
@pytest.mark.parametrize("case", CASES)
def test_parity(real_keras, name, case):
    _compare(real_keras, name, *CASES[case])


@pytest.mark.parity
@pytest.mark.parametrize("name, kwargs", [
    ("GRU", {"reset_after": False}), ("GRU", {"recurrent_activation": "hard_sigmoid"}),
    ("LSTM", {"recurrent_activation": "hard_sigmoid"}), ("LSTM", {"unit_forget_bias": False}),
    ("LSTM", {"recurrent_activation": "relu6", "activation": "linear"}),
])
def test_parity_of_variants(real_keras, name, kwargs):
    _compare(real_keras, name, kwargs, GAPS)


def _compare(real_keras, name, kwargs, mask):
    """Compare outputs, states and gradients of everything."""
    import jax
    import jax.numpy as jnp

    theirs = getattr(real_keras.layers, name)(U, return_state=True, **kwargs)
    ours = FUSED[name](U, return_state=True, **kwargs)
    x = _data().astype("float32")
    theirs(x)
    ours(x)
    paths = [[v.path.split("/", 1)[1] for v in layer.weights] for layer in (ours, theirs)]
    assert paths[0] == paths[1]
    _randomize(ours)
    weights = [w.astype("float32") for w in ours.get_weights()]
    theirs.set_weights(weights)
    states = [_data(N, U, seed=k).astype("float32") for k in range(len(ours.state_size))]
    if mask is MASK:  # before the first valid step Keras on JAX puts out the initial state, others zeros
        states = [np.zeros_like(s) for s in states]
    rng = np.random.default_rng(5)
    shapes = [y.shape for y in ours(x)]
    seeds = [rng.standard_normal(s).astype("float32") for s in shapes]

    def total(x, states, weights):
        outputs, _ = theirs.stateless_call(weights, [v.value for v in theirs.non_trainable_variables], x,
                                           initial_state=list(states), mask=mask)
        return sum(jnp.vdot(s, y) for s, y in zip(seeds, outputs)), outputs

    (_, outputs), grads = jax.value_and_grad(total, argnums=(0, 1, 2), has_aux=True)(
        jnp.asarray(x), [jnp.asarray(s) for s in states], [jnp.asarray(w) for w in weights]
    )
    expected = [np.asarray(t) for t in (*outputs, *jax.tree_util.tree_leaves(grads))]
    found = _results_with(ours, x, states, mask, seeds)
    assert len(found) == len(expected)
    if mask is MASK:
        found, expected = [r[:len(seeds) + 1] + r[len(seeds) + 1 + len(states):] for r in (found, expected)]
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5 * max(1, np.abs(b).max()))


def _results_with(layer, x, states, mask, seeds):
    x, states = tensor_here(x), [tensor_here(s) for s in states]
    with autograd.GradientTape() as tape:
        tape.watch([x, *states])
        outputs = layer(x, initial_state=states, mask=mask)
    seeds = [tensor_here(s) for s in seeds]
    grads = tape.gradient(list(outputs), [x, *states, *layer.trainable_weights], seeds)
    return [t.numpy() for t in (*outputs, *grads)]
