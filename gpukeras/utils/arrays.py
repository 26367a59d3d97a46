"""Labels to vectors, and vectors to unit length."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes, ops
from gpukeras.tensor import Tensor


def to_categorical(x=None, num_classes: int | None = None, dtype="float32", *, y=None):
    """Turn class numbers into rows with a single one.

    Parameters
    ----------
    x : array_like of int
        Class numbers from 0. A last axis of size 1 is dropped. Also accepted as ``y``, its old name.
    num_classes : int, optional
        Width of the rows; default: the largest number plus one.
    dtype : str
        Type of the result.

    Returns
    -------
    numpy.ndarray, or a tensor where ``x`` is one
        Shape ``(*x.shape, num_classes)``.

    Raises
    ------
    ValueError
        For a label that is no whole number, negative, or not below ``num_classes``.

    Examples
    --------
    >>> to_categorical([0, 2, 1], num_classes=4)
    array([[1., 0., 0., 0.],
           [0., 0., 1., 0.],
           [0., 1., 0., 0.]], dtype=float32)
    """
    x = y if x is None else x
    if isinstance(x, Tensor):
        shape = x.shape
        x = ops.reshape(x, shape[:-1]) if len(shape) > 1 and shape[-1] == 1 else x
        count = int(ops.max(x).item()) + 1 if num_classes is None else num_classes
        return ops.one_hot(ops.cast(x, "int32"), count, dtype=dtype)
    labels, shape, num_classes = _labels("to_categorical", x, num_classes)
    rows = np.zeros((labels.size, num_classes), dtype)
    rows[np.arange(labels.size), labels] = 1
    return rows.reshape((*shape, num_classes))


def to_ordinal(y, num_classes: int | None = None, dtype="float32") -> np.ndarray:
    """Turn ordered class numbers into rows of ones and zeros: class ``k`` has ``k`` leading ones.

    Parameters
    ----------
    y : array_like of int
    num_classes : int, optional
        The rows have ``num_classes - 1`` columns.
    dtype : str

    Examples
    --------
    >>> to_ordinal([0, 2, 1], num_classes=3)
    array([[0., 0.],
           [1., 1.],
           [1., 0.]], dtype=float32)
    """
    labels, shape, num_classes = _labels("to_ordinal", y, num_classes)
    rows = np.arange(num_classes - 1) < labels[:, None]
    return rows.astype(dtype).reshape((*shape, num_classes - 1))


def _labels(name: str, values, num_classes: int | None):
    """Return labels as a flat integer array, the shape they came in, and the number of classes."""
    values = np.asarray(values)
    labels = values.astype(np.int64) if values.size else np.zeros(values.shape, np.int64)
    if dtypes.is_float(values.dtype) and not np.array_equal(labels, values):
        raise ValueError(f"{name} needs whole numbers as labels, came {values[labels != values].flat[0]}")
    shape = values.shape
    if len(shape) > 1 and shape[-1] == 1:
        shape = shape[:-1]
    labels = labels.reshape(-1)
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        wrong = labels.min() if labels.min() < 0 else labels.max()
        raise ValueError(
            f"{name}: label {wrong} is outside 0 to {num_classes - 1} (num_classes={num_classes})"
        )
    return labels, shape, num_classes


def normalize(x, axis: int = -1, order=2):
    """Divide vectors by their length; vectors of zeros stay as they are.

    Parameters
    ----------
    x : array_like or tensor
    axis : int
        Axis along which a vector lies.
    order : int or float
        Order of the norm.

    Examples
    --------
    >>> normalize([[3.0, 4.0], [0.0, 0.0]])
    array([[0.6, 0.8],
           [0. , 0. ]])
    """
    if isinstance(x, Tensor):
        norm = ops.norm(x, ord=order, axis=axis, keepdims=True)
        return x / ops.where(norm == 0, ops.ones_like(norm), norm)
    x = np.asarray(x)
    norm = np.linalg.norm(x, order, axis, keepdims=True)
    return x / np.where(norm == 0, 1, norm).astype(norm.dtype)
