"""What goes wrong on a GPU, in words that say what to do: driver, libraries, memory, a kernel that failed."""

from __future__ import annotations

import contextlib

import cupy

from . import DeviceError

OLDEST = 14  # of CuPy: earlier releases promote types as NumPy 1 did
INSTALL = "pip install 'gpukeras[cuda12]' (CUDA 12 driver) or 'gpukeras[cuda13]' (CUDA 13 driver)"
OLD_DRIVER = f"the driver is older than the CUDA toolkit: update it, or {INSTALL}"
FULL = "the GPU's memory is full: nvidia-smi names the programs that hold it"
ADVICE = {  # by the name that begins the messages of CUDA's errors
    "cudaErrorNoDevice": "no NVIDIA GPU is visible; see nvidia-smi and the variable CUDA_VISIBLE_DEVICES",
    "cudaErrorInitializationError":
        "the driver does not start; a process forked after CUDA was used must be spawned instead",
    "cudaErrorSystemDriverMismatch":
        "kernel module and library of the NVIDIA driver differ, as after an update: restart the machine",
    "cudaErrorSystemNotReady": "the driver's services do not run: see nvidia-fabricmanager",
    "cudaErrorCompatNotSupportedOnDevice":
        "a CUDA compatibility package that this GPU does not take hides the library of the driver: remove it",
    "cudaErrorDevicesUnavailable": "another program has the GPU for itself; see nvidia-smi",
    "cudaErrorMemoryAllocation": FULL,
    "CUBLAS_STATUS_ALLOC_FAILED": FULL,
    "CUBLAS_STATUS_NOT_INITIALIZED": FULL,
    "cudaErrorNoKernelImageForDevice": f"this CuPy has no code for this GPU: {INSTALL}",
    "cudaErrorUnsupportedPtxVersion": OLD_DRIVER,
    "CUDA_ERROR_UNSUPPORTED_PTX_VERSION": OLD_DRIVER,
}


class DeviceMemoryError(DeviceError, cupy.cuda.memory.OutOfMemoryError):
    """The memory of a GPU does not suffice.

    It is a ``MemoryError`` and CuPy's ``OutOfMemoryError`` as well.

    Parameters
    ----------
    message : str
    size, total, limit : int
        As CuPy's own error keeps them: bytes asked for, bytes of its pool, limit of the pool (0: none).
    """

    def __init__(self, message: str, size: int = 0, total: int = 0, limit: int = 0):
        RuntimeError.__init__(self, message)
        self._size, self._total, self._limit = size, total, limit


# ---- before the first array -------------------------------------------------------------------------------
def check_version() -> None:
    """Raise ``DeviceError`` where CuPy is too old."""
    if int(cupy.__version__.partition(".")[0]) < OLDEST:
        raise DeviceError(f"CuPy {cupy.__version__} is too old, expected {OLDEST} or later: {INSTALL}")


def count_devices() -> int:
    """Return the number of GPUs; ``DeviceError`` says why the driver does not tell."""
    try:
        return cupy.cuda.runtime.getDeviceCount()
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(f"CUDA reports: {explained(error)}") from error


def try_out(index: int) -> None:
    """Compile and run a kernel and a matrix product: what of CUDA is missing shows here, not in training."""
    try:
        with cupy.cuda.Device(index):
            ones = cupy.add(cupy.zeros((2, 2), "float32"), 1)
            cupy.matmul(ones, ones)
    except Exception as error:  # NVRTC, cuBLAS, loader and driver each have their own types
        told = explained(error)
        if not _advised(error):
            told += f"; compiler, headers and libraries of the CUDA toolkit come with {INSTALL}"
        raise DeviceError(f"a first kernel does not run ({type(error).__name__}: {told})") from error


def explained(error: Exception) -> str:
    """Return the first line of an error of CUDA, with what can be done about it."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "no reason given")
    advice = _advised(error)
    return f"{first}; {advice}" if advice else first


def _advised(error: Exception) -> str | None:
    """Return what can be done, or ``None``."""
    text = str(error)
    if "cudaErrorInsufficientDriver" in text:
        return _driver_advice()
    if isinstance(error, MemoryError):
        return FULL
    return next((advice for name, advice in ADVICE.items() if name in text), None)


def _driver_advice() -> str:
    has, needs = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    if has == 0:
        return "this machine has no NVIDIA driver that could be loaded (nvidia-smi should list the GPU)"
    return (f"the NVIDIA driver is made for CUDA {_version(has)}, CuPy for CUDA {_version(needs)}: update "
            f"the driver, or {INSTALL}")


def _version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


# ---- memory -----------------------------------------------------------------------------------------------
def watch_memory() -> None:
    """Let allocations that fail say what was asked for, who holds the memory, and what to lower.

    Where the program has given CuPy an allocator of its own, that one stays.
    """
    pool = cupy.get_default_memory_pool()
    if cupy.cuda.get_allocator() != pool.malloc:
        return

    def allocate(size):
        try:
            return pool.malloc(size)
        except MemoryError as error:  # CuPy has given back what was free and tried again
            raise _out_of_memory(size, pool) from error

    allocate.__wrapped__ = pool.malloc  # type: ignore[attr-defined]
    cupy.cuda.set_allocator(allocate)


def _out_of_memory(size: int, pool) -> DeviceMemoryError:
    free, capacity = cupy.cuda.runtime.memGetInfo()
    used, total, limit = pool.used_bytes(), pool.total_bytes(), pool.get_limit()
    others = max(0, capacity - free - total)
    room = f"{size_text(free)} of {size_text(capacity)} on the card are free"
    if limit:
        room += f", the pool may hold {size_text(limit)} (cupy.get_default_memory_pool().set_limit)"
    return DeviceMemoryError(
        f"gpu:{cupy.cuda.runtime.getDevice()} is out of memory: {size_text(size)} were asked for; arrays "
        f"hold {size_text(used)}, the pool keeps {size_text(total - used)} in pieces too small, "
        f"{size_text(others)} belong to captured steps, CUDA and other programs (see nvidia-smi), {room}. "
        "Lower batch_size (of fit, evaluate and predict) or the size of the model, or drop models and "
        "tensors no longer needed, then keras.utils.clear_session()", size, total, limit,
    )


def size_text(count: int) -> str:
    """Return bytes in the unit that people would choose."""
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} bytes"


# ---- later ------------------------------------------------------------------------------------------------
@contextlib.contextmanager
def waiting(name: str):
    """Tell what waiting for the device brings to light: a kernel launched long before may have failed."""
    try:
        yield
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise DeviceError(
            f"{name}: {explained(error)}. Something launched earlier has failed, and this process can use "
            "the device no more. With GPUKERAS_DEBUG_KERNELS=1 every launch is checked and waited for, and "
            "the error names the kernel and its shapes"
        ) from error
