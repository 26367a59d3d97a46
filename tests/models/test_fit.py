"""compile, fit, evaluate, predict and what users override."""

import warnings

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops


def problem(count=64, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((count, 4)).astype("float32")
    return x, (x @ np.array([[1.0], [-2.0], [0.5], [3.0]]) + 0.3).astype("float32")


def linear(loss="mse", optimizer=None, **kwargs):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile(optimizer=optimizer or keras.optimizers.SGD(0.1), loss=loss, **kwargs)
    return model


# ---- fit -------------------------------------------------------------------------------------------
def test_fit_learns_on_both_devices(backend):
    x, y = problem()
    model = linear(metrics=["mae"])
    history = model.fit(x, y, epochs=30, batch_size=16, verbose=0, validation_split=0.25)
    assert list(history.history) == ["loss", "mae", "val_loss", "val_mae"]
    assert history.history["val_loss"][-1] < 1e-3 < history.history["val_loss"][0]
    assert history.epoch == list(range(30)) and model.history is history
    loss, mae = model.evaluate(x, y, verbose=0)
    np.testing.assert_allclose(model.predict(x, verbose=0), y, atol=0.1)
    assert loss < 1e-3 and isinstance(loss, float)
    assert model.evaluate(x, y, verbose=0, return_dict=True) == {"loss": loss, "mae": mae}


def test_same_seed_same_run():
    x, y = problem()

    def run():
        model = linear()
        return model.fit(x, y, epochs=2, batch_size=8, verbose=0).history["loss"], model.get_weights()

    (a, wa), (b, wb) = run(), run()
    assert a == b
    for one, two in zip(wa, wb):
        np.testing.assert_array_equal(one, two)


def test_loss_is_the_mean_over_samples_with_a_short_last_batch():
    x, y = problem(10)
    model = linear(optimizer=keras.optimizers.SGD(0.0), metrics=["mae"])
    history = model.fit(x, y, batch_size=4, verbose=0)
    error = x @ model.get_weights()[0] + model.get_weights()[1] - y
    np.testing.assert_allclose(history.history["loss"][0], (error**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(history.history["mae"][0], np.abs(error).mean(), rtol=1e-5)


def test_sample_and_class_weights_reach_loss_and_weighted_metrics():
    x, y = problem(8)
    w = np.arange(8, dtype="float32")
    model = linear(optimizer=keras.optimizers.SGD(0.0), metrics=["mae"], weighted_metrics=["mse"])
    result = model.evaluate(x, y, sample_weight=w, batch_size=8, verbose=0, return_dict=True)
    error = (x @ model.get_weights()[0] + model.get_weights()[1] - y)[:, 0]
    np.testing.assert_allclose(result["loss"], (w * error**2).mean(), rtol=1e-5)
    np.testing.assert_allclose(result["mse"], (w * error**2).sum() / w.sum(), rtol=1e-5)
    np.testing.assert_allclose(result["mae"], np.abs(error).mean(), rtol=1e-5)


def test_a_weighted_metric_beside_an_unweighted_one_has_a_name_of_its_own():
    x, y = problem(8)
    model = linear(optimizer=keras.optimizers.SGD(0.0), metrics=["mae"], weighted_metrics=["mae"])
    w = np.arange(8, dtype="float32")
    found = model.evaluate(x, y, sample_weight=w, verbose=0, return_dict=True)
    error = np.abs(x @ model.get_weights()[0] + model.get_weights()[1] - y)[:, 0]
    assert list(found) == ["loss", "mae", "weighted_mae"]
    np.testing.assert_allclose(found["mae"], error.mean(), rtol=1e-5)
    np.testing.assert_allclose(found["weighted_mae"], (w * error).sum() / w.sum(), rtol=1e-5)


def test_masks_and_sample_weights_meet_in_sequence_outputs():
    ids = np.array([[1, 2, 0], [3, 0, 0]])
    target = np.arange(6, dtype="float32").reshape(2, 3, 1)
    weights = np.array([1.0, 3.0], "float32")
    model = keras.Sequential([keras.Input((3,)), layers.Embedding(4, 2, mask_zero=True), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse", weighted_metrics=["mae"])
    found = model.evaluate(ids, target, sample_weight=weights, verbose=0, return_dict=True)
    error = np.abs(model.predict(ids, verbose=0) - target)[..., 0]
    factors = np.array([[1, 1, 0], [3, 0, 0]])
    np.testing.assert_allclose(found["mae"], (error * factors).sum() / factors.sum(), rtol=1e-5)
    np.testing.assert_allclose(found["loss"], (error**2 * factors).sum() / 3, rtol=1e-5)


def test_initial_epoch_steps_and_validation_frequency():
    x, y = problem()
    model = linear()
    seen = []

    class Spy(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append(("epoch", epoch))

        def on_train_batch_end(self, batch, logs=None):
            seen.append(("batch", batch))

        def on_test_begin(self, logs=None):
            seen.append("test")

    model.fit(x, y, initial_epoch=2, epochs=4, steps_per_epoch=2, batch_size=8, verbose=0,
              validation_data=(x, y), validation_freq=2, callbacks=[Spy()])
    assert seen == [
        ("epoch", 2), ("batch", 0), ("batch", 1), ("epoch", 3), ("batch", 0), ("batch", 1), "test",
    ]


def test_generators_and_data_sets():
    x, y = problem()

    def batches():
        while True:
            for i in range(0, 64, 16):
                yield x[i:i + 16], y[i:i + 16]

    model = linear()
    history = model.fit(batches(), steps_per_epoch=4, epochs=20, verbose=0,
                        validation_data=batches(), validation_steps=2)
    assert history.history["val_loss"][-1] < 1e-2
    assert model.evaluate(batches(), steps=4, verbose=0) < 1e-2
    assert model.predict((b[0] for _, b in zip(range(3), batches())), verbose=0).shape == (48, 1)


def test_deferred_and_subclassed_models_train():
    x, y = problem()
    keras.utils.set_random_seed(0)

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = layers.Dense(8, activation="tanh")
            self.b = layers.Dense(1)

        def call(self, inputs):
            return self.b(self.a(inputs))

    for model in (Net(), keras.Sequential([layers.Dense(8, activation="tanh"), layers.Dense(1)])):
        model.compile(keras.optimizers.Adam(0.02), "mse")
        losses = model.fit(x, y, epochs=30, batch_size=8, verbose=0).history["loss"]
        assert losses[-1] < losses[0] / 2


def two_outputs(**kwargs):
    keras.utils.set_random_seed(1)
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    x = layers.Concatenate()([a, b])
    outputs = [layers.Dense(1, name="price")(x), layers.Dense(3, activation="softmax", name="kind")(x)]
    model = keras.Model([a, b], outputs)
    model.compile(optimizer=keras.optimizers.SGD(0.0), **kwargs)
    return model


@pytest.mark.parametrize("style", ["list", "dict"])
def test_several_outputs_by_position_and_name(style):
    x, y = problem(8)
    kinds = np.arange(8) % 3
    losses, weights = ["mse", "sparse_categorical_crossentropy"], [0.5, 2.0]
    metrics = [["mae"], ["accuracy"]]
    if style == "dict":
        names = ["price", "kind"]
        losses, weights, metrics = (dict(zip(names, v)) for v in (losses, weights, metrics))
    model = two_outputs(loss=losses, loss_weights=weights, metrics=metrics)
    target = {"price": y, "kind": kinds} if style == "dict" else [y, kinds]
    found = model.evaluate([x, x], target, verbose=0, return_dict=True)
    price, kind = model.predict({"a": x, "b": x}, verbose=0)
    mse = ((price - y) ** 2).mean()
    cross = -np.log(kind[np.arange(8), kinds]).mean()
    np.testing.assert_allclose(found["price_loss"], mse, rtol=1e-5)
    np.testing.assert_allclose(found["kind_loss"], cross, rtol=1e-5)
    np.testing.assert_allclose(found["loss"], 0.5 * mse + 2 * cross, rtol=1e-5)
    np.testing.assert_allclose(found["price_mae"], np.abs(price - y).mean(), rtol=1e-5)
    assert found["kind_accuracy"] == pytest.approx((kind.argmax(1) == kinds).mean())
    assert set(found) == {"loss", "price_loss", "kind_loss", "price_mae", "kind_accuracy"}


def test_accuracy_is_chosen_by_shape():
    x, _ = problem(8)
    for units, y, kind in ((1, np.ones((8, 1)), "BinaryAccuracy"),
                           (3, np.zeros(8, int), "SparseCategoricalAccuracy"),
                           (3, np.eye(3)[np.zeros(8, int)], "CategoricalAccuracy")):
        model = keras.Sequential([layers.Dense(units)])
        model.compile("sgd", "mse" if units == 1 or y.ndim == 2 else "sparse_categorical_crossentropy",
                      metrics=["acc"])
        model.fit(x, y, verbose=0)
        assert type(model.metrics[1]).__name__ == kind and model.metrics_names == ["loss", "acc"]
        assert model.history.history["accuracy"] == model.history.history["acc"]  # either spelling is found


def test_targets_without_a_last_axis_are_aligned():
    x, y = problem(16)
    flat, column = linear(), linear()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        a = flat.fit(x, y[:, 0], epochs=3, shuffle=False, verbose=0).history["loss"]
    b = column.fit(x, y, epochs=3, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(a, b, rtol=1e-6)


# ---- what users override ---------------------------------------------------------------------------
def test_custom_train_step_with_own_metrics():
    class Custom(keras.Sequential):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.tracker = keras.metrics.Mean(name="my_loss")

        def train_step(self, data):
            x, y = data[0], data[1]
            with keras.GradientTape() as tape:
                loss = ops.mean(ops.square(self(x, training=True) - y))
            grads = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(zip(grads, self.trainable_variables))
            self.tracker.update_state(loss)
            return {"my_loss": self.tracker.result()}

        @property
        def metrics(self):
            return [self.tracker]

    x, y = problem()
    model = Custom([keras.Input((4,)), layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    history = model.fit(x, y, epochs=20, verbose=0).history
    assert list(history) == ["my_loss"] and history["my_loss"][-1] < 1e-2


def test_compute_loss_override_and_add_loss_alone():
    class Doubled(keras.Sequential):
        def compute_loss(self, x, y, y_pred, sample_weight):
            return 2.0 * super().compute_loss(x, y, y_pred, sample_weight)

    x, y = problem(8)
    keras.utils.set_random_seed(1)
    model = Doubled([keras.Input((4,)), layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    plain = linear(optimizer=keras.optimizers.SGD(0.0))
    assert model.evaluate(x, y, verbose=0) == pytest.approx(2 * plain.evaluate(x, y, verbose=0))

    class Auto(keras.Model):
        def __init__(self):
            super().__init__()
            self.code = layers.Dense(2)
            self.back = layers.Dense(4)

        def call(self, inputs):
            y = self.back(self.code(inputs))
            self.add_loss(ops.mean(ops.square(y - inputs)))
            return y

    auto = Auto()
    auto.compile(keras.optimizers.Adam(0.02))
    losses = auto.fit(x, epochs=40, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 2


def test_regularizers_activity_and_symbolic_losses_count():
    x, y = problem(8)
    inputs = keras.Input((4,))
    hidden = layers.Dense(3, kernel_regularizer=keras.regularizers.L2(0.1), activity_regularizer="l1")(inputs)
    model = keras.Model(inputs, layers.Dense(1)(hidden))
    model.add_loss(ops.mean(ops.abs(hidden)) * 3.0)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    k, b, k2, b2 = model.get_weights()
    h = x @ k + b
    expected = ((h @ k2 + b2 - y) ** 2).mean() + 0.1 * (k**2).sum()
    expected += 0.01 * np.abs(h).sum() / 8 + 3 * np.abs(h).mean()
    assert model.evaluate(x, y, batch_size=8, verbose=0) == pytest.approx(expected, rel=1e-5)
    before = model.get_weights()
    model.optimizer.learning_rate = 0.01
    model.fit(x, y, verbose=0)
    assert not np.allclose(before[0], model.get_weights()[0])


def test_trainable_counts_as_it_was_at_compile():
    x, y = problem()
    base = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="base")])
    model = keras.Sequential([base, layers.Dense(1)])
    base.trainable = False
    model.compile("sgd", "mse")
    frozen = base.get_weights()[0]
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(base.get_weights()[0], frozen)
    base.trainable = True
    with pytest.warns(UserWarning, match="trainable was changed after compile"):
        model.fit(x, y, verbose=0)  # not compiled again: still frozen
    np.testing.assert_array_equal(base.get_weights()[0], frozen)
    model.compile("sgd", "mse")
    model.fit(x, y, verbose=0)
    assert not np.array_equal(base.get_weights()[0], frozen)


def test_a_gan_of_the_old_kind_trains_both_sides():
    """The discriminator is frozen only inside the combined model, which was compiled after."""
    keras.utils.set_random_seed(2)
    judge = keras.Sequential([
        keras.Input((2,)), layers.Dense(8, activation="relu"), layers.Dense(1, activation="sigmoid"),
    ])
    judge.compile("adam", "binary_crossentropy")
    maker = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    judge.trainable = False
    noise = keras.Input((3,))
    both = keras.Model(noise, judge(maker(noise)))
    both.compile("adam", "binary_crossentropy")
    rng = np.random.default_rng(0)
    j0, m0 = judge.get_weights(), maker.get_weights()
    judge.train_on_batch(rng.standard_normal((8, 2)), np.ones((8, 1)))
    j1 = judge.get_weights()
    assert not np.array_equal(j0[0], j1[0])
    both.train_on_batch(rng.standard_normal((8, 3)), np.ones((8, 1)))
    assert not np.array_equal(m0[0], maker.get_weights()[0])
    for a, b in zip(j1, judge.get_weights()):
        np.testing.assert_array_equal(a, b)


# ---- single batches --------------------------------------------------------------------------------
def test_on_batch_methods():
    x, y = problem(8)
    model = linear(metrics=["mae"])
    first = model.train_on_batch(x, y)
    assert len(first) == 2 and isinstance(first[0], float)
    logs = model.test_on_batch(x, y, return_dict=True, reset_metrics=True)
    assert set(logs) == {"loss", "mae"} and logs["loss"] < first[0]
    np.testing.assert_array_equal(model.predict_on_batch(x), model.predict(x, verbose=0))
    weighted = model.test_on_batch(x, y, sample_weight=np.zeros(8), reset_metrics=True)
    assert weighted[0] == 0


# ---- errors ----------------------------------------------------------------------------------------
def test_errors_say_what_to_do():
    x, y = problem(8)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)], name="net")
    for call in (lambda: model.fit(x, y), lambda: model.evaluate(x, y), lambda: model.train_on_batch(x, y)):
        with pytest.raises(RuntimeError, match="'net' must be compiled"):
            call()
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        model.compile("sgd", "mean_square_error")
    with pytest.raises(ValueError, match="did you mean"):
        model.compile("adm", "mse")
    with pytest.raises(ValueError, match="did you mean"):
        model.compile("sgd", "mse", metrics=["acuracy"])
    with pytest.raises(TypeError, match="unknown arguments"):
        model.compile("sgd", "mse", metric=["mae"])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no targets y"):
        model.fit(x, verbose=0)
    with pytest.raises(ValueError, match=r"expects shape \(None, 4\), came \(8, 3\)|expected"):
        model.fit(x[:, :3], y, verbose=0)
    model.compile("sgd")
    with pytest.raises(ValueError, match="no loss to compute"):
        model.fit(x, y, verbose=0)
    with pytest.raises(ValueError, match="validation_split needs arrays"):
        model.compile("sgd", "mse")
        model.fit((b for b in [(x, y)]), validation_split=0.5)


def test_multi_output_errors_name_the_outputs():
    x, y = problem(8)
    model = two_outputs(loss={"prize": "mse"})
    message = r"names \['prize'\], but the outputs are called \['price', 'kind'\]"
    with pytest.raises(ValueError, match=message):
        model.fit([x, x], [y, y], verbose=0)
    model = two_outputs(loss=["mse", "mse"])
    with pytest.raises(ValueError, match="1 targets were given for 2 outputs"):
        model.fit([x, x], y, verbose=0)


def test_bad_train_step_result():
    class Silent(keras.Sequential):
        def train_step(self, data):
            return 3.0

    x, y = problem(8)
    model = Silent([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(TypeError, match="must return a dictionary"):
        model.fit(x, y, verbose=0)


def test_nan_is_found_and_named():
    x, y = problem(8)

    def broken():
        model = keras.Sequential([
            keras.Input((4,)), layers.Dense(2, name="fine"),
            layers.Lambda(lambda t: ops.log(t * 0.0 - 1.0), name="broken"), layers.Dense(1)])
        model.compile("sgd", "mse")
        return model

    with np.errstate(invalid="ignore"):
        history = broken().fit(x, y, epochs=5, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
        assert len(history.history["loss"]) <= 1
        keras.config.check_numerics(True)
        try:
            with pytest.raises(FloatingPointError, match="'broken'"):
                broken().fit(x, y, verbose=0)
        finally:
            keras.config.check_numerics(False)


def test_steps_per_execution_groups_batch_hooks():
    x, y = problem(40)
    model = linear(steps_per_execution=4)
    seen = []
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    model.fit(x, y, batch_size=4, verbose=0, callbacks=[callback])
    assert seen == [3, 7, 9]
    seen.clear()
    callback = keras.callbacks.LambdaCallback(on_test_batch_end=lambda batch, logs: seen.append(batch))
    model.evaluate(x, y, batch_size=4, verbose=0, callbacks=[callback])
    assert seen == [3, 7, 9]


@pytest.mark.parametrize("optimizer", [
    lambda: keras.optimizers.SGD(0.1, loss_scale_factor=64.0),
    lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), initial_scale=8.0),
], ids=["factor", "dynamic"])
def test_loss_scaling_changes_nothing_but_the_range(optimizer):
    x, y = problem()
    plain, scaled = linear(), linear(optimizer=optimizer())
    a = plain.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]
    b = scaled.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]
    np.testing.assert_allclose(a, b, rtol=1e-5)


def test_mixed_float16_scales_the_loss_by_itself():
    x, y = problem()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = keras.Sequential([keras.Input((4,)), layers.Dense(8, activation="relu"),
                                  layers.Dense(1, dtype="float32")])
        model.compile(keras.optimizers.Adam(0.02), "mse")
    finally:
        keras.config.set_dtype_policy(None)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert model.layers[0].kernel.dtype == "float32" and model.layers[0].compute_dtype == "float16"
    losses = model.fit(x, y, epochs=30, batch_size=16, verbose=0).history["loss"]
    assert losses[-1] < losses[0] / 3


@pytest.mark.parametrize("wrap", [lambda o: o, keras.optimizers.LossScaleOptimizer], ids=["plain", "scaled"])
def test_averaged_weights_stand_in_after_fit(wrap):
    x, y = problem()
    inner = keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5)
    model = linear(optimizer=wrap(inner))
    model.fit(x, y, epochs=2, verbose=0)
    average = inner._model_variables_moving_average[0]
    np.testing.assert_array_equal(model.get_weights()[0], average.numpy())


def test_stop_training_from_a_callback():
    x, y = problem()
    model = linear()

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    history = model.fit(x, y, epochs=9, batch_size=8, verbose=0, callbacks=[Stop()])
    assert len(history.epoch) == 1


def test_metrics_third_by_position_as_in_tf_keras():
    x, y = problem(8)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(1)])
    model.compile("sgd", "mse", ["mae"])
    assert list(model.evaluate(x, y, verbose=0, return_dict=True)) == ["loss", "mae"]


def test_train_step_gets_what_fit_was_given():
    seen = []

    class Look(keras.Model):
        def train_step(self, data):
            seen.append(data)
            return {"loss": 0.0}

    model = Look(inputs := keras.Input((3,)), layers.Dense(1)(inputs))
    model.compile()
    x, y, w = np.ones((2, 3)), np.ones((2, 1)), np.ones(2)
    for given in ((x,), (x, y), (x, y, w)):
        model.fit(*given[:2], sample_weight=w if len(given) == 3 else None, verbose=0)
    assert not isinstance(seen[0], tuple) and seen[0].shape == (2, 3)
    assert [len(s) for s in seen[1:]] == [2, 3]
    model.fit([x], verbose=0)
    assert isinstance(seen[-1], tuple) and len(seen[-1]) == 1
