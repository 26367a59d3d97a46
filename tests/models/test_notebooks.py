"""What course notebooks do, small: tabular data, images, custom parts, training loops, callbacks."""

import csv

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops
from gpukeras.callbacks import (
    Callback,
    CSVLogger,
    EarlyStopping,
    LambdaCallback,
    LearningRateScheduler,
    ModelCheckpoint,
    ReduceLROnPlateau,
    TerminateOnNaN,
)
from gpukeras.layers import Dense, Dropout, Input
from gpukeras.models import Model, Sequential, clone_model, load_model, model_from_json
from gpukeras.utils import to_categorical

pytestmark = pytest.mark.filterwarnings("ignore:y_true has shape")
rng = np.random.default_rng(11)
CENTERS = rng.normal(size=(3, 4)) * 2
LABELS = rng.integers(0, 3, 90)
X = CENTERS[LABELS] + rng.normal(size=(90, 4)) * 0.5  # float64, as scikit-learn gives it
Y = to_categorical(LABELS)


@pytest.fixture(autouse=True)
def _same_weights_every_time():
    keras.utils.set_random_seed(5)


def classifier(**kwargs):
    return Sequential([Dense(16, activation="relu", input_dim=4, **kwargs), Dense(3, activation="softmax")])


# ---- the first lessons ---------------------------------------------------------------------------
def test_a_first_classifier(capsys):
    model = classifier()
    model.compile(loss="categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    model.summary()
    assert "Total params: 131" in capsys.readouterr().out
    history = model.fit(X, Y, epochs=30, batch_size=10, verbose=0, validation_data=(X, Y))
    assert sorted(history.history) == ["accuracy", "loss", "val_accuracy", "val_loss"]
    assert history.epoch == list(range(30))
    assert history.params["epochs"] == 30 and history.params["steps"] == 9
    loss, acc = model.evaluate(X, Y, verbose=0)
    assert acc > 0.9 and model.metrics_names[0] == "loss" and isinstance(acc, float)
    probs = model.predict(X[0].reshape(1, -1), verbose=0)
    assert probs.shape == (1, 3) and probs.sum() == pytest.approx(1)
    assert (np.argmax(model.predict(X, verbose=0), axis=1) == LABELS).mean() == pytest.approx(acc)
    assert model.predict(np.expand_dims(X[3], axis=0), verbose=0).dtype == np.float32
    assert [w.shape for w in model.layers[0].get_weights()] == [(4, 16), (16,)]
    assert model.layers[0].input_shape == (None, 4) and model.layers[1].output_shape == (None, 3)
    assert model.layers[0].units == 16 and model.layers[0].activation.__name__ == "relu"
    assert model.count_params() == 131 and len(model.layers) == 2
    assert model.layers[0].weights[0].shape == (4, 16)
    assert model.input_shape == (None, 4) and model.output_shape == (None, 3) and model.optimizer.lr == 0.001


def test_output_of_fit_is_short(capsys):
    model = classifier()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, epochs=2, batch_size=1, verbose=1)
    model.evaluate(X, Y, verbose=1)
    model.predict(X, verbose=1)
    out = capsys.readouterr().out
    assert "Epoch 1/2" in out and "accuracy" in out and "90/90" in out
    assert len(out) < 4000  # not a line per batch
    model.fit(X, Y, epochs=2, verbose=2)
    assert len(capsys.readouterr().out.strip().splitlines()) == 4


