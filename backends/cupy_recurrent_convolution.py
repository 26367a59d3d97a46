"""ConvLSTM on a GPU: convolutions by our kernels, and the gates of a step in one launch."""

from __future__ import annotations

from gpukeras.kernels import recurrent_cells, recurrent_step

from .recurrent_convolution import ConvLstmMixin, groups_of

MOST = 1 << 31  # elements of the sums of one step: kernels count them in 32 bits


class CupyConvLstmMixin(ConvLstmMixin):
    """Kernels for float32: to them every position is a sample of an LSTM with one step.

    Other types, and inputs of no elements, go the generic way.
    """

    def _conv_lstm_steps(self, run, h0, c0, bias):
        rows, units = run.flat
        run.sequence = None
        if run.dtype != "float32" or not 0 < run.steps * rows * units or 4 * rows * units >= MOST:
            return super()._conv_lstm_steps(run, h0, c0, bias)
        xp, every = self.xp, (run.steps, rows, units)
        run.sequence = recurrent_cells.sequence(
            batch=rows, steps=1, units=units, activation=run.activation,
            recurrent_activation=run.recurrent_activation,
        )
        h, c = (
            xp.zeros(run.flat, run.dtype) if a is None else xp.ascontiguousarray(a).reshape(run.flat).copy()
            for a in (h0, c0)
        )
        groups = groups_of(run.drop, run.state)
        sums = self.conv_forward(run.x, run.kernel, run.windows, groups, bias)
        run.gates = sums.reshape(run.steps, rows, 4 * units)
        run.valid = [None] * run.steps if run.held is None else list(~run.held[..., 0])
        run.h, run.second = (xp.empty(every, run.dtype) if run.keep else [None] * run.steps for _ in range(2))
        y = xp.empty(every, run.dtype) if run.return_sequences else [None] * run.steps
        for t in range(run.steps):
            products = self._of_state(run, h, run.recurrent) if t or run.started else None
            arrays = (run.gates[t], None, run.valid[t], None, None, h, c, y[t], run.h[t], run.second[t])
            recurrent_step.forward("LSTM", arrays, products, h, run.sequence, 0)
        return y, h, c

    def _conv_lstm_back(self, run, dy, dh, dc, want_first):
        if run.sequence is None:
            return super()._conv_lstm_back(run, dy, dh, dc, want_first)
        xp, (rows, units) = self.xp, run.flat
        dy = [None] * run.steps if dy is None else xp.ascontiguousarray(dy).reshape(run.steps, rows, units)
        dz = xp.empty((run.steps, rows, 4 * units), run.dtype)
        through, arrays = None, None
        for t in reversed(range(run.steps)):
            arrays = (
                run.gates[t], run.h[t], run.second[t], run.valid[t], None, None, dy[t], dh, dc, dz[t], None,
            )
            recurrent_step.backward("LSTM", arrays, through, dz[t], run.sequence, 0)
            if t or want_first:
                through = self._state_gradient_of(run, dz[t])
        if want_first:
            recurrent_step.backward("LSTM", arrays, through, dz[0], run.sequence, -1)
        return dz, dh, dc
