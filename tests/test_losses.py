"""Losses: formulas, reductions, weights, masks, alignment, names, real Keras."""

import inspect

import numpy as np
import pytest
from support import loss_cases
from support.checks import check_gradient

import gpukeras as keras
from gpukeras import losses, ops

RNG = np.random.default_rng(5)
T = RNG.uniform(0.1, 0.9, (5, 4))
P = RNG.uniform(0.1, 0.9, (5, 4))
ONE_HOT = np.eye(4)[[0, 2, 1, 3, 2]]
LABELS = np.array([0, 2, 1, 1, 2])
SIGNS = np.where(T > 0.5, 1.0, -1.0)
WEIGHTS = np.array([1.0, 2.0, 0.0, 0.5, 3.0])


def unit(x):
    return x / np.sqrt((x * x).sum(-1, keepdims=True))


def focal(t, p, alpha=0.25, gamma=2.0):
    p = p / p.sum(-1, keepdims=True)
    return (-alpha * (1 - p) ** gamma * t * np.log(p)).sum(-1)


def binary_focal(t, p, gamma=2.0):
    right = t * p + (1 - t) * (1 - p)
    return (-((1 - right) ** gamma) * (t * np.log(p) + (1 - t) * np.log(1 - p))).mean(-1)


def huber(t, p, delta=1.0):
    e = abs(t - p)
    return np.where(e <= delta, e * e / 2, delta * (e - delta / 2)).mean(-1)


