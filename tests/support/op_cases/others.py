"""What is not compared with real Keras here: ``tests/parity/test_ops.py`` tells why, and what is instead."""

import numpy as np

from .case import Case
from .data import A, B, J, X, Y, f32


def _elementwise(a, k):
    return a * k[1]


CASES = [Case(name, inputs, *settings, real=False) for name, inputs, *settings in [
    ("convert_to_numpy", {"x": X}),
    ("convert_to_tensor", {"x": X}, {"sparse": True}, {"ragged": True}),
    ("custom_gradient", {"f": abs}),
    ("dtype", {"x": X}),
    ("is_tensor", {"x": X}),
    ("empty", {"shape": (0, 3)}, {}, {"dtype": "int32"}),
    ("empty_like", {"x": X[:0]}, {}, {"dtype": "int32"}),
    ("eig", {"x": A}),
    ("qr", {"x": X.T}, {}, {"mode": "complete"}),
    ("svd", {"x": X}, {}, {"full_matrices": False}, {"compute_uv": False}),
    ("sparsemax", {"x": X}, {}, {"axis": 0}),
    ("vectorize", {"pyfunc": _elementwise}, {}, {"excluded": {1}}, {"signature": "(n),(n)->()"}),
    ("jvp", {"fun": abs, "primals": (X,), "tangents": (Y,)}),
    ("jvp", {"fun": lambda x: (x * x, x), "primals": (X,), "tangents": (Y,)}, {"has_aux": True}),
    ("image.elastic_transform", {"images": f32(1, 4, 4, 4), "seed": 1}, {}, {"alpha": 3.0}, {"sigma": 1.0},
     {"interpolation": "nearest"}, {"fill_mode": "constant", "alpha": 90.0}, {"seed": 2},
     {"fill_value": 0.7, "fill_mode": "constant", "alpha": 90.0}, {"data_format": "channels_first"}),
    ("image.resize", {"images": B[None], "size": (4, 4)}, {}, {"fill_mode": "nearest"}),
    # Sparse tensors do not exist here, and the error says so.
    ("bincount", {"x": J.ravel()}, {}, {"sparse": True}),
    ("one_hot", {"x": J, "num_classes": 5}, {}, {"sparse": True}),
    ("multi_hot", {"inputs": J, "num_classes": 5}, {}, {"sparse": True}),
    ("multi_hot", {"inputs": J}, {"num_tokens": 6}),
    # Taken, without an effect.
    ("unique", {"x": J}, {}, {"sorted": False}),
    ("moments", {"x": X, "axes": 0}, {}, {"synchronized": False}),
    *[(f"segment_{name}", {"data": X, "segment_ids": np.array([0, 0, 1])}, {}, {"sorted": True})
      for name in ("sum", "prod", "max", "min")],
]]
