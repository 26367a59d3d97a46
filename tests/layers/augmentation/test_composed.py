"""``RandAugment`` and ``AugMix``: choices among many transformations."""

import numpy as np
import pytest

from gpukeras import layers, ops

ELEVEN = {
    "random_shear", "random_translation", "random_rotation", "random_brightness", "random_color_degeneration",
    "random_contrast", "random_sharpness", "random_posterization", "solarization", "auto_contrast",
    "equalization",
}


def pictures(count=3):
    return ops.convert_to_tensor(np.random.default_rng(0).uniform(0, 255, (count, 6, 7, 3)).astype("float32"))


@pytest.mark.parametrize("cls, kwargs", [
    (layers.RandAugment, {"num_ops": 3}),
    (layers.RandAugment, {"factor": (0.4, 0.6), "interpolation": "nearest"}),
    (layers.AugMix, {}), (layers.AugMix, {"all_ops": False, "chain_depth": 1, "num_chains": 2}),
])
@pytest.mark.parametrize("first", [False, True])
def test_seeds_modes_and_dtypes(cls, kwargs, first):
    x = pictures()
    if first:
        x, kwargs = ops.transpose(x, (0, 3, 1, 2)), kwargs | {"data_format": "channels_first"}
    a, b = (cls(**kwargs, seed=4) for _ in range(2))
    found = [a(x).numpy() for _ in range(4)]
    np.testing.assert_array_equal(found, [b(x).numpy() for _ in range(4)])
    assert any((one != found[0]).any() for one in found[1:])
    assert all(one.min() >= -1e-3 and one.max() <= 255.001 for one in found)
    np.testing.assert_array_equal(a(x, training=False).numpy(), x.numpy())
    for dtype in ("float16", "uint8"):
        layer = cls(**kwargs, dtype=dtype, seed=4)
        assert str(layer(ops.cast(x, dtype)).dtype) == dtype
    assert a(x[0]).shape == x.shape[1:]


def test_rand_augment_applies_what_it_drew():
    x = pictures()
    layer = layers.RandAugment(num_ops=4, seed=2)
    drawn = layer.get_random_transformation(x)
    names = sorted(ELEVEN, key=lambda name: layer._operations.index(name))
    y = x
    for number in drawn["layer_idxes"].tolist():
        y = getattr(layer, names[number]).transform_images(y, drawn["transforms"][names[number]])
    np.testing.assert_array_equal(layer.transform_images(x, drawn).numpy(), y.numpy())
    seen = set()
    for _ in range(60):
        seen |= layer.get_random_transformation(x)["transforms"].keys()
    assert seen == ELEVEN
    np.testing.assert_array_equal(layers.RandAugment(num_ops=0)(x).numpy(), x.numpy())


def test_aug_mix_mixes_what_it_drew():
    x = pictures()
    layer = layers.AugMix(num_chains=2, chain_depth=3, seed=3)
    drawn = layer.get_random_transformation(x)
    shares, weight = drawn["chain_mixing_weights"].numpy(), float(drawn["weight_sample"])
    assert abs(shares.sum() - 1) < 1e-6 and 0 <= weight <= 1
    mixture = 0.0
    for share, chain in zip(shares, drawn["chain_transforms"]):
        y = x
        for step in chain:
            y = getattr(layer, step["layer_name"]).transform_images(y, step["transformation"])
        mixture = mixture + float(share) * y.numpy()
    expected = weight * x.numpy() + (1 - weight) * mixture
    np.testing.assert_allclose(layer.transform_images(x, drawn).numpy(), expected, atol=1e-3)
    assert not hasattr(layers.AugMix(all_ops=False), "random_brightness")


@pytest.mark.parametrize("cls", [layers.RandAugment, layers.AugMix])
def test_masks_and_labels_go_along(cls):
    x = pictures()
    data = {"images": x, "labels": np.eye(3, dtype="float32"), "segmentation_masks": x[..., :1] > 100}
    layer = cls(seed=1)
    for _ in range(3):
        found = layer(data)
        np.testing.assert_array_equal(found["labels"].numpy(), np.eye(3))
        assert found["segmentation_masks"].shape == (3, 6, 7, 1)
    drawn = {"transforms": {"random_brightness": {"rgb_delta": np.full((3, 1, 1, 1), 20, "float32")}},
             "layer_idxes": np.array([3])} if cls is layers.RandAugment else {
        "chain_mixing_weights": np.float32([1, 0, 0]), "weight_sample": np.float32(0.5),
        "chain_transforms": [[{"layer_name": "auto_contrast", "transformation": None}], [], []]}
    masks = np.random.default_rng(0).integers(0, 3, (3, 6, 7, 1)).astype("uint8")
    found = layer.transform_segmentation_masks(masks, drawn)  # colours leave masks alone
    np.testing.assert_array_equal(ops.convert_to_numpy(found), masks)


@pytest.mark.cpu
@pytest.mark.parametrize("cls, kwargs, told", [
    (layers.RandAugment, {"num_ops": -1}, "num_ops"), (layers.RandAugment, {"factor": 2}, "factor"),
    (layers.AugMix, {"num_chains": 0}, "num_chains"), (layers.AugMix, {"chain_depth": 1.5}, "chain_depth"),
    (layers.AugMix, {"alpha": 0}, "alpha"),
])
def test_wrong_arguments(cls, kwargs, told):
    with pytest.raises(ValueError, match=rf"{cls.__name__}.*{told}"):
        cls(**kwargs)
