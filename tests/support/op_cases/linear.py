"""Products, decompositions, equations."""

import numpy as np

from .case import Case, each
from .data import SPD, A, B, I, J, V, X, Y

_NO = {"gradients": False}
_LOW = np.linalg.cholesky(SPD).astype("float32")
_TALL = np.concatenate([X.T, Y.T[:2]]).astype("float32")

CASES = [
    Case("matmul", {"x1": B, "x2": X.T}, {}, {"x2": V}, {"x1": X, "x2": B.transpose(0, 2, 1)}),
    Case("matmul", {"x1": I, "x2": J.T}, label="integers"),
    Case("matmul", {"x1": V, "x2": V}, label="vectors"),
    Case("dot", {"x1": B, "x2": V}, {}, {"x2": B.transpose(0, 2, 1)}, {"x2": 2.0}),
    Case("dot", {"x1": I, "x2": J.T}, label="integers"),
    Case("tensordot", {"x1": B, "x2": X}, {"axes": [[1, 2], [0, 1]]}, {}, unknown=None),
    Case("tensordot", {"x1": B, "x2": X.T}, {"axes": 1}, {"axes": 0}, {"axes": [[2], [0]]}, label="one"),
    Case("inner", {"x1": X, "x2": V}, {}, {"x2": Y}),
    Case("outer", {"x1": V, "x2": X}, unknown=None),
    Case("vdot", {"x1": X, "x2": Y}),
    Case("cross", {"x1": X[:, :3], "x2": Y[:, :3]}, {}, {"x2": Y[:, :2]}),
    Case("cross", {"x1": X[:, :3], "x2": Y[:, :3].T}, {"axisb": 0}, label="second axis", unknown=None),
    Case("cross", {"x1": X[:, :3].T, "x2": Y[:, :3]}, {"axisa": 0}, label="first axis", unknown=None),
    Case("cross", {"x1": B, "x2": B[::-1]}, {"axis": 1}, {"axisa": 1, "axisb": 1, "axisc": 0},
         {"axisa": 1, "axisb": 1}, label="axes"),
    Case("cross", {"x1": X[:3, :3], "x2": Y[:3, :3]}, {"axisa": 0}, {"axisb": 0}, {"axisc": 0}, {"axis": 0},
         label="square", unknown=None),
    Case("cross", {"x1": X[:, :2], "x2": Y[:, :2]}, label="plane"),
    Case("kron", {"x1": X, "x2": A}, unknown=None),
    Case("trace", {"x": B}, {}, {"offset": 1, "axis1": 1, "axis2": 2}, {"axis1": 1, "axis2": 2},
         {"offset": 1}, {"axis2": 2}, {"axis1": 2}, unknown=2),
    Case("trace", {"x": I}, label="integers"),
    Case("einsum", {"subscripts": "bij,kj->bik", "*": (B, X)}, symbolic=False),
    Case("einsum", {"subscripts": "ii->i", "*": (A,)}, label="diagonal", symbolic=False),
    Case("einsum", {"subscripts": "...j,kj", "*": (B, X)}, label="implied", symbolic=False),
    # ---- decompositions
    *each("inv det", x=A),
    Case("slogdet", {"x": A}),
    Case("logdet", {"x": SPD}),
    *each("inv det logdet cholesky", x=np.stack([SPD, 2 * SPD]), options={"label": "stack"}),
    Case("cholesky", {"x": SPD}, {}, {"upper": True}),
    Case("cholesky_inverse", {"x": _LOW}, {}, {"upper": True}, unknown=None),
    Case("solve", {"a": A, "b": X.T}, {}, {"b": V}),
    Case("solve", {"a": np.stack([A, SPD]), "b": B.transpose(0, 2, 1)}, label="stack"),
    Case("solve_triangular", {"a": A, "b": X.T}, {}, {"lower": True}),
    Case("lstsq", {"a": _TALL, "b": _TALL[:, 0] + 1}, {}, {"b": Y.T[:, [0, 1]].repeat(2, 0)[:6]},
         {"rcond": 0.95}, tolerance=1e-4, gradients=False),
    Case("pinv", {"x": X}, {}, tolerance=1e-4),
    Case("pinv", {"x": X}, {"rcond": 0.9}, label="cut", tolerance=1e-4, gradients=False),
    Case("matrix_rank", {"x": np.diag(np.float32([3, 1, 1e-3, 0]))}, {}, {"tol": 0.1}),
    Case("lu_factor", {"x": A}, gradients=False),
    Case("svd", {"x": X}, {"compute_uv": False}, tolerance=1e-4),
    Case("eigh", {"x": SPD}, gradients=False, tolerance=1e-3, label="values"),
    Case("norm", {"x": X}, {}, {"ord": 1, "axis": 1}, {"axis": 0, "keepdims": True}, {"ord": np.inf},
         {"ord": 3, "axis": -1}, {"ord": "fro"}, {"ord": -np.inf, "axis": 1}, {"ord": 0, "axis": 1},
         {"ord": -1}, {"keepdims": True}),
    Case("norm", {"x": X}, {"ord": "nuc"}, {"ord": 2}, {"ord": -2}, label="spectral", tolerance=1e-4),
    Case("norm", {"x": B}, {"ord": "fro", "axis": (1, 2), "keepdims": True}, {"ord": 1, "axis": (0, 2)},
         label="stack"),
    Case("norm", {"x": I}, {}, {"ord": 1}, label="integers"),
]
