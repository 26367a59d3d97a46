"""What happens around the rule of an optimizer: clipping, accumulation, weight decay, moving averages."""

from __future__ import annotations

import re
from collections.abc import Callable

from gpukeras.backends.update import scalar
from gpukeras.tensor import Tensor

from .rates import RateMixin


class AdjustMixin(RateMixin):
    """Changes to gradients before the rule, and to weights before and after it, on the flat buffers."""

    # Set by Optimizer and the other parts of it.
    _segments: list
    _model_variables_moving_average: list
    _accumulated_gradients: list
    _get_variable_index: Callable[..., int]

    # ---- gradients -------------------------------------------------------------------------------
    def _clip(self, plan) -> None:
        """Limit the gathered gradients in place."""
        if self.clipnorm and self.clipnorm > 0:
            for run in plan.runs:
                run.backend.clip_each(run.g, run.bounds, self.clipnorm)
        elif self.global_clipnorm and self.global_clipnorm > 0:
            total = sum(run.backend.square_sum(run.g) for run in plan.runs)
            for run in plan.runs:
                factor = run.backend.clip_factor(total, self.global_clipnorm)
                run.backend.xp.multiply(run.g, scalar(factor, run.g.dtype), run.g)
                for gap in run.gaps:  # a factor of NaN must not stay there
                    gap[...] = 0
        elif self.clipvalue and self.clipvalue > 0:
            for run in plan.runs:
                limit = run.g.dtype.type(self.clipvalue)
                run.backend.xp.clip(run.g, -limit, limit, out=run.g)

    def _accumulate(self, plan, steps: int) -> bool:
        """Add the gradients to those before; on the step that updates, put the mean in their place."""
        update = (self._host_step() + 1) % steps == 0
        for run in plan.runs:
            xp, kept = run.backend.xp, run.slots["gradient_accumulator"]
            if update:
                xp.add(run.g, kept, run.g)
                xp.divide(run.g, run.g.dtype.type(steps), run.g)
            else:
                xp.add(kept, run.g, kept)
        if update:
            for segment in self._segments:
                segment.slots["gradient_accumulator"][...] = 0
        return update

    # ---- weight decay ----------------------------------------------------------------------------
    def exclude_from_weight_decay(self, var_list=None, var_names=None) -> None:
        """Spare variables from weight decay; call it before the optimizer is built.

        Parameters
        ----------
        var_list : list of Variable, optional
        var_names : list of str, optional
            Regular expressions; variables in whose name or path one is found are spared: ``["bias"]``.
        """
        if self.built:
            raise ValueError(
                f"{self.name}: exclude_from_weight_decay must come before build or the first step"
            )
        self._excluded = list(var_list or ())
        self._excluded_names = re.compile("|".join(var_names)) if var_names else None

    def _use_weight_decay(self, variable) -> bool:
        pattern = self._excluded_names
        spared = pattern is not None and (pattern.search(variable.name) or pattern.search(variable.path))
        return not spared and not any(v is variable for v in self._excluded)

    def _decay_weights(self, plan, rate) -> None:
        if plan.decayed is None:
            wanted = {i for i in plan.indices if self._use_weight_decay(self._trainable_variables[i])}
            plan.decayed = [(run.backend, p) for run in plan.runs for p in run.stretches(wanted)]
        for backend, p in plan.decayed:
            backend.decay_weights(p, rate * self.weight_decay)

    # ---- averages and direct assignment ----------------------------------------------------------
    def _average(self) -> None:
        """Take the new weights into their moving average, and put that in their place when it is time."""
        momentum = float(self.ema_momentum) if self._local_step > 1 else 0.0
        for segment in self._segments:
            backend = self._trainable_variables[segment.members[0][0]].backend
            backend.average_update(segment.slots["average"], segment.p, momentum=momentum)
        if self.ema_overwrite_frequency and self._local_step % self.ema_overwrite_frequency == 0:
            self.finalize_variable_values(self._trainable_variables)

    def finalize_variable_values(self, var_list) -> None:
        """Put the moving averages in the place of the weights, where ``use_ema`` is on."""
        if not self.use_ema or not self.built:
            return
        for variable in var_list:
            average = self._model_variables_moving_average[self._get_variable_index(variable)]
            if average is not None:
                variable.assign(average)

    def _overwrite(self, variable, index, array) -> None:
        """Serve a variable whose 'gradient' is its new value (float8 scales); accumulated by the maximum."""
        steps = self.gradient_accumulation_steps
        if steps:
            kept = self._accumulated_gradients[index]
            array = variable.backend.xp.maximum(array, kept.array)
            if (self._host_step() + 1) % steps:
                kept.assign(Tensor(array))
                return
            kept.assign(Tensor(variable.backend.xp.zeros_like(array)))
        variable.assign(Tensor(array))
