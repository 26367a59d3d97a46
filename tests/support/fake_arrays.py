"""Arrays of the CuPy stand-in: what becomes of functions of NumPy when they meet them (see ``fake_cupy``)."""

from __future__ import annotations

import contextlib
import functools
import threading
import types

import numpy as np

from . import fake_streams
from .cupy_surface import stored
from .emulator import capture

KINDS = "biufcV"  # V: bfloat16, as the wheel has it where ``ml_dtypes`` is installed
BFLOAT16 = "E"  # in the wheel's lists of loops; NumPy knows the letter, but makes no type of it
# Functions that read values to find the shape of their result, or to check them.
READING = {
    "nonzero", "flatnonzero", "argwhere", "unique", "unique_values", "unique_counts", "unique_inverse",
    "unique_all", "compress", "extract", "bincount", "histogram", "histogram_bin_edges", "trim_zeros",
    "place", "choose", "union1d", "setdiff1d", "intersect1d", "lstsq", "ravel_multi_index",
    "unravel_index", "cond", "interp",
}
AT_DTYPES = {  # what ``ufunc.at`` has atomic operations for
    "add": ("int32", "uint32", "uint64", "float16", "float32", "float64", "complex64", "complex128"),
    "maximum": ("int32", "uint32", "int64", "uint64", "float32", "float64"),
    "minimum": ("int32", "uint32", "int64", "uint64", "float32", "float64"),
}
WRITING = {
    "copyto", "put", "place", "putmask", "fill_diagonal", "ndarray.sort", "ndarray.partition", "ndarray.put",
}
CUBLAS = {"matmul", "dot", "vdot", "inner", "tensordot", "einsum", "ndarray.dot"}
HOST_ANSWERS = {
    "result_type", "can_cast", "finfo", "iinfo", "dtype", "broadcast_shapes", "promote_types", "ndim",
}


class Waits(AssertionError):
    """Something that would wait for a GPU, or turn its data into host data unasked."""


class CUDARuntimeError(RuntimeError):
    """Has the name of CuPy's own error."""


class _State(threading.local):
    free = 1 << 30
    device = 0
    forbidden = 0
    waits = 0
    uploads = 0


state = _State()


@contextlib.contextmanager
def forbid_waiting():
    """Let every wait for the device raise inside the ``with`` block."""
    state.forbidden += 1
    try:
        yield
    finally:
        state.forbidden -= 1


def _wait(what: str) -> None:
    capture.refuse(what)
    if state.forbidden:
        raise Waits(f"{what} waits for the device")
    state.waits += 1


def _upload() -> None:
    capture.refuse("a copy from the host")
    state.uploads += 1


fake_streams.waits = _wait


# ---- doing or recording --------------------------------------------------------------------------
def _run(name: str, function, args, kwargs=None):
    """Call a function of NumPy on host arrays and place its results; record the call while capturing."""
    if not fake_streams.special_memory():
        return _placed(function(*args, **(kwargs or {})))
    return _run_specially(name, function, list(args), kwargs or {})


def _do(name: str, function, *args, **kwargs) -> None:
    """Call a function that writes into its arguments; record the call while capturing."""
    if not capture.capturing():
        function(*args, **kwargs)
        return
    _refuse_cublas(name)
    capture.state.recording.add(name, function, args, kwargs)


def _run_specially(name, function, args, kwargs):
    _refuse_cublas(name)
    with capture.paused():
        result = function(*args, **kwargs)
    hosts = list(_leaves((args, kwargs)))
    leaves = [np.asarray(leaf) for leaf in _leaves(result)]

    def view(leaf):
        return any(leaf is h or leaf.base is not None and np.may_share_memory(leaf, h) for h in hosts)

    if all(map(view, leaves)):
        return _placed(result)
    targets = []
    for leaf in leaves:
        order = "F" if leaf.flags.f_contiguous and not leaf.flags.c_contiguous else "C"
        targets.append(fake_streams.empty(leaf.shape, leaf.dtype, order))
        targets[-1][...] = leaf
    if capture.capturing():
        for target in targets:
            _rubbish(target)

        def again(targets, args, kwargs):
            for target, leaf in zip(targets, _leaves(function(*args, **kwargs))):
                target[...] = leaf

        capture.state.recording.add(name, again, (list(targets), args, kwargs), {})
    return _placed(_rebuilt(result, iter(targets)))


