"""Histogram equalization: of whole channels, and of tiles with limited contrast."""

from __future__ import annotations

import math

from gpukeras import ops
from gpukeras.layers.augmentation.values import ValueLayer, is_number, wrong


class Equalization(ValueLayer):
    """Spread the values of each channel evenly over the value range, in training.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value of the images.
    bins : int
        Number of bins of the histogram.
    data_format : {"channels_last", "channels_first"}, optional

    Notes
    -----
    With ``c`` the number of pixels up to a value, ``c0`` that of the lowest bin in use and ``n`` of all, the
    value becomes ``round(255 (c - c0) / (n - c0))`` of 255 parts of the value range. As in Keras 3 a batch
    shares one histogram for each channel. Channels of one value stay as they are.

    Examples
    --------
    >>> import gpukeras as keras
    >>> image = keras.ops.reshape(keras.ops.convert_to_tensor([10.0, 11.0, 12.0, 12.0]), (2, 2, 1))
    >>> keras.ops.ravel(keras.layers.Equalization()(image)).tolist()
    [0.0, 85.0, 255.0, 255.0]
    """

    def __init__(self, value_range=(0, 255), bins=256, data_format=None, **kwargs):
        super().__init__(value_range=value_range, data_format=data_format, **kwargs)
        if type(bins) is not int or bins < 1:
            raise wrong(self, "bins", "a positive int", bins)
        self.bins = bins

    def change_values(self, images, transformation):
        channels = images.shape[self.channel_axis]
        shape = [1, 1, 1, 1]
        shape[self.channel_axis] = channels
        first = ops.reshape(ops.arange(channels, dtype="int32") * self.bins, shape)
        places = ops.cast(self.levels(images, self.bins - 1), "int32") + first
        counts = _counts(places, channels * self.bins)
        upto = ops.cumsum(ops.reshape(counts, (channels, self.bins)), axis=1)
        total = images.size // channels
        least = ops.min(ops.where(upto > 0, upto, total), axis=1, keepdims=True)
        rest = ops.cast(total - least, images.dtype)
        flat = ops.equal(rest, 0)
        table = ops.cast(upto - least, images.dtype) / ops.where(flat, 1.0, rest) * 255
        found = self.from_bytes(ops.take(ops.reshape(ops.round(table), (-1,)), places))
        return ops.where(ops.reshape(flat, shape), images, found)

    def get_config(self):
        return super().get_config() | {"bins": self.bins}


class ContrastLimitedAdaptiveHistogramEqualization(ValueLayer):
    """Equalize histograms of tiles (CLAHE), also outside training.

    Every pixel is mixed from the tables of the four tiles around it, so that tiles leave no edges.

    Parameters
    ----------
    value_range : pair of float
        Lowest and highest value of the images.
    clip_limit : float
        How many times its share of the tile's pixels a bin may hold; what is above goes to all bins equally.
        0 or less: no limit.
    tile_grid_size : pair of int
        Number of tiles down and across.
    data_format : {"channels_last", "channels_first"}, optional

    Notes
    -----
    256 bins; images are extended by their mirror image to whole tiles.

    References
    ----------
    Zuiderveld, 1994, "Contrast limited adaptive histogram equalization", Graphics Gems IV.

    Examples
    --------
    >>> import gpukeras as keras
    >>> layer = keras.layers.ContrastLimitedAdaptiveHistogramEqualization(tile_grid_size=(2, 2))
    >>> layer(keras.ops.ones((8, 8, 3))).shape
    (8, 8, 3)
    """

    def __init__(
        self, value_range=(0, 255), clip_limit=4.0, tile_grid_size=(8, 8), data_format=None, **kwargs,
    ):
        super().__init__(value_range=value_range, data_format=data_format, **kwargs)
        grid = tuple(tile_grid_size) if isinstance(tile_grid_size, (tuple, list)) else ()
        if len(grid) != 2 or any(type(n) is not int or n < 1 for n in grid):
            raise wrong(self, "tile_grid_size", "a pair of positive ints", tile_grid_size)
        if not is_number(clip_limit):
            raise wrong(self, "clip_limit", "a number", clip_limit)
        self.clip_limit = clip_limit
        self.tile_grid_size = grid

    def acts(self, transformation, training) -> bool:
        return True

    def change_values(self, images, transformation):
        first = self.data_format == "channels_first"
        planes = images if first else ops.transpose(images, (0, 3, 1, 2))
        batch, channels, height, width = planes.shape
        levels = ops.reshape(ops.cast(self.levels(planes, 255), "int32"), (batch * channels, height, width))
        found = ops.reshape(self._equalized(levels, images.dtype), planes.shape)
        return self.from_bytes(found if first else ops.transpose(found, (0, 2, 3, 1)))

    def _equalized(self, levels, dtype):
        """Return planes (P, H, W) of whole numbers up to 255, equalized by tiles."""
        planes, height, width = levels.shape
        (rows, tall), (columns, wide) = (
            (tiles, math.ceil(size / tiles)) for tiles, size in zip(self.tile_grid_size, (height, width))
        )
        tables = ops.reshape(self._tables(levels, rows, tall, columns, wide, dtype), (-1,))
        plane = ops.reshape(ops.arange(planes, dtype="int32") * (rows * columns * 256), (planes, 1, 1))
        result = None
        for row, share_down in _neighbours(height, tall, rows, dtype):
            for column, share_across in _neighbours(width, wide, columns, dtype):
                tile = row[:, None] * columns + column
                part = ops.take(tables, plane + tile * 256 + levels) * (share_down[:, None] * share_across)
                result = part if result is None else result + part
        return result

    def _tables(self, levels, rows, tall, columns, wide, dtype):
        """Return what each level becomes in each tile, shape (planes * tiles, 256)."""
        planes, height, width = levels.shape
        whole = ops.pad(
            levels, ((0, 0), (0, rows * tall - height), (0, columns * wide - width)), mode="symmetric"
        )
        tiles = ops.transpose(ops.reshape(whole, (planes, rows, tall, columns, wide)), (0, 1, 3, 2, 4))
        count, area = planes * rows * columns, tall * wide
        places = ops.reshape(tiles, (count, area)) + ops.arange(count, dtype="int32")[:, None] * 256
        counts = ops.cast(ops.reshape(_counts(places, count * 256), (count, 256)), dtype)
        if self.clip_limit > 0:
            limited = ops.minimum(counts, self.clip_limit * area / 256)
            counts = limited + ops.sum(counts - limited, axis=1, keepdims=True) / 256
        upto = ops.cumsum(counts, axis=1)
        reach = upto[:, -1:] - upto[:, :1]
        return (upto - upto[:, :1]) / ops.where(ops.equal(reach, 0), 1.0, reach) * 255

    def get_config(self):
        return super().get_config() | {"clip_limit": self.clip_limit, "tile_grid_size": self.tile_grid_size}


def _counts(places, size: int):
    """Return how often each of 0 to ``size - 1`` occurs, without waiting for the device."""
    flat = ops.reshape(places, (-1,))
    return ops.segment_sum(ops.ones_like(flat), flat, num_segments=size)


def _neighbours(size: int, tile: int, tiles: int, dtype):
    """Yield, for the tile before and the one after each position, its number and its share."""
    place = ops.arange(size, dtype=dtype) / tile - 0.5
    before = ops.floor(place)
    after_share = place - before
    number = ops.cast(before, "int32")
    yield ops.clip(number, 0, tiles - 1), 1 - after_share
    yield ops.clip(number + 1, 0, tiles - 1), after_share
