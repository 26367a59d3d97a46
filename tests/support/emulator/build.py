"""Compile with g++, and keep the results on disk by the hash of everything that went in."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import fcntl
import functools
import hashlib
import os
import pathlib
import platform
import subprocess
import time

from .settings import CompilerMissing, cache_folder
from .translate import translate

HERE = pathlib.Path(__file__).parent
COMPILER = os.environ.get("CXX_EMULATOR", "g++")
COMMON = (
    "-std=c++17", "-g1", "-gdwarf-4", "-fPIC", "-fno-strict-aliasing", "-fno-math-errno",
    "-fno-threadsafe-statics", "-fno-exceptions", "-w",
)
TRAPS = ("-fsanitize=bounds-strict,alignment,integer-divide-by-zero", "-fsanitize-undefined-trap-on-error")
TIER = {
    "fast": ("-O2", *TRAPS),
    # Instrumented for the thread sanitizer, whose library is not linked: the hooks are those of checker.cpp.
    "check": ("-O1", "-DEMULATOR_CHECK", "-fsanitize=thread", "--param", "tsan-instrument-func-entry-exit=0",
              "--param", "tsan-distinguish-volatile=1", *TRAPS),
}
UNUSED_DAYS = 30  # after which a compiled kernel is removed


class CompileError(Exception):
    """g++ does not take a source; the text is its report."""


@functools.cache
def missing() -> str | None:
    """Return why kernels cannot be emulated on this machine, or ``None``."""
    if platform.system() != "Linux" or platform.machine() not in ("x86_64", "AMD64"):
        return f"the kernel emulator runs on x86-64 Linux, not on {platform.system()} {platform.machine()}"
    try:
        subprocess.run([COMPILER, "--version"], capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return f"the kernel emulator needs the compiler {COMPILER}: apt-get install g++"
    return None


@functools.cache
def _processor_flags() -> tuple[str, ...]:
    """Let fmaf be one instruction where the processor has it."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:
        return ()
    words = set(text.partition("flags")[2].partition("\n")[0].split())
    return ("-mavx2", "-mfma", "-mf16c") if {"avx2", "fma", "f16c"} <= words else ()


@functools.cache
def _version() -> str:
    return subprocess.run([COMPILER, "--version"], capture_output=True, text=True, check=True).stdout


@functools.cache
def _headers() -> str:
    return "".join(path.read_text() for path in sorted((HERE / "include").glob("*.h")))


def _built(kind: str, text: str, flags, sources) -> pathlib.Path:
    """Return the shared library of ``sources``, compiled unless it is in the cache."""
    if reason := missing():
        raise CompilerMissing(reason)
    recipe = pathlib.Path(__file__).read_text()
    key = hashlib.sha256("\0".join([_version(), recipe, text, *flags]).encode()).hexdigest()[:24]
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{kind}-{key}.so"
    if target.exists():
        os.utime(target)
        return target
    with _lock(folder / f"{key}.lock"):  # of several test processes one compiles
        if target.exists():
            return target
        scratch = folder / f"{kind}-{key}.{os.getpid()}.so"
        if not sources:
            source = folder / f"{kind}-{key}.cpp"
            source.write_text(text)
            sources = [source]
        objects = [scratch.with_suffix(f".{i}.o") for i in range(len(sources))]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda pair: _call("-c", *flags, "-o", pair[1], pair[0]), zip(sources, objects)))
        # Linked without the flags: -fsanitize=thread would bring the library of its name along.
        _call("-shared", "-o", scratch, *objects)
        os.replace(scratch, target)
        for path in objects:
            path.unlink()
    return target


def _call(*arguments) -> None:
    run = subprocess.run([COMPILER, *arguments], capture_output=True, text=True)
    if run.returncode:
        raise CompileError(run.stderr)


@contextlib.contextmanager
def _lock(path: pathlib.Path):
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    path.unlink(missing_ok=True)


@functools.cache
def runtime() -> ctypes.CDLL:
    """Return the library that runs kernels; its symbols are seen by theirs."""
    _remove_unused()
    sources = sorted((HERE / "runtime").glob("*.cpp"))
    text = "".join(path.read_text() for path in [*sources, HERE / "runtime" / "runtime.h"])
    flags = ("-std=c++17", "-O2", "-g1", "-fPIC", "-fno-exceptions", "-Wall", "-Wextra", *_processor_flags())
    library = ctypes.CDLL(str(_built("runtime", text, flags, sources)), mode=ctypes.RTLD_GLOBAL)
    library.emulator_static_shared.restype = ctypes.c_size_t
    return library


def compiled(source: str, options, tier: str, compute_capability: str):
    """Return the library of a ``.cu`` source, and its kernels by name."""
    runtime()
    return _compiled(source, tuple(options), tier, compute_capability)


@functools.cache
def _compiled(source, options, tier, compute_capability):
    code, kernels = translate(source)
    text = f'#include "emulator.h"\n#line 1 "kernel.cu"\n{code}\n'
    flags = (*COMMON, *TIER[tier], *_processor_flags(), f"-D__CUDA_ARCH__={int(compute_capability) * 10}",
             *_defines(options), f"-I{HERE / 'include'}")
    target = _built("kernel", text + "//" + _headers_hash(), flags, ())
    return ctypes.CDLL(str(target)), kernels


@functools.cache
def _headers_hash() -> str:
    return hashlib.sha256(_headers().encode()).hexdigest()


def _defines(options) -> list[str]:
    """Return the options of NVRTC that g++ needs: definitions and include folders."""
    found, rest = [], iter(options)
    for option in rest:
        name, equals, value = option.partition("=")
        if option in ("-D", "-U", "-I"):
            found.append(option + next(rest))
        elif option.startswith(("-D", "-U", "-I")):
            found.append(option)
        elif name in ("--define-macro", "--include-path"):
            short = {"--define-macro": "-D", "--include-path": "-I"}[name]
            found.append(short + (value if equals else next(rest)))
    return found


def compile_all(requests, workers: int | None = None) -> None:
    """Compile ``(source, options, tier, compute_capability)`` tuples side by side."""
    with concurrent.futures.ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        for job in [pool.submit(compiled, *request) for request in requests]:
            job.result()


def line_of(library: ctypes.CDLL, address: int) -> str:
    """Return ``file:line`` of a code address, as far as it is known."""
    start = None
    with open("/proc/self/maps") as file:
        for line in file:
            if library._name in line:
                start = int(line.split("-")[0], 16)
                break
    if start is None or address < start:
        return "?"
    try:
        command = ["addr2line", "-e", library._name, hex(address - 1 - start)]
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return "?"
    return os.path.basename(run.stdout.split()[0]) if run.stdout.split() else "?"


def _remove_unused() -> None:
    oldest = time.time() - UNUSED_DAYS * 86400
    folder = cache_folder()
    for path in folder.glob("*-*.*") if folder.exists() else ():
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
