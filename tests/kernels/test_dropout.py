"""Random numbers: Philox's published vectors, distributions, dropout and its gradient."""

import math

import numpy as np
import pytest
from support.fake_device import emulated, forbid_waiting
from support.halves import FLOATS

# Key, counter and words from the reference implementation (Random123, kat_vectors, philox4x32 10).
VECTORS = [
    ((0, 0), (0, 0, 0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF,) * 4, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    ((0xA4093822, 0x299F31D0), (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
     (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1)),
]
DTYPES = FLOATS


@pytest.fixture
def gpu(tier):
    with emulated(tier=tier) as backend:
        yield backend


def long(low, high):
    return low | high << 32


def philox(key, draw, place):
    """Return the four words, in whole numbers of any size."""
    c = [place & 0xFFFFFFFF, place >> 32, draw & 0xFFFFFFFF, draw >> 32]
    k = [key & 0xFFFFFFFF, key >> 32]
    for _ in range(10):
        first, second = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        highs = (second >> 32) ^ c[1] ^ k[0], (first >> 32) ^ c[3] ^ k[1]
        c = [highs[0], second & 0xFFFFFFFF, highs[1], first & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def words_of(key, draw, n):
    return np.array([philox(key, draw, i) for i in range(-(-n // 4))], np.int64).reshape(-1)[:n]


# ---- the generator ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("key, counter, words", VECTORS)
def test_published_vectors(gpu, key, counter, words):
    from gpukeras.kernels import dropout

    assert tuple(philox(long(*key), long(*counter[2:]), long(*counter[:2]))) == words
    state = gpu.asarray(np.array([long(*key), long(*counter[2:]), 0], np.uint64))
    found = dropout.random_words(state, 4, start=long(*counter[:2]))
    assert tuple(gpu.to_numpy(found).tolist()) == words


@pytest.mark.parametrize("n", [0, 1, 5, 1030])
def test_words(gpu, n):
    from gpukeras.kernels import dropout

    state = gpu.asarray(np.array([long(7, 9), 5, 0], np.uint64))
    np.testing.assert_array_equal(gpu.to_numpy(dropout.random_words(state, n)), words_of(long(7, 9), 5, n))
    assert gpu.to_numpy(state).tolist() == [long(7, 9), 5, 0]


@pytest.mark.parametrize("shape", [(1,), (3, 5), (5000,)])
def test_every_draw_is_counted_once(gpu, shape):
    generator = gpu.new_generator([4])
    key = int(gpu.to_numpy(generator.state)[0])
    with forbid_waiting():
        for draw in (gpu.uniform, gpu.normal):
            draw(generator, shape, 0.0, 1.0, "float32")
        gpu.dropout_factor(generator, shape, 0.3, "float16")
        gpu.fused_dropout(lambda: generator, gpu.xp.zeros(shape, "float32"), 0.3)
    assert gpu.to_numpy(generator.state).tolist() == [key, 4, 0]


def test_restart_keeps_the_place(gpu):
    generator = gpu.new_generator([4])
    place = generator.state.data.ptr
    first = gpu.to_numpy(gpu.uniform(generator, (9,), 0.0, 1.0, "float32"))
    assert (gpu.to_numpy(gpu.uniform(generator, (9,), 0.0, 1.0, "float32")) != first).all()
    generator.restart(int(gpu.to_numpy(generator.state)[0]))
    assert generator.state.data.ptr == place
    np.testing.assert_array_equal(gpu.to_numpy(gpu.uniform(generator, (9,), 0.0, 1.0, "float32")), first)


@pytest.mark.parametrize("schedule", ["reverse", "random"])
def test_draws_do_not_depend_on_the_order_of_threads(schedule):
    def draw(gpu):
        generator = gpu.new_generator([1])
        return [gpu.to_numpy(gpu.normal(generator, (3000,), 0.0, 1.0, "float32")) for _ in range(2)]

    with emulated() as gpu:
        expected = draw(gpu)
    with emulated(schedule=schedule) as gpu:
        np.testing.assert_array_equal(draw(gpu), expected)


# ---- distributions ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("n", [0, 1, 6, 1027])
def test_uniform_from_words(gpu, n):
    from gpukeras.kernels import dropout

    state = dropout.new_state(long(3, 4))
    found = gpu.to_numpy(dropout.uniform(state, (n,), -1.0, 3.0, "float32"))
    np.testing.assert_allclose(found, (words_of(long(3, 4), 0, n) >> 8) / 2**24 * 4 - 1, 0, 3e-7)
    assert (found < 3).all()


@pytest.mark.parametrize("n", [0, 1, 2, 3, 6, 1027])
def test_normal_from_words(gpu, n):
    from gpukeras.kernels import dropout

    state = dropout.new_state(long(3, 4))
    found = gpu.to_numpy(dropout.normal(state, (n,), 1.0, 2.0, "float32"))
    words = words_of(long(3, 4), 0, n + 4)[:(n + 3) // 4 * 4].reshape(-1, 2)
    length = np.sqrt(-2 * np.log(((words[:, 0] >> 8) + 1) / 2**24))
    turn = 2 * np.pi * (words[:, 1] >> 8) / 2**24
    expected = np.stack([length * np.cos(turn), length * np.sin(turn)], 1).reshape(-1)[:n]
    np.testing.assert_allclose(found, 1 + 2 * expected, 1e-5, 1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_moments(gpu, dtype):
    n = 40_000
    generator = gpu.new_generator([11])
    u = gpu.to_numpy(gpu.uniform(generator, (n,), 1.0, 3.0, dtype)).astype(float)
    assert u.min() >= 1 and u.max() < 3
    assert abs(u.mean() - 2) < 0.015 and abs(u.std() - 2 / math.sqrt(12)) < 0.01
    counts = np.histogram(u, 16, (1, 3))[0]
    assert ((counts - n / 16) ** 2 / (n / 16)).sum() < 45  # chi square of 15 degrees, one in ten thousand
    z = gpu.to_numpy(gpu.normal(generator, (n,), 0.0, 1.0, dtype)).astype(float)
    assert abs(z.mean()) < 0.02 and abs(z.std() - 1) < 0.02
    assert abs((z**3).mean()) < 0.07 and abs((z**4).mean() - 3) < 0.2
    assert abs(np.corrcoef(z[::2], z[1::2])[0, 1]) < 0.03 and abs(np.corrcoef(z[:-4], z[4:])[0, 1]) < 0.03
    t = gpu.to_numpy(gpu.truncated_normal(generator, (n,), 0.0, 1.0, dtype))
    assert abs(t).max() <= 2


def test_uniform_in_halves_stays_below_its_end(gpu):
    from gpukeras.kernels import dropout

    found = gpu.to_numpy(dropout.uniform(dropout.new_state(1), (20_000,), 0.0, 1.0, "float16"))
    assert found.dtype == np.float16 and found.max() < 1 and found.min() >= 0


def test_the_rest_comes_from_cupy(gpu):
    generator = gpu.new_generator([2])
    assert gpu.uniform(generator, (3,), 0.0, 1.0, "float64").dtype == "float64"
    assert gpu.normal(generator, (3,), 0.0, 1.0, "float64").dtype == "float64"
    assert gpu.dropout_factor(generator, (3,), 0.5, "float64").dtype == "float64"
    assert generator.random((4,), dtype="float32").dtype == "float32"
    assert generator.standard_normal((4,), dtype="float16").dtype == "float16"
    values = gpu.to_numpy(gpu.integers(generator, (50,), 3, 6, "int32"))
    assert set(values.tolist()) == {3, 4, 5}
    generator.restart(5)
    assert gpu.gamma(generator, (3,), gpu.asarray(np.ones(3)), "float32").shape == (3,)


# ---- dropout ---------------------------------------------------------------------------------------------
def kept_by_words(key, draw, n, rate):
    """Return which of ``n`` elements stay: each has 16 bits of the words.

    A counter's eight decide four neighbours, and four more 128 elements further on.
    """
    words = words_of(key, draw, -(-n // 256) * 128)
    halves = np.stack([words & 0xFFFF, words >> 16], 1).reshape(-1, 32, 2, 4)
    return halves.swapaxes(1, 2).reshape(-1)[:n] >= round(rate * 65536)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [0, 1, 7, 128, 261, 2056])
@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_dropout_from_words(gpu, n, rate, dtype):
    from gpukeras.kernels import dropout

    rng = np.random.default_rng(n)
    x, dy = rng.standard_normal((2, n)).astype(dtype)
    kept = kept_by_words(long(8, 1), 0, n, rate)
    scale = 1 / (1 - rate)
    tolerance = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 5e-3}[dtype]
    factor = dropout.dropout_factor(dropout.new_state(long(8, 1)), (n,), rate, dtype)
    np.testing.assert_allclose(gpu.to_numpy(factor).astype(float), kept * scale, tolerance)
    y, drawn = dropout.dropout_forward(dropout.new_state(long(8, 1)), gpu.asarray(x), rate)
    np.testing.assert_allclose(gpu.to_numpy(y).astype(float), kept * scale * x.astype(float), tolerance)
    dx = dropout.dropout_backward(drawn, gpu.asarray(dy), rate)
    np.testing.assert_allclose(gpu.to_numpy(dx).astype(float), kept * scale * dy.astype(float), tolerance)


def test_gradients_know_their_own_draw(gpu):
    """Another draw between the passes changes nothing."""
    generator = gpu.new_generator([3])
    x = gpu.asarray(np.ones((17, 9), "float32"))
    y, backward = gpu.fused_dropout(lambda: generator, x, 0.4)
    other, _ = gpu.fused_dropout(lambda: generator, x, 0.4)
    np.testing.assert_array_equal(gpu.to_numpy(backward(x)), gpu.to_numpy(y))
    assert (gpu.to_numpy(other) != gpu.to_numpy(y)).any()


def test_unaligned_and_strided(gpu):
    from gpukeras.kernels import dropout

    x = np.ones(301, "float32")
    kept = kept_by_words(long(8, 1), 0, 300, 0.3)
    y, drawn = dropout.dropout_forward(dropout.new_state(long(8, 1)), gpu.asarray(x)[1:], 0.3)
    np.testing.assert_array_equal(gpu.to_numpy(y) != 0, kept)
    wide = gpu.asarray(np.ones((300, 2), "float32"))[:, 0]
    np.testing.assert_array_equal(gpu.to_numpy(dropout.dropout_backward(drawn, wide, 0.3)) != 0, kept)


@pytest.mark.parametrize("rate", [0.05, 0.25, 0.5, 0.9])
def test_rates(gpu, rate):
    n = 30_000
    generator = gpu.new_generator([5])
    mask = gpu.to_numpy(gpu.dropout_mask(generator, (30, n // 30), rate)).reshape(-1)
    assert mask.dtype == bool
    assert abs(mask.mean() - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / n)
    for step in (1, 2, 8, 1000):  # neighbours do not share their fate
        assert abs(np.corrcoef(mask[:-step], mask[step:])[0, 1]) < 0.03


def test_ends_and_infinite_values(gpu):
    generator = gpu.new_generator([6])
    x = np.array([np.inf, -np.inf, np.nan, 1] * 50, "float32")
    y, backward = gpu.fused_dropout(lambda: generator, gpu.asarray(x), 1.0)
    assert not gpu.to_numpy(y).any() and not gpu.to_numpy(backward(gpu.asarray(x))).any()
    y = gpu.to_numpy(gpu.fused_dropout(lambda: generator, gpu.asarray(x), 0.5)[0])
    dropped = y == 0
    np.testing.assert_array_equal(y[~dropped], 2 * x[~dropped])
    assert 50 < dropped.sum() < 150
    assert gpu.fused_dropout(lambda: generator, gpu.asarray(np.ones(3)), 0.5) is None
