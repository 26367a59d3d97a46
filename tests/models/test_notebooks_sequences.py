"""What course notebooks do, small: text, time series, sequence to sequence."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import ops
from gpukeras.callbacks import EarlyStopping
from gpukeras.layers import (
    GRU,
    LSTM,
    Bidirectional,
    Conv1D,
    Conv2D,
    Dense,
    Dropout,
    Embedding,
    Flatten,
    GlobalAveragePooling1D,
    GlobalMaxPooling1D,
    Input,
    Lambda,
    Layer,
    MaxPooling1D,
    MaxPooling2D,
    RepeatVector,
    TimeDistributed,
)
from gpukeras.models import Model, Sequential
from gpukeras.utils import pad_sequences, to_categorical

# Targets of shape (n,) beside outputs of shape (n, 1), as most notebooks have them, cause one warning.
pytestmark = pytest.mark.filterwarnings("ignore:y_true has shape")
rng = np.random.default_rng(3)


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(5)


def reviews(n=48, words=20, length=8):
    """Sentences of unequal lengths; positive ones hold word 5."""
    labels = rng.integers(0, 2, n)
    texts = []
    for label in labels:
        text = rng.integers(6, words, rng.integers(2, length + 1))
        if label:
            text[rng.integers(len(text))] = 5
        texts.append(text.tolist())
    return pad_sequences(texts, maxlen=length), labels


# ---- text ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("stack", [
    lambda: [Embedding(20, 8, input_length=8), GlobalAveragePooling1D(), Dense(8, activation="relu")],
    lambda: [Embedding(20, 8), Conv1D(8, 3, activation="relu"), MaxPooling1D(2),
             Conv1D(8, 2, activation="relu"), GlobalMaxPooling1D()],
    lambda: [Embedding(20, 8, mask_zero=True), Bidirectional(LSTM(6, return_sequences=True)),
             Bidirectional(GRU(4)), Dropout(0.1)],
    lambda: [Embedding(20, 8, input_length=8), Flatten()],
], ids=["average", "conv1d", "bidirectional", "flatten"])
def test_text_classifiers_learn(stack, capsys):
    x, y = reviews()
    model = Sequential()
    for layer in stack():
        model.add(layer)
    model.add(Dense(1, activation="sigmoid"))
    model.compile(loss="binary_crossentropy", optimizer=keras.optimizers.Adam(lr=0.03), metrics=["acc"])
    history = model.fit(x, y, epochs=12, batch_size=8, validation_split=0.25, verbose=0)
    assert {"loss", "acc", "val_loss", "val_acc"} == set(history.history)
    assert history.history["accuracy"][-1] > 0.8
    model.summary()
    assert "Total params" in capsys.readouterr().out
    assert model.predict(x[:1], verbose=0).shape == (1, 1)
    assert ((model.predict(x, verbose=0) > 0.5).astype("int32").ravel() == y).mean() > 0.6


def test_pretrained_embeddings():
    matrix = rng.normal(size=(20, 5))
    x, y = reviews()
    for layer in (Embedding(20, 5, weights=[matrix], input_length=8, trainable=False),
                  Embedding(20, 5, embeddings_initializer=keras.initializers.Constant(matrix),
                            trainable=False)):
        model = Sequential([layer, Flatten(), Dense(1, activation="sigmoid")])
        model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
        model.fit(x, y, epochs=1, verbose=0)
        np.testing.assert_allclose(model.layers[0].get_weights()[0], matrix, rtol=1e-6)
        assert len(model.trainable_weights) == 2
    embedding = Embedding(20, 5)
    model = Sequential([embedding, Flatten(), Dense(1, activation="sigmoid")])
    model.build((None, 8))
    model.layers[0].set_weights([matrix])
    model.layers[0].trainable = False
    model.compile("rmsprop", "binary_crossentropy")
    model.fit(x, y, epochs=1, verbose=0)
    np.testing.assert_allclose(model.layers[0].get_weights()[0], matrix, rtol=1e-6)


def test_text_generation_with_temperature():
    text = "hello world, hello keras. " * 4
    chars = sorted(set(text))
    index = {c: i for i, c in enumerate(chars)}
    x = np.zeros((40, 10, len(chars)), dtype=bool)
    y = np.zeros((40, len(chars)), dtype=bool)
    for i in range(40):
        for t, c in enumerate(text[i:i + 10]):
            x[i, t, index[c]] = 1
        y[i, index[text[i + 10]]] = 1
    model = Sequential([LSTM(24, input_shape=(10, len(chars))), Dense(len(chars), activation="softmax")])
    model.compile(loss="categorical_crossentropy", optimizer=keras.optimizers.RMSprop(learning_rate=0.02))
    losses = model.fit(x, y, batch_size=20, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    preds = model.predict(x[:1], verbose=0)[0].astype("float64")
    preds = np.exp(np.log(preds) / 0.5)
    assert np.random.multinomial(1, preds / preds.sum(), 1).sum() == 1


class TransformerBlock(Layer):
    """Self-attention written by hand, as courses do before they use the ready layer."""

    def __init__(self, dim, hidden, rate=0.1):
        super().__init__()
        self.supports_masking = True
        self.dim = dim
        self.ffn = Sequential([Dense(hidden, activation="relu"), Dense(dim)])
        self.norm1 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.norm2 = keras.layers.LayerNormalization(epsilon=1e-6)
        self.drop = Dropout(rate)

    def build(self, input_shape):
        shape = (input_shape[-1], self.dim)
        self.wq, self.wk, self.wv = [
            self.add_weight(shape=shape, initializer="glorot_uniform", name=n) for n in "qkv"
        ]

    def call(self, x, training=None, mask=None):
        q, k, v = x @ self.wq, x @ self.wk, x @ self.wv
        scores = ops.matmul(q, ops.transpose(k, (0, 2, 1))) / np.sqrt(self.dim)
        if mask is not None:
            scores += (1.0 - ops.cast(mask[:, None, :], scores.dtype)) * -1e9
        out = self.norm1(x + self.drop(ops.softmax(scores) @ v, training=training))
        return self.norm2(out + self.ffn(out))


class TokenAndPosition(Layer):
    def __init__(self, maxlen, vocab, dim):
        super().__init__()
        self.token = Embedding(vocab, dim)
        self.pos = Embedding(maxlen, dim)

    def call(self, x):
        positions = ops.arange(0, ops.shape(x)[-1], 1)
        return self.token(x) + self.pos(positions)

    def compute_mask(self, inputs, mask=None):
        return ops.not_equal(inputs, 0)


def test_attention_by_hand_with_masks():
    x, y = reviews()
    inputs = Input(shape=(8,))
    h = TokenAndPosition(8, 20, 8)(inputs)
    h = TransformerBlock(8, 16)(h)
    h = GlobalAveragePooling1D()(h)
    model = Model(inputs, Dense(2, activation="softmax")(h))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    assert model.output_shape == (None, 2)
    history = model.fit(x, y, epochs=10, batch_size=8, verbose=0)
    assert history.history["loss"][-1] < history.history["loss"][0]


# ---- sequence to sequence ------------------------------------------------------------------------
def test_seq2seq_with_teacher_forcing_and_inference_models():
    """The character-level translator of the Keras blog, on reversing digits."""
    count, steps, tokens, latent = 60, 3, 6, 24
    source = rng.integers(1, tokens - 1, (count, steps))
    encoder_in = np.eye(tokens, dtype="float32")[source]
    target = np.concatenate([np.zeros((count, 1), int), source[:, ::-1]], axis=1)  # 0 starts
    decoder_in = np.eye(tokens, dtype="float32")[target[:, :-1]]
    decoder_out = np.eye(tokens, dtype="float32")[target[:, 1:]]

    encoder_inputs = Input(shape=(None, tokens))
    encoder = LSTM(latent, return_state=True)
    encoder_outputs, state_h, state_c = encoder(encoder_inputs)
    encoder_states = [state_h, state_c]
    decoder_inputs = Input(shape=(None, tokens))
    decoder_lstm = LSTM(latent, return_sequences=True, return_state=True)
    decoder_outputs, _, _ = decoder_lstm(decoder_inputs, initial_state=encoder_states)
    decoder_dense = Dense(tokens, activation="softmax")
    decoder_outputs = decoder_dense(decoder_outputs)
    model = Model([encoder_inputs, decoder_inputs], decoder_outputs)
    model.compile(keras.optimizers.Adam(0.02), loss="categorical_crossentropy", metrics=["accuracy"])
    history = model.fit([encoder_in, decoder_in], decoder_out, batch_size=10, epochs=40, verbose=0)
    assert history.history["accuracy"][-1] > 0.9

    encoder_model = Model(encoder_inputs, encoder_states)
    decoder_state_input_h, decoder_state_input_c = Input(shape=(latent,)), Input(shape=(latent,))
    states_inputs = [decoder_state_input_h, decoder_state_input_c]
    outputs, h, c = decoder_lstm(decoder_inputs, initial_state=states_inputs)
    decoder_model = Model([decoder_inputs] + states_inputs, [decoder_dense(outputs)] + [h, c])

    def decode(sequence):
        states = encoder_model.predict(sequence, verbose=0)
        token = np.zeros((1, 1, tokens))
        token[0, 0, 0] = 1.0
        found = []
        for _ in range(steps):
            out, h, c = decoder_model.predict([token] + list(states), verbose=0)
            found.append(int(np.argmax(out[0, -1, :])))
            token = np.zeros((1, 1, tokens))
            token[0, 0, found[-1]] = 1.0
            states = [h, c]
        return found

    right = sum(decode(encoder_in[i:i + 1]) == source[i, ::-1].tolist() for i in range(10))
    assert right >= 7


def test_additive_attention_between_encoder_and_decoder():
    """TensorFlow's tutorial: subclassed encoder, attention, decoder, and a hand-written loop."""

    class Attention(Layer):
        def __init__(self, units):
            super().__init__()
            self.W1, self.W2, self.V = Dense(units), Dense(units), Dense(1)

        def call(self, query, values):
            score = self.V(ops.tanh(self.W1(ops.expand_dims(query, 1)) + self.W2(values)))
            weights = ops.softmax(score, axis=1)
            return ops.sum(weights * values, axis=1), weights

    class Encoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.gru = Embedding(9, 6), GRU(8, return_sequences=True, return_state=True)

        def call(self, x, hidden):
            return self.gru(self.embedding(x), initial_state=hidden)

        def initialize_hidden_state(self, n):
            return ops.zeros((n, 8))

    class Decoder(keras.Model):
        def __init__(self):
            super().__init__()
            self.embedding, self.gru = Embedding(9, 6), GRU(8, return_sequences=True, return_state=True)
            self.fc, self.attention = Dense(9), Attention(8)

        def call(self, x, hidden, enc_output):
            context, weights = self.attention(hidden, enc_output)
            x = ops.concatenate([ops.expand_dims(context, 1), self.embedding(x)], axis=-1)
            output, state = self.gru(x)
            return self.fc(ops.reshape(output, (-1, output.shape[2]))), state, weights

    encoder, decoder = Encoder(), Decoder()
    optimizer = keras.optimizers.Adam(0.04)
    loss_object = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    inp = rng.integers(1, 9, (12, 4))
    targ = np.concatenate([np.ones((12, 1), int), inp[:, ::-1]], axis=1)

    def train_step():
        loss = 0
        with keras.GradientTape() as tape:
            enc_output, hidden = encoder(inp, encoder.initialize_hidden_state(12))
            dec_input = ops.expand_dims(ops.convert_to_tensor(targ[:, 0]), 1)
            for t in range(1, targ.shape[1]):
                predictions, hidden, _ = decoder(dec_input, hidden, enc_output)
                mask = ops.cast(ops.not_equal(targ[:, t], 0), "float32")
                loss += ops.mean(loss_object(targ[:, t], predictions) * mask)
                dec_input = ops.expand_dims(ops.convert_to_tensor(targ[:, t]), 1)
        variables = encoder.trainable_variables + decoder.trainable_variables
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables))
        return float(loss) / targ.shape[1]

    losses = [train_step() for _ in range(12)]
    assert losses[-1] < 0.8 * losses[0]


