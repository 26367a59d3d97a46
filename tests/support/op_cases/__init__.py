"""One table of ops with inputs and settings that several tests walk: a module a family, with ``CASES``."""

import functools
import importlib
import pkgutil

from .case import Case

__all__ = ["Case", "every_case"]


@functools.cache
def every_case() -> list[Case]:
    """Return the cases of all modules here."""
    modules = [m.name for m in pkgutil.iter_modules(__path__) if m.name not in ("case", "data")]
    return [c for name in modules for c in importlib.import_module(f"{__name__}.{name}").CASES]
