"""Attention and dense layers over any axes."""

import numpy as np

from .case import Case

KEPT = np.array([[1, 1, 0, 1, 1], [1, 0, 0, 0, 0], [0, 1, 1, 1, 0]], bool)
QUERIES = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1]], bool)
SEEN = np.array([[1, 1, 0, 1, 1], [0, 0, 1, 0, 0], [0, 1, 1, 1, 0]], bool)[None].repeat(3, 0)


def heads(name, kwargs, *shapes, **settings):
    """A case of a layer that takes query, value and key one by one."""
    return Case(name, kwargs, *shapes, spread=True, **settings)


CASES = [
    Case("Attention", {}, (3, 4), (5, 4)),
    Case("Attention", {"use_scale": True}, (3, 4), (5, 6), (5, 4),
         call={"mask": [QUERIES, KEPT], "return_attention_scores": True}),
    Case("Attention", {"use_scale": True, "score_mode": "concat"}, (3, 4), (3, 4),
         call={"use_causal_mask": True}),
    Case("Attention", {"dropout": 0.5, "seed": 3}, (3, 4), (5, 4), random=True),
    Case("AdditiveAttention", {}, (3, 4), (5, 6), (5, 4), call={"mask": [None, KEPT]}),
    Case("AdditiveAttention", {"use_scale": False}, (3, 4), (5, 4),
         call={"return_attention_scores": True, "use_causal_mask": True}),
    heads("MultiHeadAttention", {"num_heads": 2, "key_dim": 3}, (3, 4), (5, 6)),
    heads("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "use_bias": False, "output_shape": (2, 3)},
          (3, 4), (5, 6), (5, 2), call={"attention_mask": SEEN, "value_mask": KEPT}),
    heads("MultiHeadAttention", {"num_heads": 3, "key_dim": 2, "sliding_window": 2, "use_gate": True,
                                 "output_shape": 7}, (5, 4), (5, 4), call={"use_causal_mask": True}),
    heads("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "value_dim": 2}, (3, 4), (5, 6),
          call={"return_attention_scores": True, "attention_mask": SEEN, "value_mask": KEPT}),
    heads("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": 2}, (2, 3, 4), (2, 5, 4)),
    heads("MultiHeadAttention", {"num_heads": 1, "key_dim": 3, "value_dim": 2, "attention_axes": (1,),
                                 "use_gate": True}, (2, 3, 4), (5, 3, 4),
          call={"return_attention_scores": True}),
    heads("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "dropout": 0.3, "seed": 1}, (3, 4), (5, 4),
          random=True),
    heads("GroupQueryAttention", {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}, (3, 4),
          (5, 4), (5, 2), call={"attention_mask": SEEN}),
    heads("GroupQueryAttention", {"head_dim": 2, "num_query_heads": 3, "num_key_value_heads": 1,
                                  "use_bias": False, "use_gate": True, "sliding_window": 3}, (5, 4), (5, 4),
          call={"return_attention_scores": True, "use_causal_mask": True}),
    heads("GroupQueryAttention", {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1,
                                  "dropout": 0.2}, (3, 4), (5, 4), random=True),
    *[Case("EinsumDense", {"equation": equation, "output_shape": shape, "bias_axes": bias, **more}, inputs)
      for equation, shape, bias, inputs, more in (
          ("abc,cde->abde", (None, 2, 3), "de", (5, 4), {"activation": "relu"}),
          ("abc,cd->adb", (3, None), "d", (5, 4), {"activation": "tanh"}),
          ("...x,xy->...y", 3, "y", (5, 4), {}), ("ab...,bc->ac...", 3, "c", (5, 4), {}),
          ("abc,bcd->abd", (5, 3), "bd", (5, 4), {"activation": "softmax"}),
          ("abcd,ecd->abe", (None, 3), None, (2, 5, 4), {}),
      )],
]
