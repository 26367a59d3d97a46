"""Choosing devices: what works, what falls back, and what the errors say."""

import builtins
import subprocess
import sys
import threading
import types
import warnings

import numpy as np
import pytest
from support import fake_cupy
from support.fake_device import BACKEND_MODULE, Waits, fake_device, forbid_waiting, installed, state

import gpukeras as keras
from gpukeras import backends, layers, ops
from gpukeras.backends import DeviceError
from gpukeras.tensor import Variable

FRESH = [BACKEND_MODULE, BACKEND_MODULE.replace("cupy_backend", "cupy_faults")]  # look at CuPy's answers


@pytest.fixture
def fresh(monkeypatch):
    """No device chosen yet and CuPy never imported."""
    for name, value in {"_default": None, "_gpus": {}, "_auto_warned": False, "several_gpus": False}.items():
        monkeypatch.setattr(backends, name, value)
    monkeypatch.setattr(backends, "_local", threading.local())
    for name in [n for n in sys.modules if n.partition(".")[0] in ("cupy", "cupyx")] + FRESH:
        monkeypatch.setitem(sys.modules, name, None)  # so that whatever the test imports goes again
        del sys.modules[name]
    monkeypatch.delenv("GPUKERAS_DEVICE", raising=False)
    return monkeypatch


def without_cupy(monkeypatch, error=None):
    """Let ``import cupy`` fail, as where it is missing or broken."""
    original = builtins.__import__

    def importing(name, *args, **kwargs):
        if name.partition(".")[0] in ("cupy", "cupyx"):
            raise error or ModuleNotFoundError(f"No module named {name!r}", name=name.partition(".")[0])
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", importing)
    if error is None:
        import importlib.util

        spec = importlib.util.find_spec

        def find_spec(name, *args):
            return None if name == "cupy" else spec(name, *args)

        monkeypatch.setattr(importlib.util, "find_spec", find_spec)


def stand_in(monkeypatch, **changes):
    """Let ``cupy`` be the stand-in with other answers from the runtime."""
    modules = fake_cupy.make()
    for name, value in changes.items():
        where = modules["cupy"] if name in ("__version__", "add") else modules["cupy.cuda.runtime"]
        setattr(where, name, value)
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)


def fails(error):
    def call(*args, **kwargs):
        raise error

    return call


# ---- what there is -------------------------------------------------------------------------------
def test_gpu_without_cupy(fresh):
    without_cupy(fresh)
    with pytest.raises(DeviceError,
                       match=r"needs CuPy, which is not installed: pip install 'gpukeras\[cuda12\]'"):
        keras.config.set_device("gpu")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert keras.config.set_device("auto") is None or backends.current() is backends.CPU
    assert backends.current().name == "cpu"


def test_broken_cupy_names_the_reason(fresh):
    fresh.setitem(sys.modules, "cupy", types.ModuleType("cupy"))
    without_cupy(fresh, ImportError("\n====\nlibnvrtc.so.12: cannot open shared object file\nmore"))
    with pytest.raises(DeviceError, match="installed but cannot be imported: libnvrtc.so.12: cannot open"):
        backends.resolve("gpu")


NO_DRIVER = fake_cupy.CUDARuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")


@pytest.mark.parametrize("changes, message", [
    ({"getDeviceCount": fails(NO_DRIVER)}, "CUDA reports: cudaErrorInsufficientDriver"),
    ({"getDeviceCount": lambda: 0}, "this machine has 0 CUDA device"),
    ({"__version__": "13.6.0"}, "CuPy 13.6.0 is too old, expected 14 or later"),
    ({"add": fails(OSError("cannot find headers\nsecond line"))}, r"OSError: cannot find headers; .*cuda12"),
])
def test_auto_falls_back_with_one_warning(fresh, changes, message):
    stand_in(fresh, **changes)
    with pytest.raises(DeviceError, match=message):
        backends.resolve("gpu")
    with pytest.warns(RuntimeWarning, match="continuing on the CPU") as caught:
        assert ops.ones(2).device == "cpu" or backends._local.stack  # inside the fixture's scope
        backends.set_device("auto")
        backends.set_device("auto")
        assert backends.current() is backends.CPU
    assert len(caught) == 1


def test_auto_takes_the_gpu_and_says_so_once(fresh, capsys):
    stand_in(fresh)
    backends.set_device("auto")
    assert backends.current().name == "gpu:0"
    backends.set_device("auto")
    assert capsys.readouterr().err.count("gpukeras: using GPU 0 (stand-in), CuPy 14") == 1