def _refuse_cublas(name: str) -> None:
    if capture.capturing() and (name in CUBLAS or name in stored()["cupy.linalg"]):
        raise NotImplementedError("calling cuBLAS API during stream capture is currently unsupported")


def _leaves(value):
    """Yield the arrays and NumPy scalars of nested tuples, lists and dictionaries."""
    if isinstance(value, (np.ndarray, np.generic)):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _leaves(part)


def _rebuilt(value, leaves):
    if isinstance(value, (np.ndarray, np.generic)):
        return next(leaves)
    if isinstance(value, (tuple, list)):
        parts = [_rebuilt(part, leaves) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


# ---- to and from NumPy ---------------------------------------------------------------------------
def _plain(value):
    """Return the host twin of an argument; refuse what CuPy refuses."""
    if isinstance(value, ndarray):
        if value._device != state.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = {value._device} while "
                f"current = {state.device}"
            )
        return value._host
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, (list, tuple)):
        return type(value)(_plain(v) for v in value)
    if hasattr(value, "__array__") and not isinstance(value, (np.generic, type)):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


def _placed(result):
    """Return a result of NumPy as one of the device."""
    if isinstance(result, (np.ndarray, np.generic)):
        return ndarray._of(fake_streams.in_limits(np.asarray(result)))
    if isinstance(result, (tuple, list)):
        kind = tuple if hasattr(result, "_fields") else type(result)
        return kind(_placed(r) for r in result)
    return result


def _checked(name: str, entry: dict, args, kwargs) -> None:
    """Refuse arguments that the real function does not take."""
    known = entry.get("parameters")
    if known is None:
        return
    names = {n.lstrip("*") for n in known}
    for key in kwargs:
        if key not in names and "**" not in known:
            raise TypeError(f"{name}() got an unexpected keyword argument {key!r} (CuPy has {known})")
    most = sum(not n.startswith("*") for n in known)
    if len(args) > most and "..." not in known:
        raise TypeError(f"{name}() takes {most} positional arguments but {len(args)} were given")


def _call(name, function, entry, args, kwargs):
    _checked(name, entry, args, kwargs)
    if name in READING or name == "repeat" and isinstance(args[1], ndarray):
        _wait(name)
    if name == "where" and len(args) + len(kwargs) == 1:
        _wait("where of one argument")
    if name == "where" and len(args) == 3 and not isinstance(args[0], ndarray):
        raise AttributeError(f"where: the condition must be an array, came {type(args[0])}")
    if name == "solve" and args[1].ndim > 1 and args[0].shape[:-1] != args[1].shape[:-1]:
        raise ValueError(f"solve: leading axes do not broadcast, came {args[0].shape} and {args[1].shape}")
    if name in ("take", "ndarray.take", "take_along_axis"):
        function = _wrapping(function)
    if kwargs.get("kind") not in (None, "stable"):
        raise ValueError(f"{name}: kind can only be None or 'stable'")
    out = kwargs.get("out")
    args, kwargs = _plain(list(args)), {k: _plain(v) for k, v in kwargs.items()}
    if name in HOST_ANSWERS:
        return function(*args, **kwargs)
    if out is not None or name in WRITING:
        _do(name, function, *args, **kwargs)
        return out
    return _run(name, function, args, kwargs)


def _wrapping(function):
    """Let indices of ``take`` wrap around, as the device does."""

    def wrapped(x, indices, *rest, **kwargs):
        if isinstance(indices, np.ndarray):
            axis = rest[0] if rest else kwargs.get("axis")
            indices = indices % max(x.size if axis is None else x.shape[axis], 1)
        return function(x, indices, *rest, **kwargs)

    return wrapped


