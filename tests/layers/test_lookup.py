"""StringLookup and IntegerLookup beyond what tests/layers/test_text_golden.py compares with Keras."""

import copy
import json

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import backends, layers
from gpukeras.sparse import SparseTensor
from gpukeras.utils import PyDataset


def ids(layer, values):
    return layer(values).numpy().tolist()


def test_vocabulary_and_special_tokens():
    layer = layers.StringLookup(vocabulary=["a", "b"], mask_token="", num_oov_indices=2)
    assert layer.get_vocabulary() == ["", "[UNK]", "[UNK]", "a", "b"] and layer.vocabulary_size() == 5
    assert layer.get_vocabulary(include_special_tokens=False) == ["a", "b"]
    same = layers.StringLookup(vocabulary=layer.get_vocabulary(), mask_token="", num_oov_indices=2)
    assert same.get_vocabulary() == layer.get_vocabulary()
    layer.set_vocabulary(np.array(["c"]))
    assert ids(layer, ["c", ""]) == [3, 0] and layer.vocab_size() == 4
    bags = layers.StringLookup(vocabulary=["a", "b"], mask_token="", output_mode="count")
    assert bags.get_vocabulary() == ["[UNK]", "a", "b"]


@pytest.mark.parametrize("values", [
    ["b", "zz"], np.array(["b", "zz"]), np.array([b"b", b"zz"]), np.array(["b", "zz"], object),
    np.array([b"b", b"zz"], object),
])
def test_strings_of_every_kind(values):
    layer = layers.StringLookup(vocabulary=["a", "b"])
    found = layer(values)
    assert found.numpy().tolist() == [2, 0] and found.dtype == "int64" and found.backend is backends.current()


def test_encodings():
    layer = layers.StringLookup(vocabulary=["ü".encode("latin-1")], encoding="latin-1")
    assert layer.get_vocabulary() == ["[UNK]", "ü"]
    assert ids(layer, np.array(["ü".encode("latin-1"), b"u"], object)) == [1, 0] and ids(layer, ["ü"]) == [1]


class Words(PyDataset):
    def __len__(self):
        return 2

    def __getitem__(self, i):
        return np.array([["b", "a"], ["b", "c"]][i])


@pytest.mark.parametrize("data", [
    [["b", "a"], ["b", "c"]], np.array(["b", "a", "b", "c"]), Words(),
    [np.array(["b", "a"]), np.array(["b", "c"], object)],
    lambda: (np.array(x) for x in (["b", "a"], ["b", "c"])),
], ids=["lists", "array", "data set", "batches", "generator"])
def test_adapt_to_any_data(data):
    layer = layers.StringLookup()
    layer.adapt(data() if callable(data) else data)
    assert layer.get_vocabulary() == ["[UNK]", "b", "c", "a"] and layer.is_adapted


def test_adapt_in_parts_and_again():
    layer = layers.StringLookup(max_tokens=3)
    layer.adapt(["b", "a", "c", "b", "d"], batch_size=2, steps=2)
    assert layer.get_vocabulary() == ["[UNK]", "b", "c"]
    layer.adapt(["z"])
    assert layer.get_vocabulary() == ["[UNK]", "z"] and ids(layer, ["b", "z"]) == [0, 1]
    layer.reset_state()
    layer.update_state(["q", "q"])
    layer.update_state(["r"])
    layer.finalize_state()
    assert layer.get_vocabulary() == ["[UNK]", "q", "r"]
    step = layer.make_adapt_function()
    step(iter([np.array(["s"])]))


def test_inverse_document_frequencies():
    layer = layers.StringLookup(output_mode="tf_idf", max_tokens=6, pad_to_max_tokens=True)
    layer.adapt([["b", "a"], ["b", "b"], ["d", "b"]])
    expected = np.log(1 + 3 / (1 + np.array([3, 1, 1])))
    expected = np.array([expected.mean(), *expected])
    np.testing.assert_allclose(layer.idf_weights.numpy(), expected, rtol=1e-6)
    found = layer([["b", "b"], ["x", "d"]]).numpy()
    assert found.dtype == "float32" and found.shape == (2, 6)
    np.testing.assert_allclose(found[:, :4], np.array([[0, 2, 0, 0], [1, 0, 1, 0]]) * expected, rtol=1e-6)


def test_a_file_of_tokens(tmp_path):
    path = tmp_path / "tokens.txt"
    path.write_text("a b\nü\n", encoding="utf-8")
    layer = layers.StringLookup(vocabulary=path)
    assert layer.get_vocabulary() == ["[UNK]", "a b", "ü"] and layer.get_config()["vocabulary"] is None
    (tmp_path / "numbers.txt").write_bytes(b"5\r\n7\r\n")
    assert layers.IntegerLookup(vocabulary=str(tmp_path / "numbers.txt")).get_vocabulary() == [-1, 5, 7]
    path.write_text("a\n\nb\n")
    with pytest.raises(ValueError, match="empty line: number 2"):
        layers.StringLookup(vocabulary=str(path))
    with pytest.raises(ValueError, match="does not exist"):
        layers.StringLookup(vocabulary=str(tmp_path / "none.txt"))


