"""TextVectorization beyond what tests/layers/test_text_golden.py compares with Keras."""

import json

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import layers
from gpukeras.text import StringTensor


@keras.saving.register_keras_serializable("tests")
def loud(text):
    assert isinstance(text, StringTensor)
    return [s.upper() for s in text.tolist()]


@keras.saving.register_keras_serializable("tests")
def at_dashes(text):
    return [s.split("-") for s in text.tolist()]


def test_functions_of_ones_own():
    layer = layers.TextVectorization(standardize=loud, split=at_dashes)
    layer.adapt(["a-b", "b"])
    assert layer.get_vocabulary() == ["", "[UNK]", "B", "A"]
    assert layer(["b-a", "c"]).tolist() == [[2, 3], [1, 0]]
    again = layers.deserialize(json.loads(json.dumps(layers.serialize(layer))))
    assert again.standardize is loud and again.split is at_dashes
    with pytest.raises(ValueError, match="for 1 texts of 2"):
        layers.TextVectorization(vocabulary=["a"], split=lambda text: [["a"]])(["a", "b"])


@pytest.mark.parametrize("split", [
    lambda text: np.char.split(np.array(text.tolist())), lambda text: StringTensor(np.array([["a", "b"]])),
    lambda text: ["a", "b"],
])
def test_what_split_functions_may_return(split):
    assert layers.TextVectorization(vocabulary=["a", "b"], split=split)(["a b"]).tolist() == [[2, 3]]


def test_shapes():
    layer = layers.TextVectorization(vocabulary=["a", "b"])
    assert layer("b a").tolist() == [3, 2] and layer([["a"], ["b a"]]).tolist() == [[2, 0], [3, 2]]
    assert layer([[["a"], ["b"]]]).shape == (1, 2, 1) and layer(["", ""]).shape == (2, 0)
    assert layer.compute_output_shape((None, 1)) == layer.compute_output_shape((None,)) == (None, None)
    whole = layers.TextVectorization(vocabulary=["a", "b"], split=None)
    assert whole([["a", "b"]]).tolist() == [[2, 3]] and whole("b").tolist() == 3
    assert whole.compute_output_shape((None, 2)) == (None, 2)
    bag = layers.TextVectorization(vocabulary=["a", "b"], output_mode="multi_hot")
    assert bag(keras.Input((1,), dtype="string")).shape == (None, 3) == bag.compute_output_shape((None,))
    hot = layers.TextVectorization(vocabulary=["a", "b"], output_mode="one_hot")
    assert hot(["a x b", "b"]).numpy().sum(-1).tolist() == [[1, 1, 1], [1, 0, 0]]
    assert hot.compute_output_shape((None, 1)) == (None, None, 3)
    with pytest.raises(ValueError, match="came shape"):
        layer([["a", "b"]])


def test_configuration_and_vocabulary():
    layer = layers.TextVectorization(vocabulary=["a", "b"], ngrams=(1, 2), output_mode="count")
    again = layers.TextVectorization.from_config(json.loads(json.dumps(layer.get_config())))
    assert again.get_config() == layer.get_config() and again.ngrams == (1, 2)
    assert again.get_vocabulary(include_special_tokens=False) == ["a", "b"] and again.vocabulary_size() == 3
    again.set_vocabulary(["[UNK]", "q"])
    assert again.get_vocabulary() == ["[UNK]", "q"]
    named = layers.TextVectorization.from_config({"vocabulary": "/etc/hostname"})
    with pytest.raises(RuntimeError, match="not read by itself"):
        named(["a"])


def test_adapt_to_batches():
    layer = layers.TextVectorization(output_mode="tf_idf")
    layer.adapt(np.array(x) for x in (["a a b"], ["b"]))
    weights = np.log(1 + 2 / (1 + np.array([2, 1])))
    assert layer.get_vocabulary() == ["[UNK]", "b", "a"]
    np.testing.assert_allclose(layer(["a a x"]).numpy(), [[weights.mean(), 0, 2 * weights[1]]], rtol=1e-6)


@pytest.mark.parametrize("kwargs, message", [
    ({"standardize": "x"}, "standardize must be one of"), ({"split": "x"}, "split must be one of"),
    ({"output_mode": "x"}, "output_mode must be"), ({"ngrams": "2"}, "ngrams must be"),
    ({"output_sequence_length": 3, "output_mode": "count"}, "goes with output_mode='int'"),
    ({"ragged": True}, "has no meaning here"), ({"sparse": True}, "sparse=True needs"),
])
def test_settings_that_do_not_fit(kwargs, message):
    with pytest.raises(ValueError, match=message):
        layers.TextVectorization(**kwargs)


def test_numbers_are_no_text():
    with pytest.raises(TypeError, match="takes text, came int"):
        layers.TextVectorization(vocabulary=["a"])([1])
    with pytest.raises(TypeError, match="expected strings"):
        layers.TextVectorization().adapt([1, 2])
