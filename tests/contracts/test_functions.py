"""Each documented parameter of each function is taken, in its place, has its default, has its effect."""

from __future__ import annotations

import functools
import inspect

import numpy as np
import pytest
from support import contracts, function_cases, op_cases
from support.left_out import parameter_reason, reason
from support.op_cases.data import X

from gpukeras import compat
from gpukeras.tensor import Tensor

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]  # of old names, and of logarithms of 0

ROOMS = ("ops", "random", "losses", "metrics", "activations", "regularizers", "constraints", "initializers",
         "tree")
CONTRACTS = ("keras3", "tfkeras2", "keras231", "keras224")
_READ = "both formats are told apart by themselves"
_SPEED = "chose a faster way there; results are the same"
# Parameters that change no result, with the reason.
WITHOUT_EFFECT = {
    **{f"{room}.deserialize": ("use_legacy_format", _READ) for room in (
        "activations", "constraints", "initializers", "losses", "metrics", "regularizers")},
    "activations.serialize": ("use_legacy_format", "functions have their names in both formats"),
    **{f"ops.segment_{name}": ("sorted", _SPEED) for name in ("sum", "prod", "max", "min")},
    "ops.dot_product_attention": ("flash_attention", _SPEED), "ops.isin": ("assume_unique", _SPEED),
    "ops.scan": ("unroll", _SPEED), "ops.top_k": ("sorted", "results are always in order"),
    "ops.unique": ("sorted", "results are always in order"),
    "ops.moments": ("synchronized", "there is one device to each model"),
    "ops.unstack": ("num", "is told by the tensor; symbolic ones may not know it"),
    "tree.assert_same_structure": ("check_types", "has none in Keras 3 either"),
}
# Parameters with a default here that are needed there.
OPTIONAL_HERE = {("ops.clip", "x_min"), ("ops.clip", "x_max")}  # ``None`` leaves a side open, as in NumPy


def functions(contract, room):
    """Return the functions of a room with their entries, each once."""
    return [(path, entry) for path, entry in contracts.symbols(contract).items()
            if path.split(".")[0] == room and entry.get("k") == "function" and not reason(path)]


def rooms_of(contract):
    return [(contract, room) for room in ROOMS if functions(contract, room)]


WALK = [pair for contract in CONTRACTS for pair in rooms_of(contract)]


@pytest.mark.parametrize("contract, room", WALK)
def test_signatures(contract, room):
    """Parameters stand in the contract's order, before any of ours, with its defaults; none swallows more."""
    problems = []
    with compat.era_scope(contract):
        for path, entry in functions(contract, room):
            problems += [f"{path}: {problem}" for problem in _signature_problems(path, entry, contract)]
    assert not problems, "\n".join(problems)


def _signature_problems(path, entry, contract):
    wanted = contracts.parameters(entry)
    function = contracts.resolve(path)
    if not callable(function):
        yield f"is {function!r}"
        return
    found = inspect.signature(function).parameters
    open_ends = {p.name for p in found.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    ours = [name for name in found if name not in open_ends]
    if inspect.isclass(function):  # a function there; ``test_effects`` calls it by the names it had
        return
    if ours[: len(wanted)] != list(wanted):
        yield f"parameters are {ours}, expected {list(wanted)}"
        return
    allowed = {p.lstrip("*") for p in entry["p"] if p.startswith("*") and p != "*"}
    if contract == "keras3" and open_ends - allowed:  # eras add one for what came before them
        yield f"takes anything: {open_ends}"
    for name, default in wanted.items():
        if default is contracts.UNKNOWN or (path, name) in OPTIONAL_HERE:
            continue
        if not _same_default(found[name].default, default):
            yield f"{name} is {found[name].default!r} by default, expected {default!r}"
    for name in ours[len(wanted):]:
        if found[name].default is inspect.Parameter.empty:
            yield f"needs {name}, which is not in the contract"


def _same_default(ours, theirs) -> bool:
    if theirs is contracts.REQUIRED:
        return ours is inspect.Parameter.empty
    return type(ours) is type(theirs) and ours == theirs or (
        isinstance(theirs, (int, float)) and not isinstance(theirs, bool) and ours == theirs)


@pytest.mark.parametrize("contract", CONTRACTS[1:])
def test_second_names_follow_the_era(contract):
    """What an older release had under two names is one thing there."""
    with compat.era_scope(contract):
        different = [
            (path, entry["same"]) for path, entry in contracts.symbols(contract).items()
            if path.split(".")[0] in ROOMS and entry.get("same", path).split(".")[0] in ROOMS
            and "same" in entry and not reason(path)
            and contracts.resolve(path) is not contracts.resolve(entry["same"])
        ]
    assert not different


# ---- calls -----------------------------------------------------------------------------------------------
@functools.cache
def cases() -> dict:
    """Return the cases of the tables by path: those of ``ops`` and the others."""
    found: dict = {}
    for case in op_cases.every_case():
        found.setdefault("ops." + case.name.removeprefix("nn."), []).append(case)
    for case in function_cases.every_case():
        found.setdefault(case.name, []).append(case)
    return found


@pytest.mark.parametrize("contract, room", WALK)
def test_effects(contract, room):
    """Every parameter is taken by keyword and in its place, and changes the result of some call."""
    problems = []
    with compat.era_scope(contract):
        for path, entry in functions(contract, room):
            problems += [f"{path}: {problem}" for problem in _call_problems(contract, path, entry)]
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems)


