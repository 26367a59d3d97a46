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


def pytest_collection_modifyitems(config, items):
    """Keep a part of the cases on the stand-in for a GPU; GPUKERAS_TEST_GENERIC=1 runs all of them."""
    if os.environ.get("GPUKERAS_TEST_GENERIC") or any("[" in argument for argument in config.args):
        return
    seen: dict = {}
    kept, left_out = [], []
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        if params.get("backend") is not _GENERIC:
            kept.append(item)
            continue
        number = seen[item.function] = seen.get(item.function, -1) + 1
        (kept if number < 3 or number % 4 == 0 else left_out).append(item)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = kept


# "generic": our CuPy backend on a stand-in for CuPy, whose arrays refuse what a GPU would refuse.
_GENERIC = "generic"


@pytest.fixture(params=["cpu", _GENERIC, pytest.param("gpu", marks=pytest.mark.gpu)])
def backend(request):
    """Run the test on each device: new arrays are made there."""
    if request.param == "generic":
        _need_emulator()
        from support.fake_device import fake_device

        with fake_device() as found:
            yield found
        return
    with backends.device_scope(request.param) as found:
        yield found


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
def _cpu_and_seeds():
    """Start every test on the CPU with the same random state, whatever ran before."""
    random.seed(0)
    np.random.seed(0)
    set_seed(0)
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
