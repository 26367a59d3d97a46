"""Imports point downward only, and CuPy is reached from two places only (see README, layout)."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Rooms from the ground up. A module may import, when it is itself imported, from its own floor and below.
FLOORS = [
    ["kernels"],
    ["backends"],
    [
        "version", "lazy", "dtypes", "tree", "symbolic", "tensor", "autograd", "op", "registry", "saving",
        "config", "dtype_policies", "random", "rematerialization", "scopes",
        "sparse", "text",
    ],
    ["ops"],
    [
        "activations", "callbacks", "constraints", "datasets", "initializers", "layers", "losses", "metrics",
        "mixed_precision", "optimizers", "regularizers", "utils",
    ],
    ["models", "experimental"],
    ["compat", "demo", "__main__", "__init__"],
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
FILES = sorted(p for top in ("gpukeras", "backends", "kernels") for p in (ROOT / top).rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the module's name without ``gpukeras.``: ``layers.core``, ``backends.base``."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    parts = parts[1:] if parts[0] == "gpukeras" else parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


def imports(path: Path):
    """Yield (module, line, whether it is imported with the file) for all imports, relative ones resolved."""
    name = name_of(path)
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [f for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef))]
    inside = {id(node) for f in functions for node in ast.walk(f)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.names[0].name != "*", f"{path}:{node.lineno}: star import"
            if node.level:
                base = ["gpukeras", *package[: len(package) - node.level + 1]]
                base += [node.module] if node.module else []
            else:
                base = [node.module]
            found = [".".join([*base, alias.name]) for alias in node.names]
        else:
            continue
        for module in found:
            yield module, node.lineno, id(node) not in inside


@pytest.mark.parametrize("path", FILES, ids=[str(p.relative_to(ROOT)) for p in FILES])
def test_imports_of(path):
    own = name_of(path).split(".")[0]
    assert own in FLOOR_OF, f"room {own!r} stands on no floor; add it to FLOORS"
    for module, line, at_once in imports(path):
        where = f"{path.relative_to(ROOT)}:{line}"
        first, _, rest = module.partition(".")
        second_copy = first in ("backends", "kernels")
        assert not second_copy, f"{where}: write gpukeras.{module}; {module} is a second copy"
        if first in ("cupy", "cupyx"):
            allowed = own == "kernels" or (own == "backends" and "cupy" in path.name)
            assert allowed, f"{where}: only backends/cupy_* and kernels/ import cupy"
        if first == "gpukeras" and at_once and own != "__init__":
            room = rest.partition(".")[0]
            if room not in FLOOR_OF:  # a name that gpukeras/__init__ makes public
                top = FLOOR_OF[own] == len(FLOORS) - 1
                assert top, f"{where}: import {module} from the module that defines it"
                continue
            assert FLOOR_OF[room] <= FLOOR_OF[own], f"{where}: {own} must not import {room}, which is above"


def test_relative_imports_stay_in_their_room():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, f"{path.relative_to(ROOT)}:{node.lineno}: import by the long name"


def test_every_package_is_listed():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for path in FILES:
        if path.name == "__init__.py":
            parts = path.parent.relative_to(ROOT).parts
            package = ".".join(parts if parts[0] == "gpukeras" else ("gpukeras", *parts))
            assert f'"{package}"' in text, f"{package} is missing in [tool.setuptools] packages"
