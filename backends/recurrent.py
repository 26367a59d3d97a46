"""Recurrent layers over all time steps: LSTM, GRU, simple RNN, forward and backward.

Inside, arrays are time-major. The gates of a step lie one behind the other, (G, T, N, U), so that every call
of a step works on neighbouring memory; their gradients lie side by side, (T, N, G * U), so that the gradient
of each weight is one GEMM over all steps. A step is one product and a few in-place calls. Inputs are
projected for a block of steps at a time, and backward a block is first turned into the factors that make
d loss / d gate sums of d loss / d state, while it is in cache: a step then only multiplies.

Masked steps carry the state over (``held`` marks them) and repeat the last output, zero before the first
valid step (``blank`` marks zero outputs).
"""

from __future__ import annotations

from .recurrent_gates import ACTIVATIONS, SLOPES
from .recurrent_gru import GruMixin
from .recurrent_lstm import LstmMixin
from .recurrent_products import tile

CACHE_ELEMENTS = 1 << 16  # steps times elements of a state in one block, on the CPU


class RecurrentMixin(LstmMixin, GruMixin):
    """The recurrent family of ``Backend``.

    The three forward methods return ``(output, *last states, run)``; with ``keep=False`` the run is
    ``None``. The backward methods take that run, the gradients of output and last states (``None`` where
    nothing depends on one) and ``wants``, one truth value per gradient; they never write into what they are
    given.
    """

    def simple_rnn_forward(
        self, x, h0, kernel, recurrent, bias, *, activation="tanh", keep=True, **settings,
    ):
        """Run a simple RNN over ``x`` (N, T, D)."""
        run = self._start(x, h0, kernel, recurrent, bias, keep=keep, **settings)
        run.activation = activation
        run.h = self._states(run, h0, keep or run.return_sequences)
        project = self._product(kernel, run.batch, bias=bias)
        recur = self._product(recurrent, run.batch)
        self._in_parts(lambda rows: self._simple_rnn_steps(run, project, recur, rows), run, 1)
        return *self._output(run, run.h), run if keep else None

    def _simple_rnn_steps(self, run, project, recur, rows):
        """Run all steps for the samples ``rows``."""
        xp = self.xp
        batch = rows.stop - rows.start
        sums = xp.empty((1, batch, run.units), dtype=run.dtype)
        product = recur.into(sums, self._some(run.recurrent_drop, rows))
        squash = ACTIVATIONS[run.activation]
        states = self._views(run.h, run.steps, rows)
        blocks = self._blocks(run.steps, sums.size)
        store = self._gate_steps(run, 1, blocks[0][1], batch) if blocks else None
        for start, stop in blocks:
            block = store[:, :stop - start]
            self._project(project, run.x[..., start:stop, rows, :], block)
            for t, a, before, h in zip(range(start, stop), block[0], states[start:], states[start + 1:]):
                if t or run.started:
                    product(before)
                    xp.add(a, sums[0], out=a)
                squash(xp, a, h)
                if run.hold[t] is not None:
                    xp.copyto(h, before, where=run.hold[t][rows])

    def simple_rnn_backward(self, run, dy, dh, wants):
        """Return gradients of x, h0, kernel, recurrent kernel, bias."""
        dy, dh = self._output_gradient(run, dy, dh)
        dz = self.empty((run.steps, run.batch, run.units), run.dtype)
        self._in_parts(lambda rows: self._simple_rnn_back(run, dy, dh, dz, wants[1], rows), run, 1)
        dx, dkernel, dbias = self._input_gradients(run, dz, wants[0], wants[2], wants[4])
        drecurrent = self._weight_gradient(run.h[:-1], dz, run.recurrent_drop) if wants[3] else None
        return dx, dh, dkernel, drecurrent, dbias

    def _simple_rnn_back(self, run, dy, dh, dz, want_first, rows):
        """Fill ``dz`` (T, N, U) for the samples ``rows``; ``dh`` ends as that of the start."""
        xp = self.xp
        dh, dz = dh[rows], dz[:, rows]
        back = self._back(run.recurrent, 1, dh, self._some(run.recurrent_drop, rows))
        slope = SLOPES[run.activation]
        scratch = xp.empty_like(dh)
        for start, stop in reversed(self._blocks(run.steps, dh.size)):
            block = dz[start:stop]
            slope(xp, run.h[start + 1:stop + 1, rows], block)
            if run.held is not None:
                xp.copyto(block, 0, where=run.held[start:stop, rows])
            for t, d in reversed(list(zip(range(start, stop), block))):
                if dy is not None:
                    xp.add(dh, dy[t, rows], out=dh)
                xp.multiply(d, dh, out=d)
                if not t and not want_first:
                    break
                if run.hold[t] is None:
                    back(d)
                else:
                    xp.copyto(scratch, dh)
                    back(d)
                    xp.copyto(dh, scratch, where=run.hold[t][rows])


class NumpyRecurrentMixin(RecurrentMixin):
    """What only the host can do: look at mask values, and keep an eye on its cache."""

    def _tile(self, inner: int, units: int):
        return tile(inner, units)

    def _masked_steps(self, held) -> list:
        some = held.any(axis=(1, 2))
        return [step if any_held else None for step, any_held in zip(held, some)]

    def _before_first(self, held):
        return super()._before_first(held) if held[0].any() else None

    def _blocks(self, steps: int, size: int) -> list:
        length = max(1, CACHE_ELEMENTS // max(1, size))
        return [(start, min(start + length, steps)) for start in range(0, steps, length)]
