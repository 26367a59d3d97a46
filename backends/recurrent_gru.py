"""GRU over all time steps, forward and backward, with the reset gate behind or before the product."""

from __future__ import annotations

import itertools

from .recurrent_base import RecurrentBase
from .recurrent_gates import ACTIVATIONS, SLOPES, Gates

ORDER = (0, 1, 2)  # z r h


class GruMixin(RecurrentBase):
    """Generic version on ``xp``."""

    def gru_forward(
        self, x, h0, kernel, recurrent, bias, *, activation="tanh", recurrent_activation="sigmoid",
        reset_after=True, keep=True, **settings,
    ):
        """Run a GRU over ``x`` (N, T, D); ``bias`` is (2, 3 * U) with ``reset_after``, else (3 * U,)."""
        run = self._start(x, h0, kernel, recurrent, bias, keep=keep, **settings)
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
        run.h = self._states(run, h0, keep or run.return_sequences)
        run.gates = self._gate_steps(run, 3, run.steps, run.batch) if keep else None
        run.inner = self.empty((run.steps, run.batch, units), run.dtype) if keep else None
        project = self._product(kernel, run.batch, ORDER, scales, bias, run.x.ndim == 4)
        advance = self._gru_after if reset_after else self._gru_before
        products = self._gru_products(run, scales)
        self._in_parts(lambda rows: self._gru_steps(run, gates, project, products, advance, rows), run, 3)
        return *self._output(run, run.h), run if keep else None

    def _gru_products(self, run, scales):
        """Return the products with the recurrent kernel and their dropout masks: one, or z r and h apart."""
        drop, units = run.recurrent_drop, run.units
        per_gate = drop is not None and drop.ndim == 3
        if run.reset_after:
            return [(self._product(run.recurrent, run.batch, ORDER, scales, None, per_gate), drop)]
        first, second = run.recurrent[:, :2 * units], run.recurrent[:, 2 * units:]
        of_gates, of_new = _gru_drops(drop)
        return [
            (self._product(first, run.batch, (0, 1), scales[:2], None, per_gate), of_gates),
            (self._product(second, run.batch), of_new),
        ]

    def _gru_steps(self, run, gates, project, products, advance, rows):
        """Run all steps for the samples ``rows``."""
        xp = self.xp
        batch = rows.stop - rows.start
        sums = xp.empty((3, batch, run.units), dtype=run.dtype)
        scratch = xp.empty((2, batch, run.units), dtype=run.dtype)
        targets = [sums] if run.reset_after else [sums[:2], sums[2:]]
        calls = [
            product.into(target, self._some(drop, rows)) for (product, drop), target in zip(products, targets)
        ]
        states = self._views(run.h, run.steps, rows)
        blocks = self._blocks(run.steps, batch * run.units)
        if not run.keep and blocks:
            store = self._gate_steps(run, 3, blocks[0][1], batch)
        for start, stop in blocks:
            block = run.gates[:, start:stop, rows] if run.keep else store[:, :stop - start]
            self._project(project, run.x[..., start:stop, rows, :], block)
            inner = run.inner[start:stop, rows] if run.keep else itertools.repeat(scratch[1])
            steps = zip(range(start, stop), states[start:stop], states[start + 1:stop + 1],
                        block[:2].swapaxes(0, 1), *block, inner)
            advance(run, gates, calls, sums, scratch[0], rows, steps)

    def _gru_after(self, run, gates, calls, sums, scratch, rows, steps):
        """Run some steps with the reset gate behind the product, which they keep as ``inner``."""
        xp = self.xp
        add, subtract, multiply = xp.add, xp.subtract, xp.multiply
        squash, bias = ACTIVATIONS[run.activation], run.inner_bias
        (product,) = calls
        of_gates, of_new = sums[:2], sums[2]
        for t, before, h, zr, z, r, new, inner in steps:
            if t or run.started:
                product(before)
                add(zr, of_gates, out=zr)
            else:
                of_new[...] = 0
            gates.apply(zr)
            if bias is None:
                xp.copyto(inner, of_new)
            else:
                add(of_new, bias, out=inner)
            multiply(r, inner, out=scratch)
            add(new, scratch, out=new)
            squash(xp, new, new)
            subtract(before, new, out=h)
            multiply(h, z, out=h)
            add(h, new, out=h)
            if run.hold[t] is not None:
                xp.copyto(h, before, where=run.hold[t][rows])

    def _gru_before(self, run, gates, calls, sums, scratch, rows, steps):
        """Run some steps with the reset gate before the product; they keep r * h as ``inner``."""
        xp = self.xp
        add, subtract, multiply = xp.add, xp.subtract, xp.multiply
        squash = ACTIVATIONS[run.activation]
        first, second = calls
        of_gates, of_new = sums[:2], sums[2]
        for t, before, h, zr, z, r, new, inner in steps:
            if t or run.started:
                first(before)
                add(zr, of_gates, out=zr)
            gates.apply(zr)
            multiply(r, before, out=inner)
            if t or run.started:
                second(inner)
                add(new, of_new, out=new)
            squash(xp, new, new)
            subtract(before, new, out=h)
            multiply(h, z, out=h)
            add(h, new, out=h)
            if run.hold[t] is not None:
                xp.copyto(h, before, where=run.hold[t][rows])

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
        dz = self.empty((run.steps, run.batch, 4 * units), run.dtype)
        recurrent, drop = _h_first(xp, run.recurrent), run.recurrent_drop
        if drop is not None and drop.ndim == 3:
            drop = xp.stack([drop[2], drop[0], drop[1]])
        self._in_parts(
            lambda rows: self._gru_after_back(run, recurrent, drop, dy, dh, dz, wants[1], rows), run, 3
        )
        of_kernel, of_recurrent = dz[..., units:], dz[..., :3 * units]
        dx, dkernel, dbias = self._input_gradients(run, of_kernel, wants[0], wants[2], wants[4])
        drecurrent = None
        if wants[3]:
            drecurrent = _h_last(xp, self._weight_gradient(run.h[:-1], of_recurrent, drop))
        if wants[4]:
            inner = dbias.copy()
            inner[2 * units:] = self._column_sums(dz[..., :units])
            dbias = xp.stack([dbias, inner])
        return dx, dh, dkernel, drecurrent, dbias

    def _gru_after_back(self, run, recurrent, drop, dy, dh, dz, want_first, rows):
        """Fill ``dz`` (T, N, 4 * U) for the samples ``rows``; ``dh`` ends as that of the start."""
        xp = self.xp
        add, multiply = xp.add, xp.multiply
        dh, dz = dh[rows], dz[:, rows]
        batch, units = dh.shape
        back = self._back(recurrent, 3, dh, self._some(drop, rows))
        passed = xp.empty_like(dh)
        store = None
        for start, stop in reversed(self._blocks(run.steps, dh.size)):
            if store is None or store.shape[1] < stop - start:
                store = self.empty((6, stop - start, batch, units), run.dtype)
            factors, keep = self._gru_after_factors(run, slice(start, stop), rows, store[:, :stop - start])
            block = dz[start:stop]
            steps = list(zip(range(start, stop), block[..., :3 * units], keep, factors.swapaxes(0, 1),
                             block.reshape(stop - start, batch, 4, units).swapaxes(1, 2)))
            for t, d, z, factor, gates in reversed(steps):
                if dy is not None:
                    add(dh, dy[t, rows], out=dh)
                multiply(factor, dh, out=gates)
                if not t and not want_first:
                    break
                multiply(dh, z, out=passed)
                back(d)
                add(dh, passed, out=dh)

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
        xp, units = self.xp, run.units
        dz = self.empty((run.steps, run.batch, 3 * units), run.dtype)
        self._in_parts(lambda rows: self._gru_before_back(run, dy, dh, dz, wants[1], rows), run, 3)
        dx, dkernel, dbias = self._input_gradients(run, dz, wants[0], wants[2], wants[4])
        drecurrent = None
        if wants[3]:
            of_gates, of_new = _gru_drops(run.recurrent_drop)
            drecurrent = xp.concatenate([
                self._weight_gradient(run.h[:-1], dz[..., :2 * units], of_gates),
                self._weight_gradient(run.inner, dz[..., 2 * units:], of_new),
            ], axis=1)
        return dx, dh, dkernel, drecurrent, dbias

    def _gru_before_back(self, run, dy, dh, dz, want_first, rows):
        """Fill ``dz`` (T, N, 3 * U) for the samples ``rows``; ``dh`` ends as that of the start."""
        xp = self.xp
        add, multiply = xp.add, xp.multiply
        dh, dz = dh[rows], dz[:, rows]
        batch, units = dh.shape
        of_gates, of_new = (self._some(drop, rows) for drop in _gru_drops(run.recurrent_drop))
        through, dinner, scratch = xp.empty_like(dh), xp.empty_like(dh), xp.empty_like(dh)
        back_gates = self._back(run.recurrent[:, :2 * units], 2, through, of_gates)
        back_new = self._back(run.recurrent[:, 2 * units:], 1, dinner, of_new)
        store = None
        for start, stop in reversed(self._blocks(run.steps, dh.size)):
            if store is None or store.shape[1] < stop - start:
                store = self.empty((5, stop - start, batch, units), run.dtype)
            factors, keep = self._gru_before_factors(run, slice(start, stop), rows, store[:, :stop - start])
            block = dz[start:stop]
            steps = list(zip(
                range(start, stop), block[..., :2 * units], block[..., :units], block[..., units:2 * units],
                block[..., 2 * units:], *factors, run.gates[1, start:stop, rows], keep,
            ))
            for t, d_gates, d_z, d_r, d_new, of_z, of_r, of_n, r, z in reversed(steps):
                if dy is not None:
                    add(dh, dy[t, rows], out=dh)
                multiply(of_n, dh, out=d_new)
                multiply(of_z, dh, out=d_z)
                back_new(d_new)
                multiply(of_r, dinner, out=d_r)
                if not t and not want_first:
                    break
                back_gates(d_gates)
                multiply(dh, z, out=dh)
                multiply(dinner, r, out=scratch)
                add(dh, scratch, out=dh)
                add(dh, through, out=dh)

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
