"""Activations, constraints, regularizers, initializers and random numbers against real Keras 3."""

import json

import numpy as np
import pytest
from support import contracts

from gpukeras import GradientTape, activations, constraints, initializers, ops, random, regularizers

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]

# Away from the corners at 0, 0.5, 1, 3 and 6.
X = (np.arange(-40, 40).reshape(8, 10) / 6.0 + 0.05).astype("float32")
W = (np.random.default_rng(0).normal(size=(3, 3, 2, 4)) * 2).astype("float32")

ACTIVATIONS = [
    ("celu", {}, {"alpha": 0.3}), ("elu", {}, {"alpha": 0.3}), ("exponential", {}),
    ("gelu", {}, {"approximate": True}), ("glu", {}, {"axis": 0}), ("hard_shrink", {}, {"threshold": 1.2}),
    ("hard_sigmoid", {}), ("hard_silu", {}), ("hard_tanh", {}), ("leaky_relu", {}, {"negative_slope": 0.4}),
    ("linear", {}), ("log_sigmoid", {}), ("log_softmax", {}, {"axis": 0}), ("mish", {}), ("relu6", {}),
    ("selu", {}), ("sigmoid", {}), ("silu", {}),
    ("relu", {}, {"negative_slope": 0.1}, {"max_value": 2.0}, {"threshold": 1.0, "max_value": 3.0},
     {"negative_slope": 0.1, "threshold": 0.5, "max_value": 4.0}),
    ("soft_shrink", {}, {"threshold": 1.2}), ("softmax", {}, {"axis": 0}), ("softplus", {}), ("softsign", {}),
    ("sparse_plus", {}), ("sparse_sigmoid", {}), ("squareplus", {}, {"b": 1.5}), ("tanh", {}),
    ("tanh_shrink", {}), ("threshold", {"threshold": 1.2, "default_value": -2.0}),
]


@pytest.mark.parametrize("name, settings", [(name, s) for name, *many in ACTIVATIONS for s in many])
def test_activations(real_keras, name, settings):
    """Values and gradients; ``test_activations.py`` speaks of sparsemax, which real Keras gets wrong."""
    import jax

    expected, backward = jax.vjp(lambda x: getattr(real_keras.activations, name)(x, **settings), X)
    seed = np.random.default_rng(1).normal(size=expected.shape).astype("float32")
    x = ops.convert_to_tensor(X)
    with GradientTape() as tape:
        tape.watch(x)
        y = getattr(activations, name)(x, **settings)
    found = tape.gradient(y, x, ops.convert_to_tensor(seed))
    np.testing.assert_allclose(y.numpy(), expected, rtol=2e-5, atol=2e-6)
    np.testing.assert_allclose(found.numpy(), backward(jax.numpy.asarray(seed))[0], rtol=1e-4, atol=3e-6)


def test_the_table_of_activations_is_whole():
    known = {path.split(".")[1] for path, entry in contracts.symbols("keras3").items()
             if path.startswith("activations.") and "same" not in entry}
    assert known - {name for name, *_ in ACTIVATIONS} == {"get", "serialize", "deserialize", "sparsemax"}


@pytest.mark.parametrize("name, settings", [
    ("MaxNorm", {}), ("MaxNorm", {"max_value": 1.5, "axis": [0, 1, 2]}), ("MaxNorm", {"axis": -1}),
    ("NonNeg", {}), ("UnitNorm", {}), ("UnitNorm", {"axis": [0, 1, 2]}), ("MinMaxNorm", {}),
    ("MinMaxNorm", {"min_value": 2.0, "max_value": 3.0, "rate": 0.4, "axis": [0, 1]}),
])
def test_constraints(real_keras, name, settings):
    theirs, ours = (getattr(m.constraints, name)(**settings) for m in (real_keras, _Here))
    np.testing.assert_allclose(ours(W).numpy(), np.asarray(theirs(W)), rtol=1e-5, atol=1e-6)
    _exchange(real_keras.constraints, constraints, theirs, ours)


@pytest.mark.parametrize("name, settings", [
    ("L1", {}), ("L1", {"l1": 0.3}), ("L2", {}), ("L2", {"l2": 0.3}), ("L1L2", {}),
    ("L1L2", {"l1": 0.3, "l2": 0.1}),
    ("OrthogonalRegularizer", {}), ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
])
def test_regularizers(real_keras, name, settings):
    import jax

    theirs, ours = (getattr(m.regularizers, name)(**settings) for m in (real_keras, _Here))
    expected, gradient = jax.value_and_grad(lambda x: jax.numpy.asarray(theirs(x), "float32"))(X)
    x = ops.convert_to_tensor(X)
    with GradientTape() as tape:
        tape.watch(x)
        y = ours(x)
    assert float(y) == pytest.approx(float(expected), rel=1e-5)
    found = tape.gradient(y, x, unconnected_gradients="zero").numpy()
    np.testing.assert_allclose(found, np.asarray(gradient), rtol=1e-4, atol=1e-6)
    _exchange(real_keras.regularizers, regularizers, theirs, ours)


