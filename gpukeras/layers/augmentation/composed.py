"""Augmentations made of others: ``RandomColorJitter``, ``RandAugment``, ``AugMix``."""

from __future__ import annotations

import numpy as np

from gpukeras import dtypes, layers, ops, random
from gpukeras.layers.augmentation.base import RandomImageLayer
from gpukeras.layers.augmentation.colour import (
    RandomBrightness,
    RandomContrast,
    RandomHue,
    RandomSaturation,
)
from gpukeras.layers.augmentation.values import is_number, wrong

# What RandAugment and AugMix choose from; RandAugment's numbers count in this order.
_MOVING = ("random_shear", "random_translation", "random_rotation")
_COLOURS = ("random_brightness", "random_color_degeneration", "random_contrast", "random_sharpness")
_TONES = ("random_posterization", "solarization", "auto_contrast", "equalization")


class RandomColorJitter(RandomImageLayer):
    """Change brightness, contrast, saturation and hue of images, in this order, in training.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value of the images.
    brightness_factor, contrast_factor, saturation_factor, hue_factor : float or pair of float, optional
        The ``factor`` of ``RandomBrightness``, ``RandomContrast``, ``RandomSaturation`` and ``RandomHue``;
        what is not given does not happen.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.RandomColorJitter(brightness_factor=(0.1, 0.1), value_range=(0, 1))
    >>> layer(keras.ops.full((1, 1, 3), 0.5)).numpy()
    array([[[0.6, 0.6, 0.6]]], dtype=float32)
    """

    def __init__(
        self, value_range=(0, 255), brightness_factor=None, contrast_factor=None, saturation_factor=None,
        hue_factor=None, seed=None, data_format=None, **kwargs,
    ):
        super().__init__(data_format=data_format, seed=seed, **kwargs)
        self.value_range = self.range_of_values(value_range)
        self.brightness_factor, self.contrast_factor = brightness_factor, contrast_factor
        self.saturation_factor, self.hue_factor = saturation_factor, hue_factor
        made = {
            "random_brightness": (RandomBrightness, brightness_factor),
            "random_contrast": (RandomContrast, contrast_factor),
            "random_saturation": (RandomSaturation, saturation_factor),
            "random_hue": (RandomHue, hue_factor),
        }
        self._order = [name for name, (_, factor) in made.items() if factor is not None]
        for name in self._order:
            cls, factor = made[name]
            setattr(self, name, cls(factor=factor, **_shared(self), value_range=self.value_range))

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        seed = self.generator if seed is None else seed
        return {name: getattr(self, name).get_random_transformation(data, seed=seed) for name in self._order}

    def transform_images(self, images, transformation, training=True):
        images = self.in_layer_dtype(images)
        if not training:
            return images
        if transformation is None:
            transformation = self.get_random_transformation(images)
        for name in self._order:
            images = getattr(self, name).transform_images(images, transformation[name])
        return images

    def get_config(self):
        names = ("value_range", "brightness_factor", "contrast_factor", "saturation_factor", "hue_factor")
        return super().get_config() | {name: getattr(self, name) for name in names}


