"""Fixtures shared by all tests: devices, seeds, data, real Keras."""

from __future__ import annotations

import functools
import importlib.util
import os
import pathlib
import random

# Small matrices on many threads are slow, above all beside other work; one thread always sums in one order.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from support import nvrtc

from gpukeras import backends
from gpukeras.random import set_seed


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
    if item.get_closest_marker("nvrtc") and (problem := nvrtc.missing()):
        pytest.skip(f"NVRTC: {problem}")


def pytest_generate_tests(metafunc):
    """Run the tests of layers, models and what belongs to them on the GPU as well, or on its stand-in."""
    room = metafunc.definition.path.relative_to(pathlib.Path(__file__).parent).parts[0]
    once = any(metafunc.definition.get_closest_marker(name) for name in ("cpu", "parity", "data", "gpu"))
    if room in TWICE and not once and not {"backend", "tier"} & set(metafunc.fixturenames):
        metafunc.parametrize("_start", ["cpu", "gpu" if _gpu_problem() is None else _GENERIC], indirect=True)


# Rooms whose tests run twice; what they say of the CPU alone is marked ``cpu``.
TWICE = {"layers", "losses", "metrics", "models", "optimizers", "test_losses.py"}
# "generic": our CuPy backend on a stand-in for CuPy, whose arrays refuse what a GPU would refuse.
_GENERIC = "generic"


@pytest.fixture(params=["cpu", _GENERIC, pytest.param("gpu", marks=pytest.mark.gpu)])
def backend(request):
    """Run the test on each device: new arrays are made there."""
    with _device(request.param) as found:
        yield found


@pytest.fixture
def on_gpu():
    """Return what opens a ``with`` block on the GPU or, without one, on its stand-in."""
    return lambda: _device("gpu" if _gpu_problem() is None else _GENERIC)


def _device(name: str):
    """Return a ``with`` block in which new arrays are made on a device, or on the stand-in for a GPU."""
    if name != _GENERIC:
        return backends.device_scope(name)
    _need_emulator()
    from support.fake_device import fake_device

    return fake_device()


@pytest.fixture(params=["fast", "check"])
def tier(request):
    """Tier of the kernel emulator (tests/README.md); kernels run in it until the test ends."""
    _need_emulator()
    from support import emulator

    with emulator.using(tier=request.param):
        yield request.param


@pytest.fixture(params=["forward", "reverse", "random"])
def schedule(request):
    """Order in which the emulator runs blocks and threads of kernels."""
    _need_emulator()
    from support import emulator

    with emulator.using(schedule=request.param):
        yield request.param


def _need_emulator() -> None:
    from support import emulator

    if reason := emulator.missing():
        pytest.skip(f"kernels: {reason}")


@pytest.fixture(autouse=True)
def _start(request):
    """Start every test with the same random state, whatever ran before, on the CPU if not said otherwise."""
    random.seed(0)
    np.random.seed(0)
    set_seed(0)
    with _device(getattr(request, "param", "cpu")):
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
