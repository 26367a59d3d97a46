"""Compile kernels as CuPy does, without CuPy and without a GPU, and tell what they take of one.

NVIDIA's run-time compiler comes in wheels (extra ``nvrtc``; CuPy's own extras bring it too)::

    pip install nvidia-cuda-nvrtc-cu12 nvidia-cuda-runtime-cu12

The second holds ``cuda_fp16.h`` and its like. The library writes registers, shared memory, stack and spills
of every kernel into its log; ``problems`` holds them against the budget that is declared beside the launcher.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import importlib
import pathlib
import re
import sys
from collections.abc import Iterator
from typing import NamedTuple

from . import fake_cupy
from .occupancy import LIMITS, MOST_THREADS, STATIC_SHARED, occupancy

ARCHITECTURES = tuple(LIMITS)
OLDEST = (12, 8)  # the first version that knows sm_100 and sm_120
OPTIONS = ("-ftz=true", "--device-as-default-execution-space")  # that CuPy adds to ours
INSTALL = "pip install 'gpukeras[nvrtc]'"


class CompileError(Exception):
    """A kernel does not compile."""


class Resources(NamedTuple):
    """What the compiler says that one kernel takes."""

    registers: int  # of a thread
    shared: int  # bytes that a block has without asking
    stack: int  # bytes of a thread in slow, local memory
    spills: int  # bytes of a thread stored and loaded because registers ran out


class Compiled(NamedTuple):
    """One file compiled with one set of defines for one architecture."""

    kernels: dict[str, Resources]
    warnings: list[str]

    def as_json(self) -> list:
        return [{name: list(used) for name, used in self.kernels.items()}, self.warnings]

    @classmethod
    def from_json(cls, entry: list) -> Compiled:
        return cls({name: Resources(*used) for name, used in entry[0].items()}, entry[1])


# ---- the library ------------------------------------------------------------------------------------------
class Library(NamedTuple):
    """Where the compiler and its headers lie."""

    compiler: pathlib.Path
    builtins: pathlib.Path
    headers: pathlib.Path

    @property
    def version(self) -> tuple[int, ...]:
        return tuple(int(n) for n in self.builtins.name.partition(".so.")[2].split("."))


@functools.cache
def _found() -> Library | str:
    """Return the newest compiler that is installed, or why there is none."""
    folders = [p for entry in sys.path if (p := pathlib.Path(entry or ".") / "nvidia").is_dir()]
    places = [place for folder in folders for place in folder.iterdir()]
    found = []
    for place in places:
        for builtins in place.glob("lib/libnvrtc-builtins.so.*.*"):
            major = builtins.name.partition(".so.")[2].partition(".")[0]
            compiler = builtins.with_name(f"libnvrtc.so.{major}")
            homes = [place / "include", place.with_name("cuda_runtime") / "include"]
            headers = next((h for h in homes if (h / "cuda_fp16.h").exists()), None)
            if headers is None:
                return f"{place} has no cuda_fp16.h; {INSTALL}"
            found.append(Library(compiler, builtins, headers))
    if not found:
        return f"NVIDIA's run-time compiler is not installed; {INSTALL}"
    newest = max(found, key=lambda library: library.version)
    if newest.version < OLDEST:
        return f"{newest.compiler} is older than CUDA {'.'.join(map(str, OLDEST))}; {INSTALL}"
    return newest


def missing() -> str | None:
    """Return why nothing can be compiled here, or ``None``."""
    found = _found()
    return found if isinstance(found, str) else None


def version() -> str:
    """Return the compiler's version."""
    return ".".join(map(str, _found().version))


def headers() -> pathlib.Path:
    """Return the folder with the compiler's headers."""
    return _found().headers


@functools.cache
def _library() -> ctypes.CDLL:
    found = _found()
    ctypes.CDLL(str(found.builtins), mode=ctypes.RTLD_GLOBAL)  # it is looked for by name, from nowhere
    return ctypes.CDLL(str(found.compiler))


