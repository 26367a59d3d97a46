"""Weights in HDF5: Keras 3's ``.weights.h5`` and the older layout of ``.h5``."""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from gpukeras.saving.files import member, opened, read_array, write_array, written_whole
from gpukeras.symbolic import to_snake_case


def save_weights(model, filepath, overwrite: bool = True) -> None:
    """Write all weights of ``model``; the name decides the layout.

    Parameters
    ----------
    model : Model
        Built.
    filepath : path
        ``*.weights.h5``: the layout of Keras 3, with the optimizer's state where there is one. ``*.h5``,
        ``*.hdf5``: the layout of Keras 2.
    overwrite : bool
    """
    import h5py

    path = os.fspath(filepath)
    if not path.endswith((".h5", ".hdf5")):
        raise ValueError(f"save_weights writes HDF5: the name must end in .weights.h5 or .h5, came {path!r}")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built yet and has no weights to save; call it on data first"
        )
    with written_whole(path, overwrite) as temporary, h5py.File(temporary, "w") as file:
        if path.endswith(".weights.h5"):
            write_state(model, file)
        else:
            _write_old(model, file)


def load_weights(model, filepath, skip_mismatch: bool = False, by_name: bool = False) -> None:
    """Read weights in any of the layouts; nothing is changed unless all of them fit.

    Parameters
    ----------
    model : Model
        Built, with the same layers.
    filepath : path
    skip_mismatch : bool
        Leave layers alone whose weights are missing or have other shapes, with a warning.
    by_name : bool
        Match layers by name instead of order (older layout only).

    Raises
    ------
    ValueError
        Naming the layer whose weights are missing or do not fit.
    """
    path = os.path.expanduser(os.fspath(filepath))
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file of weights at {path}")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built yet: call it on data, or model.build(input_shape), before "
            "load_weights"
        )
    with opened(path) as file:
        root = file
        if "layer_names" not in file.attrs and member(file, "model_weights") is not None:
            root = member(file, "model_weights")
        if "layer_names" in root.attrs:
            changes = _read_old(model, root, skip_mismatch, by_name)
        else:
            if by_name:
                raise ValueError("by_name=True needs a file in the layout of Keras 2; this one is Keras 3's")
            changes = read_state(model, file, skip_mismatch)
        for change in changes:
            change()
        optimizer = getattr(model, "optimizer", None)
        state = member(file, "optimizer/vars") if root is file and "layer_names" not in file.attrs else None
        if optimizer is not None and state is not None and len(state):
            load_optimizer_state(model, optimizer, state)


# ---- Keras 3 ---------------------------------------------------------------------------------------------
def walk(layer, path: str = "", seen: set | None = None) -> Iterator[tuple[str, Any]]:
    """Yield (path in the file, layer) for a layer and everything inside, as Keras 3 names them.

    Attributes come in alphabetical order; members of a list are named after their class, with a number from
    the second on; a layer met before is not written again.
    """
    seen = set() if seen is None else seen
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield path, layer
    for name, value in _children(layer):
        yield from _walk_value(value, f"{path}/{name}" if path else name, seen)


def _children(layer) -> list[tuple[str, object]]:
    from gpukeras.models import Model

    found = {}
    if isinstance(layer, Model):
        found["layers"] = layer.layers
    skipped = _base_attributes() | {"optimizer"}
    found.update({k: v for k, v in vars(layer).items() if k not in skipped})
    return sorted(found.items())


def _walk_value(value, path, seen):
    from gpukeras.layers import Layer

    if isinstance(value, Layer):
        yield from walk(value, path, seen)
    elif isinstance(value, (list, tuple, set, Mapping)):
        items = value.values() if isinstance(value, Mapping) else value
        counts: dict[str, int] = {}
        for item in items:
            if isinstance(item, Layer):
                name = to_snake_case(type(item).__name__)
                counts[name] = counts.get(name, -1) + 1
                suffix = f"_{counts[name]}" if counts[name] else ""
                yield from walk(item, f"{path}/{name}{suffix}", seen)


_base: set[str] = set()


def _base_attributes() -> set[str]:
    """Return attributes that every layer or model has: they hold book-keeping, not parts."""
    if not _base:
        from gpukeras.layers import Layer
        from gpukeras.models import Model, Sequential

        for cls in (Layer, Model, Sequential):
            _base.update(vars(cls(name="any")))
    return _base


def write_state(model, file) -> None:
    """Write a model's variables, and its optimizer's, in the layout of Keras 3."""
    for path, layer in walk(model):
        group = file.require_group(f"{path}/vars" if path else "vars")
        group.attrs["name"] = layer.name
        store: dict = {}
        layer.save_own_variables(store)
        for name, value in store.items():
            write_array(group, name, np.asarray(value))
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and hasattr(optimizer, "variables"):
        group = file.require_group("optimizer/vars")
        group.attrs["name"] = optimizer.name
        for i, variable in enumerate(optimizer.variables):
            write_array(group, str(i), variable.numpy())


def read_state(model, file, skip_mismatch: bool) -> list[Callable]:
    """Check the file against every variable of ``model``; return the assignments to make."""
    changes: list[Callable] = []
    problems = []
    places = {}
    for path, layer in walk(model):
        place = f"{path}/vars" if path else "vars"
        places[place] = layer
        try:
            changes += _assignments(layer, member(file, place), path)
        except ValueError as error:
            problems.append(str(error))
    left = sorted({p for p in _places_with_weights(file) if p not in places})
    if left:
        problems.append(
            f"the file holds weights that model {model.name!r} has no place for: {', '.join(left)}"
        )
    _settle(problems, skip_mismatch)
    return changes


