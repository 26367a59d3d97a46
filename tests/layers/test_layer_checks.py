"""``check_layer`` finds what is wrong with a layer."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers, ops
from gpukeras.tensor import Tensor


class Right(layers.Layer):
    def __init__(self, power=2.0, **kwargs):
        super().__init__(**kwargs)
        self.power = power

    def build(self, input_shape):
        self.w = self.add_weight(shape=(input_shape[-1],), initializer="ones", name="w")

    def call(self, inputs, training=None):
        return inputs * self.w

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "power": self.power}


class WrongShape(Right):
    def compute_output_shape(self, input_shape):
        return (*input_shape, 1)


class WrongType(Right):
    def call(self, inputs, training=None):
        return ops.cast(inputs * self.w, "float32")


class CutGradient(Right):
    def call(self, inputs, training=None):
        return inputs * Tensor(self.w.array)


class WrongGradient(Right):
    def call(self, inputs, training=None):
        y = inputs * self.w
        return y + ops.stop_gradient(y * y)


class ForgetsArgument(Right):
    def get_config(self):
        return layers.Layer.get_config(self)


class ChangesArgument(Right):
    def get_config(self):
        return {**super().get_config(), "power": self.power + 1}


class NotJson(Right):
    def get_config(self):
        return {**super().get_config(), "power": np.float32(self.power)}


class MixesSamples(Right):
    def call(self, inputs, training=None):
        return inputs * self.w - ops.mean(inputs)


class Hidden(Right):
    def build(self, input_shape):
        super().build(input_shape)
        self.hidden = ops.convert_to_tensor(np.random.default_rng().standard_normal(input_shape[-1]))

    def call(self, inputs, training=None):
        return inputs * self.w * ops.cast(self.hidden, inputs.dtype)


class DropsMask(Right):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.supports_masking = True

    def compute_mask(self, inputs, mask=None):
        return None


def test_a_right_layer_passes(backend):
    check_layer(Right, {"power": 3.0}, (4,), reference=lambda x, w: x * w, output_shape=(None, 4))


@pytest.mark.parametrize("cls, message", [
    (WrongShape, "eager"), (WrongType, "came float32"), (CutGradient, "is missing"),
    (WrongGradient, "central differences"), (ForgetsArgument, "lacks"),
    (ChangesArgument, "changes in a round trip"), (MixesSamples, "batch of one"),
    (Hidden, "made from its configuration"),
])
def test_what_is_wrong_is_found(cls, message):
    with pytest.raises(AssertionError, match=message):
        check_layer(cls, {"power": 3.0}, (4,))


def test_more_that_is_wrong():
    with pytest.raises(TypeError, match="JSON"):
        check_layer(NotJson, {}, (4,))
    with pytest.raises(AssertionError, match="against the reference"):
        check_layer(Right, {}, (4,), reference=lambda x, w: x * w + 1e-6)
    with pytest.raises(AssertionError, match="expected"):
        check_layer(Right, {}, (4,), output_shape=(None, 5))
    mask = np.ones((3, 2), bool)
    with pytest.raises(AssertionError, match="carries no mask"):
        check_layer(DropsMask, {}, (2, 4), mask=mask, output_mask=mask)
    with pytest.raises(AssertionError, match="gave the same outputs"):
        check_layer(Right, {}, (4,), random=True)
