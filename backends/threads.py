"""Who has the processor's cores: NumPy's BLAS or the pool of this module, never both at once.

Small work belongs to one thread. While a model is trained or used (``session``) the BLAS has one thread and
large work is split into parts that run side by side in the pool. The threads of a BLAS wait for each other
and for the next product by spinning: beside a pool, or another program that keeps a core busy, a product of
75 microseconds takes 20 milliseconds.

The caller of ``parallel`` begins at once and takes one part after the other; the threads of the pool wake up
and take what is left. One that comes late, because another program has its core, costs next to nothing.

Processes started by ``multiprocessing`` or joblib, and forked ones, share the machine with others: they get
one thread each, or what ``OMP_NUM_THREADS`` (which joblib sets) says.
"""

from __future__ import annotations

import _thread
import contextvars
import functools
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from . import blas
from .program import noted_whole

WORTH = 5e-4  # seconds of work on one thread below which whole steps were slower with it split
HEAD_START = 5e-5  # seconds until another thread is awake
LIMIT = 16  # threads used by default at most: more Python threads stand in each other's way
OWN_VARIABLE = "GPUKERAS_NUM_THREADS"
OTHER_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")

_chosen: int | None = None  # by set_threads
_default: int | None = None
_forked = False
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
    if count is not None:
        whole = not isinstance(count, (bool, str)) and hasattr(count, "__index__")
        if not whole or count.__index__() < 1:
            raise ValueError(f"set_threads expects a whole number of at least 1, or None; came {count!r}")
        count = count.__index__()
    _chosen, _default = count, None
    _BLAS.set(get_threads())


def _default_threads() -> int:
    own = os.environ.get(OWN_VARIABLE, "").strip()
    if own:
        if not own.isdigit() or not int(own):
            raise ValueError(f"{OWN_VARIABLE} in the environment must be a whole number from 1, is {own!r}")
        return int(own)
    for name in OTHER_VARIABLES:
        value = os.environ.get(name, "").strip()
        if value.isdigit() and int(value):
            return min(int(value), _cores())
    multiprocessing = sys.modules.get("multiprocessing")
    if _forked or multiprocessing is not None and multiprocessing.parent_process() is not None:
        return 1
    return min(_cores(), LIMIT)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# ---- running parts side by side -------------------------------------------------------------------------
