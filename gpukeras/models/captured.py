"""The training step, recorded once and replayed without the Python in between.

Keras compiles ``train_step``; here it is recorded after a few ordinary steps, compared with one more ordinary
step, and from then on replayed: forward pass, loss, gradients, metrics, and the optimizer's update where it
is its rule alone. On a CPU the record is a list of NumPy calls (``models.program_step``), for small models
only; on a GPU it is a CUDA graph (``models.graph_step``).

As in Keras, Python code inside the step runs only while it is being recorded, and ``run_eagerly=True`` turns
that off. Only models made of this library's own parts are recorded: a layer, loss or metric of the user's may
do anything in Python.
"""

from __future__ import annotations

import types
import weakref

import numpy as np

from gpukeras import backends, config, tree
from gpukeras.backends.program import CannotRecord
from gpukeras.models.replay import Replay
from gpukeras.registry import is_own
from gpukeras.symbolic import OpCall
from gpukeras.tensor import Tensor
from gpukeras.text import StringTensor

WARM_UP = 3  # ordinary steps on a batch shape before it is recorded
MOST = 4  # batch shapes recorded per model
SEEN = 64  # batch shapes per model that are counted
SHOWN = 8  # batch shapes that ``explain`` lists per model
COMPILED: weakref.WeakSet = weakref.WeakSet()  # models, for ``explain``


class CapturedStep:
    """A stand-in for ``model.train_step`` or ``test_step`` that replays recorded steps where it can.

    Parameters
    ----------
    model : Model
        Compiled; the step is the library's own.
    evaluation : bool
        Whether it is ``test_step``: recorded on a GPU only.

    Attributes
    ----------
    programs : dict
        By batch shape: how often it was seen, then its ``Replay``, or why there is none.
    latest : Replay or None
        The one that ran last.
    places : dict of int to list
        By number of samples: where a replay wants its batch.
    odd : str or None
        What was the matter with a batch that has no shape to record.
    """

    def __init__(self, model, evaluation=False):
        self.model = model
        self.evaluation = evaluation
        self.memory = None  # of the device, for all graphs of this model
        self.programs: dict = {}
        self.latest: Replay | None = None
        self.places: dict[int, list] = {}
        self.odd: str | None = None

    def forget(self) -> None:
        """Start anew: what was recorded is not valid any more."""
        self.programs.clear()
        self.places.clear()  # whoever gathers batches holds this dictionary
        self.latest = None

    def __reduce__(self):
        return CapturedStep, (self.model, self.evaluation)  # a copy of a model records for itself

    def __call__(self, data):
        found = self.latest
        if found is not None and _first_array(data) is found.inputs[0] and found.valid():
            return found.step(data)  # the batch was gathered for this record
        key = _signature(data)
        if type(key) is str:
            self.odd = key
            return self._ordinary(data)
        found = self.programs.get(key, 0)
        if isinstance(found, Replay):
            if not found.valid():
                self.forget()
            elif found.proven:
                self.latest = found
                return found.step(data)
            else:
                return self._prove(key, found, data)
        elif type(found) is int:
            if found < WARM_UP or self._recorded_shapes() >= MOST:
                self._count(key, found + 1)
            else:
                logs = self._record(key, data)
                if logs is not None:
                    return logs
        return self._ordinary(data)

    def _ordinary(self, data):
        return self.model.test_step(data) if self.evaluation else self.model.train_step(data)

    def _count(self, key, times: int) -> None:
        if times == 1 and len(self.programs) >= SEEN:  # every batch has a shape of its own, or nearly so
            self.programs = {k: found for k, found in self.programs.items() if type(found) is not int}
        self.programs[key] = times

    def _recorded_shapes(self) -> int:
        return sum(isinstance(found, Replay) for found in self.programs.values())

    def _record(self, key, data):
        """Record a step; return its logs if it was made on the way."""
        problem = hindrance(self.model, self.evaluation)
        try:
            if problem is None:
                self.programs[key], logs = self._recorded(data)
                return logs
        except CannotRecord as error:
            problem = str(error)
        self.programs[key] = problem
        return None

    def _recorded(self, data) -> tuple:
        """Return a record of the step and, if it was made on the way, its logs."""
        backend = backends.current()
        if backend is backends.CPU:
            from gpukeras.models.program_step import record

            return record(self.model, data)
        from gpukeras.models.graph_step import capture

        if self.memory is None:
            self.memory = backend.graph_memory()
        return capture(self.model, data, self.memory, self.evaluation), None

    def _prove(self, key, found, data):
        problem, logs = found.prove(data)
        if problem is None:
            self.places[len(found.inputs[0])] = [place for place in found.inputs if place is not None]
        else:
            self.programs[key] = problem
        return logs


