"""Cropping and padding against NumPy, shapes, and errors."""

import numpy as np
import pytest
from support.layer_checks import check_layer

from gpukeras import layers

FIRST = {"data_format": "channels_first"}


@pytest.mark.parametrize("padding, sides", [
    (2, ((2, 2), (2, 2))), ((1, 2), ((1, 1), (2, 2))), (((1, 0), (0, 3)), ((1, 0), (0, 3))),
    (0, ((0, 0), (0, 0))),
])
def test_zero_padding(padding, sides):
    layer = check_layer(layers.ZeroPadding2D, {"padding": padding}, (3, 4, 2),
                        reference=lambda x: np.pad(x, ((0, 0), *sides, (0, 0))))
    assert layer.padding == sides
    check_layer(layers.ZeroPadding2D, {"padding": padding, **FIRST}, (2, 3, 4), save=False,
                reference=lambda x: np.pad(x, ((0, 0), (0, 0), *sides)))


def test_one_and_three_axes():
    check_layer(layers.ZeroPadding1D, {"padding": (2, 1)}, (3, 2),
                reference=lambda x: np.pad(x, ((0, 0), (2, 1), (0, 0))))
    check_layer(layers.ZeroPadding1D, {"padding": [1, 2], **FIRST}, (3, 2), save=False,
                reference=lambda x: np.pad(x, ((0, 0), (0, 0), (1, 2))))
    check_layer(layers.ZeroPadding3D, {"padding": (1, 0, 2)}, (2, 3, 2, 2),
                reference=lambda x: np.pad(x, ((0, 0), (1, 1), (0, 0), (2, 2), (0, 0))))
    check_layer(layers.Cropping1D, {"cropping": (0, 2)}, (5, 2), reference=lambda x: x[:, :-2])
    check_layer(layers.Cropping3D, {"cropping": ((1, 0), (0, 1), (1, 1)), **FIRST}, (2, 3, 3, 4),
                reference=lambda x: x[:, :, 1:, :-1, 1:-1])


@pytest.mark.parametrize("cropping, index", [
    (1, np.s_[:, 1:-1, 1:-1]), ((0, 2), np.s_[:, :, 2:-2]), (((1, 0), (0, 3)), np.s_[:, 1:, :-3]),
])
def test_cropping_2d(cropping, index):
    check_layer(layers.Cropping2D, {"cropping": cropping}, (4, 5, 2), reference=lambda x: x[index])


def test_configurations_are_those_of_keras():
    assert layers.Cropping1D(2).get_config()["cropping"] == (2, 2)
    assert layers.ZeroPadding1D((1, 2)).padding == (1, 2)
    assert layers.ZeroPadding3D().padding == layers.Cropping3D().cropping == ((1, 1),) * 3
    assert layers.Cropping2D().cropping == ((0, 0), (0, 0))


def test_unknown_sizes():
    assert layers.ZeroPadding2D((1, 2)).compute_output_shape((None, None, 4, 3)) == (None, None, 8, 3)
    assert layers.Cropping2D((1, 0)).compute_output_shape((None, None, 4, 3)) == (None, None, 4, 3)


@pytest.mark.parametrize("make, words", [
    (lambda: layers.ZeroPadding2D((1, 2, 3)), "none of them negative"),
    (lambda: layers.ZeroPadding2D(-1), "came -1"),
    (lambda: layers.ZeroPadding2D(((1, 2), (3,))), "before, behind"),
    (lambda: layers.ZeroPadding1D((1, 2, 3)), "padding must be an integer, or a pair"),
    (lambda: layers.Cropping3D((1, 2)), "cropping must be an integer, or 3 integers"),
    (lambda: layers.Cropping1D("a"), "cropping must be an integer"),
    (lambda: layers.Cropping2D(2, name="c")(np.ones((2, 4, 5, 1), "float32")), "'c'.*leaves nothing"),
    (lambda: layers.Cropping2D(1, name="c")(np.ones((2, 3, 4), "float32")), "'c'.*rank 4"),
])
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
