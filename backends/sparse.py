"""Matrices that are mostly zeros: rows in compressed form on the host, sums over them, products with them.

A row of a batch of texts has some hundred words of ten thousand. Its product with a matrix is the sum of some
hundred rows of that matrix, and the gradient of the matrix has the same form with rows and columns exchanged.
Both are ``segment_sums``.
"""

from __future__ import annotations

import numpy as np

from .dense import DenseMixin

GATHERED = 1 << 16  # elements gathered at a time: a quarter of a megabyte, which stays in the cache


class CompressedRows:
    """Rows of a matrix without their zeros.

    Selecting rows copies nothing but their places, so that batches are drawn from a large matrix at no cost.

    Parameters
    ----------
    starts, lengths : array of int64, shape (M,)
        Where the elements of each row lie in ``columns`` and ``values``, and how many they are.
    columns : array of uint16 or int32, shape (K,)
        The column of each element; within a row no column comes twice.
    values : array of float, shape (K,), optional
        ``None``: all ones, as in bags of words.
    width : int
        Number of columns.
    dtype : numpy.dtype
    """

    ndim = 2

    def __init__(self, starts, lengths, columns, values, width: int, dtype):
        self.starts = starts
        self.lengths = lengths
        self.columns = columns
        self.values = values
        self.shape = (starts.shape[0], width)
        self.dtype = np.dtype(dtype)

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        """Return the rows of a slice or of an array of row numbers."""
        return CompressedRows(self.starts[key], self.lengths[key], self.columns, self.values, self.shape[1],
                              self.dtype)

    def elements(self) -> tuple:
        """Return the row, the column and the value (``None``: one) of every element, row by row."""
        ends = np.cumsum(self.lengths)
        count = int(ends[-1]) if ends.size else 0
        places = np.arange(count) + np.repeat(self.starts - (ends - self.lengths), self.lengths)
        rows = np.repeat(np.arange(self.shape[0]), self.lengths)
        return rows, self.columns.take(places), None if self.values is None else self.values.take(places)

    def toarray(self) -> np.ndarray:
        """Return the matrix with its zeros."""
        dense = np.zeros(self.shape, self.dtype)
        rows, columns, values = self.elements()
        dense.reshape(-1)[rows * self.shape[1] + columns] = 1 if values is None else values
        return dense

    def dot(self, matrix, out=None):
        """Return the product with ``matrix`` (width, U), in ``out`` where that is given."""
        return segment_sums(matrix, self.columns, self.starts, self.lengths, self.values, out)

    @property
    def T(self) -> CompressedRows:
        """The transposed matrix; its elements are copied."""
        rows, columns, values = self.elements()
        order = stable_order(columns, self.shape[1])
        lengths = np.bincount(columns, minlength=self.shape[1])
        kind = _number_type(self.shape[0])
        return CompressedRows(
            np.cumsum(lengths) - lengths, lengths, rows.astype(kind).take(order),
            None if values is None else values.take(order), self.shape[0], self.dtype,
        )


class RowGradient:
    """The gradient of a table that is zero but for some rows.

    Parameters
    ----------
    rows : array of int, shape (K,)
        All different.
    values : array, shape (K, E)
    count : int
        Rows of the table.
    """

    def __init__(self, rows, values, count: int):
        self.rows = rows
        self.values = values
        self.shape = (count, values.shape[1])
        self.dtype = values.dtype

    def toarray(self) -> np.ndarray:
        """Return the gradient with its zeros."""
        dense = np.zeros(self.shape, self.dtype)
        put_rows(dense, self.rows, self.values)
        return dense


def compress_matrix(matrix, dtype) -> CompressedRows:
    """Return a sparse matrix of scipy's kind, in any of its formats, as ``CompressedRows``.

    Raises
    ------
    ValueError
        Where it has not two axes.
    """
    if len(matrix.shape) != 2:
        raise ValueError(f"a sparse matrix must have two axes, came shape {tuple(matrix.shape)}")
    rows = matrix.tocsr()
    if not getattr(rows, "has_canonical_format", True):
        rows = rows.copy()  # the caller's matrix stays as it is
        rows.sum_duplicates()
    starts = np.asarray(rows.indptr, np.int64)
    values = np.asarray(rows.data).astype(dtype, copy=False)
    columns: np.ndarray = np.asarray(rows.indices).astype(_number_type(rows.shape[1]))
    return CompressedRows(
        starts[:-1], starts[1:] - starts[:-1], columns, None if _all_ones(values) else values, rows.shape[1],
        dtype,
    )


