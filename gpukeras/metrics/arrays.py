"""Array helpers of the metrics: they run untaped, on the device of the predictions, and never wait for it."""

from __future__ import annotations

import numpy as np

from gpukeras import backends, dtypes
from gpukeras.tensor import Tensor, to_array

NEGATIVE_INFINITY = -1e10  # what top-k puts in the place of the other scores; finite, as in Keras


def pair(y_true, y_pred, dtype=None):
    """Return backend and arrays of labels and predictions, on the predictions' device."""
    if dtype is None and type(y_true) is Tensor and type(y_pred) is Tensor and (
        type(y_true.array) is np.ndarray and type(y_pred.array) is np.ndarray
    ):
        return backends.CPU, y_true.array, y_pred.array
    if not isinstance(y_pred, Tensor) and isinstance(y_true, Tensor):
        y_pred = to_array(y_pred, dtype, y_true.backend)
    else:
        y_pred = to_array(y_pred, dtype)
    backend = Tensor(y_pred).backend
    return backend, to_array(y_true, dtype, backend), y_pred


def align(a, b, expand_rank_1: bool = True):
    """Give two arrays the same rank where a last axis of length one makes the difference, as Keras does."""
    if a.ndim == b.ndim + 1 and a.shape[-1] == 1:
        if b.ndim == 1 and expand_rank_1:
            b = b[:, None]
        else:
            a = a[..., 0]
    elif b.ndim == a.ndim + 1 and b.shape[-1] == 1:
        if a.ndim == 1 and expand_rank_1:
            a = a[:, None]
        else:
            b = b[..., 0]
    return a, b


def ratio(a, b):
    """Return ``a / b``, and 0 where ``b`` is 0, in the dtype of ``a``."""
    if type(a) is np.ndarray and a.ndim == 0:
        return np.asarray(a / b if b != 0 else 0, a.dtype)
    if isinstance(a, np.generic):
        return a / b if b != 0 else a.dtype.type(0)
    xp = Tensor(a).backend.xp
    zero = b == 0
    return xp.where(zero, a.dtype.type(0), a / xp.where(zero, a.dtype.type(1), b))


def masked_weights(sample_weight, mask, dtype, backend):
    """Return weights times mask; either may be ``None``."""
    weights = None if sample_weight is None else to_array(sample_weight, dtype, backend)
    if mask is None:
        return weights
    mask = to_array(mask, dtype, backend)
    if weights is None:
        return mask
    mask, weights = align(mask, weights)
    if weights.ndim < mask.ndim:  # one weight per sample
        weights = weights.reshape(weights.shape + (1,) * (mask.ndim - weights.ndim))
    return weights * mask


def float_matches(matches):
    """Return booleans as a float tensor: per-sample accuracies."""
    return Tensor(matches.astype(dtypes.floatx()))


def unequal(name: str, y_true, y_pred) -> ValueError:
    """Return the error for labels and predictions that do not fit."""
    return ValueError(
        f"{name}: y_true has shape {y_true.shape}, y_pred {y_pred.shape}; they must be equal, or differ by a "
        "last axis of length 1"
    )
