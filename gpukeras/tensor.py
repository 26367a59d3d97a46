"""Tensor and Variable: a backend array with a place on the tape."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from gpukeras import backends, dtypes
from gpukeras.symbolic import NAMES, KerasTensor, auto_name, scoped_path

new_uid = itertools.count(1).__next__
_KINDS = {name: np.dtype(name) for name in ("float16", "float32", "float64", "int32")}  # told by identity


class _Stateless(threading.local):
    scope: Any = None  # the innermost open StatelessScope of this thread


STATELESS = _Stateless()
layout_version = 0  # counts rebindings; optimizers look here to learn that a variable moved


class Tensor:
    """An array on some device, seen by ops, layers and the tape.

    Arithmetic, comparison, indexing and the usual NumPy methods work and are differentiable; they are
    bound to this class by ``gpukeras.ops.operators``.

    Parameters
    ----------
    array : numpy.ndarray or cupy.ndarray
        The values. They are not copied.

    Examples
    --------
    >>> import gpukeras as keras
    >>> t = keras.ops.convert_to_tensor([1.0, 2.0])
    >>> (t * 2 + 1).numpy()
    array([3., 5.], dtype=float32)
    """

    # Class-level defaults keep construction to one attribute: tensors are made thousands of times a second.
    uid = 0  # identity on the tapes; 0: no tape has seen it
    auto_watch = False  # True for trainable variables: every open tape watches them by itself
    _keras_mask = None
    # What went into a final softmax or sigmoid; losses use it for exact, fused math.
    _keras_logits: tuple[str, Tensor] | None = None
    # Of a softmax, the maxima and sums that it found on the way: a cross-entropy needs them as well.
    _softmax_rows: tuple | None = None
    __array_priority__ = 100
    __array_ufunc__ = None  # numpy_array * tensor comes to us, not to NumPy's ufunc
    __hash__ = object.__hash__  # == is elementwise, identity stays the hash
    __getitem__: Callable[..., Tensor]  # bound by gpukeras.ops.operators, as all operators are

    def __init__(self, array):
        self.array = array

    # ---- what it is ---------------------------------------------------------------------------
    @property
    def shape(self) -> tuple:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def size(self) -> int:
        return self.array.size

    @property
    def backend(self):
        """The backend that computes on this tensor's array."""
        return backends.backend_of(self.array)

    @property
    def device(self) -> str:
        """Name of the device that holds the values: ``"cpu"`` or ``"gpu:N"``."""
        return self.backend.name

    # ---- to Python and NumPy (a copy from the device where it is a GPU) -----------------------------
    def numpy(self) -> np.ndarray:
        """Return the values as a NumPy array that the caller may change freely."""
        values = self.backend.to_numpy(self.array)
        return np.array(values) if values is self.array or not values.flags.owndata else values

    def __array__(self, dtype=None, copy=None):
        values = self.numpy()
        return values if dtype is None else values.astype(dtype, copy=False)

    def item(self, *args):
        return self.backend.to_numpy(self.array).item(*args)

    def tolist(self):
        return self.backend.to_numpy(self.array).tolist()

    def __float__(self):
        return float(self.item())

    def __int__(self):
        return int(self.item())

    def __index__(self):
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(f"only an integer scalar tensor can be an index, came {self!r}")
        return int(self.item())

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor with {self.size} elements is ambiguous; use ops.any or ops.all"
            )
        return bool(self.item())

    def __len__(self):
        if not self.ndim:
            raise TypeError("a scalar tensor has no length")
        return self.shape[0]

    def __iter__(self):
        if not self.ndim:
            raise TypeError("a scalar tensor cannot be iterated")
        return (self[i] for i in range(self.shape[0]))

    def __contains__(self, value):
        raise TypeError("'in' on a tensor would wait for the device; use ops.any(tensor == value)")

    def __format__(self, spec):
        return format(self.item(), spec) if spec and self.size == 1 else format(str(self), spec)

    def __deepcopy__(self, memo):
        return Tensor(self.array.copy())

    def __repr__(self):
        return f"<Tensor shape={self.shape} dtype={self.dtype} device={self.device}\n{self.numpy()!r}>"

    def __str__(self):
        return str(self.numpy())