FORMULAS = {
    "mean_squared_error": (T, lambda t, p: ((t - p) ** 2).mean(-1)),
    "mean_absolute_error": (T, lambda t, p: abs(t - p).mean(-1)),
    "mean_absolute_percentage_error": (T, lambda t, p: 100 * (abs(t - p) / t).mean(-1)),
    "mean_squared_logarithmic_error": (T, lambda t, p: ((np.log1p(t) - np.log1p(p)) ** 2).mean(-1)),
    "huber": (T * 4, huber),
    "log_cosh": (T, lambda t, p: np.log(np.cosh(p - t)).mean(-1)),
    "cosine_similarity": (T, lambda t, p: -(unit(t) * unit(p)).sum(-1)),
    "poisson": (T, lambda t, p: (p - t * np.log(p + 1e-7)).mean(-1)),
    "kl_divergence": (T, lambda t, p: (t * np.log(t / p)).sum(-1)),
    "hinge": (SIGNS, lambda t, p: np.maximum(1 - t * p, 0).mean(-1)),
    "squared_hinge": (SIGNS, lambda t, p: (np.maximum(1 - t * p, 0) ** 2).mean(-1)),
    "categorical_hinge": (
        ONE_HOT, lambda t, p: np.maximum(((1 - t) * p).max(-1) - (t * p).sum(-1) + 1, 0)
    ),
    "binary_crossentropy": (T, lambda t, p: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(-1)),
    "categorical_crossentropy": (ONE_HOT, lambda t, p: -(t * np.log(p / p.sum(-1, keepdims=True))).sum(-1)),
    "binary_focal_crossentropy": (T, binary_focal),
    "categorical_focal_crossentropy": (ONE_HOT, focal),
    "dice": (T, lambda t, p: 1 - 2 * (t * p).sum() / (t.sum() + p.sum() + 1e-7)),
    "tversky": (T, lambda t, p: 1 - (t * p).sum() / (t.sum() / 2 + p.sum() / 2 + 1e-7)),
    "sparse_categorical_crossentropy": (
        LABELS, lambda t, p: -np.log((p / p.sum(-1, keepdims=True))[np.arange(5), t])
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula_and_gradient(backend, name):
    f = getattr(losses, name)
    t, reference = FORMULAS[name]
    want = reference(t, P)
    for dtype, tolerance in (("float64", 1e-6), ("float32", 1e-4)):
        kind = dtype if t.dtype.kind == "f" else t.dtype
        y = f(ops.convert_to_tensor(t, dtype=kind), ops.convert_to_tensor(P, dtype=dtype))
        assert y.dtype == dtype
        np.testing.assert_allclose(y.numpy(), want, tolerance, tolerance)
    check_gradient(lambda p: f(ops.convert_to_tensor(t, dtype=None if t.dtype.kind == "i" else "float64"),
                               p), [P])


def classes():
    found = [c for _, c in inspect.getmembers(losses, inspect.isclass) if issubclass(c,
                                                                                     losses.LossFunctionWrapper)]
    return [c for c in found if c is not losses.LossFunctionWrapper]


def test_every_function_has_a_class():
    assert len(classes()) == 23 - 1


@pytest.mark.parametrize("cls", classes(), ids=lambda c: c.__name__)
def test_class_round_trip(cls):
    loss = cls(reduction="sum", name="mine")
    config = loss.get_config()
    arguments = set(inspect.signature(cls).parameters) - {"dtype"}
    assert set(config) == arguments
    for key in arguments:
        assert getattr(loss, key) == config[key]
    assert cls.from_config(config).get_config() == config
    again = losses.deserialize(losses.serialize(loss))
    assert type(again) is cls and again.get_config() == config
    assert cls(dtype="float64").get_config()["dtype"] == "float64"
    assert cls(dtype="float64").dtype == "float64"


@pytest.mark.parametrize("cls", classes(), ids=lambda c: c.__name__)
def test_class_is_mean_of_function(cls):
    function = cls().fn
    if function is losses.ctc:
        t, p = np.array([[1, 2, 0], [1, 1, 3]]), RNG.standard_normal((2, 6, 4)).astype("float32")
    elif function in (losses.circle, losses.sparse_categorical_crossentropy,
                      losses.categorical_generalized_cross_entropy):
        t, p = LABELS, P.astype("float32")
    else:
        t, p = FORMULAS[function.__name__][0].astype("float32"), P.astype("float32")
    extra = {"q": 0.5} if function is losses.categorical_generalized_cross_entropy else {}
    found = cls()(t, p)
    assert found.shape == () and found.dtype == "float32"
    values = function(t, p, **extra).numpy()
    if function is losses.circle:  # samples that nothing can be compared with do not count
        values = values[values > 0]
    np.testing.assert_allclose(float(found), values.mean(), 1e-5)


# ---- reductions, weights, masks -------------------------------------------------------------------
def test_reductions(backend):
    values = ((T - P) ** 2).mean(-1)
    for reduction, want in [
        ("sum_over_batch_size", (values * WEIGHTS).mean()), ("mean", (values * WEIGHTS).mean()),
        ("auto", (values * WEIGHTS).mean()), ("sum", (values * WEIGHTS).sum()),
        ("mean_with_sample_weight", (values * WEIGHTS).sum() / WEIGHTS.sum()),
        ("none", values * WEIGHTS), (None, values * WEIGHTS),
    ]:
        loss = losses.MeanSquaredError(reduction=reduction)
        for w in (WEIGHTS, WEIGHTS[:, None]):
            np.testing.assert_allclose(loss(T, P, sample_weight=w).numpy(), want, 1e-5, err_msg=reduction)
    with pytest.raises(ValueError, match="reduction must be one of"):
        losses.MeanSquaredError(reduction="average")


def test_weights_belong_to_the_leading_axes():
    t, p = RNG.random((5, 3, 2)), RNG.random((5, 3, 2))
    values = ((t - p) ** 2).mean(-1)
    loss = losses.MeanSquaredError()
    for w in (WEIGHTS, WEIGHTS[:, None], np.repeat(WEIGHTS[:, None], 3, 1)):
        np.testing.assert_allclose(float(loss(t, p, w)), (values * WEIGHTS[:, None]).mean(), 1e-5)
    np.testing.assert_allclose(float(loss(t, p, 2.0)), 2 * values.mean(), 1e-5)
    with pytest.raises(ValueError, match="one weight per sample"):
        loss(t, p, np.ones(4))
    square = RNG.random((4, 4, 2))
    found = losses.MeanSquaredError(reduction=None)(square, square * 0, np.array([1, 0, 0, 0]))
    assert found.numpy()[0].all() and not found.numpy()[1:].any()


def test_masks(backend):
    t, p = RNG.random((4, 3, 2)), RNG.random((4, 3, 2))
    mask = RNG.random((4, 3)) > 0.4
    values = ((t - p) ** 2).mean(-1)
    prediction = ops.convert_to_tensor(p, dtype="float32")
    prediction._keras_mask = ops.convert_to_tensor(mask)
    for dtype in ("float32", "float64"):
        found = losses.MeanSquaredError(dtype=dtype)(t, prediction)
        np.testing.assert_allclose(float(found), values[mask].mean(), 1e-4)
    weights = np.array([1.0, 0.0, 2.0, 1.0])
    want = (values * mask * weights[:, None]).sum() / mask.sum()
    np.testing.assert_allclose(float(losses.MeanSquaredError()(t, prediction, weights)), want, 1e-4)
    np.testing.assert_allclose(float(losses.MeanSquaredError(reduction="sum")(t, prediction)),
                               values[mask].sum(), 1e-4)
    prediction._keras_mask = ops.convert_to_tensor(mask[:, 0])
    np.testing.assert_allclose(float(losses.MeanSquaredError()(t, prediction)), values[mask[:, 0]].mean(),
                               1e-4)


def test_ignore_class():
    labels = np.array([0, -1, 2, 3, -1])
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1)
    p = P / P.sum(-1, keepdims=True)
    want = -np.log(p[[0, 2, 3], [0, 2, 3]]).mean()
    for y in (labels, labels[:, None]):
        np.testing.assert_allclose(float(loss(y, P)), want, 1e-5)


def test_gradient_through_weights_and_masks():
    def run(p):
        p._keras_mask = ops.convert_to_tensor([True, False, True, True, True])
        return losses.MeanSquaredError(dtype="float64")(T, p, WEIGHTS)

    check_gradient(run, [P])


# ---- shapes ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("cls", [losses.MeanSquaredError, losses.MeanAbsoluteError, losses.BinaryCrossentropy,
                                 losses.Huber])
