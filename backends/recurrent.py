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

import itertools

from . import threads
from .recurrent_gates import ACTIVATIONS, SLOPES
from .recurrent_gradients import InputGradients, WeightGradient
from .recurrent_gru import GruMixin
from .recurrent_lstm import LstmMixin
from .recurrent_products import tile

CACHE_ELEMENTS = 1 << 16  # steps times elements of a state in one block, on the CPU
SECONDS = 2e-11  # of one multiplication and addition
STEP = 8e-5  # seconds of a step of some samples that make a part: in shorter ones threads wait for Python
GRADIENT_ROWS = 480  # steps times samples whose gradients meet the weights at once: still multiplied in place


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
        run = self._start_run(x, h0, kernel, recurrent, bias, keep=keep, **settings)
        run.activation = activation
        run.h = self._state_steps(run, h0, keep or run.return_sequences)
        project = self._gate_product(kernel, run.batch, bias=bias)
        recur = self._gate_product(recurrent, run.batch)
        self._side_by_side(lambda rows: self._simple_rnn_steps(run, project, recur, rows), run, 1)
        return *self._run_output(run, run.h), run if keep else None

    def _simple_rnn_steps(self, run, project, recur, rows):
        """Run all steps for the samples ``rows``."""
        xp = self.xp
        batch = rows.stop - rows.start
        sums = xp.empty((1, batch, run.units), dtype=run.dtype)
        product = recur.into(sums, self._of_samples(run.recurrent_drop, rows))
        squash = ACTIVATIONS[run.activation]
        states = self._views(run.h, run.steps, rows)
        blocks = self._recurrent_blocks(run.steps, sums.size)
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
        inputs = InputGradients(self, run, 1, wants[0], wants[2], wants[4])
        recurrent = WeightGradient(self, run.recurrent.shape, run.dtype) if wants[3] else None

        def back(rows):
            drop = self._of_samples(run.recurrent_drop, rows)
            for chunk, dz in self._simple_rnn_back(run, dy, dh[rows], drop, wants[1], rows):
                inputs.add(chunk, rows, dz)
                if recurrent is not None:
                    recurrent.add(rows, run.h[chunk, rows], dz, drop)

        self._side_by_side(back, run, 1)
        dx, dkernel, dbias = inputs.result()
        return dx, dh, dkernel, None if recurrent is None else recurrent.total(), dbias

    def _simple_rnn_back(self, run, dy, dh, drop, want_first, rows):
        """Yield chunks of steps, last first, with the gradient of their sums (T, N, U).

        ``dh`` ends as the gradient of the first state.
        """
        xp = self.xp
        add, multiply, slope = xp.add, xp.multiply, SLOPES[run.activation]
        back = self._state_back(run.recurrent, 1, dh, drop)
        scratch = xp.empty_like(dh)
        for block, dz, _, chunk in self._walk_back(run, len(dh), 1, factors=0):
            if chunk is not None:
                yield chunk
                continue
            slope(xp, run.h[block.start + 1:block.stop + 1, rows], dz)
            if run.held is not None:
                xp.copyto(dz, 0, where=run.held[block, rows])
            steps = list(zip(
                range(block.start, block.stop), dz, run.hold[block],
                itertools.repeat(None) if dy is None else dy[block, rows],
            ))
            for t, d, hold, above in reversed(steps):
                if above is not None:
                    add(dh, above, dh)
                multiply(d, dh, d)
                if not t and not want_first:
                    break
                if hold is None:
                    back(d)
                else:
                    xp.copyto(scratch, dh)
                    back(d)
                    xp.copyto(dh, scratch, where=hold[rows])


class NumpyRecurrentMixin(RecurrentMixin):
    """What only the host can do: look at mask values, and keep an eye on its cache."""

    def _side_by_side(self, function, run, gates: int) -> None:
        of_sample = run.units * gates * (run.units * SECONDS + 5e-10)  # one step
        least = max(1, int(STEP / of_sample))
        parts = threads.split(run.batch, run.steps * run.batch * of_sample, least)
        threads.parallel(function, [(slice(*bounds),) for bounds in parts])

    def _recurrent_tile(self, inner: int, units: int):
        return tile(inner, units)

    def _masked_steps(self, held) -> list:
        some = held.any(axis=(1, 2))
        return [step if any_held else None for step, any_held in zip(held, some)]

    def _before_first(self, held):
        return super()._before_first(held) if held[0].any() else None

    def _recurrent_blocks(self, steps: int, size: int) -> list:
        length = max(1, CACHE_ELEMENTS // max(1, size))
        return [(start, min(start + length, steps)) for start in range(0, steps, length)]

    def _recurrent_chunks(self, steps: int, batch: int) -> list:
        length = max(1, GRADIENT_ROWS // max(1, batch))
        return [(start, min(start + length, steps)) for start in range(0, steps, length)]
