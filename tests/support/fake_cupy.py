"""A stand-in for CuPy on a machine without a GPU: the real ``CupyBackend`` runs on it.

Arrays here keep their values in NumPy arrays, but are none: what CuPy does not have, does not take or answers
differently is so here as well.

- Only names and parameters of the real wheel exist (``cupy_surface.json``); result types follow its ufuncs.
- Host arrays and device arrays do not mix, nor do those of two devices; results of one element stay arrays.
- Nothing turns into host data by itself. ``cupy.asnumpy`` does, and is counted in ``state.waits`` together
  with functions whose result shape depends on values; inside ``forbid_waiting`` they raise ``Waits``.
- New memory holds rubbish; out-of-range indices wrap; of values that meet in one place any may stay.
- An array lives on the device current when it was made, and can be used only while that one is current.
"""

from __future__ import annotations

import contextlib
import importlib.machinery
import types

import numpy as np

from . import fake_streams
from .cupy_surface import stored
from .emulator import capture
from .emulator.module import (
    SHARED_WITHOUT_ATTRIBUTE,
    CompileException,
    CUDADriverError,
    RawKernel,
    RawModule,
)
from .emulator.settings import settings
from .fake_arrays import (
    CUDARuntimeError,
    Waits,
    _bind_methods,
    _call,
    _checked,
    _do,
    _plain,
    _rubbish,
    _run,
    _scalar_or_host,
    _upload,
    _wait,
    forbid_waiting,
    ndarray,
    state,
    ufunc,
)

DEVICES = 2


# ---- devices -------------------------------------------------------------------------------------
class Device:
    """One of the devices of the stand-in."""

    def __init__(self, device=None):
        self.id = state.device if device is None else int(device)
        self._before: list[int] = []

    def __enter__(self):
        self._before.append(state.device)
        self.use()
        return self

    def __exit__(self, *exception):
        state.device = self._before.pop()

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def use(self):
        if not 0 <= self.id < DEVICES:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        state.device = self.id

    def synchronize(self):
        _wait("synchronize")

    @property
    def compute_capability(self):
        return settings.compute_capability

    @property
    def attributes(self):
        major, minor = divmod(int(settings.compute_capability), 10)
        return {
            "ComputeCapabilityMajor": major, "ComputeCapabilityMinor": minor, "WarpSize": 32,
            "MultiProcessorCount": settings.multiprocessors, "MaxThreadsPerBlock": 1024,
            "MaxThreadsPerMultiProcessor": 1024 if settings.compute_capability == "75" else 2048,
            "MaxRegistersPerBlock": 65536, "MaxRegistersPerMultiprocessor": 65536,
            "MaxSharedMemoryPerBlock": SHARED_WITHOUT_ATTRIBUTE,
            "MaxSharedMemoryPerBlockOptin": settings.shared_limit(),
            "MaxSharedMemoryPerMultiprocessor": settings.shared_limit() + 1024,
            "MaxBlocksPerMultiprocessor": 16, "MaxGridDimX": 2**31 - 1, "MaxGridDimY": 65535,
            "MaxGridDimZ": 65535, "MaxBlockDimX": 1024, "MaxBlockDimY": 1024, "MaxBlockDimZ": 64,
            "L2CacheSize": 50 << 20, "MemoryPoolsSupported": 1, "CooperativeLaunch": 1,
        }


ndarray._device_type = Device


# ---- the module ----------------------------------------------------------------------------------
class _Module(types.ModuleType):
    """A module that has what the wheel has, computed by NumPy."""

    def __init__(self, name, numpy_module, special=None):
        super().__init__(name)
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__path__: list = []
        self._numpy = numpy_module
        self.__dict__.update(special or {})

    def __getattr__(self, name):
        entry = stored()[self.__name__].get(name)
        if entry is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} (nor has the real one)")
        found = getattr(self._numpy, name, None)
        if found is None:
            raise NotImplementedError(f"the stand-in has no {self.__name__}.{name}; run this on a GPU")
        if "loops" in entry:
            found = ufunc(name, entry, found)
        elif callable(found) and not isinstance(found, type):
            function = found

            def found(*args, **kwargs):
                return _call(name, function, entry, args, kwargs)

        setattr(self, name, found)
        return found