# ---- time series ---------------------------------------------------------------------------------
def windows(series, size):
    return np.array([series[i:i + size] for i in range(len(series) - size)])[..., None], series[size:]


SERIES = np.sin(np.arange(80) * 0.3)


def test_lstm_and_lstm_autoencoder_on_a_series():
    x, y = windows(SERIES, 10)
    model = Sequential([LSTM(12, activation="tanh", return_sequences=True, input_shape=(10, 1)), LSTM(8),
                        Dense(1)])
    model.compile(optimizer="adam", loss="mse", metrics=["mae", keras.metrics.RootMeanSquaredError()])
    stop = EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
    history = model.fit(x, y, epochs=15, batch_size=16, validation_data=(x[-10:], y[-10:]), callbacks=[stop],
                        verbose=0)
    assert history.history["loss"][-1] < 0.5 * history.history["loss"][0]
    assert {"mae", "root_mean_squared_error"} <= set(history.history)
    forecast = x[-1]
    for _ in range(3):
        forecast = np.vstack([forecast, model.predict(forecast[np.newaxis, -10:], verbose=0)])
    assert forecast.shape == (13, 1)

    auto = Sequential([LSTM(8, input_shape=(10, 1)), RepeatVector(10), LSTM(8, return_sequences=True),
                       TimeDistributed(Dense(1))])
    auto.compile("adam", "mae")
    assert auto.fit(x, x, epochs=1, verbose=0) and auto.output_shape == (None, 10, 1)


