"""Where batches come from: arrays, data sets with ``__getitem__``, generators and other iterables.

A source yields ``(x, y, sample_weight)`` tuples whose leaves are tensors. The source owns slicing,
shuffling and class weights; the training loop owns epochs and callbacks.

On a GPU arrays move there once, the order of an epoch is uploaded, and batches are gathered on the device.
Arrays that do not fit stay on the host, as sparse matrices always do; then every batch is gathered there and
uploaded.

Batches of a sparse matrix are sparse tensors. A large array that is nearly all zeros, such as a bag of words
per sample, is trained on as one: reading it once costs less than one epoch of multiplying by zeros.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from gpukeras import backends, config, dtypes, random, tree
from gpukeras.backends.sparse import CompressedRows, compress_array, density
from gpukeras.sparse import SparseTensor, compressed, is_sparse
from gpukeras.tensor import Tensor, to_array
from gpukeras.text import StringTensor, is_text, string_tensor
from gpukeras.utils.structures import pack_x_y_sample_weight, unpack_x_y_sample_weight


def make_source(x, y=None, sample_weight=None, batch_size=None, steps=None, shuffle=False, class_weight=None,
                what="fit", workers=1):
    """Return the source for what ``fit``, ``evaluate`` or ``predict`` was given.

    Raises
    ------
    ValueError, TypeError
        Where the data is empty, of unequal lengths, or given in a way that does not go together.
    """
    source = _source(x, y, sample_weight, batch_size, steps, shuffle, class_weight, what, workers)
    limit = config.max_steps_per_epoch()
    if limit is not None:
        source.steps = limit if source.steps is None else min(source.steps, limit)
    return source


def _source(x, y, sample_weight, batch_size, steps, shuffle, class_weight, what, workers):
    if _is_arrays(x):
        size = 32 if batch_size is None else batch_size
        return ArraySource(x, y, sample_weight, size, steps, shuffle, class_weight, what)
    for name, value in (("y", y), ("sample_weight", sample_weight)):
        if value is not None:
            raise ValueError(
                f"{what}: x is a {type(x).__name__} and yields targets and weights itself; do not pass {name}"
            )
    if hasattr(x, "__getitem__") and hasattr(x, "__len__"):
        return SequenceSource(x, steps, shuffle, class_weight, workers)
    if hasattr(x, "__iter__") or hasattr(x, "__next__"):
        return IterableSource(x, steps, class_weight)
    raise TypeError(
        f"{what}: cannot take data from {type(x).__name__}; expected arrays (or lists and dictionaries of "
        "them), a generator, a PyDataset/Sequence, or an iterable of batches"
    )


def _is_arrays(x) -> bool:
    """Tell whether ``x`` is arrays (or a structure of them), not something that yields batches."""
    if x is None or isinstance(x, (Tensor, np.ndarray, Mapping, int, float)) or hasattr(x, "__array__"):
        return True
    if isinstance(x, (list, tuple)):
        return True
    return hasattr(x, "toarray") or type(x).__module__.partition(".")[0] in ("pandas", "cupy")


# ---- arrays ---------------------------------------------------------------------------------------------
class ArraySource:
    """Batches cut from arrays.

    Parameters
    ----------
    x, y, sample_weight : array or structure of arrays
        First axis: samples. Data frames, scipy sparse matrices and nested lists are taken as well.
    batch_size : int
    steps : int, optional
        Batches in an epoch, where it should be fewer than the data has.
    shuffle : bool or "batch"
        Draw the samples in a new order every epoch; ``"batch"`` reorders whole batches.
    class_weight : dict of int to float, optional
    what : str
        Who asks, for error messages.
    """

    def __init__(self, x, y, sample_weight, batch_size, steps, shuffle, class_weight, what):
        if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
            raise ValueError(f"{what}: batch_size must be a positive integer, came {batch_size!r}")
        self.backend = backends.current()
        # Arrays that take the next batch of so many rows, in the order of ``leaves``.
        self.places: dict[int, Sequence] = {}
        self._fitting: Sequence | None = None  # those of them that were looked at last
        parts = _standardize_parts(x, y, sample_weight, class_weight, self.backend)
        if what in ("fit", "validation_data") and parts[0] is not None:
            parts[0] = _cut(_without_zeros, parts[0])
        if _fits(parts, self.backend):
            parts = [_cut(lambda leaf: _moved(leaf, self.backend), p) for p in parts]
        self.parts = parts
        self.leaves = [leaf for part in parts if part is not None for leaf in tree.flatten(part)]
        self.count = self._check_lengths(what)
        self.batch_size = int(batch_size)
        self.shuffle = shuffle
        full = -(-self.count // self.batch_size)
        self.steps = full if steps is None else min(int(steps), full)
        if steps is not None and steps > full:
            warnings.warn(
                f"{what}: steps={steps} asked for, but the data has only {full} batches of {batch_size}",
                stacklevel=4,
            )

    def _check_lengths(self, what) -> int:
        lengths = {leaf.shape[0] if leaf.shape else None for leaf in self.leaves}
        if None in lengths:
            raise ValueError(f"{what}: the data must have a first axis of samples, came a single number")
        if len(lengths) > 1:
            named = [
                f"{n}: {', '.join(str(leaf.shape[0]) for leaf in tree.flatten(p))}"
                for p, n in zip(self.parts, ("x", "y", "sample_weight")) if p is not None
            ]
            raise ValueError(f"{what}: all arrays need the same number of samples, came {'; '.join(named)}")
        count = lengths.pop() if lengths else 0
        if not count:
            raise ValueError(f"{what}: the data is empty (0 samples)")
        return count

    def __iter__(self) -> Iterator[tuple]:
        """Yield the batches of one epoch."""
        size, count, backend = self.batch_size, self.count, self.backend
        order: Any = None
        on_device: Any = None
        if self.shuffle is True:
            order = random.host_generator().permutation(count)
            if any(_on(leaf, backend) for leaf in self.leaves):
                on_device = backend.asarray(order)
        starts: Sequence[int] = range(0, self.steps * size, size)
        if self.shuffle == "batch":
            starts = [i * size for i in random.host_generator().permutation(self.steps)]
        x, y, sample_weight = self.parts
        if order is not None and backend is backends.CPU and all(
            p is None or type(p) is np.ndarray for p in self.parts
        ):
            yield from self._drawn(order)  # the common case: fewer calls per batch
            return
        places: dict = {}
        for start in starts:
            stop = min(start + size, count)
            if order is None:
                def cut(array, a=start, b=stop):
                    return array[a:b]
            else:
                places = {id(leaf): p for leaf, p in zip(self.leaves, self._places(stop - start) or ())}

                def cut(array, a=start, b=stop):
                    if _on(array, backend):
                        return array.take(on_device[a:b], 0, out=places.get(id(array)))  # noqa: B023
                    return array[order[a:b]]
            yield tuple([_cut(lambda leaf: _batch(cut(leaf), backend), p) for p in (x, y, sample_weight)])

    def _drawn(self, order) -> Iterator[tuple]:
        """Yield batches of plain arrays on the host in the order drawn; in ``self.places``, if any fits."""
        parts, size, empty = self.parts, self.batch_size, self.backend.empty
        for start in range(0, self.steps * size, size):
            rows = order[start:start + size]
            places: Any = self._places(len(rows))
            if places is None:
                places = [empty((len(rows), *leaf.shape[1:]), leaf.dtype) for leaf in self.leaves]
            places = iter(places)
            # In the mode "raise" NumPy would gather into a temporary array first.
            yield tuple([
                None if p is None else Tensor(p.take(rows, 0, next(places), "clip")) for p in parts
            ])

    def _places(self, rows: int):
        """Return where the next batch of so many rows is wanted, if that is of its shapes and dtypes."""
        found = self.places.get(rows)
        if found is None or found is self._fitting:
            return found
        if len(found) != len(self.leaves):
            return None
        for place, leaf in zip(found, self.leaves):
            if place.shape[1:] != leaf.shape[1:] or place.dtype != leaf.dtype:
                return None
        self._fitting = found
        return found

    def on_epoch_end(self) -> None:
        """Arrays need nothing between epochs."""


def _cut(cut, part):
    if part is None:
        return None
    return tree.map_structure(cut, part) if tree.is_nested(part) else cut(part)


def _on(array, backend) -> bool:
    """Tell whether ``array`` is a plain array that lies where batches are wanted."""
    return type(array) is np.ndarray if backend is backends.CPU else backend.owns(array)


def _batch(array, backend) -> Tensor:
    """Return rows that were cut out as a tensor on ``backend``."""
    if type(array) is CompressedRows:
        return SparseTensor(array) if backend is backends.CPU else Tensor(backend.rows_to_dense(array))
    if isinstance(array, StringTensor):
        return array
    if hasattr(array, "toarray"):  # of CuPy
        array = array.toarray()
    return Tensor(array if _on(array, backend) else backend.asarray(array))


_LARGE = 1 << 22  # elements of an array in which zeros are looked for
_WIDE = 256  # its columns at least
_NEARLY_EMPTY = 0.03  # the part of it that is not zero at most: above, plain products are as quick


def _without_zeros(array):
    """Return an array; where it is large and nearly all zeros, without them."""
    if type(array) is not np.ndarray or array.ndim != 2 or array.dtype != dtypes.floatx() or (
        array.size < _LARGE or array.shape[1] < _WIDE or backends.current() is not backends.CPU
    ):
        return array
    if not config.zeros_skipped() or density(array) > _NEARLY_EMPTY:
        return array
    found = compress_array(array, _NEARLY_EMPTY * 2)
    return array if found is None else found


def _fits(parts, backend) -> bool:
    """Tell whether data may move to the device: it takes at most half of the room there."""
    room = backend.free_memory()
    if room is None:
        return True
    leaves = [leaf for p in parts if p is not None for leaf in tree.flatten(p)]
    return sum(leaf.nbytes for leaf in leaves if isinstance(leaf, np.ndarray)) <= room // 2


def _moved(leaf, backend):
    """Return a host array as one of ``backend``; sparse matrices and what is there already stay."""
    return backend.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


def _standardize_parts(x, y, sample_weight, class_weight, backend) -> list:
    """Return the three parts of the data as arrays: host data still on the host, the rest on ``backend``."""
    given = ((x, "x"), (y, "y"), (sample_weight, "sample_weight"))
    parts = [standardize_arrays(v, n, backend) for v, n in given]
    if class_weight is not None:
        parts[2] = _class_weights(parts[1], parts[2], class_weight)
    return parts


def standardize_arrays(data, name: str, backend):
    """Return ``data`` with arrays as leaves: floats as floatx, other types as they are.

    Tensors must lie on ``backend``; host data stays on the host.
    """
    if data is None:
        return None
    if is_sparse(data):  # first: one of scipy's formats is a dictionary
        if data.dtype.kind not in "biuf":
            raise ValueError(f"{name} is a sparse matrix of dtype {data.dtype}; expected numbers")
        data = compressed(data) if name.startswith("x") else data.toarray()
    if type(data) is CompressedRows:
        return data
    if isinstance(data, Mapping):
        return {k: standardize_arrays(v, f"{name}[{k!r}]", backend) for k, v in data.items() if v is not None}
    if isinstance(data, (list, tuple)) and not _is_numbers(data):
        return type(data)(standardize_arrays(v, name, backend) for v in data)
    if isinstance(data, StringTensor):
        return data
    if isinstance(data, Tensor):
        return to_array(data, None, backend)
    if backend.owns(data) and not isinstance(data, np.ndarray):
        return data
    if type(data).__module__.partition(".")[0] == "cupy":
        raise backends.DeviceError(
            f"{name} lies on {backends.backend_of(data).name}, but new arrays go to {backend.name}; select "
            "one device by keras.config.set_device, or pass host data"
        )
    if isinstance(data, (list, tuple)) and is_text(data):
        return string_tensor(data, name)
    array = data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data)
    if name.startswith("x") and is_text(array):
        try:
            return string_tensor(array, name)
        except TypeError as error:
            raise ValueError(f"{name} holds values of dtype object, text among them: {error}") from error
    if array.dtype.kind in "OSUM":
        raise ValueError(
            f"{name} holds values of dtype {array.dtype}; expected numbers. Convert text and categories "
            "first (data frames: df.astype('float32') after encoding the text columns)"
        )
    if dtypes.is_float(array.dtype) and array.dtype != dtypes.floatx():
        array = array.astype(dtypes.floatx())
    return array


def _is_numbers(data) -> bool:
    """Tell whether a nested list is one array written as a list: its leaves are plain numbers."""
    leaf = data
    while isinstance(leaf, (list, tuple)):
        if not leaf:
            return True
        leaf = leaf[0]
    return isinstance(leaf, (bool, int, float, str, np.generic))


def _class_weights(y, sample_weight, class_weight):
    """Return sample weights from ``class_weight`` (by integer or one-hot labels), times those given.

    Labels on the host cost no wait, as they are weighted before they move.
    """
    if y is None or tree.is_nested(y):
        raise ValueError("class_weight needs one output with labels y; for several outputs use sample_weight")
    labels = backends.backend_of(y).to_numpy(y)
    if labels.ndim > 1 and labels.shape[-1] > 1:
        labels = labels.argmax(axis=-1)
    labels = labels.reshape(labels.shape[0], -1)
    if labels.shape[1] != 1:
        raise ValueError(f"class_weight needs one label per sample, came labels of shape {tuple(y.shape)}")
    labels = labels[:, 0].astype("int64")
    table = {int(k): float(v) for k, v in dict(class_weight).items()}
    unknown = sorted(set(np.unique(labels).tolist()) - set(table))
    if unknown:
        raise ValueError(f"class_weight has no entry for the classes {unknown[:10]} that the labels hold")
    weights = np.array([table.get(i, 1.0) for i in range(int(labels.max()) + 1)], dtypes.floatx())[labels]
    if sample_weight is None:
        return weights
    return backends.backend_of(sample_weight).asarray(weights) * sample_weight


# ---- everything that makes its own batches -----------------------------------------------------------
class _BatchSource:
    """Shared by sources that are handed whole batches."""

    class_weight: Mapping | None
    shuffle = False

    def _standardize(self, batch):
        x, y, sample_weight = unpack_x_y_sample_weight(batch)
        backend = backends.current()
        parts = _standardize_parts(x, y, sample_weight, self.class_weight, backend)
        return tuple(_cut(lambda a: _batch(a, backend), p) for p in parts)

    def on_epoch_end(self) -> None:
        """Tell the data set that an epoch is over, where it wants to know."""


class SequenceSource(_BatchSource):
    """Batches from an object with ``__len__`` and ``__getitem__`` (``Sequence``, ``PyDataset``).

    With ``workers`` above 1 batches are made ahead by threads.
    """

    def __init__(self, sequence, steps, shuffle, class_weight, workers=1):
        self.sequence = sequence
        self.class_weight = class_weight
        self.shuffle = shuffle
        count = getattr(sequence, "num_batches", None)
        count = len(sequence) if count is None else count
        if not count:
            raise ValueError(f"{type(sequence).__name__} is empty: its length is 0")
        self.steps = count if steps is None else min(int(steps), count)
        self.count = count
        self.workers = max(int(workers or 1), int(getattr(sequence, "workers", 1) or 1))
        self.queue = int(getattr(sequence, "max_queue_size", 10) or 10)

    def __iter__(self):
        if hasattr(self.sequence, "on_epoch_begin"):
            self.sequence.on_epoch_begin()
        order = list(range(self.count))
        if self.shuffle:
            random.host_generator().shuffle(order)
        order = order[: self.steps]
        if self.workers == 1:
            for i in order:
                yield self._standardize(self.sequence[i])
            return
        from collections import deque
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(self.workers) as pool:
            ahead: deque = deque()
            for i in order:
                ahead.append(pool.submit(self.sequence.__getitem__, i))
                if len(ahead) > self.queue:
                    yield self._standardize(ahead.popleft().result())
            while ahead:
                yield self._standardize(ahead.popleft().result())

    def on_epoch_end(self) -> None:
        if hasattr(self.sequence, "on_epoch_end"):
            self.sequence.on_epoch_end()


class IterableSource(_BatchSource):
    """Batches from a generator or iterable; a generator goes on where the last epoch stopped."""

    def __init__(self, iterable: Iterable, steps, class_weight):
        self.class_weight = class_weight
        self.iterable = iterable
        self.once = iter(iterable) is iterable  # a generator: cannot start again
        length = len(iterable) if isinstance(iterable, Sized) else None
        self.steps = steps if steps is not None else length
        self._iterator: Iterator | None = None

    def __iter__(self):
        if self._iterator is None or not (self.once or self.steps is not None):
            self._iterator = iter(self.iterable)
        done = 0
        restarted = False
        while self.steps is None or done < self.steps:
            try:
                batch = next(self._iterator)
            except StopIteration:
                if self.steps is None or self.once or restarted:
                    self._iterator = None if not self.once else self._iterator
                    if self.steps is not None and done < self.steps:
                        warnings.warn(
                            f"the data ran out after {done} of {self.steps} steps; give a generator that "
                            "goes on for all epochs, or fewer steps_per_epoch",
                            stacklevel=3,
                        )
                    return
                self._iterator, restarted = iter(self.iterable), done == 0
                continue
            restarted = False
            done += 1
            yield self._standardize(batch)

    def on_epoch_end(self) -> None:
        if hasattr(self.iterable, "on_epoch_end"):
            self.iterable.on_epoch_end()


def split_validation(x, y, sample_weight, fraction: float):
    """Cut the last ``fraction`` of the samples off for validation.

    Returns
    -------
    (x, y, sample_weight) to train on, (x, y, sample_weight) to validate on
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_split must lie between 0 and 1, came {fraction}")
    if not _is_arrays(x):
        raise ValueError("validation_split needs arrays; with a generator or data set pass validation_data")
    parts = _standardize_parts(x, y, sample_weight, None, backends.current())
    count = tree.flatten(parts[0])[0].shape[0]
    at = int(count * (1 - fraction))
    if at == 0 or at == count:
        what = "train" if at == 0 else "validate"
        raise ValueError(f"validation_split={fraction} of {count} samples leaves nothing to {what} on")

    def cut(part, a, b):
        return None if part is None else _cut(lambda array: array[a:b], part)

    return tuple(cut(p, 0, at) for p in parts), tuple(cut(p, at, count) for p in parts)


