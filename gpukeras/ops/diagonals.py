"""Diagonals and triangles of matrices."""

from __future__ import annotations

from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.shaping import inverse, transpose


@op(shape=shapes.diagonal)
def diagonal(x, offset=0, axis1=0, axis2=1):
    """Return the diagonals of ``x`` over two axes, as the last axis of the result.

    Parameters
    ----------
    x : tensor, rank 2 or more
    offset : int
        Which diagonal: above the main one where positive.
    axis1, axis2 : int
        Rows and columns.
    """
    shapes.diagonal(x.shape, offset, axis1, axis2)
    shape = x.shape
    a, b = (shapes.normalize_axis(axis, x.ndim) for axis in (axis1, axis2))
    order = [i for i in range(x.ndim) if i not in (a, b)] + [a, b]

    def vjp(dy):

        matrices = put_diagonal(dy, offset, shape[a], shape[b])
        return transpose(matrices, inverse(order))

    return x.backend.xp.diagonal(x.array, offset, a, b).copy(), vjp


@op(shape=lambda x, k, rows, columns: (*x[:-1], rows, columns))
def put_diagonal(x, k, rows, columns):
    """Return matrices of zeros with the last axis of ``x`` on their diagonal ``k``."""
    xp, n = x.backend.xp, x.shape[-1]
    y = xp.zeros((*x.shape[:-1], rows, columns), x.dtype)
    i = xp.arange(n)
    y[..., i + max(0, -k), i + max(0, k)] = x.array
    return y, lambda dy: diagonal(dy, k, -2, -1)


@op(shape=shapes.diag)
def diag(x, k=0):
    """Return the matrix with vector ``x`` on its diagonal ``k``, or diagonal ``k`` of matrix ``x``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.diag(ops.arange(1, 3)).tolist()
    [[1, 0], [0, 2]]
    """
    shape = shapes.diag(x.shape, k)
    if x.ndim == 1:
        return x.backend.xp.diag(x.array, k), lambda dy: diagonal(dy, k)
    rows, columns = x.shape
    y = x.backend.xp.diagonal(x.array, k).copy()
    return y.reshape(shape), lambda dy: put_diagonal(dy, k, rows, columns)


def diagflat(x, k=0):
    """Return the matrix with all elements of ``x`` on its diagonal ``k``."""
    from gpukeras import ops

    return diag(ops.ravel(x), k)


@op(shape=shapes.matrix)
def tril(x, k=0):
    """Return ``x`` with zeros above diagonal ``k`` of its last two axes."""
    shapes.matrix(x.shape)
    return x.backend.xp.tril(x.array, k), lambda dy: tril(dy, k)


@op(shape=shapes.matrix)
def triu(x, k=0):
    """Return ``x`` with zeros below diagonal ``k`` of its last two axes."""
    shapes.matrix(x.shape)
    return x.backend.xp.triu(x.array, k), lambda dy: triu(dy, k)