def test_pandas_frames_integers_and_missing_values():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame["kind"] = rng.integers(0, 3, len(frame))
    target = pd.Series(X.sum(axis=1), name="target")
    model = Sequential([Input((5,)), Dense(8, activation="relu"), Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    history = model.fit(frame, target, epochs=3, validation_split=0.2, verbose=0)
    assert "val_mae" in history.history
    assert model.predict(frame.iloc[:2], verbose=0).shape == (2, 1)
    assert model.evaluate(frame.values, target.values, verbose=0)[1] > 0
    frame["name"] = "text"
    with pytest.raises(ValueError, match=r"x holds values of dtype.*expected numbers"):
        model.fit(frame, target, verbose=0)
    frame_history = pd.DataFrame(history.history)
    assert list(frame_history.columns) == ["loss", "mae", "val_loss", "val_mae"]


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64", "bool"])
def test_images_of_any_dtype(dtype):
    images = (rng.random((12, 6, 6, 1)) * 2).astype(dtype)
    labels = rng.integers(0, 2, 12).astype("uint8")
    model = Sequential([
        layers.Conv2D(4, kernel_size=(3, 3), activation="relu", input_shape=(6, 6, 1)),
        layers.MaxPooling2D(pool_size=(2, 2)), Dropout(0.25), layers.Flatten(),
        Dense(2, activation="softmax"),
    ])
    model.compile(loss=keras.losses.sparse_categorical_crossentropy, optimizer=keras.optimizers.Adadelta(),
                  metrics=["accuracy"])
    model.fit(images, labels, batch_size=4, epochs=1, verbose=0)
    assert model.predict_on_batch(images[:3]).shape == (3, 2)
    assert model(images[:2]).shape == (2, 2)


def test_k_fold_loop():
    k, size = 3, len(X) // 3
    scores, histories = [], []
    target = X @ [1.0, -2.0, 0.5, 3.0]
    for i in range(k):
        val = slice(i * size, (i + 1) * size)
        train_x = np.concatenate([X[:i * size], X[(i + 1) * size:]], axis=0)
        train_y = np.concatenate([target[:i * size], target[(i + 1) * size:]], axis=0)
        model = Sequential([Dense(16, activation="relu", input_shape=(X.shape[1],)), Dense(1)])
        model.compile(optimizer=keras.optimizers.RMSprop(0.01), loss="mse", metrics=["mae"])
        history = model.fit(train_x, train_y, validation_data=(X[val], target[val]), epochs=8, batch_size=4,
                            verbose=0)
        histories.append(history.history["val_mae"])
        scores.append(model.evaluate(X[val], target[val], verbose=0)[1])
        keras.utils.clear_session()
    averages = [np.mean([h[i] for h in histories]) for i in range(8)]
    assert averages[-1] < averages[0] and np.mean(scores) < np.abs(target).mean()


# ---- data that comes in pieces -------------------------------------------------------------------
class Augmented(keras.utils.Sequence):
    """Batches with mirrored images."""

    def __init__(self, images, labels, batch_size, **kwargs):
        super().__init__(**kwargs)
        self.images, self.labels, self.batch_size = images, labels, batch_size
        self.on_epoch_end()

    def __len__(self):
        return int(np.ceil(len(self.images) / self.batch_size))

    def __getitem__(self, index):
        rows = self.order[index * self.batch_size:(index + 1) * self.batch_size]
        batch = self.images[rows]
        return np.where(rng.random((len(rows), 1, 1, 1)) > 0.5, batch[:, :, ::-1], batch), self.labels[rows]

    def on_epoch_end(self):
        self.order = rng.permutation(len(self.images))


def test_sequences_generators_and_class_weights():
    images, labels = rng.random((20, 6, 6, 1)), rng.integers(0, 2, 20)
    model = Sequential([layers.Flatten(input_shape=(6, 6, 1)), Dense(1, activation="sigmoid")])
    model.compile("rmsprop", "binary_crossentropy", metrics=["accuracy"])
    train, val = Augmented(images, labels, 8), Augmented(images, labels, 8)
    history = model.fit(train, epochs=2, validation_data=val, verbose=0)
    assert len(history.history["val_accuracy"]) == 2
    assert len(model.evaluate(val, verbose=0)) == 2 and model.predict(val, verbose=0).shape == (20, 1)

    def forever():
        while True:
            rows = rng.integers(0, 20, 4)
            yield images[rows], labels[rows]

    model.fit(forever(), steps_per_epoch=5, epochs=2, validation_data=forever(), validation_steps=2,
              verbose=0)
    model.fit(images, labels, class_weight={0: 1.0, 1: 5.0}, epochs=1, verbose=0)
    model.fit(images, labels, sample_weight=rng.random(20), epochs=1, verbose=0)


# ---- custom parts --------------------------------------------------------------------------------
class Linear(layers.Layer):
    def __init__(self, units=32, **kwargs):
        super(Linear, self).__init__(**kwargs)  # noqa: UP008  (the style of notebooks)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal",
                                 trainable=True)
        self.b = self.add_weight(shape=(self.units,), initializer="random_normal", trainable=True)

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b

    def get_config(self):
        config = super().get_config()
        config.update({"units": self.units})
        return config


class OldLinear(layers.Layer):
    """Keras 2.2: the name first in add_weight, build ends in super, compute_output_shape."""

    def __init__(self, output_dim, **kwargs):
        self.output_dim = output_dim
        super().__init__(**kwargs)

    def build(self, input_shape):
        self.kernel = self.add_weight(name="kernel", shape=(input_shape[1], self.output_dim),
                                      initializer="uniform",
                                      trainable=True)
        super().build(input_shape)

    def call(self, x):
        return ops.dot(x, self.kernel)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.output_dim)


