"""Each documented parameter of each class is taken, has its default, and changes something."""

import inspect
import re

import pytest
from support import contracts
from support.left_out import WITHOUT_EFFECT, parameter_reason, reason
from support.sample_arguments import ABSTRACT, needed, other

from gpukeras import compat

ROOMS = ("layers", "losses", "metrics", "optimizers", "initializers", "regularizers", "constraints")
SAME_IN_EFFECT = {"name", "reduction", "dtype"}  # names are numbered; "auto" is the mean over the batch
SHAPES = {"input_shape", "input_dim"}
HIDDEN = ("_batch_input_shape", "_initial_weights", "_input_dtype")  # not in the configuration
# Keyword arguments go to the wrapped function.
OPEN = {"losses.LossFunctionWrapper", "metrics.MeanMetricWrapper"}
CONTRACTS = ("keras3", "tfkeras2", "keras231", "keras224")


def classes(name):
    """Return the classes of a contract with (path, entry), each once."""
    return [(path, entry) for path, entry in contracts.symbols(name).items()
            if path.split(".")[0] in ROOMS and entry.get("k") == "class" and "same" not in entry
            and not reason(path)]


@pytest.mark.cpu
@pytest.mark.filterwarnings("ignore")  # of old arguments
@pytest.mark.parametrize("room", ROOMS)
@pytest.mark.parametrize("name", CONTRACTS)
def test_every_parameter(name, room):
    """Parameters are taken, have the era's defaults, and each one has its effect."""
    problems = []
    with compat.era_scope(name):
        for path, entry in classes(name):
            if path.split(".")[0] == room and path not in ABSTRACT:
                problems += [f"{path}: {problem}" for problem in _problems(name, path, entry)]
    assert not problems, f"{len(problems)} problems:\n" + "\n".join(problems)


def _problems(contract, path, entry):
    """Yield what is wrong with a class."""
    parameters = contracts.parameters(entry)
    if parameters is None:
        return
    try:
        cls = contracts.resolve(path)
    except AttributeError:
        yield "is missing"
        return
    base = needed(path, parameters)
    try:
        first = cls(**base)
    except Exception as error:
        yield f"does not take its defaults: {error!r}"
        return
    yield from _other_defaults(cls, first, path, parameters)
    yield from _takes_anything(cls, path, base)
    for name in [*parameters, *contracts.further(contract, entry)]:
        if name in base or parameter_reason(path, name):
            continue
        try:
            value, companions = other(path, name, parameters.get(name))
            changed = cls(**_beside(base, companions), **{name: value})
        except KeyError as error:  # the test lacks a value
            yield str(error)
        except Exception as error:
            yield f"{name}={value!r} raises {error!r}"
        else:
            plain = cls(**_beside(base, companions)) if companions.keys() & SHAPES else first
            idle = {name, (path, name)} & WITHOUT_EFFECT.keys()
            if not idle and _state(changed, name) == _state(plain, name):
                yield f"{name}={value!r} changes nothing"


def _beside(base, companions):
    """Return the arguments of a class; a companion of None takes one away."""
    return {name: value for name, value in {**base, **companions}.items() if value is not None}


def _takes_anything(cls, path, base):
    if path in OPEN:
        return
    try:
        cls(**base, no_such_argument=1)
        yield "takes any argument"
    except Exception as error:
        if not re.search("no_such_argument|takes no arguments", str(error)):
            yield f"an unknown argument raises {error!r}"


def _other_defaults(cls, first, path, parameters):
    """Compare the defaults of the signature, or what they came to."""
    ours = inspect.signature(cls.__init__).parameters
    for name, default in parameters.items():
        if default in (contracts.REQUIRED, contracts.UNKNOWN) or parameter_reason(path, name):
            continue
        if name in SAME_IN_EFFECT:
            continue
        found = ours[name].default if name in ours else _attribute(first, name)
        if found is None and default is not None:  # what it came to; an old name of another parameter
            found = _attribute(first, {"alpha": "negative_slope"}.get(name, name))
        if found is inspect.Parameter.empty or not same(found, default):
            yield f"{name} is {found!r} by default, expected {default!r}"


def _attribute(thing, name):
    return getattr(thing, name, thing.get_config().get(name) if hasattr(thing, "get_config") else None)


def same(ours, theirs) -> bool:
    """Tell whether two defaults mean the same."""
    if isinstance(ours, (int, float)) and isinstance(theirs, (list, tuple)):
        return all(t == ours for t in theirs)
    if isinstance(theirs, (int, float)) and isinstance(ours, (list, tuple)):
        return all(o == theirs for o in ours)
    if isinstance(ours, str) and isinstance(theirs, str):
        return _plain(ours) == _plain(theirs)
    return ours == theirs or (ours is None and theirs in (False, "auto", "channels_last"))


def _plain(text):
    return text.replace("_", "").lower()


def _state(thing, name):
    """Return everything that an argument may change."""
    config = thing.get_config() if hasattr(thing, "get_config") else dict(vars(thing))
    state = [_attribute(thing, name), {k: v for k, v in config.items() if k != "name" or k == name}]
    state += [getattr(thing, hidden, None) for hidden in HIDDEN]
    return re.sub(r" at 0x[0-9a-f]+|_[0-9]+'", "", repr(state))
