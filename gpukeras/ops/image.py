"""Operations on images (``keras.ops.image``)."""
# ruff: noqa: I001

from .resize import resize, scale_and_translate
from .warping import affine_transform, elastic_transform, map_coordinates, perspective_transform
from .image_color import hsv_to_rgb, rgb_to_grayscale, rgb_to_hsv
from .image_filters import gaussian_blur, sobel_edges, ssim
from .image_patches import crop_images, extract_patches, extract_patches_3d, pad_images

__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches", "extract_patches_3d",
    "gaussian_blur", "hsv_to_rgb", "map_coordinates", "pad_images", "perspective_transform", "resize",
    "rgb_to_grayscale", "rgb_to_hsv", "scale_and_translate", "sobel_edges", "ssim",
]
