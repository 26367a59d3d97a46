"""Loss: from targets and predictions to one number, with weights, masks and reductions."""

from __future__ import annotations

import warnings

import numpy as np

from gpukeras import config, dtype_policies, dtypes, ops, tree
from gpukeras.symbolic import KerasTensor, to_snake_case
from gpukeras.tensor import Tensor, to_array

_KINDS = {name: np.dtype(name) for name in ("float16", "float32", "float64")}  # to compare by identity
REDUCTIONS = ("sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None)


class Reduction:
    """Names of the reductions, as Keras 2 spelled them."""

    AUTO = "auto"
    NONE = "none"
    SUM = "sum"
    SUM_OVER_BATCH_SIZE = "sum_over_batch_size"

    @classmethod
    def all(cls):
        """Return all names."""
        return cls.AUTO, cls.NONE, cls.SUM, cls.SUM_OVER_BATCH_SIZE

    @classmethod
    def validate(cls, key) -> None:
        """Raise ``ValueError`` for anything but one of the names."""
        if key not in cls.all():
            raise ValueError(f"the reduction must be one of {cls.all()}, came {key!r}")


class Loss:
    """Base of all losses: a subclass writes ``call(y_true, y_pred)``, one value per sample.

    Parameters
    ----------
    name : str, optional
    reduction : {"sum_over_batch_size", "mean", "sum", "mean_with_sample_weight", "none", None}
        ``"sum_over_batch_size"`` and ``"mean"`` divide the weighted sum by the number of values,
        ``"mean_with_sample_weight"`` by the sum of the weights; ``"none"`` and ``None`` keep the values.
        ``"auto"`` of Keras 2 is ``"sum_over_batch_size"``.
    dtype : str or DTypePolicy, optional
        Type in which the loss is computed; ``None``: ``floatx``.

    Notes
    -----
    Weights of fewer axes than the values belong to the leading axes: one weight per sample also works for
    values of shape (N, T). A mask on ``y_pred`` takes masked values out, and the mean counts the others.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Cubic(keras.losses.Loss):
    ...     def call(self, y_true, y_pred):
    ...         return keras.ops.mean(keras.ops.abs(y_true - y_pred) ** 3, axis=-1)
    >>> float(Cubic()([[0.0, 0.0]], [[1.0, 1.0]]))
    1.0
    """

    converts_targets = True  # whether y_true gets the loss's dtype; class numbers keep theirs

    def __init__(self, name=None, reduction="sum_over_batch_size", dtype=None):
        if name in (*REDUCTIONS[:-1], "auto") and reduction not in (*REDUCTIONS, "auto"):
            name, reduction = reduction, name  # Loss(reduction, name), the order of Keras 2
        elif name in (*REDUCTIONS[:-1], "auto") and reduction == "sum_over_batch_size":
            name, reduction = None, name  # Loss("sum")
        self.name = name or to_snake_case(type(self).__name__)
        self.reduction = standardize_reduction(reduction)
        self._dtype = dtype
        self._compute_dtype = None if dtype is None else dtype_policies.get(dtype).compute_dtype
        self._era = config.era()

    @property
    def dtype(self) -> str:
        """Name of the dtype in which the loss is computed."""
        return self._compute_dtype or dtypes.floatx()

    def call(self, y_true, y_pred):
        """Return the loss of every sample; to be written by subclasses."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, y_true, y_pred)")

    def __call__(self, y_true, y_pred, sample_weight=None):
        """Return the reduced loss.

        Parameters
        ----------
        y_true, y_pred : tensors or structures of them
        sample_weight : tensor, optional
            Factors of the values, broadcast from the leading axes.
        """
        dtype = self._compute_dtype or dtypes.floatx()
        kind = _KINDS.get(dtype)
        if type(y_pred) is not Tensor or y_pred.array.dtype is not kind:
            y_pred = _map(lambda p: to_tensor(p, dtype), y_pred)
        target_dtype = dtype if self.converts_targets else None
        if type(y_true) is not Tensor or (target_dtype and y_true.array.dtype is not kind):
            like = tree.flatten(y_pred)[0]
            y_true = _map(lambda t: to_tensor(t, target_dtype, like), y_true)
        values = self.call(y_true, y_pred)
        if type(values) is not Tensor:
            values = to_tensor(values, dtype)
        mask = combined_mask(getattr(y_pred, "_keras_mask", None), values._keras_mask)
        if sample_weight is None and mask is None:
            return reduce(values, None, self.reduction)
        return reduce_weighted(values, sample_weight, mask, self.reduction, self._era)

    def get_config(self) -> dict:
        """Return the constructor's arguments."""
        found = {"name": self.name, "reduction": self.reduction}
        if self._dtype is not None:
            found["dtype"] = self._dtype
        return found

    @classmethod
    def from_config(cls, config):
        """Return a loss made of ``get_config()``'s dictionary."""
        return cls(**config)

    def __repr__(self):
        return f"<{type(self).__name__} name={self.name} reduction={self.reduction}>"


def keeps_labels(function):
    """Mark a loss function whose targets are class numbers: they keep their integer type."""
    function.converts_targets = False
    return function


class LossFunctionWrapper(Loss):
    """A loss made of a function ``fn(y_true, y_pred, **kwargs)`` that returns one value per sample.

    Parameters
    ----------
    fn : callable
    reduction, name, dtype
        See ``Loss``.
    **kwargs
        Passed to ``fn`` at every call; they are attributes and part of the configuration.
    """

    def __init__(self, fn, reduction="sum_over_batch_size", name=None, dtype=None, **kwargs):
        super().__init__(name=name or getattr(fn, "__name__", None), reduction=reduction, dtype=dtype)
        self.fn = fn
        self.converts_targets = getattr(fn, "converts_targets", True)
        self._fn_kwargs = kwargs
        self._warned = False  # once per loss is enough
        for key, value in kwargs.items():
            setattr(self, key, value)

    def call(self, y_true, y_pred):
        # A user's function gets arrays of one rank, too: (N,) against (N, 1) would pair all with all.
        if self.converts_targets and type(y_true) is Tensor is type(y_pred) and y_true.ndim != y_pred.ndim:
            y_true, y_pred = same_rank(y_true, y_pred, warn=not self._warned)
            self._warned = True
        return self.fn(y_true, y_pred, **self._fn_kwargs)

    def get_config(self):
        found = {**super().get_config(), **self._fn_kwargs}
        if type(self) is LossFunctionWrapper:
            from gpukeras.saving.serialization import serialize_keras_object

            found["fn"] = serialize_keras_object(self.fn)
        return found

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if cls is LossFunctionWrapper:
            if not callable(config["fn"]):
                from gpukeras.losses import deserialize

                config["fn"] = deserialize(config["fn"])
        else:
            config.pop("fn", None)  # written by Keras 2 for its built-in classes
        return cls(**config)


# ---- targets and predictions ----------------------------------------------------------------------
def to_tensor(value, dtype=None, like=None):
    """Return ``value`` as a tensor of ``dtype``; masks and remembered logits stay with it."""
    if isinstance(value, KerasTensor):
        return value if dtype is None or value.dtype == dtype else ops.cast(value, dtype)
    if not isinstance(value, Tensor):
        return Tensor(to_array(value, dtype, like.backend if isinstance(like, Tensor) else None))
    if dtype is None or value.array.dtype == dtype:
        return value
    cast = ops.cast(value, dtype)
    if value._keras_mask is not None:
        cast._keras_mask = value._keras_mask
    if value._keras_logits is not None:
        name, logits = value._keras_logits
        cast._keras_logits = (name, ops.cast(logits, dtype))
    return cast


def _map(f, value):
    """Apply ``f`` to every array of a structure; nested lists of numbers are one array."""
    if tree.is_nested(value) and any(hasattr(leaf, "shape") for leaf in tree.flatten(value)):
        return tree.map_structure(f, value)
    return f(value)


def convert(y_true, y_pred):
    """Return both as tensors of the prediction's (floating) dtype."""
    if type(y_pred) is not Tensor:
        y_pred = to_tensor(y_pred)
    if y_pred.dtype != "float32" and "float" not in str(y_pred.dtype):
        y_pred = ops.cast(y_pred, dtypes.floatx())
    if type(y_true) is not Tensor or y_true.array.dtype != y_pred.dtype:
        y_true = to_tensor(y_true, y_pred.dtype, y_pred)
    return y_true, y_pred


def align(y_true, y_pred):
    """Return both with one rank, and as tensors of one dtype.

    An axis of size 1 at the end is added to a vector or taken from a higher rank: targets (N,) for
    predictions (N, 1) become (N, 1). A ``UserWarning`` says so where plain broadcasting would have paired
    every target with every prediction.

    Raises
    ------
    ValueError
        Where the shapes cannot be broadcast.
    """
    y_true, y_pred = convert(y_true, y_pred)
    a, b = y_true.shape, y_pred.shape
    if a == b:
        return y_true, y_pred
    if len(a) != len(b):
        y_true, y_pred = same_rank(y_true, y_pred)
    for n, m in zip(reversed(y_true.shape), reversed(y_pred.shape)):
        if n != m and 1 not in (n, m) and None not in (n, m):
            raise ValueError(
                f"y_true has shape {tuple(a)} and y_pred {tuple(b)}; they must be equal or broadcast. "
                "Compare the last layer's units with the targets"
            )
    return y_true, y_pred


def same_rank(y_true, y_pred, warn=True):
    """Return both with one rank where an axis of size 1 at the end is all that differs."""
    a, b = y_true.shape, y_pred.shape
    if len(a) - len(b) == 1 and a[-1] == 1:
        if warn:
            _warn_aligned(a, b)
        if len(b) == 1:
            y_pred = _reshaped(y_pred, lambda x: ops.expand_dims(x, -1))
        else:
            y_true = ops.squeeze(y_true, axis=-1)
    elif len(b) - len(a) == 1 and b[-1] == 1:
        if warn:
            _warn_aligned(a, b)
        if len(a) == 1:
            y_true = ops.expand_dims(y_true, -1)
        else:
            y_pred = _reshaped(y_pred, lambda x: ops.squeeze(x, axis=-1))
    return y_true, y_pred


def _reshaped(y_pred, change):
    """Change the shape of predictions and of the logits they remember."""
    found = change(y_pred)
    carried = getattr(y_pred, "_keras_logits", None)
    if carried is not None and carried[0] == "sigmoid":
        found._keras_logits = (carried[0], change(carried[1]))
    if y_pred._keras_mask is not None:
        found._keras_mask = y_pred._keras_mask
    return found


def _warn_aligned(a, b):
    if all(n == 1 for n in a) or all(n == 1 for n in b):
        return  # broadcasting gives the same
    warnings.warn(
        f"y_true has shape {tuple(a)} and y_pred {tuple(b)}: they were compared element by element, as of "
        "one shape. Reshape the targets to the predictions' shape to make this explicit",
        UserWarning, stacklevel=4,
    )


# ---- reduction ------------------------------------------------------------------------------------
def standardize_reduction(reduction):
    """Return the reduction's name; an unknown one is a ``ValueError``."""
    if reduction == "auto":
        return "sum_over_batch_size"
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {REDUCTIONS} (or 'auto'), came {reduction!r}")
    return reduction


def combined_mask(first, second):
    """Return the mask of what both masks keep; ``None`` keeps everything."""
    if first is None or second is None:
        return second if first is None else first
    first, second = to_tensor(first, "bool"), to_tensor(second, "bool")
    rank = max(len(first.shape), len(second.shape))
    return ops.logical_and(_trailing_ones(first, rank), _trailing_ones(second, rank))


def reduce(values, weights, reduction):
    """Reduce per-sample ``values``, which are multiplied by ``weights`` first."""
    if reduction is None or reduction == "none" or (weights is None and not len(values.shape)):
        return values if weights is None else values * weights
    if reduction == "mean_with_sample_weight" and weights is not None:
        return ops.divide_no_nan(ops.sum(values * weights), ops.sum(weights))
    return ops.weighted_total(values, weights, mean=reduction != "sum")


def reduce_weighted(values, sample_weight, mask, reduction, era="keras3"):
    """Reduce per-sample ``values`` with weights and a mask.

    The mean is over the values that the mask keeps. Keras 2.3 counted the others as well; Keras 2.2 took the
    mean over what neither the mask nor a weight of zero takes out.
    """
    weights = None if sample_weight is None else to_tensor(sample_weight, values.dtype, values)
    if mask is not None:
        mask = to_tensor(mask, values.dtype, values)
        if len(mask.shape) > len(values.shape):
            if any(n != 1 for n in mask.shape[len(values.shape):]):
                raise ValueError(
                    f"the mask has shape {tuple(mask.shape)}, but the loss has one value for each of "
                    f"{tuple(values.shape)}; a mask must cover the leading axes of the predictions"
                )
            mask = ops.reshape(mask, mask.shape[:len(values.shape)])
        if reduction in ("mean", "sum_over_batch_size") and era != "keras231":
            mask = mask * (mask.size / (ops.sum(mask) + config.epsilon()))
        weights = _fit(mask, values) if weights is None else _fit(weights, values) * _fit(mask, values)
    else:
        weights = _fit(weights, values)
    if era == "keras224" and sample_weight is not None and reduction != "sum":
        given = to_tensor(sample_weight, values.dtype, values)
        weights = ops.divide_no_nan(weights, ops.mean(ops.cast(ops.not_equal(given, 0), values.dtype)))
    return reduce(values, weights, reduction)


def _fit(weights, values):
    """Give weights the rank of the values: trailing axes of size 1 come and go."""
    shape, wanted = tuple(weights.shape), tuple(values.shape)
    if not wanted:  # a custom loss that reduced by itself
        return weights
    while len(shape) > len(wanted) and shape[-1] == 1:
        shape = shape[:-1]
    if shape and len(shape) < len(wanted):
        shape = shape + (1,) * (len(wanted) - len(shape))
    if len(shape) > len(wanted) or any(n not in (1, m) for n, m in zip(shape, wanted)):
        raise ValueError(
            f"sample_weight has shape {tuple(weights.shape)}, but the loss has values of shape {wanted}; "
            "expected one weight per sample, or one per value"
        )
    return weights if shape == tuple(weights.shape) else ops.reshape(weights, shape)


def _trailing_ones(x, rank):
    return x if len(x.shape) == rank else ops.reshape(x, tuple(x.shape) + (1,) * (rank - len(x.shape)))
