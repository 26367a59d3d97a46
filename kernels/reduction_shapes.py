"""How reductions are laid out: plain numbers, chosen without a GPU."""

from __future__ import annotations

import math
from typing import NamedTuple

WARP = 32
THREADS = 256  # of a block
WIDE = 512  # threads of a block for the longest rows that registers hold
PACK = 4  # elements that are loaded at once, where sizes and addresses allow it
HELD = {PACK: 4, 1: 8}  # packs of a row that one thread holds in registers
MOST = 1 << 30  # rows or columns: kernels count them in 32 bits
FEW_ROWS = 1024  # up to here one block does all for its columns
WAVES = 4  # blocks for each multiprocessor, where work is cut into as many parts as are useful
TIRED = 16  # rows that a thread should have at least


def pack(columns: int, *arrays) -> int:
    """Return how many neighbouring elements threads load at once: what sizes and addresses allow."""
    if columns % PACK:
        return 1
    return PACK if all(a.data.ptr % (PACK * a.itemsize) == 0 for a in arrays if a is not None) else 1


class Rows(NamedTuple):
    """Rows, each treated by a group of threads.

    Attributes
    ----------
    held : int
        Packs that a thread holds in registers; 0: rows are read as often as they are needed.
    group, threads : int
        Threads of a row and of a block.
    blocks : int
    """

    held: int
    group: int
    threads: int
    blocks: int


def rows(count: int, columns: int, pack: int, most_group: int = WIDE) -> Rows:
    """Return how rows are treated whole: two packs a thread, then as many as registers hold."""
    group = 1
    while group < WARP and columns > 2 * pack * group:
        group *= 2
    most = HELD[pack] * pack
    while group < WIDE and columns > most * group:
        group *= 2
    held = HELD[pack] if columns <= most * group else 0
    group = min(group, most_group)
    threads = max(THREADS, group)
    return Rows(held, group, threads, -(-count // (threads // group)))


class Parts(NamedTuple):
    """Rows that are reduced in parts.

    Attributes
    ----------
    part : int
        Columns of a part.
    grid : tuple of int
        Blocks for the rows, and parts of a row.
    group : int
        Threads of a row.
    """

    part: int
    grid: tuple[int, int]
    group: int


def parts_of_rows(count: int, columns: int, pack: int, processors: int) -> Parts:
    """Return how rows are reduced: long ones in parts, where there are few."""
    group = 1
    while group < THREADS and columns > 8 * pack * group:
        group *= 2
    if group > WARP:
        group = THREADS
    blocks = -(-count // (THREADS // group))
    most = WAVES * processors // max(blocks, 1)
    splits = min(most, columns // (8 * pack * THREADS), 65535)
    if splits < 2:
        return Parts(columns, (blocks, 1), group)
    part = -(-columns // (splits * pack)) * pack
    return Parts(part, (blocks, -(-columns // part)), group)


class Columns(NamedTuple):
    """Columns, each treated by threads that share the rows.

    Attributes
    ----------
    block : tuple of int
        Threads along the columns, threads along the rows.
    tiles, splits : int
        Blocks along the columns and along the rows.
    """

    block: tuple[int, int]
    tiles: int
    splits: int

    @property
    def grid(self) -> tuple[int, int]:
        return self.splits, self.tiles


def columns(rows: int, columns: int, pack: int, processors: int, splits: int | None = None) -> Columns:
    """Return tiles of columns, as narrow as one line of memory if there are few rows.

    ``splits`` fixes the number of blocks along the rows.
    """
    packs = columns // pack
    most = THREADS if rows > FEW_ROWS else WARP // pack
    tiles = -(-packs // most)
    across = -(-packs // tiles)
    tiles = -(-packs // across)  # rounding may have made the last one empty
    down = min(THREADS // across, max(rows, 1))
    if splits is None:
        useful = -(-rows // (down * TIRED))
        splits = max(1, min(useful, WAVES * processors // tiles))
    return Columns((across, down), tiles, splits)


def fits(rows: int, columns: int) -> bool:
    """Tell whether kernels can count these rows and columns."""
    return 0 < rows < MOST and 0 < columns < MOST and columns <= 65535 * WARP


def runs(shape: tuple[int, ...], axes: tuple[int, ...]) -> tuple[int, int, int] | None:
    """Return the elements before, in and after the run of ``axes`` in ``shape``.

    Axes of one element belong to no run; ``None``: there are several runs, or nothing is to be reduced.
    """
    reduced = [i for i in axes if shape[i] != 1]
    if not reduced:
        return None
    start, stop = reduced[0], reduced[-1] + 1
    if any(shape[i] != 1 for i in range(start, stop) if i not in axes):
        return None
    return math.prod(shape[:start]), math.prod(shape[start:stop]), math.prod(shape[stop:])
