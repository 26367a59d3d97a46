"""Learning rate and step count: on the device for everyone, mirrored on the host for the rules.

The rules need plain numbers and must not wait for a GPU to get them. The mirrors are read again only when
somebody assigned to the variables.
"""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np

from gpukeras import dtypes
from gpukeras.tensor import Tensor, Variable, to_array

from .schedules import LearningRateSchedule
from .settings import Settings


class RateMixin(Settings):
    """``learning_rate``, ``lr``, ``decay`` and ``iterations``."""

    _device_step: Any = None  # in an update whose number the device knows: that number, as an array

    def _start_rate(self, learning_rate) -> None:
        """Take the constructor's learning rate and start counting."""
        self._iterations = Variable(0, dtype="int32", trainable=False, name="iteration")
        self._iterations.path = f"{self.name}/iteration"
        self._track(self._iterations)
        self._step = 0
        self._step_version = self._iterations.version
        self._rate_version = -1
        self._host_rate = 0.0
        if isinstance(learning_rate, Variable):
            learning_rate.trainable = False
            self._track(learning_rate)
        elif isinstance(learning_rate, (numbers.Real, np.ndarray, Tensor)):
            number = float(learning_rate)
            learning_rate = Variable(number, dtype=dtypes.floatx(), trainable=False, name="learning_rate")
            self._host_rate = float(learning_rate.dtype.type(number))  # known: no need to read it back
            self._rate_version = learning_rate.version
            learning_rate.path = f"{self.name}/learning_rate"
            self._track(learning_rate)
        elif not callable(learning_rate):
            raise ValueError(
                f"{self.name}: learning_rate must be a number, a LearningRateSchedule or a callable, "
                f"came {learning_rate!r}"
            )
        self._learning_rate = learning_rate

    # ---- the step count ---
    @property
    def iterations(self):
        """Number of updates so far (with gradient accumulation: of full rounds)."""
        if self.gradient_accumulation_steps:
            return Tensor(self._iterations.array // self.gradient_accumulation_steps)
        return self._iterations

    def _count_step(self, counted=False) -> None:
        step, counter = self._host_step() + 1, self._iterations
        if not counted:
            counter.array[...] = step
        counter.version += 1
        state = self.__dict__  # plain numbers: no need to ask whether they are variables to track
        state["_step"], state["_step_version"] = step, counter.version

    def _host_step(self) -> int:
        """Return the number of ``apply`` calls so far."""
        if self._iterations.version != self._step_version:  # assigned: a file was loaded, a user reset it
            self._step = int(self._iterations.numpy())
            self._step_version = self._iterations.version
        return self._step

    @property
    def _local_step(self):
        """Number of the update being made, from 1 on: what bias corrections count."""
        if self._device_step is not None:
            return self._device_step
        step = self._host_step()
        return (step // self.gradient_accumulation_steps if self.gradient_accumulation_steps else step) + 1

    # ---- the learning rate ---
    def _rate(self):
        """Return the rate of this step: a float, or a 0-d array where a schedule of the user computed one."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            found = rate.at(self._host_step(), self._iterations)
        else:
            found = self._given_rate()
        if isinstance(found, Tensor):
            found = found.array
        if self.decay:
            found = found / (1 + self.decay * self._host_step())
        return found

    def _given_rate(self):
        """Return the rate of a variable, from its mirror, or of a function of the user's."""
        rate = self._learning_rate
        if isinstance(rate, Variable):
            if rate.version != self._rate_version:
                self._host_rate = float(rate.numpy())
                self._rate_version = rate.version
            return self._host_rate
        return rate()

    @property
    def learning_rate(self):
        """The learning rate of the next step: a variable to assign to, or the value of a schedule."""
        if isinstance(self._learning_rate, Variable) and not self.decay:
            return self._learning_rate
        return Tensor(to_array(self._rate(), dtypes.floatx()))

    @learning_rate.setter
    def learning_rate(self, value):
        current = self._learning_rate
        if callable(value):  # a schedule, too
            if isinstance(current, Variable):
                self._untrack(current)
            self._learning_rate = value
        elif isinstance(current, Variable):
            current.assign(value)
            if isinstance(value, numbers.Real):  # known here: no need to read it back
                self._host_rate = float(current.dtype.type(value))
                self._rate_version = current.version
        else:
            raise TypeError(
                f"{self.name}: its learning rate follows {type(current).__name__}, so it cannot be set to "
                f"{value!r}; make the optimizer with a number, or set another schedule"
            )

    @property
    def lr(self):
        """Keras 2's name of ``learning_rate``."""
        return self.learning_rate

    @lr.setter
    def lr(self, value):
        self.learning_rate = value

    def _rate_config(self):
        """Return the learning rate as a plain value for a configuration."""
        from gpukeras.saving import serialize_keras_object

        if isinstance(self._learning_rate, Variable):
            # By way of its shortest form: 0.001, not 0.0010000000474974513, which is the same float32.
            return float(str(self._learning_rate.numpy()))
        return serialize_keras_object(self._learning_rate)