@pytest.mark.parametrize("reset", ["layer", "model"])
def test_stateful_lstm_with_reset_states(reset):
    """Batches continue one another; resetting starts anew."""
    x = SERIES[:64].reshape(2, 32, 1)
    model = Sequential([LSTM(6, batch_input_shape=(2, 8, 1), stateful=True), Dense(1)])
    model.compile(loss="mean_squared_error", optimizer="adam")
    for _ in range(2):
        for start in range(0, 32, 8):
            model.train_on_batch(x[:, start:start + 8], x[:, start])
        model.reset_states()
    first = model.predict(x[:, :8], batch_size=2, verbose=0)
    second = model.predict(x[:, :8], batch_size=2, verbose=0)
    assert not np.allclose(first, second)
    (model if reset == "model" else model.layers[0]).reset_states()
    np.testing.assert_allclose(model.predict(x[:, :8], batch_size=2, verbose=0), first, rtol=1e-5)
    stateless = Sequential([LSTM(6, input_shape=(32, 1)), Dense(1)])
    stateless.set_weights(model.get_weights())
    model.reset_states()
    for start in range(0, 32, 8):
        last = model.predict(x[:, start:start + 8], verbose=0)
    np.testing.assert_allclose(last, stateless.predict(x, verbose=0), rtol=1e-4, atol=1e-6)


