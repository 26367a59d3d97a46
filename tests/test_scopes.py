"""Variables with other values for a while, names before paths."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops
from gpukeras.scopes import in_symbolic_scope


def test_values_and_assignments_stay_inside():
    v, other = keras.Variable([1.0, 2.0]), keras.Variable([0.0], trainable=False)
    with keras.StatelessScope([(v, [5.0, 6.0])]) as scope:
        np.testing.assert_array_equal((v + 0.0).numpy(), [5, 6])
        v.assign_add([1.0, 1.0])
        other.assign([9.0])
        with keras.StatelessScope([(v, [0.0, 0.0])]) as inner:
            v.assign_sub([1.0, 1.0])
        np.testing.assert_array_equal(inner.get_current_value(v).numpy(), [-1, -1])
        np.testing.assert_array_equal(scope.get_current_value(v).numpy(), [6, 7])
    np.testing.assert_array_equal(v.numpy(), [1, 2])
    np.testing.assert_array_equal(other.numpy(), [0])
    np.testing.assert_array_equal(scope.get_current_value(v).numpy(), [6, 7])
    np.testing.assert_array_equal(scope.get_current_value(other).numpy(), [9])
    assert scope.get_current_value(keras.Variable(1.0)) is None


def test_gradients_flow_to_the_values():
    v = keras.Variable([1.0, 2.0])
    value = ops.convert_to_tensor([3.0, 4.0])
    with keras.GradientTape() as tape:
        tape.watch(value)
        with keras.StatelessScope([(v, value)]):
            y = ops.sum(v * v)
    np.testing.assert_array_equal(tape.gradient(y, value).numpy(), [6, 8])
    with keras.GradientTape() as tape:
        y = ops.sum(v * v)
    np.testing.assert_array_equal(tape.gradient(y, v).numpy(), [2, 4])


def test_losses_are_collected():
    class Penalized(layers.Layer):
        def call(self, x):
            self.add_loss(ops.sum(x))
            return x

    with keras.StatelessScope(collect_losses=True) as scope:
        Penalized()(ops.ones((2,)))
    assert [float(loss) for loss in scope.losses] == [2.0]
    scope = keras.StatelessScope()
    with scope:
        v = keras.Variable(1.0)
        scope.add_update((v, 3.0))
    assert float(scope.get_current_value(v)) == 3.0 and float(v) == 1.0


def test_wrong_mappings():
    v = keras.Variable([1.0, 2.0])
    with pytest.raises(ValueError, match="pairs"):
        keras.StatelessScope([(1.0, v)])
    with pytest.raises(ValueError, match="has shape"):
        keras.StatelessScope([(v, [1.0])])


def test_names():
    owner = object()
    with keras.name_scope("a"), keras.name_scope("b", caller=owner), keras.name_scope("b", caller=owner):
        assert keras.Variable(1.0, name="v").path == "a/b/v"
        with keras.name_scope("b", caller=owner, deduplicate=False):
            assert keras.Variable(1.0, name="v").path == "a/b/b/v"
        with keras.name_scope("c", override_parent="x/y"):
            assert keras.Variable(1.0, name="v").path == "x/y/c/v"
        dense = layers.Dense(2, name="d")
        dense(ops.ones((1, 2)))
        assert dense.kernel.path == "a/b/d/kernel"
    assert keras.Variable(1.0, name="v").path == "v"
    with pytest.raises(ValueError, match="without '/'"):
        keras.name_scope("a/b")


def test_symbolic_scope():
    assert not in_symbolic_scope()
    with keras.SymbolicScope():
        assert in_symbolic_scope()
    assert not in_symbolic_scope()
