"""Kernels of this folder on the CuPy stand-in."""

import pathlib

import pytest
from support import emulator
from support.fake_device import installed

HERE = pathlib.Path(__file__).parent


@pytest.fixture(autouse=True)
def cupy():
    """The stand-in, without our backend on it."""
    if reason := emulator.missing():
        pytest.skip(f"kernels: {reason}")
    with installed():
        import cupy

        yield cupy


@pytest.fixture
def load(cupy):
    """Return a kernel of a file in this folder: ``load("planted.cu", "race_within_warp")``."""

    def load(file, name, *options):
        return cupy.RawModule(code=(HERE / file).read_text(), options=options).get_function(name)

    return load
