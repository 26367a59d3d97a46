"""Cross-entropies and mean errors: per-sample values as one node each, gradients in one pass.

The functions named as in ``keras.ops`` (``categorical_crossentropy`` ...) take ``(target, output)``; the
fused ops beneath take predictions first.
"""

from __future__ import annotations

from gpukeras import autograd, config, dtypes
from gpukeras.backends import shapes
from gpukeras.op import op
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, to_array

from .math import pair, unbroadcast

_STATE = autograd.STATE


def _ops():
    from gpukeras import ops

    return ops


def _like(gradient, source):
    return gradient if gradient.dtype is source.array.dtype else gradient.astype(source.array.dtype)


def _last(backend, array, axis):
    """Return ``array`` as a matrix (M, C) with ``axis`` last, and the shape left without it."""
    axis = shapes.normalize_axis(axis, array.ndim)
    if axis != array.ndim - 1:
        array = backend.xp.moveaxis(array, axis, -1)
    lead = array.shape[:-1]
    return (array if array.ndim == 2 else array.reshape(_count(lead), array.shape[-1])), lead, axis


def _count(sizes) -> int:
    n = 1
    for size in sizes:
        n *= size
    return n


def _back(backend, matrix, shape, axis):
    """Undo ``_last`` for a gradient of the tensor of shape ``shape``."""
    if matrix.shape == shape:
        return matrix
    moved = matrix.reshape(shape[:axis] + shape[axis + 1:] + (shape[axis],))
    return moved if axis == len(shape) - 1 else backend.xp.moveaxis(moved, -1, axis)


def _float_first(x, *args, **kwargs):
    return dtypes.float_type(x).name


def _without_axis(x, *args, axis=-1, **kwargs):
    axis = shapes.normalize_axis(axis, len(x))
    return tuple(n for i, n in enumerate(x) if i != axis)


# ---- fused, from logits ---------------------------------------------------------------------------
@op(shape=lambda x, t, axis=-1: _without_axis(x, axis=axis), dtype=_float_first, tensors=2)
def softmax_cross_entropy(logits, labels, axis=-1):
    """Return ``-sum(labels * log(softmax(logits)))`` along ``axis``.

    Parameters
    ----------
    logits : tensor, float
    labels : tensor of the same shape
        Probabilities or weights of the classes (one-hot for plain classes).
    axis : int
        Axis of the classes.

    Returns
    -------
    tensor, the shape without ``axis``

    Notes
    -----
    The gradient of the logits is ``(softmax(logits) sum(labels) - labels) dy``; nothing is clipped.
    """
    _same_shape("softmax_cross_entropy", labels.shape, logits.shape)
    backend = logits.backend
    x, lead, axis = _last(backend, _floats(logits), axis)
    t, _, _ = _last(backend, labels.array.astype(x.dtype, copy=False), axis)
    loss, parts = backend.softmax_cross_entropy(x, t)
    labels_too = bool(_STATE.tapes) and autograd.is_tracked(labels)

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            dy = ops.expand_dims(dy, axis)
            p = ops.softmax(logits, axis=axis)
            dx = dy * (p * ops.sum(labels, axis=axis, keepdims=True) - labels)
            return dx, (-dy * ops.log_softmax(logits, axis=axis) if labels_too else None)
        d = dy.array.reshape(-1)
        dx = _back(backend, backend.softmax_cross_entropy_backward(d, parts, t), logits.shape, axis)
        dt = None
        if labels_too:
            e, s = parts
            dt = (x - backend.row_max(x) - backend.xp.log(s)) * -d[:, None]
            dt = _like(_back(backend, dt, labels.shape, axis), labels)
        return _like(dx, logits), dt

    return loss.reshape(lead), vjp


@op(shape=lambda x, t, axis=-1, ignore_class=None, rows=None: _without_axis(x, axis=axis),
    dtype=_float_first, tensors=2)
