"""What CuPy offers: names, parameters and ufunc loops of the real wheel, stored as facts in a JSON file.

The stand-in for a GPU (``fake_cupy``) offers exactly this, and ``tests/backends/test_cupy_surface.py``
compares our source with it. The wheel imports without a driver, so the file is renewed on any machine::

    pip install cupy-cuda12x ml_dtypes && python tests/support/cupy_surface.py

With ``ml_dtypes`` installed CuPy has loops for bfloat16, whose letter is E. A Python float beside such an
array makes float32, as in NumPy.
"""

from __future__ import annotations

import functools
import inspect
import json
import pathlib
import re

FILE = pathlib.Path(__file__).with_suffix(".json")
MODULES = (
    "cupy", "cupy.linalg", "cupy.fft", "cupy.random", "cupy.cuda", "cupy.cuda.runtime",
    "cupy.cuda.driver", "cupy.cuda.compiler", "cupy.lib.stride_tricks", "cupyx", "cupyx.scipy.special",
)
CLASSES = (
    "cupy.ndarray", "cupy.random.Generator", "cupy.cuda.Device", "cupy.cuda.Stream", "cupy.cuda.Event",
    "cupy.cuda.Graph", "cupy.cuda.MemoryPool", "cupy.RawKernel", "cupy.RawModule",
)


@functools.cache
def stored() -> dict:
    """Return the stored facts: ``{"version": ..., module or class: {name: entry}}``.

    An entry is ``{"loops": [...], "nin": n}`` for a ufunc, ``{"parameters": [...]}`` for a function whose
    parameters are known (``*`` before those that are keyword-only, ``**`` where any keyword goes), else
    ``{}``.
    """
    return json.loads(FILE.read_text())


def collect() -> dict:
    """Return the same of the CuPy that is installed."""
    import cupy

    found: dict = {"version": cupy.__version__}
    for name in MODULES:
        module = _found(name)
        found[name] = {n: _entry(getattr(module, n)) for n in sorted(dir(module)) if not n.startswith("_")}
    for name in CLASSES:
        home, _, leaf = name.rpartition(".")
        cls = getattr(_found(home), leaf)
        found[name] = {n: _entry(getattr(cls, n)) for n in sorted(dir(cls)) if not n.startswith("_")}
        found[home][leaf] = {}  # some modules make their classes on demand and do not list them
    return {
        room: names if isinstance(names, str) else dict(sorted(names.items()))
        for room, names in found.items()
    }


def without_bfloat16(facts: dict) -> dict:
    """Return facts as the wheel has them without ``ml_dtypes``."""
    if "loops" in facts:
        return facts | {"loops": [text for text in facts["loops"] if "E" not in text]}
    return {name: without_bfloat16(e) if isinstance(e, dict) else e for name, e in facts.items()}


def _found(name: str):
    """Return a module; some cannot be imported by the name under which they are known."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        home, _, leaf = name.rpartition(".")
        return getattr(importlib.import_module(home), leaf)


def _entry(thing) -> dict:
    loops, count = getattr(thing, "types", None), getattr(thing, "nin", None)
    if isinstance(loops, (list, tuple)) and isinstance(count, int):
        return {"loops": list(loops), "nin": count}
    if not callable(thing) or isinstance(thing, type):
        return {}
    try:
        known = [_spelled(p) for p in inspect.signature(thing).parameters.values()]
    except (TypeError, ValueError):
        known = _from_docstring(thing)
    return {} if known is None else {"parameters": [n for n in known if n not in ("self", "/")]}


def _spelled(parameter) -> str:
    mark = {parameter.KEYWORD_ONLY: "*", parameter.VAR_KEYWORD: "**", parameter.VAR_POSITIONAL: "..."}
    name = mark.get(parameter.kind, "")
    return name if name in ("**", "...") else name + parameter.name


def _from_docstring(thing):
    """Read the parameters of compiled code from the first line of its docstring, as Cython writes them."""
    first, *_ = (thing.__doc__ or "").strip().splitlines() or [""]
    match = re.match(r"[\w.]+\((.*?)\)(\s*->.*)?$", first)
    if match is None:
        return None
    found, mark = [], ""
    for part in match[1].split(","):
        name = re.split(r"[=:]", part.strip())[0].strip().split(" ")[-1]
        if name.startswith("**"):
            found.append("**")
        elif name == "*":
            mark = "*"
        elif name.startswith("*"):
            found.append("...")
            mark = "*"
        elif re.fullmatch(r"\w+", name):
            found.append(mark + name)
    return found


if __name__ == "__main__":
    facts = collect()
    lines = [f'"version": {json.dumps(facts.pop("version"))}']
    for room, names in facts.items():
        inner = ",\n".join(f"  {json.dumps(n)}: {json.dumps(e)}" for n, e in names.items())
        lines.append(f"{json.dumps(room)}: {{\n{inner}\n}}")
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
