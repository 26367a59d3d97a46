"""Several optimizers in one, optimizers of others, and values in, values out."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import ops, optimizers
from gpukeras.tensor import Tensor, Variable


def two():
    return [Variable(np.ones((2, 3), "float32"), name=n) for n in ("encoder", "decoder")]


def grads(variables, value=1.0):
    return [Tensor(v.backend.xp.full_like(v.array, value)) for v in variables]


# ---- a map and what it does ------------------------------------------------------------------------------
def test_map_finds_by_path_and_pattern():
    sgd, adam, other = optimizers.SGD(), optimizers.Adam(), optimizers.RMSprop()
    choice = optimizers.OptimizerMap(sgd)
    choice["encoder/.*"] = adam
    choice["encoder/out"] = other
    assert choice["encoder/kernel"] is adam and choice["encoder/out"] is other and choice["encoder"] is sgd
    assert choice.default_optimizer is sgd and list(choice) == ["encoder/.*", "encoder/out"]
    choice[".*/kernel"] = other
    with pytest.raises(ValueError, match="matched by several"):
        choice["encoder/kernel"]
    del choice[".*/kernel"]
    with pytest.raises(ValueError, match="already"):
        choice["encoder/out"] = sgd
    with pytest.raises(ValueError, match="needs an optimizer"):
        choice["x"] = "adam"
    with pytest.raises(ValueError, match="cannot be inside"):
        choice["x"] = optimizers.LossScaleOptimizer(optimizers.SGD())
    with pytest.raises(TypeError, match="default_optimizer"):
        optimizers.OptimizerMap("adam")
    with pytest.raises(TypeError, match="dictionary"):
        optimizers.OptimizerMap(sgd, [1])


def make_multi(**settings):
    return optimizers.MultiOptimizer(optimizers.OptimizerMap(
        optimizers.SGD(0.5), {"enc.*": optimizers.Adam(0.1, clipnorm=1.0)}), **settings)


def test_every_variable_has_its_own():
    ours, plain = two(), two()
    multi, adam, sgd = make_multi(), optimizers.Adam(0.1, clipnorm=1.0), optimizers.SGD(0.5)
    for _ in range(3):
        multi.apply(grads(ours), ours)
        adam.apply(grads(plain[:1]), plain[:1])
        sgd.apply(grads(plain[1:]), plain[1:])
    for a, b in zip(ours, plain):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    assert int(multi.iterations) == 3 and len(multi.optimizers) == 2
    with pytest.raises(AttributeError, match="of its own"):
        _ = multi.learning_rate
    with pytest.raises(AttributeError, match="each of its"):
        multi.learning_rate = 1.0
    with pytest.raises(ValueError, match="unknown variable"):
        multi.apply(grads(two()), two())
    again = optimizers.deserialize(optimizers.serialize(multi))
    assert again.get_config() == multi.get_config()
    again.build(ours)
    again.set_weights(multi.get_weights())
    copied = copy.deepcopy(multi)
    copied.apply(grads(copied._trainable_variables))
    assert int(copied.iterations) == 4 and int(multi.iterations) == 3


def test_loss_scale_reaches_the_inner_ones():
    multi = make_multi(loss_scale_factor=4.0)
    ours, plain = two(), two()
    reference = make_multi()
    multi.apply(grads(ours, 4.0), ours)
    reference.apply(grads(plain), plain)
    np.testing.assert_allclose(ours[0].numpy(), plain[0].numpy(), rtol=1e-6)
    assert float(multi.scale_loss(ops.ones(()))) == 4.0
    multi.loss_scale_factor = None
    assert all(o.loss_scale_factor is None for o in multi.optimizers)


def test_chosen_by_a_function():
    kinds = {"encoder": optimizers.SGD(1.0), "decoder": optimizers.SGD(0.25)}
    multi = optimizers.MultiOptimizer(lambda v: kinds[v.path])
    variables = two()
    multi.apply(grads(variables), variables)
    np.testing.assert_allclose([v.numpy()[0, 0] for v in variables], [0, 0.75])
    with pytest.raises(ValueError, match="needs an optimizer"):
        optimizers.MultiOptimizer(lambda v: "sgd").build(variables)
    with pytest.raises(TypeError, match="OptimizerMap or a function"):
        optimizers.MultiOptimizer("sgd")


def test_in_a_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, name="first"), keras.layers.Dense(1)])
    choice = optimizers.OptimizerMap(optimizers.SGD(0.0), {".*first/.*": optimizers.Muon(0.1)})
    model.compile(optimizers.MultiOptimizer(choice), "mse")
    before = model.get_weights()
    model.fit(np.ones((8, 3), "float32"), np.ones((8, 1), "float32"), epochs=4, batch_size=2, verbose=0)
    changed = [not np.array_equal(a, b) for a, b in zip(before, model.get_weights())]
    assert changed == [True, True, False, False]


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # in real Keras
def test_files_are_exchanged(real_keras):
    k = real_keras.optimizers
    theirs = k.MultiOptimizer(k.OptimizerMap(k.SGD(0.5), {"enc.*": k.Adam(0.1)}))
    variables = [real_keras.Variable(np.ones((2, 3), "float32"), name=n) for n in ("encoder", "decoder")]
    theirs.build(variables)
    ours = make_multi()
    ours.build(two())
    assert [v.shape for v in ours.variables] == [tuple(v.shape) for v in theirs.variables]
    read = k.deserialize(optimizers.serialize(ours)).get_config()["optimizer_map"]["config"]
    assert read.keys() == ours.get_config()["optimizer_map"]["config"].keys()
    assert type(optimizers.deserialize(k.serialize(theirs))) is optimizers.MultiOptimizer


# ---- optimizers of others ---------------------------------------------------------------------------------
class Descent:
    def __init__(self):
        self.asked = 0

    def apply_gradients(self, grads_and_vars):
        for g, v in grads_and_vars:
            v.assign_sub(g * 0.5)

    def compute_gradients(self, loss, var_list):
        self.asked += 1
        return [(ops.ones_like(v), v) for v in var_list]


class Minimizer:
    def minimize(self, loss, var_list):
        with keras.GradientTape() as tape:
            value = loss()
        for g, v in zip(tape.gradient(value, var_list), var_list):
            v.assign_sub(g * 0.5)


@pytest.mark.parametrize("inner", [Descent, Minimizer])
def test_somebody_elses_optimizer_trains(inner):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")])
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    x, y = np.ones((4, 3), "float32"), np.zeros((4, 1), "float32")
    model.compile(optimizers.TFOptimizer(inner()), "mse")
    plain.compile(optimizers.SGD(0.5), "mse")
    for m in (model, plain):
        m.fit(x, y, epochs=2, verbose=0)
    for a, b in zip(model.get_weights(), plain.get_weights()):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    assert int(model.optimizer.iterations) == 2


def test_tf_optimizer_asks_for_gradients():
    inner, v = Descent(), Variable(np.zeros(2, "float32"))
    optimizer = optimizers.get(inner)
    assert isinstance(optimizer, optimizers.TFOptimizer)
    optimizer.minimize(lambda: ops.sum(v), [v])
    assert inner.asked == 1
    np.testing.assert_allclose(v.numpy(), [-0.5, -0.5])
    counter = Variable(np.int32(7), trainable=False)
    assert optimizers.TFOptimizer(inner, iterations=counter).iterations is counter
    with pytest.raises(NotImplementedError, match="not known"):
        optimizer.get_config()
    with pytest.raises(TypeError, match="apply_gradients or minimize"):
        optimizers.TFOptimizer(3)


# ---- values in, values out --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["SGD", "Adam", "Adafactor", "Muon"])
def test_stateless_apply(name):
    variables, plain = two(), two()
    optimizer, reference = getattr(optimizers, name)(0.1), getattr(optimizers, name)(0.1)
    optimizer.build(variables)
    weights, state = [v.value for v in variables], [v.value for v in optimizer.variables]
    for _ in range(2):
        weights, state = optimizer.stateless_apply(state, grads(variables), weights)
        reference.apply(grads(plain), plain)
    for a, b in zip(weights, plain):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-6)
    np.testing.assert_array_equal(variables[0].numpy(), 1)
    assert int(optimizer.iterations) == 0 and int(state[0]) == 2
    with pytest.raises(ValueError, match="expected 2 trainable_variables, came 1"):
        optimizer.stateless_apply(state, grads(variables), weights[:1])


def test_gradients_of_keras_2():
    v = Variable(np.ones(2, "float32"))
    optimizer = optimizers.SGD(0.5)
    (g,) = optimizer.get_gradients(lambda: ops.sum(v * v), [v])
    np.testing.assert_allclose(g.numpy(), [2, 2])
    optimizer.get_updates(lambda: ops.sum(v), [v])
    np.testing.assert_allclose(v.numpy(), [0.5, 0.5])
    with pytest.raises(NotImplementedError, match="as a function"):
        optimizer.get_gradients(ops.sum(v), [v])
    assert optimizers.adam is optimizers.Adam and optimizers.experimental.SGD is optimizers.SGD
    assert optimizers.clip_norm(3.0, 0, 5.0) == 3.0