def test_environment_chooses(fresh):
    stand_in(fresh)
    fresh.setenv("GPUKERAS_DEVICE", "gpu:1")
    assert ops.ones(2).device == "gpu:1"
    fresh.setattr(backends, "_default", None)
    fresh.setenv("GPUKERAS_DEVICE", "")
    fresh.setattr(backends, "resolve", lambda name: {"auto": backends.CPU}[name])
    assert ops.ones(2).device == "cpu"


@pytest.mark.parametrize("name", ["tpu", "gpu:x", "gpu:-1", "auto:1", "", "gpu:1:2"])
def test_unknown_names(name):
    with pytest.raises(DeviceError, match="expected 'auto', 'cpu', 'gpu' or 'gpu:N'"):
        backends.resolve(name)


def test_numbers_beyond_the_last_device():
    with installed(), pytest.raises(DeviceError,
                                    match="'gpu:2' cannot be used: this machine has 2 CUDA device"):
        backends.resolve("gpu:2")


def test_spellings():
    with installed():
        names = ("gpu", "GPU:0", "cuda", "cuda:0", "/gpu:0", "/device:GPU:0")
        assert len({backends.resolve(n) for n in names}) == 1
        assert backends.resolve("/device:CPU:0") is backends.CPU


def test_import_touches_no_cupy():
    code = "import sys, gpukeras, gpukeras.models, gpukeras.layers; assert 'cupy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True,
                   env={"PYTHONPATH": ":".join(p for p in sys.path if p)})


# ---- where things go -----------------------------------------------------------------------------
def test_scopes_nest():
    with fake_device("gpu:0"):
        assert ops.ones(1).device == "gpu:0"
        with keras.config.device("gpu:1"):
            assert ops.ones(1).device == "gpu:1" and state.device == 1
            with keras.config.device("cpu"):
                assert ops.ones(1).device == "cpu"
                assert isinstance(ops.ones(1).array, np.ndarray)
            assert ops.ones(1).device == "gpu:1"
            with pytest.raises(KeyError), keras.config.device("gpu:0"):
                raise KeyError
            assert ops.ones(1).device == "gpu:1"
        assert ops.ones(1).device == "gpu:0" and state.device == 0


def test_mixed_devices_are_named():
    with fake_device("gpu:0"):
        here, with_weights = ops.ones((2, 2)), Variable(np.ones((2, 2), "float32"), name="w")
        with backends.device_scope("gpu:1"):
            there = ops.ones((2, 2))
        with backends.device_scope("cpu"):
            host = ops.ones((2, 2))
        for one, other, names in ((here, there, "gpu:0 and gpu:1"),
                                  (here, host, "(cpu and gpu:0|gpu:0 and cpu)")):
            for f in (ops.add, ops.matmul, lambda a, b: ops.concatenate([a, b])):
                with pytest.raises(DeviceError, match=names):
                    f(one, other)
        with pytest.raises(DeviceError, match="expected a tensor on gpu:0, came one on cpu"):
            with_weights.assign(host)
        with pytest.raises(DeviceError, match="expected a tensor on gpu:0, came one on gpu:1"):
            with_weights.assign(there)
        np.testing.assert_array_equal((here + np.ones((2, 2))).numpy(), 2)  # host data goes to the tensor


def test_arrays_decide_who_computes():
    """Ops, gradients and updates run on the GPU of their arrays, whatever is current."""
    with fake_device("gpu:1"):
        layer = layers.Dense(3, activation="tanh")
        x = ops.ones((4, 2))
        layer(x)
        for current in ("gpu:0", "cpu", "gpu:1"):
            with backends.device_scope(current):
                with keras.GradientTape() as tape:
                    loss = ops.mean(ops.square(layer(x)))
                grads = tape.gradient(loss, layer.trainable_variables)
                for name in ("Adam", "Nadam", "SGD", "Lamb"):
                    optimizer = getattr(keras.optimizers, name)(0.01, global_clipnorm=1.0, use_ema=True)
                    optimizer.apply(grads, layer.trainable_variables)
                assert loss.device == "gpu:1" and {g.device for g in grads} == {"gpu:1"}
                assert np.isfinite(float(loss))


