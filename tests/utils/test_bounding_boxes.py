"""``utils.bounding_boxes``: hand-made numbers, ways back, gradients, errors; real Keras: tests/parity."""

import itertools

import numpy as np
import pytest
from support.checks import check_gradient, tensor_here

from gpukeras.utils import bounding_boxes as tools

RNG = np.random.default_rng(2)
BOXES = np.array([[[1, 2, 5, 9], [0, 3, 4, 4]], [[2, 2, 3, 8], [6, 1, 7, 3.0]]], "float32")
SAME = {"xyxy": [1, 2, 5, 9], "yxyx": [2, 1, 9, 5], "xywh": [1, 2, 4, 7], "center_xywh": [3, 5.5, 4, 7],
        "center_yxhw": [5.5, 3, 7, 4], "rel_xyxy": [0.05, 0.2, 0.25, 0.9], "rel_yxyx": [0.2, 0.05, 0.9, 0.25],
        "rel_xywh": [0.05, 0.2, 0.2, 0.7], "rel_center_xywh": [0.15, 0.55, 0.2, 0.7]}


def test_formats(backend):
    assert set(SAME) == set(tools.FORMATS)
    for source, target in itertools.product(SAME, SAME):
        found = tools.convert_format(tensor_here(np.array([SAME[source]])), source, target.upper(), 10, 20)
        assert found.dtype == "float32"
        np.testing.assert_allclose(found.numpy()[0], SAME[target], rtol=1e-5, err_msg=f"{source} to {target}")


def test_sizes_of_single_images(backend):
    sizes = tensor_here(np.array([10, 20])), tensor_here(np.array([20, 40]))
    found = tools.convert_format(tensor_here(BOXES), "xyxy", "rel_xyxy", *sizes).numpy()
    np.testing.assert_allclose(found[1] * [40, 20, 40, 20], BOXES[1], rtol=1e-6)
    np.testing.assert_allclose(found[0] * [20, 10, 20, 10], BOXES[0], rtol=1e-6)


def test_dictionaries_and_types(backend):
    found = tools.convert_format({"boxes": tensor_here(BOXES), "labels": 1}, "xyxy", "xywh", dtype="int32")
    assert found["boxes"].dtype == "int32" and found["labels"] == 1
    assert found["boxes"].numpy()[0, 0].tolist() == [1, 2, 4, 7]


@pytest.mark.parametrize("kind", ["xyxy", "xywh", "center_yxhw", "rel_center_xywh"])
def test_clip(backend, kind):
    boxes = np.array([[-3, 2, 5, 19], [2, 3, 4, 8], [30, 3, 40, 5], [-1, -1, -1, -1.0]], "float32")
    given = {"boxes": tools.convert_format(tensor_here(boxes), "xyxy", kind, 10, 20),
             "labels": tensor_here(np.arange(4)), "more": 1}
    found = tools.clip_to_image_size(given, 10, 20, kind)
    back = tools.convert_format(found["boxes"], kind, "xyxy", 10, 20).numpy()
    np.testing.assert_allclose(
        back, [[0, 2, 5, 10], [2, 3, 4, 8], [20, 3, 20, 5], [0, 0, 0, 0]], atol=1e-5)
    assert found["labels"].tolist() == [0, 1, -1, -1] and found["more"] == 1


def test_overlaps(backend):
    a = tensor_here(np.array([[1, 1, 4, 4], [0, 0, 2, 2.0]], "float32"))
    b = tensor_here(np.array([[1, 1, 4, 4], [3, 3, 6, 6], [-1, -1, -1, -1.0]], "float32"))
    expected = np.array([[1, 1 / 17, 0], [1 / 12, 0, 0]])
    np.testing.assert_allclose(tools.compute_iou(a, b, "xyxy").numpy(), expected, rtol=1e-5)
    for first, second in ((a[None], b), (a, b[None]), (a[None], b[None])):
        np.testing.assert_allclose(tools.compute_iou(first, second, "xyxy").numpy()[0], expected, rtol=1e-5)
    masked = tools.compute_iou(a, b, "xyxy", use_masking=True, mask_val=-7).numpy()
    assert masked[:, 2].tolist() == [-7, -7]
    relative = tools.compute_iou(a / 10, b / 10, "rel_xyxy", image_shape=(10, 20, 3)).numpy()
    np.testing.assert_allclose(relative, expected, rtol=1e-5)
    complete = tools.compute_ciou(a, b[:2], "xyxy").numpy()
    np.testing.assert_allclose(complete, [1, -24.5 / 72], rtol=1e-5)


