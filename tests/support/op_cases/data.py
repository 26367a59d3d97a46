"""Arrays that the tables share."""

import numpy as np

RNG = np.random.default_rng(11)


def f32(*shape, low=-2.0, high=2.0):
    """Return floats from an interval, the same ones in each process."""
    return RNG.uniform(low, high, shape).astype("float32")


X = f32(3, 4)
Y = f32(3, 4)
P = f32(3, 4, low=0.1, high=0.9)  # inside (0, 1)
V = f32(4)
B = f32(2, 3, 4)
TIES = np.array([[1.0, 3, 3, -2], [0, -2, 3, -2], [2, 2, 2, 2]], "float32")
N = np.array([[1.5, np.nan, -2, np.inf], [0, 3, np.nan, -np.inf], [1, 2, 3, 4]], "float32")
GAPS = np.where(np.isinf(N), np.float32(5), N)  # NaN, but no infinities
I = RNG.integers(-9, 9, (3, 4)).astype("int32")  # noqa: E741
J = RNG.integers(1, 5, (3, 4)).astype("int32")
ROWS = np.array([2, 0, -1], "int32")
MASK = X > 0
A = f32(4, 4) + 4 * np.eye(4, dtype="float32")
SPD = (A @ A.T).astype("float32")
IMAGE = f32(2, 6, 6, 4)
ONE_HOT = np.eye(4, dtype="float32")[[1, 3, 0]]
SOFT = (P / P.sum(-1, keepdims=True)).astype("float32")
# Where derivatives jump.
CORNERS = np.array([-6, -4, -3, -2.5, -2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2, 2.5, 3, 4, 6], "float32")
