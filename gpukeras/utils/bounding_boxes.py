"""Bounding boxes (``keras.utils.bounding_boxes``): formats, overlaps, codes, and what moves them.

A box is four numbers in the last axis: ``"xyxy"`` left, top, right, bottom; ``"yxyx"`` top, left, bottom,
right; ``"xywh"`` left, top, width, height; ``"center_xywh"`` and ``"center_yxhw"`` begin with the middle.
With ``rel_`` before them (not ``"center_yxhw"``) positions are parts of the image's width and height.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from gpukeras import config, ops

FORMATS = (
    "xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh",
    "rel_center_xywh",
)
_SMALL = 1e-7

__all__ = [
    "affine_transform", "clip_to_image_size", "compute_ciou", "compute_iou", "convert_format", "crop",
    "decode_deltas_to_boxes", "encode_box_to_deltas", "pad",
]


def convert_format(boxes, source, target, height=None, width=None, dtype="float32"):
    """Return boxes in another format.

    Parameters
    ----------
    boxes : tensor, shape (..., 4), or dict
        Of a dictionary the value ``"boxes"`` is converted.
    source, target : str
        Formats; capital letters do not matter.
    height, width : int or tensor of shape (N,), optional
        Size of the image, or of each image of a batch (N, boxes, 4); needed between relative and absolute.
    dtype : str
        Of the result.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.utils.bounding_boxes.convert_format([[10, 20, 30, 50]], "xyxy", "xywh").tolist()
    [[10.0, 20.0, 20.0, 30.0]]
    """
    if isinstance(boxes, Mapping):
        return {**boxes, "boxes": convert_format(boxes["boxes"], source, target, height, width, dtype)}
    boxes = _boxes("convert_format", boxes)
    source, target = (_format("convert_format", name) for name in (source, target))
    if source == target:
        return ops.cast(boxes, dtype)
    source_relative, target_relative = source.startswith("rel_"), target.startswith("rel_")
    boxes = ops.cast(boxes, dtype if dtype.startswith(("float", "bfloat")) else config.floatx())
    corners = _to_corners(boxes, source.removeprefix("rel_"))
    if source_relative != target_relative:
        if height is None or width is None:
            raise ValueError(
                f"convert_format from {source!r} to {target!r} needs the height and width of the images, "
                f"came height={height} and width={width}"
            )
        across, down = (_beside(n, corners[0]) for n in (width, height))
        factors = [across, down, across, down]
        corners = [c * f if source_relative else c / f for c, f in zip(corners, factors)]
    return ops.cast(_from_corners(corners, target.removeprefix("rel_")), dtype)


def _format(name: str, value: str) -> str:
    if not isinstance(value, str) or value.lower() not in FORMATS:
        raise ValueError(f"{name}: the format of boxes must be one of {FORMATS}, came {value!r}")
    return value.lower()


def _boxes(name: str, boxes):
    boxes = boxes if hasattr(boxes, "shape") else ops.convert_to_tensor(boxes)
    if not len(boxes.shape) or boxes.shape[-1] != 4:
        raise ValueError(f"{name}: boxes must have four numbers in the last axis, came {tuple(boxes.shape)}")
    return boxes


def _beside(number, like):
    """Return a number, or one for each image of a batch, so that it stands beside ``like`` (N, boxes, 1)."""
    if not hasattr(number, "shape") or not len(number.shape):
        return number
    return ops.reshape(ops.cast(number, str(like.dtype)), (-1,) + (1,) * (len(like.shape) - 1))


def _to_corners(boxes, kind: str) -> list:
    """Return left, top, right and bottom, each with a last axis of one."""
    a, b, c, d = (boxes[..., i : i + 1] for i in range(4))
    if kind == "yxyx":
        return [b, a, d, c]
    if kind == "xywh":
        return [a, b, a + c, b + d]
    if kind == "center_yxhw":
        a, b, c, d = b, a, d, c
    if kind.startswith("center"):
        return [a - c / 2, b - d / 2, a + c / 2, b + d / 2]
    return [a, b, c, d]


def _from_corners(corners, kind: str):
    left, top, right, bottom = corners
    if kind == "yxyx":
        parts = [top, left, bottom, right]
    elif kind == "xyxy":
        parts = [left, top, right, bottom]
    else:
        w, h = right - left, bottom - top
        parts = [left, top, w, h]
        if kind.startswith("center"):
            parts = [left + w / 2, top + h / 2, w, h]
        if kind == "center_yxhw":
            parts = [parts[1], parts[0], h, w]
    return ops.concatenate(parts, axis=-1)


def _sizes_of(image_shape) -> tuple:
    """Return height and width from ``image_shape`` (height, width, channels), or nothing."""
    return (None, None) if image_shape is None else tuple(image_shape)[:2]


# ---- overlaps --------------------------------------------------------------------------------------------
def compute_iou(
    boxes1, boxes2, bounding_box_format, use_masking=False, mask_val=-1, image_shape=None,
):
    """Return how much boxes overlap: intersection over union, for every pair.

    Parameters
    ----------
    boxes1 : tensor, shape (M, 4) or (N, M, 4)
    boxes2 : tensor, shape (K, 4) or (N, K, 4)
    bounding_box_format : str
    use_masking : bool
        Put ``mask_val`` where either box has no number of 0 or more, as padding has.
    mask_val : float
    image_shape : tuple of int, optional
        Height, width and channels of the image, for relative formats.

    Returns
    -------
    tensor, shape (M, K), or (N, M, K) if either is a batch

    Examples
    --------
    >>> import gpukeras as keras
    >>> boxes = keras.ops.convert_to_tensor([[0.0, 0.0, 2.0, 2.0], [1.0, 0.0, 3.0, 2.0]])
    >>> keras.ops.round(keras.utils.bounding_boxes.compute_iou(boxes, boxes, "xyxy"), 2)[0].tolist()
    [1.0, 0.33000001311302185]
    """
    first, second = (_boxes("compute_iou", b) for b in (boxes1, boxes2))
    if {len(first.shape), len(second.shape)} - {2, 3}:
        raise ValueError(
            f"compute_iou: boxes must have shape (boxes, 4) or (batch, boxes, 4), came {tuple(first.shape)} "
            f"and {tuple(second.shape)}"
        )
    first, second = (_corners_in_pixels("compute_iou", b, bounding_box_format, image_shape)
                     for b in (first, second))
    a = [c[..., 0] for c in _to_corners(ops.expand_dims(first, -2), "xyxy")]
    b = [c[..., 0] for c in _to_corners(ops.expand_dims(second, -3), "xyxy")]
    found = _overlap(a, b)
    if use_masking:
        empty = ops.logical_or(ops.expand_dims(ops.max(first, axis=-1) < 0, -1),
                               ops.expand_dims(ops.max(second, axis=-1) < 0, -2))
        found = ops.where(empty, float(mask_val), found)
    return found


def _corners_in_pixels(name: str, boxes, bounding_box_format: str, image_shape):
    relative = _format(name, bounding_box_format).startswith("rel_")
    if relative and image_shape is None:
        raise ValueError(
            f"{name}: bounding_box_format={bounding_box_format!r} is relative; give "
            "image_shape=(height, width, channels)"
        )
    return convert_format(boxes, bounding_box_format, "xyxy", *_sizes_of(image_shape))


def _overlap(a, b):
    """Return intersection over union of boxes given as left, top, right, bottom."""
    w = ops.maximum(ops.minimum(a[2], b[2]) - ops.maximum(a[0], b[0]), 0.0)
    h = ops.maximum(ops.minimum(a[3], b[3]) - ops.maximum(a[1], b[1]), 0.0)
    shared = w * h
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / (union + _SMALL)


def compute_ciou(boxes1, boxes2, bounding_box_format, image_shape=None):
    """Return the complete IoU of pairs of boxes: overlap, less distance of middles and unlike proportions.

    Parameters
    ----------
    boxes1, boxes2 : tensor, shape (..., 4)
    bounding_box_format : str
    image_shape : tuple of int, optional
        Height, width and channels of the image, for relative formats.

    Returns
    -------
    tensor, shape (...)

    Notes
    -----
    ``IoU - d^2 / c^2 - a v`` with the distance ``d`` of the middles, the diagonal ``c`` of the smallest box
    around both, ``v = 4 / pi^2 (atan(w1 / h1) - atan(w2 / h2))^2`` and ``a = v / (v - IoU + 1)``.

    References
    ----------
    Zheng et al., "Distance-IoU loss", arXiv:1911.08287.

    Examples
    --------
    >>> import gpukeras as keras
    >>> box = keras.ops.convert_to_tensor([[0.0, 0.0, 2.0, 2.0]])
    >>> round(float(keras.utils.bounding_boxes.compute_ciou(box, box, "xyxy")[0]), 4)
    1.0
    """
    a, b = ([c[..., 0] for c in _to_corners(
        _corners_in_pixels("compute_ciou", _boxes("compute_ciou", boxes), bounding_box_format, image_shape),
        "xyxy")] for boxes in (boxes1, boxes2))
    iou = _overlap(a, b)
    wide = ops.maximum(a[2], b[2]) - ops.minimum(a[0], b[0])
    high = ops.maximum(a[3], b[3]) - ops.minimum(a[1], b[1])
    apart = ops.square(a[0] + a[2] - b[0] - b[2]) / 4 + ops.square(a[1] + a[3] - b[1] - b[3]) / 4
    angles = [ops.arctan((c[2] - c[0]) / (c[3] - c[1] + _SMALL)) for c in (a, b)]
    v = ops.square(angles[0] - angles[1]) * (4 / math.pi**2)
    weight = v / (v - iou + (1 + _SMALL))
    return iou - (apart / (ops.square(wide) + ops.square(high) + _SMALL) + weight * v)


# ---- cutting and moving ----------------------------------------------------------------------------------
def clip_to_image_size(bounding_boxes, height=None, width=None, bounding_box_format="xyxy"):
    """Cut off what of boxes lies outside of their image; boxes of which nothing is left get the label -1.

    Parameters
    ----------
    bounding_boxes : dict
        ``"boxes"``, shape (boxes, 4) or (N, boxes, 4), and ``"labels"``, shape (boxes,) or (N, boxes).
    height, width : int or tensor of shape (N,), optional
        Size of the image; not needed for relative formats.
    bounding_box_format : str

    Examples
    --------
    >>> import gpukeras as keras
    >>> boxes = {"boxes": [[-10.0, 20, 50, 60], [90, 0, 99, 9]], "labels": [0, 1]}
    >>> cut = keras.utils.bounding_boxes.clip_to_image_size(boxes, 40, 80)
    >>> cut["boxes"].tolist(), cut["labels"].tolist()
    ([[0.0, 20.0, 50.0, 40.0], [80.0, 0.0, 80.0, 9.0]], [0, -1])
    """
    if not isinstance(bounding_boxes, Mapping) or not {"boxes", "labels"} <= set(bounding_boxes):
        raise ValueError("clip_to_image_size: expected a dictionary with 'boxes' and 'labels'")
    kind = _format("clip_to_image_size", bounding_box_format)
    boxes = _boxes("clip_to_image_size", bounding_boxes["boxes"])
    labels = bounding_boxes["labels"]
    labels = labels if hasattr(labels, "shape") else ops.convert_to_tensor(labels)
    if kind.startswith("rel_"):
        corners, across, down = "rel_xyxy", 1.0, 1.0
    elif height is None or width is None:
        raise ValueError(
            f"clip_to_image_size: bounding_box_format={bounding_box_format!r} needs height and width, came "
            f"height={height} and width={width}"
        )
    else:
        corners, across, down = "xyxy", width, height
    left, top, right, bottom = _to_corners(_between(boxes, kind, corners), "xyxy")
    across, down = _beside(across, left), _beside(down, left)
    left, right = (ops.minimum(ops.maximum(x, 0.0), across) for x in (left, right))
    top, bottom = (ops.minimum(ops.maximum(y, 0.0), down) for y in (top, bottom))
    cut = _between(ops.concatenate([left, top, right, bottom], axis=-1), corners, kind)
    gone = ((right - left) * (bottom - top))[..., 0] <= 0
    labels = ops.where(gone, ops.cast(-1, str(labels.dtype)), labels)
    return {**bounding_boxes, "boxes": cut, "labels": labels}


def _between(boxes, source: str, target: str):
    """Convert between formats that are both relative, or both not."""
    return convert_format(boxes, source.removeprefix("rel_"), target.removeprefix("rel_"))


def crop(boxes, top, left, height, width, bounding_box_format="xyxy"):
    """Return boxes as they lie in a part of their image.

    Parameters
    ----------
    boxes : tensor, shape (boxes, 4) or (N, boxes, 4)
    top, left : number or tensor of shape (N,)
        Where the part begins.
    height, width : number or tensor of shape (N,)
        Its size; what lies beyond is cut off.
    bounding_box_format : str
        An absolute format.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.utils.bounding_boxes.crop([[10.0, 20, 50, 60]], 10, 20, 40, 25).tolist()
    [[0.0, 10.0, 25.0, 40.0]]
    """
    corners, kind, dtype = _absolute("crop", boxes, bounding_box_format)
    left, top, width, height = (_beside(n, corners[0]) for n in (left, top, width, height))
    moved = [c - n for c, n in zip(corners, (left, top, left, top))]
    moved = [ops.minimum(ops.maximum(c, 0), n) for c, n in zip(moved, (width, height, width, height))]
    return ops.cast(_from_corners(moved, kind), dtype)


def pad(boxes, top, left, height=None, width=None, bounding_box_format="xyxy"):
    """Return boxes as they lie in their image once it has borders.

    Parameters
    ----------
    boxes : tensor, shape (boxes, 4) or (N, boxes, 4)
    top, left : number or tensor of shape (N,)
        What was added above and on the left.
    height, width : int, optional
        Accepted as in Keras; absolute boxes do not depend on them.
    bounding_box_format : str
        An absolute format.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.utils.bounding_boxes.pad([[10.0, 20, 50, 60]], 1, 2).tolist()
    [[12.0, 21.0, 52.0, 61.0]]
    """
    corners, kind, dtype = _absolute("pad", boxes, bounding_box_format)
    left, top = _beside(left, corners[0]), _beside(top, corners[0])
    moved = [c + n for c, n in zip(corners, (left, top, left, top))]
    return ops.cast(_from_corners(moved, kind), dtype)


def _absolute(name: str, boxes, bounding_box_format: str):
    """Return corners of boxes in an absolute format, that format and the boxes' dtype."""
    kind = _format(name, bounding_box_format)
    if kind.startswith("rel_"):
        raise ValueError(
            f"{name}: bounding_box_format={bounding_box_format!r} is relative to a size that changes; use "
            "convert_format to an absolute format first"
        )
    boxes = _boxes(name, boxes)
    return _to_corners(boxes, kind), kind, str(boxes.dtype)