def _array(value, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    if isinstance(value, ndarray):
        host = _plain(value)
        if not copy and not ndmin and (dtype is None or host.dtype == np.dtype(dtype)) and order in "KA":
            return value
        found = _run("array", np.array, (host, dtype), {"copy": copy or None, "order": order, "ndmin": ndmin})
        return value if found._host is host else found
    if hasattr(value, "__array__") and not isinstance(value, (np.ndarray, np.generic)):
        raise TypeError(f"Unsupported type {type(value)}: the library converts its own types by itself")
    if isinstance(value, (list, tuple)) and any(isinstance(v, ndarray) for v in value):
        return _run("array", lambda parts: np.stack(parts).astype(dtype, copy=False), (_plain(list(value)),))
    _upload()
    return _run("array", np.array, (value, dtype), {"order": order, "ndmin": ndmin})


def _asarray(a, dtype=None, order=None, *, blocking=False):
    return _array(a, dtype, False, order or "K")


def _asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    return a.get(order=order) if isinstance(a, ndarray) else np.asarray(a, order=order)


def _empty(shape, dtype=float, order="C"):
    return ndarray._of(_rubbish(fake_streams.empty(shape, dtype, order)))


def _empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    like = np.empty_like(_plain(prototype), dtype, order, shape=shape)
    if fake_streams.special_memory():
        like = fake_streams.empty(like.shape, like.dtype, "C" if like.flags.c_contiguous else "F")
    return ndarray._of(_rubbish(like))


class _Position:
    """Where a generator stands: on the device an array, here the state of NumPy's generator."""

    def __init__(self, bits):
        self._bits = bits

    def copy(self):
        return self._bits.state

    def __setitem__(self, key, value):
        self._bits.state = value


class _Generator:
    """Draws of ``numpy.random.Generator``, with the parameters of CuPy's and results on the device."""

    def __init__(self, bit_generator):
        self._generator = np.random.Generator(np.random.SFC64(bit_generator.seed))
        self._device = state.device
        self.bit_generator = types.SimpleNamespace(_state=_Position(self._generator.bit_generator))

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        entry = stored()["cupy.random.Generator"][name]

        def draw(*args, **kwargs):
            if state.device != self._device:
                raise RuntimeError("This Generator state is allocated in a different device")
            _checked(name, entry, args, kwargs)
            if "size" not in kwargs and not args and name in ("random", "standard_normal"):
                kwargs["size"] = ()
            plain = [_plain(a) for a in args]
            if name in ("beta", "binomial", "standard_gamma"):
                for a in args:
                    if type(a) not in (ndarray, int, float, tuple):
                        raise TypeError(f"{name}: parameters are cupy.ndarray, int or float, came {type(a)}")
            bits = self._generator.bit_generator
            before = bits.state if capture.capturing() else None
            found = _run(name, getattr(self._generator, name), plain, kwargs)
            if before is not None:
                bits.state = before  # drawn to learn the shape
            return found

        return draw


class _Philox:
    def __init__(self, seed=None, *, size=-1):
        self.seed = seed


def _getDeviceCount():
    return DEVICES


def _getDeviceProperties(index):
    major, minor = divmod(int(settings.compute_capability), 10)
    return {"name": b"stand-in", "major": major, "minor": minor,
            "multiProcessorCount": settings.multiprocessors}


@contextlib.contextmanager
def _allow_synchronize(allow):
    with contextlib.nullcontext() if allow else forbid_waiting():
        yield


def _special(name):
    """Return a function of ``cupyx.scipy.special`` with its loops, from our CPU backend's float64 code."""
    from gpukeras import backends

    f = getattr(backends.CPU, name)
    return ufunc(name, stored()["cupyx.scipy.special"][name], lambda x: f(np.asarray(x)))


def _matmul(a, b, /, out=None, **kwargs):
    a, b = _scalar_or_host("matmul", a), _scalar_or_host("matmul", b)
    if out is None:
        return _run("matmul", np.matmul, (a, b))
    _do("matmul", lambda a, b, out: np.copyto(out, np.matmul(a, b)), a, b, _plain(out))
    return out


def make() -> dict[str, types.ModuleType]:
    """Return the modules of the stand-in by name, as ``sys.modules`` takes them."""
    runtime = _Module("cupy.cuda.runtime", types.SimpleNamespace(), {
        "CUDARuntimeError": CUDARuntimeError, "getDeviceCount": _getDeviceCount,
        "getDeviceProperties": _getDeviceProperties, "memGetInfo": lambda: (state.free, 1 << 30),
        "getDevice": lambda: state.device, "driverGetVersion": lambda: 13000,
        "runtimeGetVersion": lambda: 12090,
    })
    driver = _Module("cupy.cuda.driver", types.SimpleNamespace(), {"CUDADriverError": CUDADriverError})
    compiler = _Module("cupy.cuda.compiler", types.SimpleNamespace(), {"CompileException": CompileException})
    cuda = _Module("cupy.cuda", types.SimpleNamespace(), {
        "runtime": runtime, "driver": driver, "compiler": compiler, "Device": Device,
        "is_available": lambda: True,
        "get_device_id": lambda: state.device, "Stream": fake_streams.Stream, "Event": fake_streams.Event,
        "Graph": capture.Graph, "get_current_stream": fake_streams.get_current_stream,
        "get_elapsed_time": fake_streams.get_elapsed_time, "MemoryPool": fake_streams.MemoryPool,
        "MemoryPointer": fake_streams.MemoryPointer, "set_allocator": fake_streams.set_allocator,
        "get_allocator": fake_streams.get_allocator, "using_allocator": fake_streams.using_allocator,
        "alloc": lambda size: fake_streams.get_allocator()(size),
        "memory": types.SimpleNamespace(OutOfMemoryError=fake_streams.OutOfMemoryError),
        "set_pinned_memory_allocator": lambda allocator=None: None,
    })
    tricks = _Module("cupy.lib.stride_tricks", np.lib.stride_tricks)
    special = {
        "__version__": stored()["version"], "ndarray": ndarray, "ufunc": ufunc, "array": _array,
        "asarray": _asarray, "asanyarray": _asarray, "asnumpy": _asnumpy, "empty": _empty,
        "empty_like": _empty_like, "matmul": _matmul, "cuda": cuda,
        "linalg": _Module("cupy.linalg", np.linalg), "RawModule": RawModule, "RawKernel": RawKernel,
        "get_default_memory_pool": lambda: fake_streams.DEFAULT_POOL,
        "get_default_pinned_memory_pool": lambda: types.SimpleNamespace(malloc=None),
        "fft": _Module("cupy.fft", np.fft), "lib": types.SimpleNamespace(stride_tricks=tricks),
        "random": _Module("cupy.random", types.SimpleNamespace(),
                          {"Generator": _Generator, "Philox4x3210": _Philox}),
    }
    cupy = _Module("cupy", np, special)
    names = ("erf", "erfc", "erfinv")
    functions = types.SimpleNamespace(**{n: _special(n) for n in names})
    scipy_special = _Module("cupyx.scipy.special", functions, vars(functions))
    scipy = types.ModuleType("cupyx.scipy")
    scipy.special = scipy_special
    cupyx = _Module("cupyx", types.SimpleNamespace(), {
        "scipy": scipy, "allow_synchronize": _allow_synchronize, "DeviceSynchronized": Waits,
        "rsqrt": ufunc("rsqrt", stored()["cupyx"]["rsqrt"], lambda x: 1 / np.sqrt(x)),
    })
    _bind_methods(lambda name: getattr(cupy, name))
    return {"cupy": cupy, "cupy.cuda": cuda, "cupy.cuda.runtime": runtime, "cupyx": cupyx,
            "cupyx.scipy": scipy, "cupyx.scipy.special": scipy_special}

