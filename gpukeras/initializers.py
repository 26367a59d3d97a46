"""First values of weights. They are drawn on the host, so every device starts with the same ones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from gpukeras import dtypes, random
from gpukeras.registry import Configured, Registry
from gpukeras.saving import deserialize_keras_object, serialize_keras_object

# Standard deviation of a standard normal cut off at two: sqrt(1 - 2 * 2 * pdf(2) / (cdf(2) - cdf(-2))).
_TRUNCATED_STDDEV = 0.87962566103423978


class Initializer(Configured):
    """Base of initializers: an object that is called with a shape and returns first values.

    Subclasses write ``__call__(self, shape, dtype=None)`` and, where they take arguments, ``get_config``.

    Examples
    --------
    >>> class Threes(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.full(shape, 3, dtype)
    >>> Threes()((2,), "float32")
    array([3., 3.], dtype=float32)
    """

    def __call__(self, shape, dtype=None):
        raise NotImplementedError(f"{type(self).__name__} must define __call__(self, shape, dtype=None)")

    @classmethod
    def from_config(cls, config: dict):
        """Return an initializer of these arguments; the ``dtype`` that old files store is of no use here."""
        return super().from_config({key: value for key, value in config.items() if key != "dtype"})

    def clone(self):
        """Return a new initializer of the same arguments."""
        return self.from_config(self.get_config())


# ---- constants ---------------------------------------------------------------------------------------
class Zeros(Initializer):
    """All zeros."""

    def __call__(self, shape, dtype=None):
        return np.zeros(shape, dtypes.standardize_dtype(dtype))


class Ones(Initializer):
    """All ones."""

    def __call__(self, shape, dtype=None):
        return np.ones(shape, dtypes.standardize_dtype(dtype))


class Constant(Initializer):
    """The same number everywhere, or given values.

    Parameters
    ----------
    value : float or array_like
        An array must broadcast to the shape asked for (an embedding matrix, say).

    Examples
    --------
    >>> Constant(2.5)((2, 2))
    array([[2.5, 2.5],
           [2.5, 2.5]], dtype=float32)
    """

    def __init__(self, value=0.0):
        self.value = value

    def __call__(self, shape, dtype=None):
        value = np.asarray(self.value)
        try:
            return np.array(np.broadcast_to(value, shape), dtypes.standardize_dtype(dtype))
        except ValueError as error:
            raise ValueError(
                f"Constant holds values of shape {value.shape}, which do not fill shape {tuple(shape)}"
            ) from error

    def get_config(self):
        value = self.value
        return {"value": value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value}


class Identity(Initializer):
    """The identity matrix times ``gain``; only for matrices.

    Parameters
    ----------
    gain : float
    """

    def __init__(self, gain: float = 1.0):
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) != 2:
            raise ValueError(f"Identity makes matrices only, came shape {tuple(shape)}")
        rows, columns = shape
        return (np.eye(rows, columns) * self.gain).astype(dtypes.standardize_dtype(dtype))

    def get_config(self):
        return {"gain": self.gain}


# ---- random -------------------------------------------------------------------------------------------
class _Random(Initializer):
    """Base of the random ones.

    Notes
    -----
    ``seed=None`` draws a seed when the initializer is made, so one instance returns the same values at every
    call, as in Keras 3. Pass a ``keras.random.SeedGenerator`` for new values at each call.
    """

    def __init__(self, seed=None):
        self.seed = seed
        if seed is None:
            self._drawn_seed = int(random.host_generator().integers(2**31 - 1))
        elif isinstance(seed, dict):
            self.seed = deserialize_keras_object(seed)
        elif isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
            self.seed = int(seed)
        elif not hasattr(seed, "next"):
            raise ValueError(
                f"seed of {type(self).__name__} must be an integer, None or a keras.random.SeedGenerator, "
                f"came {seed!r}"
            )

    def _generator(self) -> np.random.Generator:
        if self.seed is None:
            return random.host_generator(self._drawn_seed)
        return random.host_generator(self.seed if isinstance(self.seed, int) else self.seed.next())

    def get_config(self):
        return {"seed": serialize_keras_object(self.seed)}


def _float_dtype(dtype) -> tuple[np.dtype, np.dtype]:
    """Return the dtype to draw in and the one to return."""
    wanted = np.dtype(dtypes.standardize_dtype(dtype))
    if not dtypes.is_float(wanted):
        raise ValueError(f"random initializers make floating values, came dtype {wanted.name!r}")
    return np.dtype("float64" if wanted == np.float64 else "float32"), wanted


def _normal(generator, shape, mean, stddev, dtype) -> np.ndarray:
    drawn, wanted = _float_dtype(dtype)
    values = generator.standard_normal(shape, dtype=drawn)
    values *= stddev
    values += mean
    return values.astype(wanted, copy=False)


def _truncated_normal(generator, shape, mean, stddev, dtype) -> np.ndarray:
    """Draw normal values and redraw those more than two standard deviations off."""
    drawn, wanted = _float_dtype(dtype)
    values = generator.standard_normal(math.prod(shape), dtype=drawn)
    outside = np.flatnonzero(np.abs(values) > 2)
    while outside.size:
        again = generator.standard_normal(outside.size, dtype=drawn)
        values[outside] = again
        outside = outside[np.abs(again) > 2]
    values *= stddev
    values += mean
    return values.reshape(shape).astype(wanted, copy=False)


def _uniform(generator, shape, low, high, dtype) -> np.ndarray:
    drawn, wanted = _float_dtype(dtype)
    values = generator.random(shape, dtype=drawn)
    values *= high - low
    values += low
    return values.astype(wanted, copy=False)


class RandomNormal(_Random):
    """Normal values.

    Parameters
    ----------
    mean, stddev : float
    seed : int or SeedGenerator, optional
        An integer gives the same values at every call.

    Examples
    --------
    >>> RandomNormal(seed=1)((2, 3)).shape
    (2, 3)
    """

    def __init__(self, mean: float = 0.0, stddev: float = 0.05, seed=None):
        super().__init__(seed)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape, dtype=None):
        return _normal(self._generator(), shape, self.mean, self.stddev, dtype)

    def get_config(self):
        return {"mean": self.mean, "stddev": self.stddev, **super().get_config()}


class TruncatedNormal(RandomNormal):
    """Normal values, drawn again where they are more than two standard deviations from the mean."""

    def __call__(self, shape, dtype=None):
        return _truncated_normal(self._generator(), shape, self.mean, self.stddev, dtype)


class RandomUniform(_Random):
    """Values spread evenly between two bounds.

    Parameters
    ----------
    minval, maxval : float
        ``maxval`` itself is not drawn.
    seed : int or SeedGenerator, optional
    """

    def __init__(self, minval: float = -0.05, maxval: float = 0.05, seed=None):
        super().__init__(seed)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape, dtype=None):
        if np.dtype(dtypes.standardize_dtype(dtype)).kind in "iu":
            return self._generator().integers(int(self.minval), int(self.maxval), shape).astype(dtype)
        return _uniform(self._generator(), shape, self.minval, self.maxval, dtype)

    def get_config(self):
        return {"minval": self.minval, "maxval": self.maxval, **super().get_config()}


class VarianceScaling(_Random):
    """Values whose variance fits the number of inputs or outputs of a unit.

    Parameters
    ----------
    scale : float
        Positive factor on the variance.
    mode : {"fan_in", "fan_out", "fan_avg"}
        What to divide by: inputs, outputs, or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}
        ``"normal"`` is an old name of the first.
    seed : int or SeedGenerator, optional
    input_axes, output_axes : sequence of int, optional
        The axes that count inputs and outputs, where the usual kernel layouts do not apply. Both or neither.

    Notes
    -----
    With ``n`` of ``mode``, the variance is ``scale / n``; a uniform draw reaches to ``sqrt(3 * scale / n)``.

    References
    ----------
    Glorot and Bengio, 2010, "Understanding the difficulty of training deep feedforward neural networks".
    He et al., 2015, https://arxiv.org/abs/1502.01852

    Examples
    --------
    >>> values = VarianceScaling(2.0, "fan_in", "uniform", seed=0)((100, 50))
    >>> bool(abs(values).max() <= (6 / 100) ** 0.5)
    True
    """

    def __init__(
        self, scale: float = 1.0, mode: str = "fan_in", distribution: str = "truncated_normal", seed=None,
        input_axes: Sequence[int] | None = None, output_axes: Sequence[int] | None = None,
    ):
        super().__init__(seed)
        name = type(self).__name__
        if not scale > 0:
            raise ValueError(f"scale of {name} must be positive, came {scale!r}")
        modes, kinds = ("fan_in", "fan_out", "fan_avg"), ("truncated_normal", "untruncated_normal", "uniform")
        if mode not in modes:
            raise ValueError(f"mode of {name} must be one of {modes}, came {mode!r}")
        distribution = distribution.lower()
        distribution = "truncated_normal" if distribution == "normal" else distribution
        if distribution not in kinds:
            raise ValueError(f"distribution of {name} must be one of {kinds}, came {distribution!r}")
        self.scale = scale
        self.mode = mode
        self.distribution = distribution
        self.input_axes = None if input_axes is None else list(input_axes)
        self.output_axes = None if output_axes is None else list(output_axes)

    def __call__(self, shape, dtype=None):
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        generator = self._generator()
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return _uniform(generator, shape, -limit, limit, dtype)
        if self.distribution == "untruncated_normal":
            return _normal(generator, shape, 0.0, math.sqrt(variance), dtype)
        return _truncated_normal(generator, shape, 0.0, math.sqrt(variance) / _TRUNCATED_STDDEV, dtype)

    def get_config(self):
        return {
            "scale": self.scale, "mode": self.mode, "distribution": self.distribution, **super().get_config(),
            "input_axes": self.input_axes, "output_axes": self.output_axes,
        }


class _Scaled(VarianceScaling):
    """A ``VarianceScaling`` with its first three arguments chosen by the class."""

    _setting: tuple[float, str, str] = (1.0, "fan_in", "truncated_normal")

    def __init__(self, seed=None, input_axes=None, output_axes=None):
        super().__init__(*self._setting, seed=seed, input_axes=input_axes, output_axes=output_axes)

    def get_config(self):
        config = super().get_config()
        return {key: config[key] for key in ("seed", "input_axes", "output_axes")}


class GlorotUniform(_Scaled):
    """Uniform up to ``sqrt(6 / (fan_in + fan_out))``; also called Xavier. The default of most layers."""

    _setting = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal of variance ``2 / (fan_in + fan_out)``; also called Xavier."""

    _setting = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform up to ``sqrt(6 / fan_in)``; made for relu."""

    _setting = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal of variance ``2 / fan_in``; made for relu."""

    _setting = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform up to ``sqrt(3 / fan_in)``."""

    _setting = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal of variance ``1 / fan_in``; made for selu."""

    _setting = (1.0, "fan_in", "truncated_normal")


