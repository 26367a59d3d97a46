"""Custom layers that use sizes which are not known while the model is drawn up."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers, ops

CASES = {
    "zeros": (lambda x: ops.zeros((ops.shape(x)[0], 3)), (None, 3)),
    "ones": (lambda x: x + ops.ones((ops.shape(x)[0], 4)), (None, 4)),
    "divide by the batch": (lambda x: ops.sum(x, axis=0) / ops.shape(x)[0], (4,)),
    "cast the batch": (lambda x: x / ops.cast(ops.shape(x)[0], "float32"), (None, 4)),
    "regroup": (lambda x: ops.reshape(x, (ops.shape(x)[0] * 2, 2)), (None, 2)),
    "half": (lambda x: x[ops.shape(x)[0] // 2:], (None, 4)),
    "two unknown": (lambda x: ops.reshape(x, [ops.shape(x)[0], -1, 2]), (None, 2, 2)),
    "tile": (lambda x: ops.tile(ops.ones((1, 3)), (ops.shape(x)[0], 1)), (None, 3)),
    "repeat": (lambda x: ops.repeat(ops.ones((1, 3)), ops.shape(x)[0], axis=0), (None, 3)),
    "broadcast": (lambda x: ops.broadcast_to(ops.ones((1, 3)), (ops.shape(x)[0], 3)), (None, 3)),
    "shift": (lambda x: ops.concatenate([ops.zeros((ops.shape(x)[0], 1)), x[:, :-1]], axis=1), (None, 4)),
    "noise": (lambda x: x + keras.random.normal(ops.shape(x)), (None, 4)),
    "noise by parameters": (lambda x: keras.random.normal(ops.shape(x), mean=x, stddev=x * 0.0), (None, 4)),
    "uniform": (lambda x: x * keras.random.uniform((ops.shape(x)[0], 1), 1.0, x[:, :1]), (None, 4)),
    "integers": (lambda x: keras.random.randint((ops.shape(x)[0], 2), 0, 5), (None, 2)),
    "dictionary": (lambda x: {"a": ops.zeros((ops.shape(x)[0], 2)), "b": x}["a"], (None, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_unknown_sizes_stay_unknown_and_calls_work(case):
    function, shape = CASES[case]

    class Custom(layers.Layer):
        def call(self, x):
            return function(x)

    inputs = keras.Input((4,))
    outputs = Custom()(inputs)
    assert outputs.shape == shape
    found = keras.Model(inputs, outputs)(np.ones((6, 4), "float32"))
    assert found.ndim == len(shape) and all(b in (None, a) for a, b in zip(found.shape, shape))


def test_layers_inside_are_built_for_unknown_sizes():
    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = layers.Dense(3)

        def call(self, x):
            start = ops.zeros((ops.shape(x)[0], 2))
            return self.inner(ops.concatenate([start, x], axis=1))

    layer = Outer()
    model = keras.Model(inputs := keras.Input((4,)), layer(inputs))
    assert model.output_shape == (None, 3)
    assert layer.inner.get_build_config() == {"input_shape": (None, 6)}


def test_true_errors_are_told_with_the_shapes_the_user_knows():
    class Wrong(layers.Layer):
        def call(self, x):
            return ops.matmul(x, ops.ones((5, 2)))

    with pytest.raises(ValueError, match=r"\(None, 4\)"):
        Wrong()(keras.Input((4,)))

    class Cond(layers.Layer):
        def call(self, x):
            return x if x[0, 0] > 0 else -x

    with pytest.raises(TypeError, match=r"its call\(\) needs values"):
        Cond()(keras.Input((4,)))
