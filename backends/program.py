"""Record the NumPy calls of a training step once, replay them as a plain list of calls.

A step of a small network spends most of its time in Python between short array calls. While a ``Recording``
is open, arrays that it *follows* note every call made on them: what ran, on which memory, into which memory.
Replaying the list does the same work on the same memory without the Python in between, and without new
arrays: the counterpart, on a CPU, of a CUDA graph.

What reads values (``float(x)``, ``if x.any()``) cannot be replayed and raises ``CannotRecord``; what makes a
plain array behind the recording's back leaves stale values, so whoever records must compare one replay with
one ordinary run before trusting it. ``recorded_whole`` is for functions that look at values themselves:
checks, random draws.
"""

from __future__ import annotations

import functools
import math
import threading
from collections.abc import Callable
from typing import Any, cast

import numpy as np


class CannotRecord(RuntimeError):
    """Something happened in a step that a list of calls cannot repeat."""


class _Local(threading.local):
    recording: Recording | None = None


_LOCAL = _Local()


class Recording:
    """The calls made on followed arrays inside a ``with`` block.

    Parameters
    ----------
    limit : int
        Bytes of results that the list may keep; beyond, ``CannotRecord``.

    Attributes
    ----------
    calls : list of callable
        To be called in turn, without arguments.
    seeds : list
        First arguments of the ``recorded_draw`` functions among them.
    """

    def __init__(self, limit: int = 1 << 25):
        self.calls: list[Callable[[], object]] = []
        self.limit = limit
        self.kept = 0
        self.seeds: list = []  # of the random draws among the calls

    def __enter__(self):
        if _LOCAL.recording is not None:
            raise CannotRecord("a recording is open already")
        _LOCAL.recording = self
        return self

    def __exit__(self, *exc):
        _LOCAL.recording = None

    def follow(self, array: np.ndarray) -> np.ndarray:
        """Return a view of ``array`` whose calls are noted."""
        return array.view(_Followed)

    def add(self, function: Callable, *args, **kwargs) -> None:
        """Note one call."""
        self.calls.append(functools.partial(function, *args, **kwargs))

    def keep(self, array: np.ndarray) -> np.ndarray:
        """Take a new array as memory of the list; return it followed."""
        self.kept += array.nbytes
        if self.kept > self.limit:
            raise CannotRecord(f"the step's results take more than {self.limit >> 20} MB")
        return array.view(_Followed)


def note(function: Callable, *args) -> None:
    """Note a call that has just been made on ordinary arrays, if a recording is open."""
    if _LOCAL.recording is not None:
        _LOCAL.recording.add(function, *args)


def refuse(what: str) -> None:
    """Raise ``CannotRecord`` if a recording is open: ``what`` cannot be repeated."""
    if _LOCAL.recording is not None:
        raise CannotRecord(what)


def noted_whole(function: Callable, *args) -> None:
    """Call a function that writes into memory it was given; an open recording notes this one call only."""
    recording = _LOCAL.recording
    if recording is None:
        function(*args)
        return
    _LOCAL.recording = None
    try:
        function(*args)
    finally:
        _LOCAL.recording = recording
    recording.add(function, *args)


def kept(array: np.ndarray) -> np.ndarray:
    """Return a new array for a result as the open recording follows it; as it is where none is open."""
    return array if _LOCAL.recording is None else _LOCAL.recording.keep(array)


def followed(arrays: tuple) -> tuple:
    """Return temporary arrays as the open recording follows them; as they are where none is open."""
    return arrays if _LOCAL.recording is None else tuple(a.view(_Followed) for a in arrays)


def plain(value):
    """Return ``value`` with followed arrays, in lists and tuples as well, as ordinary ones."""
    if isinstance(value, _Followed):
        return value.view(np.ndarray)
    if isinstance(value, (tuple, list)) and any(isinstance(v, (np.ndarray, tuple, list)) for v in value):
        return type(value)(plain(v) for v in value)
    return value