def affine_transform(
    boxes, angle, translate_x, translate_y, scale, shear_x, shear_y, height, width, center_x=None,
    center_y=None, bounding_box_format="xyxy",
):
    """Return the upright boxes around boxes that were turned, shifted, scaled and sheared.

    Parameters
    ----------
    boxes : tensor, shape (boxes, 4) or (N, boxes, 4)
    angle : number or tensor of shape (N,)
        Degrees, against the clock.
    translate_x, translate_y : number or tensor of shape (N,)
        Parts of width and height less one pixel.
    scale : number or tensor of shape (N,)
    shear_x, shear_y : number or tensor of shape (N,)
        Degrees.
    height, width : int
        Size of the image.
    center_x, center_y : number, optional
        What stays in place, as parts of width and height less one pixel; the middle unless given.
    bounding_box_format : str

    Returns
    -------
    tensor of the boxes' shape, floating

    Notes
    -----
    With ``c``, ``s`` the cosine and sine of the angle and ``a``, ``b`` the tangents of the shears, a point
    ``p`` becomes ``scale * M (p + translation - center) + center``; the second row of ``M`` is
    ``(b c - s, b s + c)``, the first ``(c, s) + a (s - b c, c + b s)``. (So it is in Keras.)

    Examples
    --------
    >>> import gpukeras as keras
    >>> f = keras.utils.bounding_boxes.affine_transform
    >>> keras.ops.round(f([[2.0, 3, 8, 7]], 90.0, 0, 0, 1, 0, 0, height=10, width=20), 4).tolist()
    [[8.0, 6.0, 12.0, 12.0]]
    """
    kind = _format("affine_transform", bounding_box_format)
    sizes = (height, width)
    boxes = convert_format(_boxes("affine_transform", boxes), kind, "xyxy", *sizes)
    left, top, right, bottom = _to_corners(boxes, "xyxy")
    angle, shift_x, shift_y, scale, shear_x, shear_y = (
        _beside(ops.cast(n, str(boxes.dtype)), left)
        for n in (angle, translate_x, translate_y, scale, shear_x, shear_y)
    )
    middle_x = (0.5 if center_x is None else center_x) * (width - 1)
    middle_y = (0.5 if center_y is None else center_y) * (height - 1)
    turn, a, b = ops.deg2rad(angle), ops.tan(ops.deg2rad(shear_x)), ops.tan(ops.deg2rad(shear_y))
    c, s = ops.cos(turn), ops.sin(turn)
    down_x, down_y = b * c - s, b * s + c
    across_x, across_y = c - a * down_x, s + a * down_y
    x = ops.concatenate([left, right, left, right], axis=-1) + (shift_x * (width - 1) - middle_x)
    y = ops.concatenate([top, top, bottom, bottom], axis=-1) + (shift_y * (height - 1) - middle_y)
    to_x = scale * (across_x * x + across_y * y) + middle_x
    to_y = scale * (down_x * x + down_y * y) + middle_y
    around = ops.stack([
        ops.min(to_x, axis=-1), ops.min(to_y, axis=-1), ops.max(to_x, axis=-1), ops.max(to_y, axis=-1),
    ], axis=-1)
    return convert_format(around, "xyxy", kind, *sizes)


