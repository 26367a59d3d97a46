"""Captured work runs at each launch of its graph, on the same memory, and faults are found."""

import contextlib

import numpy as np
import pytest
from support.emulator import EmulatorError
from support.fake_device import forbid_waiting

N = 64
RELU = """extern "C" __global__ void relu(const float* __restrict__ x, float* __restrict__ y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = x[i] > 0.f ? x[i] : 0.f;
}"""


@pytest.fixture
def relu(cupy):
    kernel = cupy.RawModule(code=RELU).get_function("relu")
    return lambda x, y: kernel((1,), (64,), (x, y, N))


@pytest.fixture
def x(cupy):
    return cupy.asarray(np.random.default_rng(0).standard_normal(N, dtype="f4"))


def captured(cupy, work, pool=None):
    """Return the graph of ``work()`` and what that returned; memory comes from ``pool``."""
    stream = cupy.cuda.Stream(non_blocking=True)
    memory = cupy.cuda.using_allocator(pool.malloc) if pool else contextlib.nullcontext()
    with stream, memory:
        stream.begin_capture()
        assert stream.is_capturing()
        result = work()
        return stream.end_capture(), result


def test_nothing_runs_before_the_launch(cupy, relu, x):
    y = cupy.empty(N, "f4")
    graph, _ = captured(cupy, lambda: relu(x, y))
    assert np.isnan(y.get()).all()
    for sign in (1, -1):
        x *= sign
        with forbid_waiting():
            graph.launch()
        assert (y.get() == np.maximum(x.get(), 0)).all()


def test_functions_of_arrays_and_temporaries(cupy, relu, x):
    pool, total = cupy.cuda.MemoryPool(), cupy.zeros((), "f4")
    table, rows = cupy.arange(12, dtype="f4").reshape(6, 2), cupy.asarray(np.array([1, 5, 8]))

    def work():
        nonlocal total
        z = x + 1
        y = cupy.empty(N, "f4")
        relu(z, y)
        del z
        total += (y * 2).reshape(8, 8).T.sum(axis=1).max()
        first, rest = cupy.split(cupy.sort(y), [2])
        taken = cupy.take(table, rows, axis=0)
        table[rows] += 1
        x[:4] = 0
        return first, rest.astype("f2"), taken, cupy.where(y > 1, y, cupy.float32(-1))

    before, was = x.get(), table.get()
    graph, (first, rest, taken, chosen) = captured(cupy, work, pool)
    assert (x.get() == before).all() and total.get() == 0 and np.isnan(first.get()).all()
    graph.launch()
    y = np.maximum(before + 1, 0)
    assert total.get() == pytest.approx((y * 2).reshape(8, 8).sum(axis=0).max())
    assert (first.get() == np.sort(y)[:2]).all() and (rest.get() == np.sort(y)[2:].astype("f2")).all()
    assert (taken.get() == was[[1, 5, 2]]).all() and (table.get()[[1, 5, 2]] == was[[1, 5, 2]] + 1).all()
    assert (chosen.get() == np.where(y > 1, y, -1)).all()
    assert (x.get()[:4] == 0).all() and (x.get()[4:] == before[4:]).all()
    graph.launch()
    assert (chosen.get()[:4] == -1).all()


def test_random_numbers_go_on(cupy):
    def drawn(captures):
        generator, out = cupy.random.Generator(cupy.random.Philox4x3210(3)), cupy.empty(5, "f4")

        def step():
            out[...] = generator.random(5, dtype="f4")

        pool = cupy.cuda.MemoryPool()
        run = captured(cupy, step, pool)[0].launch if captures else step
        return [run() or out.get() for _ in range(3)]

    assert np.array_equal(drawn(True), drawn(False))


