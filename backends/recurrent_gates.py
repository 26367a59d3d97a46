"""What the recurrent families share: activations with slopes, products with dropout, time-major buffers."""

from __future__ import annotations

import itertools
from typing import Any


def _sigmoid(xp, a, out):
    # Through tanh: one library call and no overflow on either side.
    xp.multiply(a, 0.5, out=out)
    xp.tanh(out, out=out)
    xp.multiply(out, 0.5, out=out)
    xp.add(out, 0.5, out=out)


def _sigmoid_of_halved(xp, a, out):
    """Sigmoid of 2a: the halving was folded into the weights."""
    xp.tanh(a, out=out)
    xp.multiply(out, 0.5, out=out)
    xp.add(out, 0.5, out=out)


def _linear(xp, a, out):
    if out is not a:
        out[...] = a


def _hard_sigmoid(xp, a, out):
    xp.multiply(a, 1 / 6, out=out)
    xp.add(out, 0.5, out=out)
    xp.clip(out, 0, 1, out=out)


def _softsign(xp, a, out):
    xp.divide(a, 1 + xp.abs(a), out=out)


def _elu(xp, a, out):
    out[...] = xp.where(a > 0, a, xp.expm1(xp.minimum(a, 0)))


def _selu(xp, a, out):
    _elu(xp, a, out)
    out *= xp.where(out > 0, SELU_SCALE, SELU_SCALE * SELU_ALPHA).astype(out.dtype)


def _softplus(xp, a, out):
    out[...] = xp.log1p(xp.exp(-xp.abs(a))) + xp.maximum(a, 0)


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805

# name -> f(xp, a, out): ``out`` may be ``a`` itself.
ACTIVATIONS = {
    "tanh": lambda xp, a, out: xp.tanh(a, out=out),
    "sigmoid": _sigmoid,
    "linear": _linear,
    "relu": lambda xp, a, out: xp.maximum(a, 0, out=out),
    "relu6": lambda xp, a, out: xp.clip(a, 0, 6, out=out),
    "hard_sigmoid": _hard_sigmoid,
    "hard_tanh": lambda xp, a, out: xp.clip(a, -1, 1, out=out),
    "exponential": lambda xp, a, out: xp.exp(a, out=out),
    "softplus": _softplus,
    "softsign": _softsign,
    "elu": _elu,
    "selu": _selu,
}

# name -> derivative as a function of the output y, which is all that the steps keep.
SLOPES = {
    "tanh": lambda xp, y: 1 - y * y,
    "sigmoid": lambda xp, y: y - y * y,
    "linear": lambda xp, y: xp.ones_like(y),
    "relu": lambda xp, y: (y > 0).astype(y.dtype),
    "relu6": lambda xp, y: ((y > 0) & (y < 6)).astype(y.dtype),
    "hard_sigmoid": lambda xp, y: ((y > 0) & (y < 1)).astype(y.dtype) * (1 / 6),
    "hard_tanh": lambda xp, y: ((y > -1) & (y < 1)).astype(y.dtype),
    "exponential": lambda xp, y: y,
    "softplus": lambda xp, y: -xp.expm1(-y),
    "softsign": lambda xp, y: (1 - xp.abs(y)) ** 2,
    "elu": lambda xp, y: xp.minimum(y, 0) + 1,
    "selu": lambda xp, y: xp.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA).astype(y.dtype),
}


