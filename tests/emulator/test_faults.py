"""Planted faults are caught in the tiers that promise it, and name what is needed to find them."""

import numpy as np
import pytest
from support.emulator import KernelFault, using

# Kernel, what the error says, and in which ways of running it is caught: F fast, R fast with arrays at the
# start of their memory (schedule "reverse"), C check.
FAULTS = [
    ("read_past_end", r"out-of-bounds read .* byte offset 512 of .*'x' \(512 bytes\)", "FC"),
    ("read_before_start", r"out-of-bounds read .* byte offset -4 of .*'x'", "RC"),
    ("write_past_end", r"out-of-bounds write .* byte offset 512 of .*'y'", "FRC"),
    ("write_before_start", r"out-of-bounds write .* byte offset -[14] of .*'y'", "FRC"),
    ("write_to_const", "invalid write .* a const argument|write to const argument 'x'", "FRC"),
    ("null_pointer", "near no argument", "FRC"),
    ("misaligned_vector", "trap: .*misaligned", "FRC"),
    ("shared_index", "trap: index outside a declared array", "FRC"),
    ("shared_pointer", "past the end of s|shared array 's'", "FRC"),
    ("dynamic_shared_past_end", "dynamic shared memory|near no argument", "FRC"),
    ("no_dynamic_shared", "shared_mem=0", "FRC"),
    ("too_much_shared", "49156 bytes of static shared memory", "FRC"),
    ("stack_overflow", "stack overflow", "FRC"),
    ("race_between_warps", "data race on shared array 's'|uninitialised", "C"),
    ("race_within_warp", "data race on shared array 's'|uninitialised", "C"),
    ("race_after_read", "data race on shared array 's'", "C"),
    ("race_between_blocks", "data race on argument 'y'", "C"),
    ("race_read_other_block", "data race on argument 'y'", "C"),
    ("update_without_atomic", "data race on argument 'y'", "C"),
    ("read_of_atomic", "data race on shared array 'count'", "C"),
    ("ldg_of_written", "__ldg of argument 'y'", "C"),
    ("uninitialised_shared", "uninitialised shared memory: 's' at byte offset 252", "C"),
    ("uninitialised_atomic", "uninitialised shared memory: 'count'", "C"),
    ("divergent_barrier", r"divergent barrier: this thread waits at __syncthreads in line \d+", "FRC"),
    ("early_return", "divergent barrier: 16 of 64 threads have returned", "FRC"),
    ("half_a_warp_shuffles", "deadlock: 32 threads wait in __syncthreads, 32 in a warp operation", "FRC"),
    ("different_warp_operations", "divergent warp operation", "FRC"),
    ("shuffle_outside_mask", r"__shfl_down_sync reads lane \d+, which does not take part", "FRC"),
    ("spins_forever", "deadlock: .* 64 spin", "FRC"),
    ("assertion", r"assert\(n < 64\) failed in line \d+", "FRC"),
    ("division_by_zero", "division by zero", "FRC"),
    ("copy_without_wait", "a wait is missing", "C"),
    ("copy_waits_too_little", "a wait is missing", "C"),
    ("copy_without_barrier", "data race|asynchronous|uninitialised", "C"),
    ("copy_over_readers", "data race on shared array 's'", "C"),
    ("copy_misaligned", "misaligned asynchronous copy", "FRC"),
    ("last_block_without_release", "data race on argument 'y'", "C"),
    ("last_block_without_acquire", "data race on argument 'y'", "C"),
    ("grid_without_wait", "data race on argument 'y'", "C"),
    ("grid_wait_without_fence", "data race on argument 'y'", "C"),
    ("grid_wait_without_barrier", "data race on argument 'y'", "C"),
]
RIGHT = ["right_shared", "right_copy", "right_last_block", "right_grid_wait"]
WAYS = {
    "F": ("fast", "forward"), "R": ("fast", "reverse"), "C": ("check", "forward"), "D": ("check", "random"),
}
N = 128


def launch(cupy, load, name):
    kernel = load("planted.cu", name)
    x = cupy.asarray(np.arange(N, dtype="f4"))
    y = cupy.zeros(4 * N if "grid_wait" in name or name == "grid_without_wait" else N, "f4")
    counts = name.startswith(("last_block_", "right_last_block", "grid_w", "right_grid"))
    count = (cupy.zeros(1, "i4"),) if counts else ()
    kernel((2,), (64,), (x, y, *count, N), shared_mem=256 if name == "dynamic_shared_past_end" else 0)
    return y


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name, message, caught", FAULTS, ids=[name for name, *_ in FAULTS])
def test_planted_faults_are_caught(cupy, load, name, message, caught, way):
    tier, schedule = WAYS[way]
    with using(tier=tier, schedule=schedule):
        if way not in caught.replace("C", "CD"):
            launch(cupy, load, name)  # and nobody is told: tests compare results, and run tier check
            return
        with pytest.raises(KernelFault, match=message) as found:
            launch(cupy, load, name)
    assert str(found.value).startswith(f"kernel {name}: ")


@pytest.mark.parametrize("name", RIGHT)
def test_without_the_fault_nothing_is_found(cupy, load, tier, schedule, name):
    y = launch(cupy, load, name).get()
    x = np.arange(N, dtype="f4")
    if name == "right_last_block":
        assert y[:3].tolist() == [0, 64, 64]
    elif name == "right_grid_wait":
        assert (y[3 * N:] == np.roll(x, -3 * 64) + 3).all()
    elif name == "right_copy":
        assert (y.reshape(2, 64) == np.tile(np.arange(0, 64, 4), 4)[::-1]).all()
    else:
        pair, other = x.reshape(-1, 2)[:, ::-1].reshape(-1), x.reshape(2, 2, 32)[:, ::-1].reshape(-1)
        assert (y == pair + other).all()


def test_an_error_names_block_thread_and_line(cupy, load, tier):
    with pytest.raises(KernelFault, match=r"block \(\d, 0, 0\) thread \(\d+, 0, 0\): ") as found:
        launch(cupy, load, "write_to_const")
    assert "(kernel.cu:" in str(found.value)


def test_after_a_fault_the_next_launch_is_sound(cupy, load, tier):
    for _ in range(3):
        with pytest.raises(KernelFault):
            launch(cupy, load, "early_return")
        assert launch(cupy, load, "right_last_block").get()[2] == 64


def test_a_faulty_launch_changes_nothing(cupy, load):
    x, y = cupy.zeros(N, "f4"), cupy.zeros(N, "f4")
    with pytest.raises(KernelFault):
        load("planted.cu", "write_past_end")((2,), (64,), (x, y, N))
    assert (y.get() == 0).all()


def test_more_blocks_wait_than_may_run_at_once(cupy, load, tier):
    x, y, count = cupy.zeros(8 * 64, "f4"), cupy.zeros(4 * 8 * 64, "f4"), cupy.zeros(1, "i4")
    kernel = load("planted.cu", "right_grid_wait")
    with using(resident_blocks=7), pytest.raises(KernelFault, match="wait for blocks that do not fit"):
        kernel((8,), (64,), (x, y, count, 8 * 64))
    with using(resident_blocks=8):
        kernel((8,), (64,), (x, y, count, 8 * 64))
    assert (y.get()[3 * 512:] == 3).all()


def test_an_endless_loop_is_ended(cupy, load, tier):
    with using(seconds=0.3), pytest.raises(KernelFault, match="still running after 0.3 seconds"):
        launch(cupy, load, "endless")
