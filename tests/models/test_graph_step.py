"""Training steps captured as graphs, on the stand-in for a GPU: the numbers of ordinary steps and of CPUs."""

import copy
import gc
import itertools
import pickle
import re
import weakref

import numpy as np
import pytest
from support import emulator
from support.fake_device import emulated, forbid_waiting, state

import gpukeras as keras
from gpukeras import backends, tree
from gpukeras.models import captured
from gpukeras.models.data import make_source, one_batch
from gpukeras.models.graph_step import EvaluationGraph, GraphStep
from gpukeras.utils.structures import pack_x_y_sample_weight

pytestmark = [
    pytest.mark.cpu,  # every test chooses its device
    pytest.mark.skipif(bool(emulator.missing()), reason=f"kernels: {emulator.missing()}"),
]
layers = keras.layers


@pytest.fixture
def gpu():
    with emulated() as backend:
        yield backend


def graphs(model) -> list:
    found = model._captured.programs.values() if model._captured is not None else []
    return [g for g in found if isinstance(g, GraphStep) and g.proven]


def reasons(model) -> list:
    return [found for found in model._captured.programs.values() if isinstance(found, str)]


def table(samples=44, classes=3):
    rng = np.random.default_rng(1)
    return rng.standard_normal((samples, 6)).astype("float32"), rng.integers(0, classes, samples)


def images(samples=20):
    rng = np.random.default_rng(2)
    return rng.standard_normal((samples, 6, 6, 2)).astype("float32"), rng.integers(0, 3, samples)


def series(samples=20):
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((samples, 5, 3)), rng.standard_normal((samples, 1))
    return x.astype("float32"), y.astype("float32")


def mlp(optimizer="adam", rate=0.0, **compiling):
    model = keras.Sequential([
        keras.Input((6,)), layers.Dense(16, activation="relu"), layers.Dropout(rate),
        layers.Dense(12, activation="tanh", kernel_regularizer="l2"), layers.Dense(3, activation="softmax"),
    ], name="mlp")
    model.compile(**{"optimizer": optimizer, "loss": "sparse_categorical_crossentropy",
                     "metrics": ["accuracy", "sparse_categorical_crossentropy"]} | compiling)
    return model


def convnet():
    model = keras.Sequential([
        keras.Input((6, 6, 2)), layers.Conv2D(4, 3, padding="same"), layers.BatchNormalization(),
        layers.Activation("relu"), layers.MaxPooling2D(), layers.Flatten(),
        layers.Dense(3, activation="softmax"),
    ])
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def recurrent():
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile("rmsprop", "mse", metrics=["mae"])
    return model


def noisy_recurrent():
    model = keras.Sequential([
        keras.Input((5, 3)), layers.GaussianNoise(0.1), layers.Bidirectional(layers.GRU(4, dropout=0.2)),
        layers.LayerNormalization(), layers.Dense(1),
    ])
    model.compile(keras.optimizers.Lion(0.001), "huber")
    return model


def words():
    rng = np.random.default_rng(4)
    return rng.integers(0, 30, (20, 5)), rng.integers(0, 2, (20, 1)).astype("float32")


def embedded():
    model = keras.Sequential([keras.Input((5,), dtype="int32"), layers.Embedding(30, 4, mask_zero=True),
                              layers.LSTM(3), layers.Dense(1, activation="sigmoid")])
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])
    return model


def branches():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    joined = layers.Concatenate()([layers.Dense(4, activation="elu")(a), layers.Dense(4)(b) * 0.5])
    outputs = {name: layers.Dense(1, name=name)(joined) for name in ("first", "second")}
    model = keras.Model({"b": b, "a": a}, outputs)
    model.compile("adam", {"first": "mse", "second": "mae"}, metrics={"first": ["mae"]})
    return model


def binary():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(4, activation="relu"),
                              layers.Dense(1, activation="sigmoid")])
    model.compile(keras.optimizers.SGD(0.1, clipnorm=0.5), "binary_crossentropy",
                  ["accuracy", keras.metrics.AUC(num_thresholds=20, name="auc"),
                                            keras.metrics.Precision(name="precision")])
    return model


def train(build, x, y, epochs=5, batch_size=8, eager=False, **kwargs):
    keras.utils.set_random_seed(5)
    model = build()
    model.run_eagerly = eager
    history = model.fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, **kwargs)
    return model, history.history


