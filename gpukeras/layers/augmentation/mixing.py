"""Images mixed with each other, and patches that are erased: ``MixUp``, ``CutMix``, ``RandomErasing``."""

from __future__ import annotations

from gpukeras import dtypes, ops, random
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.layers.augmentation.values import RandomValueLayer, beside, is_number, wrong


class _Mixing(RandomImageLayer):
    """Base of layers that mix each image of a batch with another one, and their labels alike."""

    def _order(self, data, seed):
        """Return which image each image is mixed with."""
        with self.on_device_of(data):
            numbers = ops.arange(self.batch_of(data), dtype="int32")
            return random.shuffle(numbers, seed=self.generator if seed is None else seed)

    def _beta(self, data, alpha, seed):
        """Return one draw for every image from the beta distribution with both parameters ``alpha``."""
        with self.on_device_of(data):
            source = self.generator if seed is None else seed
            return random.beta((self.batch_of(data),), alpha, alpha, "float32", source)

    def transform_labels(self, labels, transformation, training=True):
        """Return ``weight * labels + (1 - weight) * labels of the other images``, floating."""
        if not training or transformation is None:
            return labels
        return _blended(_floating(labels, self), transformation)


class MixUp(_Mixing):
    """Blend each image with another one of its batch, and their labels alike, in training.

    Parameters
    ----------
    alpha : float
        Parameter of the beta distribution of the weights: 0 leaves images as they are, the larger the more
        even the mixture.
    data_format : {"channels_last", "channels_first"}, optional
    seed : int, optional

    Notes
    -----
    ``y = w x + (1 - w) x[order]`` with ``w`` from Beta(alpha, alpha) for every image. Labels are best
    one-hot; segmentation masks are blended as well, bounding boxes of both images are kept.

    References
    ----------
    Zhang et al., 2017, arXiv:1710.09412. Zhang et al., 2019 (boxes), arXiv:1902.04103.

    Examples
    --------
    >>> import gpukeras as keras
    >>> data = {"images": keras.ops.ones((4, 8, 8, 3)), "labels": keras.ops.eye(4)}
    >>> mixed = keras.layers.MixUp(seed=1)(data)
    >>> mixed["images"].shape, keras.ops.sum(mixed["labels"], axis=1).numpy().round(3).tolist()
    ((4, 8, 8, 3), [1.0, 1.0, 1.0, 1.0])
    """

    def __init__(self, alpha=0.2, data_format=None, seed=None, **kwargs):
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        if not is_number(alpha) or alpha < 0:
            raise wrong(self, "alpha", "a number from 0", alpha)
        self.alpha = alpha

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        if self.alpha:
            weight = self._beta(data, self.alpha, seed)
        else:
            weight = self.uniform(data, (self.batch_of(data),), 1.0, 1.0)
        return {"mix_weight": weight, "permutation_order": self._order(data, seed)}

    def transform_images(self, images, transformation, training=True):
        images = self.in_layer_dtype(images)
        if not training or transformation is None:
            return images
        return self.in_layer_dtype(_blended(_floating(images, self), transformation))

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Return the masks of both images, blended."""
        if not training or transformation is None:
            return segmentation_masks
        return _blended(_floating(segmentation_masks, self), transformation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Return the boxes of both images, one after the other."""
        if not training or transformation is None:
            return bounding_boxes
        order = transformation["permutation_order"]
        return {
            key: ops.concatenate([value, ops.take(value, order, axis=0)], axis=1)
            for key, value in bounding_boxes.items()
        }

    def get_config(self):
        return super().get_config() | {"alpha": self.alpha}


class CutMix(_Mixing):
    """Replace a rectangle of each image by that of another one, and mix their labels, in training.

    Parameters
    ----------
    factor : float or pair of float
        Range of the parameter of the beta distribution of the weights, drawn once for a batch; one number
        ``f`` means ``(0, f)``.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional

    Notes
    -----
    With the weight ``w``, height and width of the rectangle are ``sqrt(1 - w)`` times those of the image,
    and labels become ``w * labels + (1 - w) * labels of the other images``. Segmentation masks are cut like
    images; bounding boxes are not supported.

    References
    ----------
    Yun et al., 2019, arXiv:1905.04899.

    Examples
    --------
    >>> import gpukeras as keras
    >>> data = {"images": keras.ops.ones((4, 8, 8, 3)), "labels": keras.ops.eye(4)}
    >>> keras.ops.sum(keras.layers.CutMix(seed=1)(data)["labels"], axis=1).numpy().round(3).tolist()
    [1.0, 1.0, 1.0, 1.0]
    """

    takes_factor = True
    factor_bounds = (0, 1)

    def __init__(self, factor=1.0, seed=None, data_format=None, **kwargs):
        super().__init__(factor=factor, data_format=data_format, seed=seed, **kwargs)
        _not_negative(self, factor, self.factor)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        # Parameters of 0 have no distribution; its limit, images that are kept or replaced as a whole, has.
        alpha = ops.maximum(self.uniform(data, (), *self.factor, seed=seed), 1e-3)
        weight = self._beta(data, alpha, seed)
        part = ops.sqrt(1.0 - weight)
        return {
            "permutation_order": self._order(data, seed),
            "batch_masks": _rectangles(self, data, part, part, seed),
            "mix_weight": ops.reshape(weight, (-1, 1, 1, 1)),
        }

    def transform_images(self, images, transformation, training=True):
        images = self.in_layer_dtype(images)
        if not training or transformation is None:
            return images
        return self._cut(images, transformation["batch_masks"], transformation)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        """Return masks with the rectangles of the other images."""
        if not training or transformation is None:
            return segmentation_masks
        inside = ops.max(ops.convert_to_tensor(transformation["batch_masks"]), axis=self.channel_axis)
        if len(segmentation_masks.shape) == 4:
            inside = ops.expand_dims(inside, self.channel_axis)
        return self._cut(segmentation_masks, inside, transformation)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        """Raise: boxes that a rectangle cuts through have no agreed meaning."""
        if not training or transformation is None:
            return bounding_boxes
        raise NotImplementedError(
            f"layer {self.name!r} (CutMix) does not support bounding boxes; leave them out, or use MixUp"
        )

    def _cut(self, images, inside, transformation):
        return ops.where(inside, ops.take(images, transformation["permutation_order"], axis=0), images)


