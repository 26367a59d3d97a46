"""Random numbers: distributions, seeds, repeatability."""

import math

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import backends, ops, random
from gpukeras.random import SeedGenerator

N = 40_000
DRAWS = {
    "normal": lambda **k: random.normal((N,), 1.0, 2.0, **k),
    "uniform": lambda **k: random.uniform((N,), -1.0, 3.0, **k),
    "truncated_normal": lambda **k: random.truncated_normal((N,), 1.0, 2.0, **k),
    "gamma": lambda **k: random.gamma((N,), 2.5, **k),
    "beta": lambda **k: random.beta((N,), 2.0, 3.0, **k),
    "binomial": lambda **k: random.binomial((N,), 10, 0.3, **k),
}
PHI = math.exp(-2) / math.sqrt(2 * math.pi)  # density at 2
TRUNCATED = math.sqrt(1 - 4 * PHI / math.erf(math.sqrt(2)))
MOMENTS = {  # mean, standard deviation
    "normal": (1, 2), "uniform": (1, 4 / math.sqrt(12)), "truncated_normal": (1, 2 * TRUNCATED),
    "gamma": (2.5, math.sqrt(2.5)), "beta": (0.4, 0.2), "binomial": (3, math.sqrt(2.1)),
}


@pytest.mark.parametrize("name", DRAWS)
def test_distributions(backend, name):
    for dtype in ("float32", "float64", "float16"):
        y = DRAWS[name](seed=11, dtype=dtype)
        assert y.dtype == dtype and y.backend is backend
        values = y.numpy().astype("float64")
        mean, std = MOMENTS[name]
        assert abs(values.mean() - mean) < 5 * std / math.sqrt(N) + (2e-3 if dtype == "float16" else 0)
        assert abs(values.std() / std - 1) < 0.02
    with pytest.raises(ValueError, match=f"random.{name} draws floating"):
        DRAWS[name](dtype="int32")


@pytest.mark.parametrize("name", DRAWS)
def test_seeds(backend, name):
    draw = lambda **k: DRAWS[name](**k).numpy()  # noqa: E731
    np.testing.assert_array_equal(draw(seed=5), draw(seed=5))
    assert (draw(seed=5) != draw(seed=6)).any()
    random.set_seed(1)
    first = [draw(), draw()]
    random.set_seed(1)
    again = [draw(), draw()]
    np.testing.assert_array_equal(first, again)
    assert (first[0] != first[1]).any()
    g, h = SeedGenerator(3), SeedGenerator(3)
    a, b = draw(seed=g), draw(seed=g)
    assert (a != b).any()
    np.testing.assert_array_equal([draw(seed=h), draw(seed=h)], [a, b])
    pair = SeedGenerator(3).next()
    np.testing.assert_array_equal(draw(seed=pair), draw(seed=pair.numpy().tolist()))


def test_bounds(backend):
    for dtype in ("float16", "float32", "float64"):
        u = random.uniform((N,), 1.0, 3.0, dtype=dtype, seed=0).numpy()
        assert u.min() >= 1 and u.max() < 3
        u = random.uniform((N,), dtype=dtype, seed=0).numpy()
        assert u.min() >= 0 and u.max() < 1
    t = random.truncated_normal((N,), seed=0).numpy()
    assert np.abs(t).max() <= 2
    assert random.normal((), seed=1).shape == () and random.normal((0, 3)).shape == (0, 3)


def test_randint(backend):
    y = random.randint((N,), -2, 3, seed=4)
    assert y.dtype == "int32"
    counts = np.bincount(y.numpy() + 2, minlength=5)
    assert len(counts) == 5 and np.abs(counts / N - 0.2).max() < 0.01
    assert random.randint((3,), 0, 5, "uint8").dtype == "uint8"
    with pytest.raises(ValueError, match="maxval must be above"):
        random.randint((3,), 5, 5)
    with pytest.raises(ValueError, match="draws integers"):
        random.randint((3,), 0, 5, "float32")


