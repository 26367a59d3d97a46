"""Layers that move the pixels of images: what is drawn, what follows, what stays."""

import numpy as np
import pytest

from gpukeras import Input, Model, Sequential, layers, ops

RNG = np.random.default_rng(0)
X, Y = np.meshgrid(np.arange(9.0), np.arange(7.0))
WHERE = np.stack([X, Y], -1).astype("float32")  # every pixel holds its own place
EVERY = [
    ("RandomFlip", {}), ("RandomRotation", dict(factor=0.2)), ("RandomZoom", dict(height_factor=0.3)),
    ("RandomTranslation", dict(height_factor=0.3, width_factor=0.3)), ("RandomShear", dict(x_factor=0.3)),
    ("RandomPerspective", {}), ("RandomElasticTransform", {}), ("RandomCrop", dict(height=4, width=5)),
    ("RandomHeight", dict(factor=0.4)), ("RandomWidth", dict(factor=0.4)),
]
STILL = [("Resizing", dict(height=5, width=6)), ("CenterCrop", dict(height=5, width=6)),
         ("MaxNumBoundingBoxes", dict(max_number=3))]
ids = [name for name, _ in EVERY]


def batch(n=4):
    return ops.convert_to_tensor(RNG.uniform(0, 255, (n, 7, 9, 3)).astype("float32"))


@pytest.mark.parametrize("name, settings", EVERY, ids=ids)
def test_a_seed_repeats(name, settings):
    x = batch()
    first, second = (getattr(layers, name)(seed=5, **settings) for _ in range(2))
    once = first(x).numpy()
    np.testing.assert_array_equal(once, second(x).numpy())
    again = [first(x).numpy() for _ in range(4)]
    assert any(a.shape != once.shape or (a != once).any() for a in again)


@pytest.mark.parametrize("name, settings", EVERY + STILL)
def test_single_images_types_and_configurations(name, settings):
    layer = getattr(layers, name)(**settings)
    image = ops.cast(batch(1)[0], "uint8")
    found = layer(image)
    assert len(found.shape) == 3
    assert found.dtype == ("uint8" if name == "Resizing" else "float32")
    as_bytes = getattr(layers, name)(dtype="uint8", **settings)(image)
    assert as_bytes.dtype == "uint8"
    config = layer.get_config()
    copy = type(layer).from_config(config)
    assert copy.get_config() == config
    symbolic = layer(Input((7, 9, 3)))
    for a, b in zip(symbolic.shape, layer(batch()).shape):
        assert a in (None, b)


@pytest.mark.parametrize("name, settings", [e for e in EVERY if e[0] != "RandomCrop"])
def test_outside_training_nothing_happens(name, settings):
    x = batch()
    np.testing.assert_array_equal(getattr(layers, name)(**settings)(x, training=False).numpy(), x.numpy())


def test_in_a_model():
    model = Sequential([
        Input((7, 9, 3)), layers.RandomFlip("horizontal", seed=1), layers.RandomRotation(0.1, seed=2),
        layers.RandomCrop(6, 6, seed=3), layers.Flatten(), layers.Dense(2),
    ])
    model.compile("sgd", "mse")
    x = batch(8).numpy() / 255
    model.fit(x, np.zeros((8, 2), "float32"), batch_size=4, verbose=0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), model.predict(x, verbose=0))


# ---- what is drawn -----------------------------------------------------------------------------------------
def columns(layer, key, n=600):
    drawn = layer.get_random_transformation(ops.zeros((n, 7, 9, 1)))[key]
    return drawn.numpy().reshape(n, -1)


@pytest.mark.cpu
@pytest.mark.parametrize("name, settings, key, low, high", [
    ("RandomRotation", dict(factor=(-0.1, 0.3)), "angle", [-36], [108]),
    ("RandomTranslation", dict(height_factor=0.2, width_factor=(0.1, 0.3)), "translations", [0.9, -1.4],
     [2.7, 1.4]),
    ("RandomZoom", dict(height_factor=(-0.2, 0.4)), "height_zoom", [0.8], [1.4]),
    ("RandomZoom", dict(height_factor=0, width_factor=(0.1, 0.2)), "width_zoom", [1.1], [1.2]),
    ("RandomShear", dict(x_factor=(0.1, 0.3), y_factor=0.2), "shear_factor", [-0.3, -0.2], [0.3, 0.2]),
])
def test_ranges(name, settings, key, low, high):
    found = columns(getattr(layers, name)(seed=1, **settings), key)
    np.testing.assert_allclose(found.min(0), low, atol=0.02 * np.abs(high).max())
    np.testing.assert_allclose(found.max(0), high, atol=0.02 * np.abs(high).max())


