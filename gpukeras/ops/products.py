"""Products of matrices and tensors: matmul, dot, tensordot, einsum and their kin.

Factorisations and solvers are in ``linalg.py``.
"""

from __future__ import annotations

import math

from gpukeras import autograd, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.ops.core import as_tensor
from gpukeras.ops.math import pair, unbroadcast
from gpukeras.tensor import Tensor

_STATE = autograd.STATE


def _matmul_dtype(x1, x2):
    """Products of int8 are summed in int32."""
    return "int32" if x1 == x2 == "int8" else dtypes.result_type(x1, x2).name


@op(shape=shapes.matmul, tensors=2, dtype=_matmul_dtype, bfloat16="kernels")
def matmul(x1, x2):
    """Return the matrix product ``x1 @ x2``, with leading batch axes broadcast.

    Parameters
    ----------
    x1 : tensor, shape (..., N, K) or (K,)
    x2 : tensor, shape (..., K, M) or (K,)

    Returns
    -------
    tensor, shape (..., N, M); the axis of a vector is left out.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.matmul([[1.0, 2.0]], [[3.0], [4.0]]).numpy()
    array([[11.]], dtype=float32)
    """
    _, a, b = pair(x1, x2)
    if not a.ndim or not b.ndim or a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        shapes.matmul(a.shape, b.shape)  # raises
    if a.dtype == "int8":
        a, b = a.astype("int32"), b.astype("int32")
    backend = x1.backend

    def vjp(dy):
        if _STATE.tapes or a.ndim == 1 or b.ndim == 1:
            return _matmul_vjp(dy, x1, x2)
        d = dy.array
        if b.ndim == 2:  # (..., N, K) @ (K, M): one product over all rows
            dx1 = backend.matmul(d, b.T) if x1.uid else None
            dx2 = None
            if x2.uid:
                n = math.prod(a.shape[:-1])
                dx2 = backend.matmul(a.reshape(n, a.shape[-1]).T, d.reshape(n, d.shape[-1]))
            if (dx1 is None or dx1.dtype == x1.dtype) and (dx2 is None or dx2.dtype == x2.dtype):
                return dx1, dx2
            return _matmul_vjp(dy, x1, x2)
        return (
            unbroadcast(Tensor(backend.matmul(d, b.swapaxes(-1, -2))), x1) if x1.uid else None,
            unbroadcast(Tensor(backend.matmul(a.swapaxes(-1, -2), d)), x2) if x2.uid else None,
        )

    return backend.matmul(a, b), vjp


def _matmul_vjp(dy, x1, x2):
    """Gradients of ``x1 @ x2`` made of ops: any ranks, differentiable again."""
    from gpukeras import ops

    a = ops.expand_dims(x1, 0) if x1.ndim == 1 else x1
    b = ops.expand_dims(x2, -1) if x2.ndim == 1 else x2
    if x1.ndim == 1:
        dy = ops.expand_dims(dy, -2 if x2.ndim > 1 else 0)
    if x2.ndim == 1:
        dy = ops.expand_dims(dy, -1)
    dx1 = dx2 = None
    if x1.uid:
        dx1 = matmul(dy, ops.swapaxes(b, -1, -2))
        dx1 = ops.reshape(unbroadcast(dx1, a), x1.shape)
    if x2.uid:
        dx2 = matmul(ops.swapaxes(a, -1, -2), dy)
        dx2 = ops.reshape(unbroadcast(dx2, b), x2.shape)
    return dx1, dx2


# ---- contractions ---------------------------------------------------------------------------------
def _tensordot_axes(rank1, rank2, axes):
    """Return the two equally long tuples of axes that ``tensordot`` contracts."""
    if hasattr(axes, "__index__"):
        count = int(axes)
        if not 0 <= count <= min(rank1, rank2):
            raise ValueError(f"tensordot: axes={count} with tensors of rank {rank1} and {rank2}")
        return tuple(range(rank1 - count, rank1)), tuple(range(count))
    first, second = axes
    first = (first,) if hasattr(first, "__index__") else tuple(first)
    second = (second,) if hasattr(second, "__index__") else tuple(second)
    if len(first) != len(second):
        raise ValueError(f"tensordot: axes must name as many axes of each tensor, came {axes}")
    return (
        tuple(shapes.normalize_axis(a, rank1) for a in first),
        tuple(shapes.normalize_axis(a, rank2) for a in second),
    )


