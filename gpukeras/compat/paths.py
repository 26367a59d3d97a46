"""Old names of modules: ``keras.layers.merge``, ``keras.engine.topology``, ``keras.objectives``.

Importing such a name gives a module whose names are those of today's modules.
"""

from __future__ import annotations

import importlib.machinery
import sys

# Old module -> the modules that hold its names today.
OLD = {
    "layers.advanced_activations": ("layers",),
    "layers.cudnn_recurrent": ("layers",),
    "layers.embeddings": ("layers",),
    "layers.local": ("layers",),
    "layers.merge": ("layers",),
    "objectives": ("losses",),
    "engine": ("layers", "models"),
    "engine.base_layer": ("layers", "symbolic"),
    "engine.input_layer": ("layers",),
    "engine.network": ("models",),
    "engine.saving": ("saving", "models"),
    "engine.sequential": ("models",),
    "engine.topology": ("layers", "models", "symbolic"),
    "engine.training": ("models",),
}


class Finder:
    """Import hook for the names in ``OLD``; it stands last, so that only names without a file reach it."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        package, _, old = fullname.partition(".")
        if package != "gpukeras" or old not in OLD:
            return None
        packages = any(name.startswith(f"{old}.") for name in OLD)
        return importlib.machinery.ModuleSpec(fullname, Loader(), is_package=packages)  # type: ignore[arg-type]


class Loader:
    """Makes the module of an old name."""

    @staticmethod
    def create_module(spec):
        return None  # Python's own kind

    @staticmethod
    def exec_module(module):
        old = module.__name__.partition(".")[2]
        module.__doc__ = f"An old name of {' and '.join(f'keras.{home}' for home in OLD[old])}."
        module.__getattr__, module.__dir__ = _names(module, OLD[old])


def _names(module, homes):
    def __getattr__(name: str):
        if not name.startswith("__"):
            for home in homes:
                found = getattr(importlib.import_module(f"gpukeras.{home}"), name, None)
                if found is not None:
                    setattr(module, name, found)
                    return found
        raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")

    def __dir__():
        listed = (dir(importlib.import_module(f"gpukeras.{home}")) for home in homes)
        return sorted({name for names in listed for name in names if not name.startswith("_")})

    return __getattr__, __dir__


def install() -> None:
    """Let Python find the old names."""
    if not any(finder is Finder for finder in sys.meta_path):
        sys.meta_path.append(Finder)  # a class with find_spec is enough
