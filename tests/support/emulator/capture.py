"""Capturing of work on a stream, and graphs that do it again on the same memory.

While a stream is capturing nothing is computed: calls are recorded with the memory they touch. A graph keeps
no array alive, as on a GPU; launching it after one was freed is an error here. Memory of a pool other than
the default one stays where it is as long as the pool lives: what a captured step allocates belongs there.
"""

from __future__ import annotations

import contextlib
import ctypes
import threading
import warnings
import weakref

import numpy as np

from .arguments import root
from .settings import EmulatorError


class CaptureError(RuntimeError):
    """CUDA or CuPy refuse something while a stream is capturing."""


class _State(threading.local):
    recording = None  # of the stream that is current and capturing


state = _State()


def capturing() -> bool:
    """Tell whether work goes into a graph."""
    return state.recording is not None


def refuse(what: str) -> None:
    """Raise where ``what`` is not allowed now; as with CUDA, the capture is then lost."""
    if state.recording is not None:
        state.recording.lost = what
        raise CaptureError(f"the current stream is capturing, so {what} is not allowed")


def execute(name: str, function, arrays) -> None:
    """Call ``function(*arrays)`` now, or whenever the graph that is being captured is launched."""
    if state.recording is None:
        function(*arrays)
    else:
        state.recording.add(name, function, tuple(arrays), {})


class Recording:
    """What a capturing stream was given."""

    def __init__(self):
        self.works: list[_Work] = []
        self.lost: str | None = None

    def add(self, name, function, args, kwargs) -> None:
        self.works.append(_Work(name, function, args, kwargs))


class Graph:
    """Recorded work, done again by each launch."""

    def __init__(self, works):
        self._works = works
        self.launches = 0

    def launch(self, stream=None) -> None:
        """Do the work; inside another capture, record it there."""
        if state.recording is not None:
            state.recording.works.extend(self._works)
            return
        for work in self._works:
            work.check()
        for work in self._works:
            work.run()
        self.launches += 1

    def upload(self, stream=None) -> None:
        """Nothing is left to prepare."""


class _Work:
    def __init__(self, name, function, args, kwargs):
        self.name, self.function = name, function
        self.holds: list[_Hold] = []
        self.args, self.kwargs = self._held(args), self._held(kwargs)

    def _held(self, value):
        if isinstance(value, np.ndarray):
            hold = _Hold(value)
            self.holds.append(hold)
            return hold.alias
        if isinstance(value, dict):
            return {k: self._held(v) for k, v in value.items()}
        if isinstance(value, (tuple, list)) and not hasattr(value, "_fields"):
            return type(value)(self._held(v) for v in value)
        return value

    def check(self) -> None:
        for hold in self.holds:
            if problem := hold.problem():
                raise EmulatorError(
                    f"launch of a graph: {self.name} uses an array of shape {hold.alias.shape} {problem}"
                )

    def run(self) -> None:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            self.function(*self.args, **self.kwargs)


class _Alias:
    """Memory of an array, without the array."""

    def __init__(self, host: np.ndarray):
        self.__array_interface__ = dict(host.__array_interface__)


class _Hold:
    """An array as a graph knows it: an address that may become invalid."""

    def __init__(self, host: np.ndarray):
        # The interface knows no bfloat16, hence the view.
        self.alias = np.asarray(_Alias(host)).view(host.dtype) if host.size else host.copy()
        owner = root(host)
        self.block = block_of(owner)
        # Memory of a pool is kept here, so that a faulty launch harms nobody; `problem` finds the fault.
        self.memory = self.block.memory if self.block else None
        self.owner = None if self.block or not host.size else weakref.ref(owner)

    def problem(self) -> str | None:
        if self.owner is not None and self.owner() is None:
            return "that was freed after the capture"
        if self.block is not None and self.block.released():
            return "whose memory its pool has given back to the device"
        return None


# ---- memory of pools -----------------------------------------------------------------------------
class Block:
    """A piece of device memory that a pool hands out again and again."""

    def __init__(self, pool, nbytes: int):
        self.memory = np.empty(nbytes + 512, np.uint8)
        self.nbytes = nbytes
        self.pool = weakref.ref(pool)
        self.in_use = False
        self.given_back = False

    def released(self) -> bool:
        return not self.in_use and (self.given_back or self.pool() is None)


_blocks: dict[int, tuple[weakref.ref, Block]] = {}  # by identity of the array that lies there


def place(shape, dtype, block: Block, order: str = "C") -> np.ndarray:
    """Return a new array in ``block``; that goes back to its pool when the array and its views are gone."""
    start = -block.memory.__array_interface__["data"][0] % 512
    # A base of its own, at which views of views end: of NumPy arrays only the last would be kept.
    buffer = (ctypes.c_char * block.nbytes).from_buffer(block.memory, start)
    host = np.ndarray(shape, dtype, buffer=buffer, order=order)
    key = id(host)
    block.in_use = True

    def gone():
        del _blocks[key]
        block.in_use = False
        if pool := block.pool():
            pool.take_back(block)

    _blocks[key] = (weakref.ref(host), block)
    weakref.finalize(host, gone).atexit = False
    return host


def block_of(owner: np.ndarray) -> Block | None:
    """Return the block an array lies in, or ``None`` for memory of the default pool."""
    known = _blocks.get(id(owner))
    return known[1] if known and known[0]() is owner else None


@contextlib.contextmanager
def paused():
    """Compute inside the ``with`` block even while capturing: to learn shapes."""
    before, state.recording = state.recording, None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            yield
    finally:
        state.recording = before
