"""What the recurrent families share: inputs, states, blocks of steps, and the gradients of the inputs."""

from __future__ import annotations

from types import SimpleNamespace

from .device import Device
from .recurrent_products import FEW, Product, lay_out


class RecurrentBase(Device):
    """Generic version on ``xp``."""

    # ---- forward ---------------------------------------------------------------------------------
    def _start_run(
        self, x, h0, kernel, recurrent, bias, *, mask, drop, recurrent_drop, go_backwards, return_sequences,
        zero_output_for_mask, keep,
    ):
        """Return what a run of all steps knows; what its backward pass needs stays there."""
        run = SimpleNamespace(
            kernel=kernel, recurrent=recurrent, drop=drop, recurrent_drop=recurrent_drop, keep=keep,
            go_backwards=go_backwards, return_sequences=return_sequences, started=h0 is not None,
            steps=x.shape[1], batch=x.shape[0], units=recurrent.shape[0], dtype=x.dtype, held=None,
            blank=None, hold=[None] * x.shape[1], ahead=None, followed=False,
        )
        run.x = self._run_input(run, x, drop, bias is not None)
        if mask is not None and run.steps:
            run.held = self._time_major(~mask, go_backwards)[..., None]  # (T, N, 1)
            run.hold = self._masked_steps(run.held)
            if zero_output_for_mask:
                run.blank = run.held
            elif run.started:
                run.blank = self._before_first(run.held)
        return run

    def _run_input(self, run, x, drop, with_one: bool):
        """Return (T, N, D + 1) in the order of the steps, after dropout, with a one that meets the bias.

        With one dropout mask per gate there is one such array per gate: (G, T, N, D + 1).
        """
        size = x.shape[-1]
        gates = drop.shape[:1] if drop is not None and drop.ndim == 3 else ()
        found = self.empty((*gates, run.steps, run.batch, size + with_one), x.dtype)
        source = self._time_major(x, run.go_backwards)
        if drop is None:
            self.xp.copyto(found[..., :size], source)
        else:
            self.xp.multiply(source, drop[..., None, :, :] if gates else drop, out=found[..., :size])
        if with_one:
            found[..., size] = 1
        return found

    def _gate_product(self, weights, batch, order=(0,), scales=(1.0,), bias=None, per_gate=False) -> Product:
        """Return the product of steps of ``batch`` rows with the weights of ``order`` gates."""
        inner = len(weights) + (bias is not None)
        rows, width = self._recurrent_tile(inner, weights.shape[1] // len(order))
        single = batch == 1 and not per_gate
        return Product(self.xp, lay_out(self, weights, order, scales, width, bias, single), rows)

    def _gate_steps(self, run, gates: int, steps: int, batch: int):
        """Return (G, T, N, U) for the gates of some steps; those of one step are neighbours in memory."""
        if 1 < batch < FEW:  # except where ``_project`` joins the rows of many steps
            return self.empty((gates, steps, batch, run.units), run.dtype)
        return self.empty((steps, gates, batch, run.units), run.dtype).swapaxes(0, 1)

    def _walk(self, run, project, x, gates: int, slabs: int, rows):
        """Yield (start, stop, gates of these steps) for all blocks of the samples ``rows``.

        Of the gates (``slabs``, T, N, U), the first ``gates`` hold the products of the inputs ``x``.
        """
        batch = rows.stop - rows.start
        blocks = self._recurrent_blocks(run.steps, batch * run.units)
        store = run.gates
        if store is None and blocks:
            store = self._gate_steps(run, slabs, blocks[0][1], batch)
        for number, (start, stop) in enumerate(blocks):
            block = store[:, :stop - start] if run.gates is None else store[:, start:stop, rows]
            if run.ahead is None:
                self._project(project, x[..., start:stop, rows, :], block[:gates])
            else:
                run.ahead.need(number)
            yield start, stop, block

    def _project(self, product, x, out) -> None:
        """Write the products of all steps in ``x`` (T, N, K) or (G, T, N, K) into ``out`` (G, T, N, U)."""
        if x.shape[-2] < FEW:
            x = x.reshape(*x.shape[:-3], 1, x.shape[-3] * x.shape[-2], x.shape[-1])
            out = out.reshape(len(out), 1, -1, out.shape[-1])
        product(x, out)

    def _state_steps(self, run, first, kept: bool):
        """Return states (T + 1, N, U), the first one set; unless ``kept``, two take turns: (2, N, U)."""
        states = self.empty((run.steps + 1 if kept else 2, run.batch, run.units), run.dtype)
        states[0] = 0 if first is None else first
        return states

    @staticmethod
    def _views(states, steps: int, rows) -> list:
        """Return views [state before step 0, ..., state after the last step] of some samples."""
        views = list(states[:, rows])
        return views if len(views) > 2 else [views[t % 2] for t in range(steps + 1)]

    @staticmethod
    def _of_samples(array, rows):
        """Return the samples ``rows`` of an array whose last axes are (N, ...), ``None`` of ``None``."""
        return None if array is None else array[..., rows, :]

    def _run_output(self, run, states):
        """Return the sequence (N, T, U), a view of the states, or the last output (N, U); the last state."""
        xp = self.xp
        last = states[run.steps if len(states) > 2 else run.steps % 2]
        if not run.return_sequences:
            last = last.copy() if run.keep else last
            return last if run.blank is None else xp.where(run.blank[-1], xp.zeros_like(last), last), last
        y = states[1:run.steps + 1]
        if run.blank is not None:
            y = xp.where(run.blank, xp.zeros_like(y), y)
        return y.swapaxes(0, 1), last

    # ---- backward --------------------------------------------------------------------------------
    def _output_gradient(self, run, dy, dh):
        """Return time-major gradient of the sequence or None, and a new array, gradient of the last state."""
        xp = self.xp
        if dy is not None and run.blank is not None:
            blank = run.blank.swapaxes(0, 1) if run.return_sequences else run.blank[-1]
            dy = xp.where(blank, xp.zeros_like(dy), dy)
        if dy is not None and not run.return_sequences:
            dy, dh = None, dy.copy() if dh is None else dy + dh
        else:
            dy, dh = None if dy is None else dy.swapaxes(0, 1), self._state_gradient(run, dh)
        return dy, dh

    def _state_gradient(self, run, dh):
        return self.xp.zeros((run.batch, run.units), run.dtype) if dh is None else dh.copy()

    def _state_back(self, weights, gates: int, out, drop=None):
        """Return ``f(dz)`` that writes d loss / d state of a step into ``out`` (N, U) from dz (N, G * U)."""
        xp, batch = self.xp, len(out)
        if drop is None or drop.ndim == 2:
            run = self._gate_product(weights.T, batch).into(out[None])
            if drop is None:
                return run

            def one_mask(dz):
                run(dz)
                xp.multiply(out, drop, out=out)

            return one_mask
        inner = weights.shape[1] // gates
        each = xp.empty((gates, *out.shape), dtype=out.dtype)
        turned = weights.reshape(-1, gates, inner).transpose(2, 1, 0).reshape(inner, -1)
        product = self._gate_product(turned, batch, range(gates), [1.0] * gates, per_gate=True)
        of_gates = product.into(each, per_gate=True)

        def mask_per_gate(dz):
            of_gates(dz.reshape(batch, gates, inner).swapaxes(0, 1))
            xp.multiply(each, drop, out=each)
            xp.sum(each, axis=0, out=out)

        return mask_per_gate

    def _gather(self, run, gates: int, walk, takers) -> None:
        """Call each of ``takers`` with (chunk, samples, dz) of every chunk that ``walk(samples)`` yields."""

        def part(rows):
            for chunk, dz in walk(rows):
                for take in takers:
                    take(chunk, rows, dz)

        self._side_by_side(part, run, gates)

    def _walk_back(self, run, batch: int, gates: int, factors: int):
        """Walk back through the steps of ``batch`` samples, yielding what a block of them needs.

        The gradients of gate sums are gathered for a chunk of several blocks, which the weights then meet at
        once. Yields (block, dz of its steps, a store of ``factors`` arrays (T, N, U), None), and after the
        last block of a chunk (None, None, None, (chunk, dz of the chunk)).
        """
        chunks = self._recurrent_chunks(run.steps, batch)
        if not chunks:
            return
        longest = max(last - first for first, last in chunks)
        kept = run.steps if run.followed else longest
        dz = self.empty((kept, batch, gates * run.units), run.dtype)
        length = max(stop - start for start, stop in self._recurrent_blocks(longest, batch * run.units))
        store = self.empty((factors, length, batch, run.units), run.dtype)
        for first, last in reversed(chunks):
            found = dz[first:last] if run.followed else dz[:last - first]
            for start, stop in reversed(self._recurrent_blocks(last - first, batch * run.units)):
                block = slice(first + start, first + stop)
                yield block, found[start:stop], store[:, :stop - start], None
            yield None, None, None, (slice(first, last), found)

    # ---- what a device does its own way ----------------------------------------------------------
    def _recurrent_tile(self, inner: int, units: int):
        """Return (rows of a piece or None, columns of a panel) for ``Product``."""
        return None, units

    def _recurrent_blocks(self, steps: int, size: int) -> list:
        """Return ranges of steps that are prepared at once, for states of ``size`` elements."""
        return [(0, steps)] if steps else []

    def _recurrent_chunks(self, steps: int, batch: int) -> list:
        """Return ranges of steps whose gradients meet the weights at once."""
        return [(0, steps)] if steps else []

    def _before_first(self, held):
        """Tell at which steps no valid step has been seen: the output there is zero, whatever the state."""
        return self.xp.cumsum(~held, axis=0) == 0

    def _masked_steps(self, held) -> list:
        """Return for every step its (N, 1) truth values, ``None`` where surely no sample is masked."""
        return list(held)  # looking at the values would wait for the device

    def _run_ahead(self, run, project, x, gates: int, slabs: int) -> None:
        """Prepare ``run`` for products of the inputs that run beside the steps, where that is worth it."""

    def _side_by_side(self, function, run, gates: int) -> None:
        """Call ``function(samples)`` for all samples: slices of them may run side by side."""
        function(slice(0, run.batch))

    @staticmethod
    def _time_major(a, backwards: bool):
        """Return a view of (N, T, ...) as (T, N, ...) in the order in which the steps run."""
        a = a.swapaxes(0, 1)
        return a[::-1] if backwards else a