class Residual(layers.Layer):
    def __init__(self, units):
        super().__init__()
        self.block = [Dense(units, activation="relu"), layers.BatchNormalization(), Dropout(0.1)]
        self.shortcut = None

    def build(self, input_shape):
        if input_shape[-1] != self.block[0].units:
            self.shortcut = Dense(self.block[0].units, use_bias=False)

    def call(self, x, training=None):
        out = x
        for layer in self.block:
            out = layer(out, training=training) if not isinstance(layer, Dense) else layer(out)
        return layers.add([out, x if self.shortcut is None else self.shortcut(x)])


class ActivityRegularizationLayer(layers.Layer):
    def call(self, inputs, training=False):
        self.add_loss(1e-2 * ops.sum(inputs))
        if training:
            return inputs * 1.0
        return inputs


class AntirectifierModel(keras.Model):
    """Nested in a functional model below."""

    def __init__(self, units):
        super().__init__()
        self.linear = Linear(units)

    def call(self, inputs):
        x = self.linear(inputs - ops.mean(inputs, axis=-1, keepdims=True))
        return ops.concatenate([ops.relu(x), ops.relu(-x)], axis=-1)


def test_custom_layers_in_one_model(capsys):
    inputs = Input(shape=(4,))
    x = Linear(8)(inputs)
    x = OldLinear(6)(x)
    x = Residual(6)(x)
    x = Residual(10)(x)
    x = AntirectifierModel(5)(x)
    x = ActivityRegularizationLayer()(x)
    model = Model(inputs, Dense(3, activation="softmax")(x))
    assert model.output_shape == (None, 3)
    model.summary()
    text = capsys.readouterr().out
    assert "Residual" in text and "AntirectifierModel" in text
    assert str(model.count_params()) in text.replace(",", "")
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    history = model.fit(X, Y, epochs=15, verbose=0)
    assert history.history["accuracy"][-1] > 0.7
    assert len(model.losses) == 1
    trained = {v.path for v in model.trainable_weights}
    assert len(trained) == len(model.trainable_weights) and len(model.non_trainable_weights) == 4
    layer = Linear.from_config(Linear(7, name="seven").get_config())
    assert (layer.units, layer.name) == (7, "seven")


