"""Layers that merge several inputs."""

from .case import Case

MERGES = ("Add", "Multiply", "Average", "Maximum", "Minimum")

CASES = [
    *[Case(name, {}, (3, 4), (3, 4)) for name in (*MERGES, "Subtract")],
    *[Case(name, {}, (4,), (3, 4), (1, 4)) for name in MERGES],
    Case("Concatenate", {"axis": 1}, (2, 4), (3, 4)),
    Case("Concatenate", {}, (2, 3), (2, 4)),
    Case("Dot", {"axes": 1}, (4,), (4,)),
    Case("Dot", {"axes": -1, "normalize": True}, (3, 4), (5, 4)),
    Case("Dot", {"axes": (1, 2)}, (3, 4), (5, 3)),
]
