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


class RadialConstraint(Constraint):
    """Make the elements of a convolution's square window equal that are equally far from its middle.

    Far counts in squares around the middle: the window is made of rings.

    Notes
    -----
    For weights of shape (size, size, inputs, outputs), each pair of input and output by itself. A ring gets
    the value of one element of the diagonal, the one that tf.keras takes: for an odd size the one before the
    ring's own; for an even size that of the next ring, in the middle its own first one.

    Examples
    --------
    >>> w = ops.reshape(ops.arange(16.0), (4, 4, 1, 1))
    >>> ops.squeeze(RadialConstraint()(w)).numpy().tolist()[:2]
    [[15.0, 15.0, 15.0, 15.0], [15.0, 5.0, 5.0, 15.0]]
    """

    def __call__(self, w):
        w = ops.convert_to_tensor(w)
        if len(w.shape) != 4 or w.shape[0] != w.shape[1]:
            raise ValueError(
                "RadialConstraint needs weights of shape (size, size, inputs, outputs), came "
                f"{tuple(w.shape)}"
            )
        size = w.shape[0]
        sources = [_ring_source(row, column, size) for row in range(size) for column in range(size)]
        flat = ops.reshape(w, (size * size, *w.shape[2:]))
        return ops.reshape(ops.take(flat, sources, axis=0), w.shape)


def _ring_source(row: int, column: int, size: int) -> int:
    """Return the place, in the flattened window, of the element whose value a place takes."""
    ring = max(abs(2 * row - size + 1), abs(2 * column - size + 1)) // 2  # 0 is the middle
    place = (size - 1) // 2 + ring + (-1 if size % 2 else ring > 0)
    return max(place, 0) * (size + 1)


def _norms(w, axis):
    axis = axis if isinstance(axis, int) else tuple(axis)
    return ops.sqrt(ops.sum(ops.square(w), axis=axis, keepdims=True))


# ---- names ----------------------------------------------------------------------------------------------
max_norm = maxnorm = MaxNorm
non_neg = nonneg = NonNeg
unit_norm = unitnorm = UnitNorm
min_max_norm = MinMaxNorm
radial_constraint = RadialConstraint
_REGISTRY = Registry(
    "constraint",
    {cls.__name__: cls for cls in (Constraint, MaxNorm, NonNeg, UnitNorm, MinMaxNorm, RadialConstraint)},
    {"maxnorm": "MaxNorm", "nonneg": "NonNeg", "unitnorm": "UnitNorm"},
)
get = _REGISTRY.get


def serialize(constraint, use_legacy_format=False):
    """Return a constraint as a dictionary of plain values; ``use_legacy_format``: in the form of Keras 2."""
    return _REGISTRY.serialize(constraint, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format=False):
    """Return the constraint that ``serialize`` described, in whatever form."""
    return _REGISTRY.deserialize(config, custom_objects)