class _Policy(RandomImageLayer):
    """Base of layers that choose among many transformations.

    Parameters
    ----------
    operations : tuple of str
        Their names; each becomes an attribute.
    """

    takes_factor = True
    factor_bounds = (0, 1)

    def __init__(self, operations, value_range, factor, interpolation, seed, data_format, **kwargs):
        super().__init__(factor=factor, data_format=data_format, seed=seed, **kwargs)
        self.value_range = self.range_of_values(value_range)
        self.interpolation = interpolation
        self._operations = tuple(operations)
        for name in self._operations:
            setattr(self, name, self._made(name))

    def _made(self, name: str):
        """Return the layer behind one of the names."""
        shared = _shared(self)
        cls = getattr(layers, "".join(word.capitalize() for word in name.split("_")))
        if name in _MOVING:
            shared["interpolation"] = self.interpolation
        else:
            shared["value_range"] = self.value_range
        if name in ("auto_contrast", "equalization"):
            shared.pop("seed")
            return cls(**shared)
        if name == "random_posterization":
            return cls(factor=max(1, int(8 * self.factor[1])), **shared)
        arguments = {
            "random_shear": ("x_factor", "y_factor"), "random_translation": ("height_factor", "width_factor"),
            "solarization": ("addition_factor", "threshold_factor"),
        }.get(name, ("factor",))
        return cls(**dict.fromkeys(arguments, self.factor), **shared)

    def _host_draws(self, seed) -> np.random.Generator:
        """Return a generator for choices that decide which code runs."""
        seed = self.generator if seed is None else seed
        return random.host_generator(seed.next() if isinstance(seed, random.SeedGenerator) else seed)

    def _count(self, name, value, least) -> int:
        if type(value) is not int or value < least:
            raise wrong(self, name, f"an int from {least}", value)
        return value

    def get_config(self):
        return super().get_config() | {"value_range": self.value_range, "interpolation": self.interpolation}


