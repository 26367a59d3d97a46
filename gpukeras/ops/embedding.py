"""Embedding: rows of a table by number."""

from __future__ import annotations

import weakref

from gpukeras import autograd, backends
from gpukeras.backends.embedding import RowGroups
from gpukeras.backends.program import noted_whole, plain
from gpukeras.op import op
from gpukeras.ops.reduction import spread
from gpukeras.sparse import DeferredVariable, GatheredTensor, RowTensor
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def _embedding_shape(ids, table):
    if len(table) != 2:
        raise ValueError(f"embedding expects a table of shape (rows, width), came {tuple(table)}")
    return (*ids, table[1])


@op(shape=_embedding_shape, dtype=lambda ids, table: table, tensors=2, bfloat16="kernels")
def embedding(ids, table):
    """Return ``table[ids]``.

    Parameters
    ----------
    ids : integer tensor, any shape
        Row numbers; floats are truncated.
    table : tensor, shape (V, E)

    Returns
    -------
    tensor, shape (\\*ids.shape, E)

    Raises
    ------
    ValueError
        For a number outside 0 .. V - 1. A GPU is not made to wait: there such rows are NaN.

    Notes
    -----
    The gradient of the table sums the output gradients of equal numbers.

    Examples
    --------
    >>> import gpukeras as keras
    >>> table = keras.ops.convert_to_tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> keras.ops.embedding([1, 1, 0], table).numpy()
    array([[3., 4.],
           [3., 4.],
           [1., 2.]], dtype=float32)
    """
    backend = table.backend
    values = table.array
    _embedding_shape(ids.shape, values.shape)
    rows = ids.array
    if rows.dtype.kind not in "iu":
        rows = rows.astype("int32")
    y = backend.embedding_forward(values, rows)

    def vjp(dy):
        if _STATE.tapes:
            return None, embedding_gradient(dy, ids, table.shape[0])
        slices = backend.embedding_row_gradient(dy.array, rows, values.shape[0])
        if slices is None:
            return None, backend.embedding_backward(dy.array, rows, values.shape[0])
        return None, RowTensor(slices)

    return y, vjp


class _LookUp:
    """Rows looked up in a table whose steps wait, in parts that a recorded step repeats.

    Parameters
    ----------
    numbers : array of int
        Read anew by every ``find``.
    table : DeferredVariable, shape (V, E)

    Attributes
    ----------
    groups : RowGroups
        The different ones among the numbers.
    rows : array, shape (K, E)
        Their rows of the table.
    gradient : RowTensor
        Of the table.
    """

    def __init__(self, numbers, table: DeferredVariable):
        self.numbers = numbers
        self.table = table
        self.shape = (*numbers.shape, table.shape[1])
        self.dtype = table.dtype
        self.gradient: RowTensor | None = None

    def find(self) -> None:
        self.rows = None  # so that their memory serves again at once, while it is in the cache
        behind, count = self.table.behind, self.table.shape[0]
        backends.CPU.check_labels(self.numbers, count, "index")
        self.groups = RowGroups(self.numbers, count)
        self.groups.arrange(behind.waiting(self.groups.rows))
        self.rows = behind.current(self.groups.rows)

    def gather(self, out) -> None:
        """Write the row of every number."""
        backends.CPU.gather_rows(self.rows, self.groups.places(), out)

    def mean(self, out) -> None:
        """Write the mean (N, E) of every sample's rows."""
        backends.CPU.mean_rows(self.rows, self.groups.places(), out)

    def sum(self, dy) -> None:
        """Make the table's gradient from that of the rows gathered."""
        slices = self.groups.sums(dy)
        if self.gradient is None:
            self.gradient = RowTensor(slices)
        else:
            self.gradient.take(slices)


def deferred_embedding(ids: Tensor, table: DeferredVariable) -> Tensor:
    """Return ``embedding(ids, table)`` in training, without bringing all of the table up to date."""
    numbers = ids.array if ids.array.dtype.kind in "iu" else ids.array.astype("int32")
    found = _LookUp(plain(numbers), table)
    noted_whole(found.find)
    y = GatheredTensor(found)
    table.behind.reader = weakref.ref(y)

    def vjp(dy):
        if _STATE.tapes:
            return None, embedding_gradient(dy, ids, table.shape[0])
        noted_whole(found.sum, plain(dy.array))
        return None, found.gradient

    autograd.record("embedding", (ids, table), (y,), vjp)
    return y


def mean_of_gathered(x: GatheredTensor, keepdims: bool) -> Tensor:
    """Return the mean over time (N, E) of what an embedding looked up (N, T, E), without gathering it all."""
    source, shape = x.source, x.shape
    samples, time, width = shape
    mean = backends.CPU.empty((samples, width), source.dtype)
    noted_whole(source.mean, plain(mean))
    y = Tensor(mean.reshape(samples, 1, width) if keepdims else mean)
    autograd.record("mean", (x,), (y,), lambda dy: spread(dy * (1.0 / time), shape, (1,)))
    return y


@op(shape=lambda dy, ids, rows: (rows, dy[-1]), dtype=lambda dy, ids, rows: dy, tensors=2, bfloat16="kernels")
def embedding_gradient(dy, ids, rows):
    """Return the gradient (rows, E) of an embedding table from that of the rows taken."""
    backend = dy.backend
    numbers = ids.array if ids.array.dtype.kind in "iu" else ids.array.astype("int32")
    total = backend.embedding_backward(dy.array, numbers, rows)
    return total, lambda dtotal: (embedding(ids, dtotal), None)