def _tensordot_shape(x1, x2, axes=2):
    first, second = _tensordot_axes(len(x1), len(x2), axes)
    for i, j in zip(first, second):
        if None not in (x1[i], x2[j]) and x1[i] != x2[j]:
            raise ValueError(
                f"tensordot over axes {axes}: sizes differ in shapes {tuple(x1)} and {tuple(x2)}"
            )
    return tuple(n for i, n in enumerate(x1) if i not in first) + tuple(
        n for i, n in enumerate(x2) if i not in second
    )


@op(shape=_tensordot_shape, tensors=2)
def tensordot(x1, x2, axes=2):
    """Return the sum of products over pairs of axes.

    Parameters
    ----------
    x1, x2 : tensor
    axes : int or pair of (int or sequence of int)
        An int N: the last N axes of ``x1`` with the first N of ``x2``. A pair: those of ``x1``, those of
        ``x2``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.tensordot(ops.ones((2, 3, 4)), ops.ones((4, 3)), axes=[[1, 2], [1, 0]]).numpy()
    array([12., 12.], dtype=float32)
    """
    _, a, b = pair(x1, x2)
    shape = _tensordot_shape(a.shape, b.shape, axes)
    first, second = _tensordot_axes(a.ndim, b.ndim, axes)
    order1 = tuple(i for i in range(a.ndim) if i not in first) + first
    order2 = second + tuple(i for i in range(b.ndim) if i not in second)
    inner = math.prod(a.shape[i] for i in first)
    outer1 = math.prod(n for i, n in enumerate(a.shape) if i not in first)
    outer2 = math.prod(n for i, n in enumerate(b.shape) if i not in second)
    flat1 = a.transpose(order1).reshape(outer1, inner)
    flat2 = b.transpose(order2).reshape(inner, outer2)

    def vjp(dy):
        from gpukeras import ops

        d = ops.reshape(dy, (outer1, outer2))
        dx1 = dx2 = None
        if x1.uid:
            left = ops.reshape(ops.transpose(x2, order2), (inner, outer2))
            left = ops.reshape(matmul(d, ops.transpose(left)), tuple(a.shape[i] for i in order1))
            dx1 = ops.cast(ops.transpose(left, tuple(order1.index(i) for i in range(a.ndim))), x1.dtype)
        if x2.uid:
            right = ops.reshape(ops.transpose(x1, order1), (outer1, inner))
            right = ops.reshape(matmul(ops.transpose(right), d), tuple(b.shape[i] for i in order2))
            dx2 = ops.cast(ops.transpose(right, tuple(order2.index(i) for i in range(b.ndim))), x2.dtype)
        return dx1, dx2

    return x1.backend.matmul(flat1, flat2).reshape(shape), vjp


def dot(x1, x2):
    """Return the dot product as NumPy defines it.

    Vectors: inner product. Matrices: ``matmul``. A scalar: ``multiply``. Else: the sum over the last axis of
    ``x1`` and the second-to-last of ``x2`` (the only one of a vector), for all pairs of other indices.
    """
    from gpukeras import ops

    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not len(x1.shape) or not len(x2.shape):
        return ops.multiply(x1, x2)
    if len(x2.shape) == 1 or len(x1.shape) == len(x2.shape) == 2:
        return matmul(x1, x2)
    return tensordot(x1, x2, [[-1], [-2]])


def inner(x1, x2):
    """Return the sums of products over the last axes of ``x1`` and ``x2``."""
    from gpukeras import ops

    x1, x2 = as_tensor(x1), as_tensor(x2)
    if not len(x1.shape) or not len(x2.shape):
        return ops.multiply(x1, x2)
    return tensordot(x1, x2, [[-1], [-1]])


def outer(x1, x2):
    """Return the matrix of products of all elements of ``x1`` with all of ``x2`` (both flattened)."""
    from gpukeras import ops

    return ops.reshape(as_tensor(x1), (-1, 1)) * ops.reshape(as_tensor(x2), (1, -1))


def vdot(x1, x2):
    """Return the dot product of ``x1`` and ``x2``, both flattened."""
    from gpukeras import ops

    return matmul(ops.reshape(as_tensor(x1), (-1,)), ops.reshape(as_tensor(x2), (-1,)))


def kron(x1, x2):
    """Return the Kronecker product: every element of ``x1`` times all of ``x2``, in blocks."""
    from gpukeras import ops

    x1, x2 = as_tensor(x1), as_tensor(x2)
    rank = max(len(x1.shape), len(x2.shape))
    one = (1,) * rank
    left = (one + tuple(x1.shape))[-rank:] if rank else ()
    right = (one + tuple(x2.shape))[-rank:] if rank else ()
    if None in left or None in right:
        raise ValueError(f"kron needs known shapes, came {tuple(x1.shape)} and {tuple(x2.shape)}")
    wide = ops.reshape(x1, tuple(n for m in left for n in (m, 1)))
    fine = ops.reshape(x2, tuple(n for m in right for n in (1, m)))
    return ops.reshape(wide * fine, tuple(m * n for m, n in zip(left, right)))