def assert_alike(model, history, other, expected, rtol=1e-6, atol=1e-6):
    assert history.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=max(rtol, 1e-5), err_msg=name)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)
    for a, b in zip(model.optimizer.get_weights(), other.optimizer.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=atol)


def columns(data):
    x, y = data
    return x, (y[:, None] > 0).astype("float32")


def several():
    x, y = table()
    return {"a": x, "b": x[::-1].copy()}, {"first": y[:, None].astype("float32"), "second": x[:, :1]}


CASES = {
    "mlp": (mlp, table, {}),
    "dropout": (lambda: mlp(rate=0.3), table, {}),
    "sample weights": (lambda: mlp(rate=0.3, weighted_metrics=["accuracy"]), table,
                       {"sample_weight": np.linspace(0.1, 2, 44).astype("float32")}),
    "class weights": (mlp, table, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}, "shuffle": False}),
    "batch normalization": (convnet, images, {}),
    "recurrent": (recurrent, series, {"batch_size": 5, "validation_split": 0.25}),
    "noise": (noisy_recurrent, series, {"batch_size": 5}),
    "words": (embedded, words, {"batch_size": 5}),
    "several inputs": (branches, several, {}),
    "curves": (binary, lambda: columns(table()), {}),
    "schedule": (lambda: mlp(keras.optimizers.RMSprop(
        keras.optimizers.schedules.ExponentialDecay(0.01, 5, 0.9), momentum=0.5)), table, {}),
    "weight decay": (lambda: mlp(keras.optimizers.AdamW(0.01, global_clipnorm=1.0)), table, {}),
    "nadam": (lambda: mlp("nadam"), table, {}),
    "averages": (lambda: mlp(keras.optimizers.Adam(0.01, use_ema=True)), table, {}),
    "accumulation": (lambda: mlp(keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)), table, {}),
    "constraint": (lambda: constrained(), table, {}),
}


def constrained():
    model = keras.Sequential([keras.Input((6,)), layers.Dense(3, kernel_constraint="max_norm")])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


NOISY = ("dropout", "sample weights", "noise")  # both devices draw in their own way


@pytest.mark.parametrize("case", CASES)
def test_captured_training_equals_ordinary_training(gpu, case):
    build, data, kwargs = CASES[case]
    x, y = data()
    ordinary, expected = train(build, x, y, eager=True, **kwargs)
    model, history = train(build, x, y, **kwargs)
    assert not graphs(ordinary) and graphs(model), captured.explain(model)
    assert graphs(model)[0].replays > 3
    assert_alike(model, history, ordinary, expected)


@pytest.mark.parametrize("case", [c for c in CASES if c not in NOISY])
def test_captured_training_equals_that_of_a_cpu(case):
    build, data, kwargs = CASES[case]
    x, y = data()
    with backends.device_scope("cpu"):
        on_cpu, expected = train(build, x, y, eager=True, **kwargs)
        with emulated():
            model, history = train(build, x, y, **kwargs)
            assert graphs(model)
            assert_alike(model, history, on_cpu, expected, rtol=1e-3, atol=2e-5)


