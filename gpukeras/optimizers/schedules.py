"""Learning-rate schedules: the rate as a function of the step."""

from __future__ import annotations

import math
import numbers

import numpy as np

from gpukeras import dtypes
from gpukeras.registry import Registry
from gpukeras.tensor import Tensor, to_array


class LearningRateSchedule:
    """Base of schedules; a custom one defines ``__call__(step)`` and ``get_config()``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> class Halving(keras.optimizers.schedules.LearningRateSchedule):
    ...     def __call__(self, step):
    ...         return 0.1 * 0.5 ** (step // 10)
    >>> Halving()(25)
    0.025
    """

    def __call__(self, step):
        """Return the rate of step ``step``: a number, array or tensor, and the result is of that kind."""
        if type(self).value is LearningRateSchedule.value:
            raise NotImplementedError(f"{type(self).__name__} must define __call__(self, step)")
        if isinstance(step, numbers.Real):
            return self.value(float(step))
        steps = step.numpy() if isinstance(step, Tensor) else np.asarray(step)
        rates = np.array([self.value(float(s)) for s in steps.ravel()], dtypes.floatx()).reshape(steps.shape)
        return Tensor(to_array(rates, backend=step.backend)) if isinstance(step, Tensor) else rates

    def value(self, step: float) -> float:
        """Return the rate of one step, in Python arithmetic: the schedules of this module define it."""
        raise NotImplementedError

    def at(self, step: int, counter):
        """Return the rate for the optimizer: computed on the host, or by a custom ``__call__``."""
        if type(self).__call__ is LearningRateSchedule.__call__:
            return self.value(float(step))
        return self(counter)

    def on_device(self, counter):
        """Return the rate for a number of steps that only the device knows, as an array or tensor there."""
        own = type(self).__call__ is LearningRateSchedule.__call__ and type(self).__module__ == __name__
        if not own:
            return self(counter)
        return self.array(counter.backend.xp, counter.array.astype("float64"))

    def array(self, xp, step):
        """Return what ``value`` does for a step that is an array without axes, in functions of ``xp``."""
        raise NotImplementedError

    def get_config(self) -> dict:
        raise NotImplementedError(f"{type(self).__name__} must define get_config() to be saved")

    @classmethod
    def from_config(cls, config):
        """Make a schedule from what ``get_config`` returned."""
        return cls(**config)


def _number(owner: str, **values) -> None:
    for name, value in values.items():
        if not isinstance(value, (numbers.Real, np.ndarray, Tensor)):
            raise ValueError(f"{owner}: {name} must be a number, came {value!r}")