def _assignments(layer, group, path: str) -> list[Callable]:
    """Return what sets the layer's own variables from ``group``."""
    from gpukeras.layers.weights import Stateful

    variables = layer._own_variables()
    what = f"layer {layer.name!r} ({path or 'the model itself'})"
    if type(layer).load_own_variables is not Stateful.load_own_variables:  # the class reads for itself
        names = () if group is None else group
        store = {n: read_array(member(group, n), None, f"{what}, {n!r}") for n in names}
        return [functools.partial(layer.load_own_variables, store)]
    if not variables:
        return []
    if group is None or len(group) != len(variables):
        raise ValueError(
            f"{what} has {len(variables)} weights, the file holds {0 if group is None else len(group)}"
        )
    return [_assignment(v, member(group, str(i)), what) for i, v in enumerate(variables)]


def _assignment(variable, dataset, what: str) -> Callable:
    """Return what sets ``variable`` to the checked values of ``dataset``."""
    values = read_array(dataset, variable.shape, f"{what}, weight {variable.name!r}")
    return functools.partial(variable.assign, values)


def _places_with_weights(file) -> list[str]:
    """Return the groups of the file that hold weights; states of random numbers and optimizers are none."""
    import h5py

    found = []

    def visit(name, item):
        place = name.rpartition("/")[0]
        apart = "seed_generator" in place or name.startswith("optimizer/")
        if isinstance(item, h5py.Dataset) and not apart:
            found.append(place)

    file.visititems(visit)  # follows no links
    return found


def _settle(problems: list[str], skip_mismatch: bool) -> None:
    """Raise what did not fit, or warn where it may be skipped."""
    if problems and not skip_mismatch:
        more = f" (and {len(problems) - 1} more that do not fit)" if len(problems) > 1 else ""
        raise ValueError(f"load_weights: {problems[0]}{more}; nothing was changed")
    for problem in problems:
        warnings.warn(f"load_weights: skipped, {problem}", stacklevel=5)


def load_optimizer_state(model, optimizer, group) -> None:
    """Set the optimizer's state from ``group``; where it does not fit, warn and let it start anew."""
    if len(group) != len(optimizer.variables) and not optimizer.built:
        optimizer.build(model._trained_variables())
    variables = optimizer.variables
    if len(group) < len(variables) and len(group) <= _NOT_BUILT:
        variables = variables[: len(group)]  # saved before the first step: only the counter and the rate
    elif len(variables) != len(group):
        warnings.warn(
            f"load_weights: the file holds {len(group)} values of optimizer state, {optimizer.name!r} has "
            f"{len(variables)}; it starts anew",
            stacklevel=4,
        )
        return
    values = [read_array(member(group, str(i)), v.shape, f"optimizer variable {v.name!r}")
              for i, v in enumerate(variables)]
    for variable, value in zip(variables, values):
        variable.assign(value)


_NOT_BUILT = 2  # variables of an optimizer that was never built: steps made, learning rate


# ---- Keras 2 ---------------------------------------------------------------------------------------------
def _old_order(layer) -> list:
    """Return a layer's variables as Keras 2 orders them: what can be trained first."""
    own = layer.weights
    return [v for v in own if v._trainable] + [v for v in own if not v._trainable]


def _write_old(model, file) -> None:
    layers = model.layers
    file.attrs["layer_names"] = np.array([layer.name.encode() for layer in layers])
    file.attrs["backend"] = b"tensorflow"
    file.attrs["keras_version"] = b"2.15.0"
    for layer in layers:
        _write_old_group(file.create_group(layer.name), _old_order(layer))
    _write_old_group(file.create_group(_TOP), _own_only(model))


def _write_old_group(group, variables) -> None:
    names: list[str] = []
    for v in variables:
        path, again = v.path, 1
        while f"{path}:0" in names:
            path, again = f"{v.path}_{again}", again + 1
        names.append(f"{path}:0")
    group.attrs["weight_names"] = np.array([n.encode() for n in names]) if names else np.zeros(0, "S1")
    for name, variable in zip(names, variables):
        write_array(group, name, variable.numpy())


_TOP = "top_level_model_weights"  # weights that belong to no layer of the model


def _own_only(model) -> list:
    inside = {id(v) for layer in model.layers for v in layer.weights}
    return [v for v in model._own_variables() if id(v) not in inside]


def _read_old(model, root, skip_mismatch: bool, by_name: bool) -> list[Callable]:
    names = [_text(n) for n in root.attrs["layer_names"]]
    stored = {n: _weight_names(root, n) for n in names}
    layers = [layer for layer in model.layers if layer.weights]
    if by_name:
        pairs = [(layer, layer.name) for layer in layers if layer.name in stored]
    else:
        with_weights = [n for n in names if stored[n]]
        if len(with_weights) != len(layers):
            raise ValueError(
                f"the file holds weights of {len(with_weights)} layers, model {model.name!r} has "
                f"{len(layers)} with weights; by_name=True loads those whose names agree"
            )
        pairs = list(zip(layers, with_weights))
    jobs = [
        (f"layer {layer.name!r}", _old_order(layer), member(root, name), stored[name])
        for layer, name in pairs
    ]
    if own := _own_only(model):
        jobs.append((f"model {model.name!r}", own, member(root, _TOP), _weight_names(root, _TOP)))
    changes: list[Callable] = []
    problems = []
    for what, variables, group, weights in jobs:
        try:
            if len(variables) != len(weights):
                raise ValueError(f"{what} has {len(variables)} weights, the file holds {len(weights)}")
            changes += [_assignment(v, member(group, w), what) for v, w in zip(variables, weights)]
        except ValueError as error:
            problems.append(str(error))
    _settle(problems, skip_mismatch)
    return changes


def _weight_names(root, name: str) -> list[str]:
    group = member(root, name)
    if group is None:
        return []
    return [_text(w) for w in group.attrs.get("weight_names", ())]


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
