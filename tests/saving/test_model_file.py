"""Whole models in ``.keras`` files."""

import json
import zipfile

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops
from gpukeras.saving import register_keras_serializable


def data(shape=(4,), samples=8):
    rng = np.random.default_rng(0)
    return rng.standard_normal((samples, *shape)).astype("float32"), rng.integers(0, 3, samples)


def compiled(model, k=keras):
    model.compile(k.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def mlp(k):
    x = k.layers
    return k.Sequential([k.Input((4,)), x.Dense(5, activation="relu", kernel_regularizer="l2"),
                         x.BatchNormalization(), x.Dense(3, activation="softmax")]), (4,)


def branches(k):
    inputs = k.Input((4,))
    x = k.layers.Dense(4, activation="tanh")(inputs)
    x = k.layers.Add()([x, k.layers.Dense(4)(x)])
    parts = [k.ops.relu(x) * 2.0 + 1.0, inputs[:, :2], k.ops.mean(x, axis=-1, keepdims=True)]
    x = k.ops.concatenate(parts, axis=-1)
    return k.Model(inputs, k.layers.Dense(3, activation="softmax")(x)), (4,)


def nested(k):
    inner = k.Sequential([k.Input((4,)), k.layers.Dense(4), k.Sequential([k.layers.Dense(4)])])
    inputs = k.Input((4,))
    return k.Model(inputs, k.layers.Dense(3, activation="softmax")(inner(inner(inputs)))), (4,)


def recurrent(k):
    inputs = k.Input((5, 4))
    x = k.layers.Bidirectional(k.layers.LSTM(3, return_sequences=True))(inputs)
    x = k.layers.TimeDistributed(k.layers.Dense(4))(x)
    x = k.layers.GRU(3, return_sequences=True)(x)
    x = k.layers.RNN([k.layers.LSTMCell(4), k.layers.SimpleRNNCell(2)])(x)
    return k.Model(inputs, k.layers.Dense(3, activation="softmax")(x)), (5, 4)


def convolutional(k):
    x = k.layers
    return k.Sequential([
        k.Input((8, 8, 2)), x.Conv2D(3, 3, padding="same", activation="relu"), x.MaxPooling2D(),
        x.BatchNormalization(), x.Flatten(), x.Dropout(0.0), x.Dense(3, activation="softmax"),
    ]), (8, 8, 2)


MODELS = [mlp, branches, nested, recurrent, convolutional]


def losses_of(model, x, y, epochs=3):
    return model.fit(x, y, epochs=epochs, verbose=0, shuffle=False).history["loss"]


def assert_goes_on(one, two, x, y, **tolerance):
    """Both predict alike, and train on alike."""
    np.testing.assert_allclose(one.predict(x, verbose=0), two.predict(x, verbose=0), atol=1e-5)
    np.testing.assert_allclose(losses_of(one, x, y), losses_of(two, x, y), **tolerance)


@pytest.mark.parametrize("build", MODELS)
def test_a_loaded_model_goes_on_where_it_was(tmp_path, build):
    model, shape = build(keras)
    x, y = data(shape)
    losses_of(compiled(model), x, y)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert [w.shape for w in loaded.weights] == [w.shape for w in model.weights]
    assert int(loaded.optimizer.iterations) == 3
    assert [layer.get_config() for layer in loaded.layers] == [layer.get_config() for layer in model.layers]
    assert_goes_on(model, loaded, x, y, rtol=1e-6)
    loaded = keras.models.load_model(str(tmp_path / "m.keras"), compile=False)
    assert not loaded.compiled


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("build", MODELS)
def test_files_are_shared_with_real_keras(real_keras, tmp_path, build):
    for source, target in ((keras, real_keras), (real_keras, keras)):
        model, shape = build(source)
        x, y = data(shape)
        losses_of(compiled(model, source), x, y)
        model.save(path := str(tmp_path / f"{source.__name__}.keras"))
        assert_goes_on(model, target.models.load_model(path), x, y, rtol=1e-3)


# ---- custom objects --------------------------------------------------------------------------------
@register_keras_serializable("tests")
class Scale(layers.Layer):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

    def call(self, x):
        return x * self.w * self.factor

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Plain(layers.Layer):
    """No ``get_config``: the arguments are plain."""

    def __init__(self, units, activation="relu"):
        super().__init__()
        self.dense = layers.Dense(units, activation=activation)

    def call(self, x):
        return self.dense(x)


def twice(x):
    return 2 * x


def own_loss(y_true, y_pred):
    return ops.mean(ops.square(y_true - y_pred), axis=-1)


def test_custom_objects_registered_and_passed(tmp_path):
    inputs = keras.Input((4,))
    x = Plain(3)(Scale(2.0)(inputs))
    model = keras.Model(inputs, layers.Dense(1, activation=twice)(x))
    model.compile("sgd", own_loss, metrics=[own_loss])
    model.save(tmp_path / "m.keras")
    custom = {"Plain": Plain, "twice": twice, "own_loss": own_loss}
    x = data()[0]
    loaded = keras.models.load_model(tmp_path / "m.keras", custom_objects=custom)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert loaded.loss is own_loss
    with keras.saving.custom_object_scope(custom):
        keras.models.load_model(tmp_path / "m.keras")
    message = r"cannot find class 'Plain'.*register_keras_serializable.*custom_objects"
    with pytest.raises(ValueError, match=message):
        keras.models.load_model(tmp_path / "m.keras")


@register_keras_serializable("tests")
class Classifier(keras.Model):
    def __init__(self, hidden, classes=3, **kwargs):
        super().__init__(**kwargs)
        self.hidden, self.classes = hidden, classes
        self.blocks = [layers.Dense(hidden, activation="relu") for _ in range(2)]
        self.head = layers.Dense(classes, activation="softmax")
        self.tracker = keras.metrics.Mean(name="tracker")

    def call(self, x, training=False):
        for layer in self.blocks:
            x = layer(x)
        return self.head(x)

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "classes": self.classes}


