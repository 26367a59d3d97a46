"""Who has the processor's cores: NumPy's BLAS or the pool of this module, never both at once.

Small work belongs to one thread, matrix products of middle size to the BLAS and its own threads. Large work
that is more than one product (a convolution, a recurrent layer, pooling) is split into parts that run side by
side in the pool, with the BLAS at one thread meanwhile: its idle threads keep spinning for a while after a
product and would take the cores from the pool.

Processes started by ``multiprocessing`` or joblib share the machine: they get one thread each, or what
``OMP_NUM_THREADS`` (which joblib sets) says.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue

import numpy as np

WORTH = 3e-4  # seconds of work below which splitting costs more than it gains
LIMIT = 16  # threads used by default at most: more Python threads stand in each other's way
ENVIRONMENT = ("GPUKERAS_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

_chosen: int | None = None  # by set_threads
_default: int | None = None
_local = threading.local()  # .inside: this thread is running a part


# ---- how many -----------------------------------------------------------------------------------------
def get_threads() -> int:
    """Return how many threads large work is split over."""
    global _default
    if _chosen is not None:
        return _chosen
    if _default is None:
        _default = _default_threads()
    return _default


def set_threads(count: int | None) -> None:
    """Use ``count`` threads, in the pool and in NumPy's BLAS; ``None``: as many as the process may use."""
    global _chosen, _default
    if count is not None and (isinstance(count, bool) or int(count) != count or count < 1):
        raise ValueError(f"set_threads expects a whole number of at least 1, or None; came {count!r}")
    _chosen, _default = (None if count is None else int(count)), None
    _BLAS.set(get_threads())


def _default_threads() -> int:
    for name in ENVIRONMENT:
        value = os.environ.get(name, "")
        if value.isdigit() and int(value) > 0:
            return min(int(value), _cores())
    multiprocessing = sys.modules.get("multiprocessing")
    if multiprocessing is not None and multiprocessing.parent_process() is not None:
        return 1
    return min(_cores(), LIMIT)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ---- running parts side by side -------------------------------------------------------------------------