# ---- what a batch is ------------------------------------------------------------------------------------
def _first_array(data):
    """Return the array of the first tensor of a batch, where that is quickly told."""
    first = data[0] if type(data) is tuple else data
    if type(first) is not Tensor:
        first = tree.flatten(first)[0]
    return first.array if type(first) is Tensor else None


def _signature(data):
    """Return the shapes and dtypes of a batch, or in words what is the matter with it."""
    cpu = backends.current() is backends.CPU
    parts = data if type(data) is tuple else (data,)
    found: list = []
    for part in parts:
        if part is None:
            found.append(None)
        elif isinstance(part, Tensor):
            found.append(_of_tensor(part))
        elif cpu:
            return "there are several inputs or outputs"
        else:
            found += [None if leaf is None else _of_tensor(leaf) for leaf in tree.flatten(part)]
            found.append(tuple(part) if isinstance(part, dict) else len(part))
    return next((entry for entry in found if type(entry) is str), tuple(found))


def _of_tensor(leaf):
    if type(leaf) is not Tensor:
        if isinstance(leaf, StringTensor):
            return "the input is text"
        return "the input is sparse" if isinstance(leaf, Tensor) else "a batch holds more than tensors"
    array = leaf.array
    if type(array) is not np.ndarray and leaf.backend is not backends.current():
        return f"the batch lies on {leaf.device}, the current device is {backends.current().name}"
    if leaf._keras_mask is not None:
        return "the input has a mask"
    return array.shape, array.dtype.char


# ---- what may be recorded -------------------------------------------------------------------------------
def hindrance(model, evaluation=False) -> str | None:
    """Return why a step of ``model`` may not be recorded on the current device, or ``None``."""
    from gpukeras.models.model import Model
    from gpukeras.models.training import Trainer

    cls, backend = type(model), backends.current()
    step = "test_step" if evaluation else "train_step"
    for name in (step, "compute_loss", "compute_metrics", "get_metrics_result", "metrics"):
        if getattr(cls, name) is not getattr(Trainer, name):
            return f"{cls.__name__} has a {name} of its own"
    if model.run_eagerly:
        return "run_eagerly=True"
    if config.numerics_checked():
        return "config.check_numerics looks at the output of every layer"
    if cls.call is not Model.call or model._graph is None:
        return f"{cls.__name__} is neither sequential nor functional: its call may do anything in Python"
    if backend is not backends.CPU and not backend.captures:
        return f"{backend.name} captures no graphs"
    if any(v.backend is not backend for v in model._trained_variables()):
        return f"its weights do not lie on {backend.name}"
    optimizer = type(model.optimizer)
    if optimizer.may_overflow and not evaluation and not model.optimizer.decides_on_device():
        return f"{optimizer.__name__} looks at every gradient from the host"
    if not is_own(optimizer) and not evaluation:
        return f"the optimizer {optimizer.__name__} is not of this library"
    if model._extra_losses:
        return "add_loss was called on it"
    for layer in model._flatten_layers():
        if layer._loss_functions or layer.activity_regularizer:
            return f"layer {layer.name!r} adds a loss"
    problem = _on_host(model._graph) if backend is backends.CPU else _on_device(model._graph)
    return problem or _in_loss_or_metrics(model)


def _on_host(graph) -> str | None:
    """Return which operation of a model is not array calls alone, or a user's."""
    for operation in graph.operations:
        if not is_own(operation) or not is_own(getattr(operation, "activation", operation)):
            return _foreign(operation)
        if not getattr(operation, "capturable", False):
            return f"{operation.name!r} ({type(operation).__name__}) is none of the layers that are recorded"
    return None