def split(count: int, seconds: float, least: int = 1, finer: int = 1) -> list[tuple[int, int]]:
    """Return bounds (start, stop) that divide ``count`` items about evenly.

    The bounds depend on nothing but the arguments and the number of threads, so results are repeatable.

    Parameters
    ----------
    count : int
    seconds : float
        Estimate of the whole work on one thread; below ``WORTH`` there is one part.
    least : int
        Items in a part at least.
    finer : int
        Parts for each thread: more than one evens out parts of unequal length and cores that others use.
    """
    parts = 1
    if seconds >= WORTH and may_split():
        parts = max(1, min(get_threads() * finer, count // max(1, least), int(seconds / (WORTH / 2))))
    # Where each thread has one part, the caller's is larger, as it begins at once and need not wait then.
    lead = min(0.1, HEAD_START / seconds) if parts > 1 and finer == 1 else 0
    bounds = [0, *(int(count * (lead + (1 - lead) * i / parts)) for i in range(1, parts)), count]
    return list(zip(bounds, bounds[1:]))


def may_split() -> bool:
    """Tell whether ``parallel`` would use more than one thread here."""
    return get_threads() > 1 and not getattr(_local, "inside", False) and _BLAS.controllable()


def parallel(function: Callable, parts: Sequence[tuple]) -> None:
    """Call ``function(*part)`` for every part, on this thread and on those of the pool.

    Parts must not write to the same memory; which thread takes which is open, so temporaries belong into a
    ``threading.local``. With one part, inside another ``parallel``, or while another thread uses the pool,
    the parts run here one after the other. After an exception no further part begins; the first one is
    raised here once all have ended.
    """
    if len(parts) > 1:
        noted_whole(_parallel, function, parts)  # what happens on other threads is not recorded
    else:
        for part in parts:
            function(*part)


def _parallel(function, parts) -> None:
    if may_split() and _POOL.lock.acquire(blocking=False):
        try:
            with session():
                _POOL.run(function, parts)
        finally:
            _POOL.lock.release()
    else:
        for part in parts:
            function(*part)


def share(function: Callable, count: int, seconds: float, block: int = 1) -> None:
    """Call ``function(start, stop)`` for the parts of ``count`` items, which begin at multiples of ``block``.

    ``seconds`` is an estimate of the whole work on one thread.
    """
    parts = split(-(-count // block), seconds)
    if len(parts) < 2:
        function(0, count)
    else:
        parallel(lambda start, stop: function(start * block, min(stop * block, count)), parts)


class session:
    """A ``with`` block, or a decorated function, in which the pool has the cores and the BLAS one thread.

    Blocks may be nested; after the outermost the BLAS has its threads back. An interrupt that keeps a block
    from ending properly ends it when this object goes.
    """

    def __enter__(self) -> None:
        _BLAS.hold(id(self))

    def __exit__(self, *problem) -> None:
        _BLAS.release(id(self))

    def __del__(self) -> None:
        if _BLAS is not None and id(self) in _BLAS.holders:  # None: Python is ending
            _BLAS.release(id(self))

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def call(*args, **kwargs):
            with session():
                return function(*args, **kwargs)

        return call


def pool_owns() -> bool:
    """Tell whether the BLAS is at one thread because the pool has the cores: large products may be split."""
    return bool(_BLAS.holders)


class _Pool:
    """Threads that wait for work; started when first needed, one fewer than ``get_threads``."""

    def __init__(self):
        self.lock = threading.Lock()  # held while parts run
        self.bells: list = []  # one lock for each thread, released to wake it up
        self.job: _Job | None = None

    def run(self, function, parts) -> None:
        job = self.job = _Job(function, parts)
        try:
            self._wake(min(len(parts), get_threads()) - 1)
            _local.inside = True
            job.work()
        finally:
            _local.inside = False
            self.job = None
            job.close()
        if job.problem is not None:
            raise job.problem

    def _wake(self, count: int) -> None:
        while len(self.bells) < count:
            bell = _thread.allocate_lock()
            bell.acquire()
            try:
                threading.Thread(target=self._serve, args=(bell,), daemon=True, name="gpukeras").start()
            except RuntimeError:  # the system has no more threads, or Python is ending: those there are do it
                break
            self.bells.append(bell)
        for bell in self.bells[:count]:
            if bell.locked():
                bell.release()

    def _serve(self, bell) -> None:
        _local.inside = True
        while True:
            bell.acquire()
            job = self.job
            if job is not None:
                job.join()
            del job  # nothing is kept alive while waiting


class _Job:
    """Parts of one ``parallel``, taken one after the other by whoever has time."""

    def __init__(self, function, parts):
        self.function = function
        self.parts = deque(parts)
        self.context = contextvars.copy_context()  # NumPy's errstate, for one
        self.lock = _thread.allocate_lock()
        self.helpers = 0  # threads of the pool at work
        self.ended: Any = None  # a lock at which the caller waits for the helpers
        self.problem: BaseException | None = None

    def work(self) -> None:
        function, take = self.function, self.parts.popleft
        while True:
            try:
                part = take()
            except IndexError:
                return
            function(*part)

    def join(self) -> None:
        """Work along, on a thread of the pool."""
        with self.lock:
            if not self.parts:
                return
            self.helpers += 1
            context = self.context if self.helpers == 1 else self.context.copy()
        try:
            context.run(self.work)
        except BaseException as problem:  # raised again by the caller
            self.parts.clear()
            self.problem = self.problem or problem
        with self.lock:
            self.helpers -= 1
            if self.ended is not None and not self.helpers:
                self.ended.release()

    def close(self) -> None:
        """Let no part begin any more and wait for those at work, even where an interrupt comes meanwhile."""
        try:
            self._wait()
        except KeyboardInterrupt:
            self._wait()
            raise

    def _wait(self) -> None:
        self.parts.clear()
        with self.lock:
            if self.helpers and self.ended is None:
                self.ended = _thread.allocate_lock()
                self.ended.acquire()
        while self.helpers:
            self.ended.acquire()


# ---- the BLAS -------------------------------------------------------------------------------------------
class _Holder:
    """Keeps the BLAS at one thread while somebody has the cores, and gives it its own number back."""

    def __init__(self, library=None):
        self._library = library
        self.lock = threading.RLock()  # a session may be cleared away while another begins
        self.holders: set[int] = set()  # sessions, one for each ``parallel`` outside of them too
        self.before: int | None = None  # threads to restore after the last holder

    @property
    def library(self) -> blas.Blas:
        if self._library is None:
            self._library = blas.current()
        return self._library

    def controllable(self) -> bool:
        return self.library.set_threads is not None

    def set(self, count: int) -> None:
        """Set the number that counts while nobody holds the cores."""
        if self.controllable():
            with self.lock:
                if self.holders:
                    self.before = count
                else:
                    self.library.set_threads(count)

    def hold(self, holder: int) -> None:
        """Set the BLAS to one thread until ``release``."""
        with self.lock:
            self.holders.add(holder)
            if self.before is None and self.controllable():
                self.before = self.library.get_threads()
                if self.before > 1:
                    self.library.set_threads(1)

    def release(self, holder: int) -> None:
        """End one hold; to do it again, after an interrupt on the way, changes nothing more."""
        with self.lock:
            self.holders.discard(holder)
            if not self.holders and self.before is not None:
                if self.before > 1:
                    self.library.set_threads(self.before)
                self.before = None


_POOL, _BLAS = _Pool(), _Holder()


def _after_fork() -> None:
    """A forked child has none of its parent's threads, and shares the machine with it: one thread."""
    global _POOL, _BLAS, _chosen, _default, _forked
    _POOL, _BLAS, _local.inside = _Pool(), _Holder(_BLAS._library), False
    _chosen, _default, _forked = None, None, True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