def test_other_threads_compute_on_the_chosen_gpu(fresh):
    stand_in(fresh)
    backends.set_device("gpu:1")
    found = []

    def work():
        x = ops.ones((2, 3))
        found.append((x.device, ops.sum(x * 2).device, float(ops.sum(x * 2))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [("gpu:1", "gpu:1", 12.0)]


@pytest.mark.parametrize("count", [1, 2])
def test_the_only_gpu_is_known_by_the_type_of_its_arrays(fresh, count):
    stand_in(fresh, getDeviceCount=lambda: count)
    fresh.setattr(backends, "_by_type", dict(backends._by_type))
    backends.set_device("gpu")
    x = ops.ones(3)
    assert x.device == "gpu:0" and (type(x.array) in backends._by_type) == (count == 1)
    with backends.device_scope("cpu"):
        assert ops.ones(3).device == "cpu" and (x + 1).device == "gpu:0"


def test_generators_and_constants_belong_to_their_device():
    keras.utils.set_random_seed(5)
    with fake_device("gpu:0"):
        one = keras.random.normal((4,))
        seeds = keras.random.SeedGenerator(1)
        first = keras.random.uniform((3,), seed=seeds)
        with backends.device_scope("gpu:1"):
            other = keras.random.normal((4,))
            second = keras.random.uniform((3,), seed=seeds)
        assert (one.device, other.device, first.device, second.device) == ("gpu:0", "gpu:1", "gpu:0", "gpu:1")
        for make in (keras.initializers.GlorotUniform(1), keras.initializers.Orthogonal(1),
                     keras.initializers.Zeros()):
            here = Variable(make, shape=(3, 3))
            with backends.device_scope("cpu"):
                host = Variable(make, shape=(3, 3))
            assert (here.device, host.device) == ("gpu:0", "cpu")
            np.testing.assert_array_equal(here.numpy(), host.numpy())


# ---- the stand-in keeps its promises -------------------------------------------------------------
def test_the_stand_in_is_strict():
    with fake_device() as backend:
        xp, x = backend.xp, backend.asarray(np.arange(6.0).reshape(2, 3))
        for convert in (float, int, bool, complex, list, lambda a: 0 in a, lambda a: a.item(),
                        lambda a: a.tolist()):
            with pytest.raises(Waits):
                convert(x[0])
        for mix in (lambda: x + np.ones(3), lambda: np.ones(3) + x, lambda: xp.add(x, np.ones(3)),
                    lambda: np.exp(x), lambda: np.asarray(x), lambda: xp.concatenate([x, np.ones((2, 3))]),
                    lambda: xp.where(x > 0, x, np.ones(3)), lambda: np.add(1, x),
                    lambda: np.concatenate([x, x])):
            with pytest.raises(TypeError):
                mix()
        for unknown in (lambda: xp.sum(x, where=x > 0), lambda: xp.add(x, x, where=x > 0),
                        lambda: x.max(initial=0), lambda: xp.take(x, x, mode="clip"),
                        lambda: xp.argsort(x, stable=True), lambda: x.sum(where=1)):
            with pytest.raises(TypeError):
                unknown()
        for missing in ("apply_over_axes_", "block_", "errstate", "float128"):
            with pytest.raises(AttributeError):
                getattr(xp, missing)
        with pytest.raises(ValueError, match="stable"):
            xp.sort(x, kind="quicksort")
        assert xp.sum(x).shape == () and isinstance(xp.sum(x), xp.ndarray) and isinstance(x[0, 0], xp.ndarray)
        assert xp.isnan(xp.empty(3)).shape == (3,) and bool(np.isnan(backend.to_numpy(xp.empty(3))).all())
        np.testing.assert_array_equal(backend.to_numpy(x[backend.asarray([3])]), [[3, 4, 5]])  # 3 wraps to 1
        with forbid_waiting():
            for wait in (lambda: x[x > 0], lambda: xp.nonzero(x), lambda: xp.where(x), lambda: xp.unique(x),
                         lambda: backend.to_numpy(x), backend.synchronize):
                with pytest.raises(Waits):
                    wait()
            x[x > 0] = 1
        assert not hasattr(x.flags, "writeable")
        with pytest.raises(TypeError, match="no atomic"):
            xp.add.at(backend.asarray([1], "int64"), backend.asarray([0]), 1)
        with pytest.raises(ValueError, match="Unsupported dtype"):
            xp.asarray(np.array(["a"]))
        with fake_device("gpu:1"), pytest.raises(ValueError, match="array device = 0 while current = 1"):
            xp.exp(x)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_special_functions_keep_their_type(dtype):
    values = np.linspace(-0.9, 0.9, 7).astype(dtype)
    with fake_device() as backend:
        for name in ("erf", "erfc", "erfinv"):
            found = getattr(backend, name)(backend.asarray(values))
            assert found.dtype == dtype
            expected = getattr(backends.CPU, name)(values.astype("float64"))
            np.testing.assert_allclose(backend.to_numpy(found), expected,
                                       rtol=2e-3 if dtype == "float16" else 1e-5)
