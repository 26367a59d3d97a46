"""Cross-entropies and their relatives: losses of predicted probabilities."""

from __future__ import annotations

import warnings

from gpukeras import config, ops
from gpukeras.ops.loss import carried_logits
from gpukeras.tensor import Tensor

from .loss import LossFunctionWrapper, align, convert, keeps_labels, to_tensor


def binary_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Return the mean of ``-y_true log(y_pred) - (1 - y_true) log(1 - y_pred)`` along ``axis``.

    Parameters
    ----------
    y_true : tensor
        0 or 1, or probabilities.
    y_pred : tensor
        Probabilities, or logits with ``from_logits``. The logits behind a ``sigmoid`` are found and used.
    label_smoothing : float
        Targets become ``y_true (1 - s) + s / 2``.
    axis : int

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.losses.binary_crossentropy([[0.0, 1.0]], [[0.5, 0.5]]).numpy().round(4)
    array([0.6931], dtype=float32)
    """
    y_true, y_pred = align(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    logits = y_pred if from_logits else carried_logits(y_pred, "sigmoid")
    if logits is not None:
        return ops.sigmoid_cross_entropy(logits, y_true, axis)
    return ops.mean(ops.binary_crossentropy(y_true, y_pred), axis=axis)


def categorical_crossentropy(y_true, y_pred, from_logits=False, label_smoothing=0.0, axis=-1):
    """Return ``-sum(y_true * log(y_pred))`` along ``axis``.

    Parameters
    ----------
    y_true : tensor
        One-hot classes or probabilities, of the shape of ``y_pred``.
    y_pred : tensor
        Probabilities, or logits with ``from_logits``. The logits behind a ``softmax`` are found and used.
    label_smoothing : float
        Targets become ``y_true (1 - s) + s / classes``.
    axis : int
        Axis of the classes.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.losses.categorical_crossentropy([[0.0, 1.0]], [[0.2, 0.8]]).numpy().round(4)
    array([0.2231], dtype=float32)
    """
    y_true, y_pred = convert(y_true, y_pred)
    if len(y_pred.shape) and y_pred.shape[-1] == 1 and axis in (-1, len(y_pred.shape) - 1):
        warnings.warn(
            f"categorical_crossentropy with predictions of shape {tuple(y_pred.shape)}: with one class "
            "the loss is 0. For one unit use binary_crossentropy", UserWarning, stacklevel=2,
        )
    y_true = _smooth(y_true, y_pred, label_smoothing, axis)
    return ops.categorical_crossentropy(y_true, y_pred, from_logits, axis)


@keeps_labels
def sparse_categorical_crossentropy(y_true, y_pred, from_logits=False, ignore_class=None, axis=-1):
    """Return ``-log(y_pred)`` at the class numbers ``y_true``.

    Parameters
    ----------
    y_true : integer tensor
        Class numbers, of the shape of ``y_pred`` without ``axis``, or with a last axis of size 1.
    y_pred : tensor
        Probabilities, or logits with ``from_logits``. The logits behind a ``softmax`` are found and used.
    ignore_class : int, optional
        A label to leave out, such as -1 for unknown; the mean is over the others.
    axis : int
        Axis of the classes.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.losses.sparse_categorical_crossentropy([1], [[0.2, 0.8]]).numpy().round(4)
    array([0.2231], dtype=float32)
    """
    if type(y_pred) is not Tensor:
        y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, None, y_pred)
    loss = ops.sparse_categorical_crossentropy(y_true, y_pred, from_logits, axis, ignore_class)
    if ignore_class is not None:
        kept = ops.not_equal(y_true, ignore_class)
        loss._keras_mask = ops.reshape(kept, loss.shape) if isinstance(loss, Tensor) else None
    return loss


def binary_focal_crossentropy(
    y_true, y_pred, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False,
    label_smoothing=0.0, axis=-1,
):
    """Return the binary cross-entropy with easy samples scaled down by ``(1 - p_t)^gamma``.

    Parameters
    ----------
    y_true, y_pred : tensors
    apply_class_balancing : bool
        Weight class 1 by ``alpha`` and class 0 by ``1 - alpha``.
    alpha, gamma : float
    from_logits, label_smoothing, axis
        See ``binary_crossentropy``.

    References
    ----------
    Lin et al., 2017, arXiv:1708.02002.
    """
    y_true, y_pred = align(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    loss = ops.binary_crossentropy(y_true, y_pred, from_logits)
    p = ops.sigmoid(y_pred) if from_logits else y_pred
    p_true = y_true * p + (1.0 - y_true) * (1.0 - p)
    loss = ops.power(1.0 - p_true, gamma) * loss
    if apply_class_balancing:
        loss = loss * (y_true * alpha + (1.0 - y_true) * (1.0 - alpha))
    return ops.mean(loss, axis=axis)


def categorical_focal_crossentropy(
    y_true, y_pred, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1
):
    """Return the sum over ``axis`` of ``-alpha (1 - p)^gamma y_true log(p)``.

    Parameters
    ----------
    y_true, y_pred : tensors
    alpha : float or sequence of float
        Weight of all classes or of each.
    gamma : float
        How much easy samples are scaled down.
    from_logits, label_smoothing, axis
        See ``categorical_crossentropy``.

    References
    ----------
    Lin et al., 2017, arXiv:1708.02002.
    """
    y_true, y_pred = convert(y_true, y_pred)
    y_true = _smooth(y_true, y_pred, label_smoothing, axis)
    p = ops.softmax(y_pred, axis=axis) if from_logits else y_pred
    p = p / ops.sum(p, axis=axis, keepdims=True)
    eps = config.epsilon()
    p = ops.clip(p, eps, 1.0 - eps)
    if isinstance(alpha, (list, tuple)):
        alpha = to_tensor(alpha, p.dtype, p)
    factor = ops.power(1.0 - p, gamma) * alpha
    return ops.sum(factor * -(y_true * ops.log(p)), axis=axis)


@keeps_labels
def categorical_generalized_cross_entropy(y_true, y_pred, q):
    """Return ``(1 - p^q) / q`` with ``p`` the probability of the class numbers ``y_true``.

    Parameters
    ----------
    y_true : integer tensor (N,)
    y_pred : tensor (N, C)
        Probabilities.
    q : float in (0, 1)
        Near 0 this is the cross-entropy, near 1 the absolute error, which forgives wrong labels.

    References
    ----------
    Zhang and Sabuncu, 2018, arXiv:1805.07836.
    """
    if not 0 < q < 1:
        raise ValueError(f"q must lie between 0 and 1, came {q}")
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, "int32", y_pred)
    if len(y_true.shape) == len(y_pred.shape):
        y_true = ops.squeeze(y_true, axis=-1)
    if isinstance(y_true, Tensor):
        y_true.backend.check_labels(y_true.array, y_pred.shape[-1])
    p = ops.sum(ops.one_hot(y_true, y_pred.shape[-1], dtype=y_pred.dtype) * y_pred, axis=-1)
    return (1.0 - ops.power(p, q)) / q


def kl_divergence(y_true, y_pred):
    """Return ``sum(y_true log(y_true / y_pred))`` over the last axis, both clipped to [epsilon, 1]."""
    y_true, y_pred = convert(y_true, y_pred)
    eps = config.epsilon()
    y_true, y_pred = ops.clip(y_true, eps, 1.0), ops.clip(y_pred, eps, 1.0)
    return ops.sum(y_true * ops.log(y_true / y_pred), axis=-1)


@keeps_labels
def ctc(y_true, y_pred):
    """Return the connectionist temporal classification loss of label sequences.

    Parameters
    ----------
    y_true : integer tensor, shape (N, L)
        Labels from 1 on, padded with 0 at the end.
    y_pred : tensor, shape (N, T, C)
        Logits; class 0 is the blank.

    References
    ----------
    Graves et al., 2006, doi:10.1145/1143844.1143891.
    """
    y_pred = to_tensor(y_pred)
    y_true = to_tensor(y_true, "int32", y_pred)
    if len(y_true.shape) != 2 or len(y_pred.shape) != 3 or y_true.shape[0] != y_pred.shape[0]:
        raise ValueError(
            "ctc expects y_true of shape (N, L) and y_pred of shape (N, T, C), came "
            f"{tuple(y_true.shape)} and {tuple(y_pred.shape)}"
        )
    lengths = ops.sum(ops.cast(ops.not_equal(y_true, 0), "int32"), axis=-1)
    steps = ops.full((y_pred.shape[0],), y_pred.shape[1], dtype="int32")
    return ops.ctc_loss(y_true, y_pred, lengths, steps, mask_index=0)


def _smooth(y_true, y_pred, label_smoothing, axis):
    if not label_smoothing:
        return y_true
    return y_true * (1.0 - label_smoothing) + label_smoothing / y_pred.shape[axis]


# ---- classes --------------------------------------------------------------------------------------
class BinaryCrossentropy(LossFunctionWrapper):
    """Cross-entropy of yes-or-no targets; see ``binary_crossentropy``.

    Parameters
    ----------
    from_logits : bool
        Predictions are logits, not probabilities.
    label_smoothing : float
        Draw targets towards 1/2 by this much.
    axis : int
        Axis over which the mean is taken.
    reduction, name, dtype
        See ``Loss``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> loss = keras.losses.BinaryCrossentropy(from_logits=True)
    >>> round(float(loss([[1.0], [0.0]], [[0.0], [0.0]])), 4)
    0.6931
    """

    def __init__(
        self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
        name="binary_crossentropy", dtype=None,
    ):
        super().__init__(binary_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class BinaryFocalCrossentropy(LossFunctionWrapper):
    """Binary cross-entropy that looks past easy samples; see ``binary_focal_crossentropy``."""

    def __init__(
        self, apply_class_balancing=False, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0,
        axis=-1, reduction="sum_over_batch_size", name="binary_focal_crossentropy", dtype=None,
    ):
        super().__init__(binary_focal_crossentropy, reduction, name, dtype,
                         apply_class_balancing=apply_class_balancing, alpha=alpha, gamma=gamma,
                         from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class CategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of one-hot targets; see ``categorical_crossentropy``.

    Parameters
    ----------
    from_logits : bool
        Predictions are logits, not probabilities.
    label_smoothing : float
        Draw targets towards equal probabilities by this much.
    axis : int
        Axis of the classes.
    reduction, name, dtype
        See ``Loss``.
    """

    def __init__(
        self, from_logits=False, label_smoothing=0.0, axis=-1, reduction="sum_over_batch_size",
        name="categorical_crossentropy", dtype=None,
    ):
        super().__init__(categorical_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         label_smoothing=label_smoothing, axis=axis)


class CategoricalFocalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of classes that looks past easy samples; see ``categorical_focal_crossentropy``."""

    def __init__(
        self, alpha=0.25, gamma=2.0, from_logits=False, label_smoothing=0.0, axis=-1,
        reduction="sum_over_batch_size", name="categorical_focal_crossentropy", dtype=None,
    ):
        super().__init__(categorical_focal_crossentropy, reduction, name, dtype, alpha=alpha, gamma=gamma,
                         from_logits=from_logits, label_smoothing=label_smoothing, axis=axis)


class SparseCategoricalCrossentropy(LossFunctionWrapper):
    """Cross-entropy of class numbers; see ``sparse_categorical_crossentropy``.

    Parameters
    ----------
    from_logits : bool
        Predictions are logits, not probabilities.
    ignore_class : int, optional
        A label to leave out; the mean is over the others.
    reduction, axis, name, dtype
        ``axis``: of the classes. The others: see ``Loss``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> loss = keras.losses.SparseCategoricalCrossentropy()
    >>> round(float(loss([0, 1], [[0.5, 0.5], [0.0, 1.0]])), 4)
    0.3466
    """

    def __init__(
        self, from_logits=False, ignore_class=None, reduction="sum_over_batch_size", axis=-1,
        name="sparse_categorical_crossentropy", dtype=None,
    ):
        super().__init__(sparse_categorical_crossentropy, reduction, name, dtype, from_logits=from_logits,
                         ignore_class=ignore_class, axis=axis)


class CategoricalGeneralizedCrossEntropy(LossFunctionWrapper):
    """Loss for class numbers some of which are wrong; see ``categorical_generalized_cross_entropy``."""

    def __init__(
        self, q=0.5, reduction="sum_over_batch_size", name="categorical_generalized_cross_entropy", dtype=None
    ):
        if not 0 < q < 1:
            raise ValueError(f"q must lie between 0 and 1, came {q}")
        super().__init__(categorical_generalized_cross_entropy, reduction, name, dtype, q=q)


class KLDivergence(LossFunctionWrapper):
    """Kullback-Leibler divergence of predicted from target probabilities; arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="kl_divergence", dtype=None):
        super().__init__(kl_divergence, reduction, name, dtype)


class CTC(LossFunctionWrapper):
    """Loss of label sequences without alignment; see ``ctc``. Arguments as in ``Loss``."""

    def __init__(self, reduction="sum_over_batch_size", name="ctc", dtype=None):
        super().__init__(ctc, reduction, name, dtype)
