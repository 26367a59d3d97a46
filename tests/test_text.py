"""Text as tensors."""

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import dtypes, ops
from gpukeras.text import StringTensor, flat_bytes, flat_str, is_text, string_tensor


@pytest.mark.parametrize("values", [
    ["a", "ü"], np.array(["a", "ü"]), np.array(["a", "ü".encode()], object),
    np.array([b"a", "ü".encode()]),
])
def test_values_from_any_source(values):
    tensor = string_tensor(values)
    assert tensor.tolist() == ["a", "ü"]
    assert tensor.numpy().tolist() == [b"a", "ü".encode()] and tensor.numpy().dtype == object
    assert tensor.dtype == "string" and tensor.shape == (2,) and tensor.device == "cpu"
    assert flat_str(tensor.array) == ["a", "ü"] and flat_bytes(tensor.array) == [b"a", "ü".encode()]


def test_other_encodings_and_bytes_that_are_none():
    latin = np.array(["ü".encode("latin-1")], object)
    assert flat_str(latin, "latin-1") == ["ü"] and flat_bytes(latin, "latin-1") == ["ü".encode()]
    broken = string_tensor([b"a\xff"])
    assert broken.numpy().tolist() == [b"a\xff"]


def test_scalars_slices_and_comparison():
    one = ops.convert_to_tensor("a")
    assert one.numpy() == b"a" and one.shape == ()
    grid = string_tensor([["a", "b"], ["c", "d"]])
    assert grid[1].tolist() == ["c", "d"] and grid[0, 1].tolist() == "b" and len(grid) == 2
    assert [row.tolist() for row in grid] == [["a", "b"], ["c", "d"]]
    assert (grid == [["a", "x"], ["c", "d"]]).tolist() == [[True, False], [True, True]]
    assert (grid != "a").tolist() == [[False, True], [True, True]]
    assert grid.reshape(4).shape == (4,) and np.asarray(grid).shape == (2, 2)
    assert "shape=(2, 2)" in repr(grid) and str(one) == "b'a'"


def test_what_is_no_text():
    assert not is_text([1, "a"]) and not is_text([]) and not is_text(np.zeros(2)) and is_text([["a"]])
    with pytest.raises(TypeError, match="came None"):
        string_tensor(["a", None])
    with pytest.raises(TypeError, match="array of float64"):
        string_tensor(np.zeros(2))
    with pytest.raises(ValueError, match="unequal lengths"):
        string_tensor([["a"], ["a", "b"]])


def test_text_is_not_computed_with():
    with pytest.raises(TypeError, match="StringLookup"):
        string_tensor(["a"]) + 1
    with pytest.raises(TypeError, match="StringLookup"):
        keras.layers.Dense(1)(np.array([["a"]]))
    with pytest.raises(TypeError, match="StringLookup"):
        ops.add(keras.Input((1,), dtype="string"), keras.Input((1,)))


def test_dtype_names():
    for name in ("string", "str", str, bytes, object, np.dtype("U3"), np.dtype("S3")):
        assert dtypes.standardize_dtype(name) == "string"
    assert keras.Input((1,), dtype="string").dtype == "string"
    assert isinstance(ops.convert_to_tensor(["a"], "string"), StringTensor)
