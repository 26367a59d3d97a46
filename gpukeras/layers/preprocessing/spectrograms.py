"""Sounds as pictures of their frequencies."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gpukeras import config as settings
from gpukeras import ops
from gpukeras.backends.fft import frame_count
from gpukeras.layers.input_spec import InputSpec
from gpukeras.layers.layer import Layer
from gpukeras.layers.preprocessing.constants import Constants
from gpukeras.ops.short_time import window_by_name

MODES = ("log", "magnitude", "psd", "real", "imag", "angle", "stft")


class MelSpectrogram(Layer):
    """Return how loud sounds are in bands that are equally wide to the ear, over time.

    Parameters
    ----------
    fft_length, sequence_stride, sequence_length, window
        As for ``ops.stft``; ``sequence_length`` is ``fft_length`` unless given.
    sampling_rate : int
        Samples in a second.
    num_mel_bins : int
        Number of bands.
    min_freq, max_freq : float
        Lowest and highest frequency in Hertz; at most half the sampling rate, which is the default.
    power_to_db : bool
        Return decibels.
    top_db : float
        Decibels below the loudest value of the batch at which others are cut.
    mag_exp : float
        Exponent of the magnitudes: 1 for energy, 2 for power.
    min_power, ref_power : float
        What counts as silence, and what is 0 decibels.

    Notes
    -----
    Inputs have shape (T,) or (N, T), outputs (num_mel_bins, pieces) or (N, num_mel_bins, pieces). A frequency
    ``f`` lies at ``1127 log(1 + f / 700)`` on the mel scale [1]_.

    References
    ----------
    .. [1] Stevens, Volkmann & Newman, 1937, doi:10.1121/1.1915893.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.MelSpectrogram(256, 128, num_mel_bins=20)(keras.ops.ones((2, 1280))).shape
    (2, 20, 11)
    """

    def __init__(self, fft_length=2048, sequence_stride=512, sequence_length=None, window="hann",
                 sampling_rate=16000, num_mel_bins=128, min_freq=20.0, max_freq=None, power_to_db=True,
                 top_db=80.0, mag_exp=2.0, min_power=1e-10, ref_power=1.0, **kwargs):
        super().__init__(**kwargs)
        self.fft_length, self.sequence_stride, self.window = fft_length, sequence_stride, window
        self.sequence_length = sequence_length or fft_length
        self.sampling_rate, self.num_mel_bins, self.min_freq = sampling_rate, num_mel_bins, min_freq
        self.max_freq = max_freq or int(sampling_rate / 2)
        self.power_to_db, self.top_db, self.mag_exp = power_to_db, top_db, mag_exp
        self.min_power, self.ref_power = min_power, ref_power
        self.input_spec = InputSpec(min_ndim=1, max_ndim=2)
        self._constants = Constants()
        self._window = _window(window, self.sequence_length, True)

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        window = self.window
        if window is not None:
            window = self._constants.get("window", self._window, x, self.compute_dtype)
        re, im = ops.stft(
            x, self.sequence_length, self.sequence_stride, self.fft_length, window=window, center=True)
        power = re * re + im * im
        if self.mag_exp != 2:
            power = ops.power(power, self.mag_exp / 2)
        bands = self.linear_to_mel_weight_matrix(
            self.num_mel_bins, self.fft_length // 2 + 1, self.sampling_rate, self.min_freq, self.max_freq,
            np.float64)
        mel = ops.matmul(power, self._constants.get("bands", bands, power, power.dtype.name))
        mel = ops.swapaxes(mel, -1, -2)
        return self._decibels(mel) if self.power_to_db else mel

    def _decibels(self, power):
        floor = max(self.min_power, 0.0)
        reference = 10 * math.log10(max(floor, self.ref_power))
        found = ops.maximum(power, floor)
        found = ops.log10(found) * 10.0 - reference
        return ops.maximum(found, ops.max(found) - self.top_db)

    def linear_to_mel_weight_matrix(self, num_mel_bins=20, num_spectrogram_bins=129, sampling_rate=8000,
                                    lower_edge_hertz=125.0, upper_edge_hertz=3800.0, dtype="float32"):
        """Return how much each frequency of a spectrum counts in each band.

        Parameters
        ----------
        num_mel_bins, num_spectrogram_bins : int
            Numbers of bands and of frequencies, which rise evenly from 0 to half the sampling rate.
        sampling_rate : int
        lower_edge_hertz, upper_edge_hertz : float
        dtype : str

        Returns
        -------
        array, shape (num_spectrogram_bins, num_mel_bins)
            Triangles on the mel scale, each from the middle of one neighbour to that of the other.
        """
        if num_mel_bins < 1 or not 0 <= lower_edge_hertz < upper_edge_hertz <= sampling_rate / 2:
            raise ValueError(
                "MelSpectrogram: expected num_mel_bins >= 1 and 0 <= lower edge < upper edge <= half the "
                f"sampling rate, came {num_mel_bins}, {lower_edge_hertz}, {upper_edge_hertz}, "
                f"{sampling_rate / 2}"
            )
        mels = _mel(np.linspace(0.0, sampling_rate / 2, num_spectrogram_bins))[:, None]
        edges = np.linspace(_mel(lower_edge_hertz), _mel(upper_edge_hertz), num_mel_bins + 2)
        low, middle, high = edges[:-2], edges[1:-1], edges[2:]
        rising, falling = (mels - low) / (middle - low), (high - mels) / (high - middle)
        found = np.maximum(0.0, np.minimum(rising, falling))
        found[0] = 0.0  # the constant part is no sound
        return found.astype(dtype)

    def compute_output_shape(self, input_shape):
        *lead, size = input_shape
        if size is not None:
            padded = size + 2 * (self.fft_length // 2)
            size = (padded - self.fft_length) // self.sequence_stride + 1
        return (*lead, self.num_mel_bins, size)

    def get_config(self):
        names = ("fft_length", "sequence_stride", "sequence_length", "window", "sampling_rate",
                 "num_mel_bins", "min_freq", "max_freq", "power_to_db", "top_db", "mag_exp", "min_power",
                 "ref_power")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _mel(hertz):
    return 1127.0 * np.log1p(np.asarray(hertz) / 700.0)


class STFTSpectrogram(Layer):
    """Return short-time Fourier transforms by convolutions whose kernels may be trained.

    Parameters
    ----------
    mode : {"log", "magnitude", "psd", "real", "imag", "angle", "stft"}
        Logarithm of the magnitude, the magnitude, its square (that of mirrored frequencies added), one of the
        two parts, the angle, or both parts.
    frame_length : int
        Elements under the window.
    frame_step : int, optional
        From one piece to the next; half the length unless given.
    fft_length : int, optional
        Length of the transform; unless given, the next power of two.
    window : str, tuple, array or None
        A name (``"hann"``, ``"hamming"``, ``"blackman"``, ... all that scipy knows, where it is installed),
        or values. ``None``: a rectangle.
    periodic : bool
        Whether named windows begin again after their last element.
    scaling : {"density", "spectrum"} or None
        Divide by the root of the window's energy, or by its sum.
    padding : {"valid", "same"}
    expand_dims : bool
        Keep the channels on an axis of their own.
    data_format : {"channels_last", "channels_first"}

    Notes
    -----
    Inputs have shape (N, T, C); the transforms of the channels stand beside each other, (N, pieces, C K), or
    with ``expand_dims`` (N, pieces, K, C).

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.layers.STFTSpectrogram(frame_length=64)(keras.ops.ones((2, 256, 1))).shape
    (2, 7, 33)
    """

    def __init__(self, mode="log", frame_length=256, frame_step=None, fft_length=None, window="hann",
                 periodic=False, scaling="density", padding="valid", expand_dims=False, data_format=None,
                 **kwargs):
        super().__init__(**kwargs)
        for name, value, known in (("mode", mode, MODES), ("scaling", scaling, ("density", "spectrum", None)),
                                   ("padding", padding, ("valid", "same"))):
            if value not in known:
                raise ValueError(f"STFTSpectrogram: {name} must be one of {known}, came {value!r}")
        if fft_length is not None and fft_length < frame_length:
            raise ValueError(
                f"STFTSpectrogram: fft_length={fft_length} must be at least frame_length={frame_length}")
        if frame_step is not None and not 1 <= frame_step <= frame_length:
            raise ValueError(
                f"STFTSpectrogram: frame_step must lie between 1 and frame_length={frame_length}, came "
                f"{frame_step}"
            )
        self.mode, self.frame_length, self.frame_step = mode, frame_length, frame_step
        self.fft_length, self.window, self.periodic, self.scaling = fft_length, window, periodic, scaling
        self.padding, self.expand_dims = padding, expand_dims
        self.data_format = data_format or settings.image_data_format()
        self.input_spec = InputSpec(ndim=3)
        _window(window, frame_length, periodic)  # an unknown name is an error now
        self._constants = Constants()
        self.real_kernel: Any = None
        self.imag_kernel: Any = None

    @property
    def _transform_length(self) -> int:
        return self.fft_length or 2 ** (self.frame_length - 1).bit_length()

    @property
    def _step(self) -> int:
        return self.frame_step or self.frame_length // 2

    def build(self, input_shape):
        shape = (self.frame_length, 1, self._transform_length // 2 + 1)
        window = _window(self.window, self.frame_length, self.periodic)
        if self.mode != "imag":
            wave = _wave("real", self._transform_length, window, self.scaling)
            self.real_kernel = self.add_weight(shape=shape, initializer=wave, name="real_kernel")
        if self.mode != "real":
            wave = _wave("imag", self._transform_length, window, self.scaling)
            self.imag_kernel = self.add_weight(shape=shape, initializer=wave, name="imag_kernel")

    def call(self, inputs):
        x = inputs if self.data_format == "channels_last" else ops.swapaxes(inputs, 1, 2)  # (N, T, C)
        n, size, channels = x.shape
        x = ops.reshape(ops.swapaxes(x, 1, 2), (-1, size, 1))  # every channel is a signal

        def convolved(kernel):
            return ops.conv(x, kernel, strides=self._step, padding=self.padding, data_format="channels_last")

        re = None if self.real_kernel is None else convolved(self.real_kernel)
        im = None if self.imag_kernel is None else convolved(self.imag_kernel)
        y = self._of_mode(re, im)  # (N C, pieces, K)
        y = ops.reshape(y, (n if n is not None else -1, channels, *y.shape[1:]))
        return self._arranged(y)

    def _of_mode(self, re, im):
        if self.mode == "real":
            return re
        if self.mode == "imag":
            return im
        if self.mode == "stft":
            return ops.concatenate([re, im], axis=-1)
        if self.mode == "angle":
            return ops.arctan2(im, re)
        power = re * re + im * im
        if self.mode == "psd":
            length = self._transform_length
            counts = np.full(length // 2 + 1, 2.0)  # frequencies stand for their mirror images as well
            counts[0] = 1.0
            if length % 2 == 0:
                counts[-1] = 1.0
            return power * self._constants.get("counts", counts, power, power.dtype.name)
        magnitude = ops.sqrt(ops.maximum(power, settings.epsilon()))
        return ops.log(ops.maximum(magnitude, settings.epsilon())) if self.mode == "log" else magnitude

    def _arranged(self, y):
        """Bring (N, C, pieces, K) into the order of the outputs."""
        last = self.data_format == "channels_last"
        if self.expand_dims:
            return ops.transpose(y, (0, 2, 3, 1)) if last else y
        n, channels, pieces, bins = y.shape
        if last:
            return ops.reshape(ops.swapaxes(y, 1, 2), (-1, pieces, channels * bins))
        return ops.reshape(ops.swapaxes(y, 2, 3), (-1, channels * bins, pieces))

    def compute_output_shape(self, input_shape):
        last = self.data_format == "channels_last"
        n, size, channels = input_shape if last else (input_shape[0], input_shape[2], input_shape[1])
        pieces = None
        if size is not None:
            pieces = -(-size // self._step) if self.padding == "same" else frame_count(
                size, self.frame_length, self._step)
        bins = (self._transform_length // 2 + 1) * (2 if self.mode == "stft" else 1)
        if self.expand_dims:
            return (n, pieces, bins, channels) if last else (n, channels, pieces, bins)
        joined = None if channels is None else bins * channels
        return (n, pieces, joined) if last else (n, joined, pieces)

    def get_config(self):
        names = ("mode", "frame_length", "frame_step", "fft_length", "window", "periodic", "scaling",
                 "padding", "expand_dims", "data_format")
        return super().get_config() | {name: getattr(self, name) for name in names}


def _wave(part: str, length: int, window, scaling):
    """Return an initializer: the window times cosines (``"real"``) or minus sines (``"imag"``)."""
    if scaling == "density":
        window = window / math.sqrt(float((window**2).sum()))
    elif scaling == "spectrum":
        window = window / abs(float(window.sum()))

    def make(shape, dtype=None):
        size, _, bins = shape
        # Whole turns are taken away first: cosines of large angles are not exact.
        turns = np.outer(np.arange(size), np.arange(bins)) % length
        angle = -2 * np.pi * turns / length
        wave = np.cos(angle) if part == "real" else np.sin(angle)
        return (window[:, None] * wave)[:, None, :].astype(dtype or settings.floatx())

    return make


def _window(window, size: int, periodic: bool) -> np.ndarray:
    """Return the values of a window, in float64."""
    if window is None:
        return np.ones(size)
    if isinstance(window, str) or isinstance(window, (tuple, list)) and isinstance(window[0], str):
        return window_by_name(window if isinstance(window, str) else tuple(window), size, periodic)
    values = np.asarray(window, np.float64)
    if values.shape != (size,):
        raise ValueError(f"the window must have shape ({size},), came {values.shape}")
    return values
