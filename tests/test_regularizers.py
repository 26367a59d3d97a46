"""Regularizers: values, gradients, names, configurations, errors."""

import numpy as np
import pytest

from gpukeras import GradientTape, ops, regularizers

X = np.random.default_rng(0).normal(size=(3, 4))


def dots(x, axis):
    """Mean absolute dot product of different unit rows (axis 1) or columns (axis 0), by loops."""
    rows = [r / np.linalg.norm(r) for r in (x if axis == 1 else x.T)]
    pairs = [abs(rows[i] @ rows[j]) for i in range(len(rows)) for j in range(i)]
    return sum(pairs) / len(pairs)


CASES = [
    (regularizers.L1(0.3), lambda x: 0.3 * np.abs(x).sum()),
    (regularizers.L2(0.3), lambda x: 0.3 * (x**2).sum()),
    (regularizers.L1L2(0.3, 0.2), lambda x: 0.3 * np.abs(x).sum() + 0.2 * (x**2).sum()),
    (regularizers.L1L2(0.0, 0.2), lambda x: 0.2 * (x**2).sum()),
    (regularizers.L1L2(0.3, None), lambda x: 0.3 * np.abs(x).sum()),
    (regularizers.OrthogonalRegularizer(0.3), lambda x: 0.3 * dots(x, 1)),
    (regularizers.OrthogonalRegularizer(0.3, "columns"), lambda x: 0.3 * dots(x, 0)),
]


@pytest.mark.parametrize(("regularizer", "reference"), CASES, ids=[repr(r) for r, _ in CASES])
def test_value_gradient_and_round_trip(backend, regularizer, reference):
    x = ops.convert_to_tensor(X, dtype="float64")
    with GradientTape() as tape:
        tape.watch(x)
        value = regularizer(x)
    assert value.shape == () and value.dtype == np.float64
    assert float(value) == pytest.approx(reference(X), rel=1e-10)
    step = np.random.default_rng(1).normal(size=X.shape) * 1e-6
    slope = (reference(X + step) - reference(X - step)) / 2
    assert (tape.gradient(value, x).numpy() * step).sum() == pytest.approx(slope, rel=1e-5)
    assert regularizer(ops.convert_to_tensor(X, dtype="float32")).dtype == np.float32
    back = regularizers.deserialize(regularizers.serialize(regularizer))
    assert type(back) is type(regularizer) and back.get_config() == regularizer.get_config()
    assert regularizers.get(regularizer) is regularizer


def test_nothing_to_add():
    value = regularizers.L1L2()(ops.convert_to_tensor(X, dtype="float64"))
    assert float(value) == 0 and value.shape == () and value.dtype == np.float64


def test_rows_of_zeros_stay_finite():
    x = ops.zeros((3, 2))
    with GradientTape() as tape:
        tape.watch(x)
        value = regularizers.OrthogonalRegularizer()(x)
    assert float(value) == 0 and np.isfinite(tape.gradient(value, x).numpy()).all()


def test_names():
    assert isinstance(regularizers.get("l1"), regularizers.L1)
    assert isinstance(regularizers.get("L2"), regularizers.L2)
    assert regularizers.get("l1l2").get_config() == {"l1": 0.0, "l2": 0.0}
    assert regularizers.get("l1_l2").get_config() == {"l1": 0.01, "l2": 0.01}  # Keras 2 alone knew it
    assert regularizers.l2(0.5).l2 == regularizers.l2(l=0.5).l2 == 0.5
    assert regularizers.l1_l2(l1=0.1, l2=0.2).get_config() == {"l1": 0.1, "l2": 0.2}
    assert regularizers.get({"class_name": "L1L2", "config": {"l1": 0.5, "l2": 0.0}}).l1 == 0.5
    assert regularizers.get(None) is None

    def penalty(w):
        return w

    assert regularizers.get(penalty) is penalty


@pytest.mark.parametrize(
    "make",
    [
        lambda: regularizers.L1(-1), lambda: regularizers.L2(float("nan")), lambda: regularizers.L2("much"),
        lambda: regularizers.L1L2(l2=float("inf")),
        lambda: regularizers.OrthogonalRegularizer(mode="diagonal"),
        lambda: regularizers.OrthogonalRegularizer()(np.zeros(3)),
    ],
)
def test_wrong_arguments(make):
    with pytest.raises(ValueError, match="of L1|of L2|OrthogonalRegularizer"):
        make()


def test_unknown_argument():
    with pytest.raises(TypeError, match="'ll'"):
        regularizers.L1(ll=1)


def test_subclass_must_be_called():
    with pytest.raises(NotImplementedError, match="__call__"):
        regularizers.Regularizer()(X)


@pytest.mark.parity
def test_real_keras(real_keras):
    x = X.astype("float32")
    for ours, theirs in [
        (regularizers.L1(0.1), real_keras.regularizers.L1(0.1)),
        (regularizers.L2(0.1), real_keras.regularizers.L2(0.1)),
        (regularizers.L1L2(0.1, 0.2), real_keras.regularizers.L1L2(0.1, 0.2)),
        (regularizers.OrthogonalRegularizer(0.1), real_keras.regularizers.OrthogonalRegularizer(0.1)),
    ]:
        expected = float(theirs(real_keras.ops.convert_to_tensor(x)))
        assert float(ours(x)) == pytest.approx(expected, rel=1e-5)
