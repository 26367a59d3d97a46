"""Layers that change values of pixels or mix images against real Keras 3, for given draws; the draws."""

import numpy as np
import pytest

from gpukeras import layers, ops

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

RANGES = {"bytes": (0, 255), "unit": (0, 1), "signed": (-1, 1)}
YES_NO = np.array([True, False, True])
RNG = np.random.default_rng(0)
INSIDE = RNG.random((3, 6, 7, 3)) < 0.5
NOISE = RNG.uniform(0, 1, (3, 6, 7, 3)).astype("float32")
ORDER = np.array([2, 0, 1], "int32")
WEIGHT = np.array([0.2, 0.5, 1.0], "float32")


def column(*values):
    return np.array(values, "float32").reshape(3, 1, 1, 1)


# name, settings, transformation, value ranges
GIVEN = [
    ("RandomBrightness", {"factor": 0.1}, {"rgb_delta": column(0.1, -0.4, 90)}, RANGES),
    ("RandomContrast", {"factor": 0.1}, {"contrast_factor": column(0.5, 1.5, 3)}, RANGES),
    ("RandomColorDegeneration", {"factor": 0.1}, {"factor": column(-0.2, 0.3, 1)}, RANGES),
    ("RandomHue", {"factor": 0.1}, {"factor": np.array([-0.2, 0.3, 0.5], "float32")}, RANGES),
    ("RandomSaturation", {"factor": 0.1}, {"factor": np.array([0, 0.3, 1], "float32")}, ("bytes", "unit")),
    ("RandomSaturation", {"factor": 0.1}, {"factor": np.array([-1, 2, 9e6], "float32")}, ("unit",)),
    ("RandomSharpness", {"factor": 0.1}, {"factor": np.array([0, 0.5, 1], "float32")}, RANGES),
    ("RandomGaussianBlur", {"kernel_size": (3, 5)},
     {"should_apply_blur": YES_NO, "blur_factor": np.array([0.5, 1.2], "float32")}, RANGES),
    ("RandomPosterization", {"factor": 3}, {"shift_factor": np.array([1, 4, 7], "uint8")}, ("bytes", "unit")),
    ("Solarization", {}, {"additions": column(10, 0, 100), "thresholds": column(50, 128, 200)}, RANGES),
    ("RandomInvert", {}, {"apply_inversion": YES_NO}, ("bytes", "unit")),
    ("RandomGrayscale", {}, YES_NO.reshape(3, 1, 1, 1), ("bytes",)),
    ("RandomErasing", {}, {"apply_erasing": YES_NO, "batch_masks": INSIDE, "fill_value": NOISE}, RANGES),
    ("CutMix", {}, {"permutation_order": ORDER, "batch_masks": INSIDE, "mix_weight": column(*WEIGHT)},
     ("bytes",)),
    ("MixUp", {}, {"mix_weight": WEIGHT, "permutation_order": ORDER}, ("bytes",)),
]


def _pictures(value_range):
    low, high = value_range
    # Half-way between bytes: rounding decides nothing.
    values = np.random.default_rng(1).integers(0, 255, (3, 6, 7, 3)) + 0.5
    return (values / 255 * (high - low) + low).astype("float32")


@pytest.mark.parametrize("name, settings, transformation, where", GIVEN, ids=[case[0] for case in GIVEN])
def test_images_for_a_given_draw(real_keras, name, settings, transformation, where):
    for kind in where:
        x = _pictures(RANGES[kind])
        ranged = {} if name in ("RandomGrayscale", "CutMix", "MixUp") else {"value_range": RANGES[kind]}
        theirs = getattr(real_keras.layers, name)(**settings, **ranged)
        ours = getattr(layers, name)(**settings, **ranged)
        expected = np.asarray(theirs.transform_images(x, transformation, training=True))
        span = RANGES[kind][1] - RANGES[kind][0]
        found = ours.transform_images(ops.convert_to_tensor(x), transformation).numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=3e-6 * span, err_msg=f"{name} {kind}")
        ours = getattr(layers, name)(**settings, **ranged, data_format="channels_first")
        turned = ops.convert_to_tensor(x.transpose(0, 3, 1, 2))
        found = ours.transform_images(turned, _channels_first(transformation)).numpy().transpose(0, 2, 3, 1)
        np.testing.assert_allclose(found, expected, atol=3e-6 * span, err_msg=f"{name} {kind} channels_first")