def test_column_against_vector(cls):
    t, p = np.array([0.0, 1.0, 1.0], "float32"), np.array([[0.2], [0.3], [0.9]], "float32")
    want = float(cls()(t[:, None], p))
    for a, b in ((t, p), (t[:, None], p[:, 0])):
        with pytest.warns(UserWarning, match="compared element by element"):
            assert float(cls()(a, b)) == pytest.approx(want, rel=1e-6)
    assert float(cls()(t[:1], p[:1])) == float(cls()(t[:1, None], p[:1]))  # broadcasting agrees: no warning


def test_custom_function_is_aligned_and_warns_once(recwarn):
    loss = losses.LossFunctionWrapper(lambda t, p: ops.square(t - p))
    t, p = np.array([0.0, 1.0, 1.0]), np.array([[0.0], [1.0], [1.0]])
    assert float(loss(t, p)) == 0 and float(loss(t, p)) == 0
    assert len(recwarn) == 1


def test_higher_ranks_are_squeezed():
    t, p = RNG.random((3, 2)).astype("float32"), RNG.random((3, 2, 1)).astype("float32")
    with pytest.warns(UserWarning):
        found = losses.MeanSquaredError(reduction=None)(t, p)
    np.testing.assert_allclose(found.numpy(), ((t - p[..., 0]) ** 2).mean(-1), 1e-5)


def test_squeezed_sigmoid_keeps_its_logits():
    z = ops.convert_to_tensor([[[80.0], [-80.0]]])
    with pytest.warns(UserWarning):
        loss = losses.BinaryCrossentropy()(np.array([[0.0, 1.0]]), ops.sigmoid(z))
    assert float(loss) == 80.0


def test_incompatible_shapes():
    for a, b in (((4, 2), (4,)), ((4, 3), (4, 2)), ((4,), (4, 3))):
        with pytest.raises(ValueError, match="must be equal or broadcast"):
            losses.MeanSquaredError()(np.ones(a), np.ones(b))
    with pytest.raises(ValueError, match="target and output must have the same shape"):
        losses.CategoricalCrossentropy()(LABELS, P)
    with pytest.warns(UserWarning, match="one class"):
        losses.CategoricalCrossentropy()(np.ones((3, 1)), np.ones((3, 1)))


