"""In an older era everything gives the numbers that real Keras gave then.

They are of Keras 2.2.4 and 2.3.1 (``make_keras2.py``) and of tf.keras (``make_tfkeras.py``).
"""

import functools
import pathlib

import numpy as np
import pytest

import gpukeras as keras
from gpukeras import GradientTape, compat, ops

from . import keras2_cases as cases
from . import keras2_fits as fits

pytestmark = [pytest.mark.cpu, pytest.mark.filterwarnings("ignore")]  # of old arguments
TOLERANCE = 2e-5


@pytest.fixture(params=["keras224", "keras231", "tfkeras2"])
def expected(request):
    """The numbers of a release, while its era lasts."""
    with compat.era_scope(request.param):
        yield _stored(request.param)


@functools.cache
def _stored(era):
    with np.load(pathlib.Path(__file__).parent / f"{era}.npz") as stored:
        return dict(stored)


def _same(found, expected, what):
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, f"{what}: shape {found.shape}, Keras had {expected.shape}"
    scale = max(1.0, np.abs(expected).max(initial=0))
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE * scale, err_msg=what)


@pytest.mark.parametrize("case", cases.LAYERS, ids=cases.label)
def test_layer(case, expected):
    if compat.era() == "tfkeras2" and not cases.in_tfkeras(case):
        return
    name, kwargs, shapes = case[:3]
    kind = case[3] if len(case) > 3 else None
    layer = getattr(keras.layers, name)(**(kwargs(keras.layers) if callable(kwargs) else kwargs))
    data = [ops.convert_to_tensor(x) for x in cases.inputs(shapes, kind)]

    def forward():
        first = keras.layers.Masking()(data[0]) if kind == "masked" else data[0]
        return layer(first if len(data) == 1 else data, training=kind == "train")

    forward()
    layer.set_weights(cases.weights([w.shape for w in layer.weights], [w.name for w in layer.weights]))
    with GradientTape() as tape:
        tape.watch(data)
        outputs = forward()
    label = cases.label(case)
    _same(outputs.numpy(), expected[f"{label}/0"], "output")
    seed = np.random.RandomState(11).standard_normal(outputs.shape).astype("float32")
    wanted = [*layer.trainable_weights, *([] if kind == "int" else data)]
    grads = tape.gradient(outputs, wanted, ops.convert_to_tensor(seed), unconnected_gradients="zero")
    for i, gradient in enumerate(grads, 1):
        _same(ops.convert_to_numpy(gradient), expected[f"{label}/{i}"], f"gradient {i}")
    assert f"{label}/{len(grads) + 1}" not in expected


@pytest.mark.parametrize("name", cases.LOSSES + cases.METRICS)
def test_loss_or_metric(name, expected):
    function = keras.losses.get(name) if name in cases.LOSSES else getattr(keras.metrics, name)
    y_true, y_pred = map(ops.convert_to_tensor, cases.targets(name))
    _same(ops.convert_to_numpy(function(y_true, y_pred)), expected[name], name)


@pytest.mark.parametrize("name", cases.ACTIVATIONS)
def test_activation(name, expected):
    grid = ops.convert_to_tensor(np.linspace(-4, 4, 18, dtype="float32").reshape(2, 9))
    _same(keras.activations.get(name)(grid).numpy(), expected[f"activation_{name}"], name)


@pytest.mark.parametrize("room, cases_of_room", [
    ("constraint", cases.CONSTRAINTS), ("regularizer", cases.REGULARIZERS),
])
def test_constraints_and_regularizers(room, cases_of_room, expected):
    w = ops.convert_to_tensor(np.random.RandomState(2).standard_normal((3, 4)).astype("float32"))
    for i, (name, kwargs) in enumerate(cases_of_room):
        made = getattr(getattr(keras, f"{room}s"), name)(**kwargs)
        _same(ops.convert_to_numpy(made(w)), expected[f"{room}_{i}"], f"{name} {kwargs}")


@pytest.mark.parametrize("number", range(len(cases.OPTIMIZERS)), ids=lambda n: cases.OPTIMIZERS[n][0])
def test_optimizer(number, expected):
    name, kwargs = cases.OPTIMIZERS[number]
    model = cases.small_model(keras, getattr(_library().optimizers, name)(**kwargs))
    x, y = cases.small_data()
    for _ in range(cases.OPTIMIZER_STEPS):
        model.train_on_batch(x, y)
    for i, w in enumerate(model.get_weights()):
        _same(w, expected[f"optimizer_{number}/{i}"], f"weight {i}")


def _library():
    return cases.WithLegacyOptimizers(keras) if compat.era() == "tfkeras2" else keras


@pytest.mark.parametrize("name", sorted(fits.FITS))
def test_fit(name, expected):
    found = fits.FITS[name](_library())
    for what, value in found.items():
        _same(np.asarray(value, "float32"), expected[f"fit_{name}/{what}"], what)
