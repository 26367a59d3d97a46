"""Embedding: rows of a table by number."""

from __future__ import annotations

from gpukeras import autograd
from gpukeras.backends.embedding import RowGroups
from gpukeras.op import op
from gpukeras.sparse import DeferredVariable, RowTensor
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def _embedding_shape(ids, table):
    if len(table) != 2:
        raise ValueError(f"embedding expects a table of shape (rows, width), came {tuple(table)}")
    return (*ids, table[1])


@op(shape=_embedding_shape, dtype=lambda ids, table: table, tensors=2)
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


def deferred_embedding(ids: Tensor, table: DeferredVariable) -> Tensor:
    """Return ``embedding(ids, table)`` in training, without bringing all of the table up to date."""
    backend, count = table.backend, table.shape[0]
    numbers = ids.array if ids.array.dtype.kind in "iu" else ids.array.astype("int32")
    backend.check_labels(numbers, count, "index")
    groups = RowGroups(numbers, count)
    groups.put_first(table.behind.waiting(groups.rows))
    y = Tensor(backend.gather_rows(table.behind.current(groups.rows), groups.places()))

    def vjp(dy):
        return None, embedding_gradient(dy, ids, count) if _STATE.tapes else RowTensor(groups.sums(dy.array))

    autograd.record("embedding", (ids, table), (y,), vjp)
    return y


@op(shape=lambda dy, ids, rows: (rows, dy[-1]), dtype=lambda dy, ids, rows: dy, tensors=2)
def embedding_gradient(dy, ids, rows):
    """Return the gradient (rows, E) of an embedding table from that of the rows taken."""
    backend = dy.backend
    numbers = ids.array if ids.array.dtype.kind in "iu" else ids.array.astype("int32")
    total = backend.embedding_backward(dy.array, numbers, rows)
    return total, lambda dtotal: (embedding(ids, dtotal), None)