def test_large_class_numbers_stay_exact():
    seen = []

    def spy(y_true, y_pred):
        seen.append(y_true)
        return losses.sparse_categorical_crossentropy(y_true * 0, y_pred)

    spy.converts_targets = False
    losses.LossFunctionWrapper(spy)(np.array([2**24 + 1]), P[:1])
    assert seen[0].tolist() == [2**24 + 1]
    assert losses.SparseCategoricalCrossentropy().converts_targets is False
    assert losses.LossFunctionWrapper(losses.sparse_categorical_crossentropy).converts_targets is False


@pytest.mark.cpu  # a GPU is not asked; there the result is not a number
def test_labels_out_of_range():
    with pytest.raises(ValueError, match="label 9 is out of range: with 4 classes"):
        losses.SparseCategoricalCrossentropy()(np.array([0, 9, 1, 1, 1]), P)
    with pytest.raises(ValueError, match="label -1"):
        losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0, -1, 1, 1, 1]), P)


# ---- names and custom losses ----------------------------------------------------------------------
@pytest.mark.parametrize("alias, name", [
    ("mse", "mean_squared_error"), ("MSE", "mean_squared_error"), ("mae", "mean_absolute_error"),
    ("mape", "mean_absolute_percentage_error"), ("msle", "mean_squared_logarithmic_error"),
    ("bce", "binary_crossentropy"), ("kld", "kl_divergence"), ("kullback_leibler_divergence",
                                                               "kl_divergence"),
    ("logcosh", "log_cosh"), ("huber_loss", "huber"), ("cosine_proximity", "cosine_similarity"),
    ("cosine", "cosine_similarity"),
])
def test_aliases(alias, name):
    assert losses.get(alias) is getattr(losses, name) is losses.get(name)
    assert getattr(losses, alias) is getattr(losses, name)


def test_get():
    assert losses.get(None) is None
    assert isinstance(losses.get("MeanSquaredError"), losses.MeanSquaredError)
    assert losses.get({"class_name": "Huber", "config": {"delta": 2.0}}).delta == 2.0
    assert losses.deserialize(losses.serialize(losses.mean_squared_error)) is losses.mean_squared_error
    with pytest.raises(ValueError, match="did you mean 'mean_squared_error'"):
        losses.get("mean_square_error")


def test_custom_losses():
    class Weighted(losses.Loss):
        def __init__(self, factor=2.0, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, y_true, y_pred):
            return ops.mean(ops.abs(y_true - y_pred), axis=-1) * self.factor

    loss = Weighted(3.0)
    assert loss.name == "weighted"
    assert float(loss(T, P)) == pytest.approx(3 * abs(T - P).mean(), rel=1e-5)
    assert losses.Loss("sum", "old").reduction == "sum" and losses.Loss("sum", "old").name == "old"
    assert losses.Loss(reduction="auto").reduction == "sum_over_batch_size"
    with pytest.raises(NotImplementedError, match="must define call"):
        losses.Loss()(T, P)

    wrapped = losses.LossFunctionWrapper(losses.huber, delta=2.0)
    assert wrapped.delta == 2.0 and wrapped.name == "huber"
    again = losses.LossFunctionWrapper.from_config(wrapped.get_config())
    assert again.fn is losses.huber and again.delta == 2.0


def test_custom_loss_that_reduces_by_itself_or_reads_structures():
    scalar = losses.LossFunctionWrapper(lambda t, p: ops.mean(ops.square(t - p)))
    assert float(scalar(T, P)) == pytest.approx(((T - P) ** 2).mean(), rel=1e-5)
    assert float(scalar(T, P, WEIGHTS)) == pytest.approx(((T - P) ** 2).mean() * WEIGHTS.mean(), rel=1e-5)
    pair = losses.LossFunctionWrapper(lambda t, p: ops.square(t["a"] - p["a"]) + ops.square(t["b"] - p["b"]))
    found = pair({"a": T, "b": P}, {"a": P, "b": T})
    assert float(found) == pytest.approx(2 * ((T - P) ** 2).mean(), rel=1e-5)


