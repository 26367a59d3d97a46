"""Settings of the whole library: device, default float type, epsilon, image layout, threads, checks.

Examples
--------
>>> import gpukeras as keras
>>> keras.config.floatx(), keras.config.epsilon(), keras.config.image_data_format()
('float32', 1e-07, 'channels_last')
>>> with keras.config.device("cpu"):
...     keras.ops.zeros(2).device
'cpu'
"""

from __future__ import annotations

import contextlib
import os

from gpukeras import backends
from gpukeras.backends import convolution_choice as _convolution_choice
from gpukeras.backends import threads as _threads
from gpukeras.dtype_policies import dtype_policy, set_dtype_policy
from gpukeras.dtypes import floatx, set_floatx

__all__ = [
    "backend", "check_numerics", "device", "disable_flash_attention", "disable_interactive_logging",
    "disable_traceback_filtering", "dtype_policy", "enable_flash_attention", "enable_interactive_logging",
    "enable_traceback_filtering", "enable_unsafe_deserialization", "epsilon", "era", "explain", "floatx",
    "get_device", "get_threads", "image_data_format", "is_flash_attention_enabled",
    "is_interactive_logging_enabled", "is_nnx_enabled", "is_traceback_filtering_enabled", "max_epochs",
    "max_steps_per_epoch", "numerics_checked", "set_backend", "set_device", "set_dtype_policy",
    "set_epsilon", "set_floatx", "set_image_data_format", "set_max_epochs", "set_max_steps_per_epoch",
    "set_tf32", "set_threads", "set_winograd", "skip_zeros", "tf32", "winograd", "zeros_skipped",
]

_epsilon = 1e-7
_era = "keras3"
_image_data_format = "channels_last"
_interactive_logging = True
_check_numerics = False
_skip_zeros = True
_flash_attention: bool | None = None
_filter_tracebacks = True
_max_epochs: int | None = None
_max_steps: int | None = None


def era() -> str:
    """Return the era whose meanings count (``compat.set_era``): ``"keras3"`` unless changed."""
    return _era


def standalone_era() -> bool:
    """Tell whether the era is that of standalone Keras 2."""
    return _era in ("keras224", "keras231")


def epsilon() -> float:
    """Return the small number that keeps logarithms and divisions finite (1e-7 unless changed)."""
    return _epsilon


def set_epsilon(value: float) -> None:
    """Set the small number used in losses and norms; it must be positive."""
    global _epsilon
    if not value > 0:
        raise ValueError(f"epsilon must be a positive number, came {value!r}")
    _epsilon = float(value)


def image_data_format() -> str:
    """Return the default image layout, ``"channels_last"`` (N, H, W, C) unless changed."""
    return _image_data_format


def set_image_data_format(data_format: str) -> None:
    """Set the default image layout: ``"channels_last"`` or ``"channels_first"``."""
    global _image_data_format
    _image_data_format = standardize_data_format(data_format)


def standardize_data_format(data_format: str | None) -> str:
    """Return ``data_format``, or the default for ``None``; anything unknown is a ``ValueError``."""
    if data_format is None:
        return _image_data_format
    name = str(data_format).lower()
    if name not in ("channels_last", "channels_first"):
        raise ValueError(f"data_format must be 'channels_last' or 'channels_first', came {data_format!r}")
    return name


def enable_flash_attention() -> None:
    """Let attention choose how it computes (the default); here there is one way, with one result."""
    global _flash_attention
    _flash_attention = None


def disable_flash_attention() -> None:
    """Ask for attention without the algorithm of that name; see ``enable_flash_attention``."""
    global _flash_attention
    _flash_attention = False


def is_flash_attention_enabled() -> bool | None:
    """Return ``False`` after ``disable_flash_attention``, else ``None``, as Keras does."""
    return _flash_attention


def set_device(device: str) -> str:
    """Choose where new arrays are made, for the whole process.

    Parameters
    ----------
    device : str
        ``"auto"`` (a GPU where CuPy and a device work, else the CPU), ``"cpu"``, ``"gpu"`` or ``"gpu:1"``.
        The environment variable ``GPUKERAS_DEVICE`` sets it from outside.

    Returns
    -------
    str
        The device chosen.

    Raises
    ------
    gpukeras.backends.DeviceError
        Where the device does not exist or CuPy is not installed; the message says what to install.
    """
    return backends.set_device(device).name


def get_device() -> str:
    """Return the device on which new arrays are made: ``"cpu"`` or ``"gpu:N"``."""
    return backends.current().name


@contextlib.contextmanager
def device(name: str):
    """Make new arrays on device ``name`` inside a ``with`` block."""
    with backends.device_scope(name) as found:
        yield found.name


