"""``tf.keras.optimizers.experimental``: names under which the modern optimizers came first."""

from __future__ import annotations

# ruff: noqa: F401, I001  (the public names)

from .adafactor import Adafactor
from .adam_family import Adam, Adamax, AdamW, Nadam
from .adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from .gradient_descent import SGD
from .optimizer import Optimizer
