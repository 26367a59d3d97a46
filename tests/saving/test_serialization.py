"""Objects to dictionaries and back; only known classes; no bytecode unless asked."""

import json

import numpy as np
import pytest

from gpukeras import initializers, ops, regularizers, saving
from gpukeras.saving import deserialize_keras_object, serialize_keras_object


@pytest.fixture
def clean_registrations():
    from gpukeras.saving import registration

    before, names = dict(registration._GLOBAL), dict(registration._NAMES)
    yield
    registration._GLOBAL.clear()
    registration._GLOBAL.update(before)
    registration._NAMES.clear()
    registration._NAMES.update(names)


class Scale(regularizers.Regularizer):
    def __init__(self, by=2.0):
        self.by = by

    def __call__(self, x):
        return self.by * ops.sum(x)

    def get_config(self):
        return {"by": self.by}


def half(x):
    return x / 2


@pytest.mark.parametrize(
    "value",
    [
        None, 1, 2.5, "text", True, [1, [2, "x"]], {"a": [1], "b": {"c": None}}, ..., slice(1, None, 2),
        b"bytes",
    ],
    ids=repr,
)
def test_plain_values_round_trip(value):
    config = serialize_keras_object(value)
    json.dumps(config)
    assert deserialize_keras_object(json.loads(json.dumps(config))) == value


def test_arrays_and_tensors():
    array = np.arange(6, dtype=np.int16).reshape(2, 3)
    back = deserialize_keras_object(serialize_keras_object(array))
    assert back.dtype == np.int16 and np.array_equal(back, array)
    tensor = deserialize_keras_object(serialize_keras_object(ops.convert_to_tensor([1.5, 2.5])))
    assert tensor.dtype == np.float32 and tensor.tolist() == [1.5, 2.5]
    assert serialize_keras_object(np.float32(0.5)) == 0.5 and type(serialize_keras_object(np.int64(3))) is int
    assert serialize_keras_object(np.dtype("float16")) == "float16"


def test_builtin_object_is_written_as_keras_3_does():
    assert serialize_keras_object(initializers.GlorotUniform(seed=3)) == {
        "module": "keras.initializers", "class_name": "GlorotUniform",
        "config": {"seed": 3, "input_axes": None, "output_axes": None}, "registered_name": None,
    }


@pytest.mark.parametrize(
    "config",
    [
        {"module": "keras.initializers", "class_name": "Constant", "config": {"value": 3}},
        {"module": "keras.src.initializers.constants", "class_name": "Constant", "config": {"value": 3}},
        {"class_name": "Constant", "config": {"value": 3}},
        {"class_name": "constant", "config": {"value": 3, "dtype": "float32"}},
    ],
)
def test_configurations_of_all_eras(config):
    assert deserialize_keras_object(config).value == 3
    assert initializers.deserialize(config).value == 3


def test_registered_class_and_function(clean_registrations):
    saving.register_keras_serializable("pack")(Scale)
    saving.register_keras_serializable("pack", name="halve")(half)
    config = serialize_keras_object(Scale(3.0))
    assert config["registered_name"] == "pack>Scale" and config["class_name"] == "Scale"
    assert deserialize_keras_object(config).by == 3.0
    config = serialize_keras_object(half)
    assert config == {
        "module": "builtins", "class_name": "function", "config": "pack>halve", "registered_name": "function",
    }
    assert deserialize_keras_object(config) is half
    assert saving.get_registered_name(Scale) == "pack>Scale"
    assert saving.get_registered_object("pack>halve") is half
    assert saving.get_registered_object("nothing") is None
    assert saving.get_registered_object("nothing", module_objects={"nothing": 1}) == 1
    assert saving.get_custom_objects()["pack>Scale"] is Scale


def test_custom_class_passed_or_in_scope():
    config = serialize_keras_object(Scale(3.0))
    assert deserialize_keras_object(config, custom_objects={"Scale": Scale}).by == 3.0
    with saving.custom_object_scope({"Scale": Scale}):
        assert deserialize_keras_object(config).by == 3.0
    with pytest.raises(ValueError, match=r"(?s)cannot find class 'Scale'.*register_keras_serializable"):
        deserialize_keras_object(config)


@pytest.mark.parametrize("name", ["system", "Popen", "eval"])
def test_nothing_is_imported_because_a_file_names_it(name):
    for module in ("os", "subprocess", "builtins", None):
        with pytest.raises(ValueError, match="cannot find class"):
            deserialize_keras_object({"module": module, "class_name": name, "config": {"args": "x"}})
    with pytest.raises(ValueError, match="cannot find function"):
        deserialize_keras_object({"module": "builtins", "class_name": "function", "config": name})