def recorded_whole(function: Callable) -> Callable:
    """Decorate a function that looks at values: a recording repeats it as one call.

    What it returns, an array or ``None``, must have the same shape every time.
    """

    @functools.wraps(function)
    def call(*args):
        recording = _LOCAL.recording
        if recording is None:
            return function(*args)
        return _refilled(recording, function, plain(args), {})

    return call


def recorded_draw(function: Callable) -> Callable:
    """Decorate a function of (seed, *settings) that draws random numbers: drawn anew at every replay."""
    whole = recorded_whole(function)

    @functools.wraps(function)
    def call(*args):
        if _LOCAL.recording is not None:
            _LOCAL.recording.seeds.append(args[0])
        return whole(*args)

    return call


def _refilled(recording, function, args, kwargs):
    """Run a function without ``out=`` and note it together with a copy into memory of its own."""
    result = function(*args, **kwargs)
    if result is None:
        recording.add(function, *args, **kwargs)
        return None
    if not isinstance(result, (np.ndarray, np.generic)):
        raise CannotRecord(f"{getattr(function, '__name__', function)} returned {type(result).__name__}")
    kept = np.array(result)

    def refill():
        kept[...] = function(*args, **kwargs)

    recording.add(refill)
    return recording.keep(kept)


# ---- NumPy's functions ----------------------------------------------------------------------------------
_METADATA = {np.shape, np.ndim, np.size, np.result_type, np.iscomplexobj, np.isrealobj, np.can_cast,
             np.may_share_memory, np.shares_memory, np.min_scalar_type}
_IN_PLACE = {np.copyto, np.put, np.put_along_axis, np.place, np.putmask, np.fill_diagonal}
_EMPTY = {np.empty_like}
_OUT_BY_NAME = {np.maximum, np.minimum}  # they warn about an output by position, which others take quicker
_WITH_OUT = {np.dot, np.take, np.clip, np.concatenate, np.stack, np.sum, np.prod, np.mean, np.max, np.min,
             np.amax, np.amin, np.argmax, np.argmin, np.cumsum, np.cumprod, np.any, np.all, np.outer}


_add, _multiply, _maximum, _minimum, _logical_or, _logical_and = (  # typed as taking arrays only
    cast(Any, f).reduce
    for f in (np.add, np.multiply, np.maximum, np.minimum, np.logical_or, np.logical_and)
)
_Array: Any = np.ndarray  # its methods' many overloads are not repeated here


