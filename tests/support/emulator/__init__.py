"""Runs unmodified CUDA kernels on the CPU, for ``RawModule`` of the CuPy stand-in (tests/README.md)."""

from .build import compile_all, missing
from .settings import CompilerMissing, EmulatorError, KernelFault, LaunchError, settings, using

__all__ = [
    "CompilerMissing", "EmulatorError", "KernelFault", "LaunchError", "compile_all", "missing", "settings",
    "using",
]
