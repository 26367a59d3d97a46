"""Which tile a matrix product of convolution is cut into, and over how many parts its sums are split.

A plain estimate in cycles of a multiprocessor, the same for all kernels; ``test_convolution.py`` holds what it
answers for usual layers.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

LANES = 128  # products and sums of a multiprocessor in a cycle
BYTES = 16  # that one multiprocessor's share of the memory brings in a cycle
LAUNCH = 5000  # cycles for a kernel more
WARPS = 8  # that keep a multiprocessor busy
LEAST_DEPTH = 64  # of a part
MOST_SUMS = 1 << 28  # bytes of the sums of all parts
PARTS = (1, *(k * n for n in (2, 4, 8, 16, 32, 64, 128, 256) for k in (1, 1.5)), 512)


class Tile(NamedTuple):
    """A part of the result that one block computes."""

    rows: int
    columns: int
    down: int  # rows of a thread
    across: int  # columns of a thread
    blocks: int  # that fit on a multiprocessor
    speed: float  # share of the peak that its inner loop reaches

    @property
    def threads(self) -> int:
        return self.rows // self.down * (self.columns // self.across)


# For channels that come in fours, largest first. Shared memory is read (down + across) / (down * across) times for
# every product: larger tiles of a thread wait less for it.
TILES = (
    Tile(128, 128, 8, 8, 2, 1.0), Tile(128, 64, 8, 8, 4, 0.97), Tile(64, 64, 8, 4, 6, 0.8),
    Tile(32, 32, 4, 4, 12, 0.55),
)
HALF_TILES = TILES[2:]
# For any number of channels, by columns.
THIN_TILES = (
    Tile(128, 64, 8, 8, 4, 0.7), Tile(128, 32, 8, 4, 6, 0.6), Tile(128, 16, 4, 4, 8, 0.45), Tile(128, 4, 1, 4, 12, 0.2),
)
# Of the kernel's gradient, for any number of channels.
FIRST_TILES = (Tile(32, 64, 4, 4, 8, 0.5), Tile(64, 16, 4, 2, 8, 0.4))


class Plan(NamedTuple):
    """A tile and a number of parts."""

    tile: Tile
    parts: int

    def grid(self, rows: int, columns: int, copies: int) -> tuple[int, int, int]:
        """Return the grid: tiles of one row of tiles follow each other, as they read the same source."""
        return (-(-rows // self.tile.rows) * -(-columns // self.tile.columns), 1, copies * self.parts)


@functools.lru_cache(maxsize=4096)
def plan(
    rows: int, columns: int, depth: int, copies: int, processors: int, tiles: tuple[Tile, ...] = TILES
) -> Plan:
    """Return the tile and the number of parts that are expected to take least time.

    Parameters
    ----------
    rows, columns : int
        Of one product.
    depth : int
        Terms of every sum.
    copies : int
        Products that run at once: groups, and phases of a data gradient.
    processors : int
        Multiprocessors of the device.
    tiles : tuple of Tile
    """
    found = [
        (cycles(tile, parts, rows, columns, depth, copies, processors), parts, i)
        for i, tile in enumerate(tiles) for parts in _parts(rows, columns, depth, copies)
    ]
    _, parts, i = min(found)
    return Plan(tiles[i], parts)


def narrowest(columns: int, tiles: tuple[Tile, ...]) -> Tile:
    """Return the narrowest tile that has room for ``columns``, else the widest."""
    return min((t for t in tiles if t.columns >= columns), key=lambda t: t.columns, default=tiles[0])


def _parts(rows: int, columns: int, depth: int, copies: int) -> Iterator[int]:
    for parts in map(int, PARTS):
        bytes_of_sums = 4 * parts * rows * columns * copies
        if parts == 1 or (parts * LEAST_DEPTH <= depth and bytes_of_sums <= MOST_SUMS and copies * parts < 1 << 16):
            yield parts


def cycles(
    tile: Tile, parts: int, rows: int, columns: int, depth: int, copies: int, processors: int
) -> float:
    """Estimate how long a product takes: rounds of blocks, and adding the parts."""
    blocks = -(-rows // tile.rows) * -(-columns // tile.columns) * copies * parts
    rounds = -(-blocks // processors)  # blocks of the busiest multiprocessor
    busy = min(1.0, min(rounds, tile.blocks) * tile.threads / 32 / WARPS)
    each = tile.rows * tile.columns * -(-depth // parts) / LANES / tile.speed
    adding = 0.0
    if parts > 1:
        adding = LAUNCH + 4 * (2 * parts + 1) * rows * columns * copies / (BYTES * processors)
    return rounds * each / busy + adding
