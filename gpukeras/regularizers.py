"""Penalties on weights or outputs, added to the loss."""

from __future__ import annotations

import math

from gpukeras import ops
from gpukeras.registry import Configured, Registry


class Regularizer(Configured):
    """Base of regularizers: an object that is called with a tensor and returns a scalar penalty.

    Subclasses write ``__call__(self, x)`` from differentiable ops and, where they take arguments,
    ``get_config``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> class Top(Regularizer):
    ...     def __call__(self, x):
    ...         return 0.5 * ops.max(x)
    >>> float(Top()([1.0, 4.0]))
    2.0
    """

    def __call__(self, x):
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, x)")


class L1(Regularizer):
    """``l1 * sum(|x|)``: drives weights to exactly zero.

    Parameters
    ----------
    l1 : float
        Also accepted as ``l``, its name in Keras 2.

    Examples
    --------
    >>> float(L1(0.5)([1.0, -3.0]))
    2.0
    """

    def __init__(self, l1=0.01, **kwargs):
        self.l1 = _factor("L1", "l1", _old_name("L1", kwargs, l1))

    def __call__(self, x):
        return self.l1 * ops.sum(ops.abs(x))

    def get_config(self):
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(x ** 2)``: keeps weights small.

    Parameters
    ----------
    l2 : float
        Also accepted as ``l``, its name in Keras 2.

    Examples
    --------
    >>> float(L2(0.5)([1.0, -3.0]))
    5.0
    """

    def __init__(self, l2=0.01, **kwargs):
        self.l2 = _factor("L2", "l2", _old_name("L2", kwargs, l2))

    def __call__(self, x):
        return self.l2 * ops.sum(ops.square(x))

    def get_config(self):
        return {"l2": self.l2}


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x ** 2)``.

    Parameters
    ----------
    l1, l2 : float
        A factor of zero leaves its part out.

    Examples
    --------
    >>> float(L1L2(1.0, 0.5)([1.0, -3.0]))
    9.0
    """

    def __init__(self, l1=0.0, l2=0.0):
        self.l1 = _factor("L1L2", "l1", 0.0 if l1 is None else l1)
        self.l2 = _factor("L1L2", "l2", 0.0 if l2 is None else l2)

    def __call__(self, x):
        parts = []
        if self.l1:
            parts.append(self.l1 * ops.sum(ops.abs(x)))
        if self.l2:
            parts.append(self.l2 * ops.sum(ops.square(x)))
        if not parts:
            return ops.zeros((), dtype=getattr(x, "dtype", None))
        return parts[0] if len(parts) == 1 else parts[0] + parts[1]

    def get_config(self):
        return {"l1": self.l1, "l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Penalty on rows (or columns) of a matrix that point into similar directions.

    Parameters
    ----------
    factor : float
    mode : {"rows", "columns"}

    Notes
    -----
    ``factor`` times the mean, over pairs of different rows, of the absolute value of the dot product of the
    rows after scaling them to length one.

    Examples
    --------
    >>> round(float(OrthogonalRegularizer(1.0)([[2.0, 0.0], [1.0, 1.0]])), 4)
    0.7071
    """

    def __init__(self, factor=0.01, mode="rows"):
        self.factor = _factor("OrthogonalRegularizer", "factor", factor)
        if mode not in ("rows", "columns"):
            raise ValueError(f"mode of OrthogonalRegularizer must be 'rows' or 'columns', came {mode!r}")
        self.mode = mode

    def __call__(self, inputs):
        x = ops.convert_to_tensor(inputs)
        if len(x.shape) != 2:
            raise ValueError(f"OrthogonalRegularizer needs a matrix, came shape {tuple(x.shape)}")
        axis = 1 if self.mode == "rows" else 0
        # Rows of zeros stay zeros: the smallest length counted keeps the division defined.
        unit = x / ops.sqrt(ops.maximum(ops.sum(ops.square(x), axis=axis, keepdims=True), 1e-12))
        turned = ops.transpose(unit)
        dots = ops.matmul(unit, turned) if self.mode == "rows" else ops.matmul(turned, unit)
        size = x.shape[1 - axis]
        others = ops.abs(dots * (1.0 - ops.eye(size, dtype=x.dtype)))
        return self.factor * 0.5 * ops.sum(others) / max(1.0, size * (size - 1.0) / 2.0)

    def get_config(self):
        return {"factor": self.factor, "mode": self.mode}


def _old_name(owner: str, kwargs: dict, value):
    """Return the factor, which Keras 2 called ``l``."""
    value = kwargs.pop("l", value)
    if kwargs:
        raise TypeError(f"{owner} got an unexpected argument {next(iter(kwargs))!r}")
    return value


def _factor(owner: str, argument: str, value) -> float:
    try:
        factor = float(value)
    except (TypeError, ValueError):
        factor = math.nan
    if not math.isfinite(factor) or factor < 0:
        raise ValueError(f"{argument} of {owner} must be a finite number, zero or larger, came {value!r}")
    return factor


# ---- names ----------------------------------------------------------------------------------------------
l1 = L1
l2 = L2
l1_l2 = L1L2
orthogonal_regularizer = OrthogonalRegularizer
_REGISTRY = Registry(
    "regularizer",
    {cls.__name__: cls for cls in (Regularizer, L1, L2, L1L2, OrthogonalRegularizer)},
    {"l1_l2": "L1L2"},
)


def serialize(regularizer, use_legacy_format=False):
    """Return a regularizer as a dictionary of plain values; ``use_legacy_format``: in the form of Keras 2."""
    return _REGISTRY.serialize(regularizer, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format=False):
    """Return the regularizer that ``serialize`` described, in whatever form."""
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier):
    """Return the regularizer for a name, a configuration, a class, a function, an instance or None.

    Examples
    --------
    >>> get("l2"), get(None), get({"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}})
    (L2(l2=0.01), None, L1L2(l1=0.1, l2=0.2))
    """
    if identifier == "l1_l2":  # a name of Keras 2 alone, where it stood for these factors
        return L1L2(0.01, 0.01)
    return _REGISTRY.get(identifier)
