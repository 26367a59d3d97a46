"""Add, Subtract, Multiply, Average, Maximum, Minimum, Concatenate, Dot: layers and functions."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import Input, layers, ops

REFERENCES = {
    "Add": lambda xs: sum(xs[1:], xs[0]),
    "Multiply": np.prod,
    "Average": lambda xs: sum(xs[1:], xs[0]) / len(xs),
    "Maximum": lambda xs: np.max(np.broadcast_arrays(*xs), axis=0),
    "Minimum": lambda xs: np.min(np.broadcast_arrays(*xs), axis=0),
}


def _multiply(xs):
    result = xs[0]
    for x in xs[1:]:
        result = result * x
    return result


REFERENCES["Multiply"] = _multiply


@pytest.mark.parametrize("name", sorted(REFERENCES))
@pytest.mark.parametrize("count", [1, 2, 3])
def test_elementwise(backend, name, count):
    check_layer(getattr(layers, name), {}, [(4, 2)] * count, reference=REFERENCES[name])


def test_subtract(backend):
    check_layer(layers.Subtract, {}, [(4,), (4,)], reference=lambda xs: xs[0] - xs[1])


@pytest.mark.parametrize("name", sorted(REFERENCES))
@pytest.mark.parametrize("given", [[(4,), (3, 4)], [(2, 1, 4), (3, 1)], [(1, 4), (3, 1)]])
def test_broadcasting_over_unequal_ranks(backend, name, given):
    def reference(xs):
        rank = max(x.ndim for x in xs)
        wide = [x.reshape(len(x), *[1] * (rank - x.ndim), *x.shape[1:]) for x in xs]
        return REFERENCES[name](wide)

    check_layer(getattr(layers, name), {}, given, reference=reference)


def test_unknown_sizes():
    assert layers.add([Input((None, 3)), Input((4, 3))]).shape == (None, None, 3)
    assert layers.add([Input((3,)), Input((4, 3))]).shape == (None, 4, 3)
    assert layers.add([Input((1, 3)), Input((4, 1))]).shape == (None, 4, 3)
    assert layers.concatenate([Input((None, 3)), Input((4, 3))], axis=1).shape == (None, None, 3)


@pytest.mark.parametrize("axis, given", [
    (-1, [(2, 3), (2, 4)]), (1, [(2, 3), (5, 3), (1, 3)]), (2, [(2, 3), (2, 4)]),
])
def test_concatenate(backend, axis, given):
    check_layer(layers.Concatenate, {"axis": axis}, given, reference=lambda xs: np.concatenate(xs, axis=axis))


def _normalize(x, axis):
    return x / np.sqrt((x**2).sum(axis=axis, keepdims=True))


@pytest.mark.parametrize("axes, normalize, given, formula", [
    (1, False, [(4,), (4,)], "ni,ni->n"),
    (1, True, [(4,), (4,)], "ni,ni->n"),
    (2, False, [(3, 4), (5, 4)], "npi,nqi->npq"),
    (-1, True, [(3, 4), (5, 4)], "npi,nqi->npq"),
    ((1, 2), False, [(3, 4), (5, 3)], "nip,nqi->npq"),
    ((2, 1), False, [(3, 4), (4,)], "npi,ni->np"),
    ((1, 1), False, [(3, 4, 5), (3, 6)], "nipq,nir->npqr"),
])
def test_dot(backend, axes, normalize, given, formula):
    pair = axes if isinstance(axes, tuple) else (axes, axes)

    def reference(xs):
        if normalize:
            xs = [_normalize(x, a) for x, a in zip(xs, pair)]
        y = np.einsum(formula, *xs)
        return y[:, None] if y.ndim == 1 else y

    kwargs = {"axes": list(axes) if isinstance(axes, tuple) else axes, "normalize": normalize}
    check_layer(layers.Dot, kwargs, given, reference=reference)


def test_functions():
    a, b = ops.convert_to_tensor([[1.0, 5.0]]), ops.convert_to_tensor([[4.0, 2.0]])
    found = {name: getattr(layers, name)([a, b]).numpy().tolist() for name in
             ("add", "subtract", "multiply", "average", "maximum", "minimum", "concatenate")}
    assert found == {"add": [[5, 7]], "subtract": [[-3, 3]], "multiply": [[4, 10]], "average": [[2.5, 3.5]],
                     "maximum": [[4, 5]], "minimum": [[1, 2]], "concatenate": [[1, 5, 4, 2]]}
    assert layers.dot([a, b], axes=1).numpy().tolist() == [[14.0]]
    assert abs(layers.dot([a, b], axes=1, normalize=True).item() - 14 / np.sqrt(26 * 20)) < 1e-6
    assert layers.add([a, b], name="sum_of_both") is not None


# ---- masks: expected values are those of real Keras 3.15 ---------------------------------------------------
def _masked(values, mask):
    x = ops.convert_to_tensor(np.asarray(values, "float32").reshape(1, -1, 1))
    if mask is not None:
        x._keras_mask = ops.convert_to_tensor(np.asarray([mask], bool))
    return x


A, B, C = [1, 2, 3, 4, 5, 6], [10, 20, 30, 40, 50, 60], [100, 200, 300, 400, 500, 600]
MA, MB, MC = [1, 1, 0, 0, 1, 0], [1, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize("name, expected", [
    ("Maximum", [10, 2, 30, 4, 5, 600]), ("Minimum", [1, 2, 30, 4, 5, 600]),
    ("Multiply", [10, 2, 30, 0, 5, 600]), ("Add", [111, 222, 333, 444, 555, 666]),
    ("Average", [37, 74, 111, 148, 185, 222]),
])
def test_masked_values(backend, name, expected):
    y = getattr(layers, name)()([_masked(A, MA), _masked(B, MB), _masked(C, MC)])
    assert y.numpy().ravel().tolist() == expected
    assert np.asarray(y._keras_mask).tolist() == [[True, True, True, False, True, True]]


def test_one_input_without_mask(backend):
    for name, expected in (("Multiply", [10, 40, 30, 40, 250, 60]), ("Maximum", B),
                           ("Minimum", [1, 2, 30, 40, 5, 60])):
        y = getattr(layers, name)()([_masked(A, MA), _masked(B, None)])
        assert y.numpy().ravel().tolist() == expected, name
        assert y._keras_mask is None


def test_concatenated_masks(backend):
    y = layers.Concatenate(axis=1)([_masked(A, MA), _masked(B, None)])
    assert np.asarray(y._keras_mask).astype(int).tolist() == [[*MA, 1, 1, 1, 1, 1, 1]]
    y = layers.Concatenate()([_masked(A, MA), _masked(B, MB)])
    assert np.asarray(y._keras_mask).astype(int).tolist() == [[1, 1, 1, 0, 1, 0]]


# ---- errors ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("layer, given, message", [
    (layers.Add(name="a"), [(3,), (4,)], r"layer 'a'.*\(2, 3\), \(2, 4\) do not go together"),
    (layers.Subtract(), [(3,), (3,), (3,)], "list of 2 tensors, came 3"),
    (layers.Concatenate(), [(3, 2), (4, 2, 1)], "one rank"),
    (layers.Concatenate(axis=1), [(3, 2), (4, 3)], "the other axes must be equal"),
    (layers.Dot(axes=1), [(3,), (4,)], "must be equal, came 3 and 4"),
    (layers.Dot(axes=5), [(3,), (3,)], "out of range"),
    (layers.Dot(axes=0), [(3,), (3,)], "batch axis"),
])
def test_errors(layer, given, message):
    with pytest.raises(ValueError, match=message):
        layer([np.ones((2, *s)) for s in given])


def test_a_single_tensor_is_refused():
    with pytest.raises(ValueError, match="takes a list of at least 1 tensors"):
        layers.Add()(np.ones((2, 3)))
    with pytest.raises(TypeError, match="axes must be"):
        layers.Dot(axes=(1, 2, 3))
