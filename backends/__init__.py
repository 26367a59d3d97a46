"""Array backends: one contract (``base.Backend``), NumPy on the CPU, CuPy on NVIDIA GPUs.

An array's type decides who computes on it; the current device only decides where new arrays go.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from typing import Any

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
_auto_warned = False
# Whether a GPU besides number 0 is in use: only then must ops make sure that CUDA's current device is the one
# of their arrays.
several_gpus = False


def backend_of(array) -> Backend:
    """Return the backend that computes on ``array``."""
    found = _by_type.get(type(array))
    if found is not None:
        return found
    if isinstance(array, (np.ndarray, np.generic)):
        _by_type[type(array)] = CPU
        return CPU
    if type(array).__module__.partition(".")[0] == "cupy":
        gpu: Any = _gpu(array.device.id)
        if gpu.alone:  # all arrays of that type lie there: no need to ask each one
            _by_type[type(array)] = gpu
        return gpu
    raise TypeError(f"expected a NumPy or CuPy array, came {type(array).__name__}")


def _gpu(index: int) -> Backend:
    """Return the backend of GPU ``index``, importing CuPy on first use."""
    global several_gpus
    if index not in _gpus:
        try:
            from .cupy_backend import CupyBackend
        except Exception as error:  # one made for another NumPy or Python fails in ways of its own
            raise DeviceError(_import_problem(error)) from error
        try:
            _gpus[index] = CupyBackend(index)
        except RuntimeError as error:
            raise DeviceError(f"device 'gpu:{index}' cannot be used: {error}") from error
        several_gpus = several_gpus or index > 0
    return _gpus[index]


def _import_problem(error: Exception) -> str:
    """Say what to do about CuPy that cannot be imported."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        return (
            "device 'gpu' needs CuPy, which is not installed: pip install 'gpukeras[cuda12]' "
            "(CUDA 12 driver) or 'gpukeras[cuda13]' (CUDA 13 driver)"
        )
    while isinstance(error.__cause__, Exception):  # CuPy tells general advice first
        error = error.__cause__
    reason = next((line.strip() for line in str(error).splitlines() if line.strip(" =*-")), "no reason given")
    if not isinstance(error, ImportError):
        reason = f"{type(error).__name__}: {reason}"
    if "libcuda." in reason:
        reason += " (the library of the NVIDIA driver)"
    return (
        f"device 'gpu' needs CuPy, which is installed but cannot be imported: {reason}; install the one that "
        "fits driver and NumPy anew: pip install -U 'gpukeras[cuda12]' or 'gpukeras[cuda13]'"
    )


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
        return _auto()
    raise DeviceError(f"unknown device {device!r}; expected 'auto', 'cpu', 'gpu' or 'gpu:N'")


def _auto() -> Backend:
    """Return the first GPU where there is one that works, else the CPU."""
    global _auto_warned
    if "cupy" not in sys.modules:
        import importlib.util

        if importlib.util.find_spec("cupy") is None:
            return CPU
    known = 0 in _gpus
    try:
        gpu = _gpu(0)
    except DeviceError as error:
        if not _auto_warned:
            _auto_warned = True
            warnings.warn(f"{error}; continuing on the CPU", RuntimeWarning, stacklevel=4)
        return CPU
    if not known:
        print(f"gpukeras: using {gpu.describe()}", file=sys.stderr)
    return gpu


def current() -> Backend:
    """Return the backend on which new arrays are made."""
    stack = getattr(_local, "stack", None)
    if stack:
        return stack[-1]
    backend = _default
    if backend is None:
        backend = set_device(os.environ.get("GPUKERAS_DEVICE") or "auto")
    if several_gpus:
        _activate(backend)  # another thread may have chosen the device; CUDA keeps one for every thread
    return backend


def _activate(backend) -> None:
    """Make ``backend`` the device on which CuPy allocates and computes in this thread."""
    if backend is not CPU and getattr(_local, "active", None) is not backend:
        backend.activate()
        _local.active = backend


def set_device(device: str) -> Backend:
    """Make ``device`` the place of new arrays, for the whole process."""
    global _default
    _default = resolve(device)
    _activate(_default)
    return _default


@contextlib.contextmanager
def device_scope(device: str):
    """Make ``device`` the place of new arrays inside a ``with`` block of this thread."""
    with backend_scope(resolve(device)) as backend:
        yield backend


@contextlib.contextmanager
def backend_scope(backend: Backend):
    """Do what ``device_scope`` does, for a backend that is known already."""
    stack = _local.__dict__.setdefault("stack", [])
    before = getattr(_local, "active", None)
    stack.append(backend)
    try:
        _activate(backend)
        yield backend
    finally:
        stack.pop()
        if before is not None:
            _activate(before)


def scope_of(name: str, arrays):
    """Return the ``with`` block in which to compute on ``arrays``; asked only where ``several_gpus`` is true.

    CuPy computes on CUDA's current device only, which need not be the one that holds them.

    Raises
    ------
    DeviceError
        Where they lie on different devices.
    """
    homes = {backend_of(a) for a in arrays if not isinstance(a, np.generic)}
    if len(homes) > 1:
        raise mixed(name, *sorted(home.name for home in homes))
    (home,) = homes or (CPU,)
    if home is CPU or home is getattr(_local, "active", None):
        return contextlib.nullcontext()
    return backend_scope(home)


def mixed(name: str, one: str, other: str) -> DeviceError:
    """Return the error about tensors of two devices in one operation."""
    return DeviceError(
        f"{name}: tensors on {one} and {other} cannot be mixed; bring them to one device: "
        "ops.convert_to_tensor(x.numpy()) under that device"
    )
