"""ConvLSTM layers."""

import numpy as np

from .case import Case

MASK = np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], bool)

CASES = [
    Case("ConvLSTM1D", {"filters": 2, "kernel_size": 3, "strides": 2, "activation": "relu"}, (3, 6, 2)),
    Case("ConvLSTM2D", {"filters": 2, "kernel_size": (3, 2), "return_sequences": True, "return_state": True},
         (2, 4, 5, 2)),
    Case("ConvLSTM2D", {"filters": 2, "kernel_size": 2, "dilation_rate": 2, "go_backwards": True,
                        "data_format": "channels_first", "recurrent_activation": "hard_sigmoid",
                        "unit_forget_bias": False, "unroll": True, "use_bias": False}, (2, 2, 4, 5)),
    Case("ConvLSTM3D", {"filters": 2, "kernel_size": 2, "padding": "same"}, (2, 3, 2, 3, 1)),
    # ---- what Keras 3 does not have, or not on every engine
    Case("ConvLSTM2D", {"filters": 2, "kernel_size": 2, "padding": "same", "zero_output_for_mask": True,
                        "return_sequences": True}, (3, 4, 4, 2), call={"mask": MASK}, keras3=False),
    Case("ConvLSTM2D", {"filters": 2, "kernel_size": 2, "dropout": 0.3, "recurrent_dropout": 0.4, "seed": 3},
         (3, 4, 4, 2), random=True, keras3=False),
    Case("Bidirectional", lambda L: {"layer": L.ConvLSTM2D(2, 2, return_sequences=True)}, (3, 3, 4, 1),
         keras3=False),
    Case("ConvRNN2D", lambda L: {"cell": L.ConvLSTM2DCell(2, 2), "return_sequences": True}, (3, 4, 4, 2),
         keras3=False),
]
