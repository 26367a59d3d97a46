"""Histogram equalization, of whole channels and of tiles."""

import numpy as np
import pytest

from gpukeras import layers, ops

CLAHE = layers.ContrastLimitedAdaptiveHistogramEqualization
RANGES = [(0, 255), (0, 1), (-1, 1)]


def equalized(levels, bins=256):
    """Return levels (N, H, W, C) of 0 to 255, equalized over batch and space."""
    found = np.empty(levels.shape)
    for c in range(levels.shape[-1]):
        numbers = np.floor(levels[..., c] * (bins - 1) / 255).astype(int)
        upto = np.cumsum(np.bincount(numbers.ravel(), minlength=bins))
        least = upto[numbers.min()]
        rest = upto[-1] - least
        found[..., c] = np.round((upto - least) / rest * 255)[numbers] if rest else levels[..., c]
    return found


def tile_tables(plane, limit, rows, columns):
    tall, wide = -(-plane.shape[0] // rows), -(-plane.shape[1] // columns)
    missing = ((0, rows * tall - plane.shape[0]), (0, columns * wide - plane.shape[1]))
    whole = np.pad(plane, missing, "symmetric")
    tables = np.zeros((rows, columns, 256))
    for i in range(rows):
        for j in range(columns):
            tile = whole[i * tall:(i + 1) * tall, j * wide:(j + 1) * wide]
            counts = np.bincount(tile.ravel(), minlength=256).astype(float)
            if limit > 0:
                most = limit * tile.size / 256
                counts = np.minimum(counts, most) + np.maximum(counts - most, 0).sum() / 256
            upto = np.cumsum(counts)
            if upto[-1] > upto[0]:
                tables[i, j] = (upto - upto[0]) / (upto[-1] - upto[0]) * 255
    return tables, tall, wide


def by_tiles(plane, limit, rows, columns):
    """Return one plane (H, W) of whole numbers, equalized by tiles, pixel by pixel."""
    tables, tall, wide = tile_tables(plane, limit, rows, columns)
    found = np.empty(plane.shape)
    for (y, x), level in np.ndenumerate(plane):
        down, across = y / tall - 0.5, x / wide - 0.5
        i, j = int(np.floor(down)), int(np.floor(across))
        value = 0.0
        for a, part in ((i, 1 - (down - i)), (i + 1, down - i)):
            for b, share in ((j, 1 - (across - j)), (j + 1, across - j)):
                value += part * share * tables[min(max(a, 0), rows - 1), min(max(b, 0), columns - 1), level]
        found[y, x] = value
    return found


@pytest.mark.parametrize("value_range", RANGES)
def test_equalization(value_range):
    low, high = value_range
    levels = np.random.default_rng(0).integers(0, 256, (2, 7, 5, 3)) // 3
    levels[..., 2] = 17  # one value alone
    x = (levels / 255 * (high - low) + low).astype("float32")
    expected = equalized(levels) / 255 * (high - low) + low
    layer = layers.Equalization(value_range)
    np.testing.assert_allclose(layer(x).numpy(), expected, atol=1e-6 * (high - low))
    np.testing.assert_array_equal(layer(x, training=False).numpy(), x)
    layer = layers.Equalization(value_range, data_format="channels_first")
    found = layer(np.ascontiguousarray(x.transpose(0, 3, 1, 2))).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6 * (high - low))


@pytest.mark.parametrize("bins", [1, 16, 40, 300])
def test_bins(bins):
    levels = np.random.default_rng(0).integers(0, 256, (1, 7, 5, 2))
    found = layers.Equalization(bins=bins, dtype="uint8")(levels.astype("uint8")).numpy()
    np.testing.assert_array_equal(found, equalized(levels, bins))


@pytest.mark.parametrize("shape, grid", [
    ((8, 8), (2, 2)), ((9, 12), (3, 2)), ((10, 11), (3, 4)), ((5, 5), (8, 8)), ((6, 4), (1, 1)),
])
@pytest.mark.parametrize("limit", [4.0, 50.0, 0.0])
def test_clahe(shape, grid, limit):
    levels = np.random.default_rng(0).integers(0, 256, (2, *shape, 2)) // 4 * 3
    expected = np.stack([
        np.stack([by_tiles(image[..., c], limit, *grid) for c in range(2)], -1) for image in levels
    ])
    for training in (True, False):
        layer = CLAHE(clip_limit=limit, tile_grid_size=grid)
        np.testing.assert_allclose(layer(levels, training=training).numpy(), expected, atol=1e-3)
    layer = CLAHE((-1, 1), limit, grid, "channels_first")
    x = (levels / 127.5 - 1).astype("float32").transpose(0, 3, 1, 2)
    found = layer(np.ascontiguousarray(x)).numpy().transpose(0, 2, 3, 1)
    np.testing.assert_allclose(found, expected / 127.5 - 1, atol=1e-5)


def test_shapes_and_configuration():
    layer = CLAHE(tile_grid_size=[2, 3], clip_limit=2)
    assert layer(ops.ones((9, 7, 1))).shape == (9, 7, 1)
    assert layer(layers.Input((None, None, 3))).shape == (None, None, None, 3)
    again = CLAHE.from_config(layer.get_config())
    assert (again.clip_limit, again.tile_grid_size, again.value_range) == (2, (2, 3), (0, 255))
