"""``Case``: an op, what goes into it, and the settings to try."""

from __future__ import annotations

import numpy as np


class Case:
    """A function of ``keras.ops``, its inputs, and the arguments that are tried one set after the other.

    Parameters
    ----------
    name : str
        Path below ``keras.ops``, such as ``"sum"`` or ``"image.resize"``.
    inputs : dict
        Arguments by name; arrays and lists of arrays become tensors. Under ``"*"`` stands a tuple of further
        arguments that have no names: then all are passed by position, in this order.
    *settings : dict
        Further arguments, one dictionary for each call; they may replace inputs. One call without any unless
        given.
    gradients : bool
        Whether gradients with regard to the floating inputs are compared (of floating results).
    eager : bool
        JAX cannot compile the call: shapes of the results depend on values, or there is nothing to compile.
    symbolic : bool
        Whether shapes and types of the results are compared with those that Keras tells of symbolic tensors.
    unknown : int or None
        Axis whose size is unknown in a second comparison of that kind; ``None``: there is no such comparison.
    kinds : bool
        Whether the types of results are compared for inputs of all types.
    tolerance : float
        Relative, and absolute in units of the largest value.
    real : bool
        Real Keras on JAX can do it: it has parameters there that only other engines take.
    label : str
        Tells several cases of one op apart.
    """

    def __init__(self, name, inputs, *settings, gradients=True, eager=False, symbolic=True, unknown=0,
                 kinds=True, tolerance=1e-5, real=True, label=""):
        self.name, self.inputs, self.settings = name, inputs, settings or ({},)
        self.gradients, self.eager, self.symbolic, self.unknown = gradients, eager, symbolic, unknown
        self.kinds, self.tolerance, self.real, self.label = kinds, tolerance, real, label

    def find(self, ops):
        """Return the function in a library's ``ops`` module."""
        for part in self.name.split("."):
            ops = getattr(ops, part)
        return ops

    def call(self, ops, settings, replaced=None):
        """Return the result of one call; ``replaced`` are inputs to use in place of those of the table."""
        values = {**self.inputs, **(replaced or {}), **settings}
        function = self.find(ops)
        if "*" not in values:
            return function(**values)
        further = values.pop("*")
        named = [values.pop(name) for name in self.inputs if name != "*"]
        return function(*named, *further, **values)

    def floats(self, settings) -> dict:
        """Return the inputs of one call that have gradients, by name."""
        return {name: value for name, value in self.arrays(settings).items() if _is_float(value)}

    def arrays(self, settings) -> dict:
        """Return the inputs of one call that are arrays or lists of arrays, by name."""
        return {name: value for name, value in self.inputs.items() if name not in settings and _arrays(value)}

    def __repr__(self):
        return f"{self.name}-{self.label}" if self.label else self.name


def each(names, *settings, **inputs):
    """Return cases of several ops with the same inputs and settings; ``options`` are those of ``Case``."""
    options = inputs.pop("options", {})
    return [Case(name, inputs, *settings, **options) for name in names.split()]


def _arrays(value) -> bool:
    if isinstance(value, (list, tuple)):
        return bool(value) and all(isinstance(v, np.ndarray) for v in value)
    return isinstance(value, np.ndarray)


def _is_float(value) -> bool:
    return all(v.dtype.kind == "f" for v in (value if isinstance(value, (list, tuple)) else [value]))
