"""The short-time Fourier transform, and signals back from it."""

from __future__ import annotations

import numpy as np

from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, to_array

from .core import as_tensor, cast
from .fourier import extract_sequences, irfft, overlap_add, rfft
from .joining import concatenate
from .padding import pad
from .shaping import flip

# Windows that are sums of cosines:  sum_k (-1)^k a_k cos(2 pi k t / T).
COSINES = {
    "hann": (0.5, 0.5), "hamming": (0.54, 0.46), "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168), "boxcar": (1.0,),
}
_SILENT = 1e-10  # sums of squared windows below this count as none


def stft(x, sequence_length, sequence_stride, fft_length, window="hann", center=True):
    """Return the Fourier transforms of overlapping, windowed pieces of real signals.

    Parameters
    ----------
    x : tensor, shape (..., T)
    sequence_length : int
        Elements under the window.
    sequence_stride : int
        From one piece to the next.
    fft_length : int
        Length of the transform, at least ``sequence_length``; windows are surrounded by zeros to it.
    window : {"hann", "hamming"}, tensor of shape (sequence_length,), or None
        The named ones are periodic; ``None`` leaves all ``fft_length`` elements as they are.
    center : bool
        Mirror the ends of the signals, so that the middle of piece ``i`` is at element
        ``i * sequence_stride``.

    Returns
    -------
    tuple (real part, imaginary part), each of shape (..., pieces, fft_length // 2 + 1)

    Examples
    --------
    >>> from gpukeras import ops
    >>> re, im = ops.stft(ops.ones((16,)), 8, 4, 8)
    >>> re.shape
    (5, 5)
    """
    x = as_tensor(x)
    kind = _kind_of(x)
    if kind != x.dtype:
        x = cast(x, kind)
    window = _window("stft", window, sequence_length, fft_length, kind)
    if center:
        x = _mirrored(x, fft_length // 2)
    pieces = extract_sequences(x, fft_length, sequence_stride)
    return rfft(pieces if window is None else pieces * window)


def _mirrored(x, half: int):
    """Return ``x`` with ``half`` elements of its mirror image at both ends."""
    size = x.shape[-1]
    if not half or isinstance(x, KerasTensor) or size <= half:
        return pad(x, [(0, 0)] * (len(x.shape) - 1) + [(half, half)], mode="reflect")
    before, after = x[..., 1:half + 1], x[..., size - half - 1:size - 1]
    return concatenate([flip(before, -1), x, flip(after, -1)], -1)


def istft(x, sequence_length, sequence_stride, fft_length, length=None, window="hann", center=True):
    """Return the signals whose transform by ``stft`` the pair ``x`` is.

    Parameters
    ----------
    x : tuple (real part, imaginary part) of tensors, shape (..., pieces, fft_length // 2 + 1)
    sequence_length, sequence_stride, fft_length, window, center
        As ``stft`` was given them.
    length : int, optional
        Elements of the result at most; without it the end is cut as ``center`` lengthened it.

    Notes
    -----
    Pieces are windowed again, added up and divided by the sum of the squared windows, which is best in the
    sense of least squares. Where no window reached, and everywhere for ``window=None``, the result is the sum
    of the pieces.

    References
    ----------
    Griffin & Lim, 1984, doi:10.1109/TASSP.1984.1164317.

    Examples
    --------
    >>> from gpukeras import ops
    >>> signal = ops.sin(ops.arange(16.0))
    >>> bool(ops.allclose(ops.istft(ops.stft(signal, 8, 4, 8), 8, 4, 8), signal, atol=1e-5))
    True
    """
    pieces = irfft(x, fft_length)
    window = _window("istft", window, sequence_length, fft_length, _kind_of(pieces))
    start = fft_length // 2 if center else 0
    count = pieces.shape[-2]
    if count is None:
        return KerasTensor((*pieces.shape[:-2], length), pieces.dtype)
    total = (count - 1) * sequence_stride + fft_length
    signal = overlap_add(pieces if window is None else pieces * window, sequence_stride, total)
    if window is not None:
        signal = signal * _share(window, sequence_stride, count, total)
    stop = total - start if length is None else min(start + length, total)
    return signal[..., start:stop]


def _share(window, stride, count, total):
    """Return one over the sums of the squared windows, 1 where there are none."""
    backend = window.backend
    xp = backend.xp
    pieces = xp.ascontiguousarray(xp.broadcast_to(window.array * window.array, (count, *window.shape)))
    found = backend.overlap_add(pieces, stride, total)
    ones = xp.ones_like(found)
    heard = found > _SILENT
    return Tensor(xp.where(heard, ones / xp.where(heard, found, ones), ones))


def _kind_of(x) -> np.dtype:
    from gpukeras import dtypes

    return dtypes.float_type(x.dtype)


def _window(op, window, sequence_length, fft_length, kind):
    """Return the window as a tensor of ``fft_length`` elements, or ``None``."""
    if fft_length < sequence_length:
        raise ValueError(
            f"{op}: fft_length={fft_length} must be at least sequence_length={sequence_length}"
        )
    before = (fft_length - sequence_length) // 2
    around = [(before, fft_length - sequence_length - before)]
    if window is None:
        return None
    if isinstance(window, str):
        if window not in ("hann", "hamming"):
            raise ValueError(f"{op}: window must be 'hann', 'hamming', None or a tensor, came {window!r}")
        window = window_values(window, sequence_length)
    if isinstance(window, (np.ndarray, list, tuple)):
        window = np.asarray(window)
        if window.shape == (sequence_length,):
            return Tensor(to_array(np.pad(window, around), kind))
    window = as_tensor(window)
    if tuple(window.shape) != (sequence_length,):
        raise ValueError(
            f"{op}: the window must have shape ({sequence_length},), came shape {tuple(window.shape)}"
        )
    return pad(cast(window, kind.name), around)


def window_values(name: str, length: int, periodic: bool = True) -> np.ndarray:
    """Return a window that is a sum of cosines, by name, in float64.

    Parameters
    ----------
    name : str
        A key of ``COSINES``.
    length : int
    periodic : bool
        Whether the window begins again after ``length`` elements; else its last equals its first.
    """
    if length == 1:
        return np.ones(1)
    angle = 2 * np.pi * np.arange(length) / (length if periodic else length - 1)
    found = np.zeros(length)
    for k, factor in enumerate(COSINES[name]):
        found += (-1) ** k * factor * np.cos(k * angle)
    return found


def window_by_name(window, length: int, periodic: bool) -> np.ndarray:
    """Return a window that scipy knows, by a name or a tuple (name, parameters ...), in float64.

    Raises
    ------
    ValueError
        For names that nobody knows; those beyond ``COSINES`` need scipy.
    """
    if isinstance(window, str) and window in COSINES:
        return window_values(window, length, periodic)
    try:
        from scipy.signal import get_window
    except ImportError as error:
        raise ValueError(
            f"the window {window!r} is none of {tuple(COSINES)}; for others install scipy"
        ) from error
    return get_window(window, length, fftbins=periodic)
