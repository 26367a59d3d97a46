"""Images: one call for each setting. ``test_ops_image.py`` goes deeper, with gradients."""

import numpy as np

from .case import Case, each
from .data import f32

_FIRST = {"data_format": "channels_first"}
_RGB = f32(2, 3, 3, 3, low=0, high=1)  # the same shape in both layouts
_WIDE = f32(1, 5, 6, 3, low=0, high=1)
_CORNERS = np.array([[[0, 0], [4, 0], [0, 3], [4, 3]]] * 2, "float32")
_TRANSFORM = np.array([[0.9314, 0.2171, 0.3137, -0.1233, 1.1371, 0.4412, 0, 0]] * 2, "float32")
_PLACES = f32(2, 4, low=-4, high=7)
_OPTIONS = {"gradients": False, "kinds": False, "tolerance": 1e-4}

CASES = [
    Case("image.affine_transform", {"images": _RGB, "transform": _TRANSFORM}, {}, {"fill_mode": "nearest"},
         {"interpolation": "nearest"}, {"fill_value": 0.7}, _FIRST, **_OPTIONS),
    Case("image.crop_images", {"images": _RGB}, {"top_cropping": 1, "target_height": 2, "left_cropping": 0,
                                                "target_width": 3},
         {"bottom_cropping": 1, "target_height": 1, "right_cropping": 1, "target_width": 2},
         {"top_cropping": 1, "bottom_cropping": 0, "left_cropping": 1, "right_cropping": 1},
         {"top_cropping": 1, "bottom_cropping": 0, "left_cropping": 1, "right_cropping": 1, **_FIRST},
         **_OPTIONS),
    Case("image.pad_images", {"images": _RGB}, {"top_padding": 1, "target_height": 6, "left_padding": 0,
                                               "target_width": 3},
         {"bottom_padding": 1, "target_height": 4, "right_padding": 1, "target_width": 7},
         {"top_padding": 1, "bottom_padding": 0, "left_padding": 1, "right_padding": 1},
         {"top_padding": 1, "bottom_padding": 0, "left_padding": 1, "right_padding": 1, **_FIRST},
         **_OPTIONS),
    Case("image.extract_patches", {"images": f32(1, 5, 6, 2), "size": (2, 3)}, {}, {"strides": 1},
         {"size": 2, "strides": 1, "dilation_rate": 2}, {"size": (2, 4), "padding": "same"},
         {"size": 2, **_FIRST}, **_OPTIONS),
    Case("image.extract_patches_3d", {"volumes": f32(1, 4, 3, 5, 2), "size": (2, 1, 3)}, {}, {"strides": 1},
         {"size": 2, "strides": 1, "dilation_rate": (2, 1, 1)}, {"padding": "same"},
         {"size": (2, 1, 2), **_FIRST}, **_OPTIONS),
    # On JAX real Keras blurs images with the channels last along the width only, and mixes up the axes.
    Case("image.gaussian_blur", {"images": _RGB}, {**_FIRST}, {"kernel_size": (5, 5), **_FIRST}, **_OPTIONS),
    Case("image.gaussian_blur", {"images": _RGB}, {}, _FIRST, {"sigma": (0.5, 2.0)}, {"kernel_size": (5, 3)},
         label="axes", real=False, **_OPTIONS),
    *each("image.rgb_to_grayscale image.rgb_to_hsv image.hsv_to_rgb image.sobel_edges", {}, _FIRST,
          images=_RGB, options=_OPTIONS),
    Case("image.map_coordinates", {"inputs": f32(5, 6), "coordinates": _PLACES, "order": 1}, {},
         {"order": 0}, {"fill_mode": "wrap"}, {"fill_value": 0.7}, **_OPTIONS),
    Case("image.perspective_transform", {"images": _RGB, "start_points": _CORNERS,
                                         "end_points": _CORNERS * 0.8 + 0.1}, {}, {"fill_value": 0.7},
         {"interpolation": "nearest"}, _FIRST, **_OPTIONS),
    Case("image.resize", {"images": _WIDE, "size": (4, 3)}, {}, {"interpolation": "nearest"},
         {"antialias": True}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True},
         {"pad_to_aspect_ratio": True, "fill_value": 0.7}, {"size": (4, 4), **_FIRST},
         {"interpolation": "bicubic"}, **_OPTIONS),
    Case("image.scale_and_translate",
         {"images": _WIDE, "output_shape": (1, 7, 4, 3), "scale": np.float32([1.3, 0.55]),
          "translation": np.float32([0.33, -0.27]), "spatial_dims": (1, 2), "method": "linear"}, {},
         {"antialias": False}, {"method": "cubic"}, unknown=None, **_OPTIONS),
    Case("image.ssim", {"image1": f32(1, 12, 12, 3, low=0, high=1),
                        "image2": f32(1, 12, 12, 3, low=0, high=1)},
         {}, {"max_val": 2.0}, {"filter_size": 5}, {"filter_sigma": 0.7}, {"k1": 0.1}, {"k2": 0.1},
         **_OPTIONS),
    Case("image.ssim", {"image1": f32(1, 12, 12, 12), "image2": f32(1, 12, 12, 12)}, {}, _FIRST,
         label="layout", **_OPTIONS),
]
