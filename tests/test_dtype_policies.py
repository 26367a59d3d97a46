"""Dtype policies: names, maps by path, the global one, and the old modules of mixed precision."""

import json

import numpy as np
import pytest
from support.halves import needs_bfloat16

import gpukeras as keras
from gpukeras import dtype_policies, layers, mixed_precision, ops
from gpukeras.dtype_policies import DTypePolicy, DTypePolicyMap, FloatDTypePolicy
from gpukeras.mixed_precision import experimental


@pytest.fixture(autouse=True)
def global_policy():
    yield
    keras.config.set_dtype_policy(None)


# ---- names -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name, compute, variable", [
    ("float32", "float32", "float32"), ("float16", "float16", "float16"), ("float64", "float64", "float64"),
    ("mixed_float16", "float16", "float32"), ("int8", "int8", "int8"), ("bool", "bool", "bool"),
    pytest.param("bfloat16", "bfloat16", "bfloat16", marks=needs_bfloat16),
    pytest.param("mixed_bfloat16", "bfloat16", "float32", marks=needs_bfloat16),
])
def test_policies(name, compute, variable):
    policy = DTypePolicy(name)
    assert (policy.name, policy.compute_dtype, policy.variable_dtype) == (name, compute, variable)
    assert policy.quantization_mode is None
    assert DTypePolicy.from_config(policy.get_config()) == policy
    assert dtype_policies.deserialize(json.loads(json.dumps(dtype_policies.serialize(policy)))) == policy
    assert hash(policy) == hash(DTypePolicy(name)) and policy != "float32"
    assert all(dtype_policies.get(given) == policy for given in (name, policy, {"name": name}))
    assert name in repr(policy)


@pytest.mark.parametrize("name, error, match", [
    ("mixed_float8", ValueError, "unknown dtype policy"), ("float33", ValueError, "'mixed_float16'"),
    ("int8_from_float32", ValueError, "quantised"), ("float8_from_mixed_bfloat16", ValueError, "quantised"),
    ("gptq/4/128_from_float32", ValueError, "quantised"), (3, TypeError, "must be a string"),
])
def test_names_that_are_none(name, error, match):
    with pytest.raises(error, match=match):
        DTypePolicy(name)


def test_quantised_policies_are_left_out_with_a_reason():
    for name in ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "Int4DTypePolicy", "GPTQDTypePolicy",
                 "AWQDTypePolicy"):
        with pytest.raises(AttributeError, match="quantisation is outside this library"):
            getattr(dtype_policies, name)
        with pytest.raises(ValueError, match="quantisation is outside this library"):
            dtype_policies.deserialize({"class_name": name, "config": {"mode": "int8"}})
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        dtype_policies.nothing  # noqa: B018


def test_other_names_of_the_class():
    assert isinstance(FloatDTypePolicy("float16"), DTypePolicy)
    assert keras.FloatDTypePolicy is FloatDTypePolicy and keras.DTypePolicy is DTypePolicy
    assert dtype_policies.serialize(FloatDTypePolicy("float16"))["class_name"] == "FloatDTypePolicy"
    old = {"class_name": "Policy", "config": {"name": "mixed_float16"}}
    assert dtype_policies.deserialize(old).compute_dtype == "float16"
    assert dtype_policies.get(float).name == "float32" and dtype_policies.get(None).name == "float32"


def test_conversion_of_inputs():
    policy = DTypePolicy("mixed_float16")
    assert policy.convert_input(ops.ones((2,)), True, "float16").dtype == "float16"
    assert policy.convert_input(ops.ones((2,)), False, "float16").dtype == "float32"
    assert policy.convert_input(np.ones(2, "int32"), True, "float16").dtype == "int32"
    assert policy.convert_input(np.ones(2), True, "float16").dtype == "float16"
    assert policy.convert_input([1.0], True, "float16") == [1.0]
    assert policy.convert_input(keras.Input((2,)), True, "float16").dtype == "float16"