class _Followed(_Array):
    """An array that notes the calls made on it while a recording is open; otherwise an ordinary one."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        recording = _LOCAL.recording
        inputs = plain(inputs)
        kwargs = {k: plain(v) for k, v in kwargs.items()}
        if recording is None:
            out = {} if out is None else {"out": plain(out)}
            return getattr(ufunc, method)(*inputs, **kwargs, **out)
        call = ufunc if method == "__call__" else getattr(ufunc, method)
        if method == "at":
            call(*inputs, **kwargs)
            recording.add(call, *inputs, **kwargs)
            return None
        given = out
        if out is None:
            found = call(*inputs, **kwargs)
            found = found if isinstance(found, tuple) else (found,)
            out = tuple(np.array(f) if isinstance(f, np.generic) else f for f in found)
            given = tuple(recording.keep(o) for o in out)
        else:
            out = plain(out)
            call(*inputs, out=out, **kwargs)
        if method == "__call__":
            inputs = _weak_numbers(inputs)
            if not any(o.ndim for o in out):
                inputs, out = _at_least_1d(inputs), _at_least_1d(out)
        if method == "__call__" and ufunc not in _OUT_BY_NAME and all(o is not None for o in out):
            recording.add(call, *inputs, *out, **kwargs)
        else:
            recording.add(call, *inputs, out=out, **kwargs)
        return given if len(given) > 1 else given[0]

    def __array_function__(self, function, types, args, kwargs):
        recording = _LOCAL.recording
        out = kwargs.get("out")
        args, kwargs = plain(args), {k: plain(v) for k, v in kwargs.items()}
        if recording is None or function in _METADATA:
            return function(*args, **kwargs)
        return _record_function(recording, function, args, kwargs, out)

    # ---- methods: NumPy does not dispatch them --------------------------------------------------------
    def dot(self, b, out=None):
        return np.dot(self, b) if out is None else np.dot(self, b, out=out)

    def take(self, indices, axis=None, out=None, mode="raise"):
        return np.take(self, indices, axis, out, mode)

    def sum(self, axis=None, dtype=None, out=None, keepdims=False):
        return _add(self, axis, dtype, out, keepdims)

    def prod(self, axis=None, dtype=None, out=None, keepdims=False):
        return _multiply(self, axis, dtype, out, keepdims)

    def max(self, axis=None, out=None, keepdims=False):
        return _maximum(self, axis, None, out, keepdims)

    def min(self, axis=None, out=None, keepdims=False):
        return _minimum(self, axis, None, out, keepdims)

    def any(self, axis=None, out=None, keepdims=False):
        return _logical_or(self, axis, None, out, keepdims)

    def all(self, axis=None, out=None, keepdims=False):
        return _logical_and(self, axis, None, out, keepdims)

    def mean(self, axis=None, dtype=None, out=None, keepdims=False):
        return np.mean(self, axis=axis, dtype=dtype, out=out, keepdims=keepdims)

    def argmax(self, axis=None, out=None):
        return np.argmax(self, axis, out)

    def argmin(self, axis=None, out=None):
        return np.argmin(self, axis, out)

    def clip(self, min=None, max=None, out=None):
        return np.clip(self, min, max, out)

    def repeat(self, repeats, axis=None):
        return np.repeat(self, repeats, axis)

    def copy(self, order="C"):
        recording = _LOCAL.recording
        found = np.array(plain(self), order=order)
        if recording is None:
            return found
        recording.add(np.copyto, found, plain(self))
        return recording.keep(found)

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        if not copy and self.dtype == dtype:
            return self
        found = plain(self).astype(dtype, order, casting)
        recording = _LOCAL.recording
        if recording is None:
            return found
        recording.add(np.copyto, found, plain(self), casting="unsafe")
        return recording.keep(found)

    def fill(self, value):
        self[...] = value

    def reshape(self, *shape, **kwargs):
        return self._view_or_copy(lambda a: a.reshape(*shape, **kwargs))

    def ravel(self, order="C"):
        return self._view_or_copy(lambda a: a.ravel(order))

    def flatten(self, order="C"):
        return self.copy().ravel(order)

    def __getitem__(self, key):
        return self._view_or_copy(lambda a: a[plain(key)], key)

    def __setitem__(self, key, value):
        recording = _LOCAL.recording
        target, key, value = plain(self), plain(key), plain(value)
        if recording is None or not isinstance(value, np.ndarray) or not _same_memory(target, key, value):
            target[key] = value
            if recording is not None:
                recording.add(target.__setitem__, key, value)

    def _view_or_copy(self, cut, key=None):
        """Return ``cut(array)``: a view needs no call, a copy is noted."""
        recording = _LOCAL.recording
        found = cut(plain(self))
        if recording is None:
            return found
        if isinstance(found, np.generic):  # one element: as a view, so that it stays the memory's
            key = key if isinstance(key, tuple) else (key,)
            if not any(isinstance(k, np.ndarray) for k in key) and len(key) == self.ndim:
                key += (...,)
                return plain(self)[key].view(_Followed)
            raise CannotRecord("an element of an array was read")
        if _within(found, self):
            return found.view(_Followed)
        recording.add(lambda: np.copyto(found, cut(plain(self))))
        return recording.keep(found)

    def __iter__(self):
        if self.ndim < 2 and _LOCAL.recording is not None:
            raise CannotRecord("the elements of an array were read one by one")
        return (self[i] for i in range(len(self)))

    def sort(self, *args, **kwargs):
        _refuse("sort")
        np.ndarray.sort(self, *args, **kwargs)


def _refusing(name: str):
    """Make a method that hands values to Python: not while a recording is open."""
    original = getattr(np.ndarray, name)

    def method(self, *args, **kwargs):
        _refuse(name)
        return original(plain(self), *args, **kwargs)

    return method


def _refuse(name: str) -> None:
    refuse(f"the step reads values ({name})")


for _name in ("item", "tolist", "tobytes", "nonzero", "__float__", "__int__", "__bool__", "__index__",
              "__complex__", "__contains__", "argsort", "argpartition", "partition", "searchsorted",
              "cumsum", "cumprod", "std", "var", "round", "choose", "compress", "diagonal", "trace", "put",
              "itemset", "dump", "dumps", "tofile", "byteswap", "resize"):
    if hasattr(np.ndarray, _name):
        setattr(_Followed, _name, _refusing(_name))


def _record_function(recording, function, args, kwargs, out):
    """Run a NumPy function on plain arrays and note how to run it again."""
    if function in _IN_PLACE:
        function(*args, **kwargs)
        recording.add(function, *args, **kwargs)
        return None
    found = function(*args, **kwargs)
    if out is not None or any(found is a for a in args):  # written into memory that was given, by name or not
        recording.add(function, *args, **kwargs)
        return found.view(_Followed) if out is None else out
    if isinstance(found, (tuple, list)):
        if all(isinstance(f, np.ndarray) and _shares(f, args) for f in found):
            return type(found)(f.view(_Followed) for f in found)
        raise CannotRecord(f"{function.__name__} returned several arrays")
    if isinstance(found, np.ndarray) and _shares(found, args):
        return found.view(_Followed)
    if function in _EMPTY:
        return recording.keep(found)
    if function in _WITH_OUT and isinstance(found, (np.ndarray, np.generic)):
        kept = np.array(found) if isinstance(found, np.generic) else found
        if function is np.take and len(args) > 3:  # out, by position
            args = args[:3] + (kept, *args[4:])
            recording.add(function, *args, **kwargs)
        else:
            kwargs.pop("out", None)
            recording.add(function, *args[:_positions(function, args)], out=kept, **kwargs)
        return recording.keep(kept)
    return _refilled(recording, function, args, kwargs)


def _positions(function, args) -> int:
    """Return how many positional arguments come before ``out``, where that was given as ``None``."""
    places = {np.argmax: 2, np.argmin: 2, np.clip: 3}
    return min(len(args), places.get(function, len(args)))


def _weak_numbers(inputs):
    """Turn Python numbers beside floating arrays into arrays of their dtype: twice as fast to call."""
    kinds = {a.dtype for a in inputs if isinstance(a, np.ndarray)}
    if len(kinds) != 1:
        return inputs
    (kind,) = kinds
    if kind.kind != "f":
        return inputs
    return tuple(np.array(a, kind) if type(a) in (int, float) and math.isfinite(a) else a for a in inputs)


def _same_memory(target, key, value) -> bool:
    """Tell whether ``value`` is ``target[key]`` itself, as after ``target[key] += 1``."""
    if isinstance(key, np.ndarray):
        return False
    place = np.ndarray.__getitem__(target, key if isinstance(key, tuple) and ... in key else (
        (*key, ...) if isinstance(key, tuple) else (key,) if key is ... else (key, ...)))
    return (place.ctypes.data == value.ctypes.data and place.shape == value.shape
            and place.strides == value.strides and place.dtype == value.dtype)


def _at_least_1d(arrays) -> tuple:
    """Return scalars' memory as vectors of one element: twice as fast to call."""
    return tuple(a.reshape(1) if isinstance(a, np.ndarray) and not a.ndim else a for a in arrays)


def _shares(array, args) -> bool:
    """Tell whether ``array`` is memory of one of ``args``."""
    for value in args:
        if isinstance(value, np.ndarray) and _within(array, value):
            return True
        if isinstance(value, (tuple, list)) and _shares(array, value):
            return True
    return False


def _within(part, whole) -> bool:
    return part.size > 0 and np.may_share_memory(part, whole)
