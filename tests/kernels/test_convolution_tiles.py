"""Which tiles and parts convolutions are given."""

import numpy as np
import pytest
from support.fake_device import emulated


@pytest.fixture
def tiles():
    with emulated():
        from gpukeras.kernels import convolution_tiles

        yield convolution_tiles


def product(tiles, rows, columns, terms, inner=64, copies=1):
    return tiles.Product(rows, columns, inner, terms, copies, "float")


@pytest.mark.parametrize("rows, columns, terms, tile, parts", [
    (64 * 56 * 56, 64, 576, (128, 64), 1),  # blocks of a residual network, batch of 64
    (64 * 28 * 28, 128, 1152, (128, 128), 1),
    (64 * 14 * 14, 256, 2304, (128, 64), 1),
    (64 * 7 * 7, 512, 4608, (128, 64), 3),
    (7 * 7, 512, 4608, (64, 64), 32),  # one image
    (32 * 28 * 28, 32, 144, (32, 32), 1),
    (1, 10, 16, (32, 32), 1),
])
def test_tiles_of_usual_layers(tiles, rows, columns, terms, tile, parts):
    found = tiles.plan(product(tiles, rows, columns, terms), 132, tiles.TILES)
    assert (found.tile[:2], found.parts) == (tile, parts)


@pytest.mark.parametrize("rows, columns, places", [
    (576, 64, 64 * 56 * 56), (27, 64, 64 * 224 * 224), (4608, 512, 3136),
])
def test_kernel_gradients_fill_the_device(tiles, rows, columns, places):
    wanted = product(tiles, rows, columns, places)
    found = tiles.plan(wanted, 132, tiles.TILES)
    blocks = np.prod(found.grid(wanted))
    assert blocks >= 0.9 * 132
    assert found.parts * rows * columns * 4 <= tiles.MOST_SUMS


def test_limits_of_parts(tiles):
    assert tiles.plan(product(tiles, 32, 32, 2 * tiles.LEAST_TERMS - 1), 132, tiles.TILES).parts == 1
    large = product(tiles, 1 << 15, 1 << 11, 1 << 20)
    assert tiles.plan(large, 1 << 20, tiles.TILES).parts == 1  # more sums than are allowed
    many = product(tiles, 8, 32, 1 << 12, copies=40000)
    assert tiles.plan(many, 1 << 20, tiles.TILES).parts == 1  # a grid's last axis is short


@pytest.mark.parametrize("columns, width", [
    (1, 4), (4, 4), (5, 16), (16, 16), (17, 32), (33, 64), (65, 64), (500, 64),
])
def test_narrowest(tiles, columns, width):
    assert tiles.narrowest(columns, tiles.THIN_TILES).columns == width


@pytest.mark.parametrize("inner, columns, packed", [
    (4, 64, False), (8, 64, True), (8, 16, False), (8, 20, True), (10, 64, False), (64, 21, False),
])
def test_packed(tiles, inner, columns, packed):
    assert product(tiles, 100, columns, 100, inner=inner).packed is packed