def sparse_softmax_cross_entropy(logits, labels, axis=-1, ignore_class=None, rows=None):
    """Return ``-log(softmax(logits))`` at the class numbers ``labels``.

    Parameters
    ----------
    logits : tensor, float
    labels : integer tensor, the shape of ``logits`` without ``axis``
    axis : int
        Axis of the classes.
    ignore_class : int, optional
        Samples with this label have loss 0 and no gradient.
    rows : tuple of arrays, optional
        The softmax of the logits, (N, C), and the maxima and sums of its rows, where they are known.

    Raises
    ------
    ValueError
        For a label outside 0 .. classes - 1. On a GPU values are not looked at: that would wait for it.
    """
    backend = logits.backend
    xp = backend.xp
    x, lead, axis = _last(backend, _floats(logits), axis)
    ids = labels.array
    if ids.shape != lead:
        raise ValueError(
            f"sparse_softmax_cross_entropy: labels must have the shape of the logits {logits.shape} without "
            f"axis {axis}, that is {lead}; came {ids.shape}"
        )
    if ids.dtype.kind not in "iu":
        ids = ids.astype("int32")
    ids = ids.reshape(-1)
    counted = None
    if ignore_class is not None:
        counted = ids != ignore_class
        ids = xp.where(counted, ids, xp.zeros_like(ids))
    backend.check_labels(ids, x.shape[1])
    if rows is None or rows[0].shape != x.shape:
        loss, parts = backend.softmax_cross_entropy(x, ids)
    else:
        loss, parts = backend.picked_cross_entropy(x, rows, ids), (rows[0], None)
    if counted is not None:
        loss = xp.where(counted, loss, xp.zeros_like(loss))

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            classes = logits.shape[axis]
            kept = Tensor(ids.reshape(lead))
            one_hot = ops.one_hot(kept, classes, axis=axis, dtype=logits.dtype)
            dy = ops.expand_dims(dy if counted is None else dy * Tensor(counted.reshape(lead)), axis)
            return dy * (ops.softmax(logits, axis=axis) - one_hot), None
        d = dy.array.reshape(-1)
        if counted is not None:
            d = d * counted
        dx = backend.softmax_cross_entropy_backward(d, parts, ids)
        return _like(_back(backend, dx, logits.shape, axis), logits), None

    return loss.reshape(lead), vjp


@op(shape=lambda x, t, axis=None: x if axis is None else _without_axis(x, axis=axis),
    dtype=_float_first, tensors=2)
def sigmoid_cross_entropy(logits, labels, axis=None):
    """Return ``-labels log(p) - (1 - labels) log(1 - p)`` with ``p = sigmoid(logits)``.

    Parameters
    ----------
    logits, labels : tensors of equal shape
    axis : int, optional
        Take the mean along this axis; ``None``: elementwise.

    Notes
    -----
    Computed as ``max(x, 0) - x t + log(1 + exp(-|x|))``; the gradient is ``sigmoid(x) - t``.
    """
    _same_shape("sigmoid_cross_entropy", labels.shape, logits.shape)
    backend = logits.backend
    x = _floats(logits)
    t = labels.array if labels.array.dtype is x.dtype else labels.array.astype(x.dtype)
    y = backend.sigmoid_cross_entropy(x, t)
    y, spread = _mean(backend, y, axis)
    labels_too = bool(_STATE.tapes) and autograd.is_tracked(labels)

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            dy = _spread_op(ops, dy, logits.shape, axis)
            half = ops.tanh(logits * 0.5) * 0.5 + 0.5
            return dy * (half - labels), (-dy * logits if labels_too else None)
        d = spread(dy.array)
        dx = backend.sigmoid_cross_entropy_backward(d, x, t)
        return _like(dx, logits), (_like(x * -d, labels) if labels_too else None)

    return y, vjp