def validation_parts(validation_data) -> tuple:
    """Return ``(x, y, sample_weight)`` of what ``fit`` was given to validate on."""
    if isinstance(validation_data, (tuple, list)) and 2 <= len(validation_data) <= 3:
        return unpack_x_y_sample_weight(tuple(validation_data))
    if isinstance(validation_data, (tuple, list)):
        raise ValueError(
            f"validation_data must be (x, y) or (x, y, sample_weight), came {len(validation_data)} parts"
        )
    return validation_data, None, None


# ---- single batches ---------------------------------------------------------------------------------
def one_batch(x, y=None, sample_weight=None, class_weight=None):
    """Return arrays as the one batch that a step takes."""
    if _is_data_set(x):
        raise TypeError("expected one batch of arrays; use fit, evaluate or predict for data sets")
    first = tree.flatten(x)[0] if tree.is_nested(x) else x
    shape = getattr(first, "shape", None)  # sparse matrices have no length
    many = hasattr(first, "__len__") and not isinstance(first, (str, bytes))
    count = shape[0] if shape else len(first if many else x)
    source = make_source(x, y, sample_weight, max(1, count), class_weight=class_weight, what="one batch")
    return pack_x_y_sample_weight(*next(iter(source)))


def _is_data_set(x) -> bool:
    """Tell whether ``x`` yields batches one after the other."""
    return hasattr(x, "__next__") or (hasattr(x, "__getitem__") and hasattr(x, "on_epoch_end"))