# ---- what may change -------------------------------------------------------------------------------------
def test_changes_between_fits_take_effect(gpu):
    x, y = table()

    def scenario(eager):
        model, history = train(lambda: mlp(rate=0.2), x, y, eager=eager)
        losses = list(history["loss"])

        def fit(**kwargs):
            losses.extend(model.fit(x, y, batch_size=8, epochs=2, verbose=0, **kwargs).history["loss"])

        model.optimizer.learning_rate = 0.1
        fit()
        model.optimizer.learning_rate.assign(0.02)
        fit(callbacks=[keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5)])
        model.set_weights([np.ones_like(w) * 0.1 for w in model.get_weights()])
        fit()
        model.optimizer.iterations.assign(100)
        model.layers[0].kernel.assign(np.zeros((6, 16)))
        losses.append(model.evaluate(x, y, verbose=0)[0])
        losses.extend(model.predict(x, verbose=0)[0].tolist())
        keras.utils.set_random_seed(11)
        fit()
        keras.utils.set_random_seed(11)
        fit(class_weight={0: 1.0, 1: 2.0, 2: 3.0})
        model.layers[0].trainable = False
        model.compile("sgd", "sparse_categorical_crossentropy")
        model.run_eagerly = eager
        fit()
        losses.append(float(model.optimizer.iterations))
        return losses, model

    (expected, _), (found, model) = scenario(True), scenario(False)
    assert graphs(model)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_train_on_batch_and_odd_batches(gpu):
    x, y = table()

    def scenario(eager):
        keras.utils.set_random_seed(2)
        model = mlp(rate=0.3)
        model.run_eagerly = eager
        found = []
        for size in (8, 8, 8, 5, 8, 8, 5, 8, 3, 5, 5, 8, 5, 5, 8):
            found.append(model.train_on_batch(x[:size], y[:size]))
            found.append(model.test_on_batch(x[size:], y[size:]))
        return found, model

    (expected, _), (found, model) = scenario(True), scenario(False)
    assert sorted(len(g.inputs[0]) for g in graphs(model)) == [5, 8]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_two_models_in_turns(gpu):
    x, y = table()

    def scenario(eager):
        keras.utils.set_random_seed(2)
        models = []
        found = []
        for k in range(14):
            if k in (0, 6):  # the second one is built when the first has its graph
                models.append(mlp(rate=0.3))
                models[-1].run_eagerly = eager
            found += [m.train_on_batch(x[:8], y[:8]) for m in models]
        return found, models

    (expected, _), (found, models) = scenario(True), scenario(False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # The first graph outlived the layout of the second model.
    assert [g.replays for m in models for g in graphs(m)] == [9, 3]


def test_weights_that_moved_are_captured_anew(gpu):
    x, y = table()
    model, _ = train(mlp, x, y)
    before = graphs(model)
    for variable in model.trainable_variables:
        variable.rebind(variable.array.copy())
    weights = model.get_weights()
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    assert graphs(model) and not set(before) & set(graphs(model))
    assert all(np.abs(a - b).max() > 0 for a, b in zip(weights, model.get_weights()))


def test_lengths_of_sequences(gpu):
    rng = np.random.default_rng(0)
    model = keras.Sequential([keras.Input((None, 3)), layers.LSTM(4), layers.Dense(1)])
    model.compile("sgd", "mse")
    for length in (5, 7, 5):
        model.fit(rng.standard_normal((16, length, 3)), np.zeros((16, 1)), batch_size=8, epochs=4, verbose=0)
    assert sorted(g.inputs[0].shape for g in graphs(model)) == [(8, 5, 3), (8, 7, 3)]


@pytest.mark.parametrize("case", ["dropout", "batch normalization", "words", "several inputs", "curves"])
def test_evaluation(gpu, case):
    build, data, _ = CASES[case]
    x, y = data()
    found = []
    for eager in (True, False):
        model, history = train(build, x, y, eager=eager, validation_data=(x, y), epochs=3)
        losses = [history["val_loss"], model.evaluate(x, y, batch_size=8, verbose=0)]
        model.set_weights([w * 0.5 for w in model.get_weights()])
        losses.append(model.evaluate(x, y, batch_size=8, verbose=0))
        found.append(losses)
    for expected, values in zip(*found):
        np.testing.assert_allclose(values, expected, rtol=1e-5)
    step = model._captured_evaluation
    replayed = [g for g in step.programs.values() if isinstance(g, EvaluationGraph) and g.proven]
    assert replayed[0].replays > 1, captured.explain(model)
    assert f"{model.name}: evaluation steps" in keras.config.explain(model).splitlines()
    (batch,) = make_source(x, y, batch_size=8, steps=1)
    before = replayed[0].replays, state.uploads
    with forbid_waiting():
        assert step(pack_x_y_sample_weight(*batch)).pending
    assert (replayed[0].replays, state.uploads) == (before[0] + 1, before[1])


def test_evaluation_of_a_users_model_runs_as_it_stands(gpu):
    x, _ = table()
    model, _ = train(lambda: line(MyDense(2)), x, x[:, :1], epochs=1)
    for _ in range(4):
        model.test_on_batch(x, x[:, :1])
    (reason,) = model._captured_evaluation.programs.values()
    assert "code of yours" in reason


def test_generators_of_batches(gpu):
    x, y = table()

    def scenario(eager):
        def batches():
            while True:
                yield x[:8], y[:8]

        return train(mlp, batches(), None, batch_size=None, steps_per_epoch=5, epochs=2, eager=eager)

    (ordinary, expected), (model, history) = scenario(True), scenario(False)
    assert graphs(model)[0].replays == 5
    assert_alike(model, history, ordinary, expected)


def test_checked_numbers_are_looked_at(gpu):
    x, y = table()
    model, _ = train(mlp, x, y)
    keras.config.check_numerics()
    try:
        with pytest.raises(FloatingPointError):
            model.fit(x * np.nan, y, batch_size=8, verbose=0)
        assert "check_numerics" in captured.hindrance(model)
    finally:
        keras.config.check_numerics(False)


# ---- what is never captured ------------------------------------------------------------------------------
class MyDense(layers.Dense):
    def call(self, inputs, training=None):
        return super().call(inputs)


class MyModel(keras.Sequential):
    def compute_loss(self, *args, **kwargs):
        return super().compute_loss(*args, **kwargs) * 2


class MySGD(keras.optimizers.SGD):
    pass


def my_loss(y_true, y_pred):
    return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=-1)