def test_half_precision_is_computed_in_float32():
    z = ops.convert_to_tensor([[60000.0, -60000.0]], dtype="float16")
    loss = losses.SparseCategoricalCrossentropy()([1], ops.softmax(z))
    assert loss.dtype == "float32" and float(loss) == 120000.0


def test_two_nodes_for_a_hot_loss():
    p = keras.Variable(P)
    for cls, t in ((losses.MeanSquaredError, T), (losses.SparseCategoricalCrossentropy, LABELS)):
        with keras.GradientTape() as tape:
            x = ops.dense(p, ops.eye(4))
            cls(**({"from_logits": True} if t is LABELS else {}))(t, x)
        assert len(tape._records) == 3


def test_circle_and_generalized():
    with pytest.raises(ValueError, match="q must lie between 0 and 1"):
        losses.CategoricalGeneralizedCrossEntropy(q=1.5)
    p = P / P.sum(-1, keepdims=True)
    want = (1 - p[np.arange(5), LABELS] ** 0.3) / 0.3
    np.testing.assert_allclose(losses.categorical_generalized_cross_entropy(LABELS, p, 0.3).numpy(), want,
                               1e-5)
    assert not losses.is_categorical_crossentropy("mse")
    assert losses.is_categorical_crossentropy(losses.CategoricalCrossentropy())
    assert losses.Reduction.SUM in losses.Reduction.all()
    losses.Reduction.validate("auto")
    with pytest.raises(ValueError, match="must be one of"):
        losses.Reduction.validate("mean")
    assert losses.serialize(losses.Huber(2.0), use_legacy_format=True)["class_name"] == "Huber"
    assert losses.serialize(losses.mse, use_legacy_format=True) == "mean_squared_error"


# ---- the table, on both devices ---------------------------------------------------------------------
@pytest.mark.cpu  # once: the test itself goes to both devices
@pytest.mark.filterwarnings("ignore:y_true has shape:UserWarning")
@pytest.mark.parametrize("case", loss_cases.CASES, ids=repr)
def test_a_step_is_the_same_on_both_devices(case, on_gpu):
    """Values, gradients, the weights after a step and the next loss."""
    expected = _step(case)
    with on_gpu():
        found = _step(case)
    for what, value in expected.items():
        np.testing.assert_allclose(found[what], value, 2e-4, 2e-5, err_msg=what)
    assert expected["loss"] != expected["next loss"]


def _step(case):
    """Train a layer behind the inputs for one step on the loss of its outputs, with weights of samples."""
    y_true, y_pred = map(ops.convert_to_tensor, case.arrays)
    loss = getattr(losses, case.name)(**case.settings)
    shift, scale = keras.Variable(np.full(y_pred.shape[-1], 0.01, "float32")), keras.Variable(np.float32(0.9))
    optimizer = keras.optimizers.SGD(0.01)

    def compute():
        x = y_pred * scale + shift
        weights = None
        if case.per_sample:
            rank = len(loss.call(y_true, y_pred).shape)
            weights = np.linspace(0.5, 2, len(y_pred), dtype="float32").reshape(-1, *[1] * (rank - 1))
            weights = ops.convert_to_tensor(weights)
        return loss(y_true, x, weights)

    with keras.GradientTape() as tape:
        before = compute()
    gradients = tape.gradient(before, [shift, scale])
    optimizer.apply(gradients, [shift, scale])
    found = {"loss": before, "gradient of shift": gradients[0], "gradient of scale": gradients[1],
             "shift": shift, "scale": scale, "next loss": compute()}
    return {what: ops.convert_to_numpy(value) for what, value in found.items()}


# ---- real Keras: what the table of tests/parity cannot say ---------------------------------------------
@pytest.mark.parity
def test_circle_with_references(real_keras):
    e = unit(RNG.standard_normal((6, 4))).astype("float32")
    labels = np.array([0, 1, 0, 2, 1, 1])
    kwargs = {"ref_labels": labels[:3], "ref_embeddings": e[:3], "remove_diagonal": False}
    want = np.asarray(real_keras.losses.circle(labels, e, **kwargs))
    np.testing.assert_allclose(losses.circle(labels, e, **kwargs).numpy(), want, 1e-4, 1e-4)
