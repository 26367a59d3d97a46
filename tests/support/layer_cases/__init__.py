"""One table of layers with settings and inputs that several tests walk: a module a family, with ``CASES``."""

import importlib
import pkgutil

from .case import Case, images

__all__ = ["Case", "every_case", "images"]


def every_case() -> list[Case]:
    """Return the cases of all modules here."""
    modules = [m.name for m in pkgutil.iter_modules(__path__) if m.name != "case"]
    return [c for name in modules for c in importlib.import_module(f"{__name__}.{name}").CASES]
