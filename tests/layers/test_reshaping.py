"""Flatten, Reshape, Permute, RepeatVector."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import Input, layers


@pytest.mark.parametrize("shape", [(), (5,), (2, 3), (2, 3, 4)])
def test_flatten(backend, shape):
    check_layer(layers.Flatten, {}, shape, reference=lambda x: x.reshape(len(x), -1))


def test_flatten_channels_first(backend):
    check_layer(layers.Flatten, {"data_format": "channels_first"}, (3, 4, 2),
                reference=lambda x: np.moveaxis(x, 1, -1).reshape(len(x), -1))


def test_flatten_integers_and_empty_batch():
    y = layers.Flatten()(np.arange(6).reshape(1, 2, 3))
    assert y.dtype == "int64" and y.shape == (1, 6)
    assert layers.Flatten()(Input((2, 3), dtype="int32")).dtype == "int32"
    assert layers.Flatten()(np.ones((0, 2, 3))).shape == (0, 6)
    assert layers.Flatten()(Input((None, 3))).shape == (None, None)


@pytest.mark.parametrize("target, shape, expected", [
    ((6,), (2, 3), (6,)), ((3, -1), (2, 3), (3, 2)), ((-1,), (2, 3), (6,)), ((1, 2, 3), (6,), (1, 2, 3)),
    ((), (1,), ()),
])
def test_reshape(backend, target, shape, expected):
    check_layer(layers.Reshape, {"target_shape": target}, shape,
                reference=lambda x: x.reshape(len(x), *expected), output_shape=(None, *expected))


def test_reshape_refuses():
    with pytest.raises(ValueError, match=r"cannot give samples of shape \(2, 3\) the shape \(4,\)"):
        layers.Reshape((4,))(np.ones((1, 2, 3)))
    assert layers.Reshape((-1, 3))(Input((None,))).shape == (None, None, 3)


@pytest.mark.parametrize("dims, shape", [((2, 1), (3, 4)), ((3, 1, 2), (2, 3, 4)), ((1,), (3,))])
def test_permute(backend, dims, shape):
    check_layer(layers.Permute, {"dims": dims}, shape, reference=lambda x: x.transpose(0, *dims))


def test_permute_refuses():
    with pytest.raises(ValueError, match="each of 1 to 2 once"):
        layers.Permute((0, 1))
    with pytest.raises(ValueError, match="rank 3"):
        layers.Permute((2, 1))(np.ones((2, 3)))


def test_repeat_vector(backend):
    check_layer(layers.RepeatVector, {"n": 3}, (4,), reference=lambda x: np.repeat(x[:, None], 3, axis=1))
    with pytest.raises(TypeError, match="must be an integer"):
        layers.RepeatVector(2.5)
