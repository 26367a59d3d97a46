"""Gradients of inputs and weights of recurrent layers, gathered a chunk of steps at a time."""

from __future__ import annotations

from typing import Any

from .recurrent_products import FEW, Product


class WeightGradient:
    """The sum over all steps of (what met the weights) transposed times (gradient of the gate sums).

    Parts of the samples, which may run side by side, have sums of their own until the end.

    Parameters
    ----------
    backend : Backend
    shape : tuple of int
        Of the weights: (K, G * U).
    dtype : dtype
    """

    def __init__(self, backend, shape, dtype):
        self.backend = backend
        self.shape, self.dtype = shape, dtype
        self.sums: dict = {}  # first sample of a part -> (sum, place for the next summand)

    def add(self, rows: slice, source, dz, drop=None) -> None:
        """Add a chunk: ``source`` (T, N, K), or (G, T, N, K) for each gate its own, and ``dz`` (T, N, G * U).

        ``drop`` holds factors for the source, (N, K) or (G, N, K).
        """
        if drop is not None:
            source = source * (drop[:, None] if drop.ndim == 3 else drop)
        xp = self.backend.xp
        if rows.start not in self.sums:
            self.sums[rows.start] = [self._empty(), None]
            self._multiply(source, dz, self.sums[rows.start][0])
            return
        pair = self.sums[rows.start]
        if pair[1] is None:
            pair[1] = self._empty()
        total, summand = pair
        self._multiply(source, dz, summand)
        xp.add(total, summand, out=total)

    def of_states(self, states, drop=None, columns=slice(None)):
        """Return ``f(chunk, samples, dz)`` that adds a chunk of ``states`` (T, N, K), columns of ``dz``."""
        some = self.backend._of_samples

        def take(chunk, rows, dz):
            self.add(rows, states[..., chunk, rows, :], dz[..., columns], some(drop, rows))

        return take

    def total(self):
        """Return the gradient (K, G * U)."""
        if not self.sums:
            return self.backend.xp.zeros(self.shape, dtype=self.dtype)
        first, *rest = (self.sums[start][0] for start in sorted(self.sums))
        for other in rest:
            first += other
        return first

    def _empty(self):
        return self.backend.empty(self.shape, self.dtype)

    def _multiply(self, source, dz, out) -> None:
        if source.ndim == 3:
            self._product(source, dz, out)
            return
        width = dz.shape[-1] // len(source)
        for gate, part in enumerate(source):
            columns = slice(gate * width, (gate + 1) * width)
            self._product(part, dz[..., columns], out[:, columns])

    def _product(self, source, dz, out) -> None:
        source = source.reshape(-1, source.shape[-1])
        inner, width = dz.shape[0] * dz.shape[1], dz.shape[-1]
        rows, columns = self.backend._recurrent_tile(inner, width)
        panels = dz.reshape(inner, 1, width // columns, columns).transpose(1, 2, 0, 3)
        Product(self.backend.xp, panels, rows)(source.T[None], out[None, None])


class InputGradients:
    """Gradients of x, the kernel, and the bias that was added to the products of the inputs.

    Parameters
    ----------
    backend : Backend
    run : what the forward pass left
    gates : int
    want_x, want_kernel, want_bias : bool
    """

    def __init__(self, backend, run, gates: int, want_x, want_kernel, want_bias):
        self.backend, self.run = backend, run
        self.size, self.gates = len(run.kernel), gates
        self.want_kernel, self.want_bias = want_kernel, want_bias
        self.weights = self.dx = None
        if want_kernel or want_bias:  # for the bias alone the ones behind the inputs suffice
            self.columns = slice(None if want_kernel else self.size, None)
            rows = run.x.shape[-1] if want_kernel else 1
            self.weights = WeightGradient(backend, (rows, gates * run.units), run.dtype)
        if want_x:
            self._prepare_dx()

    def _prepare_dx(self) -> None:
        backend, run = self.backend, self.run
        if run.batch < FEW:  # time-major: the rows of many steps are joined
            self.out = backend.empty((run.steps, run.batch, self.size), run.dtype)
            self.dx = backend._time_major(self.out.swapaxes(0, 1), run.go_backwards).swapaxes(0, 1)
        else:
            self.dx = backend.empty((run.batch, run.steps, self.size), run.dtype)
            self.out = backend._time_major(self.dx, run.go_backwards)
        self.per_gate = run.drop is not None and run.drop.ndim == 3
        self.product = None if self.per_gate else backend._gate_product(run.kernel.T, run.batch)

    def takers(self, columns=slice(None)) -> list:
        """Return functions of (chunk, samples, dz (T, N, K)) that take ``columns`` of each chunk."""
        found = []
        if self.dx is not None:
            found.append(lambda chunk, rows, dz: self._write_dx(chunk, rows, dz[..., columns]))
        if self.weights is not None:
            found.append(self.weights.of_states(self.run.x[..., self.columns], None, columns))
        return found

    def _write_dx(self, chunk, rows, dz) -> None:
        xp, out = self.backend.xp, self.out[chunk, rows]
        drop = self.backend._of_samples(self.run.drop, rows)
        if not self.per_gate:
            self.backend._project(self.product, dz, out[None])
            if drop is not None:
                xp.multiply(out, drop, out=out)
            return
        units = self.run.units
        out[...] = 0
        for gate, factor in enumerate(drop):
            columns = slice(gate * units, (gate + 1) * units)
            out += xp.matmul(dz[..., columns], self.run.kernel[:, columns].T) * factor

    def result(self) -> tuple:
        """Return the gradients, ``None`` for those not wanted."""
        weights: Any = None if self.weights is None else self.weights.total()
        dkernel = weights[:self.size] if self.want_kernel else None
        return self.dx, dkernel, weights[-1] if self.want_bias else None
