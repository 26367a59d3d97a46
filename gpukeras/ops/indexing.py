"""Reading elements of a tensor: keys, gathers, choices, one-hot codes."""

from __future__ import annotations

import builtins
import operator

import numpy as np

from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.shaping import expand_dims, own, reshape
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor

_slice = builtins.slice
_PLAIN = (int, _slice, type(None), type(Ellipsis))


def keeps_first(kind, *args, **kwargs):
    """Dtype rule of ops whose result has the type of their first tensor, whatever the indices are."""
    return kind


def integers(what: str, indices):
    """Check that ``indices`` holds integers."""
    if np.dtype(indices.dtype).kind not in "iu":
        raise TypeError(
            f"{what}: indices must be integers, came dtype {indices.dtype}; use ops.cast(indices, 'int32')"
        )


def index_input(indices):
    """Let bare Python ints reach an op as an int32 array: beside a float tensor they would become floats."""
    if isinstance(indices, (bool, int, np.generic)):
        return np.asarray(indices, None if isinstance(indices, np.generic) else np.int32)
    return indices


# ---- x[key] ----------------------------------------------------------------------------------------
def _plain_item(item) -> bool:
    return isinstance(item, _PLAIN) and not isinstance(item, bool)


def _slice_bound(bound):
    return bound if bound is None else operator.index(bound)


def normalize_key(key, backend) -> tuple:
    """Return ``key`` as a tuple of ints, slices, ``None``, ``...`` and arrays of ``backend``."""
    items: list = []
    for item in key if isinstance(key, tuple) else (key,):
        if isinstance(item, _slice):
            item = _slice(*(_slice_bound(b) for b in (item.start, item.stop, item.step)))
        elif not _plain_item(item):
            item = _index_array(item, backend)
            if type(item) is tuple:
                items.extend(item)
                continue
        items.append(item)
    return tuple(items)


def _index_array(item, backend):
    """Turn one index (tensor, array, list, scalar) into an int, an array of ``backend``, or several."""
    if isinstance(item, KerasTensor):
        raise TypeError("a symbolic index needs a symbolic tensor to index, or ops.take(x, indices, axis=0)")
    if isinstance(item, (bool, np.bool_)):
        raise TypeError("a single True or False is no index; use None to add an axis, a list to mask")
    if isinstance(item, Tensor):
        item = item.array
    elif not hasattr(item, "dtype"):
        item = np.asarray([np.asarray(i) for i in item] if isinstance(item, (list, tuple)) else item)
        item = item.astype(np.int64) if not item.size else item
    if item.dtype.kind not in "iub":
        raise TypeError(
            "tensors are indexed by ints, slices, None, ... and integer or boolean arrays; "
            f"came dtype {item.dtype}"
        )
    if isinstance(item, (np.ndarray, np.generic)) and not item.ndim and item.dtype.kind != "b":
        return int(item)
    if isinstance(item, np.ndarray) and item.dtype.kind == "b" and backend.name not in ("cpu", "host"):
        # A mask known on the host: its positions are too, and the device need not be asked for them.
        return tuple(backend.asarray(places) for places in np.nonzero(item))
    return backend.asarray(item)


def _check_known(key, shape) -> None:
    """Refuse indices out of range that are known on the host: a GPU, asked later, would wrap them around."""
    axis = 0
    for item in key if isinstance(key, tuple) else (key,):
        if item is None:
            continue
        if item is Ellipsis:  # what follows counts from the end; only the device knows how many axes it takes
            return
        if isinstance(item, (list, np.ndarray)) and axis < len(shape):
            item, size = np.asarray(item), shape[axis]
            if item.dtype.kind in "iu" and item.size and not -size <= item.min() <= item.max() < size:
                raise IndexError(
                    f"indices between {item.min()} and {item.max()} are out of bounds for axis {axis} with "
                    f"size {size} (tensor of shape {shape})"
                )
        mask = isinstance(item, (np.ndarray, Tensor)) and item.dtype.kind == "b"
        axis += item.ndim if mask else 1