def test_lambda_only_when_asked():
    with pytest.warns(UserWarning, match="bytecode"):
        config = serialize_keras_object(lambda x, k=3: x * k)
    json.dumps(config)
    with pytest.raises(ValueError, match="safe_mode=False"):
        deserialize_keras_object(config)
    assert deserialize_keras_object(config, safe_mode=False)(2) == 6


def test_lambda_inside_an_object_obeys_the_outer_call(clean_registrations):
    @saving.register_keras_serializable("pack")
    class Holder:
        def __init__(self, f=None):
            self.f = f

        def get_config(self):
            return {"f": self.f}

        @classmethod
        def from_config(cls, config):
            return cls(deserialize_keras_object(config["f"], safe_mode=False))

    with pytest.warns(UserWarning, match="bytecode"):
        config = serialize_keras_object(Holder(lambda x: x + 1))
    with pytest.raises(ValueError, match="bytecode"):  # a class cannot loosen what the caller asked for
        deserialize_keras_object(config)
    assert deserialize_keras_object(config, safe_mode=False).f(1) == 2


def test_build_and_compile_configurations(clean_registrations):
    @saving.register_keras_serializable("pack")
    class Built:
        shape = steps = None

        def get_config(self):
            return {}

        @classmethod
        def from_config(cls, config):
            return cls()

        def get_build_config(self):
            return {"input_shape": (None, 3)}

        def build_from_config(self, config):
            self.shape = config["input_shape"]

        def get_compile_config(self):
            return {"steps": 2}

        def compile_from_config(self, config):
            self.steps = config["steps"]

    back = deserialize_keras_object(json.loads(json.dumps(serialize_keras_object(Built()))))
    assert back.shape == [None, 3] and back.steps == 2


def test_shared_objects_stay_shared():
    shared = regularizers.L2(0.1)
    with saving.ObjectSharingScope():
        config = serialize_keras_object({"a": shared, "b": shared, "c": regularizers.L2(0.1)})
    with saving.ObjectSharingScope():
        back = deserialize_keras_object(json.loads(json.dumps(config)))
    assert back["a"] is back["b"] and back["a"] is not back["c"]
    assert "shared_object_id" not in serialize_keras_object(shared)


def test_objects_without_a_configuration():
    class Bare:
        pass

    with pytest.raises(TypeError, match="Bare needs a get_config"):
        serialize_keras_object(Bare())
    with pytest.raises(ValueError, match="get_config"):
        saving.register_keras_serializable()(Bare)

    class Wrong:
        def get_config(self):
            return [1]

    with pytest.raises(TypeError, match="must return a dictionary"):
        serialize_keras_object(Wrong())


def test_functions_are_never_called_with_what_a_file_says():
    def dangerous(path="x"):
        raise AssertionError("called")

    with saving.custom_object_scope({"dangerous": dangerous}):
        assert deserialize_keras_object({"class_name": "dangerous", "config": {}}) is dangerous
        with pytest.raises(TypeError, match="from_config"):
            deserialize_keras_object({"class_name": "dangerous", "config": {"path": "y"}})


def test_type_names():
    assert serialize_keras_object(np.float32)["config"] == "float32"
    assert deserialize_keras_object(serialize_keras_object(np.float32)) == "float32"


@pytest.mark.parity
def test_real_keras_reads_ours_and_we_read_theirs(real_keras):
    pairs = [
        (initializers.HeNormal(seed=1), real_keras.initializers.HeNormal(seed=1)),
        (initializers.Constant(2.5), real_keras.initializers.Constant(2.5)),
        (initializers.Orthogonal(2.0, seed=1), real_keras.initializers.Orthogonal(2.0, seed=1)),
        (regularizers.L1L2(0.1, 0.2), real_keras.regularizers.L1L2(0.1, 0.2)),
        (regularizers.OrthogonalRegularizer(0.5), real_keras.regularizers.OrthogonalRegularizer(0.5)),
    ]
    for ours, theirs in pairs:
        config = serialize_keras_object(ours)
        assert config == real_keras.saving.serialize_keras_object(theirs)
        assert type(real_keras.saving.deserialize_keras_object(config)) is type(theirs)
        assert deserialize_keras_object(real_keras.saving.serialize_keras_object(theirs)).get_config() == (
            ours.get_config()
        )


def test_file_functions_are_public():
    assert all(callable(getattr(saving, name)) for name in saving.__all__)
    with pytest.raises(AttributeError, match="load_modle"):
        saving.load_modle  # noqa: B018
