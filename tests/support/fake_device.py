"""A device without hardware: ``CupyBackend`` with its kernels, on the stand-in for CuPy of ``fake_cupy``."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys

from gpukeras import backends

from . import emulator, fake_cupy
from .fake_cupy import Waits, forbid_waiting, state

__all__ = ["Waits", "emulated", "fake_device", "forbid_waiting", "installed", "state"]

BACKEND_MODULE = "gpukeras.backends.cupy_backend"
# Our modules that import cupy: on the stand-in they are others than on the real one.
OURS = ("gpukeras.backends.cupy_", "gpukeras.kernels")


def _ours(names) -> list[str]:
    return [n for n in names if n.startswith(OURS)]


@functools.cache
def _modules() -> dict:
    """The modules of the stand-in."""
    return fake_cupy.make()


# By compute capability, as our code asks for it once and keeps the answer; kept over tests for their caches.
_imported: dict[str, dict] = {}  # our modules on the stand-in
_opened: dict[str, dict] = {}  # backends of the stand-in


@contextlib.contextmanager
def _swapped(table: dict, entries: dict):
    """Put ``entries`` into ``table`` for a while."""
    missing = object()
    before = {name: table.get(name, missing) for name in entries}
    table.update(entries)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is missing:
                table.pop(name, None)
            else:
                table[name] = value


@contextlib.contextmanager
def _our_modules():
    """Take our modules that import cupy away, and put those in place that were imported on the stand-in."""
    real = {name: sys.modules.pop(name) for name in _ours(sys.modules)}
    packages = {name: sys.modules[name] for name in ("gpukeras", "gpukeras.backends")}
    # ``from . import name`` looks at the package first.
    attributes = [(package, name) for package in packages.values() for name in list(vars(package))
                  if f"{package.__name__}.{name}".startswith(OURS)]
    hidden = [(package, name, vars(package).pop(name)) for package, name in attributes]
    kept = _imported.setdefault(emulator.settings.compute_capability, {})
    for name, module in kept.items():
        _place(name, module)
    try:
        if BACKEND_MODULE not in sys.modules:
            importlib.import_module(BACKEND_MODULE)
        yield
    finally:
        for name in _ours(sys.modules):
            kept[name] = sys.modules.pop(name)
            package, _, leaf = name.rpartition(".")
            if package in packages:
                vars(packages[package]).pop(leaf, None)
        sys.modules.update(real)
        for package, name, value in hidden:
            setattr(package, name, value)


def _place(name: str, module) -> None:
    sys.modules[name] = module
    package, _, leaf = name.rpartition(".")
    if package in ("gpukeras", "gpukeras.backends"):
        setattr(sys.modules[package], leaf, module)


@contextlib.contextmanager
def installed():
    """Let ``cupy`` be the stand-in: two devices, ``gpu:0`` and ``gpu:1``."""
    with contextlib.ExitStack() as stack:
        if sys.modules.get("cupy") is not _modules()["cupy"]:
            stack.enter_context(_swapped(sys.modules, _modules()))
            stack.enter_context(_our_modules())
        gpus = _opened.setdefault(emulator.settings.compute_capability, {})
        stack.enter_context(_swapped(vars(backends), {
            "_gpus": gpus, "_by_type": dict(backends._by_type), "_default": backends._default,
            "several_gpus": any(gpus), "_auto_warned": False,
        }))
        stack.enter_context(_swapped(vars(backends._local), {"active": None}))
        stack.enter_context(_swapped(vars(fake_cupy.state), {"device": 0}))
        yield fake_cupy


@contextlib.contextmanager
def fake_device(device: str = "gpu:0"):
    """Make new arrays on a device of the stand-in inside the ``with`` block."""
    with installed(), backends.device_scope(device) as found:
        yield found


@contextlib.contextmanager
def emulated(tier: str = "fast", schedule: str = "forward", device: str = "gpu:0", **settings):
    """Give the CuPy backend of the stand-in, whose kernels run in this tier and order.

    Further settings are those of ``emulator.Settings``, e.g. ``compute_capability="75"``; that one has to be
    given to the outermost of nested devices.
    """
    with emulator.using(tier=tier, schedule=schedule, **settings), fake_device(device) as backend:
        yield backend
