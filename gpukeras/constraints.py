"""Rules that weights obey after every optimizer step."""

from __future__ import annotations

from gpukeras import config as settings
from gpukeras import ops
from gpukeras.registry import Configured, Registry


class Constraint(Configured):
    """Base of constraints: an object that is called with a weight and returns its allowed value.

    Subclasses write ``__call__(self, w)`` from ops and, where they take arguments, ``get_config``.

    Examples
    --------
    >>> from gpukeras import ops
    >>> class Below(Constraint):
    ...     def __call__(self, w):
    ...         return ops.minimum(w, 1.0)
    >>> Below()([0.5, 3.0]).numpy().tolist()
    [0.5, 1.0]
    """

    def __call__(self, w):
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, w)")


class MaxNorm(Constraint):
    """Scale weights down where their length exceeds a limit.

    Parameters
    ----------
    max_value : float
        The limit.
    axis : int or sequence of int
        Axes that make up one vector: 0 for a dense kernel (inputs of a unit), ``[0, 1, 2]`` for a 2D
        convolution with channels last.

    References
    ----------
    Srivastava et al., 2014, "Dropout: a simple way to prevent neural networks from overfitting".

    Examples
    --------
    >>> MaxNorm(2.5)([[3.0], [4.0]]).numpy().tolist()
    [[1.5], [2.0]]
    """

    def __init__(self, max_value=2, axis=0):
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w):
        w = ops.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        return w * (ops.clip(norms, 0, self.max_value) / (settings.epsilon() + norms))

    def get_config(self):
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Set negative weights to zero.

    Examples
    --------
    >>> NonNeg()([-1.0, 2.0]).numpy().tolist()
    [0.0, 2.0]
    """

    def __call__(self, w):
        return ops.maximum(w, 0.0)


class UnitNorm(Constraint):
    """Scale weights to length one.

    Parameters
    ----------
    axis : int or sequence of int
        Axes that make up one vector; see ``MaxNorm``.
    """

    def __init__(self, axis=0):
        self.axis = axis

    def __call__(self, w):
        w = ops.convert_to_tensor(w)
        return w / (settings.epsilon() + _norms(w, self.axis))

    def get_config(self):
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Pull the length of weights between two limits.

    Parameters
    ----------
    min_value, max_value : float
    rate : float
        1 moves all the way at once; less moves only this share of the way at each step.
    axis : int or sequence of int
        Axes that make up one vector; see ``MaxNorm``.

    Notes
    -----
    The new length is ``(1 - rate) * length + rate * clip(length, min_value, max_value)``.
    """

    def __init__(self, min_value=0.0, max_value=1.0, rate=1.0, axis=0):
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w):
        w = ops.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        wanted = self.rate * ops.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return w * (wanted / (settings.epsilon() + norms))

    def get_config(self):
        return {
            "min_value": self.min_value, "max_value": self.max_value, "rate": self.rate, "axis": self.axis,
        }


def _norms(w, axis):
    axis = axis if isinstance(axis, int) else tuple(axis)
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


# ---- names ----------------------------------------------------------------------------------------------
max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm
_REGISTRY = Registry(
    "constraint",
    {cls.__name__: cls for cls in (Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm)},
    {"maxnorm": "MaxNorm", "nonneg": "NonNeg", "unitnorm": "UnitNorm"},
)
get = _REGISTRY.get
serialize = _REGISTRY.serialize
deserialize = _REGISTRY.deserialize
