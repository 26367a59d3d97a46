"""Registry: names, aliases, configurations, custom objects, errors with the nearest name."""

import pytest

from gpukeras import initializers, regularizers, saving
from gpukeras.registry import Registry
from gpukeras.saving.serialization import REGISTRIES
from gpukeras.symbolic import to_snake_case


class Ridge:
    def __init__(self, l2=1.0):
        self.l2 = l2

    def get_config(self):
        return {"l2": self.l2}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def twice(x):
    return 2 * x


@pytest.fixture
def registry():
    made = Registry(
        "thing", {"Ridge": Ridge, "twice": twice}, {"shrink": "Ridge", "double": "twice"},
        module="test.things",
    )
    yield made
    del REGISTRIES["test.things"]


def test_every_way_to_name_an_object(registry):
    assert registry.get(None) is None
    for name in ("Ridge", "ridge", "shrink"):
        assert type(registry.get(name)) is Ridge
    assert registry.get("twice") is registry.get("double") is twice
    assert type(registry.get(Ridge)) is Ridge
    instance = Ridge(3)
    assert registry.get(instance) is instance
    assert registry.get({"class_name": "Ridge", "config": {"l2": 5.0}}).l2 == 5.0
    assert registry.get({"class_name": "shrink", "config": {}}).l2 == 1.0
    assert "ridge" in registry and "nothing" not in registry
    assert list(registry) == ["Ridge", "twice"]


def test_serialize_round_trip(registry):
    config = registry.serialize(Ridge(4.0))
    assert config == {
        "module": "test.things", "class_name": "Ridge", "config": {"l2": 4.0}, "registered_name": None,
    }
    assert registry.deserialize(config).l2 == 4.0
    assert registry.deserialize(registry.serialize(twice)) is twice
    plain = Registry("short", {"twice": twice}, module="test.short", plain_names=True)
    try:
        assert plain.serialize(twice) == "twice"
    finally:
        del REGISTRIES["test.short"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("ridg", "'ridge'"), ("RIDGE", "'ridge'|'Ridge'"), ("double!", "'double'"), ("qqq", "Known")],
)
def test_unknown_name_says_the_nearest(registry, name, hint):
    with pytest.raises(ValueError, match=hint) as error:
        registry.get(name)
    assert "Ridge, twice" in str(error.value) and repr(name) in str(error.value)


def test_unknown_class_in_a_configuration(registry):
    with pytest.raises(ValueError, match=r"unknown thing 'Rigde'; did you mean 'Ridge'"):
        registry.get({"class_name": "Rigde", "config": {}})


@pytest.mark.parametrize("wrong", [3, {"name": "ridge"}, [1]])
def test_wrong_kind(registry, wrong):
    with pytest.raises(ValueError, match="cannot make a thing of"):
        registry.get(wrong)


def test_config_that_does_not_fit(registry):
    with pytest.raises(TypeError, match="the configuration of Ridge does not fit"):
        registry.get({"class_name": "Ridge", "config": {"l3": 1}})


def test_case_only_where_asked(registry):
    loose = Registry("loose", {"SGD": Ridge}, module="test.loose", ignore_case=True)
    try:
        assert type(loose.get("sgd")) is type(loose.get("Sgd")) is Ridge
    finally:
        del REGISTRIES["test.loose"]
    with pytest.raises(ValueError, match="unknown"):
        registry.get("rIdge")


def test_custom_objects_come_first(registry):
    class Other(Ridge):
        pass

    assert type(registry.get("Ridge", {"Ridge": Other})) is Other
    with saving.custom_object_scope({"mine": Other}, {"fn": twice}):
        assert type(registry.get("mine")) is Other
        assert registry.get("fn") is twice
        with saving.CustomObjectScope({"mine": Ridge}):
            assert type(registry.get("mine")) is Ridge
        assert type(registry.get({"class_name": "mine", "config": {}})) is Other
    with pytest.raises(ValueError, match="unknown thing 'mine'"):
        registry.get("mine")


def test_alias_of_nothing(registry):
    with pytest.raises(KeyError, match="does not exist"):
        registry.alias("x", "missing")


def test_snake_case_is_that_of_keras():
    names = {
        "GlorotUniform": "glorot_uniform", "L1L2": "l1l2", "LSTM": "lstm", "STFT": "stft",
        "Conv2DTranspose": "conv2d_transpose", "KLDivergence": "kl_divergence",
    }
    assert {name: to_snake_case(name) for name in names} == names


@pytest.mark.parametrize(("module", "kind"), [(initializers, "initializer"), (regularizers, "regularizer")])
def test_misspelled_names_of_real_kinds(module, kind):
    with pytest.raises(ValueError, match=f"unknown {kind}"):
        module.get("definitely_not_there")
    with pytest.raises(ValueError, match="did you mean 'l2'|did you mean 'he_normal'"):
        module.get({"initializer": "he_norml", "regularizer": "l22"}[kind])
