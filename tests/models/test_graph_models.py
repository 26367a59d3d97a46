"""Functional, Sequential and subclassed models: structure, calls, configurations."""

import json

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops


def example(seed=0, shape=(4, 6)):
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


# ---- functional ------------------------------------------------------------------------------------
def test_functional_computes_what_its_layers_compute():
    inputs = keras.Input((6,))
    first, second = layers.Dense(5, activation="tanh"), layers.Dense(2)
    model = keras.Model(inputs, second(first(inputs)))
    x = example()
    k1, b1, k2, b2 = model.get_weights()
    np.testing.assert_allclose(model.predict(x, verbose=0), np.tanh(x @ k1 + b1) @ k2 + b2, rtol=1e-5)
    assert type(model) is keras.Functional and model.input_shape == (None, 6)
    assert model.output_shape == (None, 2) and model.get_layer(index=1) is first


def test_several_inputs_outputs_and_shared_layers():
    a, b = keras.Input((6,), name="a"), keras.Input((6,), name="b")
    shared = layers.Dense(3, name="shared")
    total = layers.Add()([shared(a), shared(b)])
    model = keras.Model([a, b], [total, ops.mean(total, axis=-1)])
    x, z = example(1), example(2)
    first, second = model.predict([x, z], verbose=0)
    kernel, bias = model.get_weights()
    expected = (x @ kernel + bias) + (z @ kernel + bias)
    np.testing.assert_allclose(first, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, expected.mean(axis=-1), rtol=1e-5, atol=1e-6)
    assert len(model.weights) == 2 and len(shared._inbound_nodes) == 2
    by_name = model.predict({"b": z, "a": x}, verbose=0)
    np.testing.assert_array_equal(by_name[0], first)


def test_dictionary_inputs_and_outputs():
    inputs = {"left": keras.Input((6,)), "right": keras.Input((6,))}
    model = keras.Model(inputs, {"sum": ops.add(inputs["left"], inputs["right"]), "left": inputs["left"] * 2})
    result = model.predict({"right": example(1), "left": example(2)}, verbose=0)
    np.testing.assert_allclose(result["sum"], example(1) + example(2), rtol=1e-6)
    np.testing.assert_allclose(result["left"], example(2) * 2)


def test_nested_models_and_feature_extraction():
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(4, name="inner_dense")], name="inner")
    inputs = keras.Input((6,))
    model = keras.Model(inputs, layers.Dense(2)(inner(inputs)))
    features = keras.Model(model.input, model.layers[-1].input)
    assert features.predict(example(), verbose=0).shape == (4, 4)
    inside = keras.Model(inner.inputs, inner.get_layer("inner_dense").output)
    np.testing.assert_allclose(inside.predict(example(), verbose=0), inner.predict(example(), verbose=0))
    assert len(model.weights) == 4


def test_replay_on_another_shape_and_symbolic_calls():
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, layers.GlobalAveragePooling1D()(layers.Conv1D(4, 2)(inputs)))
    assert model.compute_output_shape((2, 9, 3)) == (2, 4)
    again = keras.Model(x := keras.Input((5, 3)), model(x))
    assert again.output_shape == (None, 4)
    data = example(shape=(2, 5, 3))
    np.testing.assert_allclose(again.predict(data, verbose=0), model.predict(data, verbose=0))


def test_inputs_are_cast_and_ranks_adjusted():
    inputs = keras.Input((1,), dtype="int32")
    model = keras.Model(inputs, layers.Flatten()(layers.Embedding(5, 2)(inputs)))
    assert model.predict(np.array([1.0, 2.0]), verbose=0).shape == (2, 2)


def test_errors_name_the_input():
    a, b = keras.Input((6,), name="a"), keras.Input((3,), name="b")
    model = keras.Model([a, b], layers.Concatenate()([a, b]), name="pair")
    with pytest.raises(ValueError, match="'pair' expects 2 inputs"):
        model(example())
    with pytest.raises(ValueError, match=r"input 'b' expects shape \(None, 3\), came \(4, 6\)"):
        model([example(), example()])
    with pytest.raises(ValueError, match="no input named 'b'"):
        model({"a": example()})
    with pytest.raises(ValueError, match="not among the inputs"):
        keras.Model(a, layers.Concatenate()([a, b]))
    with pytest.raises(ValueError, match="did you mean 'concatenate"):
        model.get_layer("concatenat")
    with pytest.raises(TypeError, match="symbolic tensors"):
        keras.Model(a, example())


