"""Custom classes and functions that saved configurations may name."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping

_GLOBAL: dict[str, object] = {}
_NAMES: dict[object, str] = {}  # registered class or function -> "package>name"
_local = threading.local()


def get_custom_objects() -> dict:
    """Return the process-wide dictionary of custom objects; change it to add or remove names.

    Examples
    --------
    >>> get_custom_objects()["twice"] = lambda x: 2 * x
    >>> "twice" in get_custom_objects()
    True
    >>> del get_custom_objects()["twice"]
    """
    return _GLOBAL


class CustomObjectScope:
    """Make custom names known inside a ``with`` block of this thread.

    Parameters
    ----------
    *custom_objects : dict
        Names with their classes or functions; later dictionaries win.

    Examples
    --------
    >>> from gpukeras import regularizers
    >>> with CustomObjectScope({"none_at_all": lambda w: 0.0}):
    ...     r = regularizers.get("none_at_all")
    >>> r(3)
    0.0
    """

    def __init__(self, *custom_objects: Mapping):
        self.custom_objects: dict[str, object] = {}
        for objects in custom_objects:
            self.custom_objects.update(objects or {})

    def __enter__(self):
        _local.__dict__.setdefault("scopes", []).append(self.custom_objects)
        return self

    def __exit__(self, *exc):
        _local.scopes.pop()


custom_object_scope = CustomObjectScope


def find_custom(name, custom_objects: Mapping | None = None):
    """Return the custom object called ``name``, or None.

    The given dictionary is asked first, then open scopes from the innermost out, then the global dictionary.
    """
    if custom_objects and name in custom_objects:
        return custom_objects[name]
    for objects in reversed(getattr(_local, "scopes", ())):
        if name in objects:
            return objects[name]
    return _GLOBAL.get(name)


def register_keras_serializable(package: str = "Custom", name: str | None = None):
    """Decorate a class or function so that saved models find it as ``package>name``.

    Parameters
    ----------
    package : str
    name : str, optional
        Defaults to the object's own name.

    Raises
    ------
    ValueError
        For a class without ``get_config``: it could be written but never read.

    Examples
    --------
    >>> @register_keras_serializable("my_package")
    ... def scaled(x):
    ...     return x * 3
    >>> get_registered_name(scaled)
    'my_package>scaled'
    """

    def decorate(thing):
        if inspect.isclass(thing) and not hasattr(thing, "get_config"):
            raise ValueError(
                f"cannot register class {thing.__name__}: it needs a get_config() method that returns its "
                "constructor arguments"
            )
        full = f"{package}>{name or thing.__name__}"
        _GLOBAL[full] = thing
        _NAMES[thing] = full
        return thing

    return decorate


def get_registered_name(obj) -> str:
    """Return ``package>name`` of a registered class or function, else its own name."""
    try:
        found = _NAMES.get(obj)
    except TypeError:  # unhashable callables cannot have been registered
        found = None
    return found or obj.__name__


def get_registered_object(
    name: str, custom_objects: Mapping | None = None, module_objects: Mapping | None = None
):
    """Return the class or function called ``name``, or None.

    Parameters
    ----------
    name : str
    custom_objects, module_objects : dict, optional
        Asked before and after the open scopes and the global dictionary.
    """
    found = find_custom(name, custom_objects)
    return found if found is not None or not module_objects else module_objects.get(name)
