"""Launch ``recurrent_step.cu``: a recurrent layer step by step, one product and one kernel each."""

from __future__ import annotations

from . import launch
from .recurrent_cells import GATES, SEQUENCE

THREADS = 256  # of a block
MODULE = launch.Module("recurrent_step.cu", structs={"Sequence": SEQUENCE})
MODULE.declare(
    "recurrent_step_forward", "recurrent_step_backward", CELL=tuple(GATES),
    budget=launch.Budget(threads=THREADS),
)


def forward(cell: str, arrays: tuple, products, fed, sequence, t: int, phase: int = 0) -> None:
    """Finish a step of all samples; ``arrays`` are those from gates to second."""
    _run("recurrent_step_forward", cell, sequence, *arrays, products, fed, sequence, t, phase)


def backward(cell: str, arrays: tuple, through, fed, sequence, t: int, phase: int = 0) -> None:
    """Walk back over a step of all samples; ``arrays`` are those from gates to dinner."""
    _run("recurrent_step_backward", cell, sequence, *arrays, through, fed, sequence, t, phase)


def _run(name: str, cell: str, sequence, *arguments) -> None:
    pairs = int(sequence["batch"]) * int(sequence["units"])
    MODULE.kernel(name, CELL=cell)(-(-pairs // THREADS), THREADS, *arguments)