def test_overlaps_have_gradients():
    a, b = np.array([[1, 1, 4, 4.7], [0, 0, 2, 2.3]]), np.array([[1.5, 0.3, 4.2, 4], [1, 1.2, 6, 6]])
    with pytest.MonkeyPatch.context() as patch:  # in float64, for the differences
        convert = tools.convert_format
        patch.setattr(tools, "convert_format", lambda *args: convert(*args, dtype="float64"))
        check_gradient(lambda x, y: tools.compute_ciou(x, y, "xyxy"), [a, b])
        check_gradient(lambda x, y: tools.compute_iou(x, y, "xyxy"), [a, b])


def test_crop_and_pad(backend):
    boxes = tensor_here(np.array([[10, 20, 50, 60.0]]))
    assert tools.crop(boxes, 10, 20, 40, 25).tolist() == [[0, 10, 25, 40]]
    assert tools.crop(boxes, 30, 0, 40, 90, "xywh").tolist() == [[10, 0, 50, 40]]
    assert tools.pad(boxes, 1, 2).tolist() == [[12, 21, 52, 61]]
    assert tools.pad(boxes, 1, 2, 100, 100, "center_xywh").tolist() == [[12, 21, 50, 60]]


def test_affine(backend):
    boxes = tensor_here(BOXES)
    still = tools.affine_transform(boxes, 0, 0, 0, 1, 0, 0, 10, 20)
    np.testing.assert_allclose(still.numpy(), BOXES, atol=1e-5)
    turned = tools.affine_transform(tensor_here(np.array([[2, 3, 8, 7.0]])), 90.0, 0, 0, 1, 0, 0, 10, 20)
    np.testing.assert_allclose(turned.numpy(), [[8, 6, 12, 12]], atol=1e-4)
    each = tools.affine_transform(boxes, 0, tensor_here(np.array([0, 0.1])), 0, 1, 0, 0, 10, 20).numpy()
    np.testing.assert_allclose(each[0], BOXES[0], atol=1e-5)
    np.testing.assert_allclose(each[1] - BOXES[1], np.array([[1.9, 0, 1.9, 0]] * 2), atol=1e-4)
    wide = tools.convert_format(boxes, "xyxy", "rel_xywh", 10, 20)
    grown = tools.affine_transform(wide, 0, 0, 0, 2, 0, 0, 10, 20, 0, 0, "rel_xywh")
    np.testing.assert_allclose(grown.numpy(), 2 * wide.numpy(), atol=1e-5)


@pytest.mark.parametrize("encoding", ["center_yxhw", "center_xywh"])
@pytest.mark.parametrize("variance", [None, [0.1, 0.1, 0.2, 0.2]])
def test_codes_of_detectors(backend, encoding, variance):
    anchors = tensor_here(np.array([[0, 0, 4, 4], [1, 2, 5, 9.0]]))
    deltas = tools.encode_box_to_deltas(anchors, tensor_here(BOXES), "xyxy", "xyxy", encoding, variance)
    first = np.array([3.5 / 4, 1 / 4, np.log(7 / 4), 0] if encoding == "center_yxhw" else
                     [1 / 4, 3.5 / 4, 0, np.log(7 / 4)])
    np.testing.assert_allclose(deltas.numpy()[0, 0], first / (variance or 1), rtol=1e-5, atol=1e-6)
    back = tools.decode_deltas_to_boxes({"a": anchors}, {"a": deltas}, "xyxy", "xyxy", encoding, variance)
    np.testing.assert_allclose(back["a"].numpy(), BOXES, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("call, words", [
    (lambda: tools.convert_format(BOXES, "xy", "xyxy"), "must be one of"),
    (lambda: tools.convert_format(BOXES[..., :3], "xyxy", "xywh"), "four numbers"),
    (lambda: tools.convert_format(BOXES, "xyxy", "rel_xyxy"), "height and width"),
    (lambda: tools.clip_to_image_size({"boxes": BOXES}, 3, 3), "'boxes' and 'labels'"),
    (lambda: tools.clip_to_image_size({"boxes": BOXES, "labels": np.ones((2, 2))}), "needs height and width"),
    (lambda: tools.compute_iou(BOXES[None], BOXES, "xyxy"), r"\(batch, boxes, 4\)"),
    (lambda: tools.compute_iou(BOXES, BOXES, "rel_xyxy"), "image_shape"),
    (lambda: tools.crop(BOXES, 1, 1, 2, 2, "rel_xyxy"), "is relative to a size"),
    (lambda: tools.encode_box_to_deltas(BOXES[0], BOXES, "xyxy", "xyxy", "xyxy"), "encoding_format"),
    (lambda: tools.encode_box_to_deltas(BOXES[0], BOXES, "xyxy", "xyxy", variance=[1.0]), "four numbers"),
])
def test_errors(call, words):
    with pytest.raises(ValueError, match=words):
        call()
