"""The one road from Python to a ``.cu`` file: compile, keep, check, launch.

    MODULE = launch.Module("pooling.cu")
    MODULE.declare("max_pool_forward", "max_pool_backward", T=FLOATS)
    MODULE.kernel("max_pool_forward", T="float")(grid, block, x, y, rows, columns)

A file is compiled once for every set of defines and device, when a kernel of it is first asked for; CuPy
keeps the result on disk. Scalars are passed in the types of the kernel's parameters, read from its source:
CuPy would pass Python's floats as doubles. What may be asked for is declared beside the launcher, so that
tests can compile and run all of it (``catalogue``).

With ``debug(True)`` or ``GPUKERAS_DEBUG_KERNELS=1`` every launch is checked and waited for, so that a fault
is reported where it happens.
"""

from __future__ import annotations

import functools
import importlib
import itertools
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import cupy
import numpy as np

FOLDER = pathlib.Path(__file__).parent
DEBUG_VARIABLE = "GPUKERAS_DEBUG_KERNELS"
STATIC_SHARED = 48 << 10  # bytes of shared memory that every kernel may have; more must be asked for
OPTIONS = ("-std=c++17",)
SCALARS = {
    "int": np.int32, "unsigned int": np.uint32, "unsigned": np.uint32, "long long": np.int64,
    "unsigned long long": np.uint64, "float": np.float32, "bool": np.bool_,
}
TYPES = {"float32": "float", "float16": "__half", "bfloat16": "__nv_bfloat16"}  # computed in float
FLOATS = tuple(TYPES.values())
HALVES = FLOATS[1:]
ELEMENTS = {  # of arrays, by the type a pointer points to; vector types count as their elements
    "float": "float32", "float2": "float32", "float4": "float32", "__half": "float16", "__half2": "float16",
    "__nv_bfloat16": "bfloat16",
    "int": "int32", "int4": "int32", "unsigned int": "uint32", "uint4": "uint32", "unsigned": "uint32",
    "unsigned char": "uint8", "unsigned short": "uint16", "long long": "int64",
    "unsigned long long": "uint64", "bool": "bool", "double": "float64",
}
_INCLUDE = re.compile(r'^[ \t]*#include[ \t]+"([\w.]+)"[ \t]*$', re.MULTILINE)
_KERNEL = re.compile(
    r'extern\s+"C"\s+__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(([^)]*)\)', re.DOTALL
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)

_debug = os.environ.get(DEBUG_VARIABLE, "").strip() not in ("", "0")


class KernelError(RuntimeError):
    """A kernel could not be compiled or launched."""


class Budget(NamedTuple):
    """What one block of a kernel may use; the compile gate of the tests holds it to that.

    Attributes
    ----------
    threads : int
        Of the largest block.
    shared : int
        Bytes of dynamic shared memory of the largest launch, beside what the kernel declares itself.
    registers : int
        For each thread.
    occupancy : float
        Share of a multiprocessor's threads that must be able to run at once.
    least : int
        Compute capability from which the kernel exists, times ten.
    adapts : bool
        The launcher asks the device how much shared memory a block may have, and takes no more.
    """

    threads: int = 256
    shared: int = 0
    registers: int = 128
    occupancy: float = 0.25
    least: int = 75
    adapts: bool = False


USUAL = Budget()


class Parameter(NamedTuple):
    """One parameter of a kernel."""

    name: str
    type: str  # without const, pointer and defines
    pointer: bool
    constant: bool
    alone: bool  # __restrict__


class Variant(NamedTuple):
    """One way to compile a file, with the kernels that may be launched from it."""

    module: Module
    defines: tuple[tuple[str, str], ...]
    budgets: dict[str, Budget]

    @property
    def options(self) -> tuple[str, ...]:
        """For the compiler: a define ``T`` is ``USE_T`` there, as short names occur in CUDA's own headers."""
        return (*OPTIONS, *(f"-DUSE_{name}={value}" for name, value in self.defines))

    def __str__(self) -> str:
        return ", ".join([self.module.file, *(f"{k}={v}" for k, v in self.defines)])


def debug(enabled: bool) -> None:
    """Check every launch and wait for it, or not."""
    global _debug
    _debug = enabled


def capability() -> int:
    """Return the compute capability of the current device times ten: 75, 80, ... 120."""
    return _capability(cupy.cuda.runtime.getDevice())


@functools.cache
def _capability(device: int) -> int:
    return int(cupy.cuda.Device(device).compute_capability)


@functools.cache
def processors() -> int:
    """Return the number of multiprocessors of the device."""
    return int(cupy.cuda.Device().attributes["MultiProcessorCount"])


