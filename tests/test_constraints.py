"""Constraints: values, axes, names, configurations."""

import numpy as np
import pytest

from gpukeras import Variable, constraints, ops

W = np.random.default_rng(0).normal(size=(4, 3)) * 3


def rescale(w, length, axis):
    """Divide each vector by its norm and multiply with ``length(norm)``, by loops over the other axis."""
    found = np.moveaxis(np.array(w), axis, 0)
    for column in range(found.shape[1]):
        norm = np.linalg.norm(found[:, column])
        found[:, column] *= length(norm) / norm
    return np.moveaxis(found, 0, axis)


CASES = [
    (constraints.MaxNorm(2.0), lambda w: rescale(w, lambda n: min(n, 2.0), 0)),
    (constraints.MaxNorm(2.0, axis=1), lambda w: rescale(w, lambda n: min(n, 2.0), 1)),
    (constraints.NonNeg(), lambda w: np.where(w > 0, w, 0)),
    (constraints.UnitNorm(axis=0), lambda w: rescale(w, lambda n: 1.0, 0)),
    (constraints.MinMaxNorm(1.0, 2.0), lambda w: rescale(w, lambda n: min(max(n, 1.0), 2.0), 0)),
    (
        constraints.MinMaxNorm(5.0, 6.0, rate=0.5, axis=1),
        lambda w: rescale(w, lambda n: 0.5 * n + 0.5 * min(max(n, 5.0), 6.0), 1),
    ),
]


@pytest.mark.parametrize(("constraint", "reference"), CASES, ids=[repr(c) for c, _ in CASES])
def test_value_and_round_trip(backend, constraint, reference):
    variable = Variable(W, dtype="float32")
    found = constraint(variable)
    assert found.dtype == np.float32
    assert np.allclose(found.numpy(), reference(W), atol=1e-5)
    variable.assign(found)  # what an optimizer does
    back = constraints.deserialize(constraints.serialize(constraint))
    assert type(back) is type(constraint) and back.get_config() == constraint.get_config()


def test_several_axes():
    w = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype("float32") * 5
    found = constraints.MaxNorm(1.0, axis=[0, 1, 2])(w).numpy()
    assert np.allclose(np.sqrt((found**2).sum(axis=(0, 1, 2))), 1.0, atol=1e-5)


def test_zero_weights_stay_zero():
    for constraint in (constraints.MaxNorm(), constraints.UnitNorm(), constraints.MinMaxNorm(1.0, 2.0)):
        assert (constraint(np.zeros((3, 2), "float32")).numpy() == 0).all()


def test_names():
    for name in ("max_norm", "maxnorm", "MaxNorm"):
        assert isinstance(constraints.get(name), constraints.MaxNorm)
    assert isinstance(constraints.get("nonneg"), constraints.NonNeg)
    assert isinstance(constraints.get("unitnorm"), constraints.UnitNorm)
    assert constraints.max_norm(3.0).max_value == constraints.maxnorm(3.0).max_value == 3.0
    assert constraints.get({"class_name": "MaxNorm", "config": {"max_value": 5, "axis": 0}}).max_value == 5
    assert constraints.get(None) is None
    with pytest.raises(ValueError, match="unknown constraint 'non_negg'; did you mean 'non_neg'"):
        constraints.get("non_negg")


def test_subclass_of_the_user():
    class Below(constraints.Constraint):
        def __init__(self, top):
            self.top = top

        def __call__(self, w):
            return ops.minimum(w, self.top)

        def get_config(self):
            return {"top": self.top}

    assert constraints.deserialize(constraints.serialize(Below(2.0)), {"Below": Below}).top == 2.0
    with pytest.raises(NotImplementedError, match="__call__"):
        constraints.Constraint()(W)


@pytest.mark.parity
def test_real_keras(real_keras):
    w = W.astype("float32")
    for name, arguments in [
        ("MaxNorm", {}), ("MaxNorm", {"max_value": 1.5, "axis": 1}), ("NonNeg", {}),
        ("UnitNorm", {"axis": 1}),
        ("MinMaxNorm", {"min_value": 1.0, "max_value": 2.0, "rate": 0.3}),
    ]:
        theirs = getattr(real_keras.constraints, name)(**arguments)
        ours = getattr(constraints, name)(**arguments)
        expected = np.asarray(theirs(real_keras.ops.convert_to_tensor(w)))
        assert np.allclose(ours(w).numpy(), expected, atol=1e-6)
        assert constraints.serialize(ours) == real_keras.constraints.serialize(theirs)


@pytest.mark.parametrize("size, diagonal", [  # of each ring from the middle outward: what tf.keras takes
    (1, [0]), (2, [0]), (3, [0, 1]), (4, [1, 3]), (5, [1, 2, 3]), (6, [2, 4, 5]), (7, [2, 3, 4, 5]),
])
def test_radial(backend, size, diagonal):
    w = np.random.default_rng(0).normal(size=(size, size, 2, 3)).astype("float32")
    expected = np.empty_like(w)
    for i in range(size):
        for j in range(size):
            ring = int(max(abs(i - (size - 1) / 2), abs(j - (size - 1) / 2)))
            expected[i, j] = w[diagonal[ring], diagonal[ring]]
    constraint = constraints.get("radial_constraint")
    np.testing.assert_array_equal(constraint(Variable(w)).numpy(), expected)


def test_radial_needs_a_square_window():
    for shape in ((3, 3), (3, 4, 1, 1)):
        with pytest.raises(ValueError, match=r"\(size, size, inputs, outputs\), came"):
            constraints.RadialConstraint()(np.zeros(shape, "float32"))


def test_the_format_of_keras_2():
    old = constraints.serialize(constraints.MaxNorm(3.0), use_legacy_format=True)
    assert old == {"class_name": "MaxNorm", "config": {"max_value": 3.0, "axis": 0}}
    assert constraints.deserialize(old, use_legacy_format=True).max_value == 3.0
