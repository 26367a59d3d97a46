"""Recorded training steps: the same numbers as ordinary ones, and never where they could differ."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import backends
from gpukeras.models.program_step import Program

pytestmark = pytest.mark.cpu
layers = keras.layers


def programs(model):
    return [p for p in model._captured.programs.values() if isinstance(p, Program) and p.proven]


def column(y):
    return y[:, None].astype("float32")


def train(build, x, y, epochs=3, batch_size=8, eager=False, **kwargs):
    keras.utils.set_random_seed(5)
    model = build()
    model.run_eagerly = eager
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, **kwargs)
    return model, history.history


def data(classes=3, samples=44):
    rng = np.random.default_rng(1)
    return rng.standard_normal((samples, 6)).astype("float32"), rng.integers(0, classes, samples)


def classifier(**compiling):
    model = keras.Sequential([
        keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dropout(0.3),
        layers.Dense(12, activation="tanh", kernel_regularizer="l2"), layers.Dense(3, activation="softmax"),
    ])
    model.compile(**{"optimizer": "adam", "loss": "sparse_categorical_crossentropy",
                     "metrics": ["accuracy", "sparse_categorical_crossentropy"]} | compiling)
    return model


def regression():
    inputs = keras.Input((6,))
    a = layers.Dense(8, activation="elu")(inputs)
    b = layers.LeakyReLU()(layers.Dense(8, use_bias=False)(inputs))
    joined = layers.Concatenate()([layers.Add()([a, b]), layers.PReLU()(a)])
    outputs = layers.Dense(1)(layers.Flatten()(layers.Reshape((4, 4))(joined)))
    model = keras.Model(inputs, outputs)
    model.compile("rmsprop", "mse", metrics=["mae"], weighted_metrics=["mse"])
    return model


def binary():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="sigmoid"),
                              layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=0.5), "binary_crossentropy", ["accuracy"])
    return model


@pytest.mark.parametrize("build, classes, kwargs", [
    (classifier, 3, {}),
    (classifier, 3, {"sample_weight": np.linspace(0.1, 2, 44).astype("float32")}),
    (classifier, 3, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "batch_size": 44}),
    (regression, 3, {"validation_split": 0.25}),
    (regression, 3, {"batch_size": 1, "shuffle": False}),
    (binary, 2, {}),
    (lambda: classifier(optimizer="nadam", loss=keras.losses.SparseCategoricalCrossentropy()), 3, {}),
    (lambda: classifier(optimizer=keras.optimizers.AdamW(use_ema=True, global_clipnorm=1.0)), 3, {}),
], ids=["classifier", "sample weights", "class weights", "functional", "batch of one", "binary", "nadam",
        "ema and clipping"])
def test_histories_and_weights_equal_ordinary_training(build, classes, kwargs):
    x, y = data(classes)
    y = y if build not in (regression, binary) else column(y)
    kwargs = {"epochs": 7 if kwargs.get("batch_size") == 44 else 3} | kwargs
    ordinary, expected = train(build, x, y, eager=True, **kwargs)
    model, found = train(build, x, y, **kwargs)
    assert ordinary._captured is None and programs(model)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, err_msg=name)
    for a, b in zip(model.get_weights(), ordinary.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    for a, b in zip(model.optimizer.get_weights(), ordinary.optimizer.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_train_on_batch():
    x, y = data()
    found = []
    for eager in (True, False):
        keras.utils.set_random_seed(2)
        model = classifier()
        model.run_eagerly = eager
        found.append([model.train_on_batch(x[:8], y[:8]) for _ in range(9)])
    assert programs(model)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-5)


class MyDense(layers.Dense):
    def call(self, inputs, training=None):
        return super().call(inputs)


class MySGD(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        self.assign_sub(variable, learning_rate * gradient)


def my_activation(x):
    return keras.ops.relu(x)


def my_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


class MyModel(keras.Sequential):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs) * 2


@pytest.mark.parametrize("build", [
    lambda: (keras.Sequential([keras.Input((6,)), MyDense(1)]), "mse", []),
    lambda: (keras.Sequential([keras.Input((6,)), layers.Dense(1)]), my_loss, []),
    lambda: (keras.Sequential([keras.Input((6,)), layers.Dense(1)]), "mse", [my_loss]),
    lambda: (MyModel([keras.Input((6,)), layers.Dense(1)]), "mse", []),
    lambda: (keras.Sequential([keras.Input((6,)), layers.Dense(1, my_activation)]), "mse", []),
    lambda: (keras.Sequential([keras.Input((6,)), layers.Dense(1, activity_regularizer="l2")]), "mse", []),
    lambda: (keras.Sequential([keras.Input((6,)), layers.Lambda(lambda t: t[:, :1]), layers.Dense(1)]),
             "mse", []),
], ids=["layer", "loss", "metric", "model", "activation", "activity regularizer", "lambda"])
def test_parts_of_the_user_are_never_recorded(build):
    model, loss, metrics = build()
    model.compile("sgd", loss, metrics=metrics)
    x, y = data()
    model.fit(x, column(y), batch_size=8, epochs=3, verbose=0)
    assert not programs(model)


def test_optimizers_of_the_user_and_those_that_were_exchanged():
    x, y = data()

    def scenario(eager):
        keras.utils.set_random_seed(5)
        own = classifier(optimizer=MySGD(0.1))
        model = classifier(optimizer="sgd")
        own.run_eagerly = model.run_eagerly = eager
        losses = own.fit(x, y, batch_size=8, epochs=3, verbose=0).history["loss"]
        assert eager or not programs(own)
        for optimizer in (model.optimizer, keras.optimizers.SGD(0.2), keras.optimizers.SGD(0.01)):
            optimizer.build(model.trainable_variables)
            model.optimizer = optimizer
            losses += model.fit(x, y, batch_size=8, epochs=3, verbose=0).history["loss"]
            assert eager or programs(model)
        return losses

    np.testing.assert_allclose(scenario(False), scenario(True), rtol=1e-5)


def test_changes_between_fits_take_effect():
    x, y = data()

    def scenario(eager):
        model, history = train(classifier, x, y, eager=eager)
        found = [history["loss"]]
        fit = lambda: found.append(model.fit(x, y, batch_size=8, epochs=2, verbose=0).history["loss"])  # noqa: E731
        model.optimizer.learning_rate = 0.1
        fit()
        model.set_weights([np.ones_like(w) * 0.1 for w in model.get_weights()])
        fit()
        model.layers[0].trainable = False
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.run_eagerly = eager
        fit()
        keras.optimizers.SGD().build(model.trainable_variables)
        model.reset_metrics()
        fit()
        return found, model

    (expected, _), (found, model) = scenario(True), scenario(False)
    assert programs(model)
    for a, b in zip(found, expected):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_weights_that_moved_are_recorded_anew():
    x, y = data()
    model, _ = train(classifier, x, y)
    (before, *_) = programs(model)
    keras.Sequential([keras.Input((6,)), layers.Dense(2)]).compile("sgd", "mse")
    for variable in model.trainable_variables:
        variable.rebind(variable.array.copy())
    weights = model.get_weights()
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    assert programs(model) and before not in programs(model)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(weights, model.get_weights()))


def test_a_wrong_label_is_found_while_replaying():
    x, y = data()
    model, _ = train(classifier, x, y)
    assert programs(model)
    with pytest.raises(ValueError, match="label 7 is out of range"):
        model.fit(x, np.full_like(y, 7), batch_size=8, verbose=0)


def test_a_step_that_goes_behind_the_recording_is_not_trusted(monkeypatch):
    backend = type(keras.ops.ones(1).backend)
    true_relu = backend.relu

    def relu(self, x, out=None):
        found = true_relu(self, np.asarray(x).copy())  # a plain array: nothing is noted
        if out is None:
            return found
        np.asarray(out)[...] = found
        return out

    monkeypatch.setattr(backend, "relu", relu)
    x, y = data()
    _, expected = train(classifier, x, y, eager=True)
    model, found = train(classifier, x, y)
    (reason,) = {found for found in model._captured.programs.values() if isinstance(found, str)}
    assert not programs(model) and reason.startswith("a replay differs from an ordinary step in ")
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-6)


# ---- embeddings whose steps wait --------------------------------------------------------------------------
def words(samples=64, length=6, count=900):
    rng = np.random.default_rng(2)
    x = np.minimum(rng.zipf(1.3, (samples, length)) - 1, count - 1).astype("int32")
    return x, (x.mean(1) > np.median(x.mean(1))).astype("float32")[:, None]


def averaging(pooled=True, count=900, **embedding):
    inputs = keras.Input((6,), dtype="int32")
    x = layers.Embedding(count, 8, **embedding)(inputs)
    x = layers.GlobalAveragePooling1D()(x) if pooled else layers.Flatten()(x)
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(layers.Dense(8, activation="tanh")(x)))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model


def twice():
    inputs = keras.Input((6,), dtype="int32")
    table = layers.Embedding(900, 8)
    mean = layers.GlobalAveragePooling1D()(table(inputs))
    x = layers.Concatenate()([layers.Flatten()(table(inputs)), mean])
    model = keras.Model(inputs, layers.Dense(1, activation="sigmoid")(x))
    model.compile(keras.optimizers.Adam(0.01), "binary_crossentropy", metrics=["accuracy"])
    return model


@pytest.mark.parametrize("build, recorded", [
    (averaging, True), (lambda: averaging(pooled=False), True), (lambda: averaging(mask_zero=True), False),
    (twice, False),
])
def test_embeddings(build, recorded, monkeypatch):
    monkeypatch.setattr(type(backends.CPU), "direct_gradient", 1000)
    x, y = words()
    plain, expected = train(build, x, y, epochs=6, eager=True)
    model, history = train(build, x, y, epochs=6)
    assert bool(programs(model)) == recorded
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-4)
    for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    if recorded:  # looked at between the steps, trained on, with other settings
        for one in (model, plain):
            one.evaluate(x, y, verbose=0)
            one.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
            one.optimizer.weight_decay = 0.01
            one.fit(x, y, batch_size=8, epochs=1, shuffle=False, verbose=0)
        for a, b in zip(model.get_weights(), plain.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
        with pytest.raises(ValueError, match="out of range"):
            model.fit(x + 900, y, batch_size=8, verbose=0)
