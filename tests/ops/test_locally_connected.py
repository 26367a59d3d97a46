"""Products with weights of their own at every position, against loops and finite differences."""

import itertools

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import ops
from gpukeras.ops.locally_connected import local_windows

RNG = np.random.default_rng(9)


def naive(x, kernel, bias, windows, data_format="channels_last"):
    """Loop over positions and taps in float64."""
    first = data_format == "channels_first"
    x = np.moveaxis(x, 1, -1) if first else x
    channels, filters = x.shape[-1], kernel.shape[-1]
    inner = (channels, *windows.window) if first else (*windows.window, channels)
    weights = kernel.reshape(*windows.out, *inner, filters)
    y = np.zeros((len(x), *windows.out, filters))
    if bias is not None:
        y = y + bias.reshape(*windows.out, filters)
    for place in itertools.product(*map(range, windows.out)):
        for tap in itertools.product(*map(range, windows.window)):
            at = [o * s - low + t for o, s, low, t in zip(place, windows.strides, windows.lows, tap)]
            if all(0 <= a < n for a, n in zip(at, windows.size)):
                w = weights[(*place, slice(None), *tap)] if first else weights[(*place, *tap)]
                y[(slice(None), *place)] += x[(slice(None), *at)] @ w
    return np.moveaxis(y, -1, 1) if first else y


@pytest.mark.parametrize("size, window, strides, padding, data_format", [
    ((7,), (3,), (1,), "valid", "channels_last"), ((7,), (2,), (2,), "same", "channels_first"),
    ((4, 5), (2, 3), (1, 2), "valid", "channels_first"), ((4, 5), (3, 2), (2, 1), "same", "channels_last"),
    ((2, 2), (3, 4), (1, 1), "same", "channels_last"),
])
def test_values_and_gradients(backend, size, window, strides, padding, data_format):
    windows = local_windows(size, window, strides, padding)
    shape = (2, *size, 2) if data_format == "channels_last" else (2, 2, *size)
    positions = int(np.prod(windows.out))
    bias = (positions, 3) if len(size) == 1 else (*windows.out, 3)
    inputs = [RNG.standard_normal(s) for s in (shape, (positions, 2 * int(np.prod(window)), 3), bias)]
    check_op(ops.locally_connected, inputs, naive, settings=(windows, data_format), second_order=True)
    check_op(ops.locally_connected, [*inputs[:2], None], naive, settings=(windows, data_format),
             dtypes=("float64", "float16") if len(size) == 1 else ("float64",), strided=False)


def test_windows_of_same_padding_are_centred():
    assert local_windows((7,), (3,), (2,), "same").lows == (1,)
    assert local_windows((7,), (4,), (1,), "same").lows == (2,)
    assert local_windows((7,), (4,), (1,), "valid").lows == (0,)
