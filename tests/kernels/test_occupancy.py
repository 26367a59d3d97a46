"""The occupancy calculator against cases worked out by hand and against NVIDIA's own calculator."""

import ctypes
import itertools
import random
import shutil
import subprocess

import pytest
from support import nvrtc
from support.occupancy import LIMITS, MOST_THREADS, REGISTER_FILE, occupancy

KB = 1 << 10


@pytest.mark.parametrize(
    ("arch", "threads", "registers", "shared", "blocks", "share", "limit"),
    [
        # 64 warps / 8 of a block
        (90, 256, 32, 0, 8, 1.0, "warps"),
        # 32 * 33 = 1056 registers of a warp become 1280; 16384 / 1280: 12 warps in each of 4 parts, 48 / 8
        (90, 256, 33, 0, 6, 0.75, "registers"),
        # 8192 of a warp: 2 in each part, 8 in all, one block
        (90, 256, 255, 0, 1, 0.125, "registers"),
        # one warp of 255 registers: 8 such blocks
        (90, 32, 255, 0, 8, 0.125, "registers"),
        # 48 KB and the 1 KB of the driver: 228 // 49
        (90, 128, 32, 48 * KB, 4, 0.25, "shared memory"),
        # the most that a block may ask for
        (90, 1024, 32, 227 * KB, 1, 0.5, "shared memory"),
        # no 1 KB on Turing: 64 // 16
        (75, 128, 32, 16 * KB, 4, 0.5, "shared memory"),
        # ... and 1 KB elsewhere: 100 // 17
        (86, 128, 32, 16 * KB, 5, 20 / 48, "shared memory"),
        # 100 bytes and 1024 of the driver are 9 units of 128: 1152; 233472 // 1152 = 202
        (90, 32, 16, 100, 32, 0.5, "blocks"),
        # small blocks run out of places: 16 of one warp each
        (75, 32, 16, 0, 16, 0.5, "blocks"),
        (89, 32, 16, 0, 24, 0.5, "blocks"),
        # 1024 threads do not divide 1536
        (86, 1024, 32, 0, 1, 32 / 48, "warps"),
        # five warps with 6144 registers each: 2 in each part are 8, one block of 5
        (80, 160, 180, 0, 1, 5 / 64, "registers"),
    ],
)
def test_cases_by_hand(arch, threads, registers, shared, blocks, share, limit):
    found = occupancy(arch, threads, registers, shared)
    assert (found.blocks, found.limit) == (blocks, limit)
    assert found.share == pytest.approx(share)


@pytest.mark.parametrize(
    ("threads", "registers", "shared", "limit"),
    [(MOST_THREADS + 32, 16, 0, "warps"), (32, 256, 0, "registers"), (1024, 65, 0, "registers"),
     (32, 16, 227 * KB + 1, "shared memory")],
)
def test_what_cannot_be_launched(threads, registers, shared, limit):
    found = occupancy(90, threads, registers, shared)
    assert (found.blocks, found.share, found.limit) == (0, 0.0, limit)


# Fills the structures of cuda_occupancy.h for one case and returns its answer.
HARNESS = """
#include <cstring>
#include <cuda_occupancy.h>
extern "C" int blocks(int arch, int warps, int shared, int of_block, int reserved,
                      int threads, int registers, int taken) {
  cudaOccDeviceProp device;
  memset(&device, 0, sizeof device);
  device.computeMajor = arch / 10;
  device.computeMinor = arch % 10;
  device.maxThreadsPerBlock = 1024;
  device.maxThreadsPerMultiprocessor = warps * 32;
  device.regsPerBlock = device.regsPerMultiprocessor = REGISTER_FILE;
  device.warpSize = 32;
  device.sharedMemPerBlock = 48 << 10;
  device.sharedMemPerMultiprocessor = shared;
  device.sharedMemPerBlockOptin = of_block;
  device.reservedSharedMemPerBlock = reserved;
  device.numSms = 1;
  cudaOccFuncAttributes kernel;
  memset(&kernel, 0, sizeof kernel);
  kernel.maxThreadsPerBlock = 1024;
  kernel.numRegs = registers;
  kernel.maxDynamicSharedSizeBytes = taken;
  kernel.shmemLimitConfig = FUNC_SHMEM_LIMIT_OPTIN;
  cudaOccDeviceState state;
  memset(&state, 0, sizeof state);
  state.carveoutConfig = SHAREDMEM_CARVEOUT_MAX_SHARED;
  cudaOccResult result;
  if (cudaOccMaxActiveBlocksPerMultiprocessor(&result, &device, &kernel, &state, threads, taken)) return -1;
  return result.activeBlocksPerMultiprocessor;
}
"""


@pytest.mark.nvrtc
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
def test_agrees_with_nvidias_calculator(tmp_path):
    (tmp_path / "harness.cpp").write_text(HARNESS.replace("REGISTER_FILE", str(REGISTER_FILE)))
    library = tmp_path / "harness.so"
    subprocess.run(
        ["g++", "-shared", "-fPIC", "-w", f"-I{nvrtc.headers()}", "-o", library, tmp_path / "harness.cpp"],
        check=True,
    )
    theirs = ctypes.CDLL(str(library)).blocks
    draw = random.Random(0)
    sizes = [0, 1, 100, 1024, 8 * KB, 16 * KB, 47 * KB, 48 * KB, 99 * KB, 163 * KB, 227 * KB, 228 * KB]
    for arch, threads in itertools.product(LIMITS, (1, 32, 64, 96, 128, 160, 256, 384, 512, 992, 1024)):
        limits = LIMITS[arch]  # the number of blocks and the units they know themselves
        device = (limits.warps, limits.shared, limits.of_block, limits.reserved)
        for registers in (1, 8, 32, 33, 40, 64, 65, 96, 128, 168, 200, 255):
            shared = draw.choice([*sizes, draw.randrange(230 * KB)])
            expected = theirs(arch, *device, threads, registers, shared)
            found = occupancy(arch, threads, registers, shared)
            assert found.blocks == expected, (arch, threads, registers, shared, found)