def _on_device(graph) -> str | None:
    """Return which operation of a model is a user's, or keeps something in Python from step to step."""
    for node in graph.nodes:
        if any(isinstance(leaf, types.FunctionType) for leaf in tree.flatten((node.args, node.kwargs))):
            return f"{node.operation.name!r} is given a function"
    for operation in graph.operations:
        if isinstance(operation, OpCall):
            if not is_own(operation.op):
                return _foreign(operation)
            continue
        if not hasattr(operation, "_flatten_layers"):
            return _foreign(operation)
        for layer in (operation, *operation._flatten_layers()):
            if not is_own(type(layer)) or not all(map(is_own, _functions(layer))):
                return _foreign(layer)
            if getattr(layer, "stateful", False):
                return f"layer {layer.name!r} keeps states between batches"
    return None


def _functions(layer) -> list:
    """Return what a layer calls besides layers; initializers and constraints work outside of the step."""
    plain = types.FunctionType, types.MethodType
    return [
        value for key, value in vars(layer).items()
        if value is not None and not key.endswith(("initializer", "constraint"))
        and (isinstance(value, plain) or key.endswith(("activation", "regularizer")))
    ]


def _foreign(operation) -> str:
    return f"{operation.name!r} ({type(operation).__name__}) is, or calls, code of yours"


def _in_loss_or_metrics(model) -> str | None:
    loss, metrics = model._compile_loss, model._compile_metrics
    if loss is None and metrics is None:
        return "it is compiled without a loss"
    parts = [function for function, _, _ in loss._parts or ()] if loss is not None else []
    parts += metrics.metrics if metrics is not None else []
    for part in parts:
        if part is not None and not (is_own(part) and is_own(getattr(part, "fn", part)) and is_own(
                getattr(part, "_fn", part))):
            return f"loss or metric {getattr(part, 'name', part)!r} is code of yours"
    return None


# ---- telling ---------------------------------------------------------------------------------------------
class Explanation(str):
    """A text of several lines that shows itself as such."""

    def __repr__(self):
        return str(self)


def explain(model=None) -> Explanation:
    """Say how the steps of one model, or of all that are compiled, run: see ``config.explain``."""
    backend = backends.current()
    name = "the CPU" if backend is backends.CPU else backend.describe()
    lines = [f"new arrays go to {backend.name}: {name}"]
    models = [model] if model is not None else sorted(COMPILED, key=lambda m: m.name)
    for each in models:
        lines += _explained(each)
    if not models:
        lines.append("no model is compiled")
    return Explanation("\n".join(lines))


def _explained(model) -> list[str]:
    if not model.compiled:
        return [f"{model.name}: not compiled"]
    both = model._captured, model._captured_evaluation
    steps = [step for step in both if step is not None and (step.programs or step.odd)]
    if not steps:
        problem = hindrance(model) if model.built else None
        return [f"{model.name}: " + (f"ordinary steps, as {problem}" if problem else "not trained yet")]
    return [line for step in steps for line in _of_step(step)]


def _of_step(step) -> list[str]:
    lines = [f"{step.model.name}: {'evaluation' if step.evaluation else 'training'} steps"]
    for key, found in list(step.programs.items())[:SHOWN]:
        shapes = ", ".join(f"{entry[0]} {np.dtype(entry[1])}" for entry in key if _is_entry(entry))
        lines.append(f"  {shapes}: {_told(found, step._recorded_shapes() >= MOST)}")
    if len(step.programs) > SHOWN:
        lines.append(f"  and {len(step.programs) - SHOWN} more shapes")
    if step.odd:
        lines.append(f"  other batches: ordinary steps, as {step.odd}")
    return lines


def _is_entry(entry) -> bool:
    return isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], tuple)


def _told(found, full: bool) -> str:
    if isinstance(found, Replay):
        return found.describe() + (f"; {found.replays} steps so" if found.proven else ", not tried yet")
    if type(found) is str:
        return f"ordinary steps, as {found}"
    if full:
        return f"ordinary steps, as {MOST} shapes are recorded already"
    return f"ordinary steps: {found} of {WARM_UP} before it is recorded"
