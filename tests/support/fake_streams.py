"""Streams, events and memory pools of the CuPy stand-in.

Work is done at once, in the order of the calls: what lacks an event between two streams is not found here.
"""

from __future__ import annotations

import contextlib
import threading
import time

import numpy as np

from .emulator import capture
from .emulator.capture import Block, CaptureError, Graph, Recording

ROUNDING = 512  # bytes: sizes of blocks


class _State(threading.local):
    def __init__(self):
        self.current = Stream.null
        self.allocator = None  # the default pool


class Stream:
    """A stream; ``with stream:`` makes it current."""

    _count = 0
    null: Stream

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        if not null and not ptds:
            Stream._count += 1
        self.ptr = 0 if null else 1 if ptds else Stream._count + 1000
        self.is_non_blocking = non_blocking
        self.device_id = -1
        self._recording: Recording | None = None
        self._before: list[Stream] = []

    def __eq__(self, other):
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self):
        return self.ptr

    def __enter__(self):
        self._before.append(_state.current)
        return self.use()

    def __exit__(self, *exception):
        self._before.pop().use()

    def use(self):
        _state.current = self
        capture.state.recording = self._recording
        return self

    @property
    def done(self):
        return True

    def synchronize(self):
        if self._recording is not None:
            self._recording.lost = "Stream.synchronize"
            raise CaptureError(
                "cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing"
            )
        waits("synchronize")

    def record(self, event=None):
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event):
        if not event.recorded:
            raise CaptureError("Stream.wait_event: the event was never recorded")

    def launch_host_func(self, callback, arg):
        capture.execute("host function", lambda: callback(arg), ())

    # ---- capture -------------------------------------------------------------------------------------
    def is_capturing(self) -> bool:
        return self._recording is not None

    def begin_capture(self, mode=None):
        if self.ptr in (0, 1):
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self._recording is not None:
            raise CaptureError("cudaErrorIllegalState: the stream is capturing already")
        self._recording = Recording()
        if _state.current is self:
            capture.state.recording = self._recording

    def end_capture(self) -> Graph:
        recording, self._recording = self._recording, None
        if recording is None:
            raise CaptureError("cudaErrorIllegalState: the stream is not capturing")
        if _state.current is self:
            capture.state.recording = None
        if recording.lost:
            raise CaptureError(
                "cudaErrorStreamCaptureInvalidated: operation failed due to a previous error during capture "
                f"({recording.lost})"
            )
        return Graph(recording.works)


Stream.null = Stream(null=True)
_state = _State()


def waits(what: str) -> None:
    """Count a wait for the device; ``fake_cupy`` puts its own function here."""


def get_current_stream(device_id=-1):
    return _state.current


class Event:
    """A moment of a stream."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.timed = not disable_timing
        self.recorded = False
        self.time = 0.0
        self.done = True

    def record(self, stream=None):
        self.recorded = True
        self.time = time.perf_counter()

    def synchronize(self):
        capture.refuse("waiting for an event")
        waits("Event.synchronize")


def get_elapsed_time(start_event, end_event):
    """Return milliseconds."""
    if not (start_event.timed and end_event.timed and start_event.recorded and end_event.recorded):
        raise RuntimeError("cudaErrorInvalidResourceHandle: both events must be recorded, with timing")
    return 1e3 * (end_event.time - start_event.time)


# ---- memory --------------------------------------------------------------------------------------
class MemoryPointer:
    """What an allocator returns."""

    def __init__(self, block: Block, nbytes: int):
        self._block, self.size = block, nbytes


class MemoryPool:
    """Memory that is kept when arrays die, and handed out again."""

    def __init__(self, allocator=None):
        self._free: dict[int, list[Block]] = {}
        self._used = 0
        self._total = 0
        self._limit = 0
        self.blocks = 0

    def malloc(self, size: int) -> MemoryPointer:
        rounded = max(ROUNDING, -(-size // ROUNDING) * ROUNDING)
        free = self._free.get(rounded)
        if free:
            block = free.pop()
        else:
            if self._limit and self._total + rounded > self._limit:
                raise OutOfMemoryError(f"Out of memory allocating {rounded:,} bytes (allocated so far: "
                                       f"{self._used:,} bytes, limit set to: {self._limit:,} bytes).")
            block = Block(self, rounded)
            self._total += rounded
            self.blocks += 1
        self._used += rounded
        return MemoryPointer(block, size)

    def take_back(self, block: Block) -> None:
        self._used -= block.nbytes
        self._free.setdefault(block.nbytes, []).append(block)

    def free_all_blocks(self, stream=None) -> None:
        capture.refuse("giving memory back to the device")
        for blocks in self._free.values():
            for block in blocks:
                block.given_back = True
                self._total -= block.nbytes
        self._free.clear()

    def n_free_blocks(self) -> int:
        return sum(map(len, self._free.values()))

    def used_bytes(self) -> int:
        return self._used

    def free_bytes(self) -> int:
        return self._total - self._used

    def total_bytes(self) -> int:
        return self._total

    def set_limit(self, size=None, fraction=None) -> None:
        self._limit = int(size or 0)

    def get_limit(self) -> int:
        return self._limit


class OutOfMemoryError(MemoryError):
    """Has the name of CuPy's own error."""


DEFAULT_POOL = MemoryPool()  # its arrays lie in NumPy's own memory


_default = [DEFAULT_POOL.malloc]  # or a function around it, named by its ``__wrapped__``


def set_allocator(allocator=None) -> None:
    if getattr(allocator, "__wrapped__", allocator) == DEFAULT_POOL.malloc:
        _default[0], allocator = allocator, None
    _state.allocator = allocator


def get_allocator():
    return _state.allocator or _default[0]


@contextlib.contextmanager
def using_allocator(allocator=None):
    before = _state.allocator
    set_allocator(allocator)
    try:
        yield
    finally:
        _state.allocator = before


def in_limits(host: np.ndarray) -> np.ndarray:
    """Return a new array; each alone must fit into the limit of the default pool, if it has one."""
    if DEFAULT_POOL.get_limit() and host.base is None:
        DEFAULT_POOL.take_back(get_allocator()(host.nbytes)._block)
        DEFAULT_POOL.free_all_blocks()
    return host


def special_memory() -> bool:
    """Tell whether new arrays do not simply lie where NumPy puts them."""
    return _state.allocator is not None or capture.capturing()


def empty(shape, dtype, order="C") -> np.ndarray:
    """Return memory for a new array of the device."""
    if _state.allocator is None:
        if capture.capturing():
            capture.refuse(
                "an allocation from the default memory pool (its memory is handed to others later; capture "
                "inside cupy.cuda.using_allocator(pool.malloc) with a pool kept with the graph)"
            )
        return in_limits(np.empty(shape, dtype, order))
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    pointer = _state.allocator(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return capture.place(shape, dtype, pointer._block, order if order == "F" else "C")
