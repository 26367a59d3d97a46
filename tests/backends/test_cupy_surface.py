"""Every array function that our code takes exists in CuPy, with the arguments that we give it."""

import ast
import importlib.util
import pathlib

import pytest
from support import cupy_surface

ROOT = pathlib.Path(__file__).resolve().parents[2]
FILES = sorted([*ROOT.glob("gpukeras/**/*.py"), *ROOT.glob("backends/*.py"), *ROOT.glob("kernels/*.py")])
# Array methods with which no other kind of object is called in array code.
METHODS = {
    "sum", "mean", "max", "min", "argmax", "argmin", "any", "all", "astype", "take", "argsort", "cumsum",
    "cumprod", "prod", "std", "var", "argpartition", "repeat", "ravel", "swapaxes", "transpose",
}
UFUNC_METHODS = {"at", "reduce", "accumulate", "reduceat", "outer"}


class Uses(ast.NodeVisitor):
    """Collect ``xp.f`` and ``cupy.f`` (or deeper), with their calls, outside of code for NumPy alone."""

    def __init__(self):
        self.found = []  # (dotted name, call or None, line)
        self.methods = []  # (name, call)
        self.rooms = {}  # local names of modules

    def visit_ClassDef(self, node):
        if not node.name.startswith("Numpy"):
            self.generic_visit(node)

    def visit_ImportFrom(self, node):
        if (node.module or "").partition(".")[0] in ("cupy", "cupyx"):
            for alias in node.names:
                self.rooms[alias.asname or alias.name] = f"{node.module}.{alias.name}"

    def visit_Call(self, node):
        name = self.dotted(node.func)
        if name:
            self.found.append((name, node, node.lineno))
            for part in (*node.args, *node.keywords):
                self.visit(part)
            return
        if isinstance(node.func, ast.Name) and node.func.id == "getattr" and self.is_module(node.args[0]):
            if isinstance(node.args[1], ast.Constant):
                self.found.append((f"cupy.{node.args[1].value}", None, node.lineno))
        called = node.func
        if isinstance(called, ast.Attribute) and called.attr in METHODS and not is_numpy(called.value):
            self.methods.append((node.func.attr, node))
        self.generic_visit(node)

    def visit_Attribute(self, node):
        name = self.dotted(node)
        if name:
            self.found.append((name, None, node.lineno))
        else:
            self.generic_visit(node)

    def is_module(self, node):
        return isinstance(node, ast.Name) and node.id in ("xp", "cupy", "cupyx") or (
            isinstance(node, ast.Attribute) and node.attr == "xp")

    def dotted(self, node):
        parts = []
        while isinstance(node, ast.Attribute) and not self.is_module(node):
            parts.insert(0, node.attr)
            node = node.value
        if not parts:
            return None
        if self.is_module(node):
            root = node.id if isinstance(node, ast.Name) and node.id == "cupyx" else "cupy"
        elif isinstance(node, ast.Name) and node.id in self.rooms:
            root = self.rooms[node.id]
        else:
            return None
        return ".".join([root, *parts])


def is_numpy(node) -> bool:
    return isinstance(node, ast.Name) and node.id in ("np", "numpy", "ops", "keras", "self", "shapes")


def uses(path):
    collector = Uses()
    collector.visit(ast.parse(path.read_text()))
    return collector


def entry(facts, name):
    """Return what is known about a dotted name, or raise ``KeyError``; attributes of values are known."""
    room, _, leaf = name.rpartition(".")
    if leaf.startswith("__"):
        return {}
    if room in facts:
        return facts[room][leaf]
    if leaf in UFUNC_METHODS:
        return {"ufunc method": entry(facts, room)}
    if room.rpartition(".")[0] == "":
        raise KeyError(name)
    entry(facts, room)
    return {}


def misused(known, call):
    """Say which argument of ``call`` the function does not take, or ``None``."""
    keywords = {k.arg for k in call.keywords if k.arg}
    if "loops" in known:
        most, names = None, {"out", "dtype", "casting"} - {"casting"}
    elif "parameters" in known:
        parameters = known["parameters"]
        if "**" in parameters:
            return None
        names = {p.lstrip("*") for p in parameters}
        most = None if "..." in parameters else sum(not p.startswith("*") for p in parameters)
    else:
        return None
    if keywords - names:
        return f"keyword {sorted(keywords - names)}, CuPy takes {sorted(names)}"
    if most is not None and not any(isinstance(a, ast.Starred) for a in call.args) and len(call.args) > most:
        return f"{len(call.args)} positional arguments, CuPy takes {most}"
    return None


def problems(facts):
    for path in FILES:
        collector = uses(path)
        where = path.relative_to(ROOT).as_posix()
        for name, call, line in collector.found:
            try:
                known = entry(facts, name)
            except KeyError:
                yield f"{where}:{line}: {name} does not exist"
                continue
            if "ufunc method" in known and not name.endswith(".at"):
                yield f"{where}:{line}: {name}: few of CuPy's ufuncs have it"
            elif call is not None and (problem := misused(known, call)):
                yield f"{where}:{line}: {name} with {problem}"
        if where.startswith(("backends/", "gpukeras/ops/")):
            for name, call in collector.methods:
                if problem := misused(facts["cupy.ndarray"][name], call):
                    yield f"{where}:{call.lineno}: array method {name} with {problem}"


def test_names_and_arguments_by_the_stored_facts():
    assert list(problems(cupy_surface.stored())) == []


def test_names_and_arguments_in_the_installed_wheel():
    pytest.importorskip("cupy",
                        reason="CuPy is not installed (its wheel needs no GPU): pip install cupy-cuda12x")
    assert list(problems(cupy_surface.collect())) == []


def test_stored_facts_are_those_of_the_wheel():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed: pip install cupy-cuda12x")
    facts = cupy_surface.stored()
    if cupy.__version__ != facts["version"]:
        pytest.skip(f"facts of CuPy {facts['version']}, installed is {cupy.__version__}")
    if importlib.util.find_spec("ml_dtypes") is None:
        facts = cupy_surface.without_bfloat16(facts)
    assert cupy_surface.collect() == facts


def test_the_search_sees_what_it_should():
    text = """
def f(self, backend, x):
    xp = backend.xp
    xp.no_such(x); self.xp.linalg.nothing(x); xp.sum(x, where=x); xp.add(x, x, where=x)
    xp.add.reduceat(x, x); xp.take(x, x, 0, None, "clip"); x.array.sum(initial=0); backend.xp.exp(x, out=x)
class NumpyThing:
    def g(self, xp):
        xp.no_such()
"""
    collector = Uses()
    collector.visit(ast.parse(text))
    names = [name for name, _, _ in collector.found]
    assert names == ["cupy.no_such", "cupy.linalg.nothing", "cupy.sum", "cupy.add", "cupy.add.reduceat",
                     "cupy.take", "cupy.exp"]
    facts = cupy_surface.stored()
    for name in names[:2]:
        with pytest.raises(KeyError):
            entry(facts, name)
    calls = {name: call for name, call, _ in collector.found}
    assert misused(entry(facts, "cupy.sum"), calls["cupy.sum"])
    assert misused(entry(facts, "cupy.add"), calls["cupy.add"])
    assert "5 positional" in misused(entry(facts, "cupy.take"), calls["cupy.take"])
    assert misused(entry(facts, "cupy.exp"), calls["cupy.exp"]) is None
    assert misused(facts["cupy.ndarray"]["sum"], collector.methods[0][1])
