"""LSTM over all time steps, forward and backward."""

from __future__ import annotations

import itertools

from .recurrent_base import RecurrentBase
from .recurrent_gates import ACTIVATIONS, SLOPES, Gates
from .recurrent_gradients import InputGradients, WeightGradient

ORDER = (0, 1, 3, 2)  # i f o c inside, where the three of one activation are neighbours; i f c o outside


class LstmMixin(RecurrentBase):
    """Generic version on ``xp``.

    Behind the gates of a step lies the cell state before it: i f o g c. So i f times g c is one call.
    """

    def lstm_forward(
        self, x, h0, c0, kernel, recurrent, bias, *, activation="tanh", recurrent_activation="sigmoid",
        keep=True, **settings,
    ):
        """Run an LSTM over ``x`` (N, T, D)."""
        run = self._start_run(x, h0, kernel, recurrent, bias, keep=keep, **settings)
        run.activation, run.recurrent_activation = activation, recurrent_activation
        gates = Gates(self.xp, [recurrent_activation] * 3 + [activation], x.dtype)
        run.h = self._state_steps(run, h0, keep or run.return_sequences)
        c = self.xp.zeros(run.h.shape[1:], run.dtype) if c0 is None else c0.copy()
        run.gates = self._gate_steps(run, 5, run.steps, run.batch) if keep else None
        run.squashed = self.empty((run.steps, run.batch, run.units), run.dtype) if keep else None
        x, drop = self._gates_in_order(run.x, 4), self._gates_in_order(run.recurrent_drop, 3)
        project = self._gate_product(kernel, run.batch, ORDER, gates.scales, bias, x.ndim == 4)
        per_gate = drop is not None and drop.ndim == 3
        recur = self._gate_product(recurrent, run.batch, ORDER, gates.scales, None, per_gate)
        self._run_ahead(run, project, x, 4, 5)

        def steps(rows):
            blocks = self._walk(run, project, x, 4, 5, rows)
            self._lstm_steps(run, c, self._of_samples(drop, rows), gates, recur, blocks, rows)

        self._side_by_side(steps, run, 4)
        y, h = self._run_output(run, run.h)
        return y, h, c, run if keep else None

    def _gates_in_order(self, array, axes: int):
        """Bring what there is for each gate, known by its number of axes, into the order used inside."""
        if array is None or array.ndim < axes:
            return array
        return self.xp.stack([array[gate] for gate in ORDER])

    def _lstm_steps(self, run, c, drop, gates, recur, blocks, rows):
        """Run all steps for the samples ``rows``; ``c`` is the first cell state and becomes the last."""
        c = c[rows]
        sums = self.xp.empty((4, *c.shape), dtype=run.dtype)
        products = self.xp.empty((2, *c.shape), dtype=run.dtype)
        product = recur.into(sums, drop)
        states = self._views(run.h, run.steps, rows)
        for start, stop, block in blocks:
            block[4, 0] = c
            squashed = run.squashed[start:stop, rows] if run.keep else itertools.repeat(products[0])
            steps = zip(
                range(start, stop), states[start:], states[start + 1:], block[:4].swapaxes(0, 1),
                block[:2].swapaxes(0, 1), block[2], block[3:].swapaxes(0, 1), block[4], [*block[4, 1:], c],
                squashed, run.hold[start:],
            )
            self._lstm_advance(run, gates, product, sums, products, rows, steps)

    def _lstm_advance(self, run, gates, product, sums, products, rows, steps):
        """Run the steps of a block: the innermost loop, as few calls as there can be."""
        xp = self.xp
        add, multiply, squash = xp.add, xp.multiply, ACTIVATIONS[run.activation]
        of_input, of_state = products
        for t, h, new_h, a, i_f, o, g_c, c, new_c, s, hold in steps:
            if t or run.started:
                product(h)
                add(a, sums, a)
            gates.apply(a)
            multiply(i_f, g_c, products)
            add(of_input, of_state, new_c)
            squash(xp, new_c, s)
            multiply(o, s, new_h)
            if hold is not None:
                xp.copyto(new_h, h, where=hold[rows])
                xp.copyto(new_c, c, where=hold[rows])

    def lstm_backward(self, run, dy, dh, dc, wants):
        """Return gradients of x, h0, c0, kernel, recurrent kernel, bias."""
        dy, dh = self._output_gradient(run, dy, dh)
        dc = self._state_gradient(run, dc)
        inputs = InputGradients(self, run, 4, wants[0], wants[3], wants[5])
        recurrent = WeightGradient(self, run.recurrent.shape, run.dtype) if wants[4] else None

        def walk(rows):
            drop = self._of_samples(run.recurrent_drop, rows)
            return self._lstm_back(run, dy, dh[rows], dc[rows], drop, wants[1], rows)

        takers = inputs.takers()
        if recurrent is not None:
            takers.append(recurrent.of_states(run.h, run.recurrent_drop))
        self._gather(run, 4, walk, takers)
        dx, dkernel, dbias = inputs.result()
        return dx, dh, dc, dkernel, None if recurrent is None else recurrent.total(), dbias

    def _lstm_back(self, run, dy, dh, dc, drop, want_first, rows):
        """Yield chunks of steps, last first, with the gradient of their gate sums (T, N, 4 * U).

        ``dh`` and ``dc`` end as the gradients of the first states.
        """
        batch, units = dh.shape
        back = self._state_back(run.recurrent, 4, dh, drop)
        scratch = self.xp.empty_like(dh)
        for block, dz, store, chunk in self._walk_back(run, batch, 4, factors=9):
            if chunk is not None:
                yield chunk
                continue
            factors, carry, forget = self._lstm_factors(run, block, rows, store)
            gates = dz.reshape(len(dz), batch, 4, units).swapaxes(1, 2)
            steps = list(zip(
                range(block.start, block.stop), dz, gates[:, :3], gates[:, 3], factors[:3].swapaxes(0, 1),
                factors[3], carry, forget, itertools.repeat(None) if dy is None else dy[block, rows],
                run.hold[block],
            ))
            self._lstm_retreat(dh, dc, scratch, back, want_first, rows, reversed(steps))

    def _lstm_retreat(self, dh, dc, scratch, back, want_first, rows, steps):
        """Walk back through the steps of a block: the innermost loop."""
        xp = self.xp
        add, multiply = xp.add, xp.multiply
        for t, d, d_ifc, d_o, of_dc, of_dh, carry, forget, above, hold in steps:
            if above is not None:
                add(dh, above, dh)
            multiply(dh, carry, scratch)
            add(dc, scratch, dc)
            multiply(of_dc, dc, d_ifc)
            multiply(of_dh, dh, d_o)
            multiply(dc, forget, dc)
            if not t and not want_first:
                break
            if hold is None:
                back(d)
            else:
                xp.copyto(scratch, dh)
                back(d)
                xp.copyto(dh, scratch, where=hold[rows])

    def _lstm_factors(self, run, block, rows, store):
        """Return for a block: d sums i f c by d c and o by d h (4, T, N, U), d c by d h, d c by d next c."""
        xp = self.xp
        multiply = xp.multiply
        gate, squash = SLOPES[run.recurrent_activation], SLOPES[run.activation]
        a = run.gates[:, block, rows]
        i, f, o, g, _ = a
        s = run.squashed[block, rows]
        factors, slopes, carry, forget = store[:4], store[4:7], store[7], f
        gate(xp, a[:3], slopes)
        multiply(slopes[:2], a[3:], out=factors[:2])
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