def test_custom_functions_and_classes_for_everything():
    def my_activation(x):
        return ops.tanh(x) * 1.2

    def my_init(shape, dtype=None):
        return keras.random.normal(shape, stddev=0.1, dtype=dtype)

    def my_regularizer(w):
        return 1e-3 * ops.sum(ops.abs(w))

    class L2(keras.regularizers.Regularizer):
        def __init__(self, strength):
            self.strength = strength

        def __call__(self, w):
            return self.strength * ops.sum(ops.square(w))

        def get_config(self):
            return {"strength": self.strength}

    class ExampleInit(keras.initializers.Initializer):
        def __init__(self, value):
            self.value = value

        def __call__(self, shape, dtype=None, **kwargs):
            return ops.full(shape, self.value, dtype=dtype)

    class NonNegative(keras.constraints.Constraint):
        def __call__(self, w):
            return w * ops.cast(ops.greater_equal(w, 0.0), w.dtype)

    class CategoricalTruePositives(keras.metrics.Metric):
        def __init__(self, name="hits", **kwargs):
            super().__init__(name=name, **kwargs)
            self.true_positives = self.add_weight(name="tp", initializer="zeros")

        def update_state(self, y_true, y_pred, sample_weight=None):
            hits = ops.equal(ops.argmax(y_true, axis=-1), ops.argmax(y_pred, axis=-1))
            self.true_positives.assign_add(ops.sum(ops.cast(hits, "float32")))

        def result(self):
            return self.true_positives

        def reset_state(self):
            self.true_positives.assign(0.0)

    class WeightedLoss(keras.losses.Loss):
        def __init__(self, factor=0.1, name="weighted"):
            super().__init__(name=name)
            self.factor = factor

        def call(self, y_true, y_pred):
            squares = ops.mean(ops.square(y_true - y_pred), axis=-1)
            return self.factor * squares - ops.sum(y_true * ops.log(y_pred), -1)

    def recall(y_true, y_pred):
        positives = ops.sum(ops.round(ops.clip(y_true * y_pred, 0, 1)))
        return positives / (ops.sum(ops.round(ops.clip(y_true, 0, 1))) + keras.config.epsilon())

    model = Sequential([
        Dense(12, activation=my_activation, kernel_initializer=my_init, kernel_regularizer=my_regularizer,
              bias_initializer=ExampleInit(0.5), input_shape=(4,)),
        Dense(8, kernel_constraint=NonNegative(), bias_regularizer=L2(1e-3),
              activation=lambda x: ops.maximum(x, 0)),
        Dense(3, activation="softmax"),
    ])
    assert (model.layers[0].get_weights()[1] == 0.5).all()
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), WeightedLoss(),
                  metrics=["accuracy", recall, CategoricalTruePositives()])
    history = model.fit(X, Y, epochs=12, batch_size=30, verbose=0).history
    assert {"loss", "accuracy", "recall", "hits"} == set(history)
    assert history["hits"][-1] == round(history["accuracy"][-1] * 90)
    assert (model.layers[1].get_weights()[0] >= 0).all()
    assert len(model.losses) == 2


# ---- multi-input, multi-output -------------------------------------------------------------------
def test_ticket_model_with_dictionaries_and_loss_weights():
    """The functional guide: three inputs, two outputs, everything by name."""
    title, body, tags = Input((None,), name="title"), Input((None,), name="body"), Input((5,), name="tags")
    x = layers.concatenate([layers.LSTM(6)(layers.Embedding(20, 4)(title)),
                            layers.LSTM(4)(layers.Embedding(20, 4)(body)),
                            tags])
    priority = Dense(1, name="priority")(x)
    department = Dense(4, name="department")(x)
    model = Model(inputs=[title, body, tags], outputs=[priority, department])
    model.compile(
        optimizer=keras.optimizers.RMSprop(1e-3),
        loss={"priority": keras.losses.BinaryCrossentropy(from_logits=True),
              "department": keras.losses.CategoricalCrossentropy(from_logits=True)},
        loss_weights={"priority": 1.0, "department": 0.2}, metrics={"department": ["accuracy"]})
    data = {"title": rng.integers(0, 20, (24, 6)), "body": rng.integers(0, 20, (24, 9)),
            "tags": rng.integers(0, 2, (24, 5)).astype("float32")}
    targets = {"priority": rng.integers(0, 2, (24, 1)),
               "department": to_categorical(rng.integers(0, 4, 24), 4)}
    history = model.fit(data, targets, epochs=2, batch_size=8, verbose=0).history
    assert set(history) == {"loss", "priority_loss", "department_loss", "department_accuracy"}
    np.testing.assert_allclose(history["loss"],
                               np.add(history["priority_loss"], np.multiply(0.2, history["department_loss"])),
                               rtol=1e-4)
    first, second = model.predict(data, verbose=0)
    assert first.shape == (24, 1) and second.shape == (24, 4)
    assert len(model.evaluate(data, list(targets.values()), verbose=0)) == len(model.metrics_names)
    model.fit([data["title"], data["body"], data["tags"]], [targets["priority"], targets["department"]],
              verbose=0)


