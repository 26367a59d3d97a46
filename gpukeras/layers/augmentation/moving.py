"""What the layers that move pixels share: boxes that follow their images, and affine maps."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.ops.warping import projected, read_batch
from gpukeras.utils import bounding_boxes as box_tools

FILL_MODES = ("reflect", "wrap", "constant", "nearest", "mirror")
INTERPOLATIONS = ("nearest", "bilinear")


def move_boxes(boxes: dict, kind: str, size, new_size, move) -> dict:
    """Return bounding boxes after ``move`` has moved their corners, cut at the borders of the new image.

    Parameters
    ----------
    boxes : dict
        ``"boxes"``, shape (N, boxes, 4), and ``"labels"``; of boxes that are gone the label becomes -1.
    kind : str
        Format of the boxes.
    size, new_size : tuple of int
        Height and width of the images before and after.
    move : callable
        ``move(x, y)`` returns the new coordinates of four corners (N, boxes, 4): x and y.
    """
    left_top = box_tools.convert_format(boxes["boxes"], kind, "xyxy", *size)
    x = ops.take(left_top, [0, 2, 0, 2], axis=-1)
    y = ops.take(left_top, [1, 1, 3, 3], axis=-1)
    x, y = move(x, y)
    around = ops.stack([
        ops.min(x, axis=-1), ops.min(y, axis=-1), ops.max(x, axis=-1), ops.max(y, axis=-1),
    ], axis=-1)
    cut = box_tools.clip_to_image_size({**boxes, "boxes": around}, *new_size)
    return {**cut, "boxes": box_tools.convert_format(cut["boxes"], "xyxy", kind, *new_size)}


class RandomAffineLayer(RandomImageLayer):
    """Base of the layers that turn, shift, scale or shear: images are read where a matrix sends their pixels.

    Subclasses write ``matrices``.

    Parameters
    ----------
    fill_mode : {"reflect", "wrap", "constant", "nearest", "mirror"}
        What lies outside of the images (``ops.image.map_coordinates`` shows them).
    interpolation : {"bilinear", "nearest"}
        Segmentation masks always take the nearest pixel.
    fill_value : float
        For ``fill_mode="constant"``.
    """

    def __init__(self, fill_mode="reflect", interpolation="bilinear", fill_value=0.0, **kwargs):
        super().__init__(**kwargs)
        self.fill_mode = self.one_of("fill_mode", fill_mode, FILL_MODES)
        self.interpolation = self.one_of("interpolation", interpolation, INTERPOLATIONS)
        self.fill_value = fill_value

    def matrices(self, transformation, height: int, width: int):
        """Return the numbers ``a0 a1 a2 b0 b1 b2``, shape (N, 6).

        The pixel (x, y) of a result shows the point ``(a0 x + a1 y + a2, b0 x + b1 y + b2)``.
        """
        raise NotImplementedError

    def transform_images(self, images, transformation, training=True):
        return self._read(self.in_layer_dtype(images), transformation, training, self.interpolation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._read(segmentation_masks, transformation, training, "nearest")

    def _read(self, images, transformation, training, interpolation):
        if not training or transformation is None:
            return images
        size = self.size_of(images)
        places = projected(self.matrices(transformation, *size), size, affine=True)
        return read_batch(images, places, interpolation, self.fill_mode, self.fill_value, self.data_format)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        if not training or transformation is None:
            return bounding_boxes
        size = self.size_in(transformation)
        matrix = ops.cast(self.matrices(transformation, *size), "float32")
        a0, a1, a2, b0, b1, b2 = (matrix[:, i, None, None] for i in range(6))
        whole = a0 * b1 - a1 * b0

        def move(x, y):  # the way back: from the image to the result
            x, y = x - a2, y - b2
            return (b1 * x - a1 * y) / whole, (a0 * y - b0 * x) / whole

        return move_boxes(bounding_boxes, self.bounding_box_format, size, size, move)

    def size_in(self, transformation) -> tuple[int, int]:
        """Return the height and width of the images a transformation was drawn for."""
        shape = transformation["input_shape"]
        return shape[self.height_axis], shape[self.width_axis]

    def get_config(self):
        return super().get_config() | {
            "fill_mode": self.fill_mode, "interpolation": self.interpolation, "fill_value": self.fill_value,
        }
