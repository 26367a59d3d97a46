"""The training step of a small model, recorded once and replayed without the Python in between.

Keras compiles ``train_step``; here, on the CPU, its array calls are recorded (``backends.program``) after a
few ordinary steps, compared with one more ordinary step, and from then on replayed: forward pass, loss,
gradients, metrics, and the optimizer's update where it is its rule alone.

As in Keras, Python code inside the step runs only while it is being recorded, and ``run_eagerly=True`` turns
that off. Only models made of this library's own parts are recorded: a layer, loss or metric of the user's may
do anything in Python.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpukeras import backends, tensor
from gpukeras.backends.program import CannotRecord, Recording, plain
from gpukeras.callbacks.logs import Logs
from gpukeras.random import device_generator
from gpukeras.registry import is_own
from gpukeras.sparse import DeferredVariable, RowTensor
from gpukeras.tensor import Tensor

WARM_UP = 3  # ordinary steps on a batch shape before it is recorded
LIMIT = 1 << 24  # bytes of results in a recorded step; Python is a small part of larger ones
MOST = 4  # batch shapes recorded per model


class CapturedStep:
    """A stand-in for ``model.train_step`` that replays recorded steps where it can.

    Parameters
    ----------
    model : Model
        Compiled; its ``train_step`` is the library's.
    """

    def __init__(self, model):
        self.model = model
        self.programs: dict = {}  # by batch shape: how often it was seen, then its program or None
        self.latest: _Program | None = None
        self.places: dict[int, list] = {}  # by number of samples: where a program wants its batch

    def __call__(self, data):
        found = self.latest
        if found is not None and type(data) is tuple and type(data[0]) is Tensor and (
            data[0].array is found.inputs[0] and found.valid()
        ):
            return found.step(data)  # the batch was gathered for this program
        key = _signature(data)
        found = self.programs.get(key, 0)
        if type(found) is _Program:
            if not found.valid():
                self.programs.clear()
                self.places.clear()
                self.latest = None
            elif found.proven:
                self.latest = found
                return found.step(data)
            else:
                same, logs = found.prove(data)
                if same:
                    self.places[len(found.inputs[0])] = found.inputs
                else:
                    self.programs[key] = None
                return logs
        elif found is not None and key is not None:
            if found < WARM_UP or len(self.programs) > MOST:
                self.programs[key] = found + 1
            elif not capturable(self.model):
                self.programs[key] = None
            else:
                self.programs[key], logs = _record(self.model, data)
                if logs is not None:
                    return logs
        return self.model.train_step(data)


def capturable(model) -> bool:
    """Tell whether the step of ``model`` consists of the library's own parts, on this device."""
    from gpukeras.models.model import Model
    from gpukeras.models.training import Trainer

    cls = type(model)
    stock = ("compute_loss", "compute_metrics", "get_metrics_result", "metrics")
    if any(getattr(cls, n) is not getattr(Trainer, n) for n in stock):
        return False
    if cls.call is not Model.call or model._graph is None or model._extra_losses:
        return False
    if backends.current() is not backends.CPU or model.optimizer.may_overflow or not is_own(model.optimizer):
        return False
    if any(layer._loss_functions or layer.activity_regularizer for layer in model._flatten_layers()):
        return False
    for operation in model._graph.operations:
        if not getattr(operation, "capturable", False) or not is_own(operation):
            return False
        if not is_own(getattr(operation, "activation", operation)):
            return False
    loss, metrics = model._compile_loss, model._compile_metrics
    parts = [function for function, _, _ in loss._parts or ()] if loss is not None else []
    parts += metrics.metrics if metrics is not None else []
    return bool(parts) and all(is_own(p) and is_own(getattr(p, "fn", p)) and is_own(getattr(p, "_fn", p))
                               for p in parts if p is not None)


def _parts(data) -> tuple:
    return data if type(data) is tuple else (data,)


def _signature(data):
    """Return the shapes and dtypes of a batch, or ``None`` where it is not made of plain tensors."""
    found: list = []
    for part in _parts(data):
        if part is None:
            found.append(None)
        elif type(part) is Tensor and type(part.array) is np.ndarray and part._keras_mask is None:
            found.append((part.array.shape, part.array.dtype.char))
        else:
            return None
    return tuple(found)


# ---- recording ------------------------------------------------------------------------------------------
def _record(model, data) -> tuple:
    """Train on one batch and record how.

    Returns
    -------
    program : _Program or None
        ``None`` where the step cannot be recorded; then nothing has been trained either.
    logs : mapping
    """
    batch = _parts(data)
    inputs = [None if part is None else part.array.copy() for part in batch]
    state = changed_variables(model)
    before = [v.array.copy() for v in state]
    known = list({id(v): v for v in (*model.variables, *state) if type(v) is not DeferredVariable}.values())
    arrays = [v.array for v in known]
    recording = Recording(LIMIT)
    try:
        with recording:
            for variable in known:
                variable.array = recording.follow(variable.array)
            followed = [None if a is None else Tensor(recording.follow(a)) for a in inputs]
            x, y, sample_weight = (*followed, None, None)[:3]
            y_pred, gradients = model._differentiate(x, y, sample_weight)
            model.compute_metrics(x, y, y_pred, sample_weight)
            gradients = _placed(model, gradients)
    except CannotRecord:
        for variable, value in zip(state, before):
            variable.array[...] = value
        return None, None
    finally:
        for variable, array in zip(known, arrays):
            variable.array = array
    update = _record_update(model.optimizer, recording, gradients)
    if update is None:
        model.optimizer.apply(gradients, model._trained_variables())
    return _Program(model, recording, inputs, gradients, update), model.get_metrics_result()


