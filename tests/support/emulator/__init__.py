"""Runs unmodified CUDA kernels on the CPU (tests/README.md says how); serves ``RawModule`` of the CuPy stand-in."""

from .build import compile_all, missing
from .settings import CompilerMissing, EmulatorError, KernelFault, LaunchError, settings, using

__all__ = [
    "CompilerMissing", "EmulatorError", "KernelFault", "LaunchError", "compile_all", "missing", "settings", "using",
]
