"""Updates for recorded steps (``models.captured``), and updates whose number the device counts."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from gpukeras import autograd, backends
from gpukeras.tensor import Tensor, Variable

from .adjust import AdjustMixin
from .schedules import LearningRateSchedule


class RecordedMixin(AdjustMixin):
    """The array work of a step by itself, without looking at gradients or counting on the host."""

    recordable = False  # whether ``update_flat`` depends on the number of the step by ``_flat_rate`` alone
    counts_on_device = False  # whether else it takes that number from ``_local_step`` as an array, too

    # Set by Optimizer and the other parts of it.
    _all: tuple
    _fused: bool
    _layout: int
    _overwritten: bool
    _placing: bool
    _begin_update: Callable[[], None]
    _changes_gradients: Callable[[], bool]
    _decays: Callable[[], bool]
    _flat_rate: Callable[[Any], Any]
    _lay_out: Callable[[], None]
    _plan: Callable[..., Any]
    _update_run: Callable[..., None]

    def plan_to_record(self, whole=False):
        """Return the plan of an update that is nothing but its rule on gradients in their places.

        ``None`` where a step does more: averages, constraints, accumulation; and, unless ``whole``, clipping
        or weight decay, or numbers beside the rate, which ``update_captured`` does.
        """
        changes = self._changes_gradients()
        if self.use_ema or self.gradient_accumulation_steps or self.loss_scale_factor is not None:
            return None
        if not (self.recordable or whole and self._may_count_on_device()):
            return None
        if not self._placing or self._overwritten or not whole and (changes or self._decays()):
            return None
        plan = self._plan(self._all, changes, True)
        kinds = {run.p.dtype for run in plan.runs}
        if len(kinds) != 1 or plan.constrained or any(run.source is not None for run in plan.runs):
            return None
        self.__dict__["_placed"] = False  # no ``apply`` follows that would use the places
        return plan

    def _may_count_on_device(self) -> bool:
        """Tell whether the counter lies where all weights are, and the rule can read it there."""
        backend = self._iterations.backend
        if not (self.recordable or self.counts_on_device) or backend is backends.CPU:
            return False
        return all(v.backend is backend for v in self._trainable_variables)

    def update_captured(self, plan, rate, flat_rate) -> None:
        """Do the array work of a step on gradients in their places, and count it on the device.

        Parameters
        ----------
        plan
            Of ``plan_to_record(whole=True)``.
        rate, flat_rate : array, no axes
            The learning rate, and what ``_flat_rate`` makes of it.
        """
        if self.recordable:
            self._update_arrays(plan, rate, flat_rate)
        else:
            with self._counting_on_device():
                self._begin_update()
                self._update_arrays(plan, rate, self._flat_rate(rate))
        counter = self._iterations.array
        counter += 1

    def _update_arrays(self, plan, rate, flat_rate) -> None:
        """Clip, decay, update: with numbers or arrays of no axes for the rates."""
        if self._changes_gradients():
            self._clip(plan)
        if self._decays():
            self._decay_weights(plan, rate)
        for run in plan.runs:
            self._update_run(run, run.g, flat_rate)

    def next_flat_rate(self):
        """Return the rate that ``update_flat`` takes in the next step."""
        return self._flat_rate(self._rate())

    def count_recorded(self, plan, counted=False) -> None:
        """Count an update that was made without ``apply``; ``counted``: the variable has the new number."""
        for variable in plan.variables:
            variable.version += 1
        if not self.recordable:
            for variable in self.device_state:
                variable.version += 1
        self._count_step(counted)

    @property
    def device_state(self) -> list[Variable]:
        """What a step changes on the device besides weights and slots in flat buffers."""
        return []

    # ---- steps that may not count ---
    def can_undo(self) -> bool:
        """Tell whether ``update_where`` can be used: no user's rule, no averages, no accumulation."""
        if not self.built or self.use_ema or self.gradient_accumulation_steps or self._overwritten:
            return False
        if not self._may_count_on_device():
            return False
        if self._layout == -1:
            self._lay_out()
        return self._placing

    def update_where(self, plan, rate, wanted) -> None:
        """Do a step, constraints included, that only counts where ``wanted``: nobody waits for that.

        Parameters
        ----------
        plan
            Its gradients have been gathered; they are finite where ``wanted``.
        rate : float or array of no axes
            The learning rate.
        wanted : array of bool, no axes
        """
        backend, counter = self._iterations.backend, self._iterations.array
        state = [a for run in plan.runs for a in (run.p, *run.slots.values()) if a is not None]
        state += [v.array for v in self.device_state]
        copies = [a.copy() for a in state]
        with self._counting_on_device():
            self._begin_update()
            self._update_arrays(plan, rate, self._flat_rate(rate))
        with autograd.no_recording():
            for variable in plan.constrained:
                variable.assign(variable.constraint(variable))
        backend.put_back(state, copies, ~wanted)
        counter += wanted.astype(counter.dtype)

    def rate_on_device(self):
        """Return the rate of a step whose number the device knows: a float, or an array of no axes."""
        rate, counter = self._learning_rate, self._iterations
        if isinstance(rate, LearningRateSchedule):
            found = rate.on_device(counter)
        else:
            found = self._given_rate()
        found = found.array if isinstance(found, Tensor) else found
        return found / (1 + self.decay * counter.array.astype("float64")) if self.decay else found

    @contextlib.contextmanager
    def _counting_on_device(self):
        """Let ``_local_step`` be an array inside the ``with`` block."""
        self.__dict__["_device_step"] = self._iterations.backend.step_after(self._iterations.array)
        try:
            yield
        finally:
            self.__dict__["_device_step"] = None
