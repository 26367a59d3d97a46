"""Launch ``recurrent_persistent.cu``: all steps of a recurrent layer in one launch, where its weights fit.

Blocks wait for each other, so no more are launched than there are multiprocessors, and each of those has room
for one of them. Only one such kernel may run at a time: launch them on one stream.
"""

from __future__ import annotations

import functools
import itertools
from typing import NamedTuple

import cupy
import numpy as np

from . import launch
from .recurrent_cells import SEQUENCE

THREADS, WARPS = 256, 8  # of a block
WIDTHS = (8, 16, 32)  # units of a tile
ROWS = (4, 8)  # samples of a lane
SPACE, ACROSS = 4, 2  # as in the kernels
MOST_SHARED = 227 << 10  # bytes that a block may have on any device
TILING = np.dtype([(name, "i4") for name in ("width", "tiles", "pieces", "splits")])
CELLS = ("SIMPLE_RNN", "LSTM", "GRU")
MODULE = launch.Module("recurrent_persistent.cu", structs={"Sequence": SEQUENCE, "Tiling": TILING})
MODULE.declare(
    "recurrent_persistent_forward", "recurrent_persistent_backward", CELL=CELLS, ROWS=ROWS,
    budget=launch.Budget(
        threads=THREADS, shared=MOST_SHARED, adapts=True, registers=255, occupancy=0.125,  # one block
    ),
)

# Clock cycles by which plans are compared: estimates.
BARRIER = 2000  # of one block's last write until another has seen it
ALONE = 300  # of the same within one block
LAUNCH = 5000  # from one small kernel to the next
PIECE = 500  # until the states of a piece have come from the second cache
TILE = 500  # of the cells of a tile
BYTES = 64  # that a multiprocessor reads from the second cache in one cycle
LANES = 128  # of a multiprocessor
SHARE = 0.6  # of its cycles in which it multiplies or reads, where it could


class Plan(NamedTuple):
    """How a layer is divided among blocks.

    Attributes
    ----------
    rows : int
        Samples of a lane.
    width, tiles : int
        Units of a tile; tiles of a block.
    pieces : int
        Of samples, for a block.
    blocks, groups : int
        Blocks that have the same samples; groups of them.
    splits : int
        Parts into which backward sums of a block are cut.
    shared : int
        Bytes of shared memory of a block.
    cycles : float
        Estimate for a step.
    """

    rows: int
    width: int
    tiles: int
    pieces: int
    blocks: int
    groups: int
    splits: int
    shared: int
    cycles: float

    @property
    def size(self) -> int:
        """Samples of a piece."""
        return 32 * self.rows // self.width

    @property
    def tiling(self) -> np.ndarray:
        """The structure that kernels take."""
        return np.array((self.width, self.tiles, self.pieces, self.splits), TILING)


@functools.cache
def shared_memory() -> int:
    """Return how many bytes of shared memory a block may have on this device."""
    return min(MOST_SHARED, int(cupy.cuda.Device().attributes["MaxSharedMemoryPerBlockOptin"]))


def choose(gates: int, batch: int, units: int, drops: int, backward: bool) -> Plan | None:
    """Return the quickest plan for the current device, or ``None`` where single steps are quicker."""
    plan = fitting(gates, batch, units, drops, backward)
    if plan is None or plan.cycles > step_cycles(gates, batch, units, launch.processors()):
        return None
    return plan


def fitting(gates: int, batch: int, units: int, drops: int, backward: bool) -> Plan | None:
    """Return the quickest plan for the current device, even where single steps are quicker."""
    return best(gates, batch, units, drops, backward, launch.processors(), shared_memory())


@functools.lru_cache(maxsize=256)
def best(
    gates: int, batch: int, units: int, drops: int, backward: bool, processors: int, shared: int,
) -> Plan | None:
    """Return the quickest of all plans, or ``None`` where the weights do not fit."""
    found = plans(gates, batch, units, drops, backward, processors, shared)
    return min(found, key=lambda plan: plan.cycles, default=None)


