"""pad_sequences, PyDataset, (un)packing of batches, seeds."""

import random as python_random

import numpy as np
import pytest

from gpukeras import KerasTensor, ops, random, utils

LISTS = [[1, 2, 3], [], [4, 5, 6, 7, 8], [9]]


def pad(sequences, maxlen, padding, truncating, value):
    """By loops."""
    found = []
    for sequence in sequences:
        kept = list(sequence)
        while len(kept) > maxlen:
            kept.pop(0 if truncating == "pre" else -1)
        while len(kept) < maxlen:
            kept.insert(0 if padding == "pre" else len(kept), value)
        found.append(kept)
    return found


@pytest.mark.parametrize("maxlen", [0, 2, 4, 7])
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_pad_sequences(maxlen, padding, truncating):
    found = utils.pad_sequences(LISTS, maxlen, padding=padding, truncating=truncating, value=-1)
    assert found.dtype == np.int32 and found.shape == (4, maxlen)
    assert found.tolist() == pad(LISTS, maxlen, padding, truncating, -1)


def test_pad_sequences_of_other_things():
    assert utils.pad_sequences(LISTS).shape == (4, 5)
    assert utils.pad_sequences([]).shape == (0, 0)
    vectors = utils.pad_sequences([np.ones((2, 3)), np.ones((1, 3))], dtype="float32")
    assert vectors.shape == (2, 2, 3) and vectors[1].sum(axis=1).tolist() == [0, 3]
    words = utils.pad_sequences([["a"], ["b", "c"]], dtype=object, value="")
    assert words.tolist() == [["", "a"], ["b", "c"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1, 2],), "item 0 is 1"), ((5,), "list of sequences"), ((LISTS, 3, "int32", "left"), "padding"),
        ((LISTS, 3, "int32", "pre", "right"), "truncating"),
        (([["a"]], 3, "int32", "pre", "pre", "x"), "dtype"),
        (([np.ones((2, 3)), np.ones((1, 4))],), "shape"),
    ],
)
def test_pad_sequences_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        utils.pad_sequences(*arguments)


class Squares(utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return index, index**2


def test_py_dataset():
    data = Squares(workers=2, use_multiprocessing=True, max_queue_size=5)
    assert (data.workers, data.use_multiprocessing, data.max_queue_size, data.num_batches) == (2, True, 5, 3)
    assert list(data) == [(0, 0), (1, 1), (2, 4)]
    assert utils.Sequence is utils.PyDataset

    class Old(utils.Sequence):
        def __init__(self):
            pass

        __len__, __getitem__ = Squares.__len__, Squares.__getitem__

    old = Old()
    old.on_epoch_begin()
    old.on_epoch_end()
    assert old.workers == 1 and old.num_batches == 3
    with pytest.raises(NotImplementedError, match="__getitem__"):
        utils.PyDataset()[0]
    with pytest.raises(NotImplementedError, match="__len__"):
        len(utils.PyDataset())


def test_packing():
    for data, parts in [
        (1, (1, None, None)), ((1,), (1, None, None)), ((1, 2), (1, 2, None)), ([1, 2, 3], (1, 2, 3)),
    ]:
        assert utils.unpack_x_y_sample_weight(data) == parts
    for parts in [(1,), (1, 2), (1, 2, 3), ([1, 2],)]:
        packed = utils.pack_x_y_sample_weight(*parts)
        assert utils.unpack_x_y_sample_weight(packed)[: len(parts)] == parts
    with pytest.raises(ValueError, match="4 elements"):
        utils.unpack_x_y_sample_weight((1, 2, 3, 4))
    assert utils.is_keras_tensor(KerasTensor((None, 2))) and not utils.is_keras_tensor(np.ones(2))


def test_set_random_seed(backend):
    def draws():
        return (
            python_random.random(), np.random.rand(), random.host_generator().random(),
            float(ops.sum(random.normal((3,)))),
        )

    utils.set_random_seed(11)
    first = draws()
    second = draws()
    utils.set_random_seed(11)
    assert draws() == first and first != second
    for wrong in (-1, 2**32, 1.5, "1", True, None):
        with pytest.raises(ValueError, match="seed must be"):
            utils.set_random_seed(wrong)


@pytest.mark.parity
def test_real_keras(real_keras):
    for padding in ("pre", "post"):
        for truncating in ("pre", "post"):
            arguments = {"maxlen": 3, "padding": padding, "truncating": truncating, "value": 7}
            theirs = real_keras.utils.pad_sequences(LISTS, **arguments)
            assert np.array_equal(utils.pad_sequences(LISTS, **arguments), theirs)
