"""Layers that bring images to a size, by resizing or cutting."""

from __future__ import annotations

from gpukeras import ops
from gpukeras.backends.resize import INTERPOLATIONS
from gpukeras.layers.augmentation.base import BaseImagePreprocessingLayer, RandomImageLayer
from gpukeras.layers.augmentation.moving import move_boxes
from gpukeras.symbolic import KerasTensor


class _Sized(BaseImagePreprocessingLayer):
    """Base of the layers whose images all get one height and width.

    Parameters
    ----------
    height, width : int
    """

    def __init__(self, height, width, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("height", height), ("width", width)):
            if not hasattr(value, "__index__") or isinstance(value, bool) or value < 1:
                raise ValueError(
                    f"layer {self.name!r} ({type(self).__name__}): {name} must be a positive integer, came "
                    f"{value!r}"
                )
        self.height, self.width = int(height), int(width)

    def image_output_shape(self, shape):
        shape = list(shape)
        shape[self.height_axis], shape[self.width_axis] = self.height, self.width
        return tuple(shape)

    def cut(self, images, top: int, left: int):
        """Return the part of images of the layer's size that begins at (``top``, ``left``)."""
        key = [slice(None)] * len(images.shape)
        key[self.height_axis] = slice(top, top + self.height)
        key[self.width_axis] = slice(left, left + self.width)
        return images[tuple(key)]

    def fitted(self, images, interpolation="bilinear"):
        """Return the largest part of images that has the proportions asked for, resized."""
        return ops.image.resize(
            images, (self.height, self.width), interpolation=interpolation, crop_to_aspect_ratio=True,
            data_format=self.data_format,
        )

    def move_boxes(self, boxes, size, part):
        """Return boxes as they lie in a part (top, left, height, width) of their image, brought to size."""
        top, left, height, width = part
        across, down = self.width / width, self.height / height
        new_size = self.height, self.width
        return move_boxes(boxes, self.bounding_box_format, size, new_size,
                          lambda x, y: ((x - left) * across, (y - top) * down))

    def fitting_part(self, size):
        """Return the part (top, left, height, width) of an image that ``fitted`` shows."""
        h, w = size
        height = min(h, max(1, int(w * self.height / self.width)))
        width = min(w, max(1, int(h * self.width / self.height)))
        return (h - height) // 2, (w - width) // 2, height, width

    def get_config(self):
        return super().get_config() | {"height": self.height, "width": self.width}


class Resizing(_Sized):
    """Resize images.

    Parameters
    ----------
    height, width : int
        Size of the results.
    interpolation : str
        ``"bilinear"``, ``"nearest"``, ``"bicubic"``, ``"lanczos3"``, ``"lanczos5"``, ``"area"``,
        ``"gaussian"`` or ``"mitchellcubic"``; segmentation masks always take the nearest pixel.
    crop_to_aspect_ratio : bool
        Keep proportions: cut the largest part from the middle that has those of the result.
    pad_to_aspect_ratio : bool
        Keep proportions: add borders first.
    fill_mode : {"constant"}
    fill_value : float
        Of the borders.
    antialias : bool
        Average over all input pixels under an output pixel when shrinking.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Notes
    -----
    Integer images stay integers: results are rounded. Bounding boxes are moved exactly as their images (real
    Keras rounds their offsets to whole pixels where proportions are kept).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.Resizing(32, 48)(keras.ops.ones((2, 20, 20, 3))).shape
    (2, 32, 48, 3)
    """

    def __init__(self, height, width, interpolation="bilinear", crop_to_aspect_ratio=False,
                 pad_to_aspect_ratio=False, fill_mode="constant", fill_value=0.0, antialias=False,
                 data_format=None, **kwargs):
        super().__init__(height, width, data_format=data_format, **kwargs)
        self.interpolation = self.one_of("interpolation", str(interpolation).lower(), INTERPOLATIONS)
        self.fill_mode = self.one_of("fill_mode", fill_mode, ("constant",))
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(
                f"layer {self.name!r} (Resizing): crop_to_aspect_ratio and pad_to_aspect_ratio exclude each "
                "other"
            )
        self.crop_to_aspect_ratio, self.pad_to_aspect_ratio = crop_to_aspect_ratio, pad_to_aspect_ratio
        self.fill_value, self.antialias = fill_value, antialias

    def get_random_transformation(self, data, training=True, seed=None):
        return self.size_of(data)

    def transform_images(self, images, transformation=None, training=True):
        return self._resize(images, self.interpolation, self.antialias)

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        return self._resize(segmentation_masks, "nearest", False)

    def _resize(self, images, interpolation, antialias):
        return ops.image.resize(
            images, (self.height, self.width), interpolation=interpolation, antialias=antialias,
            crop_to_aspect_ratio=self.crop_to_aspect_ratio, pad_to_aspect_ratio=self.pad_to_aspect_ratio,
            fill_mode=self.fill_mode, fill_value=self.fill_value, data_format=self.data_format,
        )

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        h, w = size = transformation
        part = (0, 0, h, w)
        if self.crop_to_aspect_ratio:
            part = self.fitting_part(size)
        elif self.pad_to_aspect_ratio:
            height = max(h, int(w * self.height / self.width))
            width = max(w, int(h * self.width / self.height))
            top, left = (height - h) // 2, (width - w) // 2
            part = (-top, -left, h + 2 * top, w + 2 * left)
        return self.move_boxes(bounding_boxes, size, part)

    def compute_output_spec(self, data, training=True):
        found = super().compute_output_spec(data)
        if isinstance(data, KerasTensor) and not str(data.dtype).startswith(("float", "bfloat")):
            return KerasTensor(found.shape, data.dtype)  # integers stay integers
        return found

    def get_config(self):
        return super().get_config() | {
            "interpolation": self.interpolation, "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
            "pad_to_aspect_ratio": self.pad_to_aspect_ratio, "fill_mode": self.fill_mode,
            "fill_value": self.fill_value, "antialias": self.antialias,
        }


