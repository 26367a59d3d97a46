"""Clocks for calls within one process: the host's, and the events of a GPU."""

from __future__ import annotations

import math
import time

MOST_CALLS = 100  # of a sample on a GPU: a longer queue would make the host wait


class HostClock:
    """Wall-clock time."""

    def launching(self, call) -> None:
        """Nothing is launched: calls compute."""

    def __call__(self, call, count: int, launch: None) -> tuple[float, int]:
        """Return the seconds of some calls, and of how many."""
        start = time.perf_counter()
        for _ in range(count):
            call()
        return time.perf_counter() - start, count


class DeviceClock:
    """Time of a GPU between two events, which follow each other as closely as the device can."""

    def __init__(self, backend, size: int = 1 << 27):
        self.backend = backend
        self._ahead = [backend.xp.zeros(size, "float32") for _ in range(2)]
        self._copy()
        self._copy_seconds = self._events(self._copy, 8)

    def _copy(self):
        self.backend.xp.copyto(*self._ahead)

    def _events(self, call, count: int) -> float:
        from cupy import cuda

        start, stop = cuda.Event(), cuda.Event()
        start.record()
        for _ in range(count):
            call()
        stop.record()
        stop.synchronize()
        return max(1e-9, cuda.get_elapsed_time(start, stop) / 1e3)

    def launching(self, call) -> float:
        """Return the seconds that the host needs to launch a call."""
        self.backend.synchronize()
        start = time.perf_counter()
        for _ in range(3):
            call()
        return (time.perf_counter() - start) / 3

    def __call__(self, call, count: int, launch: float) -> tuple[float, int]:
        """Return the seconds of some calls, and of how many."""
        count = min(count, MOST_CALLS)
        self.backend.synchronize()
        for _ in range(min(64, 1 + math.ceil(1.5 * launch * count / self._copy_seconds))):
            self._copy()
        return self._events(call, count), count


class Timed:
    """A call, made before, that ``harness.interleave`` can ask as it asks a peer.

    Attributes
    ----------
    launch : float or None
        Seconds that the host needs to launch it.
    """

    def __init__(self, call, clock):
        self.call, self.clock, self.launch = call, clock, clock.launching(call)

    def ask(self, do: str, count: int) -> dict:
        """Return the seconds of ``count`` calls, or of fewer."""
        seconds, done = self.clock(self.call, count, self.launch)
        return {"seconds": seconds, "steps": done}