def cross(x1, x2, axisa=-1, axisb=-1, axisc=-1, axis=None):
    """Return the cross product of vectors of 3 (or 2) components.

    Parameters
    ----------
    x1, x2 : tensor
    axisa, axisb, axisc : int
        Where the components are in ``x1``, in ``x2`` and in the result.
    axis : int, optional
        All three at once.

    Returns
    -------
    tensor; of two vectors with 2 components only the third component, without an axis for it.
    """
    from gpukeras import ops

    if axis is not None:
        axisa = axisb = axisc = axis
    a, b = ops.moveaxis(as_tensor(x1), axisa, -1), ops.moveaxis(as_tensor(x2), axisb, -1)
    sizes = (a.shape[-1], b.shape[-1])
    if not {*sizes} <= {2, 3}:
        raise ValueError(f"cross: vectors need 2 or 3 components, came {sizes[0]} and {sizes[1]}")
    a1, a2, b1, b2 = a[..., 0], a[..., 1], b[..., 0], b[..., 1]
    third = a1 * b2 - a2 * b1
    if sizes == (2, 2):
        return third
    if sizes == (3, 3):
        first, second = a2 * b[..., 2] - a[..., 2] * b2, a[..., 2] * b1 - a1 * b[..., 2]
    elif sizes == (3, 2):
        first, second = -(a[..., 2] * b2), a[..., 2] * b1
    else:
        first, second = a2 * b[..., 2], -(a1 * b[..., 2])
    return ops.moveaxis(ops.stack([first, second, third], axis=-1), -1, axisc)


def trace(x, offset=0, axis1=0, axis2=1):
    """Return the sum along a diagonal of ``x`` (see ``ops.diagonal``)."""
    from gpukeras import ops

    return ops.sum(ops.diagonal(x, offset, axis1, axis2), axis=-1)


# ---- einsum ---------------------------------------------------------------------------------------
def einsum(subscripts, *operands, **kwargs):
    """Return the sum of products that ``subscripts`` describes (Einstein's convention).

    Parameters
    ----------
    subscripts : str
        One letter per axis, operands separated by commas, the result after ``->``; ``...`` stands for any
        leading axes. Without ``->`` the result has the letters that occur once, in alphabetical order.
    *operands : tensor

    Examples
    --------
    >>> from gpukeras import ops
    >>> ops.einsum("bij,bjk->bik", ops.ones((2, 3, 4)), ops.ones((2, 4, 5))).shape
    (2, 3, 5)
    """
    unknown = set(kwargs) - {"optimize"}
    if unknown:
        raise TypeError(f"einsum: unknown arguments {sorted(unknown)}")
    if not isinstance(subscripts, str):
        raise TypeError(f"einsum: the subscripts must be a string such as 'ij,jk->ik', came {subscripts!r}")
    return contract(list(operands), subscripts)


def parse_subscripts(subscripts, ranks):
    """Return one string of letters per operand and one for the result, with ``...`` written out.

    Examples
    --------
    >>> parse_subscripts("...i,ij->...j", (3, 2))
    (['ABi', 'ij'], 'ABj')
    """
    text = subscripts.replace(" ", "")
    given, arrow, result = text.partition("->")
    parts = given.split(",")
    if len(parts) != len(ranks):
        raise ValueError(f"einsum '{subscripts}' describes {len(parts)} operands, came {len(ranks)}")
    used = {c for c in text if c.isalpha()}
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in used]
    counts = [rank - len(part.replace("...", "")) for part, rank in zip(parts, ranks)]
    for part, rank, count in zip(parts, ranks, counts):
        if count < 0 or (count and "..." not in part):
            raise ValueError(f"einsum '{subscripts}': '{part}' does not describe a tensor of rank {rank}")
    width = max((c for part, c in zip(parts, counts) if "..." in part), default=0)
    lead = "".join(spare[:width])
    labels = [part.replace("...", lead[width - count:]) for part, count in zip(parts, counts)]
    if arrow:
        return labels, result.replace("...", lead)
    every = "".join(labels)
    return labels, lead + "".join(sorted(c for c in set(every) - set(lead) if every.count(c) == 1))


def _einsum_sizes(labels, sizes):
    known: dict[str, int | None] = {}
    for part, shape in zip(labels, sizes):
        for c, n in zip(part, shape):
            before = known.get(c, 1)
            if before == 1 or before is None:
                known[c] = n if n != 1 or c not in known else before
            elif n not in (1, None, before):
                raise ValueError(f"einsum: index '{c}' has sizes {before} and {n}")
    return known


