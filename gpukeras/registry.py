"""What the strings stand for: ``"relu"``, ``"adam"``, ``{"class_name": "L2", ...}``."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping

from gpukeras.saving.registration import find_custom
from gpukeras.saving.serialization import REGISTRIES, deserialize_keras_object, serialize_keras_object
from gpukeras.symbolic import to_snake_case


class Configured:
    """Base of small objects that are their constructor arguments and no more."""

    def get_config(self) -> dict:
        """Return the constructor arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict):
        """Return an object of these arguments."""
        return cls(**config)

    def __repr__(self):
        arguments = ", ".join(f"{key}={value!r}" for key, value in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


class Registry:
    """The built-in objects of one kind, by every name that a Keras release gave them.

    Parameters
    ----------
    kind : str
        One word for error messages: ``"initializer"``.
    objects : dict
        Canonical names with their classes or functions. Classes also answer to their name in snake case
        (``"glorot_uniform"``), unless the dictionary gives that name to something else.
    aliases : dict, optional
        Further names with the canonical name they stand for.
    module : str, optional
        Public module written into saved configurations, ``"keras.initializers"``; default: plural of kind.
    modules : dict, optional
        Names whose module differs from ``module``.
    plain_names : bool
        Built-in functions are serialized as their name alone (activations) instead of as a dictionary.
    ignore_case : bool
        Accept any capitals, as Keras 2 did for optimizers.
    homes : dict, optional
        Further classes that load on first use: canonical names with the module that defines each.

    Examples
    --------
    >>> fruits = Registry("fruit", {"Apple": dict, "pear": max}, {"pomme": "Apple"}, module="example.fruits")
    >>> fruits.get("apple"), fruits.get("pomme"), fruits.get("pear") is max, fruits.get(None)
    ({}, {}, True, None)
    >>> fruits.get("aple")
    Traceback (most recent call last):
        ...
    ValueError: unknown fruit 'aple'; did you mean 'apple'? Known: Apple, pear. ...
    """

    def __init__(
        self, kind: str, objects: Mapping[str, object], aliases: Mapping[str, str] | None = None, *,
        module: str | None = None, modules: Mapping[str, str] | None = None, plain_names: bool = False,
        ignore_case: bool = False, homes: Mapping[str, str] | None = None,
    ):
        self.kind = kind
        self.module = module or f"keras.{kind}s"
        self.plain_names = plain_names
        self.ignore_case = ignore_case
        self._objects: dict[str, object] = dict.fromkeys(homes or {})  # None: not loaded yet
        self._homes = dict(homes or {})
        self._aliases: dict[str, str] = {to_snake_case(name): name for name in self._homes}
        self._modules = dict(modules or {})
        self._names: dict[object, str] = {}
        for name, thing in objects.items():
            self.add(name, thing)
        for alias, name in (aliases or {}).items():
            self.alias(alias, name)
        REGISTRIES[self.module] = self

    def add(self, name: str, thing) -> None:
        """Add a built-in class or function under its canonical name."""
        self._objects[name] = thing
        self._names.setdefault(thing, name)
        if inspect.isclass(thing):
            self._aliases.setdefault(to_snake_case(name), name)

    def alias(self, alias: str, name: str) -> None:
        """Let ``alias`` stand for the canonical ``name``."""
        if name not in self._objects:
            raise KeyError(f"alias {alias!r} of {self.kind} {name!r}, which does not exist")
        self._aliases[alias] = name

    def replace(self, name: str, thing) -> Callable:
        """Let a canonical name stand for something else; the result is called to take that back."""
        before = self._objects[name]
        self._objects[name] = thing
        known = self._names.get(thing)
        self._names[thing] = name

        def take_back() -> None:
            self._objects[name] = before
            del self._names[thing]
            if known is not None:
                self._names[thing] = known

        return take_back

    def __contains__(self, name) -> bool:
        return self.find(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._objects)

    def find(self, name: str):
        """Return the built-in class or function called ``name``, or None."""
        if name in self._objects:
            return self._load(name)
        if name in self._aliases:
            return self._load(self._aliases[name])
        if self.ignore_case:
            names = {known.lower(): known for known in (*self._aliases, *self._objects)}
            known = names.get(name.lower())
            return None if known is None else self._load(self._aliases.get(known, known))
        return None

    def _load(self, name: str):
        """Return the object of a canonical name, loading its module where that has not happened yet."""
        found = self._objects[name]
        if found is None:
            found = self._objects[name] = getattr(importlib.import_module(self._homes[name]), name)
        return found

    def name_of(self, thing) -> str | None:
        """Return the canonical name of a built-in class or function, or None for anything else."""
        try:
            found = self._names.get(thing)
        except TypeError:  # unhashable: not one of ours
            return None
        if found is None and inspect.isclass(thing):
            name = vars(thing).get("public_name", thing.__name__)
            return name if self._homes.get(name) == thing.__module__ else None
        return found

    def module_of(self, name: str) -> str:
        """Return the public module of the canonical ``name``."""
        return self._modules.get(name, self.module)

    def get(self, identifier, custom_objects: Mapping | None = None):
        """Return the object that ``identifier`` stands for.

        Parameters
        ----------
        identifier : None, str, dict, class, callable or instance
            None stays None; a name or a configuration gives an object (a class is called without arguments);
            a class is called without arguments; anything else callable is returned as it is.
        custom_objects : dict, optional
            Names asked first, before the open ``custom_object_scope`` and the built-in ones.

        Raises
        ------
        ValueError
            For a name that nothing answers to, with the nearest known name and the list; and for something
            that cannot stand for an object of this kind.
        """
        if identifier is None:
            return None
        if isinstance(identifier, str):
            found = find_custom(identifier, custom_objects)
            found = self.lookup(identifier) if found is None else found
            return found() if inspect.isclass(found) else found
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier, custom_objects)
        if inspect.isclass(identifier):
            return identifier()
        if callable(identifier) or hasattr(identifier, "get_config"):
            return identifier
        raise ValueError(
            f"cannot make {_article(self.kind)} {self.kind} of {identifier!r}; expected a name, a "
            "configuration dictionary, a class, a function or an instance"
        )

    def lookup(self, name: str):
        """Return the built-in class or function called ``name``; an unknown name raises ``ValueError``."""
        found = self.find(name)
        if found is None:
            raise ValueError(self.unknown(name))
        return found

    def unknown(self, name: str) -> str:
        """Return the message for an unknown name: the nearest known one, the list, and what to do."""
        known = [*self._objects, *self._aliases]
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        if not near:  # "ADAM", "Cross-Entropy": compare without capitals and punctuation
            plain = {_plain(k): k for k in known}
            near = [plain[p] for p in difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)]
        hint = f"; did you mean {near[0]!r}?" if near else "."
        return (
            f"unknown {self.kind} {name!r}{hint} Known: {', '.join(sorted(self._objects, key=str.lower))}. "
            "Custom ones: pass the object itself, or name it in keras.utils.custom_object_scope"
        )

    def serialize(self, thing, legacy: bool = False):
        """Return ``thing`` as a dictionary of plain values (see ``saving.serialize_keras_object``).

        ``legacy``: in the form of Keras 2, the class's name and its configuration, or a function's name.
        """
        if legacy:
            found = serialize_keras_object(thing)
            if not isinstance(found, Mapping):
                return found
            if found["class_name"] == "function":
                return found["config"]
            return {"class_name": found["registered_name"] or found["class_name"], "config": found["config"]}
        if self.plain_names and not inspect.isclass(thing):
            name = self.name_of(thing)
            if name is not None:
                return name
        return serialize_keras_object(thing)

    def deserialize(self, config, custom_objects: Mapping | None = None):
        """Return the object that ``serialize`` described; a name and the form of Keras 2 work as well."""
        if isinstance(config, str):
            return self.get(config, custom_objects)
        if isinstance(config, Mapping) and "class_name" not in config:
            raise ValueError(
                f"cannot make {_article(self.kind)} {self.kind} of {config!r}; expected a dictionary with "
                "'class_name' and 'config'"
            )
        return deserialize_keras_object(config, custom_objects, registry=self)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def is_own(thing) -> bool:
    """Tell whether a class or function, or the class of an object, is the library's."""
    found = thing if hasattr(thing, "__qualname__") else type(thing)
    return found.__module__.startswith("gpukeras.")