def _key_shapes(key) -> tuple:
    """Return ``key`` with arrays replaced by their shapes; a mask of known values by those of its indices."""
    items: list = []
    for item in key if isinstance(key, tuple) else (key,):
        if isinstance(item, _slice):
            items.append(_slice(*(_slice_bound(b) for b in (item.start, item.stop, item.step))))
        elif _plain_item(item):
            items.append(item)
        elif isinstance(item, KerasTensor):
            if item.dtype == "bool":
                raise TypeError(
                    "boolean masks cannot index symbolic tensors: the size of the result is not known. "
                    "Use ops.where(mask, x, 0), or a custom layer"
                )
            integers("x[key]", item)
            items.append(item.shape)
        else:
            array = _index_array(item, _HOST)
            if isinstance(array, int):
                items.append(array)
            elif array.dtype.kind == "b":
                items.extend([(int(np.count_nonzero(array)),)] * array.ndim)
            else:
                items.append(array.shape)
    return tuple(items)


class _Host:
    """Stands for a backend where only the shape of an index array matters."""

    name = "host"

    @staticmethod
    def asarray(item):
        return np.asarray(item.get() if hasattr(item, "get") else item)


_HOST = _Host()


@op(shape=lambda x, key: shapes.getitem(x, _key_shapes(key)), dtype=keeps_first, bfloat16="as is")
def getitem(x, key):
    """Return ``x[key]`` with NumPy's rules.

    Parameters
    ----------
    x : tensor
    key : int, slice, None, Ellipsis, integer or boolean array or tensor, or a tuple of them
        Boolean masks need values, so they cannot index a symbolic tensor.

    Returns
    -------
    tensor
        Plain slices may share memory with ``x``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> x = ops.reshape(ops.arange(6), (2, 3))
    >>> x[:, -1].tolist(), x[[1, 0], 0].tolist()
    ([2, 5], [3, 0])
    """
    if not _simple(key):
        if x.backend.name != "cpu":
            _check_known(key, x.shape)
        key = normalize_key(key, x.backend)
    try:
        y = x.array[key]
    except IndexError as error:
        raise IndexError(f"{error} (tensor of shape {x.shape})") from None
    shape = x.shape
    return own(x, y), lambda dy: index_put(dy, key, shape)


def _simple(key) -> bool:
    """Tell whether ``key`` can go to the array as it is."""
    if type(key) is tuple:
        return all(map(_simple, key))
    kind = type(key)
    if kind is _slice:
        return all(b is None or type(b) is int for b in (key.start, key.stop, key.step))
    return kind is int or key is None or key is Ellipsis


def _repeats(key) -> bool:
    """Tell whether ``key`` may name an element twice: it holds an array of integers."""
    items = key if type(key) is tuple else (key,)
    return any(not _plain_item(item) and item.dtype.kind != "b" for item in items)


@op(shape=lambda values, key, shape: shape, dtype=keeps_first)
def index_put(values, key, shape):
    """Return zeros of ``shape`` with ``values`` added at ``key``: the gradient of reading there."""
    array = values.backend.xp.zeros(shape, values.dtype)
    if _repeats(key):
        values.backend.scatter_add(array, key, values.array)
    else:
        array[key] = values.array
    return array, lambda dy: getitem(dy, key)


def get_item(x, key):
    """Return ``x[key]``; see ``getitem``."""
    return getitem(x, key)


def slice(inputs, start_indices, shape):
    """Return the block of ``inputs`` that begins at ``start_indices`` and has ``shape``.

    Parameters
    ----------
    inputs : tensor
    start_indices : sequence of int, or integer tensor
        One for each axis. A block that would reach over the end is moved back, as in Keras.
    shape : sequence of int
        -1 takes the rest of an axis.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.slice(ops.reshape(ops.arange(6), (2, 3)), (0, 1), (2, 2)).tolist()
    [[1, 2], [4, 5]]
    """
    return slice_block(inputs, start_indices, shape=_host_sizes(shape))


def _host_sizes(sizes) -> tuple:
    sizes = sizes if isinstance(sizes, (list, tuple)) else np.asarray(sizes).tolist()
    return tuple(n if n is None else int(n) for n in sizes)


def _starts_of(start, rank):
    """Return starts for a shape rule: ints where they are known."""
    if isinstance(start, KerasTensor):
        return (None,) * rank
    if isinstance(start, (list, tuple)):
        return tuple(None if isinstance(s, KerasTensor) else int(s) for s in start)
    return tuple(np.asarray(start).tolist())


