"""What all layers that prepare images share: one image or a batch, alone or with what belongs to it."""

from __future__ import annotations

from collections.abc import Mapping

from gpukeras import backends, config, ops, random
from gpukeras.layers.layer import Layer

_WITH_IMAGES = ("images", "labels", "bounding_boxes", "segmentation_masks")


class BaseImagePreprocessingLayer(Layer):
    """Base class: the way from one image, a batch or a dictionary to ``transform_images`` and back.

    Subclasses write ``transform_images``, which always sees a batch, and ``get_random_transformation`` where
    they draw something; layers that move pixels also write ``transform_segmentation_masks`` and
    ``transform_bounding_boxes``. All four get the same drawn transformation, so that labels, boxes and masks
    follow their images.

    Parameters
    ----------
    factor : float or pair of float, optional
        For classes with ``takes_factor``: kept as the pair (lower, upper). One number ``f`` means
        ``(-f, f)``, cut at ``factor_bounds``.
    bounding_box_format : str, optional
        Needed where bounding boxes come: ``"xyxy"``, ``"rel_xyxy"``, ... (``utils.bounding_boxes``).
    data_format : {"channels_last", "channels_first"}, optional
        Default: ``config.image_data_format()``.

    Notes
    -----
    The input is a tensor (H, W, C) or (N, H, W, C), or a dictionary with ``"images"`` and any of
    ``"labels"``, ``"segmentation_masks"`` and ``"bounding_boxes"`` (a dictionary with ``"boxes"``, shape
    (N, boxes, 4), and ``"labels"``, shape (N, boxes)); the result is a new dictionary, other keys unchanged.
    Masks have the shape of images, with any number of channels or without that axis.
    Images are computed in the layer's dtype: integer images become floats unless ``dtype="uint8"``.
    """

    takes_factor = False
    factor_bounds: tuple[float, float] = (-1, 1)

    def __init__(self, factor=None, bounding_box_format=None, data_format=None, **kwargs):
        super().__init__(**kwargs)
        self.bounding_box_format = bounding_box_format
        self.data_format = config.standardize_data_format(data_format)
        last = self.data_format == "channels_last"
        self.height_axis, self.width_axis, self.channel_axis = (-3, -2, -1) if last else (-2, -1, -3)
        if self.takes_factor:
            self.factor = self.pair("factor", 0.0 if factor is None else factor)
        elif factor is not None:
            raise ValueError(f"layer {self.name!r} ({type(self).__name__}) takes no factor, came {factor!r}")

    # ---- arguments ------------------------------------------------------------------------------------
    def pair(self, name: str, factor, bounds: tuple[float, float] | None = None) -> tuple[float, float]:
        """Return the argument ``name``, one number or a pair, as (lower, upper).

        Parameters
        ----------
        name : str
            For the message.
        factor : float or pair of float
            One number ``f`` means ``(max(-f, lowest), f)``.
        bounds : pair of float, optional
            Least and greatest value; the class's ``factor_bounds`` unless given.

        Raises
        ------
        ValueError
            For anything else, one number outside the bounds, or a range wholly outside of them (one that
            only reaches beyond is taken, as in Keras).
        """
        low, high = self.factor_bounds if bounds is None else bounds
        numbers = list(factor) if isinstance(factor, (tuple, list)) else [factor]
        fits = isinstance(factor, (tuple, list)) == (len(numbers) == 2) and all(map(_is_number, numbers))
        if fits and len(numbers) == 2:
            fits = min(numbers) <= high and max(numbers) >= low
        elif fits:
            fits = low <= factor <= high
        if not fits:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): {name} must be a number between {low} and "
                f"{high}, or a pair of such numbers (lower, upper), came {factor!r}"
            )
        if len(numbers) == 2:
            return min(numbers), max(numbers)
        return max(-abs(factor), low), abs(factor)

    def one_of(self, name: str, value, known) -> str:
        """Return ``value`` where it is one of ``known``, else say what argument ``name`` may be."""
        if value not in known:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): {name} must be one of {tuple(known)}, "
                f"came {value!r}"
            )
        return value

    def range_of_values(self, value_range) -> tuple:
        """Return ``value_range`` as the pair (lowest, highest) of what pixels may hold."""
        pair = tuple(value_range) if isinstance(value_range, (tuple, list)) else ()
        if len(pair) != 2 or not all(_is_number(n) for n in pair) or pair[0] == pair[1]:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): value_range must be a pair of different "
                f"numbers (lowest, highest), such as (0, 255), came {value_range!r}"
            )
        return min(pair), max(pair)

    # ---- what subclasses write --------------------------------------------------------------------------
    def get_random_transformation(self, data, training=True, seed=None):
        """Return what was drawn for a batch, a dictionary of tensors, or ``None`` where nothing is."""
        return None

    def transform_images(self, images, transformation, training=True):
        """Return a batch of images, transformed."""
        raise NotImplementedError(f"layer {self.name!r} ({type(self).__name__}) has no transform_images()")

    def transform_labels(self, labels, transformation, training=True):
        """Return the labels of a batch; most transformations leave them as they are."""
        return labels

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Return the boxes of a batch; transformations that move no pixels leave them as they are."""
        return bounding_boxes

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Return the masks of a batch; transformations that move no pixels leave them as they are."""
        return segmentation_masks

    # ---- one image: a batch of one ------------------------------------------------------------------------
    def transform_single_image(self, image, transformation, training=True):
        """Return one image (H, W, C), transformed."""
        return ops.squeeze(self.transform_images(_batch_of_one(image), transformation, training=training), 0)

    def transform_single_label(self, label, transformation, training=True):
        """Return the label of one image."""
        return ops.squeeze(self.transform_labels(_batch_of_one(label), transformation, training=training), 0)

    def transform_single_bounding_box(self, bounding_box, transformation, training=True):
        """Return the boxes of one image: ``"boxes"`` (boxes, 4) and ``"labels"`` (boxes,)."""
        boxes = {key: _batch_of_one(value) for key, value in self._checked_boxes(bounding_box).items()}
        found = self.transform_bounding_boxes(boxes, transformation, training=training)
        return {key: ops.squeeze(value, 0) for key, value in found.items()}

    def transform_single_segmentation_mask(self, segmentation_mask, transformation, training=True):
        """Return the mask of one image."""
        masks = _batch_of_one(segmentation_mask)
        return ops.squeeze(self.transform_segmentation_masks(masks, transformation, training=training), 0)

    # ---- calling ------------------------------------------------------------------------------------------
    def call(self, data, training=True):
        with_more = isinstance(data, Mapping)
        if with_more and "images" not in data:
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): a dictionary needs the key 'images', "
                f"came {sorted(data)}"
            )
        given = dict(data) if with_more else {"images": data}
        single = not self._is_batch(given["images"])
        known = {key: given[key] for key in _WITH_IMAGES if key in given}
        if "bounding_boxes" in known:
            known["bounding_boxes"] = self._checked_boxes(known["bounding_boxes"])
        if single:
            known = {key: _batch_of_one(value) for key, value in known.items()}
        flat_masks = "segmentation_masks" in known and len(known["segmentation_masks"].shape) == 3
        if flat_masks:
            known["segmentation_masks"] = ops.expand_dims(known["segmentation_masks"], self.channel_axis)
        transformation = self.get_random_transformation(known if with_more else known["images"], training)
        done = {
            key: getattr(self, f"transform_{key}")(value, transformation, training=training)
            for key, value in known.items()
        }
        if flat_masks:
            done["segmentation_masks"] = ops.squeeze(done["segmentation_masks"], self.channel_axis)
        if single:
            done = {key: _without_batch(value) for key, value in done.items()}
        return given | done if with_more else done["images"]

    def _is_batch(self, images) -> bool:
        rank = len(getattr(images, "shape", ()))
        if rank not in (3, 4):
            raise ValueError(
                f"layer {self.name!r} ({type(self).__name__}): expected one image of rank 3 or a batch of "
                f"rank 4, came shape {tuple(getattr(images, 'shape', ()))}"
            )
        return rank == 4

    def _checked_boxes(self, boxes) -> dict:
        where = f"layer {self.name!r} ({type(self).__name__})"
        if self.bounding_box_format is None:
            raise ValueError(
                f"{where}: bounding boxes came, but their format is not known; give "
                "bounding_box_format=, for example 'xyxy'"
            )
        if not isinstance(boxes, Mapping) or "boxes" not in boxes or "labels" not in boxes:
            came = sorted(boxes) if isinstance(boxes, Mapping) else type(boxes).__name__
            raise ValueError(
                f"{where}: bounding_boxes must be a dictionary with 'boxes' and 'labels', came {came}"
            )
        return dict(boxes) | {"boxes": ops.cast(boxes["boxes"], config.floatx())}

    # ---- tools for subclasses -----------------------------------------------------------------------------
    def in_layer_dtype(self, images):
        """Return images in the dtype the layer computes in."""
        return ops.cast(images, self.compute_dtype)

    def images_of(self, data):
        """Return the images of what ``get_random_transformation`` was given."""
        return data["images"] if isinstance(data, Mapping) else data

    def batch_of(self, data) -> int:
        """Return the number of images in what ``get_random_transformation`` was given."""
        shape = self.images_of(data).shape
        return shape[0] if len(shape) == 4 else 1

    def size_of(self, data) -> tuple:
        """Return height and width of the images in what ``get_random_transformation`` was given."""
        shape = self.images_of(data).shape
        return shape[self.height_axis], shape[self.width_axis]

    def change_value_range(self, images, original_range, target_range):
        """Return images whose values reach over ``target_range`` in place of ``original_range``."""
        if tuple(original_range) == tuple(target_range):
            return images
        (low, high), (new_low, new_high) = original_range, target_range
        return (images - low) * ((new_high - new_low) / (high - low)) + new_low

    # ---- shapes and configuration -------------------------------------------------------------------------
    def image_output_shape(self, shape) -> tuple:
        """Return the shape of images, or of segmentation masks, for their shape before."""
        return tuple(shape)

    def compute_output_shape(self, input_shape):
        """Return the shapes of the outputs; images and masks may change theirs."""
        if not isinstance(input_shape, Mapping):
            return self.image_output_shape(input_shape)
        return {
            key: self.image_output_shape(shape) if key in ("images", "segmentation_masks") else shape
            for key, shape in input_shape.items()
        }

    def get_config(self):
        found = super().get_config() | {"data_format": self.data_format}
        if self.takes_factor:
            found["factor"] = self.factor
        if self.bounding_box_format is not None:
            found["bounding_box_format"] = self.bounding_box_format
        return found


