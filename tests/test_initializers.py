"""Initializers: distributions, fans, seeds, names, configurations."""

import math

import numpy as np
import pytest

from gpukeras import initializers, utils
from gpukeras.random import SeedGenerator

RANDOM = [
    initializers.RandomNormal(0.5, 0.1, seed=1), initializers.TruncatedNormal(0.5, 0.1, seed=1),
    initializers.RandomUniform(-1, 2, seed=1),
    initializers.VarianceScaling(2.0, "fan_out", "uniform", seed=1),
    initializers.GlorotUniform(1), initializers.GlorotNormal(1), initializers.HeUniform(1),
    initializers.HeNormal(1), initializers.LecunUniform(1), initializers.LecunNormal(1),
    initializers.Orthogonal(1.5, seed=1),
]
ALL = [
    *RANDOM, initializers.Zeros(), initializers.Ones(), initializers.Constant(3.0),
    initializers.Identity(2.0),
]


@pytest.mark.parametrize("init", ALL, ids=repr)
def test_shape_dtype_and_round_trip(init):
    for dtype in ("float16", "float32", "float64"):
        values = init((4, 4), dtype)
        assert isinstance(values, np.ndarray) and values.shape == (4, 4) and values.dtype == dtype
    assert init((4, 4)).dtype == np.float32
    old = {"class_name": type(init).__name__, "config": init.get_config()}
    for config in (initializers.serialize(init), old):
        back = initializers.deserialize(config)
        assert type(back) is type(init) and back.get_config() == init.get_config()
        assert np.array_equal(back((4, 4)), init((4, 4)))
    assert init.clone().get_config() == init.get_config()


@pytest.mark.parametrize("init", RANDOM, ids=repr)
def test_integer_seed_repeats_and_none_differs_between_instances(init):
    assert np.array_equal(init((3, 5)), init((3, 5)))
    config = init.get_config()
    fresh = [type(init).from_config({**config, "seed": None}) for _ in range(2)]
    assert not np.array_equal(fresh[0]((3, 5)), fresh[1]((3, 5)))
    assert np.array_equal(fresh[0]((3, 5)), fresh[0]((3, 5)))
    assert fresh[0].get_config()["seed"] is None
    other = type(init).from_config({**config, "seed": 2})
    assert not np.array_equal(other((3, 5)), init((3, 5)))


def test_global_seed_repeats_weights():
    utils.set_random_seed(5)
    first = initializers.get("glorot_uniform")((4, 4))
    utils.set_random_seed(5)
    assert np.array_equal(first, initializers.get("glorot_uniform")((4, 4)))


def test_seed_generator_gives_new_values_each_call():
    init = initializers.RandomNormal(seed=SeedGenerator(3))
    first, second = init((5,)), init((5,))
    assert not np.array_equal(first, second)
    config = initializers.serialize(initializers.RandomNormal(seed=SeedGenerator(3)))
    again = initializers.deserialize(config)
    assert np.array_equal(again((5,)), first)


def test_moments():
    normal = initializers.RandomNormal(2.0, 0.5, seed=0)((200, 500), "float64")
    assert abs(normal.mean() - 2) < 0.01 and abs(normal.std() - 0.5) < 0.01
    truncated = initializers.TruncatedNormal(2.0, 0.5, seed=0)((200, 500), "float64")
    assert np.abs(truncated - 2).max() <= 1.0 and abs(truncated.std() - 0.5 * 0.8796) < 0.01
    uniform = initializers.RandomUniform(-1, 3, seed=0)((200, 500))
    assert uniform.min() >= -1 and uniform.max() < 3 and abs(uniform.mean() - 1) < 0.02
    integers = initializers.RandomUniform(0, 5, seed=0)((1000,), "int32")
    assert integers.dtype == np.int32 and set(integers) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    ("cls", "scale", "fan"),
    [
        (initializers.GlorotUniform, 1, "avg"), (initializers.GlorotNormal, 1, "avg"),
        (initializers.HeUniform, 2, "in"), (initializers.HeNormal, 2, "in"),
        (initializers.LecunUniform, 1, "in"), (initializers.LecunNormal, 1, "in"),
    ],
)
def test_variance_follows_the_fans(cls, scale, fan):
    values = cls(seed=0)((3, 3, 40, 60), "float64")
    n = {"in": 360, "avg": (360 + 540) / 2}[fan]
    assert values.var() == pytest.approx(scale / n, rel=0.03)
    if "Uniform" in cls.__name__:
        assert np.abs(values).max() == pytest.approx(math.sqrt(3 * scale / n), rel=1e-3)


def test_untruncated_and_old_distribution_names():
    values = initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal", seed=0)((100, 400), "float64")
    assert np.abs(values).max() > 2.5 * 0.1 and values.var() == pytest.approx(0.01, rel=0.03)
    assert initializers.VarianceScaling(distribution="normal").distribution == "truncated_normal"