# ---- codes of detectors ----------------------------------------------------------------------------------
def encode_box_to_deltas(
    anchors, boxes, anchor_format, box_format, encoding_format="center_yxhw", variance=None, image_shape=None,
):
    """Return boxes as differences to anchors, as detectors learn them.

    Parameters
    ----------
    anchors : tensor, shape (A, 4)
    boxes : tensor, shape (A, 4) or (N, A, 4)
    anchor_format, box_format : str
    encoding_format : {"center_yxhw", "center_xywh"}
        Order of the differences.
    variance : sequence of four floats, optional
        By which the differences are divided.
    image_shape : tuple of int, optional
        Height, width and channels, for relative formats.

    Returns
    -------
    tensor of the boxes' shape
        Middle to middle in units of the anchor's size, and the logarithms of the quotients of sizes.

    Examples
    --------
    >>> import gpukeras as keras
    >>> encode = keras.utils.bounding_boxes.encode_box_to_deltas
    >>> encode([[0.0, 0, 4, 4]], [[1.0, 0, 5, 4]], "xyxy", "xyxy").tolist()
    [[0.0, 0.25, 0.0, 0.0]]
    """
    variance = _variance(variance, encoding_format, "encoding_format")
    sizes = _sizes_of(image_shape)
    anchors = _coded("encode_box_to_deltas", anchors, anchor_format, encoding_format, sizes)
    boxes = _coded("encode_box_to_deltas", boxes, box_format, encoding_format, sizes)
    size = ops.maximum(anchors[..., 2:], _SMALL)
    deltas = ops.concatenate([
        (boxes[..., :2] - anchors[..., :2]) / size,
        ops.log(ops.maximum(boxes[..., 2:], _SMALL) / size),
    ], axis=-1)
    return deltas if variance is None else deltas / variance


