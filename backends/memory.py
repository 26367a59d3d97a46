"""Memory of large results, used again once nobody holds them: fresh memory costs a CPU a page fault a page.

An array handed out here is a view of a block that the pool keeps. When the last view of a block is gone, only
the pool refers to it, and the next result of about that size gets it.
"""

from __future__ import annotations

import math
import sys
import threading

import numpy as np

LARGE = 1 << 18  # bytes from which results come from the pool: smaller memory is reused by malloc itself
PATIENCE = 256  # a block not asked for in so many requests is given back
KEPT = 1 << 28  # bytes that may wait for the next fit
ALIGNMENT = 64
_IDLE = 3  # references to a block nobody uses: the list's, the loop variable's, getrefcount's argument


class _Pool(threading.local):
    """The blocks of one thread, by size."""

    def __init__(self):
        self.blocks: dict[int, list[np.ndarray]] = {}
        self.asked: dict[int, int] = {}  # size -> number of the last request
        self.requests = 0


_POOL = _Pool()


def empty(shape, dtype) -> np.ndarray:
    """Return an uninitialised array in C order; a large one in memory that was used before, if possible."""
    dtype = np.dtype(dtype)
    count = math.prod(shape)
    size = count * dtype.itemsize
    if size < LARGE:
        return np.empty(shape, dtype)
    pool = _POOL
    pool.requests += 1
    kind = _size_class(size)
    pool.asked[kind] = pool.requests
    blocks = pool.blocks.setdefault(kind, [])
    for block in blocks:
        if sys.getrefcount(block) <= _IDLE:
            break
    else:
        _give_back(pool)
        block = np.empty(kind + ALIGNMENT, np.uint8)
        blocks.append(block)
    skip = -block.ctypes.data % ALIGNMENT
    return block[skip:skip + size].view(dtype).reshape(shape)


def scratch(store: threading.local, count: int, dtype, slot: int, most: int) -> np.ndarray:
    """Return ``count`` uninitialised elements for this thread; the next call for ``slot`` has them, too.

    ``store`` keeps them, up to ``most`` bytes in each slot; more comes from the pool.
    """
    dtype = np.dtype(dtype)
    if count * dtype.itemsize > most:
        return empty((count,), dtype)
    kept: dict = store.__dict__
    found = kept.get((slot, dtype.char))
    if found is None or found.size < count:
        found = kept[slot, dtype.char] = np.empty(count, dtype)
    return found[:count]


def release(keep: int = 0) -> None:
    """Give back what this thread's pool holds and nobody uses, where that is more than ``keep`` bytes."""
    idle = sum(b.nbytes for blocks in _POOL.blocks.values() for b in blocks if sys.getrefcount(b) <= _IDLE)
    if idle > keep:
        for blocks in _POOL.blocks.values():
            blocks[:] = [block for block in blocks if sys.getrefcount(block) > _IDLE]


def _size_class(size: int) -> int:
    """Return ``size`` rounded up to eighths of a power of two: batches that differ a little share blocks."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step


def _give_back(pool) -> None:
    """Forget idle blocks of sizes that have not been asked for in a long time."""
    for kind, last in list(pool.asked.items()):
        if pool.requests - last > PATIENCE:
            del pool.asked[kind], pool.blocks[kind]  # those in use live on with their views
