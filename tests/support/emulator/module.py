"""``cupy.RawModule`` on the CPU."""

from __future__ import annotations

import ctypes
import functools
import re
import threading

import numpy as np

from . import build, capture
from .arguments import address, checked, offset, parameters_of
from .settings import KernelFault, LaunchError, settings
from .translate import TranslationError, without_comments

SHARED_WITHOUT_ATTRIBUTE = 48 * 1024
_SCHEDULES = {"forward": 0, "reverse": 1, "random": 2}
_lock = threading.Lock()  # one kernel at a time


class CUDADriverError(RuntimeError):
    """Has the name of CuPy's own error."""


class CompileException(Exception):
    """Has the name of CuPy's own error."""


def _invalid(what: str) -> CUDADriverError:
    return CUDADriverError(f"CUDA_ERROR_INVALID_VALUE: invalid argument ({what})")


class _Index(ctypes.Structure):
    _fields_ = [("x", ctypes.c_uint), ("y", ctypes.c_uint), ("z", ctypes.c_uint)]


class _Argument(ctypes.Structure):
    _fields_ = [("host", ctypes.c_void_p), ("bytes", ctypes.c_size_t), ("itemsize", ctypes.c_uint),
                ("offset", ctypes.c_int), ("constant", ctypes.c_int), ("name", ctypes.c_char_p)]


class _Request(ctypes.Structure):
    _fields_ = [
        ("entry", ctypes.c_void_p), ("arguments", ctypes.c_void_p), ("array_position", ctypes.c_void_p),
        ("arrays", ctypes.c_void_p), ("array_count", ctypes.c_int), ("grid", _Index), ("block", _Index),
        ("dynamic_shared", ctypes.c_size_t), ("shared_limit", ctypes.c_size_t), ("schedule", ctypes.c_int),
        ("seed", ctypes.c_uint64), ("checking", ctypes.c_int), ("trace_blocks", ctypes.c_int),
        ("resident_blocks", ctypes.c_int), ("seconds", ctypes.c_double),
    ]


class RawModule:
    """Kernels of a source, compiled when one is asked for."""

    def __init__(self, code=None, *, path=None, options=(), backend="nvrtc", translate_cucomplex=False,
                 enable_cooperative_groups=False, name_expressions=None, jitify=None):
        if (code is None) == (path is None):
            raise TypeError("Exactly one of `code` and `path` keyword arguments must be given.")
        if not isinstance(options, tuple):
            kind = type(options).__name__
            raise TypeError(f"Argument 'options' has incorrect type (expected tuple, got {kind})")
        if name_expressions is not None or jitify or path is not None:
            raise NotImplementedError("the stand-in takes code with extern \"C\" kernels alone")
        self.code, self.options, self.backend = code, options, backend
        self.enable_cooperative_groups = enable_cooperative_groups
        self.name_expressions = name_expressions
        self.file_path = None

    def compile(self, log_stream=None) -> None:
        self._compiled()

    def _compiled(self):
        if capture.capturing() and not self._is_compiled():
            raise CUDADriverError("a module is loaded while a stream is capturing; compile before")
        try:
            return build.compiled(self.code, self.options, settings.tier, settings.compute_capability)
        except build.CompileError as error:
            raise CompileException(f"g++ on the emulated source, options {self.options}:\n{error}") from None
        except TranslationError as error:
            raise CompileException(str(error)) from None
        finally:
            self.__dict__["_loaded"] = True

    def _is_compiled(self) -> bool:
        return self.__dict__.get("_loaded", False)

    def get_function(self, name):
        _, kernels = self._compiled()
        if name not in kernels:
            raise CUDADriverError("CUDA_ERROR_NOT_FOUND: named symbol not found")
        return RawKernel(self, name)


