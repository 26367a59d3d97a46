"""``Layer`` itself: what custom layers in notebooks rely on."""

import copy
import json
import warnings

import numpy as np
import pytest
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import GradientTape, Input, Variable, layers, ops, symbolic


class Linear(layers.Layer):
    """The custom layer of every tutorial."""

    def __init__(self, units=4, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1], self.units), initializer="random_normal", name="w")
        self.b = self.add_weight(shape=(self.units,), initializer="zeros", name="b")

    def call(self, inputs):
        return ops.matmul(inputs, self.w) + self.b


class WithConfig(Linear):
    def get_config(self):
        return {**super().get_config(), "units": self.units}


class NoConfig(layers.Layer):
    def __init__(self, factor, shift=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor, self.shift = factor, shift

    def call(self, inputs):
        return inputs * self.factor + self.shift


# ---- custom layers ---------------------------------------------------------------------------------------
def test_linear(backend):
    check_layer(Linear, {"units": 3}, (5,), reference=lambda x, w, b: x @ w + b)


def test_configuration_written_by_hand(backend):
    check_layer(WithConfig, {"units": 3, "name": "hand"}, (5,))


def test_configuration_found_from_plain_arguments(backend):
    check_layer(NoConfig, {"factor": 2.0, "name": "auto"}, (5,), reference=lambda x: 2 * x + 1)
    assert NoConfig(3.0).get_config()["shift"] == 1.0


def test_no_configuration_from_arguments_that_are_not_plain():
    with pytest.raises(NotImplementedError, match="get_config"):
        NoConfig(np.ones(3)).get_config()


def test_configuration_of_a_constructor_without_kwargs():
    class Bare(layers.Layer):
        def __init__(self, size=2):
            super().__init__()
            self.size = size

        def call(self, inputs):
            return inputs

    assert Bare(3).get_config() == {"size": 3}
    assert Bare.from_config(Bare(3).get_config()).size == 3


def test_from_config_says_what_does_not_fit():
    with pytest.raises(TypeError, match="Linear cannot be made from its configuration"):
        Linear.from_config({"unit": 3})


def test_a_forgotten_super_init():
    class Forgetful(layers.Layer):
        def __init__(self):
            self.units = 3

        def call(self, inputs):
            return inputs

    with pytest.raises(RuntimeError, match=r"Forgetful: __init__ must call super\(\).__init__\(\)"):
        Forgetful()(np.ones((1, 2)))

    class Hasty(layers.Layer):
        def __init__(self):
            self.w = self.add_weight(shape=(2,))
            super().__init__()

    with pytest.raises(RuntimeError, match="Hasty"):
        Hasty()


def test_missing_call_and_unknown_arguments():
    with pytest.raises(NotImplementedError, match=r"has no call\(\)"):
        layers.Layer()(np.ones((1, 2)))
    with pytest.raises(TypeError, match="unknown arguments .'unit'"):
        Linear(unit=3)
    with pytest.raises(AttributeError, match="'Linear' object has no attribute 'weigths'"):
        Linear().weigths  # noqa: B018
    with pytest.raises(ValueError, match="name must be a string"):
        Linear(name="a/b")


# ---- weights -----------------------------------------------------------------------------------------------
def test_names_and_paths():
    class Outer(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.first = layers.Dense(2, name="first")

        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", initializer="ones")

        def call(self, inputs):
            return self.first(inputs) * self.scale

    outer = Outer(name="outer")
    outer(np.ones((1, 3)))
    assert [w.path for w in outer.weights] == ["outer/scale", "outer/first/kernel", "outer/first/bias"]
    assert [w.name for w in outer.weights] == ["scale", "kernel", "bias"]
    assert outer.count_params() == 1 + 8
    symbolic.clear_session()
    assert [layers.Dense(1).name, layers.Dense(1).name, Linear().name] == ["dense", "dense_1", "linear"]


def test_layers_in_attributes_lists_and_dictionaries(backend):
    class Nested(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.stack = [layers.Dense(3, activation="tanh"), layers.Dense(3)]
            self.named = {"head": layers.Dense(2), "deep": [layers.Dense(2)]}
            self.again = self.stack[0]
            self.gain = Variable(np.float32(1.5), name="gain")
            self.count = Variable(0, trainable=False, dtype="int32", name="count")

        def call(self, inputs):
            x = inputs
            for layer in self.stack:
                x = layer(x)
            return (self.named["head"](x) + self.named["deep"][0](x)) * self.gain

    layer = Nested()
    with GradientTape() as tape:
        y = ops.sum(layer(np.ones((2, 3), "float32")))
    assert len(layer.weights) == 10 and len(layer.trainable_weights) == 9
    assert [w.name for w in layer.non_trainable_weights] == ["count"]
    assert all(g is not None for g in tape.gradient(y, layer.trainable_weights))


@pytest.mark.cpu  # names without a number are given once
def test_add_weight_of_every_era():
    class Eras(layers.Layer):
        def build(self, input_shape):
            self.a = self.add_weight("a", (2, 3), initializer="ones")
            self.b = self.add_weight("b", shape=[3], dtype="float64", trainable=False)
            self.c = self.add_weight((2,), "zeros", name="c")
            self.d = self.add_weight(shape=4, initializer=lambda shape, dtype: np.full(shape, 7, dtype))
            self.e = self.add_variable(name="e")
            super().build(input_shape)

    layer = Eras()
    layer.build((None, 1))
    assert [(w.name, w.shape) for w in layer.weights] == [
        ("a", (2, 3)), ("c", (2,)), ("variable", (4,)), ("e", ()), ("b", (3,))]
    assert layer.b.dtype == "float64" and layer.d.numpy().tolist() == [7, 7, 7, 7]
    with pytest.raises(TypeError, match="unknown arguments .'initialiser'"):
        layer.add_weight(shape=(1,), initialiser="zeros")
    with pytest.raises(ValueError, match="needs known sizes"):
        layer.add_weight(shape=(None, 2))


def test_set_weights_refuses_what_does_not_fit():
    layer = Linear(2)
    with pytest.raises(ValueError, match="not built yet"):
        layer.set_weights([np.ones((3, 2))])
    layer(np.ones((1, 3)))
    with pytest.raises(ValueError, match="has 2 weights, 1 were given"):
        layer.set_weights([np.ones((3, 2))])
    with pytest.raises(ValueError, match=r"'linear.*/b' has shape \(2,\), came \(3,\)"):
        layer.set_weights([np.ones((3, 2)), np.ones(3)])


def test_own_variables_are_stored_and_read():
    layer, other = Linear(2), Linear(2)
    layer(np.ones((1, 3)))
    store = {}
    layer.save_own_variables(store)
    with pytest.raises(ValueError, match="not built"):
        other.load_own_variables(store)
    other.build((None, 3))
    other.load_own_variables(store)
    for a, b in zip(layer.get_weights(), other.get_weights()):
        np.testing.assert_array_equal(a, b)


def test_building_by_hand_builds_once():
    layer = Linear(2)
    layer.build((None, 3))
    assert layer.built and len(layer.weights) == 2
    layer(np.ones((1, 3)))
    assert len(layer.weights) == 2
    assert layer.get_build_config() == {"input_shape": (None, 3)}
    other = Linear(2)
    other.build_from_config(json.loads(json.dumps(layer.get_build_config())))
    assert [w.shape for w in other.weights] == [(3, 2), (2,)]


def test_trainable_reaches_all_layers_inside():
    model = keras.Sequential([Input((3,)), layers.Dense(2), layers.BatchNormalization()])
    assert len(model.trainable_weights) == 4
    model.trainable = False
    assert model.trainable_weights == [] and len(model.non_trainable_weights) == 6
    model.trainable = True
    model.layers[0].trainable = False
    assert [w.name for w in model.trainable_weights] == ["gamma", "beta"]
    frozen = Linear(2, trainable=False)
    frozen(np.ones((1, 3)))
    assert frozen.trainable_weights == []
    frozen.trainable = True
    assert len(frozen.trainable_weights) == 2


def test_copies_have_weights_of_their_own():
    layer = Linear(2)
    x = np.ones((1, 3), "float32")
    y = layer(x).numpy()
    other = copy.deepcopy(layer)
    np.testing.assert_array_equal(other(x).numpy(), y)
    other.w.assign(np.zeros((3, 2)))
    np.testing.assert_array_equal(layer(x).numpy(), y)


# ---- calls -------------------------------------------------------------------------------------------------
class TwoInputs(layers.Layer):
    def build(self, query_shape, value_shape):
        self.shapes = query_shape, value_shape
        self.w = self.add_weight(shape=(query_shape[-1], value_shape[-1]), name="w")

    def call(self, query, value, scale=1.0):
        return ops.matmul(query, self.w) * value * scale

    def compute_output_shape(self, query_shape, value_shape):
        return (*query_shape[:-1], value_shape[-1])


def test_several_tensors_by_position_and_by_name(backend):
    x, y = np.ones((2, 3), "float32"), np.ones((2, 4), "float32")
    layer = TwoInputs()
    a = layer(x, y).numpy()
    assert layer.shapes == ((2, 3), (2, 4))
    np.testing.assert_array_equal(layer(x, value=y, scale=2.0).numpy(), 2 * a)
    np.testing.assert_array_equal(layer(query=x, value=y).numpy(), a)
    assert layer.get_build_config() == {"shapes_dict": {"query_shape": (2, 3), "value_shape": (2, 4)}}
    other = TwoInputs()
    other.build_from_config(json.loads(json.dumps(layer.get_build_config())))
    assert other.w.shape == (3, 4)
    assert TwoInputs()(Input((3,)), Input((4,))).shape == (None, 4)
    assert TwoInputs()(Input((3,)), value=Input((4,))).shape == (None, 4)


def test_lists_and_dictionaries_of_tensors(backend):
    class Structured(layers.Layer):
        def build(self, input_shape):
            self.seen = input_shape

        def call(self, inputs):
            return {"sum": inputs["a"] + inputs["b"][0], "list": [inputs["b"][1]]}

    def reference(x):
        return {"sum": x["a"] + x["b"][0], "list": [x["b"][1]]}

    rng = np.random.default_rng(0)
    data = {"a": rng.standard_normal((3, 2)), "b": [rng.standard_normal((3, 2)), rng.standard_normal((3, 5))]}
    layer = check_layer(Structured, {}, inputs=data, reference=reference)
    assert layer.seen == {"a": (3, 2), "b": [(3, 2), (3, 5)]}


def test_plain_numbers_and_arrays_become_tensors():
    layer = Linear(2)
    assert layer([[1, 2, 3]]).shape == (1, 2)
    assert layer(np.ones((1, 3), "float64")).dtype == "float32"


def test_errors_inside_a_call_say_where():
    class Broken(layers.Layer):
        def call(self, inputs):
            return ops.matmul(inputs, ops.ones((7, 7)))

    with pytest.raises(ValueError, match="matmul") as caught:
        Broken(name="broken")(np.ones((1, 3)))
    notes = getattr(caught.value, "__notes__", ["in layer 'broken'"])  # Python 3.10 has none
    assert "in layer 'broken'" in notes[0]


# ---- training ----------------------------------------------------------------------------------------------
class Mode(layers.Layer):
    def call(self, inputs, training=None):
        self.seen = training
        return inputs * (2.0 if training else 1.0)


class Default(layers.Layer):
    def call(self, inputs, training=True):
        self.seen = training
        return inputs


class Outside(layers.Layer):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, inputs):
        return self.inner(inputs)


def test_training_comes_from_the_caller_then_the_layer_around_then_the_default():
    x = np.ones((1, 2), "float32")
    layer = Mode()
    layer(x)
    assert layer.seen is None
    layer(x, training=True)
    assert layer.seen is True
    outside = Outside(layer)
    outside(x, training=True)  # it does not take the argument itself, and hands it on
    assert layer.seen is True
    outside(x, training=False)
    assert layer.seen is False
    inner = Default()
    Outside(inner)(x)
    assert inner.seen is True
    Outside(inner)(x, training=False)
    assert inner.seen is False


def test_training_given_while_drawing_a_model_stays():
    x = Input((2,))
    layer = Mode()
    fixed = keras.Model(x, layer(x, training=False))
    one = np.ones((1, 2), "float32")
    assert fixed(one, training=True).numpy().tolist() == [[1, 1]]
    free = keras.Model(x, layer(x))
    assert free(one, training=True).numpy().tolist() == [[2, 2]]
    dropout = layers.Dropout(0.5)
    fixed = keras.Model(x, dropout(x, training=False))  # equal to its default, and yet meant
    assert fixed(one, training=True).numpy().tolist() == [[1, 1]]


# ---- losses and metrics ------------------------------------------------------------------------------------
class Penalty(layers.Layer):
    def call(self, inputs):
        self.add_loss(ops.sum(inputs))
        return inputs


def test_losses_are_those_of_the_last_call(backend):
    layer = Penalty()
    layer(np.ones((1, 2), "float32"))
    layer(np.ones((1, 3), "float32"))
    assert [float(v) for v in layer.losses] == [3.0]
    outside = Outside(layer)
    outside(np.ones((1, 4), "float32"))
    assert [float(v) for v in outside.losses] == [4.0]
    layer(np.ones((1, 5), "float32"))
    assert [float(v) for v in outside.losses] == [5.0]  # as in training steps that call parts of a model
    ignoring = Outside(layer)
    ignoring.call = lambda inputs: inputs
    ignoring(np.ones((1, 6), "float32"))
    assert ignoring.losses == []  # the layer inside took no part in that call

    class Twice(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Penalty()

        def call(self, inputs):
            return self.inner(self.inner(inputs) * 2.0)

    twice = Twice()
    twice(np.ones((1, 1), "float32"))
    assert [float(v) for v in twice.losses] == [1.0, 2.0]


def test_losses_of_parts_called_one_by_one(backend):
    class Parts(layers.Layer):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = Penalty(), Outside(Penalty())

    parts = Parts()
    for size in (1.0, 2.0):
        code = parts.encoder(np.full((1, 1), size, "float32"))
        parts.decoder(code * 10.0)
        assert parts._may_have_losses()
        assert [float(v) for v in parts.losses] == [size, 10 * size]


def test_symbolic_losses_belong_to_models():
    with pytest.raises(TypeError, match="model.add_loss"):
        Penalty().add_loss(Input((3,)))


def test_regularizers_functions_and_activity_losses(backend):
    layer = layers.Dense(1, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5),
                         activity_regularizer=keras.regularizers.L1(1.0))
    layer(np.ones((1, 2), "float32"))
    assert sorted(float(v) for v in layer.losses) == [1.0, 2.0]
    layer.add_loss(lambda: ops.sum(layer.kernel) * 10.0)
    assert sorted(float(v) for v in layer.losses) == [1.0, 2.0, 20.0]
    layer(np.ones((2, 2), "float32"))
    assert sorted(float(v) for v in layer.losses) == [1.0, 2.0, 20.0]


def test_losses_have_gradients(backend):
    layer = layers.Dense(2, kernel_regularizer="l2", activity_regularizer="l1")
    with GradientTape() as tape:
        layer(np.ones((1, 3), "float32"))
        total = sum(layer.losses)
    assert all(g is not None for g in tape.gradient(total, layer.trainable_weights))


def test_metrics_from_a_call():
    class Reports(layers.Layer):
        def __init__(self):
            super().__init__()
            self.tracker = keras.metrics.Mean(name="tracked")

        def call(self, inputs):
            self.add_metric(ops.mean(inputs), name="level")
            self.tracker.update_state(ops.sum(inputs))
            return inputs

    layer = Reports()
    layer(np.ones((1, 2), "float32"))
    layer(np.full((1, 2), 3.0, "float32"))
    assert {m.name: float(m.result()) for m in layer.metrics} == {"tracked": 4.0, "level": 2.0}
    with pytest.raises(ValueError, match="needs name"):
        layer.add_metric(ops.ones(()))


# ---- masks -------------------------------------------------------------------------------------------------
class UsesMask(layers.Layer):
    def call(self, inputs, mask=None):
        self.seen = mask
        return inputs


def _masked():
    x = ops.ones((1, 2, 3))
    x._keras_mask = ops.convert_to_tensor([[True, False]])
    return x


def test_masks_reach_call_and_pass_on():
    layer = UsesMask()
    layer.supports_masking = True
    y = layer(_masked())
    assert layer.seen is not None and y._keras_mask is layer.seen
    given = ops.convert_to_tensor([[False, False]])
    layer(_masked(), mask=given)
    assert layer.seen is given


def test_masks_of_further_arguments():
    class Cross(layers.Layer):
        def call(self, query, value, query_mask=None, value_mask=None):
            self.seen = query_mask, value_mask
            return query

    layer = Cross()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer(_masked(), value=_masked())
    assert all(m is not None for m in layer.seen)


def test_a_layer_that_drops_a_mask_warns():
    with pytest.warns(UserWarning, match="does not support masking"):
        Linear(2, name="plain")(_masked())


def test_a_custom_mask():
    class Shift(layers.Layer):
        def call(self, inputs):
            return inputs[:, 1:]

        def compute_mask(self, inputs, mask=None):
            return None if mask is None else mask[:, 1:]

    y = Shift()(_masked())
    assert y._keras_mask.numpy().tolist() == [[False]]


# ---- dtypes ------------------------------------------------------------------------------------------------
def test_dtypes(backend):
    x = np.ones((2, 3), "float32")
    wide = Linear(2, dtype="float64")
    assert wide(x).dtype == "float64" and wide.w.dtype == "float64"
    precise = np.full((1, 3), 1 + 1e-12)
    assert wide(precise).numpy()[0, 0] != wide(np.ones((1, 3))).numpy()[0, 0]
    mixed = Linear(2, dtype="mixed_float16")
    y = mixed(x)
    assert (y.dtype, mixed.w.dtype, mixed.compute_dtype, mixed.variable_dtype) == (
        "float16", "float32", "float16", "float32")
    assert mixed(Input((3,))).dtype == "float16"
    with GradientTape() as tape:
        loss = ops.sum(mixed(x))
    assert [g.dtype.name for g in tape.gradient(loss, mixed.trainable_weights)] == ["float32"] * 2
    assert Linear(2, autocast=False)(ops.ones((1, 3), "float64")).dtype == "float64"


# ---- symbolic ----------------------------------------------------------------------------------------------
def test_symbolic_calls_are_recorded_once():
    x = Input((3,))
    outer = Outside(Linear(2))
    y = outer(x)
    assert y.shape == (None, 2)
    assert (outer.input is x, outer.output is y) == (True, True)
    assert outer.inner._inbound_nodes == []  # drawn up for its shape only
    assert (outer.input_shape, outer.output_shape) == ((None, 3), (None, 2))
    with pytest.raises(AttributeError, match="never called on a symbolic tensor"):
        outer.inner.output  # noqa: B018


def test_state_is_untouched_while_a_model_is_drawn_up():
    class Total(layers.Layer):
        def __init__(self):
            super().__init__()
            self.total = self.add_weight(initializer="zeros", trainable=False, name="total")

        def call(self, inputs):
            self.total.assign_add(ops.sum(inputs))
            self.add_loss(ops.mean(inputs))
            return inputs * 1.0

    layer = Total()
    x = Input((2,))
    model = keras.Model(x, layer(x))
    assert layer.total.numpy() == 0 and layer.losses == []
    model(np.ones((1, 2), "float32"))
    assert layer.total.numpy() == 2


def test_a_model_made_while_building_is_recorded():
    class Inside(layers.Layer):
        def build(self, input_shape):
            x = Input(input_shape[1:])
            self.model = keras.Model(x, layers.Dense(2)(x))

        def call(self, inputs):
            return self.model(inputs)

    layer = Inside()
    assert layer(np.ones((1, 3), "float32")).shape == (1, 2)
    assert Inside()(Input((3,))).shape == (None, 2)
    assert len(layer.trainable_weights) == 2


def test_values_asked_for_while_drawing_up():
    class AsksForValues(layers.Layer):
        def call(self, inputs):
            return np.asarray(inputs) + 1

    with pytest.raises(TypeError, match=r"call\(\) needs values.*compute_output_shape"):
        AsksForValues()(Input((3,)))


def test_check_numerics_names_the_layer():
    class Bad(layers.Layer):
        def call(self, inputs):
            return ops.log(inputs - inputs - 1.0)

    keras.config.check_numerics(True)
    try:
        with np.errstate(invalid="ignore"), pytest.raises(FloatingPointError, match="layer 'bad_one'.*NaN"):
            Bad(name="bad_one")(np.ones((1, 2), "float32"))
    finally:
        keras.config.check_numerics(False)


def test_notebooks_show_the_arguments_of_constructors():
    import inspect

    assert list(inspect.signature(keras.Sequential).parameters) == ["layers", "trainable", "name"]
    assert "activity_regularizer" in inspect.signature(layers.Layer).parameters

    class Mine(layers.Layer):
        def __init__(self, units=3, **kwargs):
            super().__init__(**kwargs)
            self.units = units

    assert list(inspect.signature(Mine).parameters) == ["units", "kwargs"]
    assert not hasattr(Mine(), "__signature__")
