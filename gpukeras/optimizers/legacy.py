"""Names under which ``tf.keras`` 2.11 to 2.15 kept its older optimizers; here they are the same classes."""

from __future__ import annotations

# ruff: noqa: F401, I001  (the public names)

from .adam import Adam, Adamax, Nadam
from .adaptive import Adadelta, Adagrad, Ftrl, RMSprop
from .optimizer import Optimizer
from .sgd import SGD
