"""A dense layer that an einsum describes: one matrix product, with bias and activation, where it is one."""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

from gpukeras import autograd, dtypes
from gpukeras.op import op

from .dense import FUSED, _like
from .normalization import _differentiate
from .products import einsum, parse_subscripts

_STATE = autograd.STATE


class Plan(NamedTuple):
    """How ``x`` and a kernel become matrices, and their product the result.

    Attributes
    ----------
    x_order, kernel_order, y_order : tuple of int or None
        New order of the axes, of ``x`` and the kernel before the product, of the result after it.
    free, summed : int
        How many axes of ``x``, in that order, make the rows, and how many are summed over.
    """

    x_order: tuple | None
    kernel_order: tuple | None
    y_order: tuple | None
    free: int
    summed: int


@functools.lru_cache(maxsize=1024)
def plan(equation: str, rank: int, kernel_rank: int) -> Plan | None:
    """Return how an einsum of ``x`` and a kernel is one product of matrices, or ``None`` where it is not.

    Examples
    --------
    >>> plan("abc,cde->abde", 3, 3)
    Plan(x_order=None, kernel_order=None, y_order=None, free=2, summed=1)
    >>> plan("abc,bcd->abd", 3, 3) is None
    True
    """
    (x, kernel), y = parse_subscripts(equation, (rank, kernel_rank))
    if any(len(set(part)) != len(part) for part in (x, kernel, y)):
        return None
    free = [c for c in x if c in y]
    summed = [c for c in x if c in kernel]
    new = [c for c in kernel if c not in x]
    if set(free) & set(summed) or set(free + new) != set(y) or len(free) + len(summed) != len(x):
        return None
    found = [
        [x.index(c) for c in free + summed], [kernel.index(c) for c in summed + new],
        [(free + new).index(c) for c in y],
    ]
    of_x, of_kernel, of_y = (None if order == sorted(order) else tuple(order) for order in found)
    return Plan(of_x, of_kernel, of_y, len(free), len(summed))


def einsum_dense(x, kernel, bias=None, equation="", activation=None):
    """Return ``activation(einsum(equation, x, kernel) + bias)``.

    Parameters
    ----------
    x, kernel : tensor
    bias : tensor, optional
        It broadcasts to the result.
    equation : str
        Such as ``"abc,cde->abde"``.
    activation : {None, "relu", "tanh"}
    """
    found = plan(equation, len(x.shape), len(kernel.shape))
    if found is not None and found.y_order is None:
        new = tuple(kernel.shape[i] for i in found.kernel_order or range(len(kernel.shape)))[found.summed:]
        if bias is None or tuple(bias.shape) == new:
            return product_dense(x, kernel, bias, equation, activation)
    y = product_dense(x, kernel, None, equation) if found is not None else einsum(equation, x, kernel)
    y = y if bias is None else y + bias
    if activation is None:
        return y
    from gpukeras import ops

    return getattr(ops, activation)(y)


def _shape(x, kernel, bias=None, equation="", activation=None):
    (of_x, of_kernel), of_y = parse_subscripts(equation, (len(x), len(kernel)))
    sizes = dict(zip(of_kernel, kernel))
    for c, n in zip(of_x, x):
        if c in sizes and None not in (n, sizes[c]) and n != sizes[c]:
            raise ValueError(
                f"einsum_dense '{equation}': axis '{c}' has {n} elements in x (shape {tuple(x)}) and "
                f"{sizes[c]} in the kernel (shape {tuple(kernel)})"
            )
        sizes[c] = n
    return tuple(sizes[c] for c in of_y)


@op(shape=_shape, tensors=3)
def product_dense(x, kernel, bias=None, equation="", activation=None):
    """Do ``einsum_dense`` as one product; the bias has the axes that the kernel brings."""
    found = plan(equation, x.ndim, kernel.ndim)
    assert found is not None and activation in FUSED
    _shape(x.shape, kernel.shape, None, equation)  # for its errors
    kind = dtypes.result_type(*(v.dtype for v in (x, kernel, bias) if v is not None))
    a, w = (_ordered(v.array, order).astype(kind, copy=False)
            for v, order in ((x, found.x_order), (kernel, found.kernel_order)))
    sizes = a.shape[:found.free], a.shape[found.free:], w.shape[found.summed:]
    rows, inner, units = map(math.prod, sizes)
    a, turned = a.reshape(rows, inner), w.shape
    w = w.reshape(inner, units)
    b = None if bias is None else bias.array.reshape(-1).astype(kind, copy=False)
    backend = x.backend
    y = backend.dense_forward(a, w, b, activation)
    needs = (False, False, False)
    if _STATE.tapes:
        needs = autograd.is_tracked(x), autograd.is_tracked(kernel), autograd.is_tracked(bias)

    def vjp(dy):
        if _STATE.tapes:
            return _composed(dy, x, kernel, bias, equation, activation)
        d = _ordered(dy.array, _inverse(found.y_order)).astype(kind, copy=False).reshape(rows, units)
        place = None
        if needs[1] and found.kernel_order is None and kernel.array.dtype == kind:
            place = autograd.take_place(kernel)
        out = None if place is None or not place.flags.c_contiguous else place.reshape(inner, units)
        dx, dw, db = backend.dense_backward(d, a, w, y, activation, *needs, out)
        if dx is not None:
            dx = _ordered(dx.reshape(*sizes[0], *sizes[1]), _inverse(found.x_order))
        if dw is not None:
            dw = place if out is not None and dw is out else _ordered(
                dw.reshape(turned), _inverse(found.kernel_order))
        return _like(dx, x), _like(dw, kernel), _like(None if db is None else db.reshape(bias.shape), bias)

    return _ordered(y.reshape(*sizes[0], *sizes[2]), found.y_order), vjp


def _ordered(a, order):
    return a if order is None else a.transpose(order)


def _inverse(order):
    return None if order is None else tuple(order.index(i) for i in range(len(order)))


def _composed(dy, x, kernel, bias, equation, activation):
    """Return the gradients by differentiable ops, for second order."""
    from gpukeras import ops

    def formula(x, kernel, bias):
        y = einsum(equation, x, kernel)
        y = y if bias is None else y + bias
        return y if activation is None else getattr(ops, activation)(y)

    return _differentiate(formula, (x, kernel, bias), (dy,))
