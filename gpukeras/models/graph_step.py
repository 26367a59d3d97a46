"""Steps of training and evaluation as graphs of the device: captured once, launched once per batch.

A launch repeats the same work on the same memory. So batches are gathered into arrays that stay, what varies
(learning rate, counter, positions of random sequences, losses and metrics) lives on the device, and nothing
in a step waits for the host. Results of the step lie in memory that only the model's graphs use.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gpukeras import backends, random, tensor, tree
from gpukeras.backends.program import CannotRecord
from gpukeras.callbacks.logs import Logs
from gpukeras.models.replay import Replay, changed_variables, described
from gpukeras.sparse import RowTensor
from gpukeras.tensor import Tensor
from gpukeras.utils.structures import unpack_x_y_sample_weight


class Graph(Replay):
    """One captured step for one batch shape.

    Parameters
    ----------
    model : Model
    inputs : list of array
    work : _Work
        What was captured.
    graph : object
        ``graph.launch()`` repeats it.
    memory
        Where its results lie.

    Attributes
    ----------
    arrays : list of (Variable, array)
        What the graph reads and writes besides: kept, as it keeps no array by itself.
    """

    def __init__(self, model, inputs, work, graph, memory):
        super().__init__(model, inputs, work.gradients, work.plan)
        self.graph = graph
        self.memory = memory
        self.arrays = [(v, v.array) for v in _variables(model)]
        self.noise = work.noise

    def in_place(self) -> bool:
        """Tell whether all variables still are where they were."""
        return all(v.array is array for v, array in self.arrays)

    def run(self, data):
        for place, part in zip(self.inputs, leaves(data)):
            if part.array is not place:
                place[...] = part.array
        self.graph.launch()

    def generators(self):
        return [(backend, generator) for _, backend, generator in self.noise]

    def describe(self):
        return "captured as a graph"


class GraphStep(Graph):
    """A captured step of training.

    Attributes
    ----------
    rates : Rates or None
        The learning rate on the device, where the update is in the graph.
    """

    counted = True

    def __init__(self, model, inputs, work, graph, memory):
        super().__init__(model, inputs, work, graph, memory)
        self.rates = work.rates

    def valid(self):
        """Tell whether all memory still is where it was, and noise comes from the same sequences."""
        if any(random.device_generator(backend, seed) is not found for seed, backend, found in self.noise):
            return False
        return super().valid() or self._moved_back()

    def _moved_back(self) -> bool:
        """Tell whether variables were laid out anew, but not these."""
        model, optimizer = self.model, self.optimizer
        if optimizer is not model.optimizer or self.variables is not model._variables_trained:
            return False
        if not self.in_place():
            return False
        if self.plan is not None and optimizer.plan_to_record(whole=True) is not self.plan:
            return False
        self.layout = tensor.layout_version
        return self.plan is None or optimizer._layout == self.layout

    def write_rate(self):
        self.rates.write()

    def describe(self):
        return super().describe() + (", without the optimizer" if self.plan is None else "")


class EvaluationGraph(Graph):
    """A captured step of evaluation."""

    def valid(self):
        """Tell whether all memory still is where it was."""
        if self.layout != tensor.layout_version:
            if not self.in_place():
                return False
            self.layout = tensor.layout_version
        return True

    def step(self, data):
        self.run(data)
        self.replays += 1
        return Logs(self.model._results)

    def _ordinary(self, data):
        return [], self.model.test_step(data)


class Rates:
    """The numbers of a step that the host knows, in places that a graph reads.

    Parameters
    ----------
    optimizer : Optimizer
    backend : Backend
    dtype : numpy.dtype
        Of the weights.

    Attributes
    ----------
    rate, flat : array, no axes
        The learning rate, and what ``update_flat`` takes for it.
    """

    def __init__(self, optimizer, backend, dtype):
        self.optimizer = optimizer
        self.places = backend.xp.zeros(2, dtype)
        self.rate, self.flat = self.places[0:1].reshape(()), self.places[1:2].reshape(())
        self.written: list = [None, None]

    def write(self) -> None:
        """Write those of the next step; a number travels with the launch that writes it, so nobody waits."""
        rate = self.optimizer._rate()
        values = rate, self.optimizer._flat_rate(rate)
        for k, (place, value) in enumerate(zip((self.rate, self.flat), values)):
            if isinstance(value, (np.ndarray, np.generic)):
                value = value.item()
            known = isinstance(value, (int, float))
            if not known:
                place[...] = value
            elif value != self.written[k]:
                place.fill(value)
            self.written[k] = value if known else None


def leaves(data) -> list:
    """Return the arrays of a batch as tensors, in order."""
    return [leaf for leaf in tree.flatten(data) if leaf is not None]


class _Work:
    """What is captured: a step of training on arrays that stay.

    Attributes
    ----------
    gradients : list of Tensor
        Where they come out, as far as they do unchanged.
    plan, rates
        Of the update, where it is part of the work.
    noise : list of (seed, Backend, generator)
    """

    def __init__(self, model, data):
        self.model, self.data = model, data
        self.gradients: list = []
        self.noise: list = []
        self.plan = model.optimizer.plan_to_record(whole=True)
        self.rates: Any = None
        if self.plan is not None:
            self.rates = Rates(model.optimizer, backends.current(), self.plan.runs[0].p.dtype)

    def __call__(self):
        model = self.model
        x, y, sample_weight = unpack_x_y_sample_weight(self.data)
        with random.noticed() as drawn:
            y_pred, gradients = model._differentiate(x, y, sample_weight)
            if not gradients or any(type(g) is not Tensor for g in gradients):
                raise CannotRecord(_odd(gradients, model._trained_variables()))
            if self.plan is None:
                self.gradients = gradients
            else:
                self._update(gradients)
            model.compute_metrics(x, y, y_pred, sample_weight)
        self.noise = drawn

    def _update(self, gradients) -> None:
        optimizer = self.model.optimizer
        for position, view in self.plan.copies:
            if gradients[position].array is not view:
                view[...] = gradients[position].array
        optimizer.update_captured(self.plan, self.rates.rate, self.rates.flat)
        if not optimizer._changes_gradients():
            self.gradients = [Tensor(view) for _, view in sorted(self.plan.copies, key=lambda c: c[0])]


class _Evaluation(_Work):
    """A step of evaluation on arrays that stay."""

    def __init__(self, model, data):
        self.model, self.data = model, data
        self.gradients, self.noise = [], []
        self.plan = self.rates = None

    def __call__(self):
        with random.noticed() as drawn:
            self.model.test_step(self.data)
        if drawn:
            raise CannotRecord("noise is drawn in evaluation")


def _odd(gradients, variables) -> str:
    for gradient, variable in zip(gradients, variables):
        if gradient is None:
            return f"the loss does not depend on {variable.path}"
        if type(gradient) is RowTensor:
            return f"the gradient of {variable.path} has as many rows as the batch has different words"
    return "there is nothing to train"


def capture(model, data, memory, evaluation=False) -> Graph:
    """Capture the step for batches like ``data``; nothing is trained or measured.

    Parameters
    ----------
    model : Model
    data : tensor or structure of tensors
        A batch as ``train_step`` and ``test_step`` take it.
    memory
        Of the backend, for what the step computes.

    Raises
    ------
    CannotRecord
        Where the step cannot be captured.
    """
    backend, optimizer = backends.current(), model.optimizer
    copies = [None if leaf is None else Tensor(leaf.array.copy()) for leaf in tree.flatten(data)]
    inputs = [copy.array for copy in copies if copy is not None]
    batch = tree.pack_sequence_as(data, copies)
    versions = [(v, v.version) for v in (*_variables(model), *optimizer.variables)]
    try:
        work = _Evaluation(model, batch) if evaluation else _Work(model, batch)
        graph = backend.capture(work, memory)
    except Exception as error:
        raise CannotRecord(str(error) if isinstance(error, CannotRecord) else described(error)) from error
    finally:  # the device did nothing, so the host takes back what it noted
        for variable, version in versions:
            variable.version = version
        optimizer.__dict__["_placed"] = False
    return (EvaluationGraph if evaluation else GraphStep)(model, inputs, work, graph, memory)


def _variables(model) -> list:
    """Return the variables that a step reads or writes."""
    return list({id(v): v for v in (*model.variables, *changed_variables(model))}.values())