def catalogue() -> Iterator[Variant]:
    """Yield every variant of every file in this folder."""
    for path in sorted(FOLDER.glob("*.cu")):
        module = importlib.import_module(f"{__package__}.{path.stem}").MODULE
        yield from module.variants()


def plane(columns: int, rows: int, threads: int) -> tuple[tuple, tuple]:
    """Return grid and block for a plane of threads: along a row, as far as it goes, then down.

    The grid's first axis counts down, as it may be the longest: see ``row()`` and ``column()`` in
    ``common.cuh``.
    """
    across = min(threads, 1 << max(0, columns - 1).bit_length())
    down = threads // across
    return (-(-rows // down), -(-columns // across)), (across, down)


class Module:
    """One ``.cu`` file.

    Parameters
    ----------
    file : str
        Name in this folder.
    structs : dict of str to numpy.dtype
        Of structures that kernels take by value; launches pass NumPy arrays of no axes.
    """

    def __init__(self, file: str, structs: dict[str, np.dtype] | None = None):
        self.file = file
        self.structs = structs or {}
        self._declared: dict[tuple, dict[str, Budget]] = {}
        self._kernels: dict[tuple, Kernel] = {}

    def declare(self, *kernels: str, budget: Budget = USUAL, **choices) -> None:
        """Declare kernels that may be launched with each combination of ``choices``.

        Each define has a tuple of values, or one value.
        """
        values = [v if isinstance(v, tuple) else (v,) for v in choices.values()]
        for chosen in itertools.product(*values):
            found = self._declared.setdefault(_key(dict(zip(choices, chosen))), {})
            found.update(dict.fromkeys(kernels, budget))

    def variants(self) -> list[Variant]:
        """Return all that is declared."""
        return [Variant(self, defines, budgets) for defines, budgets in self._declared.items()]

    @functools.cached_property
    def source(self) -> str:
        """The file with its headers in place: what CuPy keeps on disk goes by this text alone."""
        return _inlined(self.file, set())

    @functools.cached_property
    def signatures(self) -> dict[str, list[Parameter]]:
        """The parameters of every kernel."""
        plain = _COMMENT.sub(" ", self.source)
        return {name: _parameters(text) for name, text in _KERNEL.findall(plain)}

    def kernel(self, name: str, **defines) -> Kernel:
        """Return a kernel compiled with ``defines`` for the current device."""
        key = (cupy.cuda.runtime.getDevice(), name, *defines.items())
        found = self._kernels.get(key)
        if found is None:
            found = self._kernels[key] = Kernel(self, name, _key(defines))
        return found

    def compiled(self, defines: tuple):
        """Return CuPy's module for the current device."""
        return _compiled(self, defines, cupy.cuda.runtime.getDevice())


@functools.cache
def _compiled(module: Module, defines: tuple, device: int):
    return cupy.RawModule(code=module.source, options=Variant(module, defines, {}).options)


class Kernel:
    """A kernel, ready to be launched on the device that was current when it was made.

    Parameters
    ----------
    module : Module
    name : str
    defines : tuple of (name, value)
    """

    def __init__(self, module: Module, name: str, defines: tuple):
        if name not in module._declared.get(defines, ()):
            raise KernelError(f"{module.file}: no kernel {name!r} is declared with {dict(defines)}")
        self.module, self.name, self.defines = module, name, defines
        self.parameters = module.signatures[name]
        known = dict(defines)
        types = [_resolved(p.type, known) for p in self.parameters]
        self._convert = tuple(
            None if p.pointer or t in module.structs else SCALARS[t] for p, t in zip(self.parameters, types)
        )
        self._elements = [ELEMENTS[t] if p.pointer else None for p, t in zip(self.parameters, types)]
        self._shared = STATIC_SHARED
        try:
            self._function = module.compiled(defines).get_function(name)
        except (cupy.cuda.compiler.CompileException, cupy.cuda.driver.CUDADriverError) as error:
            raise KernelError(
                f"{self} does not compile for compute capability {capability() / 10}: {_first_error(error)}"
            ) from error

    def __str__(self) -> str:
        return f"kernel {self.name} of {Variant(self.module, self.defines, {})}"

    def __call__(self, grid, block, *args, shared: int = 0) -> None:
        """Launch; a grid of nothing launches nothing.

        Parameters
        ----------
        grid, block : int or tuple
        *args : arrays and numbers
            In the order of the kernel's parameters.
        shared : int
            Bytes of dynamic shared memory.
        """
        grid = grid if type(grid) is tuple else (grid,)
        if 0 in grid:
            return
        if len(args) != len(self._convert):
            raise KernelError(f"{self} takes {len(self._convert)} arguments, got {len(args)}")
        values = [a if c is None else c(a) for a, c in zip(args, self._convert)]
        if shared > self._shared:
            self._function.max_dynamic_shared_size_bytes = self._shared = shared
        block = block if type(block) is tuple else (block,)
        if _debug:
            self._check(grid, block, values, shared)
        try:
            # CuPy 13 passes rubbish for None, and all versions a null pointer for 0.
            self._function(grid, block, [0 if v is None else v for v in values], shared_mem=shared)
            if _debug and not cupy.cuda.get_current_stream().is_capturing():
                cupy.cuda.get_current_stream().synchronize()
        except (cupy.cuda.driver.CUDADriverError, cupy.cuda.runtime.CUDARuntimeError) as error:
            told = f"{self._described(grid, block, values, shared)} failed: {error}"
            if not _debug:
                told += f" (or one launched before did: {DEBUG_VARIABLE}=1 tells which)"
            raise KernelError(told) from error

    # ---- checks --------------------------------------------------------------------------------------
    def _described(self, grid, block, values, shared) -> str:
        shown = ", ".join(
            f"{p.name}={getattr(v, 'shape', ()) or v}" for p, v in zip(self.parameters, values)
        )
        return f"{self} with grid {grid}, block {block}, {shared} bytes of shared memory and {shown}"

    def _check(self, grid, block, values, shared) -> None:
        """Raise ``KernelError`` where the launch does not fit the kernel's signature or budget."""
        problems = list(self._problems(values))
        budget = self.module._declared[self.defines][self.name]
        if np.prod(block) > budget.threads:
            problems.append(f"{np.prod(block)} threads, declared are {budget.threads}")
        if shared > budget.shared:
            problems.append(f"{shared} bytes of shared memory, declared are {budget.shared}")
        if problems:
            raise KernelError(f"{self._described(grid, block, values, shared)}: {'; '.join(problems)}")

    def _problems(self, values) -> Iterator[str]:
        arrays = []
        for parameter, element, value in zip(self.parameters, self._elements, values):
            if element is None:
                struct = self.module.structs.get(parameter.type)
                if struct is not None and getattr(value, "dtype", None) != struct:
                    yield f"{parameter.name} expects {parameter.type}"
                continue
            if value is None:  # a null pointer
                continue
            if not isinstance(value, cupy.ndarray):
                yield f"{parameter.name} expects an array, is {type(value).__name__}"
                continue
            if value.dtype != element:
                yield f"{parameter.name} expects {element}, is {value.dtype}"
            if not value.flags.c_contiguous:
                yield f"{parameter.name} is not contiguous (strides {value.strides})"
            if value.device.id != cupy.cuda.runtime.getDevice():
                yield f"{parameter.name} lies on device {value.device.id}"
            arrays.append((parameter, value.data.ptr, value.data.ptr + value.nbytes))
        for (p, start, stop), (q, begin, end) in itertools.combinations(arrays, 2):
            if p.alone and q.alone and not (p.constant and q.constant) and start < end and begin < stop:
                yield f"{p.name} and {q.name} share memory, but the kernel takes them for separate"


def _key(defines: dict) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in defines.items()))