class RandAugment(_Policy):
    """Put each batch through some transformations out of eleven, chosen anew each time, in training.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value of the images.
    num_ops : int
        How many, one after the other.
    factor : float or pair of float
        Strength, from 0 to 1, which all of them take; one number ``f`` means ``(0, f)``.
    interpolation : {"bilinear", "nearest"}
        For what moves pixels.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional

    Notes
    -----
    Shear, translation, rotation, brightness, colour degeneration, contrast, sharpness, posterization,
    solarization, auto contrast, equalization. Images of a batch share the choice, not the strength.

    References
    ----------
    Cubuk et al., 2019, arXiv:1909.13719.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.RandAugment(seed=1)(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(
        self, value_range=(0, 255), num_ops=2, factor=0.5, interpolation="bilinear", seed=None,
        data_format=None, **kwargs,
    ):
        operations = (*_MOVING, *_COLOURS, *_TONES)
        super().__init__(operations, value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_ops = self._count("num_ops", num_ops, 0)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        chosen = self._host_draws(seed).integers(len(self._operations), size=self.num_ops).astype("int32")
        seed = self.generator if seed is None else seed
        drawn = {
            name: getattr(self, name).get_random_transformation(data, seed=seed)
            for i, name in enumerate(self._operations) if i in chosen
        }
        return {"transforms": drawn, "layer_idxes": chosen}

    def _one_by_one(self, kind, value, transformation, training):
        if not training or transformation is None:
            return value
        for number in np.asarray(transformation["layer_idxes"]).tolist():
            name = self._operations[number]
            transform = getattr(getattr(self, name), f"transform_{kind}")
            value = transform(value, transformation["transforms"][name])
        return value

    def transform_images(self, images, transformation, training=True):
        return self._one_by_one("images", self.in_layer_dtype(images), transformation, training)

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        return self._one_by_one("segmentation_masks", segmentation_masks, transformation, training)

    def transform_bounding_boxes(self, bounding_boxes, transformation, training=True):
        return self._one_by_one("bounding_boxes", bounding_boxes, transformation, training)

    def get_config(self):
        return super().get_config() | {"num_ops": self.num_ops}


class AugMix(_Policy):
    """Mix images with what several chains of transformations make of them, in training.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value of the images.
    num_chains : int
        Number of chains, which share one batch's choices.
    chain_depth : int
        Steps in a chain; a step may also do nothing, with the chance of any other transformation.
    factor : float or pair of float
        Strength, from 0 to 1, which all transformations take; one number ``f`` means ``(0, f)``.
    alpha : float
        Parameter of the distributions of the weights: Dirichlet among chains, beta between the image and
        their mixture.
    all_ops : bool
        Whether brightness, colour degeneration, contrast and sharpness are among the transformations.
    interpolation : {"bilinear", "nearest"}
        For what moves pixels.
    seed : int, optional
    data_format : {"channels_last", "channels_first"}, optional

    Notes
    -----
    ``y = m x + (1 - m) sum_k w_k chain_k(x)``. Segmentation masks go the same way, so that one-hot masks
    become shares of classes; labels and bounding boxes stay as they are.

    References
    ----------
    Hendrycks et al., 2019, arXiv:1912.02781.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.AugMix(seed=1)(keras.ops.ones((2, 8, 8, 3))).shape
    (2, 8, 8, 3)
    """

    def __init__(
        self, value_range=(0, 255), num_chains=3, chain_depth=3, factor=0.3, alpha=1.0, all_ops=True,
        interpolation="bilinear", seed=None, data_format=None, **kwargs,
    ):
        operations = (*_MOVING, *(_COLOURS if all_ops else ()), *_TONES)
        super().__init__(operations, value_range, factor, interpolation, seed, data_format, **kwargs)
        self.num_chains = self._count("num_chains", num_chains, 1)
        self.chain_depth = self._count("chain_depth", chain_depth, 0)
        if not is_number(alpha) or not alpha > 0:
            raise wrong(self, "alpha", "a positive number", alpha)
        self.alpha = alpha
        self.all_ops = bool(all_ops)

    def get_random_transformation(self, data, training=True, seed=None):
        if not training:
            return None
        nothing = len(self._operations)
        chosen = self._host_draws(seed).integers(nothing + 1, size=(self.num_chains, self.chain_depth))
        seed = self.generator if seed is None else seed
        with self.on_device_of(data):
            shares = random.gamma((self.num_chains,), self.alpha, "float32", seed)
            weight = random.beta((), self.alpha, self.alpha, "float32", seed)
        chains = [
            [self._step(self._operations[number], data, seed) for number in chain if number != nothing]
            for chain in chosen.tolist()
        ]
        shares = shares + 1e-20  # for a small alpha all may have come out as 0
        return {
            "chain_mixing_weights": shares / ops.sum(shares), "weight_sample": weight,
            "chain_transforms": chains,
        }

    def _step(self, name, data, seed) -> dict:
        return {
            "layer_name": name,
            "transformation": getattr(self, name).get_random_transformation(data, seed=seed),
        }

    def _mixed(self, kind, value, transformation):
        """Return ``value`` mixed with what the chains make of it."""
        mixture = None
        for chain, share in zip(transformation["chain_transforms"], transformation["chain_mixing_weights"]):
            part = value
            for step in chain:
                layer = getattr(self, step["layer_name"])
                part = getattr(layer, f"transform_{kind}")(part, step["transformation"])
            part = part * ops.cast(share, value.dtype)
            mixture = part if mixture is None else mixture + part
        weight = ops.cast(transformation["weight_sample"], value.dtype)
        return value * weight + mixture * (1 - weight)

    def transform_images(self, images, transformation, training=True):
        images = self.in_layer_dtype(images)
        if not training or transformation is None:
            return images
        if dtypes.is_float(self.compute_dtype):
            return self._mixed("images", images, transformation)
        return self.in_layer_dtype(self._mixed("images", ops.cast(images, "float32"), transformation))

    def transform_segmentation_masks(self, segmentation_masks, transformation, training=True):
        if not training or transformation is None:
            return segmentation_masks
        masks = ops.convert_to_tensor(segmentation_masks)
        masks = masks if dtypes.is_float(masks.dtype) else ops.cast(masks, "float32")
        return self._mixed("segmentation_masks", masks, transformation)

    def get_config(self):
        return super().get_config() | {
            "num_chains": self.num_chains, "chain_depth": self.chain_depth, "alpha": self.alpha,
            "all_ops": self.all_ops,
        }


def _shared(layer) -> dict:
    """Return the arguments that a layer hands to those inside it."""
    return {
        "seed": layer.seed, "data_format": layer.data_format, "dtype": layer.dtype_policy,
        "bounding_box_format": layer.bounding_box_format,
    }