# ---- the global policy -----------------------------------------------------------------------------------
def test_the_global_policy():
    mixed_precision.set_global_policy("mixed_float16")
    assert mixed_precision.global_policy() is keras.config.dtype_policy() is mixed_precision.dtype_policy()
    assert layers.Dense(1).compute_dtype == "float16" and DTypePolicy().name == "mixed_float16"
    keras.config.set_dtype_policy(DTypePolicy("float64"))
    assert layers.Dense(1).dtype == "float64"
    keras.config.set_dtype_policy(DTypePolicyMap("mixed_float16"))
    assert layers.Dense(1).compute_dtype == "float16" and DTypePolicy().name == "mixed_float16"
    assert DTypePolicyMap().default_policy.name == "float32"  # not itself
    with pytest.raises(ValueError, match="expects the name of a policy"):
        keras.config.set_dtype_policy(3)
    with pytest.raises(ValueError, match="unknown dtype policy"):
        mixed_precision.set_dtype_policy("half_and_half")


# ---- maps ------------------------------------------------------------------------------------------------
def test_a_map_is_a_mapping():
    found = DTypePolicyMap(policy_map={"a/b": "float16"})
    found["c/.*"] = DTypePolicy("mixed_float16")
    assert list(found) == ["a/b", "c/.*"] and len(found) == 2 and "a/b" in found and "a" not in found
    assert found["a/b"].name == "float16" and found["c/d/e"].name == "mixed_float16"
    assert found["a/b/c"].name == found["a"].name == found["x/c/d"].name == "float32"
    assert found.name == "map_float32" and found.compute_dtype == found.variable_dtype == "float32"
    with pytest.raises(ValueError, match="in the map already"):
        found["a/b"] = "float32"
    found["c/d.*"] = "float64"
    with pytest.raises(ValueError, match="matches several keys"):
        found["c/d"]
    del found["c/d.*"]
    assert found["c/d"].name == "mixed_float16" and "mixed_float16" in repr(found)
    again = dtype_policies.deserialize(json.loads(json.dumps(dtype_policies.serialize(found))))
    assert isinstance(again, DTypePolicyMap) and again == found
    with pytest.raises(TypeError, match="must be a dictionary"):
        DTypePolicyMap(policy_map=["a"])
    with pytest.raises(TypeError, match="unhashable"):
        hash(found)


def model(policy):
    keras.config.set_dtype_policy(policy)
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(4, activation="relu", name="first"), layers.Dense(2, name="last")],
        name="net",
    )


def test_layers_look_their_policy_up_by_path():
    policies = DTypePolicyMap("mixed_float16", {"net/last": "float32"})
    net = model(policies)
    assert [layer.compute_dtype for layer in net.layers] == ["float16", "float32"]
    assert {str(w.dtype) for w in net.weights} == {"float32"}
    assert net(np.ones((2, 3), "float32")).dtype == "float32"
    assert net.layers[0](np.ones((2, 3), "float32")).dtype == "float16"
    again = keras.Sequential.from_config(json.loads(json.dumps(net.get_config())))
    again.build((None, 3))
    assert [layer.compute_dtype for layer in again.layers] == ["float16", "float32"]
    assert again.layers[0].dtype_policy == policies


