"""Python operators and NumPy-style methods of tensors, bound to ``Tensor`` and ``KerasTensor``.

One table for both classes: what works on values works on symbolic tensors.
"""

from __future__ import annotations

from gpukeras import ops
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor


def _reflected(f):
    """Return ``f`` with its two operands swapped."""

    def method(self, other):
        return f(other, self)

    return method


def _comparison(f):
    """Return ``f`` as a comparison that leaves ``None``, strings and other strangers to Python."""

    def method(self, other):
        if other is None or isinstance(other, (str, bytes, dict, type)):
            return NotImplemented
        return f(self, other)

    return method


def _logical(for_bools, for_ints):
    """Return ``&``, ``|`` or ``^``: logic on booleans, bits on integers."""

    def method(self, other):
        kind = str(getattr(other, "dtype", "bool" if isinstance(other, bool) else "int"))
        return (for_bools if str(self.dtype) == "bool" and kind == "bool" else for_ints)(self, other)

    return method


def _invert(self):
    return ops.logical_not(self) if str(self.dtype) == "bool" else ops.bitwise_not(self)


def _reshape(self, *newshape):
    """Return the same elements in another shape, given as a tuple or as separate sizes."""
    return ops.reshape(
        self, newshape[0] if len(newshape) == 1 and not hasattr(newshape[0], "__index__") else newshape
    )


def _transpose(self, *axes):
    """Return the tensor with its axes reversed, or in the order given."""
    if len(axes) == 1 and (axes[0] is None or not hasattr(axes[0], "__index__")):
        axes = axes[0]
    return ops.transpose(self, axes or None)


def _flatten(self):
    """Return the elements as one axis."""
    return ops.reshape(self, (-1,))


def _round(self, decimals=0):
    """Return the tensor rounded to ``decimals`` places."""
    return ops.round(self, decimals or 0)


def _clip(self, min=None, max=None):
    """Return the tensor limited to ``[min, max]``."""
    return ops.clip(self, min, max)


def _astype(self, dtype, copy=True):
    """Return the tensor with another dtype."""
    return ops.cast(self, dtype)


def _t(self):
    """The tensor with its axes reversed."""
    return ops.transpose(self)


def _mt(self):
    """The tensor with its last two axes swapped."""
    return ops.swapaxes(self, -1, -2)


OPERATORS = {
    "__add__": ops.add,
    "__radd__": _reflected(ops.add),
    "__sub__": ops.subtract,
    "__rsub__": _reflected(ops.subtract),
    "__mul__": ops.multiply,
    "__rmul__": _reflected(ops.multiply),
    "__truediv__": ops.divide,
    "__rtruediv__": _reflected(ops.divide),
    "__floordiv__": ops.floor_divide,
    "__rfloordiv__": _reflected(ops.floor_divide),
    "__mod__": ops.mod,
    "__rmod__": _reflected(ops.mod),
    "__divmod__": ops.divmod,
    "__rdivmod__": _reflected(ops.divmod),
    "__pow__": ops.power,
    "__rpow__": _reflected(ops.power),
    "__matmul__": ops.matmul,
    "__rmatmul__": _reflected(ops.matmul),
    "__neg__": ops.negative,
    "__pos__": ops.positive,
    "__abs__": ops.absolute,
    "__invert__": _invert,
    "__round__": _round,
    "__and__": _logical(ops.logical_and, ops.bitwise_and),
    "__rand__": _logical(ops.logical_and, ops.bitwise_and),
    "__or__": _logical(ops.logical_or, ops.bitwise_or),
    "__ror__": _logical(ops.logical_or, ops.bitwise_or),
    "__xor__": _logical(ops.logical_xor, ops.bitwise_xor),
    "__rxor__": _logical(ops.logical_xor, ops.bitwise_xor),
    "__lshift__": ops.bitwise_left_shift,
    "__rlshift__": _reflected(ops.bitwise_left_shift),
    "__rshift__": ops.bitwise_right_shift,
    "__rrshift__": _reflected(ops.bitwise_right_shift),
    "__eq__": _comparison(ops.equal),
    "__ne__": _comparison(ops.not_equal),
    "__lt__": _comparison(ops.less),
    "__le__": _comparison(ops.less_equal),
    "__gt__": _comparison(ops.greater),
    "__ge__": _comparison(ops.greater_equal),
    "__getitem__": ops.getitem,
}

METHODS = {
    "reshape": _reshape,
    "transpose": _transpose,
    "flatten": _flatten,
    "ravel": _flatten,
    "round": _round,
    "clip": _clip,
    "astype": _astype,
    "T": property(_t),
    "mT": property(_mt),
    **{
        name: getattr(ops, name)
        for name in (
            "sum", "mean", "std", "var", "prod", "max", "min", "ptp", "argmax", "argmin", "all", "any",
            "cumsum",
            "cumprod", "squeeze", "swapaxes", "repeat", "take", "diagonal", "trace", "copy", "dot", "sort",
            "argsort", "nonzero", "conj", "conjugate", "searchsorted",
        )
    },
}


def bind() -> None:
    """Give both tensor classes the operators and methods."""
    for cls in (Tensor, KerasTensor):
        for name, value in {**OPERATORS, **METHODS}.items():
            setattr(cls, name, value)
        setattr(cls, "__hash__", object.__hash__)  # noqa: B010  == is elementwise; tensors stay usable as keys


bind()