class RandomErasing(RandomValueLayer):
    """Fill a rectangle of an image with one value or with noise, with some probability, in training.

    Parameters
    ----------
    factor : float or pair of float
        The probability is drawn from this range for every image; one number ``f`` means ``(0, f)``.
    scale : float or pair of float
        Range of two draws for every image: their square roots are the height and the width of the rectangle
        as parts of those of the image. One number ``s`` means ``(0, s)``.
    fill_value : float, optional
        Normal noise, with the highest value as its standard deviation, unless given.
    value_range : pair of float
        Lowest and highest value of the images; what is filled in is cut there.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional

    References
    ----------
    Zhong et al., 2017, arXiv:1708.04896.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.RandomErasing((1.0, 1.0), scale=(0.25, 0.25), fill_value=7.0)
    >>> int(keras.ops.count_nonzero(layer(keras.ops.zeros((8, 8, 1)))))
    16
    """

    factor_bounds = (0, 1)

    def __init__(self, factor=1.0, scale=(0.02, 0.33), fill_value=None, value_range=(0, 255), seed=None,
                 data_format=None, **kwargs):
        super().__init__(factor=factor, value_range=value_range, data_format=data_format, seed=seed, **kwargs)
        self.scale = self.pair("scale", scale, (0, 1))
        _not_negative(self, scale, self.scale, "scale")
        if fill_value is not None and not is_number(fill_value):
            raise wrong(self, "fill_value", "a number or None", fill_value)
        self.fill_value = fill_value

    def draw(self, data, seed):
        down, across = (ops.sqrt(self.per_image(data, self.scale, seed)) for _ in range(2))
        return {
            "apply_erasing": self.happens(data, seed),
            "batch_masks": _rectangles(self, data, down, across, seed),
            "fill_value": self._filling(data, seed),
        }

    def _filling(self, data, seed):
        low, high = self.value_range
        with self.on_device_of(data):
            if self.fill_value is not None:
                return ops.full((1, 1, 1, 1), min(max(self.fill_value, low), high), dtype="float32")
            shape = self.images_of(data).shape
            noise = random.normal(
                shape, 0.0, abs(high), dtype="float32", seed=self.generator if seed is None else seed
            )
            return self.clip(noise)

    def change_values(self, images, transformation):
        erased = beside(transformation["apply_erasing"], images)
        inside = ops.logical_and(erased, transformation["batch_masks"])
        return ops.where(inside, ops.cast(transformation["fill_value"], images.dtype), images)

    def get_config(self):
        return super().get_config() | {"scale": self.scale, "fill_value": self.fill_value}


# ---- helpers ----------------------------------------------------------------------------------------
def _not_negative(layer, given, pair, name="factor") -> None:
    if pair[0] < 0:
        raise wrong(layer, name, "a number from 0 or a pair of them", given)


def _floating(values, layer):
    """Return values that can be mixed: floating ones as they are, others in the layer's float dtype."""
    values = ops.convert_to_tensor(values)
    if dtypes.is_float(values.dtype):
        return values
    return ops.cast(values, layer.compute_dtype if dtypes.is_float(layer.compute_dtype) else "float32")


def _blended(values, transformation):
    """Return ``w * values + (1 - w) * values[order]``."""
    weight = ops.cast(transformation["mix_weight"], values.dtype)
    weight = ops.reshape(weight, (-1, *[1] * (values.ndim - 1)))
    return weight * values + (1 - weight) * ops.take(values, transformation["permutation_order"], axis=0)


def _rectangles(layer, data, down, across, seed):
    """Return which pixels lie in a rectangle of a size of its own (N,) anywhere in each image.

    Returns
    -------
    tensor of bool, shape (N, H, W, 1) or (N, 1, H, W)
    """
    inside = None
    for axis, part, size in zip((layer.height_axis, layer.width_axis), (down, across), layer.size_of(data)):
        length = ops.reshape(part * size, (-1, 1, 1, 1))
        start = ops.reshape(layer.uniform(data, part.shape, seed=seed), (-1, 1, 1, 1)) * (size - length)
        shape = [1, 1, 1, 1]
        shape[axis] = size
        with layer.on_device_of(data):
            place = ops.reshape(ops.arange(size, dtype="float32"), shape)
        along = ops.logical_and(place >= start, place < start + length)
        inside = along if inside is None else ops.logical_and(inside, along)
    return inside