def test_categorical(backend):
    p = np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 0.0]])
    with np.errstate(divide="ignore"):
        y = random.categorical(np.log(p), N // 2, seed=4)
    assert y.shape == (2, N // 2) and y.dtype == "int32"
    for row, want in zip(y.numpy(), p):
        assert np.abs(np.bincount(row, minlength=3) / (N // 2) - want).max() < 0.012
    with pytest.raises(ValueError, match="batch, classes"):
        random.categorical([1.0, 2.0], 3)


def test_shuffle(backend):
    x = np.arange(24).reshape(2, 12)
    y = random.shuffle(x, axis=1, seed=2).numpy()
    assert (np.sort(y, axis=1) == x).all() and (y != x).any()
    assert (y[1] - y[0] == 12).all()  # whole slices move
    np.testing.assert_array_equal(random.shuffle(x, axis=1, seed=2).numpy(), y)


def test_dropout(backend):
    x = ops.ones((200, 200))
    y = random.dropout(x, 0.25, seed=3).numpy()
    assert abs((y == 0).mean() - 0.25) < 0.01
    np.testing.assert_allclose(y[y != 0], 1 / 0.75, rtol=1e-6)
    rows = random.dropout(x, 0.5, noise_shape=(200, 1), seed=3).numpy()
    assert (rows == rows[:, :1]).all()


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 0.99])
def test_dropout_mask(backend, rate):
    generator = random.device_generator(backend, 8)
    mask = backend.to_numpy(backend.dropout_mask(generator, (50, 2001), rate))
    assert mask.shape == (50, 2001) and mask.dtype == bool
    assert abs(mask.mean() - (1 - rate)) < 0.006
    assert backend.dropout_mask(generator, (), 0.5).shape == ()


def test_host_generator():
    random.set_seed(9)
    a = random.host_generator().random(3)
    with backends.device_scope("cpu"):
        random.normal((5,))  # noise does not disturb weights and shuffles
    b = random.host_generator().random(3)
    random.set_seed(9)
    np.testing.assert_array_equal(random.host_generator().random(6), np.concatenate([a, b]))
    np.testing.assert_array_equal(random.host_generator(4).random(2), random.host_generator(4).random(2))


def test_seed_generator():
    g = SeedGenerator(42, name="noise")
    assert g.get_config() == {"seed": 42, "name": "noise"}
    assert SeedGenerator.from_config(g.get_config()).seed == 42
    first, second = g.next(), g.next()
    assert first.dtype == "uint32" and first.numpy().tolist() == [42, 0]
    assert second.numpy().tolist() == [42, 1]
    assert g.state.numpy().tolist() == [42, 2] and not g.state.trainable
    g.reset()
    assert g.next().numpy().tolist() == [42, 0]
    random.set_seed(1)
    a = SeedGenerator()
    random.set_seed(1)
    assert SeedGenerator().seed == a.seed
    for bad in (1.5, "1", True):
        with pytest.raises(ValueError, match="seed must be an integer"):
            SeedGenerator(bad)
    with pytest.raises(ValueError, match="unknown arguments"):
        SeedGenerator(1, device="gpu")
    with pytest.raises(ValueError, match="seed must be None"):
        random.normal((1,), seed="x")


def test_negative_and_huge_seeds(backend):
    for seed in (-1, 2**70, np.int64(3)):
        np.testing.assert_array_equal(
            random.normal((3,), seed=seed).numpy(), random.normal((3,), seed=seed).numpy()
        )
    random.set_seed(-5)
    assert random.SeedGenerator(-3).generator(backend) is not None


def test_set_random_seed_reaches_every_source():
    keras.utils.set_random_seed(12)
    a = (random.host_generator().random(), random.normal((2,)).numpy().tolist(), np.random.random())
    keras.utils.set_random_seed(12)
    assert a == (random.host_generator().random(), random.normal((2,)).numpy().tolist(), np.random.random())