class _Here:
    """Our modules, under the names they have in Keras."""

    activations, constraints = activations, constraints
    initializers, regularizers = initializers, regularizers


def _exchange(their_module, our_module, theirs, ours):
    """Configurations are equal, and each library makes its object of the other's."""
    config = _plain(theirs.get_config())
    assert _plain(ours.get_config()) == config
    from_theirs = our_module.deserialize(json.loads(json.dumps(their_module.serialize(theirs))))
    from_ours = their_module.deserialize(json.loads(json.dumps(our_module.serialize(ours))))
    assert type(from_theirs) is type(ours) and type(from_ours) is type(theirs)
    assert _plain(from_theirs.get_config()) == _plain(from_ours.get_config()) == config
    old = our_module.deserialize(our_module.serialize(ours, use_legacy_format=True))
    assert type(old) is type(ours) and old.get_config() == ours.get_config()


def _plain(config):
    """Return a configuration as a file holds it; real Keras keeps factors in float32."""
    return json.loads(json.dumps(config), parse_float=lambda text: float(np.float32(text)))


# ---- initializers ------------------------------------------------------------------------------------
FIXED = [
    ("Zeros", {}, (2, 3)), ("Ones", {}, (2, 3)), ("Constant", {"value": 2.5}, (2, 3)),
    ("Identity", {}, (3, 4)), ("Identity", {"gain": 2.0}, (4, 3)),
    *[("STFT", settings, (6, 1, 5)) for settings in (
        {}, {"side": "imag"}, {"window": "hamming", "scaling": "spectrum"},
        {"window": None, "periodic": True}, {"scaling": None, "periodic": True},
    )],
]
_AXES = {"input_axes": [0], "output_axes": [1, 2]}
DRAWN = [
    ("RandomNormal", {"mean": 0.5, "stddev": 0.2}), ("RandomNormal", {}),
    ("TruncatedNormal", {"mean": 0.5, "stddev": 0.2}), ("TruncatedNormal", {}),
    ("RandomUniform", {"minval": -0.2, "maxval": 0.7}), ("RandomUniform", {}),
    *[("VarianceScaling", {"scale": 1.7, "mode": mode, "distribution": distribution})
      for mode, distribution in (
          ("fan_in", "truncated_normal"), ("fan_out", "untruncated_normal"), ("fan_avg", "uniform"),
          ("fan_avg", "truncated_normal"))],
    ("VarianceScaling", {"mode": "fan_in", **_AXES}), ("VarianceScaling", {"mode": "fan_out", **_AXES}),
    *[(name, settings) for name in (
        "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform")
      for settings in ({}, _AXES)],
]


@pytest.mark.parametrize("name, settings, shape", FIXED)
def test_fixed_initializers(real_keras, name, settings, shape):
    theirs, ours = (getattr(m.initializers, name)(**settings) for m in (real_keras, _Here))
    for dtype, tolerance in (("float32", 1e-6), ("float16", 3e-3)):
        found, expected = ours(shape, dtype=dtype), np.asarray(theirs(shape, dtype=dtype))
        assert str(found.dtype) == dtype
        np.testing.assert_allclose(found, expected, tolerance, tolerance)
    assert str(ours(shape).dtype) == "float32"
    if name != "Identity":  # real Keras forgets its gain
        _exchange(real_keras.initializers, initializers, theirs, ours)


@pytest.mark.parametrize("name, settings", DRAWN)
def test_drawn_initializers(real_keras, name, settings):
    shape = (20, 30, 40)
    made = [getattr(m.initializers, name)(**settings, seed=3) for m in (real_keras, _Here)]
    _alike(*(np.asarray(one(shape)) for one in made))
    _exchange(real_keras.initializers, initializers, *made)


@pytest.mark.parametrize("shape", [(4, 6), (3, 2, 5)])
def test_orthogonal(real_keras, shape):
    for module in (real_keras.initializers, initializers):
        found = np.asarray(module.Orthogonal(gain=1.5, seed=2)(shape)).reshape(-1, shape[-1])
        product = found @ found.T if found.shape[0] < found.shape[1] else found.T @ found
        np.testing.assert_allclose(product, 2.25 * np.eye(len(product)), atol=1e-5)
    _exchange(real_keras.initializers, initializers, real_keras.initializers.Orthogonal(1.5, 2),
              initializers.Orthogonal(1.5, 2))


