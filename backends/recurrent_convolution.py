"""ConvLSTM over all time steps: an LSTM whose products are convolutions.

The inputs of all steps are convolved in one call, and so are the gradients of inputs, kernels and bias. What
is left for a step is the convolution of the state, and the gates: those are worked out for a piece of the
positions at a time, while it is in cache. To the gates every position of every sample is a row (P rows), so
that they are those of ``LstmMixin``.

Where every gate has a dropout mask of its own, inputs (or states) are repeated for the gates, and a
convolution of four groups takes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace

from . import threads
from .recurrent_gates import ACTIVATIONS, Gates
from .recurrent_lstm import LstmMixin
from .window_shapes import Windows, windows

PIECE = 1 << 14  # elements of a state in a piece: all that belongs to them stays in the second cache
SECONDS = 1e-8  # of the gates, per element of a state


class ConvLstmMixin(LstmMixin):
    """Generic version on ``xp``."""

    conv_forward: Callable  # these by the mixins of convolutions and reductions
    conv_backward_data: Callable
    conv_backward_kernel: Callable
    conv_backward_first: Callable
    column_sum: Callable

    def conv_lstm_forward(
        self, x, h0, c0, kernel, recurrent, bias, *, windows: Windows, mask, drop, recurrent_drop,
        go_backwards, return_sequences, zero_output_for_mask, activation="tanh",
        recurrent_activation="sigmoid", keep=True,
    ):
        """Run a ConvLSTM over ``x`` (N, T, *size, C); what is returned stands at ``RecurrentMixin``.

        ``kernel`` is (*window, C, 4 * F), ``recurrent`` (*window, F, 4 * F), states are (N, *out, F). Dropout
        masks are shaped like one step of the inputs or like a state, or (4, ...), one for each gate.
        """
        batch, steps, units = len(x), x.shape[1], recurrent.shape[-2]
        run = SimpleNamespace(
            kernel=kernel, recurrent=recurrent, drop=drop, recurrent_drop=recurrent_drop, keep=keep,
            windows=windows, inner=around(windows.out, recurrent.shape[:-2]), go_backwards=go_backwards,
            return_sequences=return_sequences, started=h0 is not None, steps=steps, batch=batch, units=units,
            state=(batch, *windows.out, units), flat=(batch * math.prod(windows.out), units), dtype=x.dtype,
            held=None, blank=None, hold=[None] * steps, activation=activation,
            recurrent_activation=recurrent_activation,
        )
        if mask is not None and steps:
            self._mask_rows(run, mask, zero_output_for_mask)
        x = self.xp.ascontiguousarray(self._time_major(x, go_backwards))
        run.x = _dropped(self.xp, x, drop).reshape(steps * batch, *x.shape[2:-1], -1)
        states, h, c = self._conv_lstm_steps(run, h0, c0, bias)
        y = self._conv_output(run, states, h)
        return y, h.reshape(run.state), c.reshape(run.state), run if keep else None

    def _mask_rows(self, run, mask, zero_output: bool) -> None:
        """Note which rows are held (T, P, 1), and which samples have no output (T, N)."""
        held = self._time_major(~mask, run.go_backwards)[..., None]  # (T, N, 1)
        if zero_output:
            run.blank = held[..., 0]
        elif run.started and (blank := self._before_first(held)) is not None:
            run.blank = blank[..., 0]
        some = self._masked_steps(held)
        run.held = self.xp.repeat(held, run.flat[0] // max(1, run.batch), axis=1)
        run.hold = [None if one is None else rows for one, rows in zip(some, run.held)]

    def _conv_output(self, run, states, h):
        """Return the sequence (N, T, *out, F) or the last output (N, *out, F); ``states`` is (T, P, F)."""
        ones = (1,) * (len(run.state) - 1)
        if not run.return_sequences:
            y = (h.copy() if run.keep else h).reshape(run.state)
            if run.blank is None:
                return y
            return self.xp.where(run.blank[-1].reshape(-1, *ones), self.xp.zeros_like(y), y)
        y = states.reshape(run.steps, *run.state)
        if run.blank is not None:
            y = self.xp.where(run.blank.reshape(*run.blank.shape, *ones), self.xp.zeros_like(y), y)
        return y.swapaxes(0, 1)

    # ---- forward ---------------------------------------------------------------------------------
    def _conv_lstm_steps(self, run, h0, c0, bias):
        """Run all steps; return the states after them (T, P, F) where they are kept, the last h and c."""
        xp, flat, steps = self.xp, run.flat, run.steps
        gates = Gates(xp, [run.recurrent_activation] * 3 + [run.activation], run.dtype)
        scales = [gates.scales[i] for i in (0, 1, 3, 2)]  # in the order i f c o
        weights, recurrent, bias = [_scaled(xp, a, scales) for a in (run.kernel, run.recurrent, bias)]
        sums = self.conv_forward(run.x, weights, run.windows, groups_of(run.drop, run.state), bias)
        sums = sums.reshape(steps, flat[0], 4, flat[1]).swapaxes(1, 2)
        run.h = self.empty((steps + 1 if run.keep or run.return_sequences else 2, *flat), run.dtype)
        run.h[0] = 0 if h0 is None else h0.reshape(flat)
        stores = self.empty((steps if run.keep else 1, 5, *flat), run.dtype)
        run.gates = stores.swapaxes(0, 1)
        run.squashed = self.empty((steps, *flat), run.dtype) if run.keep else None
        c = xp.zeros(flat, run.dtype) if c0 is None else c0.reshape(flat).copy()
        states = self._views(run.h, steps, slice(None))
        for t, (h, new_h) in enumerate(itertools.pairwise(states)):
            store = stores[t if run.keep else 0]
            if not t or not run.keep:  # else the step before has written it
                xp.copyto(store[4], c)
            new_c = stores[t + 1, 4] if run.keep and t + 1 < steps else c
            of_state = None
            if t or run.started:
                of_state = self._of_state(run, h, recurrent).reshape(flat[0], 4, flat[1]).swapaxes(0, 1)
            s = run.squashed[t] if run.keep else None
            self._conv_gates(run, gates, sums[t], of_state, store, (h, new_h, new_c, s), run.hold[t])
        return run.h[1:], states[-1], c

    def _of_state(self, run, h, recurrent):
        """Return the convolution of a state (P, F): (N, *out, 4 * F)."""
        h = _dropped(self.xp, h.reshape(1, *run.state), run.recurrent_drop)[0]
        return self.conv_forward(h, recurrent, run.inner, groups_of(run.recurrent_drop, run.state))

    def _conv_gates(self, run, gates, of_input, of_state, store, states, hold) -> None:
        """Finish a step: sums (4, P, F) in the order i f c o to gates i f o c and new states."""
        xp = self.xp
        add, multiply, squash = xp.add, xp.multiply, ACTIVATIONS[run.activation]
        h, new_h, new_c, squashed = states

        def piece(rows):
            a, c = store[:4, rows], store[4, rows]
            for place, gate in ((slice(2), slice(2)), (3, 2), (2, 3)):
                if of_state is None:
                    xp.copyto(a[place], of_input[gate, rows])
                else:
                    add(of_input[gate, rows], of_state[gate, rows], a[place])
            gates.apply(a)
            products = xp.empty((2, *c.shape), dtype=run.dtype)
            multiply(a[:2], store[3:, rows], products)
            found = new_c[rows]
            add(products[0], products[1], found)
            s = products[0] if squashed is None else squashed[rows]
            squash(xp, found, s)
            multiply(a[2], s, new_h[rows])
            if hold is not None:
                xp.copyto(new_h[rows], h[rows], where=hold[rows])
                xp.copyto(found, c, where=hold[rows])

        self._in_pieces(piece, run)

    # ---- backward --------------------------------------------------------------------------------
    def conv_lstm_backward(self, run, dy, dh, dc, wants):
        """Return gradients of x, h0, c0, kernel, recurrent kernel, bias."""
        xp, shape = self.xp, run.state
        if dy is not None and run.blank is not None:
            blank = run.blank.swapaxes(0, 1) if run.return_sequences else run.blank[-1]
            blank = blank.reshape(*blank.shape, *(1,) * (dy.ndim - blank.ndim))
            dy = xp.where(blank, xp.zeros_like(dy), dy)
        if dy is not None and not run.return_sequences:
            dy, dh = None, dy if dh is None else dy + dh
        dy = None if dy is None else dy.swapaxes(0, 1)
        dh, dc = (
            xp.zeros(run.flat, run.dtype) if d is None else d.reshape(run.flat).copy() for d in (dh, dc)
        )
        dz, dh, dc = self._conv_lstm_back(run, dy, dh, dc, wants[1])
        dz = dz.reshape(-1, *shape[1:-1], 4 * run.units)
        drecurrent = None
        if wants[4]:
            before = _dropped(xp, run.h[:run.steps].reshape(-1, *shape), run.recurrent_drop)
            before = before.reshape(-1, *before.shape[2:])
            groups = groups_of(run.recurrent_drop, shape)
            drecurrent = self.conv_backward_kernel(before, dz, run.inner, groups)
        dx, dkernel, dbias = self._conv_input_gradients(run, dz, wants[0], wants[3], wants[5])
        return dx, dh.reshape(shape), dc.reshape(shape), dkernel, drecurrent, dbias

    def _conv_input_gradients(self, run, dz, want_x, want_kernel, want_bias):
        groups = groups_of(run.drop, run.state)
        dx = dkernel = dbias = None
        if want_kernel and not want_x:
            dkernel, dbias = self.conv_backward_first(run.x, dz, dz, run.windows, groups, None, want_bias)
            return dx, dkernel, dbias
        if want_kernel:
            dkernel = self.conv_backward_kernel(run.x, dz, run.windows, groups)
        if want_bias:
            dbias = self.column_sum(dz.reshape(-1, dz.shape[-1]))
        if want_x:
            dx = self.conv_backward_data(dz, run.kernel, run.windows, groups)
            dx = _undropped(self.xp, dx.reshape(run.steps, run.batch, *dx.shape[1:]), run.drop)
            dx = (dx[::-1] if run.go_backwards else dx).swapaxes(0, 1)
        return dx, dkernel, dbias

    def _conv_lstm_back(self, run, dy, dh, dc, want_first: bool):
        """Walk back over all steps; return the gradient of the sums (T, P, 4 * F), of the first h and c."""
        dz = self.empty((run.steps, run.flat[0], 4 * run.units), run.dtype)
        for t in reversed(range(run.steps)):
            if dy is not None:
                whole = dh.reshape(run.state)
                self.xp.add(whole, dy[t], whole)
            self._conv_gates_back(run, t, dz[t], dh, dc)
            if not t and not want_first:
                break
            through = self._state_gradient_of(run, dz[t])
            if run.hold[t] is not None:  # nothing comes through where a sample is held
                self.xp.copyto(through, dh, where=run.hold[t])
            dh = through
        return dz, dh, dc

    def _state_gradient_of(self, run, dz):
        """Return what comes through the recurrent kernel (P, F) of the sums' gradient (P, 4 * F)."""
        groups = groups_of(run.recurrent_drop, run.state)
        dz = dz.reshape(*run.state[:-1], -1)
        found = self.conv_backward_data(dz, run.recurrent, run.inner, groups)
        return _undropped(self.xp, found[None], run.recurrent_drop).reshape(run.flat)

    def _conv_gates_back(self, run, t: int, dz, dh, dc) -> None:
        """Write the gradient of a step's sums, i f c o side by side; ``dc`` becomes that of c before."""
        xp, step = self.xp, slice(t, t + 1)
        add, multiply = xp.add, xp.multiply
        dz = dz.reshape(-1, 4, run.units).swapaxes(0, 1)

        def piece(rows):
            found = dc[rows]
            store = xp.empty((9, 1, *found.shape), dtype=run.dtype)
            factors, carry, forget = self._lstm_factors(run, step, rows, store)
            scratch = store[4, 0]
            multiply(dh[rows], carry[0], scratch)
            add(found, scratch, found)
            multiply(factors[:3, 0], found, dz[:3, rows])
            multiply(factors[3, 0], dh[rows], dz[3, rows])
            multiply(found, forget[0], found)

        self._in_pieces(piece, run)

    def _in_pieces(self, function, run) -> None:
        """Call ``function(rows)`` for all positions: pieces of them may run side by side."""
        function(slice(0, run.flat[0]))