class Variable(Tensor):
    """A tensor whose values can be assigned: weights, optimizer slots, metric totals.

    Parameters
    ----------
    initializer : array_like, Tensor or callable
        The first values, or ``f(shape, dtype)`` that makes them.
    shape : tuple of int, optional
        Needed with a callable.
    dtype : str, optional
        Defaults to the values' own type (floats: ``floatx``).
    trainable : bool
        Whether tapes watch it by themselves and optimizers update it.
    autocast : bool
        Whether a layer with a lower compute dtype reads it in that dtype.
    name : str, optional
    aggregation, synchronization, layout
        Accepted for distributed engines; no effect.

    Examples
    --------
    >>> import gpukeras as keras
    >>> v = keras.Variable([1.0, 2.0], name="v")
    >>> v.assign_add([1.0, 1.0]).numpy()
    array([2., 3.], dtype=float32)
    """

    def __init__(
        self, initializer, shape=None, dtype=None, trainable=True, autocast=True, aggregation="none",
        synchronization="auto", name=None, layout=None, *, regularizer=None, constraint=None,
    ):
        if callable(initializer):
            if shape is None:
                raise ValueError(f"variable {name!r}: an initializer function needs shape=...")
            values = initializer(tuple(shape), dtype=dtypes.standardize_dtype(dtype))
        else:
            values = initializer
        values = to_array(values, dtype)
        if shape is not None and tuple(shape) != values.shape:
            raise ValueError(f"variable {name!r}: shape={tuple(shape)} but the values have {values.shape}")
        # Own memory, C order: updates happen in place.
        self.array = values.copy() if values is getattr(initializer, "array", initializer) else values
        if not self.array.flags.c_contiguous or not _writeable(self.array):
            self.array = self.array.copy(order="C")
        self.uid = new_uid()
        self.version = 0  # counts changes; a tape refuses to differentiate through values that are gone
        self.name = name or auto_name("variable")
        self.path = scoped_path((), self.name) if NAMES.scopes else self.name
        self.autocast = autocast
        self.aggregation = aggregation
        self.synchronization = synchronization
        self.regularizer = regularizer
        self.constraint = constraint
        self.overwrite_with_gradient = False
        self.trainable = trainable

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value):
        self._trainable = bool(value)
        self.auto_watch = self._trainable and dtypes.is_float(self.array.dtype)

    @property
    def value(self) -> Tensor:
        """The values now, as a tensor of their own: later assignments do not change it."""
        return Tensor(self.array.copy())

    def read_value(self) -> Tensor:
        """Same as ``value``."""
        return self.value

    def assign(self, value) -> Variable:
        """Replace the values in place; shapes must be equal, dtypes are converted."""
        if not isinstance(value, KerasTensor):  # a layer that is only being drawn up changes nothing
            if STATELESS.scope is not None:
                STATELESS.scope._set_apart(self)
            new = to_array(value, self.array.dtype, self.backend)
            if new.shape != self.array.shape:
                raise ValueError(
                    f"variable {self.path!r} has shape {self.array.shape}; the assigned value has {new.shape}"
                )
            self.array[...] = new
            self.version += 1
        return self

    def assign_add(self, value) -> Variable:
        """Add ``value`` in place."""
        if not isinstance(value, KerasTensor):
            if STATELESS.scope is not None:
                STATELESS.scope._set_apart(self)
            self.array += to_array(value, self.array.dtype, self.backend)
            self.version += 1
        return self

    def assign_sub(self, value) -> Variable:
        """Subtract ``value`` in place."""
        if not isinstance(value, KerasTensor):
            if STATELESS.scope is not None:
                STATELESS.scope._set_apart(self)
            self.array -= to_array(value, self.array.dtype, self.backend)
            self.version += 1
        return self

    # (flat buffer, first element) where the values are part of a larger one-dimensional buffer
    home = None

    def rebind(self, array, home=None) -> None:
        """Let the variable live in ``array`` (a view of a flat buffer) from now on; values are copied there.

        ``home`` is the buffer itself and the index of the first element in it.
        """
        global layout_version
        array[...] = self.array
        self.array = array
        self.home = home
        layout_version += 1

    def __deepcopy__(self, memo):
        new = Variable(self.array.copy(), trainable=self.trainable, autocast=self.autocast, name=self.name,
                       regularizer=self.regularizer, constraint=self.constraint)
        new.path = self.path
        memo[id(self)] = new
        return new

    def __repr__(self):
        return f"<Variable path={self.path} shape={self.shape} dtype={self.dtype}\n{self.numpy()!r}>"


