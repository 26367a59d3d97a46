"""Random numbers: ``keras.random`` and the sources of all randomness in the library.

Two sources. ``host_generator()`` (NumPy, PCG64) draws initial weights and batch orders, so both devices start
equal. Noise (dropout, ``random.normal`` ...) comes from a generator of the device that uses it: the same seed
gives the same sequence on the same device. ``set_seed`` restarts both.

In every function ``seed`` may be

- ``None``: continue the global sequence of the device;
- an integer: a draw that depends on that integer alone, the same at every call;
- a ``SeedGenerator``: continue that generator's own sequence;
- the pair of integers returned by ``SeedGenerator.next()``: a draw that depends on them alone.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading

import numpy as np

from gpukeras import backends, dtypes, symbolic
from gpukeras.backends.program import CannotRecord
from gpukeras.registry import Registry
from gpukeras.symbolic import KerasTensor
from gpukeras.tensor import Tensor, Variable, to_array

__all__ = [
    "SeedGenerator", "beta", "binomial", "categorical", "dropout", "gamma", "host_generator", "normal",
    "randint",
    "set_seed", "shuffle", "truncated_normal", "uniform",
]

_WORD = 2**64 - 1  # NumPy takes no negative seeds: they count as their 64-bit pattern


class _Sources:
    """The global generators (NumPy's draw under a lock of their own, so threads may share them)."""

    def __init__(self):
        self.host = np.random.default_rng()
        self.seed = None  # what set_seed was given
        self.devices: dict[str, object] = {}


_SOURCES = _Sources()


def set_seed(seed: int) -> None:
    """Restart the host generator and the noise generators of all devices.

    Parameters
    ----------
    seed : int
        ``keras.utils.set_random_seed`` also seeds Python's and NumPy's global generators.
    """
    _check_seed(seed, "set_seed")
    _SOURCES.host = host_generator(seed)
    _SOURCES.seed = int(seed) & _WORD
    _SOURCES.devices = {}


def host_generator(seed=None) -> np.random.Generator:
    """Return the NumPy generator of weights and shuffles; with ``seed`` a new one started from it."""
    return _SOURCES.host if seed is None else np.random.default_rng(_words(seed))


def _check_seed(seed, name):
    if isinstance(seed, bool) or not hasattr(seed, "__index__"):
        raise ValueError(f"{name}: seed must be an integer, came {seed!r}")


def _words(seed) -> list[int]:
    """Return the integers that start a generator for an int, or a pair from ``SeedGenerator.next``."""
    if isinstance(seed, Tensor):
        seed = seed.numpy()
    if isinstance(seed, (list, tuple, np.ndarray)) and np.ndim(seed) == 1:
        return [int(w) & _WORD for w in seed]
    if not hasattr(seed, "__index__") and not (isinstance(seed, float) and seed.is_integer()):
        raise ValueError(
            f"seed must be None, an integer, a SeedGenerator or what its next() returned, came {seed!r}"
        )
    return [int(seed) & _WORD]


class _Noticing(threading.local):
    drawn: list | None = None  # what ``noticed`` collects in this thread
    positions: tuple = ()  # one list for each ``remembered`` that is open


_NOTICING = _Noticing()


@contextlib.contextmanager
def noticed():
    """Collect the generators that noise is drawn from inside the ``with`` block, for who repeats the draws.

    Yields
    ------
    list of (seed, Backend, generator)

    Raises
    ------
    CannotRecord
        Where something draws from a fixed seed: each repetition would have to start anew.
    """
    found: list = []
    _NOTICING.drawn = found
    try:
        yield found
    finally:
        _NOTICING.drawn = None


@contextlib.contextmanager
def remembered():
    """Note where generators of noise stand before they are drawn from, for who draws the same again.

    Yields
    ------
    list of (Backend, generator, position)
    """
    found: list = []
    before = _NOTICING.positions
    _NOTICING.positions = (*before, found)
    try:
        yield found
    finally:
        _NOTICING.positions = before


@contextlib.contextmanager
def drawn_again(positions: list):
    """Let generators stand where they stood inside the ``with`` block, and afterwards where they do now."""
    now = [(backend, generator, backend.generator_state(generator)) for backend, generator, _ in positions]
    for backend, generator, state in positions:
        backend.set_generator_state(generator, state)
    try:
        yield
    finally:
        for backend, generator, state in now:
            backend.set_generator_state(generator, state)


def device_generator(backend, seed=None):
    """Return the noise generator for ``seed`` on ``backend`` (see the top of this file)."""
    if not _NOTICING.positions:
        return _noticed_generator(backend, seed)
    found = _noticed_generator(backend, seed)
    for noted in _NOTICING.positions:
        if not any(found is generator for _, generator, _ in noted):
            noted.append((backend, found, backend.generator_state(found)))
    return found


def _noticed_generator(backend, seed):
    drawn = _NOTICING.drawn
    if drawn is None:
        return _device_generator(backend, seed)
    if seed is not None and not isinstance(seed, SeedGenerator):
        raise CannotRecord("noise is drawn from a fixed seed in every step")
    found = _device_generator(backend, seed)
    if not any(found is generator for *_, generator in drawn):
        drawn.append((seed, backend, found))
    return found


def _device_generator(backend, seed):
    if seed is None:
        found = _SOURCES.devices.get(backend.name)
        if found is None:
            start = _SOURCES.seed
            words = [start, 1] if start is not None else np.random.SeedSequence().generate_state(2).tolist()
            found = _SOURCES.devices[backend.name] = backend.new_generator(words)
        return found
    if isinstance(seed, SeedGenerator):
        return seed.generator(backend)
    return backend.new_generator(_words(seed))


class SeedGenerator:
    """A sequence of seeds of its own, for layers that draw at every call.

    Parameters
    ----------
    seed : int, optional
        Drawn from the host generator unless given.
    name : str, optional

    Examples
    --------
    >>> import gpukeras as keras
    >>> a, b = keras.random.SeedGenerator(7), keras.random.SeedGenerator(7)
    >>> bool(keras.random.normal((1,), seed=a) == keras.random.normal((1,), seed=b))
    True
    """

    def __init__(self, seed=None, name=None, **kwargs):
        if kwargs:
            raise ValueError(f"SeedGenerator: unknown arguments {sorted(kwargs)}; expected seed and name")
        if seed is None:
            seed = int(host_generator().integers(2**31 - 1))
        _check_seed(seed, "SeedGenerator")
        self.seed = int(seed)
        self.name = name or "seed_generator"
        self._generators: dict[str, object] = {}
        with backends.device_scope("cpu"):  # host state: read at every next(), never by kernels
            self.state = Variable(
                np.array([self.seed & 0xFFFFFFFF, 0], "uint32"), dtype="uint32", trainable=False,
                autocast=False,
                name="seed_generator_state",
            )

    def next(self, ordered=True):
        """Return the next seed, a uint32 tensor of two elements, and advance."""
        found = Tensor(self.state.array.copy())
        self.state.array[1] += np.uint32(1)
        self.state.version += 1
        return found

    def generator(self, backend):
        """Return this sequence's generator on ``backend``; it advances with every draw."""
        found = self._generators.get(backend.name)
        if found is None:
            # The counter takes part: a state that was loaded or assigned starts another sequence.
            found = self._generators[backend.name] = backend.new_generator(
                [self.seed & _WORD, int(self.state.array[0]), int(self.state.array[1])]
            )
        return found

    def reset(self) -> None:
        """Start the sequence again."""
        self.state.assign(np.array([self.seed & 0xFFFFFFFF, 0], "uint32"))
        self._generators = {}

    def get_config(self) -> dict:
        """Return the constructor arguments."""
        return {"seed": self.seed, "name": self.name}

    @classmethod
    def from_config(cls, config):
        """Make a generator of the arguments in ``config``."""
        return cls(**config)

    def __deepcopy__(self, memo):
        return type(self)(self.seed, self.name)


def _float_dtype(dtype, name) -> str:
    found = dtypes.standardize_dtype(dtype)
    if found not in dtypes.FLOATS:
        raise ValueError(
            f"random.{name} draws floating values, came dtype {found!r}; expected one of {dtypes.FLOATS}"
        )
    return found


def _shape(shape) -> tuple:
    return tuple(int(n) for n in ((shape,) if hasattr(shape, "__index__") else shape))


def _draws(function):
    """Let a drawing function take the unknown sizes of a model that is only being drawn up.

    The result is then symbolic: a shape and a dtype.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        shape = args[0] if args else kwargs.get("shape")
        if isinstance(shape, (tuple, list)) and None in shape:
            given = signature.bind(*args, **kwargs)
            given.apply_defaults()
            return KerasTensor(tuple(shape), given.arguments["dtype"] or dtypes.floatx())
        return function(*args, **kwargs)

    return call


def _is_number(value) -> bool:
    return not isinstance(value, (Tensor, KerasTensor)) and np.ndim(value) == 0


@_draws
def normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Return draws from a normal distribution.

    Parameters
    ----------
    shape : tuple of int
    mean, stddev : float or tensor
        Tensors must broadcast with ``shape``; gradients reach them.
    dtype : str, optional
        A float type; ``floatx`` unless given.
    seed : None, int or SeedGenerator

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.random.normal((2, 3), seed=1).shape
    (2, 3)
    """
    if not (_is_number(mean) and _is_number(stddev)):
        return normal(shape, dtype=dtype, seed=seed) * stddev + mean
    backend = backends.current()
    dtype = _float_dtype(dtype, "normal")
    return Tensor(
        backend.normal(device_generator(backend, seed), _shape(shape), float(mean), float(stddev), dtype)
    )


@_draws
def uniform(shape, minval=0.0, maxval=1.0, dtype=None, seed=None):
    """Return draws from ``[minval, maxval)``; floating types only (see ``randint``)."""
    if not (_is_number(minval) and _is_number(maxval)):
        return uniform(shape, dtype=dtype, seed=seed) * (maxval - minval) + minval
    backend = backends.current()
    dtype = _float_dtype(dtype, "uniform")
    return Tensor(
        backend.uniform(device_generator(backend, seed), _shape(shape), float(minval), float(maxval), dtype)
    )


@_draws
def truncated_normal(shape, mean=0.0, stddev=1.0, dtype=None, seed=None):
    """Return draws from a normal distribution cut at two standard deviations from the mean."""
    backend = backends.current()
    dtype = _float_dtype(dtype, "truncated_normal")
    return Tensor(
        backend.truncated_normal(
            device_generator(backend, seed), _shape(shape), float(mean), float(stddev), dtype
        )
    )


@_draws
def randint(shape, minval, maxval, dtype="int32", seed=None):
    """Return integers from ``[minval, maxval)``."""
    kind = dtypes.standardize_dtype(dtype)
    if np.dtype(kind).kind not in "iu":
        raise ValueError(f"random.randint draws integers, came dtype {kind!r}; use random.uniform for floats")
    minval, maxval = int(minval), int(maxval)
    if maxval <= minval:
        raise ValueError(f"random.randint: maxval must be above minval, came [{minval}, {maxval})")
    backend = backends.current()
    return Tensor(backend.integers(device_generator(backend, seed), _shape(shape), minval, maxval, kind))


def categorical(logits, num_samples, dtype="int32", seed=None):
    """Return class numbers drawn by unnormalised log-probabilities.

    Parameters
    ----------
    logits : tensor, shape (N, classes)
    num_samples : int

    Returns
    -------
    tensor, shape (N, num_samples), int32

    Notes
    -----
    The Gumbel-max trick: ``argmax(logits - log(-log(u)))``.
    """
    if isinstance(logits, KerasTensor):
        told = KerasTensor((logits.shape[0], int(num_samples)), dtypes.standardize_dtype(dtype))
        return symbolic.record(categorical, logits, num_samples, dtype, seed, outputs=told)
    logits = to_array(logits)
    if logits.ndim != 2:
        raise ValueError(f"random.categorical: logits must have shape (batch, classes), came {logits.shape}")
    if not dtypes.is_float(logits.dtype):
        logits = logits.astype(dtypes.floatx())
    backend = backends.backend_of(logits)
    xp = backend.xp
    shape = (logits.shape[0], int(num_samples), logits.shape[1])
    u = device_generator(backend, seed).random(shape, dtype="float64")
    noise = xp.log(-xp.log(xp.clip(u, 2.0**-60, 1 - 2.0**-53)))
    return Tensor((logits[:, None, :] - noise).argmax(axis=-1).astype(dtypes.standardize_dtype(dtype)))


def shuffle(x, axis=0, seed=None):
    """Return ``x`` with its slices along ``axis`` in random order."""
    from gpukeras import ops

    x = ops.convert_to_tensor(x)
    if isinstance(x, KerasTensor):
        return symbolic.record(shuffle, x, axis, seed, outputs=symbolic.alike(x))
    backend = x.backend
    count = x.shape[axis]
    order = device_generator(backend, seed).random((count,), dtype="float64").argsort()
    return ops.take(x, Tensor(order.astype("int32")), axis=axis)


def dropout(inputs, rate, noise_shape=None, seed=None):
    """Set a random part ``rate`` of ``inputs`` to 0 and scale the rest by ``1 / (1 - rate)``.

    Parameters
    ----------
    inputs : tensor
    rate : float
        From 0 up to 1.
    noise_shape : tuple of int or None, optional
        Shape of the random mask, 1 where it is shared; ``None`` sizes are those of ``inputs``.
    """
    from gpukeras import ops

    return ops.dropout(inputs, rate, noise_shape=noise_shape, seed=seed)


@_draws
def gamma(shape, alpha, dtype=None, seed=None):
    """Return draws from gamma distributions with shape parameter ``alpha`` and scale 1."""
    backend = backends.current()
    dtype = _float_dtype(dtype, "gamma")
    alpha = to_array(alpha, None, backend)
    return Tensor(backend.gamma(device_generator(backend, seed), _shape(shape), alpha, dtype))


@_draws
def beta(shape, alpha, beta, dtype=None, seed=None):
    """Return draws from beta distributions with parameters ``alpha`` and ``beta``."""
    backend = backends.current()
    dtype = _float_dtype(dtype, "beta")
    alpha, beta = to_array(alpha, None, backend), to_array(beta, None, backend)
    return Tensor(backend.beta(device_generator(backend, seed), _shape(shape), alpha, beta, dtype))


@_draws
def binomial(shape, counts, probabilities, dtype=None, seed=None):
    """Return how many of ``counts`` independent trials with ``probabilities`` succeed, as floats."""
    backend = backends.current()
    dtype = _float_dtype(dtype, "binomial")
    counts, probabilities = to_array(counts, None, backend), to_array(probabilities, None, backend)
    generator = device_generator(backend, seed)
    return Tensor(backend.binomial(generator, _shape(shape), counts, probabilities, dtype))


Registry("random number source", {"SeedGenerator": SeedGenerator}, module="keras.random")