class CenterCrop(_Sized):
    """Cut the middle out of images.

    Images that are smaller than the result are resized, after borders were cut off so that proportions stay.

    Parameters
    ----------
    height, width : int
        Size of the results.
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Examples
    --------
    >>> import gpukeras as keras
    >>> x = keras.ops.reshape(keras.ops.arange(9, dtype="float32"), (3, 3, 1))
    >>> keras.layers.CenterCrop(1, 1)(x).tolist()
    [[[4.0]]]
    """

    def __init__(self, height, width, data_format=None, **kwargs):
        super().__init__(height, width, data_format=data_format, **kwargs)

    def get_random_transformation(self, data, training=True, seed=None):
        return {"input_shape": tuple(self.images_of(data).shape)}

    def _middle(self, size):
        """Return the part (top, left, height, width) that is shown; whether it has the right size already."""
        h, w = size
        if h < self.height or w < self.width:
            return self.fitting_part(size), False
        return ((h - self.height) // 2, (w - self.width) // 2, self.height, self.width), True

    def transform_images(self, images, transformation=None, training=True):
        return self._crop(self.in_layer_dtype(images), "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation=None, training=True):
        return self._crop(segmentation_masks, "nearest")

    def _crop(self, images, interpolation):
        (top, left, _, _), fits = self._middle(self.size_of(images))
        return self.cut(images, top, left) if fits else self.fitted(images, interpolation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        shape = transformation["input_shape"]
        size = shape[self.height_axis], shape[self.width_axis]
        return self.move_boxes(bounding_boxes, size, self._middle(size)[0])


class RandomCrop(_Sized, RandomImageLayer):
    """Cut a part of images out at random in training: the same part of all images of a batch.

    Otherwise, and where images are smaller than the result, the largest part with its proportions is cut from
    the middle and resized.

    Parameters
    ----------
    height, width : int
        Size of the results.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Notes
    -----
    Bounding boxes follow their images, also where those are resized (in real Keras they do not).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandomCrop(8, 8)(keras.ops.ones((2, 20, 20, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(self, height, width, seed=None, data_format=None, name=None, **kwargs):
        super().__init__(height, width, seed=seed, data_format=data_format, name=name, **kwargs)

    def _draws(self, size, training) -> bool:
        return bool(training) and size[0] >= self.height and size[1] >= self.width

    def get_random_transformation(self, data, training=True, seed=None):
        size = self.size_of(data)
        if not self._draws(size, training):
            return _Corner.of(self.fitting_part(size)[:2], size)
        seed = self.generator if seed is None else seed
        return _Corner.of((
            min(n - m, int(self.host_uniform(0, n - m + 1, seed)))
            for n, m in zip(size, (self.height, self.width))
        ), size)

    def transform_images(self, images, transformation, training=True):
        return self._crop(self.in_layer_dtype(images), transformation, training, "bilinear")

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._crop(segmentation_masks, transformation, training, "nearest")

    def _crop(self, images, transformation, training, interpolation):
        if self._draws(self.size_of(images), training):
            return self.cut(images, *map(int, transformation))
        return self.fitted(images, interpolation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        size = getattr(transformation, "size", (None, None))
        if size[0] is None or self._draws(size, training):
            part = (*map(int, transformation), self.height, self.width)
        else:
            part = self.fitting_part(size)
        return self.move_boxes(bounding_boxes, size, part)


class _Corner(tuple):
    """Where a part begins: (top, left), as Keras has it; it also knows the size of the images."""

    size: tuple

    @classmethod
    def of(cls, place, size) -> _Corner:
        found = cls(place)
        found.size = size
        return found