def test_subclassed_models(tmp_path):
    x, y = data()
    model = compiled(Classifier(6))
    losses_of(model, x, y)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert type(loaded) is Classifier and loaded.hidden == 6
    assert_goes_on(model, loaded, x, y, rtol=1e-6)


def test_a_subclassed_model_inside_a_functional_one(tmp_path):
    inputs = keras.Input((4,))
    model = compiled(keras.Model(inputs, Classifier(5)(layers.Dense(4)(inputs))))
    x, y = data()
    losses_of(model, x, y)
    model.save(tmp_path / "m.keras")
    assert_goes_on(model, keras.models.load_model(tmp_path / "m.keras"), x, y, rtol=1e-6)


def test_lambdas_are_loaded_only_when_asked(tmp_path):
    inputs = keras.Input((4,))
    model = keras.Model(inputs, layers.Lambda(lambda t: t * 3)(inputs))
    with pytest.warns(UserWarning, match="lambda"):
        model.save(tmp_path / "m.keras")
    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.models.load_model(tmp_path / "m.keras")
    x = data()[0]
    loaded = keras.models.load_model(tmp_path / "m.keras", safe_mode=False)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), 3 * x)


def test_several_inputs_outputs_losses_and_schedules(tmp_path):
    a, b = keras.Input((4,), name="a"), keras.Input((2,), name="b")
    x = layers.Concatenate()([a, b])
    model = keras.Model({"a": a, "b": b}, {"one": layers.Dense(1)(x), "two": layers.Dense(2)(x)})
    model.compile(
        keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.9), momentum=0.9),
        loss={"one": "mse", "two": keras.losses.Huber(delta=0.5)}, loss_weights={"one": 1.0, "two": 0.5},
        metrics={"one": ["mae"], "two": [keras.metrics.RootMeanSquaredError()]},
    )
    x = {"a": data()[0], "b": data((2,))[0]}
    y = {"one": data((1,))[0], "two": data((2,))[0]}
    losses_of(model, x, y)
    model.save(tmp_path / "m.keras")
    loaded = keras.models.load_model(tmp_path / "m.keras")
    assert losses_of(model, x, y) == losses_of(loaded, x, y)
    found = [m.evaluate(x, y, verbose=0, return_dict=True) for m in (model, loaded)]
    assert found[0] == found[1]


# ---- the file itself -------------------------------------------------------------------------------
def test_the_file_says_what_it_is(tmp_path):
    model = mlp(keras)[0]
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert sorted(archive.namelist()) == ["config.json", "metadata.json", "model.weights.h5"]
        assert set(json.loads(archive.read("metadata.json"))) == {"keras_version", "date_saved"}
    assert [p.name for p in tmp_path.iterdir()] == ["m.keras"]


def test_names_and_overwriting(tmp_path):
    model = mlp(keras)[0]
    with pytest.raises(ValueError, match=r"\.keras file, came .*save_weights"):
        model.save(tmp_path / "folder")
    model.save(tmp_path / "m.keras")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save(tmp_path / "m.keras", overwrite=False)
    with pytest.raises(TypeError, match=r"unknown arguments \['colour'\]"):
        model.save(tmp_path / "m.keras", colour="red")
    with pytest.raises(ValueError, match="not built yet"):
        keras.Sequential([layers.Dense(2)]).save(tmp_path / "n.keras")