class Gates:
    """Activations of neighbouring blocks of ``units`` columns, applied in place.

    Sigmoid blocks expect their weights halved (``weights`` does it), because sigmoid(x) is
    tanh(x / 2) / 2 + 1 / 2: where only sigmoid and tanh occur, one tanh over all columns serves every gate.

    Parameters
    ----------
    kinds : sequence of str
        Activation of each block.
    rest : int
        Further blocks of the weights that the caller activates himself.
    """

    def __init__(self, xp, kinds, units: int, dtype, rest: int = 0):
        self.xp = xp
        self.scale: Any = None
        if "sigmoid" in kinds:
            self.scale = xp.ones((len(kinds) + rest) * units, dtype=dtype)
            for i, kind in enumerate(kinds):
                if kind == "sigmoid":
                    self.scale[i * units:(i + 1) * units] = 0.5
        self.mixed = set(kinds) == {"sigmoid", "tanh"}
        if self.mixed:
            width = len(kinds) * units
            self.times = self.scale[:width]
            self.plus = 1 - self.times  # 0.5 for sigmoid, 0 for tanh
        self.runs = []  # (first column, end, activation) of neighbours of one kind
        last = 0
        for kind, blocks in itertools.groupby(kinds):
            first, last = last, last + len(list(blocks)) * units
            self.runs.append((first, last, _sigmoid_of_halved if kind == "sigmoid" else ACTIVATIONS[kind]))

    def weights(self, array):
        """Return weights whose last axis holds the gates, ready for ``apply``."""
        return array if array is None or self.scale is None else array * self.scale

    def apply(self, a):
        """Turn the sums ``a`` of shape (N, blocks * units) into gate values, in place."""
        xp = self.xp
        if self.mixed:
            xp.tanh(a, out=a)
            xp.multiply(a, self.times, out=a)
            xp.add(a, self.plus, out=a)
            return
        for start, stop, function in self.runs:
            block = a[:, start:stop]
            function(xp, block, block)


class Product:
    """``x @ weights`` for all gates at once, with dropout on ``x``.

    Parameters
    ----------
    weights : array, shape (D, G * U)
    drop : array or None
        Factors for ``x``: (N, D) one mask for all gates, (G, N, D) one per gate.
    """

    def __init__(self, xp, weights, drop=None):
        self.xp = xp
        self.weights = weights
        self.drop = drop
        self.per_gate = drop is not None and drop.ndim == 3
        self.units = weights.shape[1] // drop.shape[0] if self.per_gate else weights.shape[1]

    def _columns(self, gate: int) -> slice:
        return slice(gate * self.units, (gate + 1) * self.units)

    def forward(self, x, out):
        """Write ``x @ weights`` into ``out``; ``x`` is one step (N, D) or all of them (T, N, D)."""
        matmul = self.xp.matmul
        if self.per_gate:
            for gate, factor in enumerate(self.drop):
                columns = self._columns(gate)
                out[..., columns] = matmul(x * factor, self.weights[:, columns])
            return
        if self.drop is not None:
            x = x * self.drop
        matmul(_flat(x), self.weights, out=_flat(out))

    def backward(self, dz, out):
        """Write d loss / d x into ``out``."""
        matmul = self.xp.matmul
        if self.per_gate:
            out[...] = 0
            for gate, factor in enumerate(self.drop):
                columns = self._columns(gate)
                out += matmul(dz[..., columns], self.weights[:, columns].T) * factor
            return
        matmul(_flat(dz), self.weights.T, out=_flat(out))
        if self.drop is not None:
            out *= self.drop

    def gradient(self, x, dz):
        """Return d loss / d weights from all steps: ``x`` (T, N, D), ``dz`` (T, N, G * U)."""
        if self.per_gate:
            blocks = [
                _flat(x * factor).T @ _flat(dz[..., self._columns(gate)])
                for gate, factor in enumerate(self.drop)
            ]
            return self.xp.concatenate(blocks, axis=1)
        if self.drop is not None:
            x = x * self.drop
        return _flat(x).T @ _flat(dz)


def _flat(a):
    """Join the leading axes: one matrix for one GEMM."""
    return a if a.ndim == 2 else a.reshape(-1, a.shape[-1])


def column_sums(xp, dz):
    """Sum over all rows as a product with ones, several times faster than a reduction on the CPU."""
    rows = _flat(dz)
    return xp.ones(rows.shape[0], dtype=dz.dtype) @ rows


def time_major(xp, a, backwards: bool):
    """Return (N, T, ...) as (T, N, ...) in the order in which the steps run, contiguous."""
    a = a.swapaxes(0, 1)
    return xp.ascontiguousarray(a[::-1] if backwards else a)


def batch_major(a, backwards: bool):
    """The way back of ``time_major``, as a view."""
    return (a[::-1] if backwards else a).swapaxes(0, 1)


def state_steps(xp, first, shape, keep: bool):
    """Return (buffer, [state before step 0, ..., state after the last step]).

    With ``keep`` every state has its own place in a buffer of shape (T + 1, N, U); else two arrays take
    turns.
    """
    steps, *rest = shape
    buffer = xp.empty((steps + 1 if keep else 2, *rest), dtype=first.dtype)
    buffer[0] = first
    return buffer, [buffer[t if keep else t % 2] for t in range(steps + 1)]
