"""Layers that move pixels against real Keras 3, for transformations drawn by ours: images, masks, boxes."""

import numpy as np
import pytest

from gpukeras import layers, utils

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
]

RNG = np.random.default_rng(1)
IMAGES = RNG.uniform(0, 255, (3, 8, 8, 2)).astype("float32")
MASKS = RNG.integers(0, 5, (3, 8, 8, 1)).astype("int32")
BOXES = np.sort(RNG.uniform(0, 8, (3, 2, 2, 2)), axis=2).reshape(3, 2, 4).astype("float32")
LABELS = np.array([[1, 2], [3, 4], [5, 6]], "int32")
FIRST = dict(data_format="channels_first")

CASES = [
    ("RandomFlip", (), {}), ("RandomFlip", ("vertical",), FIRST),
    ("RandomRotation", (0.2,), dict(fill_mode="constant", fill_value=7.0)), ("RandomRotation", (0.4,), FIRST),
    ("RandomTranslation", (0.3, (-0.4, 0.2)), dict(fill_mode="wrap")),
    ("RandomZoom", (0.4,), dict(interpolation="nearest")), ("RandomZoom", (0.3, (-0.4, 0.1)), FIRST),
    # With both factors Keras moves boxes by one after the other, images by both at once.
    ("RandomShear", ((0.2, 0.4),), dict(fill_mode="nearest")), ("RandomShear", (0.0, (0.1, 0.2)), FIRST),
    ("RandomPerspective", (0.7, 0.6), dict(fill_value=3.0)), ("CenterCrop", (5, 6), {}),
    ("Resizing", (6, 11), dict(interpolation="lanczos3")),
]


@pytest.mark.parametrize("name, args, settings", CASES, ids=lambda v: str(v))
def test_drawn_by_ours(real_keras, name, args, settings):
    first = "data_format" in settings
    images, masks = ((np.moveaxis(x, -1, 1).copy() if first else x) for x in (IMAGES, MASKS))
    settings = {**settings, "bounding_box_format": "xyxy"}  # Keras mixes up others here and there
    ours = getattr(layers, name)(*args, seed=2, **settings) if name.startswith("Random") else getattr(
        layers, name)(*args, **settings)
    theirs = getattr(real_keras.layers, name)(*args, **settings)
    drawn = ours.get_random_transformation(images)
    given = {k: np.asarray(v) if hasattr(v, "numpy") else v for k, v in drawn.items()} if isinstance(
        drawn, dict) else drawn
    _close(ours.transform_images(images, drawn), theirs.transform_images(images, given))
    _close(ours.transform_segmentation_masks(masks, drawn), theirs.transform_segmentation_masks(masks, given))
    found = ours.transform_bounding_boxes({"boxes": BOXES, "labels": LABELS}, drawn)
    expected = theirs.transform_bounding_boxes({"boxes": BOXES.copy(), "labels": LABELS.copy()}, given)
    _close(found["boxes"], expected["boxes"])
    np.testing.assert_array_equal(found["labels"], np.asarray(expected["labels"]))


def _close(found, expected):
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-4, atol=5e-3)


def test_most_boxes(real_keras):
    boxes = {"boxes": BOXES, "labels": LABELS}
    for number in (1, 3):
        found, expected = (
            module.MaxNumBoundingBoxes(number, bounding_box_format="xyxy").transform_bounding_boxes(
                dict(boxes), None)
            for module in (layers, real_keras.layers)
        )
        for key in boxes:
            np.testing.assert_array_equal(np.asarray(found[key]), np.asarray(expected[key]))


# ---- utils.bounding_boxes ----------------------------------------------------------------------------------
ANCHORS = np.array([[0, 0, 4, 4], [1, 2, 5, 9.0]], "float32")
CALLS = {
    **{f"{source} to {target}": lambda b, source=source, target=target: b.convert_format(
        BOXES, source, target, height=10, width=20)
       for source, target in [("xyxy", "rel_center_xywh"), ("rel_yxyx", "xywh"), ("xywh", "center_yxhw"),
                              ("center_xywh", "yxyx"), ("rel_xywh", "rel_xyxy"), ("center_yxhw", "xyxy")]},
    "clip": lambda b: b.clip_to_image_size({"boxes": BOXES.copy(), "labels": LABELS.copy()}, 6, 7)["boxes"],
    "iou": lambda b: b.compute_iou(BOXES, ANCHORS, "xyxy"),
    "iou masked": lambda b: b.compute_iou(np.concatenate([BOXES[0], -np.ones((1, 4), "float32")]), ANCHORS,
                                          "center_xywh", use_masking=True, mask_val=-2),
    "ciou": lambda b: b.compute_ciou(BOXES[0], ANCHORS, "xyxy"),
    "crop": lambda b: b.crop(BOXES, 1, 2, 4, 5),
    "pad": lambda b: b.pad(BOXES, 1, 2),
    "affine": lambda b: b.affine_transform(
        BOXES, *(np.full(3, v, "float32") for v in (20, 0.1, 0.2, 0.7, 10, -15)), 10, 20, 0.3, 0.6),
    "encode": lambda b: b.encode_box_to_deltas(ANCHORS, np.abs(BOXES), "xyxy", "xywh", "center_xywh",
                                               [0.1, 0.1, 0.2, 0.2]),
    "decode": lambda b: b.decode_deltas_to_boxes(
        ANCHORS, BOXES / 9, "xyxy", "rel_xyxy", variance=[0.1, 0.1, 0.2, 0.2], image_shape=(10, 20, 3)),
}


@pytest.mark.parametrize("call", CALLS)
def test_bounding_boxes(real_keras, call):
    found = CALLS[call](utils.bounding_boxes)
    expected = CALLS[call](real_keras.utils.bounding_boxes)
    assert found.dtype == expected.dtype
    np.testing.assert_allclose(found.numpy(), np.asarray(expected), rtol=1e-5, atol=1e-5)