def _inlined(file: str, seen: set) -> str:
    """Return a file with each header of this folder put in place where it is first included."""
    seen.add(file)
    text = (FOLDER / file).read_text(encoding="utf-8")
    line = 1
    found = [f'#line 1 "{file}"\n']
    position = 0
    for match in _INCLUDE.finditer(text):
        found.append(text[position : match.start()])
        line += text.count("\n", position, match.end())
        if match[1] not in seen:
            found.append(_inlined(match[1], seen))
            found.append(f'\n#line {line} "{file}"')
        position = match.end()
    return "".join([*found, text[position:]])


def _parameters(text: str) -> list[Parameter]:
    found = []
    for part in filter(None, (p.strip() for p in text.split(","))):
        words = re.findall(r"\w+|\*", part)
        name = words.pop()
        kept = [w for w in words if w not in ("const", "*", "__restrict__")]
        found.append(Parameter(name, " ".join(kept), "*" in words, "const" in words, "__restrict__" in words))
    return found


def _resolved(name: str, defines: dict) -> str:
    """Return the type that a parameter's type stands for."""
    return defines.get(name, name)


def _first_error(error: Any) -> str:
    lines = str(error).splitlines() or ["no message"]
    found = next((line.strip() for line in lines if "error" in line.lower()), lines[0])
    if "cannot open source file" in found:
        found += " (CUDA's headers come with pip install 'gpukeras[cuda12]' or 'gpukeras[cuda13]')"
    return found
