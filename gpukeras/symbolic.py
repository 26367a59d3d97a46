"""The recorded graph: KerasTensor (shape and dtype, no values), Operation, Node."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from typing import NamedTuple

from gpukeras import dtypes, tree


class KerasTensor:
    """A tensor of a model that has no values yet: a shape, a dtype, and how it comes about.

    Parameters
    ----------
    shape : tuple of int or None
    dtype : str
    sparse : bool
        Whether sparse matrices are expected; they are taken anyway.
    name : str, optional
    """

    __array_priority__ = 100
    __array_ufunc__ = None
    __hash__ = object.__hash__
    _keras_mask = None
    ragged = False
    ragged_rank = row_splits_dtype = None

    def __init__(self, shape, dtype="float32", sparse=False, ragged=False, record_history=True, name=None, *,
                 ragged_rank=None, row_splits_dtype=None):
        if ragged or ragged_rank or row_splits_dtype:
            raise ValueError("ragged symbolic tensors are not supported; use padded inputs")
        self.sparse = bool(sparse)
        self.shape = tuple(shape)
        self.dtype = dtypes.standardize_dtype(dtype)
        self.name = name or auto_name("keras_tensor")
        self.history: tuple[Node, int] | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def _keras_history(self):
        """Where the tensor comes from: operation, number of its call, number of the output."""
        if self.history is None:
            return None
        node, index = self.history
        return KerasHistory(node.operation, node.index, index)

    def __array__(self, *args, **kwargs):
        raise TypeError(
            f"{self!r} is symbolic: it has no values until the model runs. Use layers and ops on it, "
            "or wrap NumPy code in a custom layer"
        )

    def __bool__(self):
        raise TypeError(f"{self!r} is symbolic: its truth is not known. Use ops.where or a custom layer")

    def __len__(self):
        raise TypeError(f"len() of {self!r} is not defined; use .shape")

    def __iter__(self):
        raise TypeError(f"{self!r} is symbolic and cannot be iterated; use ops.unstack")

    def __repr__(self):
        return f"<KerasTensor shape={self.shape}, dtype={self.dtype}, name={self.name}>"


class KerasHistory(NamedTuple):
    """Origin of a symbolic tensor."""

    operation: Operation
    node_index: int
    tensor_index: int


class Node:
    """One call of an operation on symbolic tensors."""

    def __init__(self, operation: Operation, args: tuple, kwargs: dict, outputs):
        self.operation = operation
        self.args = args
        self.kwargs = kwargs
        self.inputs = [t for t in tree.flatten((args, kwargs)) if is_symbolic(t)]
        self.outputs = tree.flatten(outputs)
        self.index = len(operation._inbound_nodes)
        operation._inbound_nodes.append(self)
        for i, tensor in enumerate(self.outputs):
            tensor.history = (self, i)

    def __repr__(self):
        return f"<Node {self.index} of {self.operation.name}>"


class Operation:
    """Anything with a name that symbolic tensors can pass through: layers and recorded ops.

    Parameters
    ----------
    name : str, optional
        Made from the class name where not given.
    """

    def __init__(self, name: str | None = None):
        if name is not None and (not isinstance(name, str) or "/" in name):
            raise ValueError(f"name must be a string without '/', came {name!r}")
        self.name = name or auto_name(to_snake_case(type(self).__name__))
        self._inbound_nodes: list[Node] = []

    # ---- for operations of the user's; layers and ops have their own ---
    def __call__(self, *args, **kwargs):
        if any_symbolic((args, kwargs)):
            outputs = self.symbolic_call(*args, **kwargs)
            Node(self, args, kwargs, outputs)
            return outputs
        return self.call(*args, **kwargs)

    def call(self, *args, **kwargs):
        """Compute on values; subclasses write it."""
        raise NotImplementedError(f"{type(self).__name__} must define call(self, ...)")

    def symbolic_call(self, *args, **kwargs):
        """Return symbolic outputs for symbolic inputs."""
        return self.compute_output_spec(*args, **kwargs)

    def compute_output_spec(self, *args, **kwargs):
        """Return symbolic outputs of the right shapes and dtypes: from ``call``, unless a subclass knows."""
        outputs = self.call(*args, **kwargs)
        return tree.map_structure(lambda t: KerasTensor(t.shape, str(t.dtype)), outputs)

    def rematerialized_call(self, fn, *args, **kwargs):
        """Return ``fn``: only layers heed a ``RematScope``."""
        return fn

    def get_config(self) -> dict:
        """Return the constructor's arguments; subclasses with more than a name write it."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config):
        """Make an operation from what ``get_config`` returned."""
        return cls(**config)

    def _only_node(self, what: str) -> Node:
        if not self._inbound_nodes:
            raise AttributeError(
                f"layer {self.name!r} has no {what}: it was never called on a symbolic tensor (keras.Input)"
            )
        return self._inbound_nodes[0]

    @property
    def input(self):
        """The symbolic input of the first call, or a list of them."""
        inputs = self._only_node("input").inputs
        return inputs[0] if len(inputs) == 1 else inputs

    @property
    def output(self):
        """The symbolic output of the first call, or a list of them."""
        outputs = self._only_node("output").outputs
        return outputs[0] if len(outputs) == 1 else outputs