def decode_deltas_to_boxes(
    anchors, boxes_delta, anchor_format, box_format, encoded_format="center_yxhw", variance=None,
    image_shape=None,
):
    """Return the boxes that differences to anchors stand for: the way back of ``encode_box_to_deltas``.

    Parameters
    ----------
    anchors : tensor, shape (A, 4), or dict of them
        Such as one for each level of a pyramid.
    boxes_delta : tensor, shape (A, 4) or (N, A, 4), or dict of them
    anchor_format, box_format : str
        Of the anchors, and of the result.
    encoded_format : {"center_yxhw", "center_xywh"}
    variance : sequence of four floats, optional
        By which the differences are multiplied first.
    image_shape : tuple of int, optional
        Height, width and channels, for relative formats.

    Examples
    --------
    >>> import gpukeras as keras
    >>> decode = keras.utils.bounding_boxes.decode_deltas_to_boxes
    >>> decode([[0.0, 0, 4, 4]], [[0.0, 0.25, 0, 0]], "xyxy", "xyxy").tolist()
    [[1.0, 0.0, 5.0, 4.0]]
    """
    if isinstance(anchors, Mapping):
        return {
            key: decode_deltas_to_boxes(anchors[key], deltas, anchor_format, box_format, encoded_format,
                                        variance, image_shape)
            for key, deltas in boxes_delta.items()
        }
    variance = _variance(variance, encoded_format, "encoded_format")
    sizes = _sizes_of(image_shape)
    anchors = _coded("decode_deltas_to_boxes", anchors, anchor_format, encoded_format, sizes)
    deltas = ops.cast(_boxes("decode_deltas_to_boxes", boxes_delta), config.floatx())
    if variance is not None:
        deltas = deltas * variance
    boxes = ops.concatenate([
        deltas[..., :2] * anchors[..., 2:] + anchors[..., :2], ops.exp(deltas[..., 2:]) * anchors[..., 2:],
    ], axis=-1)
    return convert_format(boxes, encoded_format, box_format, *sizes)


def _variance(variance, encoding: str, name: str):
    if encoding not in ("center_xywh", "center_yxhw"):
        raise ValueError(f"{name} must be 'center_xywh' or 'center_yxhw', came {encoding!r}")
    if variance is None:
        return None
    if len(variance) != 4:
        raise ValueError(f"variance must hold four numbers, came {variance!r}")
    return ops.convert_to_tensor(variance, config.floatx())


def _coded(name: str, boxes, source: str, target: str, sizes):
    return convert_format(_boxes(name, boxes), source, target, *sizes)