class ExponentialDecay(LearningRateSchedule):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate : number
    staircase : bool
        Round ``step / decay_steps`` down: the rate falls in steps.
    name : str

    Examples
    --------
    >>> ExponentialDecay(0.1, decay_steps=100, decay_rate=0.5)(200)
    0.025
    """

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="ExponentialDecay",
    ):
        _number(
            name, initial_learning_rate=initial_learning_rate, decay_rate=decay_rate, decay_steps=decay_steps,
        )
        if decay_steps <= 0:
            raise ValueError(f"{name}: decay_steps must be > 0, came {decay_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def value(self, step):
        part = step / self.decay_steps
        part = math.floor(part) if self.staircase else part
        return float(self.initial_learning_rate * self.decay_rate**part)

    def array(self, xp, step):
        part = step / self.decay_steps
        part = xp.floor(part) if self.staircase else part
        return self.initial_learning_rate * self.decay_rate**part

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate, "staircase": self.staircase, "name": self.name,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    Parameters
    ----------
    boundaries : list of number
        Increasing.
    values : list of number
        One more than boundaries.
    name : str

    Examples
    --------
    >>> rate = PiecewiseConstantDecay([100, 200], [1.0, 0.5, 0.1])
    >>> rate(100), rate(101), rate(1000)
    (1.0, 0.5, 0.1)
    """

    def __init__(self, boundaries, values, name="PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                f"{name}: there must be one more value than boundaries, came {len(boundaries)} boundaries "
                f"and {len(values)} values"
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def value(self, step):
        for boundary, value in zip(self.boundaries, self.values):
            if step <= boundary:
                return float(value)
        return float(self.values[-1])

    def array(self, xp, step):
        rate = xp.full_like(step, self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:]):
            rate = xp.where(step > boundary, value, rate)
        return rate

    def get_config(self):
        return {"boundaries": list(self.boundaries), "values": list(self.values), "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """From ``initial_learning_rate`` to ``end_learning_rate`` within ``decay_steps``, along a power.

    Parameters
    ----------
    initial_learning_rate, decay_steps, end_learning_rate, power : number
    cycle : bool
        Start again, over a multiple of ``decay_steps``, instead of staying at the end.
    name : str

    Examples
    --------
    >>> PolynomialDecay(1.0, decay_steps=10, end_learning_rate=0.0)(5)
    0.5
    """

    def __init__(
        self, initial_learning_rate, decay_steps, end_learning_rate=0.0001, power=1.0, cycle=False,
        name="PolynomialDecay",
    ):
        _number(name, initial_learning_rate=initial_learning_rate, decay_steps=decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def value(self, step):
        steps = self.decay_steps
        if self.cycle:
            steps = steps * (math.ceil(step / steps) if step else 1)
        else:
            step = min(step, steps)
        span = self.initial_learning_rate - self.end_learning_rate
        return float(span * (1 - step / steps) ** self.power + self.end_learning_rate)

    def array(self, xp, step):
        steps = self.decay_steps
        if self.cycle:
            steps = steps * xp.maximum(xp.ceil(step / steps), 1)
        else:
            step = xp.minimum(step, steps)
        span = self.initial_learning_rate - self.end_learning_rate
        return span * (1 - step / steps) ** self.power + self.end_learning_rate

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate, "power": self.power, "cycle": self.cycle,
            "name": self.name,
        }


class InverseTimeDecay(LearningRateSchedule):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate, decay_steps, decay_rate : number
    staircase : bool
        Round ``step / decay_steps`` down.
    name : str

    Examples
    --------
    >>> InverseTimeDecay(1.0, decay_steps=10, decay_rate=1.0)(10)
    0.5
    """

    def __init__(
        self, initial_learning_rate, decay_steps, decay_rate, staircase=False, name="InverseTimeDecay",
    ):
        _number(
            name, initial_learning_rate=initial_learning_rate, decay_rate=decay_rate, decay_steps=decay_steps,
        )
        if decay_steps <= 0:
            raise ValueError(f"{name}: decay_steps must be > 0, came {decay_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def value(self, step):
        part = step / self.decay_steps
        part = math.floor(part) if self.staircase else part
        return float(self.initial_learning_rate / (1 + self.decay_rate * part))

    def array(self, xp, step):
        part = step / self.decay_steps
        part = xp.floor(part) if self.staircase else part
        return self.initial_learning_rate / (1 + self.decay_rate * part)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate, "staircase": self.staircase, "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine from the initial rate down to ``alpha`` times it, after an optional linear warm-up.

    Parameters
    ----------
    initial_learning_rate, decay_steps, alpha : number
    name : str
    warmup_target : number, optional
        Rate at the end of the warm-up, where the cosine starts; ``None``: no warm-up.
    warmup_steps : int

    References
    ----------
    Loshchilov and Hutter, SGDR, arXiv:1608.03983

    Examples
    --------
    >>> round(CosineDecay(1.0, decay_steps=100)(50), 6)
    0.5
    """

    def __init__(
        self, initial_learning_rate, decay_steps, alpha=0.0, name="CosineDecay", warmup_target=None,
        warmup_steps=0,
    ):
        _number(name, initial_learning_rate=initial_learning_rate, decay_steps=decay_steps)
        if decay_steps <= 0:
            raise ValueError(f"{name}: decay_steps must be > 0, came {decay_steps}")
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = decay_steps
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def value(self, step):
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return float(start + (self.warmup_target - start) * step / self.warmup_steps)
            step, start = step - self.warmup_steps, self.warmup_target
        part = min(step, self.decay_steps) / self.decay_steps
        return float(start * ((1 - self.alpha) * 0.5 * (1 + math.cos(math.pi * part)) + self.alpha))

    def array(self, xp, step):
        start, target = self.initial_learning_rate, self.warmup_target
        after = step if target is None else step - self.warmup_steps
        part = xp.clip(after, 0, self.decay_steps) / self.decay_steps
        rate = (1 - self.alpha) * 0.5 * (1 + xp.cos(math.pi * part)) + self.alpha
        if target is None:
            return start * rate
        rising = start + (target - start) * step / max(1, self.warmup_steps)
        return xp.where(after < 0, rising, target * rate)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate, "decay_steps": self.decay_steps,
            "alpha": self.alpha, "name": self.name, "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that starts again: each period ``t_mul`` times longer, from ``m_mul`` times the rate.

    Parameters
    ----------
    initial_learning_rate, first_decay_steps, t_mul, m_mul, alpha : number
    name : str

    References
    ----------
    Loshchilov and Hutter, SGDR, arXiv:1608.03983

    Examples
    --------
    >>> rate = CosineDecayRestarts(1.0, first_decay_steps=10)
    >>> rate(0), rate(10), round(rate(20), 6)
    (1.0, 1.0, 0.5)
    """

    def __init__(
        self, initial_learning_rate, first_decay_steps, t_mul=2.0, m_mul=1.0, alpha=0.0, name="SGDRDecay",
    ):
        _number(name, initial_learning_rate=initial_learning_rate, first_decay_steps=first_decay_steps)
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = first_decay_steps
        self.t_mul = t_mul
        self.m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def value(self, step):
        part, growth = step / self.first_decay_steps, self.t_mul
        if growth == 1:
            restart = math.floor(part)
            part -= restart
        else:
            # 1e-9: a step that is exactly the first of a period must not fall before it by rounding
            restart = math.floor(math.log(1 - part * (1 - growth)) / math.log(growth) + 1e-9)
            part = max(0.0, (part - (1 - growth**restart) / (1 - growth)) / growth**restart)
        height = 0.5 * self.m_mul**restart * (1 + math.cos(math.pi * part))
        return float(self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha))

    def array(self, xp, step):
        part, growth = step / self.first_decay_steps, self.t_mul
        if growth == 1:
            restart = xp.floor(part)
            part = part - restart
        else:
            restart = xp.floor(xp.log(1 - part * (1 - growth)) / math.log(growth) + 1e-9)
            part = xp.maximum((part - (1 - growth**restart) / (1 - growth)) / growth**restart, 0)
        height = 0.5 * self.m_mul**restart * (1 + xp.cos(math.pi * part))
        return self.initial_learning_rate * ((1 - self.alpha) * height + self.alpha)

    def get_config(self):
        return {
            "initial_learning_rate": self.initial_learning_rate, "first_decay_steps": self.first_decay_steps,
            "t_mul": self.t_mul, "m_mul": self.m_mul, "alpha": self.alpha, "name": self.name,
        }


_classes = (
    ExponentialDecay, PiecewiseConstantDecay, PolynomialDecay, InverseTimeDecay, CosineDecay,
    CosineDecayRestarts,
)
REGISTRY = Registry(
    "schedule", {cls.__name__: cls for cls in _classes}, module="keras.optimizers.schedules"
)


def serialize(learning_rate_schedule, use_legacy_format: bool = False) -> dict:
    """Return a schedule as a dictionary of plain values; the legacy format is that of Keras 2."""
    return REGISTRY.serialize(learning_rate_schedule, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format: bool = False):
    """Return the schedule that ``serialize`` described; both formats are told apart by themselves."""
    return REGISTRY.deserialize(config, custom_objects)