class Orthogonal(_Random):
    """A matrix with orthonormal rows or columns, times ``gain``; more axes are flattened before the last.

    Parameters
    ----------
    gain : float
    seed : int or SeedGenerator, optional

    References
    ----------
    Saxe et al., 2014, https://arxiv.org/abs/1312.6120

    Examples
    --------
    >>> q = Orthogonal(seed=3)((4, 2), "float64")
    >>> np.allclose(q.T @ q, np.eye(2))
    True
    """

    def __init__(self, gain: float = 1.0, seed=None):
        super().__init__(seed)
        self.gain = gain

    def __call__(self, shape, dtype=None):
        if len(shape) < 2:
            raise ValueError(f"Orthogonal makes arrays of at least two axes, came shape {tuple(shape)}")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        drawn, wanted = _float_dtype(dtype)
        normal = self._generator().standard_normal((max(rows, columns), min(rows, columns)), dtype=drawn)
        q, r = np.linalg.qr(normal)
        q *= np.where(np.diagonal(r) < 0, -1, 1)  # without this, q is not spread evenly over all rotations
        q = (q.T if rows < columns else q).reshape(shape)
        return (self.gain * q).astype(wanted, copy=False)

    def get_config(self):
        return {"gain": self.gain, **super().get_config()}


class STFT(Initializer):
    """Kernel of a 1D convolution that computes one part of a short-time Fourier transform.

    Parameters
    ----------
    side : {"real", "imag"}
        Which part of the complex result.
    window : {"hann", "hamming", "boxcar"}, array_like or None
        Window over the frame.
    scaling : {"density", "spectrum"} or None
        Divide by the window's root of summed squares, or by its sum, where there is a window.
    periodic : bool
        Make the window one period of a periodic function.

    Notes
    -----
    The kernel has shape (frame, 1, frequencies); frequency ``k`` is ``cos`` or ``-sin`` of ``2 pi t k / fft``
    with ``fft = 2 * (frequencies - 1)``.
    """

    def __init__(
        self, side: str = "real", window="hann", scaling: str | None = "density", periodic: bool = False
    ):
        if side not in ("real", "imag"):
            raise ValueError(f"side of STFT must be 'real' or 'imag', came {side!r}")
        if scaling not in ("density", "spectrum", None):
            raise ValueError(f"scaling of STFT must be 'density', 'spectrum' or None, came {scaling!r}")
        if isinstance(window, str) and window not in _COSINES:
            raise ValueError(
                f"window of STFT must be one of {tuple(_COSINES)}, an array or None, came {window!r}"
            )
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape, dtype=None):
        frame, _, frequencies = shape
        wanted = dtypes.standardize_dtype(dtype)
        angle = 2 * np.pi / (2 * (frequencies - 1)) * np.outer(np.arange(frame), np.arange(frequencies))
        kernel = np.cos(angle) if self.side == "real" else -np.sin(angle)
        window = self._window(frame)
        if self.window is not None and self.scaling:
            window = window / (np.sqrt(np.sum(window**2)) if self.scaling == "density" else np.sum(window))
        return (kernel * window[:, None])[:, None, :].astype(wanted)

    def _window(self, frame: int) -> np.ndarray:
        if self.window is None:
            return np.ones(frame)
        if not isinstance(self.window, str):
            values = np.asarray(self.window, np.float64)
            if values.shape != (frame,):
                raise ValueError(f"window of STFT has shape {values.shape}, the frame needs ({frame},)")
            return values
        share = _COSINES[self.window]
        steps = max(1, frame if self.periodic else frame - 1)
        return share - (1 - share) * np.cos(2 * np.pi * np.arange(frame) / steps)

    def get_config(self):
        window = self.window if self.window is None or isinstance(self.window, str) else list(self.window)
        return {"side": self.side, "window": window, "periodic": self.periodic, "scaling": self.scaling}


