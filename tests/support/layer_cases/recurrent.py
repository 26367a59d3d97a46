"""Recurrent layers and wrappers."""

from .case import MASK, Case

RNN_KINDS = (("SimpleRNN", {}), ("GRU", {}), ("GRU", {"reset_after": False}), ("LSTM", {}))
RNN_CALLS = (
    ({}, {}), ({"return_sequences": True, "return_state": True}, {}),
    ({"go_backwards": True, "return_sequences": True, "use_bias": False}, {}),
    ({"return_sequences": True}, {"mask": MASK}), ({"return_state": True}, {"mask": MASK}),
)

CASES = [
    *[Case(name, {"units": 3, **extra, **kwargs}, (5, 4), call=call)
      for name, extra in RNN_KINDS for kwargs, call in RNN_CALLS],
    *[Case(name, {"units": 3, "activation": "relu", "unroll": True}, (5, 4))
      for name in ("SimpleRNN", "GRU", "LSTM")],
    *[Case("Bidirectional", lambda L, name=name, kwargs=kwargs, merge=merge: {
        "layer": getattr(L, name)(3, **kwargs), "merge_mode": merge}, (5, 4), call=call)
      for name, kwargs, merge, call in (
          ("LSTM", {"return_sequences": True}, "concat", {}), ("GRU", {}, "sum", {}),
          ("SimpleRNN", {}, "ave", {}), ("LSTM", {}, "mul", {"mask": MASK}),
          ("LSTM", {"return_sequences": True}, None, {}),
      )],
    Case("RNN", lambda L: {"cell": [L.LSTMCell(3), L.GRUCell(2)], "return_sequences": True}, (5, 4)),
    Case("Bidirectional", lambda L: {"layer": L.LSTM(2), "backward_layer": L.GRU(3, go_backwards=True)},
         (5, 4)),
    Case("TimeDistributed", lambda L: {"layer": L.Dense(3, activation="tanh")}, (5, 4)),
    Case("TimeDistributed", lambda L: {"layer": L.Conv2D(2, 3)}, (2, 5, 5, 3)),
    # ---- of older eras alone
    Case("CuDNNGRU", {"units": 3, "return_sequences": True}, (5, 4), keras3=False),
    Case("CuDNNLSTM", {"units": 3, "go_backwards": True}, (5, 4), keras3=False),
    Case("RNN", lambda L: {"cell": L.PeepholeLSTMCell(3)}, (5, 4), keras3=False),
    Case("MaxoutDense", {"output_dim": 3}, (4,), keras3=False),
    Case("Highway", {"activation": "relu"}, (4,), keras3=False),
    *[Case("RNN", lambda L, make=make: {"cell": make(L), "return_sequences": True}, (5, 4)) for make in (
        lambda L: L.SimpleRNNCell(3), lambda L: L.GRUCell(3, reset_after=False), lambda L: L.LSTMCell(3),
        lambda L: L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)]),
    )],
]
