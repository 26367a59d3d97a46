"""Short-time Fourier transforms, piece by piece."""

import numpy as np
import pytest
from support.checks import check_op

from gpukeras import KerasTensor, ops

pytestmark = pytest.mark.usefixtures("backend")
X = np.random.default_rng(5).standard_normal((2, 14))


def window_of(name, size):
    t = 2 * np.pi * np.arange(size) / size
    return {"hann": 0.5 - 0.5 * np.cos(t), "hamming": 0.54 - 0.46 * np.cos(t)}[name]


def reference(x, size, stride, length, window="hann", center=True):
    if center:
        x = np.pad(x, [(0, 0), (length // 2, length // 2)], "reflect")
    whole = np.ones(length)
    if window is not None:
        before = (length - size) // 2
        whole = np.zeros(length)
        whole[before:before + size] = window_of(window, size) if isinstance(window, str) else window
    starts = range(0, x.shape[1] - length + 1, stride)
    found = np.stack([np.fft.rfft(x[:, s:s + length] * whole) for s in starts], 1)
    return found.real, found.imag


@pytest.mark.parametrize("settings", [(6, 3, 8), (6, 2, 6, "hamming", False), (4, 3, 5, None)])
def test_stft(settings):
    check_op(ops.stft, [X], reference, settings=settings)


def test_a_window_of_values():
    values = np.linspace(0.5, 1, 6)
    expected = reference(X, 6, 3, 8, values)
    for given in (values, ops.convert_to_tensor(values)):
        for a, b in zip(ops.stft(X.astype("float32"), 6, 3, 8, given), expected):
            np.testing.assert_allclose(a.numpy(), b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("center", [True, False])
def test_back_again(center):
    """What at least one window covers comes back."""
    window = np.linspace(0.5, 1, 8)
    parts = ops.stft(X, 8, 3, 8, window, center)
    found = ops.istft(parts, 8, 3, 8, window=window, center=center).numpy()
    kept = found.shape[1]
    assert kept >= 11
    np.testing.assert_allclose(found, X[:, :kept], rtol=1e-4, atol=1e-5)
    assert ops.istft(parts, 8, 3, 8, length=9, window=window, center=center).shape == (2, 9)


def test_gradient_of_istft():
    parts = [np.array(p) for p in reference(X, 6, 3, 8)]

    def expected(x, *_):
        pieces = np.fft.irfft(x[0] + 1j * x[1], 8)
        whole = np.zeros(8)
        whole[1:7] = window_of("hann", 6)
        total, heard = np.zeros((2, 3 * 4 + 8)), np.zeros(3 * 4 + 8)
        for i in range(pieces.shape[1]):
            total[:, 3 * i:3 * i + 8] += pieces[:, i] * whole
            heard[3 * i:3 * i + 8] += whole**2
        total[:, heard > 0] /= heard[heard > 0]
        return total[:, 4:-4]

    check_op(lambda re, im: ops.istft((re, im), 6, 3, 8), parts, lambda re, im: expected((re, im)))


def test_without_a_window_pieces_are_added():
    pieces = (ops.ones((3, 3)), ops.zeros((3, 3)))
    signal = ops.istft(pieces, 4, 2, 4, window=None, center=False).tolist()
    assert signal == [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0]


def test_refusals_and_open_sizes():
    with pytest.raises(ValueError, match="fft_length=6 must be at least"):
        ops.stft(X, 8, 4, 6)
    with pytest.raises(ValueError, match="window must be 'hann'"):
        ops.stft(X, 8, 4, 8, window="rectangle")
    with pytest.raises(ValueError, match=r"shape \(8,\), came shape \(7,\)"):
        ops.stft(X, 8, 4, 8, window=np.ones(7))
    x = KerasTensor((None, None))
    parts = ops.stft(x, 8, 4, 8)
    assert [p.shape for p in parts] == [(None, None, 5)] * 2
    assert ops.istft(parts, 8, 4, 8, length=17).shape == (None, 17)
