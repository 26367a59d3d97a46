"""Nested structures of lists, tuples, named tuples and dictionaries."""

from __future__ import annotations

from collections.abc import Callable, Mapping

# What a type is, found once: asking the abstract class Mapping on every leaf of every step is slow.
_LEAF, _SEQUENCE, _MAPPING = range(3)
_kinds: dict[type, int] = {list: _SEQUENCE, tuple: _SEQUENCE, dict: _MAPPING}


def _kind(value) -> int:
    cls = type(value)
    found = _kinds.get(cls)
    if found is None:
        sequence = issubclass(cls, (list, tuple))
        mapping = issubclass(cls, Mapping) and not hasattr(cls, "tocsr")  # one of scipy's formats
        found = _SEQUENCE if sequence else _MAPPING if mapping else _LEAF
        _kinds[cls] = found
    return found


def is_nested(value) -> bool:
    """Tell whether ``value`` is a list, tuple or mapping."""
    return _kind(value) != _LEAF


def flatten(structure) -> list:
    """Return the leaves in order; mappings in the order of their sorted keys.

    Examples
    --------
    >>> flatten({"b": 1, "a": [2, (3,)]})
    [2, 3, 1]
    """
    kind = _kind(structure)
    if kind == _LEAF:
        return [structure]
    items = structure if kind == _SEQUENCE else [structure[key] for key in _keys(structure)]
    found: list = []
    for item in items:
        if _kind(item) == _LEAF:
            found.append(item)
        else:
            found += flatten(item)
    return found


def map_structure(function: Callable, structure, *others):
    """Apply ``function`` to the leaves of one or several alike structures.

    Examples
    --------
    >>> map_structure(lambda a, b: a + b, {"x": 1}, {"x": 2})
    {'x': 3}
    """
    kind = _kind(structure)
    if kind == _LEAF:
        return function(structure, *others)
    if kind == _MAPPING:
        items = {k: map_structure(function, structure[k], *(o[k] for o in others)) for k in structure}
        return items if type(structure) is dict else type(structure)(items)
    sequence = [map_structure(function, *rest) for rest in zip(structure, *others, strict=True)]
    return type(structure)(*sequence) if hasattr(structure, "_fields") else type(structure)(sequence)


def pack_sequence_as(structure, flat_sequence):
    """Put the leaves ``flat_sequence`` (in the order of ``flatten``) into the shape of ``structure``."""
    leaves = list(flat_sequence)
    wanted = len(flatten(structure))
    if len(leaves) != wanted:
        raise ValueError(f"the structure has {wanted} leaves, {len(leaves)} values were given")
    return _pack(structure, iter(leaves))


def _pack(structure, leaves):
    kind = _kind(structure)
    if kind == _LEAF:
        return next(leaves)
    if kind == _MAPPING:
        found = {key: _pack(structure[key], leaves) for key in _keys(structure)}
        ordered = {key: found[key] for key in structure}
        return ordered if type(structure) is dict else type(structure)(ordered)
    items = [_pack(item, leaves) for item in structure]
    return type(structure)(*items) if hasattr(structure, "_fields") else type(structure)(items)


def _keys(mapping: Mapping) -> list:
    try:
        return sorted(mapping)
    except TypeError:  # keys of several types have no order of their own
        return list(mapping)


def assert_same_structure(a, b) -> None:
    """Raise ``ValueError`` where two structures differ in nesting, length or keys."""
    if isinstance(a, Mapping) and isinstance(b, Mapping) and set(a) == set(b):
        for key in a:
            assert_same_structure(a[key], b[key])
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)) and len(a) == len(b):
        for x, y in zip(a, b):
            assert_same_structure(x, y)
    elif is_nested(a) or is_nested(b):
        raise ValueError(f"the structures differ: {a!r} and {b!r}")
