"""Normalisations against plain formulas, finite differences and real Keras."""

import numpy as np
import pytest
from support.checks import check_gradient, check_op

import gpukeras as keras
from gpukeras import ops
from gpukeras.ops.normalization import group_normalization

RNG = np.random.default_rng(3)
X = RNG.standard_normal((4, 3, 5)) * 2 + 1


def batch(x, gamma=None, beta=None, mask=None, axis=-1, epsilon=1e-3):
    axis %= x.ndim
    others = tuple(i for i in range(x.ndim) if i != axis)
    shape = [n if i == axis else 1 for i, n in enumerate(x.shape)]
    w = np.ones_like(x)
    total = x.size / x.shape[axis]
    if mask is not None:
        w = w * np.expand_dims(mask.reshape(mask.shape + (1,) * (x.ndim - 1 - mask.ndim)), axis)
        total = w.sum(others).reshape(shape) + 1e-7
    mean = (x * w).sum(others, keepdims=True) / total
    var = (w * (x - mean) ** 2).sum(others, keepdims=True) / total
    y = (x - mean) / np.sqrt(var + epsilon)
    y = y * (1 if gamma is None else gamma.reshape(shape)) + (0 if beta is None else beta.reshape(shape))
    return y, mean.ravel(), var.ravel()


@pytest.mark.parametrize("shape, axis", [((6, 5), -1), ((4, 3, 5), -1), ((4, 5, 3), 1), ((2, 4, 4, 3), 3)])
def test_batch_training(backend, shape, axis):
    x, c = RNG.standard_normal(shape) * 2 + 1, shape[axis]
    check_op(ops.batch_normalization_training, [x, RNG.standard_normal(c), RNG.standard_normal(c), None],
             batch,
             kwargs={"axis": axis, "epsilon": 0.01}, second_order=True, rtol=1e-4)


def test_batch_training_without_scale(backend):
    check_op(ops.batch_normalization_training, [X], lambda x: batch(x), second_order=True, rtol=1e-4)


@pytest.mark.parametrize("lead", [1, 2])
def test_batch_mask(backend, lead):
    mask = RNG.random(X.shape[:lead]) > 0.4
    gamma, beta = RNG.standard_normal(5), RNG.standard_normal(5)
    check_op(ops.batch_normalization_training, [X, gamma, beta, mask], batch, second_order=True, rtol=1e-4,
             batch=(0, 3))


def test_batch_wide_rows(backend):
    """Few channels and many samples: the view with repeated vectors."""
    x = RNG.standard_normal((256, 4))
    check_op(ops.batch_normalization_training, [x, RNG.standard_normal(4), RNG.standard_normal(4), None],
             batch,
             rtol=1e-4)


def test_batch_statistics_are_optional():
    """Only the gradient of the normalised output is asked for, as in a layer."""
    check_gradient(lambda x, g: ops.batch_normalization_training(x, g)[0], [X, RNG.standard_normal(5)])


def test_float16_statistics_do_not_overflow():
    x = ops.convert_to_tensor(np.full((64, 2), 300.0) + np.arange(64)[:, None], dtype="float16")
    y, mean, var = ops.batch_normalization_training(x)
    assert y.dtype == "float16" and mean.dtype == var.dtype == "float32"
    np.testing.assert_allclose(var.numpy(), np.arange(64.0).var(), 1e-3)
    assert ops.layer_normalization(x).dtype == "float16"


@pytest.mark.parametrize("shape, axis", [((6, 5), -1), ((4, 5, 3), 1)])
@pytest.mark.parametrize("affine", [True, False])
def test_batch_inference(backend, shape, axis, affine):
    c = shape[axis]
    mean, var = RNG.standard_normal(c), RNG.uniform(0.5, 2, c)
    offset, scale = (RNG.standard_normal(c), RNG.standard_normal(c)) if affine else (None, None)

    def f(x, mean, var, offset, scale):
        return ops.batch_normalization(x, mean, var, axis, offset, scale, 0.01)

    def reference(x, mean, var, offset, scale):
        s = [c if i == axis % len(shape) else 1 for i in range(len(shape))]
        y = (x - mean.reshape(s)) / np.sqrt(var.reshape(s) + 0.01)
        return y if scale is None else y * scale.reshape(s) + offset.reshape(s)

    check_op(f, [RNG.standard_normal(shape), mean, var, offset, scale], reference, second_order=True,
             rtol=1e-4)