def compile_source(source: str, file: str, arch: int, options: tuple[str, ...] = ()) -> str:
    """Compile for one architecture and return the compiler's log; threads may do so at the same time.

    Raises
    ------
    CompileError
        With the log.
    """
    library = _library()
    every = [*options, *OPTIONS, f"-arch=sm_{arch}", f"-I{headers()}", "--ptxas-options=-v"]
    arguments = (ctypes.c_char_p * len(every))(*(o.encode() for o in every))
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    created = library.nvrtcCreateProgram(
        ctypes.byref(program), source.encode(), file.encode(), 0, None, None
    )
    if created:
        raise RuntimeError(f"nvrtcCreateProgram failed with {created}")
    try:
        failed = library.nvrtcCompileProgram(program, len(every), arguments)
        library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        library.nvrtcGetProgramLog(program, log)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    text = log.value.decode(errors="replace")
    if failed:
        raise CompileError(text)
    return text


# ---- what it says -----------------------------------------------------------------------------------------
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_MEMORY = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_SHARED = re.compile(r"(\d+) bytes smem")
_CUMULATIVE = re.compile(r"(\d+) bytes cumulative stack size")
_WARNING = re.compile(r"\bwarning\s*[:#]", re.IGNORECASE)
_ERROR = re.compile(r"\b(?:error|fatal)\b", re.IGNORECASE)
_PLACE = re.compile(r"([\w.]+)\((\d+)\): ")
_KERNEL = re.compile(r'extern\s+"C"\s+__global__\s[^(]*?(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\(')
_LINE = re.compile(r'#line (\d+) "([^"]+)"')


def parse(log: str) -> Compiled:
    """Read the log of a successful compilation.

    A kernel's lines are followed by those of the functions that it calls; their spills are counted with it.
    """
    kernels: dict[str, Resources] = {}
    name = None
    for line in log.splitlines():
        if match := _ENTRY.search(line):
            name = match[1]
            kernels[name] = Resources(0, 0, 0, 0)
        if name is None:
            continue
        known = kernels[name]
        if match := _MEMORY.search(line):
            stack, stores, loads = map(int, match.groups())
            kernels[name] = known._replace(
                stack=max(known.stack, stack), spills=known.spills + stores + loads
            )
        elif match := _USED.search(line):
            shared, stack = _SHARED.search(line), _CUMULATIVE.search(line)
            kernels[name] = known._replace(
                registers=int(match[1]), shared=int(shared[1]) if shared else 0,
                stack=max(known.stack, int(stack[1]) if stack else 0),
            )
    warnings = [line.strip() for line in log.splitlines() if _WARNING.search(line)]
    return Compiled(kernels, list(dict.fromkeys(warnings)))


def first_error(log: str, source: str, file: str) -> str:
    """Return the first error of a log, after the kernel that it is in where that can be told."""
    line = next((line.strip() for line in log.splitlines() if _ERROR.search(line)), None)
    if line is None:  # of too much shared memory nothing is said but the figure
        for name, used in parse(log).kernels.items():
            if used.shared > STATIC_SHARED:
                return f"kernel {name}: {used.shared} bytes of static shared memory, at most {STATIC_SHARED}"
        return log.strip() or "no message"
    match = _PLACE.match(line)
    kernel = match and _kernel_at(source, file, match[1], int(match[2]))
    return f"kernel {kernel}: {line}" if kernel else line


def _kernel_at(source: str, where: str, file: str, number: int) -> str | None:
    """Return the last kernel of ``source`` that begins at or above a line of ``file``.

    The first lines are those of the file ``where``; ``#line`` tells whose lines follow.
    """
    line, above = 0, ""
    for text in source.splitlines(keepends=True):
        if match := _LINE.match(text):
            line, where = int(match[1]) - 1, match[2]
            continue
        line += 1
        if where == file and line <= number:
            above += text
    begun = _KERNEL.findall(above)
    return begun[-1] if begun else None


def kernel_names(source: str) -> list[str]:
    """Return the kernels that a source defines."""
    return _KERNEL.findall(source)


# ---- the catalogue ----------------------------------------------------------------------------------------
KERNELS = "gpukeras.kernels"
KERNEL_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "kernels"