_COSINES = {"hann": 0.5, "hamming": 0.54, "boxcar": 1.0}  # window = a - (1 - a) cos(...)


def compute_fans(shape, input_axes=None, output_axes=None) -> tuple[float, float]:
    """Return how many inputs and outputs a unit with a kernel of this shape has.

    Without axes given, the last two axes are inputs and outputs, and those before them (the window of a
    convolution) count for both.

    Examples
    --------
    >>> compute_fans((784, 10)), compute_fans((3, 3, 8, 16))
    ((784, 10), (72, 144))
    """
    shape = tuple(shape)
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[i] for i in input_axes), math.prod(shape[i] for i in output_axes)
    if not shape:
        return 1, 1
    if len(shape) == 1:
        return shape[0], shape[0]
    field = math.prod(shape[:-2])
    return shape[-2] * field, shape[-1] * field


# ---- names ----------------------------------------------------------------------------------------------
_REGISTRY = Registry(
    "initializer",
    {
        cls.__name__: cls
        for cls in (
            Initializer, Zeros, Ones, Constant, Identity, RandomNormal, TruncatedNormal, RandomUniform,
            VarianceScaling, GlorotUniform, GlorotNormal, HeUniform, HeNormal, LecunUniform, LecunNormal,
            Orthogonal, STFT,
        )
    },
    {
        "zero": "Zeros", "one": "Ones", "normal": "RandomNormal", "uniform": "RandomUniform",
        "IdentityInitializer": "Identity", "OrthogonalInitializer": "Orthogonal", "STFTInitializer": "STFT",
        "xavier_uniform": "GlorotUniform", "xavier_normal": "GlorotNormal",
    },
)


def serialize(initializer, use_legacy_format=False):
    """Return an initializer as plain values; ``use_legacy_format``: in the form of Keras 2."""
    return _REGISTRY.serialize(initializer, use_legacy_format)


def deserialize(config, custom_objects=None, use_legacy_format=False):
    """Return the initializer that ``serialize`` described, in whatever form."""
    return _REGISTRY.deserialize(config, custom_objects)


def get(identifier):
    """Return the initializer for a name, a configuration, a class, a number array, an instance or None.

    Examples
    --------
    >>> get("he_normal"), get({"class_name": "Constant", "config": {"value": 3}})
    (HeNormal(seed=None, input_axes=None, output_axes=None), Constant(value=3))
    """
    if isinstance(identifier, (np.ndarray, np.generic)):
        return Constant(identifier)
    return _REGISTRY.get(identifier)


zeros = zero = Zeros
ones = one = Ones
constant = Constant
identity = IdentityInitializer = Identity
normal = random_normal = RandomNormal
truncated_normal = TruncatedNormal
uniform = random_uniform = RandomUniform
variance_scaling = VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
he_uniform, he_normal = HeUniform, HeNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
orthogonal = OrthogonalInitializer = Orthogonal
stft = STFTInitializer = STFT
