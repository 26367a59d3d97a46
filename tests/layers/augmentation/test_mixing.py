"""Images mixed with each other, and erased patches."""

import numpy as np
import pytest

from gpukeras import layers, ops

COUNT = 6
LABELS = np.eye(COUNT, dtype="float32")


def numbered(height=12, width=20):
    """Return images that are filled with their own number, one channel for each image."""
    return np.tile(LABELS[:, None, None, :], (1, height, width, 1))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 3])
def test_mix_up_mixes_images_and_labels_alike(alpha):
    found = layers.MixUp(alpha, seed=3)({"images": numbered(), "labels": LABELS})
    images, labels = found["images"].numpy(), found["labels"].numpy()
    np.testing.assert_allclose(images, np.broadcast_to(labels[:, None, None, :], images.shape), atol=1e-6)
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    assert len(np.unique(labels.max(1).round(5))) > 1  # a weight for every image


def test_alpha_of_zero_leaves_images():
    data = {"images": numbered(), "labels": LABELS}
    for key, value in layers.MixUp(0, seed=3)(data).items():
        np.testing.assert_array_equal(value.numpy(), data[key])


def test_labels_of_one_number():
    weight, order = np.float32([0.25, 0.5, 1.0]), np.array([2, 0, 1], "int32")
    given = {"mix_weight": weight, "permutation_order": order}
    labels = np.array([0, 1, 4])
    expected = weight * labels + (1 - weight) * labels[order]
    found = layers.MixUp().transform_labels(labels, given)
    assert str(found.dtype) == "float32"
    np.testing.assert_allclose(found.numpy(), expected)
    nested = np.random.default_rng(0).random((3, 2, 5)).astype("float32")
    expected = weight[:, None, None] * nested + (1 - weight[:, None, None]) * nested[order]
    np.testing.assert_allclose(layers.MixUp().transform_labels(nested, given).numpy(), expected, rtol=1e-6)


def test_mix_up_keeps_the_boxes_of_both():
    corners = np.arange(48, dtype="float32").reshape(COUNT, 2, 4)
    boxes = {"boxes": corners, "labels": np.arange(12).reshape(COUNT, 2)}
    layer = layers.MixUp(seed=1, bounding_box_format="xyxy")
    images = ops.convert_to_tensor(numbered())
    drawn = layer.get_random_transformation(images)
    order = drawn["permutation_order"].numpy()
    tensors = {key: ops.convert_to_tensor(value) for key, value in boxes.items()}
    found = layer.transform_bounding_boxes(tensors, drawn)
    for key, value in boxes.items():
        np.testing.assert_array_equal(found[key].numpy(), np.concatenate([value, value[order]], axis=1))
    found = layer({"images": images, "bounding_boxes": boxes})["bounding_boxes"]
    assert found["boxes"].shape == (COUNT, 4, 4) and found["labels"].shape == (COUNT, 4)


def test_mix_up_blends_masks():
    masks = np.arange(COUNT, dtype="uint8")[:, None, None, None] * np.ones((1, 12, 20, 1), "uint8")
    found = layers.MixUp(1.0, seed=3)({"images": numbered(), "labels": LABELS, "segmentation_masks": masks})
    expected = found["labels"].numpy() @ np.arange(COUNT)
    masks = found["segmentation_masks"].numpy()
    np.testing.assert_allclose(masks, np.broadcast_to(expected[:, None, None, None], masks.shape), rtol=1e-5)


@pytest.mark.parametrize("kwargs", [{}, {"data_format": "channels_first"}])
def test_cut_mix_pastes_rectangles(kwargs):
    first = bool(kwargs)
    images = numbered().transpose(0, 3, 1, 2).copy() if first else numbered()
    masks = np.arange(COUNT, dtype="uint8").reshape(-1, 1, 1, 1) * np.ones((1, 12, 20, 1), "uint8")
    masks = masks.transpose(0, 3, 1, 2).copy() if first else masks
    found = layers.CutMix((1.0, 1.0), seed=2, **kwargs)(
        {"images": images, "labels": LABELS, "segmentation_masks": masks})
    images, masks = found["images"].numpy(), found["segmentation_masks"].numpy()
    assert masks.dtype == np.uint8
    if first:
        images, masks = images.transpose(0, 2, 3, 1), masks.transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(images.argmax(-1), masks[..., 0])
    np.testing.assert_array_equal(images.max(-1), np.ones((COUNT, 12, 20)))
    changed = 0
    for i, labels in enumerate(found["labels"].numpy()):
        other = masks[i, ..., 0] != i
        np.testing.assert_array_equal(other, other.any(1)[:, None] & other.any(0)[None, :])  # a rectangle
        part = other.mean()
        changed += 0 < part < 1
        if part:
            # The rectangle has whole pixels, the weight has not: half a pixel on every side at most.
            assert abs(labels[i] - (1 - part)) < (12 + 20) / 240
        np.testing.assert_allclose(labels.sum(), 1, rtol=1e-6)
    assert changed >= 2


def test_cut_mix_has_no_boxes():
    boxes = {"boxes": np.zeros((COUNT, 1, 4), "float32"), "labels": np.zeros((COUNT, 1), "int32")}
    data = {"images": numbered(), "bounding_boxes": boxes}
    layer = layers.CutMix(bounding_box_format="xyxy")
    with pytest.raises(NotImplementedError, match="bounding boxes"):
        layer(data)
    assert layer(data, training=False)["bounding_boxes"]["boxes"].shape == (COUNT, 1, 4)


def test_cut_mix_without_spread():
    found = layers.CutMix(0.0, seed=1)({"images": numbered(), "labels": LABELS})["labels"].numpy()
    np.testing.assert_allclose(np.sort(found, axis=1)[:, -1], 1, atol=1e-3)  # all of one or of the other


@pytest.mark.parametrize("fill", [None, 0.25])
def test_erasing(fill):
    x = np.full((200, 10, 16, 3), 0.5, "float32")
    layer = layers.RandomErasing((0.7, 0.7), (0.09, 0.25), fill, (0, 1), seed=3)
    y = layer(x).numpy()
    erased = (y != 0.5).any(-1)
    touched = erased.any((1, 2))
    assert abs(touched.mean() - 0.7) < 0.12
    heights, widths = erased.any(2).sum(1)[touched], erased.any(1).sum(1)[touched]
    assert heights.min() == 3 and heights.max() <= 5 and widths.min() >= 4 and widths.max() <= 8
    for one in erased[touched]:
        np.testing.assert_array_equal(one, one.any(1)[:, None] & one.any(0)[None, :])
    values = y[erased]
    if fill is None:
        assert values.min() == 0 and values.max() == 1 and abs((values == 0).mean() - 0.5) < 0.03
    else:
        np.testing.assert_array_equal(values, np.full(values.shape, fill, "float32"))
