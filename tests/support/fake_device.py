"""A device without hardware: ``CupyBackend`` on the stand-in for CuPy of ``fake_cupy``."""

from __future__ import annotations

import contextlib
import functools
import sys

from gpukeras import backends

from . import fake_cupy
from .fake_cupy import Waits, forbid_waiting, state

__all__ = ["Waits", "fake_device", "forbid_waiting", "installed", "state"]

BACKEND_MODULE = "gpukeras.backends.cupy_backend"


@functools.cache
def _modules() -> dict:
    """The modules of the stand-in, and our CuPy backend imported on them."""
    found = fake_cupy.make()
    with _swapped(sys.modules, {**found, BACKEND_MODULE: None}):
        del sys.modules[BACKEND_MODULE]
        import importlib

        found[BACKEND_MODULE] = importlib.import_module(BACKEND_MODULE)
    return found


_opened: dict = {}  # backends of the stand-in, kept over tests: they hold caches


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
def installed():
    """Let ``cupy`` be the stand-in: two devices, ``gpu:0`` and ``gpu:1``."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(_swapped(sys.modules, _modules()))
        stack.enter_context(_swapped(vars(backends), {
            "_gpus": _opened, "_by_type": dict(backends._by_type), "_default": backends._default,
            "several_gpus": any(_opened), "_auto_warned": False,
        }))
        stack.enter_context(_swapped(vars(backends._local), {"active": None}))
        stack.enter_context(_swapped(vars(fake_cupy.state), {"device": 0}))
        yield fake_cupy


@contextlib.contextmanager
def fake_device(device: str = "gpu:0"):
    """Make new arrays on a device of the stand-in inside the ``with`` block."""
    with installed(), backends.device_scope(device) as found:
        yield found