def compress_array(array, limit: float) -> CompressedRows | None:
    """Return a dense matrix as ``CompressedRows``; ``None`` where more than ``limit`` of it is not zero."""
    count, width = array.shape
    allowed, kind = limit * array.size, _number_type(width)
    columns: list
    columns, values, lengths = [np.zeros(0, kind)], [None], np.empty(count, np.int64)
    step, found = max(1, (1 << 20) // max(1, width)), 0
    for start in range(0, count, step):
        rows = slice(start, start + step)
        some, kept = _compress_part(array[rows], lengths[rows], kind)
        found += some.size
        if found > allowed:
            return None
        columns.append(some)
        values.append(kept)
    if all(v is None for v in values):
        joined = None
    else:
        joined = np.concatenate([np.ones(c.size, array.dtype) if v is None else v
                                 for c, v in zip(columns, values)])
    starts = np.cumsum(lengths) - lengths
    return CompressedRows(starts, lengths, np.concatenate(columns), joined, width, array.dtype)


def _compress_part(rows, lengths, kind) -> tuple:
    """Return the columns and values (``None``: ones) of some rows; fill in how many each row has."""
    rows = np.ascontiguousarray(rows)
    count, width = rows.shape
    places = _places_of_nonzeros(rows.reshape(-1))
    bounds = np.arange(count) * width
    lengths[...] = np.diff(np.searchsorted(places, bounds + width), prepend=0)
    values = rows.reshape(-1).take(places)
    return (places - np.repeat(bounds, lengths)).astype(kind), None if _all_ones(values) else values


def _places_of_nonzeros(vector):
    """Return the positions of what is not zero, eight elements at a glance."""
    filled = vector != 0
    if filled.size % 8:
        return np.flatnonzero(filled)
    eights = np.flatnonzero(filled.view(np.uint64) != 0)
    inside = np.flatnonzero(filled.reshape(-1, 8).take(eights, 0))
    return eights[inside >> 3] * 8 + (inside & 7)


def density(array, rows: int = 64) -> float:
    """Return about what part of a matrix is not zero, from some of its rows."""
    step = max(1, array.shape[0] // rows)
    some = array[::step]
    return np.count_nonzero(some != 0) / max(1, some.size)


def segment_sums(table, indices, starts, lengths, weights=None, out=None):
    """Return, for every segment of ``indices``, the sum of those rows of ``table``.

    Parameters
    ----------
    table : array, shape (R, U)
    indices : array of int, shape (K,)
        Row numbers below R; not checked.
    starts, lengths : array of int, shape (S,)
        The segments.
    weights : array, shape (K,), optional
        Factors of the rows.
    out : array, shape (S, U), optional

    Returns
    -------
    array, shape (S, U)

    Notes
    -----
    ``np.add.reduceat`` takes ten times as long for short segments. Here segments go from the longest to the
    shortest, so that those which have a k-th element are a prefix; all k-th elements are gathered at once,
    and for few long segments several k.
    """
    width = table.shape[1]
    if out is None:
        out = np.empty((starts.shape[0], width), table.dtype)
    longest = int(lengths.max()) if lengths.size else 0
    order = stable_order(longest - lengths, longest + 1)
    lengths, starts = lengths[order], starts[order]
    ranks = -lengths  # ascending
    having = int(np.searchsorted(ranks, 0))
    sums = np.empty((having, width), table.dtype)
    at, count = 0, having
    while count:
        deep = min(max(1, GATHERED // (count * max(1, width))), longest - at)
        places = starts[:count] + np.arange(at, at + deep)[:, None]
        missing = None
        if deep > 1:
            missing = np.flatnonzero(np.arange(at, at + deep)[:, None] >= lengths[:count])
            places.reshape(-1)[missing] = 0
        places = places.reshape(-1)
        rows = np.take(table, indices.take(places), 0, mode="clip")
        if weights is not None:
            rows *= weights.take(places)[:, None]
        if missing is not None:
            rows[missing] = 0
            rows = np.add.reduce(rows.reshape(deep, count, width), axis=0)
        if at:
            sums[:count] += rows
        else:
            sums[:] = rows
        at += deep
        count = int(np.searchsorted(ranks, -at))
    out[order[:having]] = sums
    out[order[having:]] = 0
    return out


def put_rows(table, rows, values) -> None:
    """Do ``table[rows] = values`` for contiguous matrices: a row as one piece of memory, twice as fast."""
    row = np.dtype((np.void, table.dtype.itemsize * table.shape[1]))
    # Not by assignment to [rows]: ``put`` copies each row at once, in two thirds of the time.
    table.view(row).reshape(-1).put(rows, values.view(row).reshape(-1), "clip")


def stable_order(keys, bound: int):
    """Return the order that sorts ``keys`` (integers from 0 to below ``bound``), equal ones as they came.

    NumPy sorts 16-bit integers by counting, seven times as fast as wider ones.
    """
    low = np.argsort(keys.astype(np.uint16), kind="stable")  # of larger keys, the lower half
    if bound <= 1 << 16:
        return low
    high = (keys >> 16).take(low)
    if bound <= 1 << 32:
        return low.take(np.argsort(high.astype(np.uint16), kind="stable"))
    return low.take(np.argsort(high, kind="stable"))


def _number_type(bound: int) -> type:
    """Return the smallest integer type that ``stable_order`` likes for numbers below ``bound``."""
    return np.uint16 if bound <= 1 << 16 else np.int32 if bound <= 1 << 31 else np.int64


def _all_ones(values) -> bool:
    return bool((values == 1).all())


class SparseMixin(DenseMixin):
    """What a dense layer does with compressed rows, and how they get to a device."""

    def sparse_dense_forward(self, rows: CompressedRows, kernel, bias, activation=None):
        """Return activation(rows @ kernel + bias), as ``dense_forward`` does."""
        y = rows.dot(kernel)
        if bias is not None:
            y += bias
        if activation == "relu":
            self.relu(y, out=y)
        elif activation == "tanh":
            self.xp.tanh(y, out=y)
        return y

    def sparse_dense_backward(self, dy, rows, y, activation, need_dkernel, need_dbias, out=None):
        """Return the gradients of kernel and bias, as ``dense_backward`` does."""
        dz = self.activation_backward(dy, y, activation)
        dkernel = rows.T.dot(dz, out) if need_dkernel else None
        return dkernel, self.column_sum(dz) if need_dbias else None

    def rows_to_dense(self, rows: CompressedRows):
        """Return the matrix with its zeros on this device; only its elements are sent there."""
        xp = self.xp
        numbers, columns, values = rows.elements()
        places = xp.asarray(numbers * rows.shape[1] + columns)
        dense = xp.zeros(rows.size, rows.dtype)
        dense[places] = 1 if values is None else xp.asarray(values)
        return dense.reshape(rows.shape)
