"""How kernels used memory, as recorded in tier check with ``using(trace_blocks=n)``."""

from __future__ import annotations

import ctypes
from typing import NamedTuple

from . import build
from .settings import settings


class Requests(NamedTuple):
    """Requests of warps at one line; ``parts`` and ``ideal`` are per request.

    Attributes
    ----------
    line : str
    space : "global" or "shared"
    kind : "read" or "write"
    count : int
    parts : float
        32-byte sectors of global memory, or passes through the banks of shared memory.
    ideal : float
        How many would do for as many bytes.
    """

    line: str
    space: str
    kind: str
    count: int
    parts: float
    ideal: float


class _Totals(ctypes.Structure):
    _fields_ = [("site", ctypes.c_void_p)] + [
        (name, ctypes.c_long) for name in ("shared", "write", "requests", "parts", "ideal")
    ]


def requests(kernel) -> list[Requests]:
    """Return what was recorded since the last call, for launches of this ``RawKernel``, and forget it."""
    room = 4096
    table = (_Totals * room)()
    count = build.runtime().emulator_requests(table, room)
    library = kernel._by_way["check", settings.compute_capability].library
    return [
        Requests(
            build.line_of(library, t.site), "shared" if t.shared else "global",
            "write" if t.write else "read", t.requests, t.parts / t.requests, t.ideal / t.requests,
        )
        for t in table[:count]
    ]
