"""Losses of margins, overlaps and distances: hinge family, Dice, Tversky, circle."""

from __future__ import annotations

from gpukeras import config, ops

from .loss import LossFunctionWrapper, align, convert, keeps_labels, to_tensor


def _signs(y_true):
    """Turn targets 0 and 1 into -1 and 1; others stay. No values are fetched from the device."""
    binary = ops.all(ops.logical_or(ops.equal(y_true, 0), ops.equal(y_true, 1)))
    return ops.where(binary, y_true * 2.0 - 1.0, y_true)


def hinge(y_true, y_pred):
    """Return ``mean(max(1 - y_true y_pred, 0))`` over the last axis; targets are -1 and 1 (or 0 and 1).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.losses.hinge([[0.0, 1.0]], [[-0.5, 0.5]]).numpy()
    array([0.5], dtype=float32)
    """
    y_true, y_pred = align(y_true, y_pred)
    return ops.mean(ops.relu(1.0 - _signs(y_true) * y_pred), axis=-1)


def squared_hinge(y_true, y_pred):
    """Return ``mean(max(1 - y_true y_pred, 0)^2)`` over the last axis; targets as for ``hinge``."""
    y_true, y_pred = align(y_true, y_pred)
    return ops.mean(ops.square(ops.relu(1.0 - _signs(y_true) * y_pred)), axis=-1)


def categorical_hinge(y_true, y_pred):
    """Return ``max(neg - pos + 1, 0)``: the best wrong class against the right one, targets one-hot.

    ``pos = sum(y_true y_pred)`` and ``neg = max((1 - y_true) y_pred)`` over the last axis.
    """
    y_true, y_pred = convert(y_true, y_pred)
    right = ops.sum(y_true * y_pred, axis=-1)
    wrong = ops.max((1.0 - y_true) * y_pred, axis=-1)
    return ops.relu(wrong - right + 1.0)


def dice(y_true, y_pred, axis=None):
    """Return ``1 - 2 sum(y_true y_pred) / (sum(y_true) + sum(y_pred))`` over ``axis`` (``None``: all).

    For masks of segmentation; both lie between 0 and 1.
    """
    y_true, y_pred = align(y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis=axis)
    total = ops.sum(y_true, axis=axis) + ops.sum(y_pred, axis=axis) + config.epsilon()
    return 1.0 - both * 2.0 / total


def tversky(y_true, y_pred, alpha=0.5, beta=0.5, axis=None):
    """Return ``1 - TP / (TP + alpha FN + beta FP)`` over ``axis`` (``None``: all).

    ``TP = sum(y_true y_pred)``, ``FN = sum(y_true (1 - y_pred))``, ``FP = sum((1 - y_true) y_pred)``. Keras
    describes ``alpha`` as the weight of false positives but computes this.

    References
    ----------
    Salehi et al., 2017, arXiv:1706.05721.
    """
    y_true, y_pred = align(y_true, y_pred)
    both = ops.sum(y_true * y_pred, axis=axis)
    missed = ops.sum(y_true * (1.0 - y_pred), axis=axis)
    added = ops.sum((1.0 - y_true) * y_pred, axis=axis)
    return 1.0 - both / (both + missed * alpha + added * beta + config.epsilon())


@keeps_labels
def circle(y_true, y_pred, ref_labels=None, ref_embeddings=None, remove_diagonal=True, gamma=80, margin=0.4):
    """Return the circle loss of embeddings: pulls equal labels together, pushes others apart.

    Parameters
    ----------
    y_true : integer tensor, shape (N,) or (N, 1)
        Labels.
    y_pred : tensor, shape (N, E)
        Embeddings of length 1.
    ref_labels, ref_embeddings : tensors, optional
        What to compare with, instead of the batch itself.
    remove_diagonal : bool
        Do not compare a sample with itself.
    gamma, margin : float
        Scale and relaxation.

    Notes
    -----
    With similarities ``s`` the loss is ``log(1 + sum_n exp(gamma a_n (s_n - m)) sum_p exp(-gamma a_p (s_p -
    1 + m)))`` with ``a_p = max(1 + m - s_p, 0)``, ``a_n = max(s_n + m, 0)``, for pairs ``p`` of equal and
    ``n`` of different labels. It is 0 for a sample that nothing can be compared with; a mean over the batch
    leaves such samples out.

    References
    ----------
    Sun et al., 2020, arXiv:2002.10857.
    """
    y_pred = to_tensor(y_pred)
    labels = ops.reshape(to_tensor(y_true, "int32", y_pred), (-1,))
    others = y_pred if ref_embeddings is None else to_tensor(ref_embeddings, y_pred.dtype, y_pred)
    other_labels = labels
    if ref_labels is not None:
        other_labels = ops.reshape(to_tensor(ref_labels, "int32", y_pred), (-1,))
    s = ops.matmul(y_pred, ops.transpose(others))
    equal = ops.equal(ops.expand_dims(labels, 1), ops.expand_dims(other_labels, 0))
    different = ops.logical_not(equal)
    if remove_diagonal and ref_labels is None:
        equal = ops.logical_and(equal, ops.logical_not(ops.eye(labels.shape[0], dtype="bool")))
    attract = ops.relu((1.0 + margin) - s)
    repel = ops.relu(s + margin)
    positive = ops.where(equal, (s - (1.0 - margin)) * attract * -float(gamma), -1e9)
    negative = ops.where(different, (s - margin) * repel * float(gamma), -1e9)
    values = ops.softplus(ops.logsumexp(positive, axis=1) + ops.logsumexp(negative, axis=1))
    values._keras_mask = ops.greater(values, 0)
    return values


# ---- classes --------------------------------------------------------------------------------------
class Hinge(LossFunctionWrapper):
    """Hinge loss of targets -1 and 1; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="hinge", dtype=None):
        super().__init__(hinge, reduction, name, dtype)


class SquaredHinge(LossFunctionWrapper):
    """Squared hinge loss of targets -1 and 1; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="squared_hinge", dtype=None):
        super().__init__(squared_hinge, reduction, name, dtype)


class CategoricalHinge(LossFunctionWrapper):
    """Hinge loss of one-hot targets; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="categorical_hinge", dtype=None):
        super().__init__(categorical_hinge, reduction, name, dtype)


class Dice(LossFunctionWrapper):
    """Dice loss of overlapping masks over ``axis``; further arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="dice", axis=None, dtype=None):
        super().__init__(dice, reduction, name, dtype, axis=axis)


class Tversky(LossFunctionWrapper):
    """Tversky loss: Dice with weights ``alpha`` and ``beta`` of the two kinds of error; see ``tversky``."""

    def __init__(
        self, alpha=0.5, beta=0.5, reduction="sum_over_batch_size", name="tversky", axis=None, dtype=None
    ):
        super().__init__(tversky, reduction, name, dtype, alpha=alpha, beta=beta, axis=axis)


class Circle(LossFunctionWrapper):
    """Circle loss of embeddings; see ``circle``. Further arguments as in ``Loss``."""

    def __init__(
        self, gamma=80.0, margin=0.4, remove_diagonal=True, reduction="sum_over_batch_size", name="circle",
        dtype=None,
    ):
        super().__init__(circle, reduction, name, dtype, gamma=gamma, margin=margin,
                         remove_diagonal=remove_diagonal)
