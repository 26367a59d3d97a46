"""Ops on each element."""

import numpy as np

from .case import Case, each
from .data import CORNERS, GAPS, MASK, TIES, I, J, N, P, X, Y

_NO = {"gradients": False}
_UINT = np.array([[1, 5, 0, 7]], "uint8")

CASES = [
    *each("negative square sign floor ceil trunc exp exp2 expm1 sin cos tan sinh cosh tanh "
          "arctan arcsinh erf erfc sinc deg2rad rad2deg i0", x=CORNERS / 2),
    # Without corners: at 0 the gradient is 0 here, as on TensorFlow and PyTorch; on JAX it is 1.
    *each("cbrt abs absolute fabs", x=CORNERS + 0.25),
    *each("log log2 log10 log1p sqrt rsqrt reciprocal erfinv arcsin arccos arctanh", x=P),
    *each("log sqrt arccos erfinv log1p arccosh", x=N, options={"gradients": False, "label": "outside"}),
    Case("arccosh", {"x": P + 1}),
    *each("isfinite isinf isnan isneginf isposinf isreal signbit", x=N, options=_NO),
    *each("real imag conj conjugate angle", x=X),
    Case("angle", {"x": np.array([0.0, -1, 2, -0.0], "float32")}, label="signs", gradients=False),
    Case("round", {"x": X * 10}, {}, {"decimals": 1}, {"decimals": -1}),
    Case("round", {"x": CORNERS}, label="halves"),
    Case("round", {"x": I}, {}, {"decimals": -1}, label="integers"),
    # Off the bounds: there gradients pass here, as on TensorFlow and PyTorch; on JAX half of them does.
    Case("clip", {"x": X, "x_min": -1.0, "x_max": 0.75}, {}, {"x_min": 0}, {"x_max": 1}),
    Case("clip", {"x": I, "x_min": 0, "x_max": 3}, label="integers"),
    Case("clip", {"x": X, "x_min": Y - 1, "x_max": Y + 0.5}, label="arrays"),
    Case("nan_to_num", {"x": N}, {}, {"nan": 1.0}, {"posinf": 9.0}, {"neginf": -9.0}),
    # ---- two inputs
    *each("add subtract multiply divide true_divide maximum minimum arctan2 logaddexp logaddexp2 hypot fmax "
          "fmin divide_no_nan", {}, {"x2": 2}, {"x2": 0.5}, x1=X, x2=Y),
    *each("floor_divide mod fmod heaviside nextafter", x1=X, x2=Y, options=_NO),
    *each("maximum minimum fmax fmin", x1=TIES, x2=TIES.T[:1].repeat(3, 0)[:, [0, 1, 2, 0]],
          options={"label": "ties"}),
    *each("maximum minimum fmax fmin add", x1=N, x2=GAPS, options={"label": "NaN", **_NO}),
    *each("add subtract multiply divide maximum floor_divide mod fmod power logaddexp", {}, {"x2": 2},
          {"x2": 2.5}, {"x2": True}, x1=J, x2=I + 20, options={"label": "integers"}),
    *each("floor_divide mod fmod divide", x1=I, x2=J, options={"label": "signs"}),
    *each("mod floor_divide", {}, {"x2": np.array([2.0, -2, 0.75, -0.75], "float32")}, x1=X, x2=0.5,
          options={"label": "numbers", **_NO}),
    Case("mod", {"x1": X, "x2": Y}, label="gradient"),
    *each("add multiply maximum power divide", x1=2, x2=X + 3, options={"label": "number first"}),
    Case("power", {"x1": P, "x2": Y}, {}, {"x2": 2}, {"x2": 0.5}),
    Case("power", {"x1": X, "x2": 3.0}, label="negative base"),
    Case("power", {"x1": np.array([0.0, 0, 1, 2], "float32"), "x2": 2.0}, label="zero"),
    Case("divide_no_nan", {"x1": X, "x2": np.where(MASK, Y, 0).astype("float32")}, label="by 0"),
    Case("heaviside", {"x1": CORNERS, "x2": 0.25}, label="at 0", gradients=False),
    Case("hypot", {"x1": np.zeros(2, "float32"), "x2": np.array([0, 2], "float32")}, label="at 0",
         gradients=False),
    Case("ldexp", {"x1": X, "x2": J}),
    *each("equal not_equal greater greater_equal less less_equal", {}, {"x2": 2}, {"x2": 0.5}, x1=I, x2=J),
    *each("equal not_equal greater less", x1=N, x2=GAPS, options={"label": "NaN"}),
    *each("logical_and logical_or logical_xor", {}, {"x2": True}, x1=MASK, x2=Y),
    Case("logical_not", {"x": X}),
    Case("logical_not", {"x": MASK}, label="bool"),
    *each("bitwise_and bitwise_or bitwise_xor", {}, {"y": 3}, x=I, y=J),
    *each("left_shift right_shift bitwise_left_shift bitwise_right_shift", {}, {"y": 2}, x=I, y=J),
    *each("bitwise_not bitwise_invert", x=I),
    *each("bitwise_not", x=_UINT, options={"label": "unsigned"}),
    *each("gcd lcm", {}, {"x2": 6}, x1=I, x2=J),
    *each("isclose allclose", {}, {"rtol": 0.5}, {"atol": 3.0}, {"equal_nan": True, "atol": 3.0},
          {"equal_nan": True, "x2": N}, x1=N, x2=N + 0.25),
    Case("allclose", {"x1": N, "x2": N}, {}, {"equal_nan": True}, label="NaN"),
    Case("allclose", {"x1": X, "x2": X + 0.25}, {}, {"rtol": 9.0}, {"atol": 3.0}, label="effects"),
]
