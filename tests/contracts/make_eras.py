"""Write ``gpukeras/compat/eras.json``: where older releases had other parameters or defaults than we have.

    python tests/contracts/make_eras.py
"""

import inspect
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from support import contracts  # noqa: E402
from support.left_out import reason  # noqa: E402

TARGET = ROOT / "gpukeras" / "compat" / "eras.json"
OLDER = ("keras224", "keras231", "tfkeras2")
RENAMED = {"lr": "learning_rate", "alpha": "negative_slope", "l": "l2"}  # old parameters -> ours
# Standalone Keras clipped by the norm of all gradients together.
OTHER_NAMES = {era: {"optimizers": {"clipnorm": "global_clipnorm"}} for era in ("keras224", "keras231")}
# Functions whose parameters are called otherwise here.
FUNCTION_NAMES = {"activations.deserialize": {"name": "config"}}
# What an era did where it had no parameter yet.
WITHOUT = {
    era: {"optimizers.Adagrad": {"initial_accumulator_value": 0.0},
          "optimizers.Nadam": {"schedule_decay": 0.004}}
    for era in ("keras224", "keras231")
}
# Names whose default says what None says here, or that say nothing about numbers.
SAME_MEANING = {"name", "data_format", "reduction", "sparse", "implementation", "jit_compile", "time_major"}


def differences(era: str) -> dict:
    """Return what an era has otherwise: path -> its parameters, and the defaults that are not ours."""
    found = {}
    for path, entry in contracts.symbols(era).items():
        if "same" in entry or entry.get("k") not in ("class", "function") or reason(path):
            continue
        theirs = contracts.parameters(entry)
        ours = signature(path)
        if theirs is None or ours is None or path.endswith("serialize") and path not in FUNCTION_NAMES:
            continue
        defaults = dict(WITHOUT.get(era, {}).get(path, {}))
        for name, default in theirs.items():
            own = name if name in ours else RENAMED.get(name)
            if default in (contracts.REQUIRED, contracts.UNKNOWN) or own not in ours or name in SAME_MEANING:
                continue
            if not same(ours[own], default) and not (name == "epsilon" and default is None):
                defaults[own] = default
        order = list(theirs)
        today = [name if name in ours else RENAMED.get(name, name) for name in order]
        names = FUNCTION_NAMES.get(path, {})
        if entry["k"] == "class":
            names = OTHER_NAMES.get(era, {}).get(path.partition(".")[0], {})
        if defaults or names or today[: len(ours)] != list(ours)[: len(order)]:
            shown = [p for p in entry["p"] if not p.startswith("*")]
            found[path] = {"parameters": shown, "defaults": defaults, **({"names": names} if names else {})}
            if entry["k"] == "function":
                found[path]["also"] = [p for p, e in contracts.symbols(era).items() if e.get("same") == path]
    return found


def signature(path: str):
    """Return {name: default} of our class or function; None where there is no such thing or it takes any."""
    try:
        thing = contracts.resolve(path)
        call = thing.__init__ if inspect.isclass(thing) else thing
        found = list(inspect.signature(call).parameters.values())
    except (AttributeError, TypeError, ValueError):
        return None
    if inspect.isclass(thing):
        found = found[1:]
    return {p.name: p.default for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


def same(ours, theirs) -> bool:
    """Tell whether two defaults mean the same."""
    if isinstance(ours, (int, float)) and isinstance(theirs, (list, tuple)):
        return all(t == ours for t in theirs)
    if isinstance(ours, str) and isinstance(theirs, str):
        return ours.replace("_", "").lower() == theirs.replace("_", "").lower()
    return ours == theirs


def text() -> str:
    """Return the file's text."""
    table = {era: differences(era) for era in OLDER}
    return json.dumps(table, indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
