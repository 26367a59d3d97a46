"""Constructor arguments that name objects: initializers, regularizers, constraints, activations."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

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


# ---- names of Keras 1 -------------------------------------------------------------------------------------
ORDERINGS = {"tf": "channels_last", "th": "channels_first", "default": None}  # values of ``dim_ordering``
OLD_WEIGHT_NAMES = {
    "init": "kernel_initializer", "W_regularizer": "kernel_regularizer", "b_regularizer": "bias_regularizer",
    "W_constraint": "kernel_constraint", "b_constraint": "bias_constraint", "bias": "use_bias",
}


def old_names(*sizes: str, **renamed: str) -> Callable:
    """Let a constructor take the keywords of Keras 1 as well, which Keras 2 still understood.

    Parameters
    ----------
    *sizes : str
        Numbers that ``kernel_size`` is made of: ``"nb_row", "nb_col"``. Beside an old keyword they may also
        be given by position, after the number of filters: ``Convolution2D(8, 3, 3, border_mode="same")``.
    **renamed : str
        Old name -> name of the argument today.

    Examples
    --------
    >>> class Layer:
    ...     @old_names("nb_row", "nb_col", nb_filter="filters", dim_ordering="data_format")
    ...     def __init__(self, filters, kernel_size, data_format=None):
    ...         print(filters, kernel_size, data_format)
    >>> made = Layer(8, 3, 3, dim_ordering="th")
    8 (3, 3) channels_first
    >>> made = Layer(nb_filter=8, nb_row=3, nb_col=5)
    8 (3, 5) None
    """
    def decorate(init: Callable) -> Callable:
        names = list(inspect.signature(init).parameters)[1:]

        @functools.wraps(init)
        def wrapped(self, *args, **kwargs):
            found = [name for name in kwargs if name in renamed or name in sizes]
            if found:
                what = type(self).__name__
                by_keyword = any(name in sizes for name in found)
                if sizes and not by_keyword and len(args) == 1 + len(sizes):
                    args, kwargs["kernel_size"] = args[:1], args[1:]
                elif by_keyword:
                    _set(kwargs, "kernel_size", tuple(kwargs.pop(name, None) for name in sizes), sizes, what)
                    if None in kwargs["kernel_size"]:
                        raise TypeError(f"{what} needs all of {', '.join(sizes)}, or kernel_size instead")
                for name in found:
                    if name in renamed:
                        value = kwargs.pop(name)
                        value = ORDERINGS.get(value, value) if name == "dim_ordering" else value
                        _set(kwargs, renamed[name], value, (name,), what)
                twice = [name for name in names[:len(args)] if name in kwargs]
                if twice:
                    raise TypeError(f"{what}: {twice[0]!r} is given twice, by position and by keyword")
            init(self, *args, **kwargs)

        wrapped.old_names = renamed  # type: ignore[attr-defined]  # so that eras know what is given by them
        return wrapped

    return decorate


def _set(kwargs: dict, name: str, value, old, what: str) -> None:
    """Add an argument that was given by its old name."""
    if name in kwargs:
        raise TypeError(f"{what}: give {name!r} or, as in Keras 1, {', '.join(map(repr, old))}; not both")
    kwargs[name] = value
