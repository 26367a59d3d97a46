"""What every part of an optimizer may read of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gpukeras.tensor import Variable


class Settings:
    """Attributes that ``Optimizer`` sets and its parts share."""

    name: str
    built: bool
    decay: float
    weight_decay: Any
    clipnorm: Any
    clipvalue: Any
    global_clipnorm: Any
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    _learning_rate: Any
    _trainable_variables: list[Variable]
    _track: Callable[[Variable], None]
    _untrack: Callable[[Variable], None]
