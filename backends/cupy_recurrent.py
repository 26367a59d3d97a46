"""Recurrent layers on a GPU by our own kernels."""

from __future__ import annotations

from collections.abc import Callable

from gpukeras.kernels import recurrent as kernels

from .cupy_recurrent_convolution import CupyConvLstmMixin
from .recurrent import RecurrentMixin


class CupyRecurrentMixin(CupyConvLstmMixin, RecurrentMixin):
    """Kernels for float32; other types, and inputs of no elements, go the generic way.

    Arrays of all steps stay (N, T, ...) here: products of inputs and gradients of weights are one GEMM each,
    and outputs are whole.
    """

    matmul: Callable  # these by the mixins of products and rows
    dense_product: Callable
    dense_gradient: Callable
    dense_kernel_gradient: Callable
    column_sum: Callable

    def lstm_forward(
        self, x, h0, c0, kernel, recurrent, bias, *, activation="tanh", recurrent_activation="sigmoid",
        keep=True, **settings,
    ):
        activations = {"activation": activation, "recurrent_activation": recurrent_activation}
        if not kernels.takes("LSTM", x, len(recurrent)):
            return super().lstm_forward(
                x, h0, c0, kernel, recurrent, bias, keep=keep, **activations, **settings
            )
        c = self._first_state(x, recurrent, c0)
        y, h, run = self._recur("LSTM", x, h0, c, kernel, recurrent, bias, keep, **activations, **settings)
        return y, h, c, run if keep else None

    def lstm_backward(self, run, dy, dh, dc, wants):
        if not hasattr(run, "cell"):
            return super().lstm_backward(run, dy, dh, dc, wants)
        dc = self._state_gradient(run, dc)
        dx, dh, dkernel, drecurrent, dbias = self._recur_back(run, dy, dh, dc, [*wants[:2], *wants[3:]])
        return dx, dh, dc, dkernel, drecurrent, dbias

    def gru_forward(
        self, x, h0, kernel, recurrent, bias, *, activation="tanh", recurrent_activation="sigmoid",
        reset_after=True, keep=True, **settings,
    ):
        activations = {"activation": activation, "recurrent_activation": recurrent_activation}
        cell = "GRU" if reset_after else "GRU_BEFORE"
        if not kernels.takes(cell, x, len(recurrent)):
            return super().gru_forward(
                x, h0, kernel, recurrent, bias, reset_after=reset_after, keep=keep, **activations, **settings
            )
        y, h, run = self._recur(cell, x, h0, None, kernel, recurrent, bias, keep, **activations, **settings)
        return y, h, run if keep else None

    def gru_backward(self, run, dy, dh, wants):
        if not hasattr(run, "cell"):
            return super().gru_backward(run, dy, dh, wants)
        return self._recur_back(run, dy, dh, None, wants)

    def simple_rnn_forward(
        self, x, h0, kernel, recurrent, bias, *, activation="tanh", keep=True, **settings,
    ):
        if not kernels.takes("SIMPLE_RNN", x, len(recurrent)):
            return super().simple_rnn_forward(
                x, h0, kernel, recurrent, bias, activation=activation, keep=keep, **settings
            )
        y, h, run = self._recur(
            "SIMPLE_RNN", x, h0, None, kernel, recurrent, bias, keep, activation=activation,
            recurrent_activation=activation, **settings,
        )
        return y, h, run if keep else None

    def simple_rnn_backward(self, run, dy, dh, wants):
        if not hasattr(run, "cell"):
            return super().simple_rnn_backward(run, dy, dh, wants)
        return self._recur_back(run, dy, dh, None, wants)

    # ---- forward ---------------------------------------------------------------------------------
    def _recur(
        self, cell, x, h0, c, kernel, recurrent, bias, keep, *, mask, drop, recurrent_drop, go_backwards,
        return_sequences, zero_output_for_mask, activation, recurrent_activation,
    ):
        """Return output, last h and the run; ``c`` becomes the last one."""
        xp = self.xp
        batch, steps, _ = x.shape
        blank = None
        if mask is not None:
            mask = mask[:, ::-1] if go_backwards else mask
            if zero_output_for_mask:
                blank = ~mask
            elif h0 is not None:  # before the first valid step the output is zero, whatever the state
                blank = xp.cumsum(mask, axis=1) == 0
        run = kernels.start(
            cell, batch=batch, steps=steps, units=len(recurrent), recurrent=recurrent, bias=bias, mask=mask,
            blank=blank, drop=_mask_of_one(recurrent_drop), started=h0 is not None, go_backwards=go_backwards,
            activation=activation, recurrent_activation=recurrent_activation,
        )
        run.return_sequences, run.dtype, run.kernel = return_sequences, x.dtype, kernel
        run.input_drop = _mask_of_one(drop)
        run.x = self._dropped(xp.ascontiguousarray(x), run.input_drop)
        h = self._first_state(x, recurrent, h0)
        y = kernels.forward(run, self._of_inputs(run), h, c, self.dense_product, keep, return_sequences)
        if not return_sequences:
            y = h if blank is None else xp.where(blank[:, -1:], xp.zeros_like(h), h)
        return y, h, run

    def _first_state(self, x, recurrent, state):
        """Return a new array (N, U)."""
        return self.xp.zeros((len(x), len(recurrent)), dtype=x.dtype) if state is None else state.copy()

    @staticmethod
    def _dropped(x, drop):
        """Return ``x`` (N, T, K) after dropout; for each gate (G, N, T, K) where each has a mask."""
        return x if drop is None else x * drop[..., None, :]

    def _of_inputs(self, run):
        """Return products of all inputs (N, T, G * U)."""
        shape = (run.batch, run.steps, -1)
        if run.x.ndim == 3:
            return self.dense_product(run.x.reshape(-1, len(run.kernel)), run.kernel).reshape(shape)
        gates = len(run.x)
        found = self.matmul(run.x.reshape(gates, -1, len(run.kernel)), _by_gate(run.kernel, gates))
        return self.xp.ascontiguousarray(found.swapaxes(0, 1)).reshape(shape)

    # ---- backward --------------------------------------------------------------------------------
    def _recur_back(self, run, dy, dh, dc, wants):
        """Return gradients of x, h0, kernel, recurrent kernel, bias; ``dc`` becomes that of the first c."""
        xp = self.xp
        want_x, want_h, want_kernel, want_recurrent, want_bias = wants
        if dy is not None and not run.return_sequences:
            if run.blank is not None:
                dy = xp.where(run.blank[:, -1:], xp.zeros_like(dy), dy)
            dy, dh = None, xp.ascontiguousarray(dy.copy() if dh is None else dy + dh)
        else:
            dh = self._state_gradient(run, dh)
        want_inner = want_recurrent or want_bias
        dsums, dinner = kernels.backward(run, dy, dh, dc, self.dense_gradient, want_h, want_inner)
        flat = dsums.reshape(-1, dsums.shape[-1])
        of_state = flat if dinner is None else dinner.reshape(flat.shape)
        dx = self._dx(run, flat) if want_x else None
        dkernel = self._dweights(run.x, flat) if want_kernel else None
        drecurrent = self._drecurrent(run, of_state) if want_recurrent else None
        dbias = None
        if want_bias:
            dbias = self.column_sum(flat)
            if run.cell == "GRU":
                dbias = xp.stack([dbias, self.column_sum(of_state)])
        return dx, dh, dkernel, drecurrent, dbias

    def _dx(self, run, dsums):
        shape = (run.batch, run.steps, len(run.kernel))
        if run.x.ndim == 3:
            return self._dropped(self.dense_gradient(dsums, run.kernel).reshape(shape), run.input_drop)
        gates = len(run.x)
        kernel = _by_gate(run.kernel, gates).swapaxes(1, 2)
        found = self.matmul(dsums.reshape(len(dsums), gates, -1).swapaxes(0, 1), kernel)
        return (found.reshape(gates, *shape) * run.input_drop[:, :, None, :]).sum(axis=0)

    def _dweights(self, source, dsums):
        """Return the gradient (K, G * U) of weights that met ``source``, for each gate its own or for all."""
        inner = source.shape[-1]
        if source.ndim == 3:
            return self.dense_kernel_gradient(source.reshape(-1, inner), dsums)
        gates = len(source)
        slopes = dsums.reshape(len(dsums), gates, -1).swapaxes(0, 1)  # (G, N * T, U)
        found = self.matmul(source.reshape(gates, -1, inner).swapaxes(1, 2), slopes)
        return self.xp.ascontiguousarray(found.swapaxes(0, 1)).reshape(inner, -1)

    def _drecurrent(self, run, dsums):
        if run.cell != "GRU_BEFORE":
            return self._dweights(self._dropped(run.before, run.drop), dsums)
        xp, columns = self.xp, 2 * run.units
        first, second = (run.drop[:2], run.drop[2]) if run.drops > 1 else (run.drop, run.drop)
        of_gates = self._dweights(self._dropped(run.before, first), xp.ascontiguousarray(dsums[:, :columns]))
        of_new = self._dweights(self._dropped(run.second, second), xp.ascontiguousarray(dsums[:, columns:]))
        return xp.concatenate([of_gates, of_new], axis=1)


def _by_gate(weights, gates: int):
    """Return a view (G, K, U) of weights (K, G * U)."""
    return weights.reshape(len(weights), gates, -1).swapaxes(0, 1)


def _mask_of_one(drop):
    """Return a dropout mask without its axis of gates where there is only one."""
    return drop[0] if drop is not None and drop.ndim == 3 and len(drop) == 1 else drop