def test_cnn_lstm_with_time_distributed():
    frames = rng.random((10, 3, 8, 8, 1))
    labels = to_categorical(rng.integers(0, 2, 10), num_classes=2)
    model = Sequential()
    model.add(TimeDistributed(Conv2D(4, (3, 3), activation="relu"), input_shape=(None, 8, 8, 1)))
    model.add(TimeDistributed(MaxPooling2D((2, 2))))
    model.add(TimeDistributed(Flatten()))
    model.add(LSTM(6))
    model.add(Dense(2, activation="softmax"))
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    losses = model.fit(frames, labels, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    assert model.predict(frames[:2, :2], verbose=0).shape == (2, 2)


# ---- siamese -------------------------------------------------------------------------------------
def test_siamese_network_with_lambda_distance_and_contrastive_loss():
    def euclidean_distance(vects):
        x, y = vects
        sum_square = ops.sum(ops.square(x - y), axis=1, keepdims=True)
        return ops.sqrt(ops.maximum(sum_square, keras.config.epsilon()))

    def eucl_dist_output_shape(shapes):
        return (shapes[0][0], 1)

    def contrastive_loss(y_true, y_pred):
        margin = 1
        apart = ops.square(ops.maximum(margin - y_pred, 0))
        return ops.mean(y_true * ops.square(y_pred) + (1 - y_true) * apart)

    def accuracy(y_true, y_pred):
        return ops.mean(ops.equal(y_true, ops.cast(y_pred < 0.5, y_true.dtype)))

    base = Sequential([Dense(16, activation="relu", input_shape=(6,)), Dropout(0.1), Dense(8)])
    a, b = Input(shape=(6,)), Input(shape=(6,))
    distance = Lambda(euclidean_distance, output_shape=eucl_dist_output_shape)([base(a), base(b)])
    model = Model([a, b], distance)
    model.compile(loss=contrastive_loss, optimizer=keras.optimizers.RMSprop(0.003), metrics=[accuracy])
    centers = np.array([[1.0] * 6, [-1.0] * 6])
    left, right = rng.integers(0, 2, 40), rng.integers(0, 2, 40)
    pairs = [centers[side] + 0.3 * rng.normal(size=(40, 6)) for side in (left, right)]
    same = (left == right).astype("float32")[:, np.newaxis]
    history = model.fit(pairs, same, batch_size=10, epochs=25, verbose=0)
    assert history.history["accuracy"][-1] > 0.85
    assert model.predict(pairs, verbose=0).shape == (40, 1)
    assert base.predict(pairs[0], verbose=0).shape == (40, 8)
