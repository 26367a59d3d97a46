"""Array backends: one contract (``base.Backend``), NumPy on the CPU, CuPy on NVIDIA GPUs.

An array's type decides who computes on it; the current device only decides where new arrays go.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings

import numpy as np

from .base import Backend
from .numpy_backend import NumpyBackend

__all__ = ["Backend", "DeviceError", "backend_of", "current", "device_scope", "resolve", "set_device"]


class DeviceError(RuntimeError):
    """A device that cannot be used, or arrays of two devices in one operation."""


CPU = NumpyBackend()
_by_type: dict[type, Backend] = {np.ndarray: CPU}
_gpus: dict[int, Backend] = {}
_default: Backend | None = None
_local = threading.local()


def backend_of(array) -> Backend:
    """Return the backend that computes on ``array``."""
    found = _by_type.get(type(array))
    if found is not None:
        return found
    if isinstance(array, (np.ndarray, np.generic)):
        _by_type[type(array)] = CPU
        return CPU
    if type(array).__module__.partition(".")[0] == "cupy":
        return _gpu(array.device.id)
    raise TypeError(f"expected a NumPy or CuPy array, came {type(array).__name__}")


def _gpu(index: int) -> Backend:
    """Return the backend of GPU ``index``, importing CuPy on first use."""
    if index not in _gpus:
        try:
            from .cupy_backend import CupyBackend
        except ImportError as error:
            raise DeviceError(
                "device 'gpu' needs CuPy, which is not installed: pip install 'gpukeras[cuda12]' "
                "(CUDA 12 driver) or 'gpukeras[cuda13]' (CUDA 13 driver)"
            ) from error
        try:
            _gpus[index] = CupyBackend(index)
        except RuntimeError as error:
            raise DeviceError(f"device 'gpu:{index}' cannot be used: {error}") from error
    return _gpus[index]


def resolve(device: str) -> Backend:
    """Return the backend for ``"cpu"``, ``"gpu"``, ``"gpu:N"`` or ``"auto"``.

    ``auto`` takes the first GPU where CuPy and a device work, and says so once on stderr; where CuPy is
    installed but no device works it warns once and takes the CPU.
    """
    kind, _, index = str(device).lower().lstrip("/").removeprefix("device:").partition(":")
    if kind == "cpu":
        return CPU
    if kind in ("gpu", "cuda") and (not index or index.isdigit()):
        return _gpu(int(index or 0))
    if kind == "auto" and not index:
        import importlib.util

        if importlib.util.find_spec("cupy") is None and "cupy" not in sys.modules:
            return CPU
        try:
            gpu = _gpu(0)
        except DeviceError as error:
            warnings.warn(f"{error}; continuing on the CPU", RuntimeWarning, stacklevel=2)
            return CPU
        print(f"gpukeras: using {gpu.describe()}", file=sys.stderr)
        return gpu
    raise DeviceError(f"unknown device {device!r}; expected 'auto', 'cpu', 'gpu' or 'gpu:N'")


def current() -> Backend:
    """Return the backend on which new arrays are made."""
    stack = getattr(_local, "stack", None)
    if stack:
        return stack[-1]
    if _default is None:
        set_device(os.environ.get("GPUKERAS_DEVICE", "auto"))
    return _default  # type: ignore[return-value]


def set_device(device: str) -> Backend:
    """Make ``device`` the place of new arrays, for the whole process."""
    global _default
    _default = resolve(device)
    return _default


@contextlib.contextmanager
def device_scope(device: str):
    """Make ``device`` the place of new arrays inside a ``with`` block of this thread."""
    stack = _local.__dict__.setdefault("stack", [])
    stack.append(resolve(device))
    try:
        yield stack[-1]
    finally:
        stack.pop()
