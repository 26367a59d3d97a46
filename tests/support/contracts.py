"""The contracts: public names, parameters and defaults of each Keras release, and what of them is left out.

The facts lie in ``tests/contracts/facts``, in the format that the README beside them explains.
"""

from __future__ import annotations

import ast
import functools
import importlib
import json
import pathlib

FACTS = pathlib.Path(__file__).resolve().parents[1] / "contracts" / "facts"
# The areas that hold numeric things: layers and what layers are made of, ops, models.
AREAS = (
    "activations", "constraints", "dtype_policies", "experimental", "initializers", "layers", "losses",
    "metrics", "mixed_precision", "models", "objectives", "ops", "optimizers", "random", "regularizers",
    "tree",
    "DTypePolicy", "FloatDTypePolicy", "Function", "Initializer", "Input", "InputSpec", "KerasTensor",
    "Layer", "Loss", "Metric", "Model", "Operation", "Optimizer", "Regularizer", "RematScope", "Sequential",
    "StatelessScope", "SymbolicScope", "Variable", "name_scope", "remat",
)
REQUIRED = object()  # a parameter without a default
UNKNOWN = object()  # a default that is not a plain value


@functools.cache
def contract(name: str) -> dict:
    """Return one contract file."""
    return json.loads((FACTS / f"{name}.json").read_text(encoding="utf-8"))


def symbols(name: str) -> dict:
    """Return the symbols of a contract in the areas of this library's catalogue."""
    return {path: entry for path, entry in contract(name)["symbols"].items() if path.split(".")[0] in AREAS}


def resolve(path: str):
    """Return what ``keras.<path>`` is here; ``AttributeError`` where it is nothing."""
    found = importlib.import_module("gpukeras")
    parts = path.split(".")
    for i, part in enumerate(parts):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:  # a module that nobody imported yet
                found = importlib.import_module("gpukeras." + ".".join(parts[: i + 1]))
            except ModuleNotFoundError:
                raise AttributeError(f"no {path}") from None
    return found


def parameters(entry: dict) -> dict | None:
    """Return {name: default} of a constructor or function; None where the contract does not know them.

    Stars and slashes are left out.
    """
    if entry.get("p") is None:
        return None
    found = {}
    for text in entry["p"]:
        name, _, default = text.partition("=")
        if name.startswith("*") or name == "/":
            continue
        found[name] = REQUIRED if "=" not in text else value(default)
    return found


def value(text: str):
    """Return the value of a default as it is written in a contract."""
    if text == "?":
        return UNKNOWN
    return ast.literal_eval(text)


def further(name: str, entry: dict) -> list[str]:
    """Return the names that the symbol takes through ``**kwargs``."""
    return contract(name)["kwgroups"][entry["kw"]] if "kw" in entry else []


def takes_any(entry: dict) -> bool:
    """Tell whether a symbol has ``**kwargs``."""
    return any(p.startswith("**") for p in entry.get("p") or ())
