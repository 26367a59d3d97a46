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
from .recurrent_convolution import ConvLstmMixin, NumpyConvLstmMixin
from .recurrent_gates import ACTIVATIONS, SLOPES
from .recurrent_gradients import InputGradients, WeightGradient
from .recurrent_gru import GruMixin
from .recurrent_overlap import Ahead, Followers
from .recurrent_products import FEW, tile

CACHE_ELEMENTS = 1 << 16  # steps times elements of a state in one block, on the CPU
SECONDS = 2e-11  # of one multiplication and addition
STEP = 8e-5  # seconds of a step of some samples that make a part: in shorter ones threads wait for Python
ASIDE = 1e-5  # seconds of work beside each step that another thread is worth
GRADIENT_ROWS = 480  # steps times samples whose gradients meet the weights at once: still multiplied in place


class RecurrentMixin(ConvLstmMixin, GruMixin):
    """The recurrent family of ``Backend``.

    The forward methods return ``(output, *last states, run)``; with ``keep=False`` the run is
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
        run.gates = None
        project = self._gate_product(kernel, run.batch, bias=bias)
        recur = self._gate_product(recurrent, run.batch)
        self._run_ahead(run, project, run.x, 1, 1)

        def steps(rows):
            self._simple_rnn_steps(run, recur, self._walk(run, project, run.x, 1, 1, rows), rows)

        self._side_by_side(steps, run, 1)
        run.gates = None
        return *self._run_output(run, run.h), run if keep else None

    def _simple_rnn_steps(self, run, recur, blocks, rows):
        """Run all steps for the samples ``rows``."""
        xp = self.xp
        sums = xp.empty((1, rows.stop - rows.start, run.units), dtype=run.dtype)
        product = recur.into(sums, self._of_samples(run.recurrent_drop, rows))
        squash = ACTIVATIONS[run.activation]
        states = self._views(run.h, run.steps, rows)
        for start, stop, block in blocks:
            steps = zip(range(start, stop), block[0], states[start:], states[start + 1:], run.hold[start:])
            for t, a, before, h, hold in steps:
                if t or run.started:
                    product(before)
                    xp.add(a, sums[0], a)
                squash(xp, a, h)
                if hold is not None:
                    xp.copyto(h, before, where=hold[rows])

    def simple_rnn_backward(self, run, dy, dh, wants):
        """Return gradients of x, h0, kernel, recurrent kernel, bias."""
        dy, dh = self._output_gradient(run, dy, dh)
        inputs = InputGradients(self, run, 1, wants[0], wants[2], wants[4])
        recurrent = WeightGradient(self, run.recurrent.shape, run.dtype) if wants[3] else None

        def walk(rows):
            drop = self._of_samples(run.recurrent_drop, rows)
            return self._simple_rnn_back(run, dy, dh[rows], drop, wants[1], rows)

        takers = inputs.takers()
        if recurrent is not None:
            takers.append(recurrent.of_states(run.h, run.recurrent_drop))
        self._gather(run, 1, walk, takers)
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


class NumpyRecurrentMixin(NumpyConvLstmMixin, RecurrentMixin):
    """What only the host can do: look at mask values, and keep an eye on its cache."""

    def _side_by_side(self, function, run, gates: int) -> None:
        if run.ahead is not None:
            whole, help_out = slice(0, run.batch), run.ahead.help
            parts = [(True,), *[(False,)] * (threads.get_threads() - 1)]
            threads.parallel(lambda steps: function(whole) if steps else help_out(), parts)
            run.ahead = None
            return
        threads.parallel(function, [(slice(*bounds),) for bounds in self._parts_of_samples(run, gates)])

    def _parts_of_samples(self, run, gates: int) -> list:
        """Return bounds of parts whose steps are long enough for threads of their own."""
        of_sample = run.units * gates * (run.units * SECONDS + 5e-10)  # one step
        least = max(FEW, int(STEP / of_sample))  # fewer rows are joined with those of other steps
        return threads.split(run.batch, run.steps * run.batch * of_sample, least)

    def _overlaps(self, run, gates: int) -> bool:
        """Tell whether one thread should run all steps, with others before or behind it."""
        of_step = run.batch * run.units * gates * len(run.kernel) * SECONDS  # the products of its inputs
        return (
            run.batch >= FEW and of_step >= ASIDE and of_step * run.steps >= threads.WORTH
            and threads.may_split() and len(self._parts_of_samples(run, gates)) < 2
        )

    def _run_ahead(self, run, project, x, gates: int, slabs: int) -> None:
        if not self._overlaps(run, gates):
            return
        if run.gates is None:
            run.gates = self._gate_steps(run, slabs, run.steps, run.batch)
        blocks = self._recurrent_blocks(run.steps, run.batch * run.units)
        found = run.gates[:gates]

        def products(number):
            start, stop = blocks[number]
            self._project(project, x[..., start:stop, :, :], found[:, start:stop])

        run.ahead = Ahead(products, len(blocks))

    def _gather(self, run, gates: int, walk, takers) -> None:
        run.followed = bool(takers) and self._overlaps(run, gates)
        if not run.followed:
            super()._gather(run, gates, walk, takers)
            return
        whole = slice(0, run.batch)
        followers = Followers(takers)

        def role(steps: bool):
            if steps:
                try:
                    for chunk, dz in walk(whole):
                        followers.put((chunk, whole, dz))
                finally:
                    followers.close()
            followers.work()

        helpers = min(threads.get_threads() - 1, len(takers))
        threads.parallel(role, [(True,), *[(False,)] * helpers])

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