def backend() -> str:
    """Return the name of the array library of the current device, ``"numpy"`` or ``"cupy"``."""
    return backends.current().xp.__name__


def set_threads(count: int | None) -> None:
    """Set how many of the processor's threads large work is split over, for the whole process.

    Parameters
    ----------
    count : int or None
        ``None``: the default, which is the environment variable ``GPUKERAS_NUM_THREADS``, else
        ``OMP_NUM_THREADS``, else one thread in processes that ``multiprocessing`` started and as many as
        there are cores (16 at most) elsewhere.

    Raises
    ------
    ValueError
        For anything but a whole number of at least 1.

    Notes
    -----
    NumPy's matrix library (BLAS) gets the same number for work outside of models. While a model is trained
    or used it runs on one thread and large work is split by this library; afterwards it has its number back.
    A forked or spawned process starts from the default, not from what its parent has set.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.config.set_threads(1)
    >>> keras.config.get_threads()
    1
    >>> keras.config.set_threads(None)
    """
    _threads.set_threads(count)


def get_threads() -> int:
    """Return how many threads large work is split over on the processor (see ``set_threads``)."""
    return _threads.get_threads()


def explain(model=None) -> str:
    """Say how steps of training and evaluation run, and why not faster.

    A step of training that is made of this library's parts is recorded after a few ordinary ones and then
    replayed; on a GPU, where those of evaluation are as well, as a CUDA graph. What cannot be recorded runs
    as it stands, more slowly and with the same results.

    Parameters
    ----------
    model : Model, optional
        All that are compiled, unless given.

    Returns
    -------
    str
        A few lines that show themselves as text: for each model the shapes of the batches that came, and how
        steps on them run, with the reason where they are ordinary ones.

    Examples
    --------
    >>> import gpukeras as keras
    >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)], name="line")
    >>> model.compile("sgd", "mse", run_eagerly=True)
    >>> print(keras.config.explain(model))
    new arrays go to cpu: the CPU
    line: ordinary steps, as run_eagerly=True
    """
    from gpukeras.models.captured import explain as explained

    return explained(model)


def set_tf32(enabled: bool) -> None:
    """Choose whether a GPU may compute float32 products on tensor cores, rounded to TF32.

    Off by default: the results of both devices then agree to float32's precision. It counts on GPUs of
    compute capability 8.0 and later, for products and convolutions; factors are rounded to 10 bits of
    mantissa (a relative error of up to 5e-4 in each), sums stay in float32.

    Parameters
    ----------
    enabled : bool

    Notes
    -----
    Counts for what is computed from now on; training steps captured before go on as they are until the model
    is compiled again.
    """
    from gpukeras.kernels import precision

    precision.set_tf32(enabled)


def tf32() -> bool:
    """Tell whether a GPU may round float32 products to TF32 (not unless ``set_tf32`` says so)."""
    from gpukeras.kernels import precision

    return precision.tf32()


def set_winograd(enabled: bool) -> None:
    """Choose whether 3x3 convolutions on a CPU may use Winograd's algorithm (the default).

    It is about twice as fast and its rounding errors are three times as large. The environment variable
    ``GPUKERAS_WINOGRAD=0`` switches it off from outside.

    Parameters
    ----------
    enabled : bool

    Notes
    -----
    For float32, and float16 (which is computed in float32), with steps of one and no dilation; float64 is
    always computed directly. Errors against float64, over shapes with 32 to 512 channels (the largest error
    over the largest value; in brackets the root mean square error over that of the values):

    ================== ================= ================= =================
    ..                 directly          tiles of 2x2      tiles of 4x4
    ================== ================= ================= =================
    forward            0.9e-6 (0.3e-6)   0.6e-6 (0.4e-6)   2.5e-6 (1.2e-6)
    gradient of inputs 1.3e-6 (0.6e-6)   0.6e-6 (0.5e-6)   2.6e-6 (1.4e-6)
    gradient of kernel 0.4e-6 (0.3e-6)   1.1e-6 (0.7e-6)   1.5e-6 (1.2e-6)
    ================== ================= ================= =================

    Tiles of 4x4 are used except for small images. An infinite or NaN input makes all outputs of the tiles
    that it touches NaN, where directly only the nine around it become infinite or NaN.

    References
    ----------
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", arXiv:1509.09308.

    Examples
    --------
    >>> import gpukeras as keras
    >>> keras.config.set_winograd(False)
    >>> keras.config.winograd()
    False
    >>> keras.config.set_winograd(True)
    """
    _convolution_choice.set_winograd(enabled)


def winograd() -> bool:
    """Tell whether Winograd's algorithm may run (see ``set_winograd``)."""
    return _convolution_choice.winograd()