def _call_problems(contract, path, entry):
    function = contracts.resolve(path)
    if path == "ops.vectorize":
        function = _applied(function)
    names = [*contracts.parameters(entry), *contracts.further(contract, entry)]
    mine = [case for case in cases().get(path, ()) if set(case.inputs) - {"*"} <= set(names)]
    if not mine:
        yield "no case in the tables"
        return
    calls = [(case, settings) for case in mine for settings in case.settings
             if set(settings) - {"*"} <= set(names) or "**" in "".join(entry["p"])]
    tried = {name for case, settings in calls for name in (*case.inputs, *settings)}
    changing = {name for case, settings in calls for name in settings
                if _changes(function, case, settings, name)}
    for name, default in {**dict.fromkeys(names), **contracts.parameters(entry)}.items():
        if parameter_reason(path, name):
            continue
        known = WITHOUT_EFFECT.get(path, ("",))[0] == name
        if name not in tried:
            yield f"no case gives {name}"
        elif default is not contracts.REQUIRED and known == (name in changing):
            yield f"{name} changes {'something' if known else 'nothing'}"
    for case, settings in calls:
        yield from _by_position(function, case, settings, entry)
    case, settings = calls[0]
    if any(p.startswith("**") for p in entry["p"]) and "kw" not in entry:
        return
    if _outcome(function, {**_values(case, settings), "no_such_argument": 1}) != "TypeError":
        yield "takes any argument"


def _applied(function):
    """Let a function that returns one tell it apart by what that one does."""
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)(X, X[0])

    return call


def _values(case, settings):
    return {**case.inputs, **settings}


def _changes(function, case, settings, name) -> bool:
    """Tell whether a call without one of its settings has another outcome."""
    values = _values(case, settings)
    without = {**case.inputs, **{k: v for k, v in settings.items() if k != name}}
    return _outcome(function, values) != _outcome(function, without)


def _by_position(function, case, settings, entry):
    """Compare a call with the same one whose arguments are given by position, as far as they go."""
    values = _values(case, settings)
    if "*" in values:
        return
    places = []
    for text in entry["p"]:
        name, _, default = text.partition("=")
        if text.startswith("*") or name not in values and (not default or default == "?"):
            break
        places.append(values.pop(name) if name in values else contracts.value(default))
    found = _outcome(lambda **given: function(*places, **given), values)
    if found != _outcome(function, _values(case, settings)):
        yield f"{settings} by position means something else"


def _outcome(function, values):
    """Return what tells one result from another: of tensors the values, of objects the configuration."""
    values = dict(values)
    further = values.pop("*", None)
    places = []
    if further is not None:
        order = [name for name in values if name in inspect.signature(function).parameters]
        places = [values.pop(name) for name in order
                  if inspect.signature(function).parameters[name].kind.name == "POSITIONAL_OR_KEYWORD"]
        places += further
    try:
        with np.errstate(all="ignore"):
            result = function(*places, **values)
    except (IndexError, TypeError, ValueError) as error:
        return type(error).__name__
    return repr(_plain(result))


def _plain(result):
    if isinstance(result, (Tensor, np.ndarray)):
        array = np.asarray(result)
        return str(array.dtype), array.shape, array.tobytes()
    if isinstance(result, (list, tuple)):
        return [type(result).__name__, *map(_plain, result)]
    if isinstance(result, dict):
        return {key: _plain(value) for key, value in result.items()}
    if hasattr(result, "get_config"):
        return type(result).__name__, result.get_config()
    return getattr(result, "__name__", result)
