"""Modules whose names load on first use (PEP 562)."""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable, Mapping


def names(module: str, homes: Mapping[str, str], second_names: Mapping[str, str] | None = None,
          absent: Mapping[str, str] | None = None) -> tuple[Callable, Callable]:
    """Return ``__getattr__`` and ``__dir__`` for a module whose public names live elsewhere.

    Parameters
    ----------
    module : str
        The module's ``__name__``.
    homes : dict
        Public name -> module that defines it, by its full name.
    second_names : dict, optional
        Further names -> the public name they stand for.
    absent : dict, optional
        Names of Keras that are left out -> why.

    Examples
    --------
    >>> find, names_of = names("gpukeras.lazy", {"sqrt": "math"}, {"root": "sqrt"})
    >>> find("root")(4.0)
    2.0
    >>> find("sqr")
    Traceback (most recent call last):
        ...
    AttributeError: module 'gpukeras.lazy' has no attribute 'sqr'; did you mean 'sqrt'?
    """
    second_names = second_names or {}

    def __getattr__(name: str):
        canonical = second_names.get(name, name)
        if absent and name in absent:
            raise AttributeError(f"{name} is not part of gpukeras: {absent[name]}")
        if canonical not in homes:
            if (found := submodule(module, name)) is not None:
                return found
            near = difflib.get_close_matches(name, [*homes, *second_names], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise AttributeError(f"module {module!r} has no attribute {name!r}{hint}")
        found = getattr(importlib.import_module(homes[canonical]), canonical)
        setattr(sys.modules[module], name, found)  # next time Python finds it without asking
        return found

    def __dir__():
        return sorted({*vars(sys.modules[module]), *homes, *second_names})

    return __getattr__, __dir__


def submodule(package: str, name: str):
    """Return the module ``package.name``, imported now if need be; None where there is none."""
    if name.startswith("_") or not hasattr(sys.modules[package], "__path__"):
        return None
    try:
        return importlib.import_module(f"{package}.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"{package}.{name}":
            raise
        return None


def second_home(module: str) -> Callable:
    """Return ``__getattr__`` for a module under whose name Keras 2 kept more names of its package.

    The package has tables ``_HOMES`` and ``_SECOND_NAMES``, as ``names`` takes them.
    """
    package = sys.modules[module.rpartition(".")[0]]

    def __getattr__(name: str):
        tables = vars(package)
        home = tables["_HOMES"].get(tables["_SECOND_NAMES"].get(name, name))
        if home is None or (home == module and name in tables["_HOMES"]):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return getattr(package, name)

    return __getattr__


def homes(package: str, rooms: Mapping[str, str]) -> dict[str, str]:
    """Turn ``{"core": "Dense Masking"}`` into ``{"Dense": "package.core", "Masking": "package.core"}``."""
    return {name: f"{package}.{room}" for room, listed in rooms.items() for name in listed.split()}