def check_numerics(enabled: bool = True) -> None:
    """Look for NaN and infinity in the output of every layer call.

    The first layer that produces one raises ``FloatingPointError`` with its name. Costs a pass over every
    activation and, on a GPU, a wait; meant for finding the place where a training run breaks.
    """
    global _check_numerics
    _check_numerics = bool(enabled)


def numerics_checked() -> bool:
    """Tell whether ``check_numerics`` is on."""
    return _check_numerics


def skip_zeros(enabled: bool = True) -> None:
    """Choose whether ``fit`` on a CPU looks for inputs that are nearly all zeros (the default).

    A large matrix of which at most 3% is not zero, such as a bag of words per sample, is then trained on
    without its zeros. Results are equal up to rounding; where a weight is infinite or NaN, zeros of the input
    no longer spread it.
    """
    global _skip_zeros
    _skip_zeros = bool(enabled)


def zeros_skipped() -> bool:
    """Tell whether ``skip_zeros`` is on."""
    return _skip_zeros


def enable_interactive_logging() -> None:
    """Let progress bars draw themselves anew in place (the default)."""
    global _interactive_logging
    _interactive_logging = True


def disable_interactive_logging() -> None:
    """Let ``fit`` print whole lines only, as suits log files."""
    global _interactive_logging
    _interactive_logging = False


def is_interactive_logging_enabled() -> bool:
    """Tell whether progress bars draw themselves anew in place."""
    return _interactive_logging


# ---- limits for trying things out ------------------------------------------------------------------------
def max_epochs() -> int | None:
    """Return the largest number of epochs that ``fit`` trains for, or ``None``.

    Set by ``set_max_epochs``, else by the environment variable ``KERAS_MAX_EPOCHS``.
    """
    return _limit(_max_epochs, "KERAS_MAX_EPOCHS")


def set_max_epochs(max_epochs: int | None) -> None:
    """Limit the epochs of ``fit``, whatever it is called with: to run a long script through quickly."""
    global _max_epochs
    _max_epochs = _checked_limit(max_epochs, "max_epochs")


def max_steps_per_epoch() -> int | None:
    """Return the largest number of batches of an epoch in ``fit``, ``evaluate`` and ``predict``, or ``None``.

    Set by ``set_max_steps_per_epoch``, else by the environment variable ``KERAS_MAX_STEPS_PER_EPOCH``.
    """
    return _limit(_max_steps, "KERAS_MAX_STEPS_PER_EPOCH")


def set_max_steps_per_epoch(max_steps_per_epoch: int | None) -> None:
    """Limit the batches of an epoch of ``fit``, ``evaluate`` and ``predict``."""
    global _max_steps
    _max_steps = _checked_limit(max_steps_per_epoch, "max_steps_per_epoch")


def _limit(value: int | None, variable: str) -> int | None:
    if value is not None:
        return value
    found = os.environ.get(variable)
    return _checked_limit(int(found), variable) if found and found.lstrip("-").isdigit() else None


def _checked_limit(value, name: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
        raise ValueError(f"{name} must be None or an integer >= 1, came {value!r}")
    return value


# ---- files and errors -------------------------------------------------------------------------------------
def enable_unsafe_deserialization() -> None:
    """Let configurations and files run Python code that they hold (lambdas), for this process.

    Only for files that you made yourself: such code can do anything.
    """
    from gpukeras.saving import serialization

    serialization.enable_unsafe_deserialization()


def enable_traceback_filtering() -> None:
    """Leave the library's own frames out of tracebacks of errors inside layers (the default)."""
    global _filter_tracebacks
    _filter_tracebacks = True


def disable_traceback_filtering() -> None:
    """Show tracebacks of errors inside layers with all frames of the library."""
    global _filter_tracebacks
    _filter_tracebacks = False


def is_traceback_filtering_enabled() -> bool:
    """Tell whether the library's own frames are left out of tracebacks."""
    return _filter_tracebacks


# ---- other engines ----------------------------------------------------------------------------------------
def set_backend(backend: str) -> None:
    """Choose the array library by its name: ``"numpy"`` (the CPU) or ``"cupy"`` (a GPU).

    Does what ``set_device("cpu")`` and ``set_device("gpu")`` do.

    Raises
    ------
    ValueError
        For other engines of Keras.
    """
    devices = {"numpy": "cpu", "cupy": "gpu"}
    if backend not in devices:
        raise ValueError(f"backend must be one of {sorted(devices)}, came {backend!r}; see config.set_device")
    set_device(devices[backend])


def is_nnx_enabled() -> bool:
    """Tell whether layers are modules of Flax: never here."""
    return False