# ---- transfer ------------------------------------------------------------------------------------
def test_transfer_learning_freeze_then_fine_tune(capsys):
    base = Sequential([Input((8, 8, 1)), layers.Conv2D(4, 3, name="block1"), layers.BatchNormalization(),
                       layers.Conv2D(4, 3, activation="relu", name="block2")], name="base")
    images, labels = rng.random((16, 8, 8, 1)), rng.integers(0, 2, 16)
    base.trainable = False
    inputs = Input(shape=(8, 8, 1))
    x = layers.GlobalAveragePooling2D()(base(inputs, training=False))
    model = Model(inputs, Dense(1, activation="sigmoid")(Dropout(0.2)(x)))
    assert len(model.trainable_weights) == 2 and len(model.non_trainable_weights) == 8
    model.compile(keras.optimizers.Adam(), loss="binary_crossentropy", metrics=["accuracy"])
    frozen = base.get_weights()
    model.fit(images, labels, epochs=1, verbose=0)
    assert all((a == b).all() for a, b in zip(frozen, base.get_weights()))
    base.trainable = True
    for layer in base.layers[:-1]:
        layer.trainable = False
    assert len(model.trainable_weights) == 4
    model.compile(keras.optimizers.Adam(1e-5), loss="binary_crossentropy", metrics=["accuracy"])
    model.fit(images, labels, epochs=1, verbose=0)
    after = base.get_weights()
    assert [(a == b).all() for a, b in zip(frozen, after)] == [True] * 6 + [False] * 2
    model.summary(expand_nested=True, show_trainable=True)
    text = capsys.readouterr().out
    assert "block2" in text and "Trainable" in text
    features = Model(base.input, base.get_layer("block1").output)
    assert features.predict(images, verbose=0).shape == (16, 6, 6, 4)
    on_top = Sequential([base, layers.Flatten(), Dense(2)])
    assert on_top.output_shape == (None, 2)


def test_cloning_json_and_weights(tmp_path):
    model = classifier(kernel_regularizer=keras.regularizers.l2(0.01))
    copy = clone_model(model)
    assert not np.allclose(copy.get_weights()[0], model.get_weights()[0])
    copy.set_weights(model.get_weights())
    np.testing.assert_array_equal(copy.predict(X, verbose=0), model.predict(X, verbose=0))
    again = model_from_json(model.to_json())
    model.save_weights(str(tmp_path / "model.weights.h5"))
    again.load_weights(str(tmp_path / "model.weights.h5"))
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))
    config = model.get_config()
    assert Sequential.from_config(config).count_params() == model.count_params()


