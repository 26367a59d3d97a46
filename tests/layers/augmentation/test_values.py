"""Layers that change values of pixels: brightness, contrast, colours, tones, blur."""

import colorsys

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import compat, layers, models, ops, random

SHAPE = (3, 5, 4, 3)
FIRST = {"data_format": "channels_first"}


def pictures(low=0.0, high=255.0, seed=0):
    return np.random.default_rng(seed).uniform(low, high, SHAPE).astype("float32")


def in_hsv(images, change):
    """Change hue, saturation and value of images of 0 to 1, pixel by pixel."""
    found = np.empty(images.shape)
    for place in np.ndindex(images.shape[:-1]):
        found[place] = colorsys.hsv_to_rgb(*change(place[0], *colorsys.rgb_to_hsv(*images[place].tolist())))
    return found


def by_hand(images, window):
    """Return weighted sums over neighbours, with zeros around the images."""
    tall, wide = window.shape
    padded = np.pad(images.astype("float64"), ((0, 0), (tall // 2,) * 2, (wide // 2,) * 2, (0, 0)))
    found = np.zeros(images.shape)
    for i in range(tall):
        for j in range(wide):
            found += window[i, j] * padded[:, i:i + images.shape[1], j:j + images.shape[2]]
    return found


def bell(size, sigma):
    weights = np.exp(-0.5 * ((np.arange(size) - size // 2) / sigma) ** 2)
    return weights / weights.sum()


WIDE = {"value_range": (-50, 50)}
BLUR = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
GREY = np.array([0.2989, 0.5870, 0.1140])

# Equal ends of a range leave nothing to chance. Numbers are drawn in float32: these are the same there.
FIXED = [
    (layers.RandomBrightness, {"factor": (0.02, 0.02), **WIDE}, lambda x: x + 2),
    (layers.RandomContrast, {"factor": (-0.5, 0.5), **WIDE},
     lambda x: 1.5 * x - 0.5 * x.mean((1, 2), keepdims=True)),
    (layers.RandomColorDegeneration, {"factor": (0.25, 0.25), **WIDE},
     lambda x: 0.75 * x + 0.25 * (x @ GREY)[..., None]),
    (layers.RandomGrayscale, {"factor": 1.0}, lambda x: np.repeat((x @ GREY)[..., None], 3, -1)),
    (layers.RandomInvert, {"factor": (1.0, 1.0), "value_range": (-50, 60)}, lambda x: 10 - x),
    (layers.RandomSharpness, {"factor": (0.25, 0.25), **WIDE}, lambda x: 0.5 * x + 0.5 * by_hand(x, BLUR)),
    (layers.RandomGaussianBlur, {"factor": (1.0, 1.0), "sigma": (0.75, 0.75), "kernel_size": (5, 3), **WIDE},
     lambda x: by_hand(x, np.outer(bell(3, 0.75), bell(5, 0.75)))),
    (layers.AutoContrast, {"value_range": (-1, 3)},
     lambda x: (x - x.min((1, 2), keepdims=True)) / np.ptp(x, (1, 2), keepdims=True) * 4 - 1),
    (layers.RandomErasing, {"factor": (1.0, 1.0), "scale": (1.0, 1.0), "fill_value": 7.0, **WIDE},
     lambda x: np.full_like(x, 7.0)),
]


@pytest.mark.parametrize("cls, kwargs, reference", FIXED, ids=[case[0].__name__ for case in FIXED])
def test_fixed_layers(cls, kwargs, reference):
    check_layer(cls, kwargs, SHAPE[1:], reference=reference)


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1), (-1, 1)])
def test_hue_and_saturation(value_range):
    low, high = value_range
    unit = pictures(0.0, 1.0)
    turns, strengths = np.float32([-0.3, 0.2, 0.5]), np.float32([0.0, 0.6, 5.0])
    expected = in_hsv(unit, lambda i, h, s, v: ((h + float(turns[i])) % 1, s, v)) * (high - low) + low
    x = ops.convert_to_tensor(unit * (high - low) + low)
    found = layers.RandomHue(0.5, value_range).transform_images(x, {"factor": turns}).numpy()
    np.testing.assert_allclose(found, expected, atol=4e-6 * (high - low))
    expected = in_hsv(unit, lambda i, h, s, v: (h, min(s * float(strengths[i]), 1.0), v)) * (high - low) + low
    found = layers.RandomSaturation(0.5, value_range).transform_images(x, {"factor": strengths}).numpy()
    np.testing.assert_allclose(found, expected, atol=4e-6 * (high - low))
    assert found.min() >= low - 1e-6 * (high - low)


@pytest.mark.parametrize("value_range", [(0, 255), (0, 1), (-1, 1)])
def test_posterization_and_solarization(value_range):
    low, high = value_range
    whole = np.random.default_rng(1).integers(0, 256, SHAPE)
    x = ops.convert_to_tensor((whole / 255 * (high - low) + low).astype("float32"))
    shift = np.array([1, 4, 7], "uint8")
    kept = np.stack([image >> s << s for image, s in zip(whole, shift)])
    found = layers.RandomPosterization(8, value_range).transform_images(x, {"shift_factor": shift}).numpy()
    np.testing.assert_allclose(found, kept / 255 * (high - low) + low, atol=1e-6 * (high - low))
    added = np.minimum(whole + 20.5, 255)
    turned = np.where(added < 100, added, 255 - added)
    given = {"additions": np.full(3, 20.5, "float32"), "thresholds": np.full(3, 100, "float32")}
    found = layers.Solarization(value_range=value_range).transform_images(x, given).numpy()
    np.testing.assert_allclose(found, turned / 255 * (high - low) + low, atol=1e-6 * (high - low))


def test_solarization_takes_both_ends_as_parts_of_the_range():
    x = ops.convert_to_tensor(pictures())
    drawn = layers.Solarization((0.2, 0.2), (0.5, 0.6), seed=1).get_random_transformation(x)
    np.testing.assert_allclose(drawn["additions"].numpy(), np.full((3, 1, 1, 1), 51.0), rtol=1e-6)
    assert 127.5 <= drawn["thresholds"].numpy().min() and drawn["thresholds"].numpy().max() <= 153


def test_values_are_cut_at_the_value_range():
    x = pictures()
    np.testing.assert_array_equal(layers.RandomBrightness((1.0, 1.0))(x).numpy(), np.full(SHAPE, 255.0))
    np.testing.assert_array_equal(layers.RandomBrightness((-1.0, -1.0))(x).numpy(), np.zeros(SHAPE))
    found = layers.RandomContrast((-1.0, 1.0))(x).numpy()
    assert found.min() == 0 and found.max() == 255
    found = layers.RandomSharpness((1.0, 1.0))(x).numpy()
    assert found.min() == 0 and found.max() == 255
    found = layers.RandomErasing((1.0, 1.0), scale=(1.0, 1.0), fill_value=300.0)(x).numpy()
    np.testing.assert_array_equal(found, np.full(SHAPE, 255.0))


EVERY = [
    (layers.RandomBrightness, {"factor": 0.5}), (layers.RandomContrast, {"factor": (0.5, 0.5)}),
    (layers.RandomColorDegeneration, {"factor": 0.9}), (layers.RandomGrayscale, {"factor": 0.5}),
    (layers.RandomInvert, {}), (layers.RandomHue, {"factor": 0.9}),
    (layers.RandomSaturation, {"factor": 0.9}),
    (layers.RandomColorJitter, {"brightness_factor": 0.5, "contrast_factor": 0.5, "saturation_factor": 0.5,
                                "hue_factor": 0.5}),
    (layers.RandomSharpness, {"factor": 0.9}), (layers.RandomGaussianBlur, {}),
    (layers.RandomPosterization, {"factor": 5}),
    (layers.Solarization, {"addition_factor": 0.5, "threshold_factor": 0.5}),
    (layers.RandomErasing, {"scale": (0.3, 0.5)}), (layers.MixUp, {"alpha": 0.9}), (layers.CutMix, {}),
]
NAMES = [cls.__name__ for cls, _ in EVERY]


@pytest.mark.parametrize("cls, kwargs", EVERY, ids=NAMES)
def test_seeds_modes_and_dtypes(cls, kwargs):
    x = np.repeat(np.random.default_rng(3).integers(0, 256, SHAPE), 4, axis=0).astype("uint8")
    a, b = cls(**kwargs, seed=4), cls(**kwargs, seed=4)
    first = a(x).numpy()
    np.testing.assert_array_equal(first, b(x).numpy())
    second = a(x, training=True).numpy()
    assert (first != second).any()
    np.testing.assert_array_equal(second, b(x).numpy())
    assert (first != cls(**kwargs, seed=5)(x).numpy()).any()
    assert first.dtype == np.float32 and first.min() >= 0 and first.max() <= 255 + 1e-4
    # Images of one batch get draws of their own (the same image came four times).
    assert (first[:9:3] != first[3::3]).any() or cls is layers.CutMix
    # Outside training nothing happens.
    for dtype in ("float32", "float16", "uint8"):
        layer = cls(**kwargs, dtype=dtype)
        calm = layer(x, training=False)
        assert str(calm.dtype) == dtype
        np.testing.assert_array_equal(calm.numpy(), x)
        assert str(layer(x).dtype) == dtype
    given = random.SeedGenerator(9), random.SeedGenerator(9)
    tensor = ops.convert_to_tensor(x)
    drawn = [a.get_random_transformation(tensor, seed=seed) for seed in given]
    np.testing.assert_array_equal(*(a.transform_images(tensor, t).numpy() for t in drawn))
    assert a.get_random_transformation(tensor, training=False) is None


@pytest.mark.parametrize("cls, kwargs", EVERY, ids=NAMES)
def test_channels_first_and_single_images(cls, kwargs):
    x = pictures()
    last = cls(**kwargs, seed=4)(x).numpy()
    first = cls(**kwargs, **FIRST, seed=4)(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).numpy()
    if cls is not layers.RandomErasing:  # its noise is drawn for other places
        np.testing.assert_allclose(first.transpose(0, 2, 3, 1), last, atol=1e-3)
    single = cls(**kwargs, seed=4)(x[0]).numpy()
    assert single.shape == x[0].shape
    np.testing.assert_allclose(single, cls(**kwargs, seed=4)(x[:1]).numpy()[0], atol=1e-4)
    assert cls(**kwargs)(layers.Input((5, 4, 3))).shape == (None, 5, 4, 3)


def test_float16_computes_like_float32():
    x = pictures()
    for cls, kwargs in EVERY:
        made = (cls(**kwargs, seed=4, dtype=dtype) for dtype in ("float16", "float32"))
        half, single = (layer(x.astype("float16")).numpy() for layer in made)
        assert half.dtype == np.float16
        np.testing.assert_allclose(half.astype("float32"), single, atol=0.6, err_msg=cls.__name__)


def test_integers_stay_integers_where_the_layer_is_of_integers():
    x = np.random.default_rng(3).integers(0, 256, SHAPE).astype("uint8")
    found = layers.RandomBrightness((-0.1, -0.1), dtype="uint8")(x).numpy()
    np.testing.assert_array_equal(found, np.maximum(x - 25.5, 0).astype("uint8"))
    found = layers.RandomSharpness((1.0, 1.0), dtype="uint8")(x).numpy()
    exact = np.clip(2.0 * x - by_hand(x, BLUR), 0, 255)
    assert found.dtype == np.uint8 and (found - exact < 1e-3).all() and (exact - found < 1 + 1e-3).all()


def test_what_belongs_to_images_stays():
    data = {"images": pictures(), "labels": np.eye(3, dtype="float32"),
            "segmentation_masks": np.ones((3, 5, 4, 1), "uint8"), "weights": np.ones(3)}
    found = layers.RandomBrightness(0.5, seed=1)(data)
    assert found.keys() == data.keys() and (found["images"].numpy() != data["images"]).any()
    for key in data.keys() - {"images"}:
        np.testing.assert_array_equal(ops.convert_to_numpy(found[key]), data[key])


def test_grey_images():
    x = pictures()[..., :1]
    for cls in (layers.RandomGrayscale, layers.RandomColorDegeneration):
        np.testing.assert_array_equal(cls(1.0)(x).numpy(), x)
    for cls in (layers.RandomHue, layers.RandomSaturation):
        with pytest.raises(ValueError, match="3 channels"):
            cls(0.5)(x)


def test_jitter_is_its_parts_in_order():
    x = ops.convert_to_tensor(pictures())
    layer = layers.RandomColorJitter((0, 255), 0.2, 0.3, 0.9, 0.5, seed=1)
    drawn = layer.get_random_transformation(x)
    assert list(drawn) == ["random_brightness", "random_contrast", "random_saturation", "random_hue"]
    y = x
    for name in drawn:
        y = getattr(layer, name).transform_images(y, drawn[name])
    np.testing.assert_array_equal(layer.transform_images(x, drawn).numpy(), y.numpy())
    np.testing.assert_array_equal(layers.RandomColorJitter()(x).numpy(), x.numpy())
    assert (layer.transform_images(x, None).numpy() != x.numpy()).any()


def test_blur_without_width_changes_nothing():
    x = pictures()
    found = layers.RandomGaussianBlur((1.0, 1.0), sigma=(0.0, 0.0))(x).numpy()
    np.testing.assert_allclose(found, x, rtol=1e-6)


@pytest.mark.cpu
def test_contrast_of_an_older_era():
    assert layers.RandomContrast(0.3).factor == (0, 0.3)
    with compat.era_scope("tfkeras2"):
        assert layers.RandomContrast(0.3).factor == (0.3, 0.3)
        with pytest.raises(ValueError, match="factor"):
            layers.RandomContrast(-0.3)


def test_auto_contrast_leaves_flat_channels():
    x = pictures()
    x[0, ..., 1] = 42.0
    found = layers.AutoContrast()(x, training=False).numpy()
    np.testing.assert_array_equal(found[0, ..., 1], x[0, ..., 1])
    np.testing.assert_allclose(found[1:].min((1, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(found[1:].max((1, 2)), 255, rtol=1e-6)


WRONG = [
    (layers.RandomBrightness, {"factor": 1.5}, "factor"),
    (layers.RandomBrightness, {"factor": "a"}, "factor"),
    (layers.RandomContrast, {"factor": -0.1}, "factor"),
    (layers.RandomHue, {"factor": (0.1, 0.2, 0.3)}, "factor"),
    (layers.RandomBrightness, {"factor": 0.1, "value_range": (1, 1)}, "value_range"),
    (layers.RandomGrayscale, {"factor": 1.1}, "factor"),
    (layers.RandomGrayscale, {"factor": (0, 1)}, "factor"),
    (layers.RandomPosterization, {"factor": 9}, "factor"),
    (layers.RandomPosterization, {"factor": 2.5}, "bits"),
    (layers.RandomGaussianBlur, {"kernel_size": 4}, "kernel_size"),
    (layers.RandomGaussianBlur, {"sigma": (-1, 0.5)}, "sigma"),
    (layers.Solarization, {"threshold_factor": (-0.5, 0.5)}, "threshold_factor"),
    (layers.Equalization, {"bins": 0}, "bins"),
    (layers.ContrastLimitedAdaptiveHistogramEqualization, {"tile_grid_size": 4}, "tile_grid_size"),
    (layers.ContrastLimitedAdaptiveHistogramEqualization, {"clip_limit": None}, "clip_limit"),
    (layers.MixUp, {"alpha": -1}, "alpha"), (layers.CutMix, {"factor": (-0.5, 0.5)}, "factor"),
    (layers.RandomErasing, {"fill_value": "red"}, "fill_value"),
    (layers.RandomErasing, {"scale": 2}, "scale"),
    (layers.RandomErasing, {"scale": (-0.5, 1)}, "scale"),
]


@pytest.mark.cpu
@pytest.mark.parametrize("cls, kwargs, told", WRONG)
def test_wrong_arguments(cls, kwargs, told):
    with pytest.raises(ValueError, match=rf"{cls.__name__}.*{told}"):
        cls(**kwargs)


def test_in_a_model():
    model = models.Sequential([
        layers.Input((6, 6, 3)), layers.RandomColorJitter((0, 1), 0.1, 0.1, 0.1, 0.1),
        layers.RandomSharpness(0.5, (0, 1)), layers.RandomErasing(value_range=(0, 1)),
        layers.Flatten(), layers.Dense(2),
    ])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).random((8, 6, 6, 3)).astype("float32")
    model.fit(x, np.zeros((8, 2), "float32"), epochs=2, batch_size=4, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))