class RawKernel:
    """One kernel; calling it launches it, on the CPU and at once."""

    def __init__(self, module: RawModule, name: str):
        self._module, self.name = module, name
        self._allowed_shared = SHARED_WITHOUT_ATTRIBUTE
        self._by_way: dict = {}

    code = property(lambda self: self._module.code)
    options = property(lambda self: self._module.options)

    @property
    def max_dynamic_shared_size_bytes(self) -> int:
        return self._allowed_shared

    @max_dynamic_shared_size_bytes.setter
    def max_dynamic_shared_size_bytes(self, count: int) -> None:
        if not 0 <= count <= settings.shared_limit():
            raise _invalid(
                f"{count} bytes of shared memory, a block of sm_{settings.compute_capability} may have "
                f"{settings.shared_limit()}"
            )
        self._allowed_shared = count

    @property
    def max_threads_per_block(self) -> int:
        return self._way().bounds or 1024

    def _way(self):
        """Return the compiled kernel for the settings of now."""
        key = settings.tier, settings.compute_capability
        if key not in self._by_way:
            library, kernels = self._module._compiled()
            self._by_way[key] = _Compiled(library, kernels[self.name])
        return self._by_way[key]

    def __call__(self, grid, block, args, *, shared_mem=0, stream=None):
        way = self._way()
        if not isinstance(grid, tuple) or not isinstance(block, tuple):
            raise TypeError(f"kernel {self.name}: grid and block must be tuples, came {grid!r} and {block!r}")
        grid, block = (grid + (1, 1))[:3], (block + (1, 1))[:3]
        self._check_size(grid, block, shared_mem, way.bounds)
        array_type, device = _stand_in()
        arguments = checked(self.name, way.parameters, args, array_type, device())
        hosts = [host for _, _, host in arguments.arrays]
        arguments.arrays = [(position, parameter) for position, parameter, _ in arguments.arrays]
        capture.execute(f"kernel {self.name}", lambda *found: way.run(
            self.name, grid, block, arguments, found, shared_mem), hosts)

    def _check_size(self, grid, block, shared_mem, bounds) -> None:
        where = f"kernel {self.name}"
        for n in grid + block:
            if not isinstance(n, (int, np.integer)):
                raise TypeError(f"{where}: grid {grid} and block {block} must be integers")
        if min(grid + block) < 1:
            raise LaunchError(
                f"{where}: grid {grid}, block {block}: CuPy makes one of a zero; launch nothing instead"
            )
        threads = int(block[0]) * int(block[1]) * int(block[2])
        if grid[0] >= 2**31 or max(grid[1:]) > 65535 or threads > 1024 or block[2] > 64:
            raise _invalid(f"{where}, grid {grid}, block {block}")
        if bounds and threads > bounds:
            raise _invalid(f"{where}, block {block} exceeds __launch_bounds__({bounds})")
        if shared_mem > self._allowed_shared:
            raise _invalid(
                f"{where}, {shared_mem} bytes of shared memory, allowed {self._allowed_shared}: set "
                "max_dynamic_shared_size_bytes"
            )


class _Compiled:
    """A kernel of one tier and architecture."""

    def __init__(self, library, kernel):
        self.library = library
        self.tier = settings.tier
        self.parameters = parameters_of(library, kernel)
        self.entry = ctypes.cast(getattr(library, f"emulator_entry_{kernel.name}"), ctypes.c_void_p).value
        self.bounds = getattr(library, f"emulator_bounds_{kernel.name}")()
        self.names = [p.name.encode() for p in self.parameters]

    def run(self, name, grid, block, arguments, hosts, shared_mem) -> None:
        values = (ctypes.c_void_p * max(len(arguments.values), 1))(*[
            v.__array_interface__["data"][0] if isinstance(v, np.ndarray) else ctypes.addressof(v)
            for v in arguments.values])
        count = len(hosts)
        arrays, positions = (_Argument * max(count, 1))(), (ctypes.c_int * max(count, 1))()
        for i, ((position, parameter), host) in enumerate(zip(arguments.arrays, hosts)):
            positions[i] = position
            arrays[i] = _Argument(address(host), host.nbytes, host.itemsize, offset(host), parameter.constant,
                                  self.names[position])
        request = _Request(
            self.entry, ctypes.addressof(values), ctypes.addressof(positions), ctypes.addressof(arrays),
            count, _Index(*map(int, grid)), _Index(*map(int, block)), shared_mem, settings.shared_limit(),
            _SCHEDULES[settings.schedule], settings.seed, self.tier == "check", settings.trace_blocks,
            settings.resident_blocks, settings.seconds)
        text = ctypes.create_string_buffer(2048)
        with _lock:
            failed = build.runtime().emulator_launch(ctypes.byref(request), text, ctypes.c_size_t(len(text)))
            if failed:
                raise KernelFault(f"kernel {name}: {self._with_lines(text.value.decode(errors='replace'))}")

    def _with_lines(self, text: str) -> str:
        """Name source lines instead of code addresses."""
        return re.sub(r"pc=(0x[0-9a-f]+)", lambda m: f"({build.line_of(self.library, int(m[1], 16))})", text)


@functools.cache
def _stand_in():
    from .. import fake_cupy

    return fake_cupy.ndarray, lambda: fake_cupy.state.device


def kernel_names(code: str) -> list[str]:
    """Return the kernels of a source, without compiling it."""
    return re.findall(r'extern\s+"C"\s+__global__[^{;]*?\b(\w+)\s*\((?!\s*\d)', without_comments(code))