def plans(gates, batch, units, drops, backward, processors, shared):
    """Yield every plan that fits on ``processors`` blocks with ``shared`` bytes each."""
    for rows, width in itertools.product(ROWS, WIDTHS):
        size = 32 * rows // width
        all_tiles = -(-units // width)
        for tiles in sorted({-(-all_tiles // blocks) for blocks in range(1, min(all_tiles, processors) + 1)}):
            blocks = -(-all_tiles // tiles)
            all_pieces = -(-batch // size)
            pieces = -(-all_pieces // (processors // blocks))
            plan = Plan(rows, width, tiles, pieces, blocks, -(-all_pieces // pieces), 1, 0, 0.0)
            plan = (_backward if backward else _forward)(plan, gates, units, drops)
            if plan.shared <= shared:
                yield plan


def step_cycles(gates: int, batch: int, units: int, processors: int) -> float:
    """Estimate a step that is one GEMM, which reads all weights anew, and one kernel for the cells."""
    weights = gates * units**2
    return 2 * LAUNCH + max(batch * weights / LANES, 4 * weights / BYTES) / (processors * SHARE)


def _forward(plan: Plan, gates: int, units: int, drops: int) -> Plan:
    feeds, share, states = max(drops, 1), -(-units // WARPS), max(drops, 1) * units * plan.size
    own = gates * plan.tiles * plan.width
    shared = 4 * (units * own + states + WARPS * gates * 32 * plan.rows)
    issued = share * WARPS / 4 * (gates * plan.rows + gates + feeds * plan.rows / 4)
    read = share * WARPS * (gates + feeds * plan.rows / 4)
    tile = max(issued, read) / SHARE + TILE
    piece = PIECE + 4 * states / BYTES + plan.tiles * tile
    return plan._replace(shared=shared, cycles=plan.pieces * piece + _meeting(plan))


def _backward(plan: Plan, gates: int, units: int, drops: int) -> Plan:
    columns = gates * plan.tiles * plan.width
    row = -(-units // ACROSS) * ACROSS
    shared = 4 * columns * (row + plan.size + SPACE)
    tasks = -(-row // (32 * ACROSS)) * (32 // plan.width)
    splits = max(1, WARPS // tasks)
    summands = plan.blocks * splits
    turns = -(-tasks * splits // WARPS)
    warps = min(WARPS, tasks * splits)
    share = -(-columns // splits)
    each = plan.rows * ACROSS
    issued = turns * share * max(warps / 4, 1) * (each + 1 + plan.rows / 4)
    read = turns * share * warps * (ACROSS + plan.rows / 4)
    masks = turns * plan.rows * ACROSS * gates * 8 if drops > 1 else 0
    tile = TILE + summands * 32 * plan.rows * 4 / BYTES
    piece = PIECE + max(issued, read) / SHARE + masks + plan.tiles * tile
    return plan._replace(splits=splits, shared=shared, cycles=plan.pieces * piece + _meeting(plan))


def _meeting(plan: Plan) -> float:
    return BARRIER + 10 * plan.blocks if plan.blocks > 1 else ALONE


def forward(cell: str, plan: Plan, arrays: tuple, recurrent, sequence) -> None:
    """Run all steps; ``arrays`` are those from gates to second."""
    feeds = max(int(sequence["drops"]), 1)
    exchange = cupy.empty((2, plan.groups, plan.pieces, feeds, len(recurrent), plan.size), np.float32)
    _run(
        "recurrent_persistent_forward", cell, plan, *arrays, recurrent, exchange, _counters(plan), sequence,
        plan.tiling,
    )


def backward(cell: str, plan: Plan, arrays: tuple, recurrent, sequence, want_first: bool) -> None:
    """Walk back over all steps; ``arrays`` are those from gates to dinner."""
    tiles, summands = plan.blocks * plan.tiles, plan.blocks * plan.splits
    exchange = cupy.empty((2, plan.groups, plan.pieces, tiles, summands, 32 * plan.rows), np.float32)
    _run(
        "recurrent_persistent_backward", cell, plan, *arrays, recurrent, exchange, _counters(plan), sequence,
        plan.tiling, int(want_first),
    )


def _counters(plan: Plan):
    return cupy.zeros(plan.groups, np.uint32)


def _run(name: str, cell: str, plan: Plan, *arguments) -> None:
    kernel = MODULE.kernel(name, CELL=cell, ROWS=plan.rows)
    kernel((plan.blocks, plan.groups), THREADS, *arguments, shared=plan.shared)