def test_layer_order_is_that_of_keras(real_keras):
    def build(k):
        a, b = k.Input((4,), name="a"), k.Input((4,), name="b")
        left = k.layers.Dense(3, name="left2")(k.layers.Dense(3, name="left1")(a))
        right = k.layers.Dense(3, name="right1")(b)
        merged = k.layers.Add(name="merged")([right, left])
        return k.Model([a, b], [k.layers.Dense(1, name="o2")(right), k.layers.Dense(1, name="o1")(merged)])

    assert [n.name for n in build(keras).layers] == [n.name for n in build(real_keras).layers]


@pytest.mark.parity
def test_configuration_is_read_by_real_keras(real_keras):
    inputs = keras.Input((6,), name="x")
    x = layers.Dense(4, activation="relu", kernel_regularizer="l2", name="d1")(inputs)
    x = layers.Concatenate(name="c")([x, layers.Dropout(0.5, name="drop")(inputs)])
    model = keras.Model(inputs, layers.BatchNormalization(name="bn")(x), name="m")
    real = real_keras.models.model_from_json(model.to_json())
    real.set_weights(model.get_weights())
    expected = model.predict(example(), verbose=0)
    np.testing.assert_allclose(real.predict(example(), verbose=0), expected, atol=1e-6)
    back = keras.models.model_from_json(real.to_json())
    back.set_weights(model.get_weights())
    np.testing.assert_allclose(back.predict(example(), verbose=0), expected, atol=1e-6)


def test_configuration_round_trip_with_ops_and_keyword_tensors():
    inputs = keras.Input((5, 6))
    memory, h, c = layers.LSTM(4, return_state=True)(inputs)
    x = layers.LSTM(4)(inputs, initial_state=[h, c])
    model = keras.Model(inputs, ops.concatenate([x, memory * 2.0], axis=-1) + 1.0)
    copy = keras.models.model_from_json(model.to_json())
    copy.set_weights(model.get_weights())
    data = example(shape=(3, 5, 6))
    np.testing.assert_allclose(copy.predict(data, verbose=0), model.predict(data, verbose=0), rtol=1e-6)
    clone = keras.models.clone_model(model)
    assert not np.allclose(clone.get_weights()[0], model.get_weights()[0])
    clone.set_weights(model.get_weights())
    np.testing.assert_allclose(clone.predict(data, verbose=0), model.predict(data, verbose=0), rtol=1e-6)


def test_keras2_configuration_is_read():
    config = {"class_name": "Model", "config": {"name": "old", "layers": [
        {"name": "in", "class_name": "InputLayer", "inbound_nodes": [],
         "config": {"batch_input_shape": [None, 3], "dtype": "float32", "sparse": False, "name": "in"}},
        {"name": "d", "class_name": "Dense", "inbound_nodes": [[["in", 0, 0, {}]]],
         "config": {"name": "d", "trainable": True, "units": 2, "activation": "relu", "use_bias": True,
                    "kernel_initializer": {"class_name": "VarianceScaling", "config": {
                        "scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}},
                    "bias_initializer": {"class_name": "Zeros", "config": {}},
                    "kernel_regularizer": None, "bias_regularizer": None, "activity_regularizer": None,
                    "kernel_constraint": None, "bias_constraint": None}}],
        "input_layers": [["in", 0, 0]], "output_layers": [["d", 0, 0]]}, "keras_version": "2.2.4"}
    model = keras.models.model_from_json(json.dumps(config))
    assert model.output_shape == (None, 2) and model.count_params() == 8


# ---- Sequential ------------------------------------------------------------------------------------
def test_sequential_builds_at_once_or_at_the_first_data():
    known = keras.Sequential([layers.Dense(3, input_shape=(6,)), layers.Dense(2)])
    assert known.built and known.output_shape == (None, 2)
    deferred = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    assert not deferred.built and deferred.weights == []
    with pytest.raises(ValueError, match="not built"):
        deferred.count_params()
    assert deferred.predict(example(), verbose=0).shape == (4, 2)
    assert deferred.count_params() == known.count_params() == 29
    assert deferred.layers[0].output.shape == (None, 3)


def test_sequential_add_and_pop():
    model = keras.Sequential(name="stack")
    model.add(keras.Input((6,)))
    model.add(layers.Dense(3))
    model.add(layers.Dense(2))
    assert model.output_shape == (None, 2)
    top = model.pop()
    assert model.output_shape == (None, 3) and top not in model.layers
    model.add(layers.Dense(7))
    assert model.output_shape == (None, 7)
    with pytest.raises(ValueError, match="different names"):
        model.add(layers.Dense(1, name=model.layers[0].name))
    with pytest.raises(TypeError, match="expects a layer"):
        model.add(3)
    with pytest.raises(ValueError, match="no layers"):
        keras.Sequential().pop()


def test_sequential_round_trip_and_summary(capsys):
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 3, name="conv"), layers.Flatten()],
                             name="small")
    copy = keras.Sequential.from_config(json.loads(json.dumps(model.get_config())))
    assert copy.output_shape == model.output_shape == (None, 8) and copy.name == "small"
    model.summary()
    text = capsys.readouterr().out
    for expected in ('Model: "small"', "conv (Conv2D)", "(None, 2, 2, 2)", "Total params: 20 (80.00 B)"):
        assert expected in text
    lines = []
    model.summary(print_fn=lines.append, line_length=60, show_trainable=True)
    assert all(len(line) <= 60 for line in lines[0].splitlines()[1:8])


