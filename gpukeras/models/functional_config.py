"""Functional models as plain values, in the format of Keras 3, and back; Keras 2's is read as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gpukeras import tree
from gpukeras.models.graph import Graph
from gpukeras.models.op_config import op_parts, read_op
from gpukeras.symbolic import KerasTensor, Node, OpCall


# ---- writing ---------------------------------------------------------------------------------------------
def graph_config(model) -> dict:
    """Return the configuration of a functional model: its layers, their calls, its inputs and outputs."""
    from gpukeras import saving

    graph = model._graph
    places = _places(graph)

    def place(tensor: KerasTensor) -> list:
        return list(places[id(tensor)])

    def write(value):
        if isinstance(value, KerasTensor):
            config = {"shape": list(value.shape), "dtype": value.dtype, "keras_history": place(value)}
            return {"class_name": "__keras_tensor__", "config": config}
        if isinstance(value, Mapping):
            return {k: write(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [write(v) for v in value]
        return saving.serialize_keras_object(value)

    layers = []
    for operation in graph.operations:
        nodes = [n for n in graph.nodes if n.operation is operation and n.inputs]
        nodes.sort(key=lambda n: n.index)
        if isinstance(operation, OpCall):
            config, calls = op_parts(operation, nodes)
            config["config"] = write(config["config"])
        else:
            config, calls = saving.serialize_keras_object(operation), [(n.args, n.kwargs) for n in nodes]
        config["name"] = operation.name
        config["inbound_nodes"] = [{"args": write(args), "kwargs": write(kwargs)} for args, kwargs in calls]
        layers.append(config)
    return {
        "name": model.name, "trainable": model._trainable, "layers": layers,
        "input_layers": tree.map_structure(place, graph.inputs_struct),
        "output_layers": tree.map_structure(place, graph.outputs_struct),
    }


def _places(graph: Graph) -> dict[int, tuple]:
    """Return (operation name, number of the call inside this model, number of the output) by tensor."""
    calls: dict[int, list[Node]] = {}
    for node in sorted(graph.nodes, key=lambda n: n.index):
        calls.setdefault(id(node.operation), []).append(node)
    return {
        id(t): (node.operation.name, number, i)
        for nodes in calls.values() for number, node in enumerate(nodes) for i, t in enumerate(node.outputs)
    }


# ---- reading ---------------------------------------------------------------------------------------------
def model_from_graph_config(cls, config: dict, custom_objects: Mapping | None = None):
    """Make a functional model from its configuration, calling its layers again in a possible order.

    Raises
    ------
    ValueError
        Where the calls refer to tensors that nothing makes.
    """
    from gpukeras.models.model import Functional, Model

    operations = {}
    pending: dict[str, list] = {}
    made: dict[tuple, list[KerasTensor]] = {}  # outputs by (operation name, number of the call)
    for data in config["layers"]:
        name = data.get("name") or data["config"]["name"]
        operations[name] = _read_operation(data, custom_objects)
        pending[name] = list(data.get("inbound_nodes", ()))
        if not pending[name]:
            made[name, 0] = tree.flatten(operations[name].output)
    done: dict[str, int] = dict.fromkeys(pending, 0)
    progress = True
    while progress:
        progress = False
        for name, nodes in pending.items():
            while done[name] < len(nodes):
                call = _read_call(nodes[done[name]], made)
                if call is None:
                    break
                args, kwargs = call
                made[name, done[name]] = tree.flatten(operations[name](*args, **kwargs))
                done[name] += 1
                progress = True
    missing = [n for n in pending if done[n] < len(pending[n])]
    if missing:
        raise ValueError(
            f"the configuration of model {config.get('name')!r} is broken: inputs of {missing} are missing"
        )

    def ends(places):
        if isinstance(places, Mapping):
            return {k: ends(v) for k, v in places.items()}
        if len(places) == 3 and isinstance(places[0], str):
            return made[places[0], places[1]][places[2]]
        found = [ends(p) for p in places]
        return found[0] if old and len(found) == 1 else found

    # Keras 2 wrote a single input as a list of one, and meant the input.
    calls = [node for data in config["layers"] for node in data.get("inbound_nodes", ())]
    old = not any(isinstance(node, Mapping) for node in calls)
    kind = Functional if cls is Model else cls
    model = kind(ends(config["input_layers"]), ends(config["output_layers"]), name=config.get("name"))
    if config.get("trainable") is False:
        model.trainable = False
    return model


def _read_operation(data: dict, custom_objects):
    from gpukeras import saving

    if "ops" in str(data.get("module") or "").split("."):
        return read_op(data)
    return saving.deserialize_keras_object(data, custom_objects=custom_objects)


def _read_call(node, made: dict):
    """Return (args, kwargs) of one call, or ``None`` where a tensor it needs does not exist yet."""
    from gpukeras import saving

    missing = False

    def tensor(name, number, index):
        nonlocal missing
        outputs = made.get((name, number))
        if outputs is None:
            missing = True
            return None
        return outputs[index]

    def read(value):
        if isinstance(value, Mapping):
            if value.get("class_name") == "__keras_tensor__":
                return tensor(*value["config"]["keras_history"])
            if "class_name" in value:
                return saving.deserialize_keras_object(value)
            return {k: read(v) for k, v in value.items()}
        if isinstance(value, (list, tuple)):
            return [read(v) for v in value]
        return value

    if isinstance(node, Mapping):
        args, kwargs = read(node["args"]), read(node["kwargs"])
    else:
        args, kwargs = _read_old_call(node, tensor)
    return None if missing else (tuple(args), kwargs)


def _read_old_call(node, tensor):
    """Read a call in the format of Keras 2: a list of [name, call, output, keyword arguments]."""
    if node and isinstance(node[0], str):
        node = [node]
    tensors = [tensor(*entry[:3]) for entry in node]
    kwargs: dict = {}
    for entry in node:
        for key, value in (entry[3] if len(entry) > 3 else {}).items():
            is_place = isinstance(value, list) and len(value) == 3 and isinstance(value[0], str)
            kwargs[key] = tensor(*value) if is_place else value
    return [tensors[0] if len(tensors) == 1 else tensors], kwargs


# ---- copying ----------------------------------------------------------------------------------------------
def clone_graph(model, input_tensors, copy, call_function=None):
    """Return a functional model like ``model`` of copied layers, on ``input_tensors`` where given."""
    from gpukeras.layers import InputLayer

    graph = model._graph
    copies: dict[int, Callable] = {}  # by the id of the operation that was copied
    values: dict[int, KerasTensor] = {}
    if input_tensors is None:
        inputs = []
        for tensor in graph.inputs:
            layer = tensor.history[0].operation if tensor.history else None
            if isinstance(layer, InputLayer):
                inputs.append(InputLayer.from_config(layer.get_config()).output)
            else:
                inputs.append(InputLayer(batch_shape=tensor.shape, dtype=tensor.dtype).output)
    else:
        inputs = tree.flatten(input_tensors)
    if len(inputs) != len(graph.inputs):
        raise ValueError(
            f"clone_model: {len(inputs)} input_tensors for a model with {len(graph.inputs)} inputs"
        )
    for old, new in zip(graph.inputs, inputs):
        values[id(old)] = new

    def replaced(value):
        return values[id(value)] if isinstance(value, KerasTensor) else value

    for operation, _, args, kwargs, _, _ in graph._steps:
        node = next(n for n in graph.nodes if n.operation is operation and n.args is args)
        if id(operation) not in copies:
            copies[id(operation)] = OpCall(operation.op) if isinstance(operation, OpCall) else copy(operation)
        target = copies[id(operation)]
        new_args, new_kwargs = tree.map_structure(replaced, args), tree.map_structure(replaced, kwargs)
        if call_function is not None and not isinstance(target, OpCall):
            outputs = call_function(target, *new_args, **new_kwargs)
        else:
            outputs = target(*new_args, **new_kwargs)
        for old, new in zip(node.outputs, tree.flatten(outputs), strict=True):
            values[id(old)] = new
    new_inputs = tree.pack_sequence_as(graph.inputs_struct, inputs)
    return type(model)(new_inputs, tree.map_structure(replaced, graph.outputs_struct), name=model.name)
