"""Nested structures of lists, tuples, named tuples and dictionaries (``keras.tree``)."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable, Mapping

__all__ = [
    "MAP_TO_NONE", "assert_same_paths", "assert_same_structure", "flatten", "flatten_with_path", "is_nested",
    "lists_to_tuples", "map_shape_structure", "map_structure", "map_structure_up_to", "pack_sequence_as",
    "traverse",
]


class MAP_TO_NONE:
    """What a function given to ``traverse`` returns to put ``None`` in a place."""


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


def is_nested(structure) -> bool:
    """Tell whether ``structure`` is a list, tuple or mapping."""
    return _kind(structure) != _LEAF


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


def map_structure(func: Callable, *structures, none_is_leaf: bool = True):
    """Apply ``func`` to the leaves of one or several structures that are alike.

    Parameters
    ----------
    func : callable
        Takes one leaf of each structure.
    *structures : nested structures
        The result has the types of the first one.
    none_is_leaf : bool
        Whether ``func`` sees what is ``None``; otherwise ``None`` stays where it is.

    Raises
    ------
    ValueError
        Where the structures differ.

    Examples
    --------
    >>> map_structure(lambda a, b: a + b, {"x": 1}, {"x": 2})
    {'x': 3}
    >>> map_structure(str, [1, None], none_is_leaf=False)
    ['1', None]
    """
    if len(structures) == 1 and none_is_leaf:  # as every call of a layer does
        return _map(func, structures[0])
    if not structures:
        raise ValueError("map_structure needs at least one structure")
    structure, others = structures[0], structures[1:]
    for other in others:
        _same_structure(structure, other, whole=True)
    if not none_is_leaf:
        return _map(lambda leaf, *rest: _map_known(func, leaf, rest), structure, others)
    return _map(func, structure, others)


def _map(func, structure, others=()):
    kind = _kind(structure)
    if kind == _LEAF:
        return func(structure, *others)
    if kind == _MAPPING:
        return _like(structure, {k: _map(func, structure[k], [o[k] for o in others]) for k in structure})
    if not others:
        return _like(structure, [_map(func, item) for item in structure])
    return _like(structure, [_map(func, item, rest) for item, *rest in zip(structure, *others)])


def _map_known(func, leaf, others):
    if leaf is not None:
        return func(leaf, *others)
    if any(other is not None for other in others):
        raise ValueError(f"map_structure: None in one structure, {others} in others")
    return None


def _like(structure, items):
    """Return a structure of one level of the same type, with other items."""
    cls = type(structure)
    if cls is list or cls is dict:
        return items
    if cls is tuple:
        return tuple(items)
    if cls is defaultdict:
        return defaultdict(structure.default_factory, items)
    return cls(*items) if hasattr(cls, "_fields") else cls(items)


def map_structure_up_to(shallow_structure, func: Callable, *structures):
    """Apply ``func`` to what stands in ``structures`` at the leaves of ``shallow_structure``.

    Examples
    --------
    >>> map_structure_up_to({"a": 0, "b": 0}, len, {"a": [1, 2], "b": (3,)})
    {'a': 2, 'b': 1}
    """
    if not structures:
        raise ValueError("map_structure_up_to needs at least one structure")
    for structure in structures:
        _same_structure(shallow_structure, structure, whole=False)
    return _map(lambda _, *found: func(*found), shallow_structure, structures)


def map_shape_structure(func: Callable, structure):
    """Apply ``func`` to the shapes, which are tuples or lists of sizes and ``None``, of a structure.

    Examples
    --------
    >>> map_shape_structure(len, {"a": (None, 3), "b": [(2,), (4, 5, 6)]})
    {'a': 2, 'b': [1, 3]}
    """
    kind = _kind(structure)
    if kind == _SEQUENCE and all(size is None or isinstance(size, int) for size in structure):
        return func(structure)
    if kind == _MAPPING:
        return _like(structure, {key: map_shape_structure(func, structure[key]) for key in structure})
    if kind == _SEQUENCE:
        return _like(structure, [map_shape_structure(func, item) for item in structure])
    return func(structure)


def lists_to_tuples(structure):
    """Return the structure with tuples where it has lists.

    Examples
    --------
    >>> lists_to_tuples([1, {"a": [2, 3]}])
    (1, {'a': (2, 3)})
    """
    return traverse(lambda item: tuple(item) if isinstance(item, list) else None, structure, top_down=False)


def traverse(func: Callable, structure, top_down: bool = True):
    """Walk through a structure and replace what ``func`` answers to.

    Parameters
    ----------
    func : callable
        Takes the structure, then its parts. What it returns takes their place: ``None`` leaves them,
        ``MAP_TO_NONE`` puts ``None`` there.
    top_down : bool
        Whether parts come after the whole, and only where ``func`` has not replaced it; otherwise before.

    Examples
    --------
    >>> traverse(lambda part: sum(part) if isinstance(part, tuple) else None, [(1, 2), {"a": (3,)}])
    [3, {'a': 3}]
    """
    if top_down and (found := func(structure)) is not None:
        return _none_if_told(found)
    kind = _kind(structure)
    if kind == _MAPPING:
        structure = _like(structure, {key: traverse(func, structure[key], top_down) for key in structure})
    elif kind == _SEQUENCE:
        structure = _like(structure, [traverse(func, item, top_down) for item in structure])
    if not top_down and (found := func(structure)) is not None:
        return _none_if_told(found)
    return structure


def _none_if_told(found):
    return None if found is MAP_TO_NONE or isinstance(found, MAP_TO_NONE) else found


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
        return _like(structure, {key: found[key] for key in structure})
    return _like(structure, [_pack(item, leaves) for item in structure])


def _keys(mapping: Mapping) -> list:
    if isinstance(mapping, OrderedDict):
        return list(mapping)
    try:
        return sorted(mapping)
    except TypeError:  # keys of several types have no order of their own
        return list(mapping)


def assert_same_structure(a, b, check_types=None) -> None:
    """Raise ``ValueError`` where two structures differ in types, lengths or keys.

    Parameters
    ----------
    check_types : optional
        Has no effect, as in Keras 3: lists and tuples are never the same, mappings of all types are.

    Examples
    --------
    >>> assert_same_structure([1, (2,)], [3, [4]])
    Traceback (most recent call last):
        ...
    ValueError: the structures differ: (2,) and [4]
    """
    _same_structure(a, b, whole=True)


def _same_structure(a, b, whole: bool) -> None:
    """Compare structures, to the end or as far as ``a`` goes."""
    kind = _kind(a)
    if kind == _LEAF:
        if whole and _kind(b) != _LEAF:
            raise ValueError(f"the structures differ: {a!r} and {b!r}")
        return
    same = _kind(b) == kind and len(a) == len(b)
    if same and kind == _MAPPING:
        same = set(a) == set(b)
    elif same:
        same = type(a) is type(b)
    if not same:
        raise ValueError(f"the structures differ: {a!r} and {b!r}")
    for x, y in [(a[key], b[key]) for key in a] if kind == _MAPPING else zip(a, b):
        _same_structure(x, y, whole)


def flatten_with_path(structure) -> list:
    """Return the leaves in the order of ``flatten``, each after the keys and indices that lead to it.

    Examples
    --------
    >>> flatten_with_path({"b": 1, "a": [2, (3,)]})
    [(('a', 0), 2), (('a', 1, 0), 3), (('b',), 1)]
    """
    kind = _kind(structure)
    if kind == _LEAF:
        return [((), structure)]
    keys = _keys(structure) if kind == _MAPPING else range(len(structure))
    return [((key, *path), leaf) for key in keys for path, leaf in flatten_with_path(structure[key])]


def assert_same_paths(a, b) -> None:
    """Raise ``ValueError`` where the leaves of two structures have other keys and indices.

    Lists and tuples count as the same.

    Examples
    --------
    >>> assert_same_paths([1], {"a": 1})
    Traceback (most recent call last):
        ...
    ValueError: the structures have other paths: only in a {(0,)}, only in b {('a',)}
    """
    paths, others = ({path for path, _ in flatten_with_path(structure)} for structure in (a, b))
    if paths != others:
        raise ValueError(
            f"the structures have other paths: only in a {paths - others}, only in b {others - paths}")