def split(count: int, seconds: float, least: int = 1) -> list[tuple[int, int]]:
    """Return bounds (start, stop) that divide ``count`` items evenly over the threads.

    Parameters
    ----------
    count : int
    seconds : float
        Estimate of the whole work on one thread; below ``WORTH`` there is one part.
    least : int
        Items in a part at least.
    """
    parts = 1
    if seconds >= WORTH and not getattr(_local, "inside", False):
        parts = max(1, min(get_threads(), count // max(1, least), int(seconds / (WORTH / 2))))
    bounds = [count * i // parts for i in range(parts + 1)]
    return list(zip(bounds, bounds[1:]))


def parallel(function: Callable, parts: Sequence[tuple]) -> None:
    """Call ``function(*part)`` for every part, each on a thread of its own; the last part on this one.

    Parts must not write to the same memory. With one part, inside another ``parallel``, or while another
    thread uses the pool, the parts run here one after the other. An exception of any part is raised here once
    all have ended.
    """
    if len(parts) < 2 or getattr(_local, "inside", False) or not _BLAS.controllable():
        for part in parts:
            function(*part)
        return
    if not _POOL.lock.acquire(blocking=False):
        for part in parts:
            function(*part)
        return
    try:
        before = _BLAS.take()
        try:
            _POOL.run(function, parts)
        finally:
            _BLAS.give_back(before)
    finally:
        _POOL.lock.release()


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Let the pool keep the cores between its uses, from the first one in this block to the block's end."""
    _BLAS.sessions += 1
    try:
        yield
    finally:
        _BLAS.sessions -= 1
        if not _BLAS.sessions and _BLAS.taken is not None:
            _BLAS.set(_BLAS.taken)
            _BLAS.taken = None


def pool_owns() -> bool:
    """Tell whether the BLAS is at one thread because the pool has the cores: large products may be split."""
    return _BLAS.taken is not None


class _Pool:
    """Threads that wait for parts; started when first needed, one fewer than ``get_threads``."""

    def __init__(self):
        self.lock = threading.Lock()
        self.queues: list[SimpleQueue] = []
        self.done: SimpleQueue = SimpleQueue()

    def run(self, function, parts) -> None:
        while len(self.queues) < len(parts) - 1:
            queue: SimpleQueue = SimpleQueue()
            threading.Thread(target=self._work, args=(queue,), daemon=True, name="gpukeras").start()
            self.queues.append(queue)
        for queue, part in zip(self.queues, parts[:-1]):
            queue.put((function, part))
        problem = _attempt(function, parts[-1])
        for _ in parts[:-1]:
            problem = self.done.get() or problem
        if problem is not None:
            raise problem

    def _work(self, queue) -> None:
        while True:
            function, part = queue.get()
            problem = _attempt(function, part)
            del function, part  # nothing is kept alive while waiting
            self.done.put(problem)


def _attempt(function, part) -> BaseException | None:
    _local.inside = True
    try:
        function(*part)
    except BaseException as problem:  # raised again in the thread that asked
        return problem
    finally:
        _local.inside = False
    return None


# ---- the BLAS -------------------------------------------------------------------------------------------
class _Blas:
    """The number of threads of the BLAS that NumPy loaded, through its own C functions."""

    NAMES = (  # (get, set), of OpenBLAS in NumPy's wheels, of others' OpenBLAS, of MKL, of BLIS
        ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
        ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
        ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
        ("openblas_get_num_threads", "openblas_set_num_threads"),
        ("MKL_Get_Max_Threads", "MKL_Set_Num_Threads"),
        ("bli_thread_get_num_threads", "bli_thread_set_num_threads"),
    )

    def __init__(self):
        self.calls: tuple | None = None  # (get, set) once looked for; () where there are none
        self.sessions = 0
        self.taken: int | None = None  # threads to restore when the session ends

    def controllable(self) -> bool:
        if self.calls is None:
            self.calls = self._find()
        return bool(self.calls)

    def set(self, count: int) -> None:
        if self.controllable():
            self.calls[1](count)

    def take(self) -> int | None:
        """Set the BLAS to one thread; return how many to give back after this use."""
        if self.taken is not None:
            return None
        before = self.calls[0]()
        if before > 1:
            self.calls[1](1)
        if self.sessions:
            self.taken = before
            return None
        return before

    def give_back(self, before: int | None) -> None:
        if before is not None and before > 1:
            self.calls[1](before)

    def _find(self) -> tuple:
        for path in _blas_files():
            try:
                library = ctypes.CDLL(str(path))
            except OSError:
                continue
            for get, put in self.NAMES:
                if hasattr(library, put) and hasattr(library, get):
                    setter = getattr(library, put)
                    setter.argtypes, setter.restype = [ctypes.c_int], None
                    return getattr(library, get), setter
        return ()


def _blas_files() -> list[Path]:
    """Return files that may be NumPy's BLAS: those this process has loaded, or those beside NumPy."""
    maps = Path("/proc/self/maps")
    words = ("openblas", "mkl_rt", "libblis")
    if maps.exists():
        found = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines() if "/" in line}
        return sorted(Path(f) for f in found if any(w in Path(f).name for w in words))
    home = Path(np.__file__).parent
    folders = (home.parent / "numpy.libs", home / ".dylibs", home / "_distributor_init_local")
    return [f for folder in folders if folder.is_dir() for f in sorted(folder.iterdir()) if "blas" in f.name]


_POOL, _BLAS = _Pool(), _Blas()


def _after_fork() -> None:
    """A forked child has none of its parent's threads, and shares the machine with it."""
    global _POOL, _default
    _POOL, _default = _Pool(), None
    _local.__dict__.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
