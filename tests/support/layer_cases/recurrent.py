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
    Case("TimeDistributed", lambda L: {"layer": L.Dense(3, activation="tanh")}, (5, 4)),
    Case("TimeDistributed", lambda L: {"layer": L.Conv2D(2, 3)}, (2, 5, 5, 3)),
]
