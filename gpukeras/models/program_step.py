"""The training step of a small model as a list of NumPy calls, recorded once and replayed on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from gpukeras import backends
from gpukeras.backends.program import CannotRecord, Recording, plain
from gpukeras.models.replay import Replay, changed_variables
from gpukeras.random import device_generator
from gpukeras.sparse import DeferredVariable, RowTensor
from gpukeras.tensor import Tensor

LIMIT = 1 << 24  # bytes of results in a recorded step; Python is a small part of larger ones


class Program(Replay):
    """One recorded step for one batch shape.

    Attributes
    ----------
    calls : list of callable
    rate : array of no axes or None
        Takes each step's rate, where the update is among the calls.
    """

    rate: Any

    def __init__(self, model, recording, inputs, gradients, update):
        plan, self.rate = update or (None, None)
        super().__init__(model, inputs, gradients, plan)
        self.calls = recording.calls
        self.seeds = recording.seeds

    def run(self, data):
        for place, part in zip(self.inputs, parts(data)):
            if part is not None and part.array is not place:
                np.copyto(place, part.array)
        for call in self.calls:
            call()

    def write_rate(self):
        self.rate[...] = self.optimizer.next_flat_rate()

    def generators(self):
        return [(backends.CPU, device_generator(backends.CPU, seed)) for seed in self.seeds]

    def describe(self):
        return f"recorded, {len(self.calls)} calls"


def parts(data) -> tuple:
    """Return a batch as a tuple of one to three parts."""
    return data if type(data) is tuple else (data,)


def record(model, data) -> tuple:
    """Train on one batch and record how.

    Returns
    -------
    program : Program
    logs : mapping

    Raises
    ------
    CannotRecord
        Where the step cannot be recorded; then nothing has been trained either.
    """
    batch = parts(data)
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
        raise
    finally:
        for variable, array in zip(known, arrays):
            variable.array = array
    update = _record_update(model.optimizer, recording, gradients)
    if update is None:
        model.optimizer.apply(gradients, model._trained_variables())
    return Program(model, recording, inputs, gradients, update), model.get_metrics_result()


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
