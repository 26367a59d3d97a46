"""What a layer owns: the layers and variables in its attributes, and the state shared by nested calls."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping

from gpukeras.symbolic import NAMES

# Attributes that hold layers, variables or tensors for book-keeping and own none of them.
NOT_TRACKED = frozenset({
    "_inbound_nodes", "_losses", "_init_args", "_added_metrics", "_initial_weights", "optimizer",
    "_metrics_cached", "_loss_tracker", "_variables_trained", "_compile_config",
})


class CallState:
    """What the layers being called in one thread share.

    Attributes
    ----------
    stack : list of Layer
        The layers being called or built, outermost first.
    training : bool or None
        The mode the nearest caller asked for.
    tracing : bool
        A layer is drawn up for its shapes only: calls leave no nodes.
    number, loss_number : int
        Counts outermost calls; losses remember in which one they were added. The last call that had any.
    """

    __slots__ = ("loss_number", "number", "stack", "tracing", "training")

    def __init__(self):
        self.stack: list = []
        self.training: bool | None = None
        self.tracing = False
        self.number = 0
        self.loss_number = -1


class _Local(threading.local):
    def __init__(self):
        self.state = CallState()


CALLS = _Local()  # one look-up a call: attributes of a threading.local are slow


class name_scope:
    """Put a name before the paths of variables made inside the ``with`` block.

    Parameters
    ----------
    name : str
    caller : object, optional
        Who opens the scope; where the innermost scope has the same caller and name, no second one is opened
        unless ``deduplicate=False``.
    deduplicate : bool
    override_parent : str, optional
        What stands before the name instead of the names around; ``""``: nothing.

    Examples
    --------
    >>> import gpukeras as keras
    >>> with keras.name_scope("encoder"):
    ...     v = keras.Variable(1.0, name="scale")
    >>> v.path
    'encoder/scale'
    """

    def __init__(self, name, caller=None, deduplicate=True, override_parent=None):
        if not isinstance(name, str) or "/" in name:
            raise ValueError(f"name_scope: name must be a string without '/', came {name!r}")
        self.name = name
        self.caller = caller
        self.deduplicate = deduplicate
        self.override_parent = override_parent

    def __enter__(self):
        self._before = before = NAMES.scopes
        last = before[-1] if before and self.caller is not None else None
        same = last is not None and last[2] is self.caller and last[1] == self.name
        if not (same and self.deduplicate):
            entry = len(CALLS.state.stack), self.name, self.caller, self.override_parent
            NAMES.scopes = (*before, entry)
        return self

    def __exit__(self, *exc):
        NAMES.scopes = self._before


def find_owned(value, kinds) -> Iterator:
    """Yield the objects of ``kinds`` inside ``value``, through lists, tuples, sets and mappings."""
    if isinstance(value, kinds):
        yield value
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from find_owned(item, kinds)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from find_owned(item, kinds)


def owned_attributes(thing, kinds) -> Iterator:
    """Yield the objects of ``kinds`` held by the attributes of ``thing``, in order of the attributes."""
    for key, value in vars(thing).items():
        if key not in NOT_TRACKED:
            yield from find_owned(value, kinds)


def unique(items) -> list:
    """Return ``items`` without repetitions, by identity, in order."""
    return list({id(item): item for item in items}.values())
