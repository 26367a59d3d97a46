"""A training step that the device repeats by itself: what a backend needs to offer for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .device import Device


class CaptureMixin(Device):
    """Without capturing; generators of noise as NumPy has them.

    Attributes
    ----------
    captures : bool
        Whether ``capture`` works.
    """

    captures = False

    def graph_memory(self) -> Any:
        """Return new memory for what captured steps compute; it lives as long as the steps do."""
        raise NotImplementedError

    def capture(self, work: Callable[[], object], memory) -> Any:
        """Return what repeats ``work()`` by its method ``launch()``, on the same arrays; nothing is computed.

        Parameters
        ----------
        work : callable
            Array calls on this device that wait for nothing.
        memory
            From ``graph_memory``; to be kept, like all arrays that existed before, as long as the result.

        Raises
        ------
        Exception
            Of whatever kind, where ``work`` does something that cannot be captured.
        """
        raise NotImplementedError

    def generator_state(self, generator) -> Any:
        """Return a copy of where a generator stands in its sequence."""
        return generator.bit_generator.state

    def set_generator_state(self, generator, state) -> None:
        """Let a generator go on where it stood."""
        generator.bit_generator.state = state
