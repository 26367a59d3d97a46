"""Recurrent layers over all time steps: LSTM, GRU, simple RNN, forward and backward.

Inside, arrays are time-major and gates lie side by side: (T, N, gates * U). The input projection is one GEMM
over all steps, each step is one GEMM and a few in-place calls, and the gradient of each weight is one GEMM at
the end. Backward first fills a buffer with the products that turn d loss / d state into d loss / d gate sums,
in blocks of steps that stay in cache; a step then only multiplies.

Masked steps carry the state over (``held`` marks them) and repeat the last output, zero before the first
valid step (``blank`` marks zero outputs).
"""

from __future__ import annotations

from types import SimpleNamespace

from .device import Device
from .recurrent_gates import (
    ACTIVATIONS,
    SLOPES,
    Gates,
    Product,
    batch_major,
    column_sums,
    state_steps,
    time_major,
)

CACHE_ELEMENTS = 1 << 15  # steps times elements of a state in one block of the backward pass, on the CPU


class RecurrentMixin(Device):
    """The recurrent family of ``Backend``.

    The three forward methods return ``(output, *last states, cache)``; with ``keep=False`` the cache is
    ``None``. The backward methods take that cache, the gradients of output and last states (``None`` where
    nothing depends on one) and ``wants``, one truth value per gradient; they never write into what they are
    given.
    """

    # ---- LSTM: gates i f c o -------------------------------------------------------------------
    def lstm_forward(
        self, x, h0, c0, kernel, recurrent, bias, *, mask=None, drop=None, recurrent_drop=None,
        go_backwards=False, activation="tanh", recurrent_activation="sigmoid", return_sequences=True,
        zero_output_for_mask=False, keep=True,
    ):
        """Run an LSTM over ``x`` (N, T, D)."""
        xp = self.xp
        run = self._start(x, h0, mask, go_backwards, return_sequences, zero_output_for_mask)
        units = recurrent.shape[0]
        steps, batch = run.x.shape[:2]
        kinds = (recurrent_activation, recurrent_activation, activation, recurrent_activation)
        gates = Gates(xp, kinds, units, x.dtype)
        z = xp.empty((steps, batch, 4 * units), dtype=x.dtype)
        Product(xp, gates.weights(kernel), drop).forward(run.x, z)
        if bias is not None:
            xp.add(z, gates.weights(bias), out=z)
        product = Product(xp, gates.weights(recurrent), recurrent_drop)
        shape = (steps, batch, units)
        run.h, hs = state_steps(xp, self._state(h0, shape, x.dtype), shape, keep or return_sequences)
        run.c, cs = state_steps(xp, self._state(c0, shape, x.dtype), shape, keep)
        run.squashed = xp.empty(shape if keep else (1, *shape[1:]), dtype=x.dtype)  # activation(c)
        sums = xp.empty(z.shape[1:], dtype=x.dtype)
        scratch = xp.empty(shape[1:], dtype=x.dtype)
        squash = ACTIVATIONS[activation]
        for t in range(steps):
            a, h, c, s = z[t], hs[t + 1], cs[t + 1], run.squashed[t if keep else 0]
            if t or h0 is not None:
                product.forward(hs[t], sums)
                xp.add(a, sums, out=a)
            gates.apply(a)
            xp.multiply(a[:, units:2 * units], cs[t], out=c)
            xp.multiply(a[:, :units], a[:, 2 * units:3 * units], out=scratch)
            xp.add(c, scratch, out=c)
            squash(xp, c, s)
            xp.multiply(a[:, 3 * units:], s, out=h)
            if run.hold[t] is not None:
                xp.copyto(h, hs[t], where=run.hold[t])
                xp.copyto(c, cs[t], where=run.hold[t])
        if not keep:
            return self._output(run, hs), hs[-1], cs[-1], None
        run.update(gates=z, drop=drop, recurrent_drop=recurrent_drop, kernel=kernel, recurrent=recurrent,
                   activation=activation, recurrent_activation=recurrent_activation)
        return self._output(run, hs), hs[-1], cs[-1], run

    def lstm_backward(self, run, dy, dh, dc, wants):
        """Return gradients of x, h0, c0, kernel, recurrent kernel, bias."""
        xp = self.xp
        steps, batch, units = run.squashed.shape
        dy, dh = self._output_gradient(run, dy, dh)
        dh = xp.zeros((batch, units), run.h.dtype) if dh is None else dh.copy()
        dc = xp.zeros_like(dh) if dc is None else dc.copy()
        a = run.gates.reshape(steps, batch, 4, units)
        dz = xp.empty_like(a)
        product = Product(xp, run.recurrent, run.recurrent_drop)
        scratch = xp.empty_like(dh)
        for start, stop in self._blocks(steps, dh.size):
            carry = self._lstm_factors(run, a, dz, start, stop)
            for t in range(stop - 1, start - 1, -1):
                k, hold = dz[t], run.hold[t]
                if dy is not None:
                    xp.add(dh, dy[t], out=dh)
                xp.multiply(dh, carry[t - start], out=scratch)
                xp.add(dc, scratch, out=dc)
                xp.multiply(k[:, :3], dc[:, None], out=k[:, :3])
                xp.multiply(k[:, 3], dh, out=k[:, 3])
                xp.multiply(dc, a[t][:, 1], out=scratch)
                if hold is not None:
                    xp.copyto(scratch, dc, where=hold)
                dc, scratch = scratch, dc
                if t or wants[1]:
                    product.backward(k.reshape(batch, 4 * units), scratch)
                    if hold is not None:
                        xp.copyto(scratch, dh, where=hold)
                    dh, scratch = scratch, dh
        dz = dz.reshape(steps, batch, 4 * units)
        dx, dkernel = self._input_gradients(run, dz, wants[0], wants[3])
        drecurrent = product.gradient(run.h[:-1], dz) if wants[4] else None
        return dx, dh, dc, dkernel, drecurrent, column_sums(xp, dz) if wants[5] else None

    def _lstm_factors(self, run, a, dz, start, stop):
        """Fill ``dz`` of a block with d gate sum / d state, and return d c / d h of the block."""
        block = slice(start, stop)
        gate, squash = SLOPES[run.recurrent_activation], SLOPES[run.activation]
        xp, k = self.xp, dz[block]
        i, f, g, o = (a[block][:, :, j] for j in range(4))
        squashed = run.squashed[block]
        xp.multiply(gate(xp, i), g, out=k[:, :, 0])
        xp.multiply(gate(xp, f), run.c[block], out=k[:, :, 1])
        xp.multiply(squash(xp, g), i, out=k[:, :, 2])
        xp.multiply(gate(xp, o), squashed, out=k[:, :, 3])
        carry = squash(xp, squashed) * o
        if run.held is not None:
            xp.copyto(k, 0, where=run.held[block][..., None])
            xp.copyto(carry, 0, where=run.held[block])
        return carry

    # ---- GRU: gates z r h ----------------------------------------------------------------------
    def gru_forward(
        self, x, h0, kernel, recurrent, bias, *, mask=None, drop=None, recurrent_drop=None,
        go_backwards=False, activation="tanh", recurrent_activation="sigmoid", reset_after=True,
        return_sequences=True, zero_output_for_mask=False, keep=True,
    ):
        """Run a GRU over ``x`` (N, T, D); ``bias`` is (2, 3 * U) with ``reset_after``, else (3 * U,)."""
        xp = self.xp
        run = self._start(x, h0, mask, go_backwards, return_sequences, zero_output_for_mask)
        units = recurrent.shape[0]
        steps, batch = run.x.shape[:2]
        gates = Gates(xp, (recurrent_activation, recurrent_activation), units, x.dtype, rest=1)
        z = xp.empty((steps, batch, 3 * units), dtype=x.dtype)
        Product(xp, gates.weights(kernel), drop).forward(run.x, z)
        bias_n = None
        if bias is not None:
            first = bias
            if reset_after:  # the recurrent bias of z and r joins the input bias; that of h meets r first
                first = bias[0].copy()
                first[:2 * units] += bias[1, :2 * units]
                bias_n = bias[1, 2 * units:]
            xp.add(z, gates.weights(first), out=z)
        shape = (steps, batch, units)
        run.h, hs = state_steps(xp, self._state(h0, shape, x.dtype), shape, keep or return_sequences)
        advance = self._gru_after if reset_after else self._gru_before
        run.inner = advance(
            run, hs, z, gates, gates.weights(recurrent), recurrent_drop, bias_n, activation, keep
        )
        if not keep:
            return self._output(run, hs), hs[-1], None
        run.update(gates=z, drop=drop, recurrent_drop=recurrent_drop, kernel=kernel, recurrent=recurrent,
                   activation=activation, recurrent_activation=recurrent_activation, reset_after=reset_after)
        return self._output(run, hs), hs[-1], run

    def _gru_after(self, run, hs, z, gates, recurrent, drop, bias_n, activation, keep):
        """Run the steps with the reset gate behind the product; return what it multiplied (T, N, U)."""
        xp = self.xp
        steps, batch, width = z.shape
        units = width // 3
        product = Product(xp, recurrent, drop)
        squash = ACTIVATIONS[activation]
        sums = xp.empty((batch, width), dtype=z.dtype)
        scratch = xp.empty((batch, units), dtype=z.dtype)
        inner = xp.empty((steps if keep else 1, batch, units), dtype=z.dtype)
        for t in range(steps):
            a, h, u = z[t], hs[t + 1], inner[t if keep else 0]
            zr, n = a[:, :2 * units], a[:, 2 * units:]
            product.forward(hs[t], sums)
            xp.add(zr, sums[:, :2 * units], out=zr)
            gates.apply(zr)
            if bias_n is None:
                u[...] = sums[:, 2 * units:]
            else:
                xp.add(sums[:, 2 * units:], bias_n, out=u)
            xp.multiply(zr[:, units:], u, out=scratch)
            xp.add(n, scratch, out=n)
            squash(xp, n, n)
            _mix(xp, hs[t], n, zr[:, :units], h)
            if run.hold[t] is not None:
                xp.copyto(h, hs[t], where=run.hold[t])
        return inner

    def _gru_before(self, run, hs, z, gates, recurrent, drop, bias_n, activation, keep):
        """Run the steps with the reset gate before the product; return r * h of every step (T, N, U)."""
        xp = self.xp
        steps, batch, width = z.shape
        units = width // 3
        first, second = _split_products(xp, recurrent, drop, 2 * units)
        squash = ACTIVATIONS[activation]
        sums = xp.empty((batch, 2 * units), dtype=z.dtype)
        scratch = xp.empty((batch, units), dtype=z.dtype)
        inner = xp.empty((steps if keep else 1, batch, units), dtype=z.dtype)
        for t in range(steps):
            a, h, u = z[t], hs[t + 1], inner[t if keep else 0]
            zr, n = a[:, :2 * units], a[:, 2 * units:]
            first.forward(hs[t], sums)
            xp.add(zr, sums, out=zr)
            gates.apply(zr)
            xp.multiply(zr[:, units:], hs[t], out=u)
            second.forward(u, scratch)
            xp.add(n, scratch, out=n)
            squash(xp, n, n)
            _mix(xp, hs[t], n, zr[:, :units], h)
            if run.hold[t] is not None:
                xp.copyto(h, hs[t], where=run.hold[t])
        return inner

    def gru_backward(self, run, dy, dh, wants):
        """Return gradients of x, h0, kernel, recurrent kernel, bias."""
        xp = self.xp
        dy, dh = self._output_gradient(run, dy, dh)
        dh = xp.zeros(run.h.shape[1:], run.h.dtype) if dh is None else dh.copy()
        if run.reset_after:
            dh, dz, drecurrent, dz_recurrent = self._gru_after_backward(run, dy, dh, wants)
        else:
            dh, dz, drecurrent = self._gru_before_backward(run, dy, dh, wants)
        dx, dkernel = self._input_gradients(run, dz, wants[0], wants[2])
        dbias = None
        if wants[4]:
            dbias = column_sums(xp, dz)
            if run.reset_after:
                dbias = xp.stack([dbias, _gates_last(xp, column_sums(xp, dz_recurrent))])
        return dx, dh, dkernel, drecurrent, dbias

    def _gru_after_backward(self, run, dy, dh, wants):
        # Blocks of columns: d recurrent h, d z, d r, d input h. The first three belong to the recurrent
        # kernel (with its columns turned to h z r), the last three to the kernel: z and r are stored once.
        xp = self.xp
        steps, batch, units = run.inner.shape
        buffer = xp.empty((steps, batch, 4 * units), dtype=dh.dtype)
        factors = buffer.reshape(steps, batch, 4, units)
        product = Product(xp, _gates_first(xp, run.recurrent), _gates_first_masks(xp, run.recurrent_drop))
        dz_recurrent = buffer[:, :, :3 * units]
        a = run.gates
        scratch = xp.empty_like(dh)
        passed = xp.empty_like(dh)
        for start, stop in self._blocks(steps, dh.size):
            self._gru_after_factors(run, factors, start, stop)
            for t in range(stop - 1, start - 1, -1):
                if dy is not None:
                    xp.add(dh, dy[t], out=dh)
                xp.multiply(factors[t], dh[:, None], out=factors[t])
                if not t and not wants[1]:
                    break
                xp.multiply(dh, a[t][:, :units], out=passed)
                product.backward(dz_recurrent[t], scratch)
                xp.add(scratch, passed, out=scratch)
                if run.hold[t] is not None:
                    xp.copyto(scratch, dh, where=run.hold[t])
                dh, scratch = scratch, dh
        drecurrent = _gates_last(xp, product.gradient(run.h[:-1], dz_recurrent)) if wants[3] else None
        return dh, buffer[:, :, units:], drecurrent, dz_recurrent

    def _gru_after_factors(self, run, factors, start, stop):
        block = slice(start, stop)
        xp, k = self.xp, factors[block]
        units = k.shape[-1]
        gate = SLOPES[run.recurrent_activation]
        a = run.gates[block]
        z, r, n = a[:, :, :units], a[:, :, units:2 * units], a[:, :, 2 * units:]
        of_n = SLOPES[run.activation](xp, n) * (1 - z)
        k[:, :, 3] = of_n
        xp.multiply(of_n, r, out=k[:, :, 0])
        xp.multiply(run.h[block] - n, gate(xp, z), out=k[:, :, 1])
        of_n *= run.inner[block]
        xp.multiply(of_n, gate(xp, r), out=k[:, :, 2])
        if run.held is not None:
            xp.copyto(k, 0, where=run.held[block][..., None])

    def _gru_before_backward(self, run, dy, dh, wants):
        xp = self.xp
        steps, batch, units = run.inner.shape
        dz = xp.empty((steps, batch, 3 * units), dtype=dh.dtype)
        first, second = _split_products(xp, run.recurrent, run.recurrent_drop, 2 * units)
        gate, squash = SLOPES[run.recurrent_activation], SLOPES[run.activation]
        scratch, dinner = xp.empty_like(dh), xp.empty_like(dh)
        for t in range(steps - 1, -1, -1):
            if dy is not None:
                xp.add(dh, dy[t], out=dh)
            a, k, before = run.gates[t], dz[t], run.h[t]
            z, r, n = a[:, :units], a[:, units:2 * units], a[:, 2 * units:]
            xp.multiply(squash(xp, n) * (1 - z), dh, out=k[:, 2 * units:])
            xp.multiply((before - n) * gate(xp, z), dh, out=k[:, :units])
            hold = run.hold[t]
            if hold is not None:
                xp.copyto(k, 0, where=hold)
            second.backward(k[:, 2 * units:], dinner)
            xp.multiply(gate(xp, r) * before, dinner, out=k[:, units:2 * units])
            if hold is not None:
                xp.copyto(k[:, units:2 * units], 0, where=hold)
            if not t and not wants[1]:
                break
            first.backward(k[:, :2 * units], scratch)
            xp.multiply(dinner, r, out=dinner)
            xp.add(scratch, dinner, out=scratch)
            xp.multiply(dh, z, out=dinner)
            xp.add(scratch, dinner, out=scratch)
            if hold is not None:
                xp.copyto(scratch, dh, where=hold)
            dh, scratch = scratch, dh
        drecurrent = None
        if wants[3]:
            zr = first.gradient(run.h[:-1], dz[:, :, :2 * units])
            drecurrent = xp.concatenate([zr, second.gradient(run.inner, dz[:, :, 2 * units:])], axis=1)
        return dh, dz, drecurrent

    # ---- simple RNN ----------------------------------------------------------------------------
    def simple_rnn_forward(
        self, x, h0, kernel, recurrent, bias, *, mask=None, drop=None, recurrent_drop=None,
        go_backwards=False, activation="tanh", return_sequences=True, zero_output_for_mask=False, keep=True,
    ):
        """Run a simple RNN over ``x`` (N, T, D)."""
        xp = self.xp
        run = self._start(x, h0, mask, go_backwards, return_sequences, zero_output_for_mask)
        steps, batch = run.x.shape[:2]
        shape = (steps, batch, recurrent.shape[0])
        z = xp.empty(shape, dtype=x.dtype)
        Product(xp, kernel, drop).forward(run.x, z)
        if bias is not None:
            xp.add(z, bias, out=z)
        run.h, hs = state_steps(xp, self._state(h0, shape, x.dtype), shape, keep or return_sequences)
        product = Product(xp, recurrent, recurrent_drop)
        squash = ACTIVATIONS[activation]
        for t in range(steps):
            h = hs[t + 1]
            if t or h0 is not None:
                product.forward(hs[t], h)
                xp.add(h, z[t], out=h)
                squash(xp, h, h)
            else:
                squash(xp, z[t], h)
            if run.hold[t] is not None:
                xp.copyto(h, hs[t], where=run.hold[t])
        if not keep:
            return self._output(run, hs), hs[-1], None
        run.update(drop=drop, recurrent_drop=recurrent_drop, kernel=kernel, recurrent=recurrent,
                   activation=activation)
        return self._output(run, hs), hs[-1], run

    def simple_rnn_backward(self, run, dy, dh, wants):
        """Return gradients of x, h0, kernel, recurrent kernel, bias."""
        xp = self.xp
        steps, batch = run.x.shape[:2]
        dy, dh = self._output_gradient(run, dy, dh)
        dh = xp.zeros(run.h.shape[1:], run.h.dtype) if dh is None else dh.copy()
        dz = xp.empty((steps, *dh.shape), dtype=dh.dtype)
        product = Product(xp, run.recurrent, run.recurrent_drop)
        slope = SLOPES[run.activation]
        scratch = xp.empty_like(dh)
        for start, stop in self._blocks(steps, dh.size):
            dz[start:stop] = slope(xp, run.h[start + 1:stop + 1])
            if run.held is not None:
                xp.copyto(dz[start:stop], 0, where=run.held[start:stop])
            for t in range(stop - 1, start - 1, -1):
                if dy is not None:
                    xp.add(dh, dy[t], out=dh)
                xp.multiply(dz[t], dh, out=dz[t])
                if t or wants[1]:
                    product.backward(dz[t], scratch)
                    if run.hold[t] is not None:
                        xp.copyto(scratch, dh, where=run.hold[t])
                    dh, scratch = scratch, dh
        dx, dkernel = self._input_gradients(run, dz, wants[0], wants[2])
        drecurrent = product.gradient(run.h[:-1], dz) if wants[3] else None
        return dx, dh, dkernel, drecurrent, column_sums(xp, dz) if wants[4] else None

    # ---- shared --------------------------------------------------------------------------------
    def _start(self, x, h0, mask, go_backwards, return_sequences, zero_output_for_mask):
        run = _Run(x=time_major(self.xp, x, go_backwards), held=None, blank=None, go_backwards=go_backwards,
                   return_sequences=return_sequences)
        run.hold = [None] * x.shape[1]
        if mask is not None and x.shape[1]:
            run.held = time_major(self.xp, ~mask, go_backwards)[..., None]  # (T, N, 1)
            run.hold = self._masked_steps(run.held)
            if zero_output_for_mask:
                run.blank = run.held
            elif h0 is not None:
                run.blank = self._before_first(run.held)
        return run

    def _before_first(self, held):
        """Tell at which steps no valid step has been seen: the output there is zero, whatever the state."""
        return self.xp.cumsum(~held, axis=0) == 0

    def _masked_steps(self, held) -> list:
        """Return for every step its (N, 1) truth values, ``None`` where surely no sample is masked."""
        return list(held)  # looking at the values would wait for the device

    def _blocks(self, steps: int, size: int) -> list:
        """Return the ranges of steps, last first, that the backward pass prepares at once."""
        return [(0, steps)] if steps else []

    def _state(self, given, shape, dtype):
        return self.xp.zeros(shape[1:], dtype=dtype) if given is None else given

    def _output(self, run, hs):
        """Return the sequence (N, T, U), a view of the states, or the last output (N, U)."""
        xp = self.xp
        if not run.return_sequences:
            return hs[-1] if run.blank is None else xp.where(run.blank[-1], xp.zeros_like(hs[-1]), hs[-1])
        y = run.h[1:]
        if run.blank is not None:
            y = xp.where(run.blank, xp.zeros_like(y), y)
        return y.swapaxes(0, 1)

    def _output_gradient(self, run, dy, dh):
        """Return (time-major gradient of the sequence or None, gradient of the last state or None)."""
        if dy is None:
            return None, dh
        xp = self.xp
        if run.return_sequences:
            dy = dy.swapaxes(0, 1)
            return (dy if run.blank is None else xp.where(run.blank, xp.zeros_like(dy), dy)), dh
        if run.blank is not None:
            dy = xp.where(run.blank[-1], xp.zeros_like(dy), dy)
        return None, dy if dh is None else dy + dh

    def _input_gradients(self, run, dz, want_x, want_kernel):
        product = Product(self.xp, run.kernel, run.drop)
        dx = None
        if want_x:
            dx = self.xp.empty(run.x.shape, dtype=dz.dtype)
            product.backward(dz, dx)
            dx = batch_major(dx, run.go_backwards)
        return dx, product.gradient(run.x, dz) if want_kernel else None


