"""GRU over all time steps, forward and backward, with the reset gate behind or before the product."""

from __future__ import annotations

import itertools
from typing import Any

from .recurrent_base import RecurrentBase
from .recurrent_gates import ACTIVATIONS, SLOPES, Gates
from .recurrent_gradients import InputGradients, WeightGradient

ORDER = (0, 1, 2)  # z r h


class GruMixin(RecurrentBase):
    """Generic version on ``xp``."""

    def gru_forward(
        self, x, h0, kernel, recurrent, bias, *, activation="tanh", recurrent_activation="sigmoid",
        reset_after=True, keep=True, **settings,
    ):
        """Run a GRU over ``x`` (N, T, D); ``bias`` is (2, 3 * U) with ``reset_after``, else (3 * U,)."""
        run = self._start_run(x, h0, kernel, recurrent, bias, keep=keep, **settings)
        run.activation, run.recurrent_activation = activation, recurrent_activation
        run.reset_after, run.inner_bias = reset_after, None
        units = run.units
        if bias is not None and reset_after:  # the recurrent bias of z and r joins the input bias
            run.inner_bias = bias[1, 2 * units:]
            first = bias[0].copy()
            first[:2 * units] += bias[1, :2 * units]
            bias = first
        gates = Gates(self.xp, [recurrent_activation] * 2, x.dtype)
        scales = [*gates.scales, 1.0]
        run.h = self._state_steps(run, h0, keep or run.return_sequences)
        run.gates = self._gate_steps(run, 3, run.steps, run.batch) if keep else None
        run.inner = self.empty((run.steps, run.batch, units), run.dtype) if keep else None
        project = self._gate_product(kernel, run.batch, ORDER, scales, bias, run.x.ndim == 4)
        advance = self._gru_after if reset_after else self._gru_before
        products = self._gru_products(run, scales)
        self._run_ahead(run, project, run.x, 3, 3)

        def steps(rows):
            blocks = self._walk(run, project, run.x, 3, 3, rows)
            self._gru_steps(run, gates, products, advance, blocks, rows)

        self._side_by_side(steps, run, 3)
        return *self._run_output(run, run.h), run if keep else None

    def _gru_products(self, run, scales):
        """Return the products with the recurrent kernel and their dropout masks: one, or z r and h apart."""
        drop, units = run.recurrent_drop, run.units
        per_gate = drop is not None and drop.ndim == 3
        if run.reset_after:
            return [(self._gate_product(run.recurrent, run.batch, ORDER, scales, None, per_gate), drop)]
        first, second = run.recurrent[:, :2 * units], run.recurrent[:, 2 * units:]
        of_gates, of_new = _gru_drops(drop)
        return [
            (self._gate_product(first, run.batch, (0, 1), scales[:2], None, per_gate), of_gates),
            (self._gate_product(second, run.batch), of_new),
        ]

    def _gru_steps(self, run, gates, products, advance, blocks, rows):
        """Run all steps for the samples ``rows``."""
        xp = self.xp
        batch = rows.stop - rows.start
        sums = xp.empty((3, batch, run.units), dtype=run.dtype)
        scratch = xp.empty((2, batch, run.units), dtype=run.dtype)
        targets = [sums] if run.reset_after else [sums[:2], sums[2:]]
        calls = [
            product.into(target, self._of_samples(drop, rows))
            for (product, drop), target in zip(products, targets)
        ]
        states = self._views(run.h, run.steps, rows)
        for start, stop, block in blocks:
            inner = run.inner[start:stop, rows] if run.keep else itertools.repeat(scratch[1])
            steps = zip(range(start, stop), states[start:], states[start + 1:], block[:2].swapaxes(0, 1),
                        *block, inner, run.hold[start:])
            advance(run, gates, calls, sums, scratch[0], rows, steps)

    def _gru_after(self, run, gates, calls, sums, scratch, rows, steps):
        """Run some steps with the reset gate behind the product, which they keep as ``inner``."""
        xp = self.xp
        add, subtract, multiply = xp.add, xp.subtract, xp.multiply
        squash, bias = ACTIVATIONS[run.activation], run.inner_bias
        (product,) = calls
        of_gates, of_new = sums[:2], sums[2]
        for t, before, h, zr, z, r, new, inner, hold in steps:
            if t or run.started:
                product(before)
                add(zr, of_gates, zr)
            else:
                of_new[...] = 0
            gates.apply(zr)
            if bias is None:
                xp.copyto(inner, of_new)
            else:
                add(of_new, bias, inner)
            multiply(r, inner, scratch)
            add(new, scratch, new)
            squash(xp, new, new)
            subtract(before, new, h)
            multiply(h, z, h)
            add(h, new, h)
            if hold is not None:
                xp.copyto(h, before, where=hold[rows])

    def _gru_before(self, run, gates, calls, sums, scratch, rows, steps):
        """Run some steps with the reset gate before the product; they keep r * h as ``inner``."""
        xp = self.xp
        add, subtract, multiply = xp.add, xp.subtract, xp.multiply
        squash = ACTIVATIONS[run.activation]
        first, second = calls
        of_gates, of_new = sums[:2], sums[2]
        for t, before, h, zr, z, r, new, inner, hold in steps:
            if t or run.started:
                first(before)
                add(zr, of_gates, zr)
            gates.apply(zr)
            multiply(r, before, inner)
            if t or run.started:
                second(inner)
                add(new, of_new, new)
            squash(xp, new, new)
            subtract(before, new, h)
            multiply(h, z, h)
            add(h, new, h)
            if hold is not None:
                xp.copyto(h, before, where=hold[rows])

    # ---- backward --------------------------------------------------------------------------------
    def gru_backward(self, run, dy, dh, wants):
        """Return gradients of x, h0, kernel, recurrent kernel, bias."""
        dy, dh = self._output_gradient(run, dy, dh)
        backward = self._gru_after_backward if run.reset_after else self._gru_before_backward
        return backward(run, dy, dh, wants)

    def _gru_after_backward(self, run, dy, dh, wants):
        # Gates in dz: recurrent h, z, r, input h. The first three belong to the recurrent kernel (with its
        # columns turned to h z r), the last three to the kernel: z and r are stored once.
        xp, units = self.xp, run.units
        kernel, drop = _h_first(xp, run.recurrent), run.recurrent_drop
        if drop is not None and drop.ndim == 3:
            drop = xp.stack([drop[2], drop[0], drop[1]])
        inputs = InputGradients(self, run, 3, wants[0], wants[2], wants[4])
        recurrent = WeightGradient(self, run.recurrent.shape, run.dtype) if wants[3] else None
        inner = WeightGradient(self, (1, units), run.dtype) if wants[4] else None

        def walk(rows):
            return self._gru_after_back(
                run, kernel, dy, dh[rows], self._of_samples(drop, rows), wants[1], rows
            )

        takers = inputs.takers(slice(units, None))
        if recurrent is not None:
            takers.append(recurrent.of_states(run.h, drop, slice(3 * units)))
        if inner is not None:
            ones = run.x[(0,) * (run.x.ndim - 3)][..., -1:]
            takers.append(inner.of_states(ones, None, slice(units)))
        self._gather(run, 3, walk, takers)
        dx, dkernel, dbias = inputs.result()
        if inner is not None:
            dbias = xp.stack([dbias, xp.concatenate([dbias[:2 * units], inner.total()[0]])])
        return dx, dh, dkernel, None if recurrent is None else _h_last(xp, recurrent.total()), dbias

    def _gru_after_back(self, run, kernel, dy, dh, drop, want_first, rows):
        """Yield chunks of steps, last first, with their gradients (T, N, 4 * U).

        ``dh`` ends as the gradient of the first state.
        """
        xp = self.xp
        add, multiply = xp.add, xp.multiply
        batch, units = dh.shape
        back = self._state_back(kernel, 3, dh, drop)
        passed = xp.empty_like(dh)
        for block, dz, store, chunk in self._walk_back(run, batch, 4, factors=6):
            if chunk is not None:
                yield chunk
                continue
            factors, keep = self._gru_after_factors(run, block, rows, store)
            steps = list(zip(
                range(block.start, block.stop), dz[..., :3 * units], keep, factors.swapaxes(0, 1),
                dz.reshape(len(dz), batch, 4, units).swapaxes(1, 2),
                itertools.repeat(None) if dy is None else dy[block, rows],
            ))
            for t, d, z, factor, gates, above in reversed(steps):
                if above is not None:
                    add(dh, above, dh)
                multiply(factor, dh, gates)
                if not t and not want_first:
                    break
                multiply(dh, z, passed)
                back(d)
                add(dh, passed, dh)

    def _gru_after_factors(self, run, block, rows, store):
        """Return for a block: d gate sums h z r and d input h by d h (4, T, N, U), d h before by d h."""
        xp = self.xp
        multiply, subtract = xp.multiply, xp.subtract
        gate, squash = SLOPES[run.recurrent_activation], SLOPES[run.activation]
        a = run.gates[:, block, rows]
        z, r, new = a
        factors, scratch = store[:4], store[4]
        squash(xp, new, factors[3])
        multiply(factors[3], subtract(1, z, out=scratch), out=factors[3])
        multiply(factors[3], r, out=factors[0])
        gate(xp, a[:2], factors[1:3])
        multiply(factors[1], subtract(run.h[block, rows], new, out=scratch), out=factors[1])
        multiply(factors[2], factors[3], out=factors[2])
        multiply(factors[2], run.inner[block, rows], out=factors[2])
        return factors, self._gru_held(run, block, rows, factors, z, store[5])

    def _gru_held(self, run, block, rows, factors, z, store):
        """Let held steps pass on d h as it is; return d h before by d h."""
        if run.held is None:
            return z
        held = run.held[block, rows]
        self.xp.copyto(store, z)
        self.xp.copyto(store, 1, where=held)
        self.xp.copyto(factors, 0, where=held)
        return store

    def _gru_before_backward(self, run, dy, dh, wants):
        units, dtype = run.units, run.dtype
        drops = _gru_drops(run.recurrent_drop)
        inputs = InputGradients(self, run, 3, wants[0], wants[2], wants[4])
        of_gates: Any = WeightGradient(self, (units, 2 * units), dtype) if wants[3] else None
        of_new: Any = WeightGradient(self, (units, units), dtype) if wants[3] else None

        def walk(rows):
            some = [self._of_samples(drop, rows) for drop in drops]
            return self._gru_before_back(run, dy, dh[rows], some, wants[1], rows)

        takers = inputs.takers()
        if wants[3]:
            takers.append(of_gates.of_states(run.h, drops[0], slice(2 * units)))
            takers.append(of_new.of_states(run.inner, drops[1], slice(2 * units, None)))
        self._gather(run, 3, walk, takers)
        dx, dkernel, dbias = inputs.result()
        drecurrent = None
        if wants[3]:
            drecurrent = self.xp.concatenate([of_gates.total(), of_new.total()], axis=1)
        return dx, dh, dkernel, drecurrent, dbias

    def _gru_before_back(self, run, dy, dh, drops, want_first, rows):
        """Yield chunks of steps, last first, with the gradient of their gate sums (T, N, 3 * U).

        ``dh`` ends as the gradient of the first state.
        """
        xp = self.xp
        add, multiply = xp.add, xp.multiply
        batch, units = dh.shape
        through, dinner, scratch = xp.empty_like(dh), xp.empty_like(dh), xp.empty_like(dh)
        back_gates = self._state_back(run.recurrent[:, :2 * units], 2, through, drops[0])
        back_new = self._state_back(run.recurrent[:, 2 * units:], 1, dinner, drops[1])
        for block, dz, store, chunk in self._walk_back(run, batch, 3, factors=5):
            if chunk is not None:
                yield chunk
                continue
            factors, keep = self._gru_before_factors(run, block, rows, store)
            steps = list(zip(
                range(block.start, block.stop), dz[..., :2 * units], dz[..., :units],
                dz[..., units:2 * units], dz[..., 2 * units:], *factors, run.gates[1, block, rows], keep,
                itertools.repeat(None) if dy is None else dy[block, rows],
            ))
            for t, d_gates, d_z, d_r, d_new, of_z, of_r, of_n, r, z, above in reversed(steps):
                if above is not None:
                    add(dh, above, dh)
                multiply(of_n, dh, d_new)
                multiply(of_z, dh, d_z)
                back_new(d_new)
                multiply(of_r, dinner, d_r)
                if not t and not want_first:
                    break
                back_gates(d_gates)
                multiply(dh, z, dh)
                multiply(dinner, r, scratch)
                add(dh, scratch, dh)
                add(dh, through, dh)

    def _gru_before_factors(self, run, block, rows, store):
        """Return for a block: d z by d h, d r by d (r h), d h sum by d h (3, T, N, U), d h before by d h."""
        xp = self.xp
        multiply, subtract = xp.multiply, xp.subtract
        gate, squash = SLOPES[run.recurrent_activation], SLOPES[run.activation]
        a = run.gates[:, block, rows]
        z, _, new = a
        before = run.h[block, rows]
        factors, scratch = store[:3], store[3]
        gate(xp, a[:2], factors[:2])
        multiply(factors[0], subtract(before, new, out=scratch), out=factors[0])
        multiply(factors[1], before, out=factors[1])
        squash(xp, new, factors[2])
        multiply(factors[2], subtract(1, z, out=scratch), out=factors[2])
        return factors, self._gru_held(run, block, rows, factors, z, store[4])


def _gru_drops(drop):
    """Return the masks of z r and of h."""
    return (drop[:2], drop[2]) if drop is not None and drop.ndim == 3 else (drop, drop)


def _h_first(xp, a):
    """Turn columns z r h into h z r."""
    third = a.shape[-1] // 3
    return xp.concatenate([a[..., 2 * third:], a[..., :2 * third]], axis=-1)


def _h_last(xp, a):
    """Turn columns h z r into z r h."""
    third = a.shape[-1] // 3
    return xp.concatenate([a[..., third:], a[..., :third]], axis=-1)
