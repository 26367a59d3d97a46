"""Fused losses against plain float64 formulas and finite differences."""

import itertools

import numpy as np
import pytest
from support.checks import check_op

import gpukeras as keras
from gpukeras import ops

RNG = np.random.default_rng(2)
Z = RNG.standard_normal((6, 4)) * 2
P = np.exp(Z) / np.exp(Z).sum(-1, keepdims=True)
T = RNG.uniform(0.05, 1, (6, 4))
IDS = np.array([0, 3, 1, 1, 2, 0])


def log_softmax(x, axis=-1):
    x = x - x.max(axis=axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis=axis, keepdims=True))


def sparse(x, ids, axis=-1, ignore_class=None):
    lp = np.moveaxis(log_softmax(x, axis), axis, -1)
    loss = np.zeros(ids.shape)
    for place in np.ndindex(*ids.shape):
        loss[place] = 0 if ids[place] == ignore_class else -lp[place][ids[place]]
    return loss


def test_softmax_cross_entropy(backend):
    check_op(ops.softmax_cross_entropy, [Z, T], lambda x, t: -(t * log_softmax(x)).sum(-1), second_order=True,
             batch=(0, 1))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_softmax_cross_entropy_axis(backend, axis):
    x, t = RNG.standard_normal((3, 4, 5)), RNG.uniform(0, 1, (3, 4, 5))
    check_op(ops.softmax_cross_entropy, [x, t], lambda x, t, axis: -(t * log_softmax(x, axis)).sum(axis),
             kwargs={"axis": axis}, second_order=True, batch=(0, 1))


def test_sparse(backend):
    check_op(ops.sparse_softmax_cross_entropy, [Z, IDS], sparse, second_order=True, batch=(0, 1))
    many = RNG.standard_normal((50, 7))
    check_op(ops.sparse_softmax_cross_entropy, [many, RNG.integers(0, 7, 50)], sparse)


def test_sparse_ignore_class_and_axis(backend):
    x, ids = RNG.standard_normal((2, 5, 3)), RNG.integers(-1, 5, (2, 3))
    ids[0, 0] = -1
    check_op(ops.sparse_softmax_cross_entropy, [x, ids], sparse, kwargs={"axis": 1, "ignore_class": -1},
             second_order=True, batch=(0, 1))


@pytest.mark.parametrize("axis", [None, -1, 0])
def test_sigmoid_cross_entropy(backend, axis):
    def reference(x, t, axis):
        p = 1 / (1 + np.exp(-x))
        y = -t * np.log(p) - (1 - t) * np.log(1 - p)
        return y if axis is None else y.mean(axis)

    check_op(ops.sigmoid_cross_entropy, [Z, T], reference, kwargs={"axis": axis}, second_order=True,
             batch=(0, 1))


def test_single_column(backend):
    check_op(ops.mean_squared_error, [T[:, :1], Z[:, :1]], lambda t, p: ((t - p) ** 2).mean(-1),
             second_order=True, batch=(0, 1))


def test_mean_errors(backend):
    for t, p in [(T, Z), (T[:, :1], Z), (T[0], Z), (T[0], Z[0])]:
        check_op(ops.mean_squared_error, [t, p], lambda t, p: ((t - p) ** 2).mean(-1), second_order=True,
                 batch=())
        check_op(ops.mean_absolute_error, [t, p], lambda t, p: abs(t - p).mean(-1), batch=())


@pytest.mark.parametrize("mean", [True, False])
def test_weighted_total(backend, mean):
    def reference(v, w, mean):
        y = v if w is None else v * w
        return y.mean() if mean else y.sum()

    for w in (None, T, T[:, :1]):
        check_op(ops.weighted_total, [Z, w], reference, kwargs={"mean": mean}, second_order=True)
    # Without gradient of the weights: the quick way.
    check_op(ops.weighted_total, [Z, T], reference, kwargs={"mean": mean}, wrt=[0])
    check_op(ops.weighted_total, [Z[:, :1], T], reference, kwargs={"mean": mean}, wrt=[0])


def test_from_probabilities(backend):
    def normal(p):
        return p / p.sum(-1, keepdims=True)

    check_op(ops.categorical_crossentropy, [T, P * 1.3], lambda t, p: -(t * np.log(normal(p))).sum(-1),
             second_order=True, batch=(0, 1))
    check_op(ops.sparse_categorical_crossentropy, [IDS, P * 1.3],
             lambda ids, p: -np.log(normal(p)[np.arange(6), ids]), second_order=True, batch=(0, 1))
    check_op(ops.binary_crossentropy, [T, P], lambda t, p: -t * np.log(p) - (1 - t) * np.log(1 - p),
             second_order=True, batch=(0, 1))


