"""Activations inside recurrent layers, with their slopes, and one call for the gates of a step."""

from __future__ import annotations

import itertools


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


def _hard_sigmoid_keras2(xp, a, out):
    xp.multiply(a, 0.2, out=out)
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
    "tanh": lambda xp, a, out: xp.tanh(a, out),
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
    "hard_sigmoid_keras2": _hard_sigmoid_keras2,
}

# name -> f(xp, y, out): derivative as a function of the output y, which is all that the steps keep.
SLOPES = {
    "tanh": lambda xp, y, out: xp.subtract(1, xp.multiply(y, y, out=out), out=out),
    "sigmoid": lambda xp, y, out: xp.subtract(y, xp.multiply(y, y, out=out), out=out),
    "linear": lambda xp, y, out: out.fill(1),
    "relu": lambda xp, y, out: xp.sign(y, out=out),
    "relu6": lambda xp, y, out: xp.copyto(out, (y > 0) & (y < 6)),
    "hard_sigmoid": lambda xp, y, out: xp.multiply(xp.sign(y * (1 - y)), 1 / 6, out=out),
    "hard_tanh": lambda xp, y, out: xp.copyto(out, (y > -1) & (y < 1)),
    "exponential": lambda xp, y, out: xp.copyto(out, y),
    "softplus": lambda xp, y, out: xp.negative(xp.expm1(-y), out=out),
    "softsign": lambda xp, y, out: xp.square(1 - xp.abs(y), out=out),
    "elu": lambda xp, y, out: xp.add(xp.minimum(y, 0), 1, out=out),
    "selu": lambda xp, y, out: xp.copyto(out, xp.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA)),
    "hard_sigmoid_keras2": lambda xp, y, out: xp.multiply(xp.sign(y * (1 - y)), 0.2, out=out),
}


class Gates:
    """Activations of the gates of a step: ``apply(sums)`` turns (gates, N, U) into gate values, in place.

    Sigmoid gates expect their sums halved (multiply the weights by ``scales``), because sigmoid(x) is
    tanh(x / 2) / 2 + 1 / 2: where only sigmoid and tanh occur, one tanh over all gates serves them.

    Parameters
    ----------
    kinds : sequence of str
        Activation of each gate, equal ones next to each other.
    dtype : dtype
    """

    def __init__(self, xp, kinds, dtype):
        self.scales = [0.5 if kind == "sigmoid" else 1.0 for kind in kinds]
        sigmoids = self.scales.count(0.5)
        if sigmoids and list(kinds) == ["sigmoid"] * sigmoids + ["tanh"] * (len(kinds) - sigmoids):
            self.apply = _one_tanh(xp, sigmoids, xp.full((), 0.5, dtype=dtype))
        else:
            self.apply = _each_kind(xp, kinds)


def _one_tanh(xp, sigmoids: int, half):
    """Return ``f(sums)`` for leading sigmoid gates with halved sums, and tanh gates behind them."""
    tanh, multiply, add = xp.tanh, xp.multiply, xp.add

    def apply(sums):
        tanh(sums, sums)
        gates = sums[:sigmoids]
        multiply(gates, half, gates)
        add(gates, half, gates)

    return apply


def _each_kind(xp, kinds):
    """Return ``f(sums)`` that calls an activation for each run of gates of one kind."""
    runs, last = [], 0
    for kind, gates in itertools.groupby(kinds):
        first, last = last, last + len(list(gates))
        runs.append((first, last, _sigmoid_of_halved if kind == "sigmoid" else ACTIVATIONS[kind]))

    def apply(sums):
        for start, stop, function in runs:
            gates = sums[start:stop]
            function(xp, gates, gates)

    return apply
