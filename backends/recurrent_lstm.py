"""LSTM over all time steps, forward and backward."""

from __future__ import annotations

import itertools

from .recurrent_base import RecurrentBase
from .recurrent_gates import ACTIVATIONS, SLOPES, Gates

ORDER = (0, 1, 3, 2)  # i f o c inside, where the three of one activation are neighbours; i f c o outside


class LstmMixin(RecurrentBase):
    """Generic version on ``xp``."""

    def lstm_forward(
        self, x, h0, c0, kernel, recurrent, bias, *, activation="tanh", recurrent_activation="sigmoid",
        keep=True, **settings,
    ):
        """Run an LSTM over ``x`` (N, T, D)."""
        run = self._start(x, h0, kernel, recurrent, bias, keep=keep, **settings)
        run.activation, run.recurrent_activation = activation, recurrent_activation
        gates = Gates(self.xp, [recurrent_activation] * 3 + [activation], x.dtype)
        run.h = self._states(run, h0, keep or run.return_sequences)
        run.c = self._states(run, c0, keep)
        run.gates = self._gate_steps(run, 4, run.steps, run.batch) if keep else None
        run.squashed = self.empty((run.steps, run.batch, run.units), run.dtype) if keep else None
        x, drop = self._in_order(run.x, 4), self._in_order(run.recurrent_drop, 3)
        project = self._product(kernel, run.batch, ORDER, gates.scales, bias, x.ndim == 4)
        per_gate = drop is not None and drop.ndim == 3
        recur = self._product(recurrent, run.batch, ORDER, gates.scales, None, per_gate)
        self._in_parts(lambda rows: self._lstm_steps(run, x, drop, gates, project, recur, rows), run, 4)
        y, h = self._output(run, run.h)
        c = run.c[-1].copy() if keep else run.c[run.steps % 2]
        return y, h, c, run if keep else None

    def _in_order(self, array, axes: int):
        """Bring what there is for each gate, known by its number of axes, into the order used inside."""
        if array is None or array.ndim < axes:
            return array
        return self.xp.stack([array[gate] for gate in ORDER])

    def _lstm_steps(self, run, x, drop, gates, project, recur, rows):
        """Run all steps for the samples ``rows``."""
        xp = self.xp
        add, multiply, copyto = xp.add, xp.multiply, xp.copyto
        batch = rows.stop - rows.start
        sums = xp.empty((4, batch, run.units), dtype=run.dtype)
        scratch = xp.empty(sums.shape[1:], dtype=run.dtype)
        product = recur.into(sums, self._some(drop, rows))
        squash = ACTIVATIONS[run.activation]
        hs, cs = self._views(run.h, run.steps, rows), self._views(run.c, run.steps, rows)
        blocks = self._blocks(run.steps, scratch.size)
        if not run.keep and blocks:
            store = self._gate_steps(run, 4, blocks[0][1], batch)
        for start, stop in blocks:
            block = run.gates[:, start:stop, rows] if run.keep else store[:, :stop - start]
            self._project(project, x[..., start:stop, rows, :], block)
            squashed = run.squashed[start:stop, rows] if run.keep else itertools.repeat(scratch)
            for t, a, i, f, o, g, s in zip(range(start, stop), block.swapaxes(0, 1), *block, squashed):
                h, c, hold = hs[t + 1], cs[t + 1], run.hold[t]
                if t or run.started:
                    product(hs[t])
                    add(a, sums, out=a)
                gates.apply(a)
                multiply(f, cs[t], out=c)
                multiply(i, g, out=scratch)
                add(c, scratch, out=c)
                squash(xp, c, s)
                multiply(o, s, out=h)
                if hold is not None:
                    copyto(h, hs[t], where=hold[rows])
                    copyto(c, cs[t], where=hold[rows])

    def lstm_backward(self, run, dy, dh, dc, wants):
        """Return gradients of x, h0, c0, kernel, recurrent kernel, bias."""
        dy, dh = self._output_gradient(run, dy, dh)
        dc = self._state_gradient(run, dc)
        dz = self.empty((run.steps, run.batch, 4 * run.units), run.dtype)
        self._in_parts(lambda rows: self._lstm_back(run, dy, dh, dc, dz, wants[1], rows), run, 4)
        dx, dkernel, dbias = self._input_gradients(run, dz, wants[0], wants[3], wants[5])
        drecurrent = self._weight_gradient(run.h[:-1], dz, run.recurrent_drop) if wants[4] else None
        return dx, dh, dc, dkernel, drecurrent, dbias

    def _lstm_back(self, run, dy, dh, dc, dz, want_first, rows):
        """Fill ``dz`` (T, N, 4 * U) for the samples ``rows``; ``dh`` and ``dc`` end as those of the start."""
        xp = self.xp
        add, multiply, copyto = xp.add, xp.multiply, xp.copyto
        dh, dc, dz = dh[rows], dc[rows], dz[:, rows]
        dy = itertools.repeat(None) if dy is None else dy[:, rows]
        batch, units = dh.shape
        back = self._back(run.recurrent, 4, dh, self._some(run.recurrent_drop, rows))
        scratch = xp.empty_like(dh)
        store = None
        for start, stop in reversed(self._blocks(run.steps, dh.size)):
            if store is None or store.shape[1] < stop - start:
                store = self.empty((9, stop - start, batch, units), run.dtype)
            parts = self._lstm_factors(run, slice(start, stop), rows, store[:, :stop - start])
            factors, carry, forget = parts
            block = dz[start:stop]
            gates = block.reshape(stop - start, batch, 4, units).swapaxes(1, 2)
            steps = zip(
                range(start, stop), block, gates[:, :3], gates[:, 3], factors[:3].swapaxes(0, 1), factors[3],
                carry, forget, dy if isinstance(dy, itertools.repeat) else dy[start:stop],
            )
            for t, d, d_ifc, d_o, of_dc, of_dh, out, keep, above in reversed(list(steps)):
                hold = run.hold[t]
                if above is not None:
                    add(dh, above, out=dh)
                multiply(dh, out, out=scratch)
                add(dc, scratch, out=dc)
                multiply(of_dc, dc, out=d_ifc)
                multiply(of_dh, dh, out=d_o)
                multiply(dc, keep, out=dc)
                if not t and not want_first:
                    break
                if hold is None:
                    back(d)
                else:
                    copyto(scratch, dh)
                    back(d)
                    copyto(dh, scratch, where=hold[rows])

    def _lstm_factors(self, run, block, rows, store):
        """Return for a block: d sums i f c by d c and o by d h (4, T, N, U), d c by d h, d c by d next c."""
        xp = self.xp
        multiply = xp.multiply
        gate, squash = SLOPES[run.recurrent_activation], SLOPES[run.activation]
        a = run.gates[:, block, rows]
        i, f, o, g = a
        s = run.squashed[block, rows]
        factors, slopes, carry, forget = store[:4], store[4:7], store[7], f
        gate(xp, a[:3], slopes)
        multiply(slopes[0], g, out=factors[0])
        multiply(slopes[1], run.c[block, rows], out=factors[1])
        multiply(slopes[2], s, out=factors[3])
        squash(xp, g, factors[2])
        multiply(factors[2], i, out=factors[2])
        squash(xp, s, carry)
        multiply(carry, o, out=carry)
        if run.held is not None:
            held = run.held[block, rows]
            forget = store[8]
            xp.copyto(forget, f)
            xp.copyto(forget, 1, where=held)
            xp.copyto(carry, 0, where=held)
            xp.copyto(factors, 0, where=held)
        return factors, carry, forget