def line(*middle, cls=keras.Sequential, optimizer="sgd", loss="mse", metrics=()):
    model = cls([keras.Input((6,)), *middle, layers.Dense(1)])
    model.compile(optimizer, loss, metrics=list(metrics))
    return model


def scaled(**settings):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(**settings))


USERS = {
    "layer": (lambda: line(MyDense(2)), "MyDense.* code of yours"),
    "activation": (lambda: line(layers.Dense(2, activation=lambda v: v * 2)), "code of yours"),
    "lambda": (lambda: line(layers.Lambda(lambda v: v * 2)), "code of yours"),
    "regularizer": (lambda: line(layers.Dense(2, kernel_regularizer=keras.ops.sum)), None),
    "loss": (lambda: line(loss=my_loss), "'my_loss' is code of yours"),
    "metric": (lambda: line(metrics=[my_loss]), "'my_loss' is code of yours"),
    "model": (lambda: line(cls=MyModel), "MyModel has a compute_loss of its own"),
    "optimizer": (lambda: line(optimizer=MySGD()), "MySGD is not of this library"),
    "activity": (lambda: line(layers.Dense(2, activity_regularizer="l2")), "adds a loss"),
    "loss scale": (lambda: line(optimizer=scaled(use_ema=True)), "looks at every gradient"),
}


@pytest.mark.parametrize("case", USERS)
def test_parts_of_the_user_run_as_they_stand(gpu, case):
    build, reason = USERS[case]
    x, _ = table()
    model, history = train(build, x, x[:, :1], epochs=3)
    ordinary, expected = train(build, x, x[:, :1], epochs=3, eager=True)
    assert_alike(model, history, ordinary, expected)
    if reason is None:
        assert graphs(model)
    else:
        (found,) = set(reasons(model))
        assert not graphs(model)
        assert re.search(reason, found)
        assert found in captured.explain(model)


# ---- captures that fail ----------------------------------------------------------------------------------
def broken(monkeypatch, change):
    """Let the ReLU of the backend do something else, which ``change(backend, x, ordinary)`` returns."""
    backend = backends.current()
    ordinary = type(backend).relu

    def relu(self, x, out=None):
        found = change(self, x, lambda: ordinary(self, x))
        if out is None:
            return found
        out[...] = found
        return out

    monkeypatch.setattr(type(backend), "relu", relu)


def rectified(metrics=("mae",)):
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    return line(layers.Dense(8), layers.ReLU(), optimizer=optimizer, metrics=metrics)


def waits(backend, x, ordinary):
    backend.to_numpy(x)
    return ordinary()


def uploads(backend, x, ordinary):
    return ordinary() + backend.asarray(np.zeros(x.shape, "float32"))


def multiplies(backend, x, ordinary):
    return ordinary() + backend.xp.matmul(x, backend.xp.zeros((x.shape[1], 1), "float32"))


def counts(backend, x, ordinary):
    counts.calls += 1  # host state, of which a graph knows only what it was
    return ordinary() * (1 + 0.01 * counts.calls)


