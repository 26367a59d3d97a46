"""How many blocks of a kernel share a multiprocessor, from what its compiler reports; no GPU is asked.

The figures are those of the CUDA C++ Programming Guide, table "Technical Specifications per Compute
Capability". How registers and shared memory are handed out is told by NVIDIA's ``cuda_occupancy.h`` (in the
wheel of the CUDA runtime), which ``tests/kernels/test_occupancy.py`` compares with, case by case.
"""

from __future__ import annotations

from typing import NamedTuple

KB = 1 << 10
WARP = 32  # threads
MOST_THREADS = 1024  # of a block
MOST_REGISTERS = 255  # of a thread
REGISTER_FILE = 64 * KB  # registers of a multiprocessor, and the most of a block
REGISTER_UNIT = 256  # registers are handed to warps in multiples of this
PARTITIONS = 4  # of a multiprocessor; each has a quarter of the registers, a warp lives in one of them
STATIC_SHARED = 48 * KB  # bytes that a kernel may declare itself; more must be dynamic


class Limits(NamedTuple):
    """What a multiprocessor of one architecture has room for."""

    warps: int
    blocks: int
    shared: int  # bytes
    of_block: int  # bytes of shared memory that one block may ask for
    reserved: int  # bytes of shared memory that the driver takes for each block
    unit: int  # bytes of shared memory are handed out in multiples of this


LIMITS = {
    75: Limits(32, 16, 64 * KB, 64 * KB, 0, 256),
    80: Limits(64, 32, 164 * KB, 163 * KB, 1 * KB, 128),
    86: Limits(48, 16, 100 * KB, 99 * KB, 1 * KB, 128),
    89: Limits(48, 24, 100 * KB, 99 * KB, 1 * KB, 128),
    90: Limits(64, 32, 228 * KB, 227 * KB, 1 * KB, 128),
    100: Limits(64, 32, 228 * KB, 227 * KB, 1 * KB, 128),
    120: Limits(48, 24, 100 * KB, 99 * KB, 1 * KB, 128),
}


class Occupancy(NamedTuple):
    """What fits, and what keeps more from fitting."""

    blocks: int  # on one multiprocessor at once
    share: float  # of the warps that it has room for
    limit: str  # "warps", "blocks", "registers" or "shared memory"


def occupancy(arch: int, threads: int, registers: int, shared: int) -> Occupancy:
    """Return how many blocks run on one multiprocessor at once.

    Parameters
    ----------
    arch : int
        Compute capability times ten.
    threads : int
        Of a block.
    registers : int
        Of a thread.
    shared : int
        Bytes of shared memory of a block, static and dynamic.

    Examples
    --------
    128 registers take half of the register file for 8 warps; 2 blocks of 8 warps are a quarter of 64.

    >>> occupancy(90, threads=256, registers=128, shared=0)
    Occupancy(blocks=2, share=0.25, limit='registers')
    """
    limits = LIMITS[arch]
    warps = -(-threads // WARP)
    room = {
        "warps": limits.warps // warps if threads <= MOST_THREADS else 0,
        "blocks": limits.blocks,
        "registers": _by_registers(warps, registers),
        "shared memory": _by_shared(limits, shared),
    }
    limit = min(room, key=room.__getitem__)
    return Occupancy(room[limit], room[limit] * warps / limits.warps, limit)


def _by_registers(warps: int, registers: int) -> int:
    if registers > MOST_REGISTERS:
        return 0
    of_warp = max(_rounded(registers * WARP, REGISTER_UNIT), REGISTER_UNIT)
    if of_warp * _rounded(warps, PARTITIONS) > REGISTER_FILE:  # as the device reckons before a launch
        return 0
    return REGISTER_FILE // PARTITIONS // of_warp * PARTITIONS // warps


def _by_shared(limits: Limits, shared: int) -> int:
    if shared > limits.of_block:
        return 0
    taken = _rounded(shared + limits.reserved, limits.unit)
    return limits.shared // taken if taken else limits.blocks


def _rounded(number: int, unit: int) -> int:
    return -(-number // unit) * unit
