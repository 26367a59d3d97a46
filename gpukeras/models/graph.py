"""The graph of a functional model: found once from its symbolic outputs, replayed on every call."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gpukeras import ops, tree
from gpukeras.layers.layer import Layer
from gpukeras.symbolic import KerasTensor, Node, Operation, auto_name
from gpukeras.tensor import Tensor, to_array
from gpukeras.text import StringTensor, is_text, string_tensor


class Graph:
    """The operations between symbolic inputs and outputs, in the order in which they run.

    Parameters
    ----------
    inputs, outputs : KerasTensor or structure of them
    name : str
        For error messages.
    """

    def __init__(self, inputs, outputs, name: str = "model"):
        self.inputs_struct = inputs
        self.outputs_struct = outputs
        self.inputs = tree.flatten(inputs)
        self.outputs = tree.flatten(outputs)
        self.name = name
        for what, tensors in (("inputs", self.inputs), ("outputs", self.outputs)):
            for t in tensors:
                if not isinstance(t, KerasTensor):
                    raise TypeError(
                        f"Model: {what} must be symbolic tensors (keras.Input and what layers make of it), "
                        f"came {type(t).__name__}"
                    )
        if len({id(t) for t in self.inputs}) != len(self.inputs):
            raise ValueError("Model: the same tensor is given twice among the inputs")
        nodes = self._find_nodes()
        self.nodes, self.operations = _in_keras_order(nodes, self.inputs, self.outputs)
        self._check_names()
        self._steps, self._slots, self._output_slots = self._plan(nodes)
        # One input: its free batch axis, the sizes after it and its dtype, to recognise what fits as it is.
        only = self.inputs[0]
        simple = len(self.inputs) == 1 and only.shape and only.shape[0] is None and None not in only.shape[1:]
        simple = simple and only.dtype != "string"
        self._fits = (tuple(only.shape[1:]), np.dtype(only.dtype)) if simple else None

    # ---- finding the graph -----------------------------------------------------------------------
    def _find_nodes(self) -> list[Node]:
        """Return the nodes needed for the outputs, each after all it depends on."""
        ends = {id(t) for t in self.inputs}
        order: list[Node] = []
        done: set[int] = set()
        stack = [(t, False) for t in reversed(self.outputs)]
        while stack:
            tensor, ready = stack.pop()
            if id(tensor) in ends:
                continue
            if tensor.history is None or not tensor.history[0].inputs:
                raise ValueError(
                    f"Model {self.name!r}: the outputs depend on {tensor!r}, which is not among the inputs "
                    f"{[t.name for t in self.inputs]}; add it to inputs=..."
                )
            node = tensor.history[0]
            if id(node) in done:
                continue
            if ready:
                done.add(id(node))
                order.append(node)
            else:
                stack.append((tensor, True))
                stack.extend((t, False) for t in reversed(node.inputs))
        return order

    def _check_names(self) -> None:
        """Names tell layers apart in files and error messages: no two may share one."""
        taken: dict[str, Operation] = {o.name: o for o in self.operations if isinstance(o, Layer)}
        for operation in self.operations:
            if isinstance(operation, Layer):
                if taken[operation.name] is not operation:
                    raise ValueError(
                        f"Model {self.name!r}: two layers are called {operation.name!r}; layers need "
                        "different names (give one of them name=...)"
                    )
                continue
            while operation.name in taken:  # an op, which nobody named
                operation.name = auto_name(operation.name)
            taken[operation.name] = operation

    def _plan(self, nodes):
        """Turn nodes into steps over numbered values, with the values each step is the last to need."""
        slots = {id(t): i for i, t in enumerate(self.inputs)}
        for node in nodes:
            for t in node.outputs:
                slots.setdefault(id(t), len(slots))
        kept = {slots[id(t)] for t in self.outputs}
        last_use: dict[int, int] = {}
        for i, node in enumerate(nodes):
            for t in node.inputs:
                last_use[slots[id(t)]] = i
        steps = []
        for i, node in enumerate(nodes):
            ends = tuple(s for s, at in last_use.items() if at == i and s not in kept)
            single = (
                slots[id(node.args[0])]
                if len(node.args) == 1 and not node.kwargs and isinstance(node.args[0], KerasTensor) else None
            )
            outs = tuple(slots[id(t)] for t in node.outputs)
            steps.append((node.operation, single, node.args, node.kwargs, outs, ends))
        return steps, slots, [slots[id(t)] for t in self.outputs]

    # ---- running it --------------------------------------------------------------------------------
    def run(self, inputs: list):
        """Replay the operations on values (or symbolic tensors) given in the order of ``self.inputs``."""
        values = [None] * len(self._slots)
        values[: len(inputs)] = inputs
        slots = self._slots

        def fill(x):
            return values[slots[id(x)]] if isinstance(x, KerasTensor) else x

        for operation, single, args, kwargs, outs, ends in self._steps:
            if single is not None:
                result = operation(values[single])
            else:
                result = operation(*tree.map_structure(fill, args), **tree.map_structure(fill, kwargs))
            if len(outs) == 1 and not tree.is_nested(result):
                values[outs[0]] = result
            else:
                for slot, value in zip(outs, tree.flatten(result), strict=True):
                    values[slot] = value
            for slot in ends:
                values[slot] = None
        return self.pack([values[s] for s in self._output_slots])

    def pack(self, found: list):
        """Return the values of the outputs in their structure."""
        if len(found) == 1 and not isinstance(self.outputs_struct, Mapping):
            return found[0]  # a list of one output gives the output itself, as in Keras
        return tree.pack_sequence_as(self.outputs_struct, found)

    def arrange(self, inputs) -> list:
        """Return ``inputs`` as a list in the order of ``self.inputs``, with ranks and dtypes made to fit.

        Raises
        ------
        ValueError
            Naming the input whose number, name, rank or sizes do not fit.
        """
        if type(inputs) is Tensor and self._fits is not None:
            array = inputs.array
            if array.shape[1:] == self._fits[0] and array.ndim and array.dtype == self._fits[1]:
                return [inputs]
        struct = self.inputs_struct
        if isinstance(struct, Mapping):
            if isinstance(inputs, Mapping):
                missing = [k for k in struct if k not in inputs]
                if missing:
                    raise ValueError(
                        f"model {self.name!r}: inputs {missing} are missing; came {list(inputs)}"
                    )
                flat = tree.flatten({k: inputs[k] for k in struct})
            else:
                flat = tree.flatten(inputs)
        elif isinstance(inputs, Mapping):
            names = self.input_names
            missing = [n for n in names if n not in inputs]
            if missing:
                raise ValueError(
                    f"model {self.name!r}: no input named {missing[0]!r} was given; expected {names}, came "
                    f"{list(inputs)}"
                )
            flat = [inputs[n] for n in names]
        else:
            flat = tree.flatten(inputs)
        if len(flat) != len(self.inputs):
            raise ValueError(
                f"model {self.name!r} expects {len(self.inputs)} inputs ({', '.join(self.input_names)}), "
                f"came {len(flat)}"
            )
        return [self._fit(x, spec) for x, spec in zip(flat, self.inputs)]

    def _fit(self, x, spec: KerasTensor):
        if not isinstance(x, (Tensor, KerasTensor)):
            x = string_tensor(x) if is_text(x) else Tensor(to_array(x))
        if (x.dtype == "string") != (spec.dtype == "string"):
            came = "text; turn it into numbers first (StringLookup, TextVectorization, Hashing)"
            raise ValueError(
                f"model {self.name!r}: input {spec.name!r} takes {spec.dtype}, came "
                + (came if x.dtype == "string" else str(x.dtype))
            )
        shape = x.shape
        if len(shape) != len(spec.shape):
            mask = x._keras_mask
            if isinstance(x, StringTensor):
                x = _fitted_text(x, len(spec.shape))
            elif len(shape) == len(spec.shape) + 1 and shape[-1] == 1:
                x = ops.squeeze(x, axis=-1)
            elif len(shape) == len(spec.shape) - 1 and spec.shape[-1] == 1:
                x = ops.expand_dims(x, axis=-1)
            if mask is not None:
                x._keras_mask = mask
        if len(x.shape) != len(spec.shape) or any(
            n is not None and m is not None and n != m for n, m in zip(spec.shape, x.shape)
        ):
            raise ValueError(
                f"model {self.name!r}: input {spec.name!r} expects shape {spec.shape}, came {tuple(shape)}"
            )
        if x.dtype != spec.dtype:
            mask, x = x._keras_mask, ops.cast(x, spec.dtype)
            x._keras_mask = mask
        return x

    # ---- what it is made of -----------------------------------------------------------------------
    @property
    def layers(self) -> list[Layer]:
        """The layers, input layers among them, in Keras's order."""
        return [o for o in self.operations if isinstance(o, Layer)]

    @property
    def input_names(self) -> list[str]:
        if isinstance(self.inputs_struct, Mapping):
            return sorted(self.inputs_struct)
        return [t.name for t in self.inputs]

    @property
    def output_names(self) -> list[str]:
        if isinstance(self.outputs_struct, Mapping):
            return sorted(self.outputs_struct)
        names: list[str] = []
        for t in self.outputs:
            name = t.history[0].operation.name if t.history else t.name
            count = sum(n == name or n.startswith(f"{name}_") and n[len(name) + 1:].isdigit() for n in names)
            names.append(f"{name}_{count}" if name in names else name)
        return names


