"""The layer that gives every image the same number of bounding boxes."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.layers.augmentation.base import BaseImagePreprocessingLayer


class MaxNumBoundingBoxes(BaseImagePreprocessingLayer):
    """Give every image the same number of bounding boxes: further ones are left out, missing ones filled in.

    Parameters
    ----------
    max_number : int
    fill_value : float
        Of boxes and labels that are filled in.

    Examples
    --------
    >>> import gpukeras as keras
    >>> boxes = {"boxes": keras.ops.ones((1, 1, 4)), "labels": keras.ops.ones((1, 1))}
    >>> layer = keras.layers.MaxNumBoundingBoxes(3, bounding_box_format="xyxy")
    >>> found = layer({"images": keras.ops.ones((1, 8, 8, 3)), "bounding_boxes": boxes})
    >>> found["bounding_boxes"]["labels"].tolist()
    [[1.0, -1.0, -1.0]]
    """

    def __init__(self, max_number, fill_value=-1, **kwargs):
        super().__init__(**kwargs)
        if not hasattr(max_number, "__index__") or isinstance(max_number, bool) or max_number < 0:
            raise ValueError(
                f"layer {self.name!r} (MaxNumBoundingBoxes): max_number must be an integer from 0, came "
                f"{max_number!r}"
            )
        self.max_number, self.fill_value = int(max_number), fill_value

    def transform_images(self, images, transformation=None, training=True):
        return self.in_layer_dtype(images)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return {key: self._cut_or_filled(value) for key, value in bounding_boxes.items()}

    def _cut_or_filled(self, x):
        """Return a tensor (N, boxes, ...) with another number of boxes."""
        x = x[:, : self.max_number]
        missing = self.max_number - x.shape[1]
        widths = [(0, 0), (0, missing)] + [(0, 0)] * (len(x.shape) - 2)
        return ops.pad(x, widths, constant_values=self.fill_value) if missing else x

    def compute_output_shape(self, input_shape):
        found = super().compute_output_shape(input_shape)
        if isinstance(found, dict) and isinstance(found.get("bounding_boxes"), dict):
            found["bounding_boxes"] = {
                key: (shape[0], self.max_number, *shape[2:])
                for key, shape in found["bounding_boxes"].items()
            }
        return found

    def get_config(self):
        return super().get_config() | {"max_number": self.max_number, "fill_value": self.fill_value}
