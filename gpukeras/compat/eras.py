"""The eras of Keras: where releases contradict each other, the era decides.

Everything here means what Keras 3 says, and old spellings work as far as they do not contradict it. With
``set_era`` constructors and functions take the parameters, in the order and with the defaults, of an older
release. ``eras.json`` lists what differs; ``tests/contracts`` compares it with each release.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import importlib
import inspect
import json
import pathlib

from gpukeras import config
from gpukeras.config import era

__all__ = ["ERAS", "era", "era_scope", "set_era"]

ERAS = ("keras224", "keras231", "tfkeras2", "keras3")
_SHORT = {"keras2": "keras224"}  # the release that most programs of that time were written for
_REQUIRED = inspect.Parameter.empty

_undo: list = []  # what takes the changes of the current era back


def set_era(name: str) -> None:
    """Let constructors and functions have the parameters and defaults of an era.

    Parameters
    ----------
    name : {"keras2", "keras224", "keras231", "tfkeras2", "keras3"}
        ``"keras224"`` (short ``"keras2"``) and ``"keras231"`` are standalone Keras 2.2.4 and 2.3.1,
        ``"tfkeras2"`` is ``tf.keras`` up to TensorFlow 2.15, ``"keras3"`` today's Keras.

    Notes
    -----
    What exists keeps its meaning; the era concerns what is made afterwards.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.GRU(4).reset_after
    True
    >>> with keras.compat.era_scope("keras2"):
    ...     keras.layers.GRU(4).reset_after, keras.optimizers.SGD(0.1, 0.9, 1e-4).decay
    (False, 0.0001)
    """
    name = _SHORT.get(name, name)
    if name not in ERAS:
        raise ValueError(f"unknown era {name!r}; known are {', '.join([*_SHORT, *ERAS])}")
    while _undo:
        _undo.pop()()
    config._era = name
    if name != "keras3":
        for path, entry in _table()[name].items():
            _adapt(path, **entry)
        _old_activations()
        _old_metrics()


@contextlib.contextmanager
def era_scope(name: str):
    """Set the era for a ``with`` block; see ``set_era``."""
    before = config.era()
    set_era(name)
    try:
        yield
    finally:
        set_era(before)


@functools.cache
def _table() -> dict:
    """Return era -> path -> {"parameters": ["name=default", ...], "defaults": {our name: value}}."""
    return json.loads((pathlib.Path(__file__).parent / "eras.json").read_text(encoding="utf-8"))


def _adapt(path: str, parameters: list, defaults: dict, names: dict | None = None, also: tuple = ()) -> None:
    """Give a class or function the parameters it had in an older era.

    ``names``: parameters that stand for another one of ours; ``also``: a function's other places.
    """
    module, name = _place(path)
    thing = getattr(module, name)
    if inspect.isclass(thing) and thing.__name__ == name:
        init = thing.__init__
        own = "__init__" in vars(thing)
        thing.__init__ = _with_parameters(  # type: ignore[method-assign]
            init, parameters, defaults, names or {}, thing)
        _undo.append(lambda: setattr(thing, "__init__", init) if own else delattr(thing, "__init__"))
    else:
        adapted = _with_parameters(thing, parameters, defaults, names or {}, None)
        for module, name in map(_place, (path, *also)):
            setattr(module, name, adapted)
            _undo.append(functools.partial(setattr, module, name, thing))


def _place(path: str):
    """Return the module of a public path and the name in it."""
    room, _, name = path.rpartition(".")
    return importlib.import_module(f"gpukeras.{room}" if room else "gpukeras"), name


def _with_parameters(call, parameters, defaults, names, cls):
    """Return ``call`` with parameters in another order and with other defaults.

    Parameters
    ----------
    cls : class or None
        For a constructor: its class. Subclasses of the library call it in today's order; for them nothing
        changes.
    """
    order = [text.partition("=")[0] for text in parameters]

    @functools.wraps(call, updated=())
    def adapted(*args, **kwargs):
        if cls is not None:
            self, given = args[0], args[1:]
            if _library_class(type(self)) is not cls:
                return call(*args, **kwargs)
        else:
            given = args
        if len(given) > len(order):
            raise TypeError(
                f"{call.__qualname__.removesuffix('.__init__')} takes {len(order)} arguments by position in "
                f"era {config.era()!r} ({', '.join(order)}), came {len(given)}"
            )
        for name, value in zip(order, given):
            if name in kwargs:
                raise TypeError(f"{call.__qualname__}: {name!r} is given twice, by position and by keyword")
            kwargs[name] = value
        kwargs = {names.get(name, name): value for name, value in kwargs.items()}
        old_names = getattr(call, "old_names", {})  # of Keras 1
        taken = {old_names.get(name, name) for name in kwargs}
        kwargs |= {name: value for name, value in defaults.items() if name not in taken}
        return call(self, **kwargs) if cls is not None else call(**kwargs)

    adapted.__signature__ = _signature(parameters, cls)  # type: ignore[attr-defined]
    return adapted


def _library_class(cls) -> type:
    """Return the library's class that a class is or comes from."""
    return next(base for base in cls.__mro__ if base.__module__.startswith("gpukeras."))


def _signature(parameters, cls):
    """Return what ``help`` shows: the parameters as they were documented."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    shown = [inspect.Parameter("self", kind)] if cls is not None else []
    for text in parameters:
        name, has_default, default = text.partition("=")
        known = ast.literal_eval(default) if has_default and default != "?" else default or _REQUIRED
        shown.append(inspect.Parameter(name, kind, default=known))
    return inspect.Signature([*shown, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


def _replace(module, name: str, thing) -> None:
    """Let a module's name stand for something else while the era lasts."""
    before = getattr(module, name)
    setattr(module, name, thing)
    _undo.append(lambda: setattr(module, name, before))


def _old_activations() -> None:
    """Let ``hard_sigmoid`` be ``max(0, min(1, 0.2 x + 0.5))``, as it was before Keras 3."""
    from gpukeras import activations, ops

    _replace(activations, "hard_sigmoid", ops.hard_sigmoid_keras2)
    _undo.append(activations.ACTIVATIONS.replace("hard_sigmoid", ops.hard_sigmoid_keras2))


def _old_metrics() -> None:
    """Let accuracies be one number a sample or for the batch, and the cosine have the sign, that they had."""
    from gpukeras import losses, metrics, ops

    def averaged(function, axis):
        @functools.wraps(function)
        def found(*args, **kwargs):
            return ops.mean(function(*args, **kwargs), axis=axis)

        return found

    _replace(metrics, "binary_accuracy", averaged(metrics.binary_accuracy, -1))
    if config.era() == "keras224":
        for name in ("top_k_categorical_accuracy", "sparse_top_k_categorical_accuracy"):
            _replace(metrics, name, averaged(getattr(metrics, name), None))
        for name in ("cosine", "cosine_proximity"):
            _replace(metrics, name, losses.cosine_proximity)
