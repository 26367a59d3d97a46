"""Faults of a GPU: each ends in an error of its own kind that says what happened and what to do."""

import pickle
import sys
import threading

import numpy as np
import pytest
from support import emulator, fake_cupy, fake_streams
from support.fake_device import BACKEND_MODULE, fake_device, installed

import gpukeras as keras
from gpukeras import backends, layers, ops
from gpukeras.backends import DeviceError
from gpukeras.tensor import Variable

FAULTS = "gpukeras.backends.cupy_faults"


@pytest.fixture
def cupy(monkeypatch):
    """The stand-in, with no device chosen yet, for tests that change what its driver answers."""
    for name, value in {"_default": None, "_gpus": {}, "_auto_warned": False, "several_gpus": False}.items():
        monkeypatch.setattr(backends, name, value)
    monkeypatch.setattr(backends, "_local", threading.local())
    monkeypatch.delenv("GPUKERAS_DEVICE", raising=False)
    modules = fake_cupy.make()
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for name in (BACKEND_MODULE, FAULTS):
        monkeypatch.setitem(sys.modules, name, None)  # so that what the test imports goes again
        del sys.modules[name]
    return modules["cupy"]


def fails(error):
    def call(*args, **kwargs):
        raise error

    return call


def cuda(text):
    return fake_cupy.CUDARuntimeError(text)


# ---- before the first array --------------------------------------------------------------------------------
@pytest.mark.parametrize("has, advice", [
    (0, "no NVIDIA driver that could be loaded"),
    (11080, r"driver is made for CUDA 11.8, CuPy for CUDA 12.9: update the driver, or pip install"),
])
def test_missing_and_old_driver(cupy, monkeypatch, has, advice):
    runtime = cupy.cuda.runtime
    text = "cudaErrorInsufficientDriver: CUDA driver version is insufficient for CUDA runtime version"
    monkeypatch.setattr(runtime, "getDeviceCount", fails(cuda(text)))
    monkeypatch.setattr(runtime, "driverGetVersion", lambda: has)
    with pytest.raises(DeviceError, match=f"'gpu:0' cannot be used: CUDA reports: cudaErrorInsuff.*{advice}"):
        keras.config.set_device("gpu")
    with pytest.warns(RuntimeWarning, match=f"{advice}.*; continuing on the CPU") as caught:
        keras.config.set_device("auto")
        keras.config.set_device("auto")
    assert len(caught) == 1 and backends.current() is backends.CPU


@pytest.mark.parametrize("text, advice", [
    ("cudaErrorNoDevice: no CUDA-capable device is detected", "CUDA_VISIBLE_DEVICES"),
    ("cudaErrorSystemDriverMismatch: mismatch", "restart the machine"),
    ("cudaErrorSystemNotReady: not yet", "nvidia-fabricmanager"),
    ("cudaErrorUnknown: unknown error", "cudaErrorUnknown: unknown error$"),
])
def test_what_the_driver_reports(cupy, monkeypatch, text, advice):
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", fails(cuda(text)))
    with pytest.raises(DeviceError, match=advice):
        keras.config.set_device("gpu")


@pytest.mark.parametrize("function, error, told", [
    ("add", RuntimeError('Failure finding "libnvrtc.so.12"\nmore'), r'libnvrtc.so.12"; compiler, headers'),
    ("add", cuda("cudaErrorNoKernelImageForDevice: none"), "has no code for this GPU: pip install"),
    ("add", cuda("cudaErrorDevicesUnavailable: busy"), "another program has the GPU"),
    ("matmul", ImportError("libcublas.so.12: cannot open shared object"), "shared object; .*pip install"),
    ("matmul", RuntimeError("CUBLAS_STATUS_NOT_INITIALIZED"), "memory is full: nvidia-smi"),
    ("zeros", fake_streams.OutOfMemoryError("Out of memory allocating 512"), "memory is full: nvidia-smi"),
])
def test_nothing_can_be_computed(cupy, monkeypatch, function, error, told):
    monkeypatch.setattr(cupy, function, fails(error))
    with pytest.raises(DeviceError, match=rf"first kernel does not run \({type(error).__name__}: .*{told}"):
        keras.config.set_device("gpu")


