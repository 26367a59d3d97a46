"""A device without hardware: NumPy arrays that refuse everything that would wait for a real one.

It proves two things about code that must run on a GPU: that it goes through the generic backend, and that it
never turns device values into host values (``float``, ``bool``, ``int``, ``item``, boolean-mask indexing).
"""

from __future__ import annotations

import contextlib

import numpy as np
from gpukeras.backends.base import Backend

from gpukeras import backends


class FakeArray(np.ndarray):
    """An array of the fake device."""

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return array.view(FakeArray)  # 0-d results stay on the device

    def __getitem__(self, key):
        for part in key if isinstance(key, tuple) else (key,):
            if isinstance(part, np.ndarray) and part.dtype == bool:
                raise AssertionError("boolean-mask indexing waits for the device")
        found = super().__getitem__(key)
        return np.asarray(found).view(FakeArray) if isinstance(found, np.generic) else found

    def _wait(self, *args, **kwargs):
        raise AssertionError("this waits for the device")

    __bool__ = __float__ = __int__ = __index__ = __complex__ = item = tolist = __iter__ = _wait

    def any(self, *args, **kwargs):
        return np.asarray(np.any(self.view(np.ndarray), *args, **kwargs)).view(FakeArray)

    def all(self, *args, **kwargs):
        return np.asarray(np.all(self.view(np.ndarray), *args, **kwargs)).view(FakeArray)


def host(array):
    """Return an array of the fake device as a plain one."""
    return array.view(np.ndarray)


class _Module:
    """NumPy's functions (and those of its submodules) with results on the fake device."""

    def __init__(self, module=np):
        self._module = module

    def __getattr__(self, name):
        found = getattr(self._module, name)
        if found is np.linalg:
            return _Module(found)
        if isinstance(found, (np.ufunc, type)) or not callable(found):
            return found

        def call(*args, **kwargs):
            result = found(*args, **kwargs)
            return result if isinstance(result, FakeArray) else _placed(result)

        return call


def _plain(value):
    return host(value) if isinstance(value, FakeArray) else value


def _placed(result):
    if isinstance(result, (np.ndarray, np.generic)):
        return np.asarray(result).view(FakeArray)
    if isinstance(result, (tuple, list)):
        kind = tuple if hasattr(result, "_fields") else type(result)
        return kind(_placed(r) for r in result)
    return result


class _Generator(np.random.Generator):
    """A generator that draws on the fake device."""

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        if not callable(found) or name.startswith("_"):
            return found
        return lambda *args, **kwargs: _placed(found(*(_plain(a) for a in args), **kwargs))


class FakeBackend(Backend):
    """The generic backend on the fake device."""

    xp = _Module()
    name = "gpu:7"

    def describe(self):
        return "fake device"

    def asarray(self, value, dtype=None):
        return np.array(value, dtype=dtype).view(FakeArray)

    def new_generator(self, seed):
        return _Generator(np.random.SFC64(seed))

    def to_numpy(self, array):
        return np.array(array.view(np.ndarray))

    def owns(self, array):
        return isinstance(array, FakeArray)


FAKE = FakeBackend()


@contextlib.contextmanager
def fake_device():
    """Make new arrays on the fake device inside the ``with`` block."""
    backends._by_type[FakeArray] = FAKE
    stack = backends._local.__dict__.setdefault("stack", [])
    stack.append(FAKE)
    try:
        yield FAKE
    finally:
        stack.pop()
        backends._by_type.pop(FakeArray, None)