def test_memory_of_temporaries_is_used_again(cupy, x):
    pool = cupy.cuda.MemoryPool()

    def work():
        y = x
        for _ in range(10):
            y = y + 1
        return y

    graph, y = captured(cupy, work, pool)
    assert pool.blocks == 2 and pool.n_free_blocks() == 1
    graph.launch()
    assert np.allclose(y.get(), x.get() + 10)


def test_views_keep_their_memory(cupy, x):
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        y = (x + 1)[2:].reshape(2, 31).T
        other = x + 2
    assert pool.used_bytes() == 1024 and not np.shares_memory(y._host, other._host)
    del y
    assert pool.used_bytes() == 512


def test_a_freed_array_is_missed(cupy, relu, x):
    arrays = [cupy.empty(N, "f4")]
    graph, _ = captured(cupy, lambda: relu(x, arrays[0]))
    graph.launch()
    arrays.clear()
    with pytest.raises(EmulatorError, match=r"kernel relu uses an array of shape \(64,\) that was freed"):
        graph.launch()


@pytest.mark.parametrize("emptied", [True, False])
def test_a_pool_that_is_emptied_or_gone_is_missed(cupy, x, emptied):
    pool = cupy.cuda.MemoryPool()
    total = cupy.zeros((), "f4")

    def work():
        total[...] = (x + 1).sum()

    graph, _ = captured(cupy, work, pool)
    graph.launch()
    if emptied:
        pool.free_all_blocks()
    else:
        del pool
    with pytest.raises(EmulatorError, match="given back"):
        graph.launch()


def test_what_capture_refuses(cupy, x):
    pool = cupy.cuda.MemoryPool()
    for work, message in [
        (lambda: x.get(), "get is not allowed"),
        (lambda: cupy.asarray(np.ones(3)), "a copy from the host"),
        (lambda: cupy.nonzero(x), "nonzero"),
        (lambda: cupy.cuda.Device().synchronize(), "synchronize"),
        (lambda: cupy.cuda.get_current_stream().synchronize(), "StreamCapture"),
        (lambda: x[x > 0], "mask"),
        (lambda: pool.free_all_blocks(), "giving memory back"),
    ]:
        stream = cupy.cuda.Stream(non_blocking=True)
        with stream, cupy.cuda.using_allocator(pool.malloc):
            stream.begin_capture()
            with pytest.raises(RuntimeError, match=message):
                work()
            with pytest.raises(RuntimeError, match="Invalidated"):
                stream.end_capture()
    with pytest.raises(NotImplementedError, match="cuBLAS"):
        captured(cupy, lambda: cupy.matmul(x.reshape(8, 8), x.reshape(8, 8)), pool)
    with pytest.raises(RuntimeError, match="default memory pool"):
        captured(cupy, lambda: x + 1)


def test_only_the_capturing_stream_records(cupy, x):
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.begin_capture()
    x += 1  # on the default stream: now
    assert not cupy.cuda.get_current_stream().is_capturing()
    before = x.get()
    with stream:
        x.fill(5)
    graph = stream.end_capture()
    assert (x.get() == before).all()
    graph.launch(stream=stream)
    assert (x.get() == 5).all()
    with pytest.raises(RuntimeError, match="legacy"):
        cupy.cuda.Stream.null.begin_capture()


def test_a_graph_within_a_graph(cupy, x):
    inner, _ = captured(cupy, lambda: x.__iadd__(1))
    outer, _ = captured(cupy, lambda: (inner.launch(), inner.launch()))
    before = x.get()
    outer.launch()
    assert np.allclose(x.get(), before + 2)


def test_events_and_limits(cupy):
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    end.record()
    assert cupy.cuda.get_elapsed_time(start, end) >= 0
    pool = cupy.cuda.MemoryPool()
    pool.set_limit(size=1024)
    with cupy.cuda.using_allocator(pool.malloc):
        kept = cupy.zeros(128, "f4")
        with pytest.raises(MemoryError, match="limit set to"):
            cupy.zeros(256, "f4")
    assert kept.get().sum() == 0
