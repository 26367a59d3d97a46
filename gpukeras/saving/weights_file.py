"""Weights in HDF5: Keras 3's ``.weights.h5`` and the older layout of ``.h5``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping

import numpy as np

from gpukeras.saving.files import member, read_array, written_whole
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
        raise ValueError(f"model {model.name!r} is not built yet and has no weights to save; call it on data first")
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
    import h5py

    path = os.path.expanduser(os.fspath(filepath))
    if not os.path.exists(path):
        raise FileNotFoundError(f"no file of weights at {path}")
    if not model.built:
        raise ValueError(
            f"model {model.name!r} is not built yet: call it on data, or model.build(input_shape), before "
            "load_weights"
        )
    with h5py.File(path, "r") as file:
        root = file
        if "layer_names" not in file.attrs and member(file, "model_weights") is not None:
            root = member(file, "model_weights")
        if "layer_names" in root.attrs:
            changes = _read_old(model, root, skip_mismatch, by_name)
        else:
            if by_name:
                raise ValueError("by_name=True needs a file in the layout of Keras 2; this one is Keras 3's")
            changes = read_state(model, file, skip_mismatch)
        for variable, values in changes:
            variable.assign(values)
        optimizer = getattr(model, "optimizer", None)
        state = member(file, "optimizer/vars") if root is file and "layer_names" not in file.attrs else None
        if optimizer is not None and state is not None and len(state):
            load_optimizer_state(model, optimizer, state)


# ---- Keras 3 ---------------------------------------------------------------------------------------------
def walk(layer, path: str = "", seen: set | None = None) -> Iterator[tuple[str, object]]:
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
    from gpukeras.models import Model, Sequential

    found = {}
    if isinstance(layer, Model) and (layer._graph is not None or isinstance(layer, Sequential)):
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
        for i, variable in enumerate(layer._own_variables()):
            group.create_dataset(str(i), data=variable.numpy())
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None and getattr(optimizer, "built", False):
        group = file.require_group("optimizer/vars")
        group.attrs["name"] = optimizer.name
        for i, variable in enumerate(optimizer.variables):
            group.create_dataset(str(i), data=variable.numpy())


def read_state(model, file, skip_mismatch: bool) -> list[tuple]:
    """Return (variable, values) for every variable of ``model``, all checked."""
    changes = []
    for path, layer in walk(model):
        variables = layer._own_variables()
        if not variables:
            continue
        what = f"layer {layer.name!r} ({path or 'the model itself'})"
        try:
            group = member(file, f"{path}/vars" if path else "vars")
            if group is None or len(group) != len(variables):
                raise ValueError(
                    f"{what} has {len(variables)} weights, the file holds {0 if group is None else len(group)}"
                )
            changes += [(v, read_array(member(group, str(i)), v.shape, f"{what}, weight {v.name!r}"))
                        for i, v in enumerate(variables)]
        except ValueError as error:
            if not skip_mismatch:
                raise
            warnings.warn(f"load_weights: skipped, {error}", stacklevel=4)
    return changes


def load_optimizer_state(model, optimizer, group) -> None:
    if not getattr(optimizer, "built", False):
        optimizer.build(model._trained_variables())
    variables = optimizer.variables
    if len(variables) != len(group):
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
        group = file.create_group(layer.name)
        variables = _old_order(layer)
        names = [f"{v.path}:0" for v in variables]
        group.attrs["weight_names"] = np.array([n.encode() for n in names]) if names else np.zeros(0, "S1")
        for name, variable in zip(names, variables):
            group.create_dataset(name, data=variable.numpy())


def _read_old(model, root, skip_mismatch: bool, by_name: bool) -> list[tuple]:
    names = [_text(n) for n in root.attrs["layer_names"]]
    stored = {n: [_text(w) for w in member(root, n).attrs["weight_names"]] for n in names}
    layers = [layer for layer in model.layers if layer.weights]
    if by_name:
        pairs = [(layer, layer.name) for layer in layers if layer.name in stored]
    else:
        with_weights = [n for n in names if stored[n]]
        if len(with_weights) != len(layers):
            raise ValueError(
                f"the file holds weights of {len(with_weights)} layers, model {model.name!r} has {len(layers)} "
                "with weights; by_name=True loads those whose names agree"
            )
        pairs = list(zip(layers, with_weights))
    changes = []
    for layer, name in pairs:
        variables = _old_order(layer)
        try:
            if len(variables) != len(stored[name]):
                raise ValueError(
                    f"layer {layer.name!r} has {len(variables)} weights, the file holds {len(stored[name])} for {name!r}"
                )
            changes += [
                (v, read_array(member(member(root, name), w), v.shape, f"layer {layer.name!r}, weight {v.name!r}"))
                for v, w in zip(variables, stored[name])
            ]
        except ValueError as error:
            if not skip_mismatch:
                raise
            warnings.warn(f"load_weights: skipped, {error}", stacklevel=4)
    return changes


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