# ---- ufuncs --------------------------------------------------------------------------------------
class ufunc:
    """An elementwise function with the loops of the real one."""

    def __init__(self, name, entry, function):
        self.__name__ = self.name = name
        self.nin = entry["nin"]
        self.nout = len(entry["loops"][0].partition("->")[2])
        self.types = [t for t in entry["loops"] if BFLOAT16 not in t or _type(BFLOAT16) is not None]
        self._loops = [tuple(tuple(map(_type, part)) for part in t.split("->")) for t in self.types]
        self._function = function

    def __call__(self, *args, **kwargs):
        unknown = set(kwargs) - {"out", "dtype", "casting"}
        if unknown:
            raise TypeError(
                f"{self.name}: the wheel's ufuncs take out, dtype and casting, came {sorted(unknown)}"
            )
        inputs, out = args[: self.nin], args[self.nin :]
        out = out or kwargs.pop("out", ())
        out = out if isinstance(out, tuple) else () if out is None else (out,)
        given = [_scalar_or_host(self.name, x) for x in inputs]
        hosts = _plain(list(out))
        if not out:
            return _run(self.name, self._compute, (given, kwargs.get("dtype")))
        shape = np.broadcast_shapes(*[np.shape(x) for x in given])
        for target, dtype in zip(out, self._loop(self._actual(given, kwargs.get("dtype")))[1]):
            if not np.can_cast(dtype, target.dtype, "same_kind"):
                raise TypeError(f"{self.name}: cannot cast output from {np.dtype(dtype)} to {target.dtype}")
            if np.broadcast_shapes(shape, target.shape) != target.shape:
                raise ValueError(f"{self.name}: out has shape {target.shape}, the result {shape}")
        _do(self.name, self._store, hosts, given, kwargs.get("dtype"))
        return out if len(out) > 1 else out[0]

    def _store(self, targets, given, dtype):
        results = self._compute(given, dtype)
        for target, result in zip(targets, results if isinstance(results, tuple) else (results,)):
            target[...] = result

    def _actual(self, given, dtype):
        """Return the types that choose the loop: numbers of Python take part by kind alone.

        With bfloat16 it is the number itself that is held against every loop; a float fits float32 first.
        """
        if dtype is not None:
            return [np.dtype(dtype)] * len(given)
        kinds = [x.dtype for x in given if isinstance(x, (np.ndarray, np.generic))]
        numbers = [x for x in given if not isinstance(x, (np.ndarray, np.generic))]
        if any(kind.kind == "V" for kind in kinds):
            return [getattr(x, "dtype", x) for x in given]
        common = np.result_type(*kinds, *numbers) if numbers else None
        return [x.dtype if isinstance(x, (np.ndarray, np.generic)) else common for x in given]

    def _compute(self, given, dtype):
        loop = self._loop(self._actual(given, dtype))
        operands = [np.asarray(x).astype(t, copy=False) for x, t in zip(given, loop[0])]
        with np.errstate(all="ignore"):
            results = self._function(*operands)
        if self.nout > 1:
            return tuple(np.asarray(r).astype(t, copy=False) for r, t in zip(results, loop[1]))
        return np.asarray(results).astype(loop[1][0], copy=False)

    def _loop(self, actual):
        for sources, targets in self._loops:
            pairs = sorted(zip(actual, sources), key=lambda pair: not isinstance(pair[0], np.dtype))
            if all(_casts(a, s) for a, s in pairs):  # types first: a number need not fit into others
                return sources, targets
        raise TypeError(f"Wrong type ({', '.join(map(str, actual))}) of arguments for cupy_{self.name}")

    def at(self, a, indices, b=None):
        if a.dtype.name not in AT_DTYPES.get(self.name, ()):
            raise TypeError(f"{self.name}.at: no atomic operation on {a.dtype}")
        key, value = _key(a, indices), _plain(b)
        value = value if value is None else np.asarray(value)
        _do(f"{self.name}.at", self._at, _plain(a), key, value)

    def _at(self, host, key, value):
        values = [] if value is None else [value.astype(host.dtype)]
        getattr(np, self.name).at(host, _wrapped(host, key), *values)

    def _refuse(self, *args, **kwargs):
        raise AttributeError(
            f"{self.name}: reduce, accumulate, reduceat and outer exist for few ufuncs of CuPy"
        )

    reduce = accumulate = reduceat = outer = _refuse