def test_cupy_that_cannot_be_imported(cupy, monkeypatch):
    """CuPy's own message is general advice; the reason is the error before it."""
    general = ImportError("\n=====\nFailed to import CuPy.\n")
    general.__cause__ = ImportError("libcuda.so.1: cannot open shared object file")
    assert "imported: libcuda.so.1: cannot open shared object file (the library of the NVIDIA driver); " in (
        backends._import_problem(general))
    assert "imported: ValueError: numpy.dtype size changed; install" in (
        backends._import_problem(ValueError("numpy.dtype size changed")))
    monkeypatch.setitem(sys.modules, BACKEND_MODULE, None)  # importing it raises ImportError
    with pytest.warns(RuntimeWarning, match="installed but cannot be imported.*continuing on the CPU"):
        keras.config.set_device("auto")


# ---- memory ------------------------------------------------------------------------------------------------
@pytest.fixture
def little_memory():
    """The stand-in, whose pool may hold 4 MiB."""
    with fake_device() as backend:
        pool = backend.xp.get_default_memory_pool()
        pool.set_limit(size=4 << 20)
        yield backend
        pool.set_limit(size=0)


TOLD = (r"gpu:0 is out of memory: {} were asked for; arrays hold .*, the pool keeps .* on the card are free, "
        r"the pool may hold 4.00 MiB .*Lower batch_size .* keras.utils.clear_session\(\)")


def test_out_of_memory_where_arrays_are_made(little_memory):
    ops.zeros((1000,))
    host = np.zeros((2048, 1024), "float32")
    for make in (lambda: ops.ones((2048, 1024)), lambda: ops.convert_to_tensor(host), lambda: Variable(host)):
        with pytest.raises(MemoryError, match=TOLD.format("8.00 MiB")) as caught:
            make()
        assert isinstance(caught.value, (DeviceError, fake_streams.OutOfMemoryError))
        assert (caught.value._size, caught.value._limit) == (8 << 20, 4 << 20)


def test_out_of_memory_in_ops_and_fit(little_memory):
    x = ops.ones((1024, 1))
    with pytest.raises(DeviceError, match=TOLD.format("8.00 MiB")), keras.GradientTape():
        x * ops.ones((1, 2048))
    model = keras.Sequential([layers.Dense(4096, activation="relu"), layers.Dense(1)])
    model.compile("sgd", "mse")
    data = np.ones((512, 2), "float32")
    with pytest.raises(MemoryError, match=TOLD.format("8.00 MiB")):
        model.fit(data, data[:, :1], batch_size=512, verbose=0)
    model.fit(data, data[:, :1], batch_size=32, verbose=0)  # what it advises helps


def test_other_programs_count_as_others():
    with fake_device() as backend:
        faults = sys.modules[FAULTS]
        fake_cupy.state.free, before = 1 << 28, fake_cupy.state.free
        try:
            error = faults._out_of_memory(3 << 30, backend.xp.get_default_memory_pool())
        finally:
            fake_cupy.state.free = before
        assert "3.00 GiB were asked for" in str(error)
        assert "768.00 MiB belong to captured steps, CUDA and other programs" in str(error)
        assert "256.00 MiB of 1.00 GiB on the card are free. Lower" in str(error)


def test_an_allocator_of_the_user_stays(cupy, monkeypatch):
    asked = []

    def mine(size):
        asked.append(size)
        return fake_streams.DEFAULT_POOL.malloc(size)

    before = cupy.cuda.get_allocator()
    cupy.cuda.set_allocator(mine)
    try:
        keras.config.set_device("gpu")
        assert cupy.cuda.get_allocator() is mine and asked
    finally:
        cupy.cuda.set_allocator(before)


