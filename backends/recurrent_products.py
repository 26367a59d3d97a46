"""Products of recurrent layers: the same weights meet every step, so they are laid out for it once."""

from __future__ import annotations

from . import blas

PACKED = 10**6  # OpenBLAS multiplies up to this many rows * inner * columns without copying the operands
ROWS = (32, 16, 8)  # rows of a piece that multiplies fast
WIDEST = 64  # columns of a panel
IN_PLACE = ("skylakex", "cooperlake", "sapphirerapids")  # where it does: kernels for AVX-512
FEW = 16  # with fewer rows in a step, many steps are multiplied as one


def tile(inner: int, units: int) -> tuple[int | None, int]:
    """Return (rows of a piece, columns of a panel) that a CPU multiplies fastest; rows ``None``: all.

    Products of up to ``PACKED`` multiplications go to kernels that read the operands where they are, and
    reach 105 to 114 GFLOP/s where a whole step, its weights copied anew each time, reaches 70 to 95. A BLAS
    without such kernels multiplies small pieces more slowly.
    """
    if blas.current().core not in IN_PLACE:
        return None, units
    widths = [w for w in range(min(units, 100), 0, -1) if units % w == 0 and (w >= 16 or w == units)]
    for width in sorted(widths, key=lambda w: (w % 16 != 0, w > WIDEST)):  # full vectors, narrow panels
        for rows in ROWS:
            if rows * inner * width <= PACKED:
                return rows, width
    return None, units


def lay_out(backend, weights, order=(0,), scales=(1.0,), width=None, bias=None, single=False):
    """Copy the weights of the gates into panels (G, P, K, U / P) of neighbouring columns.

    Parameters
    ----------
    weights : array, shape (K, G * U)
    order : sequence of int
        Which gate of ``weights`` comes where.
    scales : sequence of float
        Factor of each gate, in the new order.
    width : int, optional
        Columns of a panel; default: all of a gate.
    bias : array, shape (G * U,), optional
        One more row, for inputs that end in a one.
    single : bool
        Keep the memory order of ``weights``: best for products with one row.
    """
    xp, inner, gates = backend.xp, len(weights), len(order)
    units = weights.shape[1] // gates
    rows = inner + (bias is not None)
    if single:
        panels = backend.empty((rows, gates, 1, units), weights.dtype).transpose(1, 2, 0, 3)
    else:
        width = width or max(1, units)
        panels = backend.empty((gates, units // width, rows, width), weights.dtype)
    width = panels.shape[-1]
    source = weights.reshape(inner, gates, -1, width).transpose(1, 2, 0, 3)
    for target, gate, scale in zip(panels, order, scales):
        xp.multiply(source[gate], scale, out=target[:, :inner])
        if bias is not None:
            xp.multiply(bias.reshape(gates, -1, width)[gate], scale, out=target[:, inner])
    return panels


class Product:
    """Products of rows with the weights of one or more gates, all pieces in one call.

    Parameters
    ----------
    xp : module
    panels : array, shape (G, P, K, U / P)
        From ``lay_out``.
    rows : int or None
        Rows of a piece, ``None``: all.
    """

    def __init__(self, xp, panels, rows: int | None = None):
        self.xp = xp
        self.panels = panels
        self.rows = rows

    def __call__(self, source, out) -> None:
        """Write the products of ``source`` (T, N, K), or (G, T, N, K), into ``out`` (G, T, N, U)."""
        for piece in self._pieces(out.shape[2]):
            self.xp.matmul(self._source(source, *piece), self.panels, out=self._target(out, *piece))

    def into(self, out, drop=None, per_gate=False):
        """Return ``f(source)`` that writes the product of one step (N, K) into ``out`` (G, N, U).

        ``drop`` holds factors for ``source``: (N, K), or (G, N, K) for each gate its own. With ``per_gate``
        the source itself is (G, N, K).
        """
        xp = self.xp
        if drop is None:
            return self._into(out, per_gate)
        run, kept = self._into(out, drop.ndim == 3), xp.empty_like(drop)
        return lambda source: run(xp.multiply(source, drop, kept))

    def _into(self, out, per_gate: bool):
        matmul, panels = self.xp.matmul, self.panels
        batch, inner = out.shape[1], panels.shape[2]
        matrix = panels.transpose(2, 0, 1, 3)
        if batch == 1 and not per_gate and matrix.flags.c_contiguous:
            matrix, line = matrix.reshape(inner, -1), out.reshape(1, -1)  # ``dot`` starts quickest
            return lambda source: source.dot(matrix, line)
        pieces = self._pieces(batch)
        targets = [self._target(out[:, None], *piece)[0] for piece in pieces]
        if len(pieces) > 1 or per_gate:
            return lambda source: self._run(source[..., None, :, :], pieces, targets)
        target, rows = targets[0], pieces[0][2]
        count = batch // rows
        if count == 1:
            target = target[0]
            return lambda source: matmul(source, panels, target)
        shape = (count, 1, 1, rows, inner)
        return lambda source: matmul(source.reshape(shape), panels, target)

    def _run(self, source, pieces, targets) -> None:
        for piece, target in zip(pieces, targets):
            self.xp.matmul(self._source(source, *piece), self.panels, out=target[None])

    def _pieces(self, batch: int) -> list[tuple[int, int, int]]:
        """Cut ``batch`` rows evenly: (start, stop, rows of a piece), the remainder on its own."""
        count = -(-batch // self.rows) if self.rows else 1
        rows = max(1, -(-batch // max(1, count)))
        whole = batch - batch % rows
        pieces = [(0, whole, rows), (whole, batch, batch - whole)]
        return pieces if whole < batch else pieces[:1]

    def _source(self, source, start, stop, rows):
        """Return a view (T, pieces, 1 or G, 1, rows, K)."""
        if source.ndim == 3:
            source = source[None]
        gates, steps, _, inner = source.shape
        pieces = source[:, :, start:stop].reshape(gates, steps, (stop - start) // rows, 1, rows, inner)
        return pieces.transpose(1, 2, 0, 3, 4, 5)

    def _target(self, out, start, stop, rows):
        """Return a view (T, pieces, G, P, rows, U / P)."""
        _, panels, _, width = self.panels.shape
        gates, steps = out.shape[:2]
        pieces = out[:, :, start:stop].reshape(gates, steps, (stop - start) // rows, rows, panels, width)
        return pieces.transpose(1, 2, 0, 4, 3, 5)