class RandomImageLayer(BaseImagePreprocessingLayer):
    """Base of the layers that draw: a seed and a generator of its own; outside training nothing happens.

    Parameters
    ----------
    factor, bounding_box_format, data_format
        See ``BaseImagePreprocessingLayer``.
    seed : int, optional
    """

    def __init__(self, factor=None, bounding_box_format=None, data_format=None, seed=None, **kwargs):
        super().__init__(
            factor=factor, bounding_box_format=bounding_box_format, data_format=data_format, **kwargs
        )
        self.seed = seed
        self.generator = random.SeedGenerator(seed)

    def uniform(self, data, shape, low=0.0, high=1.0, seed=None, dtype="float32"):
        """Return draws from ``[low, high)`` on the device of the images in ``data``.

        Parameters
        ----------
        data : tensor or dict
            What ``get_random_transformation`` was given.
        shape : tuple of int or None
        low, high : float
            Where they are equal, every draw is that number.
        seed : int or SeedGenerator, optional
            The layer's own generator unless given.
        """
        with self.on_device_of(data):
            if low == high:
                return ops.full(shape, low, dtype=dtype)
            return random.uniform(
                shape, low, high, dtype=dtype, seed=self.generator if seed is None else seed
            )

    def host_uniform(self, low: float, high: float, seed=None) -> float:
        """Return one draw from ``[low, high)`` as a number, for what settles shapes."""
        if seed is None:
            seed = self.generator
        seed = seed.next() if isinstance(seed, random.SeedGenerator) else seed
        return float(random.host_generator(seed).uniform(low, high))

    def on_device_of(self, data):
        """Return the ``with`` block in which new tensors lie beside the images in ``data``."""
        images = self.images_of(data)
        return backends.backend_scope(getattr(images, "backend", None) or backends.current())

    def get_config(self):
        return super().get_config() | {"seed": self.seed}


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _batch_of_one(value):
    """Return a tensor, or a dictionary of tensors, with a batch axis."""
    if isinstance(value, Mapping):
        return {key: _batch_of_one(inner) for key, inner in value.items()}
    return ops.expand_dims(value, 0)


def _without_batch(value):
    if isinstance(value, Mapping):
        return {key: _without_batch(inner) for key, inner in value.items()}
    return ops.squeeze(value, 0)