@op(shape=lambda x, start, shape: shapes.slice_sizes(x, _starts_of(start, len(x)), shape), dtype=keeps_first,
    bfloat16="as is")
def slice_block(x, start, shape):
    """Do the work of ``slice`` for sizes known on the host."""
    key = block_key(x, start, shape)
    dims = x.shape
    return own(x, x.array[key]), lambda dy: index_put(dy, key, dims)


def block_key(x, start, sizes) -> tuple:
    """Return the key of a block of ``x``; starts that live on a GPU stay there (index arrays)."""
    backend, rank = x.backend, x.ndim
    on_device = isinstance(start, Tensor) and backend.name != "cpu"
    known = (0,) * rank if on_device else _starts_of(start, rank)
    if len(known) != rank:
        shapes.slice_sizes(x.shape, known, sizes)
    if on_device and any(n in (None, -1) for n in sizes):
        raise ValueError("slice: a size of -1 needs start_indices on the host, as ints")
    sizes = shapes.slice_sizes(x.shape, known, sizes)
    if not on_device:
        places = (max(0, min(s + n if s < 0 else s, n - m)) for s, n, m in zip(known, x.shape, sizes))
        return tuple(_slice(s, s + m) for s, m in zip(places, sizes))
    xp, key = backend.xp, []
    for i, (n, m) in enumerate(zip(x.shape, sizes)):
        first = xp.clip(start.array[i], 0, n - m)
        key.append((first + xp.arange(m)).reshape((-1,) + (1,) * (rank - i - 1)))
    return tuple(key)


# ---- gathering -------------------------------------------------------------------------------------
def take(x, indices, axis=None):
    """Return the slices of ``x`` at ``indices``.

    Parameters
    ----------
    x : tensor
    indices : int, integer array or tensor, any shape
        Negative ones count from the end. Out of range: an ``IndexError`` on the CPU; a GPU does not wait to
        look, there the result is NaN (integers: the lowest value).
    axis : int, optional
        Without it ``x`` is flattened first.

    Returns
    -------
    tensor, shape ``x.shape[:axis] + indices.shape + x.shape[axis + 1:]``

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.take(ops.reshape(ops.arange(6), (2, 3)), [0, -1], axis=1).tolist()
    [[0, 2], [3, 5]]
    """
    return gather(x, index_input(indices), axis=axis)


@op(shape=shapes.take, tensors=2, dtype=keeps_first, bfloat16="as is")
def gather(x, indices, axis=None):
    """Do the work of ``take``."""
    integers("take", indices)
    flat, shape = axis is None, x.shape
    array = x.array.reshape(-1) if flat else x.array
    axis = 0 if flat else shapes.normalize_axis(axis, x.ndim)
    y = x.backend.take(array, indices.array, axis)
    long, one = array.shape, not indices.ndim
    key = (_slice(None),) * axis + (indices.array.reshape(1) if one else indices.array,)

    def vjp(dy):
        dx = index_put(expand_dims(dy, axis) if one else dy, key, long)
        return (reshape(dx, shape) if flat else dx), None

    return y, vjp


@op(shape=shapes.take_along_axis, tensors=2, dtype=keeps_first)
def take_along_axis(x, indices, axis=None):
    """Return one element of ``x`` along ``axis`` for every element of ``indices``.

    Parameters
    ----------
    x : tensor
    indices : integer tensor
        Of the rank of ``x``; the other axes broadcast. Out of range as in ``take``.
    axis : int, optional
        Without it both are flattened first.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.take_along_axis(ops.convert_to_tensor([[5, 6], [7, 8]]), [[1], [0]], axis=1).tolist()
    [[6], [7]]
    """
    integers("take_along_axis", indices)
    shapes.take_along_axis(x.shape, indices.shape, axis)
    flat, shape = axis is None, x.shape
    array, places = (x.array.reshape(-1), indices.array.reshape(-1)) if flat else (x.array, indices.array)
    axis = 0 if flat else shapes.normalize_axis(axis, x.ndim)
    backend, long = x.backend, array.shape

    def vjp(dy):
        dx = index_put(dy, backend.along_axis_key(long, places, axis), long)
        return (reshape(dx, shape) if flat else dx), None

    return backend.take_along_axis(array, places, axis), vjp