# ---- fused mean errors ----------------------------------------------------------------------------
def _mean(backend, y, axis):
    """Return the mean of ``y`` along ``axis`` and the function that spreads its gradient again."""
    if axis is None:
        return y, lambda d: d
    axis = shapes.normalize_axis(axis, y.ndim)
    n = y.shape[axis]
    if n == 1:
        return y.reshape(y.shape[:axis] + y.shape[axis + 1:]), lambda d: d.reshape(y.shape)
    if axis == y.ndim - 1 and y.ndim > 1 and y.size:
        total = backend.row_sum(y.reshape(-1, n)).reshape(y.shape[:-1])
        total *= 1 / n
        return total, lambda d: (d * (1 / n))[..., None]
    return y.mean(axis=axis), lambda d: backend.xp.expand_dims(d * (1 / n), axis)


def _spread_op(ops, dy, shape, axis):
    return dy if axis is None else ops.expand_dims(dy, axis) / shape[axis]


def _mean_error(y_true, y_pred, value, slope):
    """Return the mean over the last axis of ``value(d)``, ``d = y_pred - y_true``, and its vjp."""
    _, t, p = pair(y_true, y_pred)
    backend = y_pred.backend
    d = p - t
    if not dtypes.is_float(d.dtype):
        d = d.astype(dtypes.floatx())
    y, spread = _mean(backend, value(d), -1)
    true_too = bool(_STATE.tapes) and autograd.is_tracked(y_true)

    def vjp(dy):
        if _STATE.tapes:
            ops = _ops()
            difference = ops.subtract(y_pred, y_true)
            dx = ops.expand_dims(dy, -1) / d.shape[-1] * slope(difference)
        else:
            dx = Tensor(slope(d) * spread(dy.array))
        of_true = unbroadcast(-dx, y_true) if true_too else None
        if not dtypes.is_float(y_pred.dtype):
            return of_true, None
        return of_true, (dx if dx.array.shape == p.shape and dx.dtype == y_pred.dtype else
                         unbroadcast(dx, y_pred))

    return y, vjp


def _error_shape(y_true, y_pred):
    return shapes.broadcast(y_true, y_pred)[:-1]


@op(shape=_error_shape, dtype="float", tensors=2)
def mean_squared_error(y_true, y_pred):
    """Return ``mean((y_true - y_pred)^2)`` over the last axis, broadcasting the two."""
    return _mean_error(y_true, y_pred, lambda d: d * d, lambda d: d * 2)


@op(shape=_error_shape, dtype="float", tensors=2)
def mean_absolute_error(y_true, y_pred):
    """Return ``mean(|y_true - y_pred|)`` over the last axis; the gradient is 0 where they are equal."""
    xp = y_pred.backend.xp

    def slope(d):
        return _ops().sign(d) if isinstance(d, Tensor) else xp.sign(d)

    return _mean_error(y_true, y_pred, xp.abs, slope)


@op(shape=lambda x, w=None, mean=True: (), dtype="float", tensors=2)
def weighted_total(values, weights=None, mean=True):
    """Return the sum of ``values * weights``, divided by the number of values where ``mean``.

    Parameters
    ----------
    values : tensor, float
    weights : tensor that broadcasts to ``values``, optional
    """
    backend = values.backend
    w = None if weights is None else weights.array
    products = values.array if w is None else values.array * w
    total = products.reshape(()) if products.size == 1 else products.sum()
    scale = 1 / max(1, products.size) if mean else 1.0
    weights_too = w is not None and bool(_STATE.tapes) and autograd.is_tracked(weights)

    def vjp(dy):
        if _STATE.tapes or weights_too:
            dy = dy * scale
            dv = dy * (_ops().ones_like(values) if w is None else weights)
            dw = unbroadcast(dy * values, weights) if weights_too else None
            return unbroadcast(_grow(dv, values), values), dw
        d = dy.array * scale
        if w is None:
            dv = backend.xp.empty_like(values.array)
            dv[...] = d
            return dv, None
        dv = w * d
        if dv.shape == values.shape:
            return dv, None
        return unbroadcast(_grow(Tensor(dv), values), values), None

    return (total if scale == 1.0 else total * scale), vjp