# ---- training loops ------------------------------------------------------------------------------
def test_training_loop_from_scratch():
    model = classifier()
    optimizer = keras.optimizers.SGD(learning_rate=0.1)
    loss_fn = keras.losses.CategoricalCrossentropy()
    train_acc = keras.metrics.CategoricalAccuracy()
    val_acc = keras.metrics.CategoricalAccuracy()

    def train_step(x, y):
        with keras.GradientTape() as tape:
            probs = model(x, training=True)
            loss_value = loss_fn(y, probs) + sum(model.losses)
        grads = tape.gradient(loss_value, model.trainable_weights)
        optimizer.apply_gradients(zip(grads, model.trainable_weights))
        train_acc.update_state(y, probs)
        return loss_value

    seen = []
    for _ in range(8):
        for start in range(0, 90, 30):
            loss = train_step(X[start:start + 30], Y[start:start + 30])
        val_acc.update_state(Y, model(X, training=False))
        seen.append((float(loss), float(train_acc.result()), float(val_acc.result())))
        train_acc.reset_state()
        val_acc.reset_state()
    assert seen[-1][0] < seen[0][0] and seen[-1][2] > 0.8
    assert f"{loss:.3f}" == f"{float(loss):.3f}"


def test_custom_model_with_train_and_test_step():
    class CustomModel(keras.Model):
        def train_step(self, data):
            x, y = data
            with keras.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            trainable_vars = self.trainable_variables
            gradients = tape.gradient(loss, trainable_vars)
            self.optimizer.apply(gradients, trainable_vars)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

        def test_step(self, data):
            x, y = data
            y_pred = self(x, training=False)
            loss = self.compute_loss(y=y, y_pred=y_pred)
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    class TF2Model(keras.Model):
        """tf.keras 2: compiled_loss and compiled_metrics."""

        def train_step(self, data):
            x, y = data
            with keras.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compiled_loss(y, y_pred, regularization_losses=self.losses)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_variables))
            self.compiled_metrics.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    for kind in (CustomModel, TF2Model):
        inputs = Input(shape=(4,))
        model = kind(inputs, Dense(3, activation="softmax")(inputs))
        model.compile(optimizer=keras.optimizers.Adam(0.05), loss="categorical_crossentropy",
                      metrics=["accuracy"])
        history = model.fit(X, Y, epochs=8, verbose=0, validation_data=(X, Y)).history
        assert history["accuracy"][-1] > 0.7 and "val_accuracy" in history
        assert model.evaluate(X, Y, verbose=0)[1] == pytest.approx(history["val_accuracy"][-1])


def test_gradient_clipping_by_hand():
    model = classifier()
    with keras.GradientTape() as tape:
        loss = keras.losses.CategoricalCrossentropy()(Y * 100, model(X))
    grads = tape.gradient(loss, model.trainable_weights)
    norm = ops.sqrt(sum(ops.sum(ops.square(g)) for g in grads))
    clipped = [g * ops.minimum(1.0, 0.5 / norm) for g in grads]
    total = np.sqrt(sum(float(ops.sum(g * g)) for g in clipped))
    assert total == pytest.approx(min(0.5, float(norm)), rel=1e-4)
    keras.optimizers.SGD(1.0).apply_gradients(zip([ops.clip(g, -1, 1) for g in grads],
                                                  model.trainable_weights))


def test_monte_carlo_dropout_and_ensembles():
    model = Sequential([Input((4,)), Dense(32, activation="relu"), Dropout(0.5),
                        Dense(3, activation="softmax")])
    samples = np.stack([model(X[:5], training=True) for _ in range(20)])
    assert samples.shape == (20, 5, 3) and samples.std(axis=0).max() > 0
    still = np.stack([model(X[:5]) for _ in range(3)])
    assert (still == still[0]).all()
    mean = np.mean([m.predict(X, verbose=0) for m in (model, classifier())], axis=0)
    assert mean.shape == (90, 3)


