"""A recorded training step: what the program of a CPU and the graph of a GPU have in common.

Whoever records a step proves it before trusting it: the first replay and one ordinary step start from the
same state, and must end in the same.
"""

from __future__ import annotations

import numpy as np

from gpukeras import backends, dtypes, tensor
from gpukeras.callbacks.logs import Logs
from gpukeras.utils.structures import unpack_x_y_sample_weight


class Replay:
    """One recorded step of a model for one batch shape.

    Parameters
    ----------
    model : Model
    inputs : list of array
        Where the batch goes.
    gradients : list of Tensor
        Where the gradients come out.
    plan : optimizers.flat.Plan or None
        Of an update that was recorded as well; without it the optimizer takes ``gradients``.

    Attributes
    ----------
    proven : bool
        Whether a replay has been found to do the same as an ordinary step.
    replays : int
        Steps made so.
    counted : bool
        Whether a recorded update counts itself in the optimizer's variable.
    """

    counted = False

    def __init__(self, model, inputs, gradients, plan):
        self.model = model
        self.inputs = inputs
        self.gradients = gradients
        self.plan = plan
        self.optimizer = model.optimizer
        self.variables = model._trained_variables()
        self.layout = tensor.layout_version
        self.proven = False
        self.replays = 0

    def valid(self) -> bool:
        """Tell whether the variables still are where they were."""
        model, optimizer = self.model, self.optimizer
        return self.layout == tensor.layout_version == optimizer._layout and (
            optimizer is model.optimizer and self.variables is model._variables_trained
        )

    # ---- what a device brings ------------------------------------------------------------------------
    def run(self, data) -> None:
        """Do what was recorded on a batch: everything, or everything up to the optimizer's step."""
        raise NotImplementedError

    def write_rate(self) -> None:
        """Put the learning rate of the next step where a recorded update reads it."""
        raise NotImplementedError

    def generators(self) -> list:
        """Return the generators of noise that it draws from, each behind its backend."""
        raise NotImplementedError

    def describe(self) -> str:
        """Return in a few words what it is."""
        raise NotImplementedError

    # ---- a step ----------------------------------------------------------------------------------------
    def step(self, data):
        """Train on one batch; return the logs."""
        model, optimizer = self.model, self.optimizer
        if self.plan is not None:
            self.write_rate()
            self.run(data)
            optimizer.count_recorded(self.plan, self.counted)
        else:
            self.run(data)
            optimizer.gradient_places(self.variables)
            optimizer.apply(self.gradients, self.variables)
        self.replays += 1
        return Logs(model._results)

    def prove(self, data) -> tuple:
        """Make one ordinary step, and find out whether a replay does the same.

        Returns
        -------
        reason : str or None
            Why it does not.
        logs : mapping
        """
        memory, generators = self._memory(), self.generators()
        try:
            before = [a.copy() for _, a in memory]
            draws = [backend.generator_state(g) for backend, g in generators]
        except MemoryError:
            return "there is no memory to check a replay with", self._ordinary(data)[1]
        problem, replayed = None, []
        try:
            if self.plan is not None:
                self.write_rate()
            self.run(data)
            replayed = [a.copy() for _, a in memory] + [g.array.copy() for g in self.gradients]
        except Exception as error:
            problem = f"a first replay failed ({described(error)})"
        for (_, array), value in zip(memory, before):
            array[...] = value
        for (backend, generator), value in zip(generators, draws):
            backend.set_generator_state(generator, value)
        kept, logs = self._ordinary(data)
        if problem is None:
            expected = memory + kept if self.gradients else memory
            names = _differing(expected, replayed)
            problem = f"a replay differs from an ordinary step in {', '.join(names[:3])}" if names else None
        self.proven = problem is None
        return problem, logs

    def _ordinary(self, data) -> tuple:
        """Make an ordinary step; return the gradients, as pairs of name and array, and the logs."""
        model = self.model
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred, gradients = model._differentiate(x, y, sample_weight)
        kept = [(f"the gradient of {v.path}", g.array.copy()) for v, g in zip(self.variables, gradients)]
        model.optimizer.apply(gradients, self.variables)
        model.compute_metrics(x, y, y_pred, sample_weight)
        return kept, model.get_metrics_result()

    def _memory(self) -> list:
        """Return all that a step changes, gradients aside: pairs of name and array."""
        found = [(v.path, v.array) for v in changed_variables(self.model)]
        for run in self.plan.runs if self.plan is not None else ():
            found.append(("the weights", run.p))
            found += [(f"the optimizer's {name}", a) for name, a in run.slots.items()]
        if self.plan is not None:
            found += [(v.path, v.array) for v in self.optimizer.device_state]
        return found


def changed_variables(model) -> list:
    """Return the variables that a step changes besides the weights: averages, metrics."""
    found = [*model.non_trainable_variables]
    for metric in model._metric_list():
        found += metric.variables
    return list({id(v): v for v in found}.values())


def described(error: BaseException) -> str:
    """Return an error in one line."""
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def _differing(expected, found) -> list:
    """Return the names of arrays that are not as expected; a device is waited for once."""
    told: dict = {}
    with np.errstate(over="ignore", invalid="ignore"):  # training may have gone to infinity
        for (name, wanted), array in zip(expected, found):
            if wanted.size:
                backend = backends.backend_of(wanted)
                told.setdefault(backend, []).append((name, _equal(backend.xp, array, wanted)))
    return [
        name for backend, pairs in told.items()
        for (name, _), same in zip(pairs, backend.to_numpy(backend.xp.stack([same for _, same in pairs])))
        if not same
    ]


def _equal(xp, a, b):
    """Tell, as an array of no axes, whether two arrays are equal but for rounding; NaN is equal to NaN."""
    equal = a == b
    if dtypes.is_float(b.dtype):
        finite = xp.where(xp.isfinite(b), xp.abs(b), 0)
        relative, absolute = (1e-4, 1e-6) if b.dtype.itemsize > 2 else (1e-2, 1e-3)
        near = xp.abs(a - b) <= relative * finite + absolute * finite.max()
        equal = equal | near & xp.isfinite(b) | xp.isnan(a) & xp.isnan(b)
    return equal.all()
