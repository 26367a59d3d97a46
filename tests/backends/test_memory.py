"""Large results in memory that was used before: never in memory that somebody still holds."""

import threading

import numpy as np
import pytest

from gpukeras.backends import memory

SHAPE = (300, 1000)  # 1.2 MB of float32


def address(array) -> int:
    return array.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def clean():
    memory._POOL.__init__()
    yield
    memory._POOL.__init__()


def test_memory_comes_back_when_the_last_view_is_gone():
    a = memory.empty(SHAPE, "float32")
    assert a.shape == SHAPE and a.dtype == np.float32 and a.flags.c_contiguous and a.flags.writeable
    assert address(a) % memory.ALIGNMENT == 0
    where, part = address(a), a.T[3:, 5]
    del a
    b = memory.empty(SHAPE, "float32")
    assert address(b) != where  # ``part`` still looks at it
    del part
    assert address(memory.empty(SHAPE, "float64")[:2]) not in (where, address(b))  # another size
    c = memory.empty((1000, 300), "int32")
    assert address(c) == where and c.dtype == np.int32


def test_two_results_never_share():
    held = [memory.empty(SHAPE, "float32") for _ in range(5)]
    for i, array in enumerate(held):
        array[...] = i
    assert [array.mean() for array in held] == [0, 1, 2, 3, 4]
    assert len({address(a) for a in held}) == 5


def test_similar_sizes_share_blocks_and_small_ones_do_not_come_from_the_pool():
    a = memory.empty((1000, 1000), "float32")
    where = address(a)
    del a
    assert address(memory.empty((995, 1000), "float32")) == where
    assert memory.empty((10,), "float32").base is None
    assert memory.empty((0, 5), "float32").shape == (0, 5)


@pytest.mark.parametrize("size", [1 << 18, (1 << 18) + 1, 10**6, 123_456_789])
def test_size_classes_waste_little(size):
    assert size <= memory._size_class(size) <= size * 1.125 + 8


def test_what_is_not_asked_for_is_given_back():
    memory.empty(SHAPE, "float32")
    held = memory.empty((3000, 100), "float64")
    for _ in range(memory.PATIENCE + 1):
        memory.empty((700, 700), "float32")
    memory.empty((800, 800), "float64")  # a new block: time to look what is idle
    assert sum(len(b) for b in memory._POOL.blocks.values()) == 2
    held[...] = 1
    memory.release()
    assert not any(memory._POOL.blocks.values())
    assert held.sum() == held.size


def test_each_thread_has_its_own():
    found = []

    def work(value):
        for _ in range(20):
            array = memory.empty(SHAPE, "float32")
            array[...] = value
            found.append(bool((array == value).all()))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(found) == 80 and all(found)