class OpCall(Operation):
    """An op called on symbolic tensors, as a step of a functional model."""

    def __init__(self, op, name: str | None = None):
        super().__init__(name or auto_name(op.__name__))
        self.op = op

    @property
    def capturable(self) -> bool:
        """Whether the op may stand between the layers of a step that is recorded."""
        return getattr(self.op, "capturable", False)

    def __call__(self, *args, **kwargs):
        return self.op(*args, **kwargs)


def record(function, *args, outputs, **kwargs):
    """Record one call of a function that is no op by itself as one step of the graph; return ``outputs``.

    The model then calls ``function(*args, **kwargs)`` with tensors in place of the symbolic ones among the
    arguments.
    """
    Node(OpCall(function), args, kwargs, outputs)
    return outputs


def alike(structure):
    """Return new symbolic tensors of the shapes and types in a structure of tensors."""
    return tree.map_structure(lambda t: KerasTensor(t.shape, str(t.dtype)), structure)


def sources(structure) -> list[KerasTensor]:
    """Return the symbolic tensors, none made by an op, that those in a structure come from."""
    waiting = [t for t in tree.flatten(structure) if is_symbolic(t)]
    seen: dict[int, KerasTensor] = {}
    while waiting:
        tensor = waiting.pop()
        if id(tensor) not in seen:
            seen[id(tensor)] = tensor
            waiting += tensor.history[0].inputs if tensor.history else []
    return [t for t in seen.values() if not t.history or not t.history[0].inputs]


def is_symbolic(value) -> bool:
    """Tell whether ``value`` is a symbolic tensor."""
    return isinstance(value, KerasTensor)


def any_symbolic(structure) -> bool:
    """Tell whether a nested structure holds a symbolic tensor."""
    return any(isinstance(leaf, KerasTensor) for leaf in tree.flatten(structure))


# ---- automatic names ------------------------------------------------------------------------------
class _Names(threading.local):
    def __init__(self):
        self.counts: dict[str, int] = defaultdict(int)
        self.scopes: tuple = ()  # open ``name_scope``s: (number of layers around, name, caller, parent)


NAMES = _Names()


def scoped_path(names, name: str | None = None) -> str:
    """Return the path of something inside layers of the given names and the open ``name_scope``s.

    Scopes opened inside the innermost layer do not count, as in Keras.
    """
    found: list[str] = []
    for depth, layer in enumerate(names or [None]):
        for around, own, _, parent in NAMES.scopes:
            if around == depth or layer is None:
                if parent is not None:
                    found = [parent] if parent else []
                found.append(own)
        if layer is not None:
            found.append(layer)
    return "/".join(found if name is None else [*found, name])


def auto_name(prefix: str) -> str:
    """Return ``prefix`` the first time, then ``prefix_1``, ``prefix_2`` and so on."""
    count = NAMES.counts[prefix]
    NAMES.counts[prefix] += 1
    return prefix if count == 0 else f"{prefix}_{count}"


def clear_session(free_memory: bool = True) -> None:
    """Start automatic names again, as in a fresh process."""
    NAMES.counts.clear()
    if free_memory:
        import gc

        gc.collect()


def to_snake_case(name: str) -> str:
    """Turn a class name into the form that names of layers and strings for classes have.

    Examples
    --------
    >>> to_snake_case("Conv2D"), to_snake_case("BatchNormalization"), to_snake_case("L1L2")
    ('conv2d', 'batch_normalization', 'l1l2')
    """
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