def _grow(dv, values):
    """Broadcast the gradient of the products to their shape."""
    shape = shapes.broadcast(dv.shape, values.shape)
    return dv if dv.shape == shape else _ops().broadcast_to(dv, shape)


# ---- keras.ops names ------------------------------------------------------------------------------
def binary_crossentropy(target, output, from_logits=False):
    """Return the elementwise cross-entropy of probabilities ``output`` (or logits) against ``target``.

    Parameters
    ----------
    target, output : tensors of equal shape
    from_logits : bool
        ``output`` holds logits instead of probabilities. The result of ``sigmoid`` remembers its logits, and
        they are used by themselves.

    Notes
    -----
    Probabilities are clipped to [epsilon, 1 - epsilon] (``config.epsilon()``); logits need no clipping.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.binary_crossentropy([1.0, 0.0], [0.5, 0.9]).numpy().round(4)
    array([0.6931, 2.3026], dtype=float32)
    """
    target, output = _both(target, output)
    _same_shape("binary_crossentropy", target.shape, output.shape)
    logits = output if from_logits else carried_logits(output, "sigmoid")
    if logits is not None:
        return sigmoid_cross_entropy(logits, target)
    ops = _ops()
    eps = config.epsilon()
    p = ops.clip(output, eps, 1 - eps)
    return -(target * ops.log(p) + (1 - target) * ops.log(1 - p))


def categorical_crossentropy(target, output, from_logits=False, axis=-1):
    """Return ``-sum(target * log(output))`` along ``axis``.

    Parameters
    ----------
    target, output : tensors of equal shape
        Probabilities of the classes.
    from_logits : bool
        ``output`` holds logits. The result of ``softmax`` remembers its logits, and they are used by
        themselves.
    axis : int
        Axis of the classes.

    Notes
    -----
    Probabilities are divided by their sum and clipped to [epsilon, 1 - epsilon].

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.categorical_crossentropy([[0.0, 1.0]], [[0.2, 0.8]]).numpy().round(4)
    array([0.2231], dtype=float32)
    """
    target, output = _both(target, output)
    _same_shape("categorical_crossentropy", target.shape, output.shape)
    logits = output if from_logits else carried_logits(output, "softmax", axis)
    if logits is not None:
        return softmax_cross_entropy(logits, target, axis)
    ops = _ops()
    return -ops.sum(target * ops.log(_normalized(ops, output, axis)), axis=axis)


def sparse_categorical_crossentropy(target, output, from_logits=False, axis=-1, ignore_class=None):
    """Return ``-log(output)`` at the class numbers ``target``.

    Parameters
    ----------
    target : integer tensor, the shape of ``output`` without ``axis`` (or with size 1 there, where it is last)
    output : tensor
        Probabilities of the classes.
    from_logits : bool
        ``output`` holds logits; see ``categorical_crossentropy``.
    axis : int
        Axis of the classes.
    ignore_class : int, optional
        Samples with this label have loss 0.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.ops.sparse_categorical_crossentropy([1, 0], [[0.2, 0.8], [0.5, 0.5]]).numpy().round(4)
    array([0.2231, 0.6931], dtype=float32)
    """
    if not _are_numbers_for(target, output, axis):
        target, output = _both(target, output, "int32")
        target = _class_numbers(target, output, axis)
    logits = output if from_logits else carried_logits(output, "softmax", axis)
    if logits is not None:
        rows = output._softmax_rows if not from_logits and logits is output._keras_logits[1] else None
        return sparse_softmax_cross_entropy(logits, target, axis, ignore_class, rows)
    ops = _ops()
    counted = None
    if ignore_class is not None:
        counted = ops.not_equal(target, ignore_class)
        target = ops.where(counted, target, 0)
    if isinstance(target, Tensor):
        target.backend.check_labels(target.array, output.shape[axis])
    log_p = ops.log(_normalized(ops, output, axis))
    picked = ops.take_along_axis(log_p, ops.expand_dims(target, axis), axis=axis)
    loss = -ops.squeeze(picked, axis=axis)
    return loss if counted is None else ops.where(counted, loss, 0.0)


