"""What models of Keras 2 could do, values in and out of models, premade models, functions and limits."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops


def problem(samples=12):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((samples, 3)).astype("float32")
    return x, x.sum(axis=1, keepdims=True)


def line(optimizer="sgd", **settings):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(1, kernel_initializer="ones", name="line")])
    model.compile(optimizer, "mse", **settings)
    return model


def batches(size=4, forever=False):
    x, y = problem()
    while True:
        for start in range(0, len(x), size):
            yield x[start:start + size], y[start:start + size] + 1
        if not forever:
            return


# ---- Keras 2 ----------------------------------------------------------------------------------------------
def test_generators():
    ours, plain = line(metrics=["mae"]), line(metrics=["mae"])
    history = ours.fit_generator(batches(forever=True), steps_per_epoch=3, epochs=2, verbose=0,
                                 validation_data=batches(forever=True), validation_steps=2, shuffle=False)
    expected = plain.fit(batches(forever=True), steps_per_epoch=3, epochs=2, verbose=0,
                         validation_data=batches(forever=True), validation_steps=2)
    assert history.history == expected.history
    assert ours.evaluate_generator(batches(), 3, 10) == plain.evaluate(batches(), steps=3, verbose=0)
    np.testing.assert_array_equal(ours.predict_generator(batches(), 3), plain.predict(batches(), verbose=0))


def test_classes():
    x, _ = problem(4)
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2, activation="softmax")])
    np.testing.assert_array_equal(model.predict_classes(x), model.predict(x, verbose=0).argmax(1))
    np.testing.assert_array_equal(model.predict_proba(x), model.predict(x, verbose=0))
    single = keras.Sequential([keras.Input((3,)), layers.Dense(1, activation="sigmoid")])
    np.testing.assert_array_equal(single.predict_classes(x), single.predict(x, verbose=0) > 0.5)
    assert model.model is model


class Two(keras.Model):
    def __init__(self):
        super().__init__()
        self.d1, self.more = layers.Dense(2), [layers.Dense(3, name="listed")]

    def call(self, x):
        return self.more[0](self.d1(x))


def test_weight_paths():
    model = Two()
    model(np.ones((1, 3)))
    assert list(model.get_weight_paths()) == ["d1.kernel", "d1.bias", "listed.kernel", "listed.bias"]
    assert list(line().get_weight_paths()) == ["line.kernel", "line.bias"]
    assert line().get_weight_paths()["line.bias"].shape == (1,)


def test_nodes_of_a_shared_layer():
    a, b = keras.Input((3,)), keras.Input((5, 3))
    layer = layers.Dense(2)
    first, second = layer(a), layer(b)
    assert layer.get_input_at(0) is a and layer.get_output_at(1) is second and len(layer.inbound_nodes) == 2
    assert layer.get_input_shape_at(1) == (None, 5, 3) and layer.get_output_shape_at(0) == (None, 2)
    assert layer.get_input_mask_at(0) is None is layer.output_mask and first is layer.output
    with pytest.raises(ValueError, match="no call number 2"):
        layer.get_output_at(2)
    added = layers.Add()
    added([first, layers.Dense(2)(a)])
    assert [t.shape for t in added.get_input_at(0)] == [(None, 2)] * 2
    with pytest.raises(ValueError):
        layer.assert_input_compatibility(np.ones((2, 4)))
    assert layer.compute_output_signature(keras.KerasTensor((None, 3))).shape == (None, 2)


def test_updates_and_losses_of_old():
    calls = []
    layer = layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l2", dynamic=True)
    layer(np.ones((1, 3)))
    layer.add_update([lambda: calls.append(1), None])
    assert calls == [1] and layer.updates == layer.get_updates_for(None) == []
    (of_weights,), (of_activity,) = layer.get_losses_for(None), layer.get_losses_for("inputs")
    np.testing.assert_allclose(float(of_weights) + float(of_activity), float(sum(layer.losses)), rtol=1e-6)
    assert not layer.dynamic and not layer.stateful and layer.finalize_state() is None


# ---- values in, values out ---------------------------------------------------------------------------------
def test_stateless_call_and_its_gradient():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2), layers.BatchNormalization(momentum=0.5)])
    x = ops.convert_to_tensor(np.arange(6, dtype="float32").reshape(2, 3))
    before = model.get_weights()
    values = [v * 2.0 for v in model.trainable_variables]
    state = [v.value for v in model.non_trainable_variables]
    with keras.GradientTape() as tape:
        tape.watch(values)
        outputs, new_state, losses = model.stateless_call(values, state, x, training=True, return_losses=True)
        total = ops.sum(outputs[:, 0] * ops.convert_to_tensor([1.0, 3.0]))
    assert losses == [] and all(g is not None for g in tape.gradient(total, values))
    for a, b in zip(before, model.get_weights()):
        np.testing.assert_array_equal(a, b)
    for variable, value in zip(model.trainable_variables, values):
        variable.assign(value)
    np.testing.assert_allclose(model(x, training=True).numpy(), outputs.numpy(), rtol=1e-5, atol=1e-6)
    for variable, value in zip(model.non_trainable_variables, new_state):
        np.testing.assert_allclose(variable.numpy(), value.numpy(), rtol=1e-6)
    with pytest.raises(ValueError, match="4 trainable_variables, 1 values"):
        model.stateless_call(values[:1], state, x)
    with pytest.raises(ValueError, match="needs a built layer"):
        layers.Dense(2).stateless_call([], [], x)


def test_stateless_loss_and_the_tree_of_states():
    model = line("adam", metrics=["mae"])
    x, y = problem()
    model.fit(x, y + 1, verbose=0)
    zeros = [ops.zeros_like(v) for v in model.trainable_variables]
    state = [v.value for v in model.metrics_variables]
    loss, (trained, other, metrics) = model.stateless_compute_loss(
        zeros, [], state, x, ops.convert_to_tensor(y), ops.zeros((12, 1)))
    np.testing.assert_allclose(float(loss), (y**2).mean(), rtol=1e-5)
    assert len(trained) == 2 and other == [] and len(metrics) == len(state)
    tree = model.get_state_tree("numpy_array")
    parts = ("metrics", "non_trainable", "optimizer", "trainable")
    assert sorted(tree) == [f"{name}_variables" for name in parts]
    kernel = tree["trainable_variables"][model.name]["line"]["kernel"]
    np.testing.assert_array_equal(kernel, model.get_weights()[0])
    model.set_state_tree({"trainable_variables": {model.name: {"line": {"kernel": kernel * 3}}}})
    np.testing.assert_allclose(model.get_weights()[0], kernel * 3)
    assert int(model.get_state_tree()["optimizer_variables"][model.optimizer.name]["iteration"]) == 1
    with pytest.raises(ValueError, match="unknown part"):
        model.set_state_tree({"weights": {}})
    with pytest.raises(ValueError, match="value_format"):
        model.get_state_tree("list")


# ---- models that are there already -------------------------------------------------------------------------
def test_sharpness_aware_step():
    """The step is along the gradient at the worst point near the weights, of each half of the batch."""
    x, y = problem(8)
    y = y * 2
    for splits in (None, 2):
        inner = line().layers[0]
        model = keras.models.experimental.SharpnessAwareMinimization(
            keras.Sequential([keras.Input((3,)), inner]), rho=0.3, num_batch_splits=splits)
        model.compile(keras.optimizers.SGD(0.1), "mse", metrics=["mae"])
        w = np.append(inner.get_weights()[0], 0.0)
        inputs = np.concatenate([x, np.ones((8, 1))], 1)
        total = 0
        for part in np.split(np.arange(8), splits or 1):
            def gradient(at, part=part):
                return 2 * inputs[part].T @ (inputs[part] @ at - y[part, 0]) / len(part)

            g = gradient(w)
            total = total + gradient(w + 0.3 * g / np.linalg.norm(g))
        logs = model.train_on_batch(x, y, return_dict=True)
        found = np.append(inner.get_weights()[0], inner.get_weights()[1])
        np.testing.assert_allclose(found, w - 0.1 * total, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(logs["loss"], ((inputs @ w - y[:, 0]) ** 2).mean(), rtol=1e-4)
        again = type(model).from_config(model.get_config())
        assert again.rho == 0.3 and again.num_batch_splits == splits
    assert model.predict(x, verbose=0).shape == (8, 1)


def test_linear_and_wide_deep():
    x, y = problem()
    linear = keras.experimental.LinearModel(
        2, activation="relu", kernel_regularizer="l2", bias_initializer="ones")
    found = linear({"b": x, "a": x[:, :2]})
    np.testing.assert_allclose(found.numpy(), 1)
    assert [layer.name for layer in linear.dense_layers] == ["a", "b"] and len(linear.losses) == 2
    with pytest.raises(ValueError, match="missing"):
        linear({"a": x[:, :2]})
    again = type(linear).from_config(linear.get_config())
    assert again.get_config() == linear.get_config()
    wide = keras.models.LinearModel(kernel_initializer="ones", use_bias=False)
    deep = keras.Sequential([layers.Dense(1, name="deep", kernel_initializer="zeros")])
    model = keras.experimental.WideDeepModel(wide, deep, activation="linear")
    model.compile([keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.1)], "mse")
    model.fit(x, y + 1, epochs=2, verbose=0)
    np.testing.assert_array_equal(wide.get_weights()[0], 1)
    assert np.any(deep.get_weights()[0])
    assert model([x, x]).shape == (12, 1)
    rebuilt = type(model).from_config(model.get_config())
    assert rebuilt.linear_model.units == 1 and rebuilt.dnn_model.layers[0].name == "deep"
    with pytest.raises(ValueError, match="one optimizer or two"):
        model.compile(["sgd"], "mse")


# ---- functions and operations ----------------------------------------------------------------------------
def test_function():
    a, b = keras.Input((2,), name="a"), keras.Input((2,), name="b")
    f = keras.Function({"a": a, "b": b}, [a + b, ops.sum(a * b, axis=-1)], name="f")
    x, y = np.ones((3, 2), "float32"), np.full((3, 2), 2, "float32")
    total, product = f({"a": x, "b": y})
    np.testing.assert_array_equal(total.numpy(), 3)
    np.testing.assert_array_equal(product.numpy(), 4)
    assert [t.shape for t in f({"a": keras.Input((2,)), "b": keras.Input((2,))})] == [(None, 2), (None,)]
    assert list(f.compute_output_shape({"a": (5, 2), "b": (5, 2)})) == [(5, 2), (5,)]
    assert f.name == "f" and len(f.inputs) == len(f.outputs) == 2 and len(f.operations) == 5


class Shift(keras.Operation):
    def __init__(self, by, name=None):
        super().__init__(name=name)
        self.by = by

    def call(self, x):
        return x + self.by

    def get_config(self):
        return {"by": self.by, "name": self.name}


def test_operation_of_the_users():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.Dense(1, kernel_initializer="ones")(Shift(2.0, name="shift")(inputs)))
    np.testing.assert_allclose(model.predict(np.ones((2, 3)), verbose=0), 9)
    model.compile("sgd", "mse")
    model.fit(np.ones((8, 3)), np.ones((8, 1)), batch_size=1, verbose=0)
    assert "shift (Shift)" in _summary(model)
    assert Shift.from_config(Shift(3.0).get_config()).by == 3.0
    with pytest.raises(NotImplementedError, match="must define call"):
        keras.Operation()(np.ones(2))


def _summary(model, **settings):
    lines = []
    model.summary(print_fn=lines.append, **settings)
    return "\n".join(lines)


def test_summary_of_nested_models():
    inner = keras.Sequential([keras.Input((3,)), layers.Dense(2, name="deep")], name="inner")
    model = keras.Sequential([keras.Input((3,)), inner, layers.Dense(1, name="top")])
    inner.trainable = False
    text = _summary(model, expand_nested=True, show_trainable=True, line_length=90)
    assert "└ deep (Dense)" in text and "Trainable" in text
    rows = [line for line in text.splitlines() if "Dense" in line or "inner" in line]
    assert [row.split("│")[-2].strip() for row in rows] == ["N", "N", "Y"]
    assert "top" not in _summary(model, layer_range=("inner", "inner"))


# ---- limits, errors ---------------------------------------------------------------------------------------
@pytest.fixture
def settings():
    yield keras.config
    keras.config.set_max_epochs(None)
    keras.config.set_max_steps_per_epoch(None)
    keras.config.enable_traceback_filtering()


def test_limits(settings, monkeypatch):
    x, y = problem()
    model = line()
    settings.set_max_epochs(2)
    settings.set_max_steps_per_epoch(3)
    with pytest.warns(UserWarning, match="2 epochs, the limit"):
        history = model.fit(x, y, batch_size=1, epochs=5, verbose=0)
    assert len(history.history["loss"]) == 2 and int(model.optimizer.iterations) == 6
    assert len(model.predict(x, batch_size=2, verbose=0)) == 6
    settings.set_max_epochs(None)
    settings.set_max_steps_per_epoch(None)
    monkeypatch.setenv("KERAS_MAX_EPOCHS", "4")
    assert settings.max_epochs() == 4 and settings.max_steps_per_epoch() is None
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="integer >= 1"):
            settings.set_max_epochs(wrong)


class Broken(layers.Layer):
    def call(self, x):
        raise ZeroDivisionError("here")


def test_tracebacks_leave_our_frames_out(settings):
    def frames():
        model = keras.Sequential([layers.Dense(2), Broken()])
        with pytest.raises(ZeroDivisionError) as found:
            model(np.ones((1, 3), "float32"))
        return [entry.path.name for entry in found.traceback]

    assert settings.is_traceback_filtering_enabled()
    short = frames()
    settings.disable_traceback_filtering()
    assert not settings.is_traceback_filtering_enabled() and len(short) < len(frames())
    assert short[-1] == "test_older.py"


def test_other_engines():
    with pytest.raises(ValueError, match="'cupy', 'numpy'"):
        keras.config.set_backend("jax")
    assert keras.config.is_nnx_enabled() is False
