"""Run recurrent layers over all steps: in one launch where that is quicker, else step by step.

Products of the inputs with the kernel, and all gradients of weights and inputs, are left to the caller: they
are GEMMs over all steps at once.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Callable
from types import SimpleNamespace

import cupy
import numpy as np

from . import gemm, recurrent_persistent, recurrent_step
from .recurrent_cells import GATES, sequence

WAYS = ("auto", "persistent", "steps")
WAY_VARIABLE = "GPUKERAS_RECURRENT"
MOST = 1 << 31  # elements of one step: kernels count them in 32 bits

_way = os.environ.get(WAY_VARIABLE, "").strip() or "auto"


def set_way(way: str) -> str:
    """Choose for experiments how layers run, ``"auto"`` by estimate, and return what was chosen before.

    ``"persistent"`` runs all steps in one launch wherever the weights fit, ``"steps"`` never.

    Raises
    ------
    ValueError
        For anything else.
    """
    global _way
    _check(way)
    before, _way = _way, way
    return before


def _check(way: str) -> None:
    if way not in WAYS:
        raise ValueError(f"recurrent layers run in one of the ways {', '.join(WAYS)}, came {way!r}")


def takes(cell: str, x, units: int) -> bool:
    """Tell whether there are kernels for inputs ``x`` (N, T, D), which may be empty, and ``units``."""
    columns = GATES[cell] * units
    return (
        x.dtype == np.float32 and x.size > 0 and units > 0
        and max(columns, len(x)) * columns < MOST and math.prod(x.shape[:2]) < MOST
    )


def plan(cell: str, batch: int, units: int, drops: int, backward: bool):
    """Return the plan for one launch, or ``None`` for single steps."""
    _check(_way)
    if _way == "steps" or cell not in recurrent_persistent.CELLS:
        return None
    choose = recurrent_persistent.choose if _way == "auto" else recurrent_persistent.fitting
    return choose(GATES[cell], batch, units, drops, backward)


def start(
    cell: str, *, batch: int, steps: int, units: int, recurrent, bias, mask, blank, drop, started: bool,
    go_backwards: bool, activation: str, recurrent_activation: str,
) -> SimpleNamespace:
    """Return what a run of all steps knows; what its backward pass needs stays there.

    ``drop`` is the mask of recurrent dropout, (N, U) or (G, N, U); ``mask`` and ``blank``, which tells where
    the output is zero, are (N, T) in the order of the steps.
    """
    drops = 0 if drop is None else 1 if drop.ndim == 2 else len(drop)
    values = sequence(
        batch=batch, steps=steps, units=units, backwards=go_backwards, drops=drops, activation=activation,
        recurrent_activation=recurrent_activation,
    )
    return SimpleNamespace(
        cell=cell, sequence=values, batch=batch, steps=steps, units=units, drops=drops, started=started,
        recurrent=_whole(recurrent), bias=_whole(bias), mask=_whole(mask), blank=_whole(blank),
        drop=_whole(drop),
    )


def forward(run, sums, h, c, multiply: Callable, keep: bool, want_sequence: bool):
    """Run all steps.

    Parameters
    ----------
    run : from ``start``
    sums : array, shape (N, T, G * U)
        Products of the inputs; becomes the gates with ``keep``.
    h, c : array, shape (N, U)
        The first state, which becomes the last; ``c`` is ``None`` but for LSTM.
    multiply : callable
        ``multiply(rows, weights)`` returns ``rows @ weights`` in single steps.

    Returns
    -------
    y : array, shape (N, T, U), or None
    """
    shape = (run.batch, run.steps, run.units)
    y = _new(shape) if want_sequence else None
    run.gates = sums if keep else None
    run.before = _new(shape) if keep else None
    run.second = _new(shape) if keep and run.cell != "SIMPLE_RNN" else None
    arrays = (sums, run.bias, run.mask, run.blank, run.drop, h, c, y, run.before, run.second)
    chosen = plan(run.cell, run.batch, run.units, run.drops, backward=False)
    if chosen is not None:
        recurrent_persistent.forward(run.cell, chosen, arrays, run.recurrent, run.sequence)
    else:
        _forward_steps(run, arrays, h, multiply)
    return y


def _forward_steps(run, arrays, h, multiply) -> None:
    inner = _new(h.shape) if run.cell == "GRU_BEFORE" else None
    fed = _new(h.shape if run.drops < 2 else (_met(run.cell), *h.shape))
    product, *second = _products(run, multiply, _as_it_is)
    found = product(_dropped(run, h)) if run.started else None
    for t in range(run.steps):
        if t:
            found = product(fed)
        if not second:
            recurrent_step.forward(run.cell, arrays, found, fed, run.sequence, t)
            continue
        recurrent_step.forward(run.cell, arrays, found, inner, run.sequence, t)
        found = second[0](inner) if t or run.started else None
        recurrent_step.forward(run.cell, arrays, found, fed, run.sequence, t, phase=1)


def _products(run, multiply, turn) -> list[Callable]:
    """Return the products with the recurrent kernel: of all gates, or of z r and of h.

    With a mask for each gate, weights are (G, U, U) and ``turn`` brings them into the right order.
    """
    weights = [run.recurrent]
    if run.cell == "GRU_BEFORE":
        weights = [_whole(run.recurrent[:, :2 * run.units]), _whole(run.recurrent[:, 2 * run.units:])]
    found: list[Callable] = [functools.partial(_second_fixed, multiply, w) for w in weights]
    if run.drops > 1:
        each = weights[0].reshape(run.units, _met(run.cell), run.units).swapaxes(0, 1)
        found[0] = functools.partial(_second_fixed, gemm.multiply, _whole(turn(each)))
    return found


def _second_fixed(multiply, weights, rows):
    return multiply(rows, weights)


def _as_it_is(weights):
    return weights


def _turned(weights):
    return weights.swapaxes(1, 2)


def _dropped(run, h):
    """Return the state (N, U) as products take it."""
    if run.drops == 0:
        return h
    return h * (run.drop if run.drops == 1 else run.drop[:_met(run.cell)])


def backward(run, dy, dh, dc, multiply: Callable, want_first: bool, want_inner: bool):
    """Walk back over all steps.

    Parameters
    ----------
    run : what ``forward`` left
    dy : array, shape (N, T, U), or None
    dh, dc : array, shape (N, U)
        Gradient of the last state; becomes that of the first with ``want_first``. ``dc`` is ``None`` but
        for LSTM.
    multiply : callable
        ``multiply(rows, weights)`` returns ``rows @ weights.T`` in single steps.
    want_inner : bool
        Whether the gradient of the products with the state is wanted, where it is another.

    Returns
    -------
    dsums, dinner : array, shape (N, T, G * U)
        The second is ``None`` but for GRU.
    """
    shape = (run.batch, run.steps, GATES[run.cell] * run.units)
    dsums = _new(shape)
    dinner = _new(shape) if run.cell == "GRU" and want_inner else None
    arrays = (
        run.gates, run.before, run.second, run.mask, run.blank, run.drop, _whole(dy), dh, dc, dsums, dinner,
    )
    chosen = plan(run.cell, run.batch, run.units, run.drops, backward=True)
    if chosen is not None:
        recurrent_persistent.backward(run.cell, chosen, arrays, run.recurrent, run.sequence, want_first)
    else:
        _backward_steps(run, arrays, dh, multiply, want_first)
    return dsums, dinner


def _backward_steps(run, arrays, dh, multiply, want_first) -> None:
    met, (batch, units) = _met(run.cell), dh.shape
    fed = _new((batch, met * units) if run.drops < 2 else (met, batch, units))
    inner = _new(dh.shape) if run.cell == "GRU_BEFORE" else None
    product, *second = _products(run, multiply, _turned)
    through = None
    for t in reversed(range(run.steps)):
        if second:
            recurrent_step.backward(run.cell, arrays, through, inner, run.sequence, t)
            recurrent_step.backward(run.cell, arrays, second[0](inner), fed, run.sequence, t, phase=1)
        else:
            recurrent_step.backward(run.cell, arrays, through, fed, run.sequence, t)
        if t or want_first:
            through = product(fed)
    if want_first:
        recurrent_step.backward(run.cell, arrays, through, fed, run.sequence, -1)


def _met(cell: str) -> int:
    """Return how many gates meet the state at once."""
    return 2 if cell == "GRU_BEFORE" else GATES[cell]


def _new(shape):
    return cupy.empty(shape, np.float32)


def _whole(array):
    return None if array is None else cupy.ascontiguousarray(array)