def test_summary_of_a_branching_model_shows_connections():
    inputs = keras.Input((6,), name="x")
    a = layers.Dense(3, name="a")(inputs)
    model = keras.Model(inputs, layers.Add(name="sum")([a, layers.Dense(3, name="b")(inputs)]))
    lines = []
    model.summary(print_fn=lines.append)
    assert "Connected to" in lines[0] and "a[0][0], b[0][0]" in lines[0]


# ---- subclassed ------------------------------------------------------------------------------------
class Classifier(keras.Model):
    def __init__(self, units=5):
        super().__init__()
        self.units = units
        self.hidden = [layers.Dense(units, activation="relu") for _ in range(2)]
        self.heads = {"out": layers.Dense(3)}
        self.drop = layers.Dropout(0.5)

    def call(self, inputs, training=False):
        x = inputs
        for layer in self.hidden:
            x = layer(x)
        return self.heads["out"](self.drop(x, training=training))


def test_subclassed_models_find_their_layers():
    model = Classifier()
    assert model.predict(example(), verbose=0).shape == (4, 3)
    assert len(model.layers) == 4 and len(model.weights) == 6
    assert model.weights[0].path.startswith("classifier")
    np.testing.assert_allclose(model(example()).numpy(), model.predict(example(), verbose=0), rtol=1e-6)
    assert not np.allclose(model(example(), training=True).numpy(), model(example(), training=True).numpy())
    copy = Classifier.from_config(model.get_config())
    assert copy.units == 5


def test_subclass_of_a_functional_model():
    class Named(keras.Model):
        def __init__(self):
            inputs = keras.Input((6,))
            super().__init__(inputs=inputs, outputs=layers.Dense(2)(inputs), name="named")

    model = Named()
    assert model.predict(example(), verbose=0).shape == (4, 2) and model.output_shape == (None, 2)


def test_subclassed_model_builds_by_shape():
    model = Classifier()
    model.build((None, 6))
    assert model.count_params() == 6 * 5 + 5 + 30 + 18
    with pytest.raises(AttributeError, match="no symbolic"):
        _ = model.output_shape
    with pytest.raises(NotImplementedError, match=r"no call\(\) method"):
        keras.Model()(example())


def test_masks_pass_through_models():
    inputs = keras.Input((None,), dtype="int32")
    embedded = keras.Model(inputs, layers.Embedding(5, 3, mask_zero=True)(inputs))
    outer = keras.Sequential([embedded, layers.LSTM(2)])
    x = np.array([[1, 2, 0, 0]])
    full = outer.predict(x, verbose=0)
    lstm = outer.layers[-1]
    short = lstm(embedded(x[:, :2])).numpy()
    np.testing.assert_allclose(full, short, rtol=1e-5, atol=1e-6)