# ---- callbacks and learning rates ----------------------------------------------------------------
def test_the_usual_callbacks_together(tmp_path, capsys):
    model = classifier()
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    callbacks = [
        EarlyStopping(monitor="val_loss", patience=2, verbose=1, mode="min", restore_best_weights=True),
        ReduceLROnPlateau(monitor="val_loss", factor=0.5, patience=1, min_lr=1e-5, verbose=0),
        ModelCheckpoint(filepath=str(tmp_path / "best.keras"), monitor="val_accuracy", save_best_only=True,
                        mode="max"),
        ModelCheckpoint(str(tmp_path / "weights-{epoch:02d}.weights.h5"), save_weights_only=True),
        CSVLogger(str(tmp_path / "log.csv"), append=False), TerminateOnNaN(),
        LambdaCallback(on_epoch_end=lambda epoch, logs: None),
    ]
    history = model.fit(X, Y, validation_split=0.3, epochs=6, batch_size=10, callbacks=callbacks, verbose=0)
    capsys.readouterr()
    best = load_model(tmp_path / "best.keras")
    assert best.evaluate(X[62:], Y[62:], verbose=0)[1] == pytest.approx(max(history.history["val_accuracy"]))
    model.load_weights(tmp_path / "weights-01.weights.h5")
    with open(tmp_path / "log.csv") as f:
        rows = list(csv.DictReader(f))
    assert len(rows) == len(history.epoch)
    assert {"epoch", "accuracy", "loss", "val_accuracy", "val_loss"} <= set(rows[0])
    assert "learning_rate" in history.history


def test_learning_rates_of_every_kind():
    model = classifier()
    model.compile(keras.optimizers.Adam(learning_rate=0.01), "categorical_crossentropy")
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)
    assert float(model.optimizer.lr.numpy()) == pytest.approx(0.01)
    model.optimizer.learning_rate = 0.002
    model.optimizer.learning_rate.assign(0.003)
    model.optimizer.lr = 0.004
    model.fit(X, Y, epochs=1, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.004)

    def step_decay(epoch, lr):
        return lr if epoch < 1 else lr * 0.5

    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[LearningRateScheduler(step_decay)])
    np.testing.assert_allclose(history.history["learning_rate"], [0.004, 0.002, 0.001], rtol=1e-6)
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, decay_steps=3, decay_rate=0.5, staircase=True)
    model.compile(keras.optimizers.SGD(schedule), "categorical_crossentropy")
    model.fit(X, Y, batch_size=30, epochs=2, verbose=0)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.1 * 0.25)


def test_learning_rate_finder():
    class Finder(Callback):
        def __init__(self, start, end, steps):
            super().__init__()
            self.start, self.factor = start, (end / start) ** (1 / steps)
            self.rates, self.losses = [], []

        def on_train_begin(self, logs=None):
            self.weights = self.model.get_weights()
            self.model.optimizer.learning_rate = self.start

        def on_train_batch_end(self, batch, logs=None):
            lr = float(self.model.optimizer.learning_rate)
            self.rates.append(lr)
            self.losses.append(logs["loss"])
            self.model.optimizer.learning_rate = lr * self.factor
            if logs.get("loss") > 1e4:
                self.model.stop_training = True

        def on_train_end(self, logs=None):
            self.model.set_weights(self.weights)

    model = classifier()
    model.compile("sgd", "categorical_crossentropy")
    before = model.get_weights()
    finder = Finder(1e-4, 1.0, 18)
    model.fit(X, Y, batch_size=10, epochs=2, callbacks=[finder], verbose=0)
    np.testing.assert_allclose(finder.rates, np.geomspace(1e-4, 1, 19)[:18], rtol=1e-4)
    assert all(isinstance(v, float) for v in finder.losses) and len(finder.losses) == 18
    assert all((a == b).all() for a, b in zip(before, model.get_weights()))


def test_loss_history_callback_of_the_documentation():
    class LossHistory(Callback):
        def on_train_begin(self, logs={}):  # noqa: B006
            self.losses = []

        def on_batch_end(self, batch, logs={}):  # noqa: B006
            self.losses.append(logs.get("loss"))

        def on_epoch_end(self, epoch, logs=None):
            self.keys = sorted(logs)
            assert self.params["epochs"] == 2 and self.model.stop_training is False

    history = LossHistory()
    model = classifier()
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    model.fit(X, Y, batch_size=30, epochs=2, callbacks=[history], verbose=0)
    assert len(history.losses) == 6 and history.keys == ["accuracy", "loss"]
