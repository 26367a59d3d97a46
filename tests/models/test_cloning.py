"""Copies of models, and models from configurations."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers


def stack(**settings):
    return keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="relu", name="first"),
                             layers.Dense(2, name="last")], **settings)


def nested():
    inputs = keras.Input((4,), name="given")
    x = layers.Dense(4, name="before")(inputs)
    x = stack(name="inner")(x)
    return keras.Model(inputs, layers.Dense(1, name="after")(x) * 2.0, name="outer")


def same_outputs(a, b):
    b.set_weights(a.get_weights())
    x = np.random.default_rng(0).standard_normal((3, 4)).astype("float32")
    np.testing.assert_allclose(a.predict(x, verbose=0), b.predict(x, verbose=0), rtol=1e-6)


@pytest.mark.parametrize("make", [stack, nested])
def test_copies_have_weights_of_their_own(make):
    model = make()
    copy = keras.models.clone_model(model)
    assert type(copy) is type(model) and copy.name == model.name and not copy.compiled
    assert [v.shape for v in copy.weights] == [v.shape for v in model.weights]
    assert not {id(v) for v in copy.weights} & {id(v) for v in model.weights}
    assert not np.array_equal(copy.get_weights()[0], model.get_weights()[0])
    same_outputs(model, copy)


def test_clone_function_sees_all_but_inputs():
    seen = []

    def change(layer):
        seen.append(layer.name)
        config = layer.get_config()
        return type(layer).from_config({**config, "use_bias": False} if layer.name == "before" else config)

    copy = keras.models.clone_model(nested(), clone_function=change)
    assert seen == ["before", "inner", "after"] and not copy.get_layer("before").use_bias
    seen.clear()
    keras.models.clone_model(nested(), clone_function=change, recursive=True)
    assert seen == ["before", "first", "last", "after"]


def test_call_function_makes_the_calls():
    seen = []

    def call(layer, *args, **kwargs):
        seen.append(layer.name)
        return layer(*args, **kwargs)

    model = nested()
    same_outputs(model, keras.models.clone_model(model, call_function=call))
    assert seen == ["before", "inner", "after"]


@pytest.mark.parametrize("make", [stack, nested])
def test_on_other_inputs(make):
    inputs = keras.Input((4,), batch_size=5, name="other")
    copy = keras.models.clone_model(make(), input_tensors=inputs)
    assert copy.inputs[0] is inputs and copy.output_shape[0] == 5
    assert copy.predict(np.ones((5, 4)), verbose=0).shape[0] == 5


class Own(keras.Model):
    def __init__(self, units=3, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.inner = layers.Dense(units)

    def call(self, inputs):
        return self.inner(inputs)

    def get_config(self):
        return {"units": self.units, "name": self.name}


def test_subclassed_models_are_copied_from_their_configuration():
    model = Own(5)
    copy = keras.models.clone_model(model)
    assert type(copy) is Own and copy.units == 5 and copy is not model
    with pytest.raises(ValueError, match="subclassed"):
        keras.models.clone_model(model, clone_function=lambda layer: layer)


def test_what_does_not_go_together():
    inputs = keras.Input((4,))
    with pytest.raises(ValueError, match="exclude each other"):
        keras.models.clone_model(nested(), input_tensors=inputs, recursive=True)
    with pytest.raises(ValueError, match="call_function is for functional"):
        keras.models.clone_model(stack(), call_function=lambda layer, x: layer(x))
    with pytest.raises(ValueError, match="one symbolic input"):
        keras.models.clone_model(stack(), input_tensors=np.ones((2, 4)))
    with pytest.raises(ValueError, match="unknown argument"):
        keras.models.clone_model(stack(), deep=True)


def test_from_configurations():
    model = stack()
    config = {"class_name": "Sequential", "config": model.get_config()}
    same_outputs(model, keras.models.model_from_config(config))
    same_outputs(model, keras.models.model_from_json(model.to_json()))
    with pytest.raises(TypeError, match="Sequential.from_config"):
        keras.models.model_from_config(model.get_config()["layers"])
    for call in (model.to_yaml, lambda: keras.models.model_from_yaml("a: 1")):
        with pytest.raises(RuntimeError, match="use to_json"):
            call()
