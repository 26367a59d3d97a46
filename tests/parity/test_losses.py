"""Every loss of the table against real Keras: values, gradients, weights, masks, configurations."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from support.loss_cases import CASES

from gpukeras import GradientTape, losses, ops

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # in Keras's .numpy()
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
    pytest.mark.filterwarnings("ignore:y_true has shape:UserWarning"),
]
REAL = [case for case in CASES if case.real]


def values_of(case):
    """Return what the loss is for each sample, unreduced."""
    return getattr(losses, case.name)(reduction=None, **case.settings)(*case.arrays).numpy()


@pytest.mark.parametrize("case", REAL, ids=repr)
def test_loss(real_keras, case):
    """Without reduction; then the mean with weights and a mask, and its gradient."""
    y_true, y_pred = case.arrays
    rng = np.random.default_rng(3)
    values = values_of(case)
    plain = getattr(real_keras.losses, case.name)(reduction=None, **case.settings)
    np.testing.assert_allclose(values, np.asarray(plain(y_true, y_pred)), case.tolerance, case.tolerance)
    weights = mask = None
    if case.per_sample:
        weights = rng.integers(0, 4, (len(values), *[1] * (values.ndim - 1))).astype("float32")
        mask = rng.random(values.shape) < 0.7
    theirs = getattr(real_keras.losses, case.name)(**case.settings)

    def real(p):
        p = p * 1.0
        if mask is not None:
            real_keras.src.backend.set_keras_mask(p, mask)
        return theirs(y_true, p, weights)

    value, slope = jax.value_and_grad(real)(y_pred) if case.slope else (real(y_pred), None)
    x = ops.convert_to_tensor(y_pred)
    if mask is not None:
        x._keras_mask = ops.convert_to_tensor(mask)
    with GradientTape() as tape:
        tape.watch(x)
        found = getattr(losses, case.name)(**case.settings)(y_true, x, weights)
    np.testing.assert_allclose(float(found), float(value), case.tolerance, case.tolerance)
    if case.slope:
        np.testing.assert_allclose(
            tape.gradient(found, x).numpy(), np.asarray(slope), 10 * case.tolerance, 10 * case.tolerance)


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_function_and_configuration(real_keras, case):
    ours = getattr(losses, case.name)(**case.settings)
    theirs = getattr(real_keras.losses, case.name)(**case.settings)
    expected, found = theirs.get_config(), ours.get_config()
    assert {k: found[k] for k in expected if k not in ("fn", "dtype")} == {
        k: v for k, v in expected.items() if k not in ("fn", "dtype")}
    if case.name != "CategoricalGeneralizedCrossEntropy":  # Keras cannot read its own
        assert type(real_keras.losses.deserialize(losses.serialize(ours))) is type(theirs)
    assert type(losses.deserialize(real_keras.losses.serialize(theirs))) is type(ours)
    if case.function is not None:
        found = getattr(losses, case.function)(*case.arrays, **case.settings)
        np.testing.assert_array_equal(found.numpy(), values_of(case))


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", None])
def test_reductions(real_keras, reduction):
    """Of values of one and two axes, with weights of all shapes, with and without a mask."""
    rng = np.random.default_rng(1)
    for shape in ((4, 2), (4, 3, 2)):
        y_true, y_pred = rng.random(shape).astype("float32"), rng.random(shape).astype("float32")
        mask = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 1, 1]], bool)[(..., *[0] * (3 - len(shape)))]
        column = rng.random((4, *[1] * (len(shape) - 2))).astype("float32")
        for weights in (None, 2.0, column, np.broadcast_to(column, shape[:-1])):
            for used in (None, mask):
                theirs, ours = real_keras.ops.convert_to_tensor(y_pred), ops.convert_to_tensor(y_pred)
                if used is not None:
                    real_keras.src.backend.set_keras_mask(theirs, used)
                    ours._keras_mask = ops.convert_to_tensor(used)
                want = real_keras.losses.MeanSquaredError(reduction=reduction)(y_true, theirs, weights)
                found = losses.MeanSquaredError(reduction=reduction)(y_true, ours, weights)
                np.testing.assert_allclose(found.numpy(), np.asarray(want), 1e-5)


def test_the_table_is_complete(real_keras):
    theirs = {name: thing for name, thing in vars(real_keras.losses).items() if callable(thing)}
    classes = {name for name, thing in theirs.items() if isinstance(thing, type)} - {"Loss"}
    functions = set(theirs) - classes - {"Loss", "get", "serialize", "deserialize"}
    assert classes == {case.name for case in CASES}
    assert {getattr(losses, name).__name__ for name in functions} <= {case.function for case in CASES}
