"""Numbers of an optimizer's step where the device counts the steps, and steps that may have to be undone.

A host that knows the number of the step computes such factors itself. Where it depends on values of the
device whether a step counts (a loss scale leaves out those that overflow), the number is an array there.
"""

from __future__ import annotations

from .device import Device


class StepMixin(Device):
    """``counter`` is an array of int32 without axes: the steps made so far."""

    def adam_rate(self, learning_rate, counter, beta_1: float, beta_2: float):
        """Return ``learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t)`` for step t = counter + 1."""
        step = self.step_after(counter)
        return learning_rate * (1 - beta_2**step) ** 0.5 / (1 - beta_1**step)

    def adamax_rate(self, learning_rate, counter, beta_1: float):
        """Return ``learning_rate / (1 - beta_1^t)`` for step t = counter + 1."""
        return learning_rate / (1 - beta_1 ** self.step_after(counter))

    def nadam_factors(self, counter, product, beta_1: float, beta_2: float, schedule_decay: float):
        """Return the factors of ``nadam_update``; take this step's momentum into ``product``, an array."""
        step = self.step_after(counter)
        now, then = (beta_1 * (1 - 0.5 * 0.96 ** (s * schedule_decay)) for s in (step, step + 1))
        product[...] = product * now
        return self.xp.stack([
            then / (1 - product * then), (1 - now) / (1 - product), 1 - beta_2**step,
        ])

    def lamb_corrections(self, counter, beta_1: float, beta_2: float):
        """Return ``1 - beta_1^t`` and ``1 - beta_2^t`` for step t = counter + 1, as one array."""
        step = self.step_after(counter)
        return self.xp.stack([1 - beta_1**step, 1 - beta_2**step])

    def step_after(self, counter):
        """Return the number of the step after ``counter`` steps, as an array of float64."""
        return counter.astype("float64") + 1

    def all_finite(self, arrays):
        """Return, as an array of no axes, whether all values of all arrays are finite."""
        found = None
        for array in arrays:
            one = self.xp.isfinite(array).all()
            found = one if found is None else found & one
        return found

    def put_back(self, arrays, copies, where) -> None:
        """Copy ``copies`` to ``arrays`` where the array ``where`` of no axes is true; nobody waits."""
        for array, copy in zip(arrays, copies):
            self.xp.copyto(array, copy, where=where)