def _writeable(array) -> bool:
    return getattr(array.flags, "writeable", True)


def to_array(value, dtype=None, backend=None):
    """Return ``value`` (tensor, array, nested lists, number) as an array of ``backend``.

    Without ``backend`` it goes to the current device. Without ``dtype``, Python floats and float64 host data
    become ``floatx``, Python ints ``int32``; tensors and device arrays keep their own type.
    """
    if isinstance(value, Tensor):
        array = value.array
        if dtype is not None and array.dtype is not _KINDS.get(dtype) and array.dtype != dtype:
            array = array.astype(dtypes.standardize_dtype(dtype))
        if backend is not None and not backend.owns(array):
            raise backends.DeviceError(
                f"expected a tensor on {backend.name}, came one on {value.device}; "
                "move it explicitly: ops.convert_to_tensor(x.numpy())"
            )
        return array
    backend = backend or backends.current()
    if backend.owns(value) and not isinstance(value, (np.ndarray, np.generic)):
        if value.dtype.kind == "V":
            dtypes.standardize_dtype(value.dtype)
        return value if dtype is None else value.astype(dtypes.standardize_dtype(dtype), copy=False)
    if hasattr(value, "array") and not hasattr(value, "__array__"):
        raise TypeError(f"cannot convert {type(value).__name__} to a tensor")
    host = value if isinstance(value, (np.ndarray, np.generic)) else _host(value)
    if dtype is None:
        if host.dtype == np.float64:
            dtype = dtypes.floatx()
        elif host.dtype == np.int64 and not isinstance(value, (np.ndarray, np.generic)):
            # Python ints: int32 as in Keras, unless they do not fit.
            fits = not host.size or (host.max() < 2**31 and host.min() >= -(2**31))
            dtype = "int32" if fits else "int64"
        elif host.dtype.kind == "V":  # bfloat16, of which ops know from now on; else an error
            dtypes.standardize_dtype(host.dtype)
    else:
        dtype = dtypes.standardize_dtype(dtype)
    if host.dtype.kind in "OSU" and dtype is None:
        raise ValueError(
            f"cannot make a tensor of {host.dtype} values; expected numbers. Ragged lists need padding "
            "(utils.pad_sequences), text needs a vocabulary"
        )
    return backend.asarray(host, dtype)


def _host(value) -> np.ndarray:
    """Turn nested Python data, which may hold tensors, into a NumPy array."""
    if isinstance(value, (list, tuple)) and any(isinstance(v, Tensor) for v in value):
        value = [v.numpy() if isinstance(v, Tensor) else v for v in value]
    if hasattr(value, "get") and type(value).__module__.startswith("cupy"):
        value = value.get()
    if hasattr(value, "tocsr"):  # a sparse matrix, of which NumPy would make an array of one object
        return np.asarray(value.toarray())
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ValueError(f"cannot make a tensor of ragged data: {error}") from error