class NumpyConvLstmMixin(ConvLstmMixin):
    """Pieces that fit into a cache, shared by threads."""

    def _in_pieces(self, function, run):
        count, units = run.flat
        length = max(1, PIECE // max(1, units))

        def part(start, stop):
            for first in range(start, stop, length):
                function(slice(first, min(first + length, stop)))

        threads.parallel(part, threads.split(count, count * units * SECONDS, length))


def around(sizes, window) -> Windows:
    """Return the windows of the state's convolution: one around each position."""
    ones = (1,) * len(sizes)
    return windows(sizes, window, ones, "same", ones, "conv_lstm")


def groups_of(drop, state) -> int:
    """Return of how many groups the convolution is: one for each gate where each has its mask."""
    return 4 if drop is not None and drop.ndim > len(state) else 1


def _scaled(xp, weights, scales):
    """Return weights (..., 4 * F) times the factor of each gate."""
    if weights is None or set(scales) == {1.0}:
        return weights
    each = weights.reshape(*weights.shape[:-1], 4, -1)
    found = xp.empty(each.shape, dtype=weights.dtype)
    for gate, scale in enumerate(scales):
        xp.multiply(each[..., gate, :], scale, out=found[..., gate, :])
    return found.reshape(weights.shape)


def _dropped(xp, steps, drop):
    """Return inputs or states of all steps (T, N, *size, C) after dropout.

    With a mask for each gate, (4, N, *size, C), the channels are those of one gate after the other.
    """
    if drop is None:
        return steps
    if drop.ndim < steps.ndim:
        return steps * drop
    found = steps[..., None, :] * xp.moveaxis(drop, 0, -2)
    return found.reshape(*steps.shape[:-1], -1)


def _undropped(xp, gradient, drop):
    """Return the gradient of what went into ``_dropped``."""
    if drop is None:
        return gradient
    if drop.ndim < gradient.ndim:
        return gradient * drop
    each = gradient.reshape(*gradient.shape[:-1], 4, -1)
    return (each * xp.moveaxis(drop, 0, -2)).sum(axis=-2)