def carried_logits(output, name: str, axis: int = -1):
    """Return the logits behind ``output`` where it is the result of activation ``name`` over the last axis.

    ``None`` where it is not, and where a tape follows ``output`` itself but not its logits.
    """
    carried = output._keras_logits if type(output) is Tensor else None
    if carried is None or carried[0] != name:
        return None
    if name == "softmax" and axis != -1 and axis != output.ndim - 1:
        return None
    logits = carried[1]
    if not dtypes.is_float(logits.dtype):
        return None
    if _STATE.tapes and autograd.is_tracked(output) and not autograd.is_tracked(logits):
        return None
    return logits if logits.dtype == output.dtype else _ops().cast(logits, output.dtype)


def _normalized(ops, output, axis):
    eps = config.epsilon()
    return ops.clip(output / ops.sum(output, axis=axis, keepdims=True), eps, 1 - eps)


def _both(target, output, kind=None):
    """Return both as tensors; targets of a crossentropy get the type of the output, or are class numbers."""
    if isinstance(output, KerasTensor) or isinstance(target, KerasTensor):
        ops = _ops()
        target = target if isinstance(target, (Tensor, KerasTensor)) else ops.convert_to_tensor(target)
        wanted = kind or output.dtype
        number = "int" in str(target.dtype)
        return (target if target.dtype == wanted or (kind and number) else ops.cast(target, wanted)), output
    if not isinstance(output, Tensor):
        output = Tensor(to_array(output))
    if not dtypes.is_float(output.dtype):
        output = _ops().cast(output, dtypes.floatx())
    if not isinstance(target, Tensor):
        target = Tensor(to_array(target, None, output.backend))
    if kind is None:
        return (target if target.dtype == output.dtype else _ops().cast(target, output.dtype)), output
    return (target if target.dtype.kind in "iu" else _ops().cast(target, kind)), output


def _are_numbers_for(target, output, axis) -> bool:
    """Tell whether ``target`` holds one class number per row of ``output``, with nothing to convert."""
    return axis == -1 and type(target) is Tensor and type(output) is Tensor and (
        target.array.dtype.kind in "iu") and dtypes.is_float(output.array.dtype) and (
        output.array.ndim > 1 and target.array.shape == output.array.shape[:-1])


def _class_numbers(target, output, axis):
    """Drop a last axis of size 1 from class numbers that have the rank of the output; check the shape."""
    shape, wanted = tuple(target.shape), tuple(output.shape)
    if not wanted:
        raise ValueError("sparse_categorical_crossentropy: output needs an axis of classes, came a scalar")
    if len(shape) == len(wanted) and shape[-1] == 1:
        target = _ops().squeeze(target, axis=-1)
        shape = shape[:-1]
    axis = shapes.normalize_axis(axis, len(wanted))
    lead = wanted[:axis] + wanted[axis + 1:]
    if len(shape) != len(lead) or any(a != b for a, b in zip(shape, lead) if a is not None and b is not None):
        raise ValueError(
            f"sparse_categorical_crossentropy: for output of shape {wanted} the target must hold class "
            f"numbers in shape {lead}, came {shape}. One-hot targets belong to categorical_crossentropy"
        )
    return target


def _same_shape(name, target, output):
    if tuple(target) == tuple(output):
        return
    differ = len(target) != len(output) or any(
        a != b for a, b in zip(target, output) if a is not None and b is not None
    )
    if differ or not output:
        hint = (
            ". Class numbers belong to sparse_categorical_crossentropy, or make them one-hot: "
            "utils.to_categorical(y)" if "categorical" in name else ""
        )
        raise ValueError(
            f"{name}: target and output must have the same shape, came {tuple(target)} and "
            f"{tuple(output)}{hint}"
        )


def _floats(x):
    a = x.array
    return a if dtypes.is_float(a.dtype) else a.astype(dtypes.floatx())

