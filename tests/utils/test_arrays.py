"""to_categorical, to_ordinal, normalize."""

import numpy as np
import pytest

from gpukeras import ops, utils


def one_hot(labels, classes):
    """By loops."""
    found = np.zeros((*np.shape(labels), classes))
    for index in np.ndindex(*np.shape(labels)):
        found[(*index, int(np.asarray(labels)[index]))] = 1
    return found


@pytest.mark.parametrize(
    "labels",
    [
        [0, 2, 1], [[0, 1], [2, 3]], np.array([1.0, 0.0]), np.array([3, 1], "uint8"), 2,
        np.arange(8).reshape(2, 2, 2),
    ],
    ids=str,
)
def test_to_categorical(labels):
    found = utils.to_categorical(labels, num_classes=9)
    assert found.dtype == np.float32 and np.array_equal(found, one_hot(labels, 9))
    assert utils.to_categorical(labels).shape[-1] == int(np.max(labels)) + 1


def test_to_categorical_drops_a_last_axis_of_one():
    assert np.array_equal(utils.to_categorical([[0], [2]]), one_hot([0, 2], 3))
    assert utils.to_categorical([3]).shape == (1, 4)
    assert utils.to_categorical([], num_classes=3).shape == (0, 3)


def test_to_categorical_of_old_code_and_types():
    assert np.array_equal(utils.to_categorical(y=[1, 0]), one_hot([1, 0], 2))
    assert utils.to_categorical([1, 0], dtype="int32").dtype == np.int32


def test_to_categorical_of_tensors(backend):
    found = utils.to_categorical(ops.convert_to_tensor([[2], [0]]))
    assert np.array_equal(found.numpy(), one_hot([2, 0], 3)) and found.dtype == np.float32
    assert utils.to_categorical(ops.convert_to_tensor([1, 0]), 4).shape == (2, 4)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [([0, 3], 3, "label 3 is outside 0 to 2"), ([-1, 2], 3, "label -1"), ([0.5], None, "whole numbers.*0.5")],
)
def test_wrong_labels(labels, classes, message):
    with pytest.raises(ValueError, match=message):
        utils.to_categorical(labels, classes)


def test_to_ordinal():
    found = utils.to_ordinal([0, 2, 3], num_classes=4)
    assert found.tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]] and found.dtype == np.float32


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("order", [1, 2, np.inf])
def test_normalize(backend, axis, order):
    x = np.random.default_rng(0).normal(size=(3, 4))
    expected = np.apply_along_axis(lambda v: v / np.linalg.norm(v, order), axis, x)
    assert np.allclose(utils.normalize(x, axis=axis, order=order), expected)
    found = utils.normalize(ops.convert_to_tensor(x, dtype="float32"), axis=axis, order=order)
    assert found.dtype == np.float32 and np.allclose(found.numpy(), expected, atol=1e-6)


def test_normalize_keeps_zeros_and_types():
    x = np.zeros((2, 3), "float32")
    assert utils.normalize(x).dtype == np.float32 and not utils.normalize(x).any()
    assert not utils.normalize(ops.convert_to_tensor(x)).numpy().any()


@pytest.mark.parity
def test_real_keras(real_keras):
    labels = np.array([[3], [0], [1]])
    assert np.array_equal(utils.to_categorical(labels), real_keras.utils.to_categorical(labels))
    x = np.random.default_rng(0).normal(size=(3, 4))
    assert np.allclose(utils.normalize(x), real_keras.utils.normalize(x))