@pytest.mark.parametrize("name", [
    "RandomNormal", "HeUniform", "Orthogonal",
])
def test_seeds_repeat_as_they_do_there(real_keras, name):
    """An integer or no seed: the same values at every call; a ``SeedGenerator``: new ones."""
    for keras in (real_keras, None):
        module, source = (initializers, random) if keras is None else (keras.initializers, keras.random)
        for seed, same in ((3, True), (None, True), (source.SeedGenerator(3), False)):
            made = getattr(module, name)(seed=seed)
            one, two = (np.asarray(made((4, 5))) for _ in range(2))
            assert (one == two).all() == same
        one, two = (np.asarray(getattr(module, name)()((4, 5))) for _ in range(2))
        assert (one != two).any()


# ---- names -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("room", ["activations", "initializers", "regularizers", "constraints"])
@pytest.mark.parametrize("contract", ["keras3", "tfkeras2", "keras231", "keras224"])
def test_every_string_stands_for_its_object(contract, room):
    module = getattr(_Here, room)
    for text, name in contracts.contract(contract)["aliases"].get(room, {}).items():
        found, expected = module.get(text), getattr(module, name)
        assert found is expected or type(found) is expected, text


# ---- random numbers ------------------------------------------------------------------------------------
COUNT = 20000
NUMBERS = [
    ("normal", {"shape": (COUNT,)}), ("normal", {"shape": (COUNT,), "mean": 2.0, "stddev": 0.3}),
    ("uniform", {"shape": (COUNT,)}), ("uniform", {"shape": (COUNT,), "minval": -2.0, "maxval": 5.0}),
    ("truncated_normal", {"shape": (COUNT,)}),
    ("truncated_normal", {"shape": (COUNT,), "mean": 2.0, "stddev": 0.3}),
    ("randint", {"shape": (COUNT,), "minval": -3, "maxval": 9}),
    ("gamma", {"shape": (COUNT, 2), "alpha": np.float32([0.7, 5.0])}),
    ("beta", {"shape": (COUNT,), "alpha": 0.7, "beta": 2.0}),
    ("binomial", {"shape": (COUNT,), "counts": 12, "probabilities": 0.3}),
    ("categorical",
     {"logits": np.log(np.float32([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]])), "num_samples": COUNT}),
    ("dropout", {"inputs": np.full((COUNT,), 3.0, "float32"), "rate": 0.3}),
    ("dropout", {"inputs": np.full((2000, 10), 3.0, "float32"), "rate": 0.3, "noise_shape": (2000, 1)}),
    ("shuffle", {"x": np.arange(COUNT, dtype="float32")}),
    ("shuffle", {"x": np.arange(COUNT, dtype="float32").reshape(2, -1), "axis": 1}),
]


@pytest.mark.parametrize("name, settings", NUMBERS)
def test_random_numbers(real_keras, name, settings):
    theirs = np.asarray(getattr(real_keras.random, name)(**settings, seed=4))
    ours = getattr(random, name)(**settings, seed=4).numpy()
    assert ours.dtype == theirs.dtype
    _alike(theirs, ours, shared=theirs.size // np.prod(settings.get("noise_shape", theirs.shape)))
    np.testing.assert_array_equal(getattr(random, name)(**settings, seed=4).numpy(), ours)
    if name in ("shuffle", "categorical"):
        for a, b in zip(np.atleast_2d(theirs), np.atleast_2d(ours)):
            _alike(a, b)


@pytest.mark.parametrize("name", [
    "normal", "uniform", "truncated_normal", "randint", "gamma", "beta", "binomial", "categorical",
])
def test_dtypes_of_random_numbers(name):
    settings = next(s for n, s in NUMBERS if n == name)
    dtype = "int64" if name in ("randint", "categorical") else "float16"
    found = getattr(random, name)(**settings, dtype=dtype, seed=1).numpy()
    assert str(found.dtype) == dtype
    _alike(getattr(random, name)(**settings, seed=2).numpy(), found)


def _alike(theirs, ours, shared=1):
    """The draws could be of one distribution; ``shared``: how many elements each draw makes."""
    assert ours.shape == theirs.shape
    a, b = (np.sort(np.ravel(x).astype("float64")) for x in (theirs, ours))
    error = (2 * shared / a.size) ** 0.5
    assert abs(a.mean() - b.mean()) < 5 * error * a.std()
    assert abs(a.std() - b.std()) < 8 * error * a.std()
    steps = np.concatenate([a, b])
    distance = np.abs(np.searchsorted(a, steps, "right") - np.searchsorted(b, steps, "right")).max()
    assert distance / a.size < 2.2 * error  # Kolmogorov and Smirnov: chance 1e-4
    reach = a[-1] - a[0]
    assert abs(a[0] - b[0]) < 0.25 * reach and abs(a[-1] - b[-1]) < 0.25 * reach