def test_logits_behind_an_activation_are_used():
    """Far beyond the clipping of probabilities the loss and its gradient stay exact."""
    z = ops.convert_to_tensor([[0.0, 60.0], [0.0, -60.0]])
    for f in (lambda: ops.sparse_categorical_crossentropy([0, 1], ops.softmax(z)),
              lambda: ops.categorical_crossentropy([[1.0, 0.0], [0.0, 1.0]], ops.softmax(z))):
        with keras.GradientTape() as tape:
            tape.watch(z)
            loss = f()
        np.testing.assert_allclose(loss.numpy(), [60.0, 60.0])
        np.testing.assert_allclose(tape.gradient(loss, z).numpy(), [[-1, 1], [1, -1]], atol=1e-6)
    np.testing.assert_allclose(ops.binary_crossentropy([[0.0, 0.0]] * 2, ops.sigmoid(z)).numpy()[0, 1], 60.0)


def test_probabilities_watched_by_themselves_get_a_gradient():
    z = ops.convert_to_tensor(Z.astype("float32"))
    p = ops.softmax(z)
    with keras.GradientTape() as tape:
        tape.watch(p)
        loss = ops.sparse_categorical_crossentropy(IDS, p)
    assert tape.gradient(loss, p) is not None


def test_sigmoid_output_is_no_softmax():
    """A categorical loss on sigmoid outputs normalises the probabilities, as Keras does."""
    z = ops.convert_to_tensor(Z.astype("float32"))
    p = 1 / (1 + np.exp(-Z))
    found = ops.sparse_categorical_crossentropy(IDS, ops.sigmoid(z)).numpy()
    np.testing.assert_allclose(found, -np.log((p / p.sum(-1, keepdims=True))[np.arange(6), IDS]), 1e-5)


def test_errors():
    z = Z.astype("float32")
    with pytest.raises(ValueError, match="label 4 is out of range: with 4 classes"):
        ops.sparse_softmax_cross_entropy(z, np.array([0, 4, 0, 0, 0, 0]))
    with pytest.raises(ValueError, match="label -1 is out of range"):
        ops.sparse_categorical_crossentropy(np.array([0, -1, 0, 0, 0, 0]), P.astype("float32"))
    with pytest.raises(ValueError, match="without axis 1"):
        ops.sparse_softmax_cross_entropy(z, np.zeros((5,), "int32"))
    with pytest.raises(ValueError, match="same shape.*to_categorical"):
        ops.categorical_crossentropy(IDS, z)
    with pytest.raises(ValueError, match="categorical_crossentropy"):
        ops.sparse_categorical_crossentropy(T, z)


# ---- CTC -------------------------------------------------------------------------------------------
def ctc_by_enumeration(labels, logits, blank=0):
    """Sum over every path of classes that collapses to the labels."""
    lp = log_softmax(logits)
    total = 0.0
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        merged = [c for c, _ in itertools.groupby(path) if c != blank]
        if merged == list(labels):
            total += np.exp(sum(lp[t, c] for t, c in enumerate(path)))
    return -np.log(total)


def test_ctc_loss(backend):
    logits = RNG.standard_normal((4, 5, 3))
    labels = np.array([[1, 2, 1], [2, 2, 0], [1, 0, 0], [0, 0, 0]])
    lengths, steps = np.array([3, 2, 1, 0]), np.array([5, 4, 3, 5])

    def reference(labels, logits, lengths, steps):
        return np.array([ctc_by_enumeration(y[:n], x[:t]) for y, x, n, t in zip(labels, logits, lengths,
                                                                                steps)])

    check_op(ops.ctc_loss, [labels, logits, lengths, steps], reference, batch=(0, 1), grad_rtol=1e-4)


def test_ctc_impossible():
    """Two equal labels need three steps."""
    x = ops.convert_to_tensor(RNG.standard_normal((1, 2, 3)).astype("float32"))
    with keras.GradientTape() as tape:
        tape.watch(x)
        loss = ops.ctc_loss([[1, 1]], x, [2], [2])
    assert np.isinf(loss.numpy()).all()
    assert not tape.gradient(loss, x).numpy().any()


@pytest.mark.parity
def test_real_keras(real_keras):
    z, p, t = (v.astype("float32") for v in (Z, P * 1.2, T))
    pairs = [
        ("categorical_crossentropy", (t, p), {}), ("categorical_crossentropy", (t, z), {"from_logits": True}),
        ("categorical_crossentropy", (t, p), {"axis": 0}),
        ("sparse_categorical_crossentropy", (IDS, p), {}),
        ("sparse_categorical_crossentropy", (IDS, z), {"from_logits": True}),
        ("binary_crossentropy", (t, p / 2), {}), ("binary_crossentropy", (t, z), {"from_logits": True}),
        ("ctc_loss", (np.array([[1, 2, 1], [1, 1, 0]]), RNG.standard_normal((2, 9, 4)).astype("float32"),
                      np.array([3, 2]), np.array([9, 7])), {}),
    ]
    for name, args, kwargs in pairs:
        want = np.asarray(getattr(real_keras.ops, name)(*args, **kwargs))
        np.testing.assert_allclose(getattr(ops, name)(*args, **kwargs).numpy(), want, 1e-4, 1e-5,
                                   err_msg=name)
