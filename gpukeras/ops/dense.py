"""The dense layer's op: product, bias and activation as one node of the tape."""

from __future__ import annotations

from gpukeras import autograd, backends, dtypes
from gpukeras.backends import shapes
from gpukeras.op import REGISTRY, op
from gpukeras.sparse import SparseTensor

from .activation import relu, sigmoid, softmax

_STATE = autograd.STATE
FUSED = {"relu": "relu", "tanh": "tanh", None: None, "linear": None}  # activations computed in place


def dense(x, kernel, bias=None, activation=None):
    """Return ``activation(x @ kernel + bias)``.

    Parameters
    ----------
    x : tensor, shape (..., I)
        May be sparse (``gpukeras.sparse``).
    kernel : tensor, shape (I, U)
    bias : tensor, shape (U,), optional
    activation : str or callable, optional
        ``relu`` and ``tanh`` (by name or as the function) run in place, within the same node of the tape.
        ``softmax`` and ``sigmoid`` are a node of their own: a cross-entropy that follows works on their
        input (``_keras_logits``).

    Returns
    -------
    tensor, shape (..., U)

    Raises
    ------
    ValueError
        Where the last axis of ``x`` is not the first of ``kernel``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.convert_to_tensor([[1.0, 2.0]])
    >>> kernel = keras.ops.convert_to_tensor([[1.0, -1.0], [1.0, 0.0]])
    >>> keras.ops.dense(x, kernel, activation="relu").numpy()
    array([[3., 0.]], dtype=float32)
    """
    inside, after = split_activation(activation)
    if type(x) is SparseTensor and stays_sparse(x, kernel):
        y = sparse_dense(kernel, bias, x, inside)
    else:
        y = fused_dense(x, kernel, bias, inside)
    return y if after is None else after(y)


def split_activation(activation):
    """Return the name of the activation that ``fused_dense`` is to compute, and the function that follows."""
    name = activation if type(activation) is str else getattr(activation, "fused_name", activation)
    if name in FUSED:
        return FUSED[name], None
    if callable(activation):
        return None, activation
    if name not in REGISTRY:
        raise ValueError(
            f"dense: unknown activation {activation!r}; expected a function or the name of an op, such as "
            f"{', '.join(map(repr, ('relu', 'tanh', 'sigmoid', 'softmax', 'gelu')))}"
        )
    return None, REGISTRY[name]


def name_activation(function, name: str) -> None:
    """Let ``dense`` take ``function`` for the activation of that name, which it may compute in place."""
    function.fused_name = name


name_activation(relu, "relu")
name_activation(sigmoid, "sigmoid")
name_activation(softmax, "softmax")


def _dense_shape(x, kernel, bias=None, activation=None):
    if len(kernel) != 2 or not x:
        raise ValueError(
            f"dense expects x of shape (..., inputs) and kernel of shape (inputs, units), came "
            f"{tuple(x)} and {tuple(kernel)}"
        )
    if x[-1] is not None and x[-1] != kernel[0]:
        raise ValueError(
            f"dense: the last axis of x (shape {tuple(x)}) must have the size of the kernel's first (shape "
            f"{tuple(kernel)}): {kernel[0]} expected, {x[-1]} came"
        )
    if bias is not None and tuple(bias) != (kernel[1],):
        raise ValueError(f"dense: bias must have shape ({kernel[1]},), came {tuple(bias)}")
    return shapes.dense(x, kernel)


