"""Sizes that stand in for unknown ones while a ``call`` is traced for its shapes.

``ops.zeros((ops.shape(x)[0], 3))`` or ``ops.sum(x) / ops.shape(x)[0]`` need a number. Tracing twice, with two
different numbers, tells which sizes of the outputs depend on it: those are unknown.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from gpukeras import tree
from gpukeras.symbolic import KerasTensor

_SIZES = (840, 1260)  # with many divisors, so that splitting and regrouping such an axis works
_local = threading.local()  # size: what stands in now


class StandIn(int):
    """A size put in place of an unknown one."""


def has_unknown_sizes(values) -> bool:
    """Tell whether a symbolic tensor among ``values`` has a size of ``None``."""
    return any(isinstance(x, KerasTensor) and None in x.shape for x in tree.flatten(values))


def trace_with_stand_ins(call: Callable, args: tuple, kwargs: dict):
    """Return the outputs of ``call`` with the sizes that depend on unknown ones as ``None``."""
    found = []
    before = _local.__dict__.get("size")
    for size in map(StandIn, _SIZES):
        def fill(x, size=size):
            if not isinstance(x, KerasTensor) or None not in x.shape:
                return x
            return KerasTensor(tuple(size if n is None else n for n in x.shape), x.dtype, name=x.name)

        _local.size = size
        try:
            found.append(call(*tree.map_structure(fill, args), **tree.map_structure(fill, kwargs)))
        finally:
            _local.size = before
    first, second = map(tree.flatten, found)
    merged = [_merge(a, b) for a, b in zip(first, second)]
    return tree.pack_sequence_as(found[0], merged) if tree.is_nested(found[0]) else merged[0]


def _merge(one, two):
    if not hasattr(one, "shape"):
        return one
    shape = tuple(a if a == b else None for a, b in zip(one.shape, two.shape))
    return KerasTensor(shape, str(one.dtype))


def without_stand_ins(shape):
    """Return a shape, or a structure of shapes, with ``None`` again where a size stood in."""
    if isinstance(shape, StandIn):
        return None
    if isinstance(shape, Mapping):
        return {k: without_stand_ins(v) for k, v in shape.items()}
    if isinstance(shape, (tuple, list)):
        found = [without_stand_ins(v) for v in shape]
        # Shape rules turn sizes into plain integers; a batch axis is known by the number itself.
        if found and type(found[0]) is int and found[0] == _local.__dict__.get("size"):
            found[0] = None
        return type(shape)(found)
    return shape
