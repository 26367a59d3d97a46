"""``InputSpec``: what a layer demands of its inputs."""

import numpy as np
import pytest

from gpukeras import layers, ops
from gpukeras.layers import InputSpec


class Picky(layers.Layer):
    def __init__(self, spec, **kwargs):
        super().__init__(name="picky", **kwargs)
        self.input_spec = spec

    def call(self, inputs):
        return inputs


@pytest.mark.parametrize("spec, good, bad, message", [
    (InputSpec(ndim=3), (2, 3, 4), (2, 3), r"expected rank 3, came rank 2 \(shape \(2, 3\)\)"),
    (InputSpec(min_ndim=2), (2, 3, 4), (2,), "at least rank 2"),
    (InputSpec(max_ndim=2), (2, 3), (2, 3, 4), "at most rank 2"),
    (InputSpec(axes={-1: 4, 1: None}), (2, 3, 4), (2, 3, 5), r"size 4 on axis -1, came shape \(2, 3, 5\)"),
    (InputSpec(shape=(None, 3)), (7, 3), (7, 4), r"expected shape \(None, 3\), came \(7, 4\)"),
    (InputSpec(shape=(None, 3, 1), allow_last_axis_squeeze=True), (2, 3), (2, 4), "expected shape"),
    (InputSpec(shape=(None, 3), allow_last_axis_squeeze=True), (2, 3, 1), (2, 3, 2), "rank 2"),
    (InputSpec(axes={"-1": 4}), (2, 4), (2, 3), "size 4"),  # keys from JSON are strings
])
def test_shapes(spec, good, bad, message):
    layer = Picky(spec)
    for _ in range(2):
        assert layer(np.ones(good, "float32")).shape == good
    for _ in range(2):
        with pytest.raises(ValueError, match=f"the input of layer 'picky' does not fit: .*{message}"):
            layer(np.ones(bad, "float32"))


def test_dtype_and_names():
    layer = Picky(InputSpec(dtype="int32", name="ids"))
    layer(np.ones((2, 3), "int32"))
    with pytest.raises(ValueError, match="input 'ids' of layer 'picky' .*dtype int32, came float32"):
        layer(np.ones((2, 3), "float32"))


def test_several_inputs():
    layer = Picky([InputSpec(ndim=2), InputSpec(ndim=3)])
    a, b = np.ones((2, 3), "float32"), np.ones((2, 3, 4), "float32")
    layer([a, b])
    with pytest.raises(ValueError, match="expects 2 inputs, came 1"):
        layer([a])
    with pytest.raises(ValueError, match="expected rank 3, came rank 2"):
        layer([a, a])
    named = Picky({"a": InputSpec(ndim=2), "b": InputSpec(ndim=3, optional=True)})
    named({"a": a})
    with pytest.raises(ValueError, match="missing inputs .'a'."):
        named({"b": b})
    with pytest.raises(TypeError, match="expected tensors as inputs, came str"):
        layer(["x", a])


def test_a_changed_spec_is_looked_at_again():
    layer = Picky(InputSpec(ndim=2))
    x = ops.ones((2, 3))
    layer(x)
    layer.input_spec = InputSpec(ndim=3)
    with pytest.raises(ValueError, match="rank 3"):
        layer(x)


def test_round_trip():
    spec = InputSpec(shape=(None, 3), dtype="float32", axes={1: 3}, name="x")
    again = InputSpec.from_config(spec.get_config())
    assert again.get_config() == spec.get_config()
    assert repr(spec) == "InputSpec(dtype=float32, shape=(None, 3), ndim=2, axes={1: 3}, name=x)"
