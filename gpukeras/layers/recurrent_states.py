"""What recurrent layers ask of any cell, built in or not: sizes of states and outputs, a step, building."""

from __future__ import annotations

import inspect

from gpukeras import ops, tree
from gpukeras.layers.layer import Layer


def output_size_of(cell):
    """Return ``output_size`` of a cell, else the size of its first state."""
    found = getattr(cell, "output_size", None)
    if found is None:
        found = cell.state_size[0] if isinstance(cell.state_size, (list, tuple)) else cell.state_size
    return found


def initial_state_of(cell, batch_size, dtype):
    """Return the initial states of a cell as a list: its own ``get_initial_state``, else zeros."""
    own = getattr(cell, "get_initial_state", None)
    if own is not None:
        names = inspect.signature(own).parameters
        given = {"batch_size": batch_size}
        if "dtype" in names:  # as in Keras 2
            given["dtype"] = dtype
        if "batch_size" not in names and "inputs" in names:
            given = {"inputs": ops.zeros((batch_size, 1), dtype=dtype)}
        state = own(**given)
        return list(state) if tree.is_nested(state) else [state]
    return zero_states(cell, batch_size, None, dtype)


def zero_states(cell, batch_size, inputs=None, dtype=None) -> list:
    """Return zeros for the states of a cell, nested like its ``state_size``."""
    dtype = dtype or getattr(cell, "compute_dtype", None)
    shapes = state_shapes(cell.state_size, samples_of(batch_size, inputs))
    return map_shapes(lambda shape: ops.zeros(shape, dtype=dtype), shapes)


def samples_of(batch_size, inputs=None):
    """Return the number of samples: given as such, or as that of ``inputs``, which may come first."""
    if hasattr(batch_size, "shape") and len(batch_size.shape) > 0:
        inputs = batch_size
    return batch_size if inputs is None else inputs.shape[0]


def state_shapes(state_size, batch_size) -> list:
    """Return the shapes of a cell's states as a list: an int is a vector's size, a tuple inside a shape.

    Lists inside are those of cells in a stack.
    """
    sizes = list(state_size) if isinstance(state_size, (list, tuple)) else [state_size]
    return [
        state_shapes(n, batch_size) if isinstance(n, list)
        else (batch_size, *n) if isinstance(n, tuple) else (batch_size, int(n))
        for n in sizes
    ]


def map_shapes(function, shapes):
    """Return ``function`` of every shape (a tuple) in nested lists of them."""
    if isinstance(shapes, list):
        return [map_shapes(function, shape) for shape in shapes]
    return function(shapes)


def call_cell(cell, inputs, states, training, **kwargs):
    """Run one step of a cell, giving it ``training`` where it takes that."""
    if takes(cell, "training"):
        kwargs["training"] = training
    return cell(inputs, states, **kwargs) if callable(cell) else cell.call(inputs, states, **kwargs)


def takes(cell, argument: str) -> bool:
    """Tell whether a cell's ``call`` has an argument of that name."""
    inner = getattr(cell, "cells", None)
    if isinstance(inner, list) and argument != "training":  # a stack passes on what its cells take
        return any(takes(one, argument) for one in inner)
    return argument in inspect.signature(cell.call).parameters


def build_inside(layer, shape, **shapes) -> None:
    """Build a layer or cell inside another, with the weights it was given in its constructor, if any."""
    if isinstance(layer, Layer):
        if not layer.built:
            layer.build(shape, **shapes)
            layer.built = True
            if layer._initial_weights is not None:
                layer.set_weights(layer._initial_weights)
                layer._initial_weights = None
    elif hasattr(layer, "build") and not getattr(layer, "built", False):
        layer.build(shape)
        layer.built = True
