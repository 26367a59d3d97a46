"""Fourier transforms, windows, complex numbers."""

import numpy as np

from .case import Case, each
from .data import X, f32

_WAVE = f32(2, 20)
_PARTS = (f32(2, 4, 6), f32(2, 4, 6))
_FRAMES = dict(sequence_length=6, sequence_stride=3, fft_length=8)
_SPECTRUM = (f32(2, 7, 5), f32(2, 7, 5))
_Z = (X + 1j * X[::-1]).astype("complex64")

CASES = [
    *each("fft fft2 ifft2", x=_PARTS),
    Case("rfft", {"x": _WAVE}, {}, {"fft_length": 12}, {"fft_length": 32}),
    Case("irfft", {"x": _PARTS}, {}, {"fft_length": 8}, {"fft_length": 16}),
    Case("stft", {"x": _WAVE, **_FRAMES}, {}, {"window": "hamming"}, {"center": False}, {"window": None},
         {"window": np.linspace(0, 1, 6, dtype="float32")}, tolerance=1e-4),
    Case("istft", {"x": _SPECTRUM, **_FRAMES}, {}, {"length": 20}, {"window": "hamming"}, {"center": False},
         tolerance=1e-3),
    Case("extract_sequences", {"x": _WAVE, "sequence_length": 6, "sequence_stride": 3}),
    Case("view_as_complex", {"x": f32(3, 2)}, gradients=False, kinds=False),
    Case("view_as_real", {"x": _Z}, gradients=False, kinds=False, symbolic=False),
    *each("real imag conj conjugate angle abs", x=_Z,
          options={"label": "complex", "gradients": False, "kinds": False, "symbolic": False}),
]
