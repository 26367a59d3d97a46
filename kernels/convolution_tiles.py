"""Which tile a matrix product of convolution is cut into, and over how many parts its sums are split.

A plain estimate in cycles of a multiprocessor, the same for all kernels. What it answers for usual layers
stands in ``tests/kernels/test_convolution_tiles.py``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

LANES = 128  # products and sums of a multiprocessor in a cycle
BYTES = 16  # that one multiprocessor's share of the memory brings in a cycle
LAUNCH = 5000  # cycles for a kernel more
WARPS = 8  # that keep a multiprocessor busy
LEAST_TERMS = 64  # of a sum of a part
MOST_SUMS = 1 << 28  # bytes of the sums of all parts
PACK = 4  # channels read at once
FEW = 16  # columns for which tiles of ``convolution.cu`` are too wide
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


# For channels that come in fours, largest first. Shared memory is read (down + across) / (down * across)
# times for every product: larger tiles of a thread wait less for it.
TILES = (
    Tile(128, 128, 8, 8, 2, 1.0), Tile(128, 64, 8, 8, 4, 0.97), Tile(64, 64, 8, 4, 6, 0.8),
    Tile(32, 32, 4, 4, 12, 0.55),
)
HALF_TILES = TILES[2:]
# On tensor cores; a warp has 64 x 32 or 32 x 32 of a tile. The speed is that of TF32 beside plain arithmetic.
MMA_TILES = (Tile(128, 128, 8, 8, 2, 4.0), Tile(128, 64, 8, 8, 3, 3.6), Tile(64, 64, 8, 4, 4, 2.8))
# For any number of channels, by columns.
THIN_TILES = (
    Tile(128, 64, 8, 8, 4, 0.7), Tile(128, 32, 8, 4, 6, 0.6), Tile(128, 16, 4, 4, 8, 0.45),
    Tile(128, 4, 1, 4, 12, 0.2),
)
# Of the kernel's gradient, for any number of channels.
FIRST_TILES = (Tile(32, 64, 4, 4, 8, 0.5), Tile(64, 16, 4, 2, 8, 0.4))


class Product(NamedTuple):
    """The product of matrices that one pass of a convolution is.

    Attributes
    ----------
    rows, columns : int
        Of the result, in one group and phase.
    inner : int
        Channels of a group of what is read.
    terms : int
        Of every sum.
    copies : int
        Products that run at once: groups, and phases of a data gradient.
    type : str
        Of the elements, as kernels name it.
    """

    rows: int
    columns: int
    inner: int
    terms: int
    copies: int
    type: str

    @property
    def packed(self) -> bool:
        """Whether it is one for tiles of ``convolution.cu``."""
        return self.inner % PACK == self.columns % PACK == 0 and self.inner > PACK and self.columns > FEW


class Plan(NamedTuple):
    """A tile and a number of parts."""

    tile: Tile
    parts: int

    def grid(self, product: Product) -> tuple[int, int, int]:
        """Return the grid: tiles of one row of tiles follow each other, as they read the same source."""
        tiles = -(-product.rows // self.tile.rows) * -(-product.columns // self.tile.columns)
        return tiles, 1, product.copies * self.parts


@functools.lru_cache(maxsize=4096)
def plan(product: Product, processors: int, tiles: tuple[Tile, ...]) -> Plan:
    """Return the tile and the number of parts that are expected to take least time."""
    plans = [Plan(tile, parts) for parts in _parts(product) for tile in tiles]
    return min(plans, key=lambda found: cycles(found, product, processors))


def narrowest(columns: int, tiles: tuple[Tile, ...]) -> Tile:
    """Return the narrowest tile that has room for ``columns``, else the widest."""
    return min((t for t in tiles if t.columns >= columns), key=lambda t: t.columns, default=tiles[0])


def _parts(product: Product) -> Iterator[int]:
    numbers = 4 * product.rows * product.columns * product.copies  # bytes of the sums of one part
    for parts in map(int, PARTS):
        deep = parts * LEAST_TERMS <= product.terms
        if parts == 1 or (deep and parts * numbers <= MOST_SUMS and parts * product.copies < 1 << 16):
            yield parts


def cycles(plan: Plan, product: Product, processors: int) -> float:
    """Estimate how long a product takes: rounds of blocks, and adding the parts."""
    tile, parts = plan
    tiles, _, copies = plan.grid(product)
    rounds = max(1, -(-tiles * copies // processors))  # blocks of the busiest multiprocessor
    busy = min(1.0, min(rounds, tile.blocks) * tile.threads / 32 / WARPS)
    each = tile.rows * tile.columns * -(-product.terms // parts) / LANES / tile.speed
    adding = 0.0
    if parts > 1:
        numbers = product.rows * product.columns * product.copies
        adding = LAUNCH + 4 * (2 * parts + 1) * numbers / (BYTES * processors)
    return rounds * each / busy + adding
