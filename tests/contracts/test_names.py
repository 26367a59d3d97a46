"""Each public name of each Keras release in these areas is here."""

import inspect

import pytest
from support import contracts
from support.left_out import LEFT_OUT, reason

from gpukeras import compat

# Share of the names that must be here.
FLOORS = {"keras3": 0.99, "tfkeras2": 0.98, "keras231": 0.98, "keras224": 0.98, "tfkeras2_old": 0.98,
          "tfkeras2_v1": 0.98}


@pytest.mark.parametrize("name", FLOORS)
def test_every_name_resolves(name):
    wanted = [path for path in contracts.symbols(name) if not reason(path)]
    missing = [path for path in wanted if not _is_here(path)]
    assert not missing, f"{len(missing)} of {len(wanted)} names are missing: {missing}"


@pytest.mark.parametrize("name", FLOORS)
def test_names_are_of_their_kind(name):
    kinds = {"class": inspect.isclass, "function": callable, "module": inspect.ismodule,
             "constant": lambda found: not callable(found)}
    known = {path: entry["k"] for path, entry in contracts.symbols(name).items()
             if "k" in entry and not reason(path) and _is_here(path)}
    wrong = [path for path, kind in known.items() if not kinds[kind](contracts.resolve(path))]
    assert not wrong


@pytest.mark.parametrize("name", FLOORS)
def test_hardly_anything_is_left_out(name):
    paths = list(contracts.symbols(name))
    if len(paths) < 100:
        return  # a list of rarities: ``test_every_name_resolves`` speaks of them
    here = sum(_is_here(path) for path in paths if not reason(path))
    assert here >= FLOORS[name] * len(paths), f"{here} of {len(paths)} names"


def test_what_is_left_out_is_named_with_a_reason():
    for path, why in LEFT_OUT.items():
        assert len(why) > 15, path
        known = {p for name in FLOORS for p in contracts.symbols(name)}
        assert any(f"{p}.".startswith(f"{path}.") for p in known), f"no contract has {path}"
        assert not _is_here(path) or "error" in why, f"{path} is here; take it off the list"


@pytest.mark.parametrize("name", FLOORS)
def test_second_names_are_the_same_thing(name):
    with compat.era_scope(name if name in compat.ERAS else "tfkeras2"):
        assert not _different(name)


def _different(name):
    different = []  # but for Keras 3's optimizers.legacy, one class by many names that only raises
    for path, entry in contracts.symbols(name).items():
        same = entry.get("same")
        if same is None or (name, same) == ("keras3", "optimizers.legacy.SGD"):
            continue
        if reason(path) or reason(same) or same.split(".")[0] not in contracts.AREAS:
            continue
        if contracts.resolve(path) is not contracts.resolve(same):
            different.append((path, same))
    return different


def _is_here(path):
    try:
        contracts.resolve(path)
    except AttributeError:
        return False
    return True