@pytest.mark.cpu
def test_probabilities():
    flips = columns(layers.RandomFlip(seed=1), "flips")
    assert 0.4 < flips.mean() < 0.6
    chosen = {"RandomPerspective": "apply_perspective", "RandomElasticTransform": "apply_transform"}
    for name, key in chosen.items():
        assert 0.2 < columns(getattr(layers, name)(0.6, seed=1), key).mean() < 0.4  # the mean of 0 to 0.6
    zoom = layers.RandomZoom(0.3, seed=1).get_random_transformation(ops.zeros((4, 7, 9, 1)))
    np.testing.assert_array_equal(zoom["height_zoom"].numpy(), zoom["width_zoom"].numpy())
    points = layers.RandomPerspective(scale=0.4, seed=1).get_random_transformation(ops.zeros((500, 7, 9, 1)))
    parts = points["end_points"].numpy()[:, 3] / [8, 6]
    np.testing.assert_allclose([parts.min(), parts.max()], [0.8, 1.2], atol=0.01)


@pytest.mark.cpu
def test_random_crops_reach_all_places():
    layer, tops, lefts = layers.RandomCrop(5, 6, seed=1), set(), set()
    for _ in range(60):
        corner = layer(WHERE).numpy()[0, 0]
        lefts.add(corner[0])
        tops.add(corner[1])
    assert tops == {0, 1, 2} and lefts == {0, 1, 2, 3}


# ---- what follows ------------------------------------------------------------------------------------------
def test_sizes():
    middle = layers.CenterCrop(3, 4)(WHERE).numpy()
    assert middle[0, 0].tolist() == [2, 2] and middle[-1, -1].tolist() == [5, 4]
    wide = layers.CenterCrop(2, 12)(WHERE)  # too small: the whole width is stretched
    assert wide.shape == (2, 12, 2)
    np.testing.assert_allclose(wide.numpy()[0, :2, 0], [0, 0.625])
    rest = layers.RandomCrop(14, 18)(WHERE, training=True).numpy()  # too small in training
    np.testing.assert_allclose(rest[:3, 0, 1], [0, 0.25, 0.75])
    np.testing.assert_array_equal(layers.RandomCrop(14, 18)(WHERE, training=False).numpy(), rest)
    assert layers.RandomHeight((-0.5, -0.5))(WHERE).shape == (3, 9, 2)
    assert layers.RandomWidth((1.0, 1.0), data_format="channels_first")(batch()).shape == (4, 7, 9, 6)
    assert layers.RandomHeight(0.5).compute_output_shape((2, 7, 9, 3)) == (2, None, 9, 3)


BOXED = [
    ("Resizing", dict(height=14, width=6)), ("Resizing", dict(height=9, width=5, crop_to_aspect_ratio=True)),
    ("Resizing", dict(height=5, width=16, pad_to_aspect_ratio=True)), ("CenterCrop", dict(height=5, width=7)),
    ("CenterCrop", dict(height=10, width=10)), ("RandomCrop", dict(height=6, width=7, seed=1)),
    ("RandomCrop", dict(height=10, width=10)), ("RandomFlip", dict(seed=1)),
    ("RandomRotation", dict(factor=(0.25, 0.25))), ("RandomHeight", dict(factor=(0.4, 0.4))),
    ("RandomTranslation", dict(height_factor=(0.2, 0.2), width_factor=(-0.2, -0.2))),
    ("RandomZoom", dict(height_factor=(0.3, 0.3), width_factor=(-0.2, -0.2))),
    ("RandomShear", dict(x_factor=(0.4, 0.4), y_factor=(0.3, 0.3), seed=1)),
    ("RandomPerspective", dict(factor=(1, 1), scale=0.3, seed=1)),
]


@pytest.mark.parametrize("name, settings", BOXED)
def test_boxes_and_masks_follow_their_image(name, settings):
    """A bright patch in a large image: its box must lie around it afterwards."""
    image = np.zeros((70, 90, 1), "float32")
    image[28:40, 40:60] = 1
    given = {
        "images": image[None], "segmentation_masks": image[None, :, :, 0].astype("int32"),
        "labels": np.array([7]), "other": "kept",
        "bounding_boxes": {"boxes": np.array([[[40, 28, 60, 40], [-1, -1, -1, -1.0]]], "float32"),
                           "labels": np.array([[3, -1]])},
    }
    scale = {key: value * 10 for key, value in settings.items() if key in ("height", "width")}
    layer = getattr(layers, name)(bounding_box_format="xyxy", **{**settings, **scale})
    fill = {"fill_mode": "constant"} if hasattr(layer, "fill_mode") else {}
    layer = getattr(layers, name)(bounding_box_format="xyxy", **{**settings, **scale, **fill})
    found = layer(given)
    rows, columns = np.nonzero(found["images"].numpy()[0, :, :, 0] > 0.5)
    left, top, right, bottom = found["bounding_boxes"]["boxes"].numpy()[0, 0]
    np.testing.assert_allclose([left, right], [columns.min(), columns.max() + 1], atol=1.6)
    np.testing.assert_allclose([top, bottom], [rows.min(), rows.max() + 1], atol=1.6)
    assert found["bounding_boxes"]["labels"].numpy().tolist() == [[3, -1]]
    mask = found["segmentation_masks"].numpy()[0]
    assert mask.dtype == "int32"
    assert (mask != (found["images"].numpy()[0, :, :, 0] > 0.5)).mean() < 0.02
    assert found["labels"].tolist() == [7] and found["other"] == "kept"
    one = layer({"images": image, "bounding_boxes": {"boxes": given["bounding_boxes"]["boxes"][0],
                                                     "labels": given["bounding_boxes"]["labels"][0]}})
    assert one["images"].shape[-1] == 1 and one["bounding_boxes"]["boxes"].shape == (2, 4)