def _record_update(optimizer, recording, gradients):
    """Update the weights and record how, if the optimizer lets it; return (plan, place of the rate)."""
    plan = optimizer.plan_to_record()
    if plan is None or any(gradients[k].array is not view for k, view in plan.copies):
        return None
    rate = np.full((), optimizer.next_flat_rate(), plan.runs[0].p.dtype)
    memory = [a for run in plan.runs for a in (run.p, *run.slots.values())]
    before, length = [a.copy() for a in memory], len(recording.calls)
    follow = recording.follow
    try:
        with recording:
            for run in plan.runs:
                slots = {name: follow(slot) for name, slot in run.slots.items()}
                optimizer.update_flat(run.backend, follow(run.p), follow(run.g), slots, follow(rate))
    except CannotRecord:
        for array, value in zip(memory, before):
            array[...] = value
        del recording.calls[length:]
        return None
    optimizer.count_recorded(plan)
    return plan, rate


def _placed(model, gradients) -> list:
    """Copy gradients to where the optimizer wants them, as part of the recording; return the tensors."""
    if not gradients or any(g is None for g in gradients):
        raise CannotRecord("a weight has no gradient")
    variables = model._trained_variables()
    places = model.optimizer.gradient_places(variables)
    found: list[Tensor] = []
    for gradient, variable in zip(gradients, variables):
        if type(gradient) is RowTensor:  # every replay gives it the rows of its batch
            found.append(gradient)
            continue
        array = gradient.array
        place = places.get(variable.uid)
        if place is not None and plain(array) is not place and array is not place:
            np.copyto(place, array)
            array = place
        found.append(Tensor(plain(array)))
    return found


def changed_variables(model) -> list:
    """Return the variables that a step changes besides the weights: averages, metrics."""
    found = [*model.non_trainable_variables]
    for metric in model._metric_list():
        found += metric.variables
    return list({id(v): v for v in found}.values())


# ---- replaying ------------------------------------------------------------------------------------------
class _Program:
    """One recorded step for one batch shape.

    Attributes
    ----------
    calls : list of callable
    inputs : list of array
        Where the batch goes.
    gradients : list of Tensor
        Where the gradients come out: the optimizer's own memory, as far as it offers that.
    plan, rate
        Of an update among the calls: the optimizer's plan, and the 0-d array that takes each step's rate.
    """

    def __init__(self, model, recording, inputs, gradients, update):
        self.model = model
        self.plan: Any
        self.rate: Any
        self.plan, self.rate = update or (None, None)
        self.calls = recording.calls
        self.seeds = recording.seeds
        self.inputs = inputs
        self.gradients = gradients
        self.variables = model._trained_variables()
        self.optimizer = model.optimizer
        self.layout = tensor.layout_version
        self.proven = False

    def valid(self) -> bool:
        """Tell whether the variables still are where they were."""
        model, optimizer = self.model, self.optimizer
        return self.layout == tensor.layout_version == optimizer._layout and (
            optimizer is model.optimizer and self.variables is model._variables_trained
        )

    def run(self, data) -> None:
        """Do what was recorded: everything, or everything up to the optimizer's step."""
        for place, part in zip(self.inputs, data):
            if part is not None and part.array is not place:
                np.copyto(place, part.array)
        for call in self.calls:
            call()

    def step(self, data):
        """Train on one batch; return the logs."""
        model, optimizer = self.model, self.optimizer
        if self.plan is not None:
            self.rate[...] = optimizer.next_flat_rate()
            self.run(_parts(data))
            optimizer.count_recorded(self.plan)
        else:
            self.run(_parts(data))
            optimizer.gradient_places(self.variables)
            optimizer.apply(self.gradients, self.variables)
        return Logs(model._results)

    def prove(self, data):
        """Train on one batch in the ordinary way; return whether this program does the same, and the logs."""
        model = self.model
        memory = [v.array for v in changed_variables(model)]
        if self.plan is not None:
            self.rate[...] = model.optimizer.next_flat_rate()
            memory += [a for run in self.plan.runs for a in (run.p, *run.slots.values())]
        before = [a.copy() for a in memory]
        generators = [device_generator(backends.CPU, seed).bit_generator for seed in self.seeds]
        draws = [g.state for g in generators]
        self.run(_parts(data))
        replayed = [a.copy() for a in (*memory, *(g.array for g in self.gradients))]
        for array, value in zip(memory, before):
            array[...] = value
        for generator, value in zip(generators, draws):
            generator.state = value
        x, y, sample_weight = (*_parts(data), None, None)[:3]
        y_pred, gradients = model._differentiate(x, y, sample_weight)
        found = [g.array.copy() for g in gradients]
        model.optimizer.apply(gradients, self.variables)
        model.compute_metrics(x, y, y_pred, sample_weight)
        self.proven = all(map(_close, replayed, (*memory, *found)))
        return self.proven, model.get_metrics_result()


def _close(a, b) -> bool:
    scale = float(np.abs(b).max()) if b.size else 0.0
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-6 * scale, equal_nan=True))