@pytest.mark.parametrize("axis", [-1, 1, (1, 2), (0, 2), 0])
@pytest.mark.parametrize("affine", [True, False])
def test_layer_and_rms(backend, axis, affine):
    axes = sorted(a % 3 for a in np.atleast_1d(axis))
    sizes = tuple(X.shape[a] for a in axes)
    full = [n if i in axes else 1 for i, n in enumerate(X.shape)]
    gamma, beta = (RNG.standard_normal(sizes), RNG.standard_normal(sizes)) if affine else (None, None)

    def layer(x, gamma, beta, axis, epsilon):
        d = x - x.mean(tuple(axes), keepdims=True)
        y = d / np.sqrt((d * d).mean(tuple(axes), keepdims=True) + epsilon)
        return y * gamma.reshape(full) + beta.reshape(full) if affine else y

    def rms(x, gamma, axis, epsilon):
        y = x / np.sqrt((x * x).mean(tuple(axes), keepdims=True) + epsilon)
        return y * gamma.reshape(full) if affine else y

    settings = {"axis": axis, "epsilon": 0.01}
    check_op(ops.layer_normalization, [X, gamma, beta], layer, kwargs=settings, second_order=True, rtol=1e-4)
    check_op(ops.rms_normalization, [X, gamma], rms, kwargs=settings, second_order=True, rtol=1e-4)


def test_errors():
    with pytest.raises(ValueError, match="scale has shape"):
        ops.batch_normalization_training(ops.ones((2, 3)), ops.ones(4))
    with pytest.raises(ValueError, match="mask must have the leading axes"):
        ops.batch_normalization_training(ops.ones((2, 3)), None, None, ops.ones(3, dtype="bool"))
    with pytest.raises(ValueError, match="no statistics"):
        ops.batch_normalization_training(ops.ones((0, 3)))
    with pytest.raises(ValueError, match="x has 3 features"):
        ops.batch_normalization(ops.ones((2, 3)), ops.ones(4), ops.ones(4), -1)
    with pytest.raises(ValueError, match="gamma has shape"):
        ops.layer_normalization(ops.ones((2, 3)), ops.ones(4))


@pytest.mark.parity
def test_real_keras(real_keras):
    x = X.astype("float32")
    g, b = (RNG.standard_normal(5).astype("float32") for _ in range(2))
    want = real_keras.ops.layer_normalization(x, g, b, axis=-1, epsilon=1e-3)
    np.testing.assert_allclose(ops.layer_normalization(x, g, b, axis=-1, epsilon=1e-3).numpy(), want, 1e-4,
                               1e-5)
    want = real_keras.ops.rms_normalization(x, g, axis=-1)
    np.testing.assert_allclose(ops.rms_normalization(x, g, axis=-1).numpy(), want, 1e-4, 1e-5)
    mask = RNG.random((4, 3)) > 0.4
    layer = real_keras.layers.BatchNormalization(momentum=0.0)
    want = layer(x, training=True, mask=mask)
    y, mean, var = ops.batch_normalization_training(x, None, None, mask)
    np.testing.assert_allclose(y.numpy(), want, 1e-4, 1e-5)
    np.testing.assert_allclose(mean.numpy(), layer.moving_mean, 1e-4, 1e-6)
    np.testing.assert_allclose(var.numpy(), layer.moving_variance, 1e-4, 1e-6)
    args = (np.ones(5, "float32") * 0.3, np.ones(5, "float32") * 1.7)
    want = real_keras.ops.batch_normalization(x, *args, axis=-1, offset=b, scale=g)
    np.testing.assert_allclose(ops.batch_normalization(x, *args, -1, b, g).numpy(), want, 1e-4, 1e-5)
    assert keras.config.epsilon() == 1e-7


# ---- what a GPU does at once ------------------------------------------------------------------------------
@pytest.mark.parametrize("name, run", [
    ("batch_norm_forward", lambda x, g, b: ops.batch_normalization_training(x, g, b)[0]),
    ("layer_norm_forward", lambda x, g, b: ops.layer_normalization(x, g, b)),
    ("affine_columns", lambda x, g, b: ops.batch_normalization(x, g * 100, g * 1e4, -1, b, g)),
])
def test_half_is_made_wide_only_for_a_backend_that_needs_it(backend, monkeypatch, name, run):
    x = (RNG.standard_normal((40, 6)) * 400 + 100).astype("float16")  # squares and sums are beyond float16
    gamma, beta = RNG.random((2, 6)).astype("float32")
    taken, method = [], getattr(backend, name)
    monkeypatch.setattr(backend, name, lambda x, *args: (taken.append(str(x.dtype)), method(x, *args))[1])

    def results(kind):
        inputs = [ops.convert_to_tensor(v) for v in (x.astype(kind), gamma, beta)]
        with keras.GradientTape() as tape:
            tape.watch(inputs)
            y = run(*inputs)
            loss = ops.sum(ops.cast(y, "float32") * np.cos(np.arange(240.0, dtype="float32")).reshape(40, 6))
        return y, *tape.gradient(loss, inputs)

    found = results("float16")
    assert set(taken) == {"float16" if backend.normalizes_half else "float32"}
    assert [v.dtype for v in found] == ["float16", "float16", "float32", "float32"]
    for value, want in zip(found, results("float32")):
        want = want.numpy()
        np.testing.assert_allclose(value.numpy().astype(float), want, 4e-3, 2e-3 * abs(want).max())


