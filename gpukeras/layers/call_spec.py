"""What a layer's methods take, and the shapes and masks of what came."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import numpy as np

from gpukeras import tree
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor


class CallSpec:
    """The parameters of a class's ``call``.

    Attributes
    ----------
    names : list of str
        Parameters that may be given by position, without ``self``.
    first : str
        The first of them: the inputs; empty where there is none.
    training, mask : bool
        Whether ``call`` takes an argument of that name.
    training_position : int
        Where ``training`` stands among positional arguments.
    training_default : bool or None
    masks : list of (str, str)
        Further arguments ``x`` that have an argument ``x_mask`` beside them.
    """

    def __init__(self, cls):
        parameters = list(inspect.signature(cls.call).parameters.values())[1:]
        by_name = {p.name: p for p in parameters}
        self.names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.first = self.names[0] if self.names else ""
        self.training = "training" in by_name
        self.mask = "mask" in by_name
        takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
        self.training_position = 1000 if takes_any else len(self.names)
        if "training" in self.names:
            self.training_position = self.names.index("training")
        default = by_name["training"].default if self.training else None
        self.training_default = default if isinstance(default, bool) else None
        self.masks = [(n, f"{n}_mask") for n in self.names if f"{n}_mask" in by_name]


_specs: dict[type, CallSpec] = {}


def call_spec(cls) -> CallSpec:
    """Return the ``CallSpec`` of a layer class, worked out once."""
    found = _specs.get(cls)
    if found is None:
        found = _specs[cls] = CallSpec(cls)
    return found


def shapes_for(method, spec: CallSpec, args: tuple, kwargs: dict):
    """Return the shape arguments with which to call ``build`` or ``compute_output_shape``.

    A method with one parameter gets the shape of the inputs; one with several (``query_shape``,
    ``value_shape``) gets the shapes of the arguments of those names.

    Returns
    -------
    tuple of (tuple, dict)
        Positional and keyword arguments.
    """
    shapes = {}
    for name, value in (dict(zip(spec.names, args)) | kwargs).items():
        leaves = tree.flatten(value)
        if leaves and all(hasattr(leaf, "shape") for leaf in leaves):
            shapes[name] = tree.map_structure(shape_of, value)
    names = [n for n in inspect.signature(method).parameters if n != "self"]
    wanted = {n: shapes[n.removesuffix("_shape")] for n in names if n.removesuffix("_shape") in shapes}
    if len(names) > 1 and wanted:
        return (), wanted
    return (shapes.get(spec.first, next(iter(shapes.values()), None)),), {}


def shape_of(x) -> tuple | None:
    """Return the shape of a tensor as a tuple; ``None`` for anything without one."""
    return tuple(x.shape) if hasattr(x, "shape") else None


def is_shape(value) -> bool:
    """Tell whether ``value`` is one shape, not a structure of shapes."""
    return isinstance(value, (tuple, list)) and all(
        n is None or isinstance(n, (int, np.integer)) for n in value
    )


def specs_of_shapes(shape, dtype):
    """Turn a shape, or a structure of shapes, into symbolic tensors."""
    if is_shape(shape):
        return KerasTensor(tuple(shape), dtype)
    if isinstance(shape, Mapping):
        return {k: specs_of_shapes(v, dtype) for k, v in shape.items()}
    return type(shape)(specs_of_shapes(s, dtype) for s in shape)


def as_tuples(shape):
    """Return a shape, or a structure of shapes read from JSON, with every shape as a tuple."""
    if shape is None:
        return None
    if is_shape(shape):
        return tuple(shape)
    if isinstance(shape, Mapping):
        return {k: as_tuples(v) for k, v in shape.items()}
    return [as_tuples(s) for s in shape]


def masks_of(value):
    """Return the masks of an argument, in its structure, or ``None`` where there are none."""
    if type(value) is Tensor:
        return value._keras_mask
    if not tree.is_nested(value):
        return getattr(value, "_keras_mask", None)
    if all(getattr(x, "_keras_mask", None) is None for x in tree.flatten(value)):
        return None
    return tree.map_structure(lambda x: getattr(x, "_keras_mask", None), value)


def is_numbers(value) -> bool:
    """Tell whether a nested list holds plain numbers only."""
    leaf = value
    while isinstance(leaf, (list, tuple)) and leaf:
        leaf = leaf[0]
    return isinstance(leaf, (bool, int, float, np.generic))
