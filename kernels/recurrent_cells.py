"""What the recurrent kernels share: cells, activations, and ``Sequence`` of ``recurrent_cells.cuh``."""

from __future__ import annotations

import numpy as np

GATES = {"SIMPLE_RNN": 1, "LSTM": 4, "GRU": 3, "GRU_BEFORE": 3}  # in the order of ``Cell``
ACTIVATIONS = (  # in the order of ``Activation``
    "tanh", "sigmoid", "linear", "relu", "relu6", "hard_sigmoid", "hard_tanh", "exponential", "softplus",
    "softsign", "elu", "selu", "hard_sigmoid_keras2",
)
SEQUENCE = np.dtype([
    (name, "i4") for name in (
        "batch", "steps", "units", "backwards", "drops", "activation", "recurrent_activation",
    )
])


def sequence(**values) -> np.ndarray:
    """Return a structure to pass by value; activations are given by name."""
    found = np.zeros((), SEQUENCE)
    for name, value in values.items():
        found[name] = ACTIVATIONS.index(value) if name.endswith("activation") else value
    return found