def _channels_first(transformation):
    if isinstance(transformation, dict):
        return {key: _channels_first(value) for key, value in transformation.items()}
    return transformation.transpose(0, 3, 1, 2) if transformation.ndim == 4 else transformation


@pytest.mark.parametrize("settings", [{}, {"bins": 300, "value_range": (-1, 1)}])
def test_equalization(real_keras, settings):
    """With all bins; real Keras takes a minute for them when it compiles."""
    x = _pictures(settings.get("value_range", (0, 255)))
    x[..., 1] = x[0, 0, 0, 1]  # one value alone
    expected = np.asarray(real_keras.layers.Equalization(**settings)(x, training=True))
    np.testing.assert_allclose(layers.Equalization(**settings)(x).numpy(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name, transformation", [(n, t) for n, _, t, _ in GIVEN if n in ("MixUp", "CutMix")])
def test_labels_are_mixed(real_keras, name, transformation):
    labels = np.random.default_rng(2).random((3, 4)).astype("float32")
    expected = np.asarray(getattr(real_keras.layers, name)().transform_labels(labels, transformation))
    ours = getattr(layers, name)()
    np.testing.assert_allclose(ours.transform_labels(labels, transformation).numpy(), expected, rtol=1e-6)
    whole = np.eye(4, dtype="int32")[:3]  # integers become floats
    expected = np.asarray(getattr(real_keras.layers, name)().transform_labels(whole, transformation))
    np.testing.assert_allclose(ours.transform_labels(whole, transformation).numpy(), expected, rtol=1e-6)


def test_masks_are_cut(real_keras):
    transformation = next(t for n, _, t, _ in GIVEN if n == "CutMix")
    transformation = transformation | {"batch_masks": np.repeat(INSIDE[..., :1], 3, -1)}
    masks = np.random.default_rng(2).integers(0, 5, (3, 6, 7, 1)).astype("uint8")
    expected = np.asarray(real_keras.layers.CutMix().transform_segmentation_masks(masks, transformation))
    found = layers.CutMix().transform_segmentation_masks(ops.convert_to_tensor(masks), transformation).numpy()
    assert found.dtype == np.uint8 and found.shape == masks.shape
    np.testing.assert_array_equal(found[..., 0], expected[..., 0])


def _chains(real_keras, given):
    """Return chains for AugMix and their result in both libraries."""
    x = _pictures((0, 255))
    zero = np.zeros((3, 1, 1, 1), "float32")
    steps = {
        "solarization": {"additions": zero, "thresholds": zero},
        "random_brightness": {"rgb_delta": zero + 30},
        "random_posterization": {"shift_factor": np.full(3, 5, "uint8")},
        "auto_contrast": None,
        "random_translation": {"translations": np.tile(np.float32([[1, 2]]), (3, 1)), "input_shape": x.shape},
    }
    transformation = {
        "chain_mixing_weights": np.float32([0.2, 0.3, 0.5]), "weight_sample": np.float32(0.4),
        "chain_transforms": [[{"layer_name": name, "transformation": steps[name]} for name in chain]
                             for chain in given],
    }
    return x, steps, transformation, real_keras.layers.AugMix()


def test_aug_mix_for_given_chains(real_keras):
    chains = [["auto_contrast", "solarization", "random_brightness"], [], ["random_translation"]]
    x, _, transformation, theirs = _chains(real_keras, chains)
    expected = np.asarray(theirs.transform_images(x, transformation, training=True))
    found = layers.AugMix().transform_images(ops.convert_to_tensor(x), transformation).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("chosen", [[8, 3, 7], [3, 1, 3, 8]])
def test_rand_augment_for_given_choices(real_keras, chosen):
    x, steps, _, _ = _chains(real_keras, [])
    settings = {"num_ops": len(chosen)}
    theirs = real_keras.layers.RandAugment(**settings)
    drawn = theirs.get_random_transformation(x, training=True)["transforms"]  # all, in their order
    transformation = {"transforms": drawn | steps, "layer_idxes": np.array(chosen, "int32")}
    expected = np.asarray(theirs.transform_images(x, transformation, training=True))
    found = layers.RandAugment(**settings).transform_images(ops.convert_to_tensor(x), transformation).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-3)


DRAWS = [
    ("RandomBrightness", {"factor": (-0.7, 0.2)}), ("RandomContrast", {"factor": (0.2, 0.7)}),
    ("RandomContrast", {"factor": 0.4}), ("RandomColorDegeneration", {"factor": 0.3}),
    ("RandomHue", {"factor": (0.2, 0.7)}), ("RandomSaturation", {"factor": (-0.3, 0.6)}),
    ("RandomSharpness", {"factor": 0.3}), ("RandomPosterization", {"factor": (2, 6)}),
    ("RandomPosterization", {"factor": 8}),
    ("Solarization", {"addition_factor": 0.3, "threshold_factor": 0.4}),
    ("RandomInvert", {"factor": (0.2, 0.4)}), ("RandomErasing", {"factor": 0.6, "value_range": (50, 100)}),
    ("RandomGaussianBlur", {"factor": 0.6}),
    ("CutMix", {"factor": (0.7, 0.7)}), ("MixUp", {"alpha": 0.5}), ("RandomGrayscale", {"factor": 0.3}),
]


@pytest.mark.parametrize("name, settings", DRAWS)
def test_draws_are_spread_alike(real_keras, name, settings):
    count = 3000
    x = np.zeros((count, 8, 6, 1), "float32")
    seed = real_keras.random.SeedGenerator(3)
    theirs = getattr(real_keras.layers, name)(**settings)
    theirs = theirs.get_random_transformation(x, training=True, seed=seed)
    ours = getattr(layers, name)(**settings, seed=1).get_random_transformation(ops.convert_to_tensor(x))
    if not isinstance(theirs, dict):
        theirs, ours = {"mask": theirs}, {"mask": ours}
    assert ours.keys() == theirs.keys()
    for key in theirs.keys() - {"permutation_order", "blur_factor"}:
        a, b = (np.asarray(t[key], "float64") for t in (ours, theirs))
        spread = max(b.std(), 1e-9)
        assert abs(a.mean() - b.mean()) < 6 * spread * (2 / count) ** 0.5, key
        assert abs(a.std() - spread) < 0.1 * spread, key
        reach = b.max() - b.min()
        assert abs(a.min() - b.min()) < 0.03 * reach and abs(a.max() - b.max()) < 0.03 * reach, key
    if "batch_masks" in theirs:
        _same_rectangles(*(np.asarray(t["batch_masks"])[..., 0] for t in (ours, theirs)))
    if "permutation_order" in theirs:
        assert sorted(np.asarray(ours["permutation_order"])) == list(range(count))


def _same_rectangles(ours, theirs):
    """Heights, widths and first rows and columns are spread alike."""
    for axis in (1, 2):
        lines = [m.any(axis=axis) for m in (ours, theirs)]
        for measure in (lambda m: m.sum(axis=1), lambda m: m.argmax(axis=1)):
            a, b = (measure(m) for m in lines)
            assert abs(a.mean() - b.mean()) < 0.12
            assert abs(a.std() - b.std()) < 0.12
    for mask in (ours, theirs):
        rows, columns = mask.any(axis=2), mask.any(axis=1)
        np.testing.assert_array_equal(mask, rows[:, :, None] & columns[:, None, :])


def test_aug_mix_and_rand_augment_draw_alike(real_keras):
    x = np.zeros((2, 2, 2, 3), "float32")
    settings = {"num_chains": 16, "chain_depth": 6, "alpha": 0.5, "seed": 1}
    a = layers.AugMix(**settings).get_random_transformation(ops.convert_to_tensor(x))
    b = real_keras.layers.AugMix(**settings).get_random_transformation(x, training=True)
    assert a.keys() == b.keys()
    shares = [np.asarray(t["chain_mixing_weights"]) for t in (a, b)]
    assert all(abs(s.sum() - 1) < 1e-5 and s.shape == (16,) for s in shares)
    assert all(0.04 < s.std() < 0.16 for s in shares)  # 0.081 on the average
    lengths = [sum(map(len, t["chain_transforms"])) / 96 for t in (a, b)]
    assert all(abs(n - 11 / 12) < 0.1 for n in lengths)
    names = [{step["layer_name"] for chain in t["chain_transforms"] for step in chain} for t in (a, b)]
    assert names[0] == names[1] and len(names[0]) == 11
    drawn = layers.RandAugment(num_ops=3, seed=1).get_random_transformation(ops.convert_to_tensor(x))
    expected = real_keras.layers.RandAugment(num_ops=3).get_random_transformation(x, training=True)
    assert drawn.keys() == expected.keys() and drawn["layer_idxes"].shape == expected["layer_idxes"].shape
    assert drawn["transforms"].keys() <= expected["transforms"].keys()
