"""Fixtures shared by all tests: devices, seeds, data, real Keras."""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
import random

import numpy as np
import pytest

from gpukeras import backends


@functools.cache
def _gpu_problem() -> str | None:
    """Return why GPU tests cannot run here, or ``None``."""
    try:
        backends.resolve("gpu")
    except backends.DeviceError as error:
        return str(error)
    return None


def pytest_runtest_setup(item):
    # Here rather than in the fixture: pytest then folds all these skips into one line of its summary.
    if item.get_closest_marker("gpu") and (problem := _gpu_problem()):
        pytest.skip(f"GPU: {problem}")


# GPUKERAS_TEST_GENERIC=1 adds a stand-in for a GPU: the generic code on arrays that refuse to wait.
_DEVICES = ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]
if os.environ.get("GPUKERAS_TEST_GENERIC"):
    _DEVICES.insert(1, "generic")


@pytest.fixture(params=_DEVICES)
def backend(request):
    """Run the test on each device: new arrays are made there."""
    if request.param == "generic":
        from support.fake_device import fake_device

        with fake_device() as found:
            yield found
        return
    with backends.device_scope(request.param) as found:
        yield found


@pytest.fixture(autouse=True)
def _cpu_and_seeds():
    """Start every test on the CPU with the same random state, whatever ran before."""
    random.seed(0)
    np.random.seed(0)
    with backends.device_scope("cpu"):
        yield


@pytest.fixture(scope="session")
def data_dir() -> pathlib.Path:
    """Folder with the team's real data sets (``GPUKERAS_TEST_DATA``, else ``../shared/data``)."""
    here = pathlib.Path(__file__).resolve().parents[1]
    folder = pathlib.Path(os.environ.get("GPUKERAS_TEST_DATA", here.parent / "shared" / "data"))
    if not (folder / "mnist_20k.npz").exists():
        pytest.skip(f"real data: no {folder}; set GPUKERAS_TEST_DATA to the folder with mnist_20k.npz")
    return folder


@pytest.fixture(scope="session")
def real_keras():
    """Real Keras 3 on JAX, the oracle of parity tests."""
    missing = [name for name in ("keras", "jax") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"parity: {' and '.join(missing)} not installed; pip install 'gpukeras[parity]'")
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    assert keras.backend.backend() == "jax", "real Keras was imported with another backend before"
    return keras
