"""Constructor arguments that name objects: initializers, regularizers, constraints, activations."""

from __future__ import annotations

from gpukeras import activations, constraints, initializers, regularizers

_ROOMS = {
    "initializer": initializers, "regularizer": regularizers, "constraint": constraints,
    "activation": activations,
}


def _room(name: str):
    return _ROOMS.get(name.rpartition("_")[2])


def take_arguments(layer, **arguments) -> None:
    """Keep arguments as attributes of the same name; what ``kernel_initializer="zeros"`` names is made."""
    for name, value in arguments.items():
        room = _room(name)
        setattr(layer, name, value if room is None else room.get(value))


def written_arguments(layer, *names: str) -> dict:
    """Return attributes of ``layer`` for its configuration, objects as plain values."""
    found = {}
    for name in names:
        value = getattr(layer, name)
        room = _room(name)
        found[name] = value if room is None or value is None else room.serialize(value)
    return found


def refuse(layer, **arguments) -> None:
    """Raise for arguments of Keras that are not supported, where they are given."""
    for name, value in arguments.items():
        if value is not None:
            raise NotImplementedError(
                f"{type(layer).__name__}: {name}={value!r} is not supported; leave it out"
            )