@functools.cache
def _type(letter: str):
    """Return the type of a letter in a list of loops; ``None`` for bfloat16 without ``ml_dtypes``."""
    if letter != BFLOAT16:
        return np.dtype(letter)
    try:
        import ml_dtypes
    except ModuleNotFoundError:
        return None
    return np.dtype(ml_dtypes.bfloat16)


def _casts(actual, wanted: np.dtype) -> bool:
    """Tell whether a type, or a number of Python, may become that type."""
    if isinstance(actual, np.dtype):
        return np.can_cast(actual, wanted)
    return wanted.kind != "b" and np.result_type(wanted, actual) == wanted or type(actual) is bool


def _scalar_or_host(name, x):
    if isinstance(x, (ndarray, np.generic, bool, int, float, complex)):
        return _plain(x)
    raise TypeError(f"{name}: Unsupported type {type(x)}")


# ---- arrays --------------------------------------------------------------------------------------
class Flags:
    """CuPy's flags: three of them, none writeable."""

    def __init__(self, flags):
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = flags.owndata


class ndarray:
    """An array of the device."""

    __array_ufunc__ = None  # NumPy's own functions refuse it
    __array_priority__ = 100
    __hash__ = None  # type: ignore[assignment]
    __slots__ = ("__weakref__", "_device", "_host")

    def __init__(self, shape, dtype=float, *args, **kwargs):
        self._host, self._device = _rubbish(fake_streams.empty(shape, dtype)), state.device

    @classmethod
    def _of(cls, host):
        if host.dtype.kind not in KINDS or host.dtype.kind == "V" and host.dtype.name != "bfloat16":
            raise ValueError(f"Unsupported dtype {host.dtype}")
        self = cls.__new__(cls)
        self._host, self._device = host, state.device
        return self

    shape = property(lambda self: self._host.shape)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    strides = property(lambda self: self._host.strides)
    flags = property(lambda self: Flags(self._host.flags))
    base = property(lambda self: None if self._host.base is None else ndarray._of(self._host.base))
    device = property(lambda self: ndarray._device_type(self._device))
    T = property(lambda self: self._view(self._host.T))
    mT = property(lambda self: self._view(self._host.mT))
    data = property(lambda self: types.SimpleNamespace(ptr=self._host.__array_interface__["data"][0]))
    real = property(lambda self: self._view(self._host.real))
    imag = property(lambda self: self._view(self._host.imag))

    def _view(self, host):
        found = ndarray._of(host)
        found._device = self._device
        return found

    def __len__(self):
        return len(self._host)

    def __repr__(self):
        return f"<array of the stand-in, device {self._device}: {self._host!r}>"

    def _implicit(self, *args, **kwargs):
        raise Waits("implicit conversion of a device array to host data")

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct a NumPy "
            "array explicitly."
        )

    __bool__ = __float__ = __int__ = __index__ = __complex__ = __contains__ = item = tolist = _implicit
    tobytes = dump = dumps = tofile = __format__ = _implicit

    def __iter__(self):
        if self.ndim < 2:  # rows are views and wait for nothing; going through single elements is a slip
            raise Waits("iteration over the elements of a device array")
        return (self[i] for i in range(len(self)))

    def get(self, stream=None, order="C", out=None, blocking=True):
        _wait("get")
        return np.array(self._host, order=order)

    def set(self, arr, stream=None):
        _upload()
        self._host[...] = arr

    def __getitem__(self, key):
        host, key = _plain(self), _key(self, key, reading=True)
        if not _advanced(key):
            return self._view(np.asarray(host[key]))
        return _run("getitem", _read_at, (host, key))

    def __setitem__(self, key, value):
        _do("setitem", _write_at, _plain(self), _key(self, key), _plain(value))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        if not copy and self.dtype == np.dtype(dtype):
            return self
        return _run("astype", _plain(self).__class__.astype, (_plain(self), np.dtype(dtype), order))

    def view(self, dtype=None, type=None):
        return self._view(self._host.view() if dtype is None else self._host.view(dtype))

    def fill(self, value):
        _do("fill", np.ndarray.fill, self._host, _plain(value))

    def __deepcopy__(self, memo):
        return self.copy()