def _fitted_text(x: StringTensor, rank: int) -> StringTensor:
    """Return text with a last axis of one element added or taken away, where that gives it ``rank`` axes."""
    if x.ndim == rank + 1 and x.shape[-1] == 1:
        return x[..., 0]
    return x[..., None] if x.ndim == rank - 1 else x


def _in_keras_order(nodes: list[Node], inputs, outputs) -> tuple[list[Node], list[Operation]]:
    """Return all nodes and operations by falling distance from the outputs.

    Keras lists layers (and so weights) by depth, and within one depth in the order in which a walk back from
    the outputs first meets them; files of weights depend on that order.
    """
    met: dict[int, int] = {}
    seen: set[int] = set()
    input_nodes = [t.history[0] for t in inputs if t.history]
    ends = {id(t) for t in inputs}

    def walk(tensor):
        stack = [tensor]
        while stack:
            t = stack.pop()
            if t.history is None:
                continue
            node = t.history[0]
            if id(node) in seen:
                continue
            seen.add(id(node))
            met.setdefault(id(node.operation), len(met))
            if id(t) not in ends:
                stack.extend(reversed(node.inputs))

    for t in outputs:
        walk(t)
    everything = [*{id(n): n for n in (*input_nodes, *nodes)}.values()]
    depth: dict[int, int] = {}
    operation_depth: dict[int, int] = {}
    known = {id(n) for n in everything}
    for node in reversed(everything):
        d = max(depth.get(id(node), 0), operation_depth.get(id(node.operation), 0))
        depth[id(node)] = operation_depth[id(node.operation)] = d
        if node in input_nodes:
            continue
        for t in node.inputs:
            if t.history and id(t.history[0]) in known:
                before = id(t.history[0])
                depth[before] = max(depth.get(before, 0), d + 1)
    for node in input_nodes:
        met.setdefault(id(node.operation), -1)
    operations = {id(n.operation): n.operation for n in everything}
    ordered = sorted(operations.values(), key=lambda o: (-operation_depth[id(o)], met[id(o)]))
    return sorted(everything, key=lambda n: -depth[id(n)]), ordered
