"""Nested structures, against the rules written here and against real Keras."""

from __future__ import annotations

from collections import OrderedDict, defaultdict, namedtuple

import pytest

from gpukeras import ops, tree

Pair = namedtuple("Pair", "first second")
NESTED = {"b": [1, (2, None)], "a": Pair(3, {"z": 4})}


def calls(tree):
    """Return calls of each function, on a library's module."""
    def tenfold(x):
        return x * 10 if isinstance(x, int) else None

    def as_tuple(x):
        return tuple(x) if isinstance(x, list) else None

    def without_1(x):
        return tree.MAP_TO_NONE if x == 1 else None

    return {
        "flatten": lambda: tree.flatten(NESTED),
        "flatten None": lambda: tree.flatten(None),
        "flatten ordered": lambda: tree.flatten(OrderedDict(b=1, a=2)),
        "flatten default": lambda: tree.flatten(defaultdict(list, b=1, a=2)),
        "paths": lambda: tree.flatten_with_path(NESTED),
        "paths of a leaf": lambda: tree.flatten_with_path(5),
        "paths ordered": lambda: tree.flatten_with_path(OrderedDict(b=1, a=2)),
        "nested": lambda: [tree.is_nested(x) for x in (None, {}, [], Pair(1, 2), {1}, "ab", 5)],
        "to tuples": lambda: tree.lists_to_tuples([1, [2, (3, [4])], {"a": [5]}]),
        "shapes": lambda: tree.map_shape_structure(lambda s: ("S", s), {"x": (None, 3), "y": [(2,), None]}),
        "shapes as lists": lambda: tree.map_shape_structure(lambda s: ("S", s), [[1, 2], [3, 4], ()]),
        "map": lambda: tree.map_structure(lambda a: (a,), NESTED),
        "map two": lambda: tree.map_structure(lambda a, b: (a, b), NESTED, NESTED),
        "map three": lambda: tree.map_structure(lambda *a: a, (1, 2), (3, 4), (5, 6)),
        "map over None": lambda: tree.map_structure(lambda a: (a,), NESTED, none_is_leaf=False),
        "map None with 2": lambda: tree.map_structure(lambda a, b: a, [None], [2], none_is_leaf=False),
        "map lengths": lambda: tree.map_structure(lambda a, b: a, [1], [1, 2]),
        "map types": lambda: tree.map_structure(lambda a, b: a, [1], (1,)),
        "map depths": lambda: tree.map_structure(lambda a, b: a, [1], [(1, 2)]),
        "map keys": lambda: tree.map_structure(lambda a, b: a, {"a": 1}, {"b": 1}),
        "map mappings": lambda: tree.map_structure(lambda a, b: a + b, {"a": 1}, OrderedDict(a=1)),
        "map default": lambda: tree.map_structure(lambda a: a + 1, defaultdict(list, b=1)),
        "map nothing": lambda: tree.map_structure(abs),
        "map up to": lambda: tree.map_structure_up_to([1, 2], lambda a: (a,), [[1], (2, 3)]),
        "map up to two": lambda: tree.map_structure_up_to(
            {"a": 0, "b": [0, 0]}, lambda x, y: (x, y), {"a": {"q": 1}, "b": [2, [3]]},
            {"a": 5, "b": [6, 7]}),
        "map up to types": lambda: tree.map_structure_up_to([1, 2], lambda a: a, (1, 2)),
        "map up to lengths": lambda: tree.map_structure_up_to([1, 2], lambda a: a, [1]),
        "map up to nothing": lambda: tree.map_structure_up_to([1, 2], lambda a: a),
        "pack": lambda: tree.pack_sequence_as(NESTED, [10, 20, 30, 40, 50]),
        "pack structures": lambda: tree.pack_sequence_as([1, 2], (5, [6])),
        "pack too few": lambda: tree.pack_sequence_as(NESTED, [1]),
        "pack too many": lambda: tree.pack_sequence_as(1, [7, 8]),
        "same": lambda: tree.assert_same_structure([None, {"a": 1}], [1, OrderedDict(a=2)]),
        "same types": lambda: tree.assert_same_structure([1], (2,)),
        "same named": lambda: tree.assert_same_structure(Pair(1, 2), (1, 2)),
        "same paths": lambda: tree.assert_same_paths([1, (2,)], (1, [2])),
        "other paths": lambda: tree.assert_same_paths(1, [2]),
        "traverse": lambda: tree.traverse(tenfold, {"a": 1, "b": Pair(2, None)}),
        "traverse down": lambda: tree.traverse(as_tuple, [1, [2], (3, [4])]),
        "traverse up": lambda: tree.traverse(as_tuple, [1, [2], (3, [4])], top_down=False),
        "traverse to None": lambda: tree.traverse(without_1, [1, [2, 1]]),
    }


def outcome(call):
    """Return a call's result and the types in it, or the type of its error."""
    try:
        return repr(call())
    except (TypeError, ValueError) as error:
        return type(error)


@pytest.mark.parity
@pytest.mark.parametrize("name", calls(tree))
def test_as_keras(real_keras, name):
    assert outcome(calls(tree)[name]) == outcome(calls(real_keras.tree)[name])


def test_tensors_are_leaves():
    x = ops.ones((2, 3))
    assert tree.flatten({"a": x, "b": [x]}) == [x, x]
    assert not tree.is_nested(x)


def test_errors_tell_the_difference():
    with pytest.raises(ValueError, match=r"differ: \[1\] and \(1,\)"):
        tree.map_structure(max, {"a": [1]}, {"a": (1,)})
    with pytest.raises(ValueError, match="the structure has 2 leaves, 1 values were given"):
        tree.pack_sequence_as([0, {"a": 0}], [5])
    with pytest.raises(ValueError, match=r"None in one structure, \(2,\) in others"):
        tree.map_structure(max, [None], [2], none_is_leaf=False)
    with pytest.raises(ValueError, match=r"only in a \{\(1,\)\}, only in b set\(\)"):
        tree.assert_same_paths([1, 2], [1])
