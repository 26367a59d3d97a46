"""Differentiable functions on tensors (``keras.ops``).

One explicit import per file; every name here is public.
"""

from .math import add, multiply
from .recurrent import gru, lstm, simple_rnn