def test_broken_files_are_named(tmp_path):
    model = mlp(keras)[0]
    path = tmp_path / "m.keras"
    with pytest.raises(FileNotFoundError, match="no model file"):
        keras.models.load_model(path)
    path.write_text("text")
    with pytest.raises(ValueError, match=r"is not a \.keras file"):
        keras.models.load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match=r"\['model.weights.h5'\] missing"):
        keras.models.load_model(path)
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", b"no HDF5")
    with pytest.raises(ValueError, match="model.weights.h5 in .* is not an HDF5 file"):
        keras.models.load_model(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", config[:50])
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(ValueError, match="config.json .* cannot be read"):
        keras.models.load_model(path)


def test_a_file_cannot_name_what_is_no_model(tmp_path):
    path = tmp_path / "m.keras"
    for config in (
        {"module": "os", "class_name": "system", "config": {"command": "true"}, "registered_name": None},
        {"module": "keras.layers", "class_name": "Dense", "config": {"units": 2}, "registered_name": None},
    ):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("config.json", json.dumps(config))
            archive.writestr("model.weights.h5", b"")
        with pytest.raises(ValueError, match="cannot find class 'system'|holds a Dense, not a model"):
            keras.models.load_model(path)


def test_ops_by_the_names_of_keras_only():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, ops.relu(inputs))
    config = json.loads(model.to_json())
    op = config["config"]["layers"][1]
    assert (op["module"], op["class_name"]) == ("keras.src.ops.nn", "Relu")
    for name in ("Nothing", "System", "_unique", "importlib"):
        op["class_name"] = name
        with pytest.raises(ValueError, match=f"names op '{name}', which is not known"):
            keras.models.model_from_json(json.dumps(config))


@pytest.mark.parity
def test_every_op_is_written_as_keras_has_it(real_keras):
    import importlib

    from gpukeras.models import op_config
    from gpukeras.op import REGISTRY

    for own, op in REGISTRY.items():
        if not op.__module__.startswith("gpukeras."):  # made by another test
            continue
        if own in op_config._OURS or own.startswith("_") and own not in op_config._NAMES:
            continue
        name = op_config.keras_name(own)
        module = importlib.import_module(f"keras.src.ops.{op_config._MODULE_OF.get(name, 'numpy')}")
        assert hasattr(module, name), f"{own}: no {name} in {module.__name__}"


OPS = {
    "slice": lambda ops, x, y: x[:, 1:3], "ellipsis": lambda ops, x, y: x[..., None],
    "arithmetic": lambda ops, x, y: (3 - x) * 2,
    "einsum": lambda ops, x, y: ops.einsum("bij,bik->bjk", y, y), "clip": lambda ops, x, y: ops.clip(x, 0, 1),
    "take": lambda ops, x, y: ops.take(x, [0, 2], axis=1), "softmax": lambda ops, x, y: ops.softmax(x),
    "pad": lambda ops, x, y: ops.pad(y, ((0, 0), (1, 1), (0, 0)), constant_values=2.0),
    "split": lambda ops, x, y: ops.split(x, 2, axis=-1)[1],
    "where": lambda ops, x, y: ops.where(x > 0, x, 0.0),
    "top_k": lambda ops, x, y: ops.top_k(x, 2)[0], "reshape": lambda ops, x, y: ops.reshape(y, (-1, 12)),
    "stop_gradient": lambda ops, x, y: ops.stop_gradient(x),
    "constant": lambda ops, x, y: x @ np.eye(4, dtype="float32"),
    "one_hot": lambda ops, x, y: ops.one_hot(ops.argmax(x, axis=-1), 4),
    "cast": lambda ops, x, y: ops.cast(x > 0, "float32"),
    "stack": lambda ops, x, y: ops.stack([x, x], axis=1),
    "full_like": lambda ops, x, y: ops.full_like(x, 3.0),
    "isclose": lambda ops, x, y: ops.isclose(x, x * 1.1, 0.5),
    "repeat": lambda ops, x, y: ops.repeat(x, 2, axis=1),
}


@pytest.mark.parity
@pytest.mark.parametrize("case", OPS)
def test_ops_in_models_are_shared_with_real_keras(real_keras, case):
    values = [data((4,), 3)[0], data((4, 3), 3)[0]]
    for source, target in ((keras, real_keras), (real_keras, keras), (keras, keras)):
        inputs = [source.Input((4,)), source.Input((4, 3))]
        model = source.Model(inputs, OPS[case](source.ops, *inputs))
        again = target.models.model_from_json(model.to_json())
        found = [m.predict(values, verbose=0) for m in (model, again)]
        np.testing.assert_allclose(*found, atol=1e-5)
