"""GroupNormalization, RMSNormalization, UnitNormalization; layers of tf.keras's ``experimental``."""

import numpy as np
import pytest
from support.layer_checks import check_layer

import gpukeras as keras
from gpukeras import layers
from gpukeras.symbolic import KerasTensor

RNG = np.random.default_rng(4)


def group_norm(x, groups, axis=-1, epsilon=1e-3):
    z = np.moveaxis(x, axis, -1)
    split = z.reshape(len(x), -1, groups, z.shape[-1] // groups)
    split = (split - split.mean((1, 3), keepdims=True)) / np.sqrt(split.var((1, 3), keepdims=True) + epsilon)
    return np.moveaxis(split.reshape(z.shape), -1, axis)


def random_weights(layer):
    layer.set_weights([RNG.uniform(0.5, 2.0, w.shape) for w in layer.weights])


@pytest.mark.parametrize("groups, axis, shape", [
    (2, -1, (3, 5, 4)), (3, 1, (6, 4)), (3, 2, (2, 6, 3)), (-1, -1, (5, 4)), (1, -1, (6,)),
    (2, -1, (40, 30, 8)),
])
def test_group_normalization(groups, axis, shape):
    channels = shape[axis if axis < 0 else axis - 1]

    def reference(x, gamma, beta):
        wide = [-1 if i == axis % x.ndim else 1 for i in range(x.ndim)]
        y = group_norm(x, channels if groups == -1 else groups, axis)
        return y * gamma.reshape(wide) + beta.reshape(wide)

    layer = check_layer(layers.GroupNormalization, {"groups": groups, "axis": axis}, shape, batch=2,
                        reference=reference, setup=random_weights, save=len(shape) < 3)
    assert [w.name for w in layer.weights] == ["gamma", "beta"]


def test_group_normalization_far_from_zero():
    """Where the mean is far larger than the deviation no digits are lost."""
    x = RNG.standard_normal((2, 50, 40, 8)).astype("float32") + 1000
    layer = layers.GroupNormalization(4)
    np.testing.assert_allclose(layer(x).numpy(), group_norm(x.astype("float64"), 4), atol=2e-2)


def test_group_normalization_parts():
    layer = layers.GroupNormalization(2, center=False, scale=False)
    layer(np.ones((2, 3, 4)))
    assert not layer.weights
    half = layers.GroupNormalization(2, dtype="mixed_float16")
    x = RNG.standard_normal((2, 3, 4)).astype("float16")
    assert half(x * 1000).dtype == "float16" and half.weights[0].dtype == "float32"
    np.testing.assert_allclose(half(x * 1000).numpy(), group_norm(x.astype("float64") * 1000, 2), atol=5e-3)


@pytest.mark.parametrize("make, text", [
    (lambda: layers.GroupNormalization(4)(np.ones((2, 6))), "groups=4 must divide the number of channels, 6"),
    (lambda: layers.GroupNormalization()(np.ones((2, 6))), "groups=32 must divide"),
    (lambda: layers.GroupNormalization(0), "groups must be a positive integer or -1, came 0"),
    (lambda: layers.GroupNormalization(2, axis=0)(np.ones((2, 6))), "axis 0 is that of the samples"),
    (lambda: layers.GroupNormalization(2)(KerasTensor((None, 3, None))), "must have a known size"),
])
def test_group_normalization_errors(make, text):
    with pytest.raises(ValueError, match=text):
        make()


@pytest.mark.parametrize("axis, shape", [(-1, (3, 4)), ([1, 2], (3, 4)), (1, (3, 4))])
def test_rms_normalization(axis, shape):
    axes = tuple(axis) if isinstance(axis, list) else (axis % 3,)

    def reference(x, scale):
        wide = [n if i in axes else 1 for i, n in enumerate(x.shape)]
        return x / np.sqrt((x**2).mean(axes, keepdims=True) + 0.1) * scale.reshape(wide)

    layer = check_layer(layers.RMSNormalization, {"axis": axis, "epsilon": 0.1}, shape, reference=reference,
                        setup=random_weights)
    assert [w.name for w in layer.weights] == ["scale"] and isinstance(layer.axis, list)
    with pytest.raises(TypeError, match="RMSNormalization: axis must be an integer or a list of them"):
        layers.RMSNormalization(axis="last")


@pytest.mark.parametrize("axis", [-1, [1, 2]])
def test_unit_normalization(axis):
    axes = tuple(axis) if isinstance(axis, list) else axis
    check_layer(layers.UnitNormalization, {"axis": axis}, (3, 4), trainable=False,
                reference=lambda x: x / np.sqrt((x**2).sum(axes, keepdims=True)))
    assert not layers.UnitNormalization()(np.zeros((2, 3))).numpy().any()
    with pytest.raises(TypeError, match="UnitNormalization: axis must be an integer"):
        layers.UnitNormalization(axis=1.5)


def test_rms_scaling_of_layer_normalization():
    """Divided by the standard deviation, not centred: the meaning of Keras 3."""
    def reference(x, gamma):
        return x / np.sqrt(x.var(-1, keepdims=True) + 0.1) * gamma

    layer = check_layer(layers.LayerNormalization, {"rms_scaling": True, "epsilon": 0.1}, (3, 4),
                        reference=reference, setup=random_weights)
    assert [w.name for w in layer.weights] == ["gamma"]


# ---- tf.keras's experimental layers -----------------------------------------------------------------
def test_synchronized():
    """On one device it is BatchNormalization, with the configuration of tf.keras 2."""
    layer = layers.experimental.SyncBatchNormalization(momentum=0.5)
    x = RNG.standard_normal((8, 3)).astype("float32")
    plain = layers.BatchNormalization(momentum=0.5)
    np.testing.assert_array_equal(layer(x, training=True).numpy(), plain(x, training=True).numpy())
    assert not {"synchronized", "renorm"} & set(layer.get_config())
    assert layers.deserialize(layers.serialize(layer)).get_config() == layer.get_config()
    with pytest.raises(TypeError, match="unknown arguments|multiple values"):
        layers.experimental.SyncBatchNormalization(fused=True)


@pytest.mark.parametrize("kernel, scale", [("gaussian", None), ("laplacian", 2.0), ("Gaussian", 1.5)])
def test_random_fourier_features(kernel, scale):
    """Products of features approximate the kernel; the formula holds number by number."""
    x = RNG.uniform(-1, 1, (6, 3)).astype("float32")
    layer = layers.experimental.RandomFourierFeatures(20000, kernel, scale, trainable=True)
    y = layer(x).numpy().astype("float64")
    size, w, b = (v.numpy() for v in (layer.kernel_scale, layer.unscaled_kernel, layer.bias))
    np.testing.assert_allclose(y, np.cos(x @ (w / size) + b), atol=2e-4)
    apart = x[:, None] - x[None]
    if kernel.lower() == "gaussian":
        expected = np.exp(-(apart**2).sum(-1) / (2 * float(size[0]) ** 2))
    else:
        expected = np.exp(-np.abs(apart).sum(-1) / float(size[0]))
    np.testing.assert_allclose(2 / 20000 * y @ y.T, expected, atol=0.05)
    assert [w.name for w in layer.trainable_weights] == ["kernel_scale"]
    again = layers.deserialize(layers.serialize(layer))
    assert again.get_config() == layer.get_config() and again.scale == pytest.approx(float(size[0]))


def test_random_fourier_features_options():
    kind = layers.experimental.RandomFourierFeatures
    layer = kind(4, kernel_initializer=keras.initializers.Ones())
    layer(np.ones((2, 3)))
    assert not layer.trainable_weights and (layer.unscaled_kernel.numpy() == 1).all() and layer.scale == 1.0
    assert layers.deserialize(layers.serialize(layer)).kernel_initializer.__class__.__name__ == "Ones"
    for wrong, text in (({"output_dim": 0}, "output_dim must be a positive"), (
            {"output_dim": 3, "scale": -1.0}, "scale must be a positive"), (
            {"output_dim": 3, "kernel_initializer": "cosine"}, "one of 'gaussian', 'laplacian'")):
        with pytest.raises(ValueError, match=text):
            kind(**wrong)
    with pytest.raises(ValueError, match="expected .*2"):
        kind(3)(np.ones((2, 3, 4)))


def test_names_of_experimental():
    from gpukeras.layers.experimental import preprocessing

    assert layers.experimental.EinsumDense is layers.EinsumDense
    assert "Rescaling" in dir(preprocessing)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        preprocessing.Nothing  # noqa: B018