def test_configurations():
    layer = layers.StringLookup(vocabulary=["a"], salt=3, num_oov_indices=2, output_mode="binary")
    config = json.loads(json.dumps(layer.get_config()))
    again = layers.StringLookup.from_config(config)
    assert again.get_config() == layer.get_config() and again.output_mode == "multi_hot"
    np.testing.assert_array_equal(again([["x", "a"]]).numpy(), layer([["x", "a"]]).numpy())
    named = layers.StringLookup.from_config({"vocabulary": "/etc/hostname", "vocabulary_size": 7})
    with pytest.raises(RuntimeError, match="/etc/hostname.*not read"):
        named(["a"])
    weighted = layers.StringLookup(vocabulary=["a"], output_mode="tf_idf", idf_weights=[2.0])
    weighted = layers.deserialize(layers.serialize(weighted))
    assert weighted([["a", "a"]]).numpy().tolist() == [[0.0, 4.0]]
    old = layers.IntegerLookup(max_values=5, mask_value=0, oov_value=-7, vocabulary=[3])
    assert old.get_vocabulary() == [0, -7, 3]


def test_copies_are_their_own():
    layer = layers.IntegerLookup(vocabulary=[3])
    layer([3])
    twin = copy.deepcopy(layer)
    twin.set_vocabulary([4])
    assert ids(layer, [3, 4]) == [1, 0] and ids(twin, [3, 4]) == [0, 1]


def test_sparse_results():
    layer = layers.StringLookup(vocabulary=["a", "b"], output_mode="count", sparse=True)
    found = layer([["a", "a"], ["b", "x"]])
    assert found.numpy().tolist() == [[0, 2, 0], [1, 0, 1]]
    assert isinstance(found, SparseTensor) == (backends.current() is backends.CPU)


def test_shapes_of_symbolic_calls():
    text = keras.Input((3,), dtype="string")
    assert layers.StringLookup(vocabulary=["a"])(text).dtype == "int64"
    bag = layers.StringLookup(output_mode="multi_hot")
    assert bag(text).shape == (None, None)
    bag.adapt(["a", "b"])
    assert bag(text).shape == (None, 3) and bag(text).dtype == "float32"
    padded = layers.StringLookup(output_mode="one_hot", pad_to_max_tokens=True, max_tokens=9)
    assert padded.compute_output_shape((None, 1)) == (None, 9)
    assert padded.compute_output_shape((None, 2)) == (None, 2, 9)
    back = layers.IntegerLookup(vocabulary=[1], invert=True)
    assert back(keras.Input((2,), dtype="int64")).dtype == "int64"


def test_what_no_number_is_left_for():
    with pytest.raises(ValueError, match=r"\['x'\] are not in the vocabulary"):
        layers.StringLookup(vocabulary=["a"], num_oov_indices=0)(["a", "x"])
    with pytest.raises(ValueError, match=r"\[9\] are not in the vocabulary"):
        layers.IntegerLookup(vocabulary=[1], num_oov_indices=0)([1, 9])
    assert ids(layers.StringLookup(vocabulary=["a"], num_oov_indices=0, mask_token=""), ["a", ""]) == [1, 0]
    assert ids(layers.IntegerLookup(vocabulary=[1, 5], num_oov_indices=0, mask_token=0), [5, 0]) == [2, 0]


@pytest.mark.parametrize("kwargs, message", [
    ({"max_tokens": 1}, "greater than 1"), ({"num_oov_indices": -1}, "must not be negative"),
    ({"output_mode": "x"}, "output_mode must be one of"), ({"sparse": True}, "sparse=True needs"),
    ({"invert": True, "output_mode": "count"}, "invert=True needs"), ({"vocabulary": []}, "is empty"),
    ({"idf_weights": [1.0]}, "idf_weights go with"), ({"vocabulary": ["a", "a"]}, "repeated.*'a'"),
    ({"vocabulary": ["a", "b"], "max_tokens": 2}, "more than max_tokens=2"),
    ({"vocabulary": ["a"], "output_mode": "tf_idf"}, "needs idf_weights"),
    ({"vocabulary": ["a"], "output_mode": "tf_idf", "idf_weights": [1.0, 2.0]}, "2 idf_weights for 1"),
    ({"vocabulary": ["a", ""], "mask_token": ""}, "mask token '' stands within"),
    ({"salt": "x"}, "salt must be"), ({"no_such": 1}, "no_such"), ({"vocabulary": [1]}, "came 1 in it"),
])
def test_settings_that_do_not_fit(kwargs, message):
    with pytest.raises((ValueError, TypeError), match=message):
        layers.StringLookup(**kwargs)


@pytest.mark.parametrize("kwargs, message", [
    ({"vocabulary_dtype": "int32"}, "must be 'int64'"), ({"oov_method": "x"}, "must be one of"),
    ({"salt": 1}, "goes with oov_method='farmhash'"),
])
def test_settings_of_integers_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.IntegerLookup(**kwargs)


def test_calls_that_do_not_fit():
    with pytest.raises(RuntimeError, match="no vocabulary yet"):
        layers.StringLookup()(["a"])
    with pytest.raises(TypeError, match="use IntegerLookup"):
        layers.StringLookup(vocabulary=["a"])([1])
    with pytest.raises(TypeError, match="use StringLookup"):
        layers.IntegerLookup(vocabulary=[1])(["a"])
    with pytest.raises(ValueError, match="would replace the vocabulary"):
        layers.StringLookup(vocabulary=["a"]).adapt(["b"])
    with pytest.raises(TypeError, match="yields tuples"):
        layers.StringLookup().adapt((x, 1) for x in ["a"])
    with pytest.raises(ValueError, match="no batch"):
        layers.StringLookup().adapt(iter(()))
    with pytest.raises(TypeError, match="takes arrays or an iterable"):
        layers.StringLookup().adapt(3)
