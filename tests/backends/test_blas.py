"""NumPy's BLAS, found and asked by its own functions."""

import types
from pathlib import Path

import numpy as np
import pytest

from gpukeras.backends import blas


@pytest.fixture
def own():
    """The BLAS of this NumPy, with its number of threads restored."""
    found = blas.find()
    if found.set_threads is None:
        pytest.skip("NumPy's BLAS offers no way to set its threads here")
    before = found.get_threads()
    yield found
    found.set_threads(before)


def test_numpys_own_is_found_and_obeys(own):
    for count in (2, 1):
        own.set_threads(count)
        assert own.get_threads() == count
    assert blas.current() is blas.current()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("a, b", [(2.0, 0.5), (0.0, 0.5), (-1.5, 0.0), (np.float32(0.3), 1.0)])
def test_scaled_sum(own, dtype, a, b):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 1003)).astype(dtype)
    expected = a * x.astype("float64") + b * y.astype("float64")
    if np.dtype(dtype) not in own.axpby:
        pytest.skip("this BLAS has no axpby")
    first = y[0]
    assert own.scaled_sum(a, x[1:], b, y[1:])
    assert y[0] == first
    np.testing.assert_allclose(y[1:], expected[1:], rtol=2e-6, atol=1e-6)


def test_scaled_sum_leaves_what_it_cannot_do(own):
    ones, fixed = np.ones((2, 10), "float32")
    fixed.flags.writeable = False
    for x, y in (
        (ones, ones.astype("float16")), (ones.astype("float64"), ones), (ones[::2], ones[:5].copy()),
        (fixed, ones), (ones, np.ones(20, "float32")[::2]), (ones[:9], ones), (ones[:0], ones[:0]),
    ):
        before = y.copy()
        assert not own.scaled_sum(2.0, x, 2.0, y)
        np.testing.assert_array_equal(y, before)


@pytest.mark.parametrize("names", blas.NAMES)
def test_other_libraries_are_found_by_their_functions(monkeypatch, names):
    set_to = []

    def put(count):  # ctypes' functions take attributes as this one does
        set_to.append(count)

    library = types.SimpleNamespace(**{names[0]: lambda: 3, names[1]: put})
    monkeypatch.setattr(blas, "_files", lambda: [Path("other.so"), Path("blas.so")])
    monkeypatch.setattr(blas.ctypes, "CDLL", lambda name: library if name == "blas.so" else object())
    found = blas.find()
    found.set_threads(6)
    assert set_to == [6] and found.get_threads() == 3
    assert not found.scaled_sum(1.0, np.ones(3), 1.0, np.ones(3))


def test_a_file_that_does_not_load_is_passed_over(monkeypatch):
    def load(name):
        raise OSError("not a library")

    monkeypatch.setattr(blas.ctypes, "CDLL", load)
    assert blas.find().set_threads is None


def test_elsewhere_the_files_lie_beside_numpy(monkeypatch, tmp_path):
    """Where there is no /proc, as on Windows and on a Mac."""
    libraries = tmp_path / "numpy.libs"
    libraries.mkdir()
    (libraries / "libscipy_openblas64_-1.dll").touch()
    (libraries / "msvcp140.dll").touch()
    (tmp_path / "numpy").mkdir()
    monkeypatch.setattr(blas.np, "__file__", str(tmp_path / "numpy" / "__init__.py"))
    monkeypatch.setattr(blas, "MAPS", tmp_path / "nothing")
    monkeypatch.setattr(blas.sys, "prefix", str(tmp_path))
    assert [f.name for f in blas._files()] == ["libscipy_openblas64_-1.dll"]