@pytest.mark.parametrize("count, text", [
    (0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.50 KiB"), (3 << 20, "3.00 MiB"),
    (140 << 30, "140.00 GiB"),
])
def test_size_text(count, text):
    with installed():
        backends.resolve("gpu")
        assert sys.modules[FAULTS].size_text(count) == text


# ---- kernels -----------------------------------------------------------------------------------------------
def test_a_fault_that_shows_later(monkeypatch):
    error = cuda("cudaErrorIllegalAddress: an illegal memory access was encountered")
    with fake_device() as backend:
        x = ops.ones(3)
        monkeypatch.setattr(backend.xp, "asnumpy", fails(error))
        monkeypatch.setattr(fake_cupy.Device, "synchronize", fails(error))
        for wait in (x.numpy, lambda: float(ops.sum(x)), backend.synchronize):
            with pytest.raises(DeviceError, match="^gpu:0: cudaErrorIllegalAddress: an illegal memory access "
                                                  "was .*GPUKERAS_DEBUG_KERNELS=1.* names the kernel"):
                wait()


@pytest.fixture
def planted(monkeypatch):
    """``kernels.launch`` on the stand-in, and a module whose source the test gives."""
    if reason := emulator.missing():
        pytest.skip(f"kernels: {reason}")
    with fake_device():
        import gpukeras.kernels.launch as launch

        def module(source):
            found = launch.Module("planted.cu")
            found.__dict__["source"] = source
            found.declare("fill", T=("float",), budget=launch.Budget(threads=64))
            return found

        yield launch, module
        launch.debug(False)


def test_a_kernel_that_does_not_compile_is_named(planted):
    launch, module = planted
    source = 'typedef USE_T T;\nextern "C" __global__ void fill(T* y) { y[0] = wrong; }'
    told = r"kernel fill of planted.cu, T=float does not compile for compute capability \d+.\d: .*err.*wrong"
    with pytest.raises(launch.KernelError, match=told) as caught:
        module(source).kernel("fill", T="float")
    assert len(str(caught.value).splitlines()) == 1


FILL = """typedef USE_T T;
extern "C" __global__ void fill(T* y, int n) { if (threadIdx.x < n) y[threadIdx.x] = 1; }"""


def test_a_launch_that_fails_is_named_with_its_shapes(planted):
    launch, module = planted
    kernel, y = module(FILL).kernel("fill", T="float"), ops.zeros((2, 3)).array
    told = (r"kernel fill of planted.cu, T=float with grid \(1,\), block \(2048,\), 0 bytes of shared memory "
            r"and y=\(2, 3\), n=6 failed")
    with pytest.raises(launch.KernelError, match=told):
        kernel(1, 2048, y, 6)


def test_a_fault_of_an_earlier_kernel_may_show_at_a_launch(planted, monkeypatch):
    launch, module = planted
    kernel, y = module(FILL).kernel("fill", T="float"), ops.zeros((2, 3)).array
    error = fake_cupy.CUDADriverError("CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered")
    monkeypatch.setattr(kernel, "_function", fails(error))
    with pytest.raises(launch.KernelError, match="or one launched before did: GPUKERAS_DEBUG_KERNELS=1"):
        kernel(1, 32, y, 6)
    launch.debug(True)
    with pytest.raises(launch.KernelError) as caught:
        kernel(1, 32, y, 6)
    assert "launched before" not in str(caught.value)


def test_debug_mode_waits_and_names_the_kernel(planted, monkeypatch):
    launch, module = planted
    kernel, y = module(FILL).kernel("fill", T="float"), ops.zeros((2, 3)).array
    launch.debug(True)
    error = cuda("cudaErrorLaunchFailure: unspecified launch failure")
    monkeypatch.setattr(fake_streams.Stream, "synchronize", fails(error))
    with pytest.raises(launch.KernelError, match=r"kernel fill .*y=\(2, 3\), n=6 failed: cudaErrorLaunch"):
        kernel(1, 32, y, 6)


# ---- the error itself --------------------------------------------------------------------------------------
def test_the_error_can_be_raised_in_another_process():
    with installed():
        backends.resolve("gpu")
        error = sys.modules[FAULTS].DeviceMemoryError("text", 8, 4, 2)
        copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy._size, copy._total, copy._limit) == ("text", 8, 4, 2)