def test_boxes_in_another_format():
    layer = layers.RandomTranslation((0.1, 0.1), (0.2, 0.2), bounding_box_format="rel_yxyx")
    boxes = {"boxes": np.array([[[0.1, 0.2, 0.3, 0.4], [0.5, 0.7, 1.0, 0.9]]]), "labels": np.array([[1, 2]])}
    found = layer({"images": WHERE[None], "bounding_boxes": boxes})["bounding_boxes"]["boxes"].numpy()
    np.testing.assert_allclose(found, [[[0.2, 0.4, 0.4, 0.6], [0.6, 0.9, 1.0, 1.0]]], atol=1e-6)


def test_elastic_images_and_masks_are_distorted_alike():
    image = np.zeros((1, 40, 40, 1), "float32")
    image[:, 10:30, 10:30] = 255
    layer = layers.RandomElasticTransform((1.0, 1.0), (1.0, 1.0), seed=1)
    for _ in range(2):
        found = layer({"images": image, "segmentation_masks": (image > 0).astype("int32")})
        bright = found["images"].numpy() > 127
        assert (bright != (image > 127)).mean() > 0.02
        assert (bright != found["segmentation_masks"].numpy()).mean() < 0.02


@pytest.mark.cpu
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_boxes_of_unlike_images_in_a_symbolic_model(data_format):
    shape = (7, 9, 3) if data_format == "channels_last" else (3, 7, 9)
    inputs = {"images": Input(shape), "labels": Input((2,))}
    layer = layers.CenterCrop(3, 4, data_format=data_format)
    outputs = layer(inputs)
    model = Model(inputs, outputs)
    x = {"images": np.ones((2, *shape), "float32"), "labels": np.ones((2, 2), "float32")}
    found = model(x)
    assert found["images"].shape == (2, 3, 4, 3) if data_format == "channels_last" else (2, 3, 3, 4)
    assert found["labels"].shape == (2, 2)


@pytest.mark.cpu
@pytest.mark.parametrize("make, words", [
    (lambda: layers.Resizing(0, 3), "height must be a positive integer"),
    (lambda: layers.Resizing(3, 3, "spline"), "interpolation must be one of"),
    (lambda: layers.Resizing(3, 3, "nearest", True, True), "exclude each other"),
    (lambda: layers.RandomFlip("diagonal"), "mode must be one of"),
    (lambda: layers.RandomRotation(2), "factor must be a number between -1 and 1"),
    (lambda: layers.RandomRotation(0.1, fill_mode="edge"), "fill_mode must be one of"),
    (lambda: layers.RandomTranslation(0.1, (0.1, 1.5)), "width_factor must be"),
    (lambda: layers.RandomZoom((0.1,)), "height_factor must be"),
    (lambda: layers.RandomShear(-0.1), "x_factor must be"),
    (lambda: layers.RandomPerspective(scale=2.0), "scale must be a number from 0 to 1"),
    (lambda: layers.RandomElasticTransform(value_range=5), "value_range must be a pair"),
    (lambda: layers.RandomHeight((0.5, 0.1)), "factor must be"),
    (lambda: layers.MaxNumBoundingBoxes(-1), "max_number must be"),
    (lambda: layers.RandomFlip()(np.ones((2, 3))), "rank 3 or a batch of rank 4"),
    (lambda: layers.RandomFlip()({"image": WHERE}), "needs the key 'images'"),
    (lambda: layers.RandomFlip()({"images": WHERE, "bounding_boxes": {}}), "bounding_box_format"),
    (lambda: layers.RandomFlip(bounding_box_format="xyxy")({"images": WHERE, "bounding_boxes": {"boxes": 1}}),
     "'boxes' and 'labels'"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_elastic_boxes():
    layer = layers.RandomElasticTransform(bounding_box_format="xyxy")
    boxes = {"boxes": np.ones((1, 1, 4)), "labels": np.ones((1, 1))}
    with pytest.raises(NotImplementedError, match="cannot follow"):
        layer({"images": WHERE[None], "bounding_boxes": boxes})