def test_moving_averages_move_in_the_op(backend):
    x = RNG.standard_normal((7, 3))
    mean, variance = keras.Variable(np.full(3, 2.0)), keras.Variable(np.full(3, 4.0))
    versions = mean.version, variance.version
    y, *found = ops.batch_normalization_training(
        ops.convert_to_tensor(x), moving=(mean, variance, 0.75), epsilon=0.01
    )
    np.testing.assert_allclose(y.numpy(), (x - x.mean(0)) / np.sqrt(x.var(0) + 0.01), 1e-5, 1e-5)
    np.testing.assert_allclose(mean.numpy(), 1.5 + 0.25 * x.mean(0), 1e-6)
    np.testing.assert_allclose(variance.numpy(), 3 + 0.25 * x.var(0), 1e-6)
    np.testing.assert_allclose(found[0].numpy(), x.mean(0), 1e-5, 1e-6)
    assert (mean.version, variance.version) == (versions[0] + 1, versions[1] + 1)


# ---- groups and lengths -----------------------------------------------------------------------------
def group(x, gamma=None, beta=None, groups=32, axis=-1, epsilon=1e-3):
    z = np.moveaxis(x, axis, -1)
    split = z.reshape(len(x), -1, groups, z.shape[-1] // groups)
    split = (split - split.mean((1, 3), keepdims=True)) / np.sqrt(split.var((1, 3), keepdims=True) + epsilon)
    y = split.reshape(z.shape)
    y = y * (1 if gamma is None else gamma) + (0 if beta is None else beta)
    return np.moveaxis(y, -1, axis)


@pytest.mark.parametrize("shape, groups, axis", [
    ((3, 4, 5, 6), 3, -1), ((3, 6, 4), 2, 1), ((3, 4, 6, 5), 6, 2), ((4, 8), 2, -1), ((5, 24, 16, 8), 4, -1),
    ((2, 64, 80, 16), 4, -1), ((3, 8, 500), 4, 1),
])
def test_group(backend, shape, groups, axis):
    x, channels = RNG.standard_normal(shape), shape[axis]
    gamma, beta = RNG.standard_normal((2, channels))
    kwargs = {"groups": groups, "axis": axis}
    small = x.size < 1000
    check_op(group_normalization, [x, gamma, beta], group, kwargs=kwargs, second_order=small, strided=small,
             rtol=1e-4, atol=1e-4, directions=1)
    check_op(group_normalization, [x + 2, None, beta], group, kwargs=kwargs, strided=False, rtol=1e-4,
             atol=1e-4, directions=1)
    if small:
        check_op(group_normalization, [x, gamma, None], group, kwargs=kwargs, strided=False, rtol=1e-4)


def test_group_errors():
    with pytest.raises(ValueError, match="4 groups of the channels on axis 1 of x .shape .2, 6.."):
        group_normalization(ops.zeros((2, 6)), groups=4)
    with pytest.raises(ValueError, match="gamma has shape .3,."):
        group_normalization(ops.zeros((2, 6)), ops.ones((3,)), groups=2)
    assert group_normalization(ops.zeros((0, 6)), groups=2).shape == (0, 6)


@pytest.mark.parametrize("axis", [-1, 1, (0, 2), None])
def test_normalize(backend, axis):
    check_op(ops.normalize, [X], lambda x, axis: x / np.sqrt((x**2).sum(axis, keepdims=True)),
             kwargs={"axis": axis}, second_order=True)


def test_normalize_short_vectors(backend):
    """Vectors shorter than ``epsilon`` are divided by it, and their gradient too."""
    x = np.array([[0.0, 0.0], [0.1, 0.2], [3.0, 4.0]])

    def reference(x, epsilon):
        return x / np.maximum(np.sqrt((x**2).sum(-1, keepdims=True)), epsilon)

    check_op(ops.normalize, [x], reference, kwargs={"epsilon": 0.5}, second_order=True)
    assert ops.normalize([[3, 4]]).dtype == "float32"


def test_rms_scaling(backend):
    """The meaning of Keras 3: divided by the standard deviation without being centred."""
    def reference(x, gamma, beta, axis, epsilon, rms_scaling):
        return x / np.sqrt(x.var(axis, keepdims=True) + epsilon) * gamma

    check_op(ops.layer_normalization, [X, RNG.standard_normal(5), None], reference,
             settings=(-1, 0.1, True), second_order=True)