def test_a_map_in_a_layer_that_is_called_alone():
    policies = DTypePolicyMap(policy_map={"alone": "float16", ".*/inner": "float64"})
    layer = layers.Dense(2, dtype=policies, name="alone")
    assert layer(np.ones((1, 3), "float32")).dtype == "float16" and layer.kernel.dtype == "float16"
    by_hand = layers.Dense(2, dtype=policies, name="alone")
    by_hand.build((None, 3))
    assert by_hand.kernel.dtype == "float16" and by_hand.compute_dtype == "float16"

    class Outer(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inner = layers.Dense(1, dtype=policies, name="inner")

        def call(self, x):
            return self.inner(x)

    outer = Outer(name="outer", dtype="float64")
    assert outer(np.ones((1, 3))).dtype == "float64" and outer.inner.variable_dtype == "float64"


def test_the_policy_of_a_layer_may_change():
    layer = layers.Dense(2)
    layer.dtype_policy = "mixed_float16"
    assert layer(np.ones((1, 3), "float32")).dtype == "float16" and layer.kernel.dtype == "float32"
    assert layer.get_config()["dtype"] == "mixed_float16"


# ---- loss scaling, names of tf.keras ---------------------------------------------------------------------
def compiled(policy):
    keras.config.set_dtype_policy(policy)
    net = keras.Sequential([keras.Input((3,)), layers.Dense(1)])
    net.compile("sgd", "mse")
    return net.optimizer


def test_how_compile_scales_the_loss():
    scaled = mixed_precision.LossScaleOptimizer
    assert scaled is keras.optimizers.LossScaleOptimizer
    assert isinstance(compiled("mixed_float16"), scaled) and not isinstance(compiled("float16"), scaled)
    assert not isinstance(compiled(experimental.Policy("mixed_float16", loss_scale=None)), scaled)
    assert isinstance(compiled(experimental.Policy("mixed_float16")), scaled)
    fixed = compiled(experimental.Policy("mixed_float16", loss_scale=128))
    assert not isinstance(fixed, scaled) and fixed.loss_scale_factor == 128
    assert isinstance(compiled(DTypePolicyMap("float32", {"a": "mixed_float16"})), scaled)
    with pytest.raises(ValueError, match="'dynamic' or a positive number"):
        experimental.Policy("float32", loss_scale="often")


@needs_bfloat16
def test_bfloat16_needs_no_scaling():
    assert DTypePolicy("mixed_bfloat16").loss_scale is None
    assert not isinstance(compiled("mixed_bfloat16"), mixed_precision.LossScaleOptimizer)


def test_experimental_names():
    experimental.set_policy("mixed_float16")
    layer = layers.Dense(1)
    assert experimental.get_layer_policy(layer) is experimental.global_policy()
    policy = experimental.Policy("mixed_float16", loss_scale=8)
    assert policy.get_config() == {"name": "mixed_float16", "loss_scale": 8}
    assert experimental.Policy.from_config(policy.get_config()).loss_scale == 8
    assert experimental.Policy("float16").get_config() == {"name": "float16"}


def test_a_loss_scale_that_stays():
    optimizer = experimental.LossScaleOptimizer("sgd", loss_scale=4)
    v = keras.Variable([1.0])
    optimizer.build([v])
    assert float(optimizer.loss_scale) == 4 and not optimizer.dynamic and optimizer.dynamic_counter is None
    assert float(optimizer.get_scaled_loss(ops.ones(()))) == 4
    assert float(optimizer.get_scaled_loss(lambda: ops.ones(()))()) == 4
    grads = optimizer.get_unscaled_gradients([ops.convert_to_tensor([8.0]), None])
    assert grads[0].numpy() == 2 and grads[1] is None
    optimizer.apply([ops.convert_to_tensor([400.0])], [v])
    np.testing.assert_allclose(v.numpy(), [0.0], atol=1e-6)
    again = experimental.LossScaleOptimizer.from_config(optimizer.get_config())
    assert float(again.loss_scale) == 4
    assert experimental.LossScaleOptimizer("adam", "dynamic").dynamic


def test_a_loss_scale_that_finds_its_way():
    optimizer = mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=8.0)
    v = keras.Variable([1.0])
    optimizer.build([v])
    optimizer.apply([ops.convert_to_tensor([np.inf])], [v])
    assert float(optimizer.loss_scale) == 4 and int(optimizer.dynamic_counter) == 0 and v.numpy() == 1
    fixed = mixed_precision.LossScaleOptimizer(keras.optimizers.SGD(1.0), initial_scale=8.0, dynamic=False)
    assert type(fixed).from_config(fixed.get_config()).dynamic is False