@op(shape=_dense_shape, tensors=3, bfloat16="kernels")
def fused_dense(x, kernel, bias=None, activation=None):
    """Return ``activation(x @ kernel + bias)`` for an activation of ``None``, ``"relu"`` or ``"tanh"``."""
    a, w = x.array, kernel.array
    b = None if bias is None else bias.array
    lead = a.shape[:-1]
    if w.ndim != 2 or not a.ndim or a.shape[-1] != w.shape[0] or (b is not None and b.shape != w.shape[1:]):
        _dense_shape(a.shape, w.shape, None if b is None else b.shape)
    if a.dtype is not w.dtype or (b is not None and b.dtype is not w.dtype):
        kind = dtypes.result_type(*(v.dtype for v in (a, w, b) if v is not None))
        a, w = a.astype(kind, copy=False), w.astype(kind, copy=False)
        b = b if b is None else b.astype(kind, copy=False)
    backend = x.backend
    if a.ndim != 2:
        a = a.reshape(-1, w.shape[0]) if a.size else a.reshape(_rows(lead), w.shape[0])
    y = backend.dense_forward(a, w, b, activation)
    needs = (False, False, False)
    if _STATE.tapes:
        needs = autograd.is_tracked(x), autograd.is_tracked(kernel), autograd.is_tracked(bias)

    def vjp(dy):
        if _STATE.tapes:
            return _composed(dy, x, kernel, bias, activation)
        d = dy.array
        dx, dkernel, dbias = backend.dense_backward(
            d if d.ndim == 2 else d.reshape(y.shape), a, w, y, activation, *needs,
            autograd.take_place(kernel) if needs[1] and w is kernel.array else None,
        )
        if dx is not None and len(lead) != 1:
            dx = dx.reshape(x.shape)
        return _like(dx, x), _like(dkernel, kernel), _like(dbias, bias)

    return (y if len(lead) == 1 else y.reshape(*lead, w.shape[1])), vjp


def stays_sparse(x: SparseTensor, kernel) -> bool:
    """Tell whether ``sparse_dense`` may take ``x``: nobody wants its gradient, and nothing needs a cast."""
    return x.dtype == kernel.dtype and not autograd.is_tracked(x)


@op(shape=lambda kernel, bias, x, activation=None: _dense_shape(x.shape, kernel, bias), tensors=2)
def sparse_dense(kernel, bias, x, activation=None):
    """Return what ``fused_dense`` does for a sparse batch, in time that its zeros do not count in.

    ``x`` is data: it has no gradient.
    """
    w = kernel.array
    b = None if bias is None else bias.array
    _dense_shape(x.shape, w.shape, None if b is None else b.shape)
    backend = kernel.backend
    if backend is not x.backend:
        raise backends.mixed("sparse_dense", backend.name, x.backend.name)
    y = backend.sparse_dense_forward(x.rows, w, b, activation)
    needs_kernel, needs_bias = autograd.is_tracked(kernel), autograd.is_tracked(bias)

    def vjp(dy):
        if _STATE.tapes:
            return _composed(dy, x, kernel, bias, activation)[1:]
        return backend.sparse_dense_backward(
            dy.array, x.rows, y, activation, needs_kernel, needs_bias,
            autograd.take_place(kernel) if needs_kernel else None,
        )

    return y, vjp


def _rows(lead) -> int:
    """Return the product of the leading sizes, some of which are 0."""
    n = 1
    for size in lead:
        n *= size
    return n


def _like(gradient, source):
    """Give a gradient the dtype of what it belongs to."""
    if gradient is None or gradient.dtype is source.array.dtype:
        return gradient
    return gradient.astype(source.array.dtype)


def _composed(dy, x, kernel, bias, activation):
    """Return the gradients by differentiable ops, for second order."""
    from gpukeras import ops

    if activation == "relu":
        dy = dy * (fused_dense(x, kernel, bias) > 0)
    elif activation == "tanh":
        y = fused_dense(x, kernel, bias, "tanh")
        dy = dy * (1 - y * y)
    units, inputs = kernel.shape[1], kernel.shape[0]
    dz = ops.reshape(dy, (-1, units)) if dy.ndim != 2 else dy
    rows = ops.reshape(x, (-1, inputs)) if x.ndim != 2 else x
    wanted = dtypes.is_float(x.array.dtype)
    grads = [
        ops.reshape(ops.matmul(dz, ops.transpose(kernel)), x.shape) if wanted else None,
        ops.matmul(ops.transpose(rows), dz),
        None if bias is None else ops.sum(dz, axis=0),
    ]
    return tuple(
        g if g is None or g.dtype == s.dtype else ops.cast(g, s.dtype)
        for g, s in zip(grads, (x, kernel, bias))
    )