class NumpyRecurrentMixin(RecurrentMixin):
    """What only the host can do: look at mask values, and keep an eye on its cache."""

    def _masked_steps(self, held) -> list:
        some = held.any(axis=(1, 2))
        return [step if any_held else None for step, any_held in zip(held, some)]

    def _before_first(self, held):
        return super()._before_first(held) if held[0].any() else None

    def _blocks(self, steps: int, size: int) -> list:
        length = max(1, CACHE_ELEMENTS // max(1, size))
        return [(max(0, stop - length), stop) for stop in range(steps, 0, -length)]


class _Run(SimpleNamespace):
    """What one forward pass leaves for its backward pass."""

    def update(self, **values):
        self.__dict__.update(values)


def _mix(xp, before, new, z, out):
    """Write z * before + (1 - z) * new into ``out``."""
    xp.subtract(before, new, out=out)
    xp.multiply(out, z, out=out)
    xp.add(out, new, out=out)


def _split_products(xp, recurrent, drop, width):
    """Products for the gates z r together and for h alone."""
    if drop is not None and drop.ndim == 3:
        return Product(xp, recurrent[:, :width], drop[:2]), Product(xp, recurrent[:, width:], drop[2])
    return Product(xp, recurrent[:, :width], drop), Product(xp, recurrent[:, width:], drop)


def _gates_first(xp, a):
    """Turn columns z r h into h z r."""
    third = a.shape[-1] // 3
    return xp.concatenate([a[..., 2 * third:], a[..., :2 * third]], axis=-1)


def _gates_last(xp, a):
    """Turn columns h z r into z r h."""
    third = a.shape[-1] // 3
    return xp.concatenate([a[..., third:], a[..., :third]], axis=-1)


def _gates_first_masks(xp, drop):
    if drop is None or drop.ndim == 2:
        return drop
    return xp.stack([drop[2], drop[0], drop[1]])