@functools.cache
def launch():
    """Return a copy of ``gpukeras.kernels.launch`` for reading what is declared: nothing can be launched.

    It stands on a stand-in for CuPy. Modules of the same names are hidden meanwhile and stay as they are.
    """
    import gpukeras

    with _hidden(KERNELS, "cupy", "cupyx"), _kept(vars(gpukeras), "kernels"):
        sys.modules.update(fake_cupy.make())
        module = importlib.import_module(f"{KERNELS}.launch")
        module.everything = tuple(module.catalogue())
    return module


def variants(file: str | None = None) -> list:
    """Return all that is declared, or what is declared of one file."""
    return [v for v in launch().everything if file in (None, v.module.file)]


@contextlib.contextmanager
def _hidden(*packages: str):
    """Forget modules for a while, and afterwards those that came meanwhile."""
    def belonging():
        return {n: m for n, m in sys.modules.items() if n.startswith(packages)
                and any(n == p or n.startswith(f"{p}.") for p in packages)}

    before = belonging()
    try:
        for name in before:
            del sys.modules[name]
        yield
    finally:
        for name in belonging():
            del sys.modules[name]
        sys.modules.update(before)


@contextlib.contextmanager
def _kept(table: dict, name: str):
    """Let an entry be as it was, or missing, after the block."""
    before = {name: table[name]} if name in table else {}
    try:
        yield
    finally:
        table.pop(name, None)
        table.update(before)


# ---- the gate ---------------------------------------------------------------------------------------------
def exists(variant, arch: int) -> bool:
    """Tell whether any kernel of a variant is meant for this architecture."""
    return any(budget.least <= arch for budget in variant.budgets.values())


def key(variant, arch: int) -> str:
    """Return a name for all that decides what the compiler will say."""
    parts = (version(), variant.module.source, *variant.options, *OPTIONS, str(arch))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def compiled(variant, arch: int) -> Compiled:
    """Compile one variant for one architecture.

    Raises
    ------
    CompileError
        Naming the file, the defines, the architecture, the kernel and the first error.
    """
    source = variant.module.source
    file = variant.module.file
    try:
        return parse(compile_source(source, file, arch, variant.options))
    except CompileError as error:
        said = first_error(str(error), source, file)
        raise CompileError(f"{variant} does not compile for sm_{arch}: {said}") from error


def problems(variant, found: Compiled, arch: int) -> list[str]:
    """Return what of a compiled variant is not as declared, a line each."""
    said = [f"{variant}, sm_{arch}: {warning}" for warning in found.warnings]
    for name, budget in variant.budgets.items():
        if arch < budget.least:
            continue
        where = f"{variant}, sm_{arch}, {name}"
        if name not in found.kernels:
            said.append(f"{where}: declared, but there is no such kernel")
            continue
        said += [f"{where}: {problem}" for problem in _problems(budget, found.kernels[name], arch)]
    return said


def _problems(budget, used: Resources, arch: int) -> Iterator[str]:
    limits = LIMITS[arch]
    if used.spills:
        yield f"{used.spills} bytes of registers spilled"
    elif used.stack:
        yield (
            f"{used.stack} bytes of stack: an array is indexed by what only a run can tell, or a function"
            " with a slow branch is called (sinf, powf)"
        )
    if used.registers > budget.registers:
        yield f"{used.registers} registers, the budget is {budget.registers}"
    shared = used.shared + budget.shared
    if budget.adapts:
        shared = min(shared, limits.of_block)
    if shared > limits.of_block:
        yield f"{shared} bytes of shared memory, a block may have {limits.of_block}"
        return
    if budget.threads > MOST_THREADS:
        yield f"{budget.threads} threads, a block may have {MOST_THREADS}"
        return
    fits = occupancy(arch, budget.threads, used.registers, shared)
    if fits.share < budget.occupancy:
        yield (
            f"{fits.blocks} blocks of {budget.threads} threads fit on a multiprocessor, occupancy"
            f" {fits.share:.1%}, the floor is {budget.occupancy:.1%}; short of {fits.limit}"
        )