@pytest.mark.parametrize(
    ("shape", "fans"),
    [((), (1, 1)), ((5,), (5, 5)), ((5, 6), (5, 6)), ((2, 5, 6), (10, 12)), ((3, 3, 2, 4), (18, 36))],
)
def test_fans(shape, fans):
    assert initializers.compute_fans(shape) == fans


def test_fans_of_named_axes():
    assert initializers.compute_fans((20, 30, 40), [0, 1], [2]) == (600, 40)
    values = initializers.GlorotUniform(seed=0, input_axes=[0], output_axes=[2])((20, 30, 40))
    assert np.abs(values).max() == pytest.approx(math.sqrt(6 / 60), rel=1e-2)


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5), (3, 2, 4)])
def test_orthogonal(shape):
    q = initializers.Orthogonal(2.0, seed=0)(shape, "float64").reshape(-1, shape[-1]) / 2
    product = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
    assert np.allclose(product, np.eye(len(product)))


def test_orthogonal_is_spread_evenly():
    signs = [initializers.Orthogonal(seed=s)((2, 2))[0, 0] > 0 for s in range(40)]
    assert 8 < sum(signs) < 32


def test_constant_takes_arrays():
    table = np.arange(6.0).reshape(3, 2)
    assert np.array_equal(initializers.Constant(table)((3, 2)), table.astype("float32"))
    assert initializers.get(table)((3, 2)).tolist() == table.tolist()
    back = initializers.deserialize(initializers.serialize(initializers.Constant(table)))
    assert np.array_equal(back((3, 2)), table)
    with pytest.raises(ValueError, match=r"shape \(3, 2\), which do not fill shape \(4,\)"):
        initializers.Constant(table)((4,))
    first = initializers.Constant(1.0)((2,))
    first[0] = 5  # the result is the caller's own
    assert initializers.Constant(1.0)((2,)).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: initializers.VarianceScaling(scale=0), "scale"),
        (lambda: initializers.VarianceScaling(mode="fan"), "mode"),
        (lambda: initializers.VarianceScaling(distribution="cauchy"), "distribution"),
        (lambda: initializers.RandomNormal(seed="x"), "seed of RandomNormal"),
        (lambda: initializers.RandomNormal(seed=True), "seed of RandomNormal"),
        (lambda: initializers.Identity()((2, 2, 2)), "matrices only"),
        (lambda: initializers.Orthogonal()((2,)), "at least two axes"),
        (lambda: initializers.HeNormal()((2, 2), "int32"), "floating"),
        (lambda: initializers.STFT(side="left"), "side"),
        (lambda: initializers.STFT(window="tukey"), "window"),
        (lambda: initializers.STFT(scaling="x"), "scaling"),
        (lambda: initializers.STFT(window=[1, 2])((3, 1, 5)), "frame"),
    ],
)
def test_errors_name_the_argument(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_subclass_of_the_user():
    class Threes(initializers.Initializer):
        def __call__(self, shape, dtype=None):
            return np.full(shape, 3, dtype)

    assert initializers.get(Threes)((2,), "float32").tolist() == [3, 3]
    with pytest.raises(NotImplementedError, match="__call__"):
        initializers.Initializer()((2,))


@pytest.mark.parity
def test_names_of_real_keras(real_keras):
    functions = {"get", "serialize", "deserialize"}
    for name in {n for n in dir(real_keras.initializers) if n[0].islower()} - functions:
        theirs, ours = getattr(real_keras.initializers, name), getattr(initializers, name)
        assert ours.__name__ == theirs.__name__
        if name != "identity":  # real Keras forgets its gain
            assert ours().get_config() == theirs().get_config()


@pytest.mark.parity
@pytest.mark.parametrize(
    "arguments",
    [
        {}, {"side": "imag", "scaling": "spectrum", "periodic": True}, {"window": None, "scaling": None},
        {"window": "hamming"}, {"window": [0.1, 0.5, 1, 1, 0.5, 0.1]},
    ],
)
def test_stft_kernel(real_keras, arguments):
    theirs = np.asarray(real_keras.initializers.STFT(**arguments)((6, 1, 5)))
    assert np.allclose(initializers.STFT(**arguments)((6, 1, 5)), theirs, atol=1e-6)


@pytest.mark.parity
@pytest.mark.parametrize("axes", [(None, None), ([0], [2]), ([0, 1], [2]), ([0], None)])
def test_limits_of_real_keras(real_keras, axes):
    arguments = {"seed": 1, "input_axes": axes[0], "output_axes": axes[1]}
    theirs = np.abs(np.asarray(real_keras.initializers.GlorotUniform(**arguments)((20, 30, 40)))).max()
    ours = np.abs(initializers.GlorotUniform(**arguments)((20, 30, 40))).max()
    assert ours == pytest.approx(theirs, rel=1e-3)