FAULTS = {
    "a wait": (waits, "get"), "an upload": (uploads, "copy from the host"), "cuBLAS": (multiplies, "cuBLAS"),
    "a host counter": (counts, "a replay differs from an ordinary step in"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_steps_that_cannot_be_captured_run_as_they_stand(gpu, fault, monkeypatch):
    change, reason = FAULTS[fault]
    broken(monkeypatch, change)
    x, _ = table()
    counts.calls = 0
    ordinary, expected = train(rectified, x, x[:, :1], eager=True)
    total = counts.calls
    counts.calls = 0
    model, history = train(rectified, x, x[:, :1])
    assert not graphs(model) and all(reason in found for found in reasons(model)) and reasons(model)
    assert reason in captured.explain(model)
    if change is not counts:  # which counts the attempts as well
        assert_alike(model, history, ordinary, expected)
    else:
        assert counts.calls > total
    assert keras.config.explain(model) == str(captured.explain(model)) == repr(captured.explain(model))


def test_a_capture_that_fails_half_way_leaves_no_trace(gpu, monkeypatch):
    x, y = table()
    ordinary, expected = train(lambda: mlp(rate=0.3), x, y, eager=True)

    def fail(self, *args):
        raise RuntimeError("half-way")

    monkeypatch.setattr(keras.optimizers.Adam, "update_captured", fail)
    model, history = train(lambda: mlp(rate=0.3), x, y)
    assert set(reasons(model)) == {"RuntimeError: half-way"}
    assert_alike(model, history, ordinary, expected, rtol=0, atol=0)


def test_a_replay_that_fails_leaves_no_trace(gpu, monkeypatch):
    x, y = table()
    ordinary, expected = train(lambda: mlp(rate=0.3), x, y, eager=True)
    run = GraphStep.run

    def fail(self, data):
        run(self, data)
        raise RuntimeError("lost")

    monkeypatch.setattr(GraphStep, "run", fail)
    model, history = train(lambda: mlp(rate=0.3), x, y)
    assert set(reasons(model)) == {"a first replay failed (RuntimeError: lost)"}
    assert_alike(model, history, ordinary, expected, rtol=0, atol=0)


def test_no_memory_to_check_with(gpu, monkeypatch):
    x, y = table()

    def fail(self, generator):
        raise MemoryError

    monkeypatch.setattr(type(gpu), "generator_state", fail)
    model, _ = train(lambda: mlp(rate=0.3), x, y)
    assert set(reasons(model)) == {"there is no memory to check a replay with"}


def test_errors_of_the_user_come_through(gpu):
    x, y = table()
    model = mlp()
    model.fit(x, y, batch_size=8, epochs=3, verbose=0)
    with pytest.raises(ValueError, match="expects shape"):
        model.fit(x[:, :4], y, batch_size=8, verbose=0)
    before = graphs(model)
    model.fit(x, y, batch_size=8, verbose=0)
    assert before == graphs(model)


# ---- waiting and memory ----------------------------------------------------------------------------------
@pytest.mark.parametrize("case", CASES)
def test_ordinary_steps_wait_for_nothing(gpu, case):
    build, data, _ = CASES[case]
    model = build()
    x, y = (tree.map_structure(lambda a: a[:8], part) for part in data())
    batch = one_batch(x, y)
    model.train_step(batch)
    before = state.uploads
    with forbid_waiting():
        for _ in range(3):
            logs = model.train_step(batch)
    assert state.uploads == before and logs.pending


@pytest.mark.parametrize("case", ["dropout", "batch normalization", "noise", "curves", "averages"])
def test_steps_wait_for_nothing(gpu, case):
    build, data, _ = CASES[case]
    x, y = data()
    model, _ = train(build, x, y)
    step = model._step_function()
    source = captured_source(model, x, y)
    used = step.memory.used_bytes(), step.memory.total_bytes()
    uploads, replays = state.uploads, graphs(model)[0].replays
    with forbid_waiting():
        for batch in source:
            logs = step(batch)
    assert graphs(model)[0].replays == replays + 2 and state.uploads == uploads
    assert used == (step.memory.used_bytes(), step.memory.total_bytes())
    assert logs.pending and logs["loss"] == logs["loss"]


def captured_source(model, x, y):
    """Return two whole batches as ``fit`` gathers them: where the step wants them."""
    source = make_source(x, y, batch_size=len(graphs(model)[0].inputs[0]), steps=2, shuffle=True)
    source.places = model._captured.places
    batches = (pack_x_y_sample_weight(*batch) for batch in source)
    first = next(batches)
    assert first[0].array is graphs(model)[0].inputs[0]
    return itertools.chain([first], batches)


def test_rates_are_written_when_they_change(gpu, monkeypatch):
    model, _ = train(lambda: mlp("sgd"), *table())
    rates, written = graphs(model)[0].rates, []
    cls = type(rates.rate)
    write = cls.fill
    monkeypatch.setattr(cls, "fill", lambda *args: written.append(args[-1]) or write(*args))
    rates.write()
    assert not written
    model.optimizer.learning_rate = 0.5
    written.clear()
    rates.write()
    assert written == [0.5, 0.5] and float(rates.rate.get()) == float(rates.flat.get()) == 0.5


def test_the_memory_of_graphs_goes_with_the_model(gpu):
    x, y = table()
    model, _ = train(lambda: mlp(rate=0.3), x, y)
    pool = model._captured.memory
    assert pool.total_bytes() > 0
    assert all(g.memory is pool for g in graphs(model)) and len(graphs(model)) == 2
    found, pool = weakref.ref(graphs(model)[0].graph), weakref.ref(pool)
    model.compile("sgd", "sparse_categorical_crossentropy")
    gc.collect()
    assert found() is None and pool() is None


def test_copies_of_a_model_capture_for_themselves(gpu):
    x, y = table()
    model, _ = train(mlp, x, y)
    other = copy.deepcopy(model)
    assert other._captured.model is other and not graphs(other)
    for one in (model, other):
        keras.utils.set_random_seed(3)
        one.fit(x, y, batch_size=8, epochs=2, verbose=0)
    assert graphs(other)
    for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    assert pickle.dumps(model)


# ---- explain ---------------------------------------------------------------------------------------------
def test_explain(gpu):
    x, y = table()
    model = mlp()
    assert keras.config.explain(model).splitlines()[1] == "mlp: not trained yet"
    model.fit(x, y, batch_size=8, epochs=4, verbose=0)
    device, name, whole, odd = keras.config.explain(model).splitlines()
    assert device == "new arrays go to gpu:0: GPU 0 (stand-in), CuPy " + device.rpartition(" ")[2]
    assert name == "mlp: training steps"
    assert whole == "  (8, 6) float32, (8,) int64: captured as a graph; 15 steps so"
    assert odd == "  (4, 6) float32, (4,) int64: captured as a graph, not tried yet"
    assert whole in keras.config.explain()
    eager = mlp(run_eagerly=True)
    assert keras.config.explain(eager).splitlines()[1] == "mlp: ordinary steps, as run_eagerly=True"
    keras.Sequential([layers.Dense(1)], name="raw").compile("sgd")
    assert keras.config.explain(keras.Sequential(name="raw")).splitlines()[1] == "raw: not compiled"


def test_explain_many_shapes_and_odd_batches(gpu):
    x, y = table()
    model = mlp()
    for size in range(1, 11):
        model.train_on_batch(x[:size], y[:size])
    assert "ordinary steps: 1 of 3 before it is recorded" in keras.config.explain(model)
    for _ in range(5):
        for size in range(1, 11):
            model.train_on_batch(x[:size], y[:size])
    text = keras.config.explain(model)
    assert f"ordinary steps, as {captured.MOST} shapes are recorded already" in text and "more shapes" in text
    assert len(graphs(model)) == captured.MOST


def test_explain_on_a_cpu():
    x, y = table()
    with backends.device_scope("cpu"):
        model, _ = train(mlp, x, y)
        assert re.search(r"\(8, 6\) float32, \(8,\) int64: recorded, \d+ calls; \d+ steps so",
                         keras.config.explain(model))
        model = recurrent()
        model.fit(*series(), batch_size=4, epochs=2, verbose=0)
        assert "(LSTM) is none of the layers that are recorded" in keras.config.explain(model)


def test_a_second_gpu():
    x, y = table()
    with emulated(device="gpu:1"):
        ordinary, expected = train(lambda: mlp(rate=0.3), x, y, eager=True)
        model, history = train(lambda: mlp(rate=0.3), x, y)
        assert graphs(model) and {v.device for v in model.trainable_variables} == {"gpu:1"}
        assert_alike(model, history, ordinary, expected)
        with backends.device_scope("gpu:0"):
            assert captured.hindrance(model) == "its weights do not lie on gpu:0"
