"""Sources of batches: arrays, data sets, generators, and what they refuse."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras.models.data import make_source, split_validation
from gpukeras.tensor import Tensor


def batches(source):
    return [tuple(None if p is None else p.numpy() for p in batch) for batch in source]


def test_arrays_are_cut_in_order():
    x, y = np.arange(10, dtype="float64").reshape(10, 1), np.arange(10)
    source = make_source(x, y, batch_size=4)
    found = batches(source)
    assert source.steps == 3 and [len(b[0]) for b in found] == [4, 4, 2]
    np.testing.assert_array_equal(np.concatenate([b[0] for b in found])[:, 0], np.arange(10))
    assert found[0][0].dtype == "float32" and found[0][1].dtype == y.dtype and found[0][2] is None


def test_shuffle_is_seeded_and_keeps_pairs():
    x, y = np.arange(20.0), np.arange(20)
    keras.utils.set_random_seed(1)
    source = make_source(x, y, batch_size=6, shuffle=True)
    one, two = (np.concatenate([b[1] for b in batches(source)]) for _ in range(2))
    keras.utils.set_random_seed(1)
    again = np.concatenate([b[1] for b in batches(make_source(x, y, batch_size=6, shuffle=True))])
    assert sorted(one) == list(range(20)) and not np.array_equal(one, two)
    np.testing.assert_array_equal(one, again)
    for b in batches(source):
        np.testing.assert_array_equal(b[0], b[1].astype("float32"))
    whole = batches(make_source(x, y, batch_size=5, shuffle="batch"))
    assert {tuple(b[1]) for b in whole} == {tuple(range(i, i + 5)) for i in range(0, 20, 5)}


def test_structures_frames_sparse_and_lists():
    import pandas

    scipy_sparse = pytest.importorskip("scipy.sparse")
    frame = pandas.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6]})
    (x, y, _), = make_source(frame, frame["a"], batch_size=3)
    assert x.shape == (3, 2) and y.shape == (3,) and str(x.dtype) == "float32"
    (x, _, _), = make_source({"u": [1, 2, 3], "v": [[1.0], [2.0], [3.0]]}, batch_size=3)
    assert x["v"].shape == (3, 1)
    (x, _, _), = make_source([np.zeros((3, 2)), np.zeros((3, 4))], batch_size=3)
    assert isinstance(x, list) and x[1].shape == (3, 4)
    (x, _, _), = make_source([[1.0, 2.0], [3.0, 4.0]], batch_size=3)
    assert isinstance(x, Tensor) and x.shape == (2, 2)
    matrix = scipy_sparse.csr_matrix(np.eye(4))
    for x, _, _ in make_source(matrix, batch_size=3, shuffle=True):
        assert x.numpy().sum() == x.shape[0]


def test_class_weights_follow_labels():
    y = np.array([0, 1, 1, 2])
    (_, _, w), = make_source(np.zeros((4, 1)), y, batch_size=4, class_weight={0: 1.0, 1: 2.0, 2: 5.0})
    np.testing.assert_array_equal(w.numpy(), [1, 2, 2, 5])
    hot = np.eye(3)[y]
    (_, _, w), = make_source(np.zeros((4, 1)), hot, np.full(4, 0.5), 4, class_weight={0: 1, 1: 2, 2: 5})
    np.testing.assert_array_equal(w.numpy(), [0.5, 1, 1, 2.5])
    with pytest.raises(ValueError, match=r"no entry for the classes \[2\]"):
        make_source(np.zeros((4, 1)), y, class_weight={0: 1, 1: 1})


def test_generators_go_on_and_say_when_they_end():
    def forever():
        i = 0
        while True:
            yield np.full((2, 1), i), np.zeros(2)
            i += 1

    source = make_source(forever(), steps=3)
    assert [b[0][0, 0] for b in batches(source)] == [0, 1, 2]
    assert [b[0][0, 0] for b in batches(source)] == [3, 4, 5]
    short = make_source(iter([(np.zeros((2, 1)), np.zeros(2))]), steps=2)
    with pytest.warns(UserWarning, match="ran out after 1 of 2 steps"):
        list(short)
    once = make_source(b for b in [(np.zeros((2, 1)), np.zeros(2))] * 3)
    assert len(list(once)) == 3


class Squares(keras.utils.PyDataset):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.ends = 0

    def __len__(self):
        return 5

    def __getitem__(self, i):
        return np.full((2, 1), i), np.full((2, 1), i * i), np.ones(2)

    def on_epoch_end(self):
        self.ends += 1


@pytest.mark.parametrize("workers", [1, 3])
def test_py_datasets_with_threads_keep_order(workers):
    data = Squares(workers=workers, max_queue_size=2)
    source = make_source(data)
    assert [b[1][0, 0] for b in batches(source)] == [0, 1, 4, 9, 16]
    source.on_epoch_end()
    assert data.ends == 1
    keras.utils.set_random_seed(3)
    shuffled = [b[1][0, 0] for b in batches(make_source(data, shuffle=True))]
    assert sorted(shuffled) == [0, 1, 4, 9, 16]


def test_bad_data_is_refused_with_names():
    with pytest.raises(ValueError, match="x: 4; y: 3"):
        make_source(np.zeros((4, 1)), np.zeros(3))
    with pytest.raises(ValueError, match="empty"):
        make_source(np.zeros((0, 2)), np.zeros(0))
    with pytest.raises(ValueError, match="dtype object"):
        make_source(np.array(["a", 1], dtype=object))
    with pytest.raises(ValueError, match="batch_size must be a positive"):
        make_source(np.zeros((4, 1)), batch_size=0)
    with pytest.raises(ValueError, match="do not pass y"):
        make_source(Squares(), np.zeros(3))
    with pytest.raises(ValueError, match="do not pass y"):
        make_source((b for b in []), np.zeros(3))
    with pytest.raises(TypeError, match="cannot take data from"):
        make_source(object())
    with pytest.warns(UserWarning, match="only 2 batches"):
        make_source(np.zeros((4, 1)), batch_size=2, steps=5)


def test_split_takes_the_end():
    (x, y, w), (vx, vy, vw) = split_validation(np.arange(10.0), np.arange(10), None, 0.2)
    np.testing.assert_array_equal(Tensor(vx).numpy(), [8, 9])
    assert len(x) == len(y) == 8 and w is None and vw is None
    for fraction in (0.0, 1.0, -1):
        with pytest.raises(ValueError, match="between 0 and 1"):
            split_validation(np.arange(10.0), None, None, fraction)
    with pytest.raises(ValueError, match="nothing to train on"):
        split_validation(np.arange(1.0), None, None, 0.5)
