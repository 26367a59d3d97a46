"""How kernels are run: one set of settings, changed for a while with :func:`using`."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib

TIERS = ("fast", "check")
SCHEDULES = ("forward", "reverse", "random")
# Bytes of shared memory one block may have: (without the attribute and static, with the attribute).
SHARED_LIMITS = {
    "70": 98304, "75": 65536, "80": 166912, "86": 101376, "89": 101376, "90": 232448, "100": 232448,
    "120": 101376,
}


class EmulatorError(AssertionError):
    """What the emulator finds wrong; no ``except RuntimeError`` of the product swallows it."""


class KernelFault(EmulatorError):
    """A kernel did what it must not do."""


class LaunchError(EmulatorError):
    """A launch that a GPU would take, to do something else than was meant."""


class CompilerMissing(EmulatorError):
    """Kernels cannot be compiled on this machine."""


@dataclasses.dataclass
class Settings:
    """How the emulator runs kernels.

    Attributes
    ----------
    tier : "fast" or "check"
        Speed with guarded memory, or a look at every single access.
    schedule : "forward", "reverse" or "random"
        The order in which blocks and threads run. "reverse" also puts arrays at the start of their guarded
        memory.
    seed : int
        Of the random order.
    compute_capability : str
        Of the emulated GPU, e.g. ``"90"``; kernels see ``__CUDA_ARCH__ == 900``.
    multiprocessors : int
        How many the emulated GPU says it has.
    resident_blocks : int
        How many blocks may wait for each other: more never run at the same time.
    trace_blocks : int
        Of so many first blocks the memory requests are recorded (tier check; ``report.requests()``).
    seconds : float
        Processor time after which a launch counts as endless.
    """

    tier: str = "fast"
    schedule: str = "forward"
    seed: int = 0
    compute_capability: str = "90"
    multiprocessors: int = 16
    resident_blocks: int = 32
    trace_blocks: int = 0
    seconds: float = float(os.environ.get("GPUKERAS_EMULATOR_SECONDS", 120))

    def shared_limit(self) -> int:
        return SHARED_LIMITS[self.compute_capability]


settings = Settings()


@contextlib.contextmanager
def using(**changes):
    """Change settings inside the ``with`` block."""
    names = {field.name for field in dataclasses.fields(Settings)}
    if unknown := set(changes) - names:
        raise TypeError(f"unknown settings {sorted(unknown)}, there are {sorted(names)}")
    if changes.get("tier", "fast") not in TIERS or changes.get("schedule", "forward") not in SCHEDULES:
        raise ValueError(f"tiers are {TIERS}, schedules {SCHEDULES}; came {changes}")
    before = {name: getattr(settings, name) for name in changes}
    vars(settings).update(changes)
    try:
        yield settings
    finally:
        vars(settings).update(before)


def cache_folder() -> pathlib.Path:
    """Where compiled kernels are kept: GPUKERAS_EMULATOR_CACHE, else a folder in the user's cache."""
    if named := os.environ.get("GPUKERAS_EMULATOR_CACHE"):
        return pathlib.Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return pathlib.Path(home) / "gpukeras-emulator"