def _advanced(key) -> bool:
    return any(isinstance(k, (np.ndarray, list)) for k in (key if isinstance(key, tuple) else (key,)))


def _axes(part) -> int:
    """Return how many axes one part of a key consumes."""
    mask = isinstance(part, (ndarray, np.ndarray)) and part.dtype.kind == "b"
    return part.ndim if mask else int(part is not None and part is not Ellipsis)


def _key(array, key, reading=False):
    """Return an index for NumPy, not yet wrapped; reading with a mask waits."""
    found = []
    for part in key if isinstance(key, tuple) else (key,):
        if isinstance(part, (np.ndarray, list)):
            _upload()
            part = ndarray._of(np.asarray(part, None if len(part) else np.int32))
        if isinstance(part, ndarray):
            part = _plain(part)
            if part.dtype.kind == "b" and reading:
                _wait("reading with a mask")
            if part.dtype.kind not in "biu":
                raise IndexError(
                    f"arrays used as indices must be of integer or boolean type, came {part.dtype}"
                )
        found.append(part)
    return tuple(found) if isinstance(key, tuple) else found[0]


def _wrapped(host, key):
    """Let integer arrays of an index wrap around."""
    parts = list(key) if isinstance(key, tuple) else [key]
    used = sum(_axes(p) for p in parts)
    axis, found = 0, []
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind in "iu":
            n = host.shape[axis]
            found.append(np.where(part < 0, part + n, part) % max(n, 1) if n else part)
        else:
            found.append(part)
        axis += host.ndim - used if part is Ellipsis else _axes(part)
    return tuple(found) if isinstance(key, tuple) else found[0]


def _read_at(host, key):
    return host[_wrapped(host, key)]


def _write_at(host, key, value):
    key = _wrapped(host, key)
    if not _advanced(key):
        host[key] = value
        return
    places = np.arange(host.size).reshape(host.shape)[key]
    values = np.broadcast_to(np.asarray(value).astype(host.dtype), places.shape)
    # Where places are equal the first value stays here, NumPy's last: the real device promises nothing.
    kept = np.array(host).reshape(-1)
    kept[places.reshape(-1)[::-1]] = values.reshape(-1)[::-1]
    host[...] = kept.reshape(host.shape)


def _rubbish(host):
    """Fill new memory with what nobody may rely on."""
    if host.dtype.kind in "fcV":
        host.fill(np.nan)
    elif host.dtype.kind in "iu":
        host.fill(np.iinfo(host.dtype).max)
    return host


def _method(name, entry):
    def method(self, *args, **kwargs):
        if name in READING or name == "repeat" and args and isinstance(args[0], ndarray):
            _wait(name)
        _checked(f"ndarray.{name}", entry, args, kwargs)
        return _call(f"ndarray.{name}", getattr(np.ndarray, name), {}, (self, *args), kwargs)

    return method


_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide", "floordiv": "floor_divide",
    "mod": "remainder", "pow": "power", "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor",
    "lshift": "left_shift", "rshift": "right_shift", "matmul": "matmul",
}
_COMPARISONS = {"lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal", "eq": "equal",
                "ne": "not_equal"}
_UNARY = {"neg": "negative", "abs": "absolute", "invert": "invert", "pos": "positive"}


def _bind_methods(functions):
    for name, entry in stored()["cupy.ndarray"].items():
        if not hasattr(ndarray, name) and callable(getattr(np.ndarray, name, None)):
            setattr(ndarray, name, _method(name, entry))
    for short, name in _OPERATORS.items():
        f = functions(name)
        setattr(ndarray, f"__{short}__", lambda self, other, f=f: f(self, other))
        setattr(ndarray, f"__r{short}__", lambda self, other, f=f: f(other, self))
        if short != "matmul":
            setattr(ndarray, f"__i{short}__", lambda self, other, f=f: f(self, other, out=self))
    for short, name in _COMPARISONS.items():
        f = functions(name)
        setattr(ndarray, f"__{short}__", lambda self, other, f=f: f(self, other))
    for short, name in _UNARY.items():
        f = functions(name)
        setattr(ndarray, f"__{short}__", lambda self, f=f: f(self))


ndarray.__module__ = "cupy"