def _einsum_shape(*sizes, subscripts):
    labels, result = parse_subscripts(subscripts, [len(s) for s in sizes])
    known = _einsum_sizes(labels, sizes)
    if not set(result) <= set(known):
        raise ValueError(f"einsum '{subscripts}': the result names an index that no operand has")
    return tuple(known[c] for c in result)


def _einsum_dtype(*kinds, subscripts=None):
    """Products of int8 are summed in int32."""
    return "int32" if {*kinds} == {"int8"} else dtypes.result_type(*kinds).name


@op(shape=_einsum_shape, tensors="list", dtype=_einsum_dtype)
def contract(operands, subscripts):
    """Return ``einsum(subscripts, *operands)``."""
    xp = operands[0].backend.xp
    kind = _einsum_dtype(*(x.dtype.name for x in operands))
    arrays = [x.array.astype(kind, copy=False) for x in operands]
    labels, result = parse_subscripts(subscripts, [a.ndim for a in arrays])
    known = _einsum_sizes(labels, [a.shape for a in arrays])
    y = _by_matmul(operands[0].backend, arrays, labels, result)
    if y is None:
        y = xp.einsum(",".join(labels) + "->" + result, *arrays, optimize=len(arrays) > 2)

    def vjp(dy):
        return tuple(
            _einsum_vjp(dy, operands, labels, result, known, i) if x.uid else None
            for i, x in enumerate(operands)
        )

    return y, vjp


def _by_matmul(backend, arrays, labels, result):
    """Return the product of two operands as one batched matrix product, or ``None`` where it is none."""
    if len(arrays) != 2 or any(len(set(part)) != len(part) for part in (*labels, result)):
        return None
    if not dtypes.is_float(arrays[0].dtype):
        return None
    (a, b), (la, lb) = arrays, labels
    sizes = {c: a.shape[i] for i, c in enumerate(la)}
    if any(sizes.get(c, b.shape[i]) != b.shape[i] for i, c in enumerate(lb)):
        return None  # sizes of 1 that broadcast
    sizes.update({c: b.shape[i] for i, c in enumerate(lb)})
    alone_a = tuple(i for i, c in enumerate(la) if c not in lb and c not in result)
    alone_b = tuple(i for i, c in enumerate(lb) if c not in la and c not in result)
    if alone_a:
        a, la = a.sum(axis=alone_a), "".join(c for i, c in enumerate(la) if i not in alone_a)
    if alone_b:
        b, lb = b.sum(axis=alone_b), "".join(c for i, c in enumerate(lb) if i not in alone_b)
    batch = [c for c in la if c in lb and c in result]
    summed = [c for c in la if c in lb and c not in result]
    free_a = [c for c in la if c not in lb]
    free_b = [c for c in lb if c not in la]

    def flat(x, names, groups):
        shape = tuple(math.prod(sizes[c] for c in group) for group in groups[1:])
        lead = tuple(sizes[c] for c in groups[0])
        return x.transpose([names.index(c) for group in groups for c in group]).reshape(lead + shape)

    y = backend.matmul(flat(a, la, (batch, free_a, summed)), flat(b, lb, (batch, summed, free_b)))
    order = batch + free_a + free_b
    y = y.reshape([sizes[c] for c in order])
    return y.transpose([order.index(c) for c in result])


def _einsum_vjp(dy, operands, labels, result, known, place):
    """Return the gradient of one operand: dy contracted with all other operands."""
    from gpukeras import ops

    x, wanted = operands[place], labels[place]
    others = [o for i, o in enumerate(operands) if i != place]
    parts = [p for i, p in enumerate(labels) if i != place]
    have = set(result).union(*parts)
    factors, names = [dy, *others], [result, *parts]
    target, used = "", set()
    spare = [c for c in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in have | set(wanted)]
    for c in wanted:
        if c in used:  # a letter twice (a diagonal): the second axis follows the first through an identity
            new = spare.pop()
            factors.append(ops.eye(known[c], dtype=dy.dtype))
            names.append(c + new)
            target += new
            continue
        used.add(c)
        target += c
        if c not in have:  # summed in this operand alone: every element gets the same
            factors.append(ops.ones((known[c],), dtype=dy.dtype))
            names.append(c)
    dx = contract(factors, ",".join(names) + "->" + target)
    whole = tuple(m if n == 1 else n for n, m in zip(dx.shape, x.shape))
    if dx.shape != whole:  # the other operands had size 1 there
        dx = ops.broadcast_to(dx, whole)
    return unbroadcast(dx, x)
